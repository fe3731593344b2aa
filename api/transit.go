package api

import (
	"sync"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// reservedFlag is a bit that no account has: the ledger refuses it.
const reservedFlag = 1 << 13

// refuseTransit turns the flag of a cell's own accounts, which callers may not set, into one that the ledger refuses.
func refuseTransit(accounts []journal.Account) {
	for i := range accounts {
		if a := &accounts[i]; a.Flags.Has(journal.AccountTransit) {
			a.Flags = a.Flags&^journal.AccountTransit | reservedFlag
		}
	}
}

// ownIDs knows the ids of the accounts that cells open for themselves when an asset first crosses. Anybody can derive
// them: an account of a caller's in such a place would keep the asset from crossing, for everybody and for ever.
type ownIDs struct {
	mu     sync.Mutex
	of     *router.Map
	assets int // of the catalogue, whose ids are known
	ids    map[money.U128]bool
}

// follow takes over new assets and another map. The caller holds the lock.
func (o *ownIDs) follow(m *router.Map, assets *ledger.Catalogue) {
	if o.of != m {
		o.of, o.assets, o.ids = m, 0, map[money.U128]bool{}
	}
	for ; o.assets < assets.Len(); o.assets++ {
		a, _ := assets.Asset(uint32(o.assets + 1)) //nolint:gosec // at most ledger.MaxAssets
		o.ids[transit.InTransit(a)] = true
		for i := range m.Cells {
			o.ids[transit.Clearing(a, m.Cells[i].ID)] = true
		}
	}
}

// refuse has the ledger refuse those accounts of callers whose ids are those of the cells' own.
func (o *ownIDs) refuse(accounts []journal.Account, m *router.Map, assets *ledger.Catalogue) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.follow(m, assets)
	for i := range accounts {
		if o.ids[accounts[i].ID] {
			accounts[i].Flags |= reservedFlag
		}
	}
}
