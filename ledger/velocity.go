package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	hour = 3600 * second
	day  = 24 * hour
)

// limitKey names one side of an account.
type limitKey struct {
	Account uint32             // number
	Side    journal.FreezeMode // FreezeDebit or FreezeCredit
}

// velocity is the limit of one side of an account and what it has used of it.
type velocity struct {
	Limit journal.Limit
	Hour  window
	Day   window
}

// limitRecord is a limit that was set once; sending its id again sets nothing.
type limitRecord struct {
	Limit     journal.Limit
	Actor     journal.Actor
	Timestamp uint64 // ns
}

// window is what moved in one hour or one day of the UTC calendar. It never has to go back: timestamps of transfers
// only rise, those of imported ones too.
type window struct {
	Start  uint64 // ns
	Amount money.U128
	Count  uint32
}

type velocityBefore struct {
	key   limitKey
	value velocity
}

func (s *State) setLimits(events []journal.Limit, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.setLimit(&events[i], s.eventTime(first+i))
	}
}

func (s *State) setLimit(l *journal.Limit, at uint64) (journal.Status, uint64) {
	if status := checkControlID(l.ID); status != journal.Created {
		return status, at
	}
	if e, ok := s.limitIDs[l.ID]; ok {
		if e.Limit != *l || e.Actor != s.actor {
			return journal.ControlExistsWithDifferentFields, e.Timestamp
		}
		return journal.ControlExists, e.Timestamp
	}
	n := s.ownNumber(l.Account)
	switch {
	case n == 0:
		return journal.ControlAccountNotFound, at
	case l.Side != journal.FreezeDebit && l.Side != journal.FreezeCredit:
		return journal.ControlLimitInvalid, at
	}
	key := limitKey{n, l.Side}
	if s.limits[key] == nil {
		s.limits[key] = &velocity{}
	}
	s.limits[key].Limit = *l
	s.limitIDs[l.ID] = limitRecord{*l, s.actor, at}
	s.limitOrder = append(s.limitOrder, l.ID)
	s.changed = true
	s.edit(n).Reserved |= pickMark(l.Side)
	return journal.ControlCreated, at
}

func pickMark(side journal.FreezeMode) uint32 {
	if side == journal.FreezeDebit {
		return markLimitDebit
	}
	return markLimitCredit
}

// limited reports whether the event being applied uses up limits. A reserve does not: its transfer does.
func (s *State) limited(debit, credit *journal.Account) bool {
	return (debit.Reserved|credit.Reserved)&(markLimitDebit|markLimitCredit) != 0 && s.transit.Step != journal.TransitReserve
}

// checkVelocity refuses what would exceed the limit of either account.
func (s *State) checkVelocity(debit, credit uint32, amount money.U128, at uint64) journal.Status {
	if v := s.limits[limitKey{debit, journal.FreezeDebit}]; v != nil && !v.allows(amount, at) {
		return journal.TransferExceedsDebitVelocityLimit
	}
	if v := s.limits[limitKey{credit, journal.FreezeCredit}]; v != nil && !v.allows(amount, at) {
		return journal.TransferExceedsCreditVelocityLimit
	}
	return journal.Created
}

// countVelocity uses up the limits of both accounts.
func (s *State) countVelocity(debit, credit uint32, amount money.U128, at uint64) {
	for _, key := range [2]limitKey{{debit, journal.FreezeDebit}, {credit, journal.FreezeCredit}} {
		v := s.limits[key]
		if v == nil {
			continue
		}
		if s.chain.open {
			s.chain.limits = append(s.chain.limits, velocityBefore{key, *v})
		}
		v.Hour.add(at/hour*hour, amount)
		v.Day.add(at/day*day, amount)
	}
}

func (v *velocity) allows(amount money.U128, at uint64) bool {
	l := &v.Limit
	return v.Hour.allows(at/hour*hour, amount, l.HourAmount, l.HourCount) && v.Day.allows(at/day*day, amount, l.DayAmount, l.DayCount)
}

func (w *window) allows(start uint64, amount, most money.U128, mostCount uint32) bool {
	used, count := w.Amount, w.Count
	if w.Start != start {
		used, count = money.U128{}, 0
	}
	sum, over := used.Add(amount)
	return (most.IsZero() || !over && !most.Less(sum)) && (mostCount == 0 || count < mostCount)
}

func (w *window) add(start uint64, amount money.U128) {
	if w.Start != start {
		*w = window{Start: start}
	}
	sum, over := w.Amount.Add(amount)
	if over {
		sum = money.Max()
	}
	w.Amount = sum
	w.Count++
}
