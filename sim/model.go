package sim

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// model is the published semantics once more, as plainly as possible, for what the simulated clients do: amounts below
// 2^64, one asset, no closing, balancing or limits. It shares no code with package ledger.
type model struct {
	accounts  map[uint64]*account
	order     []uint64 // ids of the accounts as they were created
	transfers map[uint64]*transfer
	burned    map[uint64]uint64 // when
	sequence  []uint64          // ids of the transfers as they were created
	times     map[uint64]bool
	frozen    map[uint64]int // account → freezes in force
	freezes   map[uint64]*freeze
	lastAcct  uint64
	undo      []func()
	burns     []uint64 // ids that the event being applied burns

	now uint64 // the block's time

	heads     map[uint64]*head
	postings  []posting
	closes    map[uint64]*dayClose
	nCloses   int    // without reopenings
	through   uint32 // the last day that is closed; 0: none
	trialNow  string // of the close that was applied last
	proposals map[uint64]*proposal
	decisions map[uint64]*proposal
	approved  bool // what is being applied was approved
}

type account struct {
	asked                  journal.Account
	time                   uint64
	dPending, dPosted      uint64
	cPending, cPosted      uint64
	debitLimit, creditMost bool
	attached               string // when it was created
	marked                 bool   // it has, or had, something attached
}

type transfer struct {
	asked     journal.Transfer
	attached  string
	time      uint64
	debit     uint64
	credit    uint64
	amount    uint64
	of        *transfer // the reservation of a post or void
	before    uint64    // what that had left
	remaining uint64
	expires   uint64
	ended     ending
}

type ending int

const (
	open ending = iota
	posted
	voided
	expired
)

type freeze struct {
	asked  journal.Freeze
	actor  journal.Actor
	lifted uint64 // id of who lifted it
	time   uint64
	end    uint64 // when it was lifted
}

func newModel() *model {
	return &model{
		accounts: map[uint64]*account{}, transfers: map[uint64]*transfer{}, burned: map[uint64]uint64{},
		times: map[uint64]bool{}, frozen: map[uint64]int{}, freezes: map[uint64]*freeze{}, heads: map[uint64]*head{},
		closes: map[uint64]*dayClose{}, proposals: map[uint64]*proposal{}, decisions: map[uint64]*proposal{},
	}
}

func small(v money.U128) uint64 {
	if v.Hi != 0 {
		panic(fmt.Sprintf("sim: the model was given %v, it knows 64 bits", v))
	}
	return v.Lo
}

// put sets a value and remembers how to take that back.
func put[T any](m *model, p *T, v T) {
	was := *p
	m.undo = append(m.undo, func() { *p = was })
	*p = v
}

func putKey[K comparable, V any](m *model, in map[K]V, k K, v V) {
	was, had := in[k]
	m.undo = append(m.undo, func() {
		if had {
			in[k] = was
		} else {
			delete(in, k)
		}
	})
	in[k] = v
}

func (m *model) rollBack(to int) {
	for len(m.undo) > to {
		m.undo[len(m.undo)-1]()
		m.undo = m.undo[:len(m.undo)-1]
	}
}

// begin starts a block and returns what expires in it, in order.
func (m *model) begin(now uint64) []journal.Expiry {
	m.now, m.undo = now, m.undo[:0]
	var due []*transfer
	for _, t := range m.transfers {
		if t.asked.Flags&journal.TransferPending != 0 && t.ended == open && t.expires != 0 && t.expires <= now {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *transfer) int {
		if a.expires != b.expires {
			return int(int64(a.expires) - int64(b.expires)) //nolint:gosec // close to each other
		}
		return int(int64(a.time) - int64(b.time)) //nolint:gosec // close to each other
	})
	list := make([]journal.Expiry, len(due))
	for i, t := range due {
		list[i] = journal.Expiry{Pending: t.asked.ID, Amount: money.From(t.remaining)}
		m.release(t, t.remaining)
		t.ended, t.remaining = expired, 0
	}
	return list
}

// apply validates a request whose first event happens at `at`. It returns whether anything changed.
func (m *model) apply(kind journal.Kind, actor journal.Actor, events []byte, attached []journal.Attachment, at uint64) (results []journal.Result, changed bool) {
	from := len(m.undo)
	switch kind {
	case journal.KindAccounts:
		list := journal.View[journal.Account](events)
		results = m.chains(len(list), at, func(i int) bool { return list[i].Flags&journal.AccountLinked != 0 },
			func(i int, at uint64) (journal.Status, uint64) {
				return m.createAccount(&list[i], attachedTo(attached, i), at)
			})
	case journal.KindTransfers:
		list := journal.View[journal.Transfer](events)
		linked := func(i int) bool {
			return list[i].Flags&journal.TransferLinked != 0 || m.approved && i < len(list)-1
		}
		results = m.chains(len(list), at, linked,
			func(i int, at uint64) (journal.Status, uint64) {
				return m.createTransfer(&list[i], attachedTo(attached, i), at)
			})
	case journal.KindFreeze:
		for i, f := range journal.View[journal.Freeze](events) {
			s, t := m.freeze(f, actor, at+uint64(i))
			results = append(results, journal.Result{Status: s, Timestamp: t})
		}
	case journal.KindUnfreeze:
		for i, u := range journal.View[journal.Unfreeze](events) {
			s, t := m.unfreeze(u, actor, at+uint64(i))
			results = append(results, journal.Result{Status: s, Timestamp: t})
		}
	default:
		results = m.applyBooks(kind, actor, events, attached, at)
	}
	return results, len(m.undo) > from
}

func (m *model) applyBooks(kind journal.Kind, actor journal.Actor, events []byte, attached []journal.Attachment, at uint64) []journal.Result {
	one := func(s journal.Status, at uint64) []journal.Result {
		return []journal.Result{{Status: s, Timestamp: at}}
	}
	switch kind {
	case journal.KindTransaction:
		return m.transaction(journal.View[journal.Transfer](events), attached, at)
	case journal.KindMetadata:
		return one(m.changeMetadata(&journal.View[journal.Transfer](events)[0], attachedTo(attached, 0), at))
	case journal.KindDayClose:
		c := &journal.View[journal.DayClose](events)[0]
		status, at, trial := m.closeDay(key(c.ID), uint32(c.Date), &dayClose{asked: string(events), actor: actor, time: at})
		m.trialNow = trial
		return one(status, at)
	case journal.KindReopen:
		r := &journal.View[journal.Reopen](events)[0]
		status, at, _ := m.closeDay(key(r.ID), uint32(r.Date), &dayClose{asked: string(events), actor: actor, reopen: true, time: at})
		return one(status, at)
	case journal.KindProposal:
		return one(m.propose(&journal.View[journal.Proposal](events)[0], actor, field(attachedTo(attached, 0), 7), at))
	case journal.KindDecision:
		return m.decide(events, actor, attached, at)
	}
	panic(fmt.Sprintf("sim: the model knows no requests of kind %d", kind))
}

// try tells what a request would give now, in a block of the given time, and changes nothing.
func (m *model) try(kind journal.Kind, actor journal.Actor, events []byte, attached []journal.Attachment, at, time uint64) ([]journal.Result, bool) {
	from, now := len(m.undo), m.now
	m.now = time
	results, changed := m.apply(kind, actor, events, attached, at)
	m.rollBack(from)
	m.now = now
	return results, changed
}

// chains applies events with the rules of linked chains.
func (m *model) chains(n int, at uint64, linked func(int) bool, one func(int, uint64) (journal.Status, uint64)) []journal.Result {
	results := make([]journal.Result, n)
	for i := 0; i < n; {
		last := i
		for last < n-1 && linked(last) {
			last++
		}
		m.chain(i, last, last == n-1 && linked(last), at, results, one)
		i = last + 1
	}
	return results
}

func (m *model) chain(first, last int, unended bool, at uint64, results []journal.Result, one func(int, uint64) (journal.Status, uint64)) {
	const failed, chainOpen = journal.TransferLinkedEventFailed, journal.TransferLinkedEventChainOpen // as for accounts
	mark := len(m.undo)
	for i := first; i <= last; i++ {
		when := at + uint64(i) //nolint:gosec // not negative
		status, t := chainOpen, when
		m.burns = nil
		if i < last || !unended {
			status, t = one(i, when)
		}
		results[i] = journal.Result{Status: status, Timestamp: t}
		if status == journal.Created {
			continue
		}
		if first != last {
			m.rollBack(mark)
			for k := first; k <= last; k++ {
				if k != i {
					results[k] = journal.Result{Status: failed, Timestamp: at + uint64(k)} //nolint:gosec // not negative
				}
			}
			if unended && i != last {
				results[last].Status = chainOpen
			}
		}
		for _, id := range m.burns { // also when the chain is undone
			if _, already := m.burned[id]; !already {
				putKey(m, m.burned, id, t)
			}
		}
		return
	}
}

func (m *model) createAccount(a *journal.Account, attached string, at uint64) (journal.Status, uint64) {
	imported := a.Flags&journal.AccountImported != 0
	if imported && a.Timestamp >= m.now {
		return journal.AccountImportedEventTimestampMustNotAdvance, at
	}
	id, asIf := key(a.ID), at
	if e := m.accounts[id]; e != nil {
		switch {
		case a.Flags != e.asked.Flags:
			return journal.AccountExistsWithDifferentFlags, e.time
		case a.Code != e.asked.Code:
			return journal.AccountExistsWithDifferentCode, e.time
		case field(attached, 2) != field(e.attached, 2):
			return journal.AccountExistsWithDifferentAddress, e.time
		}
		return journal.AccountExists, e.time
	}
	if imported {
		if a.Timestamp <= m.lastAcct || m.times[a.Timestamp] {
			return journal.AccountImportedEventTimestampMustNotRegress, at
		}
		at = a.Timestamp
	}
	for _, other := range m.accounts {
		if want := field(attached, 2); want != "" && field(other.attached, 2) == want {
			return journal.AccountAddressTaken, asIf
		}
	}
	putKey(m, m.accounts, id, &account{
		asked: *a, attached: attached, marked: attached != "", time: at, debitLimit: a.Flags&journal.AccountDebitsMustNotExceedCredits != 0,
		creditMost: a.Flags&journal.AccountCreditsMustNotExceedDebits != 0,
	})
	put(m, &m.order, append(m.order[:len(m.order):len(m.order)], id))
	put(m, &m.lastAcct, at)
	return journal.Created, at
}

func (m *model) createTransfer(t *journal.Transfer, attached string, at uint64) (journal.Status, uint64) {
	id := key(t.ID)
	if e := m.transfers[id]; e != nil {
		return transferExists(t, attached, e), e.time
	}
	if _, burned := m.burned[id]; burned {
		return journal.TransferIdAlreadyFailed, at
	}
	day, allowed := m.dayOf(attached, at)
	if !allowed {
		return journal.TransferBookingDayClosed, at
	}
	var status journal.Status
	if t.Flags&(journal.TransferPost|journal.TransferVoid) != 0 {
		status = m.resolve(t, at)
	} else {
		status = m.move(t, at)
	}
	switch status {
	case journal.TransferDebitAccountNotFound, journal.TransferCreditAccountNotFound, journal.TransferPendingTransferNotFound,
		journal.TransferExceedsCredits, journal.TransferExceedsDebits, journal.TransferDebitAccountFrozen,
		journal.TransferCreditAccountFrozen:
		m.burns = append(m.burns, id)
	case journal.Created:
		put(m, &m.sequence, append(m.sequence[:len(m.sequence):len(m.sequence)], id))
		putKey(m, m.times, at, true)
		m.transfers[id].attached = attached
		m.book(m.transfers[id], day)
	}
	return status, at
}

// transferExists knows the ways in which the clients send an id again: unchanged, or with another amount or flags.
func transferExists(t *journal.Transfer, attached string, e *transfer) journal.Status {
	switch {
	case (t.Flags^e.asked.Flags)&^journal.TransferAttached != 0:
		return journal.TransferExistsWithDifferentFlags
	case t.PendingID != e.asked.PendingID:
		return journal.TransferExistsWithDifferentPendingId
	case t.Timeout != e.asked.Timeout:
		return journal.TransferExistsWithDifferentTimeout
	case t.Debit != e.asked.Debit:
		return journal.TransferExistsWithDifferentDebitAccountId
	case t.Credit != e.asked.Credit:
		return journal.TransferExistsWithDifferentCreditAccountId
	case t.Amount != e.asked.Amount:
		return journal.TransferExistsWithDifferentAmount
	case bookingDay(attached) != bookingDay(e.attached):
		return journal.TransferExistsWithDifferentBookingDate
	case attached != e.attached:
		return journal.TransferExistsWithDifferentMetadata
	}
	return journal.TransferExists
}

func (m *model) move(t *journal.Transfer, at uint64) journal.Status {
	debit, credit := m.accounts[key(t.Debit)], m.accounts[key(t.Credit)]
	switch {
	case debit == nil:
		return journal.TransferDebitAccountNotFound
	case credit == nil:
		return journal.TransferCreditAccountNotFound
	}
	if s := m.checkFrozen(key(t.Debit), key(t.Credit)); s != journal.Created {
		return s
	}
	amount := small(t.Amount)
	switch {
	case debit.debitLimit && debit.dPending+debit.dPosted+amount > debit.cPosted:
		return journal.TransferExceedsCredits
	case credit.creditMost && credit.cPending+credit.cPosted+amount > credit.dPosted:
		return journal.TransferExceedsDebits
	}
	x := &transfer{asked: *t, time: at, debit: key(t.Debit), credit: key(t.Credit), amount: amount}
	if t.Flags&journal.TransferPending != 0 {
		x.remaining = amount
		if t.Timeout != 0 {
			x.expires = at + uint64(t.Timeout)*1_000_000_000
		}
		put(m, &debit.dPending, debit.dPending+amount)
		put(m, &credit.cPending, credit.cPending+amount)
	} else {
		put(m, &debit.dPosted, debit.dPosted+amount)
		put(m, &credit.cPosted, credit.cPosted+amount)
	}
	putKey(m, m.transfers, key(t.ID), x)
	return journal.Created
}

func (m *model) checkFrozen(debit, credit uint64) journal.Status {
	switch {
	case m.frozen[debit] > 0:
		return journal.TransferDebitAccountFrozen
	case m.frozen[credit] > 0:
		return journal.TransferCreditAccountFrozen
	}
	return journal.Created
}

func (m *model) release(p *transfer, amount uint64) {
	debit, credit := m.accounts[p.debit], m.accounts[p.credit]
	put(m, &debit.dPending, debit.dPending-amount)
	put(m, &credit.cPending, credit.cPending-amount)
}

func (m *model) resolve(t *journal.Transfer, at uint64) journal.Status {
	id := key(t.PendingID)
	p := m.transfers[id]
	switch {
	case p == nil && m.heads[id] != nil:
		return journal.TransferPendingTransferNotPending
	case p == nil:
		if _, burned := m.burned[id]; t.Flags&journal.TransferFence != 0 && !burned {
			m.burns = append(m.burns, id)
		}
		return journal.TransferPendingTransferNotFound
	case p.asked.Flags&journal.TransferPending == 0:
		return journal.TransferPendingTransferNotPending
	}
	void := t.Flags&journal.TransferVoid != 0
	left := p.remaining
	if p.ended != open {
		left = p.amount
	}
	amount := left
	if whole := t.Amount.IsMax() && !void || t.Amount.IsZero() && void; !whole {
		amount = small(t.Amount)
	}
	switch {
	case amount > left:
		return journal.TransferExceedsPendingTransferAmount
	case void && amount != left:
		return journal.TransferPendingTransferHasDifferentAmount
	case p.ended == posted:
		return journal.TransferPendingTransferAlreadyPosted
	case p.ended == voided:
		return journal.TransferPendingTransferAlreadyVoided
	case p.ended == expired, p.expires != 0 && p.expires <= at:
		return journal.TransferPendingTransferExpired
	}
	if !void {
		if s := m.checkFrozen(p.debit, p.credit); s != journal.Created {
			return s
		}
	}
	m.settle(t, p, amount, at)
	return journal.Created
}

// settle posts or voids amount of p.
func (m *model) settle(t *journal.Transfer, p *transfer, amount, at uint64) {
	x := &transfer{asked: *t, time: at, debit: p.debit, credit: p.credit, amount: amount, of: p, before: p.remaining}
	if t.Flags&journal.TransferKeepRemainder != 0 && amount != p.remaining {
		m.release(p, amount)
		put(m, &p.remaining, p.remaining-amount)
	} else {
		m.release(p, p.remaining)
		put(m, &p.remaining, 0)
		how := voided
		if t.Flags&journal.TransferPost != 0 {
			how = posted
		}
		put(m, &p.ended, how)
	}
	if t.Flags&journal.TransferPost != 0 {
		debit, credit := m.accounts[p.debit], m.accounts[p.credit]
		put(m, &debit.dPosted, debit.dPosted+amount)
		put(m, &credit.cPosted, credit.cPosted+amount)
	}
	putKey(m, m.transfers, key(t.ID), x)
}

func (m *model) freeze(f journal.Freeze, actor journal.Actor, at uint64) (journal.Status, uint64) {
	id := key(f.ID)
	if e := m.freezes[id]; e != nil {
		if e.asked != f {
			return journal.ControlExistsWithDifferentFields, e.time
		}
		return journal.ControlExists, e.time
	}
	acct := key(f.Account)
	if m.accounts[acct] == nil {
		return journal.ControlAccountNotFound, at
	}
	putKey(m, m.freezes, id, &freeze{asked: f, actor: actor, time: at})
	putKey(m, m.frozen, acct, m.frozen[acct]+1)
	return journal.Created, at
}

func (m *model) unfreeze(u journal.Unfreeze, actor journal.Actor, at uint64) (journal.Status, uint64) {
	f := m.freezes[key(u.FreezeID)]
	switch {
	case f == nil:
		return journal.ControlFreezeNotFound, at
	case f.lifted == key(u.ID):
		return journal.ControlExists, f.end
	case f.lifted != 0:
		return journal.ControlFreezeAlreadyLifted, at
	case f.actor == actor:
		return journal.ControlSecondPersonRequired, at
	}
	put(m, &f.lifted, key(u.ID))
	put(m, &f.end, at)
	acct := key(f.asked.Account)
	putKey(m, m.frozen, acct, m.frozen[acct]-1)
	return journal.Created, at
}

// totals checks that no money came from nowhere.
func (m *model) totals() error {
	var dPending, dPosted, cPending, cPosted uint64
	for _, a := range m.accounts {
		dPending, dPosted, cPending, cPosted = dPending+a.dPending, dPosted+a.dPosted, cPending+a.cPending, cPosted+a.cPosted
	}
	if dPending != cPending || dPosted != cPosted {
		return fmt.Errorf("debits of %d pending, %d posted against credits of %d, %d", dPending, dPosted, cPending, cPosted)
	}
	return nil
}
