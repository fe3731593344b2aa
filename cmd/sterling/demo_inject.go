package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/node"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

const (
	// foundWithin is how long after its deadline a fault has to be found.
	foundWithin = 20 * time.Second
	lookPause   = 50 * time.Millisecond
	// frozenWithin is how long a freeze is waited for, of a break that has one.
	frozenWithin = 3 * time.Second
)

// runInject makes faults one after the other and follows each until the watch has found it.
func runInject(c *cobra.Command, f *ledgerFlags, classes string) error {
	known := node.Faults()
	if classes == "list" {
		for _, x := range known {
			when := "at once"
			if x.After > 0 {
				when = "after " + x.After.String()
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%-24s %-10s  %s\n", x.Class, when, x.What); err != nil {
				return err
			}
		}
		return nil
	}
	var list []node.Fault
	for _, name := range strings.Split(classes, ",") {
		i := slices.IndexFunc(known, func(x node.Fault) bool { return string(x.Class) == strings.TrimSpace(name) })
		if i < 0 {
			return usage("--inject: no fault of class %q can be made: --inject list shows those that can", name)
		}
		list = append(list, known[i])
	}
	f.deadline, f.output = callTime, "text"
	return f.with(c, func(ctx context.Context, s *session) error {
		var missed []error
		for _, x := range list {
			if err := s.inject(ctx, x); err != nil {
				if !errors.Is(err, errNotFound) {
					return err
				}
				missed = append(missed, err)
			}
		}
		return errors.Join(missed...)
	})
}

// callTime bounds one call.
const callTime = 15 * time.Second

var errNotFound = errors.New("the watch did not find it")

// inject makes one fault and prints when it was found, and what was frozen.
func (s *session) inject(ctx context.Context, x node.Fault) error {
	before, err := s.breaksOf(ctx, string(x.Class))
	if err != nil {
		return err
	}
	began := time.Now()
	bounded, cancel := s.call(ctx)
	r, err := s.client.Watch().Inject(bounded, &watchv1.InjectRequest{Class: string(x.Class)})
	cancel()
	if err != nil {
		return s.explain(err)
	}
	s.printf("%s: %s (key %s)\n", x.Class, r.GetWhat(), r.GetKey())
	var found *watchv1.Break
	for found == nil {
		if found, err = s.newBreak(ctx, string(x.Class), before); err != nil {
			return err
		}
		switch {
		case found != nil:
		case time.Since(began) > x.After+foundWithin:
			return fmt.Errorf("%w: %s, within %v", errNotFound, x.Class, x.After+foundWithin)
		default:
			if err := clock.Sleep(ctx, clock.NewSystem(), lookPause); err != nil {
				return err
			}
		}
	}
	seen := time.Since(began)
	for (found.GetStopLoss() == nil || found.GetStopLoss().GetState() == "pending") && time.Since(began) < seen+frozenWithin {
		if err := clock.Sleep(ctx, clock.NewSystem(), lookPause); err != nil {
			return err
		}
		again, err := s.newBreak(ctx, string(x.Class), before)
		if err != nil {
			return err
		}
		if again != nil {
			found = again
		}
	}
	s.printf("  found after %v: %s\n  sterling watch break %s\n", seen.Round(time.Millisecond), found.GetSummary(), found.GetId())
	if l := found.GetStopLoss(); l != nil {
		took := time.Duration(0)
		if l.GetTime() > found.GetFirstSeen() {
			took = time.Duration(l.GetTime() - found.GetFirstSeen()) //nolint:gosec // G115: small
		}
		s.printf("  stop-loss: %s, %s, %v after the alarm\n", l.GetSelector(), l.GetState(), took.Round(time.Microsecond))
	} else {
		s.printf("  stop-loss: nothing is frozen for this class\n")
	}
	return nil
}

// breaksOf returns when the newest breaks of a class last changed, by their ids.
func (s *session) breaksOf(ctx context.Context, class string) (map[string]uint64, error) {
	bounded, cancel := s.call(ctx)
	defer cancel()
	r, err := s.client.Watch().ListBreaks(bounded, &watchv1.ListBreaksRequest{Class: class, Limit: 100})
	if err != nil {
		return nil, s.explain(err)
	}
	changed := map[string]uint64{}
	for _, b := range r.GetBreaks() {
		changed[b.GetId()] = b.GetChanged()
	}
	return changed, nil
}

// newBreak returns a break of a class that is open, and was not there before or has changed since; nil: there is none yet.
func (s *session) newBreak(ctx context.Context, class string, before map[string]uint64) (*watchv1.Break, error) {
	now, err := s.breaksOf(ctx, class)
	if err != nil {
		return nil, err
	}
	for id, changed := range now {
		if was, ok := before[id]; ok && was == changed {
			continue
		}
		bounded, cancel := s.call(ctx)
		r, err := s.client.Watch().GetBreak(bounded, &watchv1.GetBreakRequest{Id: id})
		cancel()
		if err != nil {
			return nil, s.explain(err)
		}
		if r.GetFound().GetState() == watchv1.BreakState_BREAK_STATE_OPEN {
			return r.GetFound(), nil
		}
	}
	return nil, nil
}
