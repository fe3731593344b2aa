package api_test

import (
	"context"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestClient walks through the Go SDK against the real server.
func TestClient(t *testing.T) {
	b := open(t, nil)
	c, err := client.Dial(b.addr, b.tokens[auth.RoleAdmin], client.WithConnections(2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.CreateAccounts(ctx, accounts()...)
	must(err)
	moved, err := c.CreateTransfers(ctx, transfer("10"), transfer("11"))
	must(err)
	listed, err := c.AccountTransfers(ctx, &client.AccountFilter{AccountId: "2"}, moved.GetPosition())
	must(err)
	balances, err := c.AccountBalances(ctx, &client.AccountFilter{AccountId: "1"}, moved.GetPosition())
	must(err)
	found, err := c.LookupAccounts(ctx, money.From(2), money.From(3))
	must(err)
	transfers, err := c.LookupTransfers(ctx, money.From(11))
	must(err)
	queried, err := c.QueryTransfers(ctx, &client.QueryFilter{Asset: "CNY/2"}, nil)
	must(err)
	opened, err := c.QueryAccounts(ctx, &client.QueryFilter{UserData_128: accounts()[1].GetUserData_128()}, nil)
	must(err)
	for what, got := range map[string]int{
		"listed": len(listed.GetTransfers()) - 2, "balances": len(balances.GetBalances()) - 2, "found": len(found) - 1,
		"transfers": len(transfers) - 1, "queried": len(queried.GetTransfers()) - 2, "opened": len(opened.GetAccounts()) - 1,
	} {
		if got != 0 {
			t.Errorf("%s: %+d rows", what, got)
		}
	}
	registered, err := c.RegisterAssets(ctx, "CNY/2", "JPY/0")
	must(err)
	all, err := c.Assets(ctx)
	must(err)
	if len(all) != 2 || !proto.Equal(all[0], registered[0]) {
		t.Errorf("assets %v, registered %v", all, registered)
	}
	records := []journal.Transfer{{ID: money.From(20), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}}
	results, err := c.CreateTransfersPacked(ctx, journal.Bytes(records))
	must(err)
	if len(results) != 1 || results[0].Status != 1 {
		t.Errorf("packed results %v", results)
	}
	packed, err := c.LookupAccountsPacked(ctx, money.From(1), money.From(9))
	must(err)
	if len(packed) != client.RecordSize {
		t.Errorf("%d bytes of packed accounts", len(packed))
	}
	_, err = c.CreateAccountsPacked(ctx, journal.Bytes([]journal.Account{{ID: money.From(30), Asset: 1, Code: 1}}))
	must(err)
	_, err = c.Freeze(ctx, &ledgerv1.FreezeRequest{Id: "1", Selector: &ledgerv1.FreezeRequest_WholeCell{WholeCell: true}, Mode: ledgerv1.FreezeMode_FREEZE_MODE_ALL})
	must(err)
	frozen, err := c.Freezes(ctx)
	must(err)
	lifted, err := c.Unfreeze(ctx, &ledgerv1.UnfreezeRequest{Id: "2", FreezeId: "1"})
	must(err)
	if len(frozen) != 1 || !frozen[0].GetWholeCell() || lifted.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_SECOND_PERSON_REQUIRED {
		t.Errorf("freezes %v, lifted %v", frozen, lifted)
	}
	limits, err := c.SetVelocityLimits(ctx, &ledgerv1.VelocityLimit{Id: "1", AccountId: "1", Side: ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT, AmountPerHour: "1"})
	must(err)
	if limits.GetResults()[0].GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
		t.Errorf("limits %v", limits)
	}
	node, err := c.Admin().Status(ctx, &ledgerv1.StatusRequest{})
	must(err)
	if node.GetAccounts() != 11 || node.GetVersion() != "1.2.3" || node.GetDisk() != ledgerv1.DiskState_DISK_STATE_OK {
		t.Errorf("status %v", node)
	}
}

// TestClientPaysOnce loses the answer to a write that was recorded.
func TestClientPaysOnce(t *testing.T) {
	b := open(t, nil)
	b.seed()
	c, err := client.Dial(b.addr, b.tokens[auth.RoleTeller])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var attempts atomic.Int32
	b.before(func(ctx context.Context) error {
		if attempts.Add(1) > 1 {
			return nil
		}
		r := &cell.Request{
			Kind:    journal.KindTransfers,
			Events:  journal.Bytes([]journal.Transfer{{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1}}),
			Results: make([]journal.Result, 1),
		}
		if err := b.cell.Cell.Do(ctx, r); err != nil {
			return err
		}
		return cell.ErrOutcomeUnknown
	})
	moved, err := c.CreateTransfers(t.Context(), transfer("10"))
	if err != nil || moved.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS || attempts.Load() != 2 {
		t.Fatalf("%v, %v after %d attempts", moved, err, attempts.Load())
	}
	found, err := c.LookupAccounts(t.Context(), money.From(2))
	if err != nil || found[0].GetCreditsPosted() != "5" {
		t.Fatalf("%v, %v", found, err)
	}
}
