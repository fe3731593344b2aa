package appends_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/appends"
)

// early is a log that shows a block before it is durable, as InnoDB does, and acknowledges it afterwards. A kill takes
// what was shown only.
type early struct {
	mu      sync.Mutex
	log     *celltest.Memory
	durable []*journal.Block // acknowledged, in order
	shown   []*journal.Block // not durable yet, in order, after those
	killed  chan struct{}    // closed when the engine of this life was
	dying   bool             // nothing becomes durable any more
	saw     int              // answers of a dying engine that rest on what it takes with it
	forgets bool             // planted: a kill also takes the last block that was acknowledged
}

func newEarly() *early { return &early{log: &celltest.Memory{}, killed: make(chan struct{})} }

func (e *early) Append(ctx context.Context, b *journal.Block) error {
	e.mu.Lock()
	life := e.killed
	err := e.log.Append(ctx, b)
	if err != nil {
		if errors.Is(err, cell.ErrConflict) && e.dying && len(e.shown) > 0 {
			e.saw++
		}
		e.mu.Unlock()
		return err
	}
	own := &journal.Block{Header: b.Header, Hash: b.Hash, Raw: bytes.Clone(b.Raw)} // b is its maker's
	e.shown = append(e.shown, own)
	e.mu.Unlock()
	runtime.Gosched() // others look
	e.mu.Lock()
	if !e.dying && life == e.killed {
		e.durable, e.shown = append(e.durable, e.shown...), nil
		e.mu.Unlock()
		return nil
	}
	e.mu.Unlock()
	select {
	case <-life:
	case <-ctx.Done():
	}
	return cell.ErrOutcomeUnknown
}

func (e *early) Head(ctx context.Context) (uint64, journal.Hash, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dying && len(e.shown) > 0 {
		e.saw++
	}
	return e.log.Head(ctx)
}

func (e *early) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Read(ctx, seq, dst)
}

func (e *early) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.ReadAt(ctx, seq, p, offset)
}

// Kill implements qualify.Server: it comes when somebody was told of what it takes.
func (e *early) Kill() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dying = true
	for until := time.Now().Add(time.Second); e.saw < 3 && time.Now().Before(until); {
		e.mu.Unlock()
		runtime.Gosched()
		e.mu.Lock()
	}
	if e.forgets && len(e.durable) > 0 {
		e.durable = e.durable[:len(e.durable)-1]
	}
	e.log = &celltest.Memory{}
	for _, b := range e.durable {
		if err := e.log.Append(context.Background(), b); err != nil {
			return err
		}
	}
	e.shown, e.saw, e.dying = nil, 0, false
	close(e.killed)
	e.killed = make(chan struct{})
	return nil
}

// Restart implements qualify.Server.
func (*early) Restart(context.Context) error { return nil }

func contendWithKills(t *testing.T, e *early) *qualify.Section {
	t.Helper()
	target := memory(e)
	target.Server = e
	s := &qualify.Section{ID: "append"}
	o := appends.ContendOptions{Cell: 7, Writers: 6, Duration: time.Second, MostCalls: 3000, Kills: 3, Settle: 2 * time.Second}
	if err := appends.Contend(t.Context(), target, o, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBlocksShownBeforeTheyAreDurable: they may go again. That is no fault of a log whose acknowledgements stand, and it
// is told.
func TestBlocksShownBeforeTheyAreDurable(t *testing.T) {
	t.Parallel()
	s := contendWithKills(t, newEarly())
	if failed := s.Failed(); len(failed) > 0 {
		t.Fatalf("failed: %+v", failed)
	}
	if c := s.Find("append.early"); c == nil || c.Outcome != qualify.Note || len(c.Measures) != 1 || c.Measures[0].Value < 1 {
		t.Fatalf("nothing tells of them: %+v", c)
	}
}

// TestAKillThatTakesAcknowledgedBlocksIsFound: what was acknowledged is no such block.
func TestAKillThatTakesAcknowledgedBlocksIsFound(t *testing.T) {
	t.Parallel()
	e := newEarly()
	e.forgets = true
	s := contendWithKills(t, e)
	for _, id := range []string{"append.acknowledged", "append.linearizable"} {
		if c := s.Find(id); c == nil || c.Outcome != qualify.Fail {
			t.Errorf("%s was not found out: %+v", id, c)
		}
	}
}
