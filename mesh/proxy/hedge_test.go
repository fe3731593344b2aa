package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// pair is a cluster of two endpoints that are one program: which of them is asked first is chance, so that the program
// decides by the order of the copies. Its arguments: both addresses, the protocol, more of the cluster and of the route.
const pair = `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: app, endpoints: [{address: "%s"}, {address: "%s"}], protocol: %s%s}]
routes: [{name: all, backends: [{cluster: app}], timeout: 10s, retry: {attempts: 1, hedge: 20ms}%s}]
`

// copies is a program that gets requests twice: serve gets each with its number, from 1.
type copies struct {
	n     atomic.Int64
	mu    sync.Mutex
	keys  []string
	ended chan int64 // the numbers of those that were taken back
	serve func(n int64, w http.ResponseWriter, r *http.Request)
}

func (c *copies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := c.n.Add(1)
	_, _ = io.Copy(io.Discard, r.Body) // so that the server looks out for the client's end
	c.mu.Lock()
	c.keys = append(c.keys, r.Header.Get("Idempotency-Key"))
	c.mu.Unlock()
	c.serve(n, w, r)
	if r.Context().Err() != nil {
		c.ended <- n
	}
}

// untilTakenBack makes a copy wait for longer than any test.
func untilTakenBack(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// slowly takes long enough for a copy to be sent.
func slowly(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(200 * time.Millisecond):
	case <-r.Context().Done():
	}
}

// hedging runs a proxy before two endpoints of one program.
func hedging(t *testing.T, cluster, route string, serve func(n int64, w http.ResponseWriter, r *http.Request)) (*copies, *client) {
	t.Helper()
	c := &copies{serve: serve, ended: make(chan int64, 64)}
	p := start(t, proxy.Options{}, pair, backend(t, c.ServeHTTP), backend(t, c.ServeHTTP), "http", cluster, route)
	return c, dialProxy(t, p)
}

func TestTheFirstAnswerCounts(t *testing.T) {
	app, c := hedging(t, "", "", func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			untilTakenBack(w, r)
		}
		_, _ = fmt.Fprintf(w, "copy %d", n)
	})
	for range 2 { // the connection goes on, and the next request is no copy's business
		if resp, body := c.send(get("/")).answer("GET"); resp.StatusCode != http.StatusOK || body == "copy 1" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	}
	if n := <-app.ended; n != 1 {
		t.Errorf("copy %d was taken back", n)
	}
}

func TestMoneyIsHedgedOnlyWithAKey(t *testing.T) {
	for key, want := range map[string]int64{"": 1, "k1": 2} {
		app, c := hedging(t, "", ", money: true", func(n int64, w http.ResponseWriter, r *http.Request) {
			switch {
			case n == 1 && key == "":
				slowly(w, r)
			case n == 1:
				untilTakenBack(w, r)
			}
			_, _ = fmt.Fprint(w, "paid")
		})
		text := request("POST", "/pay", "100")
		if key != "" {
			text = request("POST", "/pay", "100", "Idempotency-Key: "+key)
		}
		if resp, body := c.send(text).answer("POST"); resp.StatusCode != http.StatusOK || body != "paid" {
			t.Errorf("key %q: %d %q", key, resp.StatusCode, body)
		}
		app.mu.Lock()
		if n := app.n.Load(); n != want || strings.Join(app.keys, "") != strings.Repeat(key, int(want)) {
			t.Errorf("key %q: sent %d times, as %q", key, n, app.keys)
		}
		app.mu.Unlock()
	}
}

func TestHedgesHaveTheRetryBudget(t *testing.T) {
	app, c := hedging(t, ", retry_percent: -1", "", func(_ int64, w http.ResponseWriter, r *http.Request) {
		slowly(w, r)
		_, _ = fmt.Fprint(w, "late")
	})
	if _, body := c.send(get("/")).answer("GET"); body != "late" || app.n.Load() != 1 {
		t.Errorf("%q, sent %d times", body, app.n.Load())
	}
}

// TestACopyThatFailsDecidesNothing: while the other one is under way, neither a break nor a 503 is the answer.
func TestACopyThatFailsDecidesNothing(t *testing.T) {
	for _, failing := range []int64{1, 2} {
		for _, how := range []string{"503", "break"} {
			failed := make(chan struct{})
			_, c := hedging(t, "", "", func(n int64, w http.ResponseWriter, r *http.Request) {
				if n != failing {
					<-failed
					_, _ = fmt.Fprint(w, "fine")
					return
				}
				defer close(failed)
				if n == 1 {
					<-time.After(100 * time.Millisecond) // the second one is on its way
				}
				if how == "break" {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			if resp, body := c.send(get("/")).answer("GET"); resp.StatusCode != http.StatusOK || body != "fine" {
				t.Errorf("%s of copy %d: %d %q", how, failing, resp.StatusCode, body)
			}
		}
	}
}

// TestBothCopiesFail: the client is told the worse of both, so that it does not take for unsent what may have been acted on.
func TestBothCopiesFail(t *testing.T) {
	both := make(chan struct{}, 2)
	_, c := hedging(t, "", "", func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			<-both
		} else {
			both <- struct{}{}
		}
		panic(http.ErrAbortHandler)
	})
	if resp, _ := c.send(get("/")).answer("GET"); resp.StatusCode != http.StatusBadGateway || resp.Header.Get("X-Sterling-Outcome") != "unknown" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestCallsAreHedged(t *testing.T) {
	var n atomic.Int64
	ended := make(chan struct{}, 2)
	app := func() string {
		return service(t, func(_ string, stream grpc.ServerStream) error {
			m := &wrapperspb.BytesValue{}
			if err := stream.RecvMsg(m); err != nil {
				return err
			}
			if number := n.Add(1); number == 1 || string(m.Value) == "hang" {
				<-stream.Context().Done()
				ended <- struct{}{}
				return stream.Context().Err()
			}
			return stream.SendMsg(m)
		})
	}
	cc := grpcClient(t, start(t, proxy.Options{}, pair, app(), app(), "grpc", "", ", money: true"))
	ctx := metadata.AppendToOutgoingContext(within(t, 10*time.Second), "idempotency-key", "k1")
	out := &wrapperspb.BytesValue{}
	if err := cc.Invoke(ctx, "/bank.Pay/Pay", wrapperspb.Bytes([]byte("100")), out); err != nil || string(out.Value) != "100" {
		t.Errorf("%v %q", err, out.Value)
	}
	<-ended // the first copy, taken back

	// A client that leaves takes both copies back.
	gone, leave := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- cc.Invoke(gone, "/bank.Pay/Pay", wrapperspb.Bytes([]byte("hang")), out) }()
	for n.Load() < 4 {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	leave()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	<-ended
	<-ended
}

// TestMessagesBothWaysAreNotHeldForever: such a call can't be hedged, and waits for an answer before it goes on.
func TestMessagesBothWaysAreNotHeldForever(t *testing.T) {
	cc := grpcClient(t, start(t, proxy.Options{}, pair, service(t, echo), service(t, echo), "grpc", "", ", money: true"))
	s := bidi(t, metadata.AppendToOutgoingContext(within(t, 10*time.Second), "idempotency-key", "k1"), cc, "Echo")
	for _, text := range []string{"a", "b"} {
		out := &wrapperspb.BytesValue{}
		if err := s.SendMsg(wrapperspb.Bytes([]byte(text))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(out); err != nil || string(out.Value) != text {
			t.Fatalf("%v %q", err, out.Value)
		}
	}
	if err := errors.Join(s.CloseSend(), s.RecvMsg(&wrapperspb.BytesValue{})); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestHedgesUnderLoad: whatever the copies do, every request has one answer, no key more than two copies, and nothing is
// left over when the proxy ends (start waits for that).
func TestHedgesUnderLoad(t *testing.T) {
	var mu sync.Mutex
	sent := map[string]int{}
	program := func(n int64, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent[r.Header.Get("Idempotency-Key")]++
		mu.Unlock()
		switch n % 7 {
		case 0:
			slowly(w, r)
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			<-time.After(20 * time.Millisecond) // as both copies are under way
		}
		_, _ = fmt.Fprint(w, r.Header.Get("Idempotency-Key"))
	}
	c := &copies{serve: program, ended: make(chan int64, 10_000)}
	p := start(t, proxy.Options{}, pair, backend(t, c.ServeHTTP), backend(t, c.ServeHTTP), "http", ", ejection: {failures: -1}, retry_percent: 100", ", money: true")
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 40 {
				key := fmt.Sprintf("k-%d-%d", i, j)
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.Addr("in").String()+"/", strings.NewReader("100"))
				r.Header.Set("Idempotency-Key", key)
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Errorf("%s: %v", key, err)
					continue
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode == http.StatusOK && string(body) != key {
					t.Errorf("%s: %d %q %v", key, resp.StatusCode, body, err)
				}
			}
		})
	}
	clients.Wait()
	mu.Lock()
	defer mu.Unlock()
	for key, n := range sent {
		if n > 2 {
			t.Errorf("%s was sent %d times", key, n)
		}
	}
}
