package watch

// rateReceipts compares what a channel or a bank says with what was ordered and booked, in the final state or at the
// deadline of the one that owes a word.
func (j *judgement) rateReceipts() {
	main := &j.legs[j.f.main]
	asked := main.net
	if j.order != nil && main.counted && !j.f.legs[j.f.main].atMost {
		asked = main.target.SubSat(main.released).SubSat(main.open)
	}
	final := main.open.IsZero() && main.wrongOpen.IsZero()
	paid := j.paid.SubSat(j.takenBack).SubSat(j.chargedBack)
	base := fault{leg: j.f.main, asset: main.asset, want: asked, got: paid, about: j.lastReceipt}
	if j.lastReceipt != nil {
		base.happened = j.lastReceipt.time
	}
	switch {
	case j.foreign != nil:
		base.class, base.risk, base.about, base.happened = j.otherAmount(), j.foreign.amount, j.foreign, j.foreign.time
		base.cause, base.detail = "asset", "in "+j.e.assets[j.foreign.asset]
		j.fault(base)
	case j.chargeback != nil && j.rateChargeback(base):
	case j.receipts == 0:
		j.rateSilence(base, asked)
	case main.posts == 0 && main.wrong == nil && main.swapped == nil:
		j.ratePaidOnly(base, main, final)
	case asked.Less(paid):
		j.rateOverpaid(base, final)
	case paid.Less(asked):
		j.rateUnderpaid(base, main, final)
	}
}

// otherAmount is the class of a channel's, or a bank's, other amount.
func (j *judgement) otherAmount() Class {
	if j.f.receipt.statement {
		return StatementMismatch
	}
	return WrongChannelAmount
}

// rateChargeback judges what a payer's bank took back; done says that nothing else is to be said.
func (j *judgement) rateChargeback(base fault) (done bool) {
	main := &j.legs[j.f.main]
	back := j.chargedBack.AddSat(j.refunded)
	if !j.refunded.IsZero() && main.net.Less(back) {
		base.class, base.about, base.happened = ChargebackAfterRefund, j.chargeback, j.chargeback.time
		base.want, base.got, base.risk = main.net, back, back.SubSat(main.net).Min(j.chargedBack)
		j.fault(base)
		return true
	}
	if main.net.Less(back) || main.net.IsZero() {
		return false
	}
	if !j.passed(laneJournal, j.chargeback.time+j.f.receipt.within) {
		j.unproven(j.chargeback.time)
		return true
	}
	base.class, base.risk, base.about, base.happened = PostedChannelFailed, j.chargedBack, j.chargeback, j.chargeback.time
	j.fault(base)
	return true
}

// rateSilence judges money that moved without the channel saying that it paid.
func (j *judgement) rateSilence(base fault, asked Amount) {
	main := &j.legs[j.f.main]
	moved := main.firstPost
	if moved == nil && main.wrong != nil && main.wrong.moved() {
		moved = main.wrong
	}
	if moved == nil || asked.IsZero() {
		return
	}
	base.risk, base.asset = asked, moved.asset
	if j.failedWord != nil {
		last := max(moved.time, j.failedWord.time)
		if !j.passed(laneJournal, last+j.f.receipt.within) {
			j.unproven(j.failedWord.time)
			return
		}
		base.class, base.about, base.happened, base.got = PostedChannelFailed, j.failedWord, j.failedWord.time, main.net
		j.fault(base)
		return
	}
	if !j.passed(laneReceipt, moved.time+j.f.receipt.within) {
		j.unproven(moved.time)
		return
	}
	base.class, base.about, base.happened = MissingReceipt, moved, moved.time
	j.fault(base)
}

// ratePaidOnly judges what the channel paid while nothing is posted.
func (j *judgement) ratePaidOnly(base fault, main *tally, final bool) {
	last := j.firstReceipt.time
	if final && main.undone != nil {
		last = max(last, main.undone.time)
	}
	if !j.passed(laneJournal, last+j.f.receipt.within) {
		j.unproven(j.firstReceipt.time)
		return
	}
	base.class, base.risk, base.about, base.happened = j.unbooked(), j.paid, j.firstReceipt, j.firstReceipt.time
	j.fault(base)
}

func (j *judgement) rateOverpaid(base fault, final bool) {
	if !final && j.order != nil && !j.order.amount.Less(base.got) { // the rest may be captured yet
		j.unproven(j.lastReceipt.time)
		if !j.passed(laneJournal, j.lastReceipt.time+j.f.settle) {
			return
		}
	}
	base.risk = base.got.SubSat(base.want)
	base.class = j.otherAmount()
	if j.twice != nil && !j.f.receipt.statement || j.twice != nil && j.f.receipt.minus {
		base.class, base.about, base.happened = DuplicatePayout, j.twice, j.twice.time
	}
	j.fault(base)
}

func (j *judgement) rateUnderpaid(base fault, main *tally, final bool) {
	base.risk = base.want.SubSat(base.got)
	if final && j.receipts >= main.posts {
		base.class = j.otherAmount()
		j.fault(base)
		return
	}
	moved := main.lastPost
	if moved == nil {
		moved = j.firstMove
	}
	if !j.passed(laneReceipt, moved.time+j.f.receipt.within) {
		j.unproven(moved.time)
		return
	}
	base.class, base.about, base.happened = MissingReceipt, moved, moved.time
	j.fault(base)
}

// rateRefund judges a refund by its payment, in the order of the journal; done says that nothing else is to be said.
func (j *judgement) rateRefund() (done bool) {
	main := &j.legs[j.f.main]
	first := main.first
	if j.order == nil || first == nil {
		return false
	}
	amount := main.forward.SubSat(main.back).AddSat(main.open)
	if main.wrong != nil {
		amount = amount.AddSat(main.wrongRisk)
	}
	payment := j.e.v.payment
	base := fault{leg: j.f.main, happened: first.time, risk: amount, asset: first.asset, got: amount, want: payment.moved, about: first}
	switch {
	case amount.IsZero():
		j.e.link(j.c, j.order.ref, first, amount) // mended: it no longer counts
		return false
	case !payment.found || payment.at.after(first.place()):
		base.class = RefundOrphan
		j.fault(base)
		return true
	case first.debit != payment.credit || first.credit != payment.debit:
		if j.mended() {
			return false
		}
		base.class = RefundMisdirected
		j.fault(base)
		return true
	}
	sum, same := j.e.link(j.c, j.order.ref, first, amount)
	if payment.moved.Less(sum) {
		base.class, base.risk, base.got = RefundExcess, sum.SubSat(payment.moved).Min(amount), sum
		if same {
			base.class = RefundDouble
		}
		j.fault(base)
		return true
	}
	return false
}

// payment returns what the payment of a refund did.
func (e *Engine) payment(flow uint16, key ID) (p paid) {
	r := &e.running[flow]
	if r.refunds < 0 || key.IsZero() {
		return p
	}
	i := e.find(uint16(r.refunds), key) //nolint:gosec // G115: an index of flows
	if i == 0 {
		return p
	}
	f := e.flows[r.refunds]
	for n := e.cases.at(i).first; n != 0; {
		one := e.facts.at(n)
		if one.moved() && int(one.leg) == f.main {
			if !p.found {
				p = paid{found: true, debit: one.debit, credit: one.credit, at: one.place()}
			}
			if one.debit == p.credit && one.credit == p.debit {
				p.moved = p.moved.SubSat(one.amount)
			} else {
				p.moved = p.moved.AddSat(one.amount)
			}
		}
		n = one.next
	}
	return p
}

// link notes at a payment what one refund of it moved. It returns the sum of the refunds up to this one, in the order
// of the journal, and whether an earlier one was as large.
func (e *Engine) link(c *caseRec, key ID, first *fact, amount Amount) (sum Amount, same bool) {
	refunds := e.running[c.flow].refunds
	i := e.find(uint16(refunds), key) //nolint:gosec // G115: an index of flows; the payment was found before
	if i == 0 {
		return sum, false
	}
	mine := false
	for n := e.cases.at(i).first; n != 0; {
		one := e.facts.at(n)
		n = one.next
		if one.kind != factRefund {
			continue
		}
		switch {
		case one.id == c.key && one.source == c.flow:
			mine = true
			if one.amount != amount {
				one.amount = amount
				e.mark(i)
				e.siblings(i, c.key, e.v.payment.moved)
			}
			sum = sum.AddSat(amount)
		case first.place().after(one.place()):
			sum = sum.AddSat(one.amount)
			same = same || one.amount == amount
		}
	}
	if !mine && !amount.IsZero() {
		e.add(i, &fact{kind: factRefund, id: c.key, source: c.flow, amount: amount, seq: first.seq, index: first.index, time: first.time, asset: first.asset, leg: -1})
		sum = sum.AddSat(amount)
		e.siblings(i, c.key, e.v.payment.moved)
	}
	return sum, same
}

// siblings has the other refunds of a payment judged again, since what is left for them changed. Where there are more
// than the payment was, those that are complete come back for it.
func (e *Engine) siblings(payment uint32, but ID, moved Amount) {
	var sum Amount
	for n := e.cases.at(payment).first; n != 0; {
		one := e.facts.at(n)
		n = one.next
		if one.kind == factRefund {
			sum = sum.AddSat(one.amount)
		}
	}
	for n := e.cases.at(payment).first; n != 0; {
		one := e.facts.at(n)
		n = one.next
		if one.kind != factRefund || one.id == but {
			continue
		}
		i, ok := e.byKey[caseKey{one.id, one.source}]
		if !ok && moved.Less(sum) {
			i = e.find(one.source, one.id)
		}
		if i != 0 {
			e.mark(i)
		}
	}
}
