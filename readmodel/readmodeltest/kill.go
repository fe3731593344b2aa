package readmodeltest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/readmodel"
)

// Server is a database server that can be killed.
type Server interface {
	Kill() error                       // at once, without a chance to write anything
	Restart(ctx context.Context) error // returns when it answers
}

// ServerKilled kills the server of a harness while blocks are projected one by one, twice, and compares the tables
// in the end: what was committed is there once, and what was not is projected again.
func ServerKilled(t *testing.T, h Harness, server Server) {
	w := NewWorld(1, 51)
	w.AddBlocks(110, 5)
	target := h.Open(t)
	defer closed(t, target)
	p := readmodel.New(readmodel.Options{Cell: 1, Source: w, Open: opened(target), Clock: clock.NewSystem(), BatchEvents: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for i := range uint64(2) {
		if err := p.Await(ctx, 20+i*45); err != nil {
			t.Fatal(err)
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Await(ctx, uint64(len(w.Blocks))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := p.Status().Stats; s.Failures == 0 {
		t.Errorf("the server was killed, and nothing failed: %+v", s)
	}
	check(t, w, h)
}
