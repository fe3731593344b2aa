package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The accounts of the examples.
var (
	bankAccount = money.From(100)
	alice       = money.From(101)
	shop        = money.From(102)
	fees        = money.From(103)
)

// exampleLedger starts a server in this process, opens the accounts and gives
// Alice 100 yuan. Programs dial a server that runs already.
func exampleLedger() (ledger *client.Client, stop func()) {
	dir, err := os.MkdirTemp("", "sterling-example-")
	check(err)
	address, token, stopNode, err := startNode(dir)
	check(err)
	ledger, err = client.Dial(address, token)
	check(err)
	cny := money.Asset{Code: "CNY", Scale: 2}
	ctx := context.Background()
	for _, a := range []client.Opening{
		{ID: bankAccount, Asset: cny, Code: 1},
		{ID: alice, Asset: cny, Code: 2, Flags: []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS}},
		{ID: shop, Asset: cny, Code: 3},
		{ID: fees, Asset: cny, Code: 4},
	} {
		_, err = ledger.Open(ctx, a)
		check(err)
	}
	_, err = ledger.Transfer(ctx, client.Entry{Debit: bankAccount, Credit: alice, Amount: yuan("100"), Code: 1})
	check(err)
	return ledger, func() {
		check(errors.Join(ledger.Close(), stopNode(), os.RemoveAll(dir)))
	}
}

func yuan(decimal string) client.Amount {
	a, err := client.ParseAmount(decimal, "CNY/2")
	check(err)
	return a
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func balance(ledger *client.Client, id money.U128) string {
	found, err := ledger.LookupAccounts(context.Background(), id)
	check(err)
	credits, err := money.Parse(found[0].GetCreditsPosted())
	check(err)
	debits, err := money.Parse(found[0].GetDebitsPosted())
	check(err)
	net, _ := credits.Sub(debits)
	return client.Amount{Minor: net, Asset: money.Asset{Code: "CNY", Scale: 2}}.String()
}

// A payment: reserve now, and settle when the goods leave. The id was kept with
// the order, so that a restart of the program can't pay twice.
func Example() {
	ledger, stop := exampleLedger()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	order, err := ledger.NewID()
	check(err)
	_, err = ledger.Transfer(ctx, client.Entry{
		ID: order, Debit: alice, Credit: shop, Amount: yuan("12.90"), Code: 10,
		Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING}, Timeout: 15 * time.Minute,
	})
	check(err)
	fmt.Println("reserved; the shop has", balance(ledger, shop))

	_, err = ledger.Transfer(ctx, client.Post(order))
	check(err)
	fmt.Println("settled; the shop has", balance(ledger, shop))
	// Output:
	// reserved; the shop has 0.00 CNY
	// settled; the shop has 12.90 CNY
}

// Many goroutines call at once; their transfers share requests to the server.
func ExampleClient_Transfer() {
	ledger, stop := exampleLedger()
	defer stop()
	var customers sync.WaitGroup
	for range 1000 {
		customers.Go(func() {
			_, err := ledger.Transfer(context.Background(), client.Entry{Debit: bankAccount, Credit: shop, Amount: yuan("0.01"), Code: 10})
			check(err)
		})
	}
	customers.Wait()
	fmt.Println(balance(ledger, shop))
	// Output: 10.00 CNY
}

// A sale and its fee are recorded together or not at all. Sent again, for instance
// after a lost answer, the chain is recognised.
func ExampleClient_Chain() {
	ledger, stop := exampleLedger()
	defer stop()
	sale := []client.Entry{
		{ID: money.From(7001), Debit: alice, Credit: shop, Amount: yuan("20.00"), Code: 10},
		{ID: money.From(7002), Debit: shop, Credit: fees, Amount: yuan("0.12"), Code: 11},
	}
	for range 2 {
		results, err := ledger.Chain(context.Background(), sale...)
		check(err)
		fmt.Println("recorded before:", results[0].Existed, results[1].Existed)
	}
	fmt.Println(balance(ledger, shop), "and", balance(ledger, fees))
	// Output:
	// recorded before: false false
	// recorded before: true true
	// 19.88 CNY and 0.12 CNY
}

// What went wrong decides what to do next.
func ExampleStatusError() {
	ledger, stop := exampleLedger()
	defer stop()
	_, err := ledger.Transfer(context.Background(), client.Entry{Debit: alice, Credit: shop, Amount: yuan("100.01"), Code: 10})
	var unknown *client.UnknownError
	switch {
	case err == nil:
		fmt.Println("paid")
	case errors.Is(err, client.ErrExceedsCredits):
		fmt.Println("Alice has not that much")
	case errors.As(err, &unknown):
		fmt.Println("perhaps paid: call again with the ids", unknown.IDs)
	default:
		fmt.Println("not paid:", err)
	}
	// Output: Alice has not that much
}

// Callers that have a batch already send it as it is.
func ExampleClient_CreateTransfers() {
	ledger, stop := exampleLedger()
	defer stop()
	response, err := ledger.CreateTransfers(context.Background(),
		&client.Transfer{Id: "8001", DebitAccountId: "101", CreditAccountId: "102", Amount: new("500"), Asset: "CNY/2", Code: 10},
		&client.Transfer{Id: "8002", DebitAccountId: "101", CreditAccountId: "999", Amount: new("500"), Asset: "CNY/2", Code: 10},
	)
	check(err)
	for _, r := range response.GetResults() {
		fmt.Println(r.GetStatus())
	}
	// Output:
	// CREATE_TRANSFER_STATUS_CREATED
	// CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND
}
