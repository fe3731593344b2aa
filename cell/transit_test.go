package cell_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// TestATransferAcrossCellsOutlivesCrashes: what is open is told after each crash, with all that is needed to go on.
func TestATransferAcrossCellsOutlivesCrashes(t *testing.T) {
	b := newBank(t, nil)
	cny := money.Asset{Code: "CNY", Scale: 2}
	do(b, journal.KindAccounts, account(1), account(2))
	do(b, journal.KindAccounts, transit.Accounts(cny, 1, 9)...)
	a := &transit.Attempt{
		Asked:    journal.Transfer{ID: money.From(100), Debit: money.From(1), Credit: money.From(7), Amount: money.From(5), Asset: 1, Code: 1, Flags: journal.TransferPending},
		Metadata: []journal.Meta{journal.Text("order", "17")}, Asset: cny, Home: 7, Peer: 9, Reserve: money.From(200),
	}
	steps(t, b, a.Reserved())
	closing := transfer(300, 1, 2, 0)
	closing.Flags = journal.TransferPending | journal.TransferClosingDebit
	b.crash()
	if r := resumed(t, b); r.Todo != transit.Decide || r.Asked != a.Asked {
		t.Fatalf("after the reserve: %+v", r)
	}
	request := cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(299, 1, 2, 1), closing}), Results: make([]journal.Result, 2)}
	if err := b.Do(context.Background(), &request); !errors.Is(err, cell.ErrInTransit) {
		t.Errorf("closing account 1 meanwhile: %v", err)
	}
	steps(t, b, resumedAttempt(t, b).Commit()...)
	b.crash()
	if r := resumed(t, b); r.Todo != transit.Wait {
		t.Fatalf("after the commit: %+v", r)
	}
	p, ok, err := b.OpenPending(context.Background(), a.Asked.ID)
	if err != nil || !ok || p.Flags.Has(journal.TransferHold) {
		t.Fatalf("the transfer is pending: %+v, %v, %v", p, ok, err)
	}
	x, _ := journal.TransitOf(attachment(t, b, p.Position))
	post := journal.Transfer{ID: money.From(101), PendingID: a.Asked.ID, Amount: money.From(3), Flags: journal.TransferPost}
	steps(t, b, transit.End(&post, journal.Details{}, x, cny))
	b.crash()
	r := resumed(t, b)
	if r.Todo != transit.Finish || r.Posted != money.From(3) {
		t.Fatalf("after the post: %+v", r)
	}
	steps(t, b, r.Settle(r.Posted))
	do(b, journal.KindTransfers, transfer(299, 1, 2, 1), closing)
	if list := open(t, b); len(list) != 1 || list[0].ID != closing.ID {
		t.Errorf("open at the end: %+v", list)
	}
	if got := b.balance(1).DebitsPosted.Lo; got != 4 {
		t.Errorf("account 1 paid %d", got)
	}
}

func steps(t *testing.T, b *bank, list ...transit.Event) {
	t.Helper()
	r := cell.Request{Kind: journal.KindTransfers, Results: make([]journal.Result, len(list))}
	var events []journal.Transfer
	for i, e := range list {
		events = append(events, e.Transfer)
		r.Attachments = append(r.Attachments, journal.Attachment{Event: i, Data: e.Attached})
	}
	r.Events = journal.Bytes(events)
	if err := b.Do(context.Background(), &r); err != nil {
		t.Fatal(err)
	}
	for i, got := range r.Results {
		if got.Status != journal.Created {
			t.Fatalf("step %d: %s", i, got.Status.Name(journal.KindTransfers))
		}
	}
}

func open(t *testing.T, b *bank) (list []ledger.OpenPending) {
	t.Helper()
	if err := b.ScanPendings(context.Background(), func(p *ledger.OpenPending) { list = append(list, *p) }); err != nil {
		t.Fatal(err)
	}
	return list
}

func attachment(t *testing.T, b *bank, p journal.Position) []byte {
	t.Helper()
	data, err := b.Attachment(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// resumed is the only attempt that is open.
func resumed(t *testing.T, b *bank) transit.Resumed {
	t.Helper()
	for _, p := range open(t, b) {
		if !p.Flags.Has(journal.TransferHold) {
			continue
		}
		kept, err := b.Transfer(context.Background(), p.Position)
		if err != nil {
			t.Fatal(err)
		}
		r, err := transit.Resume(7, money.Asset{Code: "CNY", Scale: 2}, &transit.Open{Record: kept.Transfer, Attached: []byte(kept.Attachment), Ended: p.Ended, Posted: p.Posted})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Fatal("no attempt is open")
	return transit.Resumed{}
}

func resumedAttempt(t *testing.T, b *bank) *transit.Attempt {
	r := resumed(t, b)
	return &r.Attempt
}
