package gvisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
)

// TestBootedLate: that an attempt took too long is believed for 10 minutes, that it ended is until the host boots again.
func TestBootedLate(t *testing.T) {
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &Runner{State: state, Clock: clock.NewSystem()}
		probes := 0
		booted := func(stamp string, probe func(context.Context) error) error {
			return r.Booted(t.Context(), sandbox.OwnKernelKVM, stamp, func(ctx context.Context) error {
				probes++
				return probe(ctx)
			})
		}
		hangs := func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("%w: QEMU was killed", ErrUnavailable)
		}
		works := func(context.Context) error { return nil }
		fails := func(context.Context) error { return fmt.Errorf("%w: no such instruction", ErrUnavailable) }

		if err := booted("definite", fails); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		late := booted("late", hangs)
		again := time.Now().Add(lateFor).UTC().Format(time.RFC3339)
		if !errors.Is(late, ErrUnavailable) || !strings.Contains(late.Error(), "within 15s") || !strings.Contains(late.Error(), again) {
			t.Errorf("late: %v, want it to say %s", late, again)
		}
		<-time.After(lateFor - time.Second)
		if err := booted("late", works); fmt.Sprint(err) != late.Error() || probes != 2 {
			t.Errorf("soon after: %v, %d probes", err, probes)
		}
		<-time.After(time.Second)
		for range 2 { // that it works is believed for good
			if err := booted("late", works); err != nil || probes != 3 {
				t.Errorf("10 minutes after: %v, %d probes", err, probes)
			}
			<-time.After(24 * time.Hour)
		}
		if err := booted("definite", works); !errors.Is(err, ErrUnavailable) || probes != 3 {
			t.Errorf("a definite failure after two days: %v, %d probes", err, probes)
		}
	})
}

// TestLateClockSetBack: an attempt of the future is asked again, or a clock set back would keep it for longer.
func TestLateClockSetBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for ago, want := range map[time.Duration]bool{-time.Second: false, 0: true, lateFor - 1: true, lateFor: false} {
		if got := (finding{Why: "late", Late: now.Add(-ago)}).holds(now); got != want {
			t.Errorf("after %v: %v", ago, got)
		}
	}
}
