package faults

import (
	"bytes"
	"fmt"

	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/watch"
)

// Expected is what has to be found in a stream.
type Expected struct {
	Class watch.Class // empty: nothing is to be found
	Flow  string      // empty: of the journal or of a source
	Key   watch.ID
	// Due is until when it has to be told, ns since 1970 by the watch's clock: 2 s after the deadline that passes, or
	// 1 s after what shows it has arrived.
	Due uint64
	// Invariant says that it is found by what arrives, not by a deadline.
	Invariant bool
}

// Nothing reports whether the stream has to stay silent.
func (x *Expected) Nothing() bool { return x.Class == "" }

// Found is a break that was opened.
type Found struct {
	*watch.Break
	Seen uint64 // ns: the engine's time
}

// Trial is how a stream went.
type Trial struct {
	Found  []Found // in the order in which they were opened
	Events uint64
	Keys   uint64 // open at the end
	Proof  watch.Proof
}

// BuiltIn are the flows that are shipped.
func BuiltIn() ([]*watch.Flow, error) {
	files, err := flows.Files()
	if err != nil {
		return nil, err
	}
	var list []*watch.Flow
	for _, f := range files {
		one, err := watch.Parse(f.Name, f.Text)
		if err != nil {
			return nil, fmt.Errorf("read the built-in flow %s: %w", f.Name, err)
		}
		list = append(list, one)
	}
	return list, nil
}

// Runner gives steps to an engine and takes its effects.
type Runner struct {
	o      watch.Options
	engine *watch.Engine
	shelf  shelf
	trial  Trial
	number uint64
	spare  []watch.Effect
}

// shelf keeps closed keys, as the runner of a ledger does. Only the newest effects are asked for: nothing is replayed.
type shelf map[shelfKey][]byte

type shelfKey struct {
	flow string
	key  watch.ID
}

// Closed implements watch.Past.
func (s shelf) Closed(flow string, key watch.ID, _ uint64) []byte { return s[shelfKey{flow, key}] }

// NewRunner returns one with a new engine. The options' Past is the runner's own.
func NewRunner(o watch.Options) (*Runner, error) {
	r := &Runner{o: o, shelf: shelf{}}
	r.o.Cell, r.o.Past = Cell, r.shelf
	var err error
	if r.engine, err = watch.New(r.o); err != nil {
		return nil, err
	}
	return r, nil
}

// Step gives the engine a step.
func (r *Runner) Step(s *Step) error {
	s.Apply(r.engine)
	r.spare = r.engine.Effects(r.spare[:0])
	for i := range r.spare {
		e := &r.spare[i]
		if e.Number != r.number+1 {
			return fmt.Errorf("effect %d came after effect %d", e.Number, r.number) //nolint:err113 // a fault of the engine
		}
		r.number = e.Number
		switch e.Kind {
		case watch.BreakOpened:
			r.trial.Found = append(r.trial.Found, Found{e.Break, e.Time})
		case watch.KeyClosed:
			r.shelf[shelfKey{e.Closed.Flow, e.Closed.Key}] = e.Closed.State
		}
	}
	return nil
}

// Restart goes on with an engine that was restored from this one's snapshot.
func (r *Runner) Restart() error {
	var b bytes.Buffer
	if err := r.engine.Snapshot(&b); err != nil {
		return err
	}
	e, err := watch.Restore(&b, r.o)
	if err != nil {
		return err
	}
	r.engine = e
	return nil
}

// Trial is how it went so far.
func (r *Runner) Trial() *Trial {
	r.trial.Proof = r.engine.Proof()
	r.trial.Events, r.trial.Keys = r.trial.Proof.Events, r.trial.Proof.Keys
	return &r.trial
}

// Try plays a stream to a new engine, which is replaced by its own restored snapshot so many times on the way.
func Try(s *Stream, o watch.Options, restarts int) (*Trial, error) {
	r, err := NewRunner(o)
	if err != nil {
		return nil, err
	}
	every, next := uint64(0), ^uint64(0)
	if restarts > 0 {
		every = (s.Until - s.Begin) / uint64(restarts+1)
		next = s.Begin + every
	}
	err = s.Play(func(step *Step) error {
		if step.Now >= next {
			next += every
			if err := r.Restart(); err != nil {
				return err
			}
		}
		return r.Step(step)
	})
	if err != nil {
		return nil, err
	}
	return r.Trial(), nil
}

// Verdict compares what was found with what was expected.
type Verdict struct {
	Missed bool    // what was expected is not there
	False  []Found // breaks that are neither expected nor of its group
	Late   uint64  // ns after it was due; 0: in time
	Took   uint64  // ns from when it happened, or its deadline passed, until it was found
}

// Judge compares a trial with what was expected.
func (t *Trial) Judge(x *Expected) Verdict {
	v := Verdict{Missed: !x.Nothing()}
	var root watch.ID
	for i := range t.Found {
		f := &t.Found[i]
		if f.Class != x.Class || f.Flow != x.Flow || f.Key != x.Key || !v.Missed {
			continue
		}
		v.Missed, root = f.Group != f.ID, f.ID
		if f.Seen > x.Due {
			v.Late = f.Seen - x.Due
		}
		v.Took = f.Seen - min(f.Seen, x.from())
	}
	for i := range t.Found {
		if f := &t.Found[i]; v.Missed || f.Group != root {
			v.False = append(v.False, *f)
		}
	}
	return v
}

// Allowances: what was asked of the time until a break is told.
const (
	InTime    = 2 * second // of what is missing, after its deadline
	Invariant = second     // of all else, after it arrived
)

func (x *Expected) from() uint64 {
	if x.Invariant {
		return x.Due - Invariant
	}
	return x.Due - InTime
}
