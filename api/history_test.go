package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// ask calls a method and reads its answer.
func ask[T proto.Message](b *bank, into T, method, request string) T {
	b.t.Helper()
	if err := protojson.Unmarshal([]byte(b.call(method, request)), into); err != nil {
		b.t.Fatal(err)
	}
	return into
}

// past opens accounts with addresses and metadata, moves money on several booking dates and leaves a reservation open.
func (b *bank) past() {
	b.t.Helper()
	b.call("CreateAccounts", `{"accounts":[
		{"id":"1","asset":"CNY/2","code":1,"address":"merchant:1:main","metadata":{"tier":{"text":"gold"},"risk":{"integer":"3"}}},
		{"id":"2","asset":"CNY/2","code":2,"address":"merchant:2:main","metadata":{"tier":{"text":"gold"}}},
		{"id":"3","asset":"CNY/2","code":2,"address":"user:3"}]}`)
	yesterday := time.Now().UTC().Add(-24 * time.Hour).Format(time.DateOnly)
	answer := b.call("CreateTransfers", `{"transfers":[
		{"id":"10","debitAccountId":"1","creditAccountId":"2","amount":"100","asset":"CNY/2","code":1,"metadata":{"order":{"text":"a1"}}},
		{"id":"11","debitAccountId":"1","creditAccountId":"2","amount":"40","asset":"CNY/2","code":1,"bookingDate":"`+yesterday+`"},
		{"id":"12","debitAccountId":"1","creditAccountId":"2","amount":"30","asset":"CNY/2","code":7,"flags":["TRANSFER_FLAG_PENDING"]},
		{"id":"13","debitAccountId":"1","creditAccountId":"2","amount":"50","asset":"CNY/2","code":7,"flags":["TRANSFER_FLAG_PENDING"]},
		{"id":"14","pendingId":"13","amount":"20","flags":["TRANSFER_FLAG_POST_PENDING_TRANSFER"]}]}`)
	if strings.Count(answer, "STATUS_CREATED") != 5 {
		b.t.Fatal(answer)
	}
}

func TestBalancesAsOf(t *testing.T) {
	b := open(t, nil)
	b.past()
	transfers := ask(b, &ledgerv1.LookupTransfersResponse{}, "LookupTransfers", `{"ids":["10","11","12"]}`).GetTransfers()
	for _, c := range []struct {
		moment string
		want   string
	}{
		{`"timestamp":"1"`, "0 0 0 0"},
		{fmt.Sprintf(`"timestamp":"%d"`, transfers[0].GetTimestamp()-1), "0 0 0 0"},
		{fmt.Sprintf(`"timestamp":"%d"`, transfers[0].GetTimestamp()), "0 100 0 0"},
		{fmt.Sprintf(`"timestamp":"%d"`, transfers[2].GetTimestamp()), "0 140 0 30"},
		{`"timestamp":"0"`, "0 160 0 30"},
		{`"bookingDate":"` + time.Now().UTC().Add(-24*time.Hour).Format(time.DateOnly) + `"`, "0 40  "},
		{`"bookingDate":"` + time.Now().UTC().Add(24*time.Hour).Format(time.DateOnly) + `"`, "0 160  "},
		{`"bookingDate":"9999-12-31"`, "0 160  "},
		{`"bookingDate":"1970-01-02"`, "0 0  "},
	} {
		for _, account := range []string{`"accountId":"2"`, `"address":"merchant:2:main"`} {
			r := ask(b, &ledgerv1.GetBalanceAsOfResponse{}, "GetBalanceAsOf", `{`+account+`,`+c.moment+`}`)
			s := r.GetBalances()
			if got := fmt.Sprint(s.GetDebitsPosted(), " ", s.GetCreditsPosted(), " ", s.GetDebitsPending(), " ", s.GetCreditsPending()); got != c.want || r.GetAsset() != "CNY/2" || r.GetAccountId() != "2" {
				t.Errorf("%s %s: %s of %s, want %s", account, c.moment, got, r.GetAsset(), c.want)
			}
		}
	}
}

func TestStatements(t *testing.T) {
	b := open(t, nil)
	b.past()
	for _, by := range []struct {
		request string
		ids     string
		closing string
	}{
		{`"accountId":"1"`, "10 11 12 13 14", "160"},
		{`"accountId":"1","byBookingDate":true`, "11 10 14", "160"},
		{`"accountId":"1","byBookingDate":true,"toDate":"` + time.Now().UTC().Add(-24*time.Hour).Format(time.DateOnly) + `"`, "11", "40"},
		{`"accountId":"3"`, "", "0"},
	} {
		for _, limit := range []int{1, 2, 1000} {
			var ids []string
			last, token := "0", ""
			for {
				page := ask(b, &ledgerv1.GetStatementResponse{}, "GetStatement", fmt.Sprintf(`{%s,"limit":%d,"pageToken":"%s"}`, by.request, limit, token))
				if page.GetOpening().GetDebitsPosted() != last || page.GetClosing().GetDebitsPosted() != by.closing {
					t.Fatalf("%s: a page opens with %v after %s and closes with %v", by.request, page.GetOpening(), last, page.GetClosing())
				}
				for _, r := range page.GetRows() {
					ids, last = append(ids, r.GetTransfer().GetId()), r.GetBalances().GetDebitsPosted()
				}
				if token = page.GetNextPageToken(); token == "" {
					break
				}
			}
			if got := strings.Join(ids, " "); got != by.ids || last != by.closing {
				t.Errorf("%s, %d rows a page: %s, ends with %s", by.request, limit, got, last)
			}
		}
	}
}

func TestFindByAddressAndMetadata(t *testing.T) {
	b := open(t, nil)
	b.past()
	found := func(method, request string) string {
		var ids []string
		for token := ""; ; {
			var page struct {
				Accounts, Transfers []struct {
					ID      string
					Address string
				}
				NextPageToken string
			}
			if err := json.Unmarshal([]byte(b.call(method, fmt.Sprintf(`{%s,"limit":1,"pageToken":"%s"}`, request, token))), &page); err != nil {
				t.Fatal(err)
			}
			for _, a := range append(page.Accounts, page.Transfers...) {
				ids = append(ids, a.ID)
			}
			if token = page.NextPageToken; token == "" {
				return strings.Join(ids, " ")
			}
		}
	}
	const accounts, transfers = `"target":"METADATA_TARGET_ACCOUNTS"`, `"target":"METADATA_TARGET_TRANSFERS"`
	check := func(method, request, want string) {
		t.Helper()
		if got := found(method, request); got != want {
			t.Errorf("%s %s: %q, want %q", method, request, got, want)
		}
	}
	check("ListAccountsByAddress", `"prefix":"merchant:"`, "1 2")
	check("ListAccountsByAddress", `"prefix":""`, "1 2 3")
	check("ListAccountsByAddress", `"prefix":"nobody"`, "")
	check("QueryByMetadata", accounts+`,"conditions":[{"key":"tier","value":{"text":"gold"}}]`, "1 2")
	check("QueryByMetadata", accounts+`,"conditions":[{"key":"tier"},{"key":"risk","value":{"integer":"3"}}]`, "1")
	check("QueryByMetadata", accounts+`,"conditions":[{"key":"risk","value":{"text":"3"}}]`, "")
	check("QueryByMetadata", transfers+`,"conditions":[{"key":"order","value":{"text":"a1"}}]`, "10")
	b.call("SetMetadata", `{"id":"900","accountId":"1","metadata":{"tier":{"text":"silver"}}}`)
	check("QueryByMetadata", accounts+`,"conditions":[{"key":"tier","value":{"text":"gold"}}]`, "2")
	check("QueryByMetadata", accounts+`,"conditions":[{"key":"tier"}]`, "2 1")
}

func TestTotalsAndAgeing(t *testing.T) {
	b := open(t, nil)
	b.past()
	totals := ask(b, &ledgerv1.GetTotalsResponse{}, "GetTotals", `{}`)
	if g, a := totals.GetGroups(), totals.GetAssets(); len(g) != 2 || len(a) != 1 || g[1].GetAccounts() != 2 || g[1].GetCreditsPosted() != "160" ||
		a[0].GetAccounts() != 3 || a[0].GetDebitsPosted() != "160" || a[0].GetCreditsPosted() != "160" || a[0].GetCreditsPending() != "30" {
		t.Errorf("totals: %v", totals)
	}
	b.call("CreateTransfers", `{"transfers":[{"id":"20","debitAccountId":"2","creditAccountId":"3","amount":"5","asset":"CNY/2","code":8,"flags":["TRANSFER_FLAG_PENDING"],"timeout":3600}]}`)
	ageing := ask(b, &ledgerv1.GetPendingAgeingResponse{}, "GetPendingAgeing", `{"limit":1}`)
	if g := ageing.GetGroups(); len(g) != 2 || g[0].GetCode() != 7 || g[0].GetBuckets()[0].GetAmount() != "30" || g[0].GetBuckets()[0].GetCount() != 1 ||
		len(g[0].GetBuckets()) != 5 || g[1].GetBuckets()[0].GetAmount() != "5" {
		t.Errorf("ageing: %v", ageing)
	}
	if o := ageing.GetOldest(); len(o) != 1 || o[0].GetId() != "12" || ageing.GetNextPageToken() == "" {
		t.Errorf("the oldest: %v", ageing)
	}
	ageing = ask(b, &ledgerv1.GetPendingAgeingResponse{}, "GetPendingAgeing", `{"limit":1,"pageToken":"`+ageing.GetNextPageToken()+`"}`)
	if o := ageing.GetOldest(); len(o) != 1 || o[0].GetId() != "20" || o[0].GetExpires() == 0 || ageing.GetNextPageToken() != "" {
		t.Errorf("the next page: %v", ageing)
	}
	if only := ask(b, &ledgerv1.GetPendingAgeingResponse{}, "GetPendingAgeing", `{"code":8,"asset":"CNY/2","bounds":["1","2"]}`); len(only.GetGroups()) != 1 || len(only.GetGroups()[0].GetBuckets()) != 3 {
		t.Errorf("one code: %v", only)
	}
}

func TestBadHistoryCalls(t *testing.T) {
	b := open(t, nil)
	b.past()
	for _, c := range []struct {
		method, request, want string
		code                  int
	}{
		{"GetBalanceAsOf", `{}`, "accountId: want an id, or an address", 400},
		{"GetBalanceAsOf", `{"accountId":"1","address":"a"}`, "accountId: want an id, or an address", 400},
		{"GetBalanceAsOf", `{"accountId":"99"}`, "there is no account 99", 404},
		{"GetBalanceAsOf", `{"address":"no:where"}`, "there is no account no:where", 404},
		{"GetBalanceAsOf", `{"address":"a::b"}`, "address: ", 400},
		{"GetBalanceAsOf", `{"accountId":"1","bookingDate":"2026-02-30"}`, "bookingDate: ", 400},
		{"GetBalanceAsOf", `{"accountId":"1","bookingDate":"2026-02-01","timestamp":"1"}`, "bookingDate: ", 400},
		{"GetStatement", `{"accountId":"1","limit":1001}`, "limit: want 1 to 1000", 400},
		{"GetStatement", `{"accountId":"1","pageToken":"xyz"}`, "pageToken: ", 400},
		{"GetStatement", `{"accountId":"1","timestampMin":"5","timestampMax":"4"}`, "filter: ", 400},
		{"GetStatement", `{"accountId":"1","fromDate":"2026-01-01"}`, "fromDate: ", 400},
		{"GetStatement", `{"accountId":"1","byBookingDate":true,"timestampMin":"5"}`, "timestampMin: ", 400},
		{"GetStatement", `{"accountId":"1","byBookingDate":true,"fromDate":"2026-01-02","toDate":"2026-01-01"}`, "filter: ", 400},
		{"GetPendingAgeing", `{"bounds":["5","5"]}`, "bounds[1]: ", 400},
		{"GetPendingAgeing", `{"limit":1001}`, "limit: ", 400},
		{"GetPendingAgeing", `{"asset":"x"}`, "asset: ", 400},
		{"ListAccountsByAddress", `{"limit":8191}`, "limit: ", 400},
		{"ListAccountsByAddress", `{"prefix":"a b"}`, "filter: ", 400},
		{"ListAccountsByAddress", `{"pageToken":"?"}`, "pageToken: ", 400},
		{"QueryByMetadata", `{"target":"METADATA_TARGET_ACCOUNTS"}`, "conditions: ", 400},
		{"QueryByMetadata", `{"conditions":[{"key":"a"}]}`, "target: ", 400},
		{"QueryByMetadata", `{"target":"METADATA_TARGET_ACCOUNTS","conditions":[{"key":""}]}`, "conditions[0].key: ", 400},
		{"QueryByMetadata", `{"target":"METADATA_TARGET_ACCOUNTS","conditions":[{"key":"a","value":{"personal":{"subject":"x"}}}]}`, "conditions[0].value: ", 400},
	} {
		if code, body := b.post(c.method, b.tokens[auth.RoleReader], c.request); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %q", c.method, c.request, code, body, c.code, c.want)
		}
	}
}

func TestRebuildIndexOnce(t *testing.T) {
	b := open(t, nil)
	if code, body := b.post("RebuildIndex", b.tokens[auth.RoleOperator], `{}`); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	code, body := b.post("RebuildIndex", b.tokens[auth.RoleOperator], `{}`)
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "block 1 of 4 (25%)") {
		t.Errorf("a second time: %d %s", code, body)
	}
}
