package mover_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
	"github.com/sterlingrun/sterling/transit"
)

var cny = money.Asset{Code: "CNY", Scale: 2}

// town is a ledger of several cells in one process, with accounts in a few buckets.
type town struct {
	t     testing.TB
	maps  *atlas
	cells map[uint64]*member
	fuse  fuse
	wire  func(to uint64, r *router.Record, deliver func() ([]journal.Status, error)) ([]journal.Status, error) // nil: delivers
	deaf  func(in uint64) bool                                                                                  // nil: every cell answers where buckets stand

	mu       sync.Mutex
	next     uint64
	accounts map[uint16][]money.U128 // by bucket
	sent     map[money.U128]*sent
}

// sent is a transfer that was answered.
type sent struct {
	journal.Transfer
	status journal.Status
}

// atlas is a map of cells in memory.
type atlas struct {
	mu   sync.Mutex
	now  *router.Map
	fuse *fuse
	hold func() // nil: whoever reads or writes the map does so at once
}

func (a *atlas) Load(context.Context) (uint64, []byte, error) {
	if a.hold != nil {
		a.hold()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	raw, err := a.now.Encode()
	return a.now.Version, raw, err
}

func (a *atlas) Swap(_ context.Context, was uint64, raw []byte) (done bool, err error) {
	if a.hold != nil {
		a.hold()
	}
	burned := a.fuse.burn(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if done = a.now.Version == was; done {
			a.now, err = router.DecodeMap(was+1, raw)
		}
	})
	if burned {
		return false, errBurned
	}
	return done, err
}

func (a *atlas) owner(bucket uint16) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now.Buckets[bucket]
}

// member is one cell: its journal, and whoever leads it now.
type member struct {
	w   *town
	id  uint64
	log celltest.Memory

	mu     sync.Mutex
	leader *cell.Cell
	host   *router.Host
	runner *mover.Runner
	told   int // how often this cell has looked for transfers to other cells that came with a bucket
}

func (m *member) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told++
}

func newTown(t testing.TB, cells int) *town {
	t.Helper()
	w := &town{t: t, cells: map[uint64]*member{}, accounts: map[uint16][]money.U128{}, sent: map[money.U128]*sent{}}
	var list []router.Cell
	for i := range cells {
		list = append(list, router.Cell{ID: uint64(i + 1), Nodes: []string{fmt.Sprintf("node:%d", i+1)}})
	}
	w.maps = &atlas{now: router.Even(list), fuse: &w.fuse}
	w.maps.now.Version = 1
	for _, c := range list {
		m := &member{w: w, id: c.ID}
		w.cells[c.ID] = m
		m.lead()
		if err := register(context.Background(), m.leader, []money.Asset{cny}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, m := range w.cells {
			m.runner.Stand()
			m.leader.Close()
		}
	})
	return w
}

// lead makes a new node lead the cell: the last one's next append conflicts.
func (m *member) lead() {
	m.w.t.Helper()
	var incarnation [16]byte
	if _, err := rand.Read(incarnation[:]); err != nil {
		m.w.t.Fatal(err)
	}
	options := cell.Options{ID: m.id, Log: &m.log, Clock: clock.NewSystem(), Incarnation: incarnation, HashKey: [2]uint64{7 ^ m.id, 9}, Shared: true}
	c, err := cell.Open(context.Background(), options)
	for errors.Is(err, cell.ErrConflict) { // the last leader was quicker
		c, err = cell.Open(context.Background(), options)
	}
	if err != nil {
		m.w.t.Fatal(err)
	}
	runner := mover.New(mover.Options{
		Cell: m.id, Peers: peers{m.w}, Maps: m.w.maps, Switched: func(*router.Map) {}, Left: func(context.Context) error { return nil }, Clock: clock.NewSystem(), Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	m.mu.Lock()
	m.leader, m.runner = c, runner
	m.host = &router.Host{
		Cell: m.id, Local: c, Assets: c.Assets, Owns: func(a money.U128) bool { return m.w.maps.owner(journal.Bucket(a)) == m.id },
		Register: func(ctx context.Context, assets []money.Asset) error { return register(ctx, c, assets) },
		Arrived: func(context.Context) error {
			m.look()
			return nil
		},
	}
	m.mu.Unlock()
	if err := runner.Lead(context.Background(), fused{c, m.w}); err != nil {
		m.w.t.Fatal(err)
	}
}

// takeover ends the leader in the middle of whatever it does, and has another one lead.
func (m *member) takeover() {
	old, _ := m.current()
	m.runs().Stand()
	m.lead()
	old.Close()
}

func (m *member) current() (*cell.Cell, *router.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leader, m.host
}

func (m *member) runs() *mover.Runner {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runner
}

func register(ctx context.Context, c *cell.Cell, assets []money.Asset) error {
	records := make([]journal.Asset, len(assets))
	for i, a := range assets {
		records[i] = ledger.AssetRecord(a)
	}
	if len(records) == 0 {
		return nil
	}
	return c.Do(ctx, &cell.Request{Kind: journal.KindAssets, Events: journal.Bytes(records), Results: make([]journal.Result, len(records))})
}

// peers delivers records in the process.
type peers struct{ w *town }

func (p peers) Record(ctx context.Context, to uint64, r *router.Record) (statuses []journal.Status, err error) {
	deliver := func() ([]journal.Status, error) {
		_, host := p.w.cells[to].current()
		return host.Record(context.WithoutCancel(ctx), r) // what is on its way arrives
	}
	burned := p.w.fuse.burn(func() {
		if p.w.wire != nil {
			statuses, err = p.w.wire(to, r, deliver)
			return
		}
		statuses, err = deliver()
	})
	if burned {
		return nil, errBurned
	}
	return statuses, err
}

func (p peers) Buckets(ctx context.Context, in, _ uint64, buckets []uint16) ([]router.BucketReport, error) {
	if p.w.deaf != nil && p.w.deaf(in) {
		return nil, errors.New("it does not answer")
	}
	_, host := p.w.cells[in].current()
	return host.Buckets(ctx, buckets)
}

// fuse cuts a runner off at its n-th action: before that is done, or after, so that its answer is lost.
type fuse struct {
	mu    sync.Mutex
	left  int // actions until it burns; 0: never
	after bool
	burnt bool
}

var errBurned = errors.New("cut off")

func (f *fuse) set(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.after, f.burnt = n, after, false
}

// burn does one action, unless the runner is cut off.
func (f *fuse) burn(action func()) (burned bool) {
	f.mu.Lock()
	if f.burnt {
		f.mu.Unlock()
		return true
	}
	cut := false
	if f.left > 0 {
		f.left--
		cut = f.left == 0
	}
	f.burnt = cut
	after := f.after
	f.mu.Unlock()
	if !cut || after {
		action()
	}
	return cut
}

func (f *fuse) isBurnt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.burnt
}

// fused is the cell as the runner sees it.
type fused struct {
	*cell.Cell
	w *town
}

func (f fused) Do(ctx context.Context, r *cell.Request) (err error) {
	if f.w.fuse.burn(func() { err = f.Cell.Do(ctx, r) }) {
		return errors.Join(cell.ErrOutcomeUnknown, errBurned)
	}
	return err
}

// open opens n accounts in each bucket.
func (w *town) open(n int, buckets ...uint16) {
	w.t.Helper()
	for left := len(buckets) * n; left > 0; {
		w.next++
		id := money.From(w.next)
		b := journal.Bucket(id)
		asked := false
		for _, want := range buckets {
			asked = asked || want == b
		}
		if !asked || len(w.accounts[b]) == n {
			continue
		}
		left--
		w.accounts[b] = append(w.accounts[b], id)
		w.open1(id)
	}
}

func (w *town) open1(id money.U128) {
	w.t.Helper()
	a := journal.Account{ID: id, Asset: 1, Code: 1}
	r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes([]journal.Account{a}), Results: make([]journal.Result, 1)}
	c, _ := w.cells[w.maps.owner(journal.Bucket(id))].current()
	if err := c.Do(context.Background(), r); err != nil || r.Results[0].Status != journal.Created {
		w.t.Fatalf("open account %v: %v, %v", id, r.Results[0].Status, err)
	}
}

// ask sends a transfer whose bucket is known to wherever that is, until it is answered.
func (w *town) ask(bucket uint16, t journal.Transfer) (journal.Status, error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, _ := w.cells[w.maps.owner(bucket)].current()
		r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes([]journal.Transfer{t}), Results: make([]journal.Result, 1)}
		err := c.Do(context.Background(), r)
		if err == nil {
			return r.Results[0].Status, nil
		}
		again := errors.Is(err, cell.ErrMoving) || errors.Is(err, cell.ErrMoved) || errors.Is(err, cell.ErrStopped) || errors.Is(err, cell.ErrOutcomeUnknown)
		if !again || time.Now().After(deadline) {
			return 0, err
		}
		<-time.After(time.Millisecond)
	}
}

// pay sends one random transfer within a bucket, and keeps what came of it.
func (w *town) pay(rng *mrand.Rand, bucket uint16, mine *[]money.U128) error {
	accounts := w.accounts[bucket]
	from := rng.IntN(len(accounts))
	w.mu.Lock()
	w.next++
	t := journal.Transfer{ID: money.U128{Hi: 5, Lo: w.next}, Debit: accounts[from], Credit: accounts[(from+1)%len(accounts)], Amount: money.From(1 + rng.Uint64N(9)), Asset: 1, Code: 1}
	w.mu.Unlock()
	switch rng.IntN(5) {
	case 0:
		t.Flags = journal.TransferPending
		*mine = append(*mine, t.ID)
	case 1:
		t.Credit = money.U128{Hi: 77} // nobody: it fails, and burns its id
	case 2, 3:
		if len(*mine) > 0 {
			k := rng.IntN(len(*mine))
			t = journal.Transfer{ID: t.ID, PendingID: (*mine)[k], Flags: journal.TransferPost, Amount: money.Max()}
			if rng.IntN(2) == 0 {
				t.Flags, t.Amount = journal.TransferVoid, money.U128{}
			}
			*mine = append((*mine)[:k], (*mine)[k+1:]...)
		}
	}
	s, err := w.ask(bucket, t)
	if err != nil {
		return fmt.Errorf("transfer %v: %w", t.ID, err)
	}
	if s == journal.TransferExists { // its first answer was lost
		s = journal.Created
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[t.ID] = &sent{t, s}
	return nil
}

// busy pays in all buckets at once until stop is called, which tells what went wrong.
func (w *town) busy() (stop func() error) {
	quit := make(chan struct{})
	var group sync.WaitGroup
	errs := make(chan error, len(w.accounts))
	for b := range w.accounts {
		group.Go(func() {
			rng := mrand.New(mrand.NewPCG(uint64(b), 1))
			tick := time.NewTicker(500 * time.Microsecond) // more of it proves no more
			defer tick.Stop()
			var mine []money.U128
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
				}
				if err := w.pay(rng, b, &mine); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return func() error {
		close(quit)
		group.Wait()
		close(errs)
		var all error
		for err := range errs {
			all = errors.Join(all, err)
		}
		return all
	}
}

// await waits until so many more transfers are answered.
func (w *town) await(n int) {
	w.t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.sent)
	}
	for want, late := count()+n, time.After(20*time.Second); count() < want; {
		select {
		case <-late:
			w.t.Fatalf("%d transfers are answered, want %d", count(), want)
		case <-time.After(time.Millisecond):
		}
	}
}

// wrong compares the ledger with what one cell would have: every transfer once, under its id, with its outcome.
func (w *town) wrong() (faults []string) {
	w.t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	type balance struct{ debits, credits, reserved uint64 }
	want := map[money.U128]*balance{}
	at := func(id money.U128) *balance {
		if want[id] == nil {
			want[id] = &balance{}
		}
		return want[id]
	}
	for _, s := range w.sent {
		t := s.Transfer
		if s.status != journal.Created || t.Flags.Has(journal.TransferVoid) {
			continue
		}
		if t.Flags.Has(journal.TransferPost) {
			t = w.sent[t.PendingID].Transfer
		} else if t.Flags.Has(journal.TransferPending) {
			continue
		}
		at(t.Debit).debits += t.Amount.Lo
		at(t.Credit).credits += t.Amount.Lo
	}
	ended := map[money.U128]bool{}
	for _, s := range w.sent {
		if s.status == journal.Created {
			ended[s.PendingID] = true
		}
	}
	for id, s := range w.sent {
		if s.status == journal.Created && s.Flags.Has(journal.TransferPending) && !ended[id] {
			at(s.Debit).reserved += s.Amount.Lo
		}
	}
	for b, ids := range w.accounts {
		c, _ := w.cells[w.maps.owner(b)].current()
		list, err := c.LookupAccounts(context.Background(), ids)
		if err != nil || len(list) != len(ids) {
			fault("bucket %d: %d accounts of %d, %v", b, len(list), len(ids), err)
			continue
		}
		for _, a := range list {
			if got := (balance{a.DebitsPosted.Lo, a.CreditsPosted.Lo, a.DebitsPending.Lo}); got != *at(a.ID) {
				fault("account %v has %+v, want %+v", a.ID, got, *at(a.ID))
			}
		}
	}
	for id, s := range w.sent {
		bucket := journal.Bucket(s.Debit)
		if s.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			bucket = journal.Bucket(w.sent[s.PendingID].Debit)
		}
		again := journal.TransferExists
		if s.status != journal.Created {
			again = journal.TransferIdAlreadyFailed
			if !s.status.Transient() {
				again = s.status
			}
		}
		if got, err := w.ask(bucket, s.Transfer); err != nil || got != again {
			fault("transfer %v, which was %s, is answered %s, %v", id, s.status.Name(journal.KindTransfers), got.Name(journal.KindTransfers), err)
		}
	}
	return append(faults, w.unbalanced()...)
}

// unbalanced checks that what the cells owe each other adds up to nothing.
func (w *town) unbalanced() (faults []string) {
	var net int64
	for id, m := range w.cells {
		c, _ := m.current()
		err := c.ScanAccounts(context.Background(), 0, false, func(_ uint32, a *journal.Account) bool {
			for peer := range w.cells {
				if a.ID == transit.Clearing(cny, peer) {
					net += int64(a.CreditsPosted.Lo) - int64(a.DebitsPosted.Lo)
				}
			}
			return true
		})
		if err != nil {
			faults = append(faults, fmt.Sprintf("cell %d: %v", id, err))
		}
	}
	if net != 0 {
		faults = append(faults, fmt.Sprintf("the clearing accounts add up to %d", net))
	}
	return faults
}

// moveTo has buckets moved, by whoever leads their cell, however often it takes, and waits for it.
func (w *town) moveTo(to uint64, buckets ...uint16) error {
	deadline := time.Now().Add(2 * time.Minute) // of a busy machine
	var last error
	for time.Now().Before(deadline) {
		by := map[uint64][]uint16{}
		for _, b := range buckets {
			if from := w.maps.owner(b); from != to {
				by[from] = append(by[from], b)
			}
		}
		if len(by) == 0 && w.still() {
			return nil
		}
		for from, list := range by {
			r := w.cells[from].runs()
			if _, err := r.Start(context.Background(), journal.Actor{7}, to, list); err != nil {
				last = err
			} else if p, ok := r.Progress(); ok && p.Err != nil {
				last = p.Err
			}
			if w.fuse.isBurnt() {
				w.cells[from].takeover()
				w.fuse.set(0, false)
			}
		}
		<-time.After(time.Millisecond)
		if w.fuse.isBurnt() { // at the last step, when the map says that all is over
			for _, m := range w.cells {
				m.takeover()
			}
			w.fuse.set(0, false)
		}
	}
	return fmt.Errorf("buckets %v are not moved to cell %d: %w", buckets, to, last)
}

// still tells whether no bucket is between two cells.
func (w *town) still() bool {
	still := true
	for _, m := range w.cells {
		c, _ := m.current()
		err := c.Read(context.Background(), func(s *ledger.State) {
			for _, b := range s.Buckets() {
				still = still && (b.Phase == ledger.Settled || b.Phase == ledger.Gone)
			}
		})
		still = still && err == nil
	}
	return still
}
