package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"time"
)

// source is one witness, or (at place 0) the journal.
type source struct {
	name string
	heap heap // cases that wait for it

	next      uint64 // the sequence number that comes next
	taken     uint64 // observations
	promised  uint64 // it has told everything up to here, by its word
	through   uint64 // the same, as far as it counts: what cases wait for; moves by ticks
	heard     uint64 // the engine's time; 0: never
	expected  uint64 // since when somebody waits for it; 0: nobody does
	silence   uint64 // how long it may say nothing
	silent    ID     // the break; zero: it is not silent
	waiting   []Observation
	gapSince  uint64
	holes     []hole // numbers that were given up waiting for
	digest    [sha256.Size]byte
	recent    []uint64 // contents of the last observations, by number
	clockSaid uint64   // the last minute for which a clock break was opened
}

// hole is a range of sequence numbers that never came.
type hole struct {
	from, to uint64
	id       ID // the break
}

const (
	maxSources = 64
	maxWaiting = 4_096                     // observations that wait behind a gap
	maxRecent  = 8_192                     // observations of which the content is remembered
	maxHoles   = 64                        //
	gapWait    = uint64(5 * time.Second)   // how long a gap may be filled before it is a break
	clockSkew  = uint64(5 * time.Second)   // how far a source's clock may go before the engine's
	minuteNs   = uint64(60 * time.Second)  //
	yearNs     = uint64(366 * 24 * 3.6e12) //
)

func (e *Engine) sourceOf(name string) (uint16, bool) {
	if i, ok := e.sourceIndex[name]; ok {
		return i, true
	}
	if len(e.sources) > maxSources {
		return 0, false
	}
	i := uint16(len(e.sources)) //nolint:gosec // G115: up to 64
	e.sources = append(e.sources, &source{name: name, next: 1, silence: defaultSilence})
	e.sourceIndex[name] = i
	return i, true
}

// Observe takes observations of a source, ascending by Seq. What was taken already with the same content is left out,
// with another content it is a break; what comes after a gap waits, up to a bound, for what is missing, and is then
// taken without it: the gap becomes a break, and the source's word counts no further until it is filled or accepted.
func (e *Engine) Observe(name string, list []Observation) {
	i, ok := e.sourceOf(name)
	if !ok {
		e.report(breakOf{class: SourceRepeat, cause: "too many sources", happened: e.now, summary: fmt.Sprintf("more than %d sources: %q is not heard", maxSources, name)})
		return
	}
	s := e.sources[i]
	s.heard = max(e.now, 1)
	if !s.silent.IsZero() {
		e.mend(s.silent, "the source speaks again")
		s.silent = ID{}
	}
	for n := range list {
		o := &list[n]
		switch {
		case o.Seq == s.next:
			e.accept(i, o)
		case o.Seq > s.next:
			e.wait(i, o)
		default:
			e.repeat(i, o)
		}
		for len(s.waiting) > 0 && s.waiting[0].Seq == s.next {
			e.accept(i, &s.waiting[0])
			s.waiting = slices.Delete(s.waiting, 0, 1)
		}
	}
	e.settleDirty()
}

// accept takes the observation that comes next.
func (e *Engine) accept(i uint16, o *Observation) {
	s := e.sources[i]
	hash := e.chain(s, o)
	if len(s.recent) < maxRecent {
		s.recent = append(s.recent, hash)
	} else {
		s.recent[(o.Seq-1)%maxRecent] = hash
	}
	s.next = o.Seq + 1
	if s.next == 0 { // 2^64-1 is a number nobody reaches by counting
		s.next = o.Seq
	}
	if len(s.waiting) == 0 || s.waiting[0].Seq == s.next {
		s.gapSince = 0
	}
	e.observe(i, o, hash)
}

// chain appends an observation to the source's digest and returns a short hash of its content.
func (e *Engine) chain(s *source, o *Observation) uint64 {
	e.scratch = appendContent(append(e.scratch[:0], s.digest[:]...), o)
	hash := hash64(e.scratch[sha256.Size:])
	e.scratch = binary.LittleEndian.AppendUint64(e.scratch, o.Seq)
	s.digest = sha256.Sum256(e.scratch)
	return hash
}

// appendContent writes what an observation says, without its number and its promise.
func appendContent(b []byte, o *Observation) []byte {
	b = append(b, byte(o.Kind), byte(o.Outcome), bit(o.Minus))
	b = binary.LittleEndian.AppendUint64(b, o.Time)
	for _, id := range []*ID{&o.Key, &o.ID, &o.Debit, &o.Credit, &o.OfKey} {
		b = append(b, id[:]...)
	}
	b = binary.LittleEndian.AppendUint64(b, o.Amount.Lo)
	b = binary.LittleEndian.AppendUint64(b, o.Amount.Hi)
	for _, s := range []string{o.Flow, o.Asset, o.Text} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for n := range o.Terms {
		b = binary.AppendUvarint(b, uint64(len(o.Terms[n].Name)))
		b = append(b, o.Terms[n].Name...)
		b = binary.AppendVarint(b, o.Terms[n].Value)
	}
	return b
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// hash64 is a short hash of some bytes: enough to tell one delivery from another, not to stand against an attacker,
// for whom there is the source's digest.
func hash64(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h ^ h>>32
}

// wait keeps an observation that came after a gap.
func (e *Engine) wait(i uint16, o *Observation) {
	s := e.sources[i]
	if s.gapSince == 0 {
		s.gapSince = max(e.now, 1)
	}
	n := sort.Search(len(s.waiting), func(n int) bool { return s.waiting[n].Seq >= o.Seq })
	if n < len(s.waiting) && s.waiting[n].Seq == o.Seq {
		if !bytes.Equal(appendContent(nil, &s.waiting[n]), appendContent(nil, o)) {
			e.contradiction(s, o)
		}
		return
	}
	s.waiting = slices.Insert(s.waiting, n, copyOf(o))
	if len(s.waiting) > maxWaiting {
		e.skip(i)
	}
}

// copyOf makes an observation the engine's own.
func copyOf(o *Observation) Observation {
	c := *o
	c.Terms = slices.Clone(o.Terms)
	for _, s := range []*string{&c.Flow, &c.KeyText, &c.IDText, &c.Asset, &c.Text} {
		*s = string([]byte(*s))
	}
	for n := range c.Terms {
		c.Terms[n].Name = string([]byte(c.Terms[n].Name))
	}
	return c
}

// skip gives up waiting for a gap: what came after it is taken.
func (e *Engine) skip(i uint16) {
	s := e.sources[i]
	if len(s.waiting) == 0 {
		return
	}
	h := hole{from: s.next, to: s.waiting[0].Seq - 1}
	h.id = e.report(breakOf{
		class: SourceGap, cause: fmt.Sprintf("%s %d", s.name, h.from), happened: max(s.through, 1),
		summary:  fmt.Sprintf("source %s never told %d to %d", s.name, h.from, h.to),
		evidence: []Evidence{{What: "observation", Source: s.name, Seq: h.from, Time: e.now, Fields: []Field{{Name: "missing from", Value: fmt.Sprint(h.from), Wrong: true}, {Name: "missing to", Value: fmt.Sprint(h.to), Wrong: true}}}},
	})
	s.holes = append(s.holes, h)
	if len(s.holes) > maxHoles { // the last two become one
		last := len(s.holes) - 1
		s.holes[last-1].to = h.to
		s.holes = s.holes[:last]
	}
	for n := h.from; n <= h.to && len(s.recent) < maxRecent; n++ {
		s.recent = append(s.recent, 0)
	}
	for n := range min(h.to-h.from+1, maxRecent) {
		s.recent[(h.to-n-1)%maxRecent] = 0
	}
	s.next, s.gapSince = s.waiting[0].Seq, 0
	for len(s.waiting) > 0 && s.waiting[0].Seq == s.next {
		e.accept(i, &s.waiting[0])
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
	if len(s.waiting) > 0 {
		s.gapSince = max(e.now, 1)
	}
}

// repeat takes an observation whose number was passed: it fills a hole, or came before.
func (e *Engine) repeat(i uint16, o *Observation) {
	s := e.sources[i]
	for n := range s.holes {
		h := &s.holes[n]
		if o.Seq < h.from || o.Seq > h.to {
			continue
		}
		hash := e.chain(s, o)
		if s.next-o.Seq <= maxRecent {
			s.recent[(o.Seq-1)%maxRecent] = hash
		}
		e.observe(i, o, hash)
		e.fill(s, n, o.Seq)
		return
	}
	if o.Seq == 0 || s.next-o.Seq > maxRecent || int((o.Seq-1)%maxRecent) >= len(s.recent) {
		return // so long ago that its content is not remembered
	}
	e.scratch = appendContent(e.scratch[:0], o)
	if was := s.recent[(o.Seq-1)%maxRecent]; was != 0 && was != hash64(e.scratch) {
		e.contradiction(s, o)
	}
}

// fill takes a number out of a hole. The break ends when nothing of it is missing.
func (e *Engine) fill(s *source, n int, seq uint64) {
	h := s.holes[n]
	left, right := hole{h.from, seq - 1, h.id}, hole{seq + 1, h.to, h.id}
	var rest []hole
	for _, part := range []hole{left, right} {
		if part.from <= part.to && (len(s.holes)+len(rest) <= maxHoles || len(rest) == 0) {
			rest = append(rest, part)
		} else if part.from <= part.to {
			rest[0].to = part.to
		}
	}
	s.holes = slices.Replace(s.holes, n, n+1, rest...)
	if !slices.ContainsFunc(s.holes, func(o hole) bool { return o.id == h.id }) {
		e.mend(h.id, "what was missing came")
	}
}

// forgive drops the holes of a break that a person accepted.
func (s *source) forgive(id ID) {
	s.holes = slices.DeleteFunc(s.holes, func(h hole) bool { return h.id == id })
}

// contradiction reports one number with two contents.
func (e *Engine) contradiction(s *source, o *Observation) {
	e.report(breakOf{
		class: SourceRepeat, flow: e.flowName(o.Flow), key: o.Key, cause: fmt.Sprintf("%s %d", s.name, o.Seq), happened: max(min(o.Time, e.now), 1), risk: o.Amount, asset: o.Asset,
		summary: fmt.Sprintf("source %s told number %d twice, with two contents", s.name, o.Seq),
		evidence: []Evidence{{What: "observation", Source: s.name, Seq: o.Seq, Time: o.Time, Fields: []Field{
			{Name: "id", Value: textOf(o.ID)}, {Name: "amount", Value: money(o.Amount, o.Asset), Wrong: true},
		}}},
	})
}

func (e *Engine) flowName(name string) string {
	if _, ok := e.flowIndex[name]; ok {
		return name
	}
	return ""
}

// clockOf judges the times of an observation: what lies in the future counts as now, which is a break, and what a source
// tells about a time that it had promised to be complete counts as told late, which is one unless it was told before.
func (e *Engine) clockOf(s *source, o *Observation) (moment uint64, late bool) {
	moment = min(o.Time, 1<<62)
	switch {
	case e.now != 0 && o.Time > e.now+clockSkew:
		e.clockBreak(s, o.Time, fmt.Sprintf("the clock of source %s is %v ahead", s.name, apartOf(o.Time, e.now)))
		moment = e.now
	case s.promised != 0 && o.Kind != Heartbeat && o.Time+clockSkew < s.promised && len(s.holes) == 0:
		moment, late = s.promised, true
	}
	switch {
	case o.Through <= s.promised:
	case e.now != 0 && o.Through > e.now+clockSkew:
		e.clockBreak(s, o.Through, fmt.Sprintf("source %s promises what lies %v ahead", s.name, apartOf(o.Through, e.now)))
	default:
		s.promised = o.Through
	}
	return max(moment, 1), late
}

// tellsLate reports an observation that breaks its source's promise.
func (e *Engine) tellsLate(s *source, o *Observation, moment uint64) {
	e.clockBreak(s, o.Time, fmt.Sprintf("source %s tells %v late of a time that it had promised to be complete", s.name, apartOf(moment, o.Time)))
}

func apartOf(a, b uint64) time.Duration {
	return time.Duration(min(a-b, yearNs)).Round(time.Millisecond)
}

func (e *Engine) clockBreak(s *source, at uint64, summary string) {
	s.clockSaid = e.now/minuteNs + 1
	id := breakID(ClockJump, "", ID{}, s.name)
	if k := e.breaks[id]; k != nil && k.holds() {
		return
	}
	e.report(breakOf{
		class: ClockJump, cause: s.name, happened: max(min(at, e.now), 1), summary: summary,
		evidence: []Evidence{{What: "observation", Source: s.name, Seq: s.next, Time: at, Fields: []Field{{Name: "time", Value: stamp(at), Wrong: true}, {Name: "now", Value: stamp(e.now)}}}},
	})
}

func stamp(at uint64) string {
	if at > 1<<62 {
		return fmt.Sprint(at)
	}
	return time.Unix(0, int64(at)).UTC().Format("2006-01-02 15:04:05.000")
}

// awayAfter is the time between two ticks from which on nobody listened: the watch, or the machine, stood still.
const awayAfter = uint64(2 * time.Second)

// back gives the sources their time anew after nobody listened to them.
func (e *Engine) back(now uint64) {
	for _, s := range e.sources[1:] {
		if s.expected != 0 {
			s.expected = now
		}
		if s.gapSince != 0 {
			s.gapSince = now
		}
	}
}

// tickSource moves a source's word and finds out whether it fell silent, or left a gap.
func (e *Engine) tickSource(i uint16) {
	s := e.sources[i]
	if s.gapSince != 0 && e.now-min(e.now, s.gapSince) > gapWait {
		e.skip(i)
	}
	if len(s.holes) == 0 && len(s.waiting) == 0 {
		s.promised = min(s.promised, e.now+clockSkew) // a promise from before the first tick had nothing to be held against
		s.through = max(s.through, s.promised)
	}
	if minute := e.now/minuteNs + 1; s.clockSaid != 0 && minute > s.clockSaid+1 {
		s.clockSaid = 0
		e.mend(breakID(ClockJump, "", ID{}, s.name), "its times were right for a minute")
	}
	since := max(s.heard, s.expected)
	if since == 0 || s.expected == 0 || !s.silent.IsZero() || e.now-min(e.now, since) <= s.silence {
		return
	}
	s.silent = e.report(breakOf{
		class: SilentSource, cause: fmt.Sprintf("%s %d", s.name, since), happened: max(s.through, 1),
		summary:  fmt.Sprintf("source %s is silent since %s", s.name, stamp(since)),
		evidence: []Evidence{{What: "source", Source: s.name, Seq: s.next - 1, Time: since, Fields: []Field{{Name: "silent since", Value: stamp(since), Wrong: true}}}},
	})
}
