package watch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// What is kept of a closed key: its facts, its text and its ended breaks, packed by a small dictionary of accounts, and
// a digest. Where that has more than maxClosed bytes, movements of one leg become one.

const (
	closedVersion = 1
	maxClosed     = 512
	digestSize    = 16
	maxKeptBreaks = 6
	dictionary    = 24 // ids of one key that are written once
	closedPage    = 128
	arenaSize     = 64 << 10
)

var errClosed = errors.New("not the state of a closed key")

// close takes a complete case out of memory, with an effect that says how to bring it back.
func (e *Engine) close(i uint32, j *judgement) {
	e.finished(j)
	if e.past == nil {
		return
	}
	state, ok := e.pack(i)
	if !ok {
		return // too many different things to keep in few bytes: it stays
	}
	c := e.cases.at(i)
	k := caseKey{c.key, c.flow}
	if len(e.closings) == 0 {
		e.closings = make([]Closed, closedPage)
	}
	closing := &e.closings[0]
	e.closings = e.closings[1:]
	*closing = Closed{Flow: j.f.Name, Key: c.key, State: state}
	e.emit(Effect{Kind: KeyClosed, Closed: closing, Who: whoWatch})
	e.leaving[k] = state
	for _, b := range e.ofCase[i] {
		delete(e.breaks, b.ID)
	}
	delete(e.ofCase, i)
	e.drop(i)
}

const lateCases = 1000

// finished counts a complete case and how long it took. A case that comes back is counted again only with a new order.
func (e *Engine) finished(j *judgement) {
	r := &e.running[j.c.flow]
	if j.c.done {
		return
	}
	j.c.done = true
	r.closed++
	if j.order == nil || j.lastFact == nil {
		return
	}
	took := j.lastFact.time - min(j.lastFact.time, j.order.time)
	if took > j.f.longest()/2 {
		r.late++
	}
	if len(r.lateness) < lateCases {
		r.lateness = append(r.lateness, took)
	} else {
		r.lateness[r.latenessAt] = took
		r.latenessAt = (r.latenessAt + 1) % lateCases
	}
}

// pack writes the state of a closed key.
func (e *Engine) pack(i uint32) (state []byte, ok bool) {
	if len(e.arena)+maxClosed > cap(e.arena) {
		e.arena = make([]byte, 0, arenaSize)
	}
	from := len(e.arena)
	b := e.packFacts(e.arena, i, false)
	if len(b)-from > maxClosed-digestSize {
		b = e.packFacts(e.arena, i, true)
	}
	if len(b)-from > maxClosed-digestSize {
		return nil, false
	}
	c := e.cases.at(i)
	sum := digestOf(e.flows[c.flow], c.key, b[from:])
	b = append(b, sum[:digestSize]...)
	e.arena = b
	return b[from:len(b):len(b)], true
}

func digestOf(f *Flow, key ID, body []byte) [sha256.Size]byte {
	text := make([]byte, 0, maxClosed+sha256.Size+len(key))
	text = append(text, body...)
	text = append(text, f.digest[:]...)
	return sha256.Sum256(append(text, key[:]...))
}

// packer writes ids by a dictionary and times as differences.
type packer struct {
	b     []byte
	known [dictionary]ID
	size  int
	time  uint64
}

func (p *packer) u(v uint64)           { p.b = binary.AppendUvarint(p.b, v) }
func (p *packer) difference(at uint64) { p.b = binary.AppendVarint(p.b, int64(at-p.time)); p.time = at } //nolint:gosec // G115: wraps, and back

func (p *packer) id(id ID) {
	if id.IsZero() {
		p.u(0)
		return
	}
	for n := range p.size {
		if p.known[n] == id {
			p.u(uint64(n) + 2)
			return
		}
	}
	p.u(1)
	p.b = append(p.b, id[:]...)
	if p.size < dictionary {
		p.known[p.size] = id
		p.size++
	}
}

func (e *Engine) packFacts(dst []byte, i uint32, merge bool) []byte {
	c := e.cases.at(i)
	p := packer{b: append(dst, closedVersion, bit(c.over)|bit(c.done)<<1)}
	if text := c.text; text == 0 {
		p.u(0)
	} else {
		t := e.texts.at(text)
		p.u(uint64(t.size))
		p.b = append(p.b, t.text[:t.size]...)
	}
	ended := e.ofCase[i]
	ended = ended[max(0, len(ended)-maxKeptBreaks):]
	p.u(uint64(len(ended)))
	for _, k := range ended {
		p.b = append(append(p.b, byte(k.State)|bit(k.mended)<<7), k.ID[:]...)
	}
	list := e.factsOf(c)
	if merge {
		list = merged(list)
	}
	p.u(uint64(len(list)))
	for n := range list {
		p.fact(e, &list[n])
	}
	return p.b
}

func (e *Engine) factsOf(c *caseRec) []fact {
	e.list = e.list[:0]
	for n := c.first; n != 0; {
		one := e.facts.at(n)
		e.list = append(e.list, *one)
		n = one.next
	}
	return e.list
}

// merged adds up movements of one leg, kind and pair of accounts.
func merged(list []fact) []fact {
	out := list[:0:0]
	for n := range list {
		one := list[n]
		if one.isMovement() {
			at := slices.IndexFunc(out, func(o fact) bool {
				return o.kind == one.kind && o.leg == one.leg && o.debit == one.debit && o.credit == one.credit && o.asset == one.asset
			})
			if at >= 0 {
				out[at].amount = out[at].amount.AddSat(one.amount)
				out[at].count += one.count
				out[at].flags |= factMerged
				continue
			}
			if one.kind != factKind(books.Reserve) {
				one.ref = ID{}
			}
		}
		out = append(out, one)
	}
	return out
}

func (p *packer) fact(e *Engine, f *fact) {
	p.b = append(p.b, byte(f.kind), byte(f.leg), byte(f.outcome), f.flags) //nolint:gosec // G115: -1 to 7, and back
	for _, v := range []uint64{uint64(f.source), uint64(f.index), uint64(f.code), uint64(f.asset), uint64(f.count), uint64(f.data32), f.seq, f.amount.Lo, f.amount.Hi} {
		p.u(v)
	}
	p.difference(f.time)
	for _, id := range []ID{f.id, f.debit, f.credit, f.ref} {
		p.id(id)
	}
	if !f.isMovement() {
		p.b = binary.LittleEndian.AppendUint64(p.b, f.hash)
	}
	if f.terms == 0 {
		p.b = append(p.b, 0)
		return
	}
	t := e.terms.at(f.terms)
	p.b = append(p.b, t.present)
	for n := range t.values {
		if t.present>>n&1 == 1 {
			p.b = binary.AppendVarint(p.b, t.values[n])
		}
	}
}

// reopen brings a closed key back into a new case.
func (e *Engine) reopen(i uint32, state []byte) error {
	c := e.cases.at(i)
	if len(state) < digestSize || len(state) > maxClosed {
		return errClosed
	}
	body := state[:len(state)-digestSize]
	if sum := digestOf(e.flows[c.flow], c.key, body); string(sum[:digestSize]) != string(state[len(body):]) {
		return errClosed
	}
	u := unpacker{b: body}
	if u.byte() != closedVersion {
		return errClosed
	}
	flags := u.byte()
	c.over, c.done = flags&1 == 1, flags&2 == 2
	if size := u.u(); size > 0 && size <= maxText {
		c.text = e.texts.take()
		t := e.texts.at(c.text)
		t.size = uint8(size)
		copy(t.text[:], u.take(int(size)))
	} else if size > maxText {
		return errClosed
	}
	e.reopenBreaks(i, &u)
	n := u.u()
	for ; n > 0 && !u.bad; n-- {
		one, terms := u.fact()
		places := len(e.sources)
		if one.kind == factRefund {
			places = len(e.flows)
		}
		if u.bad || int(one.asset) >= len(e.assets) || int(one.source) >= places || int(one.leg) >= len(e.flows[c.flow].legs) {
			return errClosed
		}
		kept := e.add(i, &one)
		if kept != nil && terms.present != 0 {
			kept.terms = e.terms.take()
			*e.terms.at(kept.terms) = terms
		}
	}
	if u.bad || len(u.b) > 0 {
		return errClosed
	}
	return nil
}

// reopenBreaks remembers the breaks that a closed key had, so that what a person accepted is not opened again.
func (e *Engine) reopenBreaks(i uint32, u *unpacker) {
	c := e.cases.at(i)
	for n := u.u(); n > 0 && n <= maxKeptBreaks && !u.bad; n-- {
		state := u.byte()
		k := &kept{index: i, flow: int(c.flow), mended: state>>7 == 1, Break: &Break{State: BreakState(state & 0x7f), Flow: e.flows[c.flow].Name, Key: c.key}}
		copy(k.ID[:], u.take(len(k.ID)))
		k.Group = k.ID
		c.broken = true
		e.breaks[k.ID] = k
		e.ofCase[i] = append(e.ofCase[i], k)
	}
}

// unpacker reads what a packer wrote; bad is set where it can't.
type unpacker struct {
	b     []byte
	known []ID
	time  uint64
	bad   bool
}

func (u *unpacker) byte() byte {
	b := u.take(1)
	if u.bad {
		return 0
	}
	return b[0]
}

func (u *unpacker) take(n int) []byte {
	if n > len(u.b) {
		u.bad = true
		return nil
	}
	b := u.b[:n]
	u.b = u.b[n:]
	return b
}

func (u *unpacker) u() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.bad = true
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) signed() int64 {
	v, n := binary.Varint(u.b)
	if n <= 0 {
		u.bad = true
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) id() (id ID) {
	switch n := u.u(); {
	case n == 0:
	case n == 1:
		copy(id[:], u.take(len(id)))
		if len(u.known) < dictionary {
			u.known = append(u.known, id)
		}
	case n-2 < uint64(len(u.known)):
		id = u.known[n-2]
	default:
		u.bad = true
	}
	return id
}

func (u *unpacker) fact() (f fact, terms termValues) {
	f.kind, f.leg, f.outcome, f.flags = factKind(u.byte()), int8(u.byte()), Outcome(u.byte()), u.byte() //nolint:gosec // G115: as it was written
	var v [9]uint64
	for n := range v {
		v[n] = u.u()
	}
	f.source, f.index, f.code, f.asset, f.count, f.data32 = uint16(v[0]), uint16(v[1]), uint16(v[2]), uint32(v[3]), uint32(v[4]), uint32(v[5]) //nolint:gosec // G115: as they were written
	f.seq, f.amount = v[6], Amount{Lo: v[7], Hi: v[8]}
	u.time += uint64(u.signed()) //nolint:gosec // G115: wraps, and back
	f.time = u.time
	f.id, f.debit, f.credit, f.ref = u.id(), u.id(), u.id(), u.id()
	if !f.isMovement() {
		if b := u.take(8); !u.bad {
			f.hash = binary.LittleEndian.Uint64(b)
		}
	}
	terms.present = u.byte()
	for n := range terms.values {
		if terms.present>>n&1 == 1 {
			terms.values[n] = u.signed()
		}
	}
	return f, terms
}
