package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// revocable refuses all tokens once told to.
type revocable struct {
	api.Tokens
	revoked atomic.Bool
}

func (r *revocable) Verify(token string, now time.Time) (auth.Principal, error) {
	if r.revoked.Load() {
		return auth.Principal{}, auth.ErrUnknownToken
	}
	return r.Tokens.Verify(token, now)
}

func TestRolesMayCallExactlyTheirMethods(t *testing.T) {
	b := open(t, nil)
	const everyone, writers, operators = "reader teller operator auditor admin", "teller operator admin", "operator admin"
	for method, roles := range map[string]string{
		"CreateAccounts": writers, "CreateTransfers": writers, "CreateAccountsPacked": writers, "CreateTransfersPacked": writers,
		"CreateTransfersStream": writers, "RegisterAssets": writers,
		"LookupAccounts": everyone, "LookupAccountsPacked": everyone, "LookupTransfers": everyone, "GetAccountTransfers": everyone,
		"GetAccountBalances": everyone, "QueryAccounts": everyone, "QueryTransfers": everyone, "ListFreezes": everyone, "ListAssets": everyone,
		"Status": everyone, "Freeze": operators, "Unfreeze": operators, "SetVelocityLimits": operators, "AcceptClock": operators,
		"GetBalanceAsOf": everyone, "GetStatement": everyone, "GetTotals": everyone, "GetPendingAgeing": everyone,
		"ListAccountsByAddress": everyone, "QueryByMetadata": everyone, "RebuildIndex": operators,
	} {
		for role := auth.RoleReader; role <= auth.RoleAdmin; role++ {
			code, body := b.post(method, b.tokens[role], "{}")
			if allowed := strings.Contains(roles, role.String()); (code == http.StatusForbidden) == allowed {
				t.Errorf("%s as %v: %d %s", method, role, code, body)
			}
		}
	}
}

func TestWrongTokens(t *testing.T) {
	b := open(t, nil)
	good := b.tokens[auth.RoleAdmin]
	for name, header := range map[string]string{
		"none": "", "basic": "Basic " + good, "empty": "Bearer ", "garbage": "Bearer x", "cut": "Bearer " + good[:len(good)-1],
		"other secret": "Bearer " + good[:len(good)-1] + map[bool]string{true: "1", false: "0"}[good[len(good)-1] == '0'],
	} {
		r, err := http.NewRequest(http.MethodPost, "http://"+b.addr+"/sterling.ledger.v1.LedgerService/LookupAccounts", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 401 || !strings.Contains(string(body), `"code":"unauthenticated"`) || response.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %s, %v", name, response.StatusCode, body, err)
		}
	}
}

func TestFaultsOfTheCellAreExplained(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleTeller)
	for _, c := range []struct {
		err    error
		code   codes.Code
		status int
		want   string
	}{
		{cell.ErrOutcomeUnknown, codes.Unavailable, 503, "outcome unknown: send again with the same ids"},
		{cell.ErrFull, codes.ResourceExhausted, 429, "disk is full"},
		{cell.ErrClockHeld, codes.FailedPrecondition, 400, "AcceptClock"},
		{cell.ErrOverloaded, codes.Unavailable, 503, "send again after a pause"},
		{cell.ErrTooLarge, codes.InvalidArgument, 400, "send them in several"},
		{cell.ErrStopped, codes.Unavailable, 503, "the server is stopping"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, 504, "its outcome is unknown"},
		{errors.New("secret detail"), codes.Internal, 500, "a fault of the server"},
	} {
		b.before(func(context.Context) error { return fmt.Errorf("append block 5: %w", c.err) })
		_, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("1")}})
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v by gRPC: %v", c.err, err)
		}
		code, body := b.post("CreateTransfers", b.tokens[auth.RoleTeller], transfersJSON(1, 1))
		if code != c.status || !strings.Contains(body, c.want) || strings.Contains(body, "secret") {
			t.Errorf("%v by JSON: %d %s", c.err, code, body)
		}
	}
	b.before(func(context.Context) error { return nil })
	b.call("CreateTransfers", transfersJSON(1, 1))
}

func TestPanicsEndOneCall(t *testing.T) {
	b := open(t, nil)
	b.seed()
	client, ctx := b.grpcClient(auth.RoleAdmin)
	b.before(func(context.Context) error { panic("secret detail") })
	for name, call := range map[string]func() error{
		"hot": func() error {
			_, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("1")}})
			return err
		},
		"cold": func() error {
			_, err := client.Freeze(ctx, &ledgerv1.FreezeRequest{})
			return err
		},
		"stream": func() error {
			stream, err := client.CreateTransfersStream(ctx)
			if err != nil {
				return err
			}
			if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Transfers: []*ledgerv1.Transfer{transfer("1")}}); err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
	} {
		if err := call(); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s by gRPC: %v", name, err)
		}
	}
	for _, method := range []string{"CreateTransfers", "Freeze"} {
		body := map[string]string{"CreateTransfers": transfersJSON(1, 1), "Freeze": "{}"}[method]
		if code, text := b.post(method, b.tokens[auth.RoleAdmin], body); code != 500 || strings.Contains(text, "secret") {
			t.Errorf("%s by JSON: %d %s", method, code, text)
		}
	}
	if n := b.metric("sterling_api_panics_total", nil); n != 5 {
		t.Errorf("%v panics counted, want 5", n)
	}
	b.before(func(context.Context) error { return nil })
	b.call("CreateTransfers", transfersJSON(1, 1))
}

func quick(c *api.Config) {
	c.Limits.Header, c.Limits.Request = 150*time.Millisecond, 300*time.Millisecond
	c.Limits.Answer, c.Limits.Idle = 300*time.Millisecond, 2*time.Second
}

func dial(t *testing.T, b *bank) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestHalfSentRequestsTimeOut sends the beginning of a request and waits for the
// server to give the connection up.
func TestHalfSentRequestsTimeOut(t *testing.T) {
	b := open(t, quick)
	b.seed()
	post := "POST /sterling.ledger.v1.LedgerService/CreateTransfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + b.tokens[auth.RoleTeller] + "\r\n"
	for name, c := range map[string]struct{ begin, want string }{
		"half a method":     {"PO", ""},
		"half a preface":    {"PRI * HT", ""},
		"preface only":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
		"half a header":     {post, ""},
		"half a body":       {post + "Content-Length: 1000\r\n\r\n{\"transfers\":[", "504"},
		"a chunk too few":   {post + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "504"},
		"no body, no token": {"POST /sterling.ledger.v1.LedgerService/CreateTransfers HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "401"},
	} {
		conn := dial(t, b)
		if _, err := io.WriteString(conn, c.begin); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn) // until the server closes
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		if line, _, _ := strings.Cut(string(answer), "\r\n"); c.want != "" && !strings.Contains(line, c.want) {
			t.Errorf("%s: answered %q, want %s", name, line, c.want)
		}
	}
	b.call("CreateTransfers", transfersJSON(1, 1))
}

// TestHalfSentMessageTimesOut opens a gRPC call whose message never comes.
func TestHalfSentMessageTimesOut(t *testing.T) {
	b := open(t, quick)
	conn, ctx := b.grpcConn(auth.RoleTeller)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/sterling.ledger.v1.LedgerService/CreateTransfers")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&ledgerv1.CreateTransfersResponse{}); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("err = %v, want DeadlineExceeded", err)
	}
}

func TestSlowClientIsGivenUp(t *testing.T) {
	b := open(t, quick)
	b.seed()
	for i := range 2 {
		b.call("CreateTransfers", transfersJSON(10_000*(i+1), 8000))
	}
	var ids []string
	for i := range 8000 {
		ids = append(ids, fmt.Sprintf(`"%d"`, 10_000+i))
	}
	body := `{"ids":[` + strings.Join(ids, ",") + `]}`
	conn := dial(t, b)
	if err := conn.(*net.TCPConn).SetReadBuffer(1 << 12); err != nil {
		t.Fatal(err)
	}
	request := fmt.Sprintf("POST /sterling.ledger.v1.LedgerService/LookupTransfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", b.tokens[auth.RoleReader], len(body), body)
	for range 4 { // more than the buffers between take
		if _, err := io.WriteString(conn, request); err != nil {
			break
		}
	}
	// Nothing is read until the server has closed its side, which shows in its gauge.
	deadline := time.Now().Add(15 * time.Second)
	for b.metric("sterling_api_connections", map[string]string{"protocol": "http1"}) > 1 { // the other is the test's own
		if time.Now().After(deadline) {
			t.Fatal("the connection of a client that does not read is still open")
		}
		if _, _, err := b.try("LookupAccounts", b.tokens[auth.RoleReader], `{"ids":["1"]}`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyIdleConnections(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, (int(limit.Cur)-500)/2) // both ends are here
	if n < 100 {
		t.Skipf("only %d open files are allowed", limit.Cur)
	}
	b := open(t, nil)
	b.seed()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range n {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, c)
		if i%2 == 0 { // half of them have spoken and keep the connection
			continue
		}
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < n; i += 2 {
		line, err := bufio.NewReader(conns[i]).ReadString('\n')
		if err != nil || !strings.Contains(line, "200") {
			t.Fatalf("connection %d: %q, %v", i, line, err)
		}
	}
	client, ctx := b.grpcClient(auth.RoleTeller)
	if _, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("1")}}); err != nil {
		t.Fatal(err)
	}
	b.call("CreateTransfers", transfersJSON(100, 10))
	t.Logf("%d idle connections", n)
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	b := open(t, func(c *api.Config) { c.Limits.Connections = 2 })
	first, second := dial(t, b), dial(t, b)
	third := dial(t, b)
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection beyond the limit stays open")
	}
	first.Close()
	second.Close()
	deadline := time.Now().Add(15 * time.Second)
	for { // the slots come back once the server has seen the end
		if code, _, err := b.try("LookupAccounts", b.tokens[auth.RoleReader], "{}"); err == nil && code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the slots of closed connections were not freed")
		}
	}
	if n := b.metric("sterling_api_connections_refused_total", nil); n < 1 {
		t.Errorf("%v refused connections counted", n)
	}
}

func TestSplitByTheFirstBytes(t *testing.T) {
	b := open(t, nil)
	conn := dial(t, b)
	for _, c := range []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") { // preface and an empty SETTINGS, byte by byte
		if _, err := conn.Write([]byte{c}); err != nil {
			t.Fatal(err)
		}
	}
	frame := make([]byte, 9)
	if _, err := io.ReadFull(conn, frame); err != nil || frame[3] != 4 {
		t.Errorf("HTTP/2: first frame %x, %v, want SETTINGS", frame, err)
	}
	conn = dial(t, b)
	for _, part := range []string{"P", "U", "T /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"} {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("HTTP/1.1: %q, %v", line, err)
	}
	conn = dial(t, b)
	if _, err := io.WriteString(conn, "\x16\x03\x01 what is this\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "400") {
		t.Errorf("garbage: %q, %v", line, err)
	}
}

func TestShutdownAnswersCallsInFlight(t *testing.T) {
	b := open(t, nil)
	b.seed()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	b.before(func(context.Context) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	client, ctx := b.grpcClient(auth.RoleTeller)
	answers := make(chan error, 2)
	go func() {
		_, err := client.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{transfer("1")}})
		answers <- err
	}()
	go func() {
		code, body, err := b.try("CreateTransfers", b.tokens[auth.RoleTeller], transfersJSON(2, 1))
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %s", code, body)
		}
		answers <- err
	}()
	<-entered
	<-entered
	dial(t, b) // one that never speaks must not hold it up
	go b.shutdown()
	for { // until new connections are refused
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(release)
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func TestMetricsCount(t *testing.T) {
	b := open(t, nil)
	b.seed()
	b.call("CreateTransfers", transfersJSON(1, 3))
	b.post("CreateTransfers", "", "{}")
	b.post("CreateTransfers", b.tokens[auth.RoleTeller], "{")
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"sterling_api_calls_total", map[string]string{"method": "CreateTransfers", "code": "ok"}, 1},
		{"sterling_api_calls_total", map[string]string{"method": "CreateTransfers", "code": "unauthenticated"}, 1},
		{"sterling_api_calls_total", map[string]string{"method": "CreateTransfers", "code": "invalid_argument"}, 1},
		{"sterling_api_events_total", map[string]string{"method": "CreateTransfers"}, 3},
		{"sterling_api_call_seconds", map[string]string{"method": "CreateTransfers"}, 3},
	} {
		if got := b.metric(c.name, c.labels); got != c.want {
			t.Errorf("%s %v = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}
