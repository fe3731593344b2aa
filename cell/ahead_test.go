package cell_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// bulk is a log that reads many blocks in one go, at most a few at a time.
type bulk struct {
	*celltest.Memory
	calls, singles atomic.Int64
	ends           uint64 // it has no more than so many; 0: all
	breaks         uint64 // the call that comes to this block breaks off, each time; 0: none
}

var errCutShort = errors.New("the connection broke")

func (l *bulk) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	l.singles.Add(1)
	return l.Memory.Read(ctx, seq, dst)
}

func (l *bulk) ReadFrom(ctx context.Context, seq uint64, maxBlocks, _ int, fn func(uint64, []byte) error) error {
	l.calls.Add(1)
	var buf []byte
	for n := 0; n < min(maxBlocks, 7) && (l.ends == 0 || seq <= l.ends); n, seq = n+1, seq+1 {
		if seq == l.breaks {
			return errCutShort
		}
		b, err := l.Memory.Read(ctx, seq, buf)
		if err != nil {
			return err
		}
		if err := fn(seq, b); err != nil {
			return err
		}
		clear(b) // it was valid during the call only
		buf = b
	}
	return nil
}

// TestALogReadInBulk: recovery takes many blocks at a time where the log gives them, and tells what is missing.
func TestALogReadInBulk(t *testing.T) {
	log := &celltest.Memory{}
	c, err := cell.Open(t.Context(), cell.Options{ID: 7, Log: log, Clock: clock.NewSystem(), HashKey: [2]uint64{3, 5}})
	if err != nil {
		t.Fatal(err)
	}
	const paid = 60
	send := func(kind journal.Kind, events []byte) {
		r := &cell.Request{Kind: kind, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize)}
		if err := c.Do(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	send(journal.KindAssets, journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})}))
	send(journal.KindAccounts, journal.Bytes([]journal.Account{account(1), account(2)}))
	for id := range uint64(paid) { // each is a block
		send(journal.KindTransfers, journal.Bytes([]journal.Transfer{transfer(100+id, 1, 2, 1)}))
	}
	head := c.Head()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	verify := func(l *bulk) (cell.Verification, error) {
		return cell.Verify(t.Context(), 7, l, watch.NewVerifier(7), nil)
	}
	l := &bulk{Memory: log}
	v, err := verify(l)
	if err != nil || v.Transfers != paid || v.Blocks != head {
		t.Errorf("%+v, %v", v, err)
	}
	if l.singles.Load() != 0 || l.calls.Load() > int64(head/7+1) {
		t.Errorf("%d blocks took %d calls, and %d more alone", head, l.calls.Load(), l.singles.Load())
	}
	if _, err := verify(&bulk{Memory: log, ends: 20}); !errors.Is(err, cell.ErrNotFound) {
		t.Errorf("a log that ends too early: %v", err)
	}
	if _, err := verify(&bulk{Memory: log, breaks: 23}); !errors.Is(err, errCutShort) {
		t.Errorf("a call that broke off: %v", err)
	}
}
