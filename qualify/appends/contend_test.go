package appends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/appends"
)

// open is a log that stays open for the next writer.
type open struct{ cell.Log }

func (open) Close() error { return nil }

func memory(log cell.Log) *qualify.Target {
	return &qualify.Target{
		Dialect: qualify.Local,
		OpenLog: func(context.Context, uint64, int) (qualify.Log, error) { return open{log}, nil },
	}
}

func contend(t *testing.T, log cell.Log) *qualify.Section {
	t.Helper()
	s := &qualify.Section{ID: "append"}
	o := appends.ContendOptions{Cell: 7, Writers: 6, Duration: time.Second, MostCalls: 3000, Settle: 2 * time.Second}
	if err := appends.Contend(t.Context(), memory(log), o, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestARightLogPasses(t *testing.T) {
	t.Parallel()
	s := contend(t, &celltest.Memory{})
	if failed := s.Failed(); len(failed) > 0 || len(s.Checks) < 6 {
		t.Fatalf("%d checks, failed: %+v", len(s.Checks), failed)
	}
}

// liar wraps a right log and breaks one rule now and then.
type liar struct {
	celltest.Memory
	mu     sync.Mutex
	n      int
	append func(l *liar, ctx context.Context, b *journal.Block) error
	head   func(l *liar, ctx context.Context) (uint64, journal.Hash, error)
	read   func(l *liar, ctx context.Context, seq uint64, dst []byte) ([]byte, error)

	older [2]end
}

type end struct {
	seq  uint64
	hash journal.Hash
}

// every reports true for each n-th call from the tenth on.
func (l *liar) every(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return l.n > 10 && l.n%n == 0
}

func (l *liar) Append(ctx context.Context, b *journal.Block) error {
	if l.append != nil {
		return l.append(l, ctx, b)
	}
	return l.Memory.Append(ctx, b)
}

func (l *liar) Head(ctx context.Context) (uint64, journal.Hash, error) {
	if l.head != nil {
		return l.head(l, ctx)
	}
	return l.Memory.Head(ctx)
}

func (l *liar) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	if l.read != nil {
		return l.read(l, ctx, seq, dst)
	}
	return l.Memory.Read(ctx, seq, dst)
}

// TestPlantedFaultsFail: each fault of a log turns the named checks red.
func TestPlantedFaultsFail(t *testing.T) {
	for name, c := range map[string]struct {
		liar *liar
		red  []string
	}{
		"drops an acknowledged append": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			if l.every(15) {
				return nil
			}
			return l.Memory.Append(ctx, b)
		}}, []string{"append.acknowledged", "append.linearizable"}},
		"acknowledges a conflict": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			if err := l.Memory.Append(ctx, b); !errors.Is(err, cell.ErrConflict) || !l.every(10) {
				return err
			}
			return nil
		}}, []string{"append.acknowledged", "append.linearizable"}},
		"reports a conflict for what it wrote": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			if err := l.Memory.Append(ctx, b); err != nil || !l.every(10) {
				return err
			}
			return fmt.Errorf("append: %w", cell.ErrConflict)
		}}, []string{"append.linearizable"}},
		"doubles an append": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			err := l.Memory.Append(ctx, b)
			if err == nil && l.every(10) {
				double := celltest.Writer{Cell: b.Header.Cell, Epoch: 1, Incarnation: 9}
				_ = l.Memory.Append(ctx, double.Block(b.Header.Seq+1, b.Hash, 1))
			}
			return err
		}}, []string{"append.chain"}},
		"reorders blocks": {&liar{read: func(l *liar, ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
			switch seq {
			case 3:
				seq = 4
			case 4:
				seq = 3
			}
			return l.Memory.Read(ctx, seq, dst)
		}}, []string{"append.chain"}},
		"alters bytes": {&liar{read: func(l *liar, ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
			raw, err := l.Memory.Read(ctx, seq, dst)
			if err == nil && seq == 5 {
				raw[len(raw)-1] ^= 1
			}
			return raw, err
		}}, []string{"append.chain"}},
		"tells an older head": {&liar{head: func(l *liar, ctx context.Context) (uint64, journal.Hash, error) {
			seq, hash, err := l.Memory.Head(ctx)
			stale := l.every(10)
			l.mu.Lock()
			defer l.mu.Unlock()
			if stale && l.older[0].seq > 0 {
				return l.older[0].seq, l.older[0].hash, nil
			}
			if seq != l.older[1].seq {
				l.older[0], l.older[1] = l.older[1], end{seq, hash}
			}
			return seq, hash, err
		}}, []string{"append.linearizable"}},
		"has no fence": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			err := l.Memory.Append(ctx, b)
			if head, _, _ := l.Memory.Head(ctx); errors.Is(err, cell.ErrConflict) && b.Header.Seq > head {
				return nil // the number was free
			}
			return err
		}}, []string{"append.fence", "append.acknowledged", "append.linearizable"}},
		"answers with errors of its own": {&liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
			if l.every(15) {
				return errors.New("gremlins")
			}
			return l.Memory.Append(ctx, b)
		}}, []string{"append.answers"}},
		"takes nothing": {&liar{append: func(*liar, context.Context, *journal.Block) error {
			return cell.ErrConflict
		}}, []string{"append.contended", "append.linearizable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := contend(t, c.liar)
			for _, id := range c.red {
				found := s.Find(id)
				if found == nil || found.Outcome != qualify.Fail {
					t.Errorf("%s was not found out: %+v", id, found)
				} else if id == "append.linearizable" && !strings.Contains(found.Found, "fit, then not: writer ") {
					t.Errorf("nothing tells where to look: %s", found.Found)
				}
			}
		})
	}
}

// TestUnknownOutcomesAreSettled: a log that hides outcomes, of which half were written, is still right.
func TestUnknownOutcomesAreSettled(t *testing.T) {
	t.Parallel()
	l := &liar{append: func(l *liar, ctx context.Context, b *journal.Block) error {
		if l.every(7) {
			_ = l.Memory.Append(ctx, b)
			return cell.ErrOutcomeUnknown
		}
		if l.every(9) {
			return cell.ErrOutcomeUnknown
		}
		return l.Memory.Append(ctx, b)
	}}
	s := contend(t, l)
	if failed := s.Failed(); len(failed) > 0 {
		t.Fatalf("failed: %+v", failed)
	}
	if c := s.Find("append.unknown"); c.Outcome != qualify.Note || c.Found == "" {
		t.Fatalf("unknown outcomes: %+v", c)
	}
}

func TestSpeed(t *testing.T) {
	s := &qualify.Section{}
	if err := appends.Speed(t.Context(), memory(&celltest.Memory{}), appends.SpeedOptions{Cell: 9, Duration: 20 * time.Millisecond}, s); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"speed.1", "speed.1600", "speed.8190"} {
		if c := s.Find(id); c == nil || len(c.Measures) < 6 || c.Measures[3].Value <= 0 || c.Measures[0].Value > c.Measures[1].Value {
			t.Errorf("%s: %+v", id, c)
		}
	}
}
