package service

import (
	"cmp"
	"slices"
)

// Plan is what to do now.
type Plan struct {
	Start []int             // generations, one for each replica to start
	Stop  map[string]string // replicas, with why
	// Failed are those of Stop that are replaced because they fail.
	Failed []string
	// Settled: all that is wanted is ready, and nothing else runs but what is held.
	Settled bool
	// Whole: as many are ready as are wanted, of whatever release.
	Whole bool
}

// planner is one decision in the making.
type planner struct {
	spec *Spec
	s    *State
	now  uint64
	out  Plan

	wanted, total     int // to be there; not over, those included that are being stopped or held
	held              int
	fresh, old        []Replica
	ready, freshReady int
}

// Next decides what to do about a service whose replicas are all, ends noted. At no time are more replicas there than
// the declaration wants and its surge; none that is ready is stopped where fewer than wanted, less max_unavailable, would
// be left; an update that was halted starts no more of its own.
func Next(spec *Spec, s *State, all []Replica, now uint64) Plan {
	p := &planner{spec: spec, s: s, now: now, out: Plan{Stop: map[string]string{}}, wanted: max(0, spec.Replicas-s.Done)}
	for _, r := range all {
		_, stopping := s.Stopping[r.ID]
		if r.Phase == Over {
			continue
		}
		p.total++
		switch {
		case stopping:
		case s.Stopped:
			p.out.Stop[r.ID] = "the service is stopped"
		case r.Phase == Held:
			p.held++
		default:
			p.take(r)
		}
	}
	if s.Stopped {
		p.out.Settled = p.total == 0
		return p.out
	}
	for _, list := range [][]Replica{p.fresh, p.old} { // the newest first: they know the least
		slices.SortFunc(list, func(a, b Replica) int { return cmp.Compare(serialOf(b.ID), serialOf(a.ID)) })
	}
	p.replace()
	p.trim()
	p.start()
	p.out.Whole = p.ready >= p.wanted
	p.out.Settled = s.Halted == "" && p.total-p.held == p.wanted && len(p.fresh) == p.wanted && p.freshReady == p.wanted
	return p.out
}

// take counts a live replica, or has it stopped because it fails.
func (p *planner) take(r Replica) {
	if r.Failing != "" {
		p.out.Stop[r.ID] = r.Failing
		p.out.Failed = append(p.out.Failed, r.ID)
		return
	}
	current := generationOf(r.ID) == p.s.Current.Generation
	if current {
		p.fresh = append(p.fresh, r)
	} else {
		p.old = append(p.old, r)
	}
	if r.Ready {
		p.ready++
		if current {
			p.freshReady++
		}
	}
}

// stop has those of a list stopped that may.
func (p *planner) stop(list []Replica, why string, may func(Replica) bool) []Replica {
	return slices.DeleteFunc(list, func(r Replica) bool {
		if !may(r) {
			return false
		}
		p.out.Stop[r.ID] = why
		if r.Ready {
			p.ready--
		}
		return true
	})
}

// replace stops replicas of other releases as far as the new ones, or the declaration, allow.
func (p *planner) replace() {
	if p.s.Halted != "" {
		return
	}
	floor := p.wanted - p.spec.Update.MaxUnavailable
	surplus := func() bool { return p.ready > p.wanted || len(p.fresh) < p.wanted }
	p.old = p.stop(p.old, "replaced by another release", func(r Replica) bool {
		if r.Ready {
			return p.ready-1 >= floor && surplus()
		}
		return p.freshReady >= p.wanted // it may be well: nobody has asked it yet
	})
}

// trim stops what is more than wanted: those that are not ready first.
func (p *planner) trim() {
	excess := len(p.fresh) + len(p.old) - p.wanted
	if len(p.old) > 0 && p.s.Halted == "" {
		return // replace sees to it
	}
	for _, ready := range []bool{false, true} {
		p.fresh = p.stop(p.fresh, "fewer replicas are wanted", func(r Replica) bool {
			if excess <= 0 || r.Ready != ready || ready && p.ready <= p.wanted {
				return false
			}
			excess--
			if r.Ready {
				p.freshReady--
			}
			return true
		})
		p.old = p.stop(p.old, "fewer replicas are wanted", func(r Replica) bool {
			if excess <= 0 || r.Ready != ready || ready && p.ready <= p.wanted {
				return false
			}
			excess--
			return true
		})
	}
}

// start starts what is missing, unless the last failure was just now.
func (p *planner) start() {
	if p.now < p.s.RetryAt {
		return
	}
	generation, missing, room := p.s.Current.Generation, p.wanted-len(p.fresh), p.wanted-p.total
	switch {
	case p.s.Halted != "":
		generation, missing = p.s.Good.Generation, p.wanted-len(p.fresh)-len(p.old)
	case len(p.old) > 0:
		room += p.spec.Update.MaxSurge
	}
	for range min(missing, room) {
		p.out.Start = append(p.out.Start, generation)
	}
}

// Apply takes a plan into the state, and returns the names of the replicas to start, in the order of Plan.Start. The
// state has to be kept before anything of the plan is done.
func (s *State) Apply(spec *Spec, plan Plan, now uint64) []string {
	for id, why := range plan.Stop {
		s.stop(id, why)
	}
	for _, id := range plan.Failed {
		current := generationOf(id) == s.Current.Generation
		switch {
		case spec.Restart == RestartNever && current:
			s.Done++
			continue
		case current && s.updating():
			s.halt(id, plan.Stop[id])
		}
		s.fail(now)
	}
	if plan.Settled && !s.Stopped {
		good := s.Current
		s.Good = &good
	}
	if plan.Whole && s.Failures > 0 && now >= s.RetryAt+uint64(steady) {
		s.Failures, s.RetryAt = 0, 0
	}
	var ids []string
	for _, generation := range plan.Start {
		s.Serial++
		id := ReplicaID(spec.Name, generation, s.Serial)
		if s.Starting == nil {
			s.Starting = map[string]bool{}
		}
		s.Starting[id] = true
		ids = append(ids, id)
	}
	return ids
}

// Release is the one of a generation that replicas may still be started with.
func (s *State) Release(generation int) *Release {
	if s.Good != nil && s.Good.Generation == generation {
		return s.Good
	}
	return &s.Current
}
