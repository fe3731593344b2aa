package cell_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// engine is a log and its leases, which several nodes reach.
type engine struct {
	celltest.Memory
	mu     sync.Mutex
	holder cell.LeaseRequest
	until  time.Time
	behind map[string]time.Duration // how far its clock is behind a node's
	asleep map[string]chan struct{} // a node's question for the lease waits until it is closed
}

// wire is how one node reaches the engine.
type wire struct {
	*engine
	slow  time.Duration // the engine's clock, as this node sees it, is behind its own
	cut   atomic.Bool   // nothing gets through
	lossy atomic.Bool   // what is appended is there, and the answer is lost
}

var errCut = errors.New("the connection is cut")

func (w *wire) Append(ctx context.Context, b *journal.Block) error {
	if w.cut.Load() {
		return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, errCut)
	}
	err := w.engine.Append(ctx, b)
	if err == nil && w.lossy.Swap(false) {
		return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, errCut)
	}
	return err
}

func (w *wire) Lease(_ context.Context, r cell.LeaseRequest) (cell.Lease, error) {
	if w.cut.Load() {
		return cell.Lease{}, errCut
	}
	w.mu.Lock()
	sleep := w.asleep[r.Address]
	w.mu.Unlock()
	if sleep != nil {
		<-sleep
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !now.Before(w.until) || w.holder.Holder == r.Holder {
		w.holder, w.until = r, now.Add(r.TTL)
	}
	return w.state(now, r.Holder), nil
}

func (w *wire) state(now time.Time, asker [16]byte) cell.Lease {
	l := cell.Lease{Now: now.Add(-w.slow)}
	if now.Before(w.until) {
		l.Holder, l.Address, l.Remaining = w.holder.Holder, w.holder.Address, w.until.Sub(now)
		l.Held = l.Holder == asker
	}
	return l
}

func (w *wire) Leader(context.Context) (cell.Lease, error) {
	if w.cut.Load() {
		return cell.Lease{}, errCut
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state(time.Now(), [16]byte{}), nil
}

func (w *wire) Release(_ context.Context, holder [16]byte) error {
	if w.cut.Load() {
		return errCut
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder.Holder == holder {
		w.until = time.Time{}
	}
	return nil
}

// peer is one node of a cell.
type peer struct {
	*cell.Member
	wire    *wire
	leading chan struct{} // a word for every takeover
	failed  chan error
}

func join(t *testing.T, e *engine, name string, change func(*cell.MemberOptions)) *peer {
	t.Helper()
	p := &peer{wire: &wire{engine: e}, leading: make(chan struct{}, 100), failed: make(chan error, 1)}
	o := cell.MemberOptions{
		Options: cell.Options{ID: 7, Log: p.wire, Clock: clock.NewSystem(), HashKey: [2]uint64{3, 5}},
		Leases:  p.wire, Address: name, TTL: 300 * time.Millisecond, Poll: 5 * time.Millisecond,
		NewIncarnation: func() (b [16]byte) { _, _ = rand.Read(b[:]); return b },
		Leading:        func(context.Context, *cell.Cell) error { p.leading <- struct{}{}; return nil },
		Failed:         func(err error) { p.failed <- err },
	}
	if change != nil {
		change(&o)
	}
	p.wire.slow = e.behind[name]
	var err error
	if p.Member, err = cell.Join(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.wire.cut.Store(false)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// awaitLead waits until the node leads and answers calls.
func (p *peer) awaitLead(t *testing.T) {
	t.Helper()
	stood := p.Membership().StoodDown
	select {
	case <-p.leading:
	case err := <-p.failed:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("it does not lead")
	}
	await(t, func() bool {
		_, err := p.Leader()
		return err == nil || p.Membership().StoodDown > stood
	})
}

// pay sends one transfer until some peer has answered it, and returns its status.
func pay(ctx context.Context, id uint64, peers ...*peer) (journal.Status, error) {
	for ctx.Err() == nil {
		for _, p := range peers {
			list := []journal.Transfer{transfer(id, 1, 2, 1)}
			r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, 1)}
			attempt, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			err := p.Do(attempt, r)
			cancel()
			if err == nil {
				return r.Results[0].Status, nil
			}
		}
	}
	return 0, ctx.Err()
}

func openAccounts(t *testing.T, p *peer) {
	t.Helper()
	var err error
	for range 2000 {
		list := []journal.Account{account(1), account(2)}
		r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(list), Results: make([]journal.Result, 2)}
		if err = p.Do(t.Context(), r); err == nil {
			return
		}
		if !errors.Is(err, cell.ErrNotLeader) {
			break
		}
	}
	t.Fatal(err)
}

func credits(t *testing.T, peers ...*peer) uint64 {
	t.Helper()
	for range 100_000 {
		for _, p := range peers {
			list, err := p.LookupAccounts(t.Context(), []money.U128{money.From(2)})
			if err == nil && len(list) == 1 {
				return list[0].CreditsPosted.Lo
			}
		}
	}
	t.Fatal("no balance to be had")
	return 0
}

// TestAStandbyTakesOver: the leader is cut off from the log in the middle of payments. Another leads; every payment is
// there once, whatever its sender heard; and the old leader answers nothing by itself.
func TestAStandbyTakesOver(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	b := join(t, e, "b", nil)
	const payments = 300
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var senders sync.WaitGroup
	for s := range uint64(3) {
		senders.Go(func() {
			for n := range uint64(payments / 3) {
				if s == 0 && n == 50 {
					a.wire.cut.Store(true)
				}
				status, err := pay(ctx, 100+s*1000+n, a, b)
				if err != nil || status != journal.TransferCreated && status != journal.TransferExists {
					t.Errorf("payment %d of %d: %v, %v", n, s, status, err)
				}
			}
		})
	}
	senders.Wait()
	b.awaitLead(t)
	if _, err := a.LookupAccounts(ctx, []money.U128{money.From(1)}); err == nil {
		t.Error("the node that was cut off answered a read")
	}
	if got := credits(t, b); got != payments {
		t.Errorf("%d payments are there, %d were made", got, payments)
	}
	a.wire.cut.Store(false)
	if err := b.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	a.awaitLead(t)
	if got := credits(t, a); got != payments {
		t.Errorf("%d payments are there after the way back", got)
	}
}

// TestADeposedLeaderIsFenced: a leader that sleeps through its lease, and does not know, can't write or read.
func TestADeposedLeaderIsFenced(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	old, err := a.Leader()
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.until = time.Time{}
	e.holder = cell.LeaseRequest{Holder: [16]byte{1}, Address: "c", TTL: time.Hour}
	e.until = time.Now().Add(time.Hour)
	e.mu.Unlock()
	other, err := cell.OpenStandby(t.Context(), cell.Options{ID: 7, Log: &wire{engine: e}, Clock: clock.NewSystem(), HashKey: [2]uint64{3, 5}, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := other.Lead(t.Context(), [16]byte{2}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(9, 1, 2, 5)}), Results: make([]journal.Result, 1)}
	if err := old.Do(t.Context(), r); !errors.Is(err, cell.ErrOutcomeUnknown) && !errors.Is(err, cell.ErrStopped) {
		t.Errorf("a deposed leader wrote: %v", err)
	}
	if _, err := old.LookupAccounts(t.Context(), []money.U128{money.From(1)}); err == nil {
		t.Error("a deposed leader answered a read")
	}
	list, err := c.LookupTransfers(t.Context(), []money.U128{money.From(9)})
	if err != nil || len(list) != 0 {
		t.Errorf("the payment of the deposed leader: %v, %v", list, err)
	}
}

// TestALostAnswerNeedsASuccessor: a block whose answer was lost counts when the next one stands on it, which comes by
// itself.
func TestALostAnswerNeedsASuccessor(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	a.wire.lossy.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(9, 1, 2, 5)}), Results: make([]journal.Result, 1)}
	if err := a.Do(ctx, r); err != nil {
		t.Fatal(err)
	}
	head, _, err := e.Head(ctx)
	if err != nil || head <= r.Seq {
		t.Errorf("acknowledged as of block %d, and the log ends with block %d (%v)", r.Seq, head, err)
	}
}

// TestAStandbyHasWhatWasAcknowledged: an idle leader's last block gets a successor, so that standbys have it too.
func TestAStandbyHasWhatWasAcknowledged(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	if _, err := pay(t.Context(), 10, a); err != nil {
		t.Fatal(err)
	}
	want := a.Head()
	b := join(t, e, "b", nil)
	late := time.After(10 * time.Second)
	for b.Head() < want {
		select {
		case <-late:
			t.Fatalf("the standby is at block %d, the leader at %d", b.Head(), want)
		case <-time.After(time.Millisecond):
		}
	}
	var not *cell.NotLeaderError
	if _, err := b.Leader(); !errors.As(err, &not) || not.Leader != "a" {
		t.Errorf("the standby says %v", err)
	}
	if err := b.Drain(t.Context()); !errors.Is(err, cell.ErrNotLeader) {
		t.Errorf("draining a standby: %v", err)
	}
}

// TestDrainFailsNoCall: leadership moves to and fro under load; whoever is told that a node does not lead asks the
// other one, and nobody is told anything else.
func TestDrainFailsNoCall(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	b := join(t, e, "b", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var calls atomic.Uint64
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for s := range uint64(4) {
		senders.Go(func() {
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for {
					var err error
					for _, p := range []*peer{a, b} {
						r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(s*1_000_000+n+10, 1, 2, 1)}), Results: make([]journal.Result, 1)}
						if err = p.Do(ctx, r); err == nil {
							break
						}
						if !errors.Is(err, cell.ErrNotLeader) {
							t.Errorf("a call failed: %v", err)
							return
						}
					}
					if err == nil {
						break
					}
				}
				calls.Add(1)
			}
		})
	}
	from, to := a, b
	for range 4 {
		if err := from.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		to.awaitLead(t)
		from, to = to, from
	}
	close(stop)
	senders.Wait()
	if got := credits(t, a, b); got != calls.Load() {
		t.Errorf("%d payments are there, %d were answered", got, calls.Load())
	}
}

// tired gives a recovery up after some blocks.
type tired struct {
	cell.Log
	after atomic.Int32
	stop  context.CancelFunc
}

func (l *tired) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	if l.after.Add(-1) < 0 {
		l.stop()
		return nil, ctx.Err()
	}
	return l.Log.Read(ctx, seq, dst)
}

func TestARecoveryCanBeGivenUp(t *testing.T) {
	e := &engine{}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	for id := range uint64(30) {
		if _, err := pay(t.Context(), 10+id, a); err != nil {
			t.Fatal(err)
		}
	}
	for after := range int32(12) {
		ctx, stop := context.WithCancel(t.Context())
		l := &tired{Log: e, stop: stop}
		l.after.Store(after)
		if _, err := cell.OpenStandby(ctx, cell.Options{ID: 7, Log: l, Clock: clock.NewSystem()}); !errors.Is(err, context.Canceled) {
			t.Errorf("given up after %d blocks: %v", after, err)
		}
		stop()
	}
}

// TestANodeWhoseClockIsAheadLeavesItToAnother: it would hold all writes. Where there is no other, it leads, and holds them.
func TestANodeWhoseClockIsAheadLeavesItToAnother(t *testing.T) {
	e := &engine{behind: map[string]time.Duration{"a": time.Hour}}
	a := join(t, e, "a", nil)
	b := join(t, e, "b", nil)
	b.awaitLead(t)
	openAccounts(t, b)
	if a.Membership().Takeovers != 0 {
		t.Error("the node with the wrong clock led")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.awaitLead(t)
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{transfer(9, 1, 2, 5)}), Results: make([]journal.Result, 1)}
	err := a.Do(t.Context(), r)
	for errors.Is(err, cell.ErrNotLeader) { // in a moment
		err = a.Do(t.Context(), r)
	}
	if !errors.Is(err, cell.ErrClockHeld) {
		t.Errorf("a write by a clock that is an hour ahead: %v", err)
	}
	a.AcceptClock()
	r = &cell.Request{Kind: journal.KindTransfers, Events: r.Events, Results: make([]journal.Result, 1)}
	if err := a.Do(t.Context(), r); err != nil || r.Results[0].Status != journal.TransferCreated {
		t.Errorf("once it is accepted: %v, %v", err, r.Results)
	}
}

// TestASleeperDoesNotLeadAgainByItsLease: a leader sleeps; another leads, and stands down. The sleeper finds the lease free
// when it wakes up, and must not take that for its leadership: it would keep all others from leading.
func TestASleeperDoesNotLeadAgainByItsLease(t *testing.T) {
	e := &engine{asleep: map[string]chan struct{}{}}
	a := join(t, e, "a", nil)
	a.awaitLead(t)
	openAccounts(t, a)
	wake := make(chan struct{})
	e.mu.Lock()
	e.asleep["a"] = wake
	e.mu.Unlock()
	b := join(t, e, "b", nil)
	b.awaitLead(t)
	if _, err := pay(t.Context(), 10, b); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.asleep["b"] = make(chan struct{}) // it asks no more
	e.until = time.Time{}
	delete(e.asleep, "a")
	e.mu.Unlock()
	close(wake)
	late := time.After(20 * time.Second)
	for a.Membership().StoodDown == 0 {
		select {
		case <-late:
			t.Fatal("the node that slept leads by a lease alone")
		case <-time.After(time.Millisecond):
		}
	}
	e.mu.Lock()
	close(e.asleep["b"])
	delete(e.asleep, "b")
	e.mu.Unlock()
}
