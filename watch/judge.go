package watch

import (
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// A case is judged as a whole, by what is known of it at the moment, and in the same way whatever order it came in. So
// a break is there while the facts say so: it opens with the fact that makes it, or with the deadline that passes, and
// is repaired by the fact that ends it.

// fault is one thing wrong with a case, before it is a Break.
type fault struct {
	class    Class
	leg      int    // -1: of no leg
	cause    string // tells faults of one class and leg apart
	happened uint64
	risk     Amount
	asset    uint32
	want     Amount
	got      Amount
	about    *fact // the record that shows it
	detail   string
}

// tally is what a leg did.
type tally struct {
	forward, back        Amount // posted, as declared and the other way round
	reserved, released   Amount // reserved by now in sum; of that, voided or expired
	captured             Amount
	authorised, posts    int // singles and reservations; singles and captures
	first, last          *fact
	firstPost, lastPost  *fact
	firstReserve, undone *fact
	wrong                *fact  // first movement between other accounts, or of another asset
	wrongRisk, wrongOpen Amount // of it; still reserved
	wrongClass           Class
	swapped              *fact // first movement the other way round
	pair                 *fact // a movement back that nothing asked for
	sameSize             int   // singles and reservations of the first one's amount
	block                uint64
	netBefore            Amount
	blockForward         bool
	blockBack            bool
	target               Amount
	open                 Amount
	net                  Amount
	counted, from, to    bool
	debit, credit        ID
	asset                uint32
}

// judgement is the working space of one judgement; there is one for each engine.
type judgement struct {
	e      *Engine
	index  uint32
	c      *caseRec
	f      *Flow
	faults []fault

	order, conflict, withdrawn *fact
	stray                      *fact // a movement of no leg
	strayRisk                  Amount
	legs                       [maxLegs]tally
	firstMove, lastFact        *fact

	paid, takenBack, chargedBack Amount
	receipts                     int
	firstReceipt, lastReceipt    *fact
	twice, foreign               *fact // a receipt as large as one before; one of another asset
	failedWord, chargeback       *fact
	refunded                     Amount // by other cases
	diffs                        []difference
	subtracted, exact            bool // diffs are against what should be; and say it of every account
	due                          [lanes]uint64
}

// difference is what an account has too much (or, negative, too little) of an asset by a case.
type difference struct {
	account ID
	asset   uint32
	amount  number
}

// judge decides about a case: which breaks there are, what it waits for, and whether it is complete.
func (e *Engine) judge(i uint32) {
	j := &e.j
	*j = judgement{e: e, index: i, c: e.cases.at(i), faults: j.faults[:0], diffs: j.diffs[:0]}
	j.f = e.flows[j.c.flow]
	j.c.dirty = false
	if j.c.over {
		j.faults = append(j.faults, fault{class: OversizedKey, leg: -1, happened: e.facts.at(j.c.first).time, got: count.Of(uint64(j.c.facts))})
	} else if !j.tooOld() && !j.elsewhere() {
		j.read()
		j.rate()
	}
	e.settleFaults(j)
	for lane := range lanes {
		if e.cases.at(i).times[lane] != j.due[lane] {
			e.lane(j.c.flow, lane).set(&e.cases, i, lane, j.due[lane])
		}
	}
	if j.complete() {
		e.close(i, j)
	}
}

// tooOld reports whether the case began before what its flow judges. Nothing is waited for then: it leaves memory, and
// what comes later is known to belong to it.
func (j *judgement) tooOld() bool {
	if j.f.since == 0 {
		return false
	}
	for p := j.c.first; p != 0; {
		one := j.e.facts.at(p)
		if one.time < j.f.since {
			return true
		}
		p = one.next
	}
	return false
}

// elsewhere reports whether a reservation of the case came from another cell, or left for one, with the bucket of its
// accounts. What was ordered and what moved is then known to two watches, in part to each: nothing is waited for, as of a
// case that is too old. The books of both cells follow the reservation to its end.
func (j *judgement) elsewhere() bool {
	for p := j.c.first; p != 0; {
		one := j.e.facts.at(p)
		if one.kind == factKind(books.Leave) || one.kind == factKind(books.Arrive) {
			return true
		}
		p = one.next
	}
	return false
}

// complete reports that nothing is waited for and every fault is ended by a person's word.
func (j *judgement) complete() bool {
	if j.due != [lanes]uint64{} || j.c.first == 0 {
		return false
	}
	for n := range j.faults {
		if !j.e.accepted(j, &j.faults[n]) {
			return false
		}
	}
	return !j.c.over || len(j.faults) > 0
}

// passed reports whether the source of a lane has told everything up to a moment; if not, the case waits for it.
func (j *judgement) passed(lane int, moment uint64) bool {
	if j.e.watermark(j.c.flow, lane) >= moment {
		return true
	}
	if j.due[lane] == 0 || moment < j.due[lane] {
		j.due[lane] = moment
	}
	return false
}

// unproven says that something of this moment is not proven yet.
func (j *judgement) unproven(moment uint64) {
	moment = max(moment, 1)
	if j.due[laneUnproven] == 0 || moment < j.due[laneUnproven] {
		j.due[laneUnproven] = moment
	}
}

func (j *judgement) fault(f fault) { j.faults = append(j.faults, f) }

// read goes through the facts once: orders first, since legs are read by them.
func (j *judgement) read() {
	e := j.e
	for p := j.c.first; p != 0; {
		one := e.facts.at(p)
		switch one.kind {
		case factOrder:
			if j.order == nil || one.seq < j.order.seq {
				j.order = one
			}
		case factConflict:
			j.conflict = one
		}
		p = one.next
	}
	j.parties()
	for p := j.c.first; p != 0; {
		one := e.facts.at(p)
		switch {
		case one.isMovement():
			j.movement(one)
		case one.kind == factReceipt || one.kind == factStatement:
			j.receipt(one)
		case one.kind == factRefund:
			j.refunded = j.refunded.AddSat(one.amount)
		}
		if j.lastFact == nil || one.time > j.lastFact.time {
			j.lastFact = one
		}
		p = one.next
	}
	for n := range j.f.legs {
		t := &j.legs[n]
		t.open = t.reserved.SubSat(t.captured).SubSat(t.released)
		t.net = t.forward.SubSat(t.back)
	}
}

// parties resolves the accounts and assets of the legs, as far as they are known.
func (j *judgement) parties() {
	payment := paid{}
	if j.f.refunds != "" && j.order != nil {
		payment = j.e.payment(j.c.flow, j.order.ref)
	}
	j.e.v.payment = payment
	for n := range j.f.legs {
		l, t := &j.f.legs[n], &j.legs[n]
		t.debit, t.from = j.account(l.from)
		t.credit, t.to = j.account(l.to)
		switch {
		case l.asset != "":
			t.asset = j.e.intern(l.asset)
		case j.order != nil:
			t.asset = j.order.asset
		}
	}
}

func (j *judgement) account(p party) (id ID, known bool) {
	switch {
	case p.of == fixed:
		return p.account, true
	case p.of == orderDebit && j.order != nil:
		return j.order.debit, !j.order.debit.IsZero()
	case p.of == orderCredit && j.order != nil:
		return j.order.credit, !j.order.credit.IsZero()
	case p.of == paymentDebit && j.e.v.payment.found:
		return j.e.v.payment.debit, true
	case p.of == paymentCredit && j.e.v.payment.found:
		return j.e.v.payment.credit, true
	default:
		return ID{}, false
	}
}

// movement adds one to its leg.
func (j *judgement) movement(m *fact) {
	if j.firstMove == nil {
		j.firstMove = m
	}
	if m.leg < 0 || int(m.leg) >= len(j.f.legs) {
		if m.moved() {
			j.differ(m.debit, m.credit, m.asset, m.amount)
		}
		if m.moved() || m.kind == factKind(books.Reserve) {
			if j.stray == nil {
				j.stray = m
			}
			j.strayRisk = j.strayRisk.AddSat(m.amount)
		}
		return
	}
	t := &j.legs[m.leg]
	if t.block != m.seq {
		t.block, t.netBefore, t.blockForward, t.blockBack = m.seq, t.forward.SubSat(t.back), false, false
	}
	if t.first == nil {
		t.first = m
	}
	t.last = m
	if m.moved() {
		j.differ(m.debit, m.credit, m.asset, m.amount)
	}
	if !j.asDeclared(t, m) {
		return
	}
	switch books.Phase(m.kind) {
	case books.Single, books.Capture:
		t.forward = t.forward.AddSat(m.amount)
		t.blockForward = true
		j.pair(t, m)
		t.posts++
		if t.firstPost == nil {
			t.firstPost = m
		}
		t.lastPost = m
		if books.Phase(m.kind) == books.Capture {
			t.captured = t.captured.AddSat(m.amount)
			return
		}
		t.authorised += int(m.count)
	case books.Reserve:
		t.reserved = t.reserved.AddSat(m.amount)
		t.authorised += int(m.count)
		if t.firstReserve == nil {
			t.firstReserve = m
		}
	default:
		t.released = t.released.AddSat(m.amount)
		t.undone = m
		return
	}
	if m.amount == t.first.amount {
		t.sameSize++
	}
}

// asDeclared reports whether a movement goes between the accounts of its leg, in its asset; if not, it is noted.
func (j *judgement) asDeclared(t *tally, m *fact) bool {
	released := books.Phase(m.kind) == books.Release || books.Phase(m.kind) == books.Expire
	switch {
	case t.asset != 0 && m.asset != t.asset:
		j.wrong(t, m, WrongCurrency, released)
		return false
	case (!t.from || m.debit == t.debit) && (!t.to || m.credit == t.credit):
		return true
	case (!t.from || m.credit == t.debit) && (!t.to || m.debit == t.credit):
		if m.moved() {
			t.back = t.back.AddSat(m.amount)
			t.blockBack = true
			j.pair(t, m)
		}
		if t.swapped == nil {
			t.swapped = m
		}
		return false
	default:
		j.wrong(t, m, WrongAccount, released)
		return false
	}
}

func (j *judgement) wrong(t *tally, m *fact, class Class, released bool) {
	switch {
	case m.kind == factKind(books.Reserve):
		t.wrongOpen = t.wrongOpen.AddSat(m.amount)
	case released:
		t.wrongOpen = t.wrongOpen.SubSat(m.amount)
		return
	case m.kind == factKind(books.Capture):
		t.wrongOpen = t.wrongOpen.SubSat(m.amount)
		if t.wrong != nil { // its reservation is noted
			return
		}
	}
	if t.wrong == nil {
		t.wrong, t.wrongClass = m, class
	}
	t.wrongRisk = t.wrongRisk.AddSat(m.amount)
}

// pair notes money that went and came back in one block, though nothing before had to be mended.
func (j *judgement) pair(t *tally, m *fact) {
	if t.blockForward && t.blockBack && t.pair == nil && !j.mainAmount().Less(t.netBefore) {
		t.pair = m
	}
}

func (j *judgement) mainAmount() Amount {
	if j.order == nil {
		return Amount{}
	}
	return j.order.amount
}

// differ adds a posted movement to what the accounts have.
func (j *judgement) differ(debit, credit ID, asset uint32, amount Amount) {
	j.change(debit, asset, signed(true, amount))
	j.change(credit, asset, positive(amount))
}

const maxDifferences = 64

func (j *judgement) change(account ID, asset uint32, by number) {
	for n := range j.diffs {
		d := &j.diffs[n]
		if d.account == account && d.asset == asset {
			d.amount, _ = d.amount.add(by) // of 128-bit amounts of one case
			return
		}
	}
	if len(j.diffs) < maxDifferences {
		j.diffs = append(j.diffs, difference{account, asset, by})
	}
}

// receipt adds a word of a channel or a bank.
func (j *judgement) receipt(r *fact) {
	if j.f.order != nil && r.source == j.e.running[j.c.flow].order && r.kind == factReceipt &&
		(j.f.receipt == nil || j.f.receipt.source != j.f.order.source) {
		if r.outcome == Failed {
			j.withdrawn = r
		}
		return
	}
	if j.f.receipt == nil {
		return
	}
	if r.kind == factStatement && r.flags&factMinus != 0 != j.f.receipt.minus {
		j.takenBack = j.takenBack.AddSat(r.amount)
		return
	}
	switch {
	case r.kind == factStatement || j.f.receipt.settled>>r.outcome&1 == 1:
		if j.firstReceipt != nil && (j.firstReceipt.amount == r.amount || j.lastReceipt.amount == r.amount) {
			j.twice = r
		}
		if j.order != nil && r.asset != j.order.asset && j.foreign == nil {
			j.foreign = r
		}
		j.paid = j.paid.AddSat(r.amount)
		j.receipts++
		if j.firstReceipt == nil {
			j.firstReceipt = r
		}
		j.lastReceipt = r
	case r.outcome == Failed:
		j.failedWord = r
	case r.outcome == ChargedBack:
		j.chargedBack = j.chargedBack.AddSat(r.amount)
		j.chargeback = r
	case r.outcome == Refunded:
		j.takenBack = j.takenBack.AddSat(r.amount)
	}
}
