package ledger_test

import (
	"maps"
	"math/big"
	"sort"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// model is a second ledger, written from the published semantics alone: maps, big integers and copies of everything.
// Where the ledger checks in an order, the model collects every fault that applies and answers the one that comes
// first in the published list. It is slow and has no memory of blocks.
type model struct {
	modelState
	time uint64 // of the block

	request  []journal.Transfer // being applied, nil but for one of transfers; its attachments, and which event it is
	attached []journal.Attachment
	event    int
}

type modelState struct {
	accounts  map[money.U128]modelAccount
	transfers map[money.U128]modelTransfer
	burned    map[money.U128]uint64 // when
	moved     []movement
	youngest  [2]uint64 // account, transfer
	stamps    map[uint64]bool
	limits    map[limitOf]modelLimit
	freezes   []modelFreeze
	history   []modelRow              // of the block
	ended     map[money.U128]*big.Int // by marker of a transfer across cells: what was posted of it
	modelBooks
}

// modelRow is a row of an account's history.
type modelRow struct {
	account money.U128
	at      uint64
	sums    [4]money.U128
}

type modelAccount struct {
	asked                   journal.Account
	attached                string // when it was created
	address                 string
	timestamp               uint64
	closed                  bool
	debPending, debPosted   *big.Int // never changed in place
	credPending, credPosted *big.Int
}

type modelTransfer struct {
	asked         journal.Transfer
	attached      string
	amount        *big.Int
	left          *big.Int // of a reservation
	debit, credit money.U128
	data          [3]money.U128
	timestamp     uint64
	end           journal.Status // what posting it again answers; Created while it is open
	booked, today int64          // days: of the booking, and of the timestamp
	marker        money.U128     // of a transfer across cells
}

type modelFreeze struct {
	journal.Freeze
	actor    journal.Actor
	lifted   bool
	lift     journal.Unfreeze
	liftedBy journal.Actor
	liftedAt uint64
}

type limitOf struct {
	account money.U128
	side    journal.FreezeMode
}

// modelLimit counts what moved since the first limit of that side was set.
type modelLimit struct {
	journal.Limit
	since int // index into moved
}

type movement struct {
	debit, credit money.U128
	amount        *big.Int
	at            uint64
}

func newModel() *model {
	return &model{modelState: modelState{
		accounts: map[money.U128]modelAccount{}, transfers: map[money.U128]modelTransfer{}, burned: map[money.U128]uint64{},
		stamps: map[uint64]bool{}, limits: map[limitOf]modelLimit{}, ended: map[money.U128]*big.Int{}, modelBooks: newModelBooks(),
	}}
}

func (s modelState) clone() modelState {
	s.accounts, s.transfers, s.burned = maps.Clone(s.accounts), maps.Clone(s.transfers), maps.Clone(s.burned)
	s.stamps, s.limits, s.ended = maps.Clone(s.stamps), maps.Clone(s.limits), maps.Clone(s.ended)
	s.moved = append([]movement(nil), s.moved...)
	s.freezes = append([]modelFreeze(nil), s.freezes...)
	s.history = append([]modelRow(nil), s.history...)
	s.modelBooks = s.modelBooks.clone()
	return s
}

func bigOf(v money.U128) *big.Int {
	b := new(big.Int).Lsh(new(big.Int).SetUint64(v.Hi), 64)
	return b.Or(b, new(big.Int).SetUint64(v.Lo))
}

var bigMax = bigOf(money.Max())

func plus(list ...*big.Int) *big.Int {
	sum := new(big.Int)
	for _, v := range list {
		sum.Add(sum, v)
	}
	return sum
}

func minus(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

func overflows(list ...*big.Int) bool { return plus(list...).Cmp(bigMax) > 0 }

// run applies one request with the rules of linked chains; one returns the status, the timestamp and the ids that it
// burns, and changes the model only if the status is created.
func (m *model) run(first uint64, linked []bool, one func(i int, at uint64) (journal.Status, uint64, []money.U128)) []journal.Result {
	results := make([]journal.Result, len(linked))
	for i := 0; i < len(linked); {
		end := i // of the chain
		for end < len(linked)-1 && linked[end] {
			end++
		}
		before := m.modelState.clone()
		burns := map[money.U128]uint64{}
		broken := -1
		for k := i; k <= end; k++ {
			at := first + uint64(k)
			switch {
			case linked[k] && k == len(linked)-1:
				results[k] = journal.Result{Status: journal.TransferLinkedEventChainOpen, Timestamp: at}
				if broken < 0 {
					broken = k
				}
			case broken >= 0:
				results[k] = journal.Result{Status: journal.TransferLinkedEventFailed, Timestamp: at}
			default:
				var ids []money.U128
				results[k].Status, results[k].Timestamp, ids = one(k, at)
				for _, id := range ids {
					burns[id] = results[k].Timestamp
				}
				if results[k].Status != journal.Created {
					broken = k
				}
			}
		}
		if broken >= 0 {
			m.modelState = before
			for k := i; k < broken; k++ {
				results[k] = journal.Result{Status: journal.TransferLinkedEventFailed, Timestamp: first + uint64(k)}
			}
		}
		for id, at := range burns {
			if _, already := m.burned[id]; !already {
				m.burned[id] = at
			}
		}
		i = end + 1
	}
	return results
}

// faults are what is wrong with an event.
type faults []journal.Status

func (f *faults) when(wrong bool, status journal.Status) {
	if wrong {
		*f = append(*f, status)
	}
}

// first is the fault that comes first in the published order, or created.
func (f faults) first(order func(journal.Status) int) journal.Status {
	if len(f) == 0 {
		return journal.Created
	}
	least := f[0]
	for _, s := range f {
		if order(s) < order(least) {
			least = s
		}
	}
	return least
}

// Statuses that came with version 2 of the format have later numbers than their places.
func accountOrder(s journal.Status) int {
	switch s {
	case journal.AccountExistsWithDifferentAddress:
		return 10*int(journal.AccountExistsWithDifferentCode) + 1
	case journal.AccountExistsWithDifferentMetadata:
		return 10*int(journal.AccountExistsWithDifferentCode) + 2
	case journal.AccountApprovalRequired:
		return 10*int(journal.AccountImportedEventTimestampMustNotRegress) + 1
	}
	return 10 * int(s)
}

func transferOrder(s journal.Status) int {
	switch s {
	case journal.TransferExistsWithDifferentLegs:
		return 10*int(journal.TransferExistsWithDifferentFlags) + 1
	case journal.TransferExistsWithDifferentBookingDate:
		return 10*int(journal.TransferExistsWithDifferentCode) + 1
	case journal.TransferExistsWithDifferentMetadata:
		return 10*int(journal.TransferExistsWithDifferentCode) + 2
	case journal.TransferLegsAreCyclic:
		return 10*int(journal.TransferIdAlreadyFailed) + 1
	case misplaced, misplacedBurned:
		return 10*int(journal.TransferCodeMustNotBeZero) + 1
	case journal.TransferBookingDateOutOfRange:
		return 10*int(journal.TransferCodeMustNotBeZero) + 2
	case journal.TransferBookingDayClosed:
		return 10*int(journal.TransferCodeMustNotBeZero) + 3
	case misplacedAccount:
		return 10*int(journal.TransferCreditAccountNotFound) + 1
	case unsettled, otherEnd:
		return 10*int(journal.TransferPendingTransferExpired) + 1
	case journal.TransferApprovalRequired:
		return 10*int(journal.TransferImportedEventTimeoutMustBeZero) + 1
	}
	return 10 * int(s)
}

func (m *model) createAccounts(first uint64, events []journal.Account, attached []journal.Attachment) []journal.Result {
	linked := make([]bool, len(events))
	for i := range events {
		linked[i] = events[i].Flags.Has(journal.AccountLinked) || m.approved && i < len(events)-1
	}
	return m.run(first, linked, func(i int, at uint64) (journal.Status, uint64, []money.U128) {
		status, at := m.createAccount(events[i], attachedTo(attached, i), events[0].Flags.Has(journal.AccountImported), at)
		return status, at, nil
	})
}

func (m *model) createAccount(a journal.Account, attached string, batch bool, at uint64) (journal.Status, uint64) {
	var f faults
	imported := a.Flags.Has(journal.AccountImported)
	f.when(batch && !imported, journal.AccountImportedEventExpected)
	f.when(!batch && imported, journal.AccountImportedEventNotExpected)
	f.when(!imported && a.Timestamp != 0, journal.AccountTimestampMustBeZero)
	f.when(imported && (a.Timestamp == 0 || a.Timestamp > 1<<63-1), journal.AccountImportedEventTimestampOutOfRange)
	f.when(imported && a.Timestamp >= m.time, journal.AccountImportedEventTimestampMustNotAdvance)
	f.when(a.Reserved != 0, journal.AccountReservedField)
	f.when(a.Flags&0x3FFF >= 64 || a.Flags.Has(1<<15) != (attached != ""), journal.AccountReservedFlag)
	a.Flags &= 0x7FFF
	f.when(a.ID.IsZero(), journal.AccountIdMustNotBeZero)
	f.when(a.ID.IsMax(), journal.AccountIdMustNotBeIntMax)
	if e, ok := m.accounts[a.ID]; ok {
		had := e.asked.Flags
		if e.closed {
			had |= journal.AccountClosed
		} else {
			had &^= journal.AccountClosed
		}
		f.when(a.Flags != had, journal.AccountExistsWithDifferentFlags)
		f.when(a.UserData128 != e.asked.UserData128, journal.AccountExistsWithDifferentUserData128)
		f.when(a.UserData64 != e.asked.UserData64, journal.AccountExistsWithDifferentUserData64)
		f.when(a.UserData32 != e.asked.UserData32, journal.AccountExistsWithDifferentUserData32)
		f.when(a.Asset != e.asked.Asset, journal.AccountExistsWithDifferentLedger)
		f.when(a.Code != e.asked.Code, journal.AccountExistsWithDifferentCode)
		f.when(addressIn(attached) != e.address, journal.AccountExistsWithDifferentAddress)
		f.when(attached != e.attached, journal.AccountExistsWithDifferentMetadata)
		f.when(true, journal.AccountExists)
		if s := f.first(accountOrder); s >= journal.AccountExistsWithDifferentFlags {
			return s, e.timestamp
		}
		return f.first(accountOrder), at
	}
	f.when(a.Flags&6 == 6 || a.Flags.Has(1<<14) && a.Flags&0x3E != 0, journal.AccountFlagsAreMutuallyExclusive)
	f.when(!a.DebitsPending.IsZero(), journal.AccountDebitsPendingMustBeZero)
	f.when(!a.DebitsPosted.IsZero(), journal.AccountDebitsPostedMustBeZero)
	f.when(!a.CreditsPending.IsZero(), journal.AccountCreditsPendingMustBeZero)
	f.when(!a.CreditsPosted.IsZero(), journal.AccountCreditsPostedMustBeZero)
	f.when(a.Asset == 0, journal.AccountLedgerMustNotBeZero)
	f.when(a.Code == 0, journal.AccountCodeMustNotBeZero)
	f.when(imported && (a.Timestamp <= m.youngest[0] || m.stamps[a.Timestamp]), journal.AccountImportedEventTimestampMustNotRegress)
	f.when(imported && m.importsApproved && !m.approved, journal.AccountApprovalRequired)
	address := addressIn(attached)
	_, taken := m.byAddress(address)
	f.when(taken, journal.AccountAddressTaken)
	if s := f.first(accountOrder); s != journal.Created {
		return s, at
	}
	if imported {
		at = a.Timestamp
	}
	zero := new(big.Int)
	m.accounts[a.ID] = modelAccount{asked: a, attached: attached, address: address, timestamp: at, closed: a.Flags.Has(journal.AccountClosed), debPending: zero, debPosted: zero, credPending: zero, credPosted: zero}
	m.youngest[0] = at
	return journal.Created, at
}

// expire releases what is due, at most most of it, and returns what it released in order.
func (m *model) expire(most int) (list []journal.Expiry) {
	var due []modelTransfer
	for _, x := range m.transfers {
		if x.open() && x.asked.Timeout != 0 && x.expires() <= m.time {
			due = append(due, x)
		}
	}
	sort.Slice(due, func(i, j int) bool {
		if a, b := due[i].expires(), due[j].expires(); a != b {
			return a < b
		}
		return due[i].timestamp < due[j].timestamp
	})
	for _, x := range due[:min(most, len(due))] {
		list = append(list, journal.Expiry{Pending: x.asked.ID, Amount: u128Of(x.left)})
		m.giveBack(&x, true)
		x.end = journal.TransferPendingTransferExpired
		m.transfers[x.asked.ID] = x
		m.endCrossing(&x, new(big.Int))
	}
	return list
}

func u128Of(v *big.Int) money.U128 {
	u, err := money.Parse(v.String())
	if err != nil {
		panic(err)
	}
	return u
}

func (x *modelTransfer) open() bool {
	return x.asked.Flags.Has(journal.TransferPending) && x.end == journal.Created
}

func (x *modelTransfer) expires() uint64 { return x.timestamp + uint64(x.asked.Timeout)*1_000_000_000 }

// giveBack takes what is left of a reservation off the accounts, and reopens what it closed.
func (m *model) giveBack(x *modelTransfer, reopen bool) {
	d, c := m.accounts[x.debit], m.accounts[x.credit]
	d.debPending, c.credPending = minus(d.debPending, x.left), minus(c.credPending, x.left)
	if reopen && x.asked.Flags.Has(journal.TransferClosingDebit) {
		d.closed = false
	}
	if reopen && x.asked.Flags.Has(journal.TransferClosingCredit) {
		c.closed = false
	}
	m.accounts[x.debit], m.accounts[x.credit] = d, c
}

// remember adds a row to the history of the accounts that keep one.
func (m *model) remember(at uint64, ids ...money.U128) {
	for _, id := range ids {
		if a := m.accounts[id]; a.asked.Flags.Has(journal.AccountHistory) {
			m.history = append(m.history, modelRow{id, at, a.sums()})
		}
	}
}

func (a modelAccount) sums() [4]money.U128 {
	return [4]money.U128{u128Of(a.debPending), u128Of(a.debPosted), u128Of(a.credPending), u128Of(a.credPosted)}
}
