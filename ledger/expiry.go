package ledger

import (
	"container/heap"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// expiry is a reservation's appointment. It stays in the heap when the reservation ends early or leaves: then another one
// is at its place, or none, and it is passed over when it is due. Positions order those that are due at once, and not
// times of creation: a reservation that arrived has that of another cell.
type expiry struct {
	at       uint64 // ns
	position journal.Position
	place    uint32
}

type expiryHeap []expiry

func (h expiryHeap) Len() int { return len(h) }
func (h expiryHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].position < h[j].position
}
func (h expiryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(expiry)) }

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}

func (h *expiryHeap) push(e expiry) { heap.Push(h, e) }

// live reports whether the appointment still has its reservation.
func (s *State) live(e *expiry) bool {
	p := s.pendings.slab.at(e.place)
	return p.position == e.position && p.expires == e.at
}

// NextExpiry returns when the next reservation expires (ns), or 0 if none does.
func (s *State) NextExpiry() uint64 {
	for len(s.expiries) > 0 && !s.live(&s.expiries[0]) {
		heap.Pop(&s.expiries)
	}
	s.dropStale()
	if len(s.expiries) == 0 {
		return 0
	}
	return s.expiries[0].at
}

// dropStale rebuilds the heap when most of it has no reservation any more.
func (s *State) dropStale() {
	if len(s.expiries) < 4096 || len(s.expiries) < 4*s.pendings.n {
		return
	}
	rest := s.expiries[:0]
	for i := range s.expiries {
		if s.live(&s.expiries[i]) {
			rest = append(rest, s.expiries[i])
		}
	}
	s.expiries = rest
	heap.Init(&s.expiries)
}

// Expire releases what is due at the block's time, in the order of expiry, then of position, up to MaxEvents; the
// rest follows in the next block. It comes before the block's first request. It returns how many were released.
func (s *State) Expire() int {
	n := 0
	for n < journal.MaxEvents {
		due := s.NextExpiry()
		if due == 0 || due > s.time {
			break
		}
		e := heap.Pop(&s.expiries).(expiry)
		p := *s.pendings.slab.at(e.place)
		s.release(&p)
		s.reopen(&p)
		s.endPending(e.place, endedExpired)
		s.resolveTransit(&p, money.U128{})
		s.fx.Expired = append(s.fx.Expired, ExpiryEffect{
			Index: uint32(n), Debit: p.debit, Credit: p.credit, Pending: p.position, Amount: p.remaining,
		})
		s.builder.AddExpiry(journal.Expiry{Pending: p.id, Amount: p.remaining})
		s.mix(p.debit, s.accounts.at(p.debit))
		s.mix(p.credit, s.accounts.at(p.credit))
		n++
	}
	return n
}
