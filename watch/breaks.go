package watch

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// kept is a break that the engine remembers: while it is open or explained, and after its end as long as the same facts
// could open it again.
type kept struct {
	*Break        // never changed once it was handed out: a change makes a new one
	number uint64 // of the effect that opened it, for their order
	index  uint32 // its case; 0: none
	flow   int    // -1: none
	mended bool   // its end came from the facts, so that the facts can open it again
}

func (k *kept) holds() bool { return k.State == Open || k.State == Explained }

// breakOf is a break without a case, before it is opened.
type breakOf struct {
	class    Class
	flow     string
	key      ID
	cause    string
	happened uint64
	risk     Amount
	asset    string
	summary  string
	accounts []ID
	evidence []Evidence
	group    ID
}

const (
	maxEnded      = 10_000  // breaks without a case that a person accepted, and that are remembered
	fullBreaks    = 100_000 // open breaks that keep their evidence in memory
	whoWatch      = "watch"
	whyFacts      = "what was missing came, or what was wrong is mended"
	whyAgain      = "it is wrong again"
	whyMore       = "more is known"
	maxOfCause    = 4_096 // findings of the journal by which later breaks are grouped
	maxFlowFaults = 16    // of one case
)

// breakID makes the id of a break from what it is about.
func breakID(class Class, flow string, key ID, cause string) (id ID) {
	text := make([]byte, 0, 128)
	for _, part := range []string{string(class), flow, string(key[:]), cause} {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	copy(id[:], sum[:])
	return id
}

// report opens a break that has no case, unless it is open or accepted.
func (e *Engine) report(b breakOf) ID {
	id := breakID(b.class, b.flow, b.key, b.cause)
	if k := e.breaks[id]; k != nil && (k.holds() || k.State == Accepted) {
		return id
	}
	flow := -1
	if i, ok := e.flowIndex[b.flow]; ok {
		flow = int(i)
	}
	group := b.group
	if group.IsZero() {
		group = id
	}
	e.opened(&kept{flow: flow, Break: &Break{
		ID: id, Class: b.class, Flow: b.flow, Key: b.key, KeyText: textOf(b.key), AtRisk: b.risk, Asset: b.asset, Happened: b.happened, FirstSeen: e.now,
		Group: group, Summary: b.summary, Accounts: b.accounts, Evidence: b.evidence, State: Open,
	}})
	return id
}

func (e *Engine) opened(k *kept) {
	e.breaksChanged = true
	e.openCount++
	effect := e.emit(Effect{Kind: BreakOpened, Break: k.Break, Who: whoWatch})
	k.number = effect
	e.breaks[k.ID] = k
	e.stopLoss(k)
	if e.openCount > fullBreaks {
		slim := *k.Break
		slim.Evidence = nil
		k.Break = &slim
	}
}

// change gives a break a new state. A break without a case is forgotten when it ends, unless a person accepted it.
func (e *Engine) change(k *kept, state BreakState, who, why string) {
	e.breaksChanged = true
	was := k.holds()
	next := *k.Break
	next.State = state
	k.Break = &next
	if now := k.holds(); was != now {
		if now {
			e.openCount++
		} else {
			e.openCount--
		}
	}
	e.emit(Effect{Kind: BreakChanged, Break: k.Break, Who: who, Why: why})
	if k.index != 0 || k.holds() {
		return
	}
	if state != Accepted {
		delete(e.breaks, k.ID)
		return
	}
	e.ended = append(e.ended, k.ID)
	if len(e.ended) > maxEnded {
		delete(e.breaks, e.ended[0])
		e.ended = e.ended[1:]
	}
}

// mend ends a break whose cause is gone.
func (e *Engine) mend(id ID, why string) {
	if k := e.breaks[id]; k != nil && k.holds() {
		k.mended = true
		e.change(k, Repaired, whoWatch, why)
	}
}

// emit appends an effect and returns its number.
func (e *Engine) emit(effect Effect) uint64 {
	e.number++
	effect.Number, effect.Time = e.number, e.now
	e.out = append(e.out, effect)
	return e.number
}

// settleFaults makes the breaks of a case those that its facts show.
func (e *Engine) settleFaults(j *judgement) {
	if len(j.faults) == 0 && !j.c.broken {
		return
	}
	list := e.ofCase[j.index]
	shown := make(map[ID]bool, len(j.faults))
	for n := range j.faults[:min(len(j.faults), maxFlowFaults)] {
		f := &j.faults[n]
		id := j.id(f)
		shown[id] = true
		if k := e.breaks[id]; k != nil && k.index == j.index {
			e.again(j, f, k)
			continue
		}
		k := &kept{index: j.index, flow: int(j.c.flow), Break: e.describe(j, f, id)}
		k.Group = e.groupOf(j, list, id)
		j.c.broken = true
		list = append(list, k)
		e.ofCase[j.index] = list
		e.opened(k)
	}
	for _, k := range list {
		if k.holds() && !shown[k.ID] {
			k.mended = true
			e.change(k, Repaired, whoWatch, whyFacts)
		}
	}
}

func (j *judgement) id(f *fault) ID {
	cause := f.cause
	if f.leg >= 0 {
		cause = j.f.legs[f.leg].name + "/" + cause
	}
	return breakID(f.class, j.f.Name, j.c.key, cause)
}

// again brings a break up to date that was known before.
func (e *Engine) again(j *judgement, f *fault, k *kept) {
	switch {
	case k.State == Repaired && k.mended:
		next := e.describe(j, f, k.ID)
		next.FirstSeen, next.Group = k.FirstSeen, k.Group
		k.Break = next
		e.change(k, Open, whoWatch, whyAgain)
	case k.holds() && k.AtRisk != f.risk:
		next := e.describe(j, f, k.ID)
		next.FirstSeen, next.Group = k.FirstSeen, k.Group
		state := k.State
		k.Break = next
		k.State = state
		e.change(k, state, whoWatch, whyMore)
	}
}

// accepted reports that a person ended a fault.
func (e *Engine) accepted(j *judgement, f *fault) bool {
	if !j.c.broken {
		return false
	}
	k := e.breaks[j.id(f)]
	return k != nil && k.State == Accepted
}

// groupOf finds the root cause of a case's new break: the first break of the same case that is open, one of the journal
// about a transfer of the case, or one of the payment that a refund is of.
func (e *Engine) groupOf(j *judgement, list []*kept, id ID) ID {
	for _, k := range list {
		if k.holds() {
			return k.Group
		}
	}
	if root, ok := e.causeOf(j.c); ok {
		return root
	}
	if j.f.refunds == "" || j.order == nil {
		return id
	}
	payment, ok := e.byKey[caseKey{j.order.ref, uint16(e.running[j.c.flow].refunds)}] //nolint:gosec // G115: an index of flows
	if !ok {
		return id
	}
	for _, other := range e.ofCase[payment] {
		if other.holds() {
			return other.Group
		}
	}
	if root, ok := e.causeOf(e.cases.at(payment)); ok {
		return root
	}
	return id
}

// causeOf returns the finding of the journal that a movement of a case, or its block, is part of.
func (e *Engine) causeOf(c *caseRec) (root ID, ok bool) {
	if len(e.causes) == 0 {
		return root, false
	}
	for p := c.first; p != 0; {
		one := e.facts.at(p)
		p = one.next
		if !one.isMovement() {
			continue
		}
		for _, about := range [2]causeKey{{transfer: one.id}, {seq: one.seq}} {
			if root, ok := e.causes[about]; ok {
				return root, true
			}
		}
	}
	return root, false
}

// causeKey is what a finding of the journal is about: a transfer, or a whole block.
type causeKey struct {
	transfer ID
	seq      uint64
}

func (e *Engine) remember(about causeKey, root ID) {
	if _, ok := e.causes[about]; ok {
		return
	}
	e.causes[about] = root
	e.causeOrder = append(e.causeOrder, about)
	if len(e.causeOrder) > maxOfCause {
		delete(e.causes, e.causeOrder[0])
		e.causeOrder = e.causeOrder[1:]
	}
}

// Decide changes the state of a break by a person's word: explained (it stays open, and holds the proof, since the
// money is still not where it belongs), accepted (it ends, and no longer holds the proof), or open again. ErrNoBreak
// where there is none that is open or explained; ErrDecision where the word is none of these.
func (e *Engine) Decide(d Decision) error {
	if d.State != Open && d.State != Explained && d.State != Accepted {
		return fmt.Errorf("%w: want open, explained or accepted", ErrDecision)
	}
	first := e.breaks[d.Break]
	if first == nil || !first.holds() {
		return fmt.Errorf("decide on break %s: %w", hexOf(d.Break), ErrNoBreak)
	}
	list := []*kept{first}
	if d.Group {
		for _, k := range e.breaks {
			if k != first && k.holds() && k.Group == first.Group {
				list = append(list, k)
			}
		}
		slices.SortFunc(list[1:], func(a, b *kept) int { return cmp.Compare(a.number, b.number) })
	}
	for _, k := range list {
		if k.State == d.State {
			continue
		}
		e.change(k, d.State, d.Who, d.Why)
		if d.State == Accepted {
			e.yield(k)
		}
	}
	e.settleDirty()
	return nil
}

// yield lets what waited for an accepted break go on.
func (e *Engine) yield(k *kept) {
	if k.index != 0 {
		e.mark(k.index)
	}
	for _, s := range e.sources {
		s.forgive(k.ID)
	}
}
