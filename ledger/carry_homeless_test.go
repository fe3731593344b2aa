package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestAPostOfNothingInTwoCells: a post that names a reservation nobody knows burns its id in whichever cell it comes to,
// and, sent again by way of another node, in a second one. That is no reason never to move a bucket between the two.
func TestAPostOfNothingInTwoCells(t *testing.T) {
	post := journal.Transfer{ID: money.From(10), PendingID: money.From(11), Amount: money.From(5), Flags: journal.TransferPost}
	giver, taker := newRigOf([2]uint64{1, 2}, 0), newRigOf([2]uint64{3, 4}, 0)
	for i, r := range []*rig{giver, taker} {
		r.witness, r.deriver = nil, nil
		r.clock = uint64(i+1) * 1_000_000_000
		r.apply(journal.KindTransfers, journal.Actor{1}, journal.Bytes([]journal.Transfer{post}))
		r.seal()
	}
	f, err := giver.fact(giver.places(post.ID)[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, everywhere := ledger.Home(&f, nil); !everywhere {
		t.Fatal("it has a home")
	}
	carry := func(f ledger.Fact) journal.Status {
		e, data := ledger.CarryOf(&f, journal.StandingOpen, money.U128{})
		return taker.applyAttached(journal.KindCarry, journal.Actor{}, journal.Bytes([]journal.Transfer{e}), []journal.Attachment{{Data: data}})[0].Status
	}
	if s := carry(f); s != journal.ControlExists {
		t.Errorf("carried it is answered %s", s.Name(journal.KindCarry))
	}
	made := f
	made.Status, made.Amount = journal.Created, money.From(5)
	fence := f
	fence.Asked.Flags = journal.TransferVoid | journal.TransferFence
	for _, other := range []ledger.Fact{made, fence} { // what the taker would answer wrongly
		if s := carry(other); s != journal.ControlExistsWithDifferentFields {
			t.Errorf("%+v is answered %s", other, s.Name(journal.KindCarry))
		}
	}
}
