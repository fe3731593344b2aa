package watch

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// ErrEffects is a snapshot asked for before all effects were taken.
var ErrEffects = errors.New("effects that were not taken")

var snapshotMagic = [8]byte{'s', 't', 'w', 'a', 't', 'c', 'h', 1}

// Snapshot writes the whole state as a stream. Its format is the engine's own, with a version and a checksum; the
// recomputed ledger follows with its own. [Engine.Effects] must have been called since the last input: ErrEffects.
func (e *Engine) Snapshot(w io.Writer) error {
	if len(e.out) > 0 {
		return fmt.Errorf("%w: %d", ErrEffects, len(e.out))
	}
	c := &coder{w: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
	e.code(c, e.header())
	if err := c.finish(); err != nil {
		return fmt.Errorf("write a snapshot of the watch after block %d: %w", e.books.Seq(), err)
	}
	if err := e.books.Snapshot(w); err != nil {
		return fmt.Errorf("write a snapshot of the watch: %w", err)
	}
	return nil
}

// Restore returns the engine that wrote a snapshot. It reads nothing beyond it. Flows that changed since (by content)
// begin anew; their cases go on where the old ones stood, if they have the same legs and terms, and are dropped with a
// break that says so otherwise. ErrSnapshot where it is not whole, or of another cell or version.
func Restore(r io.Reader, o Options) (*Engine, error) {
	return restore(r, o, func(r io.Reader) (bookkeeper, error) {
		return books.Restore(r, o.Cell, books.Options{HashKey: o.HashKey})
	})
}

func restore(r io.Reader, o Options, model func(io.Reader) (bookkeeper, error)) (*Engine, error) {
	e, err := newEngine(o, nil)
	if err != nil {
		return nil, err
	}
	c := &coder{r: r, sum: sha256.New()}
	old := &header{}
	e.code(c, old)
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("restore the watch: %w", err)
	}
	if e.books, err = model(r); err != nil {
		return nil, fmt.Errorf("restore the watch: %w", err)
	}
	e.adopt(old)
	return e, nil
}

// header is what a snapshot was written with: the flows and sources that its numbers mean.
type header struct {
	flows   []flowMark
	sources []*source
	running []running
}

// flowMark tells whether a flow is the same as before.
type flowMark struct {
	name   string
	digest [sha256.Size]byte
	shape  [sha256.Size]byte // of the names of legs and terms, and what the key is
}

func markOf(f *Flow) flowMark {
	shape := fmt.Sprint(f.keyedBy)
	for n := range f.legs {
		shape += "\x00leg " + f.legs[n].name
	}
	for _, term := range f.terms {
		shape += "\x00term " + term
	}
	return flowMark{f.Name, f.digest, sha256.Sum256([]byte(shape))}
}

func (e *Engine) header() *header {
	h := &header{sources: e.sources, running: e.running}
	for _, f := range e.flows {
		h.flows = append(h.flows, markOf(f))
	}
	return h
}

// code describes the format. When it reads, the numbers of flows and sources are still those of h.
func (e *Engine) code(c *coder, h *header) {
	magic := snapshotMagic
	c.bytes(magic[:])
	cell := e.cell
	c.u64(&cell)
	if magic != snapshotMagic || cell != e.cell {
		c.fail("it is of another version, or of cell %d: this is cell %d", cell, e.cell)
		return
	}
	codeList(c, &h.flows, maxFlows, func(f *flowMark) { c.text(&f.name); c.bytes(f.digest[:]); c.bytes(f.shape[:]) })
	codeList(c, &h.sources, maxSources+1, func(s **source) {
		if c.reading() {
			*s = &source{}
		}
		c.source(*s)
	})
	codeList(c, &h.running, maxFlows, c.running)
	for _, v := range []*uint64{&e.now, &e.head, &e.horizon, &e.number, &e.openCount, &e.events} {
		c.u64(v)
	}
	c.id(&e.journalRoot)
	c.id(&e.blockGap)
	codeList(c, &e.assets, maxAssets, c.text)
	codeList(c, &e.known, maxAssets, c.boolean)
	codeList(c, &e.ofLedger, maxAssets, c.u32)
	codeSlab(c, &e.cases, func(_ uint32, r *caseRec) { c.caseRec(r) })
	codeSlab(c, &e.facts, func(_ uint32, f *fact) { c.fact(f) })
	codeSlab(c, &e.terms, func(_ uint32, t *termValues) {
		for n := range t.values {
			u := uint64(t.values[n]) //nolint:gosec // G115: wraps, and back
			c.u64(&u)
			t.values[n] = int64(u) //nolint:gosec // G115: wraps, and back
		}
		c.u8(&t.present)
	})
	codeSlab(c, &e.texts, func(_ uint32, t *keyText) {
		c.u8(&t.size)
		c.bytes(t.text[:])
		t.size = min(t.size, maxText)
	})
	e.codeBreaks(c)
	e.codeRest(c)
}

func (c *coder) source(s *source) {
	c.text(&s.name)
	for _, v := range []*uint64{&s.next, &s.taken, &s.promised, &s.through, &s.heard, &s.expected, &s.silence, &s.gapSince, &s.clockSaid} {
		c.u64(v)
	}
	c.id(&s.silent)
	c.bytes(s.digest[:])
	codeList(c, &s.recent, maxRecent, c.u64)
	codeList(c, &s.holes, maxHoles+1, func(h *hole) { c.u64(&h.from); c.u64(&h.to); c.id(&h.id) })
	codeList(c, &s.waiting, maxWaiting+1, c.observation)
}

func (c *coder) observation(o *Observation) {
	for _, v := range []*uint64{&o.Seq, &o.Time, &o.Through} {
		c.u64(v)
	}
	c.u8((*uint8)(&o.Kind))
	c.u8((*uint8)(&o.Outcome))
	c.boolean(&o.Minus)
	for _, s := range []*string{&o.Flow, &o.KeyText, &o.IDText, &o.Asset, &o.Text} {
		c.text(s)
	}
	for _, id := range []*ID{&o.Key, &o.ID, &o.Debit, &o.Credit, &o.OfKey} {
		c.id(id)
	}
	c.amount(&o.Amount)
	codeList(c, &o.Terms, 1<<10, func(t *Term) {
		c.text(&t.Name)
		u := uint64(t.Value) //nolint:gosec // G115: wraps, and back
		c.u64(&u)
		t.Value = int64(u) //nolint:gosec // G115: wraps, and back
	})
}

func (c *coder) running(r *running) {
	c.boolean(&r.seen)
	c.u64(&r.closed)
	c.u64(&r.late)
	c.integer(&r.latenessAt)
	codeList(c, &r.lateness, lateCases, c.u64)
	if r.latenessAt < 0 || r.latenessAt >= lateCases {
		c.fail("place %d among the last cases", r.latenessAt)
	}
}

func (c *coder) caseRec(r *caseRec) {
	c.id(&r.key)
	for n := range r.times {
		c.u64(&r.times[n])
	}
	for _, v := range []*uint32{&r.first, &r.last, &r.facts, &r.text} {
		c.u32(v)
	}
	c.u16(&r.flow)
	for _, v := range []*bool{&r.broken, &r.over, &r.done} {
		c.boolean(v)
	}
}

func (c *coder) fact(f *fact) {
	for _, id := range []*ID{&f.id, &f.debit, &f.credit, &f.ref} {
		c.id(id)
	}
	c.amount(&f.amount)
	for _, v := range []*uint64{&f.seq, &f.time, &f.hash} {
		c.u64(v)
	}
	for _, v := range []*uint32{&f.next, &f.asset, &f.terms, &f.count, &f.data32} {
		c.u32(v)
	}
	for _, v := range []*uint16{&f.source, &f.index, &f.code} {
		c.u16(v)
	}
	leg := uint8(f.leg) //nolint:gosec // G115: wraps, and back
	for _, v := range []*uint8{(*uint8)(&f.kind), &leg, (*uint8)(&f.outcome), &f.flags} {
		c.u8(v)
	}
	f.leg = int8(leg) //nolint:gosec // G115: wraps, and back
}

func (e *Engine) codeBreaks(c *coder) {
	list := slices.SortedFunc(maps.Values(e.breaks), func(a, b *kept) int {
		if a.number != b.number {
			return cmp.Compare(a.number, b.number)
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	codeList(c, &list, many, func(k **kept) {
		if c.reading() {
			*k = &kept{Break: &Break{}}
		}
		c.kept(*k)
	})
	if c.reading() {
		for _, k := range list {
			e.breaks[k.ID] = k
			if k.index != 0 {
				e.ofCase[k.index] = append(e.ofCase[k.index], k)
			}
		}
		e.breaksChanged = true
	}
	codeList(c, &e.ended, maxEnded+1, c.id)
	codeList(c, &e.causeOrder, maxOfCause+1, func(k *causeKey) {
		root := e.causes[*k]
		c.id(&k.transfer)
		c.u64(&k.seq)
		c.id(&root)
		e.causes[*k] = root
	})
}

func (c *coder) kept(k *kept) {
	c.u64(&k.number)
	c.u32(&k.index)
	c.integer(&k.flow)
	c.boolean(&k.mended)
	b := k.Break
	for _, id := range []*ID{&b.ID, &b.Key, &b.Group} {
		c.id(id)
	}
	c.text((*string)(&b.Class))
	for _, s := range []*string{&b.Flow, &b.KeyText, &b.Asset, &b.Summary} {
		c.text(s)
	}
	c.amount(&b.AtRisk)
	c.u64(&b.Happened)
	c.u64(&b.FirstSeen)
	c.u8((*uint8)(&b.State))
	codeList(c, &b.Accounts, 1<<16, c.id)
	codeList(c, &b.Evidence, 1<<10, func(ev *Evidence) {
		c.text(&ev.What)
		c.text(&ev.Source)
		c.u64(&ev.Seq)
		c.integer(&ev.Index)
		c.u64(&ev.Time)
		codeList(c, &ev.Fields, 1<<10, func(f *Field) { c.text(&f.Name); c.text(&f.Value); c.boolean(&f.Wrong) })
	})
	codeList(c, &b.Repair, 1<<10, func(r *RepairTransfer) {
		c.id(&r.Debit)
		c.id(&r.Credit)
		c.amount(&r.Amount)
		c.text(&r.Asset)
		c.u16(&r.Code)
	})
}

func (e *Engine) codeRest(c *coder) {
	codes := slices.Sorted(maps.Keys(e.uncovered))
	codeList(c, &codes, 1<<16, func(code *uint16) {
		u := e.uncovered[*code]
		c.u16(code)
		c.u64(&u.movements)
		c.u64(&u.last)
		e.uncovered[*code] = u
	})
	codeList(c, &e.watchOrder, maxWatched, func(id *ID) {
		w := e.watched[*id]
		if w == nil {
			w = &watchedAccount{}
		}
		c.id(id)
		codeList(c, &w.changes, maxChanges+1, func(b *balanceAt) { c.u64(&b.time); c.number(&b.amount) })
		codeList(c, &w.claims, maxClaims, func(l *claim) {
			c.u64(&l.time)
			c.number(&l.amount)
			c.u16(&l.source)
			c.u64(&l.seq)
			c.text(&l.asset)
		})
		e.watched[*id] = w
	})
	c.u64(&e.spent.minute)
	c.integer(&e.spent.accounts)
	assets := slices.Sorted(maps.Keys(e.spent.amount))
	codeList(c, &assets, maxAssets, func(asset *string) {
		a := e.spent.amount[*asset]
		c.text(asset)
		c.amount(&a)
		if e.spent.amount == nil {
			e.spent.amount = map[string]Amount{}
		}
		e.spent.amount[*asset] = a
	})
}
