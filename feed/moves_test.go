package feed_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// carry sends records of another cell, or ones that hand over a reservation.
func (b *bank) carry(list ...transit.Event) {
	b.t.Helper()
	events, attached := make([]journal.Transfer, len(list)), make([]journal.Attachment, len(list))
	for i, e := range list {
		events[i], attached[i] = e.Transfer, journal.Attachment{Event: i, Data: e.Attached}
	}
	r := &cell.Request{Kind: journal.KindCarry, Events: journal.Bytes(events), Attachments: attached, Results: make([]journal.Result, len(list))}
	if err := b.Do(context.Background(), r); err != nil || r.Results[0].Status != journal.Created {
		b.t.Fatalf("%v, %+v", err, r.Results)
	}
}

// TestWhatMoves: an account and a reservation that go to another cell are events, with what they take along, for those
// who ask for that account too; steps of moves and ids of other cells have names.
func TestWhatMoves(t *testing.T) {
	b := newBank(t, nil)
	b.seed(1)
	yuan, neighbour := money.Asset{Code: "CNY", Scale: 2}, uint64(2)
	for journal.Bucket(money.From(neighbour)) != journal.Bucket(money.From(1)) {
		neighbour++
	}
	must(b, journal.KindAccounts, 1, append(transit.Accounts(yuan, 1, 9), account(neighbour))...)
	must(b, journal.KindTransfers, 1, transfer(50, 1, neighbour, 7))
	pending := transfer(51, 1, neighbour, 5)
	pending.Flags = journal.TransferPending
	must(b, journal.KindTransfers, 1, pending)
	open := transit.Reservation{Record: pending, Timestamp: 1_700_000_000_000_000_005, Amount: pending.Amount, Remaining: pending.Amount}
	if list, err := b.LookupTransfers(t.Context(), []money.U128{pending.ID}); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	} else {
		open.Timestamp = list[0].Timestamp
	}
	before := feed.After(feed.AfterBlock(cellNumber, b.Head()))
	move := journal.BucketMove{ID: money.From(900), Peer: 9, Version: 2, Bucket: journal.Bucket(money.From(1)), Step: journal.BucketClose}
	must(b, journal.KindBuckets, 1, move)
	b.carry(open.Leaves())
	clearing := transit.Clearing(yuan, 9)
	must(b, journal.KindGive, 1, journal.Handover{Move: move.ID, Account: money.From(1), Clearing: clearing})
	burned := ledger.Fact{Asked: transfer(60, 77, 78, 1), Status: journal.TransferExceedsCredits, Timestamp: 5}
	record, data := ledger.CarryOf(&burned, journal.StandingOpen, money.U128{})
	b.carry(transit.Event{Transfer: record, Attached: data})

	events := b.feed.Messages(b.all(before, feed.Filter{}))
	var names []string
	for _, e := range events {
		names = append(names, e.GetKindName())
	}
	if want := []string{"bucket_closed", "reservation_left", "account_left", "event_carried"}; !slices.Equal(names, want) {
		t.Fatalf("events %q, want %q", names, want)
	}
	if r := events[1].GetTransfer(); r.GetId() != "51" || r.GetAmount() != "5" || r.GetDebitAccountId() != "1" {
		t.Errorf("reservation %v", r)
	}
	a, h := events[2].GetAccount(), events[2].GetHandover()
	if a.GetId() != "1" || a.GetDebitsPosted() != "7" || a.GetAsset() != "CNY/2" || h.GetMoveId() != "900" || h.GetClearingAccountId() != clearing.String() {
		t.Errorf("account %v, %v", a, h)
	}
	for account, want := range map[money.U128]int{money.From(1): 2, money.From(neighbour): 1, clearing: 1, money.From(5): 0} {
		if got := b.all(before, feed.Filter{Accounts: []money.U128{account}}); len(got) != want {
			t.Errorf("account %v: %d events, want %d", account, len(got), want)
		}
	}
	if got := feed.EventKey(events[2]) + " " + feed.EventKey(events[1]); got != "1 51" {
		t.Errorf("keys %s", got)
	}
}
