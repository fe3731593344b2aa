package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// This file is the model's part for what clients attach, for transactions, the books, and what two people decide.

// head is the head of a transaction, or a change of metadata.
type head struct {
	asked    journal.Transfer
	attached string
	time     uint64
}

// posting is a posted amount in the books.
type posting struct {
	day           uint32
	debit, credit uint16 // codes of the accounts
	amount        uint64
	late          int // closes before it, where its day was closed; otherwise -1
}

// dayClose is a close, or a reopening.
type dayClose struct {
	asked  string // the record
	actor  journal.Actor
	reopen bool
	time   uint64
}

// proposal is what waits for another person's decision, or had it.
type proposal struct {
	asked    string // the record
	actor    journal.Actor
	inner    journal.Kind
	payload  string
	time     uint64
	decision string // the record; "" while it is open
	by       journal.Actor
	end      uint64
}

// key is an id in 64 bits: legs of transactions have ids of 128, made by a hash.
func key(v money.U128) uint64 {
	if v.Hi == 0 {
		return v.Lo
	}
	return (v.Lo ^ v.Hi) | 1<<63
}

// field returns the value of an attachment's field: each is a tag, a length of 4 bytes, and the value.
func field(attached string, tag byte) string {
	for b := attached; len(b) >= 5; {
		n := int(binary.LittleEndian.Uint32([]byte(b[1:])))
		if b[0] == tag {
			return b[5 : 5+n]
		}
		b = b[5+n:]
	}
	return ""
}

func bookingDay(attached string) uint32 {
	if v := field(attached, 1); v != "" {
		return binary.LittleEndian.Uint32([]byte(v))
	}
	return 0
}

func attachedTo(list []journal.Attachment, event int) string {
	for _, a := range list {
		if a.Event == event {
			return string(a.Data)
		}
	}
	return ""
}

const dayLength = 86_400_000_000_000 // ns

// dayOf is the day that a transfer is to be booked on, and whether it may be.
func (m *model) dayOf(attached string, at uint64) (day uint32, allowed bool) {
	if day = bookingDay(attached); day == 0 {
		day = uint32(at / dayLength) //nolint:gosec // of this century
	}
	return day, m.through == 0 || day > m.through || m.approved
}

// book enters what a transfer that was created just now has posted.
func (m *model) book(t *transfer, day uint32) {
	if t.asked.Flags&(journal.TransferPending|journal.TransferVoid) != 0 {
		return
	}
	late := -1
	if m.through > 0 && day <= m.through {
		late = m.nCloses
	}
	p := posting{day, m.accounts[t.debit].asked.Code, m.accounts[t.credit].asked.Code, t.amount, late}
	put(m, &m.postings, append(m.postings[:len(m.postings):len(m.postings)], p))
}

// trial is the trial balance of a close, as it stands in the journal.
func (m *model) trial(through uint32) string {
	sums := map[uint16]*[6]uint64{}
	add := func(code uint16, column int, amount uint64) {
		if sums[code] == nil {
			sums[code] = new([6]uint64)
		}
		sums[code][column] += amount
	}
	for _, p := range m.postings {
		for side, code := range [2]uint16{p.debit, p.credit} {
			switch {
			case p.day <= m.through:
				add(code, side, p.amount)
				if p.late == m.nCloses {
					add(code, 2+side, p.amount)
				}
			case p.day <= through:
				add(code, 4+side, p.amount)
			}
		}
	}
	le := binary.LittleEndian
	var b []byte
	for code := range uint16(10) {
		if sums[code] == nil || *sums[code] == [6]uint64{} {
			continue
		}
		b = le.AppendUint32(le.AppendUint32(b, 1), uint32(code))
		for _, v := range sums[code] {
			b = append(le.AppendUint64(b, v), make([]byte, 16)...)
		}
	}
	if len(b) == 0 {
		return ""
	}
	return string(append(le.AppendUint32([]byte{7}, uint32(len(b))), b...)) //nolint:gosec // small
}

// closeDay closes a day or opens it again. It returns the trial balance of a close.
func (m *model) closeDay(id uint64, date uint32, c *dayClose) (status journal.Status, at uint64, trial string) {
	at = c.time
	if e := m.closes[id]; e != nil {
		if e.asked != c.asked || e.actor != c.actor || e.reopen != c.reopen {
			return journal.ControlExistsWithDifferentFields, e.time, ""
		}
		return journal.ControlExists, e.time, ""
	}
	switch {
	case c.reopen && !m.approved:
		return journal.ControlApprovalRequired, at, ""
	case c.reopen && date > m.through:
		return journal.ControlDayNotClosed, at, ""
	case c.reopen:
		put(m, &m.through, date-1)
	case uint64(date) >= at/dayLength:
		return journal.ControlDayNotOver, at, ""
	case date <= m.through:
		return journal.ControlDayAlreadyClosed, at, ""
	default:
		trial = m.trial(date)
		put(m, &m.through, date)
		put(m, &m.nCloses, m.nCloses+1)
	}
	putKey(m, m.closes, id, c)
	return journal.Created, at, trial
}

func (m *model) changeMetadata(c *journal.Transfer, attached string, at uint64) (journal.Status, uint64) {
	id := key(c.ID)
	if e := m.heads[id]; e != nil {
		if e.asked != *c || e.attached != attached {
			return journal.ControlExistsWithDifferentFields, e.time
		}
		return journal.ControlExists, e.time
	}
	if when, burned := m.burned[id]; burned {
		return journal.ControlExistsWithDifferentFields, when
	}
	a := m.accounts[key(c.Debit)]
	if a == nil {
		return journal.ControlAccountNotFound, at
	}
	put(m, &a.marked, true)
	putKey(m, m.heads, id, &head{*c, attached, at})
	return journal.Created, at
}

// transaction applies a head and its legs.
func (m *model) transaction(list []journal.Transfer, attached []journal.Attachment, at uint64) []journal.Result {
	id := key(list[0].ID)
	results := m.chains(len(list), at, func(i int) bool { return i < len(list)-1 }, func(i int, at uint64) (journal.Status, uint64) {
		if i > 0 {
			return m.createTransfer(&list[i], attachedTo(attached, i), at)
		}
		if e := m.heads[id]; e != nil {
			if e.asked != list[0] || e.attached != attachedTo(attached, 0) {
				return journal.TransferExistsWithDifferentLegs, e.time
			}
			return journal.TransferExists, e.time
		}
		if _, burned := m.burned[id]; burned {
			return journal.TransferIdAlreadyFailed, at
		}
		putKey(m, m.heads, id, &head{list[0], attachedTo(attached, 0), at})
		return journal.Created, at
	})
	if len(m.burns) > 0 && results[0].Status == journal.TransferLinkedEventFailed {
		putKey(m, m.burned, id, at)
	}
	return results
}

func (m *model) propose(p *journal.Proposal, actor journal.Actor, payload string, at uint64) (journal.Status, uint64) {
	record := string(journal.Bytes([]journal.Proposal{*p}))
	if e := m.proposals[key(p.ID)]; e != nil {
		if e.asked != record || e.actor != actor || e.payload != payload {
			return journal.ControlExistsWithDifferentFields, e.time
		}
		return journal.ControlExists, e.time
	}
	putKey(m, m.proposals, key(p.ID), &proposal{asked: record, actor: actor, inner: p.Inner, payload: payload, time: at})
	return journal.Created, at
}

// decide applies a decision, and the request that it carries.
func (m *model) decide(events []byte, actor journal.Actor, attached []journal.Attachment, at uint64) []journal.Result {
	d := &journal.View[journal.Decision](events[:journal.RecordSize])[0]
	inner := events[journal.RecordSize:]
	results := make([]journal.Result, len(events)/journal.RecordSize)
	for i := range results {
		results[i] = journal.Result{Status: journal.TransferLinkedEventFailed, Timestamp: at + uint64(i)}
		if d.Inner == journal.KindReopen {
			results[i].Status = journal.ControlProposalFailed
		}
	}
	results[0].Status, results[0].Timestamp = m.judge(d, actor, inner, attached, at)
	if results[0].Status != journal.Created {
		return results
	}
	if d.Verdict == journal.Approve {
		var shifted []journal.Attachment
		for _, a := range attached {
			shifted = append(shifted, journal.Attachment{Event: a.Event - 1, Data: a.Data})
		}
		m.approved = true
		carried, _ := m.apply(d.Inner, actor, inner, shifted, at+1)
		m.approved = false
		copy(results[1:], carried)
		for _, r := range carried {
			if r.Status != journal.Created {
				results[0].Status = journal.ControlProposalFailed
				return results
			}
		}
	}
	p := m.proposals[key(d.Proposal)]
	put(m, &p.decision, string(events[:journal.RecordSize]))
	put(m, &p.by, actor)
	put(m, &p.end, at)
	putKey(m, m.decisions, key(d.ID), p)
	return results
}

func (m *model) judge(d *journal.Decision, actor journal.Actor, inner []byte, attached []journal.Attachment, at uint64) (journal.Status, uint64) {
	if e := m.decisions[key(d.ID)]; e != nil {
		if e.decision != string(journal.Bytes([]journal.Decision{*d})) || e.by != actor {
			return journal.ControlExistsWithDifferentFields, e.end
		}
		return journal.ControlExists, e.end
	}
	p := m.proposals[key(d.Proposal)]
	switch {
	case p == nil:
		return journal.ControlProposalNotFound, at
	case p.decision != "":
		return journal.ControlProposalAlreadyDecided, at
	case d.Verdict == journal.Approve && p.actor == actor:
		return journal.ControlSecondPersonRequired, at
	case d.Verdict == journal.Approve && p.payload != payloadOf(inner, attached, 1):
		return journal.ControlProposalDiffers, at
	}
	return journal.Created, at
}

// payloadOf encodes a request as a proposal carries it; the events of its attachments count from first.
func payloadOf(events []byte, attached []journal.Attachment, first int) string {
	le := binary.LittleEndian
	var b bytes.Buffer
	u32 := func(n int) { b.Write(le.AppendUint32(nil, uint32(n))) } //nolint:gosec // small
	u32(len(events) / journal.RecordSize)
	u32(len(attached))
	b.Write(events)
	for _, a := range attached {
		u32(a.Event - first)
		u32(len(a.Data))
		b.Write(a.Data)
	}
	return b.String()
}
