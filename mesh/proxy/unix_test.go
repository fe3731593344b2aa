package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// TestEnclosed: a workload without a network calls by a Unix socket, and is called by one; which ones, changes while
// requests run. Without any, calls fail.
func TestEnclosed(t *testing.T) {
	dir, err := os.MkdirTemp("", "p") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := func(name string) string {
		path := filepath.Join(dir, name)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		return path
	}
	config := func(programs ...string) proxy.Config {
		c, err := proxy.ParseConfig([]byte(`
listeners: [{name: orders, address: "127.0.0.1:9301", caller: "spiffe://bank.example/cell/c1/svc/shop"}]
clusters: [{name: "app/` + mesh.SupervisedApp().String() + `", endpoints: [{address: "` + mesh.SupervisedApp().String() + `"}]}]
routes: [{name: all, backends: [{cluster: "app/` + mesh.SupervisedApp().String() + `"}]}]`))
		if err != nil {
			t.Fatal(err)
		}
		c.Enclose(dir, programs)
		return c
	}
	p, err := proxy.New(config(), proxy.Options{Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "orders"))
	}}}
	call := func() (int, string) {
		response, err := client.Get("http://orders/") //nolint:noctx // the proxy has a time limit
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if code, text := call(); code != http.StatusServiceUnavailable {
		t.Errorf("nobody is there: %d %s", code, text)
	}
	for _, name := range []string{"one", "two"} {
		if err := p.Apply(config(program(name))); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if code, text := call(); code != http.StatusOK || text != name {
				t.Errorf("%d %s, want %s", code, text, name)
			}
		}
	}
	long := config("/" + strings.Repeat("x", 107))
	if err := p.Apply(long); err == nil {
		t.Error("a path that no socket can have is taken")
	}
}
