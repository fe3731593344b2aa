package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/watch"
)

// Log is where blocks are read from; a cell.Log is one.
type Log interface {
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
}

// Ledger is what is watched. [cell.Cell] is one.
type Ledger interface {
	// Head is the sequence number of the last block that is durable and acknowledged.
	Head() uint64
	// ReadAfter calls fn with a moment between two blocks and the state of it, and returns once the block is durable.
	ReadAfter(ctx context.Context, fn func(m cell.Moment, s *ledger.State)) error
	// Do journals a request; see cell.Cell.
	Do(ctx context.Context, r *cell.Request) error
}

// Engine is what a monitor runs; [watch.Engine] is one. Its methods are called by one goroutine.
type Engine interface {
	Block(raw []byte)
	Observe(source string, list []watch.Observation)
	Tick(now, head, horizon uint64)
	Compare(seq uint64, accounts []watch.AccountBalance)
	Decide(d watch.Decision) error
	Frozen(id watch.ID, failure string)
	Effects(dst []watch.Effect) []watch.Effect
	Proof() watch.Proof
	Sources() []watch.SourceState
	Statement() watch.Statement
	Account(id watch.ID) (watch.AccountBalance, bool)
	Snapshot(w io.Writer) error
}

// Engines makes engines. The zero Options use package watch; tests bring others.
type Engines interface {
	Parse(name string, text []byte) (*watch.Flow, error)
	New(o watch.Options) (Engine, error)
	Restore(r io.Reader, o watch.Options) (Engine, error)
}

// Alerts tells people. Notify takes a list over and never waits.
type Alerts interface{ Notify(list []watch.Alert) }

// Options of a monitor. Dir, Log, Ledger, Clock are required.
type Options struct {
	Dir    string
	Cell   uint64
	Log    Log
	Ledger Ledger
	// Moments is how often the ledger is asked for a moment; 0: 100 ms. On a journal that other nodes reach, each one is
	// a block.
	Moments time.Duration
	Clock   clock.Clock

	Flows    []watch.Definition
	StopLoss watch.StopLoss
	Transit  time.Duration // how long money may be in transit between cells; 0: 30 s

	FS      vfs.FS       // nil: the disk
	Logger  *slog.Logger // nil: nowhere
	Alerts  Alerts       // nil: nobody
	Engines Engines      // nil: those of package watch
	// FreezeTook is told how long a freeze took from the alarm until it was journaled; may be nil.
	FreezeTook func(time.Duration)
	// HashKey spreads ids in the engine's memory: random, so that nobody can choose ids that slow it down.
	HashKey uint64
	// CheckpointEvents is after how many events the state is saved; 0: 4 million.
	CheckpointEvents uint64
}

// Errors of a monitor, beside those of package watch.
var (
	// ErrTooLarge are observations beyond the bounds of the API.
	ErrTooLarge = errors.New("too large")
	// ErrFlows are flows that can't be used.
	ErrFlows = errors.New("the flows can't be used")
	errEnded = errors.New("the monitor is closed")
)

// Monitor runs watch beside one ledger. Its methods are safe for concurrent use.
type Monitor struct {
	opts     Options
	settings settings
	lock     io.Closer
	tail     tail
	wake     chan struct{} // to the loop: look again
	inbox    inbox
	view     atomic.Pointer[view]    // never nil
	durable  atomic.Pointer[view]    // the newest that survives a crash; never nil
	session  atomic.Pointer[session] // nil: none runs
	failure  atomic.Pointer[error]   // why none runs
	alarms   alarms

	stop    context.CancelFunc
	running sync.WaitGroup
}

// settings are what the engine's answers depend on besides its inputs. A change of them is an input itself.
type settings struct {
	Flows    []watch.Definition `json:"flows"`
	StopLoss watch.StopLoss     `json:"stop_loss"`
	Transit  uint64             `json:"transit_deadline,omitempty"` // ns; 0: the engine's own
}

// check makes an engine of the settings, to tell what is wrong with them.
func (s *settings) check(engines Engines) error {
	o := watch.Options{StopLoss: s.StopLoss}
	for _, d := range s.Flows {
		f, err := engines.Parse(d.Name, []byte(d.Text))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFlows, err)
		}
		o.Flows = append(o.Flows, f)
	}
	if _, err := engines.New(o); err != nil {
		return fmt.Errorf("%w: %w", ErrFlows, err)
	}
	return nil
}

// Check says what is wrong with flows and a stop-loss together: ErrFlows.
func Check(flows []watch.Definition, loss watch.StopLoss) error {
	return (&settings{Flows: flows, StopLoss: loss}).check(Watch{})
}

func (s *settings) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("monitor: encode settings: %v", err)) // they are texts and numbers
	}
	return b
}

// Open starts a monitor. It fails only where the flows can't be used (ErrFlows) or the folder can't be had; everything
// else that goes wrong, now or later, is logged and told by Stats, and tried again. What was recorded before is read in
// the background.
func Open(ctx context.Context, o Options) (*Monitor, error) {
	o.defaults()
	m := &Monitor{opts: o, settings: settings{o.Flows, o.StopLoss, uint64(max(o.Transit, 0))}, wake: make(chan struct{}, 1)}
	m.inbox.init(m.poke)
	m.alarms.init(o.Alerts, o.Clock)
	empty := &view{proof: watch.Proof{Reason: "the watch is starting"}}
	m.view.Store(empty)
	m.durable.Store(empty)
	if err := m.settings.check(o.Engines); err != nil {
		return nil, err
	}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the watch's folder: %w", err)
	}
	var err error
	if m.lock, err = o.FS.Lock(o.FS.PathJoin(o.Dir, "LOCK")); err != nil {
		return nil, fmt.Errorf("lock the watch's folder %s (is another process using it?): %w", o.Dir, err)
	}
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.running.Add(1)
	go m.supervise(ctx)
	return m, nil
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Engines == nil {
		o.Engines = Watch{}
	}
	if o.FreezeTook == nil {
		o.FreezeTook = func(time.Duration) {}
	}
	if o.Moments == 0 {
		o.Moments = tickPause
	}
	if o.CheckpointEvents == 0 {
		o.CheckpointEvents = 4_000_000
	}
}

// Close saves the state and ends the monitor. Whoever waits gets watch.ErrDown.
func (m *Monitor) Close() error {
	m.stop()
	m.running.Wait()
	m.inbox.refuse(errEnded)
	return m.lock.Close()
}

// OnBlock tells of a durable, acknowledged block; the cell's writer calls it in order. It copies the block, and never
// waits.
func (m *Monitor) OnBlock(seq uint64, raw []byte) {
	m.tail.add(seq, raw)
	m.poke()
}

func (m *Monitor) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// abandonedAtMost is how many databases that could not be closed may be left behind: each keeps its memory.
	abandonedAtMost = 8
)

// supervise runs one session after the other until ctx ends.
func (m *Monitor) supervise(ctx context.Context) {
	defer m.running.Done()
	pause, abandoned := firstPause, 0
	for ctx.Err() == nil {
		began := m.opts.Clock.Mono()
		left, err := m.run(ctx)
		if err == nil || ctx.Err() != nil {
			m.down(errEnded)
			if err != nil {
				m.opts.Logger.Error("the watch did not end well; the next start goes on from what is durable", "error", err)
			}
			return
		}
		if time.Duration(m.opts.Clock.Mono()-began) > lastPause { //nolint:gosec // small
			pause = firstPause
		}
		if left {
			abandoned++
		}
		m.down(err)
		m.alarms.down(err)
		m.opts.Logger.Error("the watch stopped: nothing more is proven until it runs again; payments go on", "error", err, "again_in", pause)
		if abandoned >= abandonedAtMost {
			m.opts.Logger.Error("the watch's disk fails again and again; it is tried again when the process is started anew")
			<-ctx.Done()
			return
		}
		_ = clock.Sleep(ctx, m.opts.Clock, pause) // the loop looks at ctx
		pause = min(2*pause, lastPause)
	}
}

// up tells that a session runs, once it takes what comes.
func (m *Monitor) up(s *session) {
	m.tail.start(true)
	m.inbox.open()
	m.failure.Store(nil)
	m.session.Store(s)
	m.alarms.up()
}

// down tells that no session runs.
func (m *Monitor) down(err error) {
	m.failure.Store(&err) // before the session goes: without both, the watch is starting
	m.session.Store(nil)
	m.tail.start(false)
	m.inbox.refuse(err)
	v := *m.view.Load()
	v.proof.Reason = "the watch does not run: " + err.Error()
	m.view.Store(&v)
}

// run is one session. left tells that its database could not be closed.
func (m *Monitor) run(ctx context.Context) (left bool, err error) {
	if err := checkSpace(m.opts.FS, m.opts.Dir, 2*reserve); err != nil {
		return false, err
	}
	s := newSession(m)
	if err := s.open(ctx); err != nil {
		return s.end(err)
	}
	m.up(s)
	return s.end(s.run(ctx))
}

// Watch makes engines of package watch.
type Watch struct{}

// Parse implements Engines.
func (Watch) Parse(name string, text []byte) (*watch.Flow, error) { return watch.Parse(name, text) }

// New implements Engines.
func (Watch) New(o watch.Options) (Engine, error) {
	e, err := watch.New(o)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Restore implements Engines.
func (Watch) Restore(r io.Reader, o watch.Options) (Engine, error) {
	e, err := watch.Restore(r, o)
	if err != nil {
		return nil, err
	}
	return e, nil
}
