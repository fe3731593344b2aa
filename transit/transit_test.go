package transit_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// anAttempt is one at a transfer of account 11 of cell 1 to account 21 of cell 2.
func anAttempt() *transit.Attempt {
	return &transit.Attempt{
		Asked: journal.Transfer{
			ID: money.From(100), Debit: money.From(11), Credit: money.From(21), Amount: money.From(7), Asset: 1, Code: 3,
			UserData128: money.From(4), UserData64: 5, UserData32: 6, Flags: journal.TransferPending, Timeout: 60,
		},
		Date: 20_000, Metadata: []journal.Meta{journal.Text("order", "17")}, Asset: cny, Home: 1, Peer: 2, Reserve: money.U128{Hi: 3, Lo: 200},
	}
}

// TestIDs binds the ids, which two releases of a cell have to agree on. They were computed by another program.
func TestIDs(t *testing.T) {
	got := map[string]string{"in transit": transit.InTransit(cny).String(), "clearing": transit.Clearing(cny, 2).String()}
	r := money.U128{Hi: 3, Lo: 200}
	for name, step := range map[string]journal.TransitStep{
		"reserve": journal.TransitReserve, "hold": journal.TransitHold, "decide": journal.TransitDecide, "marker": journal.TransitMarker,
		"transfer": journal.TransitTransfer, "confirm": journal.TransitConfirm, "settle": journal.TransitSettle,
	} {
		got[name] = transit.ID(r, step).String()
	}
	want := map[string]string{
		"in transit": "340282366880457236390711684267905669978", "clearing": "340282366896959708387519079906063113047", "reserve": r.String(), "transfer": "0",
		"hold": "340282366917202477504249293596162068432", "decide": "340282366853006557543636175973329912639", "marker": "340282366884631954882864895557512710468", "confirm": "340282366870845469238671496631683258505", "settle": "340282366893879822053778247224155152437",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestResumeKnowsAllOfIt: whatever an attempt would send next, it sends the same after a crash.
func TestResumeKnowsAllOfIt(t *testing.T) {
	a := anAttempt()
	reserve := a.Reserved()
	r, err := transit.Resume(1, cny, &transit.Open{Record: reserve.Transfer, Attached: reserve.Attached})
	if err != nil || r.Todo != transit.Decide {
		t.Fatalf("a reserve: %+v, %v", r, err)
	}
	again := &r.Attempt
	for name, pair := range map[string][2][]transit.Event{
		"reserve": {{a.Reserved()}, {again.Reserved()}}, "hold": {{a.Hold(5)}, {again.Hold(5)}}, "commit": {a.Commit(), again.Commit()},
		"abort": {a.Abort(journal.TransferExceedsDebits), again.Abort(journal.TransferExceedsDebits)},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, c := range []struct {
		name    string
		markers []transit.Event
		ended   bool
		posted  uint64
		todo    transit.Todo
		status  journal.Status
	}{
		{"committed, pending", a.Commit(), false, 0, transit.Wait, 0},
		{"committed, posted", a.Commit(), true, 5, transit.Finish, journal.Created},
		{"committed, voided", a.Commit(), true, 0, transit.Finish, journal.Created},
		{"aborted", a.Abort(journal.TransferExceedsDebits), false, 0, transit.Finish, journal.TransferExceedsDebits},
		{"aborted for now", a.Abort(0), false, 0, transit.Finish, 0},
	} {
		r, err := transit.Resume(1, cny, &transit.Open{Record: c.markers[1].Transfer, Attached: c.markers[1].Attached, Ended: c.ended, Posted: money.From(c.posted)})
		if err != nil || r.Todo != c.todo || r.Status != c.status || r.Posted != money.From(c.posted) || r.Asked.ID != a.Asked.ID {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
		if diff := cmp.Diff([2]transit.Event{a.Confirm(r.Posted, true), a.Settle(r.Posted)}, [2]transit.Event{r.Confirm(r.Posted, true), r.Settle(r.Posted)}); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestResumeOfWhatIsNotOurs(t *testing.T) {
	hold := anAttempt().Hold(1)
	for name, o := range map[string]transit.Open{
		"a hold": {Record: hold.Transfer, Attached: hold.Attached}, "a transfer": {Record: anAttempt().Asked},
	} {
		if r, err := transit.Resume(1, cny, &o); !errors.Is(err, transit.ErrNotOurs) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := transit.Resume(1, cny, &transit.Open{Attached: []byte{8}}); !errors.Is(err, journal.ErrDetails) {
		t.Errorf("bytes: %+v, %v", r, err)
	}
}

func TestWhatMayCross(t *testing.T) {
	const post = journal.TransferPost
	for _, c := range []struct {
		flags         journal.TransferFlags
		transfer, end bool
	}{
		{0, true, true},
		{journal.TransferPending, true, false},
		{journal.TransferAttached, true, true},
		{post, false, true},
		{journal.TransferVoid | journal.TransferFence, false, true},
		{journal.TransferLinked, false, false},
		{journal.TransferPending | journal.TransferClosingCredit, false, false},
		{journal.TransferBalancingDebit, false, false},
		{journal.TransferImported, false, false},
		{post | journal.TransferKeepRemainder, false, false},
		{journal.TransferTransit, false, false},
		{post | journal.TransferLinked, false, false},
	} {
		for name, got := range map[string][2]error{
			"as a transfer": {transit.CheckTransfer(&journal.Transfer{Flags: c.flags}), wrong(c.transfer)},
			"as an end":     {transit.CheckEnd(&journal.Transfer{Flags: c.flags}), wrong(c.end)},
		} {
			if !errors.Is(got[0], got[1]) {
				t.Errorf("flags %#x %s: %v, want %v", c.flags, name, got[0], got[1])
			}
		}
	}
}

func wrong(ok bool) error {
	if ok {
		return nil
	}
	return transit.ErrCrossing
}

// TestTheLargestDetailsCross: what a caller may attach leaves room for what the steps say.
func TestTheLargestDetailsCross(t *testing.T) {
	a := anAttempt()
	a.Metadata = nil
	for i := range 4 {
		a.Metadata = append(a.Metadata, journal.Text(string(rune('a'+i)), string(make([]byte, 1015))))
	}
	d := journal.Details{BookingDate: a.Date, Metadata: a.Metadata}
	a.Metadata[3] = journal.Text("d", string(make([]byte, 1015+journal.MaxDetails-len(d.Append(nil)))))
	w := newSide(1, 2, 11)
	w.clock = a.Date.Start(0) + 1
	if got := w.steps(a.Reserved())[0].Status; got != journal.Created {
		t.Errorf("the reserve: %s", got.Name(journal.KindTransfers))
	}
}

// TestAConfirmationIntoAClosedDay: the peer's books of the transfer's day were closed between hold and confirmation.
func TestAConfirmationIntoAClosedDay(t *testing.T) {
	a := anAttempt()
	a.Asked.Flags, a.Asked.Timeout = 0, 0
	peer := newSide(2, 1, 21)
	peer.clock = a.Date.Start(0) + 1
	if got := peer.steps(a.Hold(1))[0].Status; !transit.Held(got) {
		t.Fatalf("the hold: %s", got.Name(journal.KindTransfers))
	}
	peer.clock = (a.Date + 1).Start(0)
	peer.must(journal.KindDayClose, journal.Bytes([]journal.DayClose{{ID: money.From(1), Date: a.Date}}))
	for i, c := range []struct {
		dated bool
		want  transit.Confirmation
	}{{true, transit.SendPlain}, {false, transit.Done}, {true, transit.Done}, {false, transit.Done}} {
		status := peer.steps(a.Confirm(a.Asked.Amount, c.dated))[0].Status
		if got := transit.Confirmed(status, a.Asked.Amount); got != c.want {
			t.Errorf("confirmation %d: %s, which is %d, want %d", i, status.Name(journal.KindTransfers), got, c.want)
		}
	}
	if got, _ := peer.state.Account(money.From(21)); got.CreditsPosted != a.Asked.Amount {
		t.Errorf("account 21 has %v", got.CreditsPosted)
	}
}

// TestConfirmationsThatContradict: a post of a hold that is not there is nothing to go on from.
func TestConfirmationsThatContradict(t *testing.T) {
	for status, posted := range map[journal.Status]uint64{
		journal.TransferPendingTransferNotFound: 1, journal.TransferPendingTransferAlreadyVoided: 1, journal.TransferExistsWithDifferentAmount: 1,
		journal.TransferPendingTransferAlreadyPosted: 0, journal.TransferPendingTransferNotPending: 1,
	} {
		if got := transit.Confirmed(status, money.From(posted)); got != transit.Wrong {
			t.Errorf("%s with %d: %d", status.Name(journal.KindTransfers), posted, got)
		}
	}
}

// TestNothingIsClosedUnderAHold: the cell asks before it takes a closing transfer in.
func TestNothingIsClosedUnderAHold(t *testing.T) {
	a, home, peer := anAttempt(), newSide(1, 2, 11, 12), newSide(2, 1, 21, 22)
	a.Date = 0
	closes := func(s *side, debit, credit uint64) bool {
		t := journal.Transfer{Debit: money.From(debit), Credit: money.From(credit), Flags: journal.TransferPending | journal.TransferClosingDebit}
		alone := s.state.ClosesHeld(journal.KindTransfers, journal.Bytes([]journal.Transfer{{}, t}))
		t.Debit, t.Credit, t.Flags = t.Credit, t.Debit, journal.TransferPending|journal.TransferClosingCredit
		if leg := s.state.ClosesHeld(journal.KindTransaction, journal.Bytes([]journal.Transfer{{}, t})); leg != alone {
			panic("a leg of a transaction is told otherwise")
		}
		return alone
	}
	check := func(when string, want bool) {
		t.Helper()
		if got := [2]bool{closes(home, 11, 12), closes(peer, 21, 22)}; got != [2]bool{want, want} {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
		if closes(home, 12, 11) || closes(peer, 22, 21) {
			t.Errorf("%s: another account may not be closed", when)
		}
	}
	check("before", false)
	home.steps(a.Reserved())
	peer.steps(a.Hold(1))
	check("reserved and held", true)
	if err := errors.Join(home.replay(true), peer.replay(true)); err != nil {
		t.Fatal(err)
	}
	check("after a restart", true)
	home.steps(a.Commit()...)
	if closes(home, 11, 12) || !closes(peer, 21, 22) {
		t.Error("decided: home may close its account, the peer may not")
	}
	peer.steps(a.Confirm(money.From(7), true))
	check("confirmed", false)
}
