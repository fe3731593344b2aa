package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

func shutdown(t *testing.T, p *proxy.Proxy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
}

func TestApplyChangesWhatComesNext(t *testing.T) {
	first := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "first") })
	second := backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "second") })
	p := start(t, proxy.Options{}, simple, first, "", "")
	c := dialProxy(t, p)
	if _, body := c.send(get("/")).answer("GET"); body != "first" {
		t.Fatal(body)
	}
	apply := func(text string, args ...any) error {
		config, err := proxy.ParseConfig([]byte(fmt.Sprintf(text, args...)))
		if err != nil {
			return err
		}
		return p.Apply(config)
	}
	for _, bad := range []string{
		strings.Replace(simple, "cluster: app", "cluster: none", 1),
		strings.Replace(simple, `name: app`, `name: app, mtls: true, peers: ["spiffe://bank/x"]`, 1), // no identity
		strings.Replace(simple, "name: in", "name: other", 1),
	} {
		if err := apply(bad, second, "", ""); !errors.Is(err, proxy.ErrConfig) {
			t.Errorf("%s: %v", bad, err)
		}
		if _, body := c.send(get("/")).answer("GET"); body != "first" {
			t.Errorf("a configuration that was refused took effect: %s", body)
		}
	}
	if err := apply(simple, second, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, body := c.send(get("/")).answer("GET"); body != "second" {
		t.Errorf("after the change: %s", body)
	}
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	entered, release := make(chan bool), make(chan bool)
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	p := start(t, proxy.Options{}, simple, app, "", "")
	idle, busy := dialProxy(t, p), dialProxy(t, p)
	idle.send(get("/")).answer("GET")
	busy.send(get("/slow"))
	<-entered
	ended := make(chan bool)
	go func() {
		shutdown(t, p)
		close(ended)
	}()
	idle.ended()
	close(release)
	if resp, body := busy.answer("GET"); resp.StatusCode != 200 || body != "done" {
		t.Errorf("under way at the shutdown: %d %q", resp.StatusCode, body)
	}
	busy.ended()
	<-ended
}

func TestShutdownHasAnEnd(t *testing.T) {
	entered := make(chan bool)
	app := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	p := start(t, proxy.Options{}, simple, app, "", ", timeout: 1h")
	c := dialProxy(t, p).send(get("/"))
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a shutdown without time: %v", err)
	}
	c.ended()
}

func TestConnectionsAreBounded(t *testing.T) {
	app := backend(t, func(http.ResponseWriter, *http.Request) {})
	p := start(t, proxy.Options{}, strings.Replace(simple, `"127.0.0.1:0"`, `"127.0.0.1:0", max_connections: 2`, 1), app, "", "")
	first, second := dialProxy(t, p), dialProxy(t, p)
	first.send(get("/")).answer("GET")
	second.send(get("/")).answer("GET")
	dialProxy(t, p).ended()
	first.send(get("/")).answer("GET")
}

func TestListenFailureKeepsNothing(t *testing.T) {
	app := backend(t, func(http.ResponseWriter, *http.Request) {})
	taken := start(t, proxy.Options{}, simple, app, "", "").Addr("in").String()
	c, err := proxy.ParseConfig([]byte(fmt.Sprintf(`listeners: [{name: a, address: "127.0.0.1:0"}, {name: b, address: "%s"}]`, taken)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(c, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err == nil || !strings.Contains(err.Error(), "listen as b") {
		t.Errorf("started on a taken address: %v", err)
	}
}
