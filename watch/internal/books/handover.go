package books

import (
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// handover makes the movement at hand one of what is handed over.
func (m *Model) handover(p Phase) {
	m.move = Movement{Seq: m.seq, Index: m.now.index, Time: m.now.time, Phase: p, Actor: m.now.actor}
}

func (m *Model) show() {
	if m.visit != nil {
		m.visit(&m.move)
	}
}

func (m *Model) wrongReservation(class, summary string) {
	x := &m.move
	m.fault(class, fmt.Sprintf("reservation %v %s", x.Reservation, summary), func(f *Finding) {
		f.Transfer, f.Amount, f.Asset = x.Reservation, x.Amount, x.Asset
	})
}

// checkHanded is handed of what has to be in that phase.
func (m *Model) checkHanded(id, move *count.ID, p BucketPhase, digest count.Amount, accounts, reservations uint64) (b *Bucket) {
	b, ok := m.handed(id, move, p, digest, accounts, reservations)
	if !ok {
		m.fault(lostUpdate, fmt.Sprintf("account %v, or a reservation of it, is handed over, and its bucket %d is not %v", id, block.Bucket(id), p), func(f *Finding) {
			f.Accounts, f.Amount = []count.ID{*id}, m.move.Amount
		})
	}
	return b
}

// give follows an account that leaves: what it takes along is what it had.
func (m *Model) give(h block.Handover, event int) {
	m.handover(Hand)
	x, attached := &m.move, m.block.Attachment(event)
	x.Debit, x.Credit = h.Account, h.Clearing
	b := m.checkHanded(&h.Account, &h.Move, Closing, block.HandoverDigest('a', h.Account, attached), 1, 0)
	n := m.number(&h.Account)
	y := m.clearingOf(&h, b)
	if n == 0 || y == nil || m.accounts.at(n).flags&block.MovedAccount != 0 {
		m.wrongHandover(&h, "is given, and is not here, or its clearing account is not")
		return
	}
	a := m.accounts.at(n)
	x.Asset = m.asset(n)
	if !a.debitsPending.IsZero() || !a.creditsPending.IsZero() {
		m.wrongHandover(&h, "is given, and something of it is still reserved")
	}
	g, ok := block.BelongingsOf(attached)
	switch {
	case !ok || g.Account.ID() != a.id || g.Account.Asset() != x.Asset || g.Account.Code() != m.groups[a.group].code ||
		(g.Account.Flags()^a.flags)&^(block.Linked|block.Attached) != 0:
		m.wrongHandover(&h, "is given, and what it takes along is another account's")
	case g.Account.Balance(block.DebitsPostedAt) != a.debitsPosted || g.Account.Balance(block.CreditsPostedAt) != a.creditsPosted:
		m.wrongHandover(&h, "takes along another balance than it had",
			Field{"debits posted", g.Account.Balance(block.DebitsPostedAt).String(), a.debitsPosted.String()},
			Field{"credits posted", g.Account.Balance(block.CreditsPostedAt).String(), a.creditsPosted.String()})
	case !m.sameLimits(n, &g) || !m.sameFreezes(n, &g):
		m.wrongHandover(&h, "does not take its limits or its freezes along")
	}
	t := m.totalOf(a.group)
	debits, credits := a.debitsPosted, a.creditsPosted
	m.sub(&a.debitsPosted, &t.sums.DebitsPosted, debits)
	m.sub(&a.creditsPosted, &t.sums.CreditsPosted, credits)
	m.post(&y.debitsPosted, &t.sums.DebitsPosted, debits)
	m.post(&y.creditsPosted, &t.sums.CreditsPosted, credits)
	m.bookHanded(a, y, credits, debits)
	m.leave(n)
	m.show()
}

func (m *Model) wrongHandover(h *block.Handover, summary string, fields ...Field) {
	m.fault(lostUpdate, fmt.Sprintf("account %v %s", h.Account, summary), func(f *Finding) {
		f.Accounts, f.Asset, f.Fields = []count.ID{h.Account, h.Clearing}, m.move.Asset, fields
	})
}

// clearingOf is the account that a handover names, nil where it is not the one for clearing with the other cell.
func (m *Model) clearingOf(h *block.Handover, b *Bucket) *account {
	n := m.number(&h.Clearing)
	if n == 0 || b == nil || h.Clearing != m.clearingAccount(m.asset(n), b.Peer) || m.accounts.at(n).marks&own == 0 {
		return nil
	}
	return m.accounts.at(n)
}

// post is add of an amount that is not the movement's.
func (m *Model) post(balance *count.Amount, sum *count.Sum, amount count.Amount) {
	m.move.Amount = amount
	m.add(balance, sum)
	m.move.Amount = count.Amount{}
}

// bookHanded books what is handed over on the first day that is open: debits and credits of the account, and their mirror.
func (m *Model) bookHanded(a, y *account, debits, credits count.Amount) {
	d := &m.days
	date := d.dayOf(m.block.Time)
	if d.through != 0 {
		date = max(date, d.through+1)
	}
	sums := dayIn(d.sums, date)
	add(sums, a.group, y.group, debits)
	add(sums, y.group, a.group, credits)
}

// sameLimits reports whether an account takes along the limits in force, and what was counted for them.
func (m *Model) sameLimits(n uint32, g *block.Belongings) bool {
	own := 0
	for side := byte(1); side <= 2; side++ {
		if m.limits[limitKey{n, side}] != nil {
			own++
		}
	}
	for i := range g.Limits() {
		side, v := limitOf(g, i)
		if was := m.limits[limitKey{n, side}]; was == nil || *was != v {
			return false
		}
	}
	return own == g.Limits()
}

func limitOf(g *block.Belongings, i int) (side byte, v velocity) {
	r, hour, day := g.Limit(i)
	return r[72], velocity{
		r.Amount(32), r.Amount(48), r.U32(64), r.U32(68),
		window{hour.Start, hour.Amount, hour.Times},
		window{day.Start, day.Amount, day.Times},
	}
}

// sameFreezes reports whether an account takes along the freezes in force.
func (m *Model) sameFreezes(n uint32, g *block.Belongings) bool {
	open := 0
	for i := range g.Freezes() {
		r, lifted := g.Freeze(i)
		if lifted {
			continue
		}
		open++
		if f, ok := m.frozen.byID[r.ID(0)]; !ok || f.account != n || f.mode != r[35] {
			return false
		}
	}
	if m.isFrozen(n) {
		for _, f := range m.frozen.byID {
			if f.selector == 1 && f.account == n {
				open--
			}
		}
	}
	return open == 0
}

// isFrozen reports whether a freeze of account n is in force: most have none, and need no look through all there are.
func (m *Model) isFrozen(n uint32) bool {
	return m.accounts.at(n).marks&(frozenDebit|frozenCredit) != 0
}

// leave makes account n one of another cell.
func (m *Model) leave(n uint32) {
	a := m.accounts.at(n)
	if m.isFrozen(n) {
		for id, f := range m.frozen.byID {
			if f.selector == 1 && f.account == n {
				delete(m.frozen.byID, id)
			}
		}
		m.frozen.active = len(m.frozen.byID)
	}
	delete(m.limits, limitKey{n, 1})
	delete(m.limits, limitKey{n, 2})
	m.buckets.countAccount(a, oneLess)
	a.flags |= block.MovedAccount
	a.marks = 0
	m.totalOf(a.group).accounts--
}

// take follows an account that arrives, with all that it had.
func (m *Model) take(h block.Handover, event int) {
	m.handover(Hand)
	x := &m.move
	attached := m.block.Attachment(event)
	x.Debit, x.Credit = h.Clearing, h.Account
	b := m.checkHanded(&h.Account, &h.Move, Arriving, block.HandoverDigest('a', h.Account, attached), 1, 0)
	g, ok := block.BelongingsOf(attached)
	if !ok || g.Account.ID() != h.Account || !g.Account.Balance(block.DebitsPendingAt).IsZero() || !g.Account.Balance(block.CreditsPendingAt).IsZero() {
		m.wrongHandover(&h, "is taken, and what it brings along is another account's, or malformed")
		return
	}
	x.Asset = g.Account.Asset()
	y := m.clearingOf(&h, b)
	n := m.number(&h.Account)
	switch {
	case n != 0 && m.accounts.at(n).flags&block.MovedAccount == 0:
		m.fault(duplicateID, fmt.Sprintf("account %v is taken, and is here", h.Account), func(f *Finding) {
			f.Accounts, f.Asset = []count.ID{h.Account}, x.Asset
		})
		return
	case y == nil || m.groups[y.group].asset != x.Asset || m.AssetName(x.Asset) != assetName((*block.Record)(codeRecord(&g))):
		m.wrongHandover(&h, "is taken against another account than that for clearing in its asset")
		return
	}
	n = m.settleIn(n, &g)
	a := m.accounts.at(n)
	t := m.totalOf(a.group)
	debits, credits := g.Account.Balance(block.DebitsPostedAt), g.Account.Balance(block.CreditsPostedAt)
	m.post(&a.debitsPosted, &t.sums.DebitsPosted, debits)
	m.post(&a.creditsPosted, &t.sums.CreditsPosted, credits)
	m.post(&y.debitsPosted, &t.sums.DebitsPosted, credits)
	m.post(&y.creditsPosted, &t.sums.CreditsPosted, debits)
	m.bookHanded(a, y, debits, credits)
	m.bring(n, &g)
	m.show()
}

// codeRecord is the record of the asset that an account says it has.
func codeRecord(g *block.Belongings) []byte {
	b := make([]byte, block.EventSize)
	copy(b, g.Code[:])
	b[16] = g.Scale
	return b
}

// settleIn gives an account that arrives its place: the one it had if it comes back.
func (m *Model) settleIn(n uint32, g *block.Belongings) uint32 {
	if n == 0 {
		n = m.accounts.extend()
		id := g.Account.ID()
		m.accountNo.insert(hashID(&id, m.o.HashKey), n)
	}
	a := m.accounts.at(n)
	*a = account{
		id: g.Account.ID(), flags: g.Account.Flags() &^ (block.Linked | block.MovedAccount),
		group: m.group(groupKey{g.Account.Asset(), g.Account.Code()}),
	}
	m.buckets.countAccount(a, 1)
	m.totalOf(a.group).accounts++
	return n
}

// bring gives account n the limits and freezes that it had.
func (m *Model) bring(n uint32, g *block.Belongings) {
	for i := range g.Limits() {
		if side, v := limitOf(g, i); side == 1 || side == 2 {
			m.limits[limitKey{n, side}] = &v
			m.accounts.at(n).marks |= limitDebit << (side - 1)
		}
	}
	for i := range g.Freezes() {
		r, lifted := g.Freeze(i)
		if lifted {
			continue
		}
		if _, twice := m.frozen.byID[r.ID(0)]; twice {
			m.fault(duplicateID, fmt.Sprintf("freeze %v arrives a second time", r.ID(0)), nil)
		}
		f := frozenRecord{selector: 1, mode: r[35], account: n}
		m.frozen.byID[r.ID(0)] = f
		m.enforce(f)
	}
}

// openHeld opens a reservation, closeHeld ends one.
func (m *Model) openHeld(r *reservation) (place uint32) {
	m.countReservation(r, 1)
	return m.held.open(r, m.o.HashKey)
}

func (m *Model) closeHeld(r *reservation, place uint32, slot int) {
	m.countReservation(r, oneLess)
	m.held.close(place, slot)
}
