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
}

// OpenPendings appends the open reservations among up to n places from one on, in no order, and returns the place to go
// on from: 0 where there are no more. A reservation stays at its place until it ends.
func (s *State) OpenPendings(from uint32, n int, dst []OpenPending) (list []OpenPending, next uint32) {
	from = max(from, 1)
	for ; n > 0 && from <= s.pendings.top; n-- {
		if p := s.pendings.slab.at(from); p.position != 0 {
			dst = append(dst, OpenPending{
				ID: p.id, Debit: s.accounts.at(p.debit).ID, Credit: s.accounts.at(p.credit).ID, Amount: p.amount, Remaining: p.remaining,
				Asset: p.asset, Code: p.code, Timestamp: p.timestamp, Expires: p.expires, Position: p.position,
			})
		}
		from++
	}
	if from > s.pendings.top {
		return dst, 0
	}
	return dst, from
}
