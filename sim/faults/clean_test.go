package faults_test

import (
	"fmt"
	"testing"

	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/watch"
)

func builtIn(t testing.TB) watch.Options {
	t.Helper()
	list, err := faults.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return watch.Options{Flows: list}
}

func tell(list []faults.Found) (text string) {
	for i := range list[:min(len(list), 8)] {
		f := &list[i]
		text += fmt.Sprintf("\n  %s %s key %s group %x…: %s", f.Class, f.Flow, f.KeyText, f.Group[:3], f.Summary)
		for _, ev := range f.Evidence {
			text += fmt.Sprintf("\n      %s %s %d/%d at %d:", ev.What, ev.Source, ev.Seq, ev.Index, ev.Time)
			for _, one := range ev.Fields {
				text += fmt.Sprintf(" %s=%s", one.Name, one.Value)
			}
		}
	}
	return text
}

// TestClean: what is as it should be stays silent, however it is delivered, and is proven at the end.
func TestClean(t *testing.T) {
	for seed := range uint64(6) {
		s := faults.New(seed, 400)
		trial, err := faults.Try(s, builtIn(t), int(seed%3))
		if err != nil {
			t.Fatal(err)
		}
		if len(trial.Found) > 0 {
			t.Errorf("seed %d: %d breaks:%s", seed, len(trial.Found), tell(trial.Found))
		}
		if trial.Events < 1_000 {
			t.Errorf("seed %d: only %d events", seed, trial.Events)
		}
		t.Logf("seed %d: %d events, %d keys, through %d s of %d s: %s", seed, trial.Events, trial.Keys, (trial.Proof.Through-s.Begin)/1e9, (s.Until-s.Begin)/1e9, trial.Proof.Reason)
	}
}

// TestEndless is the sample of the soak: a larger bank, words that are up to 40 s late, restarts.
func TestEndless(t *testing.T) {
	s := faults.Endless(11, 20_000, 500_000)
	r, err := faults.NewRunner(builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	if err := s.Play(func(step *faults.Step) error {
		if steps++; steps%3_000 == 0 {
			if err := r.Restart(); err != nil {
				return err
			}
		}
		return r.Step(step)
	}); err != nil {
		t.Fatal(err)
	}
	trial := r.Trial()
	if len(trial.Found) > 0 {
		t.Errorf("%d breaks:%s", len(trial.Found), tell(trial.Found))
	}
	t.Logf("%d steps, %d events, %d keys open at the end, %s", steps, trial.Events, trial.Keys, trial.Proof.Reason)
}
