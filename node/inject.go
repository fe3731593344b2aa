package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

// injector makes faults in a demonstration: it stands between the ledger and those who witness on one side, and the
// watch on the other. A fault is a story of its own, told wrongly: its money moves in the ledger, for real, and its
// order and receipts take the place of heartbeats of the demo bank's witnesses. What the ledger stores is never bent;
// where a block is to be, only the watch's copy of it is.
type injector struct {
	node *Node

	one sync.Mutex // one fault at a time

	mu    sync.Mutex
	words map[string][]watch.Observation // that wait for a heartbeat, by source
	told  map[string]map[uint64]watch.Observation
	taken chan struct{} // closed when one of words was taken
	mute  map[string]uint64
	bend  bool   // the next block
	bent  uint64 // 0: none
	used  map[money.U128]bool
}

// maxTold bounds the heartbeats of which is remembered what took their place, so that it does again when they are sent
// again.
const maxTold = 4096

func newInjector(n *Node) *injector {
	return &injector{
		node: n, words: map[string][]watch.Observation{}, told: map[string]map[uint64]watch.Observation{}, taken: make(chan struct{}),
		mute: map[string]uint64{}, used: map[money.U128]bool{},
	}
}

// bankLimit is for how long a demo bank is waited for that has just started: it opens its accounts first, and pays into
// them.
const bankLimit = 8 * time.Second

// errNoBank is a demonstration without its bank.
var errNoBank = fmt.Errorf("%w: no demo bank speaks for its witnesses: start one (sterling up --demo, or sterling demo beside the server)", watch.ErrDown)

// Inject implements api.WatchInjector.
func (x *injector) Inject(ctx context.Context, class watch.Class) (what, key string, err error) {
	x.one.Lock()
	defer x.one.Unlock()
	i := slices.IndexFunc(faults(), func(f Fault) bool { return f.Class == class })
	if i < 0 {
		return "", "", fmt.Errorf("%w: no fault of class %q can be made: sterling demo --inject list", api.ErrNotConfigured, string(class))
	}
	f := faults()[i]
	until := x.node.clock.Mono() + uint64(bankLimit)
	const attempts = 5 // accounts may be frozen
	for range attempts {
		s := &story{injector: x, ctx: ctx, until: until}
		if _, err := rand.Read(s.random[:]); err != nil {
			return "", "", fmt.Errorf("read random numbers: %w", err)
		}
		s.key = money.LE(s.random[:16])
		f.tell(s)
		if err = s.err; err == nil {
			err = s.run()
		}
		if err == nil {
			return f.What, s.key.String(), nil
		}
		if !errors.Is(err, errRefused) {
			break
		}
	}
	return "", "", err
}

// say has a source tell something instead of its next heartbeat, and waits until it has.
func (x *injector) say(ctx context.Context, source string, list ...watch.Observation) error {
	if len(list) == 0 {
		return nil
	}
	x.mu.Lock()
	x.words[source] = append(x.words[source], list...)
	x.mu.Unlock()
	late, stop := x.node.clock.After(5 * time.Second)
	defer stop()
	for {
		x.mu.Lock()
		left, taken := len(x.words[source]), x.taken
		x.mu.Unlock()
		if left == 0 {
			return nil
		}
		var err error
		select {
		case <-taken:
			continue
		case <-late:
			err = fmt.Errorf("%w (watch: %s)", errNoBank, source)
		case <-ctx.Done():
			err = ctx.Err()
		}
		x.mu.Lock()
		delete(x.words, source)
		x.mu.Unlock()
		return err
	}
}

// silence keeps a source from being heard for a while.
func (x *injector) silence(source string, d time.Duration) {
	x.mu.Lock()
	x.mute[source] = x.node.clock.Wall() + uint64(d) //nolint:gosec // G115: positive
	x.mu.Unlock()
}

// pass bends what a source tells; false: it is not to be heard.
func (x *injector) pass(source string, first uint64, list []watch.Observation) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mute[source] > x.node.clock.Wall() {
		return false
	}
	told := x.told[source]
	if told == nil || len(told) > maxTold {
		told = map[uint64]watch.Observation{}
		x.told[source] = told
	}
	for i := range list {
		seq := first + uint64(i)
		if list[i].Kind != watch.Heartbeat {
			continue
		}
		o, again := told[seq]
		if !again {
			waiting := x.words[source]
			if len(waiting) == 0 {
				continue
			}
			o = waiting[0]
			x.words[source] = waiting[1:]
			close(x.taken)
			x.taken = make(chan struct{})
		}
		if o.Through == 0 {
			o.Through = list[i].Through
		}
		o.Seq = seq
		told[seq] = o
		list[i] = o
	}
	return true
}

// bentWatch is the watch behind an injector.
type bentWatch struct {
	*monitor.Monitor
	x *injector
}

// Observe implements api.WatchObserver.
func (w bentWatch) Observe(ctx context.Context, source string, first uint64, list []watch.Observation) (uint64, error) {
	if len(list) > 0 && !w.x.pass(source, first, list) {
		return 0, fmt.Errorf("%w: the demonstration lets nobody hear %s at the moment", watch.ErrBehind, source)
	}
	return w.Monitor.Observe(ctx, source, first, list)
}

// bentLog is the journal as a demonstration's watch reads it.
type bentLog struct {
	monitor.Log
	x *injector
}

// Read implements monitor.Log.
func (l bentLog) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	raw, err := l.Log.Read(ctx, seq, dst)
	if err != nil {
		return raw, err
	}
	return l.x.block(seq, raw), nil
}

// block returns a block as the watch is to see it.
func (x *injector) block(seq uint64, raw []byte) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bend && x.bent == 0 {
		x.bend, x.bent = false, seq
	}
	if x.bent != seq || len(raw) == 0 {
		return raw
	}
	raw = bytes.Clone(raw)
	raw[len(raw)-1] ^= 1
	return raw
}

// errRefused is a transfer of a story that the ledger refused.
var errRefused = fmt.Errorf("%w: the ledger refused a transfer of the story", watch.ErrDown)

// book has transfers journaled, together or not at all.
func (x *injector) book(ctx context.Context, list []journal.Transfer) error {
	for i := range list[:len(list)-1] {
		list[i].Flags |= journal.TransferLinked
	}
	r := &cell.Request{Kind: journal.KindTransfers, Actor: injectActor(), Events: journal.Bytes(list), Results: make([]journal.Result, len(list))}
	if err := x.node.cell.Do(ctx, r); err != nil {
		return fmt.Errorf("move the story's money: %w", err)
	}
	for i := range r.Results {
		if status := r.Results[i].Status; status != journal.TransferCreated {
			return fmt.Errorf("%w: %s", errRefused, status.Name(journal.KindTransfers))
		}
	}
	return nil
}

// injectActor is who moves the money of a fault, as the journal has it.
func injectActor() journal.Actor { return journal.Actor([]byte("sterling/inject!")) }

// await asks until something is there; false: it was not, by a time of the node's monotonic clock.
func (x *injector) await(ctx context.Context, until uint64, there func() (bool, error)) (bool, error) {
	for {
		if is, err := there(); is || err != nil || x.node.clock.Mono() >= until {
			return is, err
		}
		if err := x.pause(ctx, 50*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// pause waits a moment by the node's clock.
func (x *injector) pause(ctx context.Context, d time.Duration) error {
	return clock.Sleep(ctx, x.node.clock, d)
}
