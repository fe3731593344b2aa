package ledger

import (
	"bytes"
	"maps"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// MaxAssets is how many assets a ledger can have.
const MaxAssets = 1 << 16

// Catalogue is an immutable list of the assets of a ledger and their numbers.
type Catalogue struct {
	byNumber []money.Asset // number n stands at n-1
	numbers  map[money.Asset]uint32
}

func newCatalogue() *Catalogue { return &Catalogue{numbers: map[money.Asset]uint32{}} }

// Number returns the asset's number, from 1, or 0 where it is not registered.
func (c *Catalogue) Number(a money.Asset) uint32 { return c.numbers[a] }

// Asset returns the asset of number n.
func (c *Catalogue) Asset(n uint32) (money.Asset, bool) {
	if n == 0 || int(n) > len(c.byNumber) {
		return money.Asset{}, false
	}
	return c.byNumber[n-1], true
}

// Len is the number of assets; their numbers are 1 to Len.
func (c *Catalogue) Len() int { return len(c.byNumber) }

// with returns a copy with one asset more.
func (c *Catalogue) with(a money.Asset) *Catalogue {
	d := &Catalogue{byNumber: append(c.byNumber[:len(c.byNumber):len(c.byNumber)], a), numbers: maps.Clone(c.numbers)}
	d.numbers[a] = uint32(len(d.byNumber)) //nolint:gosec // ≤ MaxAssets
	return d
}

// AssetRecord returns the record that registers a.
func AssetRecord(a money.Asset) journal.Asset {
	r := journal.Asset{Scale: a.Scale}
	copy(r.Code[:], a.Code)
	return r
}

// AssetOf reads a record; the asset need not be valid.
func AssetOf(r *journal.Asset) money.Asset {
	return money.Asset{Code: string(bytes.TrimRight(r.Code[:], "\x00")), Scale: r.Scale}
}

func (s *State) createAssets(events []journal.Asset, first int, results []journal.Result) {
	for i := range events {
		a := AssetOf(&events[i])
		results[i] = journal.Result{Status: s.createAsset(a, &events[i]), Timestamp: s.eventTime(first + i)}
	}
}

func (s *State) createAsset(a money.Asset, r *journal.Asset) journal.Status {
	switch {
	case !a.Valid() || r.Reserved != [111]byte{}:
		return journal.ControlAssetInvalid
	case s.catalogue.Number(a) != 0:
		return journal.ControlExists
	case s.catalogue.Len() >= MaxAssets:
		return journal.ControlAssetsExhausted
	}
	s.catalogue = s.catalogue.with(a)
	s.changed = true
	return journal.ControlCreated
}
