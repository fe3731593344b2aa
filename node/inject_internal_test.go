package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// TestInjectAwaitsWithinBounds: what a fault needs is waited for until a time, or until the caller goes.
func TestInjectAwaitsWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newInjector(&Node{clock: clock.NewSystem()})
		began := time.Now()
		until := x.node.clock.Mono() + uint64(bankLimit)
		never := func() (bool, error) { return false, nil }
		later := func() (bool, error) { return time.Since(began) >= 2*time.Second, nil }
		if is, err := x.await(t.Context(), until, later); !is || err != nil || time.Since(began) > 2100*time.Millisecond {
			t.Errorf("there after 2 s: %v, %v after %v", is, err, time.Since(began))
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if is, err := x.await(gone, until, never); is || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that goes: %v, %v", is, err)
		}
		if is, err := x.await(t.Context(), until, never); is || err != nil || time.Since(began) < bankLimit || time.Since(began) > bankLimit+time.Second {
			t.Errorf("never there: %v, %v after %v", is, err, time.Since(began))
		}
		broken := errors.New("broken")
		if _, err := x.await(t.Context(), until, func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}
