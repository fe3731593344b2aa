package readmodel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

// table is a target in memory that keeps what a projector needs, and no rows. Its faults are what its fields say.
type table struct {
	mu       sync.Mutex
	at       readmodel.Position
	open     map[money.U128]readmodel.Reservation
	failing  error // what the next Apply returns
	resets   int
	largest  int // blocks in one batch
	position error
	closed   int // how often open fails
}

func (x *table) connect(context.Context) (readmodel.Target, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed > 0 {
		x.closed--
		return nil, errors.New("the database is down")
	}
	return x, nil
}

func (x *table) Close() error { return nil }

func newTable() *table { return &table{open: map[money.U128]readmodel.Reservation{}} }

func (x *table) Position(_ context.Context, cell uint64) (readmodel.Position, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at.Cell = cell
	return x.at, x.position
}

func (x *table) Apply(_ context.Context, c *readmodel.Change) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.failing; err != nil {
		x.failing = nil
		return err
	}
	if !x.at.Same(&c.From) {
		return readmodel.ErrMoved
	}
	var found []readmodel.Reservation
	for _, id := range c.Pending {
		if r, ok := x.open[id]; ok {
			found = append(found, r)
		}
	}
	b, err := c.Complete(found)
	if err != nil {
		return err
	}
	for _, list := range [][]readmodel.Reservation{b.Reserved, b.Resolved} {
		for _, r := range list {
			x.open[r.ID] = r
		}
	}
	x.largest = max(x.largest, int(b.To.Seq-b.From.Seq))
	x.at = b.To
	return nil
}

func (x *table) Reset(_ context.Context, cell uint64, deleted func(int64)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.resets++
	x.at, x.open = readmodel.Position{Cell: cell}, map[money.U128]readmodel.Reservation{}
	deleted(1)
	return nil
}

// source is a world whose head and blocks can be held back.
type source struct {
	*readmodeltest.World
	mu   sync.Mutex
	head uint64
	err  error
}

func (s *source) Head(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, s.err
}

func (s *source) set(head int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head, s.err = uint64(head), err
}

func start(t *testing.T, p *readmodel.Projector) (ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- p.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ended
}

func await(t *testing.T, p *readmodel.Projector, seq int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Await(ctx, uint64(seq)); err != nil {
		t.Fatal(err)
	}
}

// TestAcknowledgedOnly: a block that is there and not acknowledged is not projected, and is as soon as it is.
func TestAcknowledgedOnly(t *testing.T) {
	w := readmodeltest.NewWorld(1, 1)
	w.AddBlocks(20, 4)
	s, x := &source{World: w}, newTable()
	s.set(7, nil)
	p := readmodel.New(readmodel.Options{Cell: 1, Source: s, Open: x.connect, Clock: clock.NewSystem()})
	start(t, p)
	await(t, p, 7)
	if at, _ := x.Position(t.Context(), 1); at.Seq != 7 {
		t.Fatalf("projected through block %d of 7 that are acknowledged", at.Seq)
	}
	s.set(12, nil)
	p.Notify()
	await(t, p, 12)
	if at, _ := x.Position(t.Context(), 1); at.Seq != 12 {
		t.Fatalf("projected through block %d of 12 that are acknowledged", at.Seq)
	}
}

// TestBatchesAreBounded: a batch ends once it has its events.
func TestBatchesAreBounded(t *testing.T) {
	w := readmodeltest.NewWorld(1, 2)
	w.AddBlocks(200, 4)
	for _, c := range []struct{ events, least, most int }{{1, 1, 40}, {0, len(w.Blocks), len(w.Blocks)}} {
		x := newTable()
		p := readmodel.New(readmodel.Options{Cell: 1, Source: w, Open: x.connect, Clock: clock.NewSystem(), BatchEvents: c.events})
		start(t, p)
		await(t, p, len(w.Blocks))
		if x.largest < c.least || x.largest > c.most {
			t.Errorf("with %d events a batch, one had %d blocks", c.events, x.largest)
		}
	}
}

// TestFaultsPass: a source, a target or a position that fails is tried again, with longer pauses, and shown meanwhile.
func TestFaultsPass(t *testing.T) {
	w := readmodeltest.NewWorld(1, 3)
	w.AddBlocks(30, 4)
	broken := errors.New("the network is down")
	s, x, c := &source{World: w}, newTable(), clock.NewFake(1)
	s.set(len(w.Blocks), broken)
	p := readmodel.New(readmodel.Options{Cell: 1, Source: s, Open: x.connect, Clock: c})
	start(t, p)
	pauses := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
	for i, pause := range pauses {
		waitFor(t, c)
		if st := p.Status(); st.State != readmodel.Failing || !strings.Contains(st.Failure, broken.Error()) || st.Stats.Failures != uint64(i)+1 {
			t.Fatalf("after failure %d: %+v", i+1, st)
		}
		c.Advance(pause - 1)
		if c.Waiting() != 1 {
			t.Fatalf("attempt %d came before %v had passed", i+2, pause)
		}
		if i == len(pauses)-1 {
			s.set(len(w.Blocks), nil)
			x.mu.Lock()
			x.failing = broken
			x.mu.Unlock()
		}
		c.Advance(1)
	}
	waitFor(t, c)
	c.Advance(time.Second)
	await(t, p, len(w.Blocks))
}

// TestOpenIsTriedAgain: a database that is down at the start is no reason to end.
func TestOpenIsTriedAgain(t *testing.T) {
	w := readmodeltest.NewWorld(1, 8)
	w.AddBlocks(10, 4)
	x := newTable()
	x.closed = 2
	p := readmodel.New(readmodel.Options{Cell: 1, Source: w, Open: x.connect, Clock: clock.NewSystem()})
	start(t, p)
	await(t, p, len(w.Blocks))
	if n := p.Status().Stats.Failures; n != 2 {
		t.Errorf("%d failures", n)
	}
}

// waitFor returns once somebody waits for the clock.
func waitFor(t *testing.T, c *clock.Fake) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.Waiting() == 0 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		}
	}
}

// TestWhatNeedsAPersonEndsIt: faults that trying again can't mend.
func TestWhatNeedsAPersonEndsIt(t *testing.T) {
	w := readmodeltest.NewWorld(1, 4)
	w.AddBlocks(30, 4)
	for _, want := range []error{readmodel.ErrTables, readmodel.ErrNewer, readmodel.ErrJournal} {
		x := newTable()
		x.failing = fmt.Errorf("planted: %w", want)
		p := readmodel.New(readmodel.Options{Cell: 1, Source: w, Open: x.connect, Clock: clock.NewSystem()})
		if err := p.Run(t.Context()); !errors.Is(err, want) {
			t.Errorf("Run returned %v, not %v", err, want)
		}
		if err := p.Await(t.Context(), 1); err == nil {
			t.Error("Await did not say that the projector has stopped")
		}
	}
}

// TestRebuildOnce: a rebuild that was asked for happens once, not after every fault.
func TestRebuildOnce(t *testing.T) {
	w := readmodeltest.NewWorld(1, 5)
	w.AddBlocks(30, 4)
	x := newTable()
	x.failing = readmodel.ErrMoved
	var log strings.Builder
	p := readmodel.New(readmodel.Options{
		Cell: 1, Source: w, Open: x.connect, Clock: clock.NewSystem(), Rebuild: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	ended := start(t, p)
	await(t, p, len(w.Blocks))
	if st := p.Status(); x.resets != 1 || st.Stats.Rebuilds != 1 || st.Stats.Moved != 1 || st.Behind() != 0 {
		t.Errorf("%d resets, status %+v", x.resets, st)
	}
	select {
	case err := <-ended:
		t.Errorf("it ended: %v", err)
	default:
	}
}

// TestForeignBlocks: blocks that are not the next ones of the cell are refused, and so are rules of the future.
func TestForeignBlocks(t *testing.T) {
	w, other := readmodeltest.NewWorld(1, 6), readmodeltest.NewWorld(2, 6)
	w.AddBlocks(5, 4)
	other.AddBlocks(5, 4)
	derive := func(k *journal.Block) error {
		_, err := readmodel.Derive(readmodel.Position{Cell: 1}, []*journal.Block{k}, nil, 1)
		return err
	}
	if err := derive(w.Blocks[0]); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*journal.Block{"the second block": w.Blocks[1], "a block of another cell": other.Blocks[0]} {
		if err := derive(k); !errors.Is(err, readmodel.ErrJournal) {
			t.Errorf("%s as the first: %v", name, err)
		}
	}
	b := journal.NewBuilder()
	newer := b.Seal(journal.Header{Kind: journal.BlockEpoch, Rules: readmodel.Rules + 1, Cell: 1, Seq: 1, Epoch: 1, Time: 1})
	if err := derive(newer); !errors.Is(err, readmodel.ErrNewer) {
		t.Errorf("a block by newer rules: %v", err)
	}
}

// FuzzDerive lets any block that can be decoded be projected: it is refused, or becomes rows; nothing panics.
func FuzzDerive(f *testing.F) {
	w := readmodeltest.NewWorld(1, 7)
	w.AddBlocks(60, 6)
	for _, k := range w.Blocks {
		f.Add(k.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if raw = bytes.Clone(raw); len(raw) > journal.HeaderSize { // so that more than its hash is tried
			sum := sha256.Sum256(raw[journal.HeaderSize:])
			copy(raw[160:], sum[:])
		}
		k, err := journal.Decode(raw)
		if err != nil {
			return
		}
		blocks := []*journal.Block{k}
		from := readmodel.Position{Cell: k.Header.Cell, Seq: k.Header.Seq - 1, Hash: k.Header.Prev}
		var found []readmodel.Reservation
		for i, id := range readmodel.Needs(blocks) {
			found = append(found, readmodel.Reservation{
				ID: id, Remaining: money.From(uint64(i) % 60), State: readmodel.StateOpen, Debit: money.From(1), Credit: money.From(2), Flags: journal.TransferFlags(i),
			})
		}
		b, err := readmodel.Derive(from, blocks, found, 0)
		if err == nil && b.To.Seq != k.Header.Seq {
			t.Fatalf("block %d became rows of block %d", k.Header.Seq, b.To.Seq)
		}
	})
}
