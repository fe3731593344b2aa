package cell_test

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// TestAReservationThatIsSplit: its credit account leaves, and it goes on as a transfer across cells. Who does not know
// has to look again, finds it so, and ends it; the marker says what is left to do.
func TestAReservationThatIsSplit(t *testing.T) {
	b := newBank(t, nil)
	ctx, cny := context.Background(), money.Asset{Code: "CNY", Scale: 2}
	do(b, journal.KindAccounts, account(1), account(2))
	do(b, journal.KindAccounts, transit.Accounts(cny, 1, 8)...)
	reserve := transfer(11, 2, 1, 5)
	reserve.Flags = journal.TransferPending
	do(b, journal.KindTransfers, reserve)
	b.moveStep(journal.BucketClose, nil)

	p, ok, err := b.OpenPending(ctx, reserve.ID)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	f, err := b.Fact(ctx, p.Position)
	if err != nil {
		t.Fatal(err)
	}
	leaving := transit.Reservation{Record: f.Asked, Attached: f.Attachment, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: p.Remaining}
	s := transit.Split{Reservation: leaving, Asset: cny, Move: money.From(900), Giver: 7, Taker: 8}
	var events []journal.Transfer
	var attached []journal.Attachment
	for i, e := range s.Events() {
		events, attached = append(events, e.Transfer), append(attached, journal.Attachment{Event: i, Data: e.Attached})
	}
	b.created(b.send(journal.KindCarry, 1, journal.Bytes(events), attached...))
	b.crash()

	post := journal.Transfer{ID: money.From(12), PendingID: reserve.ID, Credit: reserve.Credit, Amount: money.From(3), Flags: journal.TransferPost}
	b.refused(cell.ErrMoving, post)
	list, err := b.LookupTransfers(ctx, []money.U128{reserve.ID})
	if err != nil || len(list) != 1 {
		t.Fatalf("the reservation: %+v, %v", list, err)
	}
	x, ok := journal.TransitOf([]byte(list[0].Attachment))
	if !ok || x.Step != journal.TransitTransfer || x.Credit != reserve.Credit || x.Peer != 8 {
		t.Fatalf("it says %+v", x)
	}
	steps(t, b, transit.End(&post, journal.Details{}, x, cny))
	r := resumed(t, b)
	if r.Todo != transit.Finish || r.Posted != post.Amount || r.Peer != 8 || r.Confirm(r.Posted, true).Transfer.PendingID != events[2].ID {
		t.Fatalf("after the post: %+v", r)
	}
	steps(t, b, r.Settle(r.Posted))
	if list := open(t, b); len(list) != 0 {
		t.Errorf("open at the end: %+v", list)
	}
	if got := b.balance(2); got.DebitsPosted != post.Amount || !got.DebitsPending.IsZero() {
		t.Errorf("account 2: %+v", got)
	}
}
