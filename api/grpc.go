package api

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
	"github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1/watchv1connect"
)

// streamWorkers are kept for calls; more at the same time than these get goroutines of their own.
const streamWorkers = 256

// window is how much of requests may be on its way, bytes, of a call and of a connection. It is fixed: to find a better one,
// gRPC would ping the client at nearly every small request, before it answers, and both would read and write twice.
const window = 1 << 20

// A client that is silent for so long is asked whether it is still there.
const probeAfter, probeTimeout = 2 * time.Minute, 20 * time.Second

func (s *Server) newGRPC(methods map[string]*method, alive keepalive.ServerParameters) *grpc.Server {
	limits := s.config.Limits
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(&grpcCodec{server: s, messages: encoding.GetCodecV2(grpcproto.Name)}),
		grpc.MaxRecvMsgSize(limits.Message),
		grpc.MaxConcurrentStreams(uint32(limits.Streams)),  //nolint:gosec // small
		grpc.MaxHeaderListSize(uint32(limits.HeaderBytes)), //nolint:gosec // small
		grpc.Creds(dealt{}),
		grpc.ConnectionTimeout(limits.Header), // the HTTP/2 handshake
		grpc.KeepaliveParams(alive),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.InTapHandle(s.bound),
		// A goroutine for each call would grow its stack in each call: 11 % of the processor under single transfers.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
	)
	services := map[string]*grpc.ServiceDesc{}
	for _, m := range methods {
		service, name := splitPath(m.path)
		desc := services[service]
		if desc == nil {
			desc = &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)}
			services[service] = desc
		}
		switch {
		case m.path == ledgerv1connect.LedgerServiceCreateTransfersStreamProcedure:
			desc.Streams = append(desc.Streams, grpc.StreamDesc{
				StreamName: name, ServerStreams: true, ClientStreams: true, Handler: s.streamHandler(m),
			})
		case m.feed:
			desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: s.feedHandler(m)})
		case m.observe:
			desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true, Handler: s.observeHandler(m)})
		case m.hot != nil:
			desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: s.hotHandler(m)})
		default:
			desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: s.coldHandler(m)})
		}
	}
	for _, desc := range services {
		server.RegisterService(desc, s)
	}
	return server
}

// splitPath cuts /service/method.
func splitPath(path string) (service, name string) {
	service, name, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return service, name
}

// bound gives every unary call a deadline, so that a client which never sends the
// rest of a message, or never reads the answer, does not hold a stream for ever.
func (s *Server) bound(ctx context.Context, info *tap.Info) (context.Context, error) {
	switch info.FullMethodName {
	case ledgerv1connect.LedgerServiceCreateTransfersStreamProcedure, ledgerv1connect.FeedServiceSubscribeProcedure,
		watchv1connect.WatchServiceObserveProcedure:
		return ctx, nil
	}
	limit := wall(s.config.Clock).Add(s.config.Limits.Answer)
	if own, ok := ctx.Deadline(); ok && own.Before(limit) {
		return ctx, nil
	}
	bounded, cancel := context.WithDeadline(ctx, limit)
	return boundedContext{bounded, cancel}, nil
}

// boundedContext keeps its cancel function: grpc-go cancels the parent when the
// call ends, which frees the timer.
type boundedContext struct {
	context.Context
	_ context.CancelFunc
}

// hotHandler admits a call before its message is read.
func (s *Server) hotHandler(m *method) grpc.MethodHandler {
	return func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		c := s.take(m)
		began := c.began
		err := s.grpcCall(ctx, c, dec)
		if f := s.end(m, &c.principal, &c.visitor, began, c, err); f != nil {
			s.give(c)
			return nil, f.grpc()
		}
		return c, nil // the codec writes it and gives it back
	}
}

func (s *Server) grpcCall(ctx context.Context, c *call, dec func(any) error) (err error) {
	c.visitor = grpcVisitor(ctx)
	if c.principal, err = s.admit(c.method, &c.visitor); err != nil {
		return err
	}
	if err := dec(c); err != nil {
		return err
	}
	return s.serve(ctx, c)
}

func (s *Server) coldHandler(m *method) grpc.MethodHandler {
	return func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		began := s.config.Clock.Mono()
		var response any
		v := grpcVisitor(ctx)
		p, err := s.admit(m, &v)
		if err == nil {
			err = s.begin(m, &p, &v)
		}
		if err == nil {
			err = s.protect(m, func() (err error) {
				response, err = m.cold.serve(s, ctx, p, func(v proto.Message) error { return dec(v) })
				return err
			})
		}
		if f := s.end(m, &p, &v, began, nil, err); f != nil {
			return nil, f.grpc()
		}
		return response, nil
	}
}

// streamHandler serves CreateTransfersStream: every message on a goroutine of its
// own, so many at once as the limit says. The first error ends the stream.
func (s *Server) streamHandler(m *method) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		v := grpcVisitor(stream.Context())
		p, err := s.admit(m, &v)
		if err != nil {
			return s.end(m, &p, &v, s.config.Clock.Mono(), nil, err).grpc()
		}
		ctx, cancel := context.WithCancelCause(stream.Context())
		w := &streamWorker{
			server: s, method: m, stream: stream, visitor: v, cancel: cancel,
			slots: make(chan struct{}, s.config.Limits.InFlight),
		}
		var watching sync.WaitGroup
		watching.Go(func() { s.watchStream(m, &v, ctx.Done(), cancel) })
		defer watching.Wait()
		defer cancel(nil)
		received := make(chan error, 1)
		go func() { received <- w.receive(ctx) }() // ends at the latest when this handler has returned
		select {
		case err = <-received:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		for range cap(w.slots) { // until every message was answered or given up
			w.slots <- struct{}{}
		}
		if cause := context.Cause(ctx); err == nil && cause != nil {
			err = cause
		}
		if f := (*fault)(nil); errors.As(err, &f) {
			return f.grpc()
		}
		return err
	}
}

// streamWorker is one stream.
type streamWorker struct {
	server  *Server
	method  *method
	stream  grpc.ServerStream
	visitor visitor
	cancel  context.CancelCauseFunc
	slots   chan struct{} // one per message that is worked on
	sending sync.Mutex
}

// receive starts work on messages until the client ends the stream.
func (w *streamWorker) receive(ctx context.Context) error {
	for {
		c := w.server.take(w.method)
		if err := w.stream.RecvMsg(c); err != nil {
			w.server.give(c)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if ctx.Err() != nil {
			<-w.slots
			return ctx.Err()
		}
		c.visitor, c.began = w.visitor, w.server.config.Clock.Mono()
		go func() {
			w.answer(ctx, c)
			<-w.slots
		}()
	}
}

// answer serves one message. The token is verified again: a stream may outlive
// it.
func (w *streamWorker) answer(ctx context.Context, c *call) {
	var err error
	c.principal, err = w.server.admit(w.method, &c.visitor)
	if err == nil {
		err = w.server.serve(ctx, c)
	}
	if f := w.server.end(w.method, &c.principal, &c.visitor, c.began, c, err); f != nil {
		w.server.give(c)
		w.cancel(f)
		return
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	if err := w.stream.SendMsg(c); err != nil {
		w.cancel(err)
	}
}

// wireBatch is a response that is encoded already.
type wireBatch struct{ wire []byte }

// grpcCodec reads and writes hot calls by itself and everything else as messages.
type grpcCodec struct {
	server   *Server
	messages encoding.CodecV2
}

// Name returns the name that stands in the content type.
func (*grpcCodec) Name() string { return grpcproto.Name }

// Unmarshal reads a request. What is wrong with a hot call's is kept in the call.
func (k *grpcCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c, ok := v.(*call)
	if !ok {
		return k.messages.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	k.server.decode(c, buf.ReadOnlyData(), c.method.hot.readWire)
	return nil
}

// Marshal writes a response. A hot call ends here.
func (k *grpcCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch b := v.(type) {
	case *wireBatch:
		return mem.BufferSlice{mem.SliceBuffer(b.wire)}, nil
	case *feed.WireBatch: // its parts are shared and never change: they are not copied together
		parts := make(mem.BufferSlice, len(b.Wire))
		for i := range b.Wire {
			parts[i] = mem.SliceBuffer(b.Wire[i])
		}
		return parts, nil
	}
	c, ok := v.(*call)
	if !ok {
		return k.messages.Marshal(v)
	}
	defer k.server.give(c)
	var out []byte
	err := k.server.protect(c.method, func() (err error) {
		out, err = c.method.hot.writeWire(k.server, c, make([]byte, 0, c.sizeHint()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(out)}, nil
}

// sizeHint is about what the response takes.
func (c *call) sizeHint() int {
	return 32 + 18*len(c.reply.Results) + 160*(len(c.reply.Accounts)+len(c.reply.Transfers))
}
