package drill_test

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// enter adds up all that is recorded, anew, in the order of time.
func (b *books) enter() {
	b.order = b.order[:0]
	for id := range b.recorded {
		b.order = append(b.order, id)
	}
	slices.SortFunc(b.order, func(x, y string) int { return cmp.Compare(b.recorded[x].timestamp, b.recorded[y].timestamp) })
	for _, a := range b.accounts {
		*a = balance{}
	}
	clear(b.open)
	for _, id := range b.order {
		r := b.recorded[id]
		amount, _ := strconv.ParseUint(r.GetAmount(), 10, 64)
		r.amount = amount
		switch {
		case slices.Contains(r.GetFlags(), pending):
			r.rest = amount
			b.open[id] = r
			b.accounts[r.GetDebitAccountId()].debitsPending += amount
			b.accounts[r.GetCreditAccountId()].creditsPending += amount
		case r.GetPendingId() != "":
			b.resolve(r)
		default:
			b.accounts[r.GetDebitAccountId()].debitsPosted += amount
			b.accounts[r.GetCreditAccountId()].creditsPosted += amount
		}
	}
}

func (b *books) resolve(r *record) {
	p := b.open[r.GetPendingId()]
	from, to := b.accounts[p.GetDebitAccountId()], b.accounts[p.GetCreditAccountId()]
	released := p.rest
	if slices.Contains(r.GetFlags(), void) {
		r.amount = p.rest
	} else {
		if r.Amount == nil {
			r.amount = p.rest
		}
		from.debitsPosted += r.amount
		to.creditsPosted += r.amount
		if slices.Contains(r.GetFlags(), remainder) {
			released = r.amount
		}
	}
	p.rest -= released
	from.debitsPending -= released
	to.creditsPending -= released
}

// checkTransfers holds every transfer against the books, and those that were refused.
func (b *books) checkTransfers(t *testing.T, c *client.Client) {
	t.Helper()
	for ids := range slices.Chunk(b.order, client.MaxEvents) {
		response, err := c.Ledger().LookupTransfers(t.Context(), &ledgerv1.LookupTransfersRequest{Ids: ids})
		if err != nil {
			t.Fatal(err)
		}
		if got := response.GetTransfers(); len(got) != len(ids) {
			t.Fatalf("%d of %d transfers are there", len(got), len(ids))
		}
		for i, x := range response.GetTransfers() {
			b.compare(t, b.recorded[ids[i]], x)
		}
	}
	for ids := range slices.Chunk(b.refused, client.MaxEvents) {
		response, err := c.Ledger().LookupTransfers(t.Context(), &ledgerv1.LookupTransfersRequest{Ids: ids})
		if err != nil {
			t.Fatal(err)
		}
		if got := response.GetTransfers(); len(got) != 0 {
			t.Fatalf("transfer %v was refused, but is there", got[0])
		}
	}
}

// checkCounts tells whether anything is there twice, or that nobody sent.
func (b *books) checkCounts(t *testing.T, c *client.Client) {
	t.Helper()
	status, err := c.Admin().Status(t.Context(), &ledgerv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if status.GetTransfers() != uint64(len(b.recorded)) || status.GetAccounts() != accounts {
		t.Fatalf("the ledger counts %d transfers and %d accounts, want %d and %d", status.GetTransfers(), status.GetAccounts(), len(b.recorded), accounts)
	}
}

func (b *books) compare(t *testing.T, want *record, got *client.Transfer) {
	t.Helper()
	debit, credit := want.GetDebitAccountId(), want.GetCreditAccountId()
	if p := b.open[want.GetPendingId()]; p != nil {
		debit, credit = p.GetDebitAccountId(), p.GetCreditAccountId()
	}
	switch {
	case got.GetId() != want.GetId(), got.GetTimestamp() != want.timestamp, got.GetAmount() != strconv.FormatUint(want.amount, 10),
		got.GetDebitAccountId() != debit, got.GetCreditAccountId() != credit, got.GetAsset() != asset,
		got.GetUserData_64() != want.GetUserData_64() && want.GetPendingId() == "",
		want.GetPendingId() != "" && got.GetPendingId() != want.GetPendingId(),
		!slices.Equal(sorted(got.GetFlags()), sorted(want.GetFlags())):
		t.Fatalf("transfer %v\nis recorded as %v", want, got)
	}
}

func sorted(flags []ledgerv1.TransferFlag) []ledgerv1.TransferFlag {
	return slices.Sorted(slices.Values(flags))
}

// checkAccounts holds every balance against the sum of the transfers.
func (b *books) checkAccounts(t *testing.T, c *client.Client) {
	t.Helper()
	var ids []string
	for i := range accounts {
		ids = append(ids, strconv.Itoa(i+1))
	}
	response, err := c.Ledger().LookupAccounts(t.Context(), &ledgerv1.LookupAccountsRequest{Ids: ids})
	if err != nil {
		t.Fatal(err)
	}
	if len(response.GetAccounts()) != accounts {
		t.Fatalf("%d of %d accounts are there", len(response.GetAccounts()), accounts)
	}
	for _, a := range response.GetAccounts() {
		number := func(text string) uint64 {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		got := balance{number(a.GetDebitsPending()), number(a.GetDebitsPosted()), number(a.GetCreditsPending()), number(a.GetCreditsPosted())}
		if want := *b.accounts[a.GetId()]; got != want {
			t.Fatalf("account %s has %+v, its transfers add up to %+v", a.GetId(), got, want)
		}
	}
}
