package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestConnectionsAreReused(t *testing.T) {
	var conns atomic.Int32
	app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		conns.Add(1)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	for range 20 {
		c.send(get("/")).answer("GET")
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the endpoint for one client's 20 requests", n)
	}
}

func TestFieldsOfOneConnectionStayThere(t *testing.T) {
	saw := make(chan http.Header, 1)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		saw <- r.Header
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Sterling-Kept", "1")
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", `, request: {remove: [X-Gone], set: {X-New: "1", X-Old: replaced}}, response: {set: {X-Answer: "2"}, remove: [Date]}`))
	resp, _ := c.send(get("/", "Connection: X-Mine", "X-Mine: 1", "Keep-Alive: 5", "Proxy-Connection: x", "TE: gzip", "X-Gone: 1", "x-old: 1", "X-Kept: a", "X-Kept: b",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b")).answer("GET")
	got := <-saw
	for name, want := range map[string]string{
		"X-Mine": "[]", "Keep-Alive": "[]", "Proxy-Connection": "[]", "Te": "[]", "X-Gone": "[]", "X-Old": "[replaced]", "X-New": "[1]", "X-Kept": "[a b]",
		"Traceparent": "[00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01]", "Tracestate": "[a=b]",
	} {
		if fmt.Sprint(got[name]) != want {
			t.Errorf("the endpoint got %s %v, want %s", name, got[name], want)
		}
	}
	if resp.Header.Get("X-Answer") != "2" || resp.Header.Get("Date") != "" || resp.Header.Get("Keep-Alive") != "" || resp.Header.Get("Sterling-Kept") != "1" {
		t.Errorf("the client got %v", resp.Header)
	}
}

func TestATraceIsBegunWhereThereIsNone(t *testing.T) {
	saw := make(chan http.Header, 1)
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) { saw <- r.Header })
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	for _, bad := range []string{
		"", "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01", "traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		fields := []string{"tracestate: a=b"}
		if bad != "" {
			fields = append(fields, bad)
		}
		c.send(get("/", fields...)).answer("GET")
		got := <-saw
		if p := got["Traceparent"]; len(p) != 1 || len(p[0]) != 55 || strings.Contains(bad, p[0]) || got["Tracestate"] != nil {
			t.Errorf("after %q: traceparent %q, tracestate %q", bad, p, got["Tracestate"])
		}
	}
}

func TestContinue(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		b, _ := io.ReadAll(r.Body) // net/http sends 100 now
		_, _ = w.Write(b)
	})
	p := start(t, proxy.Options{}, simple, app, "", "")
	c := dialProxy(t, p)
	for range 2 {
		c.send("POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if resp, _ := c.answer("POST"); resp.StatusCode != 100 {
			t.Fatalf("status %d, want 100", resp.StatusCode)
		}
		if resp, body := c.send("hello").answer("POST"); resp.StatusCode != 200 || body != "hello" {
			t.Fatalf("%d %q", resp.StatusCode, body)
		}
	}
	c.send("POST /no HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if resp, _ := c.answer("POST"); resp.StatusCode != 403 {
		t.Fatalf("status %d, want 403", resp.StatusCode)
	}
	c.ended() // whether the body would have come is open
}

func TestTrailersPass(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", r.Trailer.Get("X-In"))
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	resp, body := c.send("POST / HTTP/1.1\r\nHost: app\r\nTrailer: X-In\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: 7\r\n\r\n").answer("POST")
	if body != "body" || resp.Trailer.Get("X-Sum") != "7" {
		t.Errorf("body %q, trailers %v", body, resp.Trailer)
	}
}

func TestBodiesAreStreamedBothWays(t *testing.T) {
	app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			b := make([]byte, 1)
			n, err := req.Body.Read(b)
			if n > 0 {
				_, _ = fmt.Fprintf(c, "1\r\n%s\r\n", b)
			}
			if err != nil {
				break
			}
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	c.send("POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 10 {
		var b [1]byte
		if _, err := io.ReadFull(resp.Body, b[:]); err != nil || b[0] != byte('a'+i) {
			t.Fatalf("byte %d: %q, %v", i, b, err)
		}
		c.send(fmt.Sprintf("1\r\n%c\r\n", 'b'+i))
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "k" {
		t.Errorf("the rest: %q, %v", rest, err)
	}
}

func TestAnAnswerBeforeTheBodyEndsTheUpload(t *testing.T) {
	app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		_, _ = http.ReadRequest(in)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		_, _ = in.Discard(1 << 20) // so that closing does not reset the connection first
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	c.send("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 100_000))
	if resp, body := c.answer("POST"); resp.StatusCode != 413 || body != "no" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	c.ended()
}

func TestABodyThatBreaksOffReachesNobodyWhole(t *testing.T) {
	whole := make(chan error, 1)
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		whole <- err
	})
	p := start(t, proxy.Options{}, simple, app, "", ", timeout: 1h") // it must not take that long
	for _, sent := range []string{
		"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000),
		"POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n" + strings.Repeat("x", 50_000) + "\r\n5\r\nab",
		"POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n" + strings.Repeat("x", 50_000) + "\r\nzz\r\n",
	} {
		c := dialProxy(t, p).send(sent)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if resp, _ := c.answer("POST"); resp.StatusCode != 400 || resp.Header.Get("X-Sterling-Outcome") != "unknown" {
			t.Errorf("%.80q: status %d", sent, resp.StatusCode)
		}
		if err := <-whole; err == nil {
			t.Errorf("%.80q: the endpoint took a part of the body for all of it", sent)
		}
	}
}

func TestEndpointsThatMisbehave(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int // 0: the client must see that the answer is not whole
	}{
		{"closes", "", 502},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", 502},
		{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
		{"breaks off in the head", "HTTP/1.1 200 OK\r\nContent-Le", 502},
		{"breaks off in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 0},
		{"breaks off in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 0},
		{"malformed chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", 502},
		{"malformed later chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\nxyz", 0},
		{"a head too large", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 40<<10), 502},
		{"endless interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20), 502},
		{"switches unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502},
		{"a field with a line feed", "HTTP/1.1 200 OK\r\nX-A: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
				_, _ = http.ReadRequest(in)
				_, _ = io.WriteString(c, tt.answer)
			})
			c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", "")).send(get("/"))
			for {
				resp, err := http.ReadResponse(c.in, nil)
				if err != nil {
					if tt.status != 0 {
						t.Fatal(err)
					}
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode < 200 {
					continue
				}
				if resp.StatusCode != tt.status && tt.status != 0 || tt.status == 0 && err == nil {
					t.Errorf("%d %q, %v", resp.StatusCode, b, err)
				}
				return
			}
		})
	}
}

func TestHTTP10(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" ")
		w.(http.Flusher).Flush() // chunks, which HTTP/1.0 does not know
		_, _ = io.WriteString(w, "end")
	})
	p := start(t, proxy.Options{}, simple, app, "", "")
	c := dialProxy(t, p).send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	b, err := io.ReadAll(c.in)
	if head, body, _ := strings.Cut(string(b), "\r\n\r\n"); err != nil || body != "HTTP/1.1 end" || strings.Contains(head, "chunked") || !strings.Contains(head, "Connection: close") {
		t.Errorf("%q, %v", b, err)
	}
}

// TestOverloadAtTheProxy: the limiter begins with 64 requests in flight; what waits for longer than it may is refused.
func TestOverloadAtTheProxy(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	app := backend(t, func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-release
	})
	p := start(t, proxy.Options{}, simple, app, ", adaptive: true", ", money: true, priority: settle")
	var busy []*client
	for range 64 {
		busy = append(busy, dialProxy(t, p).send(get("/")))
		<-entered
	}
	waits := dialProxy(t, p)
	resp, body := waits.send(request("POST", "/", "x")).answer("GET")
	if resp.StatusCode != 503 || !strings.Contains(body, "overload") || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Sterling-Outcome") != "not-sent" {
		t.Errorf("beyond the limit: %d %s", resp.StatusCode, body)
	}
	close(release)
	for _, c := range busy {
		if resp, _ := c.answer("GET"); resp.StatusCode != 200 {
			t.Errorf("within the limit: %d", resp.StatusCode)
		}
	}
	waits.send(get("/"))
	<-entered
	if resp, _ := waits.answer("GET"); resp.StatusCode != 200 {
		t.Errorf("after the overload: %d", resp.StatusCode)
	}
}

func TestTime(t *testing.T) {
	saw := make(chan string, 1)
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		saw <- r.Header.Get("X-Sterling-Timeout-Ms")
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	p := start(t, proxy.Options{}, simple, app, "", ", timeout: 2s")
	for _, tt := range []struct {
		path, field string
		status      int
		outcome     string
		most        int // of what the endpoint is told, in milliseconds; 0: it is not asked
	}{
		{"/", "", 200, "", 2000},
		{"/", "X-Sterling-Timeout-Ms: 700", 200, "", 700},
		{"/", "X-Sterling-Timeout-Ms: 100000", 200, "", 2000},
		{"/slow", "X-Sterling-Timeout-Ms: 50", 504, "unknown", 50},
		{"/", "X-Sterling-Timeout-Ms: 0", 504, "not-sent", 0},
		{"/", "X-Sterling-Timeout-Ms: soon", 400, "not-sent", 0},
		{"/", "X-Sterling-Timeout-Ms: -1", 400, "not-sent", 0},
	} {
		fields := []string{}
		if tt.field != "" {
			fields = append(fields, tt.field)
		}
		resp, body := dialProxy(t, p).send(get(tt.path, fields...)).answer("GET")
		if resp.StatusCode != tt.status || resp.Header.Get("X-Sterling-Outcome") != tt.outcome {
			t.Errorf("%s: %d %s (%s)", tt.field, resp.StatusCode, resp.Header.Get("X-Sterling-Outcome"), body)
		}
		if tt.most == 0 {
			continue
		}
		var ms int
		if _, err := fmt.Sscan(<-saw, &ms); err != nil || ms > tt.most || ms < tt.most/2 {
			t.Errorf("%s: the endpoint is told %d ms, want a little less than %d", tt.field, ms, tt.most)
		}
	}
}

func TestTheBreakerBoundsWhatIsInFlight(t *testing.T) {
	entered, release := make(chan bool, 2), make(chan bool)
	app := backend(t, func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-release
	})
	p := start(t, proxy.Options{}, simple, app, ", max_requests: 2", "")
	first, second := dialProxy(t, p).send(get("/")), dialProxy(t, p).send(get("/"))
	<-entered
	<-entered
	third := dialProxy(t, p)
	for range 2 {
		if resp, _ := third.send(get("/")).answer("GET"); resp.StatusCode != 503 || resp.Header.Get("X-Sterling-Outcome") != "not-sent" {
			t.Errorf("beyond the breaker: %d", resp.StatusCode)
		}
	}
	close(release)
	first.answer("GET")
	second.answer("GET")
	if resp, _ := third.send(get("/")).answer("GET"); resp.StatusCode != 200 {
		t.Errorf("within the breaker: %d", resp.StatusCode)
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	var got atomic.Int32
	app := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, ", retry_percent: 10, ejection: {failures: -1}", ", retry: {attempts: 5, statuses: [503]}"))
	const n = 200
	for range n {
		c.send(get("/")).answer("GET")
	}
	// 10 in advance, and one for every ten requests.
	if retries := got.Load() - n; retries < 20 || retries > 31 {
		t.Errorf("%d retries of %d requests, want 30", retries, n)
	}
}

func TestRoutesByHostPathMethodAndField(t *testing.T) {
	var addresses []any
	for _, name := range []string{"a", "b", "c", "d"} {
		addresses = append(addresses, backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	}
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: a, endpoints: [{address: "%s"}]}, {name: b, endpoints: [{address: "%s"}]}, {name: c, endpoints: [{address: "%s"}]}, {name: d, endpoints: [{address: "%s"}]}]
routes:
  - {name: field, match: {hosts: [app], headers: [{name: X-Canary, is: "yes"}, {name: X-Team, prefix: pay-}]}, backends: [{cluster: d}]}
  - {name: method, match: {hosts: [app], methods: [DELETE]}, backends: [{cluster: c}]}
  - {name: path, match: {hosts: [app, other], path: /exact}, backends: [{cluster: b}]}
  - {name: prefix, match: {hosts: [app], prefix: /v1}, backends: [{cluster: a}]}
  - {name: wild, match: {hosts: ["*.example.com"]}, backends: [{cluster: c}]}
  - {name: any, match: {prefix: /any}, backends: [{cluster: d}]}
`, addresses...)
	for _, tt := range []struct{ method, host, path, fields, want string }{
		{"GET", "app", "/v1", "", "a"},
		{"GET", "APP:80", "/v1/x?q", "", "a"},
		{"GET", "app", "/v10", "", ""},
		{"GET", "app", "/exact", "", "b"},
		{"GET", "other", "/exact", "", "b"},
		{"GET", "other", "/exact/", "", ""},
		{"DELETE", "app", "/v1", "", "c"},
		{"GET", "app", "/v1", "X-Canary: yes\r\nx-team: pay-1\r\n", "d"},
		{"GET", "app", "/v1", "X-Canary: yes\r\n", "a"},
		{"GET", "app", "/v1", "X-Canary: no\r\nX-Team: pay-1\r\n", "a"},
		{"GET", "x.example.com", "/", "", "c"},
		{"GET", "example.com", "/", "", ""},
		{"GET", "evilexample.com", "/", "", ""},
		{"GET", "app", "/any", "", "d"},
		{"GET", "whoever", "/any/thing", "", "d"},
	} {
		c := dialProxy(t, p).send(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", tt.method, tt.path, tt.host, tt.fields))
		resp, body := c.answer(tt.method)
		if tt.want == "" && resp.StatusCode != 404 || tt.want != "" && body != tt.want {
			t.Errorf("%s %s%s %q: %d %q, want %q", tt.method, tt.host, tt.path, tt.fields, resp.StatusCode, body, tt.want)
		}
	}
}

func TestWeightsMirrorsAndFaults(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	named := func(name string) string {
		return backend(t, func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprintf("%s %s %s", name, r.Header.Get("X-Sterling-Shadow"), b)]++
		})
	}
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters:
  - {name: old, endpoints: [{address: "%s"}]}
  - {name: new, endpoints: [{address: "%s"}]}
  - {name: copy, endpoints: [{address: "%s"}]}
  - {name: ledger, kind: ledger, endpoints: [{address: "%[3]s"}]}
routes:
  - {name: canary, match: {path: /canary}, backends: [{cluster: old, weight: 90}, {cluster: new, weight: 10}]}
  - {name: mirror, match: {path: /mirror}, mirror: {cluster: copy, percent: 100}, backends: [{cluster: old}]}
  - {name: unsafe, match: {path: /unsafe}, mirror: {cluster: ledger, percent: 100}, backends: [{cluster: old}]}
  - {name: abort, match: {path: /abort}, fault: {abort_percent: 100, abort_status: 418}, backends: [{cluster: old}]}
  - {name: delay, match: {path: /delay}, timeout: 20ms, fault: {delay_percent: 100, delay: 1s}, backends: [{cluster: old}]}
`, named("old"), named("new"), named("copy"))
	c := dialProxy(t, p)
	const n = 1000
	for range n {
		c.send(request("POST", "/canary", "x")).answer("POST")
	}
	if share := got["new  x"]; got["old  x"]+share != n || share < 50 || share > 160 {
		t.Errorf("the canary's share of %d requests: %v", n, got)
	}
	for range 10 {
		c.send(request("POST", "/mirror", "m")).answer("POST")
		c.send(request("POST", "/unsafe", "u")).answer("POST")
	}
	if resp, _ := c.send(get("/abort")).answer("GET"); resp.StatusCode != 418 {
		t.Errorf("abort: %d", resp.StatusCode)
	}
	if resp, _ := c.send(get("/delay")).answer("GET"); resp.StatusCode != 504 || resp.Header.Get("X-Sterling-Outcome") != "not-sent" {
		t.Errorf("delay beyond the timeout: %d", resp.StatusCode)
	}
	shutdown(t, p) // waits for the copies
	mu.Lock()
	defer mu.Unlock()
	if got["old  m"] != 10 || got["copy 1 m"] != 10 || got["old  u"] != 10 || got["copy 1 u"]+got["copy  u"] != 0 {
		t.Errorf("mirrored: %v", got)
	}
}

func TestRates(t *testing.T) {
	app := backend(t, func(http.ResponseWriter, *http.Request) {})
	fake := clock.NewFake(1)
	c := dialProxy(t, start(t, proxy.Options{Clock: fake}, simple, app, "", ", rate: {per_second: 10, burst: 3}"))
	status := func() int {
		resp, _ := c.send(request("POST", "/", "x")).answer("POST")
		return resp.StatusCode
	}
	for i, want := range []int{200, 200, 200, 429, 429} {
		if got := status(); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	fake.Advance(100 * time.Millisecond)
	for i, want := range []int{200, 429} {
		if got := status(); got != want {
			t.Errorf("request %d after 100 ms: %d, want %d", i, got, want)
		}
	}
}

func TestTunnels(t *testing.T) {
	app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		if first, _ := in.Peek(3); string(first) == "GET" {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst ")
		}
		_, _ = io.Copy(c, in)
	})
	p := start(t, proxy.Options{}, simple, app, "", ", upgrade: [websocket], connect: true")
	c := dialProxy(t, p).send(get("/", "Connection: Upgrade", "Upgrade: websocket") + "early ")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-WebSocket-Accept") != "x" {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	c.send("late")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	if b, _ := io.ReadAll(c.in); string(b) != "first early late" {
		t.Errorf("through the upgrade came %q", b)
	}

	c = dialProxy(t, p).send("CONNECT anything:443 HTTP/1.1\r\nHost: anything:443\r\n\r\nhello")
	resp, err = http.ReadResponse(c.in, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	if b, _ := io.ReadAll(c.in); string(b) != "hello" {
		t.Errorf("through the tunnel came %q", b)
	}
}

func TestAccessLogAndMetrics(t *testing.T) {
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	var lines bytes.Buffer // written by one goroutine, read after it has ended
	p := start(t, proxy.Options{AccessLog: &lines}, simple, app, "", ", match: {prefix: /v1}")
	c := dialProxy(t, p)
	c.send(request("POST", `/v1/pay?card=4111`, "12345", "Authorization: Bearer s3cret", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")).answer("POST")
	c.send(get("/other")).answer("GET")
	bad := dialProxy(t, p).send("GET / HTTP/9\r\n\r\n")
	bad.answer("GET")
	bad.Close() // or the proxy lingers
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(p)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"sterling_mesh_requests_total 2xx all": 1, "sterling_mesh_requests_total 5xx all": 0, "sterling_mesh_request_seconds all": 1,
		"sterling_mesh_body_bytes_total in all": 5, "sterling_mesh_unrouted_total in": 1, "sterling_mesh_malformed_total in": 1,
		"sterling_mesh_connections_total in accepted": 2, "sterling_mesh_in_flight app": 0, "sterling_mesh_access_log_lost_total": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %t), want %v", name, v, ok, want)
		}
	}
	shutdown(t, p)
	if strings.Contains(lines.String(), "4111") || strings.Contains(lines.String(), "s3cret") {
		t.Errorf("the access log has secrets: %s", lines.String())
	}
	var entry map[string]any
	first, _, _ := strings.Cut(lines.String(), "\n")
	if err := json.Unmarshal([]byte(first), &entry); err != nil {
		t.Fatalf("%v in %q", err, first)
	}
	for k, want := range map[string]any{
		"listener": "in", "route": "all", "cluster": "app", "endpoint": app, "retries": 0.0, "peer": "", "method": "POST", "host": "app", "path": "/v1/pay",
		"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "status": 200.0, "bytes_in": 5.0, "bytes_out": 0.0,
	} {
		if entry[k] != want {
			t.Errorf("%s is %v, want %v", k, entry[k], want)
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2: %s", n, lines.String())
	}
}
