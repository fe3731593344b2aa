package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// rig runs a State the way a cell does, with a journal in memory: it opens blocks, fetches exactly the facts that
// Needs lists (and only from blocks that were released), seals, and releases when told.
type rig struct {
	state    *ledger.State
	ids      *idFiles
	size     int // of a generation; 0: all ids stay in memory
	builder  *journal.Builder
	deriver  *index.Deriver  // nil: it does not follow this journal
	witness  *watch.Verifier // nil: what is sealed is meant to be wrong
	fx       ledger.Effects
	log      []*journal.Block // block n stands at n-1
	released uint64
	clock    uint64 // ns
	open     bool
	opened   uint64 // time of the open block
	history  []ledger.HistoryRow
	header   journal.Header       // kind and rules of blocks; zero: a normal block by today's rules
	next     uint64               // timestamp of the first event of the request being applied
	began    func()               // told after a block was opened
	sealed   func(*journal.Block) // told after a block was sealed
}

func newRig(key [2]uint64) *rig { return newRigOf(key, 0) }

// newRigOf is newRig with generations of so many ids.
func newRigOf(key [2]uint64, size int) *rig {
	ids := newIDFiles()
	return &rig{state: ledger.New(ids.config(key, size)), ids: ids, size: size, builder: journal.NewBuilder(), deriver: index.NewDeriver(), witness: watch.NewVerifier(0)}
}

// begin opens a block if none is open.
func (r *rig) begin() {
	if r.open {
		return
	}
	r.open, r.opened = true, max(r.clock, r.state.NextTime())
	r.state.Begin(r.builder, &r.fx, uint64(len(r.log))+1, r.opened)
	r.state.Expire()
	if r.began != nil {
		r.began()
	}
}

// seal closes the open block; it returns nil if nothing was in it.
func (r *rig) seal() *journal.Block {
	if !r.open {
		return nil
	}
	r.open = false
	if r.builder.Empty() {
		r.state.End(nil)
		return nil
	}
	h := r.header
	if h.Kind == 0 {
		h.Kind, h.Rules = journal.BlockNormal, ledger.Rules
	}
	h.Seq, h.Time = uint64(len(r.log))+1, r.opened
	if n := len(r.log); n > 0 {
		h.Prev = r.log[n-1].Hash
	}
	sealed := r.builder.Seal(h)
	kept, err := journal.Decode(bytes.Clone(sealed.Raw))
	if err != nil {
		panic(err)
	}
	r.state.End(kept)
	r.log = append(r.log, kept)
	r.history = append(r.history, historyRows(r.fx.History)...)
	if err := r.derive(kept); err != nil {
		panic(err)
	}
	if err := r.witnessed(kept); err != nil {
		panic(err)
	}
	if r.sealed != nil {
		r.sealed(kept)
	}
	return kept
}

// derive holds what the ledger says a block did against what follows from the block alone.
func (r *rig) derive(k *journal.Block) error {
	if r.deriver == nil {
		return nil
	}
	var fx ledger.Effects
	if err := r.deriver.Derive(k, &fx); err != nil {
		return err
	}
	same := slices.Equal(fx.Accounts, r.fx.Accounts) && slices.Equal(fx.Transfers, r.fx.Transfers) && slices.Equal(fx.Inherited, r.fx.Inherited) &&
		slices.Equal(fx.History, r.fx.History) && slices.Equal(fx.Changed, r.fx.Changed) && slices.Equal(fx.Bookings, r.fx.Bookings) &&
		slices.Equal(fx.Expired, r.fx.Expired) && slices.Equal(fx.Moved, r.fx.Moved)
	if !same {
		return fmt.Errorf("block %d: the ledger says %+v, derived is %+v", k.Header.Seq, r.fx, fx)
	}
	return nil
}

// witnessed holds every balance against what watch adds up from the blocks alone, which must find nothing wrong.
func (r *rig) witnessed(k *journal.Block) error {
	if r.witness == nil {
		return nil
	}
	if err := r.witness.Block(k.Raw); err != nil {
		return err
	}
	for n := range r.state.Counts().Accounts {
		a := r.state.AccountByNumber(uint32(n + 1))
		asset, got, ok := r.witness.Balances([2]uint64{a.ID.Lo, a.ID.Hi})
		b := ledger.BalancesOf(&a)
		want := [4][2]uint64{}
		for i, v := range [4]money.U128{b.DebitsPosted, b.CreditsPosted, b.DebitsPending, b.CreditsPending} {
			want[i] = [2]uint64{v.Lo, v.Hi}
		}
		if !ok || asset != a.Asset || got != want {
			return fmt.Errorf("block %d: account %v of asset %d has %v, by watch's count asset %d and %v", k.Header.Seq, a.ID, a.Asset, want, asset, got)
		}
	}
	c := r.state.Counts()
	if r.witness.Accounts() != c.Accounts || r.witness.Transfers() != c.Transfers || r.witness.Pending() != c.Pending {
		return fmt.Errorf("block %d: %d accounts and %d reservations, watch counts %d and %d", k.Header.Seq, c.Accounts, c.Pending, r.witness.Accounts(), r.witness.Pending())
	}
	return nil
}

// historyRows returns the rows of accounts that keep a history.
func historyRows(rows []ledger.HistoryRow) (list []ledger.HistoryRow) {
	for _, row := range rows {
		if !row.Sampled {
			list = append(list, row)
		}
	}
	return list
}

func (r *rig) release(seq uint64) {
	r.released = max(r.released, min(seq, uint64(len(r.log))))
	r.state.Release(r.released)
}

// apply runs one request in the open block, or in a block of its own where it needs to know a timestamp.
func (r *rig) apply(kind journal.Kind, actor journal.Actor, events []byte) []journal.Result {
	return r.applyAttached(kind, actor, events, nil)
}

func (r *rig) applyAttached(kind journal.Kind, actor journal.Actor, events []byte, attached []journal.Attachment) []journal.Result {
	if err := ledger.CheckRequest(kind, events, attached); err != nil {
		panic(err)
	}
	r.state.Attach(attached)
	if r.open && r.builder.Events()+len(events)/journal.RecordSize > journal.MaxEvents {
		r.seal()
	}
	r.begin()
	needs := r.state.Needs(kind, events, nil)
	for _, n := range needs {
		if n.OfTimestamp() && (!r.builder.Empty() || r.released < uint64(len(r.log))) {
			r.seal()
			r.release(uint64(len(r.log)))
			r.begin()
			r.state.Attach(attached)
			needs = r.state.Needs(kind, events, nil)
			break
		}
	}
	facts, err := r.fetch(needs, r.released, r.ids)
	if err != nil {
		panic(err)
	}
	r.next = r.opened + uint64(r.builder.Expiries()+r.builder.Events())
	results := make([]journal.Result, len(events)/journal.RecordSize)
	r.state.Apply(kind, actor, events, facts, results)
	return results
}

// fetch answers needs from the first upTo blocks of the journal.
func (r *rig) fetch(needs []ledger.Need, upTo uint64, ids *idFiles) (ledger.Facts, error) {
	f := ledger.Facts{At: map[journal.Position]ledger.Fact{}, TransferAt: map[uint64]bool{}}
	for _, n := range needs {
		if n.OfTimestamp() {
			f.TransferAt[n.Timestamp] = r.transferAt(n.Timestamp)
			continue
		}
		places := []journal.Position{n.Position}
		if n.Position == 0 {
			places = ids.answer(n, &f)
		}
		for _, p := range places {
			if err := r.fetchAt(p, upTo, &f); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (r *rig) fetchAt(at journal.Position, upTo uint64, f *ledger.Facts) error {
	if at.Seq() > upTo {
		return fmt.Errorf("block %d was asked for, %d are released", at.Seq(), upTo)
	}
	fact, err := r.fact(at)
	if err != nil {
		return err
	}
	f.At[at] = fact
	if p := fact.PendingPosition; p != 0 {
		if f.At[p], err = r.fact(p); err != nil {
			return err
		}
	}
	return nil
}

var errNoRecord = errors.New("no transfer stands there")

func (r *rig) fact(p journal.Position) (ledger.Fact, error) {
	if p.Seq() == 0 || p.Seq() > uint64(len(r.log)) {
		return ledger.Fact{}, fmt.Errorf("block %d: %w", p.Seq(), errNoRecord)
	}
	k := r.log[p.Seq()-1]
	i := p.Index() - len(k.Expiries)
	if i < 0 || i >= int(k.Header.Events) {
		return ledger.Fact{}, fmt.Errorf("event %d of block %d: %w", i, p.Seq(), errNoRecord)
	}
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index())), nil
}

// transferAt reports whether a transfer has the timestamp, by reading everything.
func (r *rig) transferAt(timestamp uint64) bool {
	for _, k := range r.log {
		for part := range k.Parts() {
			for event := part.First; part.Kind == journal.KindTransfers && event < part.First+part.Count; event++ {
				f, err := r.fact(journal.At(k.Header.Seq, len(k.Expiries)+event))
				if err == nil && f.Status == journal.Created && f.Timestamp == timestamp {
					return true
				}
			}
		}
	}
	return false
}

// lookup returns a transfer as it is kept, from sealed blocks.
func (r *rig) lookup(id money.U128) (ledger.Transfer, bool) {
	places := r.state.Candidates(id, nil)
	if n, ok := r.state.SettledCandidates(id); ok {
		places = append(places, r.ids.answer(n, &ledger.Facts{})...)
	}
	for _, at := range places {
		f, err := r.fact(at)
		if err != nil || f.Status != journal.Created || f.Asked.ID != id {
			continue
		}
		var pending ledger.Fact
		if f.PendingPosition != 0 {
			if pending, err = r.fact(f.PendingPosition); err != nil {
				panic(err)
			}
		}
		return f.Resolve(at, &pending), true
	}
	return ledger.Transfer{}, false
}

// replayed applies all blocks from the given one on to a state.
func (r *rig) replayed(s *ledger.State, from uint64) error {
	return r.replayedWith(newIDFiles(), s, from)
}

// replayedWith is replayed with files of generations that s relies on or makes.
func (r *rig) replayedWith(ids *idFiles, s *ledger.State, from uint64) error {
	scratch, fx := journal.NewBuilder(), &ledger.Effects{}
	ids.settle(s)
	for _, k := range r.log[from-1:] {
		fetch := func(needs []ledger.Need) (ledger.Facts, error) { return r.fetch(needs, k.Header.Seq-1, ids) }
		if err := s.Replay(k, scratch, fx, fetch); err != nil {
			return err
		}
		ids.settle(s)
	}
	return nil
}

// checkReplay replays everything into a fresh state that hashes differently, and compares.
func (r *rig) checkReplay() error {
	r.seal()
	for _, size := range []int{0, r.size} {
		ids := newIDFiles()
		s := ledger.New(ids.config([2]uint64{0x1234567, 0x89abcdef}, size))
		if err := r.replayedWith(ids, s, 1); err != nil {
			return err
		}
		if err := equalStates(r.state, s); err != nil {
			return err
		}
	}
	return nil
}

// equalStates compares all that can be seen from outside.
func equalStates(a, b *ledger.State) error {
	if a.Counts() != b.Counts() {
		return fmt.Errorf("counts %+v, the other has %+v", a.Counts(), b.Counts())
	}
	if a.Digest() != b.Digest() {
		return fmt.Errorf("digest %x, the other has %x", a.Digest(), b.Digest())
	}
	if x, y := a.NextExpiry(), b.NextExpiry(); x != y {
		return fmt.Errorf("next expiry %d, the other has %d", x, y)
	}
	if x, y := a.NextTime(), b.NextTime(); x != y {
		return fmt.Errorf("next time %d, the other has %d", x, y)
	}
	for n := uint32(1); uint64(n) <= a.Counts().Accounts; n++ {
		if x, y := a.AccountByNumber(n), b.AccountByNumber(n); x != y {
			return fmt.Errorf("account %d: %+v, the other has %+v", n, x, y)
		}
	}
	x, y := a.Freezes(false), b.Freezes(false)
	if len(x) != len(y) || a.Assets().Len() != b.Assets().Len() {
		return fmt.Errorf("%d freezes and %d assets, the other has %d and %d", len(x), a.Assets().Len(), len(y), b.Assets().Len())
	}
	if x, y := openOf(a), openOf(b); !slices.Equal(x, y) {
		return fmt.Errorf("open are %+v, in the other %+v", x, y)
	}
	if err := equalBooks(a, b); err != nil {
		return err
	}
	for i := range x {
		if x[i] != y[i] {
			return fmt.Errorf("freeze %d: %+v, the other has %+v", i, x[i], y[i])
		}
	}
	return nil
}

// openOf returns the open reservations in the order they were made.
func openOf(s *ledger.State) []ledger.OpenPending {
	list, _ := s.OpenPendings(0, 1<<20, nil)
	slices.SortFunc(list, func(a, b ledger.OpenPending) int { return int(int64(a.Position) - int64(b.Position)) })
	return list
}

// equalBooks compares what version 2 of the format brought.
func equalBooks(a, b *ledger.State) error {
	for n := uint32(1); uint64(n) <= a.Counts().Accounts; n++ {
		if a.Address(n) != b.Address(n) || a.Metadata(n) != b.Metadata(n) || b.ByAddress(a.Address(n)) != a.ByAddress(a.Address(n)) {
			return fmt.Errorf("account %d: address %q, metadata at %d; the other has %q, %d", n, a.Address(n), a.Metadata(n), b.Address(n), b.Metadata(n))
		}
	}
	type view struct {
		Trial      []ledger.TrialRow
		Closes     []ledger.Close
		Through    journal.Date
		Policy     ledger.Policy
		Proposals  []ledger.Proposal
		Principals []ledger.Principal
		Erasures   []ledger.Erasure
	}
	of := func(s *ledger.State) view {
		return view{s.TrialBalance(s.ClosedThrough(), journal.MaxDate), s.Closes(), s.ClosedThrough(), s.Policy(), s.Proposals(false), s.Principals(), s.Erasures()}
	}
	if diff := cmp.Diff(of(a), of(b), cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("books: this -, the other +\n%s", diff)
	}
	return nil
}
