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

	entries   entries
	heads     []*headPage
	data      map[listKey]uint32 // heads of the lists that are not an account's transfers
	arena     arena              // what stands beside entries
	marks     []mark
	expiries  []mark // of blocks with expiries, or with what was handed over
	bookings  map[uint32][]dated
	booked    int // entries in bookings
	addresses []address
	scratch   []byte
	dated     bool // there were transfers, in this buffer or before
}

// headPage has the heads of consecutive account numbers; a page without transfers is not there.
type headPage [1 << headBits]uint32

const headBits = 10

func (b *buffer) empty() bool { return b.first == 0 }

// Sizes of what a buffer holds, in entries.
const (
	asideWeight   = 24 // bytes of the arena that count as an entry
	bookingWeight = 3
	addressWeight = 8
)

// full reports whether the buffer has as much as one run should.
func (b *buffer) full(entries int) bool {
	n := int(b.entries.last) + b.arena.size()/asideWeight + 2*len(b.data) + bookingWeight*b.booked + addressWeight*len(b.addresses)
	return n > entries || len(b.marks)+len(b.expiries) >= entries
}

// bytes is about how much disk the buffer needs.
func (b *buffer) bytes() uint64 {
	n := int(b.entries.last)*maxKey + b.arena.size() + (len(b.marks)+len(b.expiries))*(9+markValue)
	return uint64(n + b.booked*(maxKey+bookingSize) + len(b.addresses)*(journal.MaxAddress+6)) //nolint:gosec // sizes
}

// push puts a value, larger than all before it, at a list's head. Aside is what stands beside it, or nil.
func (b *buffer) push(head *uint32, owner uint32, value uint64, aside []byte) {
	e := entry{value: value, prev: *head}
	if len(aside) > 0 {
		e.aside = b.arena.add(aside)
	}
	*head = b.entries.add(e, owner)
}

func (b *buffer) pushAccount(number uint32, value uint64, aside []byte) {
	b.push(b.head(number), number, value, aside)
}

func (b *buffer) pushData(k listKey, value uint64, aside []byte) {
	if b.data == nil {
		b.data = make(map[listKey]uint32)
	}
	head := b.data[k]
	b.push(&head, 0, value, aside)
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

// add takes what a block did, and now and then calls rest, during which others may read. Effects come from this
// process's own ledger: that they do not fit the block is a bug.
func (b *buffer) add(k *journal.Block, fx *ledger.Effects, rest func()) {
	h := &k.Header
	if b.empty() {
		b.first = h.Seq
	}
	b.through.cell, b.through.seq, b.through.hash = h.Cell, h.Seq, k.Hash
	b.addHappened(k, fx)
	for i := range fx.Accounts {
		b.addAccount(k, &fx.Accounts[i])
	}
	zones := zoneChanges(k)
	if len(fx.Transfers) > 0 {
		b.addTransfers(k, fx, &zones, rest)
	}
	b.enterZones(&zones, math.MaxUint32)
	b.addAccountMetadata(k, fx)
}

func (b *buffer) addAccount(k *journal.Block, e *ledger.AccountEffect) {
	must.True(e.Number > b.through.account && e.Number < math.MaxUint32, "account number %d after %d", e.Number, b.through.account)
	b.through.account = e.Number
	a := createdAccount(k, int(e.Event))
	b.scratch = be.AppendUint32(b.scratch[:0], a.Asset)
	b.pushData(accountID(a.ID), uint64(e.Number), b.scratch)
	if a.Flags.Has(journal.AccountAttached) {
		b.addAddress(k, e)
	}
	if a.UserData128.Lo|a.UserData128.Hi|a.UserData64|uint64(a.UserData32) == 0 {
		return
	}
	var keys [3]listKey
	for _, key := range dataLists(keys[:0], false, a.UserData128, a.UserData64, a.UserData32) {
		b.pushData(key, uint64(e.Number), nil)
	}
}

func (b *buffer) addTransfers(k *journal.Block, fx *ledger.Effects, zones *[]zoneChange, rest func()) {
	history, inherited, bookings, imported := fx.History, fx.Inherited, fx.Bookings, false
	for i := range fx.Transfers {
		if i%yieldEvery == yieldEvery-1 {
			rest()
		}
		e := &fx.Transfers[i]
		if i > 0 && e.Event <= fx.Transfers[i-1].Event || e.Debit == 0 || e.Credit == 0 || e.Debit == e.Credit {
			must.True(false, "effect %d of block %d is %+v", i, k.Header.Seq, *e)
		}
		t := k.Transfer(int(e.Event))
		imported = imported || t.Flags.Has(journal.TransferImported)
		at := journal.At(k.Header.Seq, len(k.Expiries)+int(e.Event))
		var debit, credit aside
		for len(history) > 0 && history[0].Position == at {
			switch history[0].Account {
			case e.Debit:
				debit.row = &history[0]
			case e.Credit:
				credit.row = &history[0]
			default:
				must.True(false, "balances of account %d after a transfer from %d to %d", history[0].Account, e.Debit, e.Credit)
			}
			history = history[1:]
		}
		b.enterZones(zones, e.Event)
		if date := b.bookedElsewhere(k, e.Event, &bookings); date != 0 {
			debit.booked, credit.booked = true, true
			b.addBooking(k, e, t, date, at)
		}
		b.dated = true
		b.pushAccount(e.Debit, uint64(at), b.encode(&debit, k, e.Event))
		b.pushAccount(e.Credit, uint64(at), b.encode(&credit, k, e.Event))
		if len(inherited) > 0 && inherited[0].Event == e.Event {
			b.addData(t, &inherited[0], at)
			inherited = inherited[1:]
		} else if t.UserData128.Lo|t.UserData128.Hi|t.UserData64|uint64(t.UserData32) != 0 {
			b.addData(t, &ledger.Inherited{}, at)
		}
		if t.Flags.Has(journal.TransferAttached) {
			b.addTransferMetadata(k, e.Event, at)
		}
	}
	must.True(len(history) == 0 && len(inherited) == 0 && len(bookings) == 0,
		"%d balances, %d inherited user data and %d booking dates of no transfer in block %d",
		len(history), len(inherited), len(bookings), k.Header.Seq)
	b.addMark(k, int(fx.Transfers[0].Event), imported)
}

// encode returns what stands beside a transfer in an account's list; most have nothing. Valid until the next call.
func (b *buffer) encode(a *aside, k *journal.Block, event uint32) []byte {
	if a.row == nil && !a.booked {
		return nil
	}
	ts := uint64(0)
	if a.row != nil && !a.row.Sampled {
		ts = timestamp(k, int(event))
	}
	b.scratch = a.append(b.scratch[:0], ts)
	return b.scratch
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
		b.pushData(key, uint64(at), nil)
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
