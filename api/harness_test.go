package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/index"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/store/local"
)

// bank is a server over a real cell, journal and index in memory, on loopback.
type bank struct {
	t         testing.TB
	addr      string
	server    *api.Server
	cell      *unreliable
	registry  *prometheus.Registry
	node      *node
	dir       string // of the tokens
	served    chan error
	once      sync.Once
	tokens    map[auth.Role]string
	revocable *revocable
}

// unreliable is a cell that fails when told to.
type unreliable struct {
	*cell.Cell
	fail atomic.Pointer[func(ctx context.Context) error]
}

func (u *unreliable) Do(ctx context.Context, r *cell.Request) error {
	if f := u.fail.Load(); f != nil {
		if err := (*f)(ctx); err != nil {
			return err
		}
	}
	return u.Cell.Do(ctx, r)
}

// before has f called before every write; its error is the write's.
func (b *bank) before(f func(ctx context.Context) error) { b.cell.fail.Store(&f) }

type node struct {
	accepted atomic.Int32
	building atomic.Bool
}

func (n *node) Status(context.Context) (api.NodeStatus, error) {
	return api.NodeStatus{Cell: 7, Seq: 5, Epoch: 4, Head: 3, IndexSeq: 2, Accounts: 11, Transfers: 12, MemoryBytes: 13, ClockHeld: true, Version: "1.2.3"}, nil
}

func (n *node) AcceptClock(context.Context, auth.Principal) error {
	n.accepted.Add(1)
	return nil
}

func (n *node) Drain(context.Context, auth.Principal) error {
	return &cell.NotLeaderError{Leader: "10.0.0.7:7600"}
}

func (n *node) RebuildIndex(context.Context, auth.Principal) error {
	if n.building.Load() {
		return &index.BuildingError{Build: index.BuildStatus{Running: true, Done: 1, Total: 4}}
	}
	n.building.Store(true)
	return nil
}

func open(t testing.TB, change func(*api.Config)) *bank { return openOf(t, 7, change) }

func openOf(t testing.TB, number uint64, change func(*api.Config)) *bank {
	t.Helper()
	b := &bank{t: t, dir: t.TempDir(), registry: prometheus.NewRegistry(), node: &node{}, tokens: map[auth.Role]string{}}
	c, x, f := openCell(t, number)
	b.cell = &unreliable{Cell: c}
	now := time.Now()
	if _, err := auth.Bootstrap(b.dir, now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for r := auth.RoleReader; r <= auth.RoleAdmin; r++ {
		token, _, err := auth.Create(b.dir, r.String(), r, now, time.Time{}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b.tokens[r] = token
	}
	tokens, err := auth.Open(b.dir, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.revocable = &revocable{Tokens: tokens}
	config := api.Config{
		CellNumber: number, Cell: b.cell, Queries: index.NewQueries(x, c), Progress: x, Node: b.node, Tokens: b.revocable, Feed: f,
		Clock: clock.NewSystem(), Limits: api.DefaultLimits(), Logger: slog.New(slog.DiscardHandler), Registry: b.registry,
		Handlers: map[string]http.Handler{"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })},
	}
	if change != nil {
		change(&config)
	}
	if b.server, err = api.New(config); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr, b.served = l.Addr().String(), make(chan error, 1)
	go func() { b.served <- b.server.Serve(l) }()
	t.Cleanup(func() { b.shutdown() })
	return b
}

// shutdown ends the server, and waits until it has ended.
func (b *bank) shutdown() {
	b.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("shutdown: %v", err)
		}
		if err := <-b.served; err != nil {
			b.t.Errorf("serve: %v", err)
		}
	})
}

func openCell(t testing.TB, number uint64) (*cell.Cell, *index.Index, *feed.Feed) {
	t.Helper()
	fs := vfs.NewMem()
	x, err := index.Open("bank/index", index.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	store, err := local.Open("bank", local.Options{FS: fs, Cell: number, SegmentSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	f := feed.New(feed.Options{Cell: number, Log: store, Clock: clock.NewSystem()})
	c, err := cell.Open(context.Background(), cell.Options{
		ID: number, Log: store, Snapshots: store.Snapshots(), Follower: x, Clock: clock.NewSystem(), OnBlock: f.OnBlock,
		Incarnation: [16]byte{1}, HashKey: [2]uint64{3, 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Start(c)
	t.Cleanup(func() {
		f.Close()
		if err := errors.Join(c.Close(), store.Close(), x.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, x, f
}

// post sends JSON as curl does and returns the status and the body.
func (b *bank) post(method, token, body string, headers ...string) (int, string) {
	b.t.Helper()
	status, text, err := b.try(method, token, body, headers...)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, text
}

func (b *bank) try(method, token, body string, headers ...string) (int, string, error) {
	service := "LedgerService"
	if method == "Status" || method == "AcceptClock" || method == "Drain" {
		service = "AdminService"
	}
	switch method {
	case "GetTopology":
		service = "MeshService"
	case "Erase", "GetSubject":
		service = "ErasureService"
	case "GetBalanceAsOf", "GetStatement", "GetTotals", "GetPendingAgeing", "ListAccountsByAddress", "QueryByMetadata", "RebuildIndex":
		service = "HistoryService"
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+b.addr+"/sterling.ledger.v1."+service+"/"+method, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// call posts as admin, wants success, and returns the body.
func (b *bank) call(method, body string) string {
	b.t.Helper()
	status, text := b.post(method, b.tokens[auth.RoleAdmin], body)
	if status != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", method, body, status, text)
	}
	return text
}

// grpcClient returns a client and a context with a role's token.
func (b *bank) grpcClient(role auth.Role) (ledgerv1.LedgerServiceClient, context.Context) {
	b.t.Helper()
	conn, ctx := b.grpcConn(role)
	return ledgerv1.NewLedgerServiceClient(conn), ctx
}

func (b *bank) grpcConn(role auth.Role) (*grpc.ClientConn, context.Context) {
	b.t.Helper()
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	b.t.Cleanup(cancel)
	return conn, metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+b.tokens[role])
}

// canonical sorts an object's keys, removes spaces and replaces what changes from
// run to run.
func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	out, err := json.Marshal(mask(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			switch {
			case k == "timestamp" && e != "0", k == "seq", k == "nextTimestamp" && e != "0":
				v[k] = "…"
			case k == "details":
				delete(v, k)
			default:
				v[k] = mask(e)
			}
		}
	case []any:
		for i := range v {
			v[i] = mask(v[i])
		}
	}
	return v
}

func (b *bank) metric(name string, labels map[string]string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			same := f.GetName() == name && len(m.GetLabel()) == len(labels)
			for _, l := range m.GetLabel() {
				same = same && labels[l.GetName()] == l.GetValue()
			}
			if same {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// seed opens accounts 1 and 2 (with history) in CNY/2.
func (b *bank) seed() {
	b.t.Helper()
	b.call("CreateAccounts", `{"accounts":[{"id":"1","asset":"CNY/2","code":1,"flags":["ACCOUNT_FLAG_HISTORY"]},{"id":"2","asset":"CNY/2","code":2,"userData64":"9"}]}`)
}

func transfersJSON(from, n int) string {
	var out bytes.Buffer
	out.WriteString(`{"transfers":[`)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"id":"%d","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1}`, from+i)
	}
	out.WriteString(`]}`)
	return out.String()
}
