package proxy

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// slowClient gives a client's side of a connection to a proxy without endpoints, in virtual time.
func slowClient(t *testing.T) net.Conn {
	t.Helper()
	c, err := ParseConfig([]byte(`
listeners: [{name: in, address: "127.0.0.1:0", idle: 1m}]
clusters: [{name: app}]
routes: [{name: all, timeout: 5m, backends: [{cluster: app}]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(c, Options{Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mine, its := net.Pipe()
	of := &conn{p: p, l: p.listeners[0], nc: its, raw: its}
	p.track(of)
	p.running.Go(of.run)
	t.Cleanup(func() {
		mine.Close()
		p.running.Wait()
	})
	return mine
}

// drip sends the text a byte each second, then nothing, and reports the status of the answer (0: none) and when the
// connection ended.
func drip(t *testing.T, text string) (status int, after time.Duration) {
	t.Helper()
	began := time.Now()
	c := slowClient(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			<-time.After(time.Second)
		}
	}()
	defer func() {
		c.Close()
		<-sent
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, time.Since(began)
	}
	resp.Body.Close()
	return resp.StatusCode, time.Since(began)
}

func TestSlowClients(t *testing.T) {
	for _, tt := range []struct {
		name, text  string
		status      int
		least, most time.Duration
	}{
		{"says nothing", "", 0, time.Minute, 70 * time.Second},
		{"a slow head", "GET / HTTP/1.1\r\nHost: app\r\n" + strings.Repeat("X-A: b\r\n", 10), 408, headTime, headTime + 2*time.Second},
		{"a head that stops", "GET", 408, headTime, headTime + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				status, after := drip(t, tt.text)
				if status != tt.status || after < tt.least || after > tt.most {
					t.Errorf("status %d after %s, want %d after %s to %s", status, after, tt.status, tt.least, tt.most)
				}
			})
		})
	}
}

func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowClient(t)
		began := time.Now()
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nab"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != 408 || took < bodyTime || took > bodyTime+2*time.Second {
			t.Errorf("status %d after %s", resp.StatusCode, took)
		}
	})
}

func TestAClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowClient(t)
		began := time.Now()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: app\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// A pipe has no buffer: the proxy's answer waits for us.
		<-time.After(2 * writeTime)
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes after %s", n, time.Since(began))
		}
	})
}
