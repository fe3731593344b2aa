package ledger

import (
	"crypto/sha256"
	"sort"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Phase is where a bucket stands in its newest move.
type Phase uint8

// The phases. What is not in the list of buckets, see Buckets, has never moved.
const (
	Settled  Phase = 1 // it is this cell's, after it arrived or after its move was called off
	Closing  Phase = 2 // it is still this cell's, and only what ends transfers across cells happens in it
	Given    Phase = 3 // it is the peer's, but the map of cells does not say so yet
	Arriving Phase = 4 // it is being taken from the peer, and not open yet
	Gone     Phase = 5 // it is the peer's
)

// BucketState is what a cell knows of a bucket that took part in a move.
type BucketState struct {
	Bucket  uint16
	Phase   Phase
	Move    money.U128 // id of the newest move
	Peer    uint64     // the other cell
	Version uint64     // of the map of cells that came, or comes, of the move
	Since   uint64     // block of its first step here: what was handed over in it stands there or behind

	// What was given or taken in it so far.
	Accounts, Reservations uint64
	Digest                 money.U128 // sum of the digests of what was handed over
}

// count counts what was handed over.
func (b *BucketState) count(digest money.U128, accounts, reservations uint64) {
	b.Accounts, b.Reservations = b.Accounts+accounts, b.Reservations+reservations
	b.Digest = wrappingAdd(b.Digest, digest)
}

// moves is what the state knows of buckets that move.
type moves struct {
	buckets  map[uint16]*BucketState
	refusing int // buckets that are not Settled
	gone     int // accounts that are other cells' now
	present  [journal.Buckets]struct{ accounts, reservations, undecided uint64 }

	// taken are the numbers of the accounts that arrived: their timestamps are not in the order of their numbers.
	// Ascending, and never next to each other.
	taken []numberSpan
}

// numberSpan are account numbers, both ends included.
type numberSpan struct{ First, Last uint32 }

func (m *moves) init() { m.buckets = map[uint16]*BucketState{} }

// Buckets returns what is known of the buckets that ever took part in a move, ascending.
func (s *State) Buckets() (list []BucketState) {
	for b := range uint16(journal.Buckets) {
		if e := s.moves.buckets[b]; e != nil {
			list = append(list, *e)
		}
	}
	return list
}

// InBucket returns how many accounts and open reservations a bucket has that would have to move with it. A reservation
// between two buckets counts in both.
func (s *State) InBucket(bucket uint16) (accounts, reservations uint64) {
	p := &s.moves.present[bucket]
	return p.accounts, p.reservations
}

// Undecided returns how many transfers to other cells, from accounts of the bucket, have no decision yet: none of them can
// move. While the bucket is closing none is added, and each gets its decision within the time that the other cell has to
// answer.
func (s *State) Undecided(bucket uint16) uint64 { return s.moves.present[bucket].undecided }

// BucketSet is a set of buckets.
type BucketSet [journal.Buckets / 64]uint64

// Add adds a bucket.
func (b *BucketSet) Add(bucket uint16) { b[bucket/64] |= 1 << (bucket % 64) }

// Has reports whether a bucket is one of them.
func (b *BucketSet) Has(bucket uint16) bool { return b[bucket/64]>>(bucket%64)&1 != 0 }

// AccountIn is an account that moves with its bucket.
type AccountIn struct {
	ID     money.U128
	Asset  uint32 // number in the catalogue
	Bucket uint16
}

// AccountsIn appends the accounts of these buckets among up to n numbers from one on, and returns the number to go on
// from: above Counts().Accounts where there are no more. An account that is created later has a higher number; one that
// comes back has its old one.
func (s *State) AccountsIn(set *BucketSet, from uint32, n int, dst []AccountIn) (list []AccountIn, next uint32) {
	for from = max(from, 1); n > 0 && from <= s.nAccounts; n-- {
		a := s.accounts.at(from)
		if b := journal.Bucket(a.ID); set.Has(b) && !stays(a) && !a.Flags.Has(journal.AccountMoved) {
			dst = append(dst, AccountIn{a.ID, a.Asset, b})
		}
		from++
	}
	return dst, from
}

// ReservationsIn is OpenPendings for those that have an account in one of these buckets.
func (s *State) ReservationsIn(set *BucketSet, from uint32, n int, dst []OpenPending) (list []OpenPending, next uint32) {
	for from = max(from, 1); n > 0 && from <= s.pendings.top; n-- {
		p := s.pendings.slab.at(from)
		if p.position != 0 && (p.from != 0 && set.Has(p.from-1) || p.to != 0 && set.Has(p.to-1)) {
			dst = append(dst, s.openPendingOf(p))
		}
		from++
	}
	if from > s.pendings.top {
		return dst, 0
	}
	return dst, from
}

// stays reports whether an account never moves: the cell's own stay, but for those that stand for another account.
func stays(a *journal.Account) bool {
	return a.Flags.Has(journal.AccountTransit) && a.UserData128.IsZero()
}

// countAccount keeps the count of a bucket's accounts.
func (s *State) countAccount(a *journal.Account, by uint64) {
	if !stays(a) {
		s.moves.present[journal.Bucket(a.ID)].accounts += by
	}
}

// placed notes in which buckets a reservation's accounts are.
func (s *State) placed(p *pending) {
	p.from, p.to = 0, 0
	if a := s.accounts.at(p.debit); !stays(a) {
		p.from = 1 + journal.Bucket(a.ID)
	}
	if a := s.accounts.at(p.credit); !stays(a) {
		p.to = 1 + journal.Bucket(a.ID)
	}
}

// countReservation keeps the counts of the buckets that a reservation is in; by is 1, or -1 for one less.
func (s *State) countReservation(p *pending, by int) {
	n := uint64(by) //nolint:gosec // it wraps around
	if p.from != 0 {
		at := &s.moves.present[p.from-1]
		at.reservations += n
		if p.flags.Has(journal.TransferHold) { // no decision yet
			at.undecided += n
		}
	}
	if p.to != 0 && p.to != p.from {
		s.moves.present[p.to-1].reservations += n
	}
}

// countOpen counts a reservation that was opened, or one less.
func (s *State) countOpen(p *pending, by int) {
	s.countReservation(p, by)
	s.countHold(p, by)
}

// moveBuckets applies steps of moves.
func (s *State) moveBuckets(events []journal.BucketMove, first int, results []journal.Result) {
	for i := range events {
		results[i] = journal.Result{Status: s.moveBucket(&events[i]), Timestamp: s.eventTime(first + i)}
	}
}

func (s *State) moveBucket(m *journal.BucketMove) journal.Status {
	if status := checkControlID(m.ID); status != journal.Created {
		return status
	}
	ends := m.Step == journal.BucketGiven || m.Step == journal.BucketTaken
	if m.Bucket >= journal.Buckets || m.Version == 0 || m.Step < journal.BucketClose || m.Step > journal.BucketGone ||
		!ends && (m.Accounts != 0 || m.Reservations != 0 || !m.Digest.IsZero()) {
		return journal.ControlMoveInvalid
	}
	b := s.moves.buckets[m.Bucket]
	if b == nil {
		b = &BucketState{Bucket: m.Bucket, Phase: Settled}
	}
	if b.Move == m.ID && (b.Peer != m.Peer || b.Version != m.Version) {
		return journal.ControlExistsWithDifferentFields
	}
	next, status := s.nextPhase(b, m)
	if status != journal.Created {
		return status
	}
	s.setPhase(m, b, next)
	return journal.Created
}

// nextPhase decides a step: each is made once, and those of a move that is over can't be made again, because the version
// of the map has risen since.
func (s *State) nextPhase(b *BucketState, m *journal.BucketMove) (Phase, journal.Status) {
	begins := m.Step == journal.BucketClose || m.Step == journal.BucketArrive
	switch {
	case begins && b.Move == m.ID:
		giving := b.Phase == Closing || b.Phase == Given || b.Phase == Gone
		return 0, pick(giving == (m.Step == journal.BucketClose) && b.Phase != Settled, journal.ControlExists, journal.ControlMoveNotOpen)
	case begins && m.Version <= b.Version, !begins && b.Move != m.ID:
		return 0, journal.ControlMoveNotOpen
	}
	accounts, reservations := s.InBucket(m.Bucket)
	empty := accounts == 0 && reservations == 0
	var from, to Phase
	ok := true
	switch m.Step {
	case journal.BucketClose:
		from, to = Settled, Closing
	case journal.BucketCancel:
		from, to, ok = Closing, Settled, b.Accounts == 0 && b.Reservations == 0
		if b.Phase == Arriving { // it stays where it is
			from, to = Arriving, Gone
		}
	case journal.BucketGiven:
		from, to, ok = Closing, Given, empty
	case journal.BucketArrive:
		from, to, ok = Settled, Arriving, empty
		if b.Phase == Gone { // it comes back
			from = Gone
		}
	case journal.BucketTaken:
		from, to = Arriving, Settled
	case journal.BucketGone:
		from, to = Given, Gone
	}
	totals := m.Step == journal.BucketGiven || m.Step == journal.BucketTaken
	same := m.Accounts == b.Accounts && m.Reservations == b.Reservations && m.Digest == b.Digest
	switch {
	case b.Phase == to && !begins: // cancelled, given or taken before
		return 0, pick(same || !totals, journal.ControlExists, journal.ControlMoveDiffers)
	case b.Phase != from:
		return 0, journal.ControlMoveNotOpen
	case !ok:
		return 0, journal.ControlBucketNotEmpty
	case totals && !same:
		return 0, journal.ControlMoveDiffers
	}
	return to, journal.Created
}

func (s *State) setPhase(m *journal.BucketMove, b *BucketState, next Phase) {
	if m.Step == journal.BucketClose || m.Step == journal.BucketArrive {
		*b = BucketState{Bucket: m.Bucket, Phase: b.Phase, Move: m.ID, Peer: m.Peer, Version: m.Version, Since: s.seq}
	}
	was := b.Phase
	b.Phase = next
	s.moves.buckets[m.Bucket] = b
	s.moves.refusing += refuses(next) - refuses(was)
	s.changed = true
	s.digest[1] = (s.digest[1] ^ m.ID.Lo ^ uint64(next)) * 0x9E3779B97F4A7C15
}

func refuses(p Phase) int {
	if p == Settled {
		return 0
	}
	return 1
}

// accountDigest is what an account that is handed over adds to the digest of its move.
func accountDigest(id money.U128, attached []byte) money.U128 {
	return handoverDigest('a', id, attached)
}

// reservationDigest is what a reservation adds.
func reservationDigest(id, remaining money.U128) money.U128 {
	var b [16]byte
	remaining.PutLE(b[:])
	return handoverDigest('r', id, b[:])
}

// handoverDigest is the first 16 bytes of SHA-256(kind ‖ id ‖ data).
func handoverDigest(kind byte, id money.U128, data []byte) money.U128 {
	var head [17]byte
	head[0] = kind
	id.PutLE(head[1:])
	h := sha256.New()
	_, _ = h.Write(head[:]) // a hash never fails
	_, _ = h.Write(data)
	return money.LE(h.Sum(nil))
}

// wrappingAdd is a + b modulo 2^128: sums of digests have no order.
func wrappingAdd(a, b money.U128) money.U128 {
	sum, _ := a.Add(b)
	return sum
}

// noteTaken adds account n to those that arrived.
func (m *moves) noteTaken(n uint32) {
	if last := len(m.taken) - 1; last >= 0 && m.taken[last].Last+1 == n {
		m.taken[last].Last = n
		return
	}
	must.True(len(m.taken) == 0 || m.taken[len(m.taken)-1].Last < n, "account %d arrived after %v", n, m.taken)
	m.taken = append(m.taken, numberSpan{n, n})
}

// span returns the run of accounts that arrived which account n is one of, if it is.
func (m *moves) span(n uint32) (t numberSpan, ok bool) {
	k := sort.Search(len(m.taken), func(k int) bool { return m.taken[k].Last >= n })
	if k == len(m.taken) || n < m.taken[k].First {
		return t, false
	}
	return m.taken[k], true
}
