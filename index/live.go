package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Journal is where an index that is being built reads blocks from. A cell's log is one.
type Journal interface {
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
}

// Live is the index of a running ledger. It follows the ledger block by block; where it has missed some, is missing or
// is to be built anew, it reads the journal in the background, while the ledger goes on, and then follows again. Queries
// are answered by an index that is whole, or not at all: BuildingError.
//
// In its folder are the generations of the index, by number. While one is being built, another may go on answering; the
// oldest one that can be opened is the one that counts, so that a build which was cut short is never taken for whole:
// it goes on where it was durable, or is dropped.
type Live struct {
	dir     string
	options Options
	journal Journal
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.RWMutex
	current *Index // takes blocks and answers; nil while none is whole
	build   *build // nil: none
	number  int    // highest generation
	seen    uint64 // last block that Add was told of
	closed  bool
}

// ErrBuilding means: there is no whole index yet. It is being built; ask again later.
var ErrBuilding = errors.New("the index is being built")

// BuildingError is ErrBuilding with how far it is.
type BuildingError struct{ Build BuildStatus }

func (e *BuildingError) Error() string {
	if e.Build.Failure != nil {
		return fmt.Sprintf("the index could not be built: %v", e.Build.Failure)
	}
	return fmt.Sprintf("%v: block %d of %d (%d%%)", ErrBuilding, e.Build.Done, e.Build.Total, e.Build.Percent())
}

// Is makes it ErrBuilding.
func (e *BuildingError) Is(target error) bool { return target == ErrBuilding }

// BuildStatus is how far a build is.
type BuildStatus struct {
	Running     bool
	Whole       bool   // another index answers meanwhile, or the build is done
	Done, Total uint64 // blocks
	Failure     error  // why the last build ended without an index
}

// Percent is how much of the journal was read: 0 to 100, and 100 only where nothing is left.
func (s *BuildStatus) Percent() int {
	if s.Total == 0 || s.Done >= s.Total {
		return 100
	}
	return int(s.Done * 100 / s.Total) //nolint:gosec // < 100
}

// OpenLive opens the index in a folder, or a new one. What else is in the folder is removed: indexes of another layout,
// damaged ones, builds that were given up. Start must follow before Add.
func OpenLive(dir string, o Options) (*Live, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	l := &Live{dir: dir, options: o}
	l.ctx, l.stop = context.WithCancel(context.Background())
	if err := makeFolder(o.FS, dir); err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	numbers, err := l.generations()
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	for _, n := range numbers {
		l.number = max(l.number, n)
		if l.current != nil {
			err = l.remove(n)
		} else if l.current, err = Open(l.path(n), o); errors.Is(err, ErrRebuild) {
			l.warn("the index is built anew from the journal", err)
			err = l.remove(n)
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	if l.current == nil {
		l.number++
		if l.current, err = Open(l.path(l.number), o); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Live) warn(what string, err error) {
	if l.options.Logger != nil {
		l.options.Logger.Warn(what, "reason", err)
	}
}

// generations returns the numbers in the folder, ascending, and removes what is none.
func (l *Live) generations() (numbers []int, err error) {
	names, err := l.options.FS.List(l.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err == nil && n > 0 && name == strconv.Itoa(n) {
			numbers = append(numbers, n)
			continue
		}
		if name == "lost+found" {
			continue
		}
		if err := l.options.FS.RemoveAll(l.options.FS.PathJoin(l.dir, name)); err != nil {
			return nil, err
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (l *Live) path(number int) string {
	return l.options.FS.PathJoin(l.dir, strconv.Itoa(number))
}

func (l *Live) remove(number int) error {
	if err := l.options.FS.RemoveAll(l.path(number)); err != nil {
		return fmt.Errorf("remove the old index: %w", err)
	}
	return nil
}

// Start tells where the journal is. It comes before anything that follows or asks.
func (l *Live) Start(j Journal) { l.journal = j }

// CatchesUp implements cell.Rebuilder: a block that does not follow the last one is no fault.
func (l *Live) CatchesUp() bool { return true }

// nearEnd is how many blocks before its end a build asks the ledger to wait for it: it could run behind for ever.
const nearEnd = 8

// Add implements cell.Follower.
func (l *Live) Add(k *journal.Block, fx *ledger.Effects) error {
	l.mu.Lock()
	l.seen = max(l.seen, k.Header.Seq)
	x := l.current
	l.mu.Unlock()
	if x != nil {
		err := x.Add(k, fx)
		if !errors.Is(err, ErrGap) {
			l.waitNear(k.Header.Seq)
			return err
		}
		l.fallBehind(x)
	}
	l.waitNear(k.Header.Seq)
	return nil
}

// fallBehind has an index that missed blocks caught up from the journal.
func (l *Live) fallBehind(x *Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == x && !l.closed {
		l.current = nil
		l.startBuild(&build{live: l, x: x, number: l.number})
	}
}

// waitNear waits for a build that is about to end.
func (l *Live) waitNear(seq uint64) {
	l.mu.RLock()
	b := l.build
	l.mu.RUnlock()
	if b == nil || b.done.Load()+nearEnd < seq {
		return
	}
	select {
	case <-b.ended:
	case <-l.ctx.Done():
	}
}

// Rebuild builds the index anew from the journal, in the background. Until that is done the present one answers.
func (l *Live) Rebuild() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.build != nil && l.build.failure() == nil:
		return fmt.Errorf("%w already: block %d of %d", ErrBuilding, l.build.done.Load(), l.seen)
	}
	l.dropFailed()
	l.number++
	if err := l.remove(l.number); err != nil {
		return err
	}
	x, err := Open(l.path(l.number), l.options)
	if err != nil {
		return err
	}
	l.startBuild(&build{live: l, x: x, number: l.number})
	return nil
}

// RebuildTo is Rebuild for a journal that nobody writes to: head is its last block. AwaitBuilt tells when it is done.
func (l *Live) RebuildTo(head uint64) error {
	l.mu.Lock()
	l.seen = max(l.seen, head)
	l.mu.Unlock()
	return l.Rebuild()
}

// dropFailed makes way for another build. mu is held.
func (l *Live) dropFailed() {
	if l.build == nil {
		return
	}
	if err := errors.Join(l.build.x.Close(), l.remove(l.build.number)); err != nil {
		l.warn("the index that could not be built stays in its folder", err)
	}
	l.build = nil
}

// startBuild runs a build. mu is held.
func (l *Live) startBuild(b *build) {
	b.ended = make(chan struct{})
	l.build = b
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		defer close(b.ended)
		b.run(l.ctx)
	}()
}

// serving returns the index that answers.
func (l *Live) serving() (*Index, error) {
	l.mu.RLock()
	x, closed := l.current, l.closed
	l.mu.RUnlock()
	switch {
	case closed:
		return nil, ErrClosed
	case x == nil:
		return nil, &BuildingError{l.Building()}
	}
	return x, nil
}

// Queries returns the queries over the index that is whole at their time.
func (l *Live) Queries(records Records) *Queries {
	return &Queries{source: l.serving, records: records, scan: MaxScan}
}

// Building returns how far the build is that is running, or how the last one ended.
func (l *Live) Building() BuildStatus {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := BuildStatus{Whole: l.current != nil, Done: l.seen, Total: l.seen}
	if b := l.build; b != nil {
		s.Done, s.Failure = min(b.done.Load(), l.seen), b.failure()
		s.Running = s.Failure == nil
	}
	return s
}

// newest returns the index that answers, or else the one that is being built.
func (l *Live) newest() *Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.current != nil {
		return l.current
	}
	return l.build.x
}

// Applied implements cell.Follower.
func (l *Live) Applied() uint64 { return l.newest().Applied() }

// Durable implements cell.Follower.
func (l *Live) Durable() uint64 { return l.newest().Durable() }

// Stats returns the index's numbers of this moment.
func (l *Live) Stats() Stats { return l.newest().Stats() }

// Room implements cell.Roomer.
func (l *Live) Room() error { return l.newest().Room() }

// Flush implements cell.Follower. An index that is being built need not be durable as far as a snapshot: it reads the
// journal.
func (l *Live) Flush(ctx context.Context) error {
	x, err := l.serving()
	if errors.Is(err, ErrBuilding) {
		return nil
	}
	if err != nil {
		return err
	}
	return x.Flush(ctx)
}

// WaitFor returns once block seq is applied, or BuildingError at once.
func (l *Live) WaitFor(ctx context.Context, seq uint64) error {
	for {
		x, err := l.serving()
		if err != nil {
			return err
		}
		err = x.WaitFor(ctx, seq)
		if now, e := l.serving(); !errors.Is(err, ErrClosed) || e != nil || now == x {
			return err
		}
	}
}

// AwaitBuilt returns once no build is running, with the failure of the last.
func (l *Live) AwaitBuilt(ctx context.Context) error {
	l.mu.RLock()
	b := l.build
	l.mu.RUnlock()
	if b == nil {
		return nil
	}
	select {
	case <-b.ended:
		return b.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends what is running. A build goes on at the next start.
func (l *Live) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.running.Wait()
	var errs []error
	if l.current != nil {
		errs = append(errs, l.current.Close())
	}
	if l.build != nil {
		errs = append(errs, l.build.x.Close())
	}
	return errors.Join(errs...)
}
