package monitor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

// points counts what makes a disk durable, and takes a copy of the disk as a crash at one of those points leaves it.
type points struct {
	disk    *vfs.MemFS
	at      int64
	percent int // of what is not durable yet, and is there all the same
	count   atomic.Int64
	once    sync.Once
	crashed *vfs.MemFS
}

func (p *points) String() string { return "crash points" }

func (p *points) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename:
	default:
		return nil
	}
	if p.count.Add(1) == p.at {
		p.once.Do(func() {
			p.crashed = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.percent, RNG: rand.New(rand.NewPCG(uint64(p.at), 1))})
		})
	}
	return nil
}

const scenarioOrders = 400

// scenario tells orders and receipts with transfers in between; some wanted freezes, and a decision.
func (r *rig) scenario() {
	r.up()
	r.accounts(1, 3)
	for first := uint64(1); first <= scenarioOrders; first += 50 {
		r.observe("orders", first, orders(first, first+49))
		r.transfer(10_000+first, 1, 2, first)
		r.observe("scheme", first, receipts(first, first+49))
	}
	freeze := orders(1001, 1001)
	freeze[0].Amount.Lo, freeze[0].Debit = 14, id(3)
	r.observe("orders", scenarioOrders+1, freeze)
	b, err := r.Break(r.t.Context(), id(10))
	if err == nil && b.State == watch.Open {
		err = r.Decide(r.t.Context(), watch.Decision{Break: id(10), State: watch.Explained, Who: "ann", Why: "known"})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the account is frozen", func() bool {
		b, err := r.Break(r.t.Context(), id(1001))
		return err == nil && b.Stop != nil && b.Stop.State == "frozen"
	})
	eventually(r.t, "all blocks are taken", func() bool { return r.Stats().Seq == r.cell.Head() })
}

// told is what is known of all breaks, in words.
func (r *rig) told() string {
	var lines []string
	for _, b := range r.allBreaks(watch.Filter{}) {
		var history []string
		for _, e := range b.History {
			history = append(history, fmt.Sprint(e.State, e.Who))
		}
		stop := ""
		if b.Stop != nil {
			stop = b.Stop.State
		}
		lines = append(lines, fmt.Sprintf("%x %s %d %v %s", b.ID, b.Class, b.State, history, stop))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// TestACrashLosesAndDoublesNothing crashes the disk at every point where something becomes durable. After each, the
// senders send everything again, as they do.
func TestACrashLosesAndDoublesNothing(t *testing.T) {
	run := func(at int64, percent int) (want string, total int64) {
		p := &points{at: at, percent: percent}
		r := newRig(t, func(o *monitor.Options) {
			p.disk = o.FS.(*vfs.MemFS)
			o.FS, o.CheckpointEvents = errorfs.Wrap(p.disk, p), 100
		})
		r.scenario()
		want = r.told()
		r.stop()
		if p.crashed == nil {
			return want, p.count.Load()
		}
		r.opts.FS = p.crashed
		r.start()
		r.scenario()
		if got := r.told(); got != want {
			t.Errorf("crash at point %d, %d%%:\n%s\nwant\n%s", at, percent, got, want)
		}
		r.observe("orders", scenarioOrders+2, append(orders(7, 7), orders(2000, 2000)...)) // closed long ago
		if b, err := r.Break(t.Context(), id(7)); err != nil || b.Class != watch.DuplicatePost {
			t.Errorf("crash at point %d: a closed key is forgotten: %v", at, err)
		}
		if r.logged.has("finds something else") || r.logged.has("stopped") {
			t.Errorf("crash at point %d: %s", at, r.logged)
		}
		return want, p.count.Load()
	}
	_, total := run(-1, 0)
	if total < 20 {
		t.Fatalf("only %d points", total)
	}
	step := max(1, total/40)
	for at := int64(1); at <= total; at += step {
		run(at, int(at%3)*50)
	}
}

// TestAFullDisk: nothing is proven while there is no space, payments go on, and it goes on by itself.
func TestAFullDisk(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	r.observe("orders", 1, orders(1, 20))
	r.fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20})
	eventually(t, "it stops", func() bool {
		_, err := r.Observe(t.Context(), "orders", 21, orders(21, 21))
		return errors.Is(err, watch.ErrDown)
	})
	r.accounts(1, 2) // payments go on
	eventually(t, "it says so", func() bool {
		return !r.Stats().Up && strings.Contains(r.Proof().Reason, "does not run") && errors.Is(r.Err(), syscall.ENOSPC) &&
			r.alerts.has(func(a *watch.Alert) bool { return a.Name == watch.AlertDown && a.Until == 0 })
	})
	if _, _, err := r.Breaks(t.Context(), watch.Filter{}); !errors.Is(err, watch.ErrDown) {
		t.Errorf("breaks: %v", err)
	}
	r.fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40})
	r.up()
	if got := len(r.allBreaks(watch.Filter{})); got != 2 {
		t.Errorf("%d breaks", got)
	}
	eventually(t, "it follows", func() bool { return r.Stats().Seq == r.cell.Head() })
	if !r.alerts.has(func(a *watch.Alert) bool { return a.Name == watch.AlertDown && a.Until != 0 }) {
		t.Error("nobody is told that it runs again")
	}
}

// broken fails writes and syncs while it is on.
type broken struct{ on atomic.Bool }

func (b *broken) String() string { return "broken disk" }

func (b *broken) MaybeError(op errorfs.Op) error {
	if b.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.EIO
	}
	return nil
}

// TestABrokenDisk: Pebble can't even be closed after some faults. The process goes on, and so does the watch once the
// disk works.
func TestABrokenDisk(t *testing.T) {
	disk := &broken{}
	r := newRig(t, func(o *monitor.Options) { o.FS = errorfs.Wrap(o.FS, disk) })
	r.up()
	r.observe("orders", 1, orders(1, 20))
	disk.on.Store(true)
	eventually(t, "it stops", func() bool {
		_, err := r.Observe(t.Context(), "orders", 21, orders(21, 21))
		return errors.Is(err, watch.ErrDown)
	})
	r.accounts(1, 2)
	eventually(t, "it says so", func() bool { return !r.Stats().Up && r.Err() != nil })
	disk.on.Store(false)
	r.up()
	r.observe("orders", 1, orders(1, 40))
	if got := len(r.allBreaks(watch.Filter{})); got != 4 {
		t.Errorf("%d breaks", got)
	}
	eventually(t, "it follows", func() bool { return r.Stats().Seq == r.cell.Head() })
	if r.logged.has("finds something else") {
		t.Error(r.logged)
	}
}

// TestAFaultOfTheEngine ends neither the process nor the watch.
func TestAFaultOfTheEngine(t *testing.T) {
	r := newRig(t, nil)
	r.up()
	r.observe("orders", 1, orders(1, 20))
	r.engines.blow.Store(true)
	eventually(t, "it stops", func() bool { return r.Err() != nil })
	r.up()
	r.observe("orders", 1, orders(1, 40))
	if got := len(r.allBreaks(watch.Filter{})); got != 4 {
		t.Errorf("%d breaks", got)
	}
}

// TestADamagedCheckpoint: the one before it serves, with more of the log.
func TestADamagedCheckpoint(t *testing.T) {
	r := newRig(t, func(o *monitor.Options) { o.CheckpointEvents = 50 })
	r.up()
	for first := uint64(1); first <= 400; first += 20 {
		r.observe("orders", first, orders(first, first+19))
	}
	want := r.told()
	r.stop()
	names := r.checkpoints()
	if len(names) != 2 {
		t.Fatalf("checkpoints: %v", names)
	}
	r.damage(names[1])
	r.start()
	r.up()
	if got := r.told(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if !r.logged.has("an older one serves") || r.logged.has("finds something else") {
		t.Error(r.logged)
	}
	r.stop()
	for _, name := range r.checkpoints() {
		r.damage(name)
	}
	r.start()
	eventually(t, "it says that it can't go on", func() bool { return r.Err() != nil && strings.Contains(r.Err().Error(), "no checkpoint") })
}

// checkpoints returns the files, oldest first.
func (r *rig) checkpoints() (names []string) {
	r.t.Helper()
	all, err := r.fs.List(r.opts.Dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, "checkpoint-") {
			names = append(names, r.fs.PathJoin(r.opts.Dir, name))
		}
	}
	sort.Strings(names)
	return names
}

// damage alters one byte in the middle of a file.
func (r *rig) damage(name string) {
	r.t.Helper()
	b, err := r.fs.UnsafeGetFileDataBuffer(name)
	if err != nil {
		r.t.Fatal(err)
	}
	b[len(b)-10] ^= 1
}

// TestFreezes: what the engine wants is journaled, once, whatever happens in between.
func TestFreezes(t *testing.T) {
	var took atomic.Int64
	r := newRig(t, func(o *monitor.Options) { o.FreezeTook = func(d time.Duration) { took.Store(int64(d)) } })
	r.up()
	r.accounts(1, 3)
	list := orders(1, 3)
	for i := range list {
		list[i].Amount.Lo = 14
	}
	list[0].Debit, list[1].Debit, list[2].Debit, list[2].Text = id(3), id(4), id(2), "dry run"
	r.observe("orders", 1, list)
	state := func(n uint64) string {
		b, err := r.Break(t.Context(), id(n))
		if err != nil || b.Stop == nil {
			t.Fatalf("%+v, %v", b, err)
		}
		return b.Stop.State
	}
	eventually(t, "account 3 is frozen", func() bool { return state(1) == "frozen" })
	eventually(t, "account 4 is not there", func() bool { return strings.HasPrefix(state(2), "failed: ") })
	if got := state(3); got != "dry run" {
		t.Errorf("a dry run: %s", got)
	}
	if d := time.Duration(took.Load()); d <= 0 || d > time.Second {
		t.Errorf("it took %v", d)
	}
	freezes, err := r.cell.Freezes(t.Context(), true)
	if err != nil || len(freezes) != 1 || freezes[0].Account.Lo != 3 || freezes[0].Actor != monitor.Actor() || freezes[0].Mode != journal.FreezeAll {
		t.Errorf("%+v, %v", freezes, err)
	}
	for name, want := range map[string]int{watch.AlertFrozen: 1, watch.AlertAsked: 1} {
		if !r.alerts.has(func(a *watch.Alert) bool { return a.Name == name }) {
			t.Errorf("no alert %s, want %d", name, want)
		}
	}
}

// slow keeps the first look at the disk until it is let through.
type slow struct{ gate chan struct{} }

func (s *slow) String() string { return "slow disk" }

func (s *slow) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpGetDiskUsage {
		<-s.gate
	}
	return nil
}

// TestStarting: what is asked of a watch that reads its state is told that it is starting, not that it does not run:
// callers ask again then.
func TestStarting(t *testing.T) {
	disk := &slow{gate: make(chan struct{})}
	r := newRig(t, func(o *monitor.Options) { o.FS = errorfs.Wrap(o.FS, disk) })
	_, _, err := r.Breaks(t.Context(), watch.Filter{})
	if !errors.Is(err, watch.ErrStarting) || errors.Is(err, watch.ErrDown) {
		t.Errorf("breaks: %v", err)
	}
	if _, err := r.Observe(t.Context(), "orders", 1, orders(1, 2)); !errors.Is(err, watch.ErrStarting) {
		t.Errorf("observe: %v", err)
	}
	close(disk.gate)
	r.up()
	r.observe("orders", 1, orders(1, 2))
	if _, _, err := r.Breaks(t.Context(), watch.Filter{}); err != nil {
		t.Errorf("breaks: %v", err)
	}
}
