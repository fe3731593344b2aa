package feed_test

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/transit"
)

func (b *bank) cross(list ...transit.Event) {
	b.t.Helper()
	events, attached := make([]journal.Transfer, len(list)), make([]journal.Attachment, len(list))
	for i, e := range list {
		events[i], attached[i] = e.Transfer, journal.Attachment{Event: i, Data: e.Attached}
	}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(events), Attachments: attached, Results: make([]journal.Result, len(list))}
	if err := b.Do(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	for i := range r.Results {
		if s := r.Results[i].Status; s != journal.Created {
			b.t.Fatalf("step %d: %s", i, s.Name(journal.KindTransfers))
		}
	}
}

// TestStepsAcrossCells: subscribers get the accounts that people know, what the step is, and the account that it is
// booked on; those of one account get what is booked on it.
func TestStepsAcrossCells(t *testing.T) {
	b := newBank(t, nil)
	b.seed(1)
	yuan := money.Asset{Code: "CNY", Scale: 2}
	must(b, journal.KindAccounts, 1, transit.Accounts(yuan, 1, 9)...)
	a := &transit.Attempt{
		Asked: journal.Transfer{ID: money.From(50), Debit: money.From(1), Credit: money.From(77), Amount: money.From(5), Asset: 1, Code: 3, Flags: journal.TransferPending, Timeout: 1},
		Asset: yuan, Home: cellNumber, Peer: 9, Reserve: money.From(60),
	}
	b.cross(a.Reserved())
	b.cross(a.Commit()...)
	b.clock.Advance(2_000_000_000)
	b.cross(a.Settle(money.U128{}))
	filter := feed.Filter{Accounts: []money.U128{money.From(1)}, Kinds: []feed.Kind{feed.TransferCreated, feed.ReservationExpired}}
	events := b.feed.Messages(b.all(feed.Since(0), filter))
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	x := transit.InTransit(yuan).String()
	for i, want := range []ledgerv1.TransitStep{1, 3, 5, 5} {
		about, debit, credit := events[i].GetTransfer().GetTransit(), events[i].GetTransfer().GetDebitAccountId(), events[i].GetTransfer().GetCreditAccountId()
		if e := events[i].GetExpired(); e != nil {
			about, debit, credit = e.GetTransit(), e.GetDebitAccountId(), e.GetCreditAccountId()
		}
		if debit != "1" || credit != "77" || about.GetTransferId() != "50" || about.GetPeer() != 9 || about.GetStep() != want || about.GetAccountId() != x {
			t.Errorf("event %d: %s→%s %v, want step %v on %s", i, debit, credit, about, want, x)
		}
	}
	if events[3].GetExpired().GetPendingId() != "50" {
		t.Errorf("the last event is %v", events[3])
	}
}
