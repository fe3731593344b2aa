package ledger_test

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// mover moves one bucket from one cell to another, a request at a time: each is made from what the two journals and
// states say, and may be sent any number of times.
type mover struct {
	*town
	id       money.U128
	bucket   uint16
	from, to int
	version  uint64
	at       int
	scanned  int // blocks of the giver's journal that were looked through for ids
	steps    []func() (done bool)
}

// moves reports whether a bucket is on its way.
func (w *town) moves(bucket uint16) bool {
	return slices.ContainsFunc(w.moving, func(m *mover) bool { return m.bucket == bucket })
}

// step begins a move, or does the next step of one that is under way, some of them twice.
func (w *town) step() {
	if len(w.moving) == 0 || len(w.moving) == 1 && w.pick(0, 4) == 0 {
		b := w.known[w.pick(0, townBuckets-1)]
		to := w.pick(0, townCells-1)
		if to == w.owner[b] || w.moves(b) {
			return
		}
		w.version++
		m := &mover{town: w, id: money.U128{Hi: 9, Lo: w.version}, bucket: b, from: w.owner[b], to: to, version: w.version}
		m.steps = []func() bool{m.carry, m.close, m.arrive, m.drain, m.carry, m.giveReservations, m.giveAccounts, m.carry, m.given, m.takeAccounts, m.takeReservations, m.taken, m.gone}
		w.moving = append(w.moving, m)
	}
	m := w.moving[w.pick(0, len(w.moving)-1)]
	for range w.pick(1, 2) {
		if !w.moves(m.bucket) {
			return
		}
		done := m.steps[m.at]()
		m.giver().seal()
		m.taker().seal()
		if done && w.pick(0, 3) > 0 {
			m.at++
			return
		}
	}
}

// over ends the move.
func (m *mover) over() {
	m.moving = slices.DeleteFunc(m.moving, func(other *mover) bool { return other == m })
}

func (m *mover) giver() *cellRig { return m.cells[m.from] }
func (m *mover) taker() *cellRig { return m.cells[m.to] }

// carry sends what the giver's journal has of ids that belong to the bucket, in requests of a few events: from where it
// was last time on, unless nobody remembers.
func (m *mover) carry() bool {
	a := m.giver()
	a.seal()
	if m.pick(0, 9) == 0 {
		m.scanned = 0
	}
	l := &load{mover: m}
	for _, k := range a.log[m.scanned:] {
		for _, e := range k.Expiries {
			l.reservation(e.Pending)
		}
		for part := range k.Parts() {
			if part.Kind != journal.KindTransfers && part.Kind != journal.KindMetadata && part.Kind != journal.KindCarry {
				continue
			}
			for i := part.First; i < part.First+part.Count; i++ {
				c, _, _ := journal.CarriedOf(k.Attachment(i))
				if o := k.Outcome(i); part.Kind == journal.KindCarry && (o != nil && o.Status != journal.Created || c.Standing == journal.StandingLeaves) {
					continue
				}
				l.event(journal.At(k.Header.Seq, len(k.Expiries)+i))
			}
		}
	}
	l.flush()
	m.scanned = len(a.log)
	return true
}

// load is what is carried.
type load struct {
	*mover
	events []journal.Transfer
	list   []journal.Attachment
}

func (l *load) flush() {
	if len(l.events) == 0 {
		return
	}
	for i, r := range l.taker().applyAttached(journal.KindCarry, journal.Actor{}, journal.Bytes(l.events), l.list) {
		if r.Status != journal.ControlCreated && r.Status != journal.ControlExists {
			l.Fatalf("carry %+v: %s", l.events[i], r.Status.Name(journal.KindCarry))
		}
	}
	l.events, l.list = nil, nil
}

// event carries the event at p if it belongs to the bucket. What a post or void ended is told first.
func (l *load) event(p journal.Position) {
	f := l.at(p)
	if f.Status != journal.Created && !f.Status.Transient() {
		return
	}
	var of *ledger.Fact
	if f.PendingPosition != 0 {
		of = l.at(f.PendingPosition)
	}
	bucket, everywhere := ledger.Home(f, of)
	if bucket != l.bucket && !everywhere {
		return
	}
	if of != nil {
		l.add(of, f.PendingPosition)
	}
	l.add(f, p)
}

// reservation carries all that stands in the journal of a reservation that expired.
func (l *load) reservation(id money.U128) {
	for _, p := range l.giver().places(id) {
		if f := l.at(p); f.Asked.ID == id {
			l.event(p)
		}
	}
}

func (l *load) add(f *ledger.Fact, p journal.Position) {
	a := l.giver()
	var settled []uint64
	if n, ok := a.state.SettledCandidates(f.Asked.ID); ok {
		facts := ledger.Facts{}
		a.ids.answer(n, &facts)
		settled = facts.IDs[n.Hash]
	}
	t, data := ledger.CarryOf(f, a.state.Standing(f.Asked.ID, p, settled), money.U128{})
	l.list = append(l.list, journal.Attachment{Event: len(l.events), Data: data})
	if l.events = append(l.events, t); len(l.events) == 5 {
		l.flush()
	}
}

func (l *load) at(p journal.Position) *ledger.Fact {
	f, err := l.giver().fact(p)
	if err != nil {
		l.Fatal(err)
	}
	return &f
}

// tell sends a step of the move to a cell.
func (m *mover) tell(c *cellRig, step journal.BucketStep, peer int) journal.Status {
	r := journal.BucketMove{ID: m.id, Peer: cellID(peer), Version: m.version, Bucket: m.bucket, Step: step}
	if step == journal.BucketGiven || step == journal.BucketTaken {
		b := m.said(m.giver())
		r.Accounts, r.Reservations, r.Digest = b.Accounts, b.Reservations, b.Digest
	}
	return c.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{r}))[0].Status
}

// said is what a cell says of the bucket.
func (m *mover) said(c *cellRig) ledger.BucketState {
	for _, b := range c.state.Buckets() {
		if b.Bucket == m.bucket {
			return b
		}
	}
	return ledger.BucketState{}
}

// ok demands that a step was made, or had been made before.
func (m *mover) ok(s journal.Status) bool {
	if s != journal.ControlCreated && s != journal.ControlExists {
		m.Fatalf("move %+v, step %d: %s", m.id, m.at, s.Name(journal.KindBuckets))
	}
	return true
}

func (m *mover) close() bool  { return m.ok(m.tell(m.giver(), journal.BucketClose, m.to)) }
func (m *mover) arrive() bool { return m.ok(m.tell(m.taker(), journal.BucketArrive, m.from)) }
func (m *mover) given() bool  { return m.ok(m.tell(m.giver(), journal.BucketGiven, m.to)) }

// drain waits for the decisions about transfers to other cells; or the move is called off.
func (m *mover) drain() bool {
	a := m.giver()
	switch {
	case a.state.Undecided(m.bucket) > 0:
		m.seen["drained"]++
	case m.pick(0, 9) > 0:
		return true
	}
	if m.pick(0, 7) == 0 {
		m.ok(m.tell(a, journal.BucketCancel, m.to))
		m.ok(m.tell(a, journal.BucketCancel, m.to))
		m.ok(m.tell(m.taker(), journal.BucketCancel, m.from))
		m.over()
		m.seen["called off"]++
	}
	return false
}

func (m *mover) handOver(c *cellRig, kind journal.Kind, h journal.Handover, attached []byte) journal.Status {
	h.Move = m.id
	var list []journal.Attachment
	if attached != nil {
		h.Flags, list = journal.TransferAttached, []journal.Attachment{{Data: attached}}
	}
	return c.applyAttached(kind, journal.Actor{}, journal.Bytes([]journal.Handover{h}), list)[0].Status
}

// reservations returns what is open in the bucket, from a scan in pieces.
func (m *mover) reservations() (list []ledger.OpenPending) {
	var set ledger.BucketSet
	set.Add(m.bucket)
	for from := uint32(1); from != 0; {
		list, from = m.giver().state.ReservationsIn(&set, from, m.pick(1, 20), list)
	}
	return list
}

// giveReservations gives one reservation, and is done when there are none.
func (m *mover) giveReservations() bool {
	a := m.giver()
	a.begin()
	list := m.reservations()
	if _, n := a.state.InBucket(m.bucket); n != uint64(len(list)) {
		m.Fatalf("%d reservations in bucket %d, found %+v", n, m.bucket, list)
	}
	if len(list) == 0 {
		return true
	}
	p := list[m.pick(0, len(list)-1)]
	events := m.leaving(&p)
	for i, r := range a.events(journal.KindCarry, events) {
		if r.Status != journal.ControlCreated {
			m.Fatalf("reservation %+v, event %d of %d: %s", p, i, len(events), r.Status.Name(journal.KindCarry))
		}
	}
	if m.pick(0, 3) == 0 {
		for _, r := range a.events(journal.KindCarry, events) {
			if r.Status != journal.ControlReservationNotFound && r.Status != journal.ControlExists {
				m.Fatalf("reservation %+v again: %s", p, r.Status.Name(journal.KindCarry))
			}
		}
	}
	return false
}

// leaving returns the events by which an open reservation leaves.
func (m *mover) leaving(p *ledger.OpenPending) []transit.Event {
	a := m.giver()
	a.seal()
	read := func(at journal.Position, remaining money.U128) *transit.Reservation {
		f, err := a.fact(at)
		if err != nil {
			m.Fatal(err)
		}
		return &transit.Reservation{Record: f.Asked, Attached: f.Attachment, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: remaining}
	}
	r := read(p.Position, p.Remaining)
	d, c := journal.Bucket(p.Debit), journal.Bucket(p.Credit)
	switch {
	case p.Flags.Has(journal.TransferHold): // a reserve has its decision, or the move would wait for it
		m.seen["hold"]++
		return []transit.Event{r.Leaves()}
	case p.Flags.Has(journal.TransferTransit):
		m.seen["pair"]++
		return transit.PairLeaves(read(p.Position-1, p.Remaining), r)
	case d == c:
		m.seen["plain"]++
		return []transit.Event{r.Leaves()}
	}
	s := transit.Split{Reservation: *r, Asset: townAsset, Move: m.id, Giver: cellID(m.from), Taker: cellID(m.to), DebitLeaves: d == m.bucket}
	m.seen[fmt.Sprint("split ", s.DebitLeaves)]++
	return s.Events()
}

// giveAccounts gives some of the accounts that are left, and is done when there are none.
func (m *mover) giveAccounts() bool {
	a := m.giver()
	var set ledger.BucketSet
	set.Add(m.bucket)
	var here []ledger.AccountIn
	for from := uint32(0); uint64(from) <= a.state.Counts().Accounts; {
		here, from = a.state.AccountsIn(&set, from, m.pick(1, 20), here)
	}
	if n, _ := a.state.InBucket(m.bucket); n != uint64(len(here)) {
		m.Fatalf("%d accounts in bucket %d, found %+v", n, m.bucket, here)
	}
	if len(here) == 0 {
		return true
	}
	var list []journal.Handover
	for _, x := range here[:m.pick(1, len(here))] {
		list = append(list, journal.Handover{Move: m.id, Account: x.ID, Clearing: clearing(m.to)})
	}
	for range m.pick(1, 2) {
		for _, r := range a.apply(journal.KindGive, journal.Actor{}, journal.Bytes(list)) {
			m.ok(r.Status)
		}
	}
	return false
}

// handed calls visit with the accounts that the giver's journal has handed over in this move.
func (m *mover) handed(visit func(h journal.Handover, attached []byte)) {
	a := m.giver()
	a.seal()
	for _, k := range a.log {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindGive && i < part.First+part.Count; i++ {
				h := journal.View[journal.Handover](k.EventBytes(i, 1))[0]
				if o := k.Outcome(i); h.Move == m.id && (o == nil || o.Status == journal.Created) {
					visit(h, k.Attachment(i))
				}
			}
		}
	}
}

func (m *mover) takeAccounts() bool {
	m.handed(func(h journal.Handover, attached []byte) {
		h.Clearing = clearing(m.from)
		m.ok(m.handOver(m.taker(), journal.KindTake, h, attached))
	})
	return true
}

// takeReservations reads what left from the giver's journal, from where it says that the move began.
func (m *mover) takeReservations() bool {
	a := m.giver()
	a.seal()
	var events []transit.Event
	for _, k := range a.log[m.said(a).Since-1:] {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindCarry && i < part.First+part.Count; i++ {
				o := k.Outcome(i)
				e, ok := transit.Arrives(transit.Event{Transfer: *k.Transfer(i), Attached: k.Attachment(i)})
				if !ok || o != nil && o.Status != journal.Created || m.homeOf(&e) != m.bucket {
					continue
				}
				events = append(events, e)
			}
		}
	}
	for i, r := range m.taker().events(journal.KindCarry, events) {
		if r.Status != journal.ControlCreated && r.Status != journal.ControlExists {
			m.Fatalf("event %d, %+v: %s", i, events[i].Transfer, r.Status.Name(journal.KindCarry))
		}
	}
	return true
}

// homeOf is the bucket that a record which is handed over goes with.
func (m *mover) homeOf(e *transit.Event) uint16 {
	f := ledger.NewFact(&e.Transfer, nil, e.Attached, 0)
	b, _ := ledger.Home(&f, nil)
	return b
}

func (m *mover) taken() bool {
	m.ok(m.tell(m.taker(), journal.BucketTaken, m.from))
	m.ok(m.tell(m.taker(), journal.BucketTaken, m.from))
	return true
}

// gone comes after the map of cells was changed. Only then does the giver take again what has no home.
func (m *mover) gone() bool {
	m.owner[m.bucket] = m.to
	m.ok(m.tell(m.giver(), journal.BucketGone, m.to))
	m.ok(m.tell(m.giver(), journal.BucketGone, m.to))
	m.over()
	m.seen["moved"]++
	return false
}
