package proxy

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// judged reads a call as the proxy does, nil where it refuses it.
func judged(c *rpcConn, m rpcMessage) *rpcCall {
	t := &rpcCall{c: c, m: m}
	if m.call(t) != nil {
		return nil
	}
	return t
}

// FuzzCalls: what an endpoint gets means what was judged: the same service and method, colour and key. Whatever is
// answered in its stead can be read.
func FuzzCalls(f *testing.F) {
	for _, name := range []string{ProtocolBolt, ProtocolDubbo} {
		text, err := os.ReadFile("testdata/rpc/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		var all []byte
		for line := range strings.Lines(string(text)) {
			_, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
			b, err := hex.DecodeString(digits)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(name == ProtocolDubbo, b)
			all = append(all, b...)
		}
		f.Add(name == ProtocolDubbo, all)
	}
	f.Fuzz(func(t *testing.T, dubbo bool, b []byte) {
		p := boltProtocol()
		if dubbo {
			p = dubboProtocol()
		}
		c := &rpcConn{conn: &conn{l: &listener{}, peer: "spiffe://bank/cell/1/svc/shop"}, protocol: p}
		c.peerBytes = []byte(c.peer)
		r := &rpcReader{p, bufio.NewReaderSize(bytes.NewReader(b), rpcBuffer), func(time.Time) error { return nil }}
		for {
			m, err := r.next()
			if err != nil {
				return
			}
			switch m.kind() {
			case rpcCallKind, rpcOneWay:
				passOn(t, c, m)
			case rpcPing:
				readable(t, p, m.appendPong(nil), rpcPong, m.id())
			case rpcAnswer:
				readable(t, p, m.appendAnswer(nil, 9), rpcAnswer, 9)
			}
		}
	})
}

func readable(t *testing.T, p *rpcProtocol, b []byte, kind rpcKind, id uint64) rpcMessage {
	t.Helper()
	m, err := p.again(b)
	if err != nil || m.kind() != kind || m.id() != id {
		t.Fatalf("%x: %v", b, err)
	}
	return m
}

func passOn(t *testing.T, c *rpcConn, m rpcMessage) {
	t.Helper()
	for _, f := range []*failure{errShed, errTimeout, errCaller} {
		readable(t, c.protocol, m.appendRefusal(nil, f), rpcAnswer, m.id())
	}
	was := judged(c, m)
	if was == nil || len(was.req.Fields) > 100 {
		return // with what the proxy adds, it might be too many
	}
	x := &exchange{c: c.conn, req: &was.req, route: &route{}, deadline: time.Now().Add(time.Minute)}
	x.trace, x.fresh = trace(&x.traceBuf, x.req)
	x.shadow = x.req.Has(h1.Shadow)
	x.collectFields()
	b, err := m.appendCall(nil, x, 9)
	if err != nil {
		t.Fatal(err)
	}
	is := judged(c, readable(t, c.protocol, b, m.kind(), 9))
	if is == nil {
		t.Fatalf("%x is refused by the next proxy", b)
	}
	same := bytes.Equal(was.req.Path, is.req.Path) && was.req.Has(h1.Shadow) == is.req.Has(h1.Shadow) &&
		was.req.Has(h1.IdempotencyKey) == is.req.Has(h1.IdempotencyKey) && bytes.Equal(was.req.Get(h1.IdempotencyKey), is.req.Get(h1.IdempotencyKey))
	if !same || string(is.req.Get(h1.Peer)) != c.peer {
		t.Fatalf("%s %v becomes %s %v", was.req.Path, was.req.Fields, is.req.Path, is.req.Fields)
	}
}

// TestSlowMessages: wherever a message stops coming, there is a time by which the rest must be there.
func TestSlowMessages(t *testing.T) {
	for name, p := range map[string]*rpcProtocol{ProtocolBolt: boltProtocol(), ProtocolDubbo: dubboProtocol()} {
		text, err := os.ReadFile("testdata/rpc/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		_, digits, _ := strings.Cut(string(text[:bytes.IndexByte(text, '\n')]), " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		head, _ := p.headerLen(b)
		for n, most := range map[int]time.Duration{1: headTime, p.lead: headTime, head - 1: headTime, head: bodyTime, len(b) - 1: bodyTime} {
			ours, theirs := net.Pipe()
			go func() { _, _ = theirs.Write(b[:n]) }()
			var given time.Duration
			r := &rpcReader{p, bufio.NewReaderSize(ours, rpcBuffer), func(by time.Time) error {
				given = time.Until(by)
				return ours.SetReadDeadline(time.Now())
			}}
			if _, err := r.next(); !isTimeout(err) || given <= 0 || given > most {
				t.Errorf("%s after %d bytes: %v, with a time of %s", name, n, err, given)
			}
			ours.Close()
			theirs.Close()
		}
	}
}
