package transit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// aReservation is of account 11 to account 21, of which 3 of 7 are left.
func aReservation() transit.Reservation {
	return transit.Reservation{
		Record: anAttempt().Asked, Attached: (&journal.Details{Metadata: []journal.Meta{journal.Text("order", "17")}}).Append(nil),
		Timestamp: 1_700_000_000_000_000_000, Amount: money.From(7), Remaining: money.From(3),
	}
}

// TestSplitReserve binds the id, which the two cells of a move have to agree on. It was computed by another program.
func TestSplitReserve(t *testing.T) {
	if got, want := transit.SplitReserve(money.U128{Hi: 2, Lo: 900}, money.From(100)).String(), "340282366856402159519072064347071653526"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestASplitReservationIsAnAttempt: from its marker the driver goes on as with any other, at whichever side its home is,
// and means the hold that the other side has.
func TestASplitReservationIsAnAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		debitLeaves  bool
		home, peer   uint64
		transfer, of journal.Standing
	}{
		"the debit account leaves":  {true, 2, 1, journal.StandingLeaves, journal.StandingStays},
		"the credit account leaves": {false, 1, 2, journal.StandingStays, journal.StandingLeaves},
	} {
		s := transit.Split{Reservation: aReservation(), Asset: cny, Move: money.From(900), Giver: 1, Taker: 2, DebitLeaves: c.debitLeaves}
		list := s.Events()
		var originals [][]byte
		for i, want := range []journal.Standing{c.transfer, c.transfer, c.of} {
			e := list[i]
			if d, err := journal.DecodeDetails(e.Attached); err != nil || d.Carried.Standing != want || d.Carried.Remaining != s.Remaining || d.Transit == nil {
				t.Errorf("%s: event %d says %+v, %v", name, i, d, err)
			}
			_, original, _ := journal.CarriedOf(e.Attached)
			originals = append(originals, original)
		}
		marker, transfer, hold := list[0].Transfer, list[1].Transfer, list[2].Transfer
		r, err := transit.Resume(c.home, cny, &transit.Open{Record: marker, Attached: originals[0]})
		if err != nil || r.Todo != transit.Wait || r.Peer != c.peer || r.MarkerID() != marker.ID {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if confirm := r.Confirm(s.Remaining, true); confirm.Transfer.PendingID != hold.ID {
			t.Errorf("%s: the confirmation is of %v, the hold is %v", name, confirm.Transfer.PendingID, hold.ID)
		}
		x, _ := journal.TransitOf(originals[1])
		if end := transit.End(&journal.Transfer{Credit: s.Record.Credit}, journal.Details{}, x, cny); end.Transfer.Credit != transfer.Credit {
			t.Errorf("%s: the end credits %v, the transfer %v", name, end.Transfer.Credit, transfer.Credit)
		}
		want := s.Record
		want.Credit, want.Flags = transit.InTransit(cny), want.Flags|journal.TransferTransit|journal.TransferAttached
		if diff := cmp.Diff(want, transfer); diff != "" {
			t.Errorf("%s: the transfer: %s", name, diff)
		}
		if hold.Debit != transit.Clearing(cny, c.home) || marker.Credit != transit.Clearing(cny, c.peer) || hold.Amount != s.Remaining || marker.Amount != s.Remaining {
			t.Errorf("%s: marker %+v, hold %+v", name, marker, hold)
		}
	}
}

// TestArrives: the taker gets what leaves, and nothing of what stays.
func TestArrives(t *testing.T) {
	r := aReservation()
	got, ok := transit.Arrives(r.Leaves())
	d, err := journal.DecodeDetails(got.Attached)
	want := journal.Carried{Status: journal.Created, Standing: journal.StandingArrives, Timestamp: r.Timestamp, Amount: r.Amount, Remaining: r.Remaining}
	if !ok || err != nil || *d.Carried != want || got.Transfer != r.Leaves().Transfer {
		t.Errorf("got %+v with %+v, %v, %v", got.Transfer, d.Carried, ok, err)
	}
	s := transit.Split{Reservation: r, Asset: cny, Move: money.From(900), Giver: 1, Taker: 2}
	n := 0
	for _, e := range s.Events() {
		if _, ok := transit.Arrives(e); ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of three events arrive, want the hold", n)
	}
	if _, ok := transit.Arrives(anAttempt().Reserved()); ok {
		t.Error("an event that nothing was carried with arrives")
	}
}
