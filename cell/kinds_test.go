package cell_test

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// The tests of this file are about what version 2 of the format brought: attachments, transactions, books, decisions.

func (b *bank) send(kind journal.Kind, actor byte, events []byte, attached ...journal.Attachment) []journal.Result {
	b.t.Helper()
	r := &cell.Request{
		Kind: kind, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize),
		Actor: journal.Actor{actor}, Attachments: attached,
	}
	if err := b.Do(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	return r.Results
}

func note(event int, texts ...string) journal.Attachment {
	var d journal.Details
	for i, s := range texts {
		d.Metadata = append(d.Metadata, journal.Text(string(rune('a'+i)), s))
	}
	return journal.Attachment{Event: event, Data: d.Append(nil)}
}

// transaction makes the events of a transaction, with the legs' ids and the head's digest.
func transaction(id uint64, legs []journal.Transfer, ofLegs ...journal.Attachment) []byte {
	head := journal.Transfer{ID: money.From(id), Flags: journal.TransferHead, Timeout: uint32(len(legs)), Code: 1}
	for i := range legs {
		legs[i].ID = journal.LegID(head.ID, uint32(i))
	}
	head.Debit, head.Credit = journal.LegsDigest(legs, ofLegs)
	return journal.Bytes(append([]journal.Transfer{head}, legs...))
}

// TestExistsOfWhatOnlyTheLogKnows: the block of a transfer with metadata and with an outcome of its own (here a post)
// was released long ago; both are read back from the log, from between the other parts of the block.
func TestExistsOfWhatOnlyTheLogKnows(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	pending := transfer(10, 1, 2, 100)
	pending.Flags = journal.TransferPending
	post := journal.Transfer{ID: money.From(11), PendingID: money.From(10), Amount: money.From(40), Flags: journal.TransferPost | journal.TransferAttached}
	plain := transfer(12, 1, 2, 5)
	plain.Flags = journal.TransferAttached
	failed := transfer(13, 1, 99, 5)
	list := []journal.Transfer{pending, post, plain, failed}
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes(list), note(1, "the post"), note(2, "plain")),
		"created", "created", "created", "credit_account_not_found")
	for range 3 { // released from memory
		do(b, journal.KindTransfers, transfer(uint64(b.Head())+100, 1, 2, 1))
	}
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes(list), note(1, "the post"), note(2, "plain")),
		"exists", "exists", "exists", "id_already_failed")
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes(list), note(1, "another"), note(2, "plain", "more")),
		"exists", "exists_with_different_metadata", "exists_with_different_metadata", "id_already_failed")
	got, err := b.LookupTransfers(context.Background(), []money.U128{money.From(11), money.From(12), money.From(13)})
	if err != nil || len(got) != 2 {
		t.Fatalf("looked up %v, %v", got, err)
	}
	if got[0].Amount != money.From(40) || got[0].Debit != money.From(1) || got[0].Attachment != string(note(1, "the post").Data) {
		t.Errorf("the post is %+v", got[0])
	}
	if got[1].Amount != money.From(5) || got[1].Attachment != string(note(2, "plain").Data) {
		t.Errorf("the plain one is %+v", got[1])
	}
	if _, err := cell.Verify(context.Background(), 7, b.closedLog(), nil); err == nil {
		t.Error("accounts of an asset that nobody registered were verified")
	}
}

// closedLog closes the cell and returns its journal, opened again until the end of the test.
func (b *bank) closedLog() cell.Log {
	b.t.Helper()
	b.close()
	b.openStore()
	return b.store
}

var _ = ledger.Rules
