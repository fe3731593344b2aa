package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// simpleGRPC is one listener whose requests all go to one endpoint by HTTP/2. Its arguments are those of simple.
const simpleGRPC = `
listeners: [{name: in, address: "127.0.0.1:0", caller: "` + idShop + `"}]
clusters: [{name: app, protocol: grpc, endpoints: [{address: "%s"}]%s}]
routes: [{name: all, backends: [{cluster: app}]%s}]
`

// service runs a gRPC server for the test: serve gets every call, with its method's name.
func service(t *testing.T, serve func(method string, stream grpc.ServerStream) error) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(stream)
		return serve(name[strings.LastIndexByte(name, '/')+1:], stream)
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return ln.Addr().String()
}

// echo answers each message with itself, and says what it got of metadata.
func echo(_ string, stream grpc.ServerStream) error {
	got, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SendHeader(metadata.Pairs("saw-key", strings.Join(got["idempotency-key"], ","), "saw-peer", strings.Join(got["x-sterling-peer"], ","))); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("sum-bin", "\x00\xff"))
	for {
		m := &wrapperspb.BytesValue{}
		if err := stream.RecvMsg(m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := stream.SendMsg(m); err != nil {
			return err
		}
	}
}

// grpcClient connects to the proxy's listener.
func grpcClient(t *testing.T, p *proxy.Proxy) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+p.Addr("in").String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("app"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// bidi opens a call with messages both ways.
func bidi(t *testing.T, ctx context.Context, cc *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	s, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/bank.Pay/"+method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func checkUnary(t *testing.T, cc *grpc.ClientConn, peer string) {
	t.Helper()
	var head, trailer metadata.MD
	ctx := metadata.AppendToOutgoingContext(within(t, 10*time.Second), "idempotency-key", "k1", "x-sterling-peer", "spiffe://bank/liar")
	out := &wrapperspb.BytesValue{}
	if err := cc.Invoke(ctx, "/bank.Pay/Echo", wrapperspb.Bytes([]byte("100")), out, grpc.Header(&head), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if string(out.Value) != "100" || fmt.Sprint(head["saw-key"], head["saw-peer"]) != fmt.Sprintf("[k1] [%s]", peer) || fmt.Sprintf("%q", trailer["sum-bin"]) != `["\x00\xff"]` {
		t.Errorf("got %q, head %v, trailers %v", out.Value, head, trailer)
	}
}

// checkStream sends messages one by one, each after the answer to the one before, and large ones at once.
func checkStream(t *testing.T, cc *grpc.ClientConn) {
	t.Helper()
	s := bidi(t, within(t, 20*time.Second), cc, "Echo")
	m := &wrapperspb.BytesValue{}
	for i := range 20 {
		m.Value = fmt.Append(nil, i)
		if err := s.SendMsg(m); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(m); err != nil || string(m.Value) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, m.Value, err)
		}
	}
	const large = 5
	sent := make(chan error, 1)
	go func() {
		for i := range large {
			if err := s.SendMsg(wrapperspb.Bytes([]byte(strings.Repeat(fmt.Sprint(i), 3<<20)))); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for i := range large {
		if err := s.RecvMsg(m); err != nil || string(m.Value) != strings.Repeat(fmt.Sprint(i), 3<<20) {
			t.Fatalf("large message %d: %d bytes, %v", i, len(m.Value), err)
		}
	}
	if err := errors.Join(<-sent); err != nil {
		t.Error(err)
	}
	if err := s.RecvMsg(m); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestGRPC(t *testing.T) {
	cc := grpcClient(t, start(t, proxy.Options{}, simpleGRPC, service(t, echo), "", ", max_body: 1000000000"))
	t.Run("unary", func(t *testing.T) { checkUnary(t, cc, idShop) })
	t.Run("stream", func(t *testing.T) { checkStream(t, cc) })
	t.Run("many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 300 {
			wg.Go(func() { checkUnary(t, cc, idShop) })
		}
		wg.Wait()
	})
}

func TestGRPCByMTLS(t *testing.T) {
	ca := newAuthority(t)
	inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, `
listeners: [{name: in, address: "127.0.0.1:0", mtls: true, allow: ["`+idShop+`"]}]
clusters: [{name: app, protocol: grpc, endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: app}], max_body: 1000000000}]
`, service(t, echo)).Addr("in").String()
	for _, tt := range []struct {
		name, peers string
		caller      string
		want        codes.Code
	}{
		{"both known", idPay, idShop, codes.OK},
		{"another endpoint", "spiffe://bank/cell/1/svc/ledger", idShop, codes.Unavailable},
		{"a caller that is not allowed", idPay, "spiffe://bank/cell/1/svc/other", codes.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outer := start(t, proxy.Options{Identity: ca.issue(hour(), tt.caller)}, `
listeners: [{name: in, address: "127.0.0.1:0", caller: "`+tt.caller+`"}]
clusters: [{name: pay, protocol: grpc, mtls: true, peers: ["%s"], endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: pay}], max_body: 1000000000}]
`, tt.peers, inner)
			cc := grpcClient(t, outer)
			if tt.want == codes.OK {
				checkUnary(t, cc, idShop)
				checkStream(t, cc)
				return
			}
			err := cc.Invoke(within(t, 10*time.Second), "/bank.Pay/Echo", wrapperspb.Bytes(nil), &wrapperspb.BytesValue{})
			if status.Code(err) != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}
