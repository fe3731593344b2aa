package watch

// A case waits in up to four lanes, each with one moment: for the journal, for the source of its order, for that of its
// receipts; and, the fourth, the moment of the oldest thing about it that is not proven.
const (
	laneJournal = iota
	laneOrder
	laneReceipt
	laneUnproven
	lanes
)

// waiting is a case's place in a heap.
type waiting struct {
	at  uint64 // ns
	ref uint32 // place of the case << 2 | lane
}

func (w waiting) before(o waiting) bool { return w.at < o.at || w.at == o.at && w.ref < o.ref }

// heap holds waiting cases by time. Cases know their places in it, so that what is fulfilled leaves at once and a heap
// never holds more than what is open.
type heap struct{ list []waiting }

// set moves a case's entry of a lane to a time; 0 takes it out.
func (h *heap) set(cases *slab[caseRec], index uint32, lane int, at uint64) {
	c := cases.at(index)
	w := waiting{at, index<<2 | uint32(lane)} //nolint:gosec // G115: 0 to 3
	place := int(c.places[lane])
	c.times[lane] = at
	switch {
	case at == 0 && place == 0:
	case at == 0:
		h.remove(cases, place-1)
		c.places[lane] = 0
	case place == 0:
		h.list = append(h.list, w)
		h.up(cases, len(h.list)-1, w)
	case w.before(h.list[place-1]):
		h.up(cases, place-1, w)
	default:
		h.down(cases, place-1, w)
	}
}

func (h *heap) remove(cases *slab[caseRec], i int) {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	if i == len(h.list) {
		return
	}
	if i > 0 && last.before(h.list[(i-1)/4]) {
		h.up(cases, i, last)
	} else {
		h.down(cases, i, last)
	}
}

func (h *heap) put(cases *slab[caseRec], i int, w waiting) {
	h.list[i] = w
	cases.at(w.ref >> 2).places[w.ref&3] = uint32(i) + 1 //nolint:gosec // G115: as many as cases
}

func (h *heap) up(cases *slab[caseRec], i int, w waiting) {
	for i > 0 {
		parent := (i - 1) / 4
		if !w.before(h.list[parent]) {
			break
		}
		h.put(cases, i, h.list[parent])
		i = parent
	}
	h.put(cases, i, w)
}

func (h *heap) down(cases *slab[caseRec], i int, w waiting) {
	for {
		least := 4*i + 1
		if least >= len(h.list) {
			break
		}
		for child := least + 1; child < min(4*i+5, len(h.list)); child++ {
			if h.list[child].before(h.list[least]) {
				least = child
			}
		}
		if !h.list[least].before(w) {
			break
		}
		h.put(cases, i, h.list[least])
		i = least
	}
	h.put(cases, i, w)
}
