package accesslog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sterlingrun/sterling/clock"
)

// Calls is which calls are written.
type Calls string

// The choices. Controls includes calls that were refused.
const (
	All      Calls = "all"
	Controls Calls = "controls"
)

// Options are what a log is made of. All are required.
type Options struct {
	Dir     string
	Calls   Calls
	MaxSize int64 // bytes; then a file is put aside
	Keep    int   // files put aside of each kind; the oldest beyond are removed
	Clock   clock.Clock
	Logger  *slog.Logger
	Random  io.Reader // for names of calls that the client gave none
}

// FlushInterval is how long a line may wait in memory; those of controls and of
// refusals do not wait.
const FlushInterval = time.Second

// refusedPerSecond bounds what someone without a token can make the log write.
// What is left out is counted in the next line.
const refusedPerSecond = 100

// Log is an access log. It is safe for concurrent use. Close it after use.
type Log struct {
	options  Options
	controls file
	calls    file
	prefix   string // of generated request ids
	next     atomic.Uint64
	lines    sync.Pool // of *[]byte

	refused    *rate.Limiter
	suppressed atomic.Uint64 // refusals not written yet
	left       atomic.Uint64 // refusals never written, in all

	full chan struct{}
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup
}

// Open begins a log. It fails where the folder can't be written.
func Open(options Options) (*Log, error) { return open(options, system{}) }

func open(options Options, d disk) (*Log, error) {
	var random [4]byte
	if _, err := io.ReadFull(options.Random, random[:]); err != nil {
		return nil, fmt.Errorf("read random numbers: %w", err)
	}
	l := &Log{
		options: options, prefix: hex.EncodeToString(random[:]) + "-",
		refused: rate.NewLimiter(refusedPerSecond, refusedPerSecond),
		full:    make(chan struct{}, 1), stop: make(chan struct{}),
	}
	l.lines.New = func() any { b := make([]byte, 0, 512); return &b }
	for name, f := range map[string]*file{"controls": &l.controls, "calls": &l.calls} {
		f.disk, f.dir, f.name, f.maxSize, f.keep, f.room = d, options.Dir, name, options.MaxSize, options.Keep, maxBuffer
	}
	if err := l.controls.ready(l.now()); err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	l.done.Go(l.run)
	return l, nil
}

func (l *Log) now() time.Time { return time.Unix(0, int64(l.options.Clock.Wall())) } //nolint:gosec // until the year 2262

// run flushes each interval, and when there is much.
func (l *Log) run() {
	for {
		fired, stop := l.options.Clock.After(FlushInterval)
		select {
		case <-fired:
		case <-l.full:
			stop()
		case <-l.stop:
			stop()
			return
		}
		l.note(&l.calls, l.calls.flush(l.now(), false))
		l.note(&l.controls, l.controls.flush(l.now(), false))
	}
}

// note keeps whether a file can be written, and says when that changes.
func (l *Log) note(f *file, err error) {
	if failing := err != nil; f.failing.Swap(failing) != failing {
		if failing {
			l.options.Logger.Error("the access log can't be written: controls are refused until it can, payments go on", "error", err)
		} else {
			l.options.Logger.Info("the access log can be written again", "file", f.path(), "lost", l.Stats().Lost)
		}
	}
}

// Begin writes down a control that is about to be served, durably. If it returns
// an error, the control must not be served: it would be unrecorded. For other
// calls it does nothing. It names the call in e.RequestID if the client did not.
func (l *Log) Begin(e *Entry) error {
	if !e.Control {
		return nil
	}
	if !goodRequestID(e.RequestID) {
		e.RequestID = l.requestID()
	}
	l.append(&l.controls, e, phaseOpen, 0)
	err := l.controls.flush(l.now(), true)
	l.note(&l.controls, err)
	return err
}

// End writes down a call that has ended. Lines of controls and of refusals go to
// the file at once, others within [FlushInterval]. A line that the disk does not
// take waits, and is lost when too many do; see [Log.Stats].
func (l *Log) End(e *Entry) {
	switch {
	case e.Refused:
		now := l.now()
		if !l.refused.AllowN(now, 1) {
			l.suppressed.Add(1)
			l.left.Add(1)
			return
		}
		l.append(&l.controls, e, phaseNone, l.suppressed.Swap(0))
		l.note(&l.controls, l.controls.flush(now, false))
	case e.Control:
		l.append(&l.controls, e, phaseDone, 0)
		l.note(&l.controls, l.controls.flush(l.now(), true))
	case l.options.Calls == All:
		// A disk that fails is tried once an interval, and by every control.
		if l.append(&l.calls, e, phaseNone, 0) && !l.calls.failing.Load() {
			select {
			case l.full <- struct{}{}:
			default: // it has been told
			}
		}
	}
}

// append makes the line outside of the lock that all calls share.
func (l *Log) append(f *file, e *Entry, phase string, suppressed uint64) (full bool) {
	line := l.lines.Get().(*[]byte)
	fallback := ""
	if !goodRequestID(e.RequestID) {
		fallback = l.requestID()
	}
	*line = e.appendLine((*line)[:0], l.now(), phase, fallback, suppressed)
	full = f.add(*line)
	l.lines.Put(line)
	return full
}

func (l *Log) requestID() string { return l.prefix + strconv.FormatUint(l.next.Add(1), 36) }

// Stats counts since the start.
type Stats struct {
	Lost       uint64 // lines that never reached the disk
	Suppressed uint64 // refusals beyond the rate at which they are written
	Failing    bool   // the last attempt to write failed
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	return Stats{Lost: l.calls.lostLines() + l.controls.lostLines(), Suppressed: l.left.Load(), Failing: l.calls.failing.Load() || l.controls.failing.Load()}
}

// Close writes what is left. Nothing may be written after it.
func (l *Log) Close() (err error) {
	l.once.Do(func() {
		close(l.stop)
		l.done.Wait()
		err = errors.Join(l.calls.flush(l.now(), false), l.controls.flush(l.now(), false), l.calls.close(), l.controls.close())
	})
	return err
}
