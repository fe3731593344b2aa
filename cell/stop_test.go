package cell_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// atStop is a log that calls do when the cell says that it stops: between the fault and what follows from it.
type atStop struct {
	slog.Handler
	do func()
}

func (a atStop) Enabled(context.Context, slog.Level) bool { return true }

func (a atStop) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "the cell stops" {
		a.do()
	}
	return nil
}

// TestCallsWhileTheCellStopsAreAnswered: the sequencer notices a fault, and ends, before whoever found the fault has
// closed the queue. What is asked in between must be answered, too.
func TestCallsWhileTheCellStopsAreAnswered(t *testing.T) {
	var b *bank
	var answers []error
	asked := make(chan struct{})
	asks := func() {
		defer close(asked)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for range 100 { // the first wake the sequencer, the others find it gone
			_, err := b.LookupAccounts(ctx, []money.U128{money.From(1)})
			answers = append(answers, err)
			if errors.Is(err, context.DeadlineExceeded) {
				return
			}
		}
	}
	b = newBank(t, func(o *cell.Options) {
		o.Clock, o.Logger = clock.NewSystem(), slog.New(atStop{slog.DiscardHandler, asks})
	})
	b.close()
	b.wrap = func(inner cell.Follower) cell.Follower { return &failing{Follower: inner, after: 2} }
	b.open()
	do(b, journal.KindAccounts, account(1), account(2)) // the first block that the follower fails at
	<-asked                                             // or Close would close the queue
	if err := b.Close(); !errors.Is(err, errBroken) {
		t.Fatalf("the cell stopped with %v", err)
	}
	if len(answers) != 100 {
		t.Errorf("%d of 100 calls were answered", len(answers))
	}
	for i, err := range answers {
		if !errors.Is(err, cell.ErrStopped) {
			t.Fatalf("call %d got %v", i, err)
		}
	}
	_ = errors.Join(b.store.Close(), b.index.Close())
	b.Cell = nil
}
