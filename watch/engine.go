package watch

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// Past finds keys that left memory. It is a function of its arguments: asked again, also after a restart and by a
// replay, it gives the same answer.
type Past interface {
	// Closed returns the state of the newest [Closed] of the key whose effect had a number of at most through; nil:
	// there is none. It is asked during Block, Observe, Tick and Decide, also about effects that [Engine.Effects] has
	// given out just before.
	Closed(flow string, key ID, through uint64) []byte
}

// Options of an engine.
type Options struct {
	Cell     uint64
	Flows    []*Flow
	StopLoss StopLoss
	Past     Past // nil: no key ever leaves memory
	MaxLegs  int  // of one key; 0: 4,096
	// Transit is how long money may be in transit between cells, ns; 0: 30 s.
	Transit uint64
	// HashKey spreads ids in memory. A runner gives a random one, so that nobody can choose ids that slow it down. It
	// changes no answer.
	HashKey uint64
}

// bookkeeper is the recomputed ledger, as books.Model is.
type bookkeeper interface {
	Apply(raw []byte, visit func(*books.Movement), find func(*books.Finding)) (taken bool)
	Broken() error
	Seq() uint64
	Hash() [32]byte
	Time() uint64
	Totals() []books.Total
	Account(id ID) (books.Balances, bool)
	VisitAccounts(f func(books.Balances))
	Overdue(before uint64, f func(*books.Open))
	Stuck(before uint64, stuck, ended func(*books.Bucket))
	Moved(id ID) bool
	AssetName(number uint32) string
	Snapshot(w io.Writer) error
}

// Engine is the state of the watch. It is owned by one goroutine. Its inputs, in their order, decide everything that it
// says: calls that take no input (Proof, Sources, …) change nothing that a later answer depends on.
type Engine struct {
	cell  uint64
	books bookkeeper
	past  Past
	loss  StopLoss

	transit uint64 // ns

	flows     []*Flow
	flowIndex map[string]uint16
	running   []running
	byCode    [][]uint16 // flows that may claim a code
	anyCode   []uint16   // flows that may claim any
	maxLegs   int

	sources     []*source // 0: the journal
	sourceIndex map[string]uint16

	cases slab[caseRec]
	facts slab[fact]
	terms slab[termValues]
	texts slab[keyText]
	byKey map[caseKey]uint32
	keys  []uint64 // open cases by flow
	dirty []uint32

	assets     []string // by the engine's own numbers; 0: none
	known      []bool   // the ledger has it
	assetIndex map[string]uint32
	ofLedger   []uint32 // the engine's number by the ledger's

	breaks        map[ID]*kept
	ofCase        map[uint32][]*kept
	ended         []ID // accepted, without a case, oldest first
	openCount     uint64
	breaksChanged bool
	causes        map[causeKey]ID
	causeOrder    []causeKey
	journalRoot   ID // the finding that broke the chain
	blockRoot     ID // the first finding of the block that is being taken
	blockGap      ID // of blocks that came too early
	spent         budget

	now        uint64
	head       uint64 // of the last tick
	horizon    uint64
	number     uint64 // of the last effect
	out        []Effect
	leaving    map[caseKey][]byte // closed keys among out
	arena      []byte             // the next states of closed keys are written here
	closings   []Closed           // and these tell of them
	events     uint64
	uncovered  map[uint16]uncovered
	watched    map[ID]*watchedAccount
	watchOrder []ID
	sums       breakSums

	v       vars
	j       judgement
	scratch []byte
	list    []fact
}

// uncovered counts movements of a code that no flow claims.
type uncovered struct{ movements, last uint64 }

// running is what the engine keeps of a flow.
type running struct {
	order, receipt uint16 // places of sources; 0: none
	refunds        int    // the flow whose payments are paid back; -1: none
	fixed          []ID   // accounts that the flow names: everybody's, so never frozen for one case
	unproven       heap
	seen           bool
	closed, late   uint64
	lateness       []uint64 // ns, of the last complete cases
	latenessAt     int
}

var (
	// ErrOptions are options that can't be used; the text says why.
	ErrOptions = errors.New("watch options")
	// ErrNoBreak is a break that isn't there, or is ended.
	ErrNoBreak = errors.New("no such break")
	// ErrDecision is a decision that is none.
	ErrDecision = errors.New("decision")
)

const (
	defaultMaxLegs = 4_096
	maxFlows       = 256
	blockSkew      = uint64(10 * time.Second) // how far a block's time may be ahead of the clock
)

// New returns an engine before the first block. ErrOptions: two flows of one name, a refund of a flow that is not
// there, more than 256 flows, a stop-loss rule that means nothing.
func New(o Options) (*Engine, error) {
	return newEngine(o, books.New(o.Cell, books.Options{HashKey: o.HashKey}))
}

func newEngine(o Options, b bookkeeper) (*Engine, error) {
	e := &Engine{
		cell: o.Cell, books: b, past: o.Past, loss: o.StopLoss, transit: o.Transit, flows: o.Flows, maxLegs: o.MaxLegs,
		flowIndex: map[string]uint16{}, sourceIndex: map[string]uint16{}, byKey: map[caseKey]uint32{}, assetIndex: map[string]uint32{},
		breaks: map[ID]*kept{}, ofCase: map[uint32][]*kept{}, causes: map[causeKey]ID{}, leaving: map[caseKey][]byte{},
		uncovered: map[uint16]uncovered{}, watched: map[ID]*watchedAccount{},
		sources: []*source{{name: "journal"}}, assets: []string{""}, known: []bool{false}, ofLedger: []uint32{0},
		running: make([]running, len(o.Flows)), keys: make([]uint64, len(o.Flows)),
	}
	if e.maxLegs <= 0 {
		e.maxLegs = defaultMaxLegs
	}
	if e.transit == 0 {
		e.transit = defaultTransit
	}
	if err := checkStopLoss(o.StopLoss); err != nil {
		return nil, err
	}
	if len(o.Flows) > maxFlows {
		return nil, fmt.Errorf("%w: %d flows: at most %d", ErrOptions, len(o.Flows), maxFlows)
	}
	for i, f := range o.Flows {
		if _, twice := e.flowIndex[f.Name]; twice {
			return nil, fmt.Errorf("%w: two flows are named %s", ErrOptions, f.Name)
		}
		e.flowIndex[f.Name] = uint16(i)
	}
	for i, f := range o.Flows {
		if err := e.bind(uint16(i), f); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// bind resolves the names in a flow and files it under its codes.
func (e *Engine) bind(i uint16, f *Flow) error {
	r := &e.running[i]
	r.refunds = -1
	for _, o := range []struct {
		owed  *owed
		place *uint16
	}{{f.order, &r.order}, {f.receipt, &r.receipt}} {
		if o.owed == nil {
			continue
		}
		place, ok := e.sourceOf(o.owed.source)
		if !ok {
			return fmt.Errorf("%w: flows name more than %d sources", ErrOptions, maxSources)
		}
		*o.place = place
	}
	for name, silence := range f.silence {
		place, ok := e.sourceOf(name)
		if !ok {
			return fmt.Errorf("%w: flows name more than %d sources", ErrOptions, maxSources)
		}
		s := e.sources[place]
		if s.silence != defaultSilence && s.silence != silence {
			return fmt.Errorf("%w: flow %s: source %s may be silent for %v, and for %v elsewhere", ErrOptions, f.Name, name, time.Duration(silence), time.Duration(s.silence)) //nolint:gosec // G115: up to a year
		}
		s.silence = silence
	}
	if f.refunds != "" {
		payment, ok := e.flowIndex[f.refunds]
		if !ok {
			return fmt.Errorf("%w: flow %s pays back %s, which is not declared", ErrOptions, f.Name, f.refunds)
		}
		r.refunds = int(payment)
	}
	for _, l := range f.legs {
		for _, side := range []party{l.from, l.to} {
			if side.of == fixed {
				r.fixed = append(r.fixed, side.account)
			}
		}
	}
	e.file(i, f)
	return nil
}

func (e *Engine) file(i uint16, f *Flow) {
	if len(f.codes) == 0 {
		e.anyCode = append(e.anyCode, i)
		for code := range e.byCode {
			if e.byCode[code] != nil {
				e.byCode[code] = append(e.byCode[code], i)
			}
		}
		return
	}
	for _, code := range f.codes {
		for len(e.byCode) <= int(code) {
			e.byCode = append(e.byCode, nil)
		}
		if e.byCode[code] == nil {
			e.byCode[code] = append([]uint16{}, e.anyCode...)
		}
		e.byCode[code] = append(e.byCode[code], i)
		slices.Sort(e.byCode[code])
	}
}

// Block takes the next block of the journal, as it stands there. It must be acknowledged. The engine keeps no reference
// to raw. What is wrong with it, up to bytes that are no block, is a break; a block that was taken already is left out.
// After a break of the chain no further block is taken, since nothing after it is proven.
func (e *Engine) Block(raw []byte) {
	e.blockRoot = ID{}
	if e.books.Apply(raw, e.move, e.found) && !e.blockGap.IsZero() {
		e.mend(e.blockGap, "the missing block came")
		e.blockGap = ID{}
	}
	e.learnAssets()
	e.settleDirty()
}

// found makes a finding of the books a break. What cases show about the same transfer, or block, is of its group.
func (e *Engine) found(f *books.Finding) {
	asset := e.assets[e.assetOf(f.Asset)]
	ev := Evidence{What: "block", Source: "journal", Seq: f.Seq, Time: f.Time}
	about := causeKey{seq: f.Seq}
	if f.Index >= 0 {
		ev.What, ev.Index = "transfer", f.Index
		about = causeKey{transfer: f.Transfer}
		ev.Fields = append(ev.Fields, Field{Name: "id", Value: textOf(f.Transfer)})
	}
	for _, one := range f.Fields {
		ev.Fields = append(ev.Fields, Field{Name: one.Name, Value: one.Value, Wrong: true}, Field{Name: one.Name + " expected", Value: one.Want})
	}
	b := breakOf{
		class: Class(f.Class), key: f.Transfer, cause: fmt.Sprintf("%d %d", f.Seq, f.Index), happened: max(f.Time, 1), risk: f.Amount, asset: asset,
		summary: f.Summary, accounts: append([]ID(nil), f.Accounts...), evidence: []Evidence{ev}, group: e.journalRoot,
	}
	if f.Index < 0 && b.group.IsZero() { // of the whole block: it follows from what was found in it
		b.group = e.blockRoot
	}
	id := e.report(b)
	if e.blockRoot.IsZero() {
		e.blockRoot = id
	}
	e.remember(about, id)
	switch {
	case b.class == SourceGap:
		e.blockGap = id
	case e.books.Broken() != nil && e.journalRoot.IsZero():
		e.journalRoot = id
	}
}

// settleDirty judges every case that something changed about.
func (e *Engine) settleDirty() {
	for n := 0; n < len(e.dirty); n++ {
		if i := e.dirty[n]; e.cases.at(i).dirty {
			e.judge(i)
		}
	}
	e.dirty = e.dirty[:0]
}

// Tick tells the time: now (ns since 1970), and how far the journal's word goes: no block after head will have a time
// of horizon or before. Deadlines pass, sources fall silent and the proof moves by ticks alone. A clock that goes back,
// or a block far ahead of it, is a break.
func (e *Engine) Tick(now, head, horizon uint64) {
	if now+clockSkew < e.now {
		e.report(breakOf{class: ClockJump, cause: fmt.Sprint(e.now), happened: max(now, 1), summary: fmt.Sprintf("the clock went back from %s to %s", stamp(e.now), stamp(now))})
	}
	if e.now != 0 && now > e.now+awayAfter {
		e.back(now)
	}
	e.now = max(e.now, now)
	if at := e.books.Time(); e.now != 0 && at > e.now+blockSkew {
		e.report(breakOf{
			class: ClockJump, cause: "journal", happened: e.now, summary: fmt.Sprintf("block %d is of %s, %v ahead of the clock", e.books.Seq(), stamp(at), apartOf(at, e.now)),
			evidence: []Evidence{{What: "block", Source: "journal", Seq: e.books.Seq(), Time: at, Fields: []Field{{Name: "time", Value: stamp(at), Wrong: true}, {Name: "now", Value: stamp(e.now)}}}},
		})
	}
	if horizon >= e.horizon {
		e.head, e.horizon = head, horizon
	}
	journal := e.sources[0]
	journal.through = max(journal.through, e.books.Time())
	if e.books.Seq() >= e.head && e.journalRoot.IsZero() {
		journal.through = max(journal.through, e.horizon)
	}
	for i := 1; i < len(e.sources); i++ {
		e.tickSource(uint16(i))
	}
	for _, s := range e.sources {
		for len(s.heap.list) > 0 && s.heap.list[0].at <= s.through {
			e.judge(s.heap.list[0].ref >> 2)
		}
	}
	e.settleDirty()
	e.settleTransit()
	e.settleBalances()
}

// watermark is how far the source of a lane has told.
func (e *Engine) watermark(flow uint16, lane int) uint64 {
	switch r := &e.running[flow]; lane {
	case laneOrder:
		return e.sources[r.order].through
	case laneReceipt:
		return e.sources[r.receipt].through
	default:
		return e.sources[0].through
	}
}

// Effects appends what came about since the last call, in order. They are the caller's.
func (e *Engine) Effects(dst []Effect) []Effect {
	dst = append(dst, e.out...)
	clear(e.out)
	e.out = e.out[:0]
	clear(e.leaving)
	return dst
}

// Seq is the sequence number of the last block that was taken.
func (e *Engine) Seq() uint64 { return e.books.Seq() }

// Account returns an account's balances by watch's own count; ok is false where there is no such account.
func (e *Engine) Account(id ID) (b AccountBalance, ok bool) {
	found, ok := e.books.Account(id)
	return AccountBalance(found), ok
}

// VisitAccounts calls f with all accounts, in the order of their creation.
func (e *Engine) VisitAccounts(f func(AccountBalance)) {
	e.books.VisitAccounts(func(b books.Balances) { f(AccountBalance(b)) })
}

// AssetName returns the name of an asset such as "CNY/2"; empty where there is none.
func (e *Engine) AssetName(number uint32) string { return e.books.AssetName(number) }

// failed reports a rule that has no value, outside of a case.
func (e *Engine) failed(f *Flow, m *Movement, err error) {
	e.report(breakOf{
		class: RuleFailed, flow: f.Name, key: m.UserData128, cause: "movement " + m.Transfer.String(), happened: max(m.Time, 1), risk: m.Amount, asset: e.v.asset,
		summary: "whether a movement belongs to the flow, or to which leg, can't be computed: " + err.Error(), accounts: []ID{m.Credit, m.Debit},
		evidence: []Evidence{{What: "transfer", Source: "journal", Seq: m.Seq, Index: m.Index, Time: m.Time, Fields: []Field{{Name: "id", Value: m.Transfer.String()}, {Name: "amount", Value: money(m.Amount, e.v.asset)}}}},
	})
	e.v.err = nil
}

// retryUnknown judges cases again that wait for an asset of the ledger.
func (e *Engine) retryUnknown() {
	for i, list := range e.ofCase { // marks only; settleDirty sorts what it finds
		for _, k := range list {
			if k.Class == UnknownAsset && k.holds() {
				e.mark(i)
			}
		}
	}
}

// Decision is a person's word on a break.
type Decision struct {
	Break    ID
	Group    bool // all of its group, too
	State    BreakState
	Who, Why string
}

// AccountBalance is an account's balances, minor units.
type AccountBalance struct {
	Account                                                    ID
	Asset                                                      uint32
	DebitsPosted, CreditsPosted, DebitsPending, CreditsPending Amount
}

// Statement is what watch states at a moment.
type Statement struct {
	Cell    uint64
	Seq     uint64   // last block
	Hash    [32]byte // its hash
	Time    uint64   // its time, ns
	Through uint64   // safe through
	Totals  []AssetTotal
	Sources []SourceState
	Events  uint64
}

// StopLoss says what is frozen at which breaks, and how much at most.
type StopLoss struct {
	DryRun bool `yaml:"dry_run"` // only report
	// Rules are tried in order; the first that matches counts. None: nothing is frozen.
	Rules []StopRule `yaml:"rules"`
	// AccountsPerMinute and AmountPerMinute (minor units by asset) bound what is frozen without a person, in each minute
	// of the engine's time. 0 accounts: a person is asked about each. An asset that is not in AmountPerMinute has no
	// bound. A freeze of a flow or the cell is always beyond them unless Unasked is set on its rule.
	AccountsPerMinute int               `yaml:"accounts_per_minute"`
	AmountPerMinute   map[string]uint64 `yaml:"amount_per_minute"`
}

// StopRule maps classes of breaks to what is frozen.
type StopRule struct {
	Classes []Class  `yaml:"classes"` // empty: all
	Flows   []string `yaml:"flows"`   // empty: all
	Freeze  string   `yaml:"freeze"`  // account, flow, cell, none
	Unasked bool     `yaml:"unasked"` // may go beyond the budget
}
