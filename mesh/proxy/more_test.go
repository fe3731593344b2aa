package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestConditionsOfRoutes(t *testing.T) {
	named := func(name string) string {
		return backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: a, endpoints: [{address: "%s"}]}, {name: b, endpoints: [{address: "%s"}]}]
routes:
  - {name: regex, match: {regex: "/v[0-9]+/x|/y"}, backends: [{cluster: a}]}
  - {name: field, match: {headers: [{name: X-Team, regex: "pay|loan"}]}, backends: [{cluster: a}]}
  - {name: bucket, match: {prefix: /bucket, headers: [{name: x-sterling-bucket, number: {from: 4, to: 7}}]}, backends: [{cluster: a}]}
  - {name: lost, match: {prefix: /bucket}, refuse: no such bucket}
  - {name: below, match: {prefix: /below/}, backends: [{cluster: a}]}
  - {name: rest, backends: [{cluster: b}]}
`, named("a"), named("b"))
	for _, tt := range []struct {
		path   string
		fields []string
		status int
		body   string
	}{
		{"/v1/x", nil, 200, "a"},
		{"/y", nil, 200, "a"},
		{"/v1/xx", nil, 200, "b"}, // the whole path
		{"/z/y", nil, 200, "b"},
		{"/", []string{"x-team: loan"}, 200, "a"},
		{"/", []string{"X-Team: loans"}, 200, "b"},
		{"/", []string{"X-Team: pay", "X-Team: loan"}, 200, "b"}, // which of them?
		{"/bucket", []string{"X-Sterling-Bucket: 4"}, 200, "a"},
		{"/bucket", []string{"X-Sterling-Bucket: 7"}, 200, "a"},
		{"/bucket", []string{"X-Sterling-Bucket: 8"}, 403, "no such bucket\n"},
		{"/bucket", []string{"X-Sterling-Bucket: +5"}, 403, "no such bucket\n"},
		{"/bucket", []string{"X-Sterling-Bucket: 5", "X-Sterling-Bucket: 5"}, 403, "no such bucket\n"},
		{"/bucket", []string{"X-Sterling-Bucket: 5", "Connection: x-sterling-bucket"}, 403, "no such bucket\n"},
		{"/bucket", nil, 403, "no such bucket\n"},
		{"/below/x", nil, 200, "a"},
		{"/below/", nil, 200, "a"},
		{"/below", nil, 200, "b"},
		{"/belowx", nil, 200, "b"},
	} {
		resp, body := dialProxy(t, p).send(get(tt.path, tt.fields...)).answer("GET")
		if resp.StatusCode != tt.status || body != tt.body {
			t.Errorf("%s %v: %d %q, want %d %q", tt.path, tt.fields, resp.StatusCode, body, tt.status, tt.body)
		}
	}
}

// TestAServicesOwnKey: only the field that the receiver knows operations by makes a request safe to send again.
func TestAServicesOwnKey(t *testing.T) {
	for name, tt := range map[string]struct {
		fields []string
		want   int
	}{
		"its key":                        {[]string{"X-Operation: 7"}, 2},
		"no key":                         {nil, 1},
		"an empty one":                   {[]string{"X-Operation: "}, 1},
		"twice":                          {[]string{"X-Operation: 7", "X-Operation: 8"}, 1},
		"of this connection only":        {[]string{"X-Operation: 7", "Connection: x-operation"}, 1},
		"the usual key, which it is not": {[]string{"Idempotency-Key: 7"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := 0
			app := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				mu.Lock()
				seen++
				mu.Unlock() // and no answer
			})
			p := start(t, proxy.Options{}, simple, app, "", ", money: true, key: x-operation, retry: {attempts: 1, backoff: 1ms}")
			if resp, _ := dialProxy(t, p).send(request("POST", "/pay", "1", tt.fields...)).answer("POST"); resp.StatusCode != 502 {
				t.Errorf("status %d", resp.StatusCode)
			}
			mu.Lock()
			defer mu.Unlock()
			if seen != tt.want {
				t.Errorf("sent %d times, want %d", seen, tt.want)
			}
		})
	}
}

func TestAddedFieldsStandBesideOthers(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Header["X-Tag"]) })
	p := start(t, proxy.Options{}, simple, app, "", `, request: {add: {X-Tag: mine}}`)
	if _, body := dialProxy(t, p).send(get("/", "X-Tag: theirs")).answer("GET"); body != "[theirs mine]" {
		t.Error(body)
	}
}

func TestPatternsWithAnySegment(t *testing.T) {
	ca := newAuthority(t)
	app := backend(t, sawPeer)
	inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, behindMTLS, "", app, `, allow: ["spiffe://bank/cell/*/svc/shop"]`).Addr("in").String()
	for id, want := range map[string]int{
		"spiffe://bank/cell/1/svc/shop":      200,
		"spiffe://bank/cell/22/svc/shop":     200,
		"spiffe://bank/cell/1/svc/shopping":  403,
		"spiffe://bank/cell/1/2/svc/shop":    403,
		"spiffe://bank/cell/svc/shop":        403,
		"spiffe://bank/other/1/svc/shop":     403,
		"spiffe://bank/cell/1/svc/shop/more": 403,
	} {
		outer := start(t, proxy.Options{Identity: ca.issue(hour(), id)}, towards, idPay, inner)
		if resp, _ := dialProxy(t, outer).send(get("/")).answer("GET"); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", id, resp.StatusCode, want)
		}
	}
}

func TestTapShowsRequestsWithoutSecrets(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body-of-the-answer") })
	p := start(t, proxy.Options{}, simple, app, "", "")
	var all, some bytes.Buffer
	stopAll, stopSome := p.Tap(&all, 1), p.Tap(&some, 3)
	c := dialProxy(t, p)
	for range 6 {
		c.send(request("POST", "/pay?card=4111", "body-of-the-request", "Authorization: Bearer token-1", "Cookie: session-1")).answer("POST")
	}
	for _, stop := range []func() error{stopAll, stopSome} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	c.send(get("/after")).answer("GET")
	if a, s := strings.Count(all.String(), `"path":"/pay"`), strings.Count(some.String(), `"path":"/pay"`); a != 6 || s != 2 {
		t.Errorf("%d of all and %d of one in three, want 6 and 2", a, s)
	}
	for _, secret := range []string{"4111", "token-1", "session-1", "body-of", "/after"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("it shows %s: %s", secret, all.String())
		}
	}
}

func TestDrainEndsConnectionsWithAnAnswer(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
	p := start(t, proxy.Options{}, simple, app, "", "")
	address := p.Addr("in").String()
	c, silent := dialProxy(t, p), dialProxy(t, p)
	c.send(get("/")).answer("GET")
	silent.send(get("/")).answer("GET")
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- p.Drain(ctx) }()
	for { // until it no longer accepts
		other, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			break
		}
		other.Close()
	}
	resp, body := c.send(get("/")).answer("GET")
	if resp.StatusCode != 200 || body != "done" {
		t.Errorf("while it drains: %d %q", resp.StatusCode, body)
	}
	c.ended()
	cancel() // one connection says nothing more
	if err := <-drained; err == nil {
		t.Error("drained, while a connection was open")
	}
	silent.send(get("/")).answer("GET")
	silent.ended()
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
