package cell_test

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// TestAStartThatReplayedMuchTakesASnapshot: without another event, so that the next start has little to replay.
func TestAStartThatReplayedMuchTakesASnapshot(t *testing.T) {
	b := newBank(t, func(o *cell.Options) { o.Clock, o.SnapshotEvents = clock.NewSystem(), 100 })
	do(b, journal.KindAccounts, account(1), account(2))
	for id := uint64(1); id <= 30; id++ {
		do(b, journal.KindTransfers, transfer(id, 1, 2, 3))
	}
	before := b.Head()
	if list, err := b.store.Snapshots().List(); err != nil || len(list) != 0 {
		t.Fatalf("snapshots %v after 32 of 100 events (%v)", list, err)
	}
	b.crash()
	var list []uint64
	for looks := 0; len(list) == 0 && looks < 100_000; looks++ {
		if _, err := b.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		var err error
		if list, err = b.store.Snapshots().List(); err != nil {
			t.Fatal(err)
		}
	}
	if len(list) == 0 || list[0] < before {
		t.Fatalf("after a start that replayed %d blocks there are snapshots %v", before, list)
	}
	b.crash()
	if got := b.balance(2).CreditsPosted.Lo; got != 90 {
		t.Errorf("the balance is %d after two crashes", got)
	}
}
