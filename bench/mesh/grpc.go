package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcConnections carry all calls of a measurement: gRPC clients have few connections with many streams.
const grpcConnections = 4

// grpcCall is the method that is called, with 128 bytes; 256 come back.
const grpcCall = "/bank.v1.Payments/Pay"

// serveGRPC answers every call with the same message, at an address it writes to standard output.
func serveGRPC(address string) error {
	ln, err := announce(address)
	if err != nil {
		return err
	}
	answer := wrapperspb.Bytes(make([]byte, 256))
	s, err := server(grpc.MaxConcurrentStreams(1000), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&wrapperspb.BytesValue{}); err != nil {
			return err
		}
		return stream.SendMsg(answer)
	}))
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// grpcClients are the connections of a measurement.
type grpcClients struct {
	list []*grpc.ClientConn
	next atomic.Uint32
}

func dialGRPC(target string, options ...grpc.DialOption) (*grpcClients, error) {
	c := &grpcClients{}
	for range grpcConnections {
		cc, err := grpc.NewClient(target, options...)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("connect to %s: %w", target, err)
		}
		c.list = append(c.list, cc)
	}
	return c, nil
}

func (c *grpcClients) close() {
	for _, cc := range c.list {
		_ = cc.Close() // its calls are over
	}
}

// call makes a call.
func (c *grpcClients) call(ctx context.Context, cc *grpc.ClientConn) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", "01929b2e-5c3f-7c1a-9d5e-1b2c3d4e5f60", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return cc.Invoke(ctx, grpcCall, wrapperspb.Bytes(make([]byte, 128)), &wrapperspb.BytesValue{})
}

// one makes calls one after the other until end.
func (c *grpcClients) one(end time.Time) (took []int64, err error) {
	cc := c.list[c.next.Add(1)%grpcConnections]
	ctx, cancel := context.WithDeadline(context.Background(), end.Add(5*time.Second))
	defer cancel()
	for {
		start := time.Now()
		if start.After(end) {
			return took, nil
		}
		if err := c.call(ctx, cc); err != nil {
			return took, err
		}
		took = append(took, int64(time.Since(start)))
	}
}

// haproxyGRPC is HAProxy with HTTP/2 on both sides.
func (f *fleet) haproxyGRPC(to string) (string, []int, error) {
	path, err := find("haproxy")
	if err != nil {
		return "", nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	config, err := f.file("haproxy.cfg", fmt.Sprintf(`global
 maxconn 5000
defaults
 mode http
 timeout connect 2s
 timeout client 60s
 timeout server 60s
frontend in
 bind %s proto h2
 default_backend app
backend app
 http-reuse always
 server app %s proto h2
`, address, to))
	if err != nil {
		return "", nil, err
	}
	pid, err := f.start(exec.Command(path, "-q", "-db", "-f", config))
	if err != nil {
		return "", nil, err
	}
	return address, []int{pid}, waitFor(address)
}

// nginxGRPC is nginx with grpc_pass, in one process. A package without that module can't be measured.
func (f *fleet) nginxGRPC(to string) (string, []int, error) {
	path, err := find("nginx")
	if err != nil {
		return "", nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	config, err := f.file("nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx-grpc.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
 access_log off; keepalive_requests 1000000000; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
 upstream app { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
 server { listen %[2]s http2; location / { grpc_pass grpc://app; } }
}
`, f.dir, address, to))
	if err != nil {
		return "", nil, err
	}
	if out, err := exec.Command(path, "-t", "-q", "-c", config).CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("%w: nginx refuses grpc_pass: %s", exec.ErrNotFound, out)
	}
	pid, err := f.start(exec.Command(path, "-c", config))
	if err != nil {
		return "", nil, err
	}
	return address, []int{pid}, waitFor(address)
}

// sterlingGRPC is our proxy with HTTP/2 on both sides, and what a route for money has.
func (f *fleet) sterlingGRPC(to string) (string, []int, error) {
	config, err := f.file("proxy.yaml", fmt.Sprintf(`listeners: [{name: in, address: "127.0.0.1:0", caller: "%s"}]
clusters: [{name: app, protocol: grpc, adaptive: true, endpoints: [{address: "%s"}]}]
routes: [{name: pay, match: {hosts: [pay.bank.example], prefix: /bank.v1.Payments}, money: true, priority: pay, retry: {attempts: 2}, timeout: 5s, backends: [{cluster: app}]}]
`, meshID, to))
	if err != nil {
		return "", nil, err
	}
	address, err := f.self("proxy", config)
	return address, []int{f.last()}, err
}
