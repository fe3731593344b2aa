package clock_test

import (
	"context"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

func TestWithin(t *testing.T) {
	c := clock.NewFake(1)
	ctx, cancel := clock.Within(t.Context(), c, time.Minute)
	defer cancel()
	c.Advance(time.Minute - 1)
	if ctx.Err() != nil {
		t.Fatal("it has ended before its time")
	}
	c.Advance(1)
	<-ctx.Done()
	parent, end := context.WithCancel(t.Context())
	ctx, cancel = clock.Within(parent, c, time.Hour)
	end()
	<-ctx.Done()
	cancel()
}
