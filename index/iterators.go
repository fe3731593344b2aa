package index

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// iterators are those of one view. To make one costs as much as several searches, so one that is done with is set to
// the next list. What it sees is older than a new one would see, but not older than the view.
type iterators struct {
	db    *pebble.DB
	spare []*pebble.Iterator
}

// take returns an iterator from lower, inclusive, to upper, exclusive.
func (p *iterators) take(lower, upper []byte) (*pebble.Iterator, error) {
	if n := len(p.spare); n > 0 {
		it := p.spare[n-1]
		p.spare = p.spare[:n-1]
		it.SetBounds(lower, upper)
		return it, nil
	}
	return p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// give takes an iterator back. One that has met an error is of no more use, and closing it returns that error.
func (p *iterators) give(it *pebble.Iterator) error {
	if it.Error() != nil {
		return it.Close()
	}
	p.spare = append(p.spare, it)
	return nil
}

func (p *iterators) close() error {
	var all error
	for _, it := range p.spare {
		all = errors.Join(all, it.Close())
	}
	p.spare = nil
	return all
}
