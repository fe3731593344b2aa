package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// createTransaction applies the head and its legs as one chain: all or nothing. A leg's failure leaves the legs'
// statuses as they are in a chain; if the same legs might succeed later, the transaction's id is burned.
func (s *State) createTransaction(events []journal.Transfer, first int, results []journal.Result) {
	s.eachLinked(len(events), first, results,
		func(i int) bool { return i < len(events)-1 },
		func(i int, at uint64) (journal.Status, uint64) {
			if i == 0 {
				return s.createHead(events, first, at)
			}
			t := &events[i]
			if t.Flags.Has(journal.TransferImported) {
				return journal.TransferImportedEventNotExpected, at
			}
			if t.Flags.Has(transitFlags) {
				return journal.TransferReservedFlag, at
			}
			return s.createTransfer(t, i, at)
		})
	if results[0].Status != journal.TransferLinkedEventFailed {
		return
	}
	for i := range results {
		if results[i].Status.Transient() {
			s.burn(s.prep[0].hash, s.position(first))
			return
		}
	}
}

func (s *State) createHead(events []journal.Transfer, event int, at uint64) (journal.Status, uint64) {
	h := &events[0]
	const known = journal.TransferHead | journal.TransferCycles | journal.TransferAttached
	switch {
	case h.Timestamp != 0:
		return journal.TransferTimestampMustBeZero, at
	case h.Flags&^known != 0, !h.Flags.Has(journal.TransferHead), !s.flagged(event, h.Flags.Has(journal.TransferAttached)):
		return journal.TransferReservedFlag, at
	case h.ID.IsZero():
		return journal.TransferIdMustNotBeZero, at
	case h.ID.IsMax():
		return journal.TransferIdMustNotBeIntMax, at
	}
	hash := s.prep[0].hash
	if e, found := s.lookUp(h.ID, hash); found {
		if e.Status != journal.Created || e.Asked.ID != h.ID {
			return journal.TransferIdAlreadyFailed, at
		}
		return s.headExists(h, event, &e), e.Timestamp
	}
	if !h.Flags.Has(journal.TransferCycles) && cyclic(events[1:]) {
		return journal.TransferLegsAreCyclic, at
	}
	value := uint64(s.position(event)) << 2
	s.ids.insert(hash, value)
	if s.chain.open {
		s.chain.created = append(s.chain.created, created{hash: hash, value: value})
	}
	s.changed = true
	return journal.Created, at
}

func (s *State) headExists(h *journal.Transfer, event int, e *Fact) journal.Status {
	was := &e.Asked
	switch {
	case h.Flags&^journal.TransferAttached != was.Flags&^journal.TransferAttached:
		return journal.TransferExistsWithDifferentFlags
	case h.Debit != was.Debit || h.Credit != was.Credit || h.Timeout != was.Timeout:
		return journal.TransferExistsWithDifferentLegs
	case h.UserData128 != was.UserData128:
		return journal.TransferExistsWithDifferentUserData128
	case h.UserData64 != was.UserData64:
		return journal.TransferExistsWithDifferentUserData64
	case h.UserData32 != was.UserData32:
		return journal.TransferExistsWithDifferentUserData32
	case h.Code != was.Code:
		return journal.TransferExistsWithDifferentCode
	}
	return s.transferDetailsExist(event, e)
}

// cyclic reports whether money could come back to an account that it left: the legs, as arrows from debit to credit,
// have a cycle. It takes accounts away that nothing flows into until none is left, or only cycles are.
func cyclic(legs []journal.Transfer) bool {
	into := map[money.U128]int{}
	from := map[money.U128][]money.U128{}
	for i := range legs {
		t := &legs[i]
		if t.Debit.IsZero() || t.Credit.IsZero() { // a post or void names none
			continue
		}
		into[t.Credit]++
		into[t.Debit] += 0
		from[t.Debit] = append(from[t.Debit], t.Credit)
	}
	var free []money.U128
	for i := range legs {
		if id := legs[i].Debit; from[id] != nil && into[id] == 0 {
			free = append(free, id)
			into[id] = -1 // once is enough
		}
	}
	left := 0
	for _, to := range from {
		left += len(to)
	}
	for len(free) > 0 {
		id := free[len(free)-1]
		free = free[:len(free)-1]
		for _, to := range from[id] {
			left--
			if into[to]--; into[to] == 0 {
				free = append(free, to)
			}
		}
	}
	return left > 0
}
