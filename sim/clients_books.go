package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// This file makes the requests with attachments, of transactions, books and decisions.

// firstDay is the day on which every run begins.
const firstDay journal.Date = 1_700_000_000 / 86_400

// date is a day that may be closed by now, or not.
func (l *workload) date() journal.Date { return firstDay - 3 + journal.Date(l.rng.IntN(4)) } //nolint:gosec // small

// details are what a transfer has attached; "" is nothing.
func (l *workload) details() string {
	var d journal.Details
	switch l.rng.IntN(8) {
	case 0:
		d.BookingDate = l.date()
	case 1:
		d.Metadata = []journal.Meta{journal.Int("order", int64(l.nextID))} //nolint:gosec // small
	case 2:
		d.BookingDate = l.date()
		d.Metadata = []journal.Meta{journal.Text("long", string(make([]byte, 1+l.rng.IntN(1000))))}
	}
	return string(d.Append(nil))
}

// attach gives the transfers of a request from first on their details.
func (l *workload) attach(o *op, list []journal.Transfer, first int) {
	for i := range list {
		list[i].Flags &^= journal.TransferAttached
		if data := l.details(); data != "" {
			list[i].Flags |= journal.TransferAttached
			o.attached = append(o.attached, journal.Attachment{Event: first + i, Data: []byte(data)})
		}
	}
}

// books makes a request of one of the kinds that version 2 of the format brought.
func (l *workload) books(o *op) {
	l.nextID++
	id := money.From(l.nextID)
	switch k := l.rng.IntN(20); {
	case k < 2:
		c := journal.DayClose{ID: id, Date: l.date()}
		copy(c.Reason[:], "end of day")
		set(o, journal.KindDayClose, c)
	case k < 4:
		c := journal.MetadataChange{ID: id, Account: money.From(l.account()), Flags: journal.TransferHead}
		if l.rng.IntN(3) > 0 {
			c.Flags |= journal.TransferAttached
			o.attached = []journal.Attachment{{Data: (&journal.Details{Metadata: []journal.Meta{journal.Int("n", int64(l.nextID))}}).Append(nil)}} //nolint:gosec // small
		}
		set(o, journal.KindMetadata, c)
	case k < 9:
		l.transaction(o, id)
	case k < 14 || len(l.proposals) == 0:
		l.propose(o, id)
	default:
		l.decide(o, id)
	}
}

func (l *workload) transaction(o *op, id money.U128) {
	legs := make([]journal.Transfer, 1+l.rng.IntN(4))
	debit := l.account()
	for i := range legs { // out of one account: no way leads back to it
		legs[i] = journal.Transfer{
			ID: journal.LegID(id, uint32(i)), Amount: money.From(1 + l.rng.Uint64N(50)), Asset: 1, Code: 1,
			Debit: money.From(debit), Credit: money.From(1 + (debit+l.rng.Uint64N(bankAccounts-1))%bankAccounts),
		}
		if l.rng.IntN(15) == 0 {
			legs[i].Credit = money.From(999)
		}
	}
	l.attach(o, legs, 0)
	head := journal.Transfer{ID: id, Flags: journal.TransferHead, Timeout: uint32(len(legs))} //nolint:gosec // small
	head.Debit, head.Credit = journal.LegsDigest(legs, o.attached)
	for i := range o.attached {
		o.attached[i].Event++
	}
	set(o, journal.KindTransaction, append([]journal.Transfer{head}, legs...)...)
}

// proposed is what somebody proposed, for others to decide.
type proposed struct {
	id       money.U128
	inner    journal.Kind
	events   []byte
	attached []journal.Attachment
}

func (l *workload) propose(o *op, id money.U128) {
	inner := &op{}
	l.nextID++
	switch k := l.rng.IntN(4); {
	case k == 0:
		set(inner, journal.KindReopen, journal.Reopen{ID: money.From(l.nextID), Date: l.date()})
	case k == 1:
		l.transaction(inner, money.From(l.nextID))
	default:
		l.makeTransfers(inner)
	}
	l.proposals = append(l.proposals, proposed{id, inner.kind, inner.events, inner.attached})
	payload := journal.Details{Payload: []byte(payloadOf(inner.events, inner.attached, 0))}
	set(o, journal.KindProposal, journal.Proposal{ID: id, Inner: inner.kind})
	o.attached = []journal.Attachment{{Data: payload.Append(nil)}}
}

func (l *workload) decide(o *op, id money.U128) {
	p := l.proposals[max(0, len(l.proposals)-1-l.rng.IntN(6))]
	d := journal.Decision{ID: id, Proposal: p.id, Inner: p.inner, Verdict: journal.Approve}
	if l.rng.IntN(6) == 0 {
		d.Verdict = journal.Reject
		set(o, journal.KindDecision, d)
		return
	}
	events := slices.Clone(p.events)
	if p.inner == journal.KindTransfers && l.rng.IntN(8) == 0 {
		journal.View[journal.Transfer](events)[0].UserData64 ^= 1 // not what was proposed
	}
	o.kind, o.n = journal.KindDecision, 1+len(events)/journal.RecordSize
	o.events = bytes.Join([][]byte{journal.Bytes([]journal.Decision{d}), events}, nil)
	for _, a := range p.attached {
		o.attached = append(o.attached, journal.Attachment{Event: a.Event + 1, Data: a.Data})
	}
}

// address gives a new account an address; that of an imported one is sometimes taken.
func address(o *op, event int, a *journal.Account, n uint64) {
	a.Flags |= journal.AccountAttached
	o.attached = append(o.attached, journal.Attachment{Event: event, Data: (&journal.Details{Address: fmt.Sprintf("shop:%d", n)}).Append(nil)})
}
