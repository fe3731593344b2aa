package index

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// given takes an account that left.
func (d *Deriver) given(event int) error {
	h := &journal.View[journal.Handover](d.block.EventBytes(event, 1))[0]
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
	a, err := ledger.Handed(d.block.Attachment(event))
	if err != nil {
		return d.fault(event, "takes account %v: %v", h.Account, err)
	}
	clearing := d.numbers[h.Clearing]
	n := d.numbers[h.Account]
	switch {
	case clearing == 0 || n != 0 && !d.accounts[n-1].gone:
		return d.fault(event, "takes account %v, which is here", h.Account)
	case n == 0:
		n = d.created(event, &a.Account)
	default:
		d.fx.Changed = append(d.fx.Changed, ledger.AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
	}
	d.accounts[n-1].gone = false
	d.handOver(event, n, clearing, a.DebitsPosted, a.CreditsPosted, true)
	return nil
}

// handOver applies what the ledger says of an account that is handed over.
func (d *Deriver) handOver(event int, n, clearing uint32, debits, credits money.U128, arrives bool) {
	d.moving(func(fx *ledger.Effects) { fx.HandedOver(event, n, clearing, debits, credits, arrives) })
}

// moving adds effects, and applies them to the balances.
func (d *Deriver) moving(add func(fx *ledger.Effects)) {
	var fx ledger.Effects
	add(&fx)
	for _, m := range fx.Moved {
		d.accounts[m.Account-1].Add(&m.By)
		d.fx.Move(int(m.Event), m.Account, m.By)
	}
}

// carried takes an event of another cell: only reservations that are handed over do something, all records of one at once.
func (d *Deriver) carried(event, end int) error {
	if event < d.handed {
		return nil
	}
	group := ledger.HandedGroup(d.block, event, end)
	d.handed = event + len(group)
	if len(group) == 3 {
		whole, hold := &group[1], &group[2]
		if err := d.takenAway(whole.Transfer.ID, whole.Event, hold.Event); err != nil {
			return err
		}
	}
	for i := range group {
		r := &group[i]
		var err error
		switch {
		case r.Carried.Standing != journal.StandingLeaves:
			err = d.opened(r)
		case len(group) < 3:
			err = d.takenAway(r.Transfer.ID, r.Event, r.Event)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// opened takes a reservation that is open here from this record on.
func (d *Deriver) opened(x *ledger.HandedRecord) error {
	t := x.Transfer
	r := reservation{
		d.numbers[t.Debit], d.numbers[t.Credit], x.Carried.Remaining, journal.At(d.block.Header.Seq, len(d.block.Expiries)+x.Event),
		t.UserData32, t.UserData64, t.UserData128,
	}
	if r.debit == 0 || r.credit == 0 {
		return d.fault(x.Event, "reserves between accounts %v and %v, which nobody created", t.Debit, t.Credit)
	}
	d.reserved[t.ID] = r
	d.moving(func(fx *ledger.Effects) { fx.Opened(x.Event, r.debit, r.credit, r.rest) })
	return nil
}

// takenAway takes a reservation that is open here no more. Its accounts are named by these events.
func (d *Deriver) takenAway(id money.U128, debit, credit int) error {
	r, ok := d.reserved[id]
	if !ok {
		return d.fault(debit, "hands over transfer %v, which reserves nothing", id)
	}
	delete(d.reserved, id)
	d.moving(func(fx *ledger.Effects) { fx.TakenAway(debit, credit, r.debit, r.credit, r.rest) })
	return nil
}
