package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/supervisor/service"
)

// A world has the replicas that plans asked for, and lets them live as it likes.
type world struct {
	t     testing.TB
	spec  *service.Spec
	state service.State
	now   uint64
	all   []service.Replica
	ids   map[string]bool
	// sick tells of a generation what becomes of its replicas instead of being ready: "", "ends" or "fails".
	sick map[int]string
}

func newWorld(t testing.TB, spec *service.Spec) *world {
	w := &world{t: t, spec: spec, now: uint64(time.Hour), ids: map[string]bool{}, sick: map[int]string{}}
	w.declare("one")
	return w
}

func (w *world) declare(policy string) {
	w.state.Declare(fmt.Appendf(nil, "%v", *w.spec), service.Release{Policy: []byte(policy), Folder: "/"})
}

func (w *world) count(which func(r service.Replica) bool) int {
	n := 0
	for _, r := range w.all {
		if which(r) {
			n++
		}
	}
	return n
}

func (w *world) ready() int { return w.count(func(r service.Replica) bool { return r.Ready }) }
func (w *world) there() int {
	return w.count(func(r service.Replica) bool { return r.Phase != service.Over })
}

func generation(id string) int {
	_, g, _, _ := service.ParseReplica(id)
	return g
}

// step notes what has ended, plans, verifies the plan, and does it.
func (w *world) step() service.Plan {
	for _, r := range w.all {
		if r.Phase == service.Over && !w.state.Known(r.ID) {
			w.state.Note(w.spec, r.End, w.now)
		}
	}
	plan := service.Next(w.spec, &w.state, w.all, w.now)
	left := 0
	for _, r := range w.all {
		if plan.Stop[r.ID] == "" && w.state.Stopping[r.ID] == "" && r.Ready {
			left++
		}
		if r.Phase == service.Held && plan.Stop[r.ID] != "" && !w.state.Stopped {
			w.t.Fatalf("%s is held, and stopped", r.ID)
		}
	}
	floor := min(w.spec.Replicas-w.state.Done-w.spec.Update.MaxUnavailable, w.ready())
	wasReady := w.count(func(r service.Replica) bool {
		return r.Ready && plan.Stop[r.ID] != "" && !slices.Contains(plan.Failed, r.ID)
	})
	if !w.state.Stopped && wasReady > 0 && left < floor {
		w.t.Fatalf("%d ready are left, want %d: %+v", left, floor, plan)
	}
	for n, id := range w.state.Apply(w.spec, plan, w.now) {
		if w.ids[id] || generation(id) != plan.Start[n] {
			w.t.Fatalf("%s is started twice, or of another generation", id)
		}
		w.ids[id] = true
		w.all = append(w.all, service.Replica{ID: id})
	}
	if most := max(w.spec.Replicas, 0) + w.spec.Update.MaxSurge; len(plan.Start) > 0 && w.there() > most {
		w.t.Fatalf("%d replicas are there, at most %d", w.there(), most)
	}
	w.now += uint64(time.Second)
	return plan
}

// live lets every replica go on one step.
func (w *world) live() {
	for i := range w.all {
		r := &w.all[i]
		switch sick := w.sick[generation(r.ID)]; {
		case r.Phase != service.Live:
		case w.state.Stopping[r.ID] != "":
			w.end(r, 143)
		case sick == "ends":
			w.end(r, 1)
		case sick == "fails":
			r.Failing = "not healthy"
		default:
			r.Ready = true
		}
	}
}

func (w *world) end(r *service.Replica, exit int) {
	*r = service.Replica{ID: r.ID, Phase: service.Over, End: service.Ended{ID: r.ID, Exit: &exit, Reason: "exited"}}
}

func (w *world) run(steps int) (last service.Plan) {
	for range steps {
		last = w.step()
		w.live()
	}
	return last
}

func spec(t testing.TB, lines string) *service.Spec {
	t.Helper()
	s, err := service.Parse([]byte("version: 1\nname: orders\npolicy: p.yaml\n" + lines))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUpdate(t *testing.T) {
	for _, update := range []string{"{max_surge: 1}", "{max_unavailable: 1}", "{max_unavailable: 2, max_surge: 2}", "{max_surge: 3}"} {
		w := newWorld(t, spec(t, "replicas: 3\nupdate: "+update))
		if plan := w.run(5); !plan.Settled || w.ready() != 3 || w.state.Good.Generation != 1 {
			t.Fatalf("%s: %+v", update, w.state)
		}
		w.declare("two")
		if plan := w.run(30); !plan.Settled || w.ready() != 3 || w.state.Good.Generation != 2 || len(w.ids) != 6 {
			t.Errorf("%s: %+v", update, w.state)
		}
		w.spec = spec(t, "replicas: 1\nupdate: "+update)
		w.declare("two")
		if plan := w.run(5); !plan.Settled || w.ready() != 1 || len(w.ids) != 6 {
			t.Errorf("%s: fewer: %+v", update, w.state)
		}
	}
}

// TestUpdateThatFails: the old replicas stay, the new ones go, it says why, and another declaration goes on.
func TestUpdateThatFails(t *testing.T) {
	for _, how := range []string{"ends", "fails"} {
		w := newWorld(t, spec(t, "replicas: 3"))
		w.run(5)
		w.sick[2] = how
		w.declare("two")
		w.run(10)
		if w.ready() != 3 || w.there() != 3 || !strings.Contains(w.state.Halted, "orders-g2-n4: ") || w.state.Good.Generation != 1 || len(w.ids) != 4 {
			t.Fatalf("%s: %d ready: %+v", how, w.ready(), w.state)
		}
		// One of the old ones ends: its place is taken by its like.
		w.end(&w.all[0], 1)
		w.run(10)
		if w.ready() != 3 || generation(w.all[len(w.all)-1].ID) != 1 {
			t.Errorf("%s: %d ready: %+v", how, w.ready(), w.all)
		}
		w.sick[2] = ""
		w.declare("two")
		if plan := w.run(30); !plan.Settled || w.ready() != 3 || w.state.Good.Generation != 3 {
			t.Errorf("%s: tried again: %+v", how, w.state)
		}
		w.sick[4] = how
		w.declare("three")
		w.run(10)
		before := len(w.ids)
		w.declare("two")
		if plan := w.run(10); !plan.Settled || w.ready() != 3 || w.state.Current.Generation != 3 || len(w.ids) != before {
			t.Errorf("%s: back: %+v", how, w.state)
		}
		w.declare("four")
		if plan := w.run(30); !plan.Settled || w.state.Good.Generation != 5 {
			t.Errorf("%s: and on: %+v", how, w.state)
		}
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, spec(t, "replicas: 2"))
	w.sick[1] = "ends"
	w.run(40) // seconds: with pauses of 1, 2, 4, 8, 16
	if n := len(w.ids); n < 6 || n > 14 || w.state.Failures < 4 {
		t.Errorf("%d were started: %+v", n, w.state)
	}
	w.sick[1] = ""
	w.now = max(w.now, w.state.RetryAt)
	if w.run(80); w.ready() != 2 || w.state.Failures != 0 {
		t.Errorf("%+v", w.state)
	}
	w = newWorld(t, spec(t, "replicas: 2\nrestart: on-failure"))
	w.run(3)
	w.end(&w.all[0], 0)
	if plan := w.run(5); !plan.Settled || len(w.ids) != 2 {
		t.Errorf("one is done: %+v", w.state)
	}
	w.end(&w.all[1], 1)
	if plan := w.run(5); !plan.Settled || len(w.ids) != 3 {
		t.Errorf("one has failed: %+v", w.state)
	}
	w = newWorld(t, spec(t, "replicas: 2\nrestart: never"))
	w.sick[1] = "ends"
	if plan := w.run(5); !plan.Settled || len(w.ids) != 2 || w.there() != 0 {
		t.Errorf("never: %+v", w.state)
	}
}

// TestHeld: what a rule froze for a person keeps its place, until the service is stopped.
func TestHeld(t *testing.T) {
	w := newWorld(t, spec(t, "replicas: 2"))
	w.run(3)
	w.all[0].Phase, w.all[0].Ready = service.Held, false
	if w.run(5); w.there() != 2 || len(w.ids) != 2 {
		t.Errorf("%+v", w.all)
	}
	w.state.Stopped = true
	if plan := w.step(); len(plan.Stop) != 2 {
		t.Errorf("%+v", plan)
	}
}

// TestPlansHold: whatever replicas do, every plan keeps its promises (step verifies them); and when they begin to behave,
// what was declared last is there.
func TestPlansHold(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func(name string, most int) int { return rapid.IntRange(0, most).Draw(r, name) }
		declared := func() *service.Spec {
			s := &service.Spec{Name: "orders", Replicas: draw("replicas", 4), Restart: service.RestartAlways}
			s.Update.MaxUnavailable = draw("unavailable", 2)
			s.Update.MaxSurge = draw("surge", 2)
			if s.Update == (service.Update{}) {
				s.Update.MaxSurge = 1
			}
			return s
		}
		w := newWorld(t, declared())
		w.t = fatal{t, r}
		for range draw("steps", 60) {
			switch draw("what", 12) {
			case 0:
				w.spec = declared()
				w.declare(fmt.Sprint("policy ", draw("policy", 3)))
			case 1:
				w.sick[w.state.Current.Generation] = []string{"", "ends", "fails"}[draw("sick", 2)]
			case 2, 3, 4:
				if n := len(w.all); n > 0 {
					if one := &w.all[draw("which", n-1)]; one.Phase == service.Live {
						w.end(one, draw("exit", 1))
					}
				}
			case 5:
				if n := len(w.all); n > 0 { // as after a restart of the supervisor: it has not asked yet
					w.all[draw("which", n-1)].Ready = false
				}
			case 6, 7, 8:
				w.live()
			default:
				w.step()
			}
		}
		clear(w.sick)
		for i := range w.all {
			w.all[i].Failing = ""
		}
		if w.run(200); w.ready() != w.spec.Replicas || w.there() != w.spec.Replicas {
			r.Fatalf("%d ready of %d there, want %d: %+v", w.ready(), w.there(), w.spec.Replicas, w.state)
		}
		if w.state.Halted == "" && (w.state.Good == nil || w.state.Good.Generation != w.state.Current.Generation) {
			r.Fatalf("not settled: %+v", w.state)
		}
	})
}

// fatal ends a property instead of its test.
type fatal struct {
	testing.TB
	r *rapid.T
}

// Fatalf implements testing.TB.
func (f fatal) Fatalf(format string, args ...any) { f.r.Fatalf(format, args...) }
