package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// Observation is one thing that a source saw, for the watch.
type Observation = watchv1.Observation

// Watch returns the generated client of the watch. It repeats only what the server has not begun, see [WithPatience].
func (c *Client) Watch() watchv1.WatchServiceClient {
	return watchv1.NewWatchServiceClient(patient{c})
}

// patient is a connection that sends a call again while the server says that it did nothing with it and may in a while,
// such as a watch that is starting.
type patient struct{ c *Client }

// Invoke implements [grpc.ClientConnInterface].
func (p patient) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx, cancel := p.c.policy.bound(ctx)
	defer cancel()
	pause := p.c.policy.first
	for attempts := 1; ; attempts++ {
		err := p.c.conn().Invoke(ctx, method, args, reply, opts...)
		if err == nil || p.c.policy.patience == 0 || !surelyRefused(err) || !passing(err) {
			return err
		}
		if !wait(ctx, pause, err) {
			return gaveUp(ctx, err, attempts)
		}
		pause = min(2*pause, p.c.policy.longest)
	}
}

// NewStream implements [grpc.ClientConnInterface]: one attempt.
func (p patient) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return p.c.conn().NewStream(ctx, desc, method, opts...)
}

const (
	observeWindow  = 50_000  // observations that are sent and not yet durable, of one source
	observeMessage = 5_000   // observations of one message
	observeBytes   = 1 << 20 // of one message, about
)

// ErrObserverClosed is what an observer answers after its end.
var ErrObserverClosed = errors.New("the observer is closed")

// Observer sends what one source saw, in the source's own order. It numbers the observations, keeps what the server has
// not yet confirmed, and sends that again where the connection was lost: nothing is lost or counted twice while it
// lives. Where the program itself may end, keep what was seen until [Observer.Through] has passed it, and go on at
// [Observer.Next]. A source has one observer at a time.
type Observer struct {
	client *Client
	source string
	cancel context.CancelFunc
	done   chan struct{} // closed when the sending has ended; err is set

	mu      sync.Mutex
	through uint64         // confirmed
	window  []*Observation // those after through
	changed chan struct{}  // closed and made anew when any of this changes
	closing bool
	err     error
}

// Observe begins to send for a source, where the server says that it has got to. ctx bounds that first question only;
// end the observer with Close.
func (c *Client) Observe(ctx context.Context, source string) (*Observer, error) {
	r, err := read(ctx, c, "observe "+source, func(ctx context.Context) (*watchv1.ObserveBatchResponse, error) {
		return c.Watch().ObserveBatch(ctx, &watchv1.ObserveBatchRequest{Batch: &watchv1.ObserveRequest{Source: source}})
	})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o := &Observer{
		client: c, source: source, cancel: cancel, done: make(chan struct{}), through: r.GetResult().GetThroughSeq(), changed: make(chan struct{}),
	}
	go o.run(running)
	return o, nil
}

// Next is the number of the next observation that is sent.
func (o *Observer) Next() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.through + uint64(len(o.window)) + 1
}

// Through is the number up to which all observations are durable.
func (o *Observer) Through() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.through
}

// Send hands observations over, and waits while too many are not confirmed. It keeps them until they are; don't change
// them. An error other than ctx's ends the observer: the server refused something, or was gone for longer than the
// patience of the client.
func (o *Observer) Send(ctx context.Context, list ...*Observation) error {
	for len(list) > 0 {
		o.mu.Lock()
		if err := o.stopped(); err != nil {
			o.mu.Unlock()
			return err
		}
		n := min(len(list), observeWindow-len(o.window))
		o.window = append(o.window, list[:n]...)
		list = list[n:]
		changed := o.change(n > 0)
		o.mu.Unlock()
		if n == 0 {
			select {
			case <-changed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// Flush waits until all that was sent is durable.
func (o *Observer) Flush(ctx context.Context) error {
	for {
		o.mu.Lock()
		left, err, changed := len(o.window), o.err, o.changed
		o.mu.Unlock()
		switch {
		case err != nil:
			return err
		case left == 0:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends the observer at once: what was not confirmed may be durable or not. Flush first. The error is the one that
// ended it before.
func (o *Observer) Close() error {
	o.mu.Lock()
	o.closing = true
	o.mu.Unlock()
	o.cancel()
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(o.err, ErrObserverClosed) {
		return nil
	}
	return o.err
}

func (o *Observer) stopped() error {
	if o.err == nil && o.closing {
		return ErrObserverClosed
	}
	return o.err
}

// change wakes those who wait, if anything did change, and returns what to wait for. It is called with the lock.
func (o *Observer) change(really bool) <-chan struct{} {
	if really {
		close(o.changed)
		o.changed = make(chan struct{})
	}
	return o.changed
}

// run sends until it is canceled, refused, or the server is gone for too long.
func (o *Observer) run(ctx context.Context) {
	defer close(o.done)
	policy := o.client.policy
	pause, since := policy.first, time.Now()
	for {
		before := o.Through()
		answered, err := o.stream(ctx)
		if answered && (o.Through() > before || o.Next() == o.Through()+1) { // it took something, or there was nothing to take
			pause, since = policy.first, time.Now()
		}
		err = fmt.Errorf("observe %s: %w", o.source, err)
		if ctx.Err() != nil {
			err = ErrObserverClosed
		}
		if ctx.Err() != nil || time.Since(since) >= policy.patience || !passing(err) || !wait(ctx, pause, err) {
			o.mu.Lock()
			o.err = err
			o.change(true)
			o.mu.Unlock()
			return
		}
		pause = min(2*pause, policy.longest)
	}
}

// stream sends over one stream until that ends.
func (o *Observer) stream(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := o.client.Watch().Observe(ctx)
	if err != nil {
		return false, err
	}
	// What was sent before may be durable: the server says from where to go on.
	if err := s.Send(&watchv1.ObserveRequest{Source: o.source}); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	r, err := s.Recv()
	if err != nil {
		return false, ended(err)
	}
	if err := o.confirm(r.GetThroughSeq()); err != nil {
		return true, err
	}
	received := make(chan error, 1)
	go func() { // ends with the stream
		for {
			r, err := s.Recv()
			if err == nil {
				err = o.confirm(r.GetThroughSeq())
			}
			if err != nil {
				cancel()
				received <- ended(err)
				return
			}
		}
	}()
	o.sendAll(ctx, s)
	cancel()
	return true, <-received
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errStreamEnded
	}
	return err
}

// sendAll sends what comes into the window until ctx ends or the stream takes no more.
func (o *Observer) sendAll(ctx context.Context, s watchv1.WatchService_ObserveClient) {
	sent := o.Through()
	for {
		o.mu.Lock()
		changed := o.changed
		sent = max(sent, o.through)
		request := &watchv1.ObserveRequest{Source: o.source, FirstSeq: sent + 1, Observations: message(o.window[sent-o.through:])}
		o.mu.Unlock()
		if n := len(request.GetObservations()); n > 0 {
			if s.Send(request) != nil { // Recv says why
				return
			}
			sent += uint64(n)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// message returns as many observations from the beginning as one message may have.
func message(list []*Observation) []*Observation {
	size := 0
	for i, x := range list {
		if size += proto.Size(x); i > 0 && (i == observeMessage || size > observeBytes) {
			return list[:i:i]
		}
	}
	return list[:len(list):len(list)]
}

// confirm takes the server's word on what is durable. A server that has less than it confirmed is another one, or was
// restored from before: what it lacks is gone here.
func (o *Observer) confirm(through uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case through < o.through:
		return fmt.Errorf("source %s: the server has taken %d observations, and confirmed %d before: it lost some, send them anew", o.source, through, o.through)
	case through-o.through > uint64(len(o.window)):
		return fmt.Errorf("source %s: the server has taken %d observations, of which %d were not sent from here: the source has another observer",
			o.source, through, through-o.through-uint64(len(o.window)))
	}
	o.window = o.window[through-o.through:]
	o.through = through
	o.change(true)
	return nil
}
