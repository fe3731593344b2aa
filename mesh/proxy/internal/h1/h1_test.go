package h1_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// readRequest reads one request with its body, filling as needed, and describes it.
func readRequest(r *h1.Reader) (string, error) {
	var req h1.Request
	for {
		ok, err := r.Request(&req)
		if err != nil {
			return "", err
		}
		if ok {
			break
		}
		if err := r.Fill(); err != nil {
			return "", err
		}
	}
	out := fmt.Sprintf("%s %s host=%s minor=%d close=%t upgrade=%s", req.Method, req.Target, req.Host, req.Minor, req.Close, req.UpgradeTo)
	for i := range req.Fields {
		if req.Fields[i].Forwarded() {
			out += fmt.Sprintf("|%s=%s", req.Fields[i].Name, req.Fields[i].Value)
		}
	}
	body, trailers, err := readBody(r, &req.Body)
	// The head must still be there, whatever the buffer went through.
	again := fmt.Sprintf("%s %s host=%s", req.Method, req.Target, req.Host)
	if !strings.HasPrefix(out, again) {
		return "", fmt.Errorf("the head changed under the body: %s, was %s", again, out)
	}
	r.Done()
	return out + "|" + body + "|" + trailers, err
}

func readBody(r *h1.Reader, b *h1.Body) (body, trailers string, err error) {
	var all []byte
	for {
		data, done, err := b.Step()
		if err != nil {
			return "", "", err
		}
		all = append(all, data...)
		if done {
			break
		}
		if len(data) > 0 {
			continue
		}
		if err := r.Fill(); err != nil {
			if errors.Is(err, io.EOF) && b.End() == nil {
				break
			}
			return "", "", errors.Join(err, b.End())
		}
	}
	for _, f := range b.Trailers {
		trailers += fmt.Sprintf("%s=%s;", f.Name, f.Value)
	}
	return string(all), trailers, nil
}

func TestRequestHeads(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:  1 \t\r\n\r\n", "GET /a?b host=x minor=1 close=false upgrade=|Host=x|X-A=1||"},
		{"GET / HTTP/1.0\r\n\r\n", "GET / host= minor=0 close=true upgrade=||"},
		{"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Close, X-Drop\r\nX-drop: 1\r\nKeep-Alive: 5\r\n\r\n", "GET / host=[::1]:80 minor=1 close=true upgrade=|Host=[::1]:80||"},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * host=x minor=1 close=false upgrade=|Host=x||"},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / host=x minor=1 close=false upgrade=websocket|Host=x||"},
		{"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", "GET / host=x minor=1 close=false upgrade=|Host=x||"},
		{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", "POST / host=x minor=1 close=false upgrade=|Host=x|abc|X-T=1;"},
	} {
		got, err := readRequest(h1.NewReader(strings.NewReader(tt.in)))
		if err != nil || got != tt.want {
			t.Errorf("%q:\n got %q, %v\nwant %q", tt.in, got, err, tt.want)
		}
	}
}

func TestBounds(t *testing.T) {
	long := strings.Repeat("a", 40<<10)
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"target", "GET /" + long[:h1.MaxTarget] + " HTTP/1.1\r\nHost: x\r\n\r\n", h1.ErrTargetLong},
		{"request line without end", "GET /" + long, h1.ErrTargetLong},
		{"field", "GET / HTTP/1.1\r\nHost: x\r\nX-A: " + long + "\r\n\r\n", h1.ErrHeadLarge},
		{"field without end", "GET / HTTP/1.1\r\nHost: x\r\nX-A: " + long, h1.ErrHeadLarge},
		{"fields", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:b\r\n", 100_000), h1.ErrFieldsMany},
		{"chunk extension", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + long, h1.ErrChunkLine},
		{"trailers", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: " + long, h1.ErrTrailersLarge},
		{"method", long[:33] + " / HTTP/1.1\r\nHost: x\r\n\r\n", h1.ErrMethod},
		{"connection options", "GET / HTTP/1.1\r\nHost: x\r\nConnection: " + strings.Repeat("a,", 17) + "\r\n\r\n", h1.ErrConnection},
	} {
		for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			if _, err := readRequest(h1.NewReader(src)); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
	}
	// Just below the bounds all is well.
	ok := "GET /" + long[:h1.MaxTarget-1] + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:b\r\n", h1.MaxFields-1) + "X"
	ok = ok[:len(ok)-1] + "\r\n"
	if _, err := readRequest(h1.NewReader(strings.NewReader(ok))); err != nil {
		t.Errorf("at the bounds: %v", err)
	}
}

func TestResponses(t *testing.T) {
	for _, tt := range []struct{ method, in, want string }{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 OK close=false hi"},
		{"GET", "HTTP/1.1 200\r\n\r\nuntil the end", "200  close=true until the end"},
		{"GET", "HTTP/1.0 200 OK\r\n\r\nold", "200 OK close=true old"},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "200 OK close=false "},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "304 Not Modified close=false "},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "200 OK close=false hi"},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", h1.ErrLengthCoding.Error()},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", h1.ErrLengthTwice.Error()},
		{"GET", "HTTP/1.1 20 OK\r\n\r\n", h1.ErrStatus.Error()},
		{"GET", "HTTP/1.1 600 OK\r\n\r\n", h1.ErrStatus.Error()},
		{"GET", "HTTP/1.1 200OK\r\n\r\n", h1.ErrStatus.Error()},
		{"GET", "ICY 200 OK\r\n\r\n", h1.ErrStatus.Error()},
		{"GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", h1.ErrBareLF.Error()},
		{"GET", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\n\r\n", h1.ErrFold.Error()},
	} {
		if got := readResponse(tt.in, tt.method); got != tt.want {
			t.Errorf("%s %q: got %q, want %q", tt.method, tt.in, got, tt.want)
		}
	}
}

func readResponse(in, method string) string {
	r := h1.NewReader(strings.NewReader(in))
	var resp h1.Response
	for {
		ok, err := r.Response(&resp, []byte(method))
		if err != nil {
			return err.Error()
		}
		if ok {
			break
		}
		if err := r.Fill(); err != nil {
			return err.Error()
		}
	}
	body, _, err := readBody(r, &resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s close=%t %s", resp.Status, resp.Reason, resp.Close, body)
}

func TestRequestsInARowShareABuffer(t *testing.T) {
	var in strings.Builder
	const n = 50
	for i := range n {
		fmt.Fprintf(&in, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, i*997, strings.Repeat("x", i*997))
	}
	for _, src := range []io.Reader{strings.NewReader(in.String()), iotest.HalfReader(strings.NewReader(in.String()))} {
		r := h1.NewReader(src)
		for i := range n {
			got, err := readRequest(r)
			want := fmt.Sprintf("POST /%d host=x minor=1 close=false upgrade=|Host=x|%s|", i, strings.Repeat("x", i*997))
			if err != nil || got != want {
				t.Fatalf("request %d: %v, %d bytes, want %d", i, err, len(got), len(want))
			}
		}
		if err := r.Fill(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last request: %v", err)
		}
		r.Close()
	}
}

// FuzzRequest: how the bytes arrive makes no difference, and what we take, net/http reads as the same request.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		"GET http://x/a HTTP/1.1\r\nHost: x\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "GET /\x00 HTTP/1.1\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := h1.NewReader(bytes.NewReader(in))
		whole, err := readRequest(r)
		pieces, err2 := readRequest(h1.NewReader(iotest.OneByteReader(bytes.NewReader(in))))
		if whole != pieces || (err == nil) != (err2 == nil) {
			t.Fatalf("whole: %q, %v; byte by byte: %q, %v", whole, err, pieces, err2)
		}
		if err != nil {
			return
		}
		std := bufio.NewReader(bytes.NewReader(in))
		req, err := http.ReadRequest(std)
		if err != nil {
			// net/http alone knows these limits and forms.
			if strings.Contains(err.Error(), "malformed Host") || strings.Contains(err.Error(), "invalid URI") || strings.Contains(err.Error(), "malformed HTTP request") ||
				strings.Contains(err.Error(), "invalid port") || strings.Contains(err.Error(), "parse ") || strings.HasPrefix(string(in), "\r\n") {
				return
			}
			t.Fatalf("we take %q as %q, net/http does not: %v", in, whole, err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatalf("we take %q as %q, net/http: %v", in, whole, err)
		}
		if !strings.HasPrefix(whole, req.Method+" ") || !strings.Contains(whole, "|"+string(body)+"|") {
			t.Fatalf("we take %q as %q, net/http as %s with body %q", in, whole, req.Method, body)
		}
		left, _ := io.ReadAll(std)
		if mine := r.Buffered(); len(left) != len(mine) && len(in) < 4096 {
			t.Fatalf("of %q we leave %q, net/http %q", in, mine, left)
		}
	})
}

// FuzzResponse: how the bytes arrive makes no difference, and nothing panics.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.0 302 \r\nConnection: keep-alive\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var got [2]string
		for i, src := range []io.Reader{bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in))} {
			r := h1.NewReader(src)
			var resp h1.Response
			for {
				ok, err := r.Response(&resp, []byte(method))
				if err == nil && !ok {
					if err = r.Fill(); err == nil {
						continue
					}
				}
				if err != nil {
					got[i] = err.Error()
					break
				}
				body, trailers, err := readBody(r, &resp.Body)
				got[i] = fmt.Sprint(resp.Status, body, trailers, err)
				break
			}
		}
		if got[0] != got[1] {
			t.Fatalf("whole: %q; byte by byte: %q", got[0], got[1])
		}
	})
}
