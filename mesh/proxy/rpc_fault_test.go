package proxy_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/dubbo"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

func TestGarbageEndsAConnection(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, paid(g))
		p := start(t, proxy.Options{}, oneRPC, g.name(), ", idle: 200ms", g.name(), app.address, "", "")
		damaged := vector(t, boltTongue{}, "call2")
		damaged[len(damaged)-1] ^= 1
		for name, b := range map[string][]byte{
			"HTTP":                       []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
			"zeros":                      make([]byte, 64),
			"an answer nobody asked for": g.answer(message{id: 1, raw: g.call(1, "transfer", "x", false, nil)[:22]}, "x"),
			"a sum that is wrong":        damaged,
			"an event of 2 kB":           dubboTongue{}.message(dubbo.FlagRequest|dubbo.FlagTwoWay|dubbo.FlagEvent, 0, 1, make([]byte, 2048)),
		} {
			t.Run(name, func(t *testing.T) { talk(t, g, p.Addr("in").String()).say(b).gone() })
		}
		talk(t, g, p.Addr("in").String()).gone() // idle for too long
		if len(app.messages()) != 0 {
			t.Error("the endpoint got some of it")
		}
		if m := talk(t, g, p.Addr("in").String()).ask(1, "transfer", "x", nil); m.status != "ok" {
			t.Errorf("%+v", m)
		}
	})
}

// oversized is a call that announces a body of n bytes.
func oversized(g tongue, n int) []byte {
	b := g.call(77, "transfer", "x", false, nil)
	if g.name() == proxy.ProtocolBolt {
		b = b[:22]
		n -= int(binary.BigEndian.Uint16(b[14:])) + int(binary.BigEndian.Uint16(b[16:]))
		binary.BigEndian.PutUint32(b[18:], uint32(n))
		return b
	}
	b = b[:16]
	binary.BigEndian.PutUint32(b[12:], uint32(n))
	return b
}

func TestMessagesTooLargeAreReadPast(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		const size = 8<<20 + 1000
		app := serve(t, g, func(_ int, m message) []byte {
			if m.text != "large" {
				return g.answer(m, "paid")
			}
			b := g.answer(m, "x")
			if g.name() == proxy.ProtocolBolt {
				binary.BigEndian.PutUint32(b[16:], size)
				return append(b[:20], make([]byte, size)...)
			}
			binary.BigEndian.PutUint32(b[12:], size)
			return append(b[:16], make([]byte, size)...)
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		c := talk(t, g, p.Addr("in").String())
		go func() {
			_, _ = c.Write(append(oversized(g, size), make([]byte, size)...))
			_, _ = c.Write(g.call(2, "transfer", "x", false, nil))
		}()
		if m := c.hear(); m.id != 77 || m.text != "sterling: not-sent: a message larger than 8 MiB" {
			t.Errorf("%d: %q", m.id, m.text)
		}
		if m := c.hear(); m.id != 2 || m.status != "ok" {
			t.Errorf("the next call: %+v", m)
		}
		if m := c.ask(3, "transfer", "large", nil); m.status != "unknown" {
			t.Errorf("an answer too large: %q", m.text)
		}
		if m := c.ask(4, "transfer", "x", nil); m.status != "ok" || app.conns != 1 {
			t.Errorf("the call after it: %+v; %d connections", m, app.conns)
		}
	})
}

func TestAnEndpointThatBreaksOffOrTalksGarbage(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		for name, answer := range map[string]func(m message) []byte{
			"mid-body": func(m message) []byte { b := g.answer(m, "paid"); return b[:len(b)-2] },
			"mid-head": func(m message) []byte { return g.answer(m, "paid")[:5] },
			"garbage":  func(message) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		} {
			t.Run(name, func(t *testing.T) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), ln.Addr().String(), "", ", money: true, retry: {attempts: 3}")
				c := talk(t, g, p.Addr("in").String())
				c.say(c.call(1, "transfer", "x", false, nil))
				nc, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				in := talkOn(t, g, nc)
				_, _ = nc.Write(answer(in.hear()))
				if name != "garbage" {
					_ = nc.(*net.TCPConn).SetLinger(0)
					nc.Close() // a reset
				}
				if m := c.hear(); m.id != 1 || m.status != "unknown" {
					t.Errorf("%+v", m)
				}
				if name == "garbage" {
					in.gone()
				}
			})
		}
	})
}

// TestALateAnswerIsNobodys: an answer that comes after its call's time does not become that of another.
func TestALateAnswerIsNobodys(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		var mu sync.Mutex
		var late []byte
		app := serve(t, g, func(_ int, m message) []byte {
			mu.Lock()
			defer mu.Unlock()
			if m.text == "slow" {
				late = g.answer(m, "late")
				return nil
			}
			return append(append([]byte(nil), late...), g.answer(m, "paid")...)
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		c := talk(t, g, p.Addr("in").String())
		if m := c.ask(1, "transfer", "slow", map[string]string{"timeout": "50"}); m.status != "unknown" {
			t.Errorf("%+v", m)
		}
		if m := c.ask(2, "transfer", "x", nil); m.text != "paid" {
			t.Errorf("%+v", m)
		}
		if app.conns != 1 {
			t.Errorf("%d connections", app.conns)
		}
	})
}

// TestEndpointsSendHeartbeatsAndNotices: the first are answered, a notice that no more calls are taken moves the next one to another connection.
func TestEndpointsSendHeartbeatsAndNotices(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		pongs := make(chan uint64, 10)
		app := serve(t, g, func(n int, m message) []byte {
			switch m.kind {
			case "pong":
				pongs <- m.id
				return nil
			case "call":
				b := append(g.ping(42), g.answer(m, "paid")...)
				if g.name() == proxy.ProtocolDubbo && n == 0 {
					b = append(dubboTongue{}.message(dubbo.FlagRequest|dubbo.FlagEvent, 0, 0, hessian.AppendText(nil, []byte(dubbo.ReadOnly))), b...)
				}
				return b
			}
			return nil
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		c := talk(t, g, p.Addr("in").String())
		c.ask(1, "transfer", "x", nil)
		c.ask(2, "transfer", "x", nil)
		if id := <-pongs; id != 42 {
			t.Errorf("pong %d", id)
		}
		if want := map[string]int{proxy.ProtocolBolt: 1, proxy.ProtocolDubbo: 2}[g.name()]; app.conns != want {
			t.Errorf("%d connections to the endpoint, want %d", app.conns, want)
		}
	})
}

// TestAHeartbeatTooLargeToBeGivenBack ends the connection: an answer that announces more than it has would swallow calls.
func TestAHeartbeatTooLargeToBeGivenBack(t *testing.T) {
	const size = 8<<20 + 1
	g := dubboTongue{}
	app := serve(t, g, func(n int, m message) []byte {
		if n > 0 || m.kind != "call" {
			return g.answer(m, "paid")
		}
		b := g.ping(42)[:16]
		binary.BigEndian.PutUint32(b[12:], size)
		return append(append(b, make([]byte, size)...), g.answer(m, "paid")...)
	})
	p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", ", timeout: 5s")
	c := talk(t, g, p.Addr("in").String())
	if m := c.ask(1, "transfer", "x", nil); m.status != "unknown" {
		t.Errorf("the call on that connection: %+v", m)
	}
	if m := c.ask(2, "transfer", "x", nil); m.status != "ok" {
		t.Errorf("the next call: %+v", m)
	}
}

// TestACallerThatNeverReads: what waits for it is bounded, and others are served meanwhile.
func TestACallerThatNeverReads(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		large := strings.Repeat("x", 60_000)
		app := serve(t, g, func(_ int, m message) []byte { return g.answer(m, large) })
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, ", max_requests: 10000", "")
		deaf := talk(t, g, p.Addr("in").String())
		_ = deaf.Conn.(*net.TCPConn).SetReadBuffer(64 << 10) // the kernel would take tens of megabytes for it
		_ = deaf.SetDeadline(time.Now().Add(50 * time.Second))
		var err error
		for i := 0; err == nil; i++ {
			b := deaf.ping(uint64(i))
			if i < 3000 { // 180 MB of answers
				b = deaf.call(uint64(i), "transfer", "x", false, map[string]string{"timeout": "60000"})
			}
			_, err = deaf.Write(b)
		}
		if isTimeout(err) {
			t.Error("it was not given up")
		}
		if m := talk(t, g, p.Addr("in").String()).ask(1, "transfer", "x", map[string]string{"timeout": "15000"}); m.text != large {
			t.Errorf("another client: %.40q", m.text)
		}
		if n := len(app.messages()); n > 2500 {
			t.Errorf("%d calls were made for a client that does not read", n)
		}
	})
}

func TestACallerThatLeavesFreesItsPlace(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, func(_ int, m message) []byte {
			if m.text == "hang" {
				return nil
			}
			return g.answer(m, "paid")
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, ", max_requests: 1", "")
		c := talk(t, g, p.Addr("in").String())
		c.say(c.call(1, "transfer", "hang", false, map[string]string{"timeout": "60000"}))
		other := talk(t, g, p.Addr("in").String())
		waitFor(other, func() bool { return len(app.messages()) == 1 })
		c.Close()
		waitFor(other, func() bool { return other.ask(2, "transfer", "x", nil).status == "ok" })
	})
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		release := make(chan struct{})
		app := serve(t, g, func(_ int, m message) []byte {
			<-release
			return g.answer(m, "paid")
		})
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		c, idle := talk(t, g, p.Addr("in").String()), talk(t, g, p.Addr("in").String())
		if m := idle.say(idle.ping(1)).hear(); m.kind != "pong" {
			t.Fatalf("%+v", m)
		}
		c.say(c.call(1, "transfer", "x", false, nil))
		waitFor(idle, func() bool { return len(app.messages()) == 1 })
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			ended <- p.Shutdown(ctx)
		}()
		if g.name() == proxy.ProtocolDubbo {
			for _, k := range []*talker{c, idle} {
				if m := k.hear(); m.kind != "event" || m.text != "\x01R" {
					t.Errorf("want the notice that no more calls are taken, got %+v", m)
				}
			}
		}
		idle.gone()
		close(release)
		if m := c.hear(); m.id != 1 || m.text != "paid" {
			t.Errorf("%+v", m)
		}
		c.gone()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestShutdownCutsCallsThatHang: their callers are told that the outcome is unknown, or nothing.
func TestShutdownCutsCallsThatHang(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		app := serve(t, g, func(int, message) []byte { return nil })
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), app.address, "", "")
		c := talk(t, g, p.Addr("in").String())
		c.say(c.call(1, "transfer", "x", false, map[string]string{"timeout": "60000"}))
		other := talk(t, g, p.Addr("in").String())
		waitFor(other, func() bool { return len(app.messages()) == 1 })
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := p.Shutdown(ctx); err == nil {
			t.Error("a call that hangs did not keep the proxy")
		}
	})
}

// TestEndpointsThatAConfigurationDrops are left when their last call is over.
func TestEndpointsThatAConfigurationDrops(t *testing.T) {
	each(t, func(t *testing.T, g tongue) {
		release := make(chan struct{})
		old := serve(t, g, func(_ int, m message) []byte {
			<-release
			return g.answer(m, "old")
		})
		fresh := serve(t, g, func(_ int, m message) []byte { return g.answer(m, "new") })
		p := start(t, proxy.Options{}, oneRPC, g.name(), "", g.name(), old.address, "", "")
		c := talk(t, g, p.Addr("in").String())
		c.say(c.call(1, "transfer", "x", false, nil))
		waitFor(c, func() bool { return len(old.messages()) == 1 })
		config, err := proxy.ParseConfig(configOf(g, fresh.address))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(config); err != nil {
			t.Fatal(err)
		}
		if m := c.ask(2, "transfer", "x", nil); m.text != "new" {
			t.Errorf("%+v", m)
		}
		close(release)
		if m := c.hear(); m.id != 1 || m.text != "old" {
			t.Errorf("%+v", m)
		}
	})
}
