package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

const secret = "c1e5c1e5c1e5c1e5c1e5c1e5c1e5c1e5"

// ledgerOfCells is two cells with a server each, on loopback.
type ledgerOfCells struct {
	t       *testing.T
	m       *router.Map
	banks   map[uint64]*bank
	drivers map[uint64]*router.Driver
	cells   map[uint64]*api.Cells
	next    uint64
}

func openCells(t *testing.T) *ledgerOfCells {
	t.Helper()
	l := &ledgerOfCells{t: t, banks: map[uint64]*bank{}, drivers: map[uint64]*router.Driver{}, cells: map[uint64]*api.Cells{}}
	cells := []router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:1"}}, {ID: 2, Nodes: []string{"127.0.0.1:2"}}}
	l.m = router.Even(cells)
	l.m.Version = 1
	networks := map[uint64]*router.Network{}
	routers := map[uint64]*router.Router{}
	for i := range cells {
		id := cells[i].ID
		networks[id], routers[id] = router.NewNetwork(id, secret, nil), router.NewRouter(id, l.m)
		t.Cleanup(func() { networks[id].Close() })
		l.drivers[id] = router.NewDriver(router.Options{
			Cell: id, Peers: networks[id], Clock: clock.NewSystem(), Random: rand.Reader, Logger: slog.New(slog.DiscardHandler), HoldPatience: 2 * time.Second,
			Owner: func(a money.U128) uint64 { return routers[id].Home(a) },
			Refresh: func(ctx context.Context) error {
				if refresh := l.cells[id].Refresh; refresh != nil {
					return refresh(ctx, 0)
				}
				return nil
			},
		})
		b := openOf(t, id, func(c *api.Config) {
			c.Cells = &api.Cells{Router: routers[id], Driver: l.drivers[id], Network: networks[id], Token: secret}
			l.cells[id] = c.Cells
		})
		l.banks[id] = b
		if err := l.drivers[id].Lead(context.Background(), b.cell.Cell); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.drivers[id].Stand)
		cells[i].Nodes = []string{b.addr}
	}
	m := router.Even(cells)
	m.Version = 2
	for id := range routers {
		routers[id].SetMap(m)
		if err := networks[id].Use(m); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// ids returns n ids of accounts in a cell.
func (l *ledgerOfCells) ids(in uint64, n int) []string {
	var list []string
	for len(list) < n {
		l.next++
		if l.m.Buckets[journal.Bucket(money.From(l.next))] == in {
			list = append(list, fmt.Sprint(l.next))
		}
	}
	return list
}

// open opens accounts by way of cell 1.
func (l *ledgerOfCells) open(ids ...string) {
	l.t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id":"%s","asset":"CNY/2","code":1}`, id))
	}
	if got := l.banks[1].call("CreateAccounts", `{"accounts":[`+strings.Join(list, ",")+`]}`); strings.Count(got, "CREATED") != len(ids) {
		l.t.Fatal(got)
	}
}

func one(id, debit, credit string, amount int, rest string) string {
	return fmt.Sprintf(`{"id":"%s","debitAccountId":"%s","creditAccountId":"%s","amount":"%d","asset":"CNY/2","code":1%s}`, id, debit, credit, amount, rest)
}

func batchOf(list ...string) string { return `{"transfers":[` + strings.Join(list, ",") + `]}` }

// statuses are the short names of an answer's statuses.
func statuses(t *testing.T, body string) (list []string) {
	t.Helper()
	var m struct{ Results []struct{ Status string } }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Results {
		_, short, _ := strings.Cut(r.Status, "_STATUS_")
		list = append(list, short)
	}
	return list
}

// posted is credits less debits of an account, as both nodes tell.
func (l *ledgerOfCells) posted(id string) int64 {
	l.t.Helper()
	var last string
	for n, b := range l.banks {
		body := b.call("LookupAccounts", `{"ids":["`+id+`"]}`)
		var m struct {
			Accounts []struct{ DebitsPosted, CreditsPosted, Asset string }
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil || len(m.Accounts) != 1 || m.Accounts[0].Asset != "CNY/2" {
			l.t.Fatalf("cell %d: %v, %s", n, err, body)
		}
		got := m.Accounts[0].CreditsPosted + "-" + m.Accounts[0].DebitsPosted
		if last != "" && got != last {
			l.t.Errorf("account %s: %s and %s", id, got, last)
		}
		last = got
	}
	var credits, debits int64
	if _, err := fmt.Sscanf(last, "%d-%d", &credits, &debits); err != nil {
		l.t.Fatal(err)
	}
	return credits - debits
}

func (l *ledgerOfCells) quiet() {
	l.t.Helper()
	eventually(l.t, func() bool { return l.drivers[1].Stats().Open+l.drivers[2].Stats().Open == 0 })
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for late := time.After(20 * time.Second); !f(); {
		select {
		case <-late:
			t.Fatal("it does not come to that")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestAnyNodeTakesTransfersOfAllCells(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 2)
	l.open(append(a, b...)...)
	want := []string{"CREATED", "CREATED", "CREATED", "CREATED", "CREDIT_ACCOUNT_NOT_FOUND", "ID_MUST_NOT_BE_ZERO"}
	missing := l.ids(2, 1)[0]
	body := batchOf(one("1001", a[0], a[1], 1, ""), one("1002", a[0], b[0], 20, ""), one("1003", b[0], b[1], 300, ""), one("1004", b[1], a[1], 4000, ""),
		one("1005", a[0], missing, 1, ""), one("0", a[0], b[0], 1, ""))
	for _, n := range []uint64{2, 1} {
		if got := statuses(t, l.banks[n].call("CreateTransfers", body)); !slices.Equal(got, want) {
			t.Errorf("by cell %d: %v, want %v", n, got, want)
		}
		want = []string{"EXISTS", "EXISTS", "EXISTS", "EXISTS", "ID_ALREADY_FAILED", "ID_MUST_NOT_BE_ZERO"}
	}
	l.quiet()
	for id, posted := range map[string]int64{a[0]: -21, a[1]: 4001, b[0]: -280, b[1]: -3700} {
		if got := l.posted(id); got != posted {
			t.Errorf("account %s has %d, want %d", id, got, posted)
		}
	}
	var shown string
	for n, bank := range l.banks {
		found := bank.call("LookupTransfers", `{"ids":["1004","1001","77"]}`)
		list, _, _ := strings.Cut(found, `"position"`)
		if shown != "" && list != shown {
			t.Errorf("the nodes show %s and %s", list, shown)
		}
		shown = list
		var m struct{ Transfers []struct{ ID, Amount string } }
		if err := json.Unmarshal([]byte(found), &m); err != nil || len(m.Transfers) != 2 || m.Transfers[0].ID != "1004" || m.Transfers[1].ID != "1001" {
			t.Errorf("cell %d: %s", n, found)
		}
	}
}

func TestPostsAndVoidsFindTheirTransfer(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 1)[0], l.ids(2, 2)
	l.open(a, b[0], b[1])
	pending := `,"flags":["TRANSFER_FLAG_PENDING"]`
	end := func(id, of, flag string) string {
		return fmt.Sprintf(`{"id":"%s","pendingId":"%s","flags":["TRANSFER_FLAG_%s_PENDING_TRANSFER"]}`, id, of, flag)
	}
	got := statuses(t, l.banks[1].call("CreateTransfers", batchOf(one("1", a, b[0], 10, pending), one("2", b[0], b[1], 20, pending), one("3", b[0], a, 40, pending),
		end("11", "1", "POST"), end("12", "2", "VOID"))))
	if want := []string{"CREATED", "CREATED", "CREATED", "CREATED", "CREATED"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	body := batchOf(end("13", "3", "POST"), end("14", "1", "VOID"), end("15", "99", "POST"))
	for _, want := range [][]string{{"CREATED", "PENDING_TRANSFER_ALREADY_POSTED", "PENDING_TRANSFER_NOT_FOUND"}, {"EXISTS", "PENDING_TRANSFER_ALREADY_POSTED", "ID_ALREADY_FAILED"}} {
		if got := statuses(t, l.banks[1].call("CreateTransfers", body)); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	l.quiet()
	for id, posted := range map[string]int64{a: 30, b[0]: -30, b[1]: 0} {
		if got := l.posted(id); got != posted {
			t.Errorf("account %s has %d, want %d", id, got, posted)
		}
	}
}

func TestWhatCantCrossIsRefused(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 2)
	l.open(append(a, b...)...)
	for name, body := range map[string]string{
		"linked":          batchOf(one("1", a[0], b[0], 1, `,"flags":["TRANSFER_FLAG_LINKED"]`), one("2", a[0], a[1], 1, "")),
		"chain":           batchOf(one("1", a[0], a[1], 1, `,"flags":["TRANSFER_FLAG_LINKED"]`), one("2", b[0], b[1], 1, "")),
		"balancing":       batchOf(one("1", a[0], b[0], 1, `,"flags":["TRANSFER_FLAG_BALANCING_DEBIT"]`)),
		"closing":         batchOf(one("1", a[0], b[0], 1, `,"flags":["TRANSFER_FLAG_PENDING","TRANSFER_FLAG_CLOSING_DEBIT"]`)),
		"fence of nobody": batchOf(`{"id":"1","pendingId":"88","flags":["TRANSFER_FLAG_VOID_PENDING_TRANSFER","TRANSFER_FLAG_FENCE"]}`),
	} {
		status, text := l.banks[1].post("CreateTransfers", l.banks[1].tokens[auth.RoleTeller], body)
		if status == http.StatusOK || !strings.Contains(text, "nothing was recorded") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	status, text := l.banks[1].post("CreateTransaction", l.banks[1].tokens[auth.RoleTeller],
		`{"id":"5","legs":[`+strings.ReplaceAll(one("", a[0], b[0], 1, ""), `"id":"",`, "")+`]}`)
	if status == http.StatusOK || !strings.Contains(text, "of one cell") {
		t.Errorf("a transaction: %d %s", status, text)
	}
	if got := statuses(t, l.banks[1].call("CreateTransfers", batchOf(one("1", a[0], b[0], 1, ""), one("2", a[0], a[1], 1, "")))); !slices.Equal(got, []string{"CREATED", "CREATED"}) {
		t.Errorf("the ids of what was refused: %v", got)
	}
	in2 := `{"id":"6","legs":[` + strings.ReplaceAll(one("", b[0], b[1], 1, ""), `"id":"",`, "") + `]}`
	if got := l.banks[1].call("CreateTransaction", in2); !strings.Contains(got, "CREATED") {
		t.Error(got)
	}
	if got := l.banks[1].call("GetTransaction", `{"id":"6"}`); !strings.Contains(got, `"debitAccountId":"`+b[0]) {
		t.Error(got)
	}
}

func TestAddressesAreUniqueAcrossCells(t *testing.T) {
	l := openCells(t)
	ids := append(l.ids(1, 3), l.ids(2, 3)...)
	taken := 0
	for i, id := range ids {
		body := fmt.Sprintf(`{"accounts":[{"id":"%s","asset":"EUR/2","code":1,"address":"shop:%d"}]}`, id, i%3)
		got := statuses(t, l.banks[uint64(1+i%2)].call("CreateAccounts", body))
		if got[0] == "ADDRESS_TAKEN" {
			taken++
		}
		if again := statuses(t, l.banks[uint64(2-i%2)].call("CreateAccounts", body)); got[0] == "CREATED" && again[0] != "EXISTS" {
			t.Errorf("sent again: %v", again)
		}
	}
	if taken != 3 {
		t.Errorf("%d addresses were taken, want 3", taken)
	}
	for _, b := range l.banks {
		if got := b.call("LookupAddresses", `{"addresses":["shop:2","shop:0","shop:9"]}`); strings.Count(got, `"address":"shop:`) != 2 || strings.Index(got, "shop:2") > strings.Index(got, "shop:0") {
			t.Error(got)
		}
		if got := b.call("ListAccountsByAddress", `{"prefix":"shop:","limit":2}`); !strings.Contains(got, "shop:0") || !strings.Contains(got, "shop:1") || strings.Contains(got, "shop:2") {
			t.Error(got)
		}
		if got := b.call("GetBalanceAsOf", `{"address":"shop:1"}`); !strings.Contains(got, `"asset":"EUR/2"`) {
			t.Error(got)
		}
	}
}

func TestQueriesSeeAllCells(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 1)[0], l.ids(2, 2)
	l.open(a, b[0], b[1])
	for i := range 6 {
		l.banks[1].call("CreateTransfers", batchOf(one(fmt.Sprint(100+i), b[0], b[1], 1, `,"userData64":"5"`)))
	}
	seen := map[string]bool{}
	client, ctx := l.banks[1].grpcClient(auth.RoleReader)
	f := &ledgerv1.QueryFilter{UserData_64: 5, Limit: 2}
	for range 10 {
		page, err := client.QueryTransfers(ctx, &ledgerv1.QueryTransfersRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range page.GetTransfers() {
			if seen[tr.GetId()] {
				t.Errorf("transfer %s twice", tr.GetId())
			}
			seen[tr.GetId()] = true
		}
		if f.TimestampMin = page.GetNextTimestamp(); f.GetTimestampMin() == 0 {
			break
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d transfers, want 6", len(seen))
	}
	accounts, err := client.QueryAccounts(ctx, &ledgerv1.QueryAccountsRequest{Filter: &ledgerv1.QueryFilter{Code: 1, Reversed: true}})
	if err != nil || len(accounts.GetAccounts()) != 3 || !slices.IsSortedFunc(accounts.GetAccounts(), func(x, y *ledgerv1.Account) int { return int(y.GetTimestamp()) - int(x.GetTimestamp()) }) {
		t.Errorf("accounts: %v, %v", accounts, err)
	}
	history, err := client.GetAccountTransfers(ctx, &ledgerv1.GetAccountTransfersRequest{Filter: &ledgerv1.AccountFilter{AccountId: b[1]}, MinPosition: &ledgerv1.Position{Cell: 1, Seq: 1}})
	if err != nil || len(history.GetTransfers()) != 6 || history.GetPosition().GetCell() != 2 {
		t.Errorf("transfers of an account: %v, %v", history, err)
	}
	if got := l.banks[1].call("GetStatement", `{"accountId":"`+b[0]+`"}`); strings.Count(got, `"transfer":`) != 6 {
		t.Error(got)
	}
	if got := l.banks[1].call("Freeze", `{"id":"900","accountId":"`+b[0]+`","mode":"FREEZE_MODE_ALL","reason":"x"}`); !strings.Contains(got, "CREATED") {
		t.Error(got)
	}
	if got := statuses(t, l.banks[2].call("CreateTransfers", batchOf(one("200", b[0], a, 1, "")))); got[0] != "DEBIT_ACCOUNT_FROZEN" {
		t.Error(got)
	}
}

func TestStreamAndPackedFormAcrossCells(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 1)[0], l.ids(2, 1)[0]
	l.open(a, b)
	client, ctx := l.banks[2].grpcClient(auth.RoleTeller)
	stream, err := client.CreateTransfersStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	amount := "7"
	m := &ledgerv1.Transfer{Id: "1", DebitAccountId: a, CreditAccountId: b, Amount: &amount, Asset: "CNY/2", Code: 1}
	if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Sequence: 5, Transfers: []*ledgerv1.Transfer{m}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || answer.GetSequence() != 5 || answer.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
		t.Fatalf("%v, %v", answer, err)
	}
	debit, _ := money.Parse(a)
	credit, _ := money.Parse(b)
	records := journal.Bytes([]journal.Transfer{
		{ID: money.From(2), Debit: debit, Credit: credit, Amount: money.From(3), Asset: 1, Code: 1},
		{ID: money.From(3), Debit: credit, Credit: debit, Amount: money.From(1), Asset: 1, Code: 1},
	})
	packed, err := client.CreateTransfersPacked(ctx, &ledgerv1.CreateTransfersPackedRequest{Records: records})
	if err != nil || packed.GetResults()[0] != 1 || packed.GetResults()[16] != 1 {
		t.Fatalf("%v, %v", packed, err)
	}
	l.quiet()
	if got := l.posted(b); got != 9 {
		t.Errorf("it has %d, want 9", got)
	}
}

func TestScopesHoldInAllCells(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 2)
	var list []string
	for i, id := range []string{a[0], b[0], b[1]} {
		list = append(list, fmt.Sprintf(`{"id":"%s","asset":"CNY/2","code":1,"address":"m:%d:%d"}`, id, 1+i/2, i))
	}
	l.banks[1].call("CreateAccounts", `{"accounts":[`+strings.Join(list, ",")+`]}`)
	token, _, err := auth.CreateToken(l.banks[1].dir, auth.Spec{Name: "shop", Role: auth.RoleTeller, Scope: auth.Scope{AddressPrefixes: []string{"m:1"}}}, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{
		batchOf(one("1", a[0], b[0], 1, "")): http.StatusOK,
		batchOf(one("2", b[0], a[0], 1, "")): http.StatusOK,
		batchOf(one("3", a[0], b[1], 1, "")): http.StatusForbidden,
		batchOf(one("4", b[1], a[0], 1, "")): http.StatusForbidden,
		batchOf(one("5", b[0], b[1], 1, "")): http.StatusForbidden,
	} {
		if status, text := l.banks[1].post("CreateTransfers", token, body); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, text, want)
		}
	}
	if _, text := l.banks[1].post("LookupAccounts", token, `{"ids":["`+b[0]+`","`+b[1]+`"]}`); strings.Count(text, `"id"`) != 1 {
		t.Error(text)
	}
}

func TestOnlyNodesUseTheCellService(t *testing.T) {
	l := openCells(t)
	conn, _ := l.banks[1].grpcConn(auth.RoleAdmin)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for name, token := range map[string]string{"none": "", "an admin's": l.banks[1].tokens[auth.RoleAdmin], "a part of it": secret[:31]} {
		ctx := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		if _, err := cellv1.NewCellServiceClient(conn).Catalogue(ctx, &cellv1.CatalogueRequest{}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	forward := func(role, method string) error {
		_, err := cellv1.NewCellServiceClient(conn).Forward(as, &cellv1.ForwardRequest{
			From: 2, Principal: &cellv1.Principal{Id: make([]byte, 16), Role: role}, Method: method,
		})
		return err
	}
	if err := forward("reader", "/sterling.ledger.v1.LedgerService/LookupAccounts"); err != nil {
		t.Error(err)
	}
	if err := forward("reader", "/sterling.ledger.v1.LedgerService/CreateAccounts"); err == nil {
		t.Error("a reader opens accounts by way of another cell")
	}
	if err := forward("admin", "/sterling.ledger.v1.AdminService/Drain"); err == nil {
		t.Error("what is not forwarded was")
	}
	if err := forward("", "/sterling.ledger.v1.LedgerService/LookupAccounts"); err == nil {
		t.Error("nobody was somebody")
	}
	single := open(t, nil)
	alone, _ := single.grpcConn(auth.RoleAdmin)
	if _, err := cellv1.NewCellServiceClient(alone).Catalogue(as, &cellv1.CatalogueRequest{}); err == nil {
		t.Error("a node without a secret answers")
	}
}

func TestACellThatIsDown(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 1)[0]
	l.open(a[0], a[1], b)
	l.banks[2].shutdown()
	teller := l.banks[1].tokens[auth.RoleTeller]
	if got := statuses(t, l.banks[1].call("CreateTransfers", batchOf(one("1", a[0], a[1], 1, "")))); got[0] != "CREATED" {
		t.Errorf("within a cell: %v", got)
	}
	for _, body := range []string{batchOf(one("2", a[0], b, 1, "")), batchOf(one("3", b, a[0], 1, ""))} {
		if status, text := l.banks[1].post("CreateTransfers", teller, body); status != http.StatusServiceUnavailable || !strings.Contains(text, "send again") {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if got := l.banks[1].call("LookupAccounts", `{"ids":["`+a[0]+`"]}`); !strings.Contains(got, `"debitsPosted":"1"`) || !strings.Contains(got, `"debitsPending":"0"`) {
		t.Error(got)
	}
}

// TestAssetsHaveOneNumber: a node takes transfers in assets that its own cell has never seen.
func TestAssetsHaveOneNumber(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 2)
	open := func(node uint64, asset string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			if got := l.banks[node].call("CreateAccounts", fmt.Sprintf(`{"accounts":[{"id":"%s","asset":"%s","code":1}]}`, id, asset)); !strings.Contains(got, "CREATED") {
				t.Fatal(got)
			}
		}
	}
	open(1, "USD/2", a[0], a[1])
	open(1, "JPY/0", b...)
	usd := strings.ReplaceAll(batchOf(one("1", a[0], a[1], 5, "")), "CNY/2", "USD/2")
	if got := statuses(t, l.banks[2].call("CreateTransfers", usd)); got[0] != "CREATED" {
		t.Error(got)
	}
	jpy := strings.ReplaceAll(batchOf(one("2", b[0], b[1], 5, "")), "CNY/2", "JPY/0")
	if got := statuses(t, l.banks[1].call("CreateTransfers", jpy)); got[0] != "CREATED" {
		t.Error(got)
	}
	mixed := strings.ReplaceAll(batchOf(one("3", a[0], b[0], 5, "")), "CNY/2", "USD/2")
	if got := statuses(t, l.banks[1].call("CreateTransfers", mixed)); got[0] != "ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER" {
		t.Error(got)
	}
	nowhere := strings.ReplaceAll(batchOf(one("4", a[0], b[0], 5, ""), one("5", b[0], a[0], 5, "")), "CNY/2", "XAU/4")
	for _, s := range statuses(t, l.banks[1].call("CreateTransfers", nowhere)) {
		if s != "TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS" && s != "ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER" {
			t.Errorf("an asset that is nowhere: %s", s)
		}
	}
	debit, _ := money.Parse(a[0])
	credit, _ := money.Parse(a[1])
	client, ctx := l.banks[2].grpcClient(auth.RoleTeller)
	packed, err := client.CreateTransfersPacked(ctx, &ledgerv1.CreateTransfersPackedRequest{
		Records: journal.Bytes([]journal.Transfer{{ID: money.From(6), Debit: debit, Credit: credit, Amount: money.From(3), Asset: 1, Code: 1}}),
	})
	if err != nil || packed.GetResults()[0] != 1 {
		t.Errorf("%v, %v", packed, err)
	}
	if one, two := l.banks[1].call("ListAssets", `{}`), l.banks[2].call("ListAssets", `{}`); strings.Split(one, `"position"`)[0] != strings.Split(two, `"position"`)[0] {
		t.Errorf("the catalogues differ: %s and %s", one, two)
	}
}
