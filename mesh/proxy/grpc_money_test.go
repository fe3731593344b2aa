package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// calls is a gRPC endpoint that counts what reaches it, and fails the first calls in a given way.
type calls struct {
	mu   sync.Mutex
	got  []string // keys of the calls received whole, in order
	fail []string
}

// serve handles a connection. The ways to fail: "silent" closes after the call without an answer, "head" after the head
// of an answer, "refused" resets the stream as not acted on, "away" says so for the whole connection, "unavailable"
// answers that without a message, "late" the same after a head, "hang" never answers, "reset" cuts the stream off.
func (c *calls) serve(_ int, r *raw) {
	for {
		id, req, err := r.request()
		if err != nil {
			return
		}
		key := ""
		for l := range strings.Lines(req.head) {
			if v, ok := strings.CutPrefix(l, "idempotency-key: "); ok {
				key = strings.TrimSpace(v)
			}
		}
		c.mu.Lock()
		how := ""
		if n := len(c.got); n < len(c.fail) {
			how = c.fail[n]
		}
		c.got = append(c.got, key)
		c.mu.Unlock()
		head := []string{":status: 200", "content-type: application/grpc"}
		switch how {
		case "silent":
			return
		case "hang":
			_ = r.next() // until the proxy gives up
			continue
		case "head":
			r.head(id, false, head...)
			return
		case "refused":
			_ = r.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			continue
		case "away":
			_ = r.WriteGoAway(id-1, http2.ErrCodeNo, nil)
			return
		case "reset":
			_ = r.WriteRSTStream(id, http2.ErrCodeInternal)
			continue
		case "unavailable":
			r.head(id, true, append(head, "grpc-status: 14")...)
			continue
		case "late":
			r.head(id, false, head...)
			r.head(id, true, "grpc-status: 14")
			continue
		}
		r.head(id, false, head...)
		_ = r.WriteData(id, false, []byte{0, 0, 0, 0, 0})
		r.head(id, true, "grpc-status: 0")
	}
}

func TestGRPCMoneyIsSentAgainOnlyWhereItIsSafe(t *testing.T) {
	for _, tt := range []struct {
		name, route string
		fail        []string
		key         string
		code        codes.Code
		outcome     string
		got         string
	}{
		{"all right", "money: true, retry: {attempts: 2}", nil, "k", codes.OK, "", "k"},
		{"no answer, with a key", "money: true, retry: {attempts: 2}", []string{"silent"}, "k", codes.OK, "", "k k"},
		{"no answer, without a key", "money: true, retry: {attempts: 2}", []string{"silent"}, "", codes.Unknown, "unknown", ""},
		{"no answer, without a key, not money", "retry: {attempts: 2}", []string{"silent"}, "", codes.Unknown, "unknown", ""},
		{"cut off, without a key", "money: true, retry: {attempts: 2}", []string{"reset"}, "", codes.Unknown, "unknown", ""},
		{"cut off, with a key", "money: true, retry: {attempts: 2}", []string{"reset"}, "k", codes.OK, "", "k k"},
		{"refused, without a key", "money: true, retry: {attempts: 2}", []string{"refused"}, "", codes.OK, "", " "},
		{"refused, no retries asked for", "money: true", []string{"refused"}, "", codes.Unavailable, "not-sent", ""},
		{"the endpoint goes away unprocessed, without a key", "money: true, retry: {attempts: 2}", []string{"away"}, "", codes.OK, "", " "},
		{"a head, with a key", "money: true, retry: {attempts: 2}", []string{"head"}, "k", codes.Unknown, "", "k"},
		{"UNAVAILABLE, with a key", "money: true, retry: {attempts: 2}", []string{"unavailable"}, "k", codes.Unavailable, "", "k"},
		{"not money: UNAVAILABLE, with a key", "retry: {attempts: 2, statuses: [503]}", []string{"unavailable"}, "k", codes.OK, "", "k k"},
		{"not money: UNAVAILABLE, without a key", "retry: {attempts: 2, statuses: [503]}", []string{"unavailable"}, "", codes.Unavailable, "", ""},
		{"not money: UNAVAILABLE after a head", "retry: {attempts: 2, statuses: [503]}", []string{"late"}, "k", codes.Unavailable, "", "k"},
		{"too slow, with a key", "money: true, timeout: 10s, retry: {attempts: 1, each: 100ms}", []string{"hang"}, "k", codes.OK, "", "k k"},
		{"too slow, without a key", "money: true, timeout: 100ms, retry: {attempts: 1, each: 50ms}", []string{"hang"}, "", codes.DeadlineExceeded, "unknown", ""},
		{"as often as allowed", "money: true, retry: {attempts: 1}", []string{"silent", "silent"}, "k", codes.Unknown, "unknown", "k k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &calls{fail: tt.fail}
			p := start(t, proxy.Options{}, simpleGRPC, rawEndpoint(t, c.serve), "", ", "+tt.route)
			// Head and message in one write: then the proxy holds the whole call when it sends it.
			r := rawClient(t, p)
			lines := []string{":method: POST", ":scheme: http", ":path: /bank.Pay/Do", ":authority: app", "content-type: application/grpc", "te: trailers"}
			if tt.key != "" {
				lines = append(lines, "idempotency-key: "+tt.key)
			}
			var once strings.Builder
			both := http2.NewFramer(&once, nil)
			_ = both.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(lines...), EndHeaders: true})
			_ = both.WriteData(1, true, []byte{0, 0, 0, 0, 0})
			if _, err := r.Conn.Write([]byte(once.String())); err != nil {
				t.Fatal(err)
			}
			a := r.answer(1)
			if !strings.Contains(a.head, fmt.Sprintf("grpc-status: %d\n", tt.code)) || !a.end {
				t.Errorf("answer %+v, want %v", a, tt.code)
			}
			if got := strings.Contains(a.head, "x-sterling-outcome: "+tt.outcome+"\n"); got != (tt.outcome != "") || !got && strings.Contains(a.head, "x-sterling-outcome") {
				t.Errorf("answer %+v, want outcome %q", a, tt.outcome)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := strings.Join(c.got, " "); got != tt.got {
				t.Errorf("the endpoint got %q, want %q", got, tt.got)
			}
		})
	}
}

// TestACallIsHeldWhileItArrives: most clients send head and message apart; the call can be sent again all the same.
func TestACallIsHeldWhileItArrives(t *testing.T) {
	arrived := make(chan struct{})
	got := make(chan string, 2)
	app := rawEndpoint(t, func(n int, r *raw) {
		if n == 0 {
			_ = r.next() // the head is here, the message is not
			close(arrived)
		}
		id, req, err := r.request()
		if err != nil {
			return
		}
		got <- req.data
		if n > 0 {
			r.head(id, true, ":status: 200", "content-type: application/grpc", "grpc-status: 0")
			_ = r.next() // until the proxy is done with it
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", money: true, retry: {attempts: 2}"))
	r.head(1, false, ":method: POST", ":scheme: http", ":path: /bank.Pay/Do", ":authority: app", "content-type: application/grpc", "idempotency-key: k")
	<-arrived
	_ = r.WriteData(1, true, []byte("message"))
	if a := r.answer(1); !strings.Contains(a.head, "grpc-status: 0\n") {
		t.Errorf("answer %+v", a)
	}
	if first, second := <-got, <-got; first != "message" || second != "message" {
		t.Errorf("the endpoint got %q, then %q", first, second)
	}
}

// TestABodyThatIsGoneIsNotSentAgain: refused is not sent, but there is nothing left to send.
func TestABodyThatIsGoneIsNotSentAgain(t *testing.T) {
	arrived, got := make(chan struct{}), make(chan int, 2)
	app := rawEndpoint(t, func(n int, r *raw) {
		if n == 0 {
			_ = r.next() // the head: the proxy does not wait for the rest
			close(arrived)
		}
		for {
			id, req, err := r.request()
			if err != nil {
				return
			}
			got <- len(req.data)
			_ = r.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", money: true, retry: {attempts: 2}"))
	r.head(1, false, ":method: POST", ":scheme: http", ":path: /bank.Pay/Do", ":authority: app", "content-type: application/grpc", "idempotency-key: k")
	_ = r.WriteData(1, false, make([]byte, 10_000))
	<-arrived
	for i := range 4 {
		_ = r.WriteData(1, i == 3, make([]byte, 10_000))
	}
	if a := r.answer(1); !strings.Contains(a.head, "grpc-status: 14\n") || !strings.Contains(a.head, "x-sterling-outcome: not-sent\n") {
		t.Errorf("answer %+v", a)
	}
	if n := <-got; n != 50_000 || len(got) > 0 {
		t.Errorf("the endpoint got %d bytes, and %d more requests", n, len(got))
	}
}

func TestGRPCErrorsOfTheProxy(t *testing.T) {
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused.Close()
	live := service(t, echo)
	for _, tt := range []struct {
		name, address, cluster, route string
		timeout                       time.Duration
		code                          codes.Code
		outcome                       string
	}{
		{"no connection", unused.Addr().String(), "", "", 0, codes.Unavailable, "not-sent"},
		{"no route", live, "", ", match: {hosts: [other]}", 0, codes.Unimplemented, "not-sent"},
		{"a caller that may not", live, "", `, allow: ["spiffe://bank/cell/9/*"]`, 0, codes.PermissionDenied, "not-sent"},
		{"above the rate", live, "", ", rate: {per_second: 1, burst: 1}, fault: {abort_percent: 100, abort_status: 429}", 0, codes.ResourceExhausted, "not-sent"},
		{"too large", live, "", ", max_body: 1", 0, codes.ResourceExhausted, ""},
		{"shadow traffic to a ledger", live, ", kind: ledger", "", 0, codes.PermissionDenied, "not-sent"},
		{"late already", live, "", ", fault: {delay_percent: 100, delay: 1m}", 50 * time.Millisecond, codes.DeadlineExceeded, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc := grpcClient(t, start(t, proxy.Options{}, simpleGRPC, tt.address, tt.cluster, tt.route))
			var head, trailer metadata.MD
			ctx := within(t, 10*time.Second)
			if tt.timeout > 0 {
				ctx = within(t, tt.timeout)
			}
			if tt.name == "shadow traffic to a ledger" {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-sterling-shadow", "1")
			}
			err := cc.Invoke(ctx, "/bank.Pay/Echo", wrapperspb.Bytes([]byte("100")), &wrapperspb.BytesValue{}, grpc.Header(&head), grpc.Trailer(&trailer))
			if status.Code(err) != tt.code {
				t.Errorf("%v, want %v", err, tt.code)
			}
			if got := strings.Join(append(head["x-sterling-outcome"], trailer["x-sterling-outcome"]...), ","); tt.outcome != "" && got != tt.outcome {
				t.Errorf("outcome %q, want %q (%v)", got, tt.outcome, err)
			}
		})
	}
}
