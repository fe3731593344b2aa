package index

import "github.com/sterlingrun/sterling/journal"

// view is the index as it was after one block, for one query: the buffers that were in memory then, and Pebble up to
// the same block. A buffer may reach Pebble while the view is used; its values are then found in both, which does no
// harm, because a list only ever looks beyond the value where it stands.
type view struct {
	x       *Index
	bufs    []*buffer // oldest first, none empty
	top     uint64    // first position beyond the view
	numbers uint64    // first account number beyond the view
	times   timeline  // blocks with transfers
	expired timeline  // blocks with expiries, or with what was handed over
	bottom  uint64    // first position that is in memory
	zone    int32     // by which days are told, in minutes ahead of UTC
	its     *iterators
	lists   []*list
}

func (x *Index) view() *view {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v := &view{x: x, top: uint64(journal.At(x.head.seq+1, 0)), numbers: uint64(x.head.account) + 1, zone: x.head.base}
	v.bottom = v.top
	v.its = &iterators{db: x.db}
	v.times = timeline{its: v.its, tag: tagMark, end: x.head.time + 1}
	v.expired = timeline{its: v.its, tag: tagExpiryMark, end: x.head.expired + 1}
	for _, b := range append(append(make([]*buffer, 0, len(x.sealed)+1), x.sealed...), x.active) {
		if b.empty() {
			continue
		}
		v.bottom = min(v.bottom, uint64(journal.At(b.first, 0)))
		v.bufs = append(v.bufs, b)
		v.times.add(b.marks)
		v.expired.add(b.expiries)
	}
	return v
}

// close releases what the view opened.
func (v *view) close() error {
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, l := range v.lists {
		keep(l.close())
	}
	keep(v.times.close())
	keep(v.expired.close())
	keep(v.its.close())
	return damage(first)
}

// open returns a list's values v with lo ≤ v < hi, to be read in one direction. hi is not beyond the view.
func (v *view) open(k listKey, lo, hi uint64, descending bool) *list {
	l := &list{its: v.its, key: k, lo: lo, hi: hi, descending: descending}
	v.lists = append(v.lists, l)
	v.x.mu.RLock()
	defer v.x.mu.RUnlock()
	for _, b := range v.bufs {
		if head := b.find(k); head != 0 {
			l.chains = append(l.chains, chain{b.entries, b.arena, head})
		}
	}
	return l
}
