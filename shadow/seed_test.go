package shadow_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/shadow"
)

// transfer makes one transfer, by one who knows that it will do.
func (s side) transfer(x *client.Transfer) {
	s.t.Helper()
	x.Asset, x.Code = "CNY/2", 1
	r, err := s.CreateTransfers(s.t.Context(), x)
	if err != nil || r.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
		s.t.Fatalf("%v, %v", r, err)
	}
}

// TestASeedHasTheAccountsAndTheirBalances: limits and all, on several pages; and it may be repeated while the load runs.
func TestASeedHasTheAccountsAndTheirBalances(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	noDebt := []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS, ledgerv1.AccountFlag_ACCOUNT_FLAG_HISTORY}
	accounts := []*client.Account{
		{Id: "1", Asset: "CNY/2", Code: 7},
		{Id: "2", Asset: "CNY/2", Code: 8, Flags: noDebt, Address: "customer:2", UserData_128: "9", UserData_64: 8, UserData_32: 7, Metadata: client.Metadata{"name": {Value: &ledgerv1.MetadataValue_Text{Text: "a person"}}}},
		{Id: "3", Asset: "CNY/2", Code: 8},
		{Id: "4", Asset: "USD/2", Code: 8},
	}
	for i := range 2100 { // more than a page
		accounts = append(accounts, &client.Account{Id: fmt.Sprint(1000 + i), Asset: "CNY/2", Code: 1})
	}
	if _, err := r.live.CreateAccounts(t.Context(), accounts...); err != nil {
		t.Fatal(err)
	}
	r.live.transfer(&client.Transfer{Id: "10", DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("500")})
	r.live.transfer(&client.Transfer{Id: "11", DebitAccountId: "2", CreditAccountId: "1000", Amount: proto.String("200")})
	r.live.transfer(&client.Transfer{Id: "12", DebitAccountId: "2", CreditAccountId: "1", Amount: proto.String("50"), Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING}})
	r.live.transfer(&client.Transfer{
		Id: "13", DebitAccountId: "3", CreditAccountId: "1", Amount: proto.String("0"),
		Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING, ledgerv1.TransferFlag_TRANSFER_FLAG_CLOSING_DEBIT},
	})
	got, err := shadow.Seed(t.Context(), r.live.Client, r.shadow.Client)
	if want := (shadow.Seeded{Accounts: 2103, Closed: 1, Balances: 3}); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	for id, want := range map[uint64]string{1: "-500", 2: "300", 4: "0", 1000: "200", 1001: "0"} {
		if a := r.account(t, id); balanceOf(a) != want || a.GetDebitsPending() != "0" {
			t.Errorf("account %d: %v, want %s", id, a, want)
		}
	}
	a := r.account(t, 2)
	if a.GetAddress() != "customer:2" || a.GetUserData_128() != "9" || a.GetUserData_64() != 8 || a.GetUserData_32() != 7 || a.GetCode() != 8 || len(a.GetFlags()) != 2 || len(a.GetMetadata()) != 0 {
		t.Errorf("what an account of the shadow has: %v", a)
	}
	r.shadow.transfer(&client.Transfer{Id: "20", DebitAccountId: "2", CreditAccountId: "1", Amount: proto.String("300")})
	r.live.transfer(&client.Transfer{Id: "14", DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("1000")})
	if _, err := r.live.CreateAccounts(t.Context(), &client.Account{Id: "5", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	got, err = shadow.Seed(t.Context(), r.live.Client, r.shadow.Client)
	if want := (shadow.Seeded{Accounts: 1, Existed: 2103, Closed: 1}); err != nil || got != want {
		t.Errorf("again: %+v, %v, want %+v", got, err, want)
	}
	if a := r.account(t, 2); balanceOf(a) != "0" {
		t.Errorf("account 2 after a second seed: %v", a)
	}
	if err := r.compare(t).Proven(); err != nil {
		t.Error(err)
	}
	for name, pair := range map[string][2]side{"into the live ledger": {r.live, r.live}, "from the shadow": {r.shadow, r.shadow}, "turned round": {r.shadow, r.live}} {
		if _, err := shadow.Seed(t.Context(), pair[0].Client, pair[1].Client); !errors.Is(err, shadow.ErrColor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// account is an account of the shadow.
func (r *rig) account(t *testing.T, id uint64) *client.Account {
	t.Helper()
	list, err := r.shadow.LookupAccounts(t.Context(), money.From(id))
	if err != nil || len(list) != 1 {
		t.Fatalf("account %d: %v, %v", id, list, err)
	}
	return list[0]
}

// balanceOf is credits less debits.
func balanceOf(a *client.Account) string {
	debits, _ := money.Parse(a.GetDebitsPosted())
	credits, _ := money.Parse(a.GetCreditsPosted())
	if d, negative := credits.Sub(debits); !negative {
		return d.String()
	}
	d, _ := debits.Sub(credits)
	return "-" + d.String()
}
