package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// named verifies the tokens of a test by their names, and all others as the file says.
type named struct {
	api.Tokens
	tokens map[string]auth.Principal
}

func (n named) Verify(token string, now time.Time) (auth.Principal, error) {
	if p, ok := n.tokens[token]; ok {
		return p, nil
	}
	return n.Tokens.Verify(token, now)
}

// addresses gives accounts addresses by their ids; the rest comes from the cell.
type addresses struct {
	cell  api.Cell
	names map[uint64]string
	asked *int
}

func (a addresses) Describe(ctx context.Context, ids []money.U128) ([]api.AccountScope, error) {
	*a.asked++
	list := make([]api.AccountScope, len(ids))
	for i, id := range ids {
		found, err := a.cell.LookupAccounts(ctx, []money.U128{id})
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			list[i] = api.AccountScope{Asset: found[0].Asset, Address: a.names[id.Lo], Found: true}
		}
	}
	return list, nil
}

// scopedBank has a merchant's accounts 1 and 2 and another's 3, in CNY/2, and 4 in EUR/2; their transfers are 10
// (1 to 2), 11 (1 to 3) and 12 (3 to 5). "yuan" sees CNY/2, "shop" the addresses of 1 and 2.
func scopedBank(t *testing.T) (b *bank, asked *int) {
	t.Helper()
	asked = new(int)
	b = open(t, func(c *api.Config) {
		tokens := map[string]auth.Principal{}
		for name, scope := range map[string]auth.Scope{
			"yuan": {Assets: []string{"CNY/2"}}, "shop": {AddressPrefixes: []string{"m:1:"}}, "till": {Assets: []string{"CNY/2", "JPY/0"}},
		} {
			tokens[name] = auth.Principal{Name: name, Role: auth.RoleOperator, Scope: &scope}
		}
		tokens["slow"] = auth.Principal{Name: "slow", Role: auth.RoleTeller, Limiter: auth.NewLimiter(0.001, 0)}
		tokens["small"] = auth.Principal{Name: "small", Role: auth.RoleTeller, Limiter: auth.NewLimiter(0, 2)}
		c.Tokens = named{c.Tokens, tokens}
		c.Accounts = addresses{c.Cell, map[uint64]string{1: "m:1:a", 2: "m:1:b", 3: "m:2:a", 5: "m:2:b"}, asked}
	})
	b.call("CreateAccounts", `{"accounts":[{"id":"1","asset":"CNY/2","code":1,"flags":["ACCOUNT_FLAG_HISTORY"]},{"id":"2","asset":"CNY/2","code":1},
		{"id":"3","asset":"CNY/2","code":1,"flags":["ACCOUNT_FLAG_HISTORY"]},{"id":"4","asset":"EUR/2","code":1},{"id":"5","asset":"CNY/2","code":1},{"id":"6","asset":"EUR/2","code":1}]}`)
	b.call("CreateTransfers", `{"transfers":[{"id":"10","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1},
		{"id":"11","debitAccountId":"1","creditAccountId":"3","amount":"2","asset":"CNY/2","code":1},
		{"id":"12","debitAccountId":"3","creditAccountId":"5","amount":"3","asset":"CNY/2","code":1},
		{"id":"13","debitAccountId":"4","creditAccountId":"6","amount":"4","asset":"EUR/2","code":1},
		{"id":"20","debitAccountId":"1","creditAccountId":"2","amount":"5","asset":"CNY/2","code":1,"flags":["TRANSFER_FLAG_PENDING"]},
		{"id":"21","debitAccountId":"3","creditAccountId":"5","amount":"6","asset":"CNY/2","code":1,"flags":["TRANSFER_FLAG_PENDING"]}]}`)
	return b, asked
}

// rows returns what a listing shows, as id or debit>credit of each row.
func rows(t *testing.T, body string) string {
	t.Helper()
	var list struct {
		Accounts  []struct{ ID string }
		Transfers []struct{ ID, DebitAccountID, CreditAccountID string }
		Freezes   []struct{ ID string }
		Assets    []struct{ Name string }
		Balances  []struct{ Timestamp string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var out []string
	for _, a := range list.Accounts {
		out = append(out, a.ID)
	}
	for _, x := range list.Transfers {
		out = append(out, x.ID+":"+x.DebitAccountID+">"+x.CreditAccountID)
	}
	for _, f := range list.Freezes {
		out = append(out, f.ID)
	}
	for _, a := range list.Assets {
		out = append(out, a.Name)
	}
	for range list.Balances {
		out = append(out, "balance")
	}
	return strings.Join(out, " ")
}

func TestScopedReadsShowOnlyWhatIsInScope(t *testing.T) {
	b, asked := scopedBank(t)
	b.call("Freeze", `{"id":"1000","mode":"FREEZE_MODE_DEBIT","accountId":"1"}`)
	b.call("Freeze", `{"id":"1001","mode":"FREEZE_MODE_DEBIT","accountId":"4"}`)
	b.call("Freeze", `{"id":"1002","mode":"FREEZE_MODE_DEBIT","transferCode":9}`)
	*asked = 0
	for _, c := range []struct{ method, body, admin, yuan, shop string }{
		{"LookupAccounts", `{"ids":["4","3","2","1","99"]}`, "4 3 2 1", "3 2 1", "2 1"},
		{
			"LookupTransfers", `{"ids":["10","11","12","13","99"]}`,
			"10:1>2 11:1>3 12:3>5 13:4>6", "10:1>2 11:1>3 12:3>5", "10:1>2 11:1>0",
		},
		{
			"GetAccountTransfers", `{"filter":{"accountId":"1"}}`,
			"10:1>2 11:1>3 20:1>2", "10:1>2 11:1>3 20:1>2", "10:1>2 11:1>0 20:1>2",
		},
		{"GetAccountTransfers", `{"filter":{"accountId":"3"}}`, "11:1>3 12:3>5 21:3>5", "11:1>3 12:3>5 21:3>5", ""},
		{"GetAccountTransfers", `{"filter":{"accountId":"4"}}`, "13:4>6", "", ""},
		{"GetAccountBalances", `{"filter":{"accountId":"3","limit":1}}`, "balance", "balance", ""},
		{"QueryAccounts", `{}`, "1 2 3 4 5 6", "1 2 3 5", "1 2"},
		{"QueryAccounts", `{"filter":{"reversed":true}}`, "6 5 4 3 2 1", "5 3 2 1", "2 1"},
		{"QueryAccounts", `{"filter":{"asset":"EUR/2"}}`, "4 6", "", ""},
		{"QueryTransfers", `{"filter":{"timestampMin":"1"}}`, "10:1>2 11:1>3 12:3>5 13:4>6 20:1>2 21:3>5", "10:1>2 11:1>3 12:3>5 20:1>2 21:3>5", "10:1>2 11:1>0 20:1>2"},
		{"ListFreezes", `{}`, "1000 1001 1002", "1000", "1000"},
		{"ListAssets", `{}`, "CNY/2 EUR/2", "CNY/2", "CNY/2 EUR/2"},
	} {
		for token, want := range map[string]string{b.tokens[auth.RoleAdmin]: c.admin, "yuan": c.yuan, "shop": c.shop} {
			code, body := b.post(c.method, token, c.body)
			if got := rows(t, body); code != http.StatusOK || got != want {
				t.Errorf("%s %s as %.8s: %d %q, want %q", c.method, c.body, token, code, got, want)
			}
		}
	}
	*asked = 0
	b.call("LookupAccounts", `{"ids":["1"]}`)
	b.call("CreateTransfers", transfersJSON(500, 3))
	if *asked != 0 {
		t.Errorf("%d look-ups for a caller without a scope", *asked)
	}
}

// TestScopedHistory: the past of an account outside of the scope is as if it were not there, and the other account of a
// statement's row is hidden where it is outside.
func TestScopedHistory(t *testing.T) {
	b, _ := scopedBank(t)
	code, text := b.post("GetStatement", "shop", `{"accountId":"1"}`)
	var st struct {
		Rows []struct {
			Transfer struct{ ID, DebitAccountID, CreditAccountID string }
		}
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil || code != http.StatusOK || len(st.Rows) != 3 {
		t.Fatalf("%d %s, %v", code, text, err)
	}
	if st.Rows[0].Transfer.CreditAccountID != "2" || st.Rows[1].Transfer.CreditAccountID != "0" || st.Rows[1].Transfer.DebitAccountID != "1" {
		t.Errorf("statement %s", text)
	}
	if code, text := b.post("GetBalanceAsOf", "shop", `{"accountId":"2"}`); code != http.StatusOK {
		t.Errorf("an account in scope: %d %s", code, text)
	}
	for _, c := range [][2]string{{"GetStatement", `{"accountId":"3"}`}, {"GetBalanceAsOf", `{"accountId":"3"}`}, {"GetStatement", `{"accountId":"99"}`}} {
		if code, text := b.post(c[0], "shop", c[1]); code != http.StatusNotFound || !strings.Contains(text, "there is no account") {
			t.Errorf("%s %s: %d %s", c[0], c[1], code, text)
		}
	}
	if code, text := b.post("QueryByMetadata", "shop", `{}`); code != http.StatusForbidden {
		t.Errorf("a method that does not heed scopes: %d %s", code, text)
	}
}

func TestScopedPagesGoOnWhereTheScopeLeftNothing(t *testing.T) {
	b, _ := scopedBank(t)
	var seen []string
	from := "0"
	for range 20 {
		_, body := b.post("QueryTransfers", "shop", `{"filter":{"limit":1,"timestampMin":"`+from+`"}}`)
		if r := rows(t, body); r != "" {
			seen = append(seen, r)
		}
		var page struct{ NextTimestamp string }
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		if from = page.NextTimestamp; from == "0" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "10:1>2 11:1>0 20:1>2" || from != "0" {
		t.Errorf("pages of one: %q, at the end %s", got, from)
	}
}

func TestScopedWrites(t *testing.T) {
	b, _ := scopedBank(t)
	move := func(id, debit, credit, more string) string {
		return `{"id":"` + id + `","debitAccountId":"` + debit + `","creditAccountId":"` + credit + `","amount":"1","asset":"CNY/2","code":1` + more + `}`
	}
	settle := func(id, pending, flag string) string {
		return `{"id":"` + id + `","pendingId":"` + pending + `","flags":["TRANSFER_FLAG_` + flag + `"]}`
	}
	const post, void, pending = "POST_PENDING_TRANSFER", "VOID_PENDING_TRANSFER", `,"flags":["TRANSFER_FLAG_PENDING"]`
	good := move("30", "1", "2", "")
	for name, c := range map[string]struct{ token, events, refused string }{
		"both in scope":             {"shop", good, ""},
		"credit outside":            {"shop", good + "," + move("31", "1", "3", ""), "transfers[1]"},
		"debit outside":             {"shop", move("32", "3", "1", ""), "transfers[0]"},
		"no such account":           {"shop", move("33", "1", "99", ""), "transfers[0]"},
		"other asset":               {"yuan", move("34", "4", "6", ""), "transfers[0]"},
		"post in scope":             {"shop", settle("35", "20", post), ""},
		"void outside":              {"shop", settle("36", "21", void), "transfers[0]"},
		"void of nothing":           {"shop", settle("37", "77", void), "transfers[0]"},
		"void with another's names": {"shop", strings.Replace(settle("38", "21", void), `{`, `{"debitAccountId":"1","creditAccountId":"2",`, 1), "transfers[0]"},
		"reserve and post at once":  {"shop", move("40", "1", "2", pending) + "," + settle("41", "40", post), ""},
		// An id that is taken outside of the scope is not made one's own by asking for it first.
		"a reservation's id taken outside": {"shop", move("21", "1", "2", pending) + "," + settle("42", "21", void), "transfers[1]"},
	} {
		code, body := b.post("CreateTransfers", c.token, `{"transfers":[`+c.events+`]}`)
		if c.refused == "" && code != http.StatusOK || c.refused != "" && (code != http.StatusForbidden ||
			!strings.Contains(body, c.refused+": is not within the token's scope; no event") || !strings.Contains(body, "permission_denied")) {
			t.Errorf("%s: %d %s, want %q", name, code, body, c.refused)
		}
	}
	if got := rows(t, b.call("LookupTransfers", `{"ids":["31","32","33","34","36","37","38","42"]}`)); got != "" {
		t.Errorf("transfers of refused calls were recorded: %s", got)
	}
	outside, _ := b.post("CreateTransfers", "shop", `{"transfers":[`+move("50", "1", "3", "")+`]}`)
	nowhere, _ := b.post("CreateTransfers", "shop", `{"transfers":[`+move("50", "1", "99", "")+`]}`)
	if outside != nowhere {
		t.Error("an account outside of the scope can be told from none")
	}
}

func TestScopedAccounts(t *testing.T) {
	b, _ := scopedBank(t)
	account := func(id, asset string) string { return `{"id":"` + id + `","asset":"` + asset + `","code":1}` }
	for name, c := range map[string]struct{ token, events, refused string }{
		"asset in scope":           {"yuan", account("60", "CNY/2"), ""},
		"asset outside":            {"yuan", account("61", "CNY/2") + "," + account("62", "EUR/2"), "accounts[1]"},
		"new asset outside":        {"yuan", account("63", "GBP/2"), "accounts[0]"},
		"new asset that is named":  {"till", account("64", "JPY/0"), ""},
		"the id of one outside":    {"yuan", account("4", "CNY/2"), "accounts[0]"},
		"no address in that scope": {"shop", account("65", "CNY/2"), "accounts[0]"},
	} {
		code, body := b.post("CreateAccounts", c.token, `{"accounts":[`+c.events+`]}`)
		if c.refused == "" && code != http.StatusOK || c.refused != "" && (code != http.StatusForbidden || !strings.Contains(body, c.refused)) {
			t.Errorf("%s: %d %s, want %q", name, code, body, c.refused)
		}
	}
	if got := rows(t, b.call("ListAssets", `{}`)); got != "CNY/2 EUR/2 JPY/0" {
		t.Errorf("assets %s", got)
	}
}

func TestControlsTakeATokenWithoutAScope(t *testing.T) {
	b, _ := scopedBank(t)
	for _, method := range []string{"Freeze", "Unfreeze", "SetVelocityLimits", "RegisterAssets", "Status", "AcceptClock"} {
		if code, body := b.post(method, "yuan", `{}`); code != http.StatusForbidden || !strings.Contains(body, "has a scope") {
			t.Errorf("%s: %d %s", method, code, body)
		}
	}
}

func TestRateLimits(t *testing.T) {
	b, _ := scopedBank(t)
	if code, body := b.post("LookupAccounts", "slow", `{"ids":["1"]}`); code != http.StatusOK {
		t.Fatalf("the first call: %d %s", code, body)
	}
	code, body := b.post("LookupAccounts", "slow", `{"ids":["1"]}`)
	if code != http.StatusTooManyRequests || !strings.Contains(body, "calls per second are used up") || !strings.Contains(body, "google.rpc.RetryInfo") {
		t.Errorf("the second call: %d %s", code, body)
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+b.addr+"/sterling.ledger.v1.LedgerService/LookupAccounts", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer slow")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if after, err := strconv.Atoi(response.Header.Get("Retry-After")); err != nil || after < 900 || after > 1000 {
		t.Errorf("Retry-After: %q, want about 1000", response.Header.Get("Retry-After"))
	}
	client, ctx := b.grpcClient(0)
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("authorization", "Bearer slow"))
	_, err = client.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: []string{"1"}})
	s := status.Convert(err)
	if s.Code() != codes.ResourceExhausted || len(s.Details()) != 2 {
		t.Fatalf("gRPC: %v", err)
	}
	if d := s.Details()[0].(*ledgerv1.ErrorDetail); d.GetReason() != ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED {
		t.Errorf("detail %v", d)
	}
	if d := s.Details()[1].(*errdetails.RetryInfo).GetRetryDelay().AsDuration(); d < 900*time.Second || d > 1000*time.Second {
		t.Errorf("retry after %v, want about 1000 s", d)
	}
	if code, body := b.post("LookupAccounts", "small", `{"ids":["1","2","3"]}`); code != http.StatusTooManyRequests || !strings.Contains(body, "more events than") || strings.Contains(body, "RetryInfo") {
		t.Errorf("more than ever allowed: %d %s", code, body)
	}
	if code, body := b.post("LookupAccounts", "small", `{"ids":["1","2"]}`); code != http.StatusOK {
		t.Errorf("a second's worth: %d %s", code, body)
	}
	if code, _ := b.post("LookupAccounts", "small", `{"ids":["1"]}`); code != http.StatusTooManyRequests {
		t.Errorf("more: %d", code)
	}
}

// TestIdleStreamEndsWithItsToken needs no message to find out.
func TestIdleStreamEndsWithItsToken(t *testing.T) {
	b := open(t, nil)
	client, ctx := b.grpcClient(auth.RoleTeller)
	stream, err := client.CreateTransfersStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	b.revocable.revoked.Store(true)
	began := time.Now()
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("err = %v, want Unauthenticated", err)
	}
	if d := time.Since(began); d > auth.ReloadInterval {
		t.Errorf("it took %v, want at most %v", d, auth.ReloadInterval)
	}
}
