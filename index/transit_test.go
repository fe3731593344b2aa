package index_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
)

// TestDeriverFollowsTransfersAcrossCells: what an index is built from is what the ledger said when it made the blocks.
func TestDeriverFollowsTransfersAcrossCells(t *testing.T) {
	w := readmodeltest.NewCrossings()
	fact := func(p journal.Position) ledger.Fact {
		k := w.Blocks[p.Seq()-1]
		i := p.Index() - len(k.Expiries)
		return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index()))
	}
	fetch := func(needs []ledger.Need) (ledger.Facts, error) {
		facts := ledger.Facts{At: map[journal.Position]ledger.Fact{}}
		for _, n := range needs {
			for p := n.Position; p != 0; p = facts.At[p].PendingPosition {
				facts.At[p] = fact(p)
			}
		}
		return facts, nil
	}
	state, d := ledger.New(ledger.Config{}), index.NewDeriver()
	transfers := 0
	for _, k := range w.Blocks {
		said, derived := new(ledger.Effects), new(ledger.Effects)
		if err := state.Replay(k, journal.NewBuilder(), said, fetch); err != nil {
			t.Fatal(err)
		}
		if err := d.Derive(k, derived); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(said, derived); diff != "" {
			t.Errorf("block %d: ledger -, derived +\n%s", k.Header.Seq, diff)
		}
		transfers += len(derived.Transfers)
	}
	if transfers != 20 {
		t.Errorf("%d transfers", transfers)
	}
}
