package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// teller is a client of a node of its own, with the accounts 1 and 2.
func teller(t *testing.T) *client.Client {
	t.Helper()
	address, token := bank(t)
	return dial(t, address, client.WithToken(func(context.Context) (string, error) { return token, nil }))
}

func yesterday() string { return time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly) }

func everyKind() client.Metadata {
	return client.Metadata{
		"order": client.Text("A-17"), "parts": client.Int(-3), "gift": client.Bool(true), "tax": client.AmountValue(money.From(19)),
		"shipped": client.Time(time.Unix(1_700_000_000, 5)), "digest": client.Data([]byte{0, 255}), "name": client.Personal("customer-7", client.Text("Zhao")),
	}
}

func TestMetadataAndBookingDates(t *testing.T) {
	c, ctx := teller(t), t.Context()
	payment := entry(500)
	payment.BookingDate, payment.Metadata = yesterday(), everyKind()
	if _, err := c.Transfer(ctx, payment); err != nil {
		t.Fatal(err)
	}
	found, err := c.LookupTransfers(ctx, payment.ID)
	if err != nil || len(found) != 1 || found[0].GetBookingDate() != payment.BookingDate || len(found[0].GetMetadata()) != len(payment.Metadata) {
		t.Fatalf("%v, %v", found, err)
	}
	for key, want := range payment.Metadata {
		if got := found[0].GetMetadata()[key]; !proto.Equal(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if again, err := c.Transfer(ctx, payment); err != nil || !again.Existed {
		t.Errorf("again: %+v, %v", again, err)
	}
	other := payment
	other.BookingDate = ""
	if _, err := c.Transfer(ctx, other); !errors.Is(err, client.ErrExistsWithOtherDate) {
		t.Errorf("another booking date: %v", err)
	}
	other = payment
	other.Metadata = client.Metadata{"order": client.Text("A-18")}
	if _, err := c.Transfer(ctx, other); !errors.Is(err, client.ErrExistsWithOtherData) {
		t.Errorf("other metadata: %v", err)
	}
	other.BookingDate = "2026-13-01"
	if _, err := c.Transfer(ctx, other); !errors.Is(err, client.ErrEntry) {
		t.Errorf("a day that is none: %v", err)
	}
}

// TestAChainSentAgainHeedsWhatIsAttached: the ledger says no more of a chain than
// that its first entry exists, so the client has to look.
func TestAChainSentAgainHeedsWhatIsAttached(t *testing.T) {
	c, ctx := teller(t), t.Context()
	chain := []client.Entry{entry(600), entry(601)}
	chain[1].BookingDate, chain[1].Metadata = yesterday(), everyKind()
	for i := range 2 {
		results, err := c.Chain(ctx, chain...)
		if err != nil || results[1].Existed != (i == 1) {
			t.Fatalf("%+v, %v", results, err)
		}
	}
	for name, change := range map[string]func(e *client.Entry){
		"no date":       func(e *client.Entry) { e.BookingDate = "" },
		"no metadata":   func(e *client.Entry) { e.Metadata = nil },
		"another value": func(e *client.Entry) { e.Metadata = everyKind(); e.Metadata["parts"] = client.Int(4) },
		"another key": func(e *client.Entry) {
			e.Metadata = everyKind()
			delete(e.Metadata, "gift")
			e.Metadata["x"] = client.Bool(true)
		},
		"another person": func(e *client.Entry) {
			e.Metadata = everyKind()
			e.Metadata["name"] = client.Personal("customer-8", client.Text("Zhao"))
		},
	} {
		other := []client.Entry{chain[0], chain[1]}
		change(&other[1])
		if _, err := c.Chain(ctx, other...); !errors.Is(err, client.ErrLinkedEventFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	erased, err := c.Erase(ctx, &ledgerv1.EraseRequest{Subject: "customer-7", Reason: "asked for"})
	if err != nil || erased.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
		t.Fatalf("%v, %v", erased, err)
	}
	if s, err := c.Subject(ctx, "customer-7"); err != nil || s.GetState() != ledgerv1.SubjectState_SUBJECT_STATE_ERASED {
		t.Errorf("%v, %v", s, err)
	}
	fresh := entry(602)
	fresh.Metadata = everyKind()
	if _, err := c.Transfer(ctx, fresh); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_SUBJECT_ERASED {
		t.Errorf("personal data of an erased subject: %v", err)
	}
}

func TestAddressesAndTheirMetadata(t *testing.T) {
	c, ctx := teller(t), t.Context()
	cny := money.Asset{Code: "CNY", Scale: 2}
	opening := client.Opening{ID: money.From(70), Asset: cny, Code: 2, Address: "merchant:1001:settlement", Metadata: client.Metadata{"tier": client.Int(1)}}
	for i := range 2 {
		if r, err := c.Open(ctx, opening); err != nil || r.Existed != (i == 1) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err := c.Open(ctx, client.Opening{Asset: cny, Code: 2, Address: opening.Address}); !errors.As(err, new(client.AccountStatus)) {
		t.Errorf("an address that is taken: %v", err)
	}
	found, err := c.LookupAddresses(ctx, "nobody", opening.Address)
	if err != nil || len(found) != 1 || found[0].GetId() != "70" || found[0].GetMetadata()["tier"].GetInteger() != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	made, err := c.SetMetadata(ctx, money.U128{}, money.From(70), client.Metadata{"tier": client.Int(2)})
	if err != nil || made.ID.IsZero() || made.Existed {
		t.Fatalf("%+v, %v", made, err)
	}
	if again, err := c.SetMetadata(ctx, made.ID, money.From(70), client.Metadata{"tier": client.Int(2)}); err != nil || !again.Existed {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := c.SetMetadata(ctx, money.U128{}, money.From(999), nil); !errors.Is(err, client.ErrAccountNotFound) {
		t.Errorf("metadata of no account: %v", err)
	}
	if found, err = c.LookupAddresses(ctx, opening.Address); err != nil || found[0].GetMetadata()["tier"].GetInteger() != 2 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestTransactions(t *testing.T) {
	c, ctx := teller(t), t.Context()
	leg := func(debit, credit uint64) client.Entry {
		e := entry(0)
		e.Debit, e.Credit = money.From(debit), money.From(credit)
		return e
	}
	if _, err := c.Open(ctx, client.Opening{ID: money.From(3), Asset: money.Asset{Code: "CNY", Scale: 2}, Code: 1}); err != nil {
		t.Fatal(err)
	}
	sum := money.From(10)
	sale := client.Transaction{
		ID: money.From(700), Legs: []client.Entry{leg(1, 2), leg(2, 3)}, Code: 9, BookingDate: yesterday(), ControlSum: &sum,
		Metadata: client.Metadata{"order": client.Text("A-17")},
	}
	first, err := c.CreateTransaction(ctx, sale)
	if err != nil || first.Existed || len(first.Legs) != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := c.CreateTransaction(ctx, sale)
	if err != nil || !again.Existed || again.Timestamp != first.Timestamp || len(again.Legs) != 2 || again.Legs[1] != first.Legs[1] {
		t.Errorf("again: %+v, %v", again, err)
	}
	got, err := c.GetTransaction(ctx, sale.ID)
	if err != nil || len(got.GetTransaction().GetLegs()) != 2 || got.GetTransaction().GetLegs()[1].GetBookingDate() != sale.BookingDate || got.GetTransaction().GetMetadata()["order"].GetText() != "A-17" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := c.GetTransaction(ctx, money.From(701)); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND {
		t.Errorf("a transaction that is not there: %v", err)
	}
	other := sale
	other.Legs = []client.Entry{leg(1, 2), leg(1, 3)}
	if _, err := c.CreateTransaction(ctx, other); !errors.Is(err, client.ErrExistsWithOtherLegs) {
		t.Errorf("other legs: %v", err)
	}
	var refused *client.StatusError
	bad := client.Transaction{Legs: []client.Entry{leg(1, 2), leg(2, 99)}}
	if r, err := c.CreateTransaction(ctx, bad); !errors.As(err, &refused) || refused.Index != 1 || refused.ID != r.Legs[1] || !errors.Is(err, client.ErrCreditAccountNotFound) {
		t.Errorf("a leg to nowhere: %v", err)
	}
	cycle := client.Transaction{Legs: []client.Entry{leg(1, 2), leg(2, 1)}}
	if r, err := c.CreateTransaction(ctx, cycle); !errors.Is(err, client.ErrLegsAreCyclic) || !errors.As(err, &refused) || refused.Index != -1 || refused.ID != r.ID {
		t.Errorf("a cycle: %v", err)
	}
	cycle.AllowCycles = true
	if _, err := c.CreateTransaction(ctx, cycle); err != nil {
		t.Errorf("a cycle that is allowed: %v", err)
	}
	wrong := money.From(11)
	if _, err := c.CreateTransaction(ctx, client.Transaction{Legs: sale.Legs, ControlSum: &wrong}); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_UNBALANCED || errors.As(err, new(*client.UnknownError)) {
		t.Errorf("a sum that is wrong: %v", err)
	}
	named := sale
	named.Legs = []client.Entry{entry(5)}
	for _, bad := range []client.Transaction{{}, {Legs: make([]client.Entry, 8190)}, named, {Legs: sale.Legs, BookingDate: "today"}} {
		if _, err := c.CreateTransaction(ctx, bad); !errors.Is(err, client.ErrEntry) {
			t.Errorf("%d legs: %v", len(bad.Legs), err)
		}
	}
}
