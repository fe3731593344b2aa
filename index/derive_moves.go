package index

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// given takes an account that left, or a reservation.
func (d *Deriver) given(event int) error {
	h := &journal.View[journal.Handover](d.block.EventBytes(event, 1))[0]
	if h.Account.IsZero() {
		return d.ends(event, h.Reservation)
	}
	n, clearing := d.numbers[h.Account], d.numbers[h.Clearing]
	if n == 0 || clearing == 0 || d.accounts[n-1].gone {
		return d.fault(event, "gives account %v, which is not here", h.Account)
	}
	a := &d.accounts[n-1]
	d.handOver(event, n, clearing, a.DebitsPosted, a.CreditsPosted, false)
	a.gone = true
	return nil
}

// taken takes an account that arrived.
func (d *Deriver) taken(event int) error {
	h := &journal.View[journal.Handover](d.block.EventBytes(event, 1))[0]
	a, _, err := ledger.Handed(d.block.Attachment(event))
	if err != nil {
		return d.fault(event, "takes account %v: %v", h.Account, err)
	}
	clearing := d.numbers[h.Clearing]
	n := d.numbers[h.Account]
	switch {
	case clearing == 0 || n != 0 && !d.accounts[n-1].gone:
		return d.fault(event, "takes account %v, which is here", h.Account)
	case n == 0:
		n = d.created(event, &a)
	default:
		d.fx.Changed = append(d.fx.Changed, ledger.AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
	}
	d.accounts[n-1].gone = false
	d.handOver(event, n, clearing, a.DebitsPosted, a.CreditsPosted, true)
	return nil
}

// handOver applies what the ledger says of an account that is handed over.
func (d *Deriver) handOver(event int, n, clearing uint32, debits, credits money.U128, arrives bool) {
	before := len(d.fx.Moved)
	d.fx.HandedOver(event, n, clearing, debits, credits, arrives)
	d.applyMoved(before)
}

func (d *Deriver) applyMoved(from int) {
	for i := range d.fx.Moved[from:] {
		m := &d.fx.Moved[from+i]
		d.accounts[m.Account-1].Add(&m.By)
	}
}

// carried takes an event of another cell: only a reservation that arrives does something.
func (d *Deriver) carried(event int) error {
	t := d.block.Transfer(event)
	c, _, ok := journal.CarriedOf(d.block.Attachment(event))
	if !ok || c.Standing != journal.StandingArrives {
		return nil
	}
	r := reservation{
		d.numbers[t.Debit], d.numbers[t.Credit], c.Remaining, journal.At(d.block.Header.Seq, len(d.block.Expiries)+event),
		t.UserData32, t.UserData64, t.UserData128,
	}
	if r.debit == 0 || r.credit == 0 {
		return d.fault(event, "reserves between accounts %v and %v, which nobody created", t.Debit, t.Credit)
	}
	d.reserved[t.ID] = r
	before := len(d.fx.Moved)
	d.fx.Opens(event, r.debit, r.credit, r.rest)
	d.applyMoved(before)
	return nil
}

// ends takes a reservation that left.
func (d *Deriver) ends(event int, id money.U128) error {
	r, ok := d.reserved[id]
	if !ok {
		return d.fault(event, "gives transfer %v, which reserves nothing", id)
	}
	delete(d.reserved, id)
	before := len(d.fx.Moved)
	d.fx.Ends(event, r.debit, r.credit, r.rest)
	d.applyMoved(before)
	return nil
}
