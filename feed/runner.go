package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	// cursorEvery is how long a cursor may be behind what was delivered: a crash repeats that much.
	cursorEvery = 100 * time.Millisecond
	// idleCursorEvery is the same where nothing was delivered, and the position moved on over what does not match.
	idleCursorEvery = 10 * time.Second
	// lastSave bounds the writing of a cursor when a sink is served no more.
	lastSave = 2 * time.Second
)

// Runner serves one sink: it reads the feed from the sink's cursor, delivers, and moves the cursor once the receiver has
// acknowledged. So nothing is left out, and a crash delivers a little twice.
type Runner struct {
	opts   SinkOptions
	feed   *Feed
	clock  clock.Clock
	logger *slog.Logger
	jitter func() float64 // in [0, 1)
	shelf  Shelf
	dead   *deadLetters

	serving sync.Mutex // held by run
	sending sync.Mutex // held during an attempt: the runner's own, or a redelivery

	saved   Position // on the shelf; owned by run, like the next two
	savedAt uint64   // clock.Mono
	unsaved bool     // something was delivered since

	mu     sync.Mutex
	status ledgerv1.Sink
	at     Position // delivered
	oldest uint64   // block time of the first event that is not delivered; 0: none is known
}

// run serves the sink until ctx ends. A sink that can't go on by itself says so in its status.
func (r *Runner) run(ctx context.Context) {
	r.serving.Lock() // the run before ends soon
	defer r.serving.Unlock()
	for ctx.Err() == nil {
		err := r.serve(ctx)
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return
		}
		r.trouble(ledgerv1.SinkState_SINK_STATE_STOPPED, "the sink waits", err)
		if clock.Sleep(ctx, r.clock, r.opts.LastPause) != nil {
			return
		}
	}
}

func (r *Runner) serve(ctx context.Context) error {
	if err := r.dead.load(ctx); err != nil {
		return err
	}
	start, err := r.start(ctx)
	if err != nil {
		return err
	}
	sub, err := r.feed.Subscribe(ctx, start, r.opts.Filter)
	if err != nil {
		return fmt.Errorf("go on after the cursor: %w", err)
	}
	defer sub.Close()
	r.moveTo(sub.Position())
	if err := r.save(ctx, sub.Position()); err != nil { // also where it is new: "from now" must not move with a restart
		return err
	}
	r.well()
	for {
		b, err := sub.Next(ctx)
		if err != nil {
			return errors.Join(err, r.saveLast(ctx))
		}
		if len(b.Events) > 0 {
			if err := r.deliver(ctx, &b); err != nil {
				return errors.Join(err, r.saveLast(ctx))
			}
			r.unsaved = true
		}
		r.moveTo(b.Resume)
		if r.due(b.Resume) {
			if err := r.save(ctx, b.Resume); err != nil {
				return err
			}
		}
	}
}

// start is after the cursor, or where a new sink starts.
func (r *Runner) start(ctx context.Context) (Start, error) {
	p, ok, err := readCursor(ctx, r.shelf, r.opts.Name)
	if err != nil || !ok {
		return r.opts.Start, err
	}
	r.saved = p
	return After(p), nil
}

// due tells whether the cursor has to be written now. Deliveries in a quick row share a write.
func (r *Runner) due(p Position) bool {
	age := time.Duration(r.clock.Mono() - r.savedAt) //nolint:gosec // small
	return p != r.saved && (age >= idleCursorEvery || r.unsaved && age >= cursorEvery)
}

func (r *Runner) save(ctx context.Context, p Position) error {
	if p == r.saved {
		return nil
	}
	if err := writeCursor(ctx, r.shelf, r.opts.Name, p); err != nil {
		return err
	}
	r.saved, r.savedAt, r.unsaved = p, r.clock.Mono(), false
	return nil
}

// saveLast saves what was delivered at the end of serving. If that can't be done soon, it is delivered again.
func (r *Runner) saveLast(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	return r.save(ctx, r.position())
}

// deliver returns nil once the events have arrived or are dead letters; otherwise nothing may pass them.
func (r *Runner) deliver(ctx context.Context, b *Batch) error {
	d := &Delivery{ID: deliveryID(b.Events[0].Position), Events: r.feed.Messages(b.Events), Resume: b.Resume}
	r.begin(b)
	for attempt := 1; ; attempt++ {
		err := r.attempt(ctx, d)
		if err == nil {
			r.arrived(b)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		state, pause := ledgerv1.SinkState_SINK_STATE_RETRYING, r.pause(attempt)
		if r.givesUp(attempt, err) {
			if !r.opts.Stop {
				given := r.dead.put(ctx, d, attempt, err, r.clock.Wall())
				if given == nil {
					r.logger.Error("a delivery was given up: it is a dead letter", "sink", r.opts.Name, "id", d.ID, "events", len(d.Events), "attempts", attempt, "error", err)
					r.arrived(nil)
					return nil
				}
				err = fmt.Errorf("%w, and it can't become a dead letter: %w", err, given)
			}
			state, pause = ledgerv1.SinkState_SINK_STATE_STOPPED, r.opts.LastPause
		}
		r.trouble(state, "a delivery did not succeed and is repeated", err)
		if err := clock.Sleep(ctx, r.clock, pause); err != nil {
			return err
		}
	}
}

func (r *Runner) givesUp(attempt int, err error) bool {
	var p permanent
	return errors.As(err, &p) || r.opts.Attempts > 0 && attempt >= r.opts.Attempts
}

// attempt sends once, in bounded time.
func (r *Runner) attempt(ctx context.Context, d *Delivery) error {
	r.sending.Lock()
	defer r.sending.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	return r.opts.Sink.Deliver(ctx, d)
}

// pause doubles with every attempt and varies by half, so that sinks that failed together don't return together.
func (r *Runner) pause(attempt int) time.Duration {
	p := min(r.opts.LastPause, r.opts.FirstPause<<min(attempt-1, 20))
	if p <= 0 {
		p = r.opts.LastPause
	}
	return p/2 + time.Duration(r.jitter()*float64(p/2))
}

func (r *Runner) position() Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *Runner) moveTo(p Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.oldest = p, 0
}

func (r *Runner) begin(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oldest = b.Events[0].BlockTime
}

// arrived counts a delivery; b is nil where it was given up.
func (r *Runner) arrived(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b != nil {
		r.status.Deliveries++
		r.status.Events += uint64(len(b.Events))
	}
	r.status.State, r.status.LastError = ledgerv1.SinkState_SINK_STATE_RUNNING, ""
}

func (r *Runner) well() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.State, r.status.LastError = ledgerv1.SinkState_SINK_STATE_RUNNING, ""
}

// trouble notes why a sink does not go on, and logs it when that is news.
func (r *Runner) trouble(state ledgerv1.SinkState, what string, err error) {
	r.mu.Lock()
	news := r.status.GetState() != state
	r.status.State, r.status.LastError = state, shortText(err)
	if state == ledgerv1.SinkState_SINK_STATE_RETRYING {
		r.status.Retries++
	}
	r.mu.Unlock()
	if news {
		r.logger.Warn(what, "sink", r.opts.Name, "error", err)
	}
}

// report returns the status of this moment.
func (r *Runner) report() *ledgerv1.Sink {
	head := r.feed.Head()
	now := r.clock.Wall()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &ledgerv1.Sink{
		Name: r.opts.Name, Kind: r.opts.Kind, State: r.status.GetState(), Deliveries: r.status.GetDeliveries(), Events: r.status.GetEvents(),
		Retries: r.status.GetRetries(), LastError: r.status.GetLastError(),
	}
	if r.at.Cell != 0 {
		s.Delivered = r.at.Message()
	}
	if next, _ := r.at.next(); head >= next {
		s.LagBlocks = head - next + 1
	}
	if r.oldest > 0 && now > r.oldest {
		s.LagSeconds = float64(now-r.oldest) / 1e9
	}
	n, bytes := r.dead.size()
	s.DeadLetters, s.DeadLetterBytes = uint64(n), uint64(bytes) //nolint:gosec // ≥ 0
	return s
}
