package books

import (
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

const second = 1_000_000_000 // ns

// head checks a transaction's legs against its head.
func (m *Model) head(p *block.Part) {
	legs := int(m.block.Transfer(p.First).Timeout())
	if !m.block.CheckLegs(p.First, legs) {
		m.now.index = int(m.block.Expiries) + p.First
		m.fault(tamperedHistory, fmt.Sprintf("the legs of transaction %v are not those that its digest was made of", m.block.Transfer(p.First).ID()), nil)
	}
}

// ahead is how many transfers are looked up before they are applied, so that the memory that they need is near by then.
const ahead = 64

func (m *Model) transfers(p *block.Part) {
	for from := p.First; from < p.First+p.Count; from += ahead {
		to := min(from+ahead, p.First+p.Count)
		m.lookUp(from, to)
		for event := from; event < to; event++ {
			t := m.block.Transfer(event)
			status, o := m.look(event)
			flags := t.Flags()
			m.link(event, status == block.Created, flags&block.Linked != 0)
			if status == block.Created {
				m.transfer(t, flags, o, m.sides[event-from])
			}
		}
	}
}

// lookUp finds the accounts of transfers. Transfers create no accounts, so what it finds holds while they are applied.
func (m *Model) lookUp(from, to int) {
	m.sides = m.sides[:0]
	for event := from; event < to; event++ {
		t := m.block.Transfer(event)
		id := t.ID()
		m.sink += m.seen.touch(&id, m.o.HashKey)
		if t.Flags()&(block.Post|block.Void) != 0 {
			m.sides = append(m.sides, pair{})
			continue
		}
		debit, credit := t.Debit(), t.Credit()
		m.sides = append(m.sides, pair{m.number(&debit), m.number(&credit)})
	}
}

// transfer applies a transfer that was created.
func (m *Model) transfer(t *block.Transfer, flags uint16, o *block.Outcome, s pair) {
	imported := flags&block.Imported != 0
	m.checkTimestamp(o, imported, t.Timestamp())
	at := m.now.time
	if imported {
		at = t.Timestamp()
		if at <= m.youngest || at >= m.block.Time {
			m.fault(clockJump, fmt.Sprintf("transfer %v is imported with time %d, after one of %d and in a block of %d", t.ID(), at, m.youngest, m.block.Time), nil)
		}
	}
	m.youngest = max(m.youngest, at)
	m.move = Movement{
		Seq: m.seq, Index: m.now.index, Time: m.now.time, Transfer: t.ID(), Flags: flags & block.TransferFlags, Actor: m.now.actor,
		UserData128: t.UserData128(), UserData64: t.UserData64(), UserData32: t.UserData32(),
	}
	if flags&(block.Post|block.Void) != 0 {
		m.resolve(t, flags, o, at)
	} else {
		m.plain(t, flags, o, s, at)
	}
	m.remember(m.move.Transfer, m.move.Amount, m.move.Asset)
	if m.visit != nil {
		m.visit(&m.move)
	}
}

// wrong is fault about the transfer that is being looked at.
func (m *Model) wrong(class, summary string, fields ...Field) {
	m.fault(class, fmt.Sprintf("transfer %v %s", m.move.Transfer, summary), func(f *Finding) {
		f.Transfer, f.Amount, f.Asset, f.Fields = m.move.Transfer, m.move.Amount, m.move.Asset, fields
		for _, id := range [2]count.ID{m.move.Debit, m.move.Credit} {
			if !id.IsZero() {
				f.Accounts = append(f.Accounts, id)
			}
		}
	})
}

// plain applies a transfer that moves or reserves an amount.
func (m *Model) plain(t *block.Transfer, flags uint16, o *block.Outcome, s pair, at uint64) {
	x := &m.move
	x.Debit, x.Credit, x.Asset, x.Code, x.Amount, x.Phase = t.Debit(), t.Credit(), t.Asset(), t.Code(), t.Amount(), Single
	if o != nil {
		x.Amount = o.Amount
	}
	if flags&block.Pending != 0 {
		x.Phase = Reserve
	}
	if s.debit == 0 || s.credit == 0 {
		m.wrongAccounts(s)
		return
	}
	debit, credit := m.accounts.at(s.debit), m.accounts.at(s.credit)
	from, to := m.totalOf(debit.group), m.totalOf(credit.group)
	if s.debit == s.credit || from != to || from.asset != x.Asset {
		m.wrongSides(from.asset, to.asset)
	}
	if flags&(block.BalancingDebit|block.BalancingCredit) != 0 || x.Amount != t.Amount() {
		if want := available(t, flags, debit, credit); x.Amount != want {
			m.wrong(lostUpdate, "moved another amount than its accounts allowed", Field{"amount", x.Amount.String(), want.String()})
		}
	}
	if m.buckets.unsettled > 0 {
		m.checkBuckets(m.endsTransit(flags), debit, credit)
	}
	across := crosses(flags, debit, credit) && m.cross(t, flags, debit, credit)
	if !across || x.Transit.Step != block.StepMarker { // which only notes what was decided
		m.checkOpen(debit, credit, x.Code)
	}
	place := uint32(0)
	if flags&block.Pending != 0 {
		place = m.reserve(t, flags, s, at)
		m.add(&debit.debitsPending, &from.sums.DebitsPending)
		m.add(&credit.creditsPending, &to.sums.CreditsPending)
	} else {
		m.add(&debit.debitsPosted, &from.sums.DebitsPosted)
		m.add(&credit.creditsPosted, &to.sums.CreditsPosted)
		m.book(debit, credit)
	}
	from.transfers++
	m.checkLimits(debit, credit)
	if across {
		m.crossed(t, place)
	}
	if (debit.marks|credit.marks)&(limitDebit|limitCredit) != 0 && (!across || x.Transit.Step != block.StepReserve) {
		m.countVelocity(s, at)
	}
}

func (m *Model) wrongAccounts(s pair) {
	switch {
	case s.debit == 0 && s.credit == 0:
		m.wrong(lostUpdate, "moved money between two accounts that nobody created")
	case s.debit == 0:
		m.wrong(unbalanced, "credits an account, and the one that it debits does not exist")
	default:
		m.wrong(unbalanced, "debits an account, and the one that it credits does not exist")
	}
}

func (m *Model) wrongSides(debit, credit uint32) {
	name := func(asset uint32) string { return fmt.Sprintf("%d %s", asset, m.AssetName(asset)) }
	switch {
	case m.move.Debit == m.move.Credit:
		m.wrong(unbalanced, "has one account on both sides")
	case debit != credit:
		m.wrong(unbalanced, "moves money between accounts of different assets", Field{"asset of the credit account", name(credit), name(debit)})
	default:
		m.wrong(lostUpdate, "was created with another asset than its accounts have", Field{"asset", name(m.move.Asset), name(debit)})
	}
}

// available is what a transfer moves: its amount, or less where it asks to balance an account.
func available(t *block.Transfer, flags uint16, debit, credit *account) count.Amount {
	amount := t.Amount()
	if flags&block.BalancingDebit != 0 {
		amount = amount.Min(debit.creditsPosted.SubSat(debit.debitsPosted.AddSat(debit.debitsPending)))
	}
	if flags&block.BalancingCredit != 0 {
		amount = amount.Min(credit.debitsPosted.SubSat(credit.creditsPosted.AddSat(credit.creditsPending)))
	}
	return amount
}

// checkOpen tells of money that moves while an account, a code or the cell is frozen or an account is closed.
func (m *Model) checkOpen(debit, credit *account, code uint16) {
	if (debit.flags|credit.flags)&block.Closed != 0 {
		m.wrong(lostUpdate, "moved money although an account of it is closed")
	}
	if m.frozen.active == 0 {
		return
	}
	mask := m.frozen.cell | m.frozen.codes[code]
	if debit.marks&frozenDebit != 0 || mask&1 != 0 {
		m.wrong(movedFrozen, "moved money while debits are frozen")
	}
	if credit.marks&frozenCredit != 0 || mask&2 != 0 {
		m.wrong(movedFrozen, "moved money while credits are frozen")
	}
}

// add adds the amount that moved to a balance and to its asset's sum.
func (m *Model) add(balance *count.Amount, sum *count.Sum) {
	next, ok := balance.Add(m.move.Amount)
	if !ok {
		m.wrong(lostUpdate, "adds up to a balance of more than 128 bits")
		return
	}
	*balance = next
	sum.Add(m.move.Amount)
}

// sub takes an amount off a pending balance and off its asset's sum.
func (m *Model) sub(balance *count.Amount, sum *count.Sum, amount count.Amount) {
	next, ok := balance.Sub(amount)
	if !ok || !sum.Sub(amount) {
		m.wrong(lostUpdate, "releases more than is pending", Field{"amount", amount.String(), balance.String()})
		return
	}
	*balance = next
}

// checkLimits tells of balances beyond what their accounts allow; pending amounts count.
func (m *Model) checkLimits(debit, credit *account) {
	if debit.flags&block.DebitsMustNotExceedCredit != 0 {
		if debits, ok := debit.debitsPosted.Add(debit.debitsPending); !ok || debit.creditsPosted.Less(debits) {
			m.wrong(limitExceeded, "takes an account's debits beyond its credits",
				Field{"debits", debits.String(), "at most " + debit.creditsPosted.String()})
		}
	}
	if credit.flags&block.CreditsMustNotExceedDebit != 0 {
		if credits, ok := credit.creditsPosted.Add(credit.creditsPending); !ok || credit.debitsPosted.Less(credits) {
			m.wrong(limitExceeded, "takes an account's credits beyond its debits",
				Field{"credits", credits.String(), "at most " + credit.debitsPosted.String()})
		}
	}
}

// checkTotals holds debits against credits, asset by asset. Assets that are known to be out of balance are not told of
// again.
func (m *Model) checkTotals() {
	for _, i := range m.touched {
		t := &m.totals[i]
		balanced := t.sums.Balanced()
		if balanced == !t.unbalanced {
			continue
		}
		if t.unbalanced = !balanced; balanced {
			continue
		}
		m.now.index, m.now.time = -1, m.block.Time
		s := &t.sums
		m.fault(unbalanced, fmt.Sprintf("after block %d the debits of %s are not its credits", m.seq, m.AssetName(t.asset)), func(f *Finding) {
			f.Asset = t.asset
			f.Fields = []Field{
				{"debits posted", s.DebitsPosted.String(), s.CreditsPosted.String()},
				{"debits pending", s.DebitsPending.String(), s.CreditsPending.String()},
			}
		})
	}
	m.touched = m.touched[:0]
}
