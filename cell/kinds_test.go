package cell_test

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
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
		do(b, journal.KindTransfers, transfer(b.Head()+100, 1, 2, 1))
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
}

// closedLog closes the cell and returns its journal, opened again until the end of the test.
func (b *bank) closedLog() cell.Log {
	b.t.Helper()
	b.close()
	b.openStore()
	return b.store
}

// decision is an approval of a proposal that carries what was proposed, with its attachments.
func decision(id, proposal uint64, inner journal.Kind, events []byte, attached []journal.Attachment) ([]byte, []journal.Attachment) {
	d := []journal.Decision{{ID: money.From(id), Proposal: money.From(proposal), Inner: inner, Verdict: journal.Approve}}
	shifted := make([]journal.Attachment, len(attached))
	for i, a := range attached {
		shifted[i] = journal.Attachment{Event: a.Event + 1, Data: a.Data}
	}
	return append(journal.Bytes(d), events...), shifted
}

func (b *bank) propose(id uint64, inner journal.Kind, events []byte, attached []journal.Attachment) {
	b.t.Helper()
	p := []journal.Proposal{{ID: money.From(id), Inner: inner}}
	payload := journal.Details{Payload: ledger.EncodePayload(events, attached)}
	b.control(b.send(journal.KindProposal, 1, journal.Bytes(p), journal.Attachment{Data: payload.Append(nil)}), "created")
}

func (b *bank) control(results []journal.Result, names ...string) {
	b.t.Helper()
	for i, name := range names {
		if got := results[i].Status.Name(journal.KindFreeze); got != name {
			b.t.Errorf("event %d: %s, want %s", i, got, name)
		}
	}
}

// everyKind sends requests of all kinds, several of each into one block.
func (b *bank) everyKind() {
	b.t.Helper()
	cny := journal.Asset{Code: [16]byte{'C', 'N', 'Y'}, Scale: 2}
	do(b, journal.KindAssets, cny)
	one := account(1)
	one.Flags = journal.AccountAttached
	place := journal.Details{Address: "shop:1"}
	b.want(b.send(journal.KindAccounts, 1, journal.Bytes([]journal.Account{one, account(2), account(3)}), journal.Attachment{Data: place.Append(nil)}), "created", "created", "created")
	legs := []journal.Transfer{transfer(0, 1, 2, 7), transfer(0, 1, 3, 8)}
	legs[1].Flags = journal.TransferPending | journal.TransferAttached
	leg := note(1, "the second leg")
	b.want(b.send(journal.KindTransaction, 1, transaction(20, legs, leg), journal.Attachment{Event: 2, Data: leg.Data}), "created", "created", "created")
	failing := []journal.Transfer{transfer(0, 1, 2, 7), transfer(0, 1, 99, 8)}
	b.want(b.send(journal.KindTransaction, 1, transaction(21, failing)), "linked_event_failed", "linked_event_failed", "credit_account_not_found")

	late := transfer(30, 2, 3, 9)
	late.Flags = journal.TransferAttached
	yesterday := journal.DateOf(b.clock.Wall(), 0) - 1
	dated := journal.Attachment{Data: (&journal.Details{BookingDate: yesterday}).Append(nil)}
	b.control(b.send(journal.KindDayClose, 1, journal.Bytes([]journal.DayClose{{ID: money.From(40), Date: yesterday}})), "created")
	b.want(b.send(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{late}), dated), "booking_day_closed")
	b.propose(50, journal.KindTransfers, journal.Bytes([]journal.Transfer{late}), []journal.Attachment{dated})
	events, attached := decision(51, 50, journal.KindTransfers, journal.Bytes([]journal.Transfer{late}), []journal.Attachment{dated})
	b.control(b.send(journal.KindDecision, 1, events, attached...), "second_person_required")
	b.control(b.send(journal.KindDecision, 2, events, attached...), "created", "created")

	more := transaction(22, []journal.Transfer{transfer(0, 3, 1, 4), {PendingID: journal.LegID(money.From(20), 1), Amount: money.From(5), Flags: journal.TransferPost}})
	b.propose(52, journal.KindTransaction, more, nil)
	events, attached = decision(53, 52, journal.KindTransaction, more, nil)
	b.control(b.send(journal.KindDecision, 2, events, attached...), "created", "created", "created", "created")
	doomed := journal.Bytes([]journal.Transfer{transfer(31, 1, 2, 1), transfer(32, 1, 98, 1)})
	b.propose(54, journal.KindTransfers, doomed, nil)
	events, attached = decision(55, 54, journal.KindTransfers, doomed, nil)
	b.control(b.send(journal.KindDecision, 2, events, attached...), "proposal_failed")

	change := []journal.MetadataChange{{ID: money.From(60), Account: money.From(2), Flags: journal.TransferHead | journal.TransferAttached}}
	b.control(b.send(journal.KindMetadata, 1, journal.Bytes(change), note(0, "new")), "created")
	b.control(b.send(journal.KindErasure, 1, journal.Bytes([]journal.Erasure{{ID: money.From(61)}})), "created")
	b.control(b.send(journal.KindPrincipals, 1, journal.Bytes([]journal.Principal{{Token: journal.Actor{9}}})), "created")
	b.control(b.send(journal.KindPolicy, 1, journal.Bytes([]journal.Policy{{ID: money.From(62), Flags: journal.PolicyUnfreezeApproved}})), "created")
	reopen := journal.Bytes([]journal.Reopen{{ID: money.From(63), Date: yesterday}})
	b.propose(64, journal.KindReopen, reopen, nil)
	events, _ = decision(65, 64, journal.KindReopen, reopen, nil)
	b.control(b.send(journal.KindDecision, 2, events), "created", "created")
}

// TestEveryKindInACell: what was created is listed by its block and found by its id, wherever in a request it stood,
// before and after a crash; the journal is proven by its second count.
func TestEveryKindInACell(t *testing.T) {
	b := newBank(t, nil)
	b.everyKind()
	for range 2 {
		b.checkEveryKind()
		b.crash()
	}
	v, err := cell.Verify(context.Background(), 7, b.closedLog(), watch.NewVerifier(7), nil)
	if err != nil || v.Transfers != 5 || v.Pending != 0 || v.Accounts != 3 {
		t.Errorf("verified %+v, %v", v, err)
	}
}

func (b *bank) checkEveryKind() {
	b.t.Helper()
	ctx := context.Background()
	listed := map[money.U128]ledger.Transfer{}
	for seq := uint64(1); seq <= b.Head(); seq++ {
		list, err := b.BlockTransfers(ctx, seq)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, x := range list {
			listed[x.ID] = x
		}
	}
	ids := []money.U128{money.From(20), money.From(22), money.From(60), money.From(21), money.From(31), money.From(32)}
	for i, amount := range []uint64{7, 8, 9, 4, 5} {
		id := []money.U128{
			journal.LegID(money.From(20), 0), journal.LegID(money.From(20), 1), money.From(30),
			journal.LegID(money.From(22), 0), journal.LegID(money.From(22), 1),
		}[i]
		x, ok := listed[id]
		if !ok || x.Amount != money.From(amount) {
			b.t.Errorf("transfer %v is listed (%v) as %+v, want %d", id, ok, x, amount)
		}
		ids = append(ids, id)
		if want, _ := b.Attachment(ctx, x.Position); x.Attachment != string(want) {
			b.t.Errorf("transfer %v has %x attached, at its position stands %x", id, x.Attachment, want)
		}
	}
	if x := listed[journal.LegID(money.From(20), 1)]; x.Attachment != string(note(1, "the second leg").Data) {
		b.t.Errorf("the second leg has %q attached", x.Attachment)
	}
	found, err := b.LookupTransfers(ctx, ids)
	if err != nil || len(found) != 5 || len(listed) != 5 {
		b.t.Fatalf("%d of 5 transfers found, %d listed: %v", len(found), len(listed), err)
	}
	for _, x := range found {
		if listed[x.ID] != x {
			b.t.Errorf("transfer %v is looked up as %+v, listed as %+v", x.ID, x, listed[x.ID])
		}
	}
	for id, there := range map[uint64]bool{20: true, 22: true, 21: false, 60: false, 30: false} {
		head, err := b.Transaction(ctx, money.From(id))
		if err != nil || (head != nil) != there {
			b.t.Errorf("transaction %d: %+v, %v", id, head, err)
		}
	}
	var at, address journal.Position
	if err := b.Read(ctx, func(s *ledger.State) { at, address = s.Metadata(2), s.Metadata(s.ByAddress("shop:1")) }); err != nil {
		b.t.Fatal(err)
	}
	if data, err := b.Attachment(ctx, at); err != nil || string(data) != string(note(0, "new").Data) {
		b.t.Errorf("account 2 has metadata %x: %v", data, err)
	}
	if data, err := b.Attachment(ctx, address); err != nil || len(data) == 0 {
		b.t.Errorf("what account 1 was created with: %x, %v", data, err)
	}
}

// TestAttachmentsByBisection reads each attachment of a block with many, and those that are not there.
func TestAttachmentsByBisection(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	var list []journal.Transfer
	var attached []journal.Attachment
	for i := range 100 {
		list = append(list, transfer(uint64(i+1), 1, 2, 1))
		if i%3 == 1 {
			list[i].Flags = journal.TransferAttached
			attached = append(attached, note(i, string(rune('a'+i%20))))
		}
	}
	list[50].Debit = money.From(99) // an outcome between events and attachments
	b.send(journal.KindTransfers, 1, journal.Bytes(list), attached...)
	seq := b.Head()
	h, err := b.Header(context.Background(), seq)
	if err != nil || h.Events != 100 {
		t.Fatalf("block %d: %+v, %v", seq, h, err)
	}
	for i := range list {
		got, err := b.Attachment(context.Background(), journal.At(seq, i))
		want := ""
		for _, a := range attached {
			if a.Event == i {
				want = string(a.Data)
			}
		}
		if err != nil || string(got) != want {
			t.Errorf("event %d: %q, want %q: %v", i, got, want, err)
		}
	}
}
