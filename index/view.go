package index

import (
	"math"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sterlingrun/sterling/journal"
)

// view is the index as it was after one block, for one query: the buffers that were in memory then, and Pebble up to
// the same block. A buffer may reach Pebble while the view is used; its values are then found in both, which does no
// harm, because a list only ever looks beyond the value where it stands.
type view struct {
	x       *Index
	bufs    []*buffer // oldest first, none empty
	marks   [][]mark  // of the buffers that have any
	top     uint64    // first position beyond the view
	numbers uint64    // first account number beyond the view
	end     uint64    // first mark beyond the view
	lists   []*list
	blocks  *pebble.Iterator // over the marks
}

func (x *Index) view() *view {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v := &view{x: x, top: uint64(journal.At(x.head.seq+1, 0)), numbers: uint64(x.head.account) + 1, end: x.head.time + 1}
	for _, b := range append(append(make([]*buffer, 0, len(x.sealed)+1), x.sealed...), x.active) {
		if b.empty() {
			continue
		}
		v.bufs = append(v.bufs, b)
		if len(b.marks) > 0 {
			v.marks = append(v.marks, b.marks)
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

// open returns a list's values v with lo ≤ v < hi, to be read in one direction. hi is not beyond the view.
func (v *view) open(k listKey, lo, hi uint64, descending bool) *list {
	l := &list{db: v.x.db, key: k, lo: lo, hi: hi, descending: descending}
	v.lists = append(v.lists, l)
	v.x.mu.RLock()
	defer v.x.mu.RUnlock()
	for _, b := range v.bufs {
		if head := b.find(k); head != 0 {
			l.chains = append(l.chains, chain{b.entries, b.rows, head})
		}
	}
	return l
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
	if len(v.marks) == 0 || ts < v.marks[0][0].first {
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
	it, err := v.x.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tagMark}, UpperBound: markKey(v.end)})
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
