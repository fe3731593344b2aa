package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// OpenPending is a reservation that nothing has ended yet.
type OpenPending struct {
	ID            money.U128
	Debit, Credit money.U128 // account ids
	Amount        money.U128 // reserved at first, minor units
	Remaining     money.U128 // still reserved
	Asset         uint32     // number in the catalogue
	Code          uint16
	Timestamp     uint64 // ns
	Expires       uint64 // ns; 0: never
	Position      journal.Position
	Flags         journal.TransferFlags

	// Of the marker of a transfer across cells that was committed: whether that transfer has ended, and how much of it
	// was posted; 0: it was voided, or expired.
	Ended  bool
	Posted money.U128 // minor units
}

// OpenPendings appends the open reservations among up to n places from one on, in no order, and returns the place to go
// on from: 0 where there are no more. A reservation stays at its place until it ends.
func (s *State) OpenPendings(from uint32, n int, dst []OpenPending) (list []OpenPending, next uint32) {
	from = max(from, 1)
	for ; n > 0 && from <= s.pendings.top; n-- {
		if p := s.pendings.slab.at(from); p.position != 0 {
			dst = append(dst, s.openPendingOf(p))
		}
		from++
	}
	if from > s.pendings.top {
		return dst, 0
	}
	return dst, from
}

// OpenPending returns the open reservation with this id, if there is one.
func (s *State) OpenPending(id money.U128) (OpenPending, bool) {
	n := s.pendings.find(id, s.hasher.hash(id))
	if n == 0 {
		return OpenPending{}, false
	}
	return s.openPendingOf(s.pendings.slab.at(n)), true
}

func (s *State) openPendingOf(p *pending) OpenPending {
	var posted money.U128
	ended := false
	if p.flags.Has(journal.TransferHold) {
		posted, ended = s.transits.ended[p.position]
	}
	return OpenPending{
		ID: p.id, Debit: s.accounts.at(p.debit).ID, Credit: s.accounts.at(p.credit).ID, Amount: p.amount, Remaining: p.remaining,
		Asset: p.asset, Code: p.code, Timestamp: p.timestamp, Expires: p.expires, Position: p.position, Flags: p.flags,
		Ended: ended, Posted: posted,
	}
}
