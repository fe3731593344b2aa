package watch

import "fmt"

// adopt makes a state that was read the engine's own: numbers of flows and sources become those of the flows that are
// declared now, and what follows from the rest is built again.
func (e *Engine) adopt(h *header) {
	places := e.adoptSources(h)
	flows, same := e.adoptFlows(h)
	for i, name := range e.assets {
		if i > 0 {
			e.assetIndex[name] = uint32(i)
		}
	}
	dropped := map[uint16]int{}
	for i := uint32(1); i < e.cases.size; i++ {
		c := e.cases.at(i)
		if c.first == 0 { // free, or never used
			continue
		}
		old := c.flow
		if flows[old] < 0 {
			dropped[old]++
			e.forget(i)
			continue
		}
		c.flow = uint16(flows[old]) //nolint:gosec // G115: up to 256
		e.adoptCase(i, c, places, flows)
		if !same[old] {
			e.mark(i)
		}
	}
	for _, k := range e.breaks {
		if k.flow >= 0 && k.flow < len(flows) {
			k.flow = flows[k.flow]
		}
	}
	for _, w := range e.watched {
		for n := range w.claims {
			w.claims[n].source = places[w.claims[n].source]
		}
	}
	for old := range h.flows {
		if n := dropped[uint16(old)]; n > 0 {
			name := h.flows[old].name
			e.report(breakOf{
				class: RuleFailed, flow: e.flowName(name), cause: "changed " + string(h.flows[old].digest[:]), happened: max(e.sources[0].through, 1),
				summary: fmt.Sprintf("flow %s was taken away, or has other legs, terms or another key than before: %d open cases of it are no longer followed", name, n),
			})
		}
	}
	e.settleDirty()
}

// adoptSources gives the sources that were read their places, and returns these by the old ones.
func (e *Engine) adoptSources(h *header) []uint16 {
	places := make([]uint16, len(h.sources))
	for old, s := range h.sources {
		if old == 0 {
			e.sources[0].through = s.through
			continue
		}
		place, ok := e.sourceOf(s.name)
		if !ok {
			continue // more sources than there may be: the flows name others now
		}
		s.silence = e.sources[place].silence
		e.sources[place] = s
		places[old] = place
	}
	return places
}

// adoptFlows returns the new numbers of flows by the old ones; -1: it is gone, or another. same says that nothing of it
// changed.
func (e *Engine) adoptFlows(h *header) (flows []int, same []bool) {
	flows, same = make([]int, len(h.flows)), make([]bool, len(h.flows))
	for old, was := range h.flows {
		flows[old] = -1
		i, ok := e.flowIndex[was.name]
		if !ok {
			continue
		}
		now := markOf(e.flows[i])
		if now.shape != was.shape {
			continue
		}
		flows[old], same[old] = int(i), now.digest == was.digest
		r, kept := &e.running[i], &h.running[old]
		r.seen, r.closed, r.late, r.lateness, r.latenessAt = kept.seen, kept.closed, kept.late, kept.lateness, kept.latenessAt
	}
	return flows, same
}

func (e *Engine) adoptCase(i uint32, c *caseRec, places []uint16, flows []int) {
	e.byKey[caseKey{c.key, c.flow}] = i
	e.keys[c.flow]++
	for n := c.first; n != 0; {
		one := e.facts.at(n)
		switch {
		case one.kind == factRefund:
			if int(one.source) < len(flows) && flows[one.source] >= 0 {
				one.source = uint16(flows[one.source]) //nolint:gosec // G115: up to 256
			}
		case !one.isMovement() && int(one.source) < len(places):
			one.source = places[one.source]
		}
		n = one.next
	}
	times := c.times
	c.times, c.places = [lanes]uint64{}, [lanes]uint32{}
	for lane, at := range times {
		if at != 0 {
			e.lane(c.flow, lane).set(&e.cases, i, lane, at)
		}
	}
}

// forget gives the places of a case back that no flow follows. Its breaks stay until a person ends them.
func (e *Engine) forget(i uint32) {
	c := e.cases.at(i)
	for n := c.first; n != 0; {
		f := e.facts.at(n)
		next := f.next
		if f.terms != 0 {
			e.terms.give(f.terms)
		}
		e.facts.give(n)
		n = next
	}
	if c.text != 0 {
		e.texts.give(c.text)
	}
	for _, k := range e.ofCase[i] {
		k.index, k.flow = 0, -1
	}
	delete(e.ofCase, i)
	e.cases.give(i)
}
