package ledger

import (
	"github.com/sterlingrun/sterling/journal"
)

// chain is a linked chain that is being applied, with what it takes to undo it.
type chain struct {
	open   bool
	broken bool
	first  int // event of the request

	accounts []accountBefore
	pendings []pendingBefore
	created  []created
	limits   []velocityBefore
	bookings []booking
	before   chainMark
}

// chainMark is what a chain's undo simply puts back.
type chainMark struct {
	digest             [2]uint64
	counts             Counts
	lastAcct, lastXfer uint64
	nAccounts          uint32
	special            int
	changed            bool

	transfers, inherited, history, accounts, bookings int // lengths of the effects
}

type accountBefore struct {
	n     uint32
	value journal.Account
}

// created is an entry of a table: of the accounts, the addresses or the ids.
type created struct {
	hash, value uint64
	in          *table // nil: the ids
}

// eachLinked runs apply over the events of a request with the published rules of linked chains: a chain takes effect
// whole or not at all, and all but the event that broke it answer linked_event_failed.
func (s *State) eachLinked(n, first int, results []journal.Result, linked func(i int) bool, apply func(i int, at uint64) (journal.Status, uint64)) {
	for i := range n {
		link := linked(i)
		if link && !s.chain.open {
			s.beginChain(i)
		}
		s.burns = s.burns[:0]
		results[i] = s.applyInChain(i, n, s.eventTime(first+i), link, apply)
		if s.chain.open && !s.chain.broken && results[i].Status != journal.Created {
			s.breakChain(results, i)
		}
		for _, hash := range s.burns {
			s.burn(hash, s.position(first+i))
		}
		if s.chain.open && (!link || i == n-1) {
			s.endChain()
		}
	}
}

func (s *State) applyInChain(i, n int, at uint64, link bool, apply func(i int, at uint64) (journal.Status, uint64)) journal.Result {
	switch { // both statuses have the same numbers for accounts
	case link && i == n-1:
		return journal.Result{Status: journal.TransferLinkedEventChainOpen, Timestamp: at}
	case s.chain.broken:
		return journal.Result{Status: journal.TransferLinkedEventFailed, Timestamp: at}
	}
	status, at := apply(i, at)
	return journal.Result{Status: status, Timestamp: at}
}

func (s *State) beginChain(first int) {
	c := &s.chain
	c.open, c.broken, c.first = true, false, first
	c.accounts, c.pendings, c.created, c.limits = c.accounts[:0], c.pendings[:0], c.created[:0], c.limits[:0]
	c.bookings = c.bookings[:0]
	c.before = chainMark{
		digest: s.digest, counts: s.counts, lastAcct: s.lastAcct, lastXfer: s.lastXfer, nAccounts: s.nAccounts,
		special: len(s.special), changed: s.changed,
		transfers: len(s.fx.Transfers), inherited: len(s.fx.Inherited), history: len(s.fx.History), accounts: len(s.fx.Accounts),
		bookings: len(s.fx.Bookings),
	}
	s.watchEdits = true
}

func (s *State) endChain() {
	s.chain.open, s.chain.broken = false, false
	s.watchEdits = s.snapshot != nil
}

// breakChain undoes what the chain did before event i and answers its events.
func (s *State) breakChain(results []journal.Result, i int) {
	c, m := &s.chain, &s.chain.before
	c.broken = true
	for k := len(c.pendings) - 1; k >= 0; k-- {
		s.undoPending(&c.pendings[k])
	}
	for k := len(c.created) - 1; k >= 0; k-- {
		if e := &c.created[k]; e.in != nil {
			if e.in == s.accountNo {
				s.countAccount(s.accounts.at(uint32(e.value)), ^uint64(0)) //nolint:gosec // account numbers are 32 bits
			}
			e.in.remove(e.hash, e.value)
		} else {
			s.ids.remove(e.hash, e.value)
		}
	}
	for k := len(c.accounts) - 1; k >= 0; k-- {
		*s.accounts.at(c.accounts[k].n) = c.accounts[k].value
	}
	for k := len(c.limits) - 1; k >= 0; k-- {
		*s.limits[c.limits[k].key] = c.limits[k].value
	}
	for k := range c.bookings {
		s.undoBooking(&c.bookings[k])
	}
	s.digest, s.counts, s.lastAcct, s.lastXfer = m.digest, m.counts, m.lastAcct, m.lastXfer
	s.nAccounts, s.changed, s.special = m.nAccounts, m.changed, s.special[:m.special]
	s.fx.Transfers, s.fx.Inherited = s.fx.Transfers[:m.transfers], s.fx.Inherited[:m.inherited]
	s.fx.History, s.fx.Accounts = s.fx.History[:m.history], s.fx.Accounts[:m.accounts]
	s.fx.Bookings = s.fx.Bookings[:m.bookings]
	for k := c.first; k < i; k++ {
		results[k].Status = journal.TransferLinkedEventFailed
		results[k].Timestamp = s.eventTime(s.first + k)
	}
}
