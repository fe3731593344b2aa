package index

import (
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// list reads one list in one direction: descending, memory first, newest buffer first; ascending, Pebble first.
type list struct {
	its        *iterators
	key        listKey
	lo, hi     uint64 // lo ≤ values < hi
	descending bool

	it     *pebble.Iterator // nil until the list looks into Pebble
	prefix []byte
	placed bool // it stands at a value
	ended  bool // it has no more
	chains []chain
	flat   []found // the chains, ascending; used in that direction only
	spread bool

	aside []byte // what stands beside the value where the list stands, in memory
	inDB  bool   // that value is Pebble's
}

// chain is a list in one buffer. Its entries do not change.
type chain struct {
	entries entries
	arena   arena
	head    uint32
}

type found struct {
	value uint64
	aside []byte
}

func (c *chain) found() found {
	e := c.entries.at(c.head)
	return found{e.value, c.arena.at(e.aside)}
}

// openTables opens Pebble's part.
func (l *list) openTables() error {
	l.prefix = l.key.prefix(make([]byte, 0, maxKey))
	it, err := l.its.take(l.key.appendValue(slices.Clone(l.prefix), l.lo), l.key.appendValue(slices.Clone(l.prefix), l.hi))
	l.it = it
	return err
}

func (l *list) close() error {
	if l.it == nil {
		return nil
	}
	it := l.it
	l.it = nil
	return l.its.give(it)
}

// seek moves to the next value at or beyond from, in the list's direction, and reports whether there is one. The
// targets of successive calls never go back.
func (l *list) seek(from uint64) (uint64, bool, error) {
	l.aside, l.inDB = nil, false
	if l.descending {
		if f, ok := l.memoryDown(min(from, l.hi-1)); ok {
			l.aside = f.aside
			return f.value, true, nil
		}
		return l.tables(from)
	}
	if v, ok, err := l.tables(max(from, l.lo)); ok || err != nil {
		return v, ok, err
	}
	f, ok := l.memoryUp(max(from, l.lo))
	l.aside = f.aside
	return f.value, ok, nil
}

// memoryDown finds the newest value in memory at or before from.
func (l *list) memoryDown(from uint64) (found, bool) {
	for i := len(l.chains) - 1; i >= 0; i-- {
		c := &l.chains[i]
		for c.head != 0 && c.entries.at(c.head).value > from {
			c.head = c.entries.at(c.head).prev
		}
		if c.head != 0 {
			f := c.found()
			return f, f.value >= l.lo
		}
		l.chains = l.chains[:i]
	}
	return found{}, false
}

// memoryUp finds the oldest value in memory at or after from. The chains are linked the other way, so they are laid
// out once.
func (l *list) memoryUp(from uint64) (found, bool) {
	if !l.spread {
		l.spread = true
		for i := len(l.chains) - 1; i >= 0; i-- {
			for c := l.chains[i]; c.head != 0 && c.entries.at(c.head).value >= from; c.head = c.entries.at(c.head).prev {
				if c.entries.at(c.head).value < l.hi {
					l.flat = append(l.flat, c.found())
				}
			}
		}
		slices.Reverse(l.flat)
	}
	at := 0
	if len(l.flat) > 0 && l.flat[0].value < from {
		at = sort.Search(len(l.flat), func(i int) bool { return l.flat[i].value >= from })
	}
	l.flat = l.flat[at:]
	if len(l.flat) == 0 {
		return found{}, false
	}
	return l.flat[0], true
}

// tables finds the next value in Pebble. A step is cheaper than a search, so one step is tried first.
func (l *list) tables(from uint64) (uint64, bool, error) {
	if l.ended {
		return 0, false, nil
	}
	if l.it == nil {
		if err := l.openTables(); err != nil {
			return 0, false, damage(err)
		}
	}
	beyond := func(v uint64) bool { return v >= from }
	step := l.it.Next
	search := func() bool { return l.it.SeekGE(l.key.appendValue(l.prefix, from)) }
	if l.descending {
		beyond = func(v uint64) bool { return v <= from }
		step = l.it.Prev
		search = func() bool {
			if from >= l.hi-1 {
				return l.it.Last()
			}
			return l.it.SeekLT(l.key.appendValue(l.prefix, from+1))
		}
	}
	ok := false
	switch {
	case !l.placed:
		ok = search()
	case beyond(l.tableValue()):
		return l.atTable()
	default:
		if ok = step(); ok && !beyond(l.tableValue()) {
			ok = search()
		}
	}
	l.placed = true
	if !ok {
		l.ended = true
		return 0, false, damage(l.it.Error())
	}
	return l.atTable()
}

func (l *list) tableValue() uint64 {
	v, _ := l.key.value(l.it.Key(), len(l.prefix)) // atTable returns the error
	return v
}

func (l *list) atTable() (uint64, bool, error) {
	v, err := l.key.value(l.it.Key(), len(l.prefix))
	l.inDB = true
	return v, err == nil, err
}

// beside returns what stands beside the value where the list stands, nil for nothing. It is valid until the next seek.
func (l *list) beside() ([]byte, error) {
	if !l.inDB {
		return l.aside, nil
	}
	b, err := l.it.ValueAndErr()
	return b, damage(err)
}

// balances returns the balances at the value where the list stands, and whether the account keeps a history of them.
func (l *list) balances() (BalanceRow, bool, error) {
	b, err := l.beside()
	if err != nil || len(b) == 0 {
		return BalanceRow{}, false, err
	}
	a, err := readAside(b)
	return a.row, a.kind == rowHistory, err
}

// join walks the values that several lists have in common. Each list in turn names the next value that it could be,
// so the shortest of them sets the pace.
type join struct {
	lists      []*list
	next       uint64
	lo, hi     uint64
	descending bool
	ended      bool
	steps      int // searches so far, a measure of the work
}

func newJoin(lists []*list, lo, hi uint64, descending bool) *join {
	j := &join{lists: lists, next: lo, lo: lo, hi: hi, descending: descending, ended: lo >= hi}
	if descending && !j.ended {
		j.next = hi - 1
	}
	return j
}

// step looks for the next common value with at most one search in each list. It returns the value, or common =
// false where only the least candidate has moved on; ended is set when there is none.
func (j *join) step() (value uint64, common bool, err error) {
	if j.ended {
		return 0, false, nil
	}
	for i, l := range j.lists {
		j.steps++
		v, ok, err := l.seek(j.next)
		if err != nil || !ok {
			j.ended = true
			return 0, false, err
		}
		if v != j.next {
			j.next = v
			if i > 0 {
				return 0, false, nil
			}
		}
	}
	value = j.next
	j.advance()
	return value, true, nil
}

// advance moves beyond the value that was found.
func (j *join) advance() {
	if j.descending {
		j.ended = j.next == j.lo
		j.next--
		return
	}
	j.next++
	j.ended = j.next >= j.hi
}
