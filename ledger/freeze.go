package ledger

import (
	"bytes"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Freeze is a freeze as it is kept.
type Freeze struct {
	journal.Freeze
	Actor     journal.Actor
	Timestamp uint64 // ns

	Lifted       bool
	UnfreezeID   money.U128
	LiftedBy     journal.Actor
	LiftedAt     uint64 // ns
	LiftedReason [64]byte
}

// freezes keeps every freeze there ever was (they are few), and masks of those in force.
type freezes struct {
	all    []Freeze // in the order of creation
	byID   map[money.U128]int
	lifts  map[money.U128]int // unfreeze id → index of the freeze it lifted
	active int
	cell   journal.FreezeMode
	codes  map[uint16]journal.FreezeMode
}

func (f *freezes) init() {
	f.byID, f.lifts, f.codes = map[money.U128]int{}, map[money.U128]int{}, map[uint16]journal.FreezeMode{}
}

// mask is what the cell's and the code's freezes stop.
func (f *freezes) mask(code uint16) journal.FreezeMode { return f.cell | f.codes[code] }

// Freezes returns copies of all freezes in the order of creation, those in force only if asked for.
func (s *State) Freezes(inForce bool) []Freeze {
	var list []Freeze
	for i := range s.freezes.all {
		if f := &s.freezes.all[i]; !inForce || !f.Lifted {
			list = append(list, *f)
		}
	}
	return list
}

func (s *State) createFreezes(events []journal.Freeze, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.createFreeze(&events[i], s.eventTime(first+i))
	}
}

func (s *State) createFreeze(f *journal.Freeze, at uint64) (journal.Status, uint64) {
	if status := checkControlID(f.ID); status != journal.Created {
		return status, at
	}
	if k, ok := s.freezes.byID[f.ID]; ok {
		e := &s.freezes.all[k]
		if e.Freeze != *f || e.Actor != s.actor {
			return journal.ControlExistsWithDifferentFields, e.Timestamp
		}
		return journal.ControlExists, e.Timestamp
	}
	if k, lifts := s.freezes.lifts[f.ID]; lifts {
		return journal.ControlExistsWithDifferentFields, s.freezes.all[k].LiftedAt
	}
	if status := s.checkFreeze(f); status != journal.Created {
		return status, at
	}
	s.freezes.byID[f.ID] = len(s.freezes.all)
	s.freezes.all = append(s.freezes.all, Freeze{Freeze: *f, Actor: s.actor, Timestamp: at})
	s.enforceFreezes(f)
	s.changed = true
	return journal.ControlCreated, at
}

func checkControlID(id money.U128) journal.Status {
	switch {
	case id.IsZero():
		return journal.ControlIdMustNotBeZero
	case id.IsMax():
		return journal.ControlIdMustNotBeIntMax
	}
	return journal.ControlCreated
}

// checkFreeze validates in the order of the statuses' numbers.
func (s *State) checkFreeze(f *journal.Freeze) journal.Status {
	switch {
	case f.Selector < journal.SelectAccount || f.Selector > journal.SelectCell,
		f.Selector != journal.SelectAccount && !f.Account.IsZero(), f.Selector != journal.SelectCode && f.Code != 0:
		return journal.ControlSelectorInvalid
	case f.Mode < journal.FreezeDebit || f.Mode > journal.FreezeAll:
		return journal.ControlModeInvalid
	case f.Selector == journal.SelectAccount && s.ownNumber(f.Account) == 0:
		return journal.ControlAccountNotFound
	case f.Selector == journal.SelectCode && f.Code == 0:
		return journal.ControlCodeMustNotBeZero
	case reasonUnterminated(f.Reason[:]):
		return journal.ControlReasonTooLong
	}
	return journal.ControlCreated
}

// reasonUnterminated reports whether a text has bytes after its padding began: then it is not a text.
func reasonUnterminated(reason []byte) bool {
	text := bytes.TrimRight(reason, "\x00")
	return bytes.IndexByte(text, 0) >= 0
}

func (s *State) liftFreezes(events []journal.Unfreeze, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.liftFreeze(&events[i], s.eventTime(first+i))
	}
}

func (s *State) liftFreeze(u *journal.Unfreeze, at uint64) (journal.Status, uint64) {
	if status := checkControlID(u.ID); status != journal.Created {
		return status, at
	}
	if k, ok := s.freezes.lifts[u.ID]; ok {
		f := &s.freezes.all[k]
		if f.ID != u.FreezeID || f.LiftedReason != u.Reason || f.LiftedBy != s.actor {
			return journal.ControlExistsWithDifferentFields, f.LiftedAt
		}
		return journal.ControlExists, f.LiftedAt
	}
	if k, ok := s.freezes.byID[u.ID]; ok {
		return journal.ControlExistsWithDifferentFields, s.freezes.all[k].Timestamp
	}
	k, ok := s.freezes.byID[u.FreezeID]
	switch {
	case !ok:
		return journal.ControlFreezeNotFound, at
	case s.freezes.all[k].Lifted:
		return journal.ControlFreezeAlreadyLifted, at
	case s.needsApproval(journal.PolicyUnfreezeApproved):
		return journal.ControlApprovalRequired, at
	case s.freezes.all[k].Actor == s.actor && !s.approved:
		return journal.ControlSecondPersonRequired, at
	case reasonUnterminated(u.Reason[:]):
		return journal.ControlReasonTooLong, at
	}
	f := &s.freezes.all[k]
	f.Lifted, f.UnfreezeID, f.LiftedBy, f.LiftedAt, f.LiftedReason = true, u.ID, s.actor, at, u.Reason
	s.freezes.lifts[u.ID] = k
	s.enforceFreezes(&f.Freeze)
	s.changed = true
	return journal.ControlCreated, at
}

// enforceFreezes computes anew what the freezes in force mean for what f selects.
func (s *State) enforceFreezes(f *journal.Freeze) {
	var mode journal.FreezeMode
	s.freezes.active = 0
	for i := range s.freezes.all {
		e := &s.freezes.all[i]
		if e.Lifted {
			continue
		}
		s.freezes.active++
		if e.Selector == f.Selector && e.Account == f.Account && e.Code == f.Code {
			mode |= e.Mode
		}
	}
	switch f.Selector {
	case journal.SelectCell:
		s.freezes.cell = mode
	case journal.SelectCode:
		s.freezes.codes[f.Code] = mode
	case journal.SelectAccount:
		a := s.edit(s.number(f.Account))
		a.Reserved = a.Reserved&^(markFrozenDebit|markFrozenCredit) | frozenMarks(mode)
	}
}

// frozenMarks are the marks of an account that is frozen so.
func frozenMarks(mode journal.FreezeMode) (marks uint32) {
	if mode&journal.FreezeDebit != 0 {
		marks |= markFrozenDebit
	}
	if mode&journal.FreezeCredit != 0 {
		marks |= markFrozenCredit
	}
	return marks
}
