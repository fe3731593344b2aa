package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

// broken is a watch with three breaks: 1 and 2 of one group, of which 1 can be repaired; and 3, which is accepted.
func broken(t *testing.T) (*bank, *guard, watchv1.WatchServiceClient) {
	t.Helper()
	b, g := watched(t, nil)
	g.breaks = []watch.Record{
		{
			Break: watch.Break{
				ID: watch.ID{1}, Class: watch.DuplicatePost, Flow: "card-payment", Key: watch.KeyOf("order-7"), KeyText: "order-7", AtRisk: watch.Amount{Lo: 500},
				Asset: "CNY/2", Group: watch.ID{1}, Summary: "order-7 was booked twice", State: watch.Open, Accounts: []watch.ID{watch.KeyOf("1")},
				Evidence: []watch.Evidence{{What: "transfer", Source: "journal", Seq: 3, Index: -1, Fields: []watch.Field{{Name: "amount", Value: "5.00 CNY", Wrong: true}}}},
				Repair:   []watch.RepairTransfer{{Debit: watch.KeyOf("2"), Credit: watch.KeyOf("1"), Amount: watch.Amount{Lo: 500}, Asset: "CNY/2", Code: 3, UserData128: watch.KeyOf("order-7"), UserData32: 1}},
			},
			Others: 1, History: []watch.Entry{{Time: 1, State: watch.Open, Who: "watch", Why: "order-7 was booked twice"}},
			Stop: &watch.Stop{Freeze: watch.Freeze{ID: watch.ID{9}, Selector: watch.FreezeAccount, Account: watch.KeyOf("1")}, State: "frozen", Time: 2},
		},
		{Break: watch.Break{ID: watch.ID{2}, Class: watch.MissingReceipt, Flow: "card-payment", Key: watch.KeyOf("77"), Group: watch.ID{1}, State: watch.Explained}},
		{Break: watch.Break{ID: watch.ID{3}, Class: watch.WrongFee, Group: watch.ID{3}, State: watch.Accepted}},
	}
	conn, _ := b.grpcConn(auth.RoleOperator)
	return b, g, watchv1.NewWatchServiceClient(conn)
}

func hex(n byte) string { return watch.HexID(watch.ID{n}) }

func TestBreaks(t *testing.T) {
	b, _, _ := broken(t)
	status, text := b.watchPost(auth.RoleReader, "ListBreaks", `{"limit":1,"flow":"card-payment"}`)
	if status != http.StatusOK || !strings.Contains(text, `"id":"00000000000000000000000000000003"`) || !strings.Contains(text, `"next":"page-2"`) {
		t.Errorf("a page: %d %s", status, text)
	}
	for body, want := range map[string]string{
		`{"state":"BREAK_STATE_OPEN"}`: "[1]", `{"class":"missing_receipt"}`: "[2]", `{"roots":true}`: "[3 1]", `{}`: "[3 2 1]",
	} {
		_, text := b.watchPost(auth.RoleReader, "ListBreaks", body)
		if strings.Contains(text, `"evidence":[{`) {
			t.Errorf("%s lists evidence: %s", body, text)
		}
		if got := fmt.Sprint(idsOf(text)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	for body, says := range map[string]string{
		`{"limit":1001}`: "limit: want up to 1000", `{"flow":"a b"}`: "flow: want 1 to 64", `{"class":"\u0000"}`: "class: want 1 to 64",
		`{"state":9}`: "state: 9 is unknown", `{"after":"elsewhere"}`: "after: ",
	} {
		if status, text := b.watchPost(auth.RoleReader, "ListBreaks", body); status != http.StatusBadRequest || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	_, text = b.watchPost(auth.RoleReader, "GetBreak", `{"id":"`+hex(1)+`"}`)
	for _, want := range []string{
		`"key":"order-7"`, `"amountAtRisk":"500"`, `"others":1`, `"accountIds":["1"]`, `"index":0`, `"name":"amount","value":"5.00 CNY","wrong":true`,
		`"stopLoss":{"state":"frozen","selector":"account 1","freezeId":"9","time":"2"}`, `"who":"watch"`, `"userData128":"` + watch.DecimalID(watch.KeyOf("order-7")) + `"`,
		`"group":[{"id":"` + hex(2) + `"`, `"key":"77"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if status, text := b.watchPost(auth.RoleReader, "GetBreak", `{"id":"`+hex(7)+`"}`); status != http.StatusNotFound || !strings.Contains(text, "no such break") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := b.watchPost(auth.RoleReader, "GetBreak", `{"id":"7"}`); status != http.StatusBadRequest || !strings.Contains(text, "32 hexadecimal digits") {
		t.Errorf("%d %s", status, text)
	}
}

// idsOf returns the last digits of the breaks' ids in an answer.
func idsOf(text string) (list []int) {
	for _, part := range strings.Split(text, `{"id":"`)[1:] {
		list = append(list, int(part[31]-'0'))
	}
	return list
}

func TestDecideBreak(t *testing.T) {
	b, g, _ := broken(t)
	decide := func(role auth.Role, n byte, state, why string) (int, string) {
		return b.watchPost(role, "DecideBreak", fmt.Sprintf(`{"id":%q,"state":"BREAK_STATE_%s","why":%q,"group":true}`, hex(n), state, why))
	}
	if status, _ := decide(auth.RoleTeller, 1, "EXPLAINED", "the scheme was late"); status != http.StatusForbidden {
		t.Errorf("a teller decides: %d", status)
	}
	for range 2 { // sent twice, it is one entry
		status, text := decide(auth.RoleOperator, 1, "EXPLAINED", "the scheme was late")
		if status != http.StatusOK || !strings.Contains(text, `"state":"BREAK_STATE_EXPLAINED","who":"operator","why":"the scheme was late"`) {
			t.Errorf("%d %s", status, text)
		}
	}
	if h := g.breaks[0].History; len(h) != 2 {
		t.Errorf("history: %v", h)
	}
	for name, c := range map[string]struct {
		n          byte
		state, why string
		says       string
	}{
		"repaired by word": {1, "REPAIRED", "x", "the watch itself sees"},
		"no state":         {1, "UNSPECIFIED", "x", "state: want"},
		"no reason":        {1, "ACCEPTED", "  ", "why: want 1 to 512"},
		"long reason":      {1, "ACCEPTED", strings.Repeat("x", 513), "why: want 1 to 512"},
		"ended":            {3, "OPEN", "again", "is accepted: nothing is left"},
		"not there":        {8, "OPEN", "again", "no such break"},
	} {
		if status, text := decide(auth.RoleOperator, c.n, c.state, c.why); status == http.StatusOK || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// TestARepairTakesTwoPeopleAndIsBookedOnce goes the whole way: propose, propose again, the second person, the books.
func TestARepairTakesTwoPeopleAndIsBookedOnce(t *testing.T) {
	b, g, client := broken(t)
	b.call("CreateTransfers", transfersJSON(100, 1))
	_, operator := b.grpcConn(auth.RoleOperator)
	ask := &watchv1.ProposeRepairRequest{Id: hex(1), Why: "book it back"}
	first, err := client.ProposeRepair(operator, ask)
	if err != nil || len(first.GetTransferIds()) != 1 || first.GetTransfers()[0].GetAmount() != "500" {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := client.ProposeRepair(operator, ask)
	if err != nil || again.GetProposalId() != first.GetProposalId() || again.GetTransferIds()[0] != first.GetTransferIds()[0] {
		t.Errorf("again: %v, %v", again, err)
	}
	if watch.DecimalID(g.breaks[0].Proposal) != first.GetProposalId() || len(g.breaks[0].History) != 2 {
		t.Errorf("with the break: %+v", g.breaks[0])
	}
	conn, admin := b.grpcConn(auth.RoleAdmin)
	books, ledger := ledgerv1.NewBooksServiceClient(conn), ledgerv1.NewLedgerServiceClient(conn)
	operatorConn, _ := b.grpcConn(auth.RoleOperator)
	r, err := ledgerv1.NewBooksServiceClient(operatorConn).Decide(operator, &ledgerv1.DecideRequest{Id: "5", ProposalId: first.GetProposalId(), Verdict: ledgerv1.Verdict_VERDICT_APPROVE})
	if err != nil || r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_SECOND_PERSON_REQUIRED {
		t.Errorf("approved by who proposed: %v, %v", r, err)
	}
	// Rejected, it can be proposed anew, with the same transfer.
	if r, err = books.Decide(admin, &ledgerv1.DecideRequest{Id: "6", ProposalId: first.GetProposalId(), Verdict: ledgerv1.Verdict_VERDICT_REJECT}); err != nil || r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
		t.Fatalf("%v, %v", r, err)
	}
	second, err := client.ProposeRepair(operator, ask)
	if err != nil || second.GetProposalId() == first.GetProposalId() || second.GetTransferIds()[0] != first.GetTransferIds()[0] {
		t.Fatalf("after a rejection: %v, %v", second, err)
	}
	if r, err = books.Decide(admin, &ledgerv1.DecideRequest{Id: "7", ProposalId: second.GetProposalId(), Verdict: ledgerv1.Verdict_VERDICT_APPROVE}); err != nil || r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
		t.Fatalf("%v, %v", r, err)
	}
	booked, err := ledger.LookupTransfers(admin, &ledgerv1.LookupTransfersRequest{Ids: second.GetTransferIds()})
	if err != nil || len(booked.GetTransfers()) != 1 {
		t.Fatalf("%v, %v", booked, err)
	}
	x := booked.GetTransfers()[0]
	if x.GetDebitAccountId() != "2" || x.GetAmount() != "500" || x.GetUserData_128() != watch.DecimalID(watch.KeyOf("order-7")) || x.GetUserData_32() != 1 || x.GetMetadata()["watch_break"].GetText() != hex(1) {
		t.Errorf("booked: %v", x)
	}
	if _, err := client.ProposeRepair(operator, ask); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "was approved") {
		t.Errorf("after it was booked: %v", err)
	}
}

func TestRepairsThatCantBe(t *testing.T) {
	b, g, client := broken(t)
	_, ctx := b.grpcConn(auth.RoleOperator)
	own := func(t *watchv1.RepairTransfer) *watchv1.ProposeRepairRequest {
		return &watchv1.ProposeRepairRequest{Id: hex(2), Why: "x", Transfers: []*watchv1.RepairTransfer{t}}
	}
	for name, c := range map[string]struct {
		ask  *watchv1.ProposeRepairRequest
		says string
	}{
		"no reason":    {&watchv1.ProposeRepairRequest{Id: hex(1)}, "why: want 1 to 64"},
		"long reason":  {&watchv1.ProposeRepairRequest{Id: hex(1), Why: strings.Repeat("x", 65)}, "why: want 1 to 64"},
		"not there":    {&watchv1.ProposeRepairRequest{Id: hex(8), Why: "x"}, "no such break"},
		"ended":        {&watchv1.ProposeRepairRequest{Id: hex(3), Why: "x"}, "is accepted"},
		"no transfers": {&watchv1.ProposeRepairRequest{Id: hex(2), Why: "x"}, "transfers: the watch knows none"},
		"many":         {&watchv1.ProposeRepairRequest{Id: hex(2), Why: "x", Transfers: make([]*watchv1.RepairTransfer, 101)}, "transfers: 101, at most 100"},
		"bad account":  {own(&watchv1.RepairTransfer{DebitAccountId: "x"}), "transfers[0].debitAccountId: "},
		"bad code":     {own(&watchv1.RepairTransfer{Code: 1 << 16}), "transfers[0].code: "},
		"bad asset":    {own(&watchv1.RepairTransfer{DebitAccountId: "1", CreditAccountId: "2", Amount: "1", Asset: "cny", Code: 1}), "transfers[0].asset: "},
	} {
		if _, err := client.ProposeRepair(ctx, c.ask); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if status, _ := b.watchPost(auth.RoleTeller, "ProposeRepair", `{"id":"`+hex(1)+`","why":"x"}`); status != http.StatusForbidden {
		t.Errorf("a teller: %d", status)
	}
	if g.breaks[0].Proposal != (watch.ID{}) || g.breaks[1].Proposal != (watch.ID{}) {
		t.Error("something was proposed")
	}
	// However a number is written, it is the same repair.
	one, err := client.ProposeRepair(ctx, own(&watchv1.RepairTransfer{DebitAccountId: "1", CreditAccountId: "2", Amount: "7", Asset: "CNY/2", Code: 1}))
	if err != nil || one.GetTransfers()[0].GetUserData_128() != "77" {
		t.Fatalf("%v, %v", one, err)
	}
	same, err := client.ProposeRepair(ctx, own(&watchv1.RepairTransfer{DebitAccountId: "01", CreditAccountId: "2", Amount: "0007", Asset: "CNY/2", Code: 1, UserData_128: "077"}))
	if err != nil || same.GetProposalId() != one.GetProposalId() {
		t.Errorf("%v, %v", same, err)
	}
}
