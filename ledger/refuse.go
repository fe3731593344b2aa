package ledger

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Refusal says why nothing of a request may be applied: it touches a bucket that is the peer's, or that moves, and then it
// can be sent again in a moment.
type Refusal struct {
	Bucket uint16
	Peer   uint64
	Moved  bool
}

// Refused tells whether a request touches a bucket that moves or has moved: then nothing of it may be applied, so that
// no id is burned here that the other cell would not know. Facts are those that Needs asked for. What ends transfers
// across cells passes while a bucket is closing. The runner asks right before Apply, in the block that was begun; a
// replay need not.
func (s *State) Refused(kind journal.Kind, events []byte, facts Facts) (why Refusal, refused bool) {
	if s.moves.refusing == 0 {
		return why, false
	}
	s.facts, s.first = facts, s.builder.Events()
	defer func() { s.facts = Facts{} }()
	for _, p := range journal.Parts(kind, events) {
		part := events[p.First*journal.RecordSize:][:p.Count*journal.RecordSize]
		if b := s.refusedPart(p.Kind, part, p.First); b != nil {
			return Refusal{b.Bucket, b.Peer, b.Phase == Given || b.Phase == Gone}, true
		}
		if p.Kind == journal.KindTransfers && s.homeless(journal.View[journal.Transfer](part), p.First) {
			if b := s.leaving(); b != nil {
				return Refusal{b.Bucket, b.Peer, false}, true
			}
		}
	}
	return why, false
}

// Unreadable tells whether an account can't be told of here: its bucket is the peer's, or partly there.
func (s *State) Unreadable(account money.U128) (why Refusal, refused bool) {
	b := s.moves.buckets[journal.Bucket(account)]
	if b == nil || b.Phase == Settled || b.Phase == Closing && b.Accounts == 0 && b.Reservations == 0 || s.isOwn(account) {
		return why, false
	}
	return Refusal{b.Bucket, b.Peer, b.Phase == Given || b.Phase == Gone}, true
}

// homeless reports whether one of the transfers ends a reservation that nobody knows: if it fails, its id is burned, but
// nothing tells in which bucket. A step of a transfer across cells tells.
func (s *State) homeless(list []journal.Transfer, first int) bool {
	none := func(money.U128) {}
	for i := range list {
		if _, transit := s.asksTransit(first + i); !transit && !s.touchTransfer(&list[i], none) {
			return true
		}
	}
	return false
}

// leaving returns a bucket that is on its way to another cell, nil where none is. An id that is burned without a bucket to
// tell could miss the last carry of that bucket's ids: it has to wait.
func (s *State) leaving() (first *BucketState) {
	for _, b := range s.moves.buckets {
		if (b.Phase == Closing || b.Phase == Given) && (first == nil || b.Bucket < first.Bucket) {
			first = b
		}
	}
	return first
}

func (s *State) refusedPart(kind journal.Kind, events []byte, first int) *BucketState {
	var found *BucketState
	touch := func(id money.U128) {
		if b := s.moves.buckets[journal.Bucket(id)]; found == nil && b != nil && b.Phase != Settled && !s.isOwn(id) {
			found = b
		}
	}
	switch kind {
	case journal.KindAccounts:
		for _, a := range journal.View[journal.Account](events) {
			if !stays(&a) {
				touch(a.ID)
			}
		}
	case journal.KindTransfers:
		list := journal.View[journal.Transfer](events)
		for i := range list {
			was := found
			s.touchTransfer(&list[i], touch)
			x, transit := s.asksTransit(first + i)
			if transit {
				touch(homeOf(&x))
			}
			if found != was && found.Phase == Closing && transit && endsTransit(x.Step) {
				found = was
			}
		}
	case journal.KindMetadata:
		for _, c := range journal.View[journal.MetadataChange](events) {
			touch(c.Account)
		}
	case journal.KindLimits:
		for _, l := range journal.View[journal.Limit](events) {
			touch(l.Account)
		}
	case journal.KindFreeze:
		for _, f := range journal.View[journal.Freeze](events) {
			if f.Selector == journal.SelectAccount {
				touch(f.Account)
			}
		}
	case journal.KindUnfreeze:
		for _, u := range journal.View[journal.Unfreeze](events) {
			if k, ok := s.freezes.byID[u.FreezeID]; ok && s.freezes.all[k].Selector == journal.SelectAccount {
				touch(s.freezes.all[k].Account)
			}
		}
	}
	return found
}

// isOwn reports whether an account is the cell's own, and so in no bucket.
func (s *State) isOwn(id money.U128) bool {
	n := s.number(id)
	return n != 0 && stays(s.accounts.at(n))
}

// touchTransfer calls touch with the accounts of a transfer: those it names, and those of the reservation it ends. It
// reports whether that reservation is known.
func (s *State) touchTransfer(t *journal.Transfer, touch func(id money.U128)) (known bool) {
	if !t.Debit.IsZero() {
		touch(t.Debit)
	}
	if !t.Credit.IsZero() {
		touch(t.Credit)
	}
	if !t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
		return true
	}
	hash := s.hasher.hash(t.PendingID)
	if n := s.pendings.find(t.PendingID, hash); n != 0 {
		p := s.pendings.slab.at(n)
		touch(s.accounts.at(p.debit).ID)
		touch(s.accounts.at(p.credit).ID)
		return true
	}
	for _, v := range s.entries(hash) {
		if f := s.factOrClosed(journal.Position(v >> 2)); f.Asked.ID == t.PendingID && f.Status == journal.Created {
			touch(f.Asked.Debit)
			touch(f.Asked.Credit)
			known = true
		}
	}
	return known
}

// asksTransit returns what event i of the request that was attached to last says of a transfer across cells, if it does.
func (s *State) asksTransit(i int) (x journal.Transit, ok bool) {
	for _, a := range s.attached {
		if a.Event == i {
			return journal.TransitOf(a.Data)
		}
	}
	return x, false
}

// homeOf returns the account whose cell a step of a transfer across cells belongs to.
func homeOf(x *journal.Transit) money.U128 {
	if x.Step == journal.TransitHold || x.Step == journal.TransitConfirm {
		return x.Credit
	}
	return x.Debit
}

// endsTransit reports whether a step ends what is in transit already.
func endsTransit(step journal.TransitStep) bool {
	switch step {
	case journal.TransitDecide, journal.TransitMarker, journal.TransitTransfer, journal.TransitConfirm, journal.TransitSettle:
		return true
	}
	return false
}
