package books

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Snapshot writes the whole state, with a version and a checksum. It is not called within Apply.
func (m *Model) Snapshot(w io.Writer) error {
	c := newWriter(w)
	m.code(c)
	if err := c.finish(); err != nil {
		return fmt.Errorf("write a snapshot of the books after block %d: %w", m.seq, err)
	}
	return nil
}

// Restore returns the model that wrote a snapshot. It reads nothing beyond it. Options may be others than before; a
// greater window fills up as ids come. ErrSnapshot where it is not whole, or of another cell or version.
func Restore(r io.Reader, cell uint64, o Options) (*Model, error) {
	c := newReader(r)
	m := New(cell, o)
	m.code(c)
	if c.err == nil && m.cell != cell {
		c.fail("it is of cell %d, this is cell %d", m.cell, cell)
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("restore the books: %w", err)
	}
	return m, nil
}

// many bounds lists of which there may be as many as people like.
const many = 1<<32 - 2

func (m *Model) code(c *coder) {
	m.codeHead(c)
	m.codeGroups(c)
	m.codeAccounts(c)
	m.codeReservations(c)
	m.codeSeen(c, &m.seen.young)
	m.codeSeen(c, &m.seen.old)
	if c.reading() {
		m.seen.n = 0
		for i := range m.seen.young {
			m.seen.n += m.seen.young[i].n
		}
	}
	m.codeDays(c)
	m.codeFreezes(c)
	m.codeLimits(c)
	m.codeProposals(c)
	if c.version >= 2 {
		m.codeCrossings(c)
	}
	if c.version >= 3 {
		m.codeBuckets(c)
	}
}

func (m *Model) codeHead(c *coder) {
	for _, v := range []*uint64{&m.cell, &m.seq, &m.time, &m.end, &m.epoch, &m.gap, &m.events, &m.youngest} {
		c.u64(v)
	}
	c.u16(&m.rules)
	c.bytes(m.hash[:])
	c.bytes(m.prev[:])
	for i := range m.recent {
		c.bytes(m.recent[i][:])
	}
	why := ""
	if m.broken != nil {
		why = m.broken.Error()
		why = why[:min(len(why), 1<<12)]
	}
	if c.text(&why); c.reading() && why != "" {
		m.broken = brokenBefore{why}
	}
}

// brokenBefore is why a model was broken when its snapshot was written.
type brokenBefore struct{ why string }

// Error implements error.
func (b brokenBefore) Error() string { return b.why }

// Unwrap makes it an ErrBroken.
func (b brokenBefore) Unwrap() error { return ErrBroken }

func (m *Model) codeGroups(c *coder) {
	codeList(c, &m.assets, 1<<16, c.text)
	codeList(c, &m.totals, many, func(t *total) {
		c.u32(&t.asset)
		for _, s := range []*count.Sum{&t.sums.DebitsPosted, &t.sums.CreditsPosted, &t.sums.DebitsPending, &t.sums.CreditsPending} {
			c.total(s)
		}
		c.u64(&t.transfers)
		c.u64(&t.accounts)
		t.unbalanced = !t.sums.Balanced()
	})
	codeList(c, &m.groups, many, func(g *group) {
		c.u32(&g.asset)
		c.u16(&g.code)
		if c.u32(&g.total); c.err == nil && int(g.total) >= len(m.totals) {
			c.fail("a group of asset %d of %d", g.total, len(m.totals))
		}
	})
	for i := range m.totals {
		m.totalNo[m.totals[i].asset] = uint32(i)
	}
	for i := range m.groups {
		m.groupNo[m.groups[i].groupKey] = uint32(i)
	}
}

// codeList writes a list, or reads it and lets it grow as it comes.
func codeList[T any](c *coder, list *[]T, most int, each func(*T)) {
	n := c.length(len(*list), most)
	for i := 0; i < n && c.err == nil; i++ {
		if c.reading() {
			*list = append(*list, *new(T))
		}
		each(&(*list)[i])
	}
}

func (m *Model) codeAccounts(c *coder) {
	n := c.length(int(m.accounts.n), many)
	for i := 0; i < n && c.err == nil; i++ {
		number := uint32(i + 1)
		if c.reading() {
			number = m.accounts.extend()
		}
		a := m.accounts.at(number)
		c.bytes(a.id[:])
		for _, v := range []*count.Amount{&a.debitsPending, &a.debitsPosted, &a.creditsPending, &a.creditsPosted} {
			c.amount(v)
		}
		c.u32(&a.group)
		c.u16(&a.flags)
		c.u16(&a.marks)
		if c.reading() {
			if c.err == nil && int(a.group) >= len(m.groups) {
				c.fail("account %v of group %d of %d", a.id, a.group, len(m.groups))
			}
			if c.err == nil {
				m.countRestored(c, a)
			}
			m.accountNo.insert(hashID(&a.id, m.o.HashKey), number)
		}
	}
}

func (m *Model) codeReservations(c *coder) {
	n := c.length(m.held.n, many)
	place := uint32(0)
	for i := 0; i < n && c.err == nil; i++ {
		var read reservation
		r := &read
		if !c.reading() {
			for r.position == 0 {
				place++
				r = m.held.list.at(place)
			}
		}
		c.bytes(r.id[:])
		c.amount(&r.left)
		c.bytes(r.userData128[:])
		for _, v := range []*uint64{&r.position, &r.expires, &r.userData64} {
			c.u64(v)
		}
		for _, v := range []*uint32{&r.debit, &r.credit, &r.userData32} {
			c.u32(v)
		}
		c.u16(&r.code)
		c.u16(&r.flags)
		if c.reading() && c.err == nil {
			if r.position == 0 || r.debit == 0 || r.debit > m.accounts.n || r.credit == 0 || r.credit > m.accounts.n {
				c.fail("reservation %v between accounts number %d and %d of %d", r.id, r.debit, r.credit, m.accounts.n)
				return
			}
			m.openHeld(r)
		}
	}
}

func (m *Model) codeSeen(c *coder, sets *[segments]idSet) {
	n := 0
	for i := range sets {
		n += sets[i].n
	}
	n = c.length(n, 1<<40)
	if c.reading() {
		for i := 0; i < n && c.err == nil; i++ {
			var id count.ID
			if c.bytes(id[:]); c.err == nil && !id.IsZero() {
				h := hashID(&id, m.o.HashKey)
				sets[h%segments].add(&id, h, m.o.HashKey)
			}
		}
		return
	}
	for i := range sets {
		for k := range sets[i].slots {
			if id := &sets[i].slots[k]; !id.IsZero() {
				c.bytes(id[:])
			}
		}
	}
}

func (m *Model) codeDays(c *coder) {
	c.u32(&m.days.through)
	zone := uint32(m.days.zone) //nolint:gosec // its bits
	c.u32(&zone)
	m.days.setZone(int32(zone)) //nolint:gosec // its bits
	for _, days := range []map[uint32]*[]sides{m.days.sums, m.days.late} {
		codeMap(c, days, many, cmpNumber, c.u32, func(d **[]sides) {
			if *d == nil {
				*d = new([]sides)
			}
			codeList(c, *d, len(m.groups), func(s *sides) {
				c.total(&s.debits)
				c.total(&s.credits)
			})
		})
	}
}

// codeMap writes a map in the order of its keys, or reads it.
func codeMap[K comparable, V any](c *coder, all map[K]V, most int, order func(a, b K) int, key func(*K), value func(*V)) {
	n := c.length(len(all), most)
	if !c.reading() {
		for _, k := range slices.SortedFunc(maps.Keys(all), order) {
			v := all[k]
			key(&k)
			value(&v)
		}
		return
	}
	for i := 0; i < n && c.err == nil; i++ {
		var k K
		var v V
		key(&k)
		value(&v)
		all[k] = v
	}
}

func cmpNumber(a, b uint32) int { return int(int64(a) - int64(b)) }

func cmpID(a, b count.ID) int { return bytes.Compare(a[:], b[:]) }

func (m *Model) codeFreezes(c *coder) {
	codeMap(c, m.frozen.byID, many, cmpID, func(k *count.ID) { c.bytes(k[:]) }, func(f *frozenRecord) {
		c.u8(&f.selector)
		c.u8(&f.mode)
		c.u16(&f.code)
		if c.u32(&f.account); c.err == nil && (f.account > m.accounts.n || f.selector == 1 && f.account == 0) {
			c.fail("a freeze of account number %d of %d", f.account, m.accounts.n)
		}
	})
	if c.reading() && c.err == nil {
		for _, f := range m.frozen.byID {
			m.enforce(f)
		}
	}
}

func (m *Model) codeLimits(c *coder) {
	order := func(a, b limitKey) int {
		if a.account != b.account {
			return cmpNumber(a.account, b.account)
		}
		return int(a.side) - int(b.side)
	}
	codeMap(c, m.limits, many, order, func(k *limitKey) {
		c.u32(&k.account)
		c.u8(&k.side)
	}, func(p **velocity) {
		if *p == nil {
			*p = &velocity{}
		}
		v := *p
		c.amount(&v.hourMost)
		c.amount(&v.dayMost)
		c.u32(&v.hourTimes)
		c.u32(&v.dayTimes)
		for _, w := range []*window{&v.hour, &v.day} {
			c.u64(&w.start)
			c.amount(&w.amount)
			c.u32(&w.times)
		}
	})
}

func (m *Model) codeProposals(c *coder) {
	codeMap(c, m.proposals, many, cmpID, func(k *count.ID) { c.bytes(k[:]) }, func(p *proposal) {
		c.bytes(p.payload[:])
		c.u64(&p.expires)
		inner := uint8(p.inner)
		c.u8(&inner)
		p.inner = block.Kind(inner)
	})
}

// codeCrossings writes the open reservations of transfers across cells, in the order of their ids.
func (m *Model) codeCrossings(c *coder) {
	codeMap(c, m.across.open, many, cmpID, func(k *count.ID) { c.bytes(k[:]) }, func(p **Open) {
		if *p == nil {
			*p = &Open{}
		}
		m.codeOpen(c, *p)
	})
	if !c.reading() || c.err != nil {
		return
	}
	open := m.across.open
	m.across.init()
	for id, o := range open {
		o.ID = id
		if o.place, _ = m.held.find(&id, m.o.HashKey); o.place == 0 {
			c.fail("reservation %v across cells, which is not open", id)
			return
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(open), cmpID) {
		m.across.add(open[id])
		m.since(open[id], open[id].Since)
	}
}

func (m *Model) codeOpen(c *coder, o *Open) {
	for _, id := range []*count.ID{&o.Transfer, &o.Reserve, &o.Debit, &o.Credit} {
		c.bytes(id[:])
	}
	for _, v := range []*uint64{&o.Peer, &o.Seq, &o.Time, &o.Since} {
		c.u64(v)
	}
	for _, v := range []*uint32{&o.Timeout, &o.Asset} {
		c.u32(v)
	}
	index := uint16(o.Index) //nolint:gosec // in a block
	var state uint8
	for i, is := range []bool{o.created, o.ended} {
		if is {
			state |= 1 << i
		}
	}
	for _, v := range []*uint16{&o.Flags, &o.Status, &index} {
		c.u16(v)
	}
	step := uint8(o.Step)
	c.u8(&step)
	c.u8(&state)
	c.amount(&o.Amount)
	c.amount(&o.Whole)
	c.amount(&o.moved)
	o.Index, o.Step, o.created, o.ended = int(index), block.Step(step), state&1 != 0, state&2 != 0
}

// countRestored counts an account in its bucket. Before version 3, the cell's own were told by their codes.
func (m *Model) countRestored(c *coder, a *account) {
	if c.version < 3 && a.flags&block.TransitAccount != 0 && m.groups[a.group].code >= ownCodes {
		a.marks |= own
	}
	if a.flags&block.MovedAccount == 0 {
		m.buckets.countAccount(a, 1)
	}
}

// ownCodes is the least of the codes of the accounts in transit and for clearing.
const ownCodes = 65534

// codeBuckets writes the buckets that ever moved, in their order.
func (m *Model) codeBuckets(c *coder) {
	codeMap(c, m.buckets.moved, block.Buckets, func(a, b uint16) int { return int(a) - int(b) }, c.u16, func(p **Bucket) {
		if *p == nil {
			*p = &Bucket{}
		}
		b := *p
		for _, v := range []*BucketPhase{&b.Phase, &b.stuck} {
			if c.u8((*uint8)(v)); c.err == nil && *v > Gone {
				c.fail("a bucket in phase %d", uint8(*v))
			}
		}
		c.bytes(b.Move[:])
		c.bytes(b.stuckMove[:])
		for _, v := range []*uint64{&b.Peer, &b.Version, &b.Since, &b.Accounts, &b.Reservations} {
			c.u64(v)
		}
		c.amount(&b.digest)
	})
	if !c.reading() {
		return
	}
	for n, b := range m.buckets.moved {
		if n >= block.Buckets {
			c.fail("bucket %d", n)
			return
		}
		b.Bucket, m.buckets.phases[n] = n, b.Phase
		if b.Phase != Settled {
			m.buckets.unsettled++
		}
	}
}
