package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestGRPCDeadlineIsCarriedThrough(t *testing.T) {
	left := make(chan time.Duration, 1)
	app := service(t, func(_ string, s grpc.ServerStream) error {
		by, ok := s.Context().Deadline()
		if !ok {
			by = time.Time{}
		}
		left <- time.Until(by)
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	})
	cc := grpcClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", timeout: 300ms"))
	for _, tt := range []struct {
		name string
		own  time.Duration // of the client
		most time.Duration
	}{
		{"the client's", 150 * time.Millisecond, 150 * time.Millisecond},
		{"the route's", 10 * time.Second, 300 * time.Millisecond},
		{"the route's, where the client has none", 0, 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			if tt.own > 0 {
				ctx = within(t, tt.own)
			}
			err := cc.Invoke(ctx, "/bank.Pay/Hang", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{})
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%v, want DEADLINE_EXCEEDED", err)
			}
			if got := <-left; got > tt.most || got < 0 {
				t.Errorf("the endpoint had %s, want at most %s", got, tt.most)
			}
		})
	}
}

func TestACallTakenBackEndsAtTheEndpoint(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	app := service(t, func(_ string, s grpc.ServerStream) error {
		for s.RecvMsg(&wrapperspb.BytesValue{}) == nil { // all of the request has come
		}
		close(began)
		<-s.Context().Done()
		close(ended)
		return nil
	})
	ctx, cancel := context.WithCancel(within(t, 20*time.Second))
	s := bidi(t, ctx, grpcClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", timeout: 1m")), "Hang")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the endpoint still works on it")
	}
}

// TestAnEndpointThatFallsSilent: its connection gets no more requests once one had no answer and nothing else was heard.
func TestAnEndpointThatFallsSilent(t *testing.T) {
	app := rawEndpoint(t, func(n int, r *raw) {
		for e := r.next(); !e.closed; e = r.next() {
			if n > 0 && e.end {
				r.head(e.stream, true, ":status: 200")
			}
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", timeout: 100ms"))
	id := uint32(1)
	for ; id < 9; id += 2 {
		r.get(id)
		if a := r.answer(id); strings.Contains(a.head, ":status: 200\n") {
			break
		}
	}
	if id < 3 || id > 5 {
		t.Errorf("request %d was the first to be answered", id)
	}
}

// TestShutdownDrains: a call under way ends well, new ones are not taken, and the client is told so.
func TestShutdownDrains(t *testing.T) {
	p := start(t, proxy.Options{}, simpleGRPC, service(t, echo), "", "")
	cc := grpcClient(t, p)
	s := bidi(t, within(t, 20*time.Second), cc, "Echo")
	if err := s.SendMsg(wrapperspb.Bytes([]byte("a"))); err != nil {
		t.Fatal(err)
	}
	m := &wrapperspb.BytesValue{}
	if err := s.RecvMsg(m); err != nil {
		t.Fatal(err)
	}
	idle := rawClient(t, p)
	idle.get(1)
	idle.answer(1)
	done := make(chan error, 1)
	go func() { done <- p.Shutdown(within(t, 15*time.Second)) }()
	if e := idle.next(); !e.away || e.code != http2.ErrCodeNo || e.stream != 1<<31-1 {
		t.Errorf("an idle client got %+v, want GOAWAY", e)
	}
	if err := s.SendMsg(wrapperspb.Bytes([]byte("b"))); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(m); err != nil || string(m.Value) != "b" {
		t.Errorf("while draining: %q, %v", m.Value, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(m); err != io.EOF { //nolint:errorlint // as gRPC returns it
		t.Errorf("at the end: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("shut down: %v", err)
	}
}

// TestAnEndpointThatGoesAway: calls on a connection that drains end there, new ones go to another.
func TestAnEndpointThatGoesAway(t *testing.T) {
	conns := make(chan int, 10)
	app := rawEndpoint(t, func(n int, r *raw) {
		conns <- n
		for i := 0; ; i++ {
			id, _, err := r.request()
			if err != nil {
				return
			}
			if i == 1 {
				_ = r.WriteGoAway(id, http2.ErrCodeNo, nil)
			}
			r.head(id, true, ":status: 200")
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ""))
	for i := range uint32(6) {
		r.get(2*i + 1)
		if a := r.answer(2*i + 1); !strings.Contains(a.head, ":status: 200\n") {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	if n := len(conns); n != 3 {
		t.Errorf("%d connections for 6 requests, 2 on each", n)
	}
}

func TestHTTP2ToHTTP1(t *testing.T) {
	app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			text := fmt.Sprintf("%s %s host=%s cookie=%q te=%q body=%q trailer=%q length=%d", req.Method, req.RequestURI, req.Host, req.Header["Cookie"], req.Header["Te"], body, req.Trailer.Get("X-Sum"), req.ContentLength)
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-End: 2\r\n\r\n", len(text), text)
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simple, app, "", ""))
	r.get(1, "cookie: a=1", "cookie: b=2")
	a := r.answer(1)
	if a.data != `GET / host=app cookie=["a=1; b=2"] te=[] body="" trailer="" length=0` || !strings.Contains(a.head, "x-kept: 1\n") || !strings.HasSuffix(a.head, "x-end: 2\n") ||
		strings.Contains(a.head, "x-mine") || strings.Contains(a.head, "keep-alive") || strings.Contains(a.head, "transfer-encoding") {
		t.Errorf("answer %+v", a)
	}
	post := []string{":method: POST", ":scheme: https", ":path: /p?q", ":authority: app:1", "te: trailers"}
	r.head(3, false, append(post, "content-length: 5")...)
	_ = r.WriteData(3, false, []byte("hel"))
	_ = r.WriteData(3, true, []byte("lo"))
	if a := r.answer(3); a.data != `POST /p?q host=app:1 cookie=[] te=["trailers"] body="hello" trailer="" length=5` {
		t.Errorf("answer %+v", a)
	}
	r.head(5, false, post...)
	_ = r.WriteData(5, false, []byte("hello"))
	r.head(5, true, "x-sum: 7")
	if a := r.answer(5); a.data != `POST /p?q host=app:1 cookie=[] te=["trailers"] body="hello" trailer="7" length=-1` {
		t.Errorf("answer %+v", a)
	}
	r.head(7, true, post...)
	if a := r.answer(7); a.data != `POST /p?q host=app:1 cookie=[] te=["trailers"] body="" trailer="" length=0` {
		t.Errorf("answer %+v", a)
	}
}

func TestHTTP1ToHTTP2(t *testing.T) {
	app := rawEndpoint(t, func(_ int, r *raw) {
		for {
			id, req, err := r.request()
			if err != nil {
				return
			}
			r.head(id, false, ":status: 103", "link: x")
			r.head(id, false, ":status: 200", "content-type: text/plain")
			_ = r.WriteData(id, false, []byte(strings.ReplaceAll(req.head, "\n", "|")+req.data))
			r.head(id, true, "x-sum: 7")
		}
	})
	c := dialProxy(t, start(t, proxy.Options{}, simpleGRPC, app, "", ""))
	c.send("POST /p?q HTTP/1.1\r\nHOST: app\r\nX-Mixed: A\r\nConnection: X-Mine\r\nX-Mine: 1\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: 2\r\n\r\n")
	if resp, _ := c.answer("POST"); resp.StatusCode != 103 {
		t.Fatalf("status %d, want 103", resp.StatusCode)
	}
	resp, body := c.answer("POST")
	if resp.StatusCode != 200 || resp.Trailer.Get("X-Sum") != "7" || !strings.HasPrefix(body, ":method: POST|:scheme: http|:path: /p?q|:authority: app|x-mixed: A|") || !strings.HasSuffix(body, "|hellox-end: 2|") && !strings.HasSuffix(body, "|x-end: 2|hello") ||
		strings.Contains(body, "mine") || strings.Contains(body, "connection") || strings.Contains(body, "upgrade") || strings.Contains(body, "transfer") {
		t.Errorf("status %d, trailers %v, body %q", resp.StatusCode, resp.Trailer, body)
	}
	if resp, body := c.send(get("/next")).answer("GET"); resp.StatusCode != 103 || body != "" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, body := c.answer("GET"); resp.StatusCode != 200 || !strings.Contains(body, ":path: /next|") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// TestHTTP2Smuggling: what HTTP/1.1 would read as something else is not carried over.
func TestHTTP2Smuggling(t *testing.T) {
	saw := make(chan string, 1)
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) { saw <- r.Method + " " + r.RequestURI })
	p := start(t, proxy.Options{}, simple, app, "", "")
	base := map[string]string{":method": "GET", ":scheme": "http", ":path": "/", ":authority": "app"}
	for _, tt := range []struct {
		name, field, value string
		want               string // a status, or "" where the stream is reset
	}{
		{"a line feed in a value", "x-a", "b\r\nhost: evil", ""},
		{"a NUL in a value", "x-a", "b\x00", ""},
		{"a line feed in a name", "x-a\r\nx-b", "1", ""},
		{"a colon in a name", "x-a:", "1", ""},
		{"upper case", "X-A", "1", ""},
		{"an empty name", "", "1", ""},
		{"outer spaces", "x-a", " 1", ""},
		{"transfer-encoding", "transfer-encoding", "chunked", ""},
		{"connection", "connection", "close", ""},
		{"upgrade", "upgrade", "websocket", ""},
		{"keep-alive", "keep-alive", "1", ""},
		{"te", "te", "gzip", ""},
		{"proxy-connection", "proxy-connection", "close", ""},
		{"http2-settings", "http2-settings", "AAAA", "400"},
		{"a length that is no number", "content-length", "+1", ""},
		{"a length without a body", "content-length", "5", ""},
		{"a line feed in the path", ":path", "/ HTTP/1.1\r\nx: y", ""},
		{"a space in the path", ":path", "/a b", ""},
		{"no slash", ":path", "a", "400"},
		{"an absolute target", ":path", "http://other/", "400"},
		{"dot segments", ":path", "/a/../b", "400"},
		{"an encoded slash", ":path", "/a%2fb", "400"},
		{"an asterisk", ":path", "*", "400"},
		{"a method that is no token", ":method", "GET/x", "400"},
		{"a space in the method", ":method", "GET /x HTTP/1.1", ""},
		{"CONNECT with a path", ":method", "CONNECT", ""},
		{"another host", "host", "other", "400"},
		{"two hosts", ":authority", "app, other", ""},
		{"user info", ":authority", "user@app", "400"},
		{"an overlong key", "x-sterling-timeout-ms", "soon", "400"},
		{"a status", ":status", "200", ""},
		{"an unknown pseudo-header field", ":protocol", "websocket", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rawClient(t, p)
			r.buf.Reset()
			var lines []string
			for _, name := range []string{":method", ":scheme", ":path", ":authority"} {
				if name != tt.field {
					lines = append(lines, name, base[name])
				}
			}
			if strings.HasPrefix(tt.field, ":") {
				lines = append([]string{tt.field, tt.value}, lines...)
			} else {
				lines = append(lines, tt.field, tt.value)
			}
			_ = r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.pairs(lines...), EndStream: true, EndHeaders: true})
			a := r.answer(1)
			got := ""
			if _, rest, ok := strings.Cut(a.head, ":status: "); ok {
				got = rest[:3]
			}
			if got != tt.want || got == "" && (!a.reset || a.code != http2.ErrCodeProtocol) {
				t.Errorf("answer %+v, want %q", a, tt.want)
			}
			select {
			case s := <-saw:
				t.Errorf("the endpoint saw %q", s)
			default:
			}
		})
	}
}

func TestGRPCInTheAccessLogAndMetrics(t *testing.T) {
	var log safeBuffer
	app := service(t, func(string, grpc.ServerStream) error { return status.Error(codes.FailedPrecondition, "no") })
	p := start(t, proxy.Options{AccessLog: &log}, simpleGRPC, app, "", "")
	err := grpcClient(t, p).Invoke(metadata.AppendToOutgoingContext(within(t, 10*time.Second), "authorization", "secret"), "/bank.Pay/Do", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{})
	if status.Code(err) != codes.FailedPrecondition {
		t.Fatal(err)
	}
	if err := p.Shutdown(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); !strings.Contains(s, `"status":400,"grpc":9`) || !strings.Contains(s, `"path":"/bank.Pay/Do"`) || strings.Contains(s, "secret") {
		t.Errorf("access log %s", s)
	}
}
