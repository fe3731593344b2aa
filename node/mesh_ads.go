package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// How long a node waits before it asks a control plane again that went away.
const (
	meshRetryFirst = 250 * time.Millisecond
	meshRetryMost  = 5 * time.Second
)

// followConfig takes configurations from the control plane until ctx ends. While it is away, the last one counts.
func (s *sidecar) followConfig(ctx context.Context) {
	pause := meshRetryFirst
	for {
		got, err := s.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if got {
			pause = meshRetryFirst
		}
		if s.disconnected(err) {
			s.log.Warn("the control plane does not answer: the configuration stays as it is", "control", s.node.config.Control, "error", err)
		}
		if clock.Sleep(ctx, s.node.clock, pause) != nil {
			return
		}
		pause = min(2*pause, meshRetryMost)
	}
}

// dialControl connects as the kernel or the workload's certificate says who we are.
func (s *sidecar) dialControl() (*grpc.ClientConn, error) {
	if s.node.socket != "" {
		return grpc.NewClient("unix:"+s.node.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return grpc.NewClient("passthrough:///"+s.node.config.Control, grpc.WithTransportCredentials(credentials.NewTLS(control.ClientTLS(s.folder))))
}

// name is the data plane's.
func (s *sidecar) name() string { return s.id.String() + "#" + s.node.config.Name }

// followOnce is one connection's life; got tells whether anything came.
func (s *sidecar) followOnce(ctx context.Context) (got bool, err error) {
	conn, err := s.dialControl()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // the stream said all there is
	ctx, cancel := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	defer reporting.Wait()
	defer cancel()
	reporting.Go(func() { s.report(ctx, conn) })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return false, err
	}
	request := &discovery.DiscoveryRequest{
		TypeUrl: control.SidecarType, ResourceNames: []string{s.id.String()},
		Node: &core.Node{Id: s.name(), UserAgentName: control.SidecarAgent},
	}
	for {
		if err := stream.Send(request); err != nil {
			_, err = stream.Recv() // which knows why
			return got, err
		}
		response, err := stream.Recv()
		if err != nil {
			return got, err
		}
		got = true
		s.connected()
		request = &discovery.DiscoveryRequest{
			TypeUrl: control.SidecarType, ResourceNames: request.GetResourceNames(), VersionInfo: response.GetVersionInfo(), ResponseNonce: response.GetNonce(),
		}
		if err := s.takeResponse(response); err != nil {
			request.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
		}
	}
}

func (s *sidecar) takeResponse(r *discovery.DiscoveryResponse) error {
	if len(r.GetResources()) == 0 {
		return nil // this control plane knows nothing of us: what we have stays
	}
	var config wrapperspb.BytesValue
	if len(r.GetResources()) != 1 || r.GetResources()[0].UnmarshalTo(&config) != nil {
		return errors.New("want one configuration")
	}
	if err := s.take(config.GetValue(), r.GetVersionInfo()); err != nil {
		return fmt.Errorf("use the configuration: %w", err)
	}
	return nil
}
