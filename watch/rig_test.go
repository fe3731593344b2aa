package watch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// stubBooks are books that take movements as they are given: the engine's tests are about what it makes of them.
type stubBooks struct {
	seq, time uint64
	next      []Movement
	findings  []books.Finding
	broken    error
	balances  map[ID]books.Balances
	overdue   []*books.Open
	stuck     []*books.Bucket
	went      []*books.Bucket
	gone      map[ID]bool
}

func (s *stubBooks) Apply(_ []byte, visit func(*books.Movement), find func(*books.Finding)) bool {
	if s.broken != nil {
		return false
	}
	s.seq++
	for n := range s.next {
		m := s.next[n]
		m.Seq, m.Index, m.Time = s.seq, n, s.time+uint64(n)
		visit(&m)
		d, c := s.balances[m.Debit], s.balances[m.Credit]
		if m.Phase == books.Single || m.Phase == books.Capture {
			d.Account, c.Account = m.Debit, m.Credit
			d.DebitsPosted = d.DebitsPosted.AddSat(m.Amount)
			c.CreditsPosted = c.CreditsPosted.AddSat(m.Amount)
			s.balances[m.Debit], s.balances[m.Credit] = d, c
		}
	}
	for n := range s.findings {
		if s.findings[n].Class == string(TamperedHistory) {
			s.broken = books.ErrBroken
		}
		find(&s.findings[n])
	}
	s.next, s.findings = nil, nil
	return s.broken == nil
}

func (s *stubBooks) Broken() error                      { return s.broken }
func (s *stubBooks) Seq() uint64                        { return s.seq }
func (s *stubBooks) Hash() [32]byte                     { return [32]byte{byte(s.seq)} }
func (s *stubBooks) Time() uint64                       { return s.time }
func (s *stubBooks) Totals() []books.Total              { return nil }
func (s *stubBooks) VisitAccounts(func(books.Balances)) {}
func (s *stubBooks) Account(id ID) (books.Balances, bool) {
	b, ok := s.balances[id]
	return b, ok
}

func (s *stubBooks) Overdue(before uint64, f func(*books.Open)) {
	for _, o := range s.overdue {
		if o.Since <= before {
			f(o)
		}
	}
}

func (s *stubBooks) Moved(id ID) bool { return s.gone[id] }

func (s *stubBooks) Stuck(before uint64, stuck, ended func(*books.Bucket)) {
	for _, b := range s.stuck {
		if b.Since <= before {
			stuck(b)
		}
	}
	for _, b := range s.went {
		ended(b)
	}
}

func (s *stubBooks) AssetName(number uint32) string {
	return map[uint32]string{1: "CNY/2", 2: "USD/2"}[number]
}

func (s *stubBooks) Snapshot(w io.Writer) error {
	c := binary.LittleEndian.AppendUint64(nil, s.seq)
	_, err := w.Write(binary.LittleEndian.AppendUint64(c, s.time))
	return err
}

// kept keys of an engine under test, as a runner keeps them.
type shelf map[string][]byte

func (s shelf) Closed(flow string, key ID, _ uint64) []byte { return s[flow+string(key[:])] }

// rig drives an engine.
type rig struct {
	t      testing.TB
	e      *Engine
	books  *stubBooks
	shelf  shelf
	now    uint64
	seqs   map[string]uint64
	ids    uint64
	last   uint64
	breaks map[ID]*Break
	opened map[ID]int
	frozen []*Freeze
	closed int
	told   []string // every effect, for comparisons
}

const (
	second = uint64(time.Second)
	start  = 1_800_000_000 * second
)

func demoFlows(t testing.TB) []*Flow {
	t.Helper()
	files, err := flows.Files()
	if err != nil {
		t.Fatal(err)
	}
	var list []*Flow
	for _, f := range files {
		one, err := Parse(f.Name, f.Text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	r := &rig{t: t, books: &stubBooks{balances: map[ID]books.Balances{}}, shelf: shelf{}, now: start, seqs: map[string]uint64{}, breaks: map[ID]*Break{}, opened: map[ID]int{}}
	o.Past = r.shelf
	if o.Flows == nil {
		o.Flows = demoFlows(t)
	}
	e, err := newEngine(o, r.books)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	r.block()
	r.tick(0)
	for _, s := range []string{"orders", "card-scheme", "bank"} {
		r.say(s, Observation{Kind: Heartbeat})
	}
	return r
}

func key(n uint64) ID { return count.IDOf(count.Of(n)) }

func (r *rig) id() ID {
	r.ids++
	return key(1_000_000 + r.ids)
}

// drain takes the effects as a runner does.
func (r *rig) drain() {
	for _, f := range r.e.Effects(nil) {
		if f.Number != r.last+1 {
			r.t.Errorf("effect %d after %d", f.Number, r.last)
		}
		r.last = f.Number
		line := fmt.Sprintf("%d %d %s %s %d", f.Number, f.Kind, f.Who, f.Why, f.Time)
		switch f.Kind {
		case BreakOpened:
			r.opened[f.Break.ID]++
			r.breaks[f.Break.ID] = f.Break
			line += fmt.Sprintf(" %+v", *f.Break)
		case BreakChanged:
			r.breaks[f.Break.ID] = f.Break
			line += fmt.Sprintf(" %+v", *f.Break)
		case FreezeWanted:
			r.frozen = append(r.frozen, f.Freeze)
			line += fmt.Sprintf(" %+v", *f.Freeze)
		case KeyClosed:
			r.closed++
			if len(f.Closed.State) > 512 {
				r.t.Errorf("%d bytes of a closed key", len(f.Closed.State))
			}
			r.shelf[f.Closed.Flow+string(f.Closed.Key[:])] = f.Closed.State
			line += fmt.Sprintf(" %s %v %x", f.Closed.Flow, f.Closed.Key, f.Closed.State)
		}
		r.told = append(r.told, line)
	}
}

// say makes a source tell something, with a promise up to now where the observation has none.
func (r *rig) say(source string, list ...Observation) {
	for n := range list {
		o := &list[n]
		if o.Seq == 0 {
			r.seqs[source]++
			o.Seq = r.seqs[source]
		}
		if o.Time == 0 {
			o.Time = r.now
		}
		if o.Through == 0 {
			o.Through = o.Time
		}
		if o.Asset == "" && o.Kind != Heartbeat {
			o.Asset = "CNY/2"
		}
		if o.ID.IsZero() && o.Kind != Heartbeat {
			o.ID = r.id()
		}
	}
	r.e.Observe(source, list)
	r.drain()
}

// block books movements together.
func (r *rig) block(list ...Movement) {
	for n := range list {
		m := &list[n]
		if m.Transfer.IsZero() {
			m.Transfer = r.id()
		}
		if m.Phase == 0 {
			m.Phase = books.Single
		}
		if m.Asset == 0 {
			m.Asset = 1
		}
	}
	r.books.next, r.books.time = list, max(r.now, r.books.time+1)
	r.e.Block(nil)
	r.drain()
}

// tick lets time pass; every source keeps up its word.
func (r *rig) tick(d time.Duration) {
	r.now += uint64(d)
	r.e.Tick(r.now, r.books.seq, r.now)
	r.drain()
}

// pass lets time pass in steps while the sources keep promising.
func (r *rig) pass(d time.Duration, sources ...string) {
	if sources == nil {
		sources = []string{"orders", "card-scheme", "bank"}
	}
	for ; d > 0; d -= min(d, 2*time.Second) {
		r.now += uint64(min(d, 2*time.Second))
		for _, s := range sources {
			r.say(s, Observation{Kind: Heartbeat, Through: r.now})
		}
		r.tick(0)
	}
}

// open lists the breaks that are open, as "class flow key".
func (r *rig) open() []string {
	var list []string
	for _, b := range r.breaks {
		if b.State == Open || b.State == Explained {
			list = append(list, fmt.Sprintf("%s %s %s", b.Class, b.Flow, b.KeyText))
		}
	}
	slices.Sort(list)
	return list
}

// all lists every break that there ever was.
func (r *rig) all() []string {
	var list []string
	for _, b := range r.breaks {
		list = append(list, fmt.Sprintf("%s %s %s", b.Class, b.Flow, b.KeyText))
	}
	slices.Sort(list)
	return list
}

func (r *rig) find(class Class) *Break {
	r.t.Helper()
	for _, b := range r.breaks {
		if b.Class == class {
			return b
		}
	}
	r.t.Fatalf("no %s among %q", class, r.all())
	return nil
}

func (r *rig) want(list ...string) {
	r.t.Helper()
	slices.Sort(list)
	if got := r.open(); !slices.Equal(got, list) {
		r.t.Errorf("open: %q, want %q", got, list)
		for _, b := range r.breaks {
			r.t.Logf("  %s %s: %s (state %d)", b.Class, b.KeyText, b.Summary, b.State)
		}
	}
}

// restart replaces the engine by one that was restored from its snapshot.
func (r *rig) restart(o Options) {
	r.t.Helper()
	var b bytes.Buffer
	if err := r.e.Snapshot(&b); err != nil {
		r.t.Fatal(err)
	}
	o.Past = r.shelf
	if o.Flows == nil {
		o.Flows = r.e.flows
	}
	e, err := restore(&b, o, func(in io.Reader) (bookkeeper, error) {
		_, err := io.CopyN(io.Discard, in, 16)
		return r.books, err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.e = e
	r.drain()
}

// Short forms of what happens.

const (
	alice, bob, shop = 101, 102, 201
	feesAccount      = 8800301000000001
	interestAccount  = 8800303000000001
	exchangeAccount  = 8800421000000001
)

func order(flow string, k, amount uint64, debit, credit uint64, terms ...Term) Observation {
	slices.SortFunc(terms, func(a, b Term) int { return strings.Compare(a.Name, b.Name) })
	return Observation{Kind: Instruction, Flow: flow, Key: key(k), KeyText: key(k).String(), Amount: count.Of(amount), Debit: key(debit), Credit: key(credit), Terms: terms}
}

func receipt(flow string, k, amount uint64, outcome Outcome) Observation {
	return Observation{Kind: Receipt, Flow: flow, Key: key(k), KeyText: key(k).String(), Amount: count.Of(amount), Outcome: outcome}
}

func line(flow string, k, amount uint64, minus bool) Observation {
	return Observation{Kind: StatementEntry, Flow: flow, Key: key(k), KeyText: key(k).String(), Amount: count.Of(amount), Minus: minus}
}

func move(code uint16, leg uint32, k, amount, debit, credit uint64) Movement {
	return Movement{Code: code, UserData32: leg, UserData128: key(k), Amount: count.Of(amount), Debit: key(debit), Credit: key(credit)}
}

// phase makes a movement one of a reservation's.
func phase(m Movement, p books.Phase, reservation ID) Movement {
	m.Phase, m.Reservation = p, reservation
	return m
}
