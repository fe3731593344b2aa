package storetest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/storetest"
)

// liar does not always do what it says.
type liar struct {
	cell.Log
	calls *atomic.Uint64
	every uint64 // how many calls there are for each lie
	lie   func(ctx context.Context, l cell.Log, b *journal.Block) error
}

func (l liar) Append(ctx context.Context, b *journal.Block) error {
	if l.calls.Add(1)%l.every == 0 {
		return l.lie(ctx, l.Log, b)
	}
	return l.Log.Append(ctx, b)
}

func race(t *testing.T, every uint64, lie func(context.Context, cell.Log, *journal.Block) error) error {
	t.Helper()
	memory := &celltest.Memory{}
	var calls atomic.Uint64
	logs := make([]cell.Log, 8)
	for i := range logs {
		logs[i] = liar{memory, &calls, every, lie}
	}
	return storetest.Race(t.Context(), logs, 40, 1)
}

func TestRaceFindsNothingInACorrectLog(t *testing.T) {
	for name, lie := range map[string]func(context.Context, cell.Log, *journal.Block) error{
		"honest": func(ctx context.Context, l cell.Log, b *journal.Block) error { return l.Append(ctx, b) },
		"unknown, and done": func(ctx context.Context, l cell.Log, b *journal.Block) error {
			_ = l.Append(ctx, b)
			return cell.ErrOutcomeUnknown
		},
		"unknown, and not done": func(context.Context, cell.Log, *journal.Block) error { return cell.ErrOutcomeUnknown },
	} {
		if err := race(t, 20, lie); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRaceFindsLies(t *testing.T) {
	for name, lie := range map[string]func(context.Context, cell.Log, *journal.Block) error{
		"dropped": func(context.Context, cell.Log, *journal.Block) error { return nil },
		"a conflict, and done": func(ctx context.Context, l cell.Log, b *journal.Block) error {
			_ = l.Append(ctx, b)
			return cell.ErrConflict
		},
		"done, when it conflicts": func(ctx context.Context, l cell.Log, b *journal.Block) error {
			if err := l.Append(ctx, b); !errors.Is(err, cell.ErrConflict) {
				return err
			}
			return nil // of some 10 conflicts
		},
	} {
		if err := race(t, 4, lie); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
