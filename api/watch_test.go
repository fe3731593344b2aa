package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/speaker"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

// guard is a watch in memory that takes dense observations and keeps the breaks that a test gives it.
type guard struct {
	mu       sync.Mutex
	taken    map[string][]watch.Observation
	breaks   []watch.Record // oldest first
	fail     error          // of every call that can fail
	observed chan string    // nil, or told of every batch
}

func (g *guard) Observe(_ context.Context, source string, first uint64, list []watch.Observation) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	have := uint64(len(g.taken[source]))
	switch {
	case g.fail != nil:
		return have, fmt.Errorf("observe %s: %w", source, g.fail)
	case strings.HasPrefix(source, "unknown"):
		return 0, fmt.Errorf("source %s: %w", source, watch.ErrSource)
	case len(list) > 0 && first > have+1:
		return have, watch.ErrAhead
	}
	for _, o := range list {
		if o.Seq > have {
			g.taken[source] = append(g.taken[source], o)
		}
	}
	if g.observed != nil {
		g.observed <- source
	}
	return uint64(len(g.taken[source])), nil
}

func (g *guard) Proof() watch.Proof {
	return watch.Proof{
		Through: 1_700_000_000_000_000_000, Reason: "source card-scheme is silent", Open: 2, Keys: 3, Events: 4,
		AtRisk: []watch.AtRisk{{Asset: "CNY/2", Amount: watch.Amount{Lo: 1234}}},
		Flows: []watch.FlowProof{
			{Flow: "card-payment", Title: "Card payments", Proven: true, Through: 5, Sources: []string{"orders", "card-scheme"}, LatenessP99: 6},
			{Flow: "code 9", Reason: "not proven: no flow claims code 9"},
		},
	}
}

func (g *guard) Statement() watch.Statement {
	return watch.Statement{Cell: 7, Seq: 3, Totals: []watch.AssetTotal{{Asset: 1, DebitsPosted: watch.Amount{Lo: 5}, CreditsPosted: watch.Amount{Lo: 5}, Transfers: 2}}}
}

func (g *guard) Sources() []watch.SourceState {
	return []watch.SourceState{{Name: "card-scheme", Seq: 9, Silent: true, MissingFrom: 10, MissingTo: 12}, {Name: "orders", Seq: 4}}
}

func (g *guard) Flows() []watch.Definition {
	return []watch.Definition{{Name: "card-payment", Text: "flow: card-payment\n"}}
}

func (g *guard) DryRun() bool { return true }

func (g *guard) Breaks(_ context.Context, f watch.Filter) (page []watch.Record, next string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return nil, "", g.fail
	}
	if f.After != "" && f.After != "page-2" {
		return nil, "", fmt.Errorf("after %q: %w", f.After, watch.ErrFilter)
	}
	for _, r := range slices.Backward(g.breaks) {
		if (f.State == 0 || f.State == r.State) && (f.Class == "" || f.Class == r.Class) && (f.Group.IsZero() || f.Group == r.Group) && (!f.Roots || r.Group == r.ID) {
			if page = append(page, r); len(page) == f.Limit {
				return page, "page-2", nil
			}
		}
	}
	return page, "", nil
}

func (g *guard) at(id watch.ID) *watch.Record {
	for i := range g.breaks {
		if g.breaks[i].ID == id {
			return &g.breaks[i]
		}
	}
	return nil
}

func (g *guard) Break(_ context.Context, id watch.ID) (watch.Record, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.at(id); r != nil {
		return *r, nil
	}
	return watch.Record{}, watch.ErrNoBreak
}

func (g *guard) Decide(_ context.Context, d watch.Decision) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.at(d.Break)
	if r == nil || g.fail != nil {
		return errors.Join(watch.ErrNoBreak, g.fail)
	}
	r.State = d.State
	r.History = append(r.History, watch.Entry{Time: uint64(len(r.History)), State: d.State, Who: d.Who, Why: d.Why})
	return nil
}

func (g *guard) Proposed(_ context.Context, id, proposal watch.ID, who, why string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.at(id)
	if r.Proposal != proposal {
		r.Proposal = proposal
		r.History = append(r.History, watch.Entry{State: r.State, Who: who, Why: why})
	}
	return nil
}

func (g *guard) Inject(_ context.Context, class watch.Class) (what, key string, err error) {
	if class != watch.DuplicatePost {
		return "", "", fmt.Errorf("class %s: %w", class, api.ErrNotConfigured)
	}
	return "an order was booked twice", "order-1", nil
}

func watched(t *testing.T, change func(*api.Config)) (*bank, *guard) {
	t.Helper()
	g := &guard{taken: map[string][]watch.Observation{}}
	speakers, err := speaker.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, func(c *api.Config) {
		c.Watch, c.Speakers = g, speakers
		if change != nil {
			change(c)
		}
	})
	b.seed()
	return b, g
}

// watchPost calls a method of the watch as JSON.
func (b *bank) watchPost(role auth.Role, method, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+b.addr+"/sterling.watch.v1.WatchService/"+method, bytes.NewReader([]byte(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.tokens[role])
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var line bytes.Buffer // protojson varies its spaces from build to build
	if err := json.Compact(&line, text); err != nil {
		b.t.Fatalf("%v in %q", err, text)
	}
	return response.StatusCode, line.String()
}

const goodOrder = `{"kind":"OBSERVATION_KIND_INSTRUCTION","time":"1700000000000000000","key":"order-7","amount":"1234","asset":"CNY/2","debitAccountId":"1","creditAccountId":"2","terms":{"fee":"7","days":"30"}}`

func batch(source string, first int, list ...string) string {
	return fmt.Sprintf(`{"batch":{"source":%q,"firstSeq":"%d","observations":[%s]}}`, source, first, strings.Join(list, ","))
}

func TestWatchObservations(t *testing.T) {
	b, g := watched(t, nil)
	status, text := b.watchPost(auth.RoleTeller, "ObserveBatch", batch("orders", 1, goodOrder,
		`{"kind":"OBSERVATION_KIND_BALANCE","time":"5","debitAccountId":"1","amount":"-17","asset":"CNY/2"}`,
		`{"kind":"OBSERVATION_KIND_RECEIPT","time":"6","key":"42","id":"r1","outcome":"OUTCOME_FAILED"}`,
		`{"kind":"OBSERVATION_KIND_HEARTBEAT","through":"9"}`))
	if status != http.StatusOK || text != `{"result":{"source":"orders","throughSeq":"4"}}` {
		t.Fatalf("%d %s", status, text)
	}
	o := g.taken["orders"]
	if o[0].Seq != 1 || o[0].Key != watch.KeyOf("order-7") || o[0].KeyText != "order-7" || o[0].Amount.Lo != 1234 || o[0].Debit != watch.KeyOf("1") ||
		fmt.Sprint(o[0].Terms) != "[{days 30} {fee 7}]" || o[0].Asset != "CNY/2" || o[0].Kind != watch.Instruction {
		t.Errorf("order: %+v", o[0])
	}
	if !o[1].Minus || o[1].Amount.Lo != 17 || o[2].Outcome != watch.Failed || o[2].Key != watch.KeyOf("42") || o[3].Through != 9 || o[3].Seq != 4 {
		t.Errorf("%+v", o[1:])
	}
	// Where to go on.
	if status, text := b.watchPost(auth.RoleTeller, "ObserveBatch", `{"batch":{"source":"orders"}}`); status != http.StatusOK || !strings.Contains(text, `"throughSeq":"4"`) {
		t.Errorf("%d %s", status, text)
	}
}

func TestWatchRefusesBadObservations(t *testing.T) {
	b, g := watched(t, nil)
	with := func(old, replacement string) string { return strings.Replace(goodOrder, old, replacement, 1) }
	for name, c := range map[string]struct{ body, says string }{
		"no source":          {batch("", 1, goodOrder), "batch.source: want 1 to 64"},
		"bad source":         {batch("a b", 1, goodOrder), "batch.source: want 1 to 64"},
		"long source":        {batch(strings.Repeat("s", 65), 1, goodOrder), "batch.source: want 1 to 64"},
		"seq 0":              {batch("orders", 0, goodOrder), "batch.firstSeq: a source counts"},
		"no kind":            {batch("orders", 1, goodOrder, `{}`), "batch.observations[1].kind: 0 is unknown"},
		"another kind":       {batch("orders", 1, with(`"OBSERVATION_KIND_INSTRUCTION"`, `77`)), "observations[0].kind: 77 is unknown"},
		"no time":            {batch("orders", 1, with(`"1700000000000000000"`, `"0"`)), "observations[0].time: is missing"},
		"a time to come":     {batch("orders", 1, with(`"1700000000000000000"`, `"9300000000000000000"`)), "observations[0].time: beyond"},
		"no key":             {batch("orders", 1, with(`"order-7"`, `""`)), "observations[0].key: is missing"},
		"long key":           {batch("orders", 1, with(`"order-7"`, `"`+strings.Repeat("k", 65)+`"`)), "observations[0].key: want up to 64 bytes"},
		"key of controls":    {batch("orders", 1, with(`"order-7"`, `"a\u001b[31m"`)), "observations[0].key: want up to 64 bytes"},
		"no amount":          {batch("orders", 1, with(`"1234"`, `""`)), "observations[0].amount: want decimal digits"},
		"negative order":     {batch("orders", 1, with(`"1234"`, `"-1234"`)), "observations[0].amount: want decimal digits"},
		"a decimal":          {batch("orders", 1, with(`"1234"`, `"12.34"`)), "observations[0].amount: want decimal digits"},
		"no asset":           {batch("orders", 1, with(`"CNY/2"`, `""`)), "observations[0].asset: "},
		"bad asset":          {batch("orders", 1, with(`"CNY/2"`, `"cny"`)), "observations[0].asset: "},
		"bad account":        {batch("orders", 1, with(`"debitAccountId":"1"`, `"debitAccountId":"x"`)), "observations[0].debitAccountId: "},
		"bad flow":           {batch("orders", 1, with(`"key"`, `"flow":"a b","key"`)), "observations[0].flow: want 1 to 64"},
		"bad term":           {batch("orders", 1, with(`"fee"`, `"the fee"`)), `observations[0].terms: "the fee": want 1 to 64`},
		"outcome of order":   {batch("orders", 1, with(`"key"`, `"outcome":"OUTCOME_SETTLED","key"`)), "observations[0].outcome: a receipt has one"},
		"unknown outcome":    {batch("orders", 1, with(`"key"`, `"outcome":9,"key"`)), "observations[0].outcome: 9 is unknown"},
		"long text":          {batch("orders", 1, with(`"key"`, `"text":"`+strings.Repeat("t", 1025)+`","key"`)), "observations[0].text: want up to 1024"},
		"receipt without id": {batch("orders", 1, `{"kind":"OBSERVATION_KIND_RECEIPT","time":"6","key":"42","outcome":"OUTCOME_SETTLED","amount":"1","asset":"CNY/2"}`), "observations[0].id: is missing"},
		"empty heartbeat":    {batch("orders", 1, `{"kind":"OBSERVATION_KIND_HEARTBEAT"}`), "observations[0].through: is missing"},
		"nobody's balance":   {batch("orders", 1, `{"kind":"OBSERVATION_KIND_BALANCE","time":"5","amount":"1","asset":"CNY/2"}`), "observations[0].debitAccountId: is missing"},
		"many":               {batch("orders", 1, slices.Repeat([]string{`{"kind":5,"through":"1"}`}, 10_001)...), "observations: 10001, at most 10000"},
		"many terms":         {batch("orders", 1, with(`"fee":"7"`, strings.TrimPrefix(manyTerms(), ","))), "observations[0].terms: 18, at most 16"},
	} {
		status, text := b.watchPost(auth.RoleTeller, "ObserveBatch", c.body)
		if status != http.StatusBadRequest || !strings.Contains(text, jsonText(c.says)) {
			t.Errorf("%s: %d %s, want %q", name, status, text, c.says)
		}
	}
	if len(g.taken) != 0 {
		t.Errorf("something was taken: %v", g.taken)
	}
	for name, c := range map[string]struct {
		body, says string
		status     int
	}{
		"unknown source": {batch("unknown", 1, goodOrder), "ERROR_REASON_SOURCE_UNKNOWN", http.StatusNotFound},
		"gap":            {batch("orders", 3, goodOrder), "send from 1 on", http.StatusBadRequest},
	} {
		if status, text := b.watchPost(auth.RoleTeller, "ObserveBatch", c.body); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for err, reason := range map[error]string{
		watch.ErrRepeat: "SOURCE_REPEAT", watch.ErrBehind: "OVERLOADED", watch.ErrStarting: "OVERLOADED", watch.ErrDown: "WATCH_DOWN", errors.New("secret detail"): "INTERNAL",
	} {
		g.fail = err
		if _, text := b.watchPost(auth.RoleAdmin, "ObserveBatch", batch("orders", 1, goodOrder)); !strings.Contains(text, "ERROR_REASON_"+reason) || strings.Contains(text, "secret detail") {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func manyTerms() string {
	var b strings.Builder
	for i := range 17 {
		fmt.Fprintf(&b, `,"t%d":"1"`, i)
	}
	return b.String()
}

// jsonText is a text as it stands within a JSON string.
func jsonText(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }

// TestASourceHasOneSpeaker: the first caller is bound, others are refused, admins may, and a release frees it.
func TestASourceHasOneSpeaker(t *testing.T) {
	b, _ := watched(t, nil)
	send := func(role auth.Role, source string) (int, string) {
		return b.watchPost(role, "ObserveBatch", batch(source, 1, goodOrder))
	}
	if status, text := send(auth.RoleAdmin, "orders"); status != http.StatusOK {
		t.Fatalf("admin: %d %s", status, text)
	}
	if status, text := send(auth.RoleTeller, "orders"); status != http.StatusOK {
		t.Fatalf("an admin who speaks is not bound: %d %s", status, text)
	}
	status, text := send(auth.RoleOperator, "orders")
	if status != http.StatusForbidden || !strings.Contains(text, "ERROR_REASON_SOURCE_TAKEN") || !strings.Contains(text, `\"teller\" speaks for orders`) {
		t.Errorf("another: %d %s", status, text)
	}
	if _, text := b.watchPost(auth.RoleReader, "ListSources", `{}`); !strings.Contains(text, `"name":"orders","throughSeq":"4"`) || !strings.Contains(text, `"speaker":"teller"`) {
		t.Errorf("sources: %s", text)
	}
	if status, _ := b.watchPost(auth.RoleTeller, "ReleaseSource", `{"source":"orders"}`); status != http.StatusForbidden {
		t.Errorf("a teller releases: %d", status)
	}
	if status, text := b.watchPost(auth.RoleOperator, "ReleaseSource", `{"source":"orders"}`); status != http.StatusOK || text != `{"speaker":"teller"}` {
		t.Errorf("release: %d %s", status, text)
	}
	if status, text := send(auth.RoleOperator, "orders"); status != http.StatusOK {
		t.Errorf("after the release: %d %s", status, text)
	}
	if status, _ := send(auth.RoleTeller, "orders"); status != http.StatusForbidden {
		t.Errorf("the one before: %d", status)
	}
	// What the watch doesn't know is not bound.
	send(auth.RoleTeller, "unknown")
	if _, text := b.watchPost(auth.RoleOperator, "ReleaseSource", `{"source":"unknown"}`); text != `{"speaker":""}` {
		t.Errorf("unknown: %s", text)
	}
	for role, want := range map[auth.Role]int{auth.RoleReader: http.StatusForbidden, auth.RoleAuditor: http.StatusForbidden} {
		if status, text := send(role, "fresh"); status != want {
			t.Errorf("%v: %d %s", role, status, text)
		}
	}
}

func TestWatchStream(t *testing.T) {
	b, g := watched(t, nil)
	conn, ctx := b.grpcConn(auth.RoleTeller)
	stream, err := watchv1.NewWatchServiceClient(conn).Observe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	order := &watchv1.Observation{Kind: watchv1.ObservationKind_OBSERVATION_KIND_INSTRUCTION, Time: 1, Key: "k", Amount: "1", Asset: "CNY/2"}
	const messages, each = 20, 50
	go func() {
		for i := range messages {
			_ = stream.Send(&watchv1.ObserveRequest{Source: "orders", FirstSeq: uint64(i*each + 1), Observations: slices.Repeat([]*watchv1.Observation{order}, each)})
		}
		_ = stream.CloseSend()
	}()
	for i := range messages {
		r, err := stream.Recv()
		if err != nil || r.GetThroughSeq() != uint64((i+1)*each) || r.GetSource() != "orders" {
			t.Fatalf("message %d: %v, %v", i, r, err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	for i, o := range g.taken["orders"] {
		if o.Seq != uint64(i+1) {
			t.Fatalf("%d. has the number %d", i+1, o.Seq)
		}
	}
	// What came before a bad message is taken.
	if stream, err = watchv1.NewWatchServiceClient(conn).Observe(ctx); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]*watchv1.Observation{{order}, {order, {}}} {
		if err := stream.Send(&watchv1.ObserveRequest{Source: "other", FirstSeq: 1, Observations: list}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := stream.Recv(); err != nil || r.GetThroughSeq() != 1 {
		t.Errorf("before: %v, %v", r, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "observations[1].kind") {
		t.Errorf("the bad one: %v", err)
	}
}

func TestAWatchStreamEndsWithItsTokenAndWithTheServer(t *testing.T) {
	b, _ := watched(t, nil)
	conn, ctx := b.grpcConn(auth.RoleTeller)
	client := watchv1.NewWatchServiceClient(conn)
	stream, err := client.Observe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.revocable.revoked.Store(true)
	if _, err = stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after its token was revoked: %v", err)
	}
	b.revocable.revoked.Store(false)
	if stream, err = client.Observe(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&watchv1.ObserveRequest{Source: "orders"}); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.GetThroughSeq() != 0 {
		t.Fatalf("%v, %v", r, err)
	}
	b.shutdown()
	if _, err = stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("after the server stopped: %v", err)
	}
	reader, ctx := b.grpcConn(auth.RoleReader)
	if stream, err = watchv1.NewWatchServiceClient(reader).Observe(ctx); err == nil {
		_, err = stream.Recv()
	}
	if err == nil {
		t.Error("a reader observes")
	}
}

func TestWatchOverHTTPNeedsBatches(t *testing.T) {
	b, _ := watched(t, nil)
	if status, text := b.watchPost(auth.RoleTeller, "Observe", `{}`); status != http.StatusNotImplemented || !strings.Contains(text, "ObserveBatch") {
		t.Errorf("%d %s", status, text)
	}
}

func TestWatchSwitchedOff(t *testing.T) {
	b := open(t, nil)
	for _, method := range []string{"GetProof", "ListFlows", "ListSources", "ListBreaks", "GetBreak", "DecideBreak", "ProposeRepair", "Inject", "ReleaseSource", "ObserveBatch"} {
		body := `{}`
		if method == "ObserveBatch" {
			body = batch("orders", 1, goodOrder)
		}
		if status, text := b.watchPost(auth.RoleAdmin, method, body); status != http.StatusBadRequest || !strings.Contains(text, "ERROR_REASON_WATCH_OFF") && !strings.Contains(text, "switched off") {
			t.Errorf("%s: %d %s", method, status, text)
		}
	}
}

func TestWatchInject(t *testing.T) {
	b, _ := watched(t, nil)
	if status, text := b.watchPost(auth.RoleAdmin, "Inject", `{"class":"duplicate_post"}`); status != http.StatusBadRequest || !strings.Contains(text, "demonstration") {
		t.Errorf("no demonstration: %d %s", status, text)
	}
	b, _ = watched(t, func(c *api.Config) { c.Injector = &guard{} })
	if status, text := b.watchPost(auth.RoleOperator, "Inject", `{"class":"duplicate_post"}`); status != http.StatusForbidden {
		t.Errorf("operator: %d %s", status, text)
	}
	if status, text := b.watchPost(auth.RoleAdmin, "Inject", `{"class":"duplicate_post"}`); status != http.StatusOK || text != `{"what":"an order was booked twice","key":"order-1"}` {
		t.Errorf("%d %s", status, text)
	}
	if status, text := b.watchPost(auth.RoleAdmin, "Inject", `{"class":"nothing"}`); status != http.StatusBadRequest || !strings.Contains(text, "class nothing") {
		t.Errorf("%d %s", status, text)
	}
}

// TestWatchReads: proof, flows and sources as the watch has them.
func TestWatchReads(t *testing.T) {
	b, _ := watched(t, nil)
	conn, ctx := b.grpcConn(auth.RoleReader)
	client := watchv1.NewWatchServiceClient(conn)
	p, err := client.GetProof(ctx, &watchv1.GetProofRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if p.GetSafeThrough() != 1_700_000_000_000_000_000 || p.GetReason() == "" || p.GetNow() == 0 || p.GetOpenBreaks() != 2 || p.GetAtRisk()[0].GetAmount() != "1234" ||
		len(p.GetFlows()) != 2 || !p.GetFlows()[0].GetProven() || p.GetAppliedSeq() != 3 || p.GetHeadSeq() < 3 || p.GetTotals()[0].GetAsset() != "CNY/2" ||
		p.GetTotals()[0].GetDebitsPosted() != "5" || p.GetEvents() != 4 || p.GetOpenKeys() != 3 || !p.GetDryRun() {
		t.Errorf("%v", p)
	}
	flows, err := client.ListFlows(ctx, &watchv1.ListFlowsRequest{})
	if err != nil || len(flows.GetFlows()) != 2 || fmt.Sprintf("%q", flows.GetDefinitions()) != `["flow: card-payment\n" ""]` {
		t.Errorf("%v, %v", flows, err)
	}
	sources, err := client.ListSources(ctx, &watchv1.ListSourcesRequest{})
	if err != nil || len(sources.GetSources()) != 2 || !sources.GetSources()[0].GetSilent() || sources.GetSources()[0].GetMissingTo() != 12 || sources.GetSources()[0].GetSpeaker() != "" {
		t.Errorf("%v, %v", sources, err)
	}
}

// TestWatchIsClosedForScopes: proofs, breaks and sources are not about single accounts.
func TestWatchIsClosedForScopes(t *testing.T) {
	b, _ := watched(t, func(c *api.Config) {
		c.Tokens = named{c.Tokens, map[string]auth.Principal{"narrow": {Name: "narrow", Role: auth.RoleAdmin, Scope: &auth.Scope{Assets: []string{"CNY/2"}}}}}
	})
	b.tokens[auth.RoleAdmin] = "narrow"
	for _, method := range []string{"GetProof", "ListFlows", "ListSources", "ReleaseSource", "ListBreaks", "GetBreak", "DecideBreak", "ProposeRepair", "Inject", "ObserveBatch"} {
		if status, text := b.watchPost(auth.RoleAdmin, method, `{}`); status != http.StatusForbidden || !strings.Contains(text, "has a scope") {
			t.Errorf("%s: %d %s", method, status, text)
		}
	}
}
