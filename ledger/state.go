package ledger

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Rules is the version of the rules that this program validates by. It stands in every block.
const Rules uint16 = 3

// Config of a new State.
type Config struct {
	HashKey [2]uint64 // random, secret; kept in snapshots
	Alloc   Alloc     // nil: the Go heap
	Yield   func()    // called now and then in long requests, to let others on; nil: never

	// Generation is how many ids a generation takes before the runner has to write it out (NextSealed, Settle); 0: all
	// ids stay in memory. Filter returns the filter of a generation that a snapshot relies on, once its file was found
	// whole; nil: there are no such files.
	Generation int
	Filter     func(GenerationRef) ([]uint64, error)
}

// State is the ledger's whole state. For each block: Begin, Expire, then Apply for every request in order (with the
// facts that Needs asked for), and Release once the block can be read back from the log.
type State struct {
	hasher hasher
	alloc  Alloc
	yield  func()

	accounts  chunked[journal.Account] // by number, from 1; Reserved holds marks
	accountNo *table                   // hash of the account's id → number
	nAccounts uint32
	details   chunked[detail] // by account number, as far as any account has some
	addresses addresses
	addressNo *table // hash of an address → account number

	ids   *table // hash of a transfer's id → position<<2 | how its reservation ended; the youngest generation
	gens  generations
	found []uint64 // scratch of entries

	pendings   pendings
	expiries   expiryHeap
	closed     map[journal.Position]closedPending // ended in blocks not released yet
	catalogue  *Catalogue
	freezes    freezes
	limits     map[limitKey]*velocity
	limitIDs   map[money.U128]limitRecord
	limitOrder []money.U128 // ids of limits in the order they were set
	counts     Counts
	books      books
	policy     Policy
	controls   controls
	proposals  proposals
	transits   transits
	rules      uint16 // of the last block, and of the next
	digest     [2]uint64
	lastEnd    uint64 // first timestamp that the next block may use
	lastAcct   uint64 // timestamp of the youngest account
	lastXfer   uint64 // timestamp of the youngest transfer
	recent     []recentBlock
	chain      chain
	snapshot   *Snapshot
	watchEdits bool // the chain or the snapshot wants to know values before they change

	// The block being built.
	builder *journal.Builder
	fx      *Effects
	seq     uint64
	time    uint64
	facts   Facts
	prep    []prepared
	first   int // event number of the request's first event
	results []journal.Result
	special []special
	burns   []uint64 // hashes of the ids that the event being applied burns
	changed bool
	actor   journal.Actor

	attached []journal.Attachment // of the request
	approved bool                 // what is being applied was approved by a second person: whole or not at all
	sink     uint64               // keeps the reads of touch alive
	transit  journal.Transit      // what the event being applied says; only its Step is valid (0) where it says nothing
}

// Counts are totals over the whole journal.
type Counts struct {
	Accounts, Transfers, Burned, Pending uint64
}

// recentBlock is a block that the log can't give back yet.
type recentBlock struct {
	seq      uint64
	time     uint64
	expiries int
	block    blockRecords
}

// blockRecords is what a block being built and a sealed one have in common.
type blockRecords interface {
	Transfer(i int) *journal.Transfer
	Outcome(i int) *journal.Outcome
	Attachment(i int) []byte
}

// special is a created event whose outcome is not the default.
type special struct {
	event   int // of the block
	amount  money.U128
	pending journal.Position
}

// New returns the empty state.
func New(cfg Config) *State {
	alloc := cfg.Alloc
	if alloc == nil {
		alloc = heapAlloc
	}
	yield := cfg.Yield
	if yield == nil {
		yield = func() {}
	}
	s := &State{
		yield:  yield,
		hasher: hasher{cfg.HashKey[0], cfg.HashKey[1]}, alloc: alloc,
		accounts: chunked[journal.Account]{alloc: alloc}, accountNo: newTable(alloc, 0),
		closed: map[journal.Position]closedPending{}, catalogue: newCatalogue(), limits: map[limitKey]*velocity{},
		limitIDs: map[money.U128]limitRecord{}, details: chunked[detail]{alloc: alloc}, addresses: addresses{alloc: alloc},
		addressNo: newTable(alloc, 0), rules: Rules,
	}
	s.gens.size, s.gens.filters.alloc, s.gens.pool.fresh = cfg.Generation, alloc, alloc
	s.ids = s.newIDs()
	s.pendings.init(alloc)
	s.freezes.init()
	s.books.init()
	s.controls.init()
	s.proposals.init()
	s.transits.init()
	return s
}

// Begin starts block seq at the given time (ns), which must not lie before NextTime. What happens goes into b and fx.
func (s *State) Begin(b *journal.Builder, fx *Effects, seq, time uint64) {
	must.True(time >= s.lastEnd, "block %d begins at %d, the one before ended at %d", seq, time, s.lastEnd)
	b.Reset()
	fx.Reset()
	s.builder, s.fx, s.seq, s.time = b, fx, seq, time
}

// End finishes the block that was begun: sealed is its final form, kept until Release, or nil if nothing was in it.
func (s *State) End(sealed *journal.Block) {
	if sealed == nil {
		s.builder, s.fx = nil, nil
		return
	}
	s.keepRecent(len(sealed.Expiries), int(sealed.Header.Events), sealed)
}

// EndUnsealed is End for a block that is sealed elsewhere later: its builder is kept until Release instead. It returns
// whether there is a block: one with nothing in it is made only if barrier is set.
func (s *State) EndUnsealed(barrier bool) bool {
	b := s.builder
	if b.Empty() && !barrier {
		s.End(nil)
		return false
	}
	s.keepRecent(b.Expiries(), b.Events(), b)
	return true
}

func (s *State) keepRecent(expiries, events int, block blockRecords) {
	s.builder, s.fx = nil, nil
	s.lastEnd = s.time + max(1, uint64(expiries+events)) //nolint:gosec // small
	s.recent = append(s.recent, recentBlock{s.seq, s.time, expiries, block})
	s.seal()
}

// Release tells that all blocks up to seq can be read from the log: their memory is not used any more.
func (s *State) Release(seq uint64) {
	s.gens.released = max(s.gens.released, seq)
	for len(s.recent) > 0 && s.recent[0].seq <= seq {
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	for p, c := range s.closed {
		if c.endedIn <= seq {
			delete(s.closed, p)
		}
	}
}

// NextTime is the earliest time that the next block may have.
func (s *State) NextTime() uint64 { return s.lastEnd }

// Counts returns the totals.
func (s *State) Counts() Counts {
	c := s.counts
	c.Accounts, c.Pending = uint64(s.nAccounts), uint64(s.pendings.n) //nolint:gosec // n ≥ 0
	return c
}

// Digest summarises every balance that ever resulted, in order: equal journals give equal digests.
func (s *State) Digest() (d [32]byte) {
	binary.LittleEndian.PutUint64(d[:], s.digest[0])
	binary.LittleEndian.PutUint64(d[8:], s.digest[1])
	return d
}

// Assets returns the catalogue as it is now; it is never changed afterwards.
func (s *State) Assets() *Catalogue { return s.catalogue }

// Apply validates a request's events in order, in the block that was begun. It fills results, one for each event, and
// reports whether the request stands in the block: it does, whole, if any of its events changed something. The
// events' bytes are copied. Facts must hold all that Needs asked for.
func (s *State) Apply(kind journal.Kind, actor journal.Actor, events []byte, facts Facts, results []journal.Result) bool {
	first, copied := s.builder.AddRequest(kind, actor, events)
	s.addAttachments(first)
	s.facts, s.special, s.changed, s.actor = facts, s.special[:0], false, actor
	s.first, s.results = first, results
	s.applyKind(kind, copied, first, results)
	s.facts, s.results, s.attached = Facts{}, nil, nil
	if !s.changed {
		s.builder.DropRequest()
		return false
	}
	s.addOutcomes(first, results)
	return true
}

// applyKind applies the events of a request, or of what a decision carries.
func (s *State) applyKind(kind journal.Kind, events []byte, first int, results []journal.Result) {
	switch kind {
	case journal.KindAccounts:
		s.createAccounts(journal.View[journal.Account](events), first, results)
	case journal.KindTransfers:
		s.createTransfers(journal.View[journal.Transfer](events), first, results)
	case journal.KindTransaction:
		s.createTransaction(journal.View[journal.Transfer](events), first, results)
	case journal.KindAssets:
		s.createAssets(journal.View[journal.Asset](events), first, results)
	case journal.KindFreeze:
		s.createFreezes(journal.View[journal.Freeze](events), first, results)
	case journal.KindUnfreeze:
		s.liftFreezes(journal.View[journal.Unfreeze](events), first, results)
	case journal.KindLimits:
		s.setLimits(journal.View[journal.Limit](events), first, results)
	case journal.KindDecision:
		s.decide(events, first, results)
	default:
		s.applyControl(kind, events, first, results)
	}
}

func (s *State) applyControl(kind journal.Kind, events []byte, first int, results []journal.Result) {
	switch kind {
	case journal.KindDayClose:
		s.closeDays(journal.View[journal.DayClose](events), first, results)
	case journal.KindReopen:
		s.reopenDays(journal.View[journal.Reopen](events), first, results)
	case journal.KindProposal:
		s.propose(journal.View[journal.Proposal](events), first, results)
	case journal.KindPolicy:
		s.setPolicies(journal.View[journal.Policy](events), first, results)
	case journal.KindPrincipals:
		s.setPrincipals(journal.View[journal.Principal](events), first, results)
	case journal.KindMetadata:
		s.changeMetadata(journal.View[journal.Transfer](events), first, results)
	case journal.KindErasure:
		s.erase(journal.View[journal.Erasure](events), first, results)
	default:
		must.True(false, "request of kind %d", kind)
	}
}

// eventTime is the timestamp of event i of the block being built.
func (s *State) eventTime(i int) uint64 { return s.time + uint64(s.builder.Expiries()+i) } //nolint:gosec // small

// position is the position of event i of the block being built.
func (s *State) position(i int) journal.Position { return journal.At(s.seq, s.builder.Expiries()+i) }

// addOutcomes records what differs from the default.
func (s *State) addOutcomes(first int, results []journal.Result) {
	next := 0
	for i, r := range results {
		o := journal.Outcome{Event: uint32(first + i), Status: r.Status, Timestamp: r.Timestamp} //nolint:gosec // ≤ MaxEvents
		if next < len(s.special) && s.special[next].event == first+i {
			o.Amount, o.PendingPosition = s.special[next].amount, s.special[next].pending
			next++
		} else if r.Status == journal.Created {
			continue
		}
		s.builder.AddOutcome(o)
	}
}

// mix adds one account's balances to the digest.
func (s *State) mix(n uint32, a *journal.Account) {
	x := a.DebitsPosted.Lo ^ a.CreditsPosted.Lo<<1 ^ uint64(n)<<32
	y := a.DebitsPending.Lo ^ a.CreditsPending.Lo<<1 ^ a.DebitsPosted.Hi ^ a.CreditsPosted.Hi ^ uint64(a.Flags)
	s.digest[0] = (s.digest[0] ^ x) * 0x9E3779B97F4A7C15
	s.digest[1] = (s.digest[1] ^ y ^ s.digest[0]>>29) * 0xD6E8FEB86659FD93
}
