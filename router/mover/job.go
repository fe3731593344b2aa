package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/router"
)

// State says whether a move has ended, and how.
type State int

// The states of a move.
const (
	Running State = iota
	Done          // all buckets are the other cell's
	Failed        // see Progress.Err
	Stopped       // by Stop
)

// Progress is how far a move is.
type Progress struct {
	To                     uint64
	State                  State
	Phase                  string // what is done now: looking, carrying, moving
	Err                    error
	Buckets, Already       int    // buckets that were asked for, and those of them that were the other cell's before
	BlocksRead, Blocks     uint64 // of the journal, for the ids of the buckets
	IDs                    uint64 // carried to the other cell, some of them twice
	Accounts, Reservations uint64 // that have to move, as counted at the beginning
	Began, Ended           uint64 // clock.Wall; Ended is 0 while it runs
	Moved                  []Moved
}

// Moved is a bucket that is the other cell's now.
type Moved struct {
	Bucket                 uint16
	Accounts, Reservations uint64
	Pause                  time.Duration // for how long calls that touched it had to wait
}

// job is one call of Start.
type job struct {
	t     *term
	actor journal.Actor
	to    uint64
	todo  []uint16 // ascending
	quit  chan struct{}
	once  sync.Once

	mu sync.Mutex
	p  Progress
}

func newJob(t *term, actor journal.Actor, to uint64, asked, todo []uint16) *job {
	j := &job{t: t, actor: actor, to: to, todo: todo, quit: make(chan struct{})}
	j.p = Progress{To: to, Phase: "looking", Buckets: len(asked), Already: len(asked) - len(todo), Began: t.opts.Clock.Wall()}
	return j
}

func (j *job) has(todo []uint16) bool {
	for _, b := range todo {
		if _, found := slices.BinarySearch(j.todo, b); !found {
			return false
		}
	}
	return true
}

func (j *job) stop() { j.once.Do(func() { close(j.quit) }) }

func (j *job) stopped() bool {
	select {
	case <-j.quit:
		return true
	default:
		return false
	}
}

func (j *job) ended() bool { return j.progress().Ended != 0 }

func (j *job) progress() Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.p
	p.Moved = slices.Clone(p.Moved)
	return p
}

func (j *job) update(change func(p *Progress)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.p)
}

// errStopped ends a job that was stopped.
var errStopped = errors.New("stopped")

// run moves all buckets of the job, one after the other.
func (j *job) run() {
	t := j.t
	select {
	case <-t.turn:
	case <-t.ctx.Done():
		return
	}
	defer func() { t.turn <- struct{}{} }()
	err := j.move()
	j.update(func(p *Progress) {
		p.Ended, p.Err, p.State = t.opts.Clock.Wall(), err, Failed
		switch {
		case err == nil:
			p.State = Done
		case errors.Is(err, errStopped):
			p.State, p.Err = Stopped, nil
		}
	})
	if p := j.progress(); p.State == Failed && t.ctx.Err() == nil {
		t.opts.Logger.Warn("buckets are not moved", "cell", t.opts.Cell, "to", j.to, "moved", len(p.Moved), "of", len(j.todo), "error", err)
	} else if p.State != Failed {
		t.opts.Logger.Info("buckets are moved", "cell", t.opts.Cell, "to", j.to, "moved", len(p.Moved), "of", len(j.todo), "ids", p.IDs)
	}
}

func (j *job) move() error {
	if len(j.todo) == 0 {
		return nil
	}
	if err := j.look(); err != nil {
		return err
	}
	j.update(func(p *Progress) { p.Phase = "carrying" })
	c := newCarrier(j.t, j.to, j.actor, j.todo, 1)
	c.progress = j.carried
	if err := c.catchUp(j.t.ctx, j.quit); err != nil {
		return err
	}
	j.update(func(p *Progress) { p.Phase = "moving" })
	for part := range slices.Chunk(j.todo, listed) {
		accounts, next, err := j.t.accountsOf(1, part...)
		if err != nil {
			return err
		}
		for _, b := range part {
			if j.stopped() {
				return errStopped
			}
			m := &bucket{term: j.t, carrier: c, actor: j.actor, to: j.to, bucket: b, accounts: accounts[b], next: next}
			moved, err := m.move()
			if err != nil {
				return fmt.Errorf("bucket %d: %w", b, err)
			}
			j.update(func(p *Progress) { p.Moved = append(p.Moved, moved) })
		}
	}
	return nil
}

// listed is of how many buckets the accounts are kept in mind at once.
const listed = 64

func (j *job) carried(blocks, head, ids uint64) {
	j.update(func(p *Progress) { p.BlocksRead, p.Blocks, p.IDs = blocks, max(head, p.Blocks), p.IDs+ids })
	j.t.stats.carried.Add(float64(ids))
}

// reachable is how long the other cell may take to answer at the beginning.
const reachable = 5 * time.Second

// look sees whether the buckets can move, before anything is done.
func (j *job) look() error {
	t := j.t
	own, err := router.Report(t.ctx, t.local, j.todo)
	if err != nil {
		return fmt.Errorf("look at the buckets: %w", err)
	}
	peer, err := j.ask(0)
	if err != nil {
		return fmt.Errorf("cell %d does not answer: see whether its nodes run (`sterling cell status`) and move again: %w", j.to, err)
	}
	for i, b := range j.todo {
		switch p := &peer[i]; {
		case own[i].Phase != 0 && own[i].Phase != ledger.Settled:
			return fmt.Errorf("bucket %d is %s in this cell: a move of it is not over yet", b, PhaseName(own[i].Phase))
		case p.Phase == ledger.Arriving || p.Phase == ledger.Closing || p.Phase == ledger.Given:
			return fmt.Errorf("bucket %d is %s in cell %d: a move of it is not over yet", b, PhaseName(p.Phase), j.to)
		case p.Present > 0 || p.Reserved > 0:
			return fmt.Errorf("bucket %d has %d accounts and %d reservations in cell %d, which the map does not give it: look at that cell before anything moves", b, p.Present, p.Reserved, j.to)
		}
	}
	j.update(func(p *Progress) {
		for i := range own {
			p.Accounts, p.Reservations = p.Accounts+own[i].Present, p.Reservations+own[i].Reserved
		}
	})
	return nil
}

// ask asks the other cell where the buckets stand.
func (j *job) ask(version uint64) (list []router.BucketReport, err error) {
	t := j.t
	for until, try := t.opts.Clock.Mono()+uint64(reachable), 0; ; try++ {
		if list, err = t.opts.Peers.Buckets(t.ctx, j.to, version, j.todo); err == nil || t.opts.Clock.Mono() >= until {
			return list, err
		}
		if clock.Sleep(t.ctx, t.opts.Clock, pause(try)) != nil {
			return nil, err
		}
	}
}

// PhaseName is a phase in a word.
func PhaseName(p ledger.Phase) string {
	switch p {
	case ledger.Closing:
		return "closing"
	case ledger.Given:
		return "given"
	case ledger.Arriving:
		return "arriving"
	case ledger.Gone:
		return "gone"
	}
	return "settled"
}

// repeat calls f until it succeeds, its error is final, or the term ends.
func (t *term) repeat(ctx context.Context, what string, f func() error) error {
	told := ""
	for try := 0; ; try++ {
		err := f()
		if err == nil {
			return nil
		}
		if text := err.Error(); text != told && ctx.Err() == nil && try > 2 {
			told = text
			t.opts.Logger.Warn("a step of a move is tried again", "cell", t.opts.Cell, "step", what, "error", err)
		}
		if clock.Sleep(ctx, t.opts.Clock, pause(try)) != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}
