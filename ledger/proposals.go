package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Bounds of what waits for a decision; its contents are kept in memory until then.
const (
	MaxProposals       = 1000
	maxProposalsMemory = 8 << 20 // bytes
)

// Proposal is a proposal as it is kept.
type Proposal struct {
	journal.Proposal
	Actor     journal.Actor
	Timestamp uint64 // ns
	Position  journal.Position
	Payload   []byte // what is proposed, see DecodePayload; nil once it is decided

	Verdict       journal.Verdict // 0: open
	DecisionID    money.U128
	DecidedBy     journal.Actor
	DecidedAt     uint64 // ns
	DecidedReason [64]byte

	digest [16]byte // of the payload
}

type proposals struct {
	all       []*Proposal // in the order of creation
	byID      map[money.U128]*Proposal
	decisions map[money.U128]*Proposal // by the decision's id
	open      int
	memory    int // bytes of open payloads
}

func (p *proposals) init() {
	p.byID, p.decisions = map[money.U128]*Proposal{}, map[money.U128]*Proposal{}
}

// Proposals returns copies of all proposals in the order of creation, the open ones only if asked for.
func (s *State) Proposals(open bool) []Proposal {
	var list []Proposal
	for _, p := range s.proposals.all {
		if !open || p.Verdict == 0 && (p.Expires == 0 || p.Expires > s.lastEnd) {
			list = append(list, *p)
		}
	}
	return list
}

// Proposal returns a copy of the proposal with this id.
func (s *State) Proposal(id money.U128) (Proposal, bool) {
	p, ok := s.proposals.byID[id]
	if !ok {
		return Proposal{}, false
	}
	return *p, true
}

// EncodePayload makes a request the payload of a proposal.
func EncodePayload(events []byte, attached []journal.Attachment) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(len(events)/journal.RecordSize)) //nolint:gosec // ≤ MaxEvents
	b = le.AppendUint32(b, uint32(len(attached)))                     //nolint:gosec // ≤ MaxEvents
	b = append(b, events...)
	for _, a := range attached {
		b = le.AppendUint32(b, uint32(a.Event))     //nolint:gosec // ≤ MaxEvents
		b = le.AppendUint32(b, uint32(len(a.Data))) //nolint:gosec // bounded by Details
		b = append(b, a.Data...)
	}
	return b
}

// DecodePayload is the reverse of EncodePayload. The events are copied, the attachments share b's memory.
func DecodePayload(b []byte) (events []byte, attached []journal.Attachment, err error) {
	le := binary.LittleEndian
	bad := fmt.Errorf("%w: what is proposed is cut short", journal.ErrDetails)
	if len(b) < 8 {
		return nil, nil, bad
	}
	n, m := int(le.Uint32(b)), int(le.Uint32(b[4:]))
	b = b[8:]
	if n == 0 || n > journal.MaxEvents || m > n || len(b) < n*journal.RecordSize {
		return nil, nil, bad
	}
	events = journal.Aligned(bytes.Clone(b[:n*journal.RecordSize]))
	b = b[n*journal.RecordSize:]
	for range m {
		if len(b) < 8 || uint64(le.Uint32(b[4:])) > uint64(len(b)-8) { //nolint:gosec // not negative
			return nil, nil, bad
		}
		size := int(le.Uint32(b[4:]))
		attached = append(attached, journal.Attachment{Event: int(le.Uint32(b)), Data: b[8 : 8+size : 8+size]})
		b = b[8+size:]
	}
	if len(b) > 0 {
		return nil, nil, fmt.Errorf("%w: bytes after what is proposed", journal.ErrDetails)
	}
	return events, attached, nil
}

func (s *State) propose(events []journal.Proposal, first int, results []journal.Result) {
	for i := range events {
		results[i].Status, results[i].Timestamp = s.proposeOne(&events[i], first+i)
	}
}

func (s *State) proposeOne(r *journal.Proposal, event int) (journal.Status, uint64) {
	at, z := s.eventTime(event), &s.proposals
	if status := checkControlID(r.ID); status != journal.Created {
		return status, at
	}
	payload := decoded(s.builder.Attachment(event)).Payload
	if e, ok := z.byID[r.ID]; ok {
		if e.Proposal != *r || e.Actor != s.actor || e.digest != digestOf(payload) {
			return journal.ControlExistsWithDifferentFields, e.Timestamp
		}
		return journal.ControlExists, e.Timestamp
	}
	open, memory := s.awaited()
	switch {
	case open >= MaxProposals || memory+len(payload) > maxProposalsMemory:
		return journal.ControlTooManyProposals, at
	case r.Expires != 0 && r.Expires <= at:
		return journal.ControlProposalExpired, at
	case reasonUnterminated(r.Reason[:]):
		return journal.ControlReasonTooLong, at
	}
	s.forgetExpired() // not before: a request that is refused leaves no trace, and a replay would know nothing of it
	p := &Proposal{
		Proposal: *r, Actor: s.actor, Timestamp: at, Position: s.position(event), Payload: bytes.Clone(payload),
		digest: digestOf(payload),
	}
	z.all = append(z.all, p)
	z.byID[r.ID] = p
	z.open++
	z.memory += len(p.Payload)
	s.changed = true
	return journal.ControlCreated, at
}

// awaited returns how many proposals wait for a decision and have not expired, and the bytes of their payloads.
func (s *State) awaited() (open, memory int) {
	z := &s.proposals
	open, memory = z.open, z.memory
	for _, p := range z.all {
		if p.expired(s.time) {
			open--
			memory -= len(p.Payload)
		}
	}
	return open, memory
}

// expired reports whether p is still kept, and nobody may approve it any more.
func (p *Proposal) expired(now uint64) bool {
	return p.Payload != nil && p.Expires != 0 && p.Expires <= now
}

// forgetExpired makes room: what has expired is not kept for anybody to approve.
func (s *State) forgetExpired() {
	z := &s.proposals
	for _, p := range z.all {
		if p.expired(s.time) {
			z.memory -= len(p.Payload)
			z.open--
			p.Payload = nil
		}
	}
}

// decide applies a decision, and what was proposed if it approves: whole, or not at all.
func (s *State) decide(events []byte, first int, results []journal.Result) {
	d := &journal.View[journal.Decision](events[:journal.RecordSize])[0]
	at := s.eventTime(first)
	status, when := s.checkDecision(d, first, events[journal.RecordSize:], at)
	untried := journal.TransferLinkedEventFailed // has the same number for accounts
	if oneOnly(d.Inner) {
		untried = journal.ControlProposalFailed
	}
	for i := range results {
		results[i] = journal.Result{Status: untried, Timestamp: s.eventTime(first + i)}
	}
	results[0] = journal.Result{Status: status, Timestamp: when}
	if status != journal.ControlCreated {
		return
	}
	if d.Verdict == journal.Approve && !s.carryOut(d.Inner, events[journal.RecordSize:], first+1, results[1:]) {
		results[0].Status = journal.ControlProposalFailed
		return
	}
	p, z := s.proposals.byID[d.Proposal], &s.proposals
	p.Verdict, p.DecisionID, p.DecidedBy, p.DecidedAt, p.DecidedReason = d.Verdict, d.ID, s.actor, at, d.Reason
	z.decisions[d.ID] = p
	z.open--
	z.memory -= len(p.Payload)
	p.Payload = nil
	s.changed = true
}

func (s *State) checkDecision(d *journal.Decision, first int, inner []byte, at uint64) (journal.Status, uint64) {
	if status := checkControlID(d.ID); status != journal.Created {
		return status, at
	}
	if e, ok := s.proposals.decisions[d.ID]; ok {
		if e.ID != d.Proposal || e.Verdict != d.Verdict || e.DecidedBy != s.actor || e.DecidedReason != d.Reason {
			return journal.ControlExistsWithDifferentFields, e.DecidedAt
		}
		return journal.ControlExists, e.DecidedAt
	}
	p, ok := s.proposals.byID[d.Proposal]
	switch {
	case !ok:
		return journal.ControlProposalNotFound, at
	case p.Verdict != 0:
		return journal.ControlProposalAlreadyDecided, at
	case p.Expires != 0 && p.Expires <= at:
		return journal.ControlProposalExpired, at
	case d.Verdict == journal.Approve && p.Actor == s.actor:
		return journal.ControlSecondPersonRequired, at
	case d.Inner != p.Inner, d.Verdict == journal.Approve && !s.samePayload(p, first, inner):
		return journal.ControlProposalDiffers, at
	case reasonUnterminated(d.Reason[:]):
		return journal.ControlReasonTooLong, at
	}
	return journal.ControlCreated, at
}

// samePayload reports whether a decision carries what was proposed, byte for byte.
func (s *State) samePayload(p *Proposal, first int, inner []byte) bool {
	var attached []journal.Attachment
	for i := range len(inner) / journal.RecordSize {
		if data := s.builder.Attachment(first + 1 + i); data != nil {
			attached = append(attached, journal.Attachment{Event: i, Data: data})
		}
	}
	return len(inner) > 0 && bytes.Equal(p.Payload, EncodePayload(inner, attached))
}

// carryOut applies what was proposed and reports whether all of it was created.
func (s *State) carryOut(kind journal.Kind, events []byte, first int, results []journal.Result) bool {
	outer, outerResults := s.first, s.results
	s.first, s.results, s.approved = first, results, true
	s.applyKind(kind, events, first, results)
	s.first, s.results, s.approved = outer, outerResults, false
	return !slices.ContainsFunc(results, func(r journal.Result) bool { return r.Status != journal.Created })
}
