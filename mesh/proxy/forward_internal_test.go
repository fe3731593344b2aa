package proxy

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// FuzzForwarded: whatever a client sends, what an endpoint would get is exactly one request, with the body that we
// read, the key that came, and nothing after it.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{
		"GET /a HTTP/1.1\r\nHost: x\r\nConnection: x-a\r\nX-A: 1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		"GET http://x/ HTTP/1.1\r\nHost: x\r\nX-Sterling-Peer: a\r\nX-Sterling-Timeout-Ms: 5\r\ntraceparent: 00-1\r\n\r\n",
		"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	c, err := ParseConfig([]byte(`
listeners: [{name: in, address: "127.0.0.1:0", caller: "spiffe://bank/svc"}]
clusters: [{name: app}]
routes: [{name: all, request: {remove: [X-Gone], set: {X-Set: "1"}}, backends: [{cluster: app}]}]
`))
	if err != nil {
		f.Fatal(err)
	}
	p, err := New(c, Options{Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	nc, other := net.Pipe()
	defer nc.Close()
	defer other.Close()
	f.Fuzz(func(t *testing.T, in []byte) {
		of := &conn{p: p, l: p.listeners[0], nc: nc, peer: "spiffe://bank/svc", peerBytes: []byte("spiffe://bank/svc"), rd: h1.NewReader(bytes.NewReader(in))}
		for {
			ok, err := of.rd.Request(&of.req)
			if err != nil {
				return
			}
			if ok {
				break
			}
			if of.rd.Fill() != nil {
				return
			}
		}
		x := &of.x
		x.c, x.from, x.req, x.snap, x.started = of, of, &of.req, p.snap.Load(), time.Now()
		x.trace, x.fresh = trace(&x.traceBuf, &of.req)
		if x.admit() != nil || x.hold() != nil || !x.whole {
			return
		}
		x.collectFields()
		x.renderHead()
		x.renderFirst()
		std := bufio.NewReader(bytes.NewReader(x.first))
		req, err := http.ReadRequest(std)
		if err != nil {
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "malformed Host") {
				return // hosts and escapes that net/http alone does not know
			}
			t.Fatalf("%q became %q: %v", in, x.first, err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || !bytes.Equal(body, x.body) {
			t.Fatalf("%q became %q: body %q, %v", in, x.first, body, err)
		}
		if rest, _ := io.ReadAll(std); len(rest) > 0 {
			t.Fatalf("%q became %q: more than one request: %q", in, x.first, rest)
		}
		if key := req.Header.Get("Idempotency-Key"); key != string(of.req.Get(h1.IdempotencyKey)) {
			t.Fatalf("%q became %q: key %q", in, x.first, key)
		}
		if peer := req.Header.Values("X-Sterling-Peer"); len(peer) != 1 || peer[0] != of.peer {
			t.Fatalf("%q became %q: peer %q", in, x.first, peer)
		}
	})
}
