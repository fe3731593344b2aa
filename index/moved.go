package index

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// Moved is what an account has more or less after its bucket, or a reservation, was handed over between cells.
type Moved struct {
	Left     bool // it has less
	Balances ledger.Balances
}

// movedOf reads a change modulo 2^128: no sum that is real is half of that.
func movedOf(by *ledger.Balances) Moved {
	for _, v := range [4]money.U128{by.DebitsPending, by.DebitsPosted, by.CreditsPending, by.CreditsPosted} {
		if v.Hi>>63 == 1 {
			return Moved{true, by.Negative()}
		}
	}
	return Moved{false, *by}
}

// by is the change, modulo 2^128.
func (m *Moved) by() ledger.Balances {
	if m.Left {
		return m.Balances.Negative()
	}
	return m.Balances
}

// departs reports whether an account left with what was posted to it.
func (m *Moved) departs() bool {
	return m.Left && !(m.Balances.DebitsPosted.IsZero() && m.Balances.CreditsPosted.IsZero())
}

// booked is what the books have of it: postings between the account and the one for clearing. An account that leaves is
// debited by its credits and credited by its debits.
func (m *Moved) booked() sides {
	if m.Left {
		return sides{m.Balances.CreditsPosted, m.Balances.DebitsPosted}
	}
	return sides{m.Balances.DebitsPosted, m.Balances.CreditsPosted}
}

// beyond is by how much the books have more than the balance, after an account left.
func (m *Moved) beyond() (s sides) {
	s.add(sides{m.Balances.DebitsPosted, m.Balances.CreditsPosted})
	s.add(m.booked())
	return s
}

// movedList has the changes of an account's balances by what is handed over, departureList those of accounts that left.
func movedList(number uint32) listKey { return listKey{tag: tagMoved, lo: uint64(number)} }

func departureList(number uint32) listKey { return listKey{tag: tagDeparture, lo: uint64(number)} }

// moved is a value of these lists.
type moved struct {
	Moved
	timestamp uint64
}

func (m *moved) append(dst []byte) []byte {
	left := byte(0)
	if m.Left {
		left = 1
	}
	dst = be.AppendUint64(append(dst, left), m.timestamp)
	b := &m.Balances
	for _, v := range [4]money.U128{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted} {
		dst = appendShort(dst, v)
	}
	return dst
}

func readMoved(b []byte) (m moved, err error) {
	all := len(b)
	ok := all >= 9 && b[0] <= 1
	if ok {
		m.Left, m.timestamp, b = b[0] == 1, be.Uint64(b[1:]), b[9:]
	}
	sums := &m.Balances
	for _, v := range [4]*money.U128{&sums.DebitsPending, &sums.DebitsPosted, &sums.CreditsPending, &sums.CreditsPosted} {
		if ok {
			*v, b, ok = readShort(b)
		}
	}
	if !ok || len(b) != 0 {
		return moved{}, fmt.Errorf("%w: what was handed over, of %d bytes", ErrRebuild, all)
	}
	return m, nil
}

func (l *list) moved() (moved, error) {
	beside, err := l.beside()
	if err != nil {
		return moved{}, err
	}
	return readMoved(beside)
}

func (b *buffer) addMoved(k *journal.Block, list []ledger.MovedEffect) {
	for i := range list {
		e := &list[i]
		index := len(k.Expiries) + int(e.Event)
		at := uint64(journal.At(k.Header.Seq, index))
		m := moved{movedOf(&e.By), k.Header.Time + uint64(index)} //nolint:gosec // not negative
		b.scratch = m.append(b.scratch[:0])
		b.pushData(movedList(e.Account), at, b.scratch)
		if m.departs() {
			b.pushData(departureList(e.Account), at, b.scratch)
		}
	}
}

// addHappened marks a block with what changes balances and is no transfer: expiries, and what is handed over.
func (b *buffer) addHappened(k *journal.Block, fx *ledger.Effects) {
	b.addExpiries(k, fx.Expired)
	b.addMoved(k, fx.Moved)
	if len(fx.Expired)+len(fx.Moved) == 0 {
		return
	}
	must.True(k.Header.Time > b.through.expired, "block %d has expiries at %d, one before it at %d", k.Header.Seq, k.Header.Time, b.through.expired)
	b.through.expired = k.Header.Time
	b.expiries = append(b.expiries, mark{first: k.Header.Time, seq: k.Header.Seq, base: k.Header.Time})
}

// createdAccount returns the account that an event created, or took from another cell.
func createdAccount(k *journal.Block, event int) journal.Account {
	takes := func(r journal.RequestEntry) bool { return r.Kind == journal.KindTake }
	if slices.ContainsFunc(k.Requests, takes) {
		first := 0
		for _, r := range k.Requests {
			if takes(r) && event >= first && event < first+int(r.Count) {
				a, err := ledger.Handed(k.Attachment(event))
				must.True(err == nil, "the account that event %d of block %d takes: %v", event, k.Header.Seq, err)
				return a.Account
			}
			first += int(r.Count)
		}
	}
	return journal.View[journal.Account](k.EventBytes(event, 1))[0]
}

// handOver takes what was handed over in lo ≤ p < hi into account, or out of it again.
func (s *scan) handOver(b *ledger.Balances, a AccountRef, lo, hi uint64, undo bool) error {
	return s.eachMoved(movedList(a.Number), lo, hi, func(m *moved) {
		by := m.by()
		if undo {
			by = by.Negative()
		}
		b.Add(&by)
	})
}

// eachMoved visits what a list of the account has in lo ≤ p < hi.
func (s *scan) eachMoved(key listKey, lo, hi uint64, visit func(*moved)) (err error) {
	if lo >= hi || s.v.expired.empty() {
		return nil
	}
	l := s.v.open(key, lo, hi, false)
	defer func() {
		if e := l.close(); err == nil {
			err = damage(e)
		}
	}()
	for at := lo; at < hi; at++ {
		v, ok, err := l.seek(at)
		if err != nil || !ok {
			return err
		}
		m, err := l.moved()
		if err != nil {
			return err
		}
		if err := s.interrupted(); err != nil {
			return err
		}
		visit(&m)
		at = v
	}
	return nil
}

// bookedBeyond is by how much the books of account have more than its balance at a position: see Moved.beyond.
func (d *daily) bookedBeyond(at uint64) (sum sides, err error) {
	err = d.eachMoved(departureList(d.account.Number), 0, at, func(m *moved) { sum.add(m.beyond()) })
	return sum, err
}

// movedRow is the row of what was handed over at a position. Its transfer is the reservation; of an account its id is
// the move's, and its accounts are the account and the one for clearing.
func (s *scan) movedRow(a AccountRef, m *moved, at uint64) (StatementRow, error) {
	t, err := s.transferOf(a, journal.Position(at))
	if err != nil {
		return StatementRow{}, err
	}
	if !t.Flags.Has(journal.TransferPending) {
		t.Attachment = "" // it is the account's
	}
	return StatementRow{Transfer: t, Moved: &m.Moved, At: m.timestamp, Position: journal.Position(at)}, nil
}
