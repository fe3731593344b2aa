package cell_test

import (
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
	"github.com/sterlingrun/sterling/watch"
)

// TestVerifyAfterMoves: the ledger's replay and its witness agree on the journals of both cells after a bucket has moved,
// and after it came back.
func TestVerifyAfterMoves(t *testing.T) {
	m := readmodeltest.NewMoves()
	verify := func() {
		t.Helper()
		for _, w := range m.Cells {
			log := &celltest.Memory{}
			for _, k := range w.Blocks {
				if err := log.Append(t.Context(), k); err != nil {
					t.Fatal(err)
				}
			}
			v, err := cell.Verify(t.Context(), w.Cell, log, watch.NewVerifier(w.Cell), nil)
			if err != nil || v.Blocks != uint64(len(w.Blocks)) || v.Pending != w.State.Counts().Pending {
				t.Errorf("cell %d: %+v, %v", w.Cell, v, err)
			}
		}
	}
	m.Move(0, 1)
	verify()
	m.End(1, 501, readmodeltest.PendingWithin, 60)
	m.Move(1, 0)
	verify()
}
