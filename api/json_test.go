package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
)

func TestJSONMovesMoney(t *testing.T) {
	b := open(t, nil)
	const position = `"position":{"cell":"7","seq":"…"}`
	for _, c := range []struct{ method, request, want string }{
		{
			"CreateAccounts", `{"accounts":[{"id":"1","asset":"CNY/2","code":1,"flags":["ACCOUNT_FLAG_HISTORY"]},{"id":"2","asset":"CNY/2","code":1},{"id":"0"}]}`,
			`{` + position + `,"results":[{"status":"CREATE_ACCOUNT_STATUS_CREATED","timestamp":"…"},{"status":"CREATE_ACCOUNT_STATUS_CREATED","timestamp":"…"},{"status":"CREATE_ACCOUNT_STATUS_ID_MUST_NOT_BE_ZERO","timestamp":"…"}]}`,
		},
		{
			"CreateTransfers", `{"transfers":[{"id":"10","debitAccountId":"1","creditAccountId":"2","amount":"100","asset":"CNY/2","code":1,"flags":["TRANSFER_FLAG_PENDING"],"timeout":60,"userData128":"340282366920938463463374607431768211455"},{"id":"11","debitAccountId":"1","creditAccountId":"9","amount":"1","asset":"USD/2","code":1}]}`,
			`{` + position + `,"results":[{"status":"CREATE_TRANSFER_STATUS_CREATED","timestamp":"…"},{"status":"CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND","timestamp":"…"}]}`,
		},
		{
			"CreateTransfers", `{"transfers":[{"id":"12","pendingId":"10","flags":["TRANSFER_FLAG_POST_PENDING_TRANSFER"]}]}`,
			`{` + position + `,"results":[{"status":"CREATE_TRANSFER_STATUS_CREATED","timestamp":"…"}]}`,
		},
		{
			"LookupAccounts", `{"ids":["2","5","1"]}`,
			`{"accounts":[{"address":"","asset":"CNY/2","code":1,"creditsPending":"0","creditsPosted":"100","debitsPending":"0","debitsPosted":"0","flags":[],"id":"2","metadata":{},"timestamp":"…","userData128":"0","userData32":0,"userData64":"0"},` +
				`{"address":"","asset":"CNY/2","code":1,"creditsPending":"0","creditsPosted":"0","debitsPending":"0","debitsPosted":"100","flags":["ACCOUNT_FLAG_HISTORY"],"id":"1","metadata":{},"timestamp":"…","userData128":"0","userData32":0,"userData64":"0"}],` + position + `}`,
		},
		{
			"LookupTransfers", `{"ids":["12"]}`,
			`{` + position + `,"transfers":[{"amount":"100","asset":"CNY/2","bookingDate":"","code":1,"creditAccountId":"2","debitAccountId":"1","flags":["TRANSFER_FLAG_POST_PENDING_TRANSFER"],"id":"12","metadata":{},"pendingId":"10","timeout":0,"timestamp":"…","userData128":"340282366920938463463374607431768211455","userData32":0,"userData64":"0"}]}`,
		},
		{"LookupTransfers", `{"ids":["99"]}`, `{` + position + `,"transfers":[]}`},
		{"CreateTransfers", `{}`, `{` + position + `,"results":[]}`},
		{"ListAssets", `{}`, `{"assets":[{"name":"CNY/2","number":1,"scale":2}],` + position + `}`},
		{"RegisterAssets", `{"assets":["JPY/0","CNY/2"]}`, `{"assets":[{"name":"JPY/0","number":2,"scale":0},{"name":"CNY/2","number":1,"scale":2}],` + position + `}`},
		{
			"GetAccountBalances", `{"filter":{"accountId":"1"}}`,
			`{"balances":[{"creditsPending":"0","creditsPosted":"0","debitsPending":"100","debitsPosted":"0","timestamp":"…"},{"creditsPending":"0","creditsPosted":"0","debitsPending":"0","debitsPosted":"100","timestamp":"…"}],"nextTimestamp":"0",` + position + `}`,
		},
		{"GetAccountBalances", `{"filter":{"accountId":"3"}}`, `{"balances":[],"nextTimestamp":"0",` + position + `}`},
	} {
		if got := canonical(t, b.call(c.method, c.request)); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.method, c.request, got, c.want)
		}
	}
}

// TestShortWayAnswersAsConnectDoes sends the same requests by the short way and,
// with a header of Connect's protocol, through connect-go.
func TestShortWayAnswersAsConnectDoes(t *testing.T) {
	b := open(t, nil)
	b.seed()
	token := b.tokens[auth.RoleTeller]
	for _, c := range []struct{ method, body string }{
		{"CreateTransfers", `{"transfers":[{"id":"1","debitAccountId":"1","creditAccountId":"1","amount":"1"}]}`},
		{"CreateTransfers", `{"transfers":[]}`},
		{"CreateTransfers", ``},
		{"CreateTransfers", `{`},
		{"CreateTransfers", `{"transfers":[{"amount":"x"}]}`},
		{"CreateTransfers", `{"transfers":[{"id":"1"}]}`},
		{"CreateTransfers", `{"nonsense":1}`},
		{"CreateAccounts", `{"accounts":[{"asset":"yuan"}]}`},
		{"CreateAccounts", `{"accounts":[{"id":"1"}]}`},
		{"CreateAccountsPacked", `{"records":"AAAA"}`},
		{"CreateTransfersPacked", `{"records":""}`},
		{"LookupAccounts", `{"ids":["1","2"]}`},
		{"LookupAccounts", `{"ids":[1]}`},
		{"LookupAccountsPacked", `{"ids":"AQAAAAAAAAAAAAAAAAAAAA=="}`},
		{"LookupTransfers", `{"ids":["1"]}`},
	} {
		short, shortBody := b.post(c.method, token, c.body)
		long, longBody := b.post(c.method, token, c.body, "Connect-Protocol-Version", "1", "Connect-Timeout-Ms", "20000")
		if short != long || canonical(t, shortBody) != canonical(t, longBody) {
			t.Errorf("%s %s:\nshort way %d %s\nconnect   %d %s", c.method, c.body, short, shortBody, long, longBody)
		}
	}
}

func TestJSONErrorsSayWhatAndWhere(t *testing.T) {
	b := open(t, nil)
	b.seed()
	for _, c := range []struct {
		method, body string
		status       int
		code, want   string
	}{
		{"CreateTransfers", `{"transfers":[{"amount":"1"},{"amount":"1","id":"x"}]}`, 400, "invalid_argument", `transfers[1].id: want decimal digits, such as "100"`},
		{"CreateTransfers", `{"transfers":[{"amount":"1","flags":["TRANSFER_FLAG_MAGIC"]}]}`, 400, "invalid_argument", `transfers[0].flags: "TRANSFER_FLAG_MAGIC" is unknown`},
		{"CreateTransfers", transfersJSON(1, api.MaxEvents+1), 400, "invalid_argument", "transfers: more than 8190 in one call: send them in several"},
		{"LookupAccounts", `{"ids":["` + strings.Repeat("1", api.DefaultLimits().Message) + `"]}`, 429, "resource_exhausted", "the request is larger than 4194304 bytes: send its events in several calls"},
		{"GetAccountTransfers", `{}`, 400, "invalid_argument", "filter.accountId: is missing"},
		{"GetAccountTransfers", `{"filter":{"accountId":"1","limit":8191}}`, 400, "invalid_argument", "filter.limit: want 1 to 8190"},
		{"GetAccountTransfers", `{"filter":{"accountId":"1","code":65536}}`, 400, "invalid_argument", "filter.code: want a whole number from 0 to 65535"},
		{"GetAccountTransfers", `{"filter":{"accountId":"1","timestampMin":"2","timestampMax":"1"}}`, 400, "invalid_argument", "filter: "},
		{"QueryTransfers", `{"minPosition":{"cell":"7","seq":"999999"}}`, 400, "invalid_argument", "minPosition.seq: the journal's head is"},
		{"QueryTransfers", `{"minPosition":{"cell":"8","seq":"1"}}`, 400, "invalid_argument", "minPosition.cell: this is cell 7, not 8"},
		{"QueryTransfers", `{"filter":{"asset":"yuan"}}`, 400, "invalid_argument", "filter.asset: "},
		{"QueryTransfers", `{"filter":{"color":"red"}}`, 400, "invalid_argument", "unknown field"},
		{"Freeze", `{"id":"1","mode":7}`, 400, "invalid_argument", "mode: 7 is unknown"},
		{"Freeze", `{"id":"1","reason":"` + strings.Repeat("x", 65) + `"}`, 400, "invalid_argument", "reason: want up to 64 bytes"},
		{"SetVelocityLimits", `{"limits":[{"id":"1","amountPerDay":"-1"}]}`, 400, "invalid_argument", "limits[0].amountPerDay: want decimal digits"},
		{"RegisterAssets", `{"assets":["yuan"]}`, 400, "invalid_argument", "assets[0]: "},
		{"Nonsense", `{}`, 501, "unimplemented", "there is no method /sterling.ledger.v1.LedgerService/Nonsense"},
		{"CreateTransfersStream", `{}`, 501, "unimplemented", "this method is a bidirectional stream"},
	} {
		status, body := b.post(c.method, b.tokens[auth.RoleAdmin], c.body)
		var e struct{ Code, Message string }
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("%s: %d %s: %v", c.method, status, body, err)
		}
		if status != c.status || e.Code != c.code || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %d %s %q, want %d %s %q", c.method, status, e.Code, e.Message, c.status, c.code, c.want)
		}
	}
	b.call("CreateTransfers", transfersJSON(100, 1)) // the server goes on
}

func TestOtherFormsOfAPost(t *testing.T) {
	b := open(t, nil)
	b.seed()
	token := b.tokens[auth.RoleReader]
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, `{"ids":["1"]}`); err != nil || w.Close() != nil {
		t.Fatal("compress the request")
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
	}{
		"with a charset":         {`{"ids":["1"]}`, []string{"Content-Type", "application/json; charset=utf-8"}, 200},
		"compressed":             {zipped.String(), []string{"Content-Encoding", "gzip"}, 200},
		"of an unknown encoding": {`{"ids":["1"]}`, []string{"Content-Encoding", "lzma"}, 501},
		"of an unknown type":     {`{"ids":["1"]}`, []string{"Content-Type", "text/plain"}, 415},
		"of a later protocol":    {`{"ids":["1"]}`, []string{"Connect-Protocol-Version", "2"}, 400},
	} {
		status, body := b.post("LookupAccounts", token, c.body, c.headers...)
		if status != c.status || status == 200 && !strings.Contains(body, `"id":"1"`) {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}
	get, err := http.Get("http://" + b.addr + "/sterling.ledger.v1.LedgerService/LookupAccounts")
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	if get.StatusCode != http.StatusMethodNotAllowed || get.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", get.StatusCode, get.Header.Get("Allow"))
	}
}

func TestHandlersOnTheSamePort(t *testing.T) {
	b := open(t, nil)
	for path, want := range map[string]int{"/healthz": 200, "/nowhere": 404} {
		r, err := http.Get("http://" + b.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, want)
		}
	}
}

func TestQueriesPage(t *testing.T) {
	b := open(t, nil)
	b.seed()
	b.call("CreateAccounts", `{"accounts":[{"id":"3","asset":"JPY/0","code":2,"userData64":"9"}]}`)
	b.call("CreateTransfers", transfersJSON(100, 5))
	ids := func(text, list string) (ids []string, next string) {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		for _, e := range m[list].([]any) {
			ids = append(ids, e.(map[string]any)["id"].(string))
		}
		return ids, m["nextTimestamp"].(string)
	}
	for _, c := range []struct{ method, list, filter, want string }{
		{"GetAccountTransfers", "transfers", `"accountId":"1","limit":3`, "100 101 102"},
		{"GetAccountTransfers", "transfers", `"accountId":"1","reversed":true,"limit":3`, "104 103 102"},
		{"GetAccountTransfers", "transfers", `"accountId":"1","credits":true`, ""},
		{"GetAccountTransfers", "transfers", `"accountId":"4"`, ""},
		{"QueryTransfers", "transfers", `"asset":"CNY/2","limit":2`, "100 101"},
		{"QueryTransfers", "transfers", `"asset":"XXX/2"`, ""},
		{"QueryAccounts", "accounts", `"limit":2`, "1 2"},
		{"QueryAccounts", "accounts", `"reversed":true,"limit":2`, "3 2"},
		{"QueryAccounts", "accounts", `"code":2`, "2 3"},
		{"QueryAccounts", "accounts", `"userData64":"9"`, "2 3"},
		{"QueryAccounts", "accounts", `"userData64":"9","asset":"JPY/0"`, "3"},
		{"QueryAccounts", "accounts", `"userData64":"8"`, ""},
	} {
		got, _ := ids(b.call(c.method, `{"filter":{`+c.filter+`}}`), c.list)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: %v, want %s", c.method, c.filter, got, c.want)
		}
	}
	first, next := ids(b.call("QueryAccounts", `{"filter":{"limit":2}}`), "accounts")
	second, _ := ids(b.call("QueryAccounts", `{"filter":{"limit":2,"timestampMin":"`+next+`"}}`), "accounts")
	if strings.Join(append(first, second...), " ") != "1 2 3" {
		t.Errorf("pages: %v %v", first, second)
	}
}

func TestControls(t *testing.T) {
	b := open(t, nil)
	b.seed()
	as := func(role auth.Role, method, body string) string {
		t.Helper()
		status, text := b.post(method, b.tokens[role], body)
		if status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, body, status, text)
		}
		return canonical(t, text)
	}
	want := func(got, part string) {
		t.Helper()
		if !strings.Contains(got, part) {
			t.Errorf("%s\ndoes not contain %s", got, part)
		}
	}
	want(as(auth.RoleOperator, "Freeze", `{"id":"1","accountId":"1","mode":"FREEZE_MODE_DEBIT","reason":"案件 7"}`), `"status":"CONTROL_STATUS_CREATED"`)
	want(as(auth.RoleOperator, "Freeze", `{"id":"2","transferCode":9,"mode":"FREEZE_MODE_ALL"}`), `"status":"CONTROL_STATUS_CREATED"`)
	want(as(auth.RoleOperator, "Freeze", `{"id":"3","mode":"FREEZE_MODE_ALL"}`), `"status":"CONTROL_STATUS_SELECTOR_INVALID"`)
	want(as(auth.RoleReader, "ListFreezes", `{}`), `"accountId":"1"`)
	want(as(auth.RoleReader, "ListFreezes", `{}`), `"reason":"案件 7"`)
	want(as(auth.RoleReader, "ListFreezes", `{}`), `"transferCode":9`)
	want(b.call("CreateTransfers", transfersJSON(100, 1)), "CREATE_TRANSFER_STATUS_DEBIT_ACCOUNT_FROZEN")
	want(as(auth.RoleOperator, "Unfreeze", `{"id":"11","freezeId":"1"}`), "CONTROL_STATUS_SECOND_PERSON_REQUIRED")
	want(as(auth.RoleAdmin, "Unfreeze", `{"id":"12","freezeId":"1","reason":"closed"}`), "CONTROL_STATUS_CREATED")
	want(b.call("CreateTransfers", transfersJSON(101, 1)), "CREATE_TRANSFER_STATUS_CREATED")
	want(as(auth.RoleOperator, "SetVelocityLimits", `{"limits":[{"id":"1","accountId":"1","side":"TRANSFER_SIDE_DEBIT","countPerDay":1}]}`), "CONTROL_STATUS_CREATED")
	b.call("CreateTransfers", transfersJSON(102, 1))
	want(b.call("CreateTransfers", transfersJSON(103, 1)), "CREATE_TRANSFER_STATUS_EXCEEDS_DEBIT_VELOCITY_LIMIT")
	want(as(auth.RoleReader, "Status", `{}`), `"clock":"CLOCK_STATE_HELD"`)
	as(auth.RoleOperator, "AcceptClock", `{}`)
	if b.node.accepted.Load() != 1 {
		t.Error("the clock was not accepted")
	}
}
