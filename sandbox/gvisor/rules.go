package gvisor

import (
	"os"
	"slices"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// kept is how far a record is on the disk: what may be told to others, who will hold the record to it.
type kept struct {
	Record trail.Hash `json:"record"` // of the first line
	Head   trail.Hash `json:"head"`
	Lines  uint64     `json:"lines"`
}

func (r *recorder) kept() kept {
	head, lines := r.chain.Head()
	return kept{r.firstLine, head, lines}
}

// judge asks the rules about an event, whose line is the last, and records those that fire.
func (r *recorder) judge(now uint64, kind uint16, payload []byte) error {
	point := points[kind].name
	if !r.rules.On(point) {
		return nil
	}
	if err := r.fields.read(kind, payload); err != nil {
		return r.unread(now, err.Error())
	}
	_, lines := r.chain.Head()
	for _, f := range r.rules.Judge(point, &r.fields) {
		if err := r.alert(now, f, lines-1); err != nil {
			return err
		}
	}
	return nil
}

// missed records a gap in the events that rules would have judged.
func (r *recorder) missed(now uint64, g trail.Gap) error {
	if err := r.gap(now, g); err != nil {
		return err
	}
	return r.unread(now, "an event was lost or is none: "+g.Reason)
}

// unread records that no rule could judge what the last line is about.
func (r *recorder) unread(now uint64, why string) error {
	if r.rules == nil {
		return nil
	}
	f, ok := r.rules.Unread(why)
	if !ok {
		return nil
	}
	_, lines := r.chain.Head()
	return r.alert(now, f, lines-1)
}

var strictness = []sandbox.Action{sandbox.ActionAlert, sandbox.ActionPause, sandbox.ActionKill}

func (r *recorder) alert(now uint64, f sandbox.Fired, of uint64) error {
	r.alerts++
	if slices.Index(strictness, f.Action) > slices.Index(strictness, r.fired.Action) {
		r.fired = f
	}
	return r.append(now, trail.KindAlert, trail.Body(trail.Alert{Rule: f.Rule, Action: string(f.Action), Of: of, Fault: f.Fault}))
}

// begin writes the first line, and compiles the rules.
func (s *recordServer) begin(o *order) error {
	s.freeze = *o
	if o.Policy != nil {
		p, err := sandbox.Parse(o.Policy)
		if err == nil {
			s.rec.witness.watchSockets(p)
			s.rec.rules, err = p.Rules()
		}
		if err != nil {
			return err
		}
	}
	return s.locked(func() error { return s.rec.begin(s.Clock.Wall(), *o.Begin) })
}

// message records one message. What a rule fires for is told at once: the runner acts on it. Before that, what a rule
// pauses or kills stands still: the runner may wait for its turn on a busy host.
func (s *recordServer) message(text []byte) error {
	var fired bool
	err := s.locked(func() error {
		before := s.rec.alerts
		err := s.rec.message(s.Clock.Wall(), text)
		fired = s.rec.alerts > before
		if fired && s.rec.fired.Action != sandbox.ActionAlert && s.freeze.Freeze != "" {
			_ = os.WriteFile(s.freeze.Freeze, []byte(s.freeze.Frozen), 0) // the runner does it again, and kills what it can't freeze
		}
		return err
	})
	if err != nil || !fired {
		return err
	}
	s.report(report{})
	return s.flush(false)
}

// opening is the first order to the recorder.
func (s *session) opening() order {
	begin := s.beginning()
	return order{Begin: &begin, Policy: s.options.Policy, Freeze: s.cgroup.freeze, Frozen: s.cgroup.frozen}
}

// heed does what rules ask for: the first pause holds the workload, the first kill ends it.
func (s *session) heed(r *report) {
	switch {
	case r.Action == sandbox.ActionKill && !s.doomed:
		s.doomed = true
		s.freeze(true, "rule "+r.Rule) // at once; what is frozen is killed as it is
	case r.Action == sandbox.ActionPause && !s.held && !s.doomed:
		s.held = true
		s.freeze(true, "rule "+r.Rule+": look at it, then stop it")
	}
}
