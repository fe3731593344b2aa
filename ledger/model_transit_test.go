package ledger_test

import (
	"math/big"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// What the model answers in other places of the order than the status it means.
const (
	misplaced        journal.Status = 1000 + iota // a step of a decision that is not whole
	misplacedBurned                               // the reserve of a transfer whose id was burned
	misplacedAccount                              // a step on accounts that it is not for
	unsettled                                     // the settling of a transfer that has not ended
	otherEnd                                      // the settling of one that ended otherwise
)

var modelOnly = map[journal.Status]journal.Status{
	misplaced: journal.TransferReservedFlag, misplacedBurned: journal.TransferIdAlreadyFailed, misplacedAccount: journal.TransferReservedFlag,
	unsettled: journal.TransferPendingTransferNotPending, otherEnd: journal.TransferPendingTransferHasDifferentAmount,
}

// modelCrossing is what an event says of a transfer across cells, read by hand.
type modelCrossing struct {
	wrong             bool
	step, status      int
	transfer, reserve money.U128
	debit, credit     string
	flags             journal.TransferFlags
	timeout           uint32
}

func crossingIn(attached string) (c modelCrossing, ok bool) {
	v := field(attached, 8)
	if v == "" {
		return c, false
	}
	number := func(from, to int) (n uint64) {
		for i := to - 1; i >= from; i-- {
			n = n<<8 | uint64(v[i])
		}
		return n
	}
	return modelCrossing{
		step: int(v[80]), status: int(number(78, 80)), transfer: money.U128{Lo: number(0, 8), Hi: number(8, 16)},
		reserve: money.U128{Lo: number(16, 24), Hi: number(24, 32)}, debit: v[32:48], credit: v[48:64],
		flags: journal.TransferFlags(number(76, 78)), timeout: uint32(number(72, 76)),
	}, true
}

func bytesOf(id money.U128) string {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(id.Lo>>(8*i)), byte(id.Hi>>(8*i))
	}
	return string(b[:])
}

// crossing reads what an event says, and whether its record is one of that step.
func (m *model) crossing(t *journal.Transfer, attached string) modelCrossing {
	if t.Flags&(3<<11) == 0 {
		return modelCrossing{}
	}
	c, ok := crossingIn(attached)
	if !ok || !t.Flags.Has(1<<11) || m.approved || m.request == nil {
		return modelCrossing{wrong: true}
	}
	const linked, pending, post, void, fence, hold = 1, 2, 4, 8, 1024, 4096
	f := int(t.Flags & 0x77FF)
	onHold := t.PendingID == c.transfer && t.Timeout == 0
	switch c.step {
	case 1:
		ok = f == pending|hold && onHold && t.ID == c.reserve && bytesOf(t.Debit) == c.debit
	case 2:
		ok = f == pending|hold && onHold && bytesOf(t.Credit) == c.credit
	case 3:
		ok = f == void|linked && t.PendingID == c.reserve
	case 4:
		ok = onHold && (c.status == 1 && f == pending|hold|linked || c.status != 1 && f == pending|hold && t.Amount.IsZero())
	case 5:
		ok = f == int(c.flags) && t.ID == c.transfer && t.Timeout == c.timeout && bytesOf(t.Debit) == c.debit
	case 6:
		ok = f == post || f == void|fence
	case 7:
		ok = f == post || f == void
	case 8:
		ok = (f == post || f == void || f == void|fence) && t.PendingID == c.transfer
	}
	if !ok {
		return modelCrossing{wrong: true}
	}
	return c
}

// order: a decision is decide, marker and perhaps the transfer, one right after the other, of one attempt and one amount.
func (m *model) order(f *faults, t *journal.Transfer, c *modelCrossing) {
	at := func(i, step int) (money.U128, bool) {
		if i < 0 || i >= len(m.request) {
			return money.U128{}, false
		}
		o, ok := crossingIn(attachedTo(m.attached, i))
		return m.request[i].ID, ok && o.step == step && o.reserve == c.reserve && o.transfer == c.transfer
	}
	ok := true
	switch c.step {
	case 1:
		_, burned := m.burned[c.transfer]
		f.when(burned, misplacedBurned)
	case 3:
		_, ok = at(m.event+1, 4)
	case 4:
		if _, ok = at(m.event-1, 3); ok && c.status == 1 {
			_, ok = at(m.event+1, 5)
		}
	case 5:
		if _, ok = at(m.event-1, 4); ok {
			marker := m.request[m.event-1]
			ok = marker.Flags.Has(1) && marker.Debit == t.Credit && marker.Amount == t.Amount && marker.Asset == t.Asset
		}
	}
	f.when(!ok, misplaced)
}

// accounts checks which sides are the cell's own.
func (c *modelCrossing) accounts(f *faults, debit, credit bool) {
	wantDebit, wantCredit := c.step == 2 || c.step == 4, c.step == 1 || c.step == 4 || c.step == 5
	f.when(debit && !wantDebit, journal.TransferDebitAccountNotFound)
	f.when(credit && !wantCredit, journal.TransferCreditAccountNotFound)
	f.when(debit != wantDebit || credit != wantCredit, misplacedAccount)
}

// uncounted is 1 for what limits don't count: the transfer of a reserve counts by itself.
func (c *modelCrossing) uncounted() int {
	if c.step == 1 {
		return 1
	}
	return 0
}

// cross remembers how a transfer ended, and which marker is its.
func (m *model) cross(t *journal.Transfer, c *modelCrossing, amount *big.Int) {
	if c.step != 5 {
		return
	}
	x := m.transfers[t.ID]
	x.marker = m.request[m.event-1].ID
	m.transfers[t.ID] = x
	if !t.Flags.Has(journal.TransferPending) {
		m.ended[x.marker] = amount
	}
}

// endCrossing is called for each reservation that ends.
func (m *model) endCrossing(x *modelTransfer, posted *big.Int) {
	delete(m.ended, x.asked.ID)
	if !x.marker.IsZero() {
		m.ended[x.marker] = posted
	}
}

// mayEnd: a transfer across cells, and what is reserved for one, are ended by the steps that are for that.
func (m *model) mayEnd(p *modelTransfer, c *modelCrossing) bool {
	own := func(id money.U128) bool { return m.accounts[id].asked.Flags.Has(1 << 14) }
	want := 0
	switch {
	case p.asked.Flags.Has(1<<12) && own(p.debit) && own(p.credit):
		want = 7
	case p.asked.Flags.Has(1<<12) && own(p.debit):
		want = 6
	case p.asked.Flags.Has(1 << 12):
		want = 3
	case p.asked.Flags.Has(1 << 11):
		want = 8
	}
	return c.step == want
}

// settling: as the transfer ended, once it has.
func (m *model) settling(f *faults, p *modelTransfer, c *modelCrossing, post bool, amount *big.Int) {
	if c.step != 7 {
		return
	}
	posted := new(big.Int)
	if p.asked.Flags.Has(1) {
		var ended bool
		if posted, ended = m.ended[p.asked.ID]; !ended {
			f.when(true, unsettled)
			return
		}
	}
	f.when(post && (posted.Sign() == 0 || amount.Cmp(posted) != 0) || !post && posted.Sign() != 0, otherEnd)
}

// burnedBy are the ids that a step burns: the transfer's, by its refused reserve and by an abort, and those that callers
// chose themselves.
func (m *model) burnedBy(c *modelCrossing, status journal.Status, id money.U128) []money.U128 {
	transient := func(s journal.Status) bool { return transientNames[s.Name(journal.KindTransfers)] }
	_, transfer := m.transfers[c.transfer]
	_, head := m.heads[c.transfer]
	switch {
	case c.step == 1 && transient(status), c.step == 4 && status == journal.Created && transient(journal.Status(c.status)):
		if !transfer && !head {
			return []money.U128{c.transfer}
		}
	case (c.step == 5 || c.step == 8) && transient(status):
		return []money.U128{id}
	}
	return nil
}
