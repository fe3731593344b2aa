package watch

import "fmt"

// observe gives a source's observation to the case that it is about.
func (e *Engine) observe(i uint16, o *Observation, hash uint64) {
	s := e.sources[i]
	s.taken++
	e.events++
	moment, late := e.clockOf(s, o)
	switch o.Kind {
	case Instruction, Receipt, StatementEntry:
	case Balance:
		if late { // a balance of an earlier moment is one all the same
			moment = o.Time
		}
		e.balance(i, o, moment)
		return
	case Heartbeat:
		return
	default:
		e.misplaced(i, o, "its kind is unknown")
		return
	}
	flow, why := e.route(i, o)
	if why != "" {
		e.misplaced(i, o, why)
		return
	}
	e.running[flow].seen = true
	s.expect(e.now)
	if e.flows[flow].forgets(o.Time) {
		return
	}
	index := e.open(flow, o.Key)
	if e.repeated(index, i, o, hash) {
		return
	}
	if late {
		e.tellsLate(s, o, moment)
	}
	one := fact{
		kind: factReceipt, id: o.ID, debit: o.Debit, credit: o.Credit, ref: o.OfKey, amount: o.Amount, seq: o.Seq, time: moment, hash: hash,
		asset: e.intern(o.Asset), source: i, outcome: o.Outcome, leg: -1, count: 1,
	}
	if o.Minus {
		one.flags |= factMinus
	}
	switch o.Kind {
	case Instruction:
		one.kind = factOrder
	case StatementEntry:
		one.kind = factStatement
	default:
		if one.outcome == 0 {
			one.outcome = Settled
		}
	}
	e.keep(index, &one, o)
}

// keep adds an observation to its case, with the terms that the flow's rules use.
func (e *Engine) keep(index uint32, one *fact, o *Observation) {
	c := e.cases.at(index)
	f := e.flows[c.flow]
	if c.text == 0 && o.KeyText != "" && len(o.KeyText) <= maxText && !decimalOf(o.Key, o.KeyText) {
		c.text = e.texts.take()
		t := e.texts.at(c.text)
		t.size = uint8(copy(t.text[:], o.KeyText)) //nolint:gosec // G115: up to 64
	}
	kept := e.add(index, one)
	if kept == nil || len(f.terms) == 0 || one.kind != factOrder {
		return
	}
	kept.terms = e.terms.take()
	t := e.terms.at(kept.terms)
	for n := range o.Terms {
		for place, name := range f.terms {
			if name == o.Terms[n].Name {
				t.values[place] = o.Terms[n].Value
				t.present |= 1 << place
			}
		}
	}
}

// decimalOf reports whether a text is the key in decimal, without making a text of the key.
func decimalOf(key ID, text string) bool {
	if len(text) > 39 || text == "" || text[0] < '0' || text[0] > '9' {
		return false
	}
	var n Amount
	for i := range len(text) {
		product, ok := n.Mul(Amount{Lo: 10})
		sum, carry := product.Add(Amount{Lo: uint64(text[i] - '0')})
		if text[i] < '0' || text[i] > '9' || !ok || !carry {
			return false
		}
		n = sum
	}
	return n == key.Amount()
}

// repeated reports whether the case has an observation with this id already. With another content that is kept, too,
// once.
func (e *Engine) repeated(index uint32, i uint16, o *Observation, hash uint64) bool {
	if o.ID.IsZero() {
		return false
	}
	other := false
	for p := e.cases.at(index).first; p != 0; {
		one := e.facts.at(p)
		p = one.next
		if one.isMovement() || one.kind == factRefund || one.source != i || one.id != o.ID {
			continue
		}
		if one.kind != factConflict && (one.kind == factOrder) != (o.Kind == Instruction) {
			continue // an order and its withdrawal may share an id
		}
		if one.hash == hash {
			e.mark(index)
			return true
		}
		other = true
	}
	if other {
		e.add(index, &fact{
			kind: factConflict, id: o.ID, debit: o.Debit, credit: o.Credit, amount: o.Amount, seq: o.Seq, time: max(min(o.Time, e.now), 1), hash: hash,
			asset: e.intern(o.Asset), source: i, leg: -1, count: 1,
		})
	}
	return other
}

// route finds the flow of an observation: the one that it names, or the only one that waits for this kind from this
// source, or among several the one that has its key.
func (e *Engine) route(i uint16, o *Observation) (flow uint16, why string) {
	if o.Flow != "" {
		flow, ok := e.flowIndex[o.Flow]
		switch {
		case !ok:
			return 0, fmt.Sprintf("flow %q is not declared", o.Flow)
		case !e.listens(flow, i, o.Kind):
			return 0, fmt.Sprintf("flow %s does not wait for this kind of observation from it", o.Flow)
		}
		return flow, ""
	}
	found := 0
	for n := range e.flows {
		if e.listens(uint16(n), i, o.Kind) {
			flow = uint16(n)
			found++
		}
	}
	switch found {
	case 0:
		return 0, "no flow waits for this kind of observation from it"
	case 1:
		return flow, ""
	}
	for n := range e.flows {
		k := uint16(n)
		if _, ok := e.byKey[caseKey{o.Key, k}]; ok && e.listens(k, i, o.Kind) {
			return k, ""
		}
	}
	return 0, fmt.Sprintf("it names no flow, and %d flows wait for it", found)
}

// listens reports whether a flow takes a kind of observation from a source.
func (e *Engine) listens(flow, i uint16, kind ObservationKind) bool {
	f, r := e.flows[flow], &e.running[flow]
	switch kind {
	case Instruction:
		return f.order != nil && r.order == i
	case Receipt: // of the order's source: the order is withdrawn
		return f.receipt != nil && !f.receipt.statement && r.receipt == i || f.order != nil && r.order == i
	case StatementEntry:
		return f.receipt != nil && f.receipt.statement && r.receipt == i
	default:
		return false
	}
}

// misplaced reports an observation that no flow can take. What nothing explains is not safe.
func (e *Engine) misplaced(i uint16, o *Observation, why string) {
	s := e.sources[i]
	class := RuleFailed
	if o.Kind == StatementEntry {
		class = StatementMismatch
	}
	e.report(breakOf{
		class: class, flow: e.flowName(o.Flow), key: o.Key, cause: fmt.Sprintf("%s %d", s.name, o.Seq), happened: max(min(o.Time, e.now), 1), risk: o.Amount, asset: o.Asset,
		summary: fmt.Sprintf("observation %d of source %s belongs nowhere: %s", o.Seq, s.name, why),
		evidence: []Evidence{{What: "observation", Source: s.name, Seq: o.Seq, Time: o.Time, Fields: []Field{
			{Name: "flow", Value: o.Flow, Wrong: true}, {Name: "key", Value: textOf(o.Key)}, {Name: "amount", Value: money(o.Amount, o.Asset)},
		}}},
	})
}

func (s *source) expect(now uint64) {
	if s.expected == 0 {
		s.expected = max(now, 1)
	}
}
