package index_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/ledger"
)

// crashFS is a disk that can lose what was not synced. A clone waits for links that are being made, because
// vfs.MemFS locks twice for one and would wait for ever.
type crashFS struct {
	*vfs.MemFS
	linking sync.Mutex
}

func (f *crashFS) Link(from, to string) error {
	f.linking.Lock()
	defer f.linking.Unlock()
	return f.MemFS.Link(from, to)
}

// crash returns the disk as it may be after a loss of power at this moment.
func (f *crashFS) crash(percent int, seed uint64) *crashFS {
	f.linking.Lock()
	defer f.linking.Unlock()
	c := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 2))}
	return &crashFS{MemFS: f.MemFS.CrashClone(c)}
}

// machine runs an index beside its model.
type machine struct {
	*world
	fs  *crashFS
	x   *index.Index
	q   *index.Queries
	run int
}

func (m *machine) open(t *rapid.T) {
	x, err := index.Open("cells/idx", index.Options{FS: m.fs, RunEntries: m.run})
	if err != nil {
		t.Fatal(err)
	}
	m.x, m.q = x, index.NewQueries(x, m.world)
}

// TestModel adds random blocks, crashes at any point and compares every kind of query with the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			world: newWorld(rapid.Uint64().Draw(t, "seed")),
			fs:    &crashFS{MemFS: vfs.NewCrashableMem()},
			run:   rapid.SampledFrom([]int{1, 8, 60, 1000}).Draw(t, "entries of a run"),
		}
		m.open(t)
		defer func() { m.x.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"add":      m.add,
			"flush":    m.flush,
			"crash":    m.crash,
			"account":  m.account,
			"transfer": m.query,
			"numbers":  m.numbersByData,
		})
	})
}

func (m *machine) add(t *rapid.T) {
	before := uint64(len(m.blocks)) + 1
	for range rapid.IntRange(1, 4).Draw(t, "blocks") {
		m.addBlock(rapid.IntRange(0, 5).Draw(t, "requests"))
	}
	if err := m.addTo(m.x, before); err != nil {
		t.Fatal(err)
	}
	if got := m.x.Applied(); got != uint64(len(m.blocks)) {
		t.Fatalf("applied %d of %d", got, len(m.blocks))
	}
}

func (m *machine) flush(t *rapid.T) {
	if err := m.x.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := m.x.Durable(); got != uint64(len(m.blocks)) {
		t.Fatalf("durable %d of %d after a flush", got, len(m.blocks))
	}
}

func (m *machine) crash(t *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced data that survives")
	seed := rapid.Uint64().Draw(t, "which")
	durable := m.x.Durable()
	m.fs = m.fs.crash(percent, seed)
	if err := m.x.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	applied := m.x.Applied()
	if applied < durable || applied > uint64(len(m.blocks)) || applied != m.x.Durable() {
		t.Fatalf("applied %d and durable %d after a crash, durable %d of %d before", applied, m.x.Durable(), durable, len(m.blocks))
	}
	from := rapid.Uint64Range(1, applied+1).Draw(t, "replayed from")
	if err := m.addTo(m.x, from); err != nil {
		t.Fatal(err)
	}
}

// drawTime returns 0 or a timestamp at, before or after some transfer.
func (m *machine) drawTime(t *rapid.T, label string) uint64 {
	if len(m.transfers) == 0 || rapid.Bool().Draw(t, label+" set") {
		return 0
	}
	i := rapid.IntRange(0, len(m.transfers)-1).Draw(t, label)
	return m.transfers[i].Timestamp - 1 + rapid.Uint64Range(0, 2).Draw(t, label+" offset")
}

func (m *machine) draw(t *rapid.T) index.QueryFilter {
	f := index.QueryFilter{
		Limit:    rapid.SampledFrom([]int{1, 2, 10, 8190}).Draw(t, "limit"),
		Code:     rapid.SampledFrom([]uint16{0, 0, 0, 1, 9}).Draw(t, "code"),
		Asset:    rapid.SampledFrom([]uint32{0, 0, 2}).Draw(t, "asset"),
		Reversed: rapid.Bool().Draw(t, "reversed"),
	}
	if rapid.Bool().Draw(t, "by user data") {
		f.UserData128, f.UserData64, f.UserData32 = m.userData()
	}
	f.TimestampMin, f.TimestampMax = m.drawTime(t, "from"), m.drawTime(t, "to")
	if f.TimestampMax != 0 && f.TimestampMin > f.TimestampMax {
		f.TimestampMin, f.TimestampMax = f.TimestampMax, f.TimestampMin
	}
	return f
}

func (m *machine) account(t *rapid.T) {
	if len(m.accounts) == 0 {
		t.Skip("no accounts")
	}
	d := m.draw(t)
	a := &m.accounts[rapid.IntRange(0, len(m.accounts)-1).Draw(t, "account")]
	f := index.AccountFilter{
		AccountID: a.ID, UserData128: d.UserData128, UserData64: d.UserData64, UserData32: d.UserData32, Code: d.Code,
		TimestampMin: d.TimestampMin, TimestampMax: d.TimestampMax, Limit: d.Limit, Reversed: d.Reversed,
		Debits: rapid.Bool().Draw(t, "debits"), Credits: rapid.Bool().Draw(t, "credits"),
	}
	want := m.accountTransfers(a.number, f)
	m.scanOf(t)
	pages(t, f.Limit, m.records(want), func(next uint64) (index.Page[ledger.Transfer], error) {
		return m.q.AccountTransfers(context.Background(), a.number, goOn(f, next))
	})
	var rows []index.BalanceRow
	for _, i := range want {
		for _, b := range m.balances[a.number] {
			if b.transfer == i {
				rows = append(rows, b.row)
			}
		}
	}
	pages(t, f.Limit, rows, func(next uint64) (index.Page[index.BalanceRow], error) {
		return m.q.AccountBalances(context.Background(), a.number, goOn(f, next))
	})
}

func (m *machine) query(t *rapid.T) {
	f := m.draw(t)
	m.scanOf(t)
	pages(t, f.Limit, m.records(m.queryTransfers(f)), func(next uint64) (index.Page[ledger.Transfer], error) {
		g := f
		if next != 0 && f.Reversed {
			g.TimestampMax = next
		} else if next != 0 {
			g.TimestampMin = next
		}
		return m.q.Transfers(context.Background(), g)
	})
}

func (m *machine) numbersByData(t *rapid.T) {
	f := m.draw(t)
	got, indexed, err := m.q.AccountNumbers(context.Background(), f, func(n uint32) bool { return n%2 == 1 })
	if err != nil {
		t.Fatal(err)
	}
	byData := !f.UserData128.IsZero() || f.UserData64 != 0 || f.UserData32 != 0
	if want := m.accountNumbers(f); indexed != byData || indexed && !slices.Equal(got, want) {
		t.Fatalf("accounts %v (indexed %v) of %+v, want %v", got, indexed, f, want)
	}
}

// scanOf sets how much one query may look at, so that short histories need several pages too.
func (m *machine) scanOf(t *rapid.T) {
	m.q.SetScan(rapid.SampledFrom([]int{1, 7, index.MaxScan}).Draw(t, "scan"))
}

func (m *machine) records(at []int) []ledger.Transfer {
	var found []ledger.Transfer
	for _, i := range at {
		found = append(found, m.transfers[i])
	}
	return found
}

func goOn(f index.AccountFilter, next uint64) index.AccountFilter {
	if next != 0 && f.Reversed {
		f.TimestampMax = next
	} else if next != 0 {
		f.TimestampMin = next
	}
	return f
}

// pages reads all pages and compares them with the rows wanted.
func pages[T comparable](t *rapid.T, limit int, want []T, read func(next uint64) (index.Page[T], error)) {
	var got []T
	for next, n := uint64(0), 0; n == 0 || next != 0; n++ {
		page, err := read(next)
		if errors.Is(err, index.ErrFilter) && n > 0 { // the range of time is used up
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Rows) > limit {
			t.Fatalf("%d rows, limit %d", len(page.Rows), limit)
		}
		if n > 100_000 {
			t.Fatalf("page %d goes on at %d", n, next)
		}
		got, next = append(got, page.Rows...), page.NextTimestamp
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d rows, want %d:\n%v\nwant\n%v", len(got), len(want), got, want)
	}
}
