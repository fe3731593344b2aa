package client_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func TestADayIsClosedAndVerifies(t *testing.T) {
	c, ctx := teller(t), t.Context()
	day := yesterday()
	late := entry(800)
	late.BookingDate = day
	if _, err := c.Transfer(ctx, late); err != nil {
		t.Fatal(err)
	}
	closing := &ledgerv1.CloseDayRequest{Date: day, Reason: "end of day"}
	closed, err := c.CloseDay(ctx, closing)
	if err != nil || closed.ID.IsZero() || closed.Existed || closing.GetId() != "" {
		t.Fatalf("%+v, %v", closed, err)
	}
	closing.Id = closed.ID.String()
	if again, err := c.CloseDay(ctx, closing); err != nil || !again.Existed {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := c.CloseDay(ctx, &ledgerv1.CloseDayRequest{Date: day}); !errors.Is(err, client.ErrDayAlreadyClosed) {
		t.Errorf("under another id: %v", err)
	}
	late.ID = money.From(801)
	if _, err := c.Transfer(ctx, late); !errors.Is(err, client.ErrBookingDayClosed) {
		t.Errorf("booked into a closed day: %v", err)
	}
	list, err := c.Closes(ctx)
	if err != nil || list.GetClosedThrough() != day || len(list.GetCloses()) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	r, err := c.GetClose(ctx, closed.ID)
	if err != nil || len(r.GetRows()) != 1 || r.GetRows()[0].GetDebits() != "5" {
		t.Fatalf("%v, %v", r, err)
	}
	if err := client.VerifyClose(r, r.GetPublicKey()); err != nil {
		t.Error(err)
	}
	verifyAltered(t, r)
	now, err := c.TrialBalance(ctx, day, day)
	if err != nil || len(now.GetRows()) != 1 || now.GetRows()[0].GetClosingCredits() != "5" {
		t.Errorf("%v, %v", now, err)
	}
	if _, err := c.GetClose(ctx, money.From(1)); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND {
		t.Errorf("a close that is not there: %v", err)
	}
}

// verifyAltered alters every part of a close in turn: none may verify.
func verifyAltered(t *testing.T, good *ledgerv1.GetCloseResponse) {
	t.Helper()
	for name, alter := range map[string]func(r *ledgerv1.GetCloseResponse) []byte{
		"row":       func(r *ledgerv1.GetCloseResponse) []byte { r.Rows[0].Debits = "6"; return r.GetPublicKey() },
		"no rows":   func(r *ledgerv1.GetCloseResponse) []byte { r.Rows = nil; return r.GetPublicKey() },
		"day":       func(r *ledgerv1.GetCloseResponse) []byte { r.Close.Date = "2020-01-01"; return r.GetPublicKey() },
		"block":     func(r *ledgerv1.GetCloseResponse) []byte { r.Close.Position.Seq++; return r.GetPublicKey() },
		"statement": func(r *ledgerv1.GetCloseResponse) []byte { r.Statement[0] ^= 1; return r.GetPublicKey() },
		"signature": func(r *ledgerv1.GetCloseResponse) []byte { r.Signature[0] ^= 1; return r.GetPublicKey() },
		"key":       func(r *ledgerv1.GetCloseResponse) []byte { return make([]byte, 32) },
		"no key":    func(*ledgerv1.GetCloseResponse) []byte { return nil },
	} {
		r := proto.CloneOf(good)
		if key := alter(r); !errors.Is(client.VerifyClose(r, key), client.ErrClose) {
			t.Errorf("%s was altered, and it verifies", name)
		}
	}
}

func TestProposals(t *testing.T) {
	c, ctx := teller(t), t.Context()
	strict, err := c.SetPolicy(ctx, &ledgerv1.SetPolicyRequest{UnfreezeApproved: true, UtcOffsetMinutes: 480, Reason: "China"})
	if err != nil || strict.ID.IsZero() {
		t.Fatalf("%+v, %v", strict, err)
	}
	if p, err := c.Policy(ctx); err != nil || p.GetPolicy().GetUtcOffsetMinutes() != 480 || p.GetPolicy().GetId() != strict.ID.String() {
		t.Errorf("%v, %v", p, err)
	}
	loose := &ledgerv1.SetPolicyRequest{Id: "901", UtcOffsetMinutes: 480}
	if _, err := c.SetPolicy(ctx, loose); !errors.Is(err, client.ErrProposalRequired) {
		t.Errorf("looser rules at once: %v", err)
	}
	made, err := c.Propose(ctx, &ledgerv1.ProposeRequest{Reason: "too strict", What: &ledgerv1.ProposeRequest_Policy{Policy: loose}})
	if err != nil {
		t.Fatal(err)
	}
	open, err := c.ListProposals(ctx, false)
	if err != nil || len(open) != 1 || open[0].GetRequest().GetId() != made.ID.String() || open[0].GetKind() != "policy" {
		t.Errorf("%v, %v", open, err)
	}
	decide := &ledgerv1.DecideRequest{ProposalId: made.ID.String(), Verdict: ledgerv1.Verdict_VERDICT_APPROVE}
	if _, err := c.Decide(ctx, decide); !errors.Is(err, client.ErrSecondPersonRequired) {
		t.Errorf("approved by who proposed: %v", err)
	}
	decide.Verdict = ledgerv1.Verdict_VERDICT_REJECT
	if r, err := c.Decide(ctx, decide); err != nil || r.GetTimestamp() == 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.Decide(ctx, decide); !errors.Is(err, client.ErrProposalAlreadyDecided) {
		t.Errorf("decided twice: %v", err)
	}
	for _, all := range []bool{false, true} {
		if list, err := c.ListProposals(ctx, all); err != nil || (len(list) == 1) != all {
			t.Errorf("all %v: %v, %v", all, list, err)
		}
	}
	if _, err := c.Decide(ctx, &ledgerv1.DecideRequest{Id: "x"}); !errors.Is(err, client.ErrEntry) {
		t.Errorf("an id that is none: %v", err)
	}
}
