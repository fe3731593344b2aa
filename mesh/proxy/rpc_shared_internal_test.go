package proxy

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/bolt"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// boltExchange is an exchange of a call of that kind.
func boltExchange(kind bolt.Kind, r *route, k *cluster, span time.Duration) *exchange {
	t := &rpcCall{m: &boltMessage{Message: bolt.Message{Protocol: 1, Kind: kind, Command: bolt.RPCRequest}}}
	x := &t.x
	x.c, x.req, x.route, x.cluster, x.whole, x.deadline = &conn{p: &Proxy{log: slog.New(slog.DiscardHandler)}}, &t.req, r, k, true, time.Now().Add(span)
	t.req.Body = h1.Carried(t, 0)
	return x
}

// TestTheHastyDontFailTheOthers: a call that has little time makes a connection that others wait for, too.
func TestTheHastyDontFailTheOthers(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if accepted <- c; len(accepted) < 2 {
				continue // the first one hears nothing
			}
			_ = tls.Server(c, certified.TLS).Handshake() // its client tells
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for len(accepted) > 0 {
			_ = (<-accepted).Close()
		}
	})
	k := &cluster{Cluster: Cluster{Name: "app", Protocol: ProtocolBolt, ConnectTimeout: 10 * time.Second, MaxConnections: 9}}
	k.tls = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	e := &endpoint{Endpoint: Endpoint{Address: l.Addr().String()}}
	hasty, patient := boltExchange(bolt.Request, nil, k, 300*time.Millisecond), boltExchange(bolt.Request, nil, k, 10*time.Second)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := e.calls.get(hasty, e); first <- err }()
	for begun := false; !begun; {
		e.calls.mu.Lock()
		begun = e.calls.dialing != nil
		e.calls.mu.Unlock()
	}
	go func() {
		link, err := e.calls.get(patient, e)
		if err == nil {
			link.retire()
		}
		second <- err
	}()
	if err := <-first; err == nil {
		t.Error("the first one has a connection")
	}
	if err := <-second; err != nil {
		t.Errorf("the second one, which has ten seconds: %v", err)
	}
}

// TestWhatWantsNoAnswerIsNotHedged: two copies would be sent before either could be taken back.
func TestWhatWantsNoAnswerIsNotHedged(t *testing.T) {
	r := &route{Route: Route{Money: true, Key: "k", Retry: Retry{Attempts: 1, Hedge: time.Millisecond}}}
	for kind, want := range map[bolt.Kind]bool{bolt.Request: true, bolt.OneWay: false} {
		x := boltExchange(kind, r, nil, time.Second)
		if err := x.req.Carry("CALL", []byte("/a/b"), []h1.Field{{Name: []byte("k"), Value: []byte("1")}}, x.req.Body); err != nil {
			t.Fatal(err)
		}
		if got := x.hedges(); got != want {
			t.Errorf("kind %d is hedged: %v", kind, got)
		}
	}
}
