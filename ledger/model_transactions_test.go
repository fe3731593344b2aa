package ledger_test

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// createTransaction applies a head and its legs: a chain, whose id burns where the legs might succeed later.
func (m *model) createTransaction(first uint64, events []journal.Transfer, attached []journal.Attachment) []journal.Result {
	linked := make([]bool, len(events))
	for i := range events {
		linked[i] = i < len(events)-1
	}
	results := m.run(first, linked, func(i int, at uint64) (journal.Status, uint64, []money.U128) {
		switch {
		case i == 0:
			s, at := m.createHead(events[0], events[1:], attachedTo(attached, 0), at)
			return s, at, nil
		case events[i].Flags.Has(journal.TransferImported):
			return journal.TransferImportedEventNotExpected, at, nil
		}
		return m.createTransfer(&events[i], attachedTo(attached, i), false, at)
	})
	for _, r := range results[1:] {
		if transientNames[r.Status.Name(journal.KindTransfers)] {
			m.burned[events[0].ID] = first
		}
	}
	return results
}

func (m *model) createHead(h journal.Transfer, legs []journal.Transfer, attached string, at uint64) (journal.Status, uint64) {
	var f faults
	f.when(h.Timestamp != 0, journal.TransferTimestampMustBeZero)
	f.when(h.Flags.Has(1<<15) != (attached != "") || h.Flags&0x7FFF&^(1<<13) != 1<<14, journal.TransferReservedFlag)
	f.when(h.ID.IsZero(), journal.TransferIdMustNotBeZero)
	f.when(h.ID.IsMax(), journal.TransferIdMustNotBeIntMax)
	h.Flags &= 0x7FFF
	e, exists := m.heads[h.ID]
	if exists {
		f.when(h.Flags != e.asked.Flags&0x7FFF, journal.TransferExistsWithDifferentFlags)
		f.when(h.Debit != e.asked.Debit || h.Credit != e.asked.Credit || h.Timeout != e.asked.Timeout, journal.TransferExistsWithDifferentLegs)
		f.when(h.UserData128 != e.asked.UserData128, journal.TransferExistsWithDifferentUserData128)
		f.when(h.UserData64 != e.asked.UserData64, journal.TransferExistsWithDifferentUserData64)
		f.when(h.UserData32 != e.asked.UserData32, journal.TransferExistsWithDifferentUserData32)
		f.when(h.Code != e.asked.Code, journal.TransferExistsWithDifferentCode)
		f.when(dateIn(attached) != dateIn(e.attached), journal.TransferExistsWithDifferentBookingDate)
		f.when(attached != e.attached, journal.TransferExistsWithDifferentMetadata)
		f.when(true, journal.TransferExists)
	}
	if x, ok := m.transfers[h.ID]; ok {
		exists, e.timestamp = true, x.timestamp
		f.when(true, journal.TransferExistsWithDifferentFlags)
	}
	_, burned := m.burned[h.ID]
	f.when(burned, journal.TransferIdAlreadyFailed)
	f.when(!exists && !h.Flags.Has(journal.TransferCycles) && goesRound(legs), journal.TransferLegsAreCyclic)
	s := f.first(transferOrder)
	switch {
	case s == journal.Created:
		m.heads[h.ID] = modelHead{h, false, attached, at}
	case exists && transferOrder(s) >= transferOrder(journal.TransferExistsWithDifferentFlags):
		at = e.timestamp
	}
	return s, at
}

// goesRound reports whether an account can be reached from itself along the legs, by trying all ways.
func goesRound(legs []journal.Transfer) bool {
	to := map[money.U128]map[money.U128]bool{}
	for i := range legs {
		d, c := legs[i].Debit, legs[i].Credit
		if d.IsZero() || c.IsZero() {
			continue
		}
		if to[d] == nil {
			to[d] = map[money.U128]bool{}
		}
		to[d][c] = true
	}
	for range legs { // after n rounds, all ways of up to n steps are known
		for d, list := range to {
			for c := range list {
				for next := range to[c] {
					to[d][next] = true
				}
			}
		}
	}
	for d := range to {
		if to[d][d] {
			return true
		}
	}
	return false
}

// propose keeps what is to be decided. Proposals that have expired are as good as none, but their ids stay.
func (m *model) propose(p journal.Proposal, actor journal.Actor, events []byte, attached []journal.Attachment, at uint64) (journal.Status, uint64) {
	if s, bad := controlID(p.ID); bad {
		return s, at
	}
	if e, ok := m.proposals[p.ID]; ok {
		if e.Proposal != p || e.actor != actor || !sameRequest(e, events, attached) {
			return journal.ControlExistsWithDifferentFields, e.timestamp
		}
		return journal.ControlExists, e.timestamp
	}
	if p.Expires != 0 && p.Expires <= at {
		return journal.ControlProposalExpired, at
	}
	m.proposals[p.ID] = &modelProposal{Proposal: p, actor: actor, timestamp: at, events: events, attached: attached}
	return journal.Created, at
}

func sameRequest(p *modelProposal, events []byte, attached []journal.Attachment) bool {
	if string(p.events) != string(events) || len(p.attached) != len(attached) {
		return false
	}
	for i := range attached {
		if attached[i].Event != p.attached[i].Event || string(attached[i].Data) != string(p.attached[i].Data) {
			return false
		}
	}
	return true
}

// decide applies a decision, and the request that it carries if it approves.
func (m *model) decide(first uint64, d journal.Decision, actor journal.Actor, events []byte, attached []journal.Attachment) []journal.Result {
	results := make([]journal.Result, 1+len(events)/journal.RecordSize)
	for i := range results {
		results[i] = journal.Result{Status: journal.TransferLinkedEventFailed, Timestamp: first + uint64(i)}
		switch d.Inner {
		case journal.KindUnfreeze, journal.KindReopen, journal.KindPolicy, journal.KindPrincipals:
			results[i].Status = journal.ControlProposalFailed
		}
	}
	results[0].Status, results[0].Timestamp = m.judge(d, actor, events, attached, first)
	if results[0].Status != journal.Created {
		return results
	}
	if d.Verdict == journal.Approve {
		m.approved = true
		copy(results[1:], m.apply(d.Inner, actor, first+1, events, attached))
		m.approved = false
		for _, r := range results[1:] {
			if r.Status != journal.Created {
				results[0].Status = journal.ControlProposalFailed
				return results
			}
		}
	}
	p := m.proposals[d.Proposal]
	p.verdict, p.decision, p.by, p.decidedAt = d.Verdict, d, actor, first
	m.decisions[d.ID] = p.ID
	return results
}

func (m *model) judge(d journal.Decision, actor journal.Actor, events []byte, attached []journal.Attachment, at uint64) (journal.Status, uint64) {
	if s, bad := controlID(d.ID); bad {
		return s, at
	}
	if id, ok := m.decisions[d.ID]; ok {
		p := m.proposals[id]
		if p.decision.Proposal != d.Proposal || p.decision.Verdict != d.Verdict || p.by != actor || p.decision.Reason != d.Reason {
			return journal.ControlExistsWithDifferentFields, p.decidedAt
		}
		return journal.ControlExists, p.decidedAt
	}
	p, ok := m.proposals[d.Proposal]
	switch {
	case !ok:
		return journal.ControlProposalNotFound, at
	case p.verdict != 0:
		return journal.ControlProposalAlreadyDecided, at
	case p.Expires != 0 && p.Expires <= at:
		return journal.ControlProposalExpired, at
	case d.Verdict == journal.Approve && p.actor == actor:
		return journal.ControlSecondPersonRequired, at
	case d.Inner != p.Inner, d.Verdict == journal.Approve && !sameRequest(p, events, attached):
		return journal.ControlProposalDiffers, at
	}
	return journal.Created, at
}

// apply applies a request of those kinds that can be proposed.
func (m *model) apply(kind journal.Kind, actor journal.Actor, first uint64, events []byte, attached []journal.Attachment) []journal.Result {
	one := func(s journal.Status, at uint64) []journal.Result {
		return []journal.Result{{Status: s, Timestamp: at}}
	}
	switch kind {
	case journal.KindAccounts:
		return m.createAccounts(first, journal.View[journal.Account](events), attached)
	case journal.KindTransfers:
		return m.createTransfers(first, journal.View[journal.Transfer](events), attached)
	case journal.KindTransaction:
		return m.createTransaction(first, journal.View[journal.Transfer](events), attached)
	case journal.KindUnfreeze:
		return one(m.unfreeze(journal.View[journal.Unfreeze](events)[0], actor, first))
	case journal.KindPolicy:
		return one(m.setPolicy(journal.View[journal.Policy](events)[0], first))
	case journal.KindReopen:
		r := journal.View[journal.Reopen](events)[0]
		return one(m.closeDay(r.ID, modelClose{date: r.Date, reopened: true, actor: actor, reason: r.Reason}, first))
	}
	panic("the model knows no such kind")
}

func (m *model) unfreeze(u journal.Unfreeze, actor journal.Actor, at uint64) (journal.Status, uint64) {
	for i := range m.freezes {
		f := &m.freezes[i]
		if f.lifted && f.lift.ID == u.ID {
			if f.lift != u || f.liftedBy != actor {
				return journal.ControlExistsWithDifferentFields, f.liftedAt
			}
			return journal.ControlExists, f.liftedAt
		}
	}
	for i := range m.freezes {
		f := &m.freezes[i]
		if f.ID != u.FreezeID {
			continue
		}
		switch {
		case f.lifted:
			return journal.ControlFreezeAlreadyLifted, at
		case m.unfreezeApproved && !m.approved:
			return journal.ControlApprovalRequired, at
		case f.actor == actor && !m.approved:
			return journal.ControlSecondPersonRequired, at
		}
		f.lifted, f.lift, f.liftedBy, f.liftedAt = true, u, actor, at
		return journal.Created, at
	}
	return journal.ControlFreezeNotFound, at
}
