package watch

import "time"

// rate decides what is wrong with what was read, and what is still to come. Root causes come first, and what follows
// from one is not looked at.
func (j *judgement) rate() {
	if j.conflict != nil {
		j.fault(fault{class: SourceRepeat, leg: -1, happened: j.conflict.time, risk: j.conflict.amount, asset: j.conflict.asset, about: j.conflict})
	}
	if j.unknownAsset() {
		return
	}
	j.see()
	main := &j.legs[j.f.main]
	switch {
	case j.f.order != nil && j.order == nil:
		j.rateUnordered()
		return
	case j.withdrawn != nil:
		j.rateWithdrawn()
		return
	case j.order != nil && main.authorised == 0 && main.posts == 0 && main.wrong == nil && main.swapped == nil:
		j.rateAbsent()
		return
	}
	j.targets()
	if j.f.refunds != "" && j.rateRefund() {
		return
	}
	if !j.mended() {
		j.rateLegs()
	}
	j.ratePairs()
	j.rateOpen()
	if j.f.receipt != nil {
		j.rateReceipts()
	}
	j.rateRules()
}

func (j *judgement) unknownAsset() bool {
	for _, one := range []*fact{j.order, j.firstReceipt} {
		if one != nil && !j.e.known[one.asset] {
			if !j.passed(laneJournal, one.time+j.within()) { // its first account may be on the way
				j.unproven(one.time)
				return true
			}
			j.fault(fault{class: UnknownAsset, leg: -1, happened: one.time, risk: one.amount, asset: one.asset, about: one})
			return true
		}
	}
	return false
}

// see sets the variables of expressions.
func (j *judgement) see() {
	v := &j.e.v
	v.order, v.orderAsset, v.terms, v.termsPresent, v.err = j.order, "", nil, 0, nil
	if j.order != nil {
		v.orderAsset = j.e.assets[j.order.asset]
		if j.order.terms != 0 {
			t := j.e.terms.at(j.order.terms)
			v.terms, v.termsPresent = &t.values, t.present
		}
	}
	for n := range j.f.legs {
		v.legs[n] = j.legs[n].net
	}
	v.moved, v.receipts = j.legs[j.f.main].net, j.paid
}

// within is how long the money may take.
func (j *judgement) within() uint64 {
	if j.f.order == nil {
		return 0
	}
	return j.f.order.within
}

// rateUnordered judges what has no order (yet).
func (j *judgement) rateUnordered() {
	switch {
	case j.firstMove != nil:
		if !j.passed(laneOrder, j.firstMove.time+j.within()) {
			j.unproven(j.firstMove.time)
			return
		}
		j.fault(fault{class: UnorderedEffect, leg: -1, happened: j.firstMove.time, risk: j.allMoved(), asset: j.firstMove.asset, got: j.allMoved(), about: j.firstMove})
	case j.firstReceipt != nil:
		deadline := j.firstReceipt.time + j.within()
		ordered, booked := j.passed(laneOrder, deadline), j.passed(laneJournal, deadline)
		if !ordered || !booked {
			j.unproven(j.firstReceipt.time)
			return
		}
		j.fault(fault{
			class: j.unbooked(), leg: -1, happened: j.firstReceipt.time, risk: j.paid, asset: j.firstReceipt.asset, got: j.paid,
			about: j.firstReceipt, detail: "no order and nothing booked",
		})
	}
}

// unbooked is the class of money that a channel, or a bank, speaks of alone.
func (j *judgement) unbooked() Class {
	if j.f.receipt.statement {
		return StatementMismatch
	}
	return FailedChannelPaid
}

// allMoved is what is posted and reserved.
func (j *judgement) allMoved() Amount {
	sum := j.strayRisk
	for n := range j.f.legs {
		t := &j.legs[n]
		sum = sum.AddSat(t.forward).AddSat(t.back).AddSat(t.open).AddSat(t.wrongRisk)
	}
	return sum
}

// rateWithdrawn judges an order whose source took it back.
func (j *judgement) rateWithdrawn() {
	j.subtracted, j.exact = true, true // all of it is too much
	if j.zero() {
		open := Amount{}
		for n := range j.f.legs {
			open = open.AddSat(j.legs[n].open)
		}
		if open.IsZero() {
			return
		}
	}
	j.fault(fault{
		class: UnorderedEffect, leg: -1, cause: "withdrawn", happened: j.firstMove.time, risk: j.allMoved(), asset: j.firstMove.asset,
		got: j.allMoved(), about: j.firstMove, detail: "the order was withdrawn",
	})
}

// zero reports that no account has more or less than before.
func (j *judgement) zero() bool {
	for n := range j.diffs {
		if !j.diffs[n].amount.size.IsZero() {
			return false
		}
	}
	return true
}

// rateAbsent judges an order whose main leg did not move.
func (j *judgement) rateAbsent() {
	if j.failedWord != nil && j.receipts == 0 && j.firstMove == nil {
		return // declined: nothing moved, and nothing had to
	}
	for n := range j.f.rules {
		if j.f.rules[n].early && !j.rule(n) {
			return
		}
	}
	// The order's source has to have told as far, too: it may have withdrawn the order. So has the channel: it may have
	// declined. (A bank declines nothing, and its statement may be a day away.)
	deadline := j.order.time + j.within()
	waits := !j.passed(laneJournal, deadline)
	waits = !j.passed(laneOrder, deadline) || waits
	if j.f.receipt != nil && !j.f.receipt.statement {
		waits = !j.passed(laneReceipt, deadline) || waits
	}
	if waits {
		j.unproven(j.order.time)
		return
	}
	f := fault{class: MissingPost, leg: j.f.main, happened: j.order.time, risk: j.order.amount, asset: j.order.asset, want: j.order.amount, about: j.order}
	switch {
	case j.receipts > 0:
		f.class, f.risk, f.about = FailedChannelPaid, j.paid, j.firstReceipt
	case j.firstMove != nil:
		f.class = MissingLeg
	}
	if f.class == MissingPost || f.class == MissingLeg {
		f.class = j.f.legs[j.f.main].class(f.class)
	}
	j.fault(f)
}

// targets computes what each leg should have moved by now.
func (j *judgement) targets() {
	v := &j.e.v
	main := &j.legs[j.f.main]
	for n := range j.f.legs {
		l, t := &j.f.legs[n], &j.legs[n]
		switch {
		case n != j.f.main && main.posts == 0:
			t.counted = true // nothing follows from what has not moved
		case l.amount != nil:
			v.err = nil
			amount := l.amount(v)
			if v.err == nil && amount.negative {
				v.fail("the leg's amount is negative")
			}
			if v.err != nil {
				j.fault(fault{class: RuleFailed, leg: n, cause: "amount", happened: j.happened(), risk: t.net, asset: t.asset, about: j.order, detail: v.err.Error()})
				v.err = nil
				continue
			}
			t.target, t.counted = amount.size, true
		case n == j.f.main && j.order != nil:
			t.target, t.counted = j.order.amount, true
		}
	}
}

// happened is when the money moved, or was to.
func (j *judgement) happened() uint64 {
	switch {
	case j.firstMove != nil:
		return j.firstMove.time
	case j.order != nil:
		return j.order.time
	default:
		return j.e.now
	}
}

// mended compares what accounts have with what the legs should have given them, where something went to the wrong
// place or back: whichever transfers it took, once nothing differs all is right.
func (j *judgement) mended() bool {
	astray := j.stray != nil
	for n := range j.f.legs {
		t := &j.legs[n]
		astray = astray || t.wrong != nil || !t.back.IsZero()
		if !t.wrongOpen.IsZero() {
			return false
		}
	}
	return astray && j.subtract() && j.zero()
}

// subtract takes from the differences what the legs should have moved. ok is false where that can't be told of every
// account.
func (j *judgement) subtract() (ok bool) {
	if j.subtracted {
		return j.exact
	}
	j.subtracted, j.exact = true, true
	for n := range j.f.legs {
		l, t := &j.f.legs[n], &j.legs[n]
		debit, credit, asset := t.debit, t.credit, t.asset
		if !t.from || !t.to || asset == 0 {
			if t.first == nil {
				continue
			}
			j.exact = j.exact && t.wrong == nil && t.back.IsZero()
			debit, credit, asset = t.first.debit, t.first.credit, t.first.asset
		}
		expected := t.net
		if t.counted && !l.atMost {
			expected = t.target.SubSat(t.open).SubSat(t.released)
		}
		j.differ(credit, debit, asset, expected)
	}
	return j.exact
}

// rateLegs judges each leg by what it should have moved.
func (j *judgement) rateLegs() {
	if j.stray != nil {
		j.fault(fault{class: UnorderedEffect, leg: -1, cause: "stray", happened: j.stray.time, risk: j.strayRisk, asset: j.stray.asset, got: j.strayRisk, about: j.stray, detail: "no leg of the flow claims it"})
	}
	j.rateLeg(j.f.main)
	cause := len(j.faults) > 0
	for n := range j.f.legs {
		if n != j.f.main && (!cause || j.legs[n].wrong != nil) { // what other legs should be follows from the main one
			j.rateLeg(n)
		}
	}
}

func (j *judgement) rateLeg(n int) {
	l, t := &j.f.legs[n], &j.legs[n]
	base := fault{leg: n, asset: t.asset, want: t.target, got: t.net.AddSat(t.open), about: t.last}
	if t.first != nil {
		base.happened = t.first.time
		if base.asset == 0 {
			base.asset = t.first.asset
		}
	}
	switch {
	case t.wrong != nil:
		base.class, base.risk, base.about, base.happened = l.class(t.wrongClass), t.wrongRisk, t.wrong, t.wrong.time
		j.fault(base)
	case t.swapped != nil && (t.forward.Less(t.back) || t.authorised == 0):
		base.class, base.risk, base.about, base.happened = l.class(SwappedSides), t.swapped.amount, t.swapped, t.swapped.time
		j.fault(base)
	case !t.counted || j.stray != nil:
	case t.target.Less(base.got):
		j.rateExcess(n, base)
	case base.got.AddSat(t.released).Less(t.target) && !l.atMost:
		j.rateShort(n, base)
	}
}

// patient reports that a leg may still change, since it doesn't have to come with the main one.
func (j *judgement) patient(n int, t *tally) bool {
	l := &j.f.legs[n]
	if l.together || n == j.f.main && !l.parts {
		return false
	}
	last := j.legs[j.f.main].lastPost
	if last == nil || t.last != nil && t.last.time > last.time {
		last = t.last
	}
	if last == nil {
		last = j.firstMove
	}
	if j.passed(laneJournal, last.time+j.within()) {
		return false
	}
	j.unproven(last.time)
	return true
}

func (j *judgement) rateExcess(n int, base fault) {
	l, t := &j.f.legs[n], &j.legs[n]
	if n != j.f.main && j.patient(n, t) {
		return
	}
	base.risk = base.got.SubSat(t.target)
	switch {
	case t.authorised > 1 && t.sameSize > 1:
		base.class = DuplicatePost
	case powerOfTen(base.got, t.target):
		base.class = UnitError
	case l.fee:
		base.class = WrongFee
	default:
		base.class = WrongAmount
	}
	base.class, base.about = l.class(base.class), t.last
	base.happened = t.last.time
	j.fault(base)
}

func (j *judgement) rateShort(n int, base fault) {
	l, t := &j.f.legs[n], &j.legs[n]
	absent := t.authorised == 0
	if absent && l.optional || j.patient(n, t) {
		return
	}
	base.risk = t.target.SubSat(base.got).SubSat(t.released)
	switch {
	case absent && l.fee:
		base.class = MissingFee
	case absent:
		base.class = MissingLeg
	case t.back.Compare(Amount{}) > 0:
		base.class, base.about = UnorderedEffect, t.swapped
	case powerOfTen(base.got, t.target):
		base.class = UnitError
	case l.fee:
		base.class = WrongFee
	default:
		base.class = WrongAmount
	}
	if base.about == nil {
		base.about, base.happened = j.firstMove, j.firstMove.time
	}
	base.class = l.class(base.class)
	j.fault(base)
}

// ratePairs finds money that went and came back without anybody's order: the sums hide it.
func (j *judgement) ratePairs() {
	for n := range j.f.legs {
		if t := &j.legs[n]; t.pair != nil {
			j.fault(fault{
				class: UnorderedEffect, leg: n, cause: "pair", happened: t.pair.time, risk: t.pair.amount, asset: t.pair.asset, got: t.pair.amount,
				about: t.pair, detail: "money went and came back in one block",
			})
		}
	}
}

const ever = uint64(400 * 24 * time.Hour) // where a flow has no bound for reservations

// rateOpen waits for reservations to end.
func (j *judgement) rateOpen() {
	bound := j.f.settle
	if bound == 0 {
		bound = ever
	}
	for n := range j.f.legs {
		t := &j.legs[n]
		if t.open.IsZero() || !j.passed(laneJournal, t.firstReserve.time+bound) {
			continue
		}
		j.fault(fault{
			class: StuckPending, leg: n, happened: t.firstReserve.time, risk: t.open, asset: t.firstReserve.asset, got: t.open, about: t.firstReserve,
		})
	}
}

// rateRules judges the flow's own rules once the money has moved and nothing else is wrong or awaited.
func (j *judgement) rateRules() {
	if len(j.faults) > 0 || j.due[laneJournal] != 0 {
		return
	}
	for n := range j.f.rules {
		if !j.rule(n) {
			return
		}
	}
}

func (j *judgement) rule(n int) (ok bool) {
	v := &j.e.v
	v.err = nil
	r := &j.f.rules[n]
	ok = r.unless(v)
	f := fault{class: r.class, leg: -1, cause: r.text, happened: j.happened(), risk: j.legs[j.f.main].net, about: j.order, detail: r.text}
	if j.order != nil {
		f.asset = j.order.asset
	} else if j.firstMove != nil {
		f.asset = j.firstMove.asset
	}
	switch {
	case v.err != nil:
		f.class, f.detail = RuleFailed, r.text+": "+v.err.Error()
		v.err = nil
		j.fault(f)
		return false
	case !ok:
		j.fault(f)
	}
	return ok
}
