package journal

import "iter"

// Part is a run of events of one kind in a request: most requests are one part; transactions and decisions have a head
// and then what it is the head of.
type Part struct {
	Kind    Kind
	First   int // event of the block (or of the request, where Parts was asked about one)
	Count   int
	Request *RequestEntry
}

// Parts returns the parts of a request of n events.
func Parts(kind Kind, events []byte) []Part {
	n := len(events) / RecordSize
	switch kind {
	case KindTransaction:
		return append([]Part{{Kind: kind, Count: 1}}, shift([]Part{{Kind: KindTransfers, Count: n - 1}})...)
	case KindDecision:
		inner := View[Decision](events[:RecordSize])[0].Inner
		if n == 1 {
			return []Part{{Kind: kind, Count: 1}}
		}
		if inner == KindDecision { // refused by the ledger; nothing nests for ever
			inner = 0
		}
		return append([]Part{{Kind: kind, Count: 1}}, shift(Parts(inner, events[RecordSize:]))...)
	}
	return []Part{{Kind: kind, Count: n}}
}

// shift makes the parts of what follows a head those of the whole, and leaves empty ones out.
func shift(parts []Part) (kept []Part) {
	for _, p := range parts {
		if p.Count > 0 {
			p.First++
			kept = append(kept, p)
		}
	}
	return kept
}

// Parts returns all parts of the block, in order.
func (k *Block) Parts() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		event := 0
		for i := range k.Requests {
			r := &k.Requests[i]
			n := int(r.Count)
			if r.Kind != KindTransaction && r.Kind != KindDecision {
				if !yield(Part{r.Kind, event, n, r}) {
					return
				}
				event += n
				continue
			}
			for _, p := range Parts(r.Kind, k.EventBytes(event, n)) {
				p.First, p.Request = p.First+event, r
				if !yield(p) {
					return
				}
			}
			event += n
		}
	}
}
