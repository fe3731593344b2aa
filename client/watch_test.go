package client_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// forgetful is a watch that takes observations, and breaks every stream after a few messages: now before it took one,
// now after, without having said so.
type forgetful struct {
	watchv1.UnimplementedWatchServiceServer
	mu      sync.Mutex
	taken   []uint64 // the times, which tests use as names
	breaks  int      // streams break after so many messages; 0: never
	streams int
	refuse  error // of every message with observations
	claims  uint64
}

func (f *forgetful) take(r *watchv1.ObserveRequest) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := uint64(len(f.taken))
	if len(r.GetObservations()) == 0 {
		return have + f.claims, nil
	}
	if f.refuse != nil {
		return have, f.refuse
	}
	if r.GetFirstSeq() > have+1 {
		return have, status.Error(codes.FailedPrecondition, "a gap")
	}
	for i, o := range r.GetObservations() {
		if r.GetFirstSeq()+uint64(i) > have {
			f.taken = append(f.taken, o.GetTime())
		}
	}
	return uint64(len(f.taken)), nil
}

func (f *forgetful) ObserveBatch(_ context.Context, r *watchv1.ObserveBatchRequest) (*watchv1.ObserveBatchResponse, error) {
	through, err := f.take(r.GetBatch())
	return &watchv1.ObserveBatchResponse{Result: &watchv1.ObserveResponse{ThroughSeq: through}}, err
}

func (f *forgetful) Observe(stream grpc.BidiStreamingServer[watchv1.ObserveRequest, watchv1.ObserveResponse]) error {
	f.mu.Lock()
	f.streams++
	late := f.streams%2 == 0
	f.mu.Unlock()
	for n := 1; ; n++ {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		end := f.breaks > 0 && n == f.breaks
		if end && !late {
			return status.Error(codes.Unavailable, "gone before")
		}
		through, err := f.take(r)
		if err != nil {
			return err
		}
		if end {
			return status.Error(codes.Unavailable, "gone after")
		}
		if err := stream.Send(&watchv1.ObserveResponse{ThroughSeq: through}); err != nil {
			return err
		}
	}
}

func serveWatch(t *testing.T, f *forgetful) (address string) {
	t.Helper()
	return serveAll(t, func(server *grpc.Server) { watchv1.RegisterWatchServiceServer(server, f) })
}

func seen(n uint64) *client.Observation { return &client.Observation{Time: n} }

// TestAnObserverOutlivesItsStreams: everything arrives once and in order, although most streams break.
func TestAnObserverOutlivesItsStreams(t *testing.T) {
	f := &forgetful{taken: []uint64{1, 2, 3}, breaks: 5}
	c := dial(t, serveWatch(t, f))
	o, err := c.Observe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if o.Next() != 4 || o.Through() != 3 {
		t.Fatalf("begins at %d after %d", o.Next(), o.Through())
	}
	const last = 3000
	for n := uint64(4); n <= last; n++ {
		if err := o.Send(t.Context(), seen(n)); err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 { // so that there are many messages
			if err := o.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if o.Through() != last || o.Next() != last+1 {
		t.Errorf("through %d, next %d", o.Through(), o.Next())
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := o.Send(t.Context(), seen(1)); !errors.Is(err, client.ErrObserverClosed) {
		t.Errorf("after the end: %v", err)
	}
	for i, n := range f.taken {
		if n != uint64(i+1) {
			t.Fatalf("%d. is %d", i+1, n)
		}
	}
	if len(f.taken) != last || f.streams < 5 {
		t.Errorf("%d taken over %d streams", len(f.taken), f.streams)
	}
}

func TestAnObserverSendsMuchAtOnce(t *testing.T) {
	f := &forgetful{}
	c := dial(t, serveWatch(t, f))
	o, err := c.Observe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	list := make([]*client.Observation, 120_000) // more than the window
	for i := range list {
		list[i] = seen(uint64(i + 1))
	}
	if err := errors.Join(o.Send(t.Context(), list...), o.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(f.taken) != len(list) || f.taken[119_999] != 120_000 {
		t.Errorf("%d taken", len(f.taken))
	}
}

func TestAnObserverStopsWhereItIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		refuse error
		says   string
	}{
		"malformed": {status.Error(codes.InvalidArgument, "observations[0].key: is missing"), "observe orders: rpc error: code = InvalidArgument desc = observations[0].key: is missing"},
		"gone":      {status.Error(codes.Unavailable, "down"), "down"},
	} {
		f := &forgetful{refuse: c.refuse}
		o, err := dial(t, serveWatch(t, f), client.WithPatience(200*time.Millisecond)).Observe(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Send(t.Context(), seen(1)); err != nil {
			t.Fatal(err)
		}
		if err := o.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err := o.Send(t.Context(), seen(2)); err == nil {
			t.Errorf("%s: goes on", name)
		}
		if err := o.Close(); err == nil {
			t.Errorf("%s: ended well", name)
		}
	}
}

// TestASourceHasOneObserver: what the server has taken from elsewhere is told, not overwritten.
func TestASourceHasOneObserver(t *testing.T) {
	f := &forgetful{breaks: 2}
	o, err := dial(t, serveWatch(t, f)).Observe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	f.mu.Lock()
	f.claims = 7
	f.mu.Unlock()
	if err := o.Send(t.Context(), seen(1)); err != nil && !strings.Contains(err.Error(), "another observer") {
		t.Fatal(err)
	}
	if err := o.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "the source has another observer") {
		t.Errorf("%v", err)
	}
}

func TestAnObserverWithoutAServer(t *testing.T) {
	c := dial(t, "127.0.0.1:1", client.WithPatience(50*time.Millisecond))
	if _, err := c.Observe(t.Context(), "orders"); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// starting is a watch that is not ready for its first calls, and then refuses one for good.
type starting struct {
	watchv1.UnimplementedWatchServiceServer
	answers []error // one a call
	calls   int
}

func (s *starting) GetProof(context.Context, *watchv1.GetProofRequest) (*watchv1.GetProofResponse, error) {
	s.calls++
	return &watchv1.GetProofResponse{SafeThrough: 7}, s.answers[s.calls-1]
}

// TestTheWatchStarts: a question is asked again until the watch has started, and no longer than that.
func TestTheWatchStarts(t *testing.T) {
	soon := reason(t, codes.Unavailable, ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED)
	down := reason(t, codes.Unavailable, ledgerv1.ErrorReason_ERROR_REASON_WATCH_DOWN)
	s := &starting{answers: []error{soon, soon, nil, soon, down, nil}}
	c := dial(t, serveAll(t, func(server *grpc.Server) { watchv1.RegisterWatchServiceServer(server, s) }))
	r, err := c.Watch().GetProof(t.Context(), &watchv1.GetProofRequest{})
	if err != nil || r.GetSafeThrough() != 7 || s.calls != 3 {
		t.Errorf("%v, %v after %d calls", r, err, s.calls)
	}
	if _, err = c.Watch().GetProof(t.Context(), &watchv1.GetProofRequest{}); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_WATCH_DOWN || s.calls != 5 {
		t.Errorf("%v after %d calls", err, s.calls)
	}
}
