package faults_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/watch"
)

// TestEveryClassHasAnInjector: no class without a fault that it is found by.
func TestEveryClassHasAnInjector(t *testing.T) {
	for _, class := range watch.Classes() {
		if !slices.ContainsFunc(faults.Injectors(), func(i faults.Injector) bool { return i.Class() == class }) {
			t.Errorf("class %s has no injector", class)
		}
	}
}

// TestInjectors: each fault is found, as its own root cause and in time, and nothing else is; also when the watch goes
// on from a snapshot in the middle.
func TestInjectors(t *testing.T) {
	for _, injector := range faults.Injectors() {
		t.Run(string(injector.Class())+"/"+injector.Name(), func(t *testing.T) {
			for seed := range uint64(3) {
				s := faults.New(seed, 250)
				x, ok := injector.Inject(s, rand.New(rand.NewPCG(seed, 7)))
				if !ok {
					t.Fatalf("seed %d: nothing to bend", seed)
				}
				trial, err := faults.Try(s, builtIn(t), int(seed)*3)
				if err != nil {
					t.Fatal(err)
				}
				v := trial.Judge(&x)
				if v.Missed {
					t.Errorf("seed %d: no %s of flow %q, key %s", seed, x.Class, x.Flow, x.Key)
				}
				if v.Late > 0 {
					t.Errorf("seed %d: found %d ms after it was due", seed, v.Late/1e6)
				}
				if len(v.False) > 0 {
					t.Errorf("seed %d: false:%s", seed, tell(v.False))
				}
			}
		})
	}
}

// TestDisturbances: what is honest stays silent, with restarts, too.
func TestDisturbances(t *testing.T) {
	for _, injector := range faults.Disturbances() {
		t.Run(injector.Name(), func(t *testing.T) {
			for seed := range uint64(3) {
				s := faults.New(seed, 250)
				if _, ok := injector.Inject(s, rand.New(rand.NewPCG(seed, 7))); !ok {
					t.Fatalf("seed %d: nothing to disturb", seed)
				}
				trial, err := faults.Try(s, builtIn(t), int(seed)*3)
				if err != nil {
					t.Fatal(err)
				}
				if len(trial.Found) > 0 {
					t.Errorf("seed %d: %d breaks:%s", seed, len(trial.Found), tell(trial.Found))
				}
			}
		})
	}
}
