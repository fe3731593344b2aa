package books

import (
	"crypto/sha256"
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// frozenRecord is a freeze in force. Modes: 1 debits, 2 credits, 3 both.
type frozenRecord struct {
	selector, mode byte
	code           uint16
	account        uint32 // number
}

type freezes struct {
	byID   map[count.ID]frozenRecord // in force
	active int
	cell   byte
	codes  map[uint16]byte
}

func (f *freezes) init() { f.byID, f.codes = map[count.ID]frozenRecord{}, map[uint16]byte{} }

func (m *Model) freeze(r *block.Record) {
	id, account := r.ID(0), r.ID(16)
	f := frozenRecord{selector: r[34], mode: r[35], code: r.U16(32)}
	if f.selector == 1 {
		if f.account = m.number(&account); f.account == 0 {
			m.fault(lostUpdate, fmt.Sprintf("freeze %v is of account %v, which nobody created", id, account), nil)
			return
		}
	}
	if _, twice := m.frozen.byID[id]; twice {
		m.fault(duplicateID, fmt.Sprintf("freeze %v is created a second time", id), nil)
	}
	if f.selector == 1 {
		m.checkBuckets(false, m.accounts.at(f.account))
	}
	m.frozen.byID[id] = f
	m.enforce(f)
}

func (m *Model) unfreeze(r *block.Record) {
	id := r.ID(16)
	f, ok := m.frozen.byID[id]
	if !ok {
		m.fault(lostUpdate, fmt.Sprintf("freeze %v is lifted, and is not in force", id), nil)
		return
	}
	if f.selector == 1 {
		m.checkBuckets(false, m.accounts.at(f.account))
	}
	delete(m.frozen.byID, id)
	m.enforce(f)
}

// enforce computes anew what the freezes in force mean for what f selects.
func (m *Model) enforce(f frozenRecord) {
	var mode byte
	for _, e := range m.frozen.byID { // or has no order
		if e.selector == f.selector && e.account == f.account && e.code == f.code {
			mode |= e.mode
		}
	}
	m.frozen.active = len(m.frozen.byID)
	switch f.selector {
	case 1:
		a := m.accounts.at(f.account)
		a.marks = a.marks&^(frozenDebit|frozenCredit) | uint16(mode)&(frozenDebit|frozenCredit)
	case 2:
		m.frozen.codes[f.code] = mode
	case 3:
		m.frozen.cell = mode
	}
}

// limitKey names one side of an account: 1 debits, 2 credits.
type limitKey struct {
	account uint32
	side    byte
}

// velocity is what one side of an account may move in an hour and in a day of UTC, and what it has moved.
type velocity struct {
	hourMost, dayMost   count.Amount // 0: no bound
	hourTimes, dayTimes uint32       // 0: no bound
	hour, day           window
}

type window struct {
	start  uint64 // ns
	amount count.Amount
	times  uint32
}

func (m *Model) setLimit(r *block.Record) {
	id := r.ID(16)
	key := limitKey{m.number(&id), r[72]}
	if key.account == 0 || key.side < 1 || key.side > 2 {
		m.fault(lostUpdate, fmt.Sprintf("limit %v is of side %d of account %v, which nobody created", r.ID(0), key.side, id), nil)
		return
	}
	v := m.limits[key]
	if v == nil {
		v = &velocity{}
		m.limits[key] = v
	}
	v.hourMost, v.dayMost, v.hourTimes, v.dayTimes = r.Amount(32), r.Amount(48), r.U32(64), r.U32(68)
	m.checkBuckets(false, m.accounts.at(key.account))
	m.accounts.at(key.account).marks |= limitDebit << (key.side - 1)
}

const (
	hour = 3600 * second
	day  = 24 * hour
)

// countVelocity counts the movement at hand, and tells of limits that it goes beyond.
func (m *Model) countVelocity(s pair, at uint64) {
	for _, key := range [2]limitKey{{s.debit, 1}, {s.credit, 2}} {
		v := m.limits[key]
		if v == nil {
			continue
		}
		beyond := v.hour.count(at/hour*hour, m.move.Amount, v.hourMost, v.hourTimes)
		if v.day.count(at/day*day, m.move.Amount, v.dayMost, v.dayTimes) || beyond {
			m.wrong(limitExceeded, "takes an account beyond what it may move in an hour or a day",
				Field{"in the hour", fmt.Sprintf("%v in %d transfers", v.hour.amount, v.hour.times), bound(v.hourMost, v.hourTimes)},
				Field{"in the day", fmt.Sprintf("%v in %d transfers", v.day.amount, v.day.times), bound(v.dayMost, v.dayTimes)})
		}
	}
}

func bound(most count.Amount, times uint32) string {
	return fmt.Sprintf("at most %v in %d (0: any)", most, times)
}

// count counts an amount and reports whether that is beyond a bound.
func (w *window) count(start uint64, amount, most count.Amount, times uint32) (beyond bool) {
	if w.start != start {
		*w = window{start: start}
	}
	w.amount = w.amount.AddSat(amount)
	w.times++
	return !most.IsZero() && most.Less(w.amount) || times != 0 && w.times > times
}

// proposal is one that waits for its decision.
type proposal struct {
	payload [32]byte // its SHA-256
	expires uint64   // ns; 0: never
	inner   block.Kind
}

func (m *Model) propose(r *block.Record, attached []byte) {
	id := r.ID(0)
	if _, twice := m.proposals[id]; twice {
		m.fault(duplicateID, fmt.Sprintf("proposal %v is created a second time", id), nil)
	}
	m.proposals[id] = proposal{sha256.Sum256(block.Payload(attached)), r.U64(16), block.Kind(r[24])}
}

// decide checks that what a decision carries, the n events after it, is what was proposed, byte for byte, and that nobody decided before.
func (m *Model) decide(r *block.Record, event, n int) {
	id := r.ID(16)
	p, ok := m.proposals[id]
	if !ok {
		m.fault(lostUpdate, fmt.Sprintf("decision %v is on proposal %v, which nobody made, or which is decided", r.ID(0), id), nil)
		return
	}
	delete(m.proposals, id)
	switch {
	case p.expires != 0 && p.expires <= m.now.time:
		m.fault(lostUpdate, fmt.Sprintf("decision %v came after proposal %v had expired", r.ID(0), id), nil)
	case p.inner != block.Kind(r[32]), r[33] == block.Approve && m.block.PayloadHash(event+1, n) != p.payload:
		m.fault(lostUpdate, fmt.Sprintf("decision %v carries something else than proposal %v", r.ID(0), id), nil)
	}
}
