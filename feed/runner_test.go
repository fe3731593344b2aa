package feed_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// receiver is a sink in memory. Before each delivery it asks what to do.
type receiver struct {
	mu     sync.Mutex
	keys   []string // of the events that arrived, in order
	times  map[string]int
	before func(ctx context.Context, d *feed.Delivery) error
}

func (r *receiver) Deliver(ctx context.Context, d *feed.Delivery) error {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		if err := before(ctx, d); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = map[string]int{}
	}
	for _, e := range d.Events {
		key := e.GetKindName() + " " + feed.EventKey(e)
		if r.times[key]++; r.times[key] == 1 {
			r.keys = append(r.keys, key)
		}
	}
	return nil
}

func (r *receiver) Close() error { return nil }

func (r *receiver) then(before func(ctx context.Context, d *feed.Delivery) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

func (r *receiver) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.keys, ", ")
}

func (b *bank) sinks(dir string, list ...feed.SinkOptions) *feed.Runners {
	b.t.Helper()
	return b.sinksOn(feed.Folder(dir), list...)
}

func (b *bank) sinksOn(shelf feed.Shelf, list ...feed.SinkOptions) *feed.Runners {
	b.t.Helper()
	rs, err := b.feed.NewSinks(feed.RunnerOptions{
		Shelf: shelf, Clock: clock.NewSystem(), Logger: slog.New(slog.DiscardHandler), Jitter: func() float64 { return 0.5 },
	}, list)
	if err != nil {
		b.t.Fatal(err)
	}
	rs.Serve()
	b.t.Cleanup(func() {
		if err := rs.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return rs
}

func sink(name string, s feed.Sink) feed.SinkOptions {
	return feed.SinkOptions{
		Name: name, Kind: "test", Sink: s, FirstPause: time.Millisecond, LastPause: 5 * time.Millisecond, Timeout: 50 * time.Millisecond,
		Filter: feed.Filter{Kinds: []feed.Kind{feed.TransferCreated}},
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (b *bank) pay(id uint64) { must(b, journal.KindTransfers, 2, transfer(id, 1, 2, 1)) }

func status(rs *feed.Runners, name string) *ledgerv1.Sink {
	for _, s := range rs.Status() {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

func TestASinkGoesOnWhereItWas(t *testing.T) {
	b, dir, r := newBank(t, nil), t.TempDir(), &receiver{}
	b.seed(2)
	rs := b.sinks(dir, sink("books", r))
	b.pay(1)
	b.pay(2)
	eventually(t, "two events arrive", func() bool { return r.got() == "transfer_created 1, transfer_created 2" })
	if err := rs.Close(); err != nil {
		t.Fatal(err)
	}
	b.pay(3)
	b.reopen() // the ledger, too
	b.pay(4)
	rs = b.sinks(dir, sink("books", r))
	eventually(t, "the others arrive", func() bool {
		return r.got() == "transfer_created 1, transfer_created 2, transfer_created 3, transfer_created 4"
	})
	for key, n := range r.times {
		if n != 1 {
			t.Errorf("%s arrived %d times, although nothing crashed", key, n)
		}
	}
	eventually(t, "the status is up to date", func() bool {
		s := status(rs, "books")
		return s.GetState() == ledgerv1.SinkState_SINK_STATE_RUNNING && s.GetLagBlocks() == 0 && s.GetEvents() == 2
	})
}

// A crash loses the cursor's last moves: the events after it come again, and none is left out.
func TestAfterACrashEventsComeAgain(t *testing.T) {
	b, dir, r := newBank(t, nil), t.TempDir(), &receiver{}
	b.seed(2)
	rs := b.sinks(dir, sink("books", r))
	b.pay(1)
	eventually(t, "the first arrives", func() bool { return r.got() != "" })
	path := filepath.Join(dir, "books.json")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.pay(2)
	eventually(t, "the second arrives", func() bool { return r.got() == "transfer_created 1, transfer_created 2" })
	if err := rs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	b.pay(3)
	b.sinks(dir, sink("books", r))
	eventually(t, "the third arrives", func() bool { return r.got() == "transfer_created 1, transfer_created 2, transfer_created 3" })
	if r.times["transfer_created 2"] != 2 {
		t.Errorf("the second arrived %d times; the cursor was before it", r.times["transfer_created 2"])
	}
}

var errDown = errors.New("the receiver is down")

// refuse fails deliveries that have a key.
func refuse(key string) func(context.Context, *feed.Delivery) error {
	return func(_ context.Context, d *feed.Delivery) error {
		for _, e := range d.Events {
			if feed.EventKey(e) == key {
				return errDown
			}
		}
		return nil
	}
}

func TestWhatNeverArrivesBecomesADeadLetter(t *testing.T) {
	b, dir, r := newBank(t, nil), t.TempDir(), &receiver{}
	b.seed(2)
	o := sink("partners", r)
	o.Attempts = 3
	r.then(refuse("2"))
	rs := b.sinks(dir, o)
	for id := uint64(1); id <= 3; id++ {
		b.pay(id)
		eventually(t, "it is dealt with", func() bool { return status(rs, "partners").GetLagBlocks() == 0 })
	}
	eventually(t, "delivery goes on", func() bool { return r.got() == "transfer_created 1, transfer_created 3" })
	if err := rs.Close(); err != nil { // and what was given up survives
		t.Fatal(err)
	}
	rs = b.sinks(dir, o)
	list, err := rs.DeadLetters(t.Context(), "partners", "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("dead letters: %v, %v", list, err)
	}
	letter, events, err := rs.DeadLetter(t.Context(), "partners", list[0].GetId())
	if err != nil || letter.GetAttempts() != 3 || letter.GetError() != errDown.Error() || len(events) != 1 || events[0].GetTransfer().GetId() != "2" {
		t.Errorf("%v, %v, %v", letter, events, err)
	}
	ctx := context.Background()
	if err := rs.Redeliver(ctx, "partners", letter.GetId()); !errors.Is(err, feed.ErrDelivery) || !errors.Is(err, errDown) {
		t.Errorf("redelivered to who is down: %v", err)
	}
	r.then(nil)
	if err := rs.Redeliver(ctx, "partners", letter.GetId()); err != nil {
		t.Errorf("redeliver: %v", err)
	}
	if got := r.got(); got != "transfer_created 1, transfer_created 3, transfer_created 2" {
		t.Errorf("arrived: %s", got)
	}
	for _, err := range []error{
		rs.Redeliver(ctx, "partners", letter.GetId()), rs.Drop(t.Context(), "partners", letter.GetId()), rs.Drop(t.Context(), "partners", "../partners"), rs.Drop(t.Context(), "nobody", "x"),
	} {
		if !errors.Is(err, feed.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
	}
	if s := status(rs, "partners"); s.GetDeadLetters() != 0 || s.GetDeadLetterBytes() != 0 {
		t.Errorf("status: %v", s)
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	b, r := newBank(t, nil), &receiver{}
	b.seed(2)
	o := sink("partners", r)
	o.Attempts, o.DeadBytes = 1, 1000 // one fits
	r.then(func(context.Context, *feed.Delivery) error { return errDown })
	rs := b.sinks(t.TempDir(), o)
	b.pay(1)
	eventually(t, "one is dead", func() bool { return status(rs, "partners").GetDeadLetters() == 1 })
	b.pay(2)
	eventually(t, "the sink waits", func() bool {
		s := status(rs, "partners")
		return s.GetState() == ledgerv1.SinkState_SINK_STATE_STOPPED && s.GetLagBlocks() == 1 && strings.Contains(s.GetLastError(), "redeliver or drop")
	})
	list, err := rs.DeadLetters(t.Context(), "partners", "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := rs.Drop(t.Context(), "partners", list[0].GetId()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second is dead", func() bool { s := status(rs, "partners"); return s.GetDeadLetters() == 1 && s.GetLagBlocks() == 0 })
}

func TestWhereASinkStopsNothingPasses(t *testing.T) {
	b, r := newBank(t, nil), &receiver{}
	b.seed(2)
	o := sink("books", r)
	o.Attempts, o.Stop = 2, true
	r.then(refuse("1"))
	rs := b.sinks(t.TempDir(), o)
	b.pay(1)
	b.pay(2)
	eventually(t, "it stops", func() bool { return status(rs, "books").GetState() == ledgerv1.SinkState_SINK_STATE_STOPPED })
	if s := status(rs, "books"); r.got() != "" || s.GetDeadLetters() != 0 || s.GetLagBlocks() == 0 {
		t.Errorf("%q arrived; %v", r.got(), s)
	}
	r.then(nil)
	eventually(t, "all arrive in order", func() bool { return r.got() == "transfer_created 1, transfer_created 2" })
	eventually(t, "it runs", func() bool { return status(rs, "books").GetState() == ledgerv1.SinkState_SINK_STATE_RUNNING })
}

func TestASinkThatHangsHurtsNobodyElse(t *testing.T) {
	b, hung, well := newBank(t, nil), &receiver{}, &receiver{}
	b.seed(2)
	attempts := make(chan struct{}, 100)
	hung.then(func(ctx context.Context, _ *feed.Delivery) error {
		select {
		case attempts <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	})
	rs := b.sinks(t.TempDir(), sink("hung", hung), sink("well", well))
	b.pay(1)
	<-attempts
	for id := uint64(2); id <= 20; id++ {
		b.pay(id)
	}
	eventually(t, "the other goes on", func() bool { return strings.HasSuffix(well.got(), "transfer_created 20") })
	<-attempts // it was given up in time, and tried again
	eventually(t, "it says so", func() bool {
		s := status(rs, "hung")
		return s.GetState() == ledgerv1.SinkState_SINK_STATE_RETRYING && s.GetRetries() > 0 && strings.Contains(s.GetLastError(), "deadline")
	})
}

func TestAPermanentErrorIsNotRepeated(t *testing.T) {
	b, r := newBank(t, nil), &receiver{}
	b.seed(2)
	r.then(func(context.Context, *feed.Delivery) error { return feed.Permanent(errDown) })
	rs := b.sinks(t.TempDir(), sink("books", r)) // tries for ever
	b.pay(1)
	eventually(t, "it is a dead letter", func() bool { return status(rs, "books").GetDeadLetters() == 1 })
	if n := status(rs, "books").GetRetries(); n != 0 {
		t.Errorf("%d retries", n)
	}
}

func TestADamagedOrForeignCursorStopsItsSinkOnly(t *testing.T) {
	b, dir, r, well := newBank(t, nil), t.TempDir(), &receiver{}, &receiver{}
	b.seed(2)
	b.pay(1)
	for content, says := range map[string]string{
		"{": "unexpected end", `{"sink":"other","position":"7:1:1"}`: "it is of sink", `{"sink":"bad","position":"8:1:1"}`: "another cell",
		`{"sink":"bad","position":"7:99999:1"}`: "beyond the end", `{"sink":"bad"}`: "at 0:0:0",
	} {
		if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		rs := b.sinks(dir, sink("bad", r), sink("well", well))
		eventually(t, "it says "+says, func() bool {
			s := status(rs, "bad")
			return s.GetState() == ledgerv1.SinkState_SINK_STATE_STOPPED && strings.Contains(s.GetLastError(), says)
		})
		eventually(t, "the other runs", func() bool { return well.got() == "transfer_created 1" })
		if err := rs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r.got() != "" {
		t.Errorf("%q arrived", r.got())
	}
}

func TestANewSinkFromNowOnKeepsItsPlace(t *testing.T) {
	b, dir, r := newBank(t, nil), t.TempDir(), &receiver{}
	b.seed(2)
	b.pay(1)
	o := sink("books", r)
	o.Start = feed.Now()
	rs := b.sinks(dir, o)
	eventually(t, "it runs", func() bool { return status(rs, "books").GetState() == ledgerv1.SinkState_SINK_STATE_RUNNING })
	if err := rs.Close(); err != nil {
		t.Fatal(err)
	}
	b.pay(2)
	b.sinks(dir, o)
	eventually(t, "what came while it was away arrives", func() bool { return r.got() == "transfer_created 2" })
}

func TestSinkNamesAreFileNames(t *testing.T) {
	b := newBank(t, nil)
	for _, names := range [][]string{{""}, {"../x"}, {"A"}, {"a", "a"}, {strings.Repeat("a", 65)}} {
		var list []feed.SinkOptions
		for _, n := range names {
			list = append(list, sink(n, &receiver{}))
		}
		rs, err := b.feed.NewSinks(feed.RunnerOptions{Shelf: feed.Folder(t.TempDir()), Clock: clock.NewSystem(), Logger: slog.New(slog.DiscardHandler)}, list)
		if err == nil {
			t.Errorf("%q are good names", names)
		}
		if err := rs.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnotherNodeGoesOn: nodes that share a shelf serve the sinks in turn; nothing is left out, and what one gave up on the
// other has.
func TestAnotherNodeGoesOn(t *testing.T) {
	b, shelf := newBank(t, nil), feed.Folder(t.TempDir())
	b.seed(2)
	o := func(r *receiver) feed.SinkOptions {
		o := sink("partners", r)
		o.Attempts = 1
		return o
	}
	one, two := &receiver{}, &receiver{}
	one.then(refuse("2"))
	first := b.sinksOn(shelf, o(one))
	b.pay(1)
	eventually(t, "the first arrives", func() bool { return one.got() == "transfer_created 1" })
	second := b.sinksOn(shelf, o(two))
	second.Pause()
	if first.Serving() == false || second.Serving() {
		t.Fatal("not the first serves")
	}
	b.pay(2)
	eventually(t, "the second is given up", func() bool { return status(first, "partners").GetDeadLetters() == 1 })
	first.Pause()
	b.pay(3)
	second.Serve()
	eventually(t, "the third arrives at the second node", func() bool { return strings.HasSuffix(two.got(), "transfer_created 3") })
	list, err := second.DeadLetters(t.Context(), "partners", "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := second.Redeliver(t.Context(), "partners", list[0].GetId()); err != nil {
		t.Fatal(err)
	}
	first.Serve()
	if list, err := first.DeadLetters(t.Context(), "partners", "", 10); err != nil || len(list) != 0 {
		t.Errorf("the second has delivered it: %v, %v", list, err)
	}
	if !strings.Contains(two.got(), "transfer_created 2") || strings.Contains(one.got(), "3") {
		t.Errorf("arrived: %s and %s", one.got(), two.got())
	}
}

// TestClosedSinksStayClosed: a node that gets to lead while it stops serves nothing.
func TestClosedSinksStayClosed(t *testing.T) {
	b, r := newBank(t, nil), &receiver{}
	rs := b.sinks(t.TempDir(), sink("books", r))
	if err := rs.Close(); err != nil {
		t.Fatal(err)
	}
	rs.Serve()
	if rs.Serving() {
		t.Error("they are served")
	}
}
