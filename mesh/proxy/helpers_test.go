package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// start runs a proxy with the YAML configuration and ends it with the test.
func start(t *testing.T, o proxy.Options, text string, args ...any) *proxy.Proxy {
	t.Helper()
	c, err := proxy.ParseConfig([]byte(fmt.Sprintf(text, args...)))
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, o, c)
}

func startWith(t *testing.T, o proxy.Options, c proxy.Config) *proxy.Proxy {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock.NewSystem()
	}
	o.Log = slog.New(slog.DiscardHandler)
	p, err := proxy.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	return p
}

// simple is one http listener whose requests all go to one endpoint. Its arguments: the endpoint's address, more of
// the cluster, and more of the route.
const simple = `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: app, endpoints: [{address: "%s"}]%s}]
routes: [{name: all, backends: [{cluster: app}]%s}]
`

// backend runs an HTTP server for the test and returns its address.
func backend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// scripted accepts connections one after the other and gives each to serve, with its number from 0.
func scripted(t *testing.T, serve func(n int, c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			serve(n, c, bufio.NewReader(c))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// client is a raw connection to the proxy.
type client struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func dialProxy(t *testing.T, p *proxy.Proxy) *client {
	t.Helper()
	return dialAddress(t, p.Addr("in").String())
}

func dialAddress(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{c, t, bufio.NewReader(c)}
}

func (c *client) send(text string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// reply is an answer without its body.
type reply struct {
	StatusCode      int
	Header, Trailer http.Header
}

// answer reads one answer with its body.
func (c *client) answer(method string) (reply, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read the answer's body: %v (after %q)", err, b)
	}
	return reply{resp.StatusCode, resp.Header, resp.Trailer}, string(b)
}

// ended wants the end of the connection and nothing before it.
func (c *client) ended() {
	c.t.Helper()
	if b, err := io.ReadAll(c.in); len(b) > 0 || isTimeout(err) {
		c.t.Fatalf("want the end of the connection, got %q, %v", b, err)
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error) //nolint:errorlint // straight from the connection
	return ok && n.Timeout()
}

func get(path string, fields ...string) string { return request("GET", path, "", fields...) }

// request spells a request with a length if it has a body.
func request(method, path, body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: app\r\n", method, path)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// freePort is an address that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
