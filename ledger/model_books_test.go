package ledger_test

import (
	"encoding/binary"
	"maps"
	"math/big"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// modelBooks are the model's addresses, heads of transactions, booking days, policies and proposals.
type modelBooks struct {
	heads     map[money.U128]modelHead // of transactions, and changes of metadata: their ids are those of transfers
	changed   map[money.U128]uint64    // account → when its metadata was last replaced
	postings  []posting
	through   int64 // the last day that is closed; 0: none
	closes    map[money.U128]modelClose
	nCloses   int // created closes, not reopenings
	proposals map[money.U128]*modelProposal
	decisions map[money.U128]money.U128 // → proposal

	importsApproved, unfreezeApproved bool
	offset                            int64 // minutes
	approved                          bool  // what is being applied was approved
}

type modelHead struct {
	asked     journal.Transfer
	change    bool
	attached  string
	timestamp uint64
}

// posting is a posted amount.
type posting struct {
	day           int64
	debit, credit [2]uint32 // asset and code
	amount        *big.Int
	late          int // created closes before it, where its day was closed; otherwise -1
}

type modelClose struct {
	date      journal.Date
	reopened  bool
	actor     journal.Actor
	reason    [64]byte
	timestamp uint64
}

type modelProposal struct {
	journal.Proposal
	actor     journal.Actor
	timestamp uint64
	events    []byte
	attached  []journal.Attachment
	verdict   journal.Verdict
	decision  journal.Decision
	by        journal.Actor
	decidedAt uint64
}

func newModelBooks() modelBooks {
	return modelBooks{
		heads: map[money.U128]modelHead{}, changed: map[money.U128]uint64{}, closes: map[money.U128]modelClose{},
		proposals: map[money.U128]*modelProposal{}, decisions: map[money.U128]money.U128{},
	}
}

// clone copies what a chain can change.
func (b modelBooks) clone() modelBooks {
	b.heads, b.postings = maps.Clone(b.heads), slices.Clone(b.postings)
	return b
}

// What an attachment says, read by hand: a tag, the length, the value.
func field(attached string, tag byte) string {
	for b := attached; len(b) > 0; {
		n := binary.LittleEndian.Uint32([]byte(b[1:]))
		if b[0] == tag {
			return b[5 : 5+n]
		}
		b = b[5+n:]
	}
	return ""
}

func dateIn(attached string) int64 {
	if v := field(attached, 1); v != "" {
		return int64(binary.LittleEndian.Uint32([]byte(v)))
	}
	return 0
}

func addressIn(attached string) string { return field(attached, 2) }

func attachedTo(list []journal.Attachment, event int) string {
	for _, a := range list {
		if a.Event == event {
			return string(a.Data)
		}
	}
	return ""
}

func (m *model) byAddress(address string) (money.U128, bool) {
	for id, a := range m.accounts {
		if address != "" && a.address == address {
			return id, true
		}
	}
	return money.U128{}, false
}

// day is the day of a timestamp in the model's zone; there is none before 1970.
func (m *model) day(ns uint64) int64 {
	local := new(big.Int).SetUint64(ns)
	local.Add(local, big.NewInt(m.offset*60_000_000_000))
	d, _ := local.Div(local, big.NewInt(86_400_000_000_000)), 0 // Euclidean
	return max(0, d.Int64())
}

func (m *model) isClosed(day int64) bool { return m.through > 0 && day <= m.through }

// bookingDay collects what is wrong with the day that a transfer is to be booked on, and returns it.
func (m *model) bookingDay(f *faults, t *journal.Transfer, attached string, at uint64) int64 {
	if t.Flags.Has(journal.TransferImported) {
		at = t.Timestamp
	}
	if at > 1<<63-1 {
		return 0 // refused for that
	}
	booked := m.day(at)
	if asked := dateIn(attached); asked != 0 {
		distance := asked - booked
		f.when(distance > 366 || distance < -366, journal.TransferBookingDateOutOfRange)
		booked = asked
	}
	f.when(m.isClosed(booked) && !m.approved, journal.TransferBookingDayClosed)
	return booked
}

// book keeps what was attached to a transfer that was just created, and enters what it posted.
func (m *model) book(id money.U128, attached string, day int64) {
	x := m.transfers[id]
	x.attached, x.booked, x.today = attached, day, m.day(x.timestamp)
	m.transfers[id] = x
	if x.asked.Flags.Has(journal.TransferPending | journal.TransferVoid) {
		return
	}
	late := -1
	if m.isClosed(day) {
		late = m.nCloses
	}
	d, c := m.accounts[x.debit].asked, m.accounts[x.credit].asked
	m.postings = append(m.postings, posting{day, [2]uint32{d.Asset, uint32(d.Code)}, [2]uint32{c.Asset, uint32(c.Code)}, x.amount, late})
}

// trial adds up all postings again: for each asset and code the opening, late and period sums of debits and credits.
func (m *model) trial(from, through int64) map[[2]uint32][6]string {
	sums := map[[2]uint32]*[6]*big.Int{}
	add := func(group [2]uint32, column int, amount *big.Int) {
		if sums[group] == nil {
			sums[group] = &[6]*big.Int{{}, {}, {}, {}, {}, {}}
		}
		sums[group][column] = plus(sums[group][column], amount)
	}
	for _, p := range m.postings {
		for side, group := range [2][2]uint32{p.debit, p.credit} {
			switch {
			case p.day < from:
				add(group, side, p.amount)
				if p.late == m.nCloses {
					add(group, 2+side, p.amount)
				}
			case p.day <= through:
				add(group, 4+side, p.amount)
			}
		}
	}
	list := map[[2]uint32][6]string{}
	for group, v := range sums {
		var row [6]string
		zero := true
		for i := range v {
			row[i] = v[i].String()
			zero = zero && v[i].Sign() == 0
		}
		if !zero {
			list[group] = row
		}
	}
	return list
}

// openFrom is the first day that is not closed.
func (m *model) openFrom() int64 {
	if m.through == 0 {
		return 0
	}
	return m.through + 1
}

func controlID(id money.U128) (journal.Status, bool) {
	switch {
	case id.IsZero():
		return journal.ControlIdMustNotBeZero, true
	case id.IsMax():
		return journal.ControlIdMustNotBeIntMax, true
	}
	return 0, false
}

// closeDay closes or reopens.
func (m *model) closeDay(id money.U128, c modelClose, at uint64) (journal.Status, uint64) {
	if s, bad := controlID(id); bad {
		return s, at
	}
	if e, ok := m.closes[id]; ok {
		t := e.timestamp
		if e.timestamp = 0; e != c {
			return journal.ControlExistsWithDifferentFields, t
		}
		return journal.ControlExists, t
	}
	day := int64(c.date)
	invalid := day == 0 || day > 2_932_896
	switch {
	case c.reopened && !m.approved:
		return journal.ControlApprovalRequired, at
	case invalid:
		return journal.ControlDateInvalid, at
	case c.reopened && day > m.through:
		return journal.ControlDayNotClosed, at
	case !c.reopened && day >= m.day(at):
		return journal.ControlDayNotOver, at
	case !c.reopened && day <= m.through:
		return journal.ControlDayAlreadyClosed, at
	}
	c.timestamp = at
	m.closes[id] = c
	m.through = day
	if c.reopened {
		m.through--
	} else {
		m.nCloses++
	}
	return journal.Created, at
}

func (m *model) setPolicy(p journal.Policy, at uint64) (journal.Status, uint64) {
	imports, unfreeze := p.Flags&1 != 0, p.Flags&2 != 0
	offset := int64(p.UTCOffset)
	was := m.offset
	m.offset = offset
	today := m.day(at)
	m.offset = was
	switch {
	case offset < -18*60 || offset > 18*60 || m.isClosed(today):
		return journal.ControlPolicyInvalid, at
	case !m.approved && (m.importsApproved && !imports || m.unfreezeApproved && !unfreeze || offset != was && m.through > 0):
		return journal.ControlApprovalRequired, at
	}
	m.importsApproved, m.unfreezeApproved, m.offset = imports, unfreeze, offset
	return journal.Created, at
}

// changeMetadata applies one change.
func (m *model) changeMetadata(c journal.Transfer, attached string, at uint64) (journal.Status, uint64) {
	if s, bad := controlID(c.ID); bad {
		return s, at
	}
	if e, ok := m.heads[c.ID]; ok {
		if e.change && e.asked == c && e.attached == attached {
			return journal.ControlExists, e.timestamp
		}
		return journal.ControlExistsWithDifferentFields, e.timestamp
	}
	if e, ok := m.transfers[c.ID]; ok {
		return journal.ControlExistsWithDifferentFields, e.timestamp
	}
	if t, ok := m.burned[c.ID]; ok {
		return journal.ControlExistsWithDifferentFields, t
	}
	if _, ok := m.accounts[c.Debit]; !ok {
		return journal.ControlAccountNotFound, at
	}
	m.heads[c.ID] = modelHead{c, true, attached, at}
	m.changed[c.Debit] = at
	return journal.Created, at
}
