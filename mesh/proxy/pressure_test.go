package proxy_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// mostHeld is more than the proxy may take of a stream that goes no further: its own windows on both sides, what waits to
// be written, and the other side's window.
const mostHeld = 600 << 10

// pour sends data on a stream as its window allows, until the other side cuts it off; it returns how much it was.
func (r *raw) pour(stream uint32) (sent int) {
	window := 64<<10 - 1
	piece := make([]byte, 4<<10)
	for {
		for window >= len(piece) && sent < 64<<20 {
			if r.WriteData(stream, false, piece) != nil {
				return sent
			}
			window -= len(piece)
			sent += len(piece)
		}
		f, err := r.ReadFrame()
		if err != nil {
			return sent
		}
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == stream {
				window += int(f.Increment)
			}
		case *http2.RSTStreamFrame:
			return sent
		}
	}
}

// TestAClientThatNeverReads: the endpoint is slowed down, not the answer held.
func TestAClientThatNeverReads(t *testing.T) {
	sent := make(chan int, 1)
	app := rawEndpoint(t, func(_ int, r *raw) {
		id, _, err := r.request()
		if err != nil {
			return
		}
		r.head(id, false, ":status: 200")
		sent <- r.pour(id)
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", timeout: 500ms"))
	r.get(1) // and never a WINDOW_UPDATE
	if a := r.answer(1); !a.reset || len(a.data) != 64<<10-1 {
		t.Errorf("%d bytes, reset %v", len(a.data), a.reset)
	}
	if n := <-sent; n > mostHeld {
		t.Errorf("the proxy took %d bytes of an answer that nobody reads", n)
	}
}

// TestAnEndpointThatNeverReads: the client is slowed down.
func TestAnEndpointThatNeverReads(t *testing.T) {
	app := rawEndpoint(t, func(_ int, r *raw) {
		for e := r.next(); !e.closed && !e.reset; e = r.next() { // and never a WINDOW_UPDATE
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ", timeout: 500ms, max_body: 1000000000"))
	r.head(1, false, ":method: POST", ":scheme: http", ":path: /", ":authority: app")
	if n := r.pour(1); n > mostHeld {
		t.Errorf("the proxy took %d bytes of a request that nobody reads", n)
	}
}

// TestAnEndpointThatAnswersWithoutReading: the answer comes through although the request has no room.
func TestAnEndpointThatAnswersWithoutReading(t *testing.T) {
	app := rawEndpoint(t, func(_ int, r *raw) {
		_ = r.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for {
			e := r.next()
			if e.closed {
				return
			}
			if e.head != "" {
				r.head(e.stream, true, ":status: 413")
			}
		}
	})
	r := rawClient(t, start(t, proxy.Options{}, simpleGRPC, app, "", ""))
	for id := uint32(1); id < 9; id += 2 { // the first may be sent before the endpoint's settings come
		r.head(id, false, ":method: POST", ":scheme: http", ":path: /", ":authority: app", "content-length: 4000")
		_ = r.WriteData(id, true, make([]byte, 4000))
		if a := r.answer(id); !strings.Contains(a.head, ":status: 413\n") {
			t.Fatalf("request %d: %+v", id, a)
		}
	}
}

// TestCallsAreMirroredAsShadow: a copy goes by the mirror's own protocol, and is marked.
func TestCallsAreMirroredAsShadow(t *testing.T) {
	got := make(chan event, 2)
	mirror := rawEndpoint(t, func(_ int, r *raw) {
		id, req, err := r.request()
		if err != nil {
			return
		}
		got <- req
		r.head(id, true, ":status: 200", "content-type: application/grpc", "grpc-status: 0")
		_ = r.next() // until the proxy is done with it
	})
	live := make(chan metadata.MD, 2)
	app := service(t, func(_ string, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		live <- md
		return nil
	})
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0"}]
clusters: [{name: app, protocol: grpc, endpoints: [{address: "%s"}]}, {name: copy, protocol: grpc, endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: app}], mirror: {cluster: copy, percent: 100}}]
`, app, mirror)
	r := rawClient(t, p)
	// Without a body, the call is held whole whenever it comes.
	r.head(1, true, ":method: POST", ":scheme: http", ":path: /bank.Pay/Do", ":authority: app", "content-type: application/grpc", "te: trailers", "x-note: 1")
	if a := r.answer(1); !strings.Contains(a.head, ":status: 200") {
		t.Errorf("answer %+v", a)
	}
	if md := <-live; md["x-sterling-shadow"] != nil || md["x-note"] == nil {
		t.Errorf("the endpoint got %v", md)
	}
	copied := <-got
	for _, want := range []string{":path: /bank.Pay/Do\n", "x-note: 1\n", "x-sterling-shadow: 1\n", "tracestate: sterling=shadow\n", "te: trailers\n", "grpc-timeout: "} {
		if !strings.Contains(copied.head, want) {
			t.Errorf("the copy lacks %q: %s", want, copied.head)
		}
	}
}

// TestShadowCallsGoToTheShadow: the mark is seen in metadata, and carried on.
func TestShadowCallsGoToTheShadow(t *testing.T) {
	live, shadow := make(chan metadata.MD, 1), make(chan metadata.MD, 1)
	record := func(to chan metadata.MD) func(string, grpc.ServerStream) error {
		return func(_ string, s grpc.ServerStream) error {
			md, _ := metadata.FromIncomingContext(s.Context())
			to <- md
			return s.SendMsg(&wrapperspb.BytesValue{})
		}
	}
	p := start(t, proxy.Options{}, `
shadow_callers: ["`+idShop+`"]
listeners: [{name: in, address: "127.0.0.1:0", caller: "`+idShop+`"}]
clusters: [{name: app, kind: ledger, protocol: grpc, shadow: other, endpoints: [{address: "%s"}]}, {name: other, protocol: grpc, endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: app}]}]
`, service(t, record(live)), service(t, record(shadow)))
	cc := grpcClient(t, p)
	ctx := metadata.AppendToOutgoingContext(within(t, 10*time.Second), "tracestate", "a=b,sterling=shadow", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err := cc.Invoke(ctx, "/bank.Pay/Do", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{}); err != nil {
		t.Fatal(err)
	}
	select {
	case md := <-shadow:
		if strings.Join(md["x-sterling-shadow"], ",") != "1" || strings.Join(md["tracestate"], ",") != "a=b,sterling=shadow" {
			t.Errorf("the shadow got %v", md)
		}
	case <-live:
		t.Error("shadow traffic reached the ledger")
	}
}
