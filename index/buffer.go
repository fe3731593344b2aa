package index

import (
	"math"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/must"
)

// buffer has what consecutive blocks add to the index: lists that are linked from their newest value to their oldest.
// Nothing in a list changes once it is there, so a reader takes a list's head under the index's lock and walks it
// without.
type buffer struct {
	first   uint64 // sequence number of the first block, 0 while empty
	through point  // of the last block

	entries []entry  // entry 0 stands for none
	owners  []uint32 // account number of each entry, 0 for one of user data
	heads   []*headPage
	data    map[listKey]uint32 // heads of the lists by user data
	rows    []BalanceRow       // row 0 stands for none
	marks   []mark
}

// entry is one value of a list.
type entry struct {
	value uint64
	prev  uint32 // the list's entry before
	row   uint32 // balances after, of an account with history
}

// headPage has the heads of consecutive account numbers; a page without transfers is not there.
type headPage [1 << headBits]uint32

const headBits = 10

func newBuffer(entries int) *buffer {
	entries = max(entries, 256)
	return &buffer{entries: make([]entry, 1, entries), owners: make([]uint32, 1, entries), rows: make([]BalanceRow, 1)}
}

func (b *buffer) empty() bool { return b.first == 0 }

// full reports whether the buffer has as much as one run should. Balances are much larger than entries.
func (b *buffer) full(entries int) bool {
	return len(b.entries)+4*len(b.rows)+2*len(b.data) > entries || len(b.marks) >= entries
}

// bytes is about how much disk the buffer needs.
func (b *buffer) bytes() uint64 {
	return uint64(len(b.entries)*maxKey + len(b.rows)*rowSize + len(b.marks)*(9+markValue))
}

// push puts a value, larger than all before it, at a list's head.
func (b *buffer) push(head *uint32, owner uint32, value uint64, row uint32) {
	prev := *head
	*head = uint32(len(b.entries)) //nolint:gosec // a buffer is full long before
	b.entries = append(b.entries, entry{value, prev, row})
	b.owners = append(b.owners, owner)
}

func (b *buffer) pushAccount(number uint32, value uint64, row uint32) {
	b.push(b.head(number), number, value, row)
}

func (b *buffer) pushData(k listKey, value uint64) {
	if b.data == nil {
		b.data = make(map[listKey]uint32)
	}
	head := b.data[k]
	b.push(&head, 0, value, 0)
	b.data[k] = head
}

// head returns where the head of an account's list is kept.
func (b *buffer) head(number uint32) *uint32 {
	page := int(number >> headBits)
	if page >= len(b.heads) {
		b.heads = append(b.heads, make([]*headPage, page+1-len(b.heads))...)
	}
	if b.heads[page] == nil {
		b.heads[page] = new(headPage)
	}
	return &b.heads[page][number&(1<<headBits-1)]
}

// find returns the head of a list, 0 where it has none.
func (b *buffer) find(k listKey) uint32 {
	if k.tag != tagAccount {
		return b.data[k]
	}
	page := k.lo >> headBits
	if page >= uint64(len(b.heads)) || b.heads[page] == nil {
		return 0
	}
	return b.heads[page][k.lo&(1<<headBits-1)]
}

// add takes what a block did. Effects come from this process's own ledger: that they do not fit the block is a bug.
func (b *buffer) add(k *journal.Block, fx *ledger.Effects) {
	h := &k.Header
	if b.empty() {
		b.first = h.Seq
	}
	b.through.cell, b.through.seq, b.through.hash = h.Cell, h.Seq, k.Hash
	for i := range fx.Accounts {
		b.addAccount(k, &fx.Accounts[i])
	}
	if len(fx.Transfers) > 0 {
		b.addTransfers(k, fx)
	}
}

func (b *buffer) addAccount(k *journal.Block, e *ledger.AccountEffect) {
	must.True(e.Number > b.through.account && e.Number < math.MaxUint32, "account number %d after %d", e.Number, b.through.account)
	b.through.account = e.Number
	a := &journal.View[journal.Account](k.EventBytes(int(e.Event), 1))[0]
	if a.UserData128.Lo|a.UserData128.Hi|a.UserData64|uint64(a.UserData32) == 0 {
		return
	}
	var keys [3]listKey
	for _, key := range dataLists(keys[:0], false, a.UserData128, a.UserData64, a.UserData32) {
		b.pushData(key, uint64(e.Number))
	}
}

func (b *buffer) addTransfers(k *journal.Block, fx *ledger.Effects) {
	history, inherited, imported := fx.History, fx.Inherited, false
	for i := range fx.Transfers {
		e := &fx.Transfers[i]
		if i > 0 && e.Event <= fx.Transfers[i-1].Event || e.Debit == 0 || e.Credit == 0 || e.Debit == e.Credit {
			must.True(false, "effect %d of block %d is %+v", i, k.Header.Seq, *e)
		}
		t := k.Transfer(int(e.Event))
		imported = imported || t.Flags.Has(journal.TransferImported)
		at := journal.At(k.Header.Seq, len(k.Expiries)+int(e.Event))
		var debitRow, creditRow uint32
		for len(history) > 0 && history[0].Position == at {
			if history[0].Sampled {
				history = history[1:]
				continue
			}
			row := b.addRow(k, int(e.Event), &history[0])
			switch history[0].Account {
			case e.Debit:
				debitRow = row
			case e.Credit:
				creditRow = row
			default:
				must.True(false, "balances of account %d after a transfer from %d to %d", history[0].Account, e.Debit, e.Credit)
			}
			history = history[1:]
		}
		b.pushAccount(e.Debit, uint64(at), debitRow)
		b.pushAccount(e.Credit, uint64(at), creditRow)
		if len(inherited) > 0 && inherited[0].Event == e.Event {
			b.addData(t, &inherited[0], at)
			inherited = inherited[1:]
		} else if t.UserData128.Lo|t.UserData128.Hi|t.UserData64|uint64(t.UserData32) != 0 {
			b.addData(t, &ledger.Inherited{}, at)
		}
	}
	must.True(len(history) == 0 && len(inherited) == 0, "%d balances and %d inherited user data of no transfer in block %d",
		len(history), len(inherited), k.Header.Seq)
	b.addMark(k, int(fx.Transfers[0].Event), imported)
}

func (b *buffer) addRow(k *journal.Block, event int, h *ledger.HistoryRow) uint32 {
	b.rows = append(b.rows, BalanceRow{Timestamp: timestamp(k, event), Balances: h.Balances})
	return uint32(len(b.rows) - 1) //nolint:gosec // a buffer is full long before
}

// addData indexes a transfer by its user data, and where it has none, by that of its pending transfer.
func (b *buffer) addData(t *journal.Transfer, from *ledger.Inherited, at journal.Position) {
	d128, d64, d32 := t.UserData128, t.UserData64, t.UserData32
	if d128.IsZero() {
		d128 = from.UserData128
	}
	if d64 == 0 {
		d64 = from.UserData64
	}
	if d32 == 0 {
		d32 = from.UserData32
	}
	var keys [3]listKey
	for _, key := range dataLists(keys[:0], true, d128, d64, d32) {
		b.pushData(key, uint64(at))
	}
}

func (b *buffer) addMark(k *journal.Block, event int, imported bool) {
	m := mark{first: timestamp(k, event), seq: k.Header.Seq, base: k.Header.Time}
	if imported {
		m.base = 0
	}
	must.True(m.first > b.through.time, "block %d has a transfer at %d, one before it at %d", m.seq, m.first, b.through.time)
	b.through.time = m.first
	b.marks = append(b.marks, m)
}

// timestamp is when a transfer that was created happened.
func timestamp(k *journal.Block, event int) uint64 {
	if o := k.Outcome(event); o != nil {
		return o.Timestamp
	}
	if t := k.Transfer(event); t.Flags.Has(journal.TransferImported) {
		return t.Timestamp
	}
	return k.Header.Time + uint64(len(k.Expiries)+event) //nolint:gosec // both are small
}
