package router_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"maps"
	"runtime"
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
	"github.com/sterlingrun/sterling/transit"
)

var cny = money.Asset{Code: "CNY", Scale: 2}

// teller is who the tests' transfers are by.
var teller = journal.Actor{7}

// world is a ledger of several cells in one process.
type world struct {
	t     testing.TB
	m     *router.Map
	cells map[uint64]*member
	wire  func(from, to uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) // nil: delivers
	fuse  fuse
	next  uint64 // account ids are taken from here on

	patience time.Duration
	owner    func(account money.U128) uint64 // of drivers that begin from now on; nil: no account moves
	refresh  func(ctx context.Context) error
}

// member is one cell: its journal, and whoever leads it now.
type member struct {
	w   *world
	id  uint64
	log celltest.Memory

	mu     sync.Mutex
	driver *router.Driver
	leader *cell.Cell
	host   *router.Host
}

func newWorld(t testing.TB, cells int) *world {
	t.Helper()
	w := &world{t: t, cells: map[uint64]*member{}, patience: time.Minute}
	var list []router.Cell
	for i := range cells {
		list = append(list, router.Cell{ID: uint64(i + 1), Nodes: []string{"node:" + string(rune('1'+i))}})
	}
	w.m = router.Even(list)
	for _, c := range list {
		m := &member{w: w, id: c.ID}
		w.cells[c.ID] = m
		m.lead()
		w.register(m)
	}
	t.Cleanup(func() {
		for _, m := range w.cells {
			m.driver.Stand()
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
	options := cell.Options{ID: m.id, Log: &m.log, Clock: clock.NewSystem(), Incarnation: incarnation, HashKey: [2]uint64{0x9E3779B97F4A7C15 ^ m.id, 0xD1B54A32D192ED03}, Shared: true}
	c, err := cell.Open(context.Background(), options)
	for errors.Is(err, cell.ErrConflict) { // the last leader was quicker
		c, err = cell.Open(context.Background(), options)
	}
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.mu.Lock()
	m.leader = c
	m.host = &router.Host{
		Cell: m.id, Local: c, Assets: c.Assets, Owns: router.NewRouter(m.id, m.w.m).Owns,
		Register: func(ctx context.Context, assets []money.Asset) error { return register(ctx, c, assets) },
	}
	m.mu.Unlock()
	driver := router.NewDriver(router.Options{
		Cell: m.id, Peers: peers{m.w, m.id}, Clock: clock.NewSystem(), Random: rand.Reader,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), HoldPatience: m.w.patience, Owner: m.w.owner, Refresh: m.w.refresh,
	})
	if err := driver.Lead(context.Background(), fused{c, m.w}); err != nil {
		m.w.t.Fatal(err)
	}
	m.mu.Lock()
	m.driver = driver
	m.mu.Unlock()
}

// takeover ends the leader in the middle of whatever it does, and has another one lead.
func (m *member) takeover() {
	m.drives().Stand()
	old, _ := m.current()
	m.lead()
	old.Close()
}

// drives returns the driver of whoever leads now.
func (m *member) drives() *router.Driver {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.driver
}

func (m *member) current() (*cell.Cell, *router.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leader, m.host
}

func register(ctx context.Context, c *cell.Cell, assets []money.Asset) error {
	records := make([]journal.Asset, len(assets))
	for i, a := range assets {
		records[i] = ledger.AssetRecord(a)
	}
	return c.Do(ctx, &cell.Request{Kind: journal.KindAssets, Events: journal.Bytes(records), Results: make([]journal.Result, len(records))})
}

func (w *world) register(m *member) {
	w.t.Helper()
	if err := register(context.Background(), m.leader, []money.Asset{cny}); err != nil {
		w.t.Fatal(err)
	}
}

// peers delivers steps in the process.
type peers struct {
	w    *world
	home uint64
}

func (p peers) Submit(ctx context.Context, to uint64, s *router.Steps) ([]journal.Status, error) {
	deliver := func() ([]journal.Status, error) {
		_, host := p.w.cells[to].current()
		return host.Accept(context.WithoutCancel(ctx), s) // what is on its way arrives
	}
	wire := func() (statuses []journal.Status, err error) {
		if p.w.wire != nil {
			return p.w.wire(p.home, to, s, deliver)
		}
		return deliver()
	}
	var statuses []journal.Status
	var err error
	if burned := p.w.fuse.burn(func() { statuses, err = wire() }); burned {
		return nil, errBurned
	}
	return statuses, err
}

// fuse cuts a driver off at its n-th action: before that is done, or after, so that its answer is lost.
type fuse struct {
	mu    sync.Mutex
	left  int // actions until it burns; 0: never
	after bool
	burnt bool
	onCut func()
}

var errBurned = errors.New("cut off")

func (f *fuse) set(n int, after bool, onCut func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.after, f.burnt, f.onCut = n, after, false, onCut
}

// burn does one action, unless the driver is cut off.
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
	after, onCut := f.after, f.onCut
	f.mu.Unlock()
	if !cut || after {
		action()
	}
	if cut && onCut != nil {
		onCut()
	}
	return cut
}

func (f *fuse) isBurnt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.burnt
}

// fused is the cell as the driver sees it.
type fused struct {
	*cell.Cell
	w *world
}

func (f fused) Do(ctx context.Context, r *cell.Request) (err error) {
	if f.w.fuse.burn(func() { err = f.Cell.Do(ctx, r) }) {
		return errors.Join(cell.ErrOutcomeUnknown, errBurned)
	}
	return err
}

// account opens an account with a fresh id in a cell.
func (w *world) account(in uint64, flags journal.AccountFlags) money.U128 {
	w.t.Helper()
	for {
		w.next++
		id := money.From(w.next)
		if w.m.Buckets[journal.Bucket(id)] != in {
			continue
		}
		c, _ := w.cells[in].current()
		w.open(c, journal.Account{ID: id, Asset: c.Assets().Number(cny), Code: 1, Flags: flags})
		return id
	}
}

func (w *world) open(c *cell.Cell, a journal.Account) {
	w.t.Helper()
	r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes([]journal.Account{a}), Results: make([]journal.Result, 1)}
	if err := c.Do(context.Background(), r); err != nil || r.Results[0].Status != journal.Created {
		w.t.Fatalf("open account %v: %v, %v", a.ID, r.Results[0].Status, err)
	}
}

// fund gives an account money from another one of its cell that may be overdrawn.
func (w *world) fund(account money.U128, amount uint64) {
	w.t.Helper()
	in := w.m.Buckets[journal.Bucket(account)]
	from := w.account(in, 0)
	w.next++
	c, _ := w.cells[in].current()
	t := journal.Transfer{ID: money.U128{Lo: w.next, Hi: 1}, Debit: from, Credit: account, Amount: money.From(amount), Asset: 1, Code: 1}
	if got := w.local(c, t); got != journal.Created {
		w.t.Fatalf("fund: %v", got)
	}
}

// local records a transfer within a cell.
func (w *world) local(c *cell.Cell, t journal.Transfer) journal.Status {
	w.t.Helper()
	r := &cell.Request{Kind: journal.KindTransfers, Actor: teller, Events: journal.Bytes([]journal.Transfer{t}), Results: make([]journal.Result, 1)}
	if err := c.Do(context.Background(), r); err != nil {
		w.t.Fatal(err)
	}
	return r.Results[0].Status
}

// transfer is a transfer as a caller asks for it.
func transfer(id uint64, debit, credit money.U128, amount uint64) journal.Transfer {
	return journal.Transfer{ID: money.U128{Lo: id, Hi: 2}, Debit: debit, Credit: credit, Amount: money.From(amount), Asset: 1, Code: 1, UserData64: id}
}

func (w *world) crossing(t journal.Transfer) router.Crossing {
	return router.Crossing{Transfer: t, Peer: w.m.Buckets[journal.Bucket(t.Credit)]}
}

// send brings transfers about, in their home.
func (w *world) send(list ...journal.Transfer) ([]journal.Result, error) {
	home := w.m.Buckets[journal.Bucket(list[0].Debit)]
	crossings := make([]router.Crossing, len(list))
	for i := range list {
		crossings[i] = w.crossing(list[i])
	}
	return w.cells[home].drives().Transfer(context.Background(), teller, crossings)
}

// must is send for transfers that are answered.
func (w *world) must(list ...journal.Transfer) []journal.Status {
	w.t.Helper()
	results, err := w.send(list...)
	if err != nil {
		w.t.Fatal(err)
	}
	statuses := make([]journal.Status, len(results))
	for i := range results {
		statuses[i] = results[i].Status
	}
	return statuses
}

// balance is what an account has: credits less debits that are posted, and what is pending on either side.
func (w *world) balance(account money.U128) (posted int64, debits, credits uint64) {
	w.t.Helper()
	c, _ := w.cells[w.m.Buckets[journal.Bucket(account)]].current()
	list, err := c.LookupAccounts(context.Background(), []money.U128{account})
	if err != nil || len(list) != 1 {
		w.t.Fatalf("look up %v: %v, %v", account, list, err)
	}
	a := list[0]
	return int64(a.CreditsPosted.Lo) - int64(a.DebitsPosted.Lo), a.DebitsPending.Lo, a.CreditsPending.Lo
}

// expect checks balances.
func (w *world) expect(account money.U128, posted int64, debits, credits uint64) {
	w.t.Helper()
	if p, d, c := w.balance(account); p != posted || d != debits || c != credits {
		w.t.Errorf("account %v has %d, pending %d and %d; want %d, %d, %d", account, p, d, c, posted, debits, credits)
	}
}

// quiet waits until no driver has anything to do but wait for two-phase transfers, of which there are so many.
func (w *world) quiet(waiting int) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		open, asleep := 0, 0
		for _, m := range w.cells {
			s := m.drives().Stats()
			open += s.Open
			asleep += s.Waiting
		}
		if open == waiting && asleep == waiting {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d transfers are open, %d wait; want %d", open, asleep, waiting)
		}
		runtime.Gosched()
	}
	if waiting == 0 {
		w.settled()
	}
}

// settled checks that nothing is in transit, and that the clearing accounts of every two cells mirror each other.
func (w *world) settled() {
	w.t.Helper()
	between := map[[2]uint64]int64{}
	for id, m := range w.cells {
		c, _ := m.current()
		err := c.ScanPendings(context.Background(), func(p *ledger.OpenPending) {
			w.t.Errorf("cell %d: reservation %v, flags %#x, is open", id, p.ID, p.Flags)
		})
		if err != nil {
			w.t.Fatal(err)
		}
		own := map[money.U128]uint64{}
		for other := range w.cells {
			own[transit.Clearing(cny, other)] = other
		}
		err = c.ScanAccounts(context.Background(), 0, false, func(_ uint32, a *journal.Account) bool {
			net := int64(a.CreditsPosted.Lo) - int64(a.DebitsPosted.Lo)
			if a.Flags.Has(journal.AccountTransit) && (!a.DebitsPending.IsZero() || !a.CreditsPending.IsZero()) || a.ID == transit.InTransit(cny) && net != 0 {
				w.t.Errorf("cell %d: account %v is not settled: %+v", id, a.ID, a)
			}
			if peer, clearing := own[a.ID]; clearing {
				between[[2]uint64{id, peer}] = net
			}
			return true
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for pair := range maps.Keys(between) {
		if between[pair] != -between[[2]uint64{pair[1], pair[0]}] {
			w.t.Errorf("cells %d and %d: clearing %d and %d", pair[0], pair[1], between[pair], between[[2]uint64{pair[1], pair[0]}])
		}
	}
}
