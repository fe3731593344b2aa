package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Need is something that Apply has to know and that the state does not: the transfer event at a position; what settled
// generations have of a hash, and the transfer events at those positions (but for Skip); or whether a transfer has the
// given timestamp. A request with a need of a timestamp begins a block of its own, after all blocks before it were
// released: then the log alone can tell.
type Need struct {
	Position journal.Position

	Generations []uint32 // nil: it is no need of a hash
	Hash        uint64
	Skip        journal.Position

	Timestamp uint64
}

// OfTimestamp reports whether the need is to know if a transfer has a timestamp.
func (n *Need) OfTimestamp() bool { return n.Position == 0 && n.Generations == nil }

// Facts answer needs. For every post or void among them, the transfer at its PendingPosition must be there, too. For
// every hash that was asked for there must be values, perhaps none.
type Facts struct {
	At         map[journal.Position]Fact
	IDs        map[uint64][]uint64 // by hash: the values of its entries in all generations that were named
	TransferAt map[uint64]bool
}

// Fact is a transfer event as the journal has it.
type Fact struct {
	Asked           journal.Transfer
	Status          journal.Status
	Timestamp       uint64
	Amount          money.U128 // what moved or was reserved; valid where Status is created
	PendingPosition journal.Position
	Attachment      []byte // see journal.Details; nil where there is none
}

// NewFact reads an event: o is its outcome or nil, attachment what it has attached or nil, at its block's time plus its
// index.
func NewFact(t *journal.Transfer, o *journal.Outcome, attachment []byte, at uint64) Fact {
	f := Fact{Asked: *t, Status: journal.Created, Timestamp: at, Amount: t.Amount, Attachment: attachment}
	if t.Flags.Has(journal.TransferImported) {
		f.Timestamp = t.Timestamp
	}
	if o != nil {
		f.Status, f.Timestamp, f.PendingPosition = o.Status, o.Timestamp, o.PendingPosition
		if o.Status == journal.Created {
			f.Amount = o.Amount
		}
	}
	return f
}

// Resolve returns the transfer as it is kept. Pending is the fact at f.PendingPosition; it is used only for a post or
// void, and may be nil otherwise.
func (f *Fact) Resolve(at journal.Position, pending *Fact) Transfer {
	t := Transfer{Transfer: f.Asked, Position: at, Attachment: string(f.Attachment)}
	t.Amount, t.Timestamp = f.Amount, f.Timestamp
	if f.PendingPosition == 0 {
		return t
	}
	p := &pending.Asked
	t.Debit, t.Credit, t.Asset, t.Code = p.Debit, p.Credit, p.Asset, p.Code
	if t.UserData128.IsZero() {
		t.UserData128 = p.UserData128
	}
	if t.UserData64 == 0 {
		t.UserData64 = p.UserData64
	}
	if t.UserData32 == 0 {
		t.UserData32 = p.UserData32
	}
	return t
}

// prepared is what the look-ahead over a request found for a transfer.
type prepared struct {
	hash          uint64 // of the id
	debit, credit uint32 // account numbers; not for posts and voids
}

const lookAhead = 256 // transfers; their cache lines must still be there when they are applied

// Needs appends to dst what Apply must be told for this request. It must be called right before Apply, also where
// nothing can be needed: it brings the request's accounts and ids near (memory is what limits the ledger's speed).
func (s *State) Needs(kind journal.Kind, events []byte, dst []Need) []Need {
	if kind == journal.KindDecision && len(events) > journal.RecordSize {
		kind, events = journal.View[journal.Decision](events[:journal.RecordSize])[0].Inner, events[journal.RecordSize:]
	}
	switch kind {
	case journal.KindTransfers, journal.KindTransaction, journal.KindMetadata:
		records := journal.View[journal.Transfer](events)
		if cap(s.prep) < len(records) {
			s.prep = make([]prepared, max(len(records), 64))
		}
		s.prep = s.prep[:len(records)]
		for i := 0; i < len(records); i += lookAhead {
			end := min(i+lookAhead, len(records))
			dst = s.prepare(records[i:end], s.prep[i:end], dst)
		}
	case journal.KindAccounts:
		for _, a := range journal.View[journal.Account](events) {
			s.sink += s.accountNo.touch(s.hasher.hash(a.ID))
			if a.Flags.Has(journal.AccountImported) && a.Timestamp <= s.lastXfer {
				dst = append(dst, Need{Timestamp: a.Timestamp})
			}
		}
	}
	return dst
}

// prepare works in three sweeps, so that the memory reads of one sweep overlap.
func (s *State) prepare(records []journal.Transfer, prep []prepared, dst []Need) []Need {
	for i := range records {
		t, p := &records[i], &prep[i]
		p.hash = s.hasher.hash(t.ID)
		s.touchID(p.hash)
		if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			h := s.hasher.hash(t.PendingID)
			s.sink += s.pendings.byID.touch(h)
			s.touchID(h)
			continue
		}
		s.sink += s.accountNo.touch(s.hasher.hash(t.Debit)) + s.accountNo.touch(s.hasher.hash(t.Credit))
	}
	for i := range records {
		t, p := &records[i], &prep[i]
		p.debit, p.credit = 0, 0
		if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			h := s.hasher.hash(t.PendingID)
			var open journal.Position // needs no look-up, but what shares its hash may, once it has ended
			if n := s.pendings.find(t.PendingID, h); n != 0 {
				open = s.pendings.slab.at(n).position
			}
			dst = s.needTransfers(h, open, dst)
		} else {
			p.debit, p.credit = s.number(t.Debit), s.number(t.Credit)
			if t.Flags.Has(journal.TransferHold) { // its transfer's id may be burned
				dst = s.needTransfers(s.hasher.hash(t.PendingID), 0, dst)
			}
		}
		dst = s.needTransfers(p.hash, 0, dst)
	}
	return dst
}

// touchID brings near what tells whether an id is known.
func (s *State) touchID(hash uint64) {
	s.sink += s.ids.touch(hash) + s.gens.filters.touch(hash)
	for _, g := range s.gens.sealed {
		s.sink += g.table.touch(hash)
	}
}

// needTransfers adds the positions of hash that only the log can read, but for one, and what settled generations may
// know of it.
func (s *State) needTransfers(hash uint64, except journal.Position, dst []Need) []Need {
	dst = s.needPositions(s.ids, hash, except, dst)
	for _, g := range s.gens.sealed {
		dst = s.needPositions(g.table, hash, except, dst)
	}
	if s.gens.filters.any(hash) {
		dst = append(dst, Need{Hash: hash, Generations: s.gens.filters.which(hash, nil), Skip: except})
	}
	return dst
}

func (s *State) needPositions(ids *table, hash uint64, except journal.Position, dst []Need) []Need {
	seg := ids.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		at := journal.Position(v >> 2)
		if at == except {
			continue
		}
		c, closed := s.closed[at] // memory has all of it but what was attached
		if (!closed || c.flags.Has(journal.TransferAttached)) && !s.inMemory(at) {
			dst = append(dst, Need{Position: at})
		}
	}
	return dst
}

func (s *State) inMemory(p journal.Position) bool {
	return s.builder != nil && p.Seq() == s.seq || s.recentBlock(p) != nil
}

func (s *State) recentBlock(p journal.Position) *recentBlock {
	for i := range s.recent {
		if s.recent[i].seq == p.Seq() {
			return &s.recent[i]
		}
	}
	return nil
}

// fact returns the transfer event at p, from memory or from what was told.
func (s *State) fact(p journal.Position) Fact {
	if s.builder != nil && p.Seq() == s.seq {
		event := p.Index() - s.builder.Expiries()
		if event >= s.first {
			return s.factOfRequest(event)
		}
		return NewFact(s.builder.Transfer(event), s.builder.Outcome(event), s.builder.Attachment(event), s.eventTime(event))
	}
	if r := s.recentBlock(p); r != nil {
		event := p.Index() - r.expiries
		return NewFact(r.block.Transfer(event), r.block.Outcome(event), r.block.Attachment(event), r.time+uint64(p.Index())) //nolint:gosec // index ≥ 0
	}
	f, ok := s.facts.At[p]
	must.True(ok, "nobody told what stands at block %d, index %d", p.Seq(), p.Index())
	return f
}

// factOfRequest is fact for an earlier event of the request being applied, whose outcomes are not written yet.
func (s *State) factOfRequest(event int) Fact {
	i := event - s.first
	f := NewFact(s.builder.Transfer(event), nil, s.builder.Attachment(event), 0)
	f.Status, f.Timestamp = s.results[i].Status, s.results[i].Timestamp
	for k := len(s.special) - 1; k >= 0 && s.special[k].event >= event; k-- {
		if s.special[k].event == event {
			f.Amount, f.PendingPosition = s.special[k].amount, s.special[k].pending
		}
	}
	return f
}

// Candidates appends the positions at which a transfer of this id may stand: usually one or none, more where ids
// share a hash. Whoever reads them compares the ids. SettledCandidates has the rest of them.
func (s *State) Candidates(id money.U128, dst []journal.Position) []journal.Position {
	hash := s.hasher.hash(id)
	list := s.ids.entries(hash, s.found[:0])
	for _, g := range s.gens.sealed {
		list = g.table.entries(hash, list)
	}
	for _, v := range mergeEnds(list) {
		dst = append(dst, journal.Position(v>>2))
	}
	s.found = list
	return dst
}

// SettledCandidates returns what to look up in settled generations for more positions of this id; ok is false where
// none of them knows it.
func (s *State) SettledCandidates(id money.U128) (n Need, ok bool) {
	hash := s.hasher.hash(id)
	n = Need{Hash: hash, Generations: s.gens.filters.which(hash, nil)}
	return n, len(n.Generations) > 0
}
