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
// no id is burned here that the other cell would not know. Facts are those that Needs asked for. What ends a reservation
// of a transfer across cells passes where that is open, but not while its bucket arrives. A post or void of a transfer
// that became one across cells, which its caller does not know yet, has to be sent again as a step of it. The runner asks
// right before Apply, in the block that was begun; a replay need not.
func (s *State) Refused(kind journal.Kind, events []byte, facts Facts) (why Refusal, refused bool) {
	if len(s.moves.buckets) == 0 {
		return why, false
	}
	s.facts, s.first = facts, s.builder.Events()
	defer func() { s.facts = Facts{} }()
	if kind == journal.KindTransfers {
		if p := s.splitMeanwhile(journal.View[journal.Transfer](events)); p != nil {
			return Refusal{Bucket: p.from - 1}, true
		}
	}
	if s.moves.refusing == 0 {
		return why, false
	}
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

// splitMeanwhile returns a transfer across cells, open here, that one of the events ends as if it were none.
func (s *State) splitMeanwhile(list []journal.Transfer) *pending {
	for i := range list {
		t := &list[i]
		if !t.Flags.Has(journal.TransferPost|journal.TransferVoid) || t.Flags.Has(journal.TransferTransit) {
			continue
		}
		if n := s.pendings.find(t.PendingID, s.hasher.hash(t.PendingID)); n != 0 {
			if p := s.pendings.slab.at(n); p.flags&transitFlags == journal.TransferTransit {
				return p
			}
		}
	}
	return nil
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
			x, transit := s.asksTransit(first + i)
			if transit && s.endsHere(&list[i], &x) {
				continue
			}
			s.touchTransfer(&list[i], touch)
			if transit {
				touch(homeOf(&x))
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

// endsHere reports whether a step of a transfer across cells ends a reservation that is open here, or is part of the
// decision that does.
func (s *State) endsHere(t *journal.Transfer, x *journal.Transit) bool {
	id := x.Reserve
	switch x.Step {
	case journal.TransitConfirm, journal.TransitSettle:
		id = t.PendingID
	case journal.TransitDecide, journal.TransitMarker, journal.TransitTransfer:
	default:
		return false
	}
	b := s.moves.buckets[journal.Bucket(homeOf(x))]
	return (b == nil || b.Phase != Arriving) && s.pendings.find(id, s.hasher.hash(id)) != 0
}
