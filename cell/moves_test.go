package cell_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// moveStep journals a step of move 900 of account 1's bucket to cell 8.
func (b *bank) moveStep(step journal.BucketStep, change func(*journal.BucketMove)) {
	b.t.Helper()
	m := journal.BucketMove{ID: money.From(900), Peer: 8, Version: 2, Bucket: journal.Bucket(money.From(1)), Step: step}
	if change != nil {
		change(&m)
	}
	b.created(b.send(journal.KindBuckets, 1, journal.Bytes([]journal.BucketMove{m})))
}

func (b *bank) created(results []journal.Result) {
	b.t.Helper()
	for i, r := range results {
		if r.Status != journal.Created {
			b.t.Fatalf("event %d: %s", i, r.Status.Name(journal.KindBuckets))
		}
	}
}

// refused sends transfers that must be refused whole, and then be as new.
func (b *bank) refused(want error, events ...journal.Transfer) {
	b.t.Helper()
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(events), Results: make([]journal.Result, len(events))}
	if err := b.Do(context.Background(), r); !errors.Is(err, want) {
		b.t.Errorf("got error %v, want %v", err, want)
	}
}

// TestABucketThatMoves: while it is closing, whole requests that touch it are refused and burn nothing; then they are
// told where it went. All others go on.
func TestABucketThatMoves(t *testing.T) {
	b := newBank(t, nil)
	ctx := context.Background()
	do(b, journal.KindAccounts, account(1), account(2), account(3), journal.Account{ID: money.From(99), Asset: 1, Code: 65534, Flags: journal.AccountTransit})
	do(b, journal.KindTransfers, transfer(10, 1, 2, 40))
	pending := transfer(11, 2, 1, 5)
	pending.Flags = journal.TransferPending
	do(b, journal.KindTransfers, pending)

	b.moveStep(journal.BucketClose, nil)
	b.refused(cell.ErrMoving, transfer(20, 2, 3, 1), transfer(21, 1, 2, 1))
	b.refused(cell.ErrMoving, journal.Transfer{ID: money.From(22), PendingID: money.From(11), Flags: journal.TransferPost, Amount: money.Max()})
	b.refused(cell.ErrMoving, journal.Transfer{ID: money.From(23), PendingID: money.From(12345), Flags: journal.TransferVoid | journal.TransferFence})
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{transfer(20, 2, 3, 1)})), "created")
	if list, err := b.LookupAccounts(ctx, []money.U128{money.From(1)}); err != nil || len(list) != 1 {
		t.Errorf("nothing was given yet: got %v, %v", list, err)
	}

	b.moveStep(journal.BucketCancel, nil)
	void := journal.Transfer{ID: money.From(22), PendingID: money.From(11), Flags: journal.TransferVoid}
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{void, transfer(21, 1, 2, 2)})), "created", "created")

	again := func(m *journal.BucketMove) { m.ID, m.Version = money.From(901), 3 }
	b.moveStep(journal.BucketClose, again)
	give := journal.Handover{Move: money.From(901), Account: money.From(1), Clearing: money.From(99)}
	b.created(b.send(journal.KindGive, 1, journal.Bytes([]journal.Handover{give})))
	if _, err := b.LookupAccounts(ctx, []money.U128{money.From(2), money.From(1)}); !errors.Is(err, cell.ErrMoving) {
		t.Errorf("an account that was given: got %v, want ErrMoving", err)
	}
	if list, err := b.LookupAccounts(ctx, []money.U128{money.From(99)}); err != nil || list[0].DebitsPosted != money.From(42) {
		t.Errorf("clearing: got %v, %v", list, err)
	}
	b.close() // what is known of it outlives the process
	b.open()
	b.moveStep(journal.BucketGiven, func(m *journal.BucketMove) {
		again(m)
		m.Accounts, m.Digest = 1, b.digestOf(give)
	})
	b.refused(cell.ErrMoved, transfer(24, 3, 1, 1))
	b.refused(cell.ErrMoving, journal.Transfer{ID: money.From(23), PendingID: money.From(12345), Flags: journal.TransferVoid})
	b.moveStep(journal.BucketGone, again)
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{{ID: money.From(23), PendingID: money.From(12345), Flags: journal.TransferVoid}})), "pending_transfer_not_found")
	var moved *cell.MovedError
	if _, err := b.AccountNumber(ctx, money.From(1)); !errors.As(err, &moved) || moved.Cell != 8 {
		t.Errorf("got %v, want cell 8", err)
	}
	err := b.ScanAccounts(ctx, 0, false, func(_ uint32, a *journal.Account) bool {
		if a.ID == money.From(1) {
			t.Error("the scan shows the account that is gone")
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// digestOf is what the ledger says of the handover, which is the only one.
func (b *bank) digestOf(h journal.Handover) (digest money.U128) {
	b.t.Helper()
	err := b.Read(context.Background(), func(s *ledger.State) {
		for _, k := range s.Buckets() {
			if k.Move == h.Move {
				digest = k.Digest
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return digest
}
