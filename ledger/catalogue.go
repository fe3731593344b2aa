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

// clone returns a copy with room for n assets more, to add to.
func (c *Catalogue) clone(n int) *Catalogue {
	d := &Catalogue{byNumber: make([]money.Asset, len(c.byNumber), len(c.byNumber)+n), numbers: maps.Clone(c.numbers)}
	copy(d.byNumber, c.byNumber)
	return d
}

func (c *Catalogue) add(a money.Asset) {
	c.byNumber = append(c.byNumber, a)
	c.numbers[a] = uint32(len(c.byNumber)) //nolint:gosec // ≤ MaxAssets
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

// createAssets adds to a copy, which takes the catalogue's place once the request is through: a catalogue that was
// handed out never changes.
func (s *State) createAssets(events []journal.Asset, first int, results []journal.Result) {
	next := s.catalogue.clone(len(events))
	for i := range events {
		status := createAsset(next, &events[i])
		results[i] = journal.Result{Status: status, Timestamp: s.eventTime(first + i)}
		s.changed = s.changed || status == journal.ControlCreated
	}
	if s.changed {
		s.catalogue = next
	}
}

func createAsset(c *Catalogue, r *journal.Asset) journal.Status {
	a := AssetOf(r)
	switch {
	case !a.Valid() || r.Reserved != [111]byte{}:
		return journal.ControlAssetInvalid
	case c.Number(a) != 0:
		return journal.ControlExists
	case c.Len() >= MaxAssets:
		return journal.ControlAssetsExhausted
	}
	c.add(a)
	return journal.ControlCreated
}
