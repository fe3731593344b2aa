package cell_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

func await(t *testing.T, f func() bool) {
	t.Helper()
	for late := time.After(20 * time.Second); !f(); {
		select {
		case <-late:
			t.Fatal("it does not come to that")
		case <-time.After(time.Millisecond):
		}
	}
}

// told tells of every append that is tried.
type told struct {
	cell.Log
	appends chan uint64
}

func (l *told) Append(ctx context.Context, b *journal.Block) error {
	select {
	case l.appends <- b.Header.Seq:
	default:
	}
	return l.Log.Append(ctx, b)
}

// TestANodeStopsWhereTheLogIsAway: a payment is on its way when the log goes away for good, and the node is told to end.
func TestANodeStopsWhereTheLogIsAway(t *testing.T) {
	e := &engine{}
	l := &told{appends: make(chan uint64)}
	a := join(t, e, "a", func(o *cell.MemberOptions) {
		l.Log = o.Log
		o.Log = l
	})
	a.awaitLead(t)
	openAccounts(t, a)
	a.wire.cut.Store(true)
	answer := make(chan error, 1)
	go func() {
		r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(9, 1, 2, 5)}), Results: make([]journal.Result, 1)}
		answer <- a.Do(t.Context(), r)
	}()
	<-l.appends
	ended := make(chan error, 1)
	go func() { ended <- a.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the node does not end while the log is away")
	}
	if err := <-answer; !errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Errorf("a payment whose outcome nobody knows: %v", err)
	}
}

// TestAStandbyHasWhatWasInDoubt: the answer of a block was lost, and nothing else is written. Its successor says nothing
// of it yet; the standbys have it all the same.
func TestAStandbyHasWhatWasInDoubt(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	b := join(t, e, "b", nil)
	a.wire.lossy.Store(true)
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(9, 1, 2, 5)}), Results: make([]journal.Result, 1)}
	if err := a.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	late := time.After(5 * time.Second)
	for b.Head() < r.Seq {
		select {
		case <-late:
			t.Fatalf("the standby is at block %d, and block %d was acknowledged", b.Head(), r.Seq)
		case <-time.After(time.Millisecond):
		}
	}
}

// slowHead is a log that takes its time to say where it ends.
type slowHead struct {
	cell.Log
	clock *clock.Fake
	takes time.Duration
}

func (l *slowHead) Head(ctx context.Context) (uint64, journal.Hash, error) {
	l.clock.Advance(l.takes)
	return l.Log.Head(ctx)
}

// TestASlowTakeoverHoldsNoWrites: the store's clock was asked before the log was read to its end, which took longer than
// a clock may be ahead.
func TestASlowTakeoverHoldsNoWrites(t *testing.T) {
	now := clock.NewFake(1_700_000_000_000_000_000)
	l := &slowHead{Log: &celltest.Memory{}, clock: now}
	s, err := cell.OpenStandby(t.Context(), cell.Options{ID: 7, Log: l, Clock: now, HashKey: [2]uint64{3, 5}, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	l.takes = 2 * cell.MaxClockStep
	c, err := s.Lead(t.Context(), [16]byte{1}, now.Wall())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if c.ClockHeld() {
		t.Error("writes are held by a clock that is right")
	}
}

// gated holds appends back, and fails reads of single records.
type gated struct {
	celltest.Memory
	gate  sync.Mutex
	fails atomic.Bool
}

var errAway = errors.New("the log is away")

func (l *gated) Append(ctx context.Context, b *journal.Block) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	return l.Memory.Append(ctx, b)
}

func (l *gated) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	if offset > 0 && l.fails.Load() {
		return errAway
	}
	return l.Memory.ReadAt(ctx, seq, p, offset)
}

// TestAStandbyGivesUpAHalfReplayedBlock: the log goes away between two requests of a block. The state is of no use any
// more, and the journal contradicts nothing.
func TestAStandbyGivesUpAHalfReplayedBlock(t *testing.T) {
	l := &gated{}
	o := cell.Options{ID: 7, Log: l, Clock: clock.NewSystem(), HashKey: [2]uint64{3, 5}, Shared: true, Incarnation: [16]byte{1}}
	c, err := cell.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var senders sync.WaitGroup
	send := func(waiting int, list ...journal.Transfer) { // returns once it waits behind the block that is held back
		senders.Go(func() {
			r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, len(list))}
			if err := c.Do(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
		await(t, func() bool { return waiting == 0 || c.Stats().WaitingRequests == waiting })
	}
	accounts := []journal.Account{account(1), account(2)}
	if err := c.Do(t.Context(), &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(accounts), Results: make([]journal.Result, 2)}); err != nil {
		t.Fatal(err)
	}
	send(0, transfer(10, 1, 2, 5))
	senders.Wait()
	s, err := cell.OpenStandby(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sync(t.Context()); err != nil { // so that no block is due by itself
		t.Fatal(err)
	}
	l.gate.Lock()
	before := c.Stats().Blocks
	senders.Go(func() { _, _ = c.Sync(t.Context()) }) // its block is held back
	await(t, func() bool { return c.Stats().Blocks != before })
	send(1, transfer(11, 1, 2, 5))
	send(2, transfer(10, 1, 2, 5), transfer(12, 1, 2, 5))
	l.gate.Unlock()
	senders.Wait()
	if _, err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.fails.Store(true)
	if _, err := s.Follow(t.Context()); !errors.Is(err, errAway) {
		t.Fatalf("followed without the log: %v", err)
	}
	l.fails.Store(false)
	if _, err := s.Follow(t.Context()); !errors.Is(err, cell.ErrHalfway) {
		t.Errorf("followed with half a block: %v", err)
	}
}

// mute is a log that answers no append.
type mute struct {
	cell.Log
	asked func()
}

func (l *mute) Append(context.Context, *journal.Block) error {
	l.asked()
	return errors.Join(cell.ErrOutcomeUnknown, errAway)
}

// TestATakeoverTellsNothingAhead: the journal's last block is not acknowledged, and the takeover that would confirm it
// does not get through. Who reads the journal as far as Head says must not get it.
func TestATakeoverTellsNothingAhead(t *testing.T) {
	log := &celltest.Memory{}
	o := cell.Options{ID: 7, Log: log, Clock: clock.NewFake(1_700_000_000_000_000_000), HashKey: [2]uint64{3, 5}, Shared: true, Incarnation: [16]byte{1}}
	c, err := cell.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes([]journal.Account{account(1)}), Results: make([]journal.Result, 1)}
	if err := errors.Join(c.Do(t.Context(), r), c.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &mute{Log: log}
	o.Log = l
	s, err := cell.OpenStandby(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged, heads := s.Head(), []uint64(nil)
	l.asked = func() {
		heads = append(heads, s.Head())
		cancel()
	}
	if _, err := s.Lead(ctx, [16]byte{2}, 0); err == nil {
		t.Fatal("it leads, without a word of the journal")
	}
	if acknowledged >= r.Seq || len(heads) != 1 || heads[0] != acknowledged {
		t.Errorf("up to block %d is acknowledged, block %d is not; while it tries to lead, the head is %v", acknowledged, r.Seq, heads)
	}
}

// full is a log without space, and leases that count who asks for one.
type full struct {
	*wire
	asked atomic.Int32
	away  atomic.Bool // the lease can't be written either
}

func (l *full) Append(context.Context, *journal.Block) error { return cell.ErrFull }

func (l *full) Lease(ctx context.Context, r cell.LeaseRequest) (cell.Lease, error) {
	if l.asked.Add(1); l.away.Load() {
		return cell.Lease{}, errAway
	}
	return l.wire.Lease(ctx, r)
}

// TestANodeThatCannotLeadTriesWithPauses: every try recovers the whole state.
func TestANodeThatCannotLeadTriesWithPauses(t *testing.T) {
	l, now := &full{}, clock.NewFake(uint64(time.Now().UnixNano()))
	join(t, &engine{}, "a", func(o *cell.MemberOptions) {
		l.wire = o.Log.(*wire)
		o.Log, o.Leases, o.Clock = l, l, now
	})
	for tries := int32(1); tries < 5; tries++ {
		for late := time.After(10 * time.Second); l.asked.Load() < tries || now.Waiting() == 0; {
			select {
			case <-late:
				t.Fatalf("%d tries, want %d and a pause", l.asked.Load(), tries)
			default:
			}
		}
		if n := l.asked.Load(); n != tries {
			t.Fatalf("it tried to lead %d times, with %d pauses", n, tries-1)
		}
		now.Advance(time.Second)
	}
}

// TestANodeSaysWhyItDoesNotLead: it sees who has the lease, and can't take it.
func TestANodeSaysWhyItDoesNotLead(t *testing.T) {
	l := &full{}
	l.away.Store(true)
	said := &lines{}
	join(t, &engine{}, "a", func(o *cell.MemberOptions) {
		l.wire = o.Log.(*wire)
		o.Log, o.Leases, o.Logger = l, l, slog.New(slog.NewTextHandler(said, nil))
	})
	await(t, func() bool { return l.asked.Load() >= 5 })
	if n := said.count(errAway.Error()); n != 1 {
		t.Errorf("it was said %d times that the lease can't be taken", n)
	}
}

type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// TestANodeThatIsAboutToLeadIsNotDrained: there is nothing to hand over yet, and whoever stops the node does not wait.
func TestANodeThatIsAboutToLeadIsNotDrained(t *testing.T) {
	leads := make(chan struct{})
	a := join(t, &engine{}, "a", func(o *cell.MemberOptions) {
		o.Leading = func(ctx context.Context, _ *cell.Cell) error {
			close(leads)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	<-leads
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := a.Drain(ctx); !errors.Is(err, cell.ErrNotLeader) {
		t.Error(err)
	}
}

// slow is a log that takes its time.
type slow struct {
	cell.Log
	clock clock.Clock
	takes atomic.Int64
}

func (l *slow) Append(ctx context.Context, b *journal.Block) error {
	if err := clock.Sleep(ctx, l.clock, time.Duration(l.takes.Load())); err != nil {
		return errors.Join(cell.ErrOutcomeUnknown, err)
	}
	return l.Log.Append(ctx, b)
}

// TestADrainFinishesALongQueue: what waits takes longer than the lease, and nobody takes over meanwhile.
func TestADrainFinishesALongQueue(t *testing.T) {
	e, l := &engine{}, &slow{clock: clock.NewSystem()}
	a := join(t, e, "a", func(o *cell.MemberOptions) {
		l.Log = o.Log
		o.Log = l
	})
	a.awaitLead(t)
	openAccounts(t, a)
	b := join(t, e, "b", nil)
	l.takes.Store(int64(150 * time.Millisecond))
	const requests = 7
	var senders sync.WaitGroup
	for n := range uint64(requests) {
		senders.Go(func() {
			list := make([]journal.Transfer, journal.MaxEvents)
			for i := range list {
				list[i] = transfer(1+(n+1)*1_000_000+uint64(i), 1, 2, 1)
			}
			for at := 0; ; at++ { // one that came after the drain was not taken, and goes to the other node
				r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, len(list))}
				err := []*peer{a, b}[at%2].Do(t.Context(), r)
				if err == nil {
					return
				}
				if !errors.Is(err, cell.ErrNotLeader) {
					t.Errorf("request %d: %v", n, err)
					return
				}
			}
		})
	}
	await(t, func() bool { return a.Stats().WaitingRequests >= requests-3 })
	if err := a.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	senders.Wait()
	b.awaitLead(t)
	if got := credits(t, b); got != requests*journal.MaxEvents {
		t.Errorf("%d payments are there, want %d", got, requests*journal.MaxEvents)
	}
}

// TestAStandbyHoldsNoClock: nobody asks a standby for the time, and nobody could accept its clock.
func TestAStandbyHoldsNoClock(t *testing.T) {
	now := clock.NewFake(uint64(time.Now().UnixNano()))
	e := &engine{holder: cell.LeaseRequest{Holder: [16]byte{9}}, until: time.Now().Add(time.Hour)}
	a := join(t, e, "a", func(o *cell.MemberOptions) { o.Clock = now })
	for range 2 {
		if a.Stats().ClockHeld {
			t.Error("a node that does not lead holds writes")
		}
		now.Jump(2 * cell.MaxClockStep)
	}
}

// TestALeaderThatGetsReadySlowlyKeepsTheLease: nobody takes over meanwhile.
func TestALeaderThatGetsReadySlowlyKeepsTheLease(t *testing.T) {
	e := &engine{}
	begun, ready := make(chan struct{}), make(chan struct{})
	a := join(t, e, "a", func(o *cell.MemberOptions) {
		leading := o.Leading
		o.Leading = func(ctx context.Context, c *cell.Cell) error {
			close(begun)
			<-ready
			return leading(ctx, c)
		}
	})
	<-begun
	b := join(t, e, "b", nil)
	began := time.Now()
	await(t, func() bool { // it is renewed for longer than it lasts
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.until.Sub(began) > 3*e.holder.TTL
	})
	close(ready)
	a.awaitLead(t)
	if m := b.Membership(); m.Takeovers != 0 || m.Leader != "a" {
		t.Errorf("another node has led: %+v", m)
	}
}
