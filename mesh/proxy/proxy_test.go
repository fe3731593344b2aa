package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func TestRequestsAndAnswersPassThrough(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", fmt.Sprintf("%s %s %s %d", r.Method, r.URL, r.Host, len(b)))
		if r.URL.Path == "/chunks" {
			for range 3 {
				_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
				w.(http.Flusher).Flush()
			}
			return
		}
		_, _ = w.Write(b)
	})
	c := dialProxy(t, start(t, proxy.Options{}, simple, app, "", ""))
	large := strings.Repeat("0123456789", 100_000)
	for _, tt := range []struct{ send, method, saw, body string }{
		{get("/a?b=c"), "GET", "GET /a?b=c app 0", ""},
		{request("POST", "/p", "hello"), "POST", "POST /p app 5", "hello"},
		{request("PUT", "/large", large), "PUT", fmt.Sprintf("PUT /large app %d", len(large)), large},
		{request("HEAD", "/h", ""), "HEAD", "HEAD /h app 0", ""},
		{get("/chunks"), "GET", "GET /chunks app 0", strings.Repeat("x", 3000)},
		{"POST /c HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "POST", "POST /c app 11", "hello world"},
		{"GET http://app/abs HTTP/1.1\r\nHost: app\r\n\r\n", "GET", "GET /abs app 0", ""},
	} {
		resp, body := c.send(tt.send).answer(tt.method)
		if resp.StatusCode != 200 || resp.Header.Get("X-Saw") != tt.saw || body != tt.body {
			t.Errorf("%.60q: status %d, endpoint saw %q, want %q; body of %d bytes, want %d", tt.send, resp.StatusCode, resp.Header.Get("X-Saw"), tt.saw, len(body), len(tt.body))
		}
	}
}
