package readmodel

import (
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// given takes an account that left: its row stays, for the transfers there are, with a flag and without a balance.
func (d *deriver) given(event int, actor journal.Actor) error {
	h := &journal.View[journal.Handover](d.block.EventBytes(event, 1))[0]
	a, err := ledger.Handed(d.block.Attachment(event))
	if err != nil {
		return d.fault(ErrJournal, event, "gives an account: %v", err)
	}
	own, clearing := d.change(h.Account), d.change(h.Clearing)
	good := apply(&own.DebitsPosted, money.U128{}, a.DebitsPosted) && apply(&own.CreditsPosted, money.U128{}, a.CreditsPosted) &&
		apply(&clearing.DebitsPosted, a.DebitsPosted, money.U128{}) && apply(&clearing.CreditsPosted, a.CreditsPosted, money.U128{})
	if !good || !d.settle(own, clearing) {
		return d.fault(ErrJournal, event, "takes a balance of account %v or %v beyond its range", h.Account, h.Clearing)
	}
	d.gone[h.Account] = true
	d.setMetadata(h.Account, nil) // it is kept where the account is
	d.handOver(event, h, a.Asset, a.CreditsPosted, a.DebitsPosted, actor)
	return nil
}

// taken takes an account that arrived, with all that it has.
func (d *deriver) taken(event int, actor journal.Actor) error {
	h := &journal.View[journal.Handover](d.block.EventBytes(event, 1))[0]
	a, err := ledger.Handed(d.block.Attachment(event))
	if err != nil {
		return d.fault(ErrJournal, event, "takes an account: %v", err)
	}
	pos, _ := d.at(event)
	row := Account{
		ID: a.ID, Position: pos, Timestamp: a.Timestamp, Asset: a.Asset, Code: a.Code, Flags: a.Flags & AccountFlags &^ journal.AccountClosed,
		Closed: a.Flags.Has(journal.AccountClosed), Address: a.Details.Address, UserData: UserData{a.UserData128, a.UserData64, a.UserData32}, Actor: actor,
	}
	if at, twice := d.accounts[a.ID]; twice { // of this batch
		d.batch.Accounts[at] = row
	} else {
		d.accounts[a.ID] = len(d.batch.Accounts)
		d.batch.Accounts = append(d.batch.Accounts, row)
	}
	delete(d.gone, a.ID)
	delete(d.changes, a.ID)
	delete(d.closed, a.ID)
	d.renewed[a.ID] = true
	own, clearing := d.change(a.ID), d.change(h.Clearing)
	good := apply(&own.DebitsPosted, a.DebitsPosted, money.U128{}) && apply(&own.CreditsPosted, a.CreditsPosted, money.U128{}) &&
		apply(&clearing.DebitsPosted, a.CreditsPosted, money.U128{}) && apply(&clearing.CreditsPosted, a.DebitsPosted, money.U128{})
	if !good || !d.settle(own, clearing) {
		return d.fault(ErrJournal, event, "takes a balance of account %v or %v beyond its range", h.Account, h.Clearing)
	}
	d.setMetadata(a.ID, metadataOf(OwnerAccount, a.ID, a.Details.Metadata))
	for i := range a.Freezes {
		f := &a.Freezes[i]
		d.freeze(&f.Freeze, pos, f.Timestamp, f.Actor)
		d.batch.Renewed.Freezes = append(d.batch.Renewed.Freezes, f.ID)
		if f.Lifted {
			d.batch.Lifts = append(d.batch.Lifts, Lift{f.ID, f.UnfreezeID, f.LiftedAt, text(f.LiftedReason[:]), f.LiftedBy})
		}
	}
	d.handOver(event, h, a.Asset, a.DebitsPosted, a.CreditsPosted, actor)
	return nil
}

// settle sets the balances of accounts that the batch makes.
func (d *deriver) settle(list ...*BalanceChange) bool {
	for _, c := range list {
		if i, here := d.accounts[c.Account]; here && !d.batch.Accounts[i].Balances.set(c) {
			return false
		}
	}
	return true
}

// handOver makes the postings of an account that is debited and credited against the one for clearing.
func (d *deriver) handOver(event int, h *journal.Handover, asset uint32, debits, credits money.U128, actor journal.Actor) {
	pos, time := d.at(event)
	row := Handover{
		ID: h.Move, Position: pos, Side: 1, Timestamp: time, Booked: journal.DateOf(time, d.batch.To.UTCOffset),
		Debit: h.Account, Credit: h.Clearing, Amount: debits, Asset: asset, Actor: actor,
	}
	d.batch.Handovers = append(d.batch.Handovers, row)
	row.Side, row.Debit, row.Credit, row.Amount = 2, h.Clearing, h.Account, credits
	d.batch.Handovers = append(d.batch.Handovers, row)
}

// carried takes an event of another cell: only reservations that are handed over do something, all records of one at once.
func (d *deriver) carried(p *journal.Part, event int) error {
	if event < d.handed {
		return nil
	}
	group := ledger.HandedGroup(d.block, event, p.First+p.Count)
	d.handed = event + len(group)
	if len(group) == 3 { // the whole of what is split
		if err := d.takenAway(&group[1]); err != nil {
			return err
		}
	}
	for i := range group {
		r := &group[i]
		var err error
		switch {
		case r.Carried.Standing != journal.StandingLeaves:
			err = d.opened(r, p.Request.Actor)
		case len(group) < 3:
			err = d.takenAway(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takenAway takes a reservation that is open here no more.
func (d *deriver) takenAway(r *ledger.HandedRecord) error {
	e := d.reserved[r.Transfer.ID]
	if e == nil || e.State != StateOpen || e.Remaining != r.Carried.Remaining {
		return d.fault(ErrTables, r.Event, "hands over transfer %v, which the tables don't have as an open reservation of %v", r.Transfer.ID, r.Carried.Remaining)
	}
	_, time := d.at(r.Event)
	released := e.Remaining
	e.State, e.Remaining, e.Ended, e.changed = StateMoved, money.U128{}, time, true
	return d.move(r.Event, &Transfer{Debit: e.Debit, Credit: e.Credit}, money.U128{}, money.U128{}, released)
}

// opened takes a reservation that is open here from this record on.
func (d *deriver) opened(r *ledger.HandedRecord, actor journal.Actor) error {
	t, c := r.Transfer, &r.Carried
	details, err := d.details(r.Event, true)
	if err != nil {
		return err
	}
	row := Transfer{
		ID: t.ID, Kind: KindPending, Debit: t.Debit, Credit: t.Credit, Amount: c.Amount, Asset: t.Asset, Code: t.Code,
		Flags: t.Flags & TransferFlags, Timeout: t.Timeout, PendingID: t.PendingID, Timestamp: c.Timestamp,
		UserData: UserData{t.UserData128, t.UserData64, t.UserData32}, Actor: actor,
	}
	if c.Standing == journal.StandingArrives {
		row.Kind = KindArrived
	}
	row.Position, _ = d.at(r.Event)
	if row.Booked = details.BookingDate; row.Booked == 0 {
		row.Booked = journal.DateOf(row.Timestamp, d.batch.To.UTCOffset)
	}
	e := &entry{created: true, Reservation: Reservation{
		ID: row.ID, Remaining: c.Remaining, State: StateOpen, Debit: row.Debit, Credit: row.Credit, Asset: row.Asset, Code: row.Code,
		Flags: row.Flags, UserData: row.UserData,
	}}
	if t.Timeout != 0 {
		e.Expires = row.Timestamp + uint64(t.Timeout)*second
	}
	d.forget(t.ID)
	d.reserved[t.ID] = e
	d.batch.Transfers = append(d.batch.Transfers, row)
	d.batch.Metadata = append(d.batch.Metadata, metadataOf(OwnerTransfer, t.ID, details.Metadata)...)
	return d.move(r.Event, &row, money.U128{}, c.Remaining, money.U128{})
}

// forget drops what there is of a transfer, in the tables or in the batch.
func (d *deriver) forget(id money.U128) {
	b := d.batch
	b.Renewed.Transfers = append(b.Renewed.Transfers, id)
	if e := d.reserved[id]; e != nil && e.created {
		b.Transfers = slices.DeleteFunc(b.Transfers, func(t Transfer) bool { return t.ID == id })
		b.Metadata = slices.DeleteFunc(b.Metadata, func(m Metadata) bool { return m.Owner == OwnerTransfer && m.OwnerID == id })
	}
}

// finishMoves nets what was handed over.
func (d *deriver) finishMoves() {
	b := d.batch
	for id := range d.gone {
		if i, here := d.accounts[id]; here {
			b.Accounts[i].Flags |= AccountGone
		} else {
			b.Gone = append(b.Gone, id)
		}
	}
	for id := range d.renewed {
		b.Renewed.Accounts = append(b.Renewed.Accounts, id)
	}
	for _, list := range []*[]money.U128{&b.Gone, &b.Renewed.Accounts, &b.Renewed.Transfers, &b.Renewed.Freezes} {
		slices.SortFunc(*list, money.U128.Cmp)
		*list = slices.Compact(*list)
	}
}
