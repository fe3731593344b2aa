package index

import (
	"math"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sterlingrun/sterling/journal"
)

// view is the index as it was after one block, for one query: the buffers that were in memory then, and Pebble below
// them. A buffer may reach Pebble while the view is used, so nothing from the floor on is read there.
type view struct {
	x       *Index
	bufs    []*buffer // oldest first, none empty
	marks   [][]mark  // of each buffer
	floor   uint64    // first position in memory
	top     uint64    // first position beyond the view
	account uint64    // first account number in memory
	numbers uint64    // first account number beyond the view
	markEnd uint64    // first mark in memory
	lists   []*list
	blocks  *pebble.Iterator // over the marks
}

func (x *Index) view() *view {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v := &view{x: x, top: uint64(journal.At(x.head.seq+1, 0))}
	v.numbers = uint64(x.head.account) + 1
	v.floor, v.account, v.markEnd = v.top, v.numbers, x.head.time+1
	bufs := append(append(make([]*buffer, 0, len(x.sealed)+1), x.sealed...), x.active)
	for _, b := range bufs {
		if b.empty() {
			continue
		}
		v.bufs, v.marks = append(v.bufs, b), append(v.marks, b.marks)
		v.floor = min(v.floor, uint64(journal.At(b.first, 0)))
		if b.account != 0 {
			v.account = min(v.account, uint64(b.account))
		}
		if len(b.marks) > 0 {
			v.markEnd = min(v.markEnd, b.marks[0].first)
		}
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
	if v.blocks != nil {
		keep(v.blocks.Close())
	}
	return damage(first)
}

// open returns a list's values v with lo ≤ v < hi, to be read in one direction.
func (v *view) open(k listKey, lo, hi uint64, descending bool) (*list, error) {
	floor, top := v.floor, v.top
	if k.numbers() {
		floor, top = v.account, v.numbers
	}
	l := &list{key: k, lo: lo, hi: min(hi, top), descending: descending}
	v.lists = append(v.lists, l)
	v.x.mu.RLock()
	for _, b := range v.bufs {
		if head := b.find(k); head != 0 {
			l.chains = append(l.chains, chain{b.entries, b.rows, head})
		}
	}
	v.x.mu.RUnlock()
	if end := min(l.hi, floor); lo < end {
		if err := l.openTables(v.x.db, end); err != nil {
			return nil, damage(err)
		}
	}
	return l, nil
}

// markAtMost returns the last mark at or before a timestamp.
func (v *view) markAtMost(ts uint64) (mark, bool, error) {
	for i := len(v.marks) - 1; i >= 0; i-- {
		marks := v.marks[i]
		if at := sort.Search(len(marks), func(k int) bool { return marks[k].first > ts }); at > 0 {
			return marks[at-1], true, nil
		}
	}
	it, err := v.openMarks()
	if err != nil {
		return mark{}, false, err
	}
	ok := false
	if ts == math.MaxUint64 {
		ok = it.Last()
	} else {
		ok = it.SeekLT(markKey(ts + 1))
	}
	return v.readMark(it, ok)
}

// markAtLeast returns the first mark at or after a timestamp.
func (v *view) markAtLeast(ts uint64) (mark, bool, error) {
	if ts < v.markEnd {
		it, err := v.openMarks()
		if err != nil {
			return mark{}, false, err
		}
		if m, ok, err := v.readMark(it, it.SeekGE(markKey(ts))); ok || err != nil {
			return m, ok, err
		}
	}
	for _, marks := range v.marks {
		if at := sort.Search(len(marks), func(k int) bool { return marks[k].first >= ts }); at < len(marks) {
			return marks[at], true, nil
		}
	}
	return mark{}, false, nil
}

func (v *view) openMarks() (*pebble.Iterator, error) {
	if v.blocks != nil {
		return v.blocks, nil
	}
	it, err := v.x.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tagMark}, UpperBound: markKey(v.markEnd)})
	v.blocks = it
	return it, damage(err)
}

func (v *view) readMark(it *pebble.Iterator, ok bool) (mark, bool, error) {
	if !ok {
		return mark{}, false, damage(it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return mark{}, false, damage(err)
	}
	m, err := readMark(it.Key(), value)
	return m, err == nil, err
}

func markKey(ts uint64) []byte { return be.AppendUint64([]byte{tagMark}, ts) }
