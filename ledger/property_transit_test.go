package ledger_test

import (
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// otherCell is where the transfers across cells of a duel go to, and come from: the ledger plays both parts.
const otherCell = 9

// crossings are a duel's transfers across cells.
type crossings struct {
	attempts []*transit.Attempt
	wild     bool // steps may come with anything wrong: too wild for the witness, who knows what a driver sends
}

// beginCrossings makes the cell's own accounts, in half of the duels.
func (d *duel) beginCrossings() {
	if d.pick(0, 1) == 0 {
		return
	}
	if d.wild = d.pick(0, 1) == 1; d.wild {
		d.r.witness = nil
	}
	cny := money.Asset{Code: "CNY", Scale: 2}
	mustBeCreated(d, d.r.apply(journal.KindAssets, journal.Actor{1}, journal.Bytes([]journal.Asset{ledger.AssetRecord(cny)})))
	accounts := transit.Accounts(cny, 1, otherCell)
	got := d.r.apply(journal.KindAccounts, journal.Actor{1}, journal.Bytes(accounts))
	want := d.m.createAccounts(d.r.next, accounts, nil)
	d.compare(journal.KindAccounts, got, want, func(i int) string { return fmt.Sprintf("%+v", accounts[i]) })
	d.own = []money.U128{accounts[0].ID, accounts[1].ID}
}

// crossing is how many more turns a duel has for transfers across cells.
func (d *duel) crossing() int {
	if len(d.own) == 0 {
		return 0
	}
	return 15
}

func (d *duel) attempt() *transit.Attempt {
	if len(d.attempts) > 0 && !d.chance(4) {
		return d.attempts[d.pick(max(0, len(d.attempts)-4), len(d.attempts)-1)]
	}
	a := &transit.Attempt{
		Asked: journal.Transfer{ID: d.transferID(), Debit: d.accountID(), Credit: d.accountID(), Amount: d.amount(), Asset: 1, Code: uint16(d.pick(1, 2))},
		Asset: money.Asset{Code: "CNY", Scale: 2}, Home: otherCell, Peer: otherCell, Reserve: d.id(700 + len(d.attempts)),
	}
	if d.chance(3) {
		a.Asked.UserData64 = uint64(d.pick(1, 2))
		if day := d.date(); day > 0 {
			a.Date = journal.Date(day)
		}
	}
	if d.chance(2) {
		a.Asked.Flags, a.Asked.Timeout = journal.TransferPending, uint32(d.pick(0, 3))
	}
	d.attempts = append(d.attempts, a)
	return a
}

// steps are those of an attempt, most often what comes next.
func (d *duel) steps(a *transit.Attempt) []transit.Event {
	posted := a.Asked.Amount
	if p, ok := d.r.state.OpenPending(transit.ID(a.Reserve, journal.TransitMarker)); ok && p.Ended && !d.chance(5) {
		posted = p.Posted
	} else if d.chance(2) {
		posted = money.U128{}
	}
	_, reserved := d.r.state.OpenPending(a.Reserve)
	_, pending := d.r.state.OpenPending(a.Asked.ID)
	which := d.pick(0, 8)
	switch {
	case reserved && d.chance(2):
		which = d.pick(2, 4)
	case pending && d.chance(3):
		which = 8
	}
	switch which {
	case 0:
		return []transit.Event{a.Reserved()}
	case 1:
		return []transit.Event{a.Hold(1)}
	case 2, 3:
		return a.Commit()
	case 4:
		return a.Abort([]journal.Status{0, journal.TransferExceedsDebits, journal.TransferBookingDayClosed}[d.pick(0, 2)])
	case 5:
		return []transit.Event{a.Transfer()}
	case 6:
		return []transit.Event{a.Confirm(posted, d.chance(2))}
	case 7:
		return []transit.Event{a.Settle(posted)}
	}
	t := journal.Transfer{ID: d.transferID(), PendingID: a.Asked.ID}
	d.resolution(&t, 5+2*d.pick(0, 2))
	if !d.wild {
		t.Flags &^= journal.TransferKeepRemainder
	}
	x, ok := journal.TransitOf([]byte(d.m.transfers[a.Asked.ID].attached))
	if !ok || d.wild && d.chance(4) {
		x = journal.Transit{
			Transfer: a.Asked.ID, Reserve: a.Reserve, Debit: a.Asked.Debit, Credit: a.Asked.Credit, Peer: otherCell,
			Timeout: a.Asked.Timeout, Flags: a.Asked.Flags,
		}
	}
	return []transit.Event{transit.End(&t, journal.Details{BookingDate: a.Date}, x, a.Asset)}
}

// cross sends the steps of some attempts in one request.
func (d *duel) cross() {
	var list []transit.Event
	a := d.attempt()
	if _, known := d.m.transfers[a.Reserve]; !known && d.chance(2) {
		list = append(list, a.Reserved())
	}
	for range d.pick(1, 3) {
		list = append(list, d.steps(a)...)
		a = d.attempt()
	}
	if d.wild && d.chance(3) {
		list = d.disturb(list)
	}
	var events []journal.Transfer
	var attached []journal.Attachment
	for i, e := range list {
		events = append(events, e.Transfer)
		if e.Attached != nil {
			attached = append(attached, journal.Attachment{Event: i, Data: e.Attached})
		}
	}
	if ledger.CheckRequest(journal.KindTransfers, journal.Bytes(events), attached) != nil {
		return // a step without its flag: callers can't send that
	}
	d.r.begin()
	got := d.r.applyAttached(journal.KindTransfers, journal.Actor{}, journal.Bytes(events), attached)
	want := d.m.createTransfers(d.r.next, events, attached)
	d.compare(journal.KindTransfers, got, want, func(i int) string {
		x, _ := journal.TransitOf(list[i].Attached)
		return fmt.Sprintf("%+v, which says %+v", events[i], x)
	})
}

// disturb leaves an event out, or swaps two, or changes one, or puts one between.
func (d *duel) disturb(list []transit.Event) []transit.Event {
	i, j := d.pick(0, len(list)-1), d.pick(0, len(list)-1)
	switch d.pick(0, 3) {
	case 0:
		if len(list) > 1 {
			list = append(list[:i:i], list[i+1:]...)
		}
	case 1:
		list[i], list[j] = list[j], list[i]
	case 2:
		d.spoil(&list[i].Transfer)
	default:
		list = append(list[:i:i], append([]transit.Event{{Transfer: d.transfer()}}, list[i:]...)...)
	}
	return list
}

// checkCrossings compares what the ledger says of transfers across cells that are open.
func (d *duel) checkCrossings() {
	ended := 0
	for _, p := range openOf(d.r.state) {
		posted, ok := d.m.ended[p.ID]
		if p.Ended != ok || ok && u128Of(posted) != p.Posted {
			d.Fatalf("reservation %v ended %v with %v, the model has %v with %v", p.ID, p.Ended, p.Posted, ok, posted)
		}
		if ok {
			ended++
		}
	}
	if ended != len(d.m.ended) {
		d.Fatalf("%d transfers ended, the model has %d", ended, len(d.m.ended))
	}
	for id := range d.m.accounts {
		held := false
		for _, x := range d.m.transfers {
			held = held || x.open() && x.asked.Flags.Has(1<<12) && (x.debit == id || x.credit == id) && !d.m.accounts[id].asked.Flags.Has(1<<14)
		}
		closing := []journal.Transfer{{Credit: id, Flags: journal.TransferPending | journal.TransferClosingCredit}}
		if got := d.r.state.ClosesHeld(journal.KindTransfers, journal.Bytes(closing)); got != held {
			d.Fatalf("account %v is held: %v, the model says %v", id, got, held)
		}
	}
}
