package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// FuzzTranslated: whatever request comes by HTTP/2 and is not refused is, as HTTP/1.1, exactly one request with the same
// method, target, host and key.
func FuzzTranslated(f *testing.F) {
	f.Add("GET", "app", "/", "x-a\x00b\x00cookie\x00a=1\x00cookie\x00b=2", "")
	f.Add("POST", "app:1", "/p?q", "idempotency-key\x00k\x00te\x00trailers\x00grpc-timeout\x001S", "hello")
	f.Add("OPTIONS", "[::1]", "*", "host\x00[::1]", "")
	f.Add("GET", "", "/", "host\x00app\x00connection\x00close", "")
	f.Fuzz(func(t *testing.T, method, authority, path, pairs, body string) {
		head := &h2.Head{Method: []byte(method), Path: []byte(path)}
		if authority != "" {
			head.Authority = []byte(authority)
		}
		list := strings.Split(pairs, "\x00")
		for i := 0; i+1 < len(list); i += 2 {
			head.Fields = append(head.Fields, h2.Field{Name: []byte(list[i]), Value: []byte(list[i+1])})
		}
		var req h1.Request
		req.Fields = fromHTTP2(nil, head.Fields)
		req.Body = h1.Body{Kind: h1.Length}
		if req.Compose(head.Method, head.Authority, head.Path) != nil || method == "CONNECT" {
			return
		}
		x := &exchange{c: &conn{}, req: &req, route: &route{}, cluster: &cluster{}, started: time.Now(), deadline: time.Now().Add(time.Hour), body: []byte(body), whole: true}
		x.collectFields()
		x.renderHead()
		x.renderFirst()
		std := bufio.NewReader(bytes.NewReader(x.first))
		got, err := http.ReadRequest(std)
		if err != nil {
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "malformed Host") {
				return // net/url is stricter than RFC 3986 in places
			}
			t.Fatalf("%q: %v", x.first, err)
		}
		b, err := io.ReadAll(got.Body)
		if err != nil || string(b) != body {
			t.Fatalf("%q: body %q, %v", x.first, b, err)
		}
		if rest, _ := io.ReadAll(std); len(rest) > 0 {
			t.Fatalf("%q: more than one request: %q", x.first, rest)
		}
		if got.Method != method || got.RequestURI != path || got.Host != string(req.Host) || got.Header.Get("Idempotency-Key") != strings.TrimSpace(string(req.Get(h1.IdempotencyKey))) {
			t.Fatalf("%q became %s %s %s", x.first, got.Method, got.RequestURI, got.Host)
		}
		for _, n := range []string{"Connection", "Transfer-Encoding", "Upgrade"} {
			if v := got.Header.Get(n); v != "" && v != "TE" {
				t.Fatalf("%q: %s", x.first, n)
			}
		}
	})
}

// FuzzGRPCTimeout: what is read is never negative and not more than the bound, and what is written is read as no more
// than it was.
func FuzzGRPCTimeout(f *testing.F) {
	for _, s := range []string{"1S", "99999999H", "0n", "5m", "1", "S", "-1S", "1X", "123456789S"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, ok := parseGRPCTimeout(in)
		if !ok {
			return
		}
		if d < 0 || d > maxGRPCTimeout || len(in) > 9 {
			t.Fatalf("%q is %s", in, d)
		}
		again, ok := parseGRPCTimeout(appendGRPCTimeout(nil, d))
		if !ok || again > max(d, time.Microsecond) || d-again >= time.Millisecond {
			t.Fatalf("%s became %s", d, again)
		}
	})
}
