package readmodeltest

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/readmodel"
)

// TestWorldsAreFullOfLife keeps the suite from passing because its journals are about nothing.
func TestWorldsAreFullOfLife(t *testing.T) {
	w := NewWorld(1, 41)
	w.AddBlocks(300, 8)
	created, states := map[journal.Kind]int{}, map[string]int{}
	for _, k := range w.Blocks {
		for p := range k.Parts() {
			for e := p.First; e < p.First+p.Count; e++ {
				if o := k.Outcome(e); o == nil || o.Status == journal.Created {
					created[p.Kind]++
				}
			}
		}
	}
	for _, kind := range []journal.Kind{
		journal.KindAccounts, journal.KindTransfers, journal.KindAssets, journal.KindFreeze, journal.KindUnfreeze, journal.KindTransaction,
		journal.KindDayClose, journal.KindProposal, journal.KindDecision, journal.KindPolicy, journal.KindMetadata,
	} {
		if created[kind] == 0 {
			t.Errorf("no event of kind %d took effect: %v", kind, created)
		}
	}
	for i := range w.known.transfers {
		states[w.known.transfers[i].state]++
	}
	for _, state := range []string{"open", "posted", "voided", "expired"} {
		if states[state] == 0 {
			t.Errorf("no reservation is %s: %v", state, states)
		}
	}
	if open := w.State.Counts().Pending; uint64(states["open"]) != open {
		t.Errorf("%d reservations are open, the ledger has %d", states["open"], open)
	}
}

// TestRules holds the rules that the projection knows against the ledger's: newer ones want a look at derive.go.
func TestRules(t *testing.T) {
	if readmodel.Rules != ledger.Rules {
		t.Errorf("the projection knows version %d of the rules, the ledger has %d", readmodel.Rules, ledger.Rules)
	}
}
