package ledger_test

import (
	"bytes"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// TestExpiriesOfOneTime: a reservation that arrived may be of the same nanosecond as another one. Both expire in the order
// of their positions, also in a state from a snapshot, in which they lie in another order.
func TestExpiriesOfOneTime(t *testing.T) {
	r := newRigOf([2]uint64{1, 2}, 4)
	r.witness, r.deriver = nil, nil
	r.clock = 1_000_000_000
	given := givenAccounts()
	r.apply(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{ledger.AssetRecord(townAsset)}))
	y := transit.Accounts(townAsset, 1, 9)[1]
	r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{y, {ID: money.From(2), Asset: 1, Code: 1}, {ID: money.From(3), Asset: 1, Code: 1}}))
	pending := journal.Transfer{ID: money.From(20), Debit: money.From(2), Credit: money.From(3), Amount: money.From(1), Asset: 1, Code: 1, Flags: journal.TransferPending}
	first := pending
	first.ID, first.Timeout = money.From(21), 60
	r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{
		pending, first, {ID: money.From(22), PendingID: pending.ID, Flags: journal.TransferVoid}, // its place is free for the other one
	}))
	was, _ := r.state.OpenPending(first.ID)

	m := journal.BucketMove{ID: money.From(900), Peer: 9, Version: 1, Bucket: journal.Bucket(money.From(1)), Step: journal.BucketArrive}
	r.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{m}))
	for i, id := range []uint64{1, 1539} {
		h := journal.Handover{Move: m.ID, Account: money.From(id), Clearing: y.ID, Flags: journal.TransferAttached}
		r.applyAttached(journal.KindTake, journal.Actor{}, journal.Bytes([]journal.Handover{h}), []journal.Attachment{{Data: given[i]}})
	}
	other := first
	other.ID, other.Debit, other.Credit = money.From(30), money.From(1), money.From(1539)
	e, _ := transit.Arrives((&transit.Reservation{Record: other, Timestamp: was.Timestamp, Amount: other.Amount, Remaining: other.Amount}).Leaves())
	events, attached := requestOf([]transit.Event{e})
	if s := r.applyAttached(journal.KindCarry, journal.Actor{}, events, attached)[0].Status; s != journal.ControlCreated {
		t.Fatal(s.Name(journal.KindCarry))
	}
	r.endBlock()
	image, seq := takeSnapshot(r.state, uint64(len(r.log))), uint64(len(r.log))

	r.clock += 100_000_000_000
	r.begin()
	k := r.seal()
	if len(k.Expiries) != 2 || k.Expiries[0].Pending != first.ID || k.Expiries[1].Pending != other.ID {
		t.Errorf("expired are %+v", k.Expiries)
	}
	s, _, err := ledger.Restore(r.ids.config([2]uint64{}, 4), bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.replayedWith(r.ids, s, seq+1); err != nil {
		t.Error(err)
	}
}
