package ledger

import (
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Policy are the rules of the house that are in force, with who set them.
type Policy struct {
	journal.Policy
	Actor     journal.Actor
	Timestamp uint64 // ns; 0: never set
}

// Principal is a token's rights as they are kept, with who approved them.
type Principal struct {
	journal.Principal
	Scope     []byte // what was attached: see journal.Details
	Actor     journal.Actor
	Timestamp uint64 // ns
}

// Erasure is the record of a destroyed key, with who asked for it.
type Erasure struct {
	journal.Erasure
	Actor     journal.Actor
	Timestamp uint64 // ns
}

// controls are the few records that are kept for ever, whole.
type controls struct {
	policies   map[money.U128]Policy
	principals map[journal.Actor]*Principal
	erasures   []Erasure
	erased     map[journal.Hash]int // by subject
}

func (c *controls) init() {
	c.policies, c.principals, c.erased = map[money.U128]Policy{}, map[journal.Actor]*Principal{}, map[journal.Hash]int{}
}

// Policy returns the rules of the house in force.
func (s *State) Policy() Policy { return s.policy }

// Principals returns the rights of all tokens that the journal gave any, in the order of their ids.
func (s *State) Principals() []Principal {
	list := make([]Principal, 0, len(s.controls.principals))
	for _, p := range s.controls.principals {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Principal) int { return slices.Compare(a.Token[:], b.Token[:]) })
	return list
}

// Erasures returns all records of destroyed keys, in order.
func (s *State) Erasures() []Erasure { return slices.Clone(s.controls.erasures) }

// needsApproval reports whether the house wants a second person for what is being applied, and none has been asked.
func (s *State) needsApproval(rule journal.PolicyFlags) bool {
	return s.policy.Flags&rule != 0 && !s.approved
}

func (s *State) setPolicies(events []journal.Policy, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.setPolicy(&events[i], s.eventTime(first+i))
	}
}

func (s *State) setPolicy(p *journal.Policy, at uint64) (journal.Status, uint64) {
	if status := checkControlID(p.ID); status != journal.Created {
		return status, at
	}
	if e, ok := s.controls.policies[p.ID]; ok {
		if e.Policy != *p || e.Actor != s.actor {
			return journal.ControlExistsWithDifferentFields, e.Timestamp
		}
		return journal.ControlExists, e.Timestamp
	}
	was := &s.policy
	looser := was.Flags&^p.Flags != 0 || p.UTCOffset != was.UTCOffset && s.books.through != 0
	switch {
	case p.Flags&^journal.PolicyFlagsKnown != 0, p.UTCOffset < -1080, p.UTCOffset > 1080,
		s.books.closed(journal.DateOf(at, p.UTCOffset)):
		return journal.ControlPolicyInvalid, at
	case reasonUnterminated(p.Reason[:]):
		return journal.ControlReasonTooLong, at
	case looser && !s.approved:
		return journal.ControlApprovalRequired, at
	}
	s.policy = Policy{*p, s.actor, at}
	s.controls.policies[p.ID] = s.policy
	s.books.from, s.books.to = 0, 0 // days begin at other times now
	s.changed = true
	return journal.ControlCreated, at
}

func (s *State) setPrincipals(events []journal.Principal, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.setPrincipal(&events[i], first+i)
	}
}

const lastRole = 5 // admin

func (s *State) setPrincipal(p *journal.Principal, event int) (journal.Status, uint64) {
	at := s.eventTime(event)
	scope := s.builder.Attachment(event)
	if e, ok := s.controls.principals[p.Token]; ok && e.Principal == *p && slices.Equal(e.Scope, scope) {
		return journal.ControlExists, e.Timestamp
	}
	switch {
	case p.Token == journal.Actor{}:
		return journal.ControlIdMustNotBeZero, at
	case p.Role > lastRole, p.Role != 0 && p.Secret == journal.Hash{}, reasonUnterminated(p.Name[:]), p.Expires > journal.MaxTimestamp:
		return journal.ControlPrincipalInvalid, at
	case p.Role != 0 && !s.approved: // taking rights away can't wait for a second person
		return journal.ControlApprovalRequired, at
	}
	s.controls.principals[p.Token] = &Principal{*p, slices.Clone(scope), s.actor, at}
	s.changed = true
	return journal.ControlCreated, at
}

func (s *State) erase(events []journal.Erasure, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.eraseOne(&events[i], s.eventTime(first+i))
	}
}

// eraseOne records an erasure. A subject is erased once; asking again, by whatever id, finds it done.
func (s *State) eraseOne(e *journal.Erasure, at uint64) (journal.Status, uint64) {
	if status := checkControlID(e.ID); status != journal.Created {
		return status, at
	}
	if k, ok := s.controls.erased[e.Subject]; ok {
		return journal.ControlExists, s.controls.erasures[k].Timestamp
	}
	if reasonUnterminated(e.Reason[:]) {
		return journal.ControlReasonTooLong, at
	}
	s.controls.erased[e.Subject] = len(s.controls.erasures)
	s.controls.erasures = append(s.controls.erasures, Erasure{*e, s.actor, at})
	s.changed = true
	return journal.ControlCreated, at
}
