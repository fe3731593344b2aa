package proxy

import (
	"math/rand/v2"
	"sort"
)

// candidates are the endpoints to choose from. upTo has the sums of their weights, nil where all are equal.
type candidates struct {
	list []*endpoint
	upTo []int
}

func newCandidates(list []*endpoint) *candidates {
	c := &candidates{list: list}
	sum, equal := 0, true
	for _, e := range list {
		sum += int(e.share())
		equal = equal && e.share() == list[0].share()
		c.upTo = append(c.upTo, sum)
	}
	if equal {
		c.upTo = nil
	}
	return c
}

// pair draws two of at least two: different ones where all weigh the same. By weight both draws may be one, or the
// heavier would get less than its share.
func (c *candidates) pair() (i, j int) {
	if c.upTo != nil {
		return c.byWeight(), c.byWeight()
	}
	i = rand.IntN(len(c.list))     //nolint:gosec // balance, not secrecy
	j = rand.IntN(len(c.list) - 1) //nolint:gosec // the same
	if j >= i {
		j++
	}
	return i, j
}

func (c *candidates) byWeight() int {
	return sort.SearchInts(c.upTo, 1+rand.IntN(c.upTo[len(c.upTo)-1])) //nolint:gosec // the same
}

func (e *endpoint) share() int64 { return int64(max(e.Weight, 1)) }
