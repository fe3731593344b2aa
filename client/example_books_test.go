package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// A sale with its fee and its tax, under one id: recorded as a whole or not at all.
func ExampleClient_CreateTransaction() {
	ledger, stop := exampleLedger()
	defer stop()
	sum := yuan("41.20").Minor
	sale := client.Transaction{
		ID: money.From(7000), Code: 1, ControlSum: &sum,
		Metadata: client.Metadata{"order": client.Text("A-17"), "items": client.Int(3)},
		Legs: []client.Entry{
			{Debit: alice, Credit: shop, Amount: yuan("40.00"), Code: 10},
			{Debit: shop, Credit: fees, Amount: yuan("1.20"), Code: 11},
		},
	}
	for range 2 {
		result, err := ledger.CreateTransaction(context.Background(), sale)
		check(err)
		fmt.Println(len(result.Legs), "legs, recorded before:", result.Existed)
	}
	fmt.Println(balance(ledger, shop), "and", balance(ledger, fees))
	// Output:
	// 2 legs, recorded before: false
	// 2 legs, recorded before: true
	// 38.80 CNY and 1.20 CNY
}

// Accounts are found by the names that people gave them.
func ExampleClient_LookupAddresses() {
	ledger, stop := exampleLedger()
	defer stop()
	ctx := context.Background()
	_, err := ledger.Open(ctx, client.Opening{
		Asset: money.Asset{Code: "CNY", Scale: 2}, Code: 3, Address: "merchant:1001:settlement",
		Metadata: client.Metadata{"contact": client.Personal("merchant-1001", client.Text("Zhao Min"))},
	})
	check(err)
	found, err := ledger.LookupAddresses(ctx, "merchant:1001:settlement", "merchant:1002:settlement")
	check(err)
	for _, a := range found {
		fmt.Println(a.GetAddress(), a.GetAsset(), a.GetMetadata()["contact"].GetPersonal().GetValue().GetText())
	}
	// Output: merchant:1001:settlement CNY/2 Zhao Min
}

// The end of a day: close it, and keep its signed trial balance.
func ExampleClient_CloseDay() {
	ledger, stop := exampleLedger()
	defer stop()
	ctx := context.Background()
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	_, err := ledger.Transfer(ctx, client.Entry{Debit: alice, Credit: shop, Amount: yuan("12.90"), Code: 10, BookingDate: day})
	check(err)

	closed, err := ledger.CloseDay(ctx, &ledgerv1.CloseDayRequest{Date: day, Reason: "end of day"})
	check(err)
	signed, err := ledger.GetClose(ctx, closed.ID)
	check(err)
	check(client.VerifyClose(signed, signed.GetPublicKey())) // a program compares with the key it keeps
	for _, row := range signed.GetRows() {
		fmt.Println(row.GetAsset(), "code", row.GetCode(), "debits", row.GetDebits(), "credits", row.GetCredits())
	}
	_, err = ledger.Transfer(ctx, client.Entry{Debit: alice, Credit: shop, Amount: yuan("1"), Code: 10, BookingDate: day})
	fmt.Println(err != nil)
	// Output:
	// CNY/2 code 2 debits 1290 credits 0
	// CNY/2 code 3 debits 0 credits 1290
	// true
}

// Everything that happened, from the first event on. A consumer keeps ResumeAfter
// with what it did, and starts after it next time.
func ExampleClient_Subscribe() {
	ledger, stop := exampleLedger()
	defer stop()
	request := &ledgerv1.SubscribeRequest{
		Start:  &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true},
		Filter: &ledgerv1.EventFilter{Kinds: []ledgerv1.EventKind{ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED}},
	}
	for run, err := range ledger.Subscribe(context.Background(), request) {
		check(err)
		for _, e := range run.GetEvents() {
			fmt.Println(e.GetKindName(), e.GetTransfer().GetAmount(), e.GetTransfer().GetAsset())
			return // a consumer goes on
		}
	}
	// Output: transfer_created 10000 CNY/2
}
