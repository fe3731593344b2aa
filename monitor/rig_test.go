package monitor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

const cellNumber = 7

// fakeState is what a fake engine knows.
type fakeState struct {
	Number             uint64
	Seq, Head, Horizon uint64
	Now                uint64
	Sum                [32]byte // over all inputs in their order
	Events             uint64
	Seen               map[watch.ID]int
	Told               map[string]watch.SourceState
	Breaks             map[watch.ID]watch.Break
	Pending            []watch.Effect
	Froze              map[watch.ID]string
	Compared           uint64
}

// fake is an engine whose effects are easy to foretell: an instruction whose amount is 13 opens a break, whose amount is
// 14 has account Debit frozen, one that is more than 5 s ahead is a break, a receipt closes its key, and a closed key that is seen again is a break. Whatever it is
// told goes into a sum, which the next break tells: two engines with other inputs say other things.
type fake struct {
	fakeState
	past   watch.Past
	planes *planes
}

// planes makes fake engines.
type planes struct {
	blow   atomic.Bool // the next input panics
	parsed atomic.Int64
}

func (p *planes) Parse(name string, text []byte) (*watch.Flow, error) {
	p.parsed.Add(1)
	if len(text) == 0 {
		return nil, errors.New("an empty flow")
	}
	return &watch.Flow{Name: name}, nil
}

func (p *planes) New(o watch.Options) (monitor.Engine, error) {
	f := &fake{planes: p, past: o.Past, fakeState: fakeState{
		Seen: map[watch.ID]int{}, Told: map[string]watch.SourceState{}, Breaks: map[watch.ID]watch.Break{}, Froze: map[watch.ID]string{},
	}}
	for _, name := range []string{"orders", "scheme"} {
		f.Told[name] = watch.SourceState{Name: name}
	}
	return f, nil
}

func (p *planes) Restore(r io.Reader, o watch.Options) (monitor.Engine, error) {
	e, _ := p.New(o)
	f := e.(*fake)
	return f, gob.NewDecoder(r).Decode(&f.fakeState)
}

func (f *fake) Snapshot(w io.Writer) error { return gob.NewEncoder(w).Encode(&f.fakeState) }

func (f *fake) mix(parts ...any) {
	if f.planes.blow.CompareAndSwap(true, false) {
		panic("a fault of the engine")
	}
	f.Sum = sha256.Sum256(fmt.Appendf(f.Sum[:], "%v", parts))
}

func (f *fake) effect(e watch.Effect) {
	f.Number++
	e.Number = f.Number
	f.Pending = append(f.Pending, e)
}

func (f *fake) open(id watch.ID, class watch.Class, why string, accounts ...watch.ID) {
	if _, known := f.Breaks[id]; known {
		return
	}
	b := watch.Break{
		ID: id, Class: class, Flow: "orders", Key: id, Group: id, State: watch.Open, FirstSeen: 1_000 + f.Number, Summary: why,
		AtRisk: watch.Amount{Lo: 13}, Asset: "CNY/2", Accounts: accounts, Evidence: []watch.Evidence{{What: "instruction", Source: "orders"}},
	}
	f.Breaks[id] = b
	f.effect(watch.Effect{Kind: watch.BreakOpened, Break: &b, Time: b.FirstSeen, Why: fmt.Sprintf("%x", f.Sum[:8])})
}

func (f *fake) Block(raw []byte) {
	f.Seq = binary.LittleEndian.Uint64(raw[24:])
	f.mix("block", f.Seq, sha256.Sum256(raw))
	f.Events += uint64(binary.LittleEndian.Uint32(raw[104:]))
}

func (f *fake) Observe(source string, list []watch.Observation) {
	s := f.Told[source]
	s.Name = source
	for i := range list {
		o := &list[i]
		f.mix(source, *o)
		f.Events++
		if o.Seq == s.Seq+1 {
			s.Seq++
		}
		s.Observations++
		if o.Kind == watch.Receipt {
			delete(f.Seen, o.Key)
			f.effect(watch.Effect{Kind: watch.KeyClosed, Closed: &watch.Closed{Flow: "orders", Key: o.Key, State: o.Key[:]}})
			continue
		}
		if f.Seen[o.Key]++; f.Seen[o.Key] == 1 {
			if state := f.past.Closed("orders", o.Key, f.Number); state != nil {
				if !bytes.Equal(state, o.Key[:]) {
					panic("the past has another state")
				}
				f.open(o.Key, watch.DuplicatePost, "closed before")
			}
		}
		if o.Time > f.Now+uint64(5*time.Second) {
			f.open(o.Key, watch.ClockJump, fmt.Sprintf("told at %d, it is %d", o.Time, f.Now))
		}
		switch o.Amount.Lo {
		case 13:
			f.open(o.Key, watch.WrongAmount, "thirteen", o.Debit)
		case 14:
			f.open(o.Key, watch.WrongAccount, "fourteen", o.Debit)
			id := o.Key
			id[15] = 1
			f.effect(watch.Effect{Kind: watch.FreezeWanted, Freeze: &watch.Freeze{
				ID: id, Break: o.Key, Selector: watch.FreezeAccount, Account: o.Debit, Reason: "fourteen", Withheld: o.Text,
			}})
		}
	}
	f.Told[source] = s
}

func (f *fake) Tick(now, head, horizon uint64) {
	if horizon < f.Horizon {
		panic("the horizon goes back")
	}
	f.Now, f.Head, f.Horizon = now, head, horizon
	f.mix("tick", now, head, horizon)
}

func (f *fake) Compare(seq uint64, accounts []watch.AccountBalance) {
	f.mix("compare", seq, accounts)
	if seq != f.Seq {
		panic(fmt.Sprintf("compared after block %d, it stands at %d", seq, f.Seq))
	}
	f.Compared += uint64(len(accounts))
}

func (f *fake) Decide(d watch.Decision) error {
	b, ok := f.Breaks[d.Break]
	if !ok {
		return watch.ErrNoBreak
	}
	f.mix("decide", d)
	b.State = d.State
	f.Breaks[d.Break] = b
	f.effect(watch.Effect{Kind: watch.BreakChanged, Break: &b, Who: d.Who, Why: d.Why, Time: 2_000})
	return nil
}

func (f *fake) Frozen(id watch.ID, failure string) {
	f.mix("frozen", id, failure)
	f.Froze[id] = failure
}

func (f *fake) Effects(dst []watch.Effect) []watch.Effect {
	dst = append(dst, f.Pending...)
	f.Pending = f.Pending[:0]
	return dst
}

func (f *fake) Proof() watch.Proof {
	return watch.Proof{Through: f.Horizon, Events: f.Events, Keys: uint64(len(f.Seen)), Open: uint64(len(f.Breaks)), Reason: fmt.Sprintf("compared %d", f.Compared)}
}

func (f *fake) Sources() (list []watch.SourceState) {
	for _, s := range f.Told {
		list = append(list, s)
	}
	return list
}

func (f *fake) Statement() watch.Statement {
	return watch.Statement{Cell: cellNumber, Seq: f.Seq, Hash: f.Sum, Through: f.Horizon, Events: f.Events}
}

// Account has the accounts 1 to 100 with nothing on them.
func (f *fake) Account(id watch.ID) (watch.AccountBalance, bool) {
	return watch.AccountBalance{Account: id, Asset: 1}, id[0] <= 100
}

// rig is a cell with a monitor beside it, over a journal in memory and a disk that can crash.
type rig struct {
	t       testing.TB
	log     *celltest.Memory
	fs      *vfs.MemFS
	engines *planes
	alerts  alertList
	logged  *lockedBuffer
	opts    monitor.Options
	cell    *cell.Cell
	*monitor.Monitor
	following atomic.Pointer[monitor.Monitor] // the same, for the cell
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.b.Bytes(), []byte(text))
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type alertList struct {
	mu   sync.Mutex
	list []watch.Alert
}

func (a *alertList) Notify(list []watch.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, list...)
}

func (a *alertList) has(f func(*watch.Alert) bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		if f(&a.list[i]) {
			return true
		}
	}
	return false
}

func newRig(t testing.TB, change func(*monitor.Options)) *rig {
	t.Helper()
	r := &rig{t: t, log: &celltest.Memory{}, fs: vfs.NewCrashableMem(), engines: &planes{}, logged: &lockedBuffer{}}
	r.opts = monitor.Options{
		Dir: "watch", Cell: cellNumber, Log: r.log, Clock: clock.NewSystem(), FS: r.fs, Engines: r.engines, Alerts: &r.alerts,
		Logger: slog.New(slog.NewTextHandler(r.logged, nil)), Flows: []watch.Definition{{Name: "orders", Text: "flow: orders"}},
	}
	if change != nil {
		change(&r.opts)
	}
	r.openCell()
	r.start()
	t.Cleanup(func() {
		r.stop()
		if err := r.cell.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) openCell() {
	r.t.Helper()
	var err error
	r.cell, err = cell.Open(context.Background(), cell.Options{
		ID: cellNumber, Log: r.log, Clock: clock.NewSystem(), Incarnation: [16]byte{1}, HashKey: [2]uint64{3, 5},
		OnBlock: func(b *journal.Block, _ int) {
			if m := r.following.Load(); m != nil {
				m.OnBlock(b.Header.Seq, b.Raw)
			}
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.opts.Ledger = r.cell
}

func (r *rig) start() {
	r.t.Helper()
	m, err := monitor.Open(r.t.Context(), r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Monitor = m
	r.following.Store(m)
}

func (r *rig) stop() {
	r.t.Helper()
	if r.Monitor == nil {
		return
	}
	r.following.Store(nil)
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
	r.Monitor = nil
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !f() {
		if clock.Sleep(ctx, clock.NewSystem(), time.Millisecond) != nil {
			t.Fatalf("still not: %s", what)
		}
	}
}

func (r *rig) up() {
	r.t.Helper()
	eventually(r.t, "the monitor runs", func() bool { return r.Stats().Up })
}

// accounts makes the accounts first…last.
func (r *rig) accounts(first, last uint64) {
	r.t.Helper()
	var list []journal.Account
	for id := first; id <= last; id++ {
		list = append(list, journal.Account{ID: money.From(id), Asset: 1, Code: 1})
	}
	asset := ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})
	r.do(journal.KindAssets, journal.Bytes([]journal.Asset{asset}))
	r.do(journal.KindAccounts, journal.Bytes(list))
}

func (r *rig) transfer(id, debit, credit, amount uint64) {
	r.t.Helper()
	r.do(journal.KindTransfers, journal.Bytes([]journal.Transfer{{
		ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(amount), Asset: 1, Code: 1,
	}}))
}

func (r *rig) do(kind journal.Kind, events []byte) {
	r.t.Helper()
	q := &cell.Request{Kind: kind, Actor: journal.Actor{1}, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize)}
	if err := r.cell.Do(r.t.Context(), q); err != nil {
		r.t.Fatal(err)
	}
	for _, result := range q.Results {
		if name := result.Status.Name(kind); result.Status != journal.Created && !strings.HasPrefix(name, "exists") {
			r.t.Fatalf("kind %d: %s", kind, name)
		}
	}
}

func id(n uint64) (i watch.ID) {
	binary.LittleEndian.PutUint64(i[:], n)
	return i
}

// orders are instructions with keys first…last; every tenth has the amount 13.
func orders(first, last uint64) (list []watch.Observation) {
	for n := first; n <= last; n++ {
		o := watch.Observation{Kind: watch.Instruction, Time: n, Flow: "orders", Key: id(n), ID: id(n), Amount: watch.Amount{Lo: 100}, Asset: "CNY/2", Debit: id(1), Credit: id(2)}
		if n%10 == 0 {
			o.Amount.Lo = 13
		}
		list = append(list, o)
	}
	return list
}

func receipts(first, last uint64) (list []watch.Observation) {
	for n := first; n <= last; n++ {
		list = append(list, watch.Observation{Kind: watch.Receipt, Time: n, Key: id(n), ID: id(n), Terms: []watch.Term{{Name: "fee", Value: -3}}})
	}
	return list
}

func (r *rig) observe(source string, first uint64, list []watch.Observation) uint64 {
	r.t.Helper()
	through, err := r.Observe(r.t.Context(), source, first, list)
	if err != nil {
		r.t.Fatal(err)
	}
	return through
}

// allBreaks reads all breaks by pages, with their histories.
func (r *rig) allBreaks(f watch.Filter) (all []watch.Record) {
	r.t.Helper()
	for f.Limit = 7; ; {
		page, next, err := r.Breaks(r.t.Context(), f)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, b := range page {
			one, err := r.Break(r.t.Context(), b.ID)
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, one)
		}
		if next == "" {
			return all
		}
		f.After = next
	}
}
