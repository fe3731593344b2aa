package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// payments is an endpoint that counts what reaches it, and fails the first requests in a given way.
type payments struct {
	mu   sync.Mutex
	got  []string // keys of the requests received whole, in order
	fail []string // how each of the first connections fails; then all is answered
}

// serve handles one connection. The ways to fail: "silent" closes after the request without an answer, "partial" after
// a part of an answer's head, "head" after the head, "503" answers so, "hang" never answers, "early" closes before reading.
func (p *payments) serve(n int, c net.Conn, in *bufio.Reader) {
	for {
		how := ""
		if n < len(p.fail) {
			how = p.fail[n]
		}
		if how == "early" {
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.got = append(p.got, strings.Join(req.Header["Idempotency-Key"], ",")+"="+string(body))
		p.mu.Unlock()
		switch how {
		case "silent":
			return
		case "hang":
			_, _ = in.ReadByte() // until the proxy gives up
			return
		case "partial":
			_, _ = io.WriteString(c, "HTTP/1.1 2")
			return
		case "head":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npaid")
			return
		case "503":
			_, _ = io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid")
	}
}

func TestMoneyIsSentAgainOnlyWhereItIsSafe(t *testing.T) {
	const key = "Idempotency-Key: k1"
	for _, tt := range []struct {
		name, route string
		fail        []string
		request     string
		status      int    // 0: the connection breaks
		outcome     string // X-Sterling-Outcome
		got         string
	}{
		{"no answer, with a key", "money: true, retry: {attempts: 2}", []string{"silent"}, request("POST", "/pay", "100", key), 200, "", "k1=100 k1=100"},
		{"no answer, without a key", "money: true, retry: {attempts: 2}", []string{"silent"}, request("POST", "/pay", "100"), 502, "unknown", "=100"},
		{"no answer, an idempotent method without a key", "money: true, retry: {attempts: 2}", []string{"silent"}, request("PUT", "/pay", "100"), 502, "unknown", "=100"},
		{"a byte of the answer, with a key", "money: true, retry: {attempts: 2}", []string{"partial"}, request("POST", "/pay", "100", key), 502, "unknown", "k1=100"},
		{"a cut answer, with a key", "money: true, retry: {attempts: 2}", []string{"head"}, request("POST", "/pay", "100", key), 0, "", "k1=100"},
		{"503, with a key", "money: true, retry: {attempts: 2}", []string{"503"}, request("POST", "/pay", "100", key), 503, "", "k1=100"},
		{"too slow, with a key", "money: true, timeout: 10s, retry: {attempts: 1, each: 50ms}", []string{"hang"}, request("POST", "/pay", "100", key), 200, "", "k1=100 k1=100"},
		{"too slow, without a key", "money: true, timeout: 100ms, retry: {attempts: 1, each: 50ms}", []string{"hang"}, request("POST", "/pay", "100"), 504, "unknown", "=100"},
		{"as often as allowed", "money: true, retry: {attempts: 1}", []string{"silent", "silent"}, request("POST", "/pay", "100", key), 502, "unknown", "k1=100 k1=100"},
		{"no retries asked for", "money: true", []string{"silent"}, request("POST", "/pay", "100", key), 502, "unknown", "k1=100"},
		{"not money: POST", "retry: {attempts: 2}", []string{"silent"}, request("POST", "/x", "100"), 502, "unknown", "=100"},
		{"not money: POST with a key", "retry: {attempts: 2}", []string{"silent"}, request("POST", "/x", "100", key), 200, "", "k1=100 k1=100"},
		{"not money: PUT", "retry: {attempts: 2}", []string{"silent"}, request("PUT", "/x", "100"), 200, "", "=100 =100"},
		{"not money: 503", "retry: {attempts: 2, statuses: [503]}", []string{"503"}, request("PUT", "/x", "100"), 200, "", "=100 =100"},
		{"not money: 503 for POST", "retry: {attempts: 2, statuses: [503]}", []string{"503"}, request("POST", "/x", "100"), 503, "", "=100"},
		{"an empty key", "money: true", nil, request("POST", "/pay", "100", "Idempotency-Key:"), 400, "not-sent", ""},
		{"a body too long to hold, with a key", "money: true, retry: {attempts: 2}", []string{"silent"}, request("POST", "/pay", strings.Repeat("1", 100_000), key), 502, "unknown", "k1=" + strings.Repeat("1", 100_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &payments{fail: tt.fail}
			app := scripted(t, p.serve)
			c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ", "+tt.route))
			c.send(tt.request)
			if tt.status == 0 {
				resp, err := http.ReadResponse(c.in, nil)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if err == nil {
					t.Error("a cut answer looked whole")
				}
			} else if resp, body := c.answer("POST"); resp.StatusCode != tt.status || resp.Header.Get("X-Sterling-Outcome") != tt.outcome {
				t.Errorf("status %d, outcome %q (%s), want %d, %q", resp.StatusCode, resp.Header.Get("X-Sterling-Outcome"), body, tt.status, tt.outcome)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := strings.Join(p.got, " "); got != tt.got {
				t.Errorf("the endpoint got %.200q, want %.200q", got, tt.got)
			}
		})
	}
}

// TestNoMoneyCallIsSentTwice: however endpoints fail, one payment without a key reaches them at most once, one that was
// answered well reached them, and one whose outcome is "not-sent" did not.
func TestNoMoneyCallIsSentTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &payments{fail: rapid.SliceOfN(rapid.SampledFrom([]string{"", "early", "silent", "partial", "head", "503"}), 0, 12).Draw(rt, "fail")}
		app := scripted(t, p.serve)
		attempts := rapid.IntRange(0, 5).Draw(rt, "attempts")
		proxied := start(t, proxy.Options{}, simple, app, ", ejection: {failures: -1}", fmt.Sprintf(", money: true, timeout: 5s, retry: {attempts: %d}", attempts))
		for i := range rapid.IntRange(1, 4).Draw(rt, "payments") {
			var fields []string
			key := rapid.Bool().Draw(rt, "key")
			if key {
				fields = []string{fmt.Sprintf("Idempotency-Key: k%d", i)}
			}
			c := dialProxy(t, proxied)
			c.send(request("POST", "/pay", fmt.Sprint(i), fields...))
			status, outcome := 0, ""
			if resp, err := http.ReadResponse(c.in, nil); err == nil {
				if _, err := io.ReadAll(resp.Body); err == nil {
					status, outcome = resp.StatusCode, resp.Header.Get("X-Sterling-Outcome")
				}
				resp.Body.Close()
			}
			c.Close()
			p.mu.Lock()
			reached := 0
			for _, got := range p.got {
				if strings.HasSuffix(got, fmt.Sprintf("=%d", i)) {
					reached++
				}
			}
			p.mu.Unlock()
			if !key && reached > 1 || reached > attempts+1 || status == 200 && reached == 0 || outcome == "not-sent" && reached > 0 {
				rt.Fatalf("payment %d (key: %t) reached the endpoint %d times: status %d, outcome %q", i, key, reached, status, outcome)
			}
		}
	})
}

// TestMoneyWithoutKeyGoesElsewhereWhereNothingWasSent: an address where nobody listens costs nothing but the attempt.
func TestMoneyWithoutKeyGoesElsewhereWhereNothingWasSent(t *testing.T) {
	p := &payments{}
	app := scripted(t, p.serve)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	dead := free.Addr().String()
	proxied := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: app, ejection: {failures: -1}, endpoints: [{address: "%s"}, {address: "%s"}]}]
routes: [{name: pay, money: true, retry: {attempts: 1}, backends: [{cluster: app}]}]
`, dead, app)
	c := dialProxy(t, proxied)
	const n = 10 // within the retry budget that a quiet cluster has
	for i := range n {
		if resp, body := c.send(request("POST", "/pay", fmt.Sprint(i))).answer("POST"); resp.StatusCode != 200 {
			t.Fatalf("request %d: %d %s", i, resp.StatusCode, body)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) != n {
		t.Errorf("the endpoint got %d requests, want %d", len(p.got), n)
	}
}

// TestIdleConnectionThatEndedIsNotUsed: the endpoint closes while the connection is idle; a payment without a key must
// not be written to it.
func TestIdleConnectionThatEndedIsNotUsed(t *testing.T) {
	closed := make(chan struct{})
	app := scripted(t, func(n int, c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
		if n == 0 {
			c.Close()
			close(closed)
		}
	})
	fake := clock.NewFake(1)
	c := dialProxy(t, start(t, proxy.Options{Clock: fake}, simple, app, "", ", money: true"))
	for want := range 2 {
		resp, body := c.send(request("POST", "/pay", "")).answer("POST")
		if resp.StatusCode != 200 || body != fmt.Sprint(want) {
			t.Errorf("request %d: %d %s", want, resp.StatusCode, body)
		}
		<-closed
		fake.Advance(time.Millisecond)
	}
}

// TestUnaskedBytesAreNobodysAnswer: an endpoint that sends more than its answer can't answer the next request before
// it is asked.
func TestUnaskedBytesAreNobodysAnswer(t *testing.T) {
	app := scripted(t, func(n int, c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%dHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", n)
		_, _ = in.ReadByte() // until the proxy closes
	})
	fake := clock.NewFake(1)
	c := dialProxy(t, start(t, proxy.Options{Clock: fake}, simple, app, "", ""))
	for want := range 3 {
		fake.Advance(time.Millisecond)
		if _, body := c.send(get("/")).answer("GET"); body != fmt.Sprint(want) {
			t.Errorf("request %d was answered %q", want, body)
		}
	}
}

func TestColor(t *testing.T) {
	named := func(name string) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s%v%v", name, r.Header["X-Sterling-Shadow"], r.Header["Tracestate"])
		})
	}
	p := start(t, proxy.Options{}, `
shadow_callers: ["`+idShop+`"]
listeners:
  - {name: in, address: "127.0.0.1:0", caller: "`+idShop+`"}
  - {name: other, address: "127.0.0.1:0", caller: "`+idPay+`"}
  - {name: unknown, address: "127.0.0.1:0"}
  - {name: replay, address: "127.0.0.1:0", shadow: true}
clusters:
  - {name: app, endpoints: [{address: "%s"}]}
  - {name: db, kind: database, shadow: shadow-db, endpoints: [{address: "%s"}]}
  - {name: shadow-db, kind: database, endpoints: [{address: "%s"}]}
  - {name: ledger, kind: ledger, endpoints: [{address: "%[2]s"}]}
routes:
  - {name: db, match: {prefix: /db}, backends: [{cluster: db}]}
  - {name: ledger, match: {prefix: /ledger}, backends: [{cluster: ledger}]}
  - {name: shadow, match: {prefix: /shadow}, backends: [{cluster: shadow-db}]}
  - {name: app, backends: [{cluster: app}]}
`, named("app"), named("state"), named("shadow"))
	const mark, state = "X-Sterling-Shadow: 1", "tracestate: a=b, sterling=shadow"
	const trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		listener, path, fields string
		status                 int
		body                   string
	}{
		{"in", "/", "", 200, "app[][]"},
		{"in", "/", mark, 200, "app[1][sterling=shadow]"},
		{"in", "/", trace + "\r\n" + state, 200, "app[1][a=b, sterling=shadow]"},
		{"in", "/db", "", 200, "state[][]"},
		{"in", "/shadow", "", 403, ""},
		{"in", "/shadow", mark, 200, "shadow[1][sterling=shadow]"},
		{"in", "/db", mark, 200, "shadow[1][sterling=shadow]"},
		{"in", "/ledger", "", 200, "state[][]"},
		{"in", "/ledger", mark, 403, ""},
		{"in", "/ledger", trace + "\r\n" + state, 403, ""},
		{"in", "/", "x-sterling-shadow:", 200, "app[1][sterling=shadow]"}, // its presence is the mark
		{"in", "/ledger", "X-STERLING-SHADOW: no", 403, ""},
		{"in", "/", mark + "\r\n" + mark, 200, "app[1][sterling=shadow]"},
		{"in", "/", "Connection: X-Sterling-Shadow\r\n" + mark, 400, ""},
		{"other", "/", mark, 403, ""},
		{"unknown", "/", mark, 403, ""},
		{"unknown", "/", trace + "\r\n" + state, 403, ""},
		{"replay", "/", "", 200, "app[1][sterling=shadow]"},
		{"replay", "/ledger", "", 403, ""},
	} {
		fields := []string{}
		if tt.fields != "" {
			fields = append(fields, tt.fields)
		}
		resp, body := dialAddress(t, p.Addr(tt.listener).String()).send(get(tt.path, fields...)).answer("GET")
		if resp.StatusCode != tt.status || tt.status == 200 && body != tt.body {
			t.Errorf("%s %s %q: %d %q, want %d %q", tt.listener, tt.path, tt.fields, resp.StatusCode, body, tt.status, tt.body)
		}
	}
}
