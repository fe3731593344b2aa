package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestCallsAndAnswersPassThrough(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, paid(g))
		var log syncBuffer
		p := start(t, proxy.Options{AccessLog: &log}, oneRPC, g.name(), "", g.name(), app.address, "", ", request: {set: {x-rule: r}}")
		var tapped syncBuffer
		stop := p.Tap(&tapped, 1)
		c := talk(t, g, p.Addr("in").String())
		if m := c.ask(7, "transfer", "100", map[string]string{"Biz-No": "b1", "X-Sterling-Peer": "nobody", "lang": "中文"}); m.status != "ok" || m.text != "paid 100" {
			t.Errorf("%+v", m)
		}
		large := strings.Repeat("x", 60_000)
		if m := c.ask(8, "transfer", large, nil); m.text != "paid "+large {
			t.Errorf("%d bytes of an answer", len(m.text))
		}
		got := app.messages()[0]
		want := map[string]string{"Biz-No": "b1", "x-rule": "r", "x-sterling-peer": idShop, "lang": "中文"}
		for name, value := range want {
			if got.fields[name] != value {
				t.Errorf("%s: %q, want %q", name, got.fields[name], value)
			}
		}
		if _, twice := got.fields["X-Sterling-Peer"]; twice || len(got.fields["traceparent"]) != 55 {
			t.Errorf("fields: %v", got.fields)
		}
		if ms, err := strconv.Atoi(got.timeout); err != nil || ms < 1 || ms > 10_000 {
			t.Errorf("timeout %q, want what is left of 10000", got.timeout)
		}
		line := log.line(t)
		if line["path"] != g.path("transfer") || line["method"] != "CALL" || line["status"] != 200.0 || line["peer"] != idShop || line["bytes_in"].(float64) < 100 || line["bytes_out"].(float64) < 8 {
			t.Errorf("access log: %v", line)
		}
		if line := tapped.line(t); line["path"] != g.path("transfer") {
			t.Errorf("tap: %v", line)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// syncBuffer is an access log to look at.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

// line waits for the first line.
func (s *syncBuffer) line(t *testing.T) (out map[string]any) {
	t.Helper()
	for by := time.Now().Add(10 * time.Second); time.Now().Before(by); {
		s.mu.Lock()
		line, _, ok := strings.Cut(s.b.String(), "\n")
		s.mu.Unlock()
		if ok {
			if err := json.Unmarshal([]byte(line), &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	t.Fatal("no line in the access log")
	return nil
}

// TestMessagesOfOtherPrograms: routed by what they say, and passed on so that they are the same but for what the proxy adds.
func TestMessagesOfOtherPrograms(t *testing.T) {
	for _, tt := range []struct {
		g          tongue
		call, path string
	}{
		{boltTongue{}, "call", "/com.bank.Pay:1.0/transfer"},
		{boltTongue{}, "call2", "/com.bank.Pay:1.0/transfer"},
		{dubboTongue{}, "call", "/com.bank.Pay/transfer"},
	} {
		t.Run(tt.g.name()+" "+tt.call, func(t *testing.T) {
			app := serve(t, tt.g, func(_ int, m message) []byte { return tt.g.answer(m, "paid") })
			p := start(t, proxy.Options{}, oneRPC, tt.g.name(), "", tt.g.name(), app.address, "", `, match: {path: "`+tt.path+`"}`)
			c := talk(t, tt.g, p.Addr("in").String())
			if m := c.say(vector(t, tt.g, tt.call)).hear(); m.id != 7 || m.text != "paid" {
				t.Fatalf("%+v", m)
			}
			got := app.messages()[0].raw
			for _, part := range []string{"transfer", "\x05Peter", "\xf8\x64"} {
				if !bytes.Contains(got, []byte(part)) {
					t.Errorf("no %q in what the endpoint got", part)
				}
			}
			if m := c.say(c.ping(9)).hear(); m.kind != "pong" || m.id != 9 {
				t.Errorf("a heartbeat: %+v", m)
			}
			if len(app.messages()) != 1 {
				t.Error("the endpoint got the caller's heartbeat")
			}
		})
	}
}

// TestManyCallsShareAConnection: the same ids on two connections, and answers in another order, on one connection to
// the endpoint.
func TestManyCallsShareAConnection(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		const each = 60
		var mu sync.Mutex
		var held []message
		app := serve(t, g, func(_ int, m message) []byte {
			mu.Lock()
			defer mu.Unlock()
			if held = append(held, m); len(held) < 2*each {
				return nil
			}
			var b []byte
			for _, m := range slices.Backward(held) {
				b = append(b, g.answer(m, "re "+m.text)...)
			}
			return b
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		var clients []*talker
		for n := range 2 {
			c := talk(t, g, p.Addr("in").String())
			for id := range each {
				c.say(c.call(uint64(id), "transfer", fmt.Sprint(n, "-", id), false, nil))
			}
			clients = append(clients, c)
		}
		for n, c := range clients {
			seen := map[uint64]bool{}
			for range each {
				m := c.hear()
				if want := fmt.Sprint("re ", n, "-", m.id); m.text != want || seen[m.id] {
					t.Errorf("%d: %q, want %q", m.id, m.text, want)
				}
				seen[m.id] = true
			}
		}
		if app.conns > 2 {
			t.Errorf("%d connections to the endpoint", app.conns)
		}
	})
}

func TestCallsWithoutAnswers(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, func(_ int, m message) []byte {
			if m.kind == "send" {
				return nil
			}
			return g.answer(m, "paid")
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", `, match: {methods: [SEND, CALL], prefix: "`+g.path("")+`"}`)
		c := talk(t, g, p.Addr("in").String())
		c.say(c.call(1, "note", "n1", true, nil)).say(c.call(2, "note", "n2", true, map[string]string{"x-sterling-timeout-ms": "none"}))
		if m := c.ask(3, "transfer", "t", nil); m.text != "paid" { // nothing comes before it
			t.Errorf("%+v", m)
		}
		for by := time.Now().Add(10 * time.Second); len(app.messages()) < 2 && time.Now().Before(by); {
			c.ask(4, "transfer", "t", nil)
		}
		if got := app.texts(); !strings.Contains(got, "n1") || strings.Contains(got, "n2") {
			t.Errorf("the endpoint got %q", got)
		}
	})
}

func TestCallsAreRefusedInTheirOwnWords(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, func(_ int, m message) []byte {
			if m.text == "hang" {
				return nil
			}
			return g.answer(m, "paid")
		})
		for _, tt := range []struct {
			name, route, cluster string
			fields               map[string]string
			status, text         string
		}{
			{"no route", `, match: {path: "/other/x"}`, "", nil, "", "sterling: not-sent: no route"},
			{"not allowed", `, allow: ["spiffe://bank/cell/1/svc/audit"]`, "", nil, "", "sterling: not-sent: this caller may not use the route"},
			{"a rate", `, rate: {per_second: 1, burst: 1}, backends: [{cluster: app}]`, "", nil, "busy", "sterling: not-sent: above the route's rate"},
			{"too large", `, max_body: 10`, "", nil, "", "sterling: not-sent: body too large"},
			{"an injected fault", `, fault: {abort_percent: 100, abort_status: 503}`, "", nil, "busy", "sterling: not-sent: fault injected"},
			{"no time", ``, "", map[string]string{"x-sterling-timeout-ms": "0"}, "", "sterling: not-sent: the caller's time was over before the request was sent"},
			{"its own time", ``, "", map[string]string{"timeout": "80"}, "unknown", "sterling: unknown: no answer in time"},
			{"the route's time", `, timeout: 80ms`, "", nil, "unknown", "sterling: unknown: no answer in time"},
			{"fields that differ in case only", ``, "", map[string]string{"X-Sterling-Shadow": "1", "x-sterling-shadow": "1"}, "", "sterling: not-sent: headers or attachments that can't be read or stand for two things"},
			{"an empty key", `, money: true`, "", map[string]string{"idempotency-key": ""}, "", "sterling: not-sent: an empty or overlong Idempotency-Key"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				route := tt.route
				if i := strings.Index(route, ", backends"); i >= 0 {
					route = route[:i]
				}
				p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, tt.cluster, route)
				c := talk(t, g, p.Addr("in").String())
				if tt.name == "a rate" {
					c.ask(1, "transfer", "first", nil)
				}
				if m := c.ask(5, "transfer", "hang", tt.fields); m.status != tt.status || m.text != tt.text {
					t.Errorf("%q %q, want %q %q", m.status, m.text, tt.status, tt.text)
				}
				if m := c.say(c.ping(9)).hear(); m.kind != "pong" {
					t.Errorf("the connection is of no more use: %+v", m)
				}
			})
		}
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), freePort(t), "", "")
		if m := talk(t, g, p.Addr("in").String()).ask(5, "transfer", "x", nil); m.status != "busy" || m.text != "sterling: not-sent: no connection to the endpoint" {
			t.Errorf("no endpoint: %+v", m)
		}
	})
}

func TestTheBreakerCountsCalls(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, func(_ int, m message) []byte {
			if m.text == "hang" {
				return nil
			}
			return g.answer(m, "paid")
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, ", max_requests: 1", "")
		c := talk(t, g, p.Addr("in").String())
		c.say(c.call(1, "transfer", "hang", false, nil))
		for by := time.Now().Add(10 * time.Second); len(app.messages()) == 0 && time.Now().Before(by); {
			c.say(c.ping(2)).hear()
		}
		if m := c.ask(3, "transfer", "x", nil); m.status != "busy" || !strings.Contains(m.text, "circuit breaker") {
			t.Errorf("%+v", m)
		}
	})
}

func TestEndpointsThatFailCallsAreEjected(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		bad := serve(t, g, func(int, message) []byte { return []byte{} })
		good := serve(t, g, paid(g))
		p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: %s}]
clusters: [{name: app, protocol: %s, endpoints: [{address: "%s"}, {address: "%s"}], ejection: {failures: 2}}]
routes: [{name: all, listeners: [in], backends: [{cluster: app}]}]
`, g.name(), g.name(), bad.address, good.address)
		c := talk(t, g, p.Addr("in").String())
		failed := 0
		for i := range 60 {
			if m := c.ask(uint64(i), "transfer", "x", nil); m.status != "ok" {
				failed++
			}
		}
		if failed > 2 {
			t.Errorf("%d of 60 calls failed, want at most as many as eject", failed)
		}
	})
}

func TestCallsByMTLS(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		ca := newAuthority(t)
		app := serve(t, g, paid(g))
		inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: %s, mtls: true}]
clusters: [{name: app, protocol: %s, endpoints: [{address: "%s"}]}]
routes:
- {name: transfer, listeners: [in], match: {path: "%s"}, allow: ["`+idShop+`"], backends: [{cluster: app}]}
- {name: rest, listeners: [in], refuse: nobody}
`, g.name(), g.name(), app.address, g.path("transfer"))
		outer := start(t, proxy.Options{Identity: ca.issue(hour(), idShop)}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: %s, caller: "`+idShop+`"}]
clusters: [{name: pay, protocol: %s, mtls: true, peers: ["`+idPay+`"], endpoints: [{address: "%s"}]}]
routes: [{name: all, listeners: [in], backends: [{cluster: pay}]}]
`, g.name(), g.name(), inner.Addr("in"))
		c := talk(t, g, outer.Addr("in").String())
		if m := c.ask(1, "transfer", "1", nil); m.text != "paid 1" {
			t.Errorf("%+v", m)
		}
		if m := c.ask(2, "close", "1", nil); m.text != "sterling: not-sent: nobody" {
			t.Errorf("%+v", m)
		}
		if got := app.messages(); len(got) != 1 || got[0].fields["x-sterling-peer"] != idShop {
			t.Errorf("%+v", got)
		}
		plain := talk(t, g, inner.Addr("in").String())
		_, _ = plain.Write(plain.call(1, "transfer", "1", false, nil))
		_, _ = io.Copy(io.Discard, plain.in) // an alert of TLS, perhaps
		if len(app.messages()) != 1 {
			t.Error("a caller without a certificate reached the endpoint")
		}
	})
}

func TestMirroredCalls(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app, copies := serve(t, g, paid(g)), serve(t, g, paid(g))
		p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: %s}]
clusters: [{name: app, protocol: %s, endpoints: [{address: "%s"}]}, {name: copy, protocol: %s, endpoints: [{address: "%s"}]}]
routes: [{name: all, listeners: [in], backends: [{cluster: app}], mirror: {cluster: copy, percent: 100}}]
`, g.name(), g.name(), app.address, g.name(), copies.address)
		c := talk(t, g, p.Addr("in").String())
		c.ask(1, "transfer", "m", nil)
		for by := time.Now().Add(10 * time.Second); len(copies.messages()) == 0 && time.Now().Before(by); {
			c.say(c.ping(2)).hear()
		}
		got := copies.messages()
		if len(got) != 1 || got[0].text != "m" || got[0].fields["x-sterling-shadow"] == "" || app.messages()[0].fields["x-sterling-shadow"] != "" {
			t.Errorf("%+v", got)
		}
	})
}

func TestConfigurationsOfCallsThatCanNotWork(t *testing.T) {
	for _, tt := range []struct{ listener, cluster, route, want string }{
		{"bolt", "dubbo", "", `"app" speaks dubbo, and the route's listeners bolt`},
		{"bolt", "http", "", `"app" speaks http`},
		{"http", "bolt", "", `"app" speaks bolt`},
		{"dubbo", "dubbo", ", response: {set: {a: b}}", "passed on as they are"},
		{"dubbo", "dubbo", ", upgrade: [websocket]", "HTTP's"},
		{"dubbo", "dubbo", `, match: {hosts: [a]}`, "HTTP's"},
		{"dubbo", "dubbo", ", request: {set: {Path: b}}", "says where a call goes"},
		{"bolt", "bolt", ", request: {remove: [sofa_head_method_name]}", "says where a call goes"},
		{"bolt2", "bolt", "", "listeners[0].protocol"},
	} {
		_, err := proxy.ParseConfig(fmt.Appendf(nil, oneRPC, tt.listener, "", tt.cluster, "127.0.0.1:1", "", tt.route))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
