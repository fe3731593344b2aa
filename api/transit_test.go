package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/transit"
)

const otherCell = 9

var yuan = money.Asset{Code: "CNY", Scale: 2}

// do sends events past the API, as the driver of transfers across cells does; all must be created.
func (b *bank) do(kind journal.Kind, events []byte, attached []journal.Attachment) {
	b.t.Helper()
	r := &cell.Request{Kind: kind, Events: events, Attachments: attached, Results: make([]journal.Result, len(events)/journal.RecordSize)}
	if err := b.cell.Cell.Do(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	for i, result := range r.Results {
		if result.Status != journal.Created {
			b.t.Fatalf("event %d: %s", i, result.Status.Name(kind))
		}
	}
}

func (b *bank) cross(list ...transit.Event) {
	b.t.Helper()
	events, attached := make([]journal.Transfer, len(list)), make([]journal.Attachment, len(list))
	for i, e := range list {
		events[i], attached[i] = e.Transfer, journal.Attachment{Event: i, Data: e.Attached}
	}
	b.do(journal.KindTransfers, journal.Bytes(events), attached)
}

// crossings moves 100 from account 1 to account 77 in another cell, as transfer 50, in part by a post, 53; and 30 from
// account 88 there to account 2, as transfer 51. It returns how many records account 1 and account 2 have.
func (b *bank) crossings() (first, second int) {
	b.t.Helper()
	b.seed()
	b.do(journal.KindAccounts, journal.Bytes(transit.Accounts(yuan, 1, otherCell)), nil)
	out := &transit.Attempt{
		Asked:    journal.Transfer{ID: money.From(50), Debit: money.From(1), Credit: money.From(77), Amount: money.From(100), Asset: 1, Code: 3, Flags: journal.TransferPending, Timeout: 600},
		Metadata: []journal.Meta{journal.Text("order", "a7")}, Asset: yuan, Home: 7, Peer: otherCell, Reserve: money.From(60),
	}
	b.cross(out.Reserved())
	b.cross(out.Commit()...)
	about, _ := journal.TransitOf(out.Transfer().Attached)
	b.cross(transit.End(&journal.Transfer{ID: money.From(53), PendingID: money.From(50), Amount: money.From(40), Flags: journal.TransferPost}, journal.Details{}, about, yuan))
	b.cross(out.Settle(money.From(40)))
	in := &transit.Attempt{
		Asked: journal.Transfer{ID: money.From(51), Debit: money.From(88), Credit: money.From(2), Amount: money.From(30), Asset: 1, Code: 3},
		Asset: yuan, Home: otherCell, Peer: 7, Reserve: money.From(61),
	}
	b.cross(in.Hold(1))
	b.cross(in.Confirm(money.From(30), false))
	return 4, 2
}

// shown is a transfer in a line: id, accounts, amount, flags, pending id; and the step.
func shown(t *ledgerv1.Transfer) string {
	line := fmt.Sprint(t.GetId(), " ", t.GetDebitAccountId(), "→", t.GetCreditAccountId(), " ", t.GetAmount(), " ", t.GetFlags(), " ", t.GetPendingId())
	if x := t.GetTransit(); x != nil {
		line += fmt.Sprint(" ", strings.TrimPrefix(x.GetStep().String(), "TRANSIT_STEP_"), " of ", x.GetTransferId(), " with ", x.GetPeer(), " on ", x.GetAccountId())
	}
	return line
}

func same(t *testing.T, what string, got []*ledgerv1.Transfer, want ...string) {
	t.Helper()
	var lines []string
	for _, one := range got {
		lines = append(lines, shown(one))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(lines, "\n     "), strings.Join(want, "\n     "))
	}
}

// TestTransfersAcrossCellsAreShown as they were asked for, in every list in which they stand.
func TestTransfersAcrossCellsAreShown(t *testing.T) {
	b := open(t, nil)
	b.crossings()
	x, y := transit.InTransit(yuan).String(), transit.Clearing(yuan, otherCell).String()
	derived := func(reserve uint64, step journal.TransitStep) string {
		return transit.ID(money.From(reserve), step).String()
	}
	pending, post := "[TRANSFER_FLAG_PENDING]", "[TRANSFER_FLAG_POST_PENDING_TRANSFER]"
	asked := "50 1→77 100 " + pending + " 0 TRANSFER of 50 with 9 on " + x
	ended := "53 1→77 40 " + post + " 50 END of 50 with 9 on " + x
	held := derived(61, journal.TransitHold) + " 88→2 30 " + pending + " 0 HOLD of 51 with 9 on " + y
	confirmed := derived(61, journal.TransitConfirm) + " 88→2 30 " + post + " " + derived(61, journal.TransitHold) + " CONFIRM of 51 with 9 on " + y
	reserved := "60 1→77 100 " + pending + " 0 RESERVE of 50 with 9 on " + x
	decided := derived(60, journal.TransitDecide) + " 1→77 100 [TRANSFER_FLAG_LINKED TRANSFER_FLAG_VOID_PENDING_TRANSFER] 60 DECIDE of 50 with 9 on " + x
	marker := derived(60, journal.TransitMarker)
	marked := marker + " " + x + "→" + y + " 100 [TRANSFER_FLAG_LINKED TRANSFER_FLAG_PENDING] 0 MARKER of 50 with 9 on 0"
	settled := derived(60, journal.TransitSettle) + " " + x + "→" + y + " 40 " + post + " " + marker + " SETTLE of 50 with 9 on 0"

	same(t, "look-up", ask(b, &ledgerv1.LookupTransfersResponse{}, "LookupTransfers", `{"ids":["50","53"]}`).GetTransfers(), asked, ended)
	client, ctx := b.grpcClient(auth.RoleAdmin)
	wire, err := client.LookupTransfers(ctx, &ledgerv1.LookupTransfersRequest{Ids: []string{"50", "53"}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "look-up over gRPC", wire.GetTransfers(), asked, ended)
	list := func(account string) []*ledgerv1.Transfer {
		return ask(b, &ledgerv1.GetAccountTransfersResponse{}, "GetAccountTransfers", `{"filter":{"accountId":"`+account+`"}}`).GetTransfers()
	}
	same(t, "account 1", list("1"), reserved, decided, asked, ended)
	same(t, "account 2", list("2"), held, confirmed)
	same(t, "all", ask(b, &ledgerv1.QueryTransfersResponse{}, "QueryTransfers", `{"filter":{}}`).GetTransfers(), reserved, decided, marked, asked, ended, settled, held, confirmed)
	same(t, "by metadata", ask(b, &ledgerv1.QueryByMetadataResponse{}, "QueryByMetadata",
		`{"target":"METADATA_TARGET_TRANSFERS","conditions":[{"key":"order","value":{"text":"a7"}}]}`).GetTransfers(), reserved, asked)
}

// TestStatementsAcrossCells: the rows add up, each with the balances after it, and name T's accounts.
func TestStatementsAcrossCells(t *testing.T) {
	b := open(t, nil)
	first, second := b.crossings()
	for account, want := range map[string]struct {
		rows    int
		closing string
		steps   string
	}{
		"1": {first, "40 0 0 0", "RESERVE DECIDE TRANSFER END"},
		"2": {second, "0 30 0 0", "HOLD CONFIRM"},
	} {
		r := ask(b, &ledgerv1.GetStatementResponse{}, "GetStatement", `{"accountId":"`+account+`"}`)
		last, steps := r.GetRows()[len(r.GetRows())-1].GetBalances(), []string{}
		for _, row := range r.GetRows() {
			x := row.GetTransfer()
			if d, c := x.GetDebitAccountId(), x.GetCreditAccountId(); account == "1" && (d != "1" || c != "77") || account == "2" && (d != "88" || c != "2") {
				t.Errorf("account %s: from %s to %s", account, d, c)
			}
			steps = append(steps, strings.TrimPrefix(x.GetTransit().GetStep().String(), "TRANSIT_STEP_"))
		}
		if got := fmt.Sprint(last.GetDebitsPosted(), " ", last.GetCreditsPosted(), " ", last.GetDebitsPending(), " ", last.GetCreditsPending()); got != want.closing || len(r.GetRows()) != want.rows {
			t.Errorf("account %s: %d rows, %s after the last", account, len(r.GetRows()), got)
		}
		if got := strings.Join(steps, " "); got != want.steps {
			t.Errorf("account %s: steps %s", account, got)
		}
		byDate := ask(b, &ledgerv1.GetStatementResponse{}, "GetStatement", `{"accountId":"`+account+`","byBookingDate":true}`)
		if n := len(byDate.GetRows()); n != 1 || byDate.GetRows()[0].GetTransfer().GetTransit().GetTransferId() == "" {
			t.Errorf("account %s: %d rows by booking date", account, n)
		}
	}
	balances := ask(b, &ledgerv1.GetAccountBalancesResponse{}, "GetAccountBalances", `{"filter":{"accountId":"1"}}`)
	if n := len(balances.GetBalances()); n != first {
		t.Errorf("%d balances, %d transfers", n, first)
	}
}

// TestCallersHaveNoAccountsInTransit: the flag is the cell's own, however it is sent.
func TestCallersHaveNoAccountsInTransit(t *testing.T) {
	b := open(t, nil)
	b.seed()
	if got := b.call("CreateAccounts", `{"accounts":[{"id":"5","asset":"CNY/2","code":1,"flags":[16384]}]}`); !strings.Contains(got, "RESERVED_FLAG") {
		t.Errorf("JSON: %s", got)
	}
	client, ctx := b.grpcClient(auth.RoleAdmin)
	packed, err := client.CreateAccountsPacked(ctx, &ledgerv1.CreateAccountsPackedRequest{
		Records: journal.Bytes([]journal.Account{{ID: money.From(6), Asset: 1, Code: 1, Flags: journal.AccountTransit}}),
	})
	if err != nil || packed.GetResults()[0] != byte(journal.AccountReservedFlag) {
		t.Errorf("packed: %v %v", packed.GetResults(), err)
	}
	if got := b.call("CreateTransfers", `{"transfers":[{"id":"9","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1,"flags":[2048],"transit":{"transferId":"9","step":5}}]}`); !strings.Contains(got, "RESERVED_FLAG") {
		t.Errorf("a step: %s", got)
	}
	if got := b.call("CreateTransfers", `{"transfers":[{"id":"9","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1,"transit":{"transferId":"9","step":5}}]}`); !strings.Contains(got, "STATUS_CREATED") {
		t.Errorf("what a caller says of a step is left out: %s", got)
	}
}

// TestIDsOfTheLedgersOwn: callers can't take the ids of steps of transfers between cells, nor those of their accounts,
// before the ledger does, by any way that takes ids.
func TestIDsOfTheLedgersOwn(t *testing.T) {
	b := open(t, nil)
	b.seed()
	marker := transit.ID(money.From(60), journal.TransitMarker)
	if first := journal.MakeOwn(money.U128{}); !journal.Own(marker) || !journal.Own(first) || first.String() != "340282366841710300949110269838224261120" {
		t.Errorf("%v is not the ledger's own, or %v is not the first one", marker, first)
	}
	id := marker.String()
	for _, call := range []struct{ want, method, request string }{
		{"TRANSFER_STATUS_ID_MUST_NOT_BE_INT_MAX", "CreateTransfers", `{"transfers":[{"id":"` + id + `","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1}]}`},
		{"PENDING_ID_MUST_NOT_BE_INT_MAX", "CreateTransfers", `{"transfers":[{"id":"900","pendingId":"` + id + `","flags":["TRANSFER_FLAG_VOID_PENDING_TRANSFER","TRANSFER_FLAG_FENCE"]}]}`},
		{"ACCOUNT_STATUS_ID_MUST_NOT_BE_INT_MAX", "CreateAccounts", `{"accounts":[{"id":"` + transit.InTransit(yuan).String() + `","asset":"CNY/2","code":1}]}`},
		{"CONTROL_STATUS_ID_MUST_NOT_BE_INT_MAX", "SetMetadata", `{"id":"` + id + `","accountId":"1"}`},
		{"TRANSFER_STATUS_ID_MUST_NOT_BE_INT_MAX", "CreateTransaction", `{"id":"` + id + `","legs":[{"debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1}]}`},
	} {
		if got := b.call(call.method, call.request); !strings.Contains(got, call.want) {
			t.Errorf("%s: %s, want %s", call.method, got, call.want)
		}
	}
	client, ctx := b.grpcClient(auth.RoleAdmin)
	packed, err := client.CreateTransfersPacked(ctx, &ledgerv1.CreateTransfersPackedRequest{
		Records: journal.Bytes([]journal.Transfer{{ID: marker, Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}}),
	})
	if err != nil || packed.GetResults()[0] != byte(journal.TransferIdMustNotBeIntMax) {
		t.Errorf("packed: %v %v", packed.GetResults(), err)
	}
}
