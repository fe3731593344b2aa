package watch

import (
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// caseKey names a case: one key of one flow.
type caseKey struct {
	key  ID
	flow uint16
}

// caseRec is what is open about one key. Together with its facts it is about 500 bytes; none of them is a pointer.
type caseRec struct {
	key    ID
	times  [lanes]uint64 // when each lane ends, ns; 0: it doesn't wait
	places [lanes]uint32 // in the heaps, from 1 on
	first  uint32        // facts, in the order of arrival
	last   uint32
	facts  uint32
	text   uint32 // place of the key's text; 0: the key in decimal
	flow   uint16
	dirty  bool // in Engine.dirty
	broken bool // in Engine.ofCase
	over   bool // more facts than a key may have: no longer followed
	done   bool // it was complete once
}

// factKind says what a fact is: a phase of package books, or one of these.
type factKind uint8

const (
	factOrder factKind = 16 + iota
	factReceipt
	factStatement
	factConflict // an id that came before, with another content
	factRefund   // on a payment: what one refund of it moved
)

const (
	factMinus  = 1 << iota // the amount is negative
	factMerged             // several movements added up
)

// fact is one thing known about a case: a movement or an observation.
type fact struct {
	id      ID // of the transfer, the order, the receipt, …
	debit   ID
	credit  ID
	ref     ID // of a capture: the reservation; of an order: the key of its payment
	amount  Amount
	seq     uint64 // of the block, or of the observation
	time    uint64 // ns
	hash    uint64 // of an observation's content
	next    uint32
	asset   uint32 // Engine.assets
	terms   uint32 // place; 0: none
	count   uint32 // of movements, where several were added up
	data32  uint32 // of a movement: what often tells legs apart
	source  uint16 // Engine.sources; 0: the journal
	index   uint16 // in the block
	code    uint16
	kind    factKind
	leg     int8 // -1: none
	outcome Outcome
	flags   uint8
}

func (f *fact) moved() bool {
	return f.kind == factKind(books.Single) || f.kind == factKind(books.Capture)
}

func (f *fact) isMovement() bool { return f.kind < factOrder }

// place is a position in the journal.
type place struct {
	seq   uint64
	index uint16
}

func (p place) after(o place) bool { return p.seq > o.seq || p.seq == o.seq && p.index > o.index }

func (f *fact) place() place { return place{f.seq, f.index} }

// termValues are what an order says beyond the amount, at the places of Flow.terms.
type termValues struct {
	values  [maxTerms]int64
	present uint8
}

const maxText = 64

// keyText is a key as it was given, for people.
type keyText struct {
	size uint8
	text [maxText]byte
}

// find returns the case of a key, in memory or brought back; 0: there is none.
func (e *Engine) find(flow uint16, key ID) uint32 {
	k := caseKey{key, flow}
	if i, ok := e.byKey[k]; ok {
		return i
	}
	state, ok := e.leaving[k]
	if !ok && e.past != nil {
		state = e.past.Closed(e.flows[flow].Name, key, e.number)
	}
	if state == nil {
		return 0
	}
	i := e.create(k)
	if err := e.reopen(i, state); err != nil {
		e.drop(i)
		e.report(breakOf{class: TamperedHistory, flow: e.flows[flow].Name, key: key, happened: e.now, summary: "what was kept of a closed key is damaged: " + err.Error()})
		return 0
	}
	return i
}

// open returns the case of a key, which it makes where there is none.
func (e *Engine) open(flow uint16, key ID) uint32 {
	if i := e.find(flow, key); i != 0 {
		return i
	}
	return e.create(caseKey{key, flow})
}

func (e *Engine) create(k caseKey) uint32 {
	i := e.cases.take()
	c := e.cases.at(i)
	c.key, c.flow = k.key, k.flow
	e.byKey[k] = i
	e.keys[k.flow]++
	return i
}

// drop takes a case out of memory.
func (e *Engine) drop(i uint32) {
	c := e.cases.at(i)
	for lane := range lanes {
		e.lane(c.flow, lane).set(&e.cases, i, lane, 0)
	}
	for p := c.first; p != 0; {
		f := e.facts.at(p)
		next := f.next
		if f.terms != 0 {
			e.terms.give(f.terms)
		}
		e.facts.give(p)
		p = next
	}
	if c.text != 0 {
		e.texts.give(c.text)
	}
	delete(e.byKey, caseKey{c.key, c.flow})
	e.keys[c.flow]--
	e.cases.give(i)
}

// lane returns the heap that a flow's cases wait in.
func (e *Engine) lane(flow uint16, lane int) *heap {
	r := &e.running[flow]
	switch lane {
	case laneOrder:
		return &e.sources[r.order].heap
	case laneReceipt:
		return &e.sources[r.receipt].heap
	case laneUnproven:
		return &r.unproven
	default:
		return &e.sources[0].heap
	}
}

// add appends a fact to a case and marks it for judgement. A case with too many is no longer followed.
func (e *Engine) add(i uint32, f *fact) *fact {
	c := e.cases.at(i)
	e.mark(i)
	if int(c.facts) >= e.maxLegs {
		c.over = true
		return nil
	}
	p := e.facts.take()
	kept := e.facts.at(p)
	*kept = *f
	kept.next = 0
	if c.last == 0 {
		c.first = p
	} else {
		e.facts.at(c.last).next = p
	}
	c.last = p
	c.facts++
	return kept
}

func (e *Engine) mark(i uint32) {
	if c := e.cases.at(i); !c.dirty {
		c.dirty = true
		e.dirty = append(e.dirty, i)
	}
}

// move takes a movement: the first flow that claims it has it.
func (e *Engine) move(m *Movement) {
	e.events++
	if len(e.watched) > 0 {
		e.touchWatched(m)
	}
	m, ok := e.ordinary(m)
	if !ok {
		return
	}
	e.v.movement, e.v.asset = m, ""
	asset := e.assetOf(m.Asset)
	e.v.asset = e.assets[asset]
	for _, flow := range e.claimants(m.Code) {
		f := e.flows[flow]
		e.v.err = nil
		claimed := f.claims(&e.v)
		if e.v.err != nil {
			e.failed(f, m, e.v.err)
			claimed = true // not safe, and not another flow's either
		}
		if claimed {
			e.take(flow, m, asset)
			return
		}
	}
	u := e.uncovered[m.Code]
	u.movements++
	u.last = m.Time
	e.uncovered[m.Code] = u
}

// claimants are the flows that may claim movements of a code, in order.
func (e *Engine) claimants(code uint16) []uint16 {
	if int(code) < len(e.byCode) && e.byCode[code] != nil {
		return e.byCode[code]
	}
	return e.anyCode
}

// take gives a movement to its case.
func (e *Engine) take(flow uint16, m *Movement, asset uint32) {
	f := e.flows[flow]
	r := &e.running[flow]
	r.seen = true
	for _, place := range [2]uint16{r.order, r.receipt} {
		e.sources[place].expect(e.now)
	}
	key := m.UserData128
	switch f.keyedBy {
	case keyUserData64:
		key = count.IDOf(count.Of(m.UserData64))
	case keyTransfer, keyReservation:
		key = m.Reservation // of what is no reservation's end: zero
	case keyUserData128:
	}
	if key.IsZero() {
		key = m.Transfer // no key at all: what nothing can be joined with stands alone
	}
	if f.forgets(m.Time) {
		return
	}
	i := e.open(flow, key)
	one := fact{
		kind: factKind(m.Phase), id: m.Transfer, debit: m.Debit, credit: m.Credit, ref: m.Reservation, amount: m.Amount,
		seq: m.Seq, time: m.Time, asset: asset, code: m.Code, index: uint16(m.Index), count: 1, data32: m.UserData32, leg: e.legOf(f, i, m), //nolint:gosec // G115: below 2^14
	}
	e.add(i, &one)
	if m.Phase == books.Capture && !m.Freed.IsZero() { // what it leaves over is released with it
		one.kind, one.amount = factKind(books.Release), m.Freed
		e.add(i, &one)
	}
}

// legOf says which leg a movement is: what ends a reservation is of the reservation's, else the first whose condition
// is true.
func (e *Engine) legOf(f *Flow, i uint32, m *Movement) int8 {
	if m.Phase != books.Single && m.Phase != books.Reserve {
		for p := e.cases.at(i).first; p != 0; {
			one := e.facts.at(p)
			if one.kind == factKind(books.Reserve) && one.id == m.Reservation {
				return one.leg
			}
			p = one.next
		}
	}
	e.v.err = nil
	for n := range f.legs {
		if f.legs[n].when != nil && !f.legs[n].when(&e.v) {
			continue
		}
		if e.v.err == nil {
			return int8(n)
		}
	}
	if e.v.err != nil {
		e.failed(f, m, e.v.err)
	}
	return -1
}

// assetOf returns the engine's number for an asset of the ledger; 0: it has none.
func (e *Engine) assetOf(number uint32) uint32 {
	if int(number) >= len(e.ofLedger) {
		e.learnAssets()
	}
	if int(number) < len(e.ofLedger) {
		return e.ofLedger[number]
	}
	return 0
}

// learnAssets reads the names of assets that the ledger has by now; they are numbered from 1 on without gaps.
func (e *Engine) learnAssets() {
	for {
		name := e.books.AssetName(uint32(len(e.ofLedger))) //nolint:gosec // G115: few assets
		if name == "" {
			return
		}
		index := e.intern(name)
		e.known[index] = true
		e.ofLedger = append(e.ofLedger, index)
		e.retryUnknown()
	}
}

const maxAssets = 4096

// intern returns the engine's number for an asset's name; 0 where there is no room for more.
func (e *Engine) intern(name string) uint32 {
	if i, ok := e.assetIndex[name]; ok {
		return i
	}
	if len(e.assets) == maxAssets {
		return 0
	}
	name = string([]byte(name)) // not the caller's memory
	i := uint32(len(e.assets))  //nolint:gosec // G115: up to 4096
	e.assets = append(e.assets, name)
	e.known = append(e.known, false)
	e.assetIndex[name] = i
	return i
}
