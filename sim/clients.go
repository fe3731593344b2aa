package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// op is what a client wants: one request, sent again until its outcome is known.
type op struct {
	kind   journal.Kind
	actor  journal.Actor
	events []byte
	n      int
	wholes []uint64 // ids of posts that are to move all that is reserved
	number int

	attached []journal.Attachment
}

func (o *op) String() string {
	switch o.kind {
	case journal.KindTransfers:
		s := fmt.Sprintf("request %d:", o.number)
		for _, t := range journal.View[journal.Transfer](o.events) {
			s += fmt.Sprintf(" {%v: %v→%v %v of %v flags %#x timeout %d}", t.ID, t.Debit, t.Credit, t.Amount, t.PendingID, uint16(t.Flags), t.Timeout)
		}
		return s
	case journal.KindAccounts:
		s := fmt.Sprintf("request %d:", o.number)
		for _, a := range journal.View[journal.Account](o.events) {
			s += fmt.Sprintf(" {account %v flags %#x at %d}", a.ID, uint16(a.Flags), a.Timestamp)
		}
		return s
	}
	return fmt.Sprintf("request %d of kind %d", o.number, o.kind)
}

// sent is a request on its way.
type sent struct {
	op    *op
	req   *cell.Request
	look  *cell.Lookup
	upTo  uint64   // accounts looked up
	ids   []uint64 // of transfers looked up
	m     *machine
	run   int // of m: after a restart the answer never comes
	head  uint64
	acked uint64 // highest block that had been acknowledged by any machine when it was sent
}

// client sends one request after the other, and those of unknown outcome again.
type client struct {
	w     *world
	actor journal.Actor
	out   *sent
	again []*op
}

// workload makes requests and knows which ids were used.
type workload struct {
	rng      *rand.Rand
	plant    Plant
	ops      []*op
	nextID   uint64
	accounts uint64
	pendings []uint64
	used     []journal.Transfer
	times    []uint64 // timestamps of transfers that clients were told
	freezes  []uint64

	proposals []proposed
}

const bankAccounts = 8

// next makes a new request.
func (l *workload) next(actor journal.Actor) *op {
	o := &op{actor: actor, number: len(l.ops) + 1}
	switch k := l.rng.IntN(100); {
	case l.accounts < bankAccounts:
		l.makeAccounts(o)
	case k < 5 && len(l.times) > 0:
		l.importAccount(o)
	case k < 7:
		l.nextID++
		l.freezes = append(l.freezes, l.nextID)
		set(o, journal.KindFreeze, journal.Freeze{ID: money.From(l.nextID), Account: money.From(l.account()), Selector: journal.SelectAccount, Mode: journal.FreezeAll})
	case k < 12 && len(l.freezes) > 0:
		l.nextID++
		set(o, journal.KindUnfreeze, journal.Unfreeze{ID: money.From(l.nextID), FreezeID: money.From(l.freezes[l.rng.IntN(len(l.freezes))])})
	case k < 28:
		l.books(o)
	default:
		l.makeTransfers(o)
	}
	l.ops = append(l.ops, o)
	return o
}

func set[T journal.Record](o *op, kind journal.Kind, events ...T) {
	o.kind, o.n, o.events = kind, len(events), journal.Bytes(events)
}

func (l *workload) makeAccounts(o *op) {
	list := make([]journal.Account, 1+l.rng.IntN(3))
	for i := range list {
		l.accounts++
		list[i] = journal.Account{ID: money.From(l.accounts), Asset: 1, Code: uint16(1 + l.accounts%2), UserData64: l.accounts % 3}
		switch l.accounts {
		case 3:
			list[i].Flags = journal.AccountDebitsMustNotExceedCredits
		case 4:
			list[i].Flags = journal.AccountCreditsMustNotExceedDebits
		case 5:
			list[i].Flags = journal.AccountHistory
		}
		if l.accounts%3 > 0 {
			address(o, i, &list[i], l.accounts)
		}
	}
	set(o, journal.KindAccounts, list...)
}

// importAccount asks for an account at the time of a transfer, or right after: the first must be refused.
func (l *workload) importAccount(o *op) {
	l.accounts++
	at := l.times[len(l.times)-1-l.rng.IntN(min(3, len(l.times)))] + uint64(l.rng.IntN(2)) //nolint:gosec // not negative
	a := journal.Account{ID: money.From(l.accounts), Asset: 1, Code: 1, Flags: journal.AccountImported, Timestamp: at}
	if l.rng.IntN(3) == 0 {
		address(o, 0, &a, 1+l.rng.Uint64N(2)*l.accounts) // of the first account, or a new one
	}
	set(o, journal.KindAccounts, a)
}

func (l *workload) account() uint64 { return 1 + l.rng.Uint64N(bankAccounts) }

func (l *workload) makeTransfers(o *op) {
	list := make([]journal.Transfer, 1+l.rng.IntN(4))
	for i := range list {
		list[i] = l.transfer(o)
		if i < len(list)-1 && l.rng.IntN(4) == 0 {
			list[i].Flags |= journal.TransferLinked
		}
		l.used = append(l.used, list[i])
	}
	l.attach(o, list, 0)
	if l.rng.IntN(50) == 0 {
		list[len(list)-1].Flags |= journal.TransferLinked // a chain that is never closed
	}
	set(o, journal.KindTransfers, list...)
}

func (l *workload) transfer(o *op) journal.Transfer {
	k := l.rng.IntN(100)
	if k < 5 && len(l.used) > 0 { // an id again, with another amount
		t := l.used[l.rng.IntN(len(l.used))]
		if !t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			t.Amount = money.From(t.Amount.Lo + 1)
			return t
		}
	}
	l.nextID++
	t := journal.Transfer{ID: money.From(l.nextID), Amount: money.From(1 + l.rng.Uint64N(50)), Asset: 1, Code: 1, UserData32: uint32(k % 3)} //nolint:gosec // small
	if k < 60 || len(l.pendings) == 0 {
		t.Debit = money.From(l.account())
		t.Credit = money.From(1 + (t.Debit.Lo+l.rng.Uint64N(bankAccounts-1))%bankAccounts)
		if l.rng.IntN(40) == 0 {
			t.Credit = money.From(999)
		}
		if k >= 25 {
			t.Flags, t.Timeout = journal.TransferPending, uint32(l.rng.IntN(90)) //nolint:gosec // small
			l.pendings = append(l.pendings, l.nextID)
		}
		return t
	}
	t.Asset, t.Code = 0, 0
	t.PendingID = money.From(l.pendings[max(0, len(l.pendings)-1-l.rng.IntN(8))])
	if l.rng.IntN(20) == 0 {
		t.PendingID = money.From(l.nextID + 5) // not there yet
	}
	l.resolve(o, &t, k)
	return t
}

func (l *workload) resolve(o *op, t *journal.Transfer, k int) {
	switch {
	case k < 70:
		t.Flags, t.Amount = journal.TransferVoid, money.U128{}
		if l.rng.IntN(2) == 0 {
			t.Flags |= journal.TransferFence
		}
	case k < 88:
		t.Flags, t.Amount = journal.TransferPost, money.Max() // the amount was left out
		o.wholes = append(o.wholes, t.ID.Lo)
		if l.plant.OmittedAsZero {
			t.Amount = money.U128{}
		}
	default:
		t.Flags, t.Amount = journal.TransferPost, money.From(l.rng.Uint64N(20))
		if l.rng.IntN(2) == 0 {
			t.Flags |= journal.TransferKeepRemainder
		}
	}
}

// step collects an answer or sends something.
func (c *client) step() {
	if c.out != nil {
		c.collect()
		return
	}
	m := c.w.anyMachine()
	if m == nil {
		return
	}
	w := c.w
	switch k := w.rng.IntN(100); {
	case len(c.again) > 0 && k < 70:
		o := c.again[0]
		c.again = c.again[1:]
		c.send(m, o)
	case w.healing:
	case k < 12:
		c.look(m)
	case k < 20 && len(w.load.ops) > 0:
		c.send(m, w.load.ops[w.rng.IntN(len(w.load.ops))]) // out of the blue, a second time
	default:
		c.send(m, w.load.next(c.actor))
	}
}

func (c *client) send(m *machine, o *op) {
	s := &sent{op: o, m: m, run: m.run, head: m.cell().Head(), acked: c.w.acked}
	s.req = &cell.Request{Kind: o.kind, Actor: o.actor, Events: o.events, Results: make([]journal.Result, o.n), Attachments: o.attached}
	err := m.st.Submit(s.req)
	c.w.trace("%s: send to machine %d %v: %v", c, m.n, o, err)
	if err != nil {
		c.again = append(c.again, o)
		return
	}
	c.out = s
}

func (c *client) look(m *machine) {
	s := &sent{m: m, run: m.run, head: m.cell().Head(), acked: c.w.acked, upTo: c.w.load.accounts}
	accounts := make([]money.U128, c.w.load.accounts)
	for i := range accounts {
		accounts[i] = money.From(uint64(i) + 1)
	}
	var ids []money.U128
	for range 3 {
		id := 1 + c.w.rng.Uint64N(c.w.load.nextID+1)
		if len(s.ids) == 0 || s.ids[len(s.ids)-1] != id {
			ids, s.ids = append(ids, money.From(id)), append(s.ids, id)
		}
	}
	var err error
	if s.look, err = m.st.Look(accounts, ids); err == nil {
		s.req, c.out = &s.look.Request, s
	}
	c.w.trace("%s: look at machine %d: %v", c, m.n, err)
}

// collect takes an answer in. A machine that is gone gives none: the outcome is unknown.
func (c *client) collect() {
	s := c.out
	answered, err := true, cell.ErrOutcomeUnknown
	if s.m.st != nil && s.m.run == s.run {
		answered, err = s.m.st.Answer(s.req)
	}
	if !answered {
		return
	}
	c.out = nil
	if s.look != nil {
		c.seen(s, err)
		return
	}
	if err != nil {
		c.w.trace("%s: %v: %v", c, s.op, err)
		c.again = append(c.again, s.op)
		refused := errors.Is(err, cell.ErrFull) || errors.Is(err, cell.ErrClockHeld)
		if refused && !errors.Is(err, cell.ErrOutcomeUnknown) {
			c.w.refused++
		}
		return
	}
	c.w.trace("%s: request %d answered as of block %d: %s", c, s.op.number, s.req.Seq, names(s.op.kind, s.req.Results))
	c.w.acknowledged(s, s.req.Seq)
	c.w.audit.answers = append(c.w.audit.answers, &answer{op: s.op, head: s.head, seq: s.req.Seq, results: s.req.Results})
	if s.op.kind == journal.KindTransfers && s.req.Results[0].Status == journal.Created {
		c.w.load.times = append(c.w.load.times, s.req.Results[0].Timestamp)
	}
}

func (c *client) seen(s *sent, err error) {
	if err == nil {
		if err = s.m.st.Finish(c.w.ctx, s.look); err != nil && !s.m.failing() && !errors.Is(err, errCut) {
			c.w.fail("look-up on machine %d: %v", s.m.n, err)
		}
	}
	c.w.trace("%s: sees block %d: %v", c, s.req.Seq, err)
	if err != nil {
		return
	}
	c.w.acknowledged(s, s.req.Seq)
	c.w.audit.looks = append(c.w.audit.looks, &look{seq: s.req.Seq, accounts: s.look.Accounts, transfers: s.look.Transfers, upTo: s.upTo, asked: s.ids})
}

func (c *client) String() string { return fmt.Sprintf("client %d", c.actor[0]) }
