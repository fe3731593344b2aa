package ledger_test

import (
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// gen draws requests in which ids, accounts and times meet often.
type gen struct {
	*rapid.T
	m       *model
	collide uint64 // not zero: low half of every second id, so that their hashes are the same
	sent    []journal.Transfer

	sentDetails  []string
	again        []int // for each event of genTransfers: which of sent it repeats, or -1
	transactions []sentTransaction
	own          []money.U128 // accounts of the cell's own
	legs         []money.U128 // ids
}

func (g *gen) pick(from, to int) int { return rapid.IntRange(from, to).Draw(g.T, "n") }

// chance is true once in n times; simpler cases are false.
func (g *gen) chance(n int) bool { return g.pick(1, n) == n }

func (g *gen) id(n int) money.U128 {
	if g.collide != 0 && n%2 == 1 {
		return money.U128{Lo: g.collide, Hi: uint64(n)}
	}
	return money.From(uint64(n))
}

func (g *gen) accountID() money.U128 { return g.id(g.pick(1, 6)) }

func (g *gen) transferID() money.U128 {
	if len(g.legs) > 0 && g.chance(10) {
		return g.legs[g.pick(0, len(g.legs)-1)]
	}
	return g.id(100 + g.pick(1, 25))
}

func (g *gen) smallAmount() money.U128 { return money.From(uint64(g.pick(0, 30))) }

func (g *gen) amount() money.U128 {
	switch g.pick(0, 19) {
	case 0:
		return money.Max()
	case 1:
		v, _ := money.Max().Sub(g.smallAmount())
		return v
	case 2:
		return money.U128{Hi: 1 << 63}
	}
	return g.smallAmount()
}

// clockStep is often about as long as time-outs, or to the border of an hour or a day.
func (g *gen) clockStep() uint64 {
	const second, hour = 1_000_000_000, 3600 * 1_000_000_000
	switch g.pick(0, 5) {
	case 0:
		return uint64(g.pick(0, 10))
	case 1:
		return hour - g.m.time%hour - uint64(g.pick(0, 3))
	case 2:
		return 24*hour - g.m.time%(24*hour) - uint64(g.pick(0, 3))
	}
	return uint64(g.pick(1, 4))*second - uint64(g.pick(0, 5))
}

func (g *gen) importedTime() uint64 {
	switch g.pick(0, 5) {
	case 0:
		return g.m.youngest[0] + uint64(g.pick(0, 2))
	case 1:
		return g.m.time - 1 + uint64(g.pick(0, 1))
	case 2:
		return uint64(g.pick(0, 1)) << 63
	}
	return g.m.youngest[1] + uint64(g.pick(0, 3))
}

func (g *gen) genAccounts() []journal.Account {
	events := make([]journal.Account, g.pick(1, 5))
	imported := g.chance(4)
	for i := range events {
		a := &events[i]
		*a = journal.Account{ID: g.accountID(), Asset: 1, Code: 1}
		if g.chance(8) {
			a.Asset = uint32(g.pick(0, 2))
		}
		if g.chance(12) {
			a.Code = uint16(g.pick(0, 2))
		}
		if g.chance(4) {
			a.Flags |= 1 << g.pick(1, 5) & (2 | 4 | 8 | 32)
		}
		if g.chance(6) {
			a.Flags |= journal.AccountLinked
		}
		if imported != g.chance(12) {
			a.Flags |= journal.AccountImported
			a.Timestamp = g.importedTime()
		}
		if g.chance(20) {
			g.spoilAccount(a)
		}
	}
	return events
}

func (g *gen) spoilAccount(a *journal.Account) {
	switch g.pick(0, 8) {
	case 0:
		a.Reserved = 1
	case 1:
		a.Flags |= 1 << 15
	case 2:
		a.ID = money.U128{}
	case 3:
		a.ID = money.Max()
	case 4:
		a.DebitsPosted, a.CreditsPosted = money.From(1), money.From(1)
	case 5:
		a.DebitsPending, a.CreditsPending = money.From(1), money.From(1)
	case 6:
		a.Flags |= 6
	case 7:
		a.Timestamp = 1
	case 8:
		a.UserData128, a.UserData64, a.UserData32 = money.From(1), 1, 1
	}
}

func (g *gen) genTransfers() []journal.Transfer {
	events := make([]journal.Transfer, g.pick(1, 8))
	imported, chains := g.chance(7), g.chance(2)
	g.again = make([]int, len(events))
	for i := range events {
		x := &events[i]
		if g.again[i] = -1; len(g.sent) > 0 && g.chance(5) {
			g.again[i] = g.pick(0, len(g.sent)-1)
			*x = g.sent[g.again[i]]
			if g.chance(3) {
				g.spoil(x)
			}
			continue
		}
		*x = g.transfer()
		if chains && g.chance(2) {
			x.Flags |= journal.TransferLinked
		}
		if imported != g.chance(15) {
			x.Flags |= journal.TransferImported
			x.Timestamp = g.importedTime()
		}
		if g.chance(12) {
			g.spoil(x)
		}
	}
	return events
}

func (g *gen) transfer() journal.Transfer {
	x := journal.Transfer{ID: g.transferID()}
	if g.chance(6) {
		x.UserData128, x.UserData64, x.UserData32 = money.From(uint64(g.pick(0, 2))), uint64(g.pick(0, 2)), uint32(g.pick(0, 2))
	}
	if shape := g.pick(0, 9); shape >= 5 {
		x.PendingID = g.transferID()
		g.resolution(&x, shape)
		return x
	}
	x.Debit, x.Credit, x.Amount, x.Asset, x.Code = g.accountID(), g.accountID(), g.amount(), 1, uint16(g.pick(1, 2))
	if len(g.own) > 0 && g.chance(15) {
		x.Credit = g.own[0]
	}
	switch g.pick(0, 5) {
	case 0:
		x.Flags |= journal.TransferFlags(g.pick(1, 3)) << 4 // balancing
	case 1, 2, 3:
		x.Flags |= journal.TransferPending
		if g.chance(2) {
			x.Timeout = uint32(g.pick(1, 4))
		}
		if g.chance(6) {
			x.Flags |= journal.TransferFlags(g.pick(1, 3)) << 6 // closing
		}
	}
	return x
}

func (g *gen) resolution(x *journal.Transfer, shape int) {
	switch {
	case shape == 9:
		x.Flags = journal.TransferVoid
		if g.chance(2) {
			x.Flags |= journal.TransferFence
		}
	case shape >= 7:
		x.Flags, x.Amount = journal.TransferPost|journal.TransferKeepRemainder, g.smallAmount()
	default:
		x.Flags, x.Amount = journal.TransferPost, g.smallAmount()
	}
	if x.Flags.Has(journal.TransferPost) && g.chance(3) {
		x.Amount = money.Max()
	}
	if p, ok := g.m.transfers[x.PendingID]; ok && g.chance(4) {
		x.Debit, x.Credit, x.Asset, x.Code = p.debit, p.credit, p.asked.Asset, p.asked.Code
		if p.left != nil {
			x.Amount = u128Of(p.left)
		}
	}
}

// spoil changes one field to what may be wrong.
func (g *gen) spoil(x *journal.Transfer) {
	odd := func() money.U128 {
		switch g.pick(0, 3) {
		case 0:
			return money.U128{}
		case 1:
			return money.Max()
		case 2:
			return g.transferID()
		}
		return g.accountID()
	}
	switch g.pick(0, 12) {
	case 0:
		x.ID = odd()
	case 1:
		x.Debit = odd()
	case 2:
		x.Credit = odd()
	case 3:
		x.PendingID = odd()
	case 4:
		x.Amount = g.amount()
	case 5:
		x.Flags ^= 1 << g.pick(0, 15)
	case 6:
		x.Timeout = []uint32{0, 1, 2, 1<<32 - 1}[g.pick(0, 3)]
	case 7:
		x.Asset = uint32(g.pick(0, 2))
	case 8:
		x.Code = uint16(g.pick(0, 2))
	case 9:
		x.UserData128 = money.From(uint64(g.pick(0, 2)))
	case 10:
		x.UserData64 = uint64(g.pick(0, 2))
	case 11:
		x.UserData32 = uint32(g.pick(0, 2))
	case 12:
		x.Timestamp = g.importedTime()
	}
}
