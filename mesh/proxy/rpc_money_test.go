package proxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/bolt"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/dubbo"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

// failing answers, but fails its first connections or calls in given ways: "close" ends the connection without an
// answer, "hang" never answers, "busy" refuses.
func failing(g tongue, ways ...string) func(int, message) []byte {
	next := make(chan string, len(ways))
	for _, w := range ways {
		next <- w
	}
	return func(_ int, m message) []byte {
		select {
		case w := <-next:
			switch w {
			case "close":
				return []byte{}
			case "hang":
				return nil
			case "busy":
				return refusal(g, m)
			}
		default:
		}
		return g.answer(m, "paid")
	}
}

// refusal is an endpoint that has no thread for the call.
func refusal(g tongue, to message) []byte {
	if g.name() == proxy.ProtocolBolt {
		asked, _ := bolt.Parse(to.raw)
		m := asked.Reply(bolt.Busy)
		b, _ := m.Append(nil)
		return b
	}
	return dubboTongue{}.message(0, dubbo.Exhausted, to.id, hessian.AppendText(nil, []byte("no thread")))
}

func TestMoneyCallsAreSentAgainOnlyWhereItIsSafe(t *testing.T) {
	key, own := map[string]string{"Idempotency-Key": "k1"}, map[string]string{"bizNo": "k1"}
	each(t, func(t *testing.T, g tongue) {
		for _, tt := range []struct {
			name, route  string
			fail         []string
			fields       map[string]string
			oneWay       bool
			status, text string
			got          string
		}{
			{"no answer, with a key", "money: true, retry: {attempts: 2}", []string{"close"}, key, false, "ok", "paid", "k1 k1"},
			{"no answer, without a key", "money: true, retry: {attempts: 2}", []string{"close"}, nil, false, "unknown", "sterling: unknown: the endpoint closed the connection without an answer", "-"},
			{"too slow, with a key", "money: true, timeout: 10s, retry: {attempts: 1, each: 50ms}", []string{"hang"}, key, false, "ok", "paid", "k1 k1"},
			{"too slow, without a key", "money: true, timeout: 100ms, retry: {attempts: 1, each: 50ms}", []string{"hang"}, nil, false, "unknown", "sterling: unknown: no answer in time", "-"},
			{"an answer, even a refusal", "money: true, retry: {attempts: 2}", []string{"busy"}, key, false, "busy", "", "k1"},
			{"no money and no key", "retry: {attempts: 2}", []string{"close"}, nil, false, "unknown", "sterling: unknown: the endpoint closed the connection without an answer", "-"},
			{"no money: a refusal, with a key", "retry: {attempts: 2, statuses: [503]}", []string{"busy"}, key, false, "ok", "paid", "k1 k1"},
			{"a key of another name", "money: true, key: bizno, retry: {attempts: 2}", []string{"close"}, own, false, "ok", "paid", "k1 k1"},
			{"the usual key where there is another", "money: true, key: bizno, retry: {attempts: 2}", []string{"close"}, key, false, "unknown", "sterling: unknown: the endpoint closed the connection without an answer", "k1"},
			{"no answer wanted", "money: true, retry: {attempts: 2}", []string{"close"}, key, true, "", "", "k1"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				app := serve(t, g, failing(g, tt.fail...))
				p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", ", "+tt.route)
				c := talk(t, g, p.Addr("in").String())
				c.say(c.call(3, "transfer", "100", tt.oneWay, tt.fields))
				if !tt.oneWay {
					if m := c.hear(); m.status != tt.status || tt.text != "" && m.text != tt.text {
						t.Errorf("%q %q, want %q %q", m.status, m.text, tt.status, tt.text)
					}
				} else {
					waitFor(c, func() bool { return len(app.messages()) > 0 })
				}
				var got []string
				for _, m := range app.messages() {
					k := m.fields["Idempotency-Key"] + m.fields["bizNo"]
					if k == "" {
						k = "-"
					}
					got = append(got, k)
				}
				if strings.Join(got, " ") != tt.got {
					t.Errorf("the endpoint got %q, want %q", got, tt.got)
				}
			})
		}
	})
}

// waitFor talks until something is so.
func waitFor(c *talker, so func() bool) {
	for range 100_000 {
		if so() {
			return
		}
		c.say(c.ping(1)).hear()
	}
	c.t.Fatal("it never came to it")
}

// TestNoMoneyCallByRPCIsSentTwice: however an endpoint fails, many payments without a key on one connection reach it at most
// once each; one that was answered well reached it, and one whose outcome is "not-sent" did not.
func TestNoMoneyCallByRPCIsSentTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := rapid.SampledFrom(tongues).Draw(rt, "protocol")
		ways := rapid.SliceOfN(rapid.SampledFrom([]string{"", "close", "hang", "busy"}), 0, 8).Draw(rt, "fail")
		app := serve(t, g, failing(g, ways...))
		attempts := rapid.IntRange(0, 5).Draw(rt, "attempts")
		p := start(t, proxy.Options{Clock: clock.NewSystem()}, oneRPC, g.name(), "", g.name(), app.address, ", ejection: {failures: -1}",
			fmt.Sprintf(", money: true, timeout: 300ms, retry: {attempts: %d}", attempts))
		c := talk(t, g, p.Addr("in").String())
		n := rapid.IntRange(1, 6).Draw(rt, "payments")
		keyed := map[string]bool{}
		for i := range n {
			fields := map[string]string{}
			if rapid.Bool().Draw(rt, "key") {
				fields["idempotency-key"], keyed[fmt.Sprint("p", i)] = fmt.Sprint("k", i), true
			}
			c.say(c.call(uint64(i), "transfer", fmt.Sprint("p", i), false, fields))
		}
		answers := map[string]message{}
		for range n {
			m := c.hear()
			answers[fmt.Sprint("p", m.id)] = m
		}
		c.Close()
		reached := map[string]int{}
		for _, m := range app.messages() {
			reached[m.text]++
		}
		for i := range n {
			text := fmt.Sprint("p", i)
			m := answers[text]
			switch {
			case reached[text] > 1 && !keyed[text]:
				rt.Fatalf("%s reached the endpoint %d times without a key", text, reached[text])
			case m.status == "ok" && reached[text] == 0:
				rt.Fatalf("%s was answered without having been sent", text)
			case strings.HasPrefix(m.text, "sterling: not-sent") && reached[text] > 0:
				rt.Fatalf("%s reached the endpoint, and its caller is told %q", text, m.text)
			}
		}
	})
}

func TestColoursOfCalls(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		const colours = `
shadow_callers: ["` + idShop + `"]
listeners:
- {name: in, address: "127.0.0.1:0", protocol: %[1]s, caller: "` + idShop + `"}
- {name: stranger, address: "127.0.0.1:0", protocol: %[1]s, caller: "` + idPay + `"}
- {name: dark, address: "127.0.0.1:0", protocol: %[1]s, shadow: true}
clusters:
- {name: app, protocol: %[1]s, endpoints: [{address: "%[2]s"}]}
- {name: books, protocol: %[1]s, kind: ledger, shadow: shadowbooks, endpoints: [{address: "%[2]s"}]}
- {name: shadowbooks, protocol: %[1]s, kind: ledger, endpoints: [{address: "%[3]s"}]}
- {name: base, protocol: %[1]s, kind: database, endpoints: [{address: "%[2]s"}]}
routes:
- {name: books, listeners: [in, stranger, dark], match: {path: "%[4]s"}, backends: [{cluster: books}]}
- {name: base, listeners: [in, stranger, dark], match: {path: "%[5]s"}, backends: [{cluster: base}]}
- {name: app, listeners: [in, stranger, dark], backends: [{cluster: app}]}
`
		const refused = "sterling: not-sent: shadow traffic, and the cluster keeps state and has no shadow target"
		mark := map[string]string{"x-sterling-shadow": "1"}
		state := map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b,sterling=shadow"}
		for _, tt := range []struct {
			listener, method string
			fields           map[string]string
			text             string
			marked           bool
		}{
			{"in", "book", nil, "live", false},
			{"in", "book", mark, "shadow", true},
			{"in", "book", map[string]string{"X-Sterling-Shadow": ""}, "shadow", true},
			{"in", "book", state, "shadow", true},
			{"in", "base", mark, refused, false},
			{"in", "base", nil, "live", false},
			{"in", "list", mark, "live", true},
			{"stranger", "list", mark, "sterling: not-sent: this caller may not send shadow traffic", false},
			{"dark", "book", nil, "shadow", true},
			{"dark", "base", nil, refused, false},
		} {
			live := serve(t, g, func(_ int, m message) []byte { return g.answer(m, "live") })
			shadow := serve(t, g, func(_ int, m message) []byte { return g.answer(m, "shadow") })
			p := start(t, proxy.Options{}, colours, g.name(), live.address, shadow.address, g.path("book"), g.path("base"))
			m := talk(t, g, p.Addr(tt.listener).String()).ask(1, tt.method, "x", tt.fields)
			if m.text != tt.text {
				t.Errorf("%+v: %q", tt, m.text)
			}
			for _, got := range append(live.messages(), shadow.messages()...) {
				if _, marked := got.fields["x-sterling-shadow"]; marked != tt.marked {
					t.Errorf("%+v: the endpoint got %v", tt, got.fields)
				}
				if tt.marked && !strings.Contains(got.fields["tracestate"], "sterling=shadow") {
					t.Errorf("%+v: the trace context is not marked: %v", tt, got.fields)
				}
			}
		}
	})
}

// TestCallsThatStandForTwoThings: what the proxy judges is what the server goes by, or the call is refused.
func TestCallsThatStandForTwoThings(t *testing.T) {
	const names, fields = "sterling: not-sent: a call whose service or method can't be read or stands for two things", "sterling: not-sent: headers or attachments that can't be read or stand for two things"
	front := func(method, types, rest string) []byte {
		var b []byte
		for _, s := range []string{"2.0.2", "com.bank.Pay", "1.0", method, types} {
			b = hessian.AppendText(b, []byte(s))
		}
		return dubboTongue{}.message(dubbo.FlagRequest|dubbo.FlagTwoWay, 0, 5, append(b, rest...))
	}
	sofa := func(change func(m *bolt.Message)) []byte {
		b := vector(t, boltTongue{}, "call")
		m, err := bolt.Parse(b[:22])
		if err == nil {
			err = m.SetBody(b[:22], b[22:])
		}
		if err != nil {
			t.Fatal(err)
		}
		m.ID = 5
		change(&m)
		b, _ = m.Append(nil)
		return b
	}
	header := func(name, value string) func(*bolt.Message) {
		return func(m *bolt.Message) {
			m.Headers = bolt.AppendHeader(append([]byte(nil), m.Headers...), []byte(name), []byte(value))
		}
	}
	const generic = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
	for _, tt := range []struct {
		name string
		g    tongue
		call []byte
		want string // "": it may pass; "path": no route has it
	}{
		{"bolt: header and content agree", boltTongue{}, sofa(header("sofa_head_method_name", "transfer")), ""},
		{"bolt: another method in the header", boltTongue{}, sofa(header("sofa_head_method_name", "list")), names},
		{"bolt: another service in a second header", boltTongue{}, sofa(header("sofa_head_target_service", "com.bank.Other:1.0")), names},
		{"bolt: a content that is none", boltTongue{}, sofa(func(m *bolt.Message) { m.Content = []byte("x") }), names},
		{"bolt: a mark in the content only", boltTongue{}, sofa(func(m *bolt.Message) {
			m.Content = bytes.Replace(m.Content, []byte("\x05x-key"), []byte("\x11x-sterling-shadow"), 1)
		}), "sterling: not-sent: a content that names the shadow mark, and headers without it"},
		{"bolt: another codec, and no method in the header", boltTongue{}, sofa(func(m *bolt.Message) { m.Codec = 11 }), names},
		{"bolt: another class goes by its name", boltTongue{}, sofa(func(m *bolt.Message) { m.Class = []byte("com.bank.Order") }), "path"},
		{"bolt: a header twice", boltTongue{}, sofa(header("service", "com.bank.Pay:1.0")), fields},
		{"bolt: a class that is no name", boltTongue{}, sofa(func(m *bolt.Message) { m.Class = []byte("a/b") }), names},
		{"dubbo: plain", dubboTongue{}, front("transfer", "", "HZ"), ""},
		{"dubbo: a generic call", dubboTongue{}, front("$invoke", generic, "\x08transferNN"+"HZ"), ""},
		{"dubbo: a generic call of another method", dubboTongue{}, front("$invoke", generic, "\x04listNN"+"HZ"), "path"},
		{"dubbo: another path in the attachments", dubboTongue{}, front("transfer", "", "H\x04path\x0ecom.bank.OtherZ"), fields},
		{"dubbo: another version in the attachments", dubboTongue{}, front("transfer", "", "H\x07version\x032.0Z"), fields},
		{"dubbo: a path that is no text", dubboTongue{}, front("transfer", "", "H\x04path\x90Z"), fields},
		{"dubbo: a mark that is no text", dubboTongue{}, front("transfer", "", "H\x11x-sterling-shadowTZ"), fields},
		{"dubbo: a key that is no text", dubboTongue{}, front("transfer", "", "H\x0fidempotency-key\x91Z"), fields},
		{"dubbo: a mark in overlong characters", dubboTongue{}, front("transfer", "", "H\x11\xc1\xb8-sterling-shadow\x011Z"), fields},
		{"dubbo: a method with a slash", dubboTongue{}, front("a/b", "", "HZ"), names},
		{"dubbo: another serialization", dubboTongue{}, func() []byte { b := front("transfer", "", "HZ"); b[2] = 0xc6; return b }(), "sterling: not-sent: a serialization other than Hessian 2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := serve(t, tt.g, func(_ int, m message) []byte { return tt.g.answer(m, "paid") })
			p := start(t, proxy.Options{}, oneRPC, tt.g.name(), "", tt.g.name(), app.address, "", `, match: {path: "`+tt.g.path("transfer")+`"}`)
			c := talk(t, tt.g, p.Addr("in").String())
			want := map[string]string{"": "paid", "path": "sterling: not-sent: no route"}[tt.want]
			if want == "" {
				want = tt.want
			}
			if m := c.say(tt.call).hear(); m.id != 5 || m.text != want {
				t.Errorf("%+v, want %q", m, want)
			}
			if n := len(app.messages()); (n > 0) != (tt.want == "") {
				t.Errorf("the endpoint got %d calls", n)
			}
		})
	}
}
