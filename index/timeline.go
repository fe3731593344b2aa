package index

import (
	"math"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// timeline finds blocks by time: the marks of one kind, in memory and in Pebble.
type timeline struct {
	its   *iterators
	tag   byte
	marks [][]mark // in memory, oldest first, none empty
	end   uint64   // first mark beyond the view
	it    *pebble.Iterator
}

func (t *timeline) add(marks []mark) {
	if len(marks) > 0 {
		t.marks = append(t.marks, marks)
	}
}

func (t *timeline) close() error {
	if t.it == nil {
		return nil
	}
	it := t.it
	t.it = nil
	return t.its.give(it)
}

// empty reports whether the view has no marks at all.
func (t *timeline) empty() bool { return t.end == 1 }

// atMost returns the last mark at or before a timestamp.
func (t *timeline) atMost(ts uint64) (mark, bool, error) {
	if t.empty() {
		return mark{}, false, nil // there is no need to look into every table
	}
	for i := len(t.marks) - 1; i >= 0; i-- {
		marks := t.marks[i]
		if at := sort.Search(len(marks), func(k int) bool { return marks[k].first > ts }); at > 0 {
			return marks[at-1], true, nil
		}
	}
	it, err := t.open()
	if err != nil {
		return mark{}, false, err
	}
	ok := false
	if ts == math.MaxUint64 {
		ok = it.Last()
	} else {
		ok = it.SeekLT(t.key(ts + 1))
	}
	return t.read(it, ok)
}

// atLeast returns the first mark at or after a timestamp.
func (t *timeline) atLeast(ts uint64) (mark, bool, error) {
	if len(t.marks) == 0 || ts < t.marks[0][0].first {
		it, err := t.open()
		if err != nil {
			return mark{}, false, err
		}
		if m, ok, err := t.read(it, it.SeekGE(t.key(ts))); ok || err != nil {
			return m, ok, err
		}
	}
	for _, marks := range t.marks {
		if at := sort.Search(len(marks), func(k int) bool { return marks[k].first >= ts }); at < len(marks) {
			return marks[at], true, nil
		}
	}
	return mark{}, false, nil
}

func (t *timeline) open() (*pebble.Iterator, error) {
	if t.it != nil {
		return t.it, nil
	}
	it, err := t.its.take([]byte{t.tag}, t.key(t.end))
	t.it = it
	return it, damage(err)
}

func (t *timeline) read(it *pebble.Iterator, ok bool) (mark, bool, error) {
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

func (t *timeline) key(ts uint64) []byte { return be.AppendUint64([]byte{t.tag}, ts) }
