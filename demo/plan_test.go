package demo_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/demo"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func take(p *demo.Plan, n int) (steps []*demo.Step) {
	for len(steps) < n {
		s, ok := p.Next()
		if !ok {
			break
		}
		steps = append(steps, s)
	}
	return steps
}

func TestSameSeedSamePlan(t *testing.T) {
	plan := func(seed uint64) []*demo.Step { return take(demo.NewPlan(seed, 200, 50, time.Minute, 0), 5000) }
	one, two, other := plan(7), plan(7), plan(8)
	if d := cmp.Diff(one, two, protocmp.Transform()); d != "" {
		t.Errorf("two plans of one seed differ: %s", d)
	}
	ids := map[string]bool{}
	for _, s := range slices.Concat(one, other) {
		for _, transfer := range s.Transfers {
			if ids[transfer.GetId()] {
				t.Fatalf("id %s occurs twice", transfer.GetId())
			}
			ids[transfer.GetId()] = true
		}
	}
}

func TestPlanEndsAndKeepsOrder(t *testing.T) {
	const until = 20 * time.Second
	steps := take(demo.NewPlan(3, 100, 100, until, until), 1_000_000)
	if len(steps) < 1000 || len(steps) == 1_000_000 {
		t.Fatalf("%d steps: want a few thousand, and an end", len(steps))
	}
	kinds, open := map[demo.Kind]int{}, map[uint64]bool{}
	var last time.Duration
	for _, s := range steps {
		if s.Due < last || s.Due > until+until/50 {
			t.Fatalf("a step is due at %v, after one at %v, in a plan of %v", s.Due, last, until)
		}
		last = s.Due
		open[s.Story] = !s.Last
		kinds[s.Kind]++
		for i, one := range s.Transfers {
			if isLinked := slices.Contains(one.GetFlags(), ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED); isLinked != (i < len(s.Transfers)-1) {
				t.Fatalf("transfer %d of %d of a step has linked = %v", i, len(s.Transfers), isLinked)
			}
		}
	}
	for story, isOpen := range open {
		if isOpen {
			t.Errorf("story %d has no last step", story)
		}
	}
	for k := demo.Deposit; k <= demo.Payout; k++ {
		if kinds[k] == 0 {
			t.Errorf("nothing of kind %v in a whole day", k)
		}
	}
}

func TestProfileHasAMeanOfOneAndAPeak(t *testing.T) {
	var sum, peak float64
	var peakAt time.Duration
	const minutes = 24 * 60
	for m := range minutes {
		at := time.Duration(m) * time.Minute
		w := demo.Profile(at)
		sum += w
		if w <= 0 || w != demo.Profile(at+48*time.Hour) {
			t.Fatalf("at %v it is %v, and two days later %v", at, w, demo.Profile(at+48*time.Hour))
		}
		if w > peak {
			peak, peakAt = w, at
		}
	}
	if mean := sum / minutes; mean < 0.999 || mean > 1.001 {
		t.Errorf("the mean is %v, want 1", mean)
	}
	if peakAt != 20*time.Hour || peak < 4 {
		t.Errorf("the peak is %v at %v, want 4 or more at 20h", peak, peakAt)
	}
}

// The plan has to follow the profile: as many stories in the evening as it says, and as many in all as the rate says.
func TestPlanFollowsTheProfile(t *testing.T) {
	const day, rate = 240 * time.Second, 100
	var hours [24]int
	stories := map[uint64]bool{}
	plan := demo.NewPlan(1, 100, rate, day, day)
	for _, s := range take(plan, 1_000_000) {
		if !stories[s.Story] {
			stories[s.Story] = true
			hours[int(plan.TimeOfDay(s.Due).Hours())]++
		}
	}
	if want := rate * 240; len(stories) < want*95/100 || len(stories) > want*105/100 {
		t.Errorf("%d stories, want about %d", len(stories), want)
	}
	for _, hour := range []int{3, 12, 20} {
		want := rate * 10 * demo.Profile(time.Duration(hour)*time.Hour+30*time.Minute)
		if got := float64(hours[hour]); got < 0.8*want || got > 1.2*want {
			t.Errorf("%v stories between %d and %d o'clock, want about %.0f", got, hour, hour+1, want)
		}
	}
}
