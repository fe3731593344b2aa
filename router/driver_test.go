package router_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

func TestATransferReachesTheOtherCell(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, journal.AccountDebitsMustNotExceedCredits), w.account(2, 0)
	w.fund(debit, 100)
	if got := w.must(transfer(1, debit, credit, 30), transfer(2, debit, credit, 71), transfer(3, debit, credit, 70)); !slices.Equal(got, []journal.Status{journal.Created, journal.TransferExceedsCredits, journal.Created}) {
		t.Errorf("statuses %v", got)
	}
	w.quiet(0)
	w.expect(debit, 0, 0, 0)
	w.expect(credit, 100, 0, 0)
	again := transfer(1, debit, credit, 30)
	other := again
	other.Amount = money.From(31)
	if got := w.must(again); got[0] != journal.TransferExists {
		t.Errorf("sent again: %v", got)
	}
	if got := w.must(other); got[0] != journal.TransferExistsWithDifferentAmount {
		t.Errorf("sent again with another amount: %v", got)
	}
	if got := w.must(transfer(2, debit, credit, 1)); got[0] != journal.TransferIdAlreadyFailed {
		t.Errorf("one that was refused: %v", got)
	}
	w.quiet(0)
	w.expect(credit, 100, 0, 0)
}

func TestTheOtherCellRefuses(t *testing.T) {
	w := newWorld(t, 2)
	debit := w.account(1, 0)
	limited := w.account(2, journal.AccountCreditsMustNotExceedDebits)
	missing := limited
	for w.m.Buckets[journal.Bucket(missing)] != 2 || missing == limited {
		missing.Lo += 1000
	}
	got := w.must(transfer(1, debit, limited, 5), transfer(2, debit, missing, 5))
	if want := []journal.Status{journal.TransferExceedsDebits, journal.TransferCreditAccountNotFound}; !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	w.quiet(0)
	w.expect(debit, 0, 0, 0)
	w.expect(limited, 0, 0, 0)
	if got := w.must(transfer(1, debit, limited, 5)); got[0] != journal.TransferIdAlreadyFailed {
		t.Errorf("sent again: %v", got)
	}
}

func TestTwoPhase(t *testing.T) {
	for name, end := range map[string]struct {
		flags  journal.TransferFlags
		amount money.U128
		want   int64
	}{
		"post":      {journal.TransferPost, money.Max(), 50},
		"post part": {journal.TransferPost, money.From(20), 20},
		"post none": {journal.TransferPost, money.U128{}, 0},
		"void":      {journal.TransferVoid, money.U128{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			debit, credit := w.account(1, 0), w.account(2, 0)
			pending := transfer(1, debit, credit, 50)
			pending.Flags = journal.TransferPending
			if got := w.must(pending); got[0] != journal.Created {
				t.Fatal(got)
			}
			w.quiet(1)
			w.expect(debit, 0, 50, 0)
			w.expect(credit, 0, 0, 50)
			w.cells[1].takeover()
			w.quiet(1)
			ending := w.ending(t, pending, journal.Transfer{ID: money.From(9), PendingID: pending.ID, Flags: end.flags, Amount: end.amount, Credit: credit})
			for _, want := range []journal.Status{journal.Created, journal.TransferExists} {
				results, err := w.cells[1].drives().Settle(context.Background(), teller, []router.Ending{ending})
				if err != nil || results[0].Status != want {
					t.Fatalf("%v, %v; want %v", results, err, want)
				}
			}
			w.quiet(0)
			w.expect(debit, -end.want, 0, 0)
			w.expect(credit, end.want, 0, 0)
		})
	}
}

// ending is the post or void of a recorded transfer.
func (w *world) ending(t *testing.T, of, p journal.Transfer) router.Ending {
	t.Helper()
	c, _ := w.cells[w.m.Buckets[journal.Bucket(of.Debit)]].current()
	list, err := c.LookupTransfers(context.Background(), []money.U128{of.ID})
	if err != nil || len(list) != 1 {
		t.Fatalf("look up %v: %v, %v", of.ID, list, err)
	}
	x, ok := journal.TransitOf([]byte(list[0].Attachment))
	if !ok {
		t.Fatal("the transfer says nothing of being in transit")
	}
	return router.Ending{Transfer: p, Of: x, Asset: cny}
}

func TestATwoPhaseTransferExpires(t *testing.T) {
	for _, crash := range []bool{false, true} {
		w := newWorld(t, 2)
		debit, credit := w.account(1, 0), w.account(2, 0)
		pending := transfer(1, debit, credit, 50)
		pending.Flags, pending.Timeout = journal.TransferPending, 1
		if got := w.must(pending); got[0] != journal.Created {
			t.Fatal(got)
		}
		if crash {
			w.cells[1].takeover()
		}
		w.quiet(0)
		w.expect(debit, 0, 0, 0)
		w.expect(credit, 0, 0, 0)
	}
}

// TestCrashesBetweenAllSteps cuts the coordinator off before and after everything it does, with a takeover each time.
func TestCrashesBetweenAllSteps(t *testing.T) {
	for _, pending := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				if !crashAt(t, n, after, pending) {
					if n < 6 {
						t.Fatalf("the driver did %d things only", n)
					}
					break
				}
			}
		}
	}
}

// crashAt has transfers go across cells while the n-th action of the driver is its last. It is false where there were not
// so many.
func crashAt(t *testing.T, n int, after, pending bool) bool {
	w := newWorld(t, 2)
	debit, credit := w.account(1, journal.AccountDebitsMustNotExceedCredits), w.account(2, 0)
	refusing := w.account(2, journal.AccountCreditsMustNotExceedDebits)
	w.fund(debit, 100)
	list := []journal.Transfer{transfer(1, debit, credit, 60), transfer(2, debit, refusing, 10), transfer(3, debit, credit, 50)}
	waiting := 0
	if pending {
		list[0].Flags, waiting = journal.TransferPending, 1
	}
	cut, sent := make(chan struct{}), make(chan error, 1)
	w.fuse.set(n, after, func() { close(cut) })
	go func() {
		_, err := w.send(list...)
		for err == nil && w.cells[1].drives().Stats().Open != waiting && !w.fuse.isBurnt() { // the rest goes on in the background
			runtime.Gosched()
		}
		sent <- err
	}()
	select {
	case <-cut:
		w.cells[1].drives().Stand()
		if err := <-sent; err != nil {
			t.Logf("cut off at %d: %v", n, err)
		}
	case err := <-sent:
		if err != nil && !w.fuse.isBurnt() {
			t.Fatal(err)
		}
	}
	crashed := w.fuse.isBurnt()
	w.cells[1].drives().Stand()
	w.fuse.set(0, false, nil)
	w.cells[1].takeover()
	label := fmt.Sprintf("crash at %d, after %v, pending %v", n, after, pending)
	for try := 0; ; try++ {
		results, err := w.send(list...)
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		ok := results[0].Status == journal.Created || results[0].Status == journal.TransferExists
		refused := results[1].Status == journal.TransferExceedsDebits || results[1].Status == journal.TransferIdAlreadyFailed
		short := results[2].Status == journal.TransferExceedsCredits || results[2].Status == journal.TransferIdAlreadyFailed
		if !ok || !refused || !short {
			t.Fatalf("%s: %v", label, results)
		}
		if results[0].Status == journal.TransferExists {
			break
		}
	}
	w.quiet(waiting)
	if pending {
		w.expect(debit, 100, 60, 0)
		w.expect(credit, 0, 0, 60)
		ending := w.ending(t, list[0], journal.Transfer{ID: money.From(99), PendingID: list[0].ID, Flags: journal.TransferPost, Amount: money.Max()})
		if results, err := w.cells[1].drives().Settle(context.Background(), teller, []router.Ending{ending}); err != nil || results[0].Status != journal.Created {
			t.Fatalf("%s: %v, %v", label, results, err)
		}
		w.quiet(0)
	}
	w.expect(debit, 40, 0, 0)
	w.expect(credit, 60, 0, 0)
	w.expect(refusing, 0, 0, 0)
	if t.Failed() {
		t.Fatal(label)
	}
	return crashed
}

func TestTheSameTransferAtOnceIsMadeOnce(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	var group sync.WaitGroup
	var mu sync.Mutex
	counts := map[journal.Status]int{}
	for range 16 {
		group.Go(func() {
			results, err := w.send(transfer(1, debit, credit, 5), transfer(2, debit, credit, 7), transfer(1, debit, credit, 5))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range results {
				counts[r.Status]++
			}
		})
	}
	group.Wait()
	if counts[journal.Created] != 2 || counts[journal.TransferExists] != 46 {
		t.Errorf("statuses %v", counts)
	}
	w.quiet(0)
	w.expect(credit, 12, 0, 0)
}

// TestABadWire loses, doubles and delays what cells say to each other.
func TestABadWire(t *testing.T) {
	w := newWorld(t, 3)
	var mu sync.Mutex
	var late []func() ([]journal.Status, error)
	turn := 0
	w.wire = func(_, _ uint64, _ *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		mu.Lock()
		turn++
		kind := turn % 5
		if kind == 3 {
			late = append(late, deliver)
		}
		mu.Unlock()
		switch kind {
		case 0: // lost
			return nil, errBurned
		case 1: // the answer is lost
			_, err := deliver()
			return nil, errors.Join(errBurned, err)
		case 2: // doubled
			if _, err := deliver(); err != nil {
				return nil, err
			}
		case 3: // comes when all is over
			return nil, errBurned
		}
		return deliver()
	}
	accounts := []money.U128{w.account(1, 0), w.account(2, 0), w.account(3, 0)}
	want := map[money.U128]int64{}
	var group sync.WaitGroup
	for i := range 60 {
		from, to := accounts[i%3], accounts[(i+1+i%2)%3]
		want[from] -= int64(i)
		want[to] += int64(i)
		group.Go(func() {
			results, err := w.send(transfer(uint64(i+1), from, to, uint64(i)))
			if err != nil || results[0].Status != journal.Created {
				t.Errorf("transfer %d: %v, %v", i, results, err)
			}
		})
	}
	group.Wait()
	w.quiet(0)
	mu.Lock()
	defer mu.Unlock()
	for _, deliver := range late {
		if _, err := deliver(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	w.settled()
	for account, posted := range want {
		w.expect(account, posted, 0, 0)
	}
}

func TestAPeerThatIsDown(t *testing.T) {
	w := newWorld(t, 2)
	w.patience = 50 * time.Millisecond
	w.cells[1].takeover()
	debit, credit := w.account(1, journal.AccountDebitsMustNotExceedCredits), w.account(2, 0)
	w.fund(debit, 100)
	var mu sync.Mutex
	down := true
	var held func() ([]journal.Status, error)
	w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		if !down {
			return deliver()
		}
		if held == nil {
			held = deliver
		}
		return nil, errBurned
	}
	if _, err := w.send(transfer(1, debit, credit, 60)); !errors.Is(err, router.ErrPeer) {
		t.Fatalf("a peer that is down: %v", err)
	}
	w.expect(debit, 100, 0, 0) // at once: the money is free again
	mu.Lock()
	down = false
	mu.Unlock()
	results, err := w.send(transfer(1, debit, credit, 60))
	for errors.Is(err, router.ErrPeer) { // it is asked again after a pause
		results, err = w.send(transfer(1, debit, credit, 60))
	}
	if err != nil || results[0].Status != journal.Created {
		t.Errorf("the same id later: %v, %v", results, err)
	}
	w.quiet(0)
	if statuses, err := held(); err != nil || statuses[0] != journal.TransferIdAlreadyFailed {
		t.Errorf("the hold that was given up comes at last: %v, %v", statuses, err)
	}
	w.settled()
	w.expect(debit, 40, 0, 0)
	w.expect(credit, 60, 0, 0)
}

func TestNobodyLeads(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	w.cells[1].drives().Stand()
	if _, err := w.send(transfer(1, debit, credit, 1)); !errors.Is(err, router.ErrIdle) {
		t.Errorf("%v", err)
	}
	w.cells[1].takeover()
	w.wire = func(_, _ uint64, _ *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		return nil, errBurned
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := w.cells[1].drives().Transfer(ctx, teller, []router.Crossing{w.crossing(transfer(1, debit, credit, 1))})
	if !errors.Is(err, cell.ErrOutcomeUnknown) {
		t.Errorf("a caller that goes away: %v", err)
	}
}

// TestTakeoversUnderLoad has the leaders of all cells change while payments cross: each is made once, however often it was
// sent.
func TestTakeoversUnderLoad(t *testing.T) {
	w := newWorld(t, 3)
	w.patience = 200 * time.Millisecond
	accounts := []money.U128{w.account(1, 0), w.account(2, 0), w.account(3, 0)}
	const workers, each = 6, 25
	want := map[money.U128]int64{}
	var group sync.WaitGroup
	var working atomic.Int32
	working.Store(workers)
	for k := range workers {
		from, to := accounts[k%3], accounts[(k+1+k%2)%3]
		want[from] -= each
		want[to] += each
		group.Go(func() {
			defer working.Add(-1)
			for i := range each {
				one := transfer(uint64(1+k*each+i), from, to, 1)
				for {
					results, err := w.send(one)
					if err == nil && (results[0].Status == journal.Created || results[0].Status == journal.TransferExists) {
						break
					}
					if err == nil {
						t.Errorf("transfer %v: %v", one.ID, results)
						return
					}
				}
			}
		})
	}
	for n := uint64(0); working.Load() > 0; n++ {
		w.cells[1+n%3].takeover()
	}
	group.Wait()
	w.quiet(0)
	for account, posted := range want {
		w.expect(account, posted, 0, 0)
	}
}

// BenchmarkTransfer brings transfers to another cell about, 1,000 in a call, over journals in memory.
func BenchmarkTransfer(b *testing.B) {
	w := newWorld(b, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	next := uint64(0)
	for b.Loop() {
		list := make([]journal.Transfer, 1000)
		for i := range list {
			next++
			list[i] = transfer(next, debit, credit, 1)
		}
		if results, err := w.send(list...); err != nil || results[0].Status != journal.Created {
			b.Fatal(results, err)
		}
	}
	w.quiet(0)
}

func TestWhatADriverTells(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, journal.AccountCreditsMustNotExceedDebits)
	pending := transfer(1, debit, w.account(2, 0), 5)
	pending.Flags = journal.TransferPending
	w.must(pending, transfer(2, debit, credit, 5))
	w.quiet(1)
	s := w.cells[1].drives().Stats()
	if s.Open != 1 || s.Waiting != 1 || s.Undecided != 0 || s.Oldest != 0 || s.Committed != 1 || s.Aborted != 1 || s.Settled != 1 {
		t.Errorf("%+v", s)
	}
	w.cells[1].drives().Stand()
	if s := w.cells[1].drives().Stats(); s.Open != 0 || s.Waiting != 0 || s.Committed != 1 {
		t.Errorf("nobody leads: %+v", s)
	}
}
