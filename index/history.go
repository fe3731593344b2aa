package index

import (
	"context"
	"fmt"
	"math"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// AccountRef names an account by both of its names: the index knows its number, records its id.
type AccountRef struct {
	Number uint32
	ID     money.U128
}

// Posted are the posted sums of an account, in minor units.
type Posted struct{ Debits, Credits money.U128 }

// BalanceAt returns the balances of an account after everything that happened up to a timestamp (ns since 1970,
// inclusive). It reads a few dozen records at most, wherever the moment lies.
func (q *Queries) BalanceAt(ctx context.Context, a AccountRef, timestamp uint64) (b ledger.Balances, err error) {
	err = q.run(ctx, false, func(s *scan) error {
		m, err := s.momentAfter(timestamp)
		if err == nil {
			b, err = s.balances(a, m)
		}
		return err
	})
	if err != nil {
		return ledger.Balances{}, fmt.Errorf("balance of account %v at %d: %w", a.ID, timestamp, err)
	}
	return b, nil
}

// BalanceOn returns the posted sums of an account at the end of a day, by booking dates: what was posted later with a
// booking date up to the day counts, what was posted before with a later one does not.
func (q *Queries) BalanceOn(ctx context.Context, a AccountRef, day journal.Date) (p Posted, err error) {
	err = q.run(ctx, false, func(s *scan) error {
		d := daily{scan: s, account: a}
		return d.with(func() error {
			p, err = d.postedBefore(place{date: day + 1})
			return err
		})
	})
	if err != nil {
		return Posted{}, fmt.Errorf("balance of account %v on %v: %w", a.ID, day, err)
	}
	return p, nil
}

// moment is a point in an account's history: all transfers before one position and all expiries before another one have
// happened. The two differ where imported transfers, which have timestamps of the past, follow expiries.
type moment struct{ transfers, expiries uint64 }

// momentBefore returns the moment before anything at or after a timestamp.
func (s *scan) momentBefore(ts uint64) (m moment, err error) {
	if m.transfers, err = s.position(ts); err == nil {
		m.expiries, err = s.expiryPosition(ts)
	}
	m.transfers, m.expiries = min(m.transfers, s.v.top), min(m.expiries, s.v.top)
	return m, err
}

func (s *scan) momentAfter(ts uint64) (moment, error) {
	if ts == math.MaxUint64 {
		return moment{s.v.top, s.v.top}, nil
	}
	return s.momentBefore(ts + 1)
}

// expiryPosition is position for expiries.
func (s *scan) expiryPosition(ts uint64) (uint64, error) {
	m, ok, err := s.v.expired.atMost(ts)
	if err != nil || !ok {
		return 0, err
	}
	return min(uint64(journal.At(m.seq+1, 0)), uint64(journal.At(m.seq, 0))+min(ts-m.base, 2*journal.MaxEvents)), nil
}

// balances returns an account's balances at a moment: those of the last row before it, and what has moved since.
func (s *scan) balances(a AccountRef, m moment) (b ledger.Balances, err error) {
	b, since, err := s.lastRow(a, m.transfers)
	if err != nil {
		return b, err
	}
	return b, s.happen(&b, a, since, m.expiries)
}

// happen takes balances, as they are by the expiries before a position, to another one: by expiries, and by what was
// handed over.
func (s *scan) happen(b *ledger.Balances, a AccountRef, from, to uint64) error {
	lo, hi, undo := from, to, false
	if to < from {
		lo, hi, undo = to, from, true
	}
	if err := s.expire(b, a, lo, hi, undo); err != nil {
		return err
	}
	return s.handOver(b, a, lo, hi, undo)
}

// lastRow returns the balances by the transfers before a position, and by the expiries before since, which is the
// position of the last row before it or 0.
func (s *scan) lastRow(a AccountRef, before uint64) (b ledger.Balances, since uint64, err error) {
	l := s.v.open(accountList(a.Number), 0, before, true)
	defer func() {
		if e := l.close(); err == nil {
			err = damage(e)
		}
	}()
	at := before
	for at > 0 {
		v, ok, err := l.seek(at - 1)
		if err != nil || !ok {
			return b, 0, err
		}
		beside, err := l.beside()
		if err != nil {
			return b, 0, err
		}
		row, err := readAside(beside)
		if err != nil {
			return b, 0, err
		}
		if row.kind != rowNone {
			b.Add(&row.row.Balances)
			return b, v, nil
		}
		t, err := s.transferOf(a, journal.Position(v))
		if err != nil {
			return b, 0, err
		}
		d := deltaOf(&t, a.ID)
		d.apply(&b)
		if s.reads > s.q.scan {
			return b, 0, fmt.Errorf("%w: account %v has %d transfers without balances in between", ErrRebuild, a.ID, s.reads)
		}
		at = v
	}
	return b, 0, nil
}

// transferOf reads a transfer of an account.
func (s *scan) transferOf(a AccountRef, p journal.Position) (ledger.Transfer, error) {
	if err := s.interrupted(); err != nil {
		return ledger.Transfer{}, err
	}
	return s.accountTransfer(p, &AccountFilter{AccountID: a.ID})
}

// expire takes the account's expiries lo ≤ p < hi into account, or out of it again.
func (s *scan) expire(b *ledger.Balances, a AccountRef, lo, hi uint64, undo bool) (err error) {
	if lo >= hi || s.v.expired.empty() {
		return nil
	}
	l := s.v.open(expiryList(a.Number), lo, hi, false)
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
		e, err := l.expired()
		if err != nil {
			return err
		}
		if err := s.interrupted(); err != nil {
			return err
		}
		d := e.delta()
		if undo {
			d.Released, d.Reserved = money.U128{}, d.Released
		}
		d.apply(b)
		at = v
	}
	return nil
}

func (l *list) expired() (expired, error) {
	beside, err := l.beside()
	if err != nil {
		return expired{}, err
	}
	return readExpired(beside)
}

// Delta is what a transfer or an expiry did to one account, in minor units. Credit tells the account's side.
type Delta struct {
	Credit   bool
	Posted   money.U128
	Reserved money.U128 // added to what is pending
	Released money.U128 // taken off what was pending
}

// deltaOf is what a transfer did to the account, if it released no more than it posted: else there is a row.
func deltaOf(t *ledger.Transfer, id money.U128) Delta {
	d := Delta{Credit: t.Credit == id}
	switch {
	case t.Flags.Has(journal.TransferPending):
		d.Reserved = t.Amount
	case t.Flags.Has(journal.TransferPost):
		d.Posted, d.Released = t.Amount, t.Amount
	case t.Flags.Has(journal.TransferVoid):
		d.Released = t.Amount
	default:
		d.Posted = t.Amount
	}
	return d
}

func (e *expired) delta() Delta { return Delta{Credit: e.credit, Released: e.amount} }

// apply changes balances, modulo 2^128: parts of a sum may come in any order.
func (d *Delta) apply(b *ledger.Balances) {
	posted, pending := &b.DebitsPosted, &b.DebitsPending
	if d.Credit {
		posted, pending = &b.CreditsPosted, &b.CreditsPending
	}
	*posted, _ = posted.Add(d.Posted)
	*pending, _ = pending.Add(d.Reserved)
	*pending, _ = pending.Sub(d.Released)
}
