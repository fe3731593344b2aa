package faults

import (
	"math/rand/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
	"github.com/sterlingrun/sterling/watch"
)

// What happens between two cells. The stream is of one of them, Cell; the other one is known by what it makes this one do.

const (
	otherCell     = Cell + 1
	transitWithin = 30 * second
)

// Faults of transfers across cells that stop on their way.
func transitFaults() []Injector {
	return []Injector{
		stranded("a reserve that nobody decides on", func(a *transit.Attempt) []transit.Event { return []transit.Event{a.Reserved()} }),
		stranded("a hold that nobody ends", func(a *transit.Attempt) []transit.Event { return []transit.Event{a.Hold(cny)} }),
		stranded("a decision that the other cell never confirms", func(a *transit.Attempt) []transit.Event {
			return append([]transit.Event{a.Reserved()}, a.Commit()...)
		}),
		stranded("a refusal that the other cell never confirms", func(a *transit.Attempt) []transit.Event {
			return append([]transit.Event{a.Reserved()}, a.Abort(journal.TransferExceedsCredits)...)
		}),
	}
}

// stranded has the steps of a transfer happen, and no more.
func stranded(name string, steps func(*transit.Attempt) []transit.Event) Injector {
	return injector{watch.StuckInTransit, name, func(s *Stream, r *rand.Rand) (Expected, bool) {
		s.ownAccounts()
		a, at := s.attempt(r), s.some(r)
		s.cross(at, steps(a)...)
		s.PlayUntil(at + transitWithin + 10*second)
		x := missed(at + blockTakes + transitWithin)
		x.Key = idOf(a.Asked.ID)
		return x, true
	}}
}

// crossings are transfers that go through within half of what they may take.
func crossings(s *Stream, r *rand.Rand) {
	s.ownAccounts()
	for range 20 {
		out, in, at := s.attempt(r), s.attempt(r), s.some(r)
		s.cross(at, out.Reserved())
		s.cross(at, in.Hold(cny))
		at += r.Uint64N(transitWithin / 4)
		var left, came money.U128
		if r.IntN(2) == 0 {
			left, came = out.Asked.Amount, in.Asked.Amount
			s.cross(at, out.Commit()...)
		} else {
			s.cross(at, out.Abort(0)...)
		}
		at += blockTakes + r.Uint64N(transitWithin/4)
		s.cross(at, out.Settle(left))
		s.cross(at, in.Confirm(came, false))
	}
	s.PlayUntil(s.Last + 2*minute)
}

// ownAccounts opens the cell's own accounts.
func (s *Stream) ownAccounts() {
	s.Extra = append(s.Extra, Move{At: s.Begin + second, Kind: journal.KindAccounts, Events: journal.Bytes(transit.Accounts(yuan(), cny, otherCell))})
}

func yuan() money.Asset { return money.Asset{Code: "CNY", Scale: 2} }

// attempt is one at a transfer that no order is about: out of this cell by its steps at home, into it by those of the peer.
// For both the other side is the other cell.
func (s *Stream) attempt(r *rand.Rand) *transit.Attempt {
	return &transit.Attempt{
		Asked: journal.Transfer{
			ID: numberOf(s.teller.id()), Debit: money.From(funding), Credit: money.From(customerBase), Amount: money.From(1 + r.Uint64N(1000)), Asset: cny, Code: codeOpening,
		},
		Asset: yuan(), Home: otherCell, Peer: otherCell, Reserve: numberOf(s.teller.id()),
	}
}

// cross has steps happen in one request.
func (s *Stream) cross(at uint64, list ...transit.Event) {
	m := Move{At: at, Kind: journal.KindTransfers}
	var records []journal.Transfer
	for i, e := range list {
		records = append(records, e.Transfer)
		m.Attached = append(m.Attached, journal.Attachment{Event: i, Data: e.Attached})
	}
	m.Events = journal.Bytes(records)
	s.Extra = append(s.Extra, m)
}
