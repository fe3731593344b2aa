package ledger_test

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
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
	steps    []func() (done bool)
}

// step begins a move, or does the next step of the one that is under way, some of them twice.
func (w *town) step() {
	if w.moving == nil {
		b := w.known[w.pick(0, townBuckets-1)]
		to := w.pick(0, townCells-1)
		if to == w.owner[b] {
			return
		}
		w.version++
		m := &mover{town: w, id: money.U128{Hi: 9, Lo: w.version}, bucket: b, from: w.owner[b], to: to, version: w.version}
		m.steps = []func() bool{m.carry, m.close, m.crossing, m.arrive, m.giveReservations, m.giveAccounts, m.carry, m.given, m.takeAccounts, m.takeReservations, m.taken, m.gone}
		w.moving = m
	}
	m := w.moving
	for range w.pick(1, 2) {
		if w.moving == nil {
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

func (m *mover) giver() *cellRig { return m.cells[m.from] }
func (m *mover) taker() *cellRig { return m.cells[m.to] }

// carry sends what the giver's journal has of ids that belong to the bucket, the last of it in requests of a few events.
func (m *mover) carry() bool {
	a := m.giver()
	a.seal()
	var events []journal.Transfer
	var list []journal.Attachment
	flush := func() {
		if len(events) == 0 {
			return
		}
		for i, r := range m.taker().applyAttached(journal.KindCarry, journal.Actor{}, journal.Bytes(events), list) {
			if r.Status != journal.ControlCreated && r.Status != journal.ControlExists {
				m.Fatalf("carry %+v: %s", events[i], r.Status.Name(journal.KindCarry))
			}
		}
		events, list = nil, nil
	}
	for _, k := range a.log {
		for part := range k.Parts() {
			if part.Kind != journal.KindTransfers && part.Kind != journal.KindMetadata && part.Kind != journal.KindCarry {
				continue
			}
			for i := part.First; i < part.First+part.Count; i++ {
				o := k.Outcome(i)
				p := journal.At(k.Header.Seq, len(k.Expiries)+i)
				f, err := a.fact(p)
				if err != nil {
					m.Fatal(err)
				}
				if part.Kind == journal.KindCarry && o != nil && o.Status != journal.Created || f.Status != journal.Created && !f.Status.Transient() {
					continue
				}
				var of *ledger.Fact
				if f.PendingPosition != 0 {
					x, err := a.fact(f.PendingPosition)
					if err != nil {
						m.Fatal(err)
					}
					of = &x
				}
				if bucket, everywhere := ledger.Home(&f, of); bucket != m.bucket && !everywhere {
					continue
				}
				var settled []uint64
				if n, ok := a.state.SettledCandidates(f.Asked.ID); ok {
					facts := ledger.Facts{}
					a.ids.answer(n, &facts)
					settled = facts.IDs[n.Hash]
				}
				t, data := ledger.CarryOf(&f, a.state.Standing(f.Asked.ID, p, settled), money.U128{})
				list = append(list, journal.Attachment{Event: len(events), Data: data})
				events = append(events, t)
				if len(events) == 5 {
					flush()
				}
			}
		}
	}
	flush()
	return true
}

// tell sends a step of the move to a cell.
func (m *mover) tell(c *cellRig, step journal.BucketStep, peer int) journal.Status {
	r := journal.BucketMove{ID: m.id, Peer: uint64(peer), Version: m.version, Bucket: m.bucket, Step: step}
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

// crossing calls the move off if a reservation is between the bucket and another one.
func (m *mover) crossing() bool {
	a := m.giver()
	a.begin()
	list, _ := a.state.OpenPendings(0, 1000, nil)
	for i := range list {
		if d, c := journal.Bucket(list[i].Debit), journal.Bucket(list[i].Credit); d != c && (d == m.bucket || c == m.bucket) {
			if s := m.handOver(a, journal.KindGive, journal.Handover{Reservation: list[i].ID}, nil); s != journal.ControlReservationCrosses {
				m.Fatalf("a reservation between two buckets: %s", s.Name(journal.KindGive))
			}
			m.ok(m.tell(a, journal.BucketCancel, m.to))
			m.ok(m.tell(a, journal.BucketCancel, m.to))
			m.moving = nil
			m.calledOff++
			return false
		}
	}
	return true
}

func (m *mover) handOver(c *cellRig, kind journal.Kind, h journal.Handover, attached []byte) journal.Status {
	h.Move = m.id
	var list []journal.Attachment
	if attached != nil {
		h.Flags, list = journal.TransferAttached, []journal.Attachment{{Data: attached}}
	}
	return c.applyAttached(kind, journal.Actor{}, journal.Bytes([]journal.Handover{h}), list)[0].Status
}

func (m *mover) giveReservations() bool {
	a := m.giver()
	a.begin()
	list, _ := a.state.OpenPendings(0, 1000, nil)
	for i := range list {
		if journal.Bucket(list[i].Debit) == m.bucket {
			if s := m.handOver(a, journal.KindGive, journal.Handover{Reservation: list[i].ID}, nil); s != journal.Created {
				m.Fatalf("reservation %v: %s", list[i].ID, s.Name(journal.KindGive))
			}
			return false
		}
	}
	return true
}

// giveAccounts gives all accounts, in requests of one, two or all of them.
func (m *mover) giveAccounts() bool {
	var list []journal.Handover
	for _, id := range m.ids[m.bucket][:m.pick(1, perBucket)] {
		list = append(list, journal.Handover{Move: m.id, Account: id, Clearing: clearing(m.to)})
	}
	for _, r := range m.giver().apply(journal.KindGive, journal.Actor{}, journal.Bytes(list)) {
		m.ok(r.Status)
	}
	return len(list) == perBucket
}

// handed calls visit with what the giver's journal has handed over in this move.
func (m *mover) handed(visit func(h journal.Handover, attached []byte, o *journal.Outcome)) {
	a := m.giver()
	a.seal()
	for _, k := range a.log {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindGive && i < part.First+part.Count; i++ {
				h := journal.View[journal.Handover](k.EventBytes(i, 1))[0]
				if o := k.Outcome(i); h.Move == m.id && (o == nil || o.Status == journal.Created) {
					visit(h, k.Attachment(i), o)
				}
			}
		}
	}
}

func (m *mover) takeAccounts() bool {
	m.handed(func(h journal.Handover, attached []byte, _ *journal.Outcome) {
		if !h.Account.IsZero() {
			h.Clearing = clearing(m.from)
			m.ok(m.handOver(m.taker(), journal.KindTake, h, attached))
		}
	})
	return true
}

func (m *mover) takeReservations() bool {
	m.handed(func(h journal.Handover, _ []byte, o *journal.Outcome) {
		if h.Reservation.IsZero() {
			return
		}
		f, err := m.giver().fact(o.PendingPosition)
		if err != nil {
			m.Fatal(err)
		}
		t, data := ledger.CarryOf(&f, journal.StandingArrives, o.Amount)
		m.ok(m.taker().applyAttached(journal.KindCarry, journal.Actor{}, journal.Bytes([]journal.Transfer{t}), []journal.Attachment{{Data: data}})[0].Status)
	})
	return true
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
	m.moving = nil
	m.moved++
	m.arrived += int(m.said(m.taker()).Reservations)
	return false
}
