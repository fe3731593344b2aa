package router

import "container/heap"

// expiries are two-phase transfers that wait for their caller, by the time that they are to be looked at: the next first.
// It implements heap.Interface; add, drop and next are what is used.
type expiries []*attempt

// add has an attempt looked at when it expires; one that never does is left out.
func (e *expiries) add(a *attempt) {
	if a.expires != 0 {
		heap.Push(e, a)
	}
}

// drop forgets an attempt, if it is there.
func (e *expiries) drop(a *attempt) {
	if a.place != 0 {
		heap.Remove(e, a.place-1)
	}
}

// next is when to look, ns since 1970; 0: there is nothing to look at.
func (e expiries) next() uint64 {
	if len(e) == 0 {
		return 0
	}
	return e[0].expires
}

// Len implements heap.Interface.
func (e expiries) Len() int { return len(e) }

// Less implements heap.Interface.
func (e expiries) Less(i, j int) bool { return e[i].expires < e[j].expires }

// Swap implements heap.Interface.
func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i+1, j+1
}

// Push implements heap.Interface.
func (e *expiries) Push(x any) {
	a := x.(*attempt)
	*e = append(*e, a)
	a.place = len(*e)
}

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := len(*e) - 1
	a := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	a.place = 0
	return a
}
