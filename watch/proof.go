package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// breakSums are what the open breaks say together, kept until one changes.
type breakSums struct {
	open   uint64
	atRisk []AtRisk
	byFlow []uint64
	first  []*kept // by flow, the open break that happened first; the last place: of no flow
}

// openBreaks adds the open breaks up. Of a group only the first counts for the money at risk, unless it is ended.
func (e *Engine) openBreaks() *breakSums {
	s := &e.sums
	if !e.breaksChanged && s.first != nil {
		return s
	}
	e.breaksChanged = false
	*s = breakSums{byFlow: make([]uint64, len(e.flows)), first: make([]*kept, len(e.flows)+1)}
	risk := map[string]Amount{}
	for _, k := range e.breaks {
		if !k.holds() {
			continue
		}
		s.open++
		at := len(e.flows)
		if k.flow >= 0 {
			at = k.flow
			s.byFlow[at]++
		}
		if f := s.first[at]; f == nil || k.Happened < f.Happened || k.Happened == f.Happened && k.number < f.number {
			s.first[at] = k
		}
		if root := e.breaks[k.Group]; (root == k || root == nil || !root.holds()) && !k.AtRisk.IsZero() {
			risk[k.Asset] = risk[k.Asset].AddSat(k.AtRisk)
		}
	}
	for asset, amount := range risk {
		s.atRisk = append(s.atRisk, AtRisk{asset, amount})
	}
	slices.SortFunc(s.atRisk, func(a, b AtRisk) int { return strings.Compare(a.Asset, b.Asset) })
	return s
}

// limit is how far something is proven, and what stops it; why is empty where it is only the time that everything takes.
type limit struct {
	through uint64
	why     string
}

func (l *limit) lower(through uint64, why string) {
	if through < l.through || through == l.through && l.why == "" {
		l.through, l.why = through, why
	}
}

// Proof says how far everything is safe: the least of how far the journal and every source have told, the moment before
// the oldest case that is not complete, and the moment before the oldest break that is open or explained. A flow that
// nobody but the ledger speaks for is never safe: it is named, and doesn't count. Nor does one that nothing was ever
// seen of. A moment that was proven can be lost again, by a break that comes to light later.
func (e *Engine) Proof() Proof {
	s := e.openBreaks()
	all := limit{through: e.sources[0].through}
	if !e.journalRoot.IsZero() {
		all.why = "the journal is broken"
	}
	if e.sources[0].through < e.horizon && e.books.Seq() < e.head && e.journalRoot.IsZero() {
		all.why = fmt.Sprintf("the watch is at block %d of %d", e.books.Seq(), e.head)
	}
	if k := s.first[len(e.flows)]; k != nil && k.Class != SilentSource && (k.Class != SourceGap || k.ID == e.blockGap) {
		all.lower(k.Happened-1, reasonOf(k))
	}
	p := Proof{Open: s.open, AtRisk: s.atRisk, Events: e.events}
	for i := range e.flows {
		f, l := e.flowProof(uint16(i), s)
		p.Flows = append(p.Flows, f)
		p.Keys += f.Keys
		if f.Proven && e.running[i].seen {
			all.lower(l.through, l.why)
		}
	}
	p.Flows = append(p.Flows, e.uncoveredCodes()...)
	p.Through, p.Reason = all.through, all.why
	return p
}

func reasonOf(k *kept) string {
	where := "of the journal"
	if k.Flow != "" {
		where = "in " + k.Flow
	} else if k.Class == SilentSource || k.Class == SourceGap || k.Class == SourceRepeat || k.Class == ClockJump {
		where = "of a witness"
	}
	return fmt.Sprintf("break %.8s… %s %s", hexOf(k.ID), k.Class, where)
}

func (e *Engine) flowProof(i uint16, s *breakSums) (FlowProof, limit) {
	f, r := e.flows[i], &e.running[i]
	p := FlowProof{Flow: f.Name, Title: f.Title, Keys: e.keys[i], Breaks: s.byFlow[i], Closed: r.closed, Late: r.late, Sources: f.Sources()}
	if len(r.lateness) > 0 {
		sorted := slices.Clone(r.lateness)
		slices.Sort(sorted)
		p.LatenessP50, p.LatenessP99 = sorted[len(sorted)/2], sorted[len(sorted)*99/100]
	}
	l := limit{through: e.sources[0].through}
	for _, place := range []uint16{r.order, r.receipt} {
		if place != 0 {
			e.sourceLimit(&l, e.sources[place])
		}
	}
	if list := r.unproven.list; len(list) > 0 {
		l.lower(list[0].at-1, e.waitsFor(list[0].ref>>2))
	}
	if k := s.first[i]; k != nil {
		l.lower(k.Happened-1, reasonOf(k))
	}
	switch {
	case f.order == nil && f.receipt == nil:
		p.Reason = "not proven: only the ledger itself speaks for it"
		return p, l
	case e.unheard(r) != "":
		p.Reason = "not proven: source " + e.unheard(r) + " has not spoken yet"
		p.Proven = r.seen // it was seen, so that it holds the proof
		p.Through = 0
		return p, limit{0, p.Reason}
	}
	p.Proven, p.Through, p.Reason = true, l.through, l.why
	return p, l
}

// unheard names a source of a flow that never spoke.
func (e *Engine) unheard(r *running) string {
	for _, place := range []uint16{r.order, r.receipt} {
		if place != 0 && e.sources[place].heard == 0 {
			return e.sources[place].name
		}
	}
	return ""
}

func (e *Engine) sourceLimit(l *limit, s *source) {
	why := ""
	switch {
	case !s.silent.IsZero():
		why = fmt.Sprintf("source %s is silent since %s", s.name, clockOf(s.heard))
	case len(s.holes) > 0:
		why = fmt.Sprintf("source %s never told %d to %d", s.name, s.holes[0].from, s.holes[0].to)
	case len(s.waiting) > 0:
		why = fmt.Sprintf("source %s has a gap at %d", s.name, s.next)
	case e.now > s.through+s.silence:
		why = fmt.Sprintf("source %s has promised nothing after %s", s.name, clockOf(s.through))
	}
	l.lower(s.through, why)
}

// waitsFor says what a case waits for, once that takes longer than it should.
func (e *Engine) waitsFor(i uint32) string {
	c := e.cases.at(i)
	for lane := range laneUnproven {
		place := uint16(0)
		switch lane {
		case laneOrder:
			place = e.running[c.flow].order
		case laneReceipt:
			place = e.running[c.flow].receipt
		}
		if s := e.sources[place]; c.times[lane] != 0 && e.now > c.times[lane]+uint64(2*time.Second) {
			return fmt.Sprintf("key %s in %s waits for %s", e.keyTextOf(c), e.flows[c.flow].Name, s.name)
		}
	}
	return ""
}

func clockOf(at uint64) string {
	if at == 0 {
		return "the beginning"
	}
	s := stamp(at)
	return s[min(len(s), 11):]
}

// uncoveredCodes names what no flow claims.
func (e *Engine) uncoveredCodes() []FlowProof {
	codes := make([]uint16, 0, len(e.uncovered))
	for code := range e.uncovered {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	var list []FlowProof
	for _, code := range codes[:min(len(codes), 100)] {
		u := e.uncovered[code]
		list = append(list, FlowProof{
			Flow: fmt.Sprintf("code %d", code), Title: fmt.Sprintf("Movements of code %d", code), Closed: u.movements,
			Reason: fmt.Sprintf("not proven: code %d, no flow claims its %d movements", code, u.movements),
		})
	}
	return list
}

// Sources returns the sources, by name; the journal is not among them.
func (e *Engine) Sources() []SourceState {
	list := make([]SourceState, 0, len(e.sources)-1)
	for _, s := range e.sources[1:] {
		one := SourceState{
			Name: s.name, Seq: s.next - 1, Through: s.through, Heard: s.heard, Observations: s.taken, Silent: !s.silent.IsZero(), Digest: s.digest,
		}
		switch {
		case len(s.holes) > 0:
			one.MissingFrom, one.MissingTo = s.holes[0].from, s.holes[0].to
		case len(s.waiting) > 0:
			one.MissingFrom, one.MissingTo = s.next, s.waiting[0].Seq-1
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b SourceState) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Statement is what a checkpoint says.
func (e *Engine) Statement() Statement {
	return Statement{
		Cell: e.cell, Seq: e.books.Seq(), Hash: e.books.Hash(), Time: e.books.Time(), Through: e.Proof().Through, Totals: e.books.Totals(),
		Sources: e.Sources(), Events: e.events,
	}
}
