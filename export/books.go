package export

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// totals are the four sums of an account, minor units.
type totals struct{ debitsPending, debitsPosted, creditsPending, creditsPosted money.U128 }

// into writes the totals into the API's form of an account.
func (t totals) into(a *ledgerv1.Account) {
	a.DebitsPending, a.DebitsPosted = t.debitsPending.String(), t.debitsPosted.String()
	a.CreditsPending, a.CreditsPosted = t.creditsPending.String(), t.creditsPosted.String()
}

// net is posted debits less posted credits.
func (t totals) net() signed {
	if d, under := t.debitsPosted.Sub(t.creditsPosted); !under {
		return signed{abs: d}
	}
	d, _ := t.creditsPosted.Sub(t.debitsPosted)
	return signed{abs: d, negative: true}
}

// signed is a difference of two amounts, minor units.
type signed struct {
	abs      money.U128
	negative bool
}

func (s signed) sign() string {
	if s.negative {
		return "-"
	}
	return ""
}

func (s signed) minor() string                { return s.sign() + s.abs.String() }
func (s signed) decimal(a money.Asset) string { return s.sign() + a.Format(s.abs) }

// hold is an open reservation.
type hold struct {
	debit, credit uint32 // places in books.accounts
	amount        money.U128
	expires       uint64 // ns since 1970 UTC; zero never
}

// books are balances counted from the transfers.
type books struct {
	places   map[money.U128]uint32 // account id → place
	accounts []totals
	holds    map[money.U128]hold // by the id of the pending transfer
}

func newBooks() *books {
	return &books{places: map[money.U128]uint32{}, holds: map[money.U128]hold{}}
}

// totals of an account; zeros if no transfer names it.
func (b *books) totals(id money.U128) totals {
	if place, ok := b.places[id]; ok {
		return b.accounts[place]
	}
	return totals{}
}

func (b *books) has(id money.U128) bool {
	_, ok := b.places[id]
	return ok
}

// place finds an account's place, or gives it one.
func (b *books) place(id money.U128) uint32 {
	place, ok := b.places[id]
	if !ok {
		place = uint32(len(b.accounts)) //nolint:gosec // a cell numbers its accounts with 32 bits
		b.places[id] = place
		b.accounts = append(b.accounts, totals{})
	}
	return place
}

// errContradiction is an answer of the ledger that can't be: a transfer that its own rules refuse.
var errContradiction = errors.New("the ledger contradicts itself")

// movement is what a transfer does to posted balances.
type movement struct {
	*ledgerv1.Transfer
	debit, credit uint32 // places
	amount        money.U128
	posted        bool // money moved: not only reserved, and not given back
}

// fold counts every transfer up to the moment. each is told of each, after it was counted; may be nil.
func (r *run) fold(ctx context.Context, b *books, each func(*movement) error) error {
	err := r.eachTransfer(ctx, func(t *ledgerv1.Transfer) error {
		m, err := b.add(t)
		if err == nil && each != nil {
			err = each(&m)
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.expire(r.moment.Time)
}

// add counts one transfer.
func (b *books) add(t *ledgerv1.Transfer) (movement, error) {
	var ids [4]money.U128
	debit, credit := booked(t)
	for i, text := range []string{t.GetId(), debit, credit, t.GetAmount()} {
		var err error
		if ids[i], err = money.Parse(text); err != nil {
			return movement{}, err
		}
	}
	m := movement{Transfer: t, debit: b.place(ids[1]), credit: b.place(ids[2]), amount: ids[3]}
	var flags ledgerv1.TransferFlag
	for _, f := range t.GetFlags() {
		flags |= f
	}
	has := func(f ledgerv1.TransferFlag) bool { return flags&f != 0 }
	switch {
	case has(ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING):
		h := hold{debit: m.debit, credit: m.credit, amount: m.amount}
		if t.GetTimeout() != 0 {
			h.expires = t.GetTimestamp() + uint64(t.GetTimeout())*1e9
		}
		b.holds[ids[0]] = h
		return m, b.reserve(h)
	case has(ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER):
		m.posted = true
		if err := b.resolve(t, m.amount, has(ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER)); err != nil {
			return m, err
		}
		return m, b.post(&m)
	case has(ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER):
		return m, b.resolve(t, money.U128{}, false)
	default:
		m.posted = true
		return m, b.post(&m)
	}
}

func (b *books) post(m *movement) error {
	return errors.Join(increase(&b.accounts[m.debit].debitsPosted, m.amount), increase(&b.accounts[m.credit].creditsPosted, m.amount))
}

func (b *books) reserve(h hold) error {
	return errors.Join(increase(&b.accounts[h.debit].debitsPending, h.amount), increase(&b.accounts[h.credit].creditsPending, h.amount))
}

func (b *books) release(h hold, amount money.U128) error {
	return errors.Join(decrease(&b.accounts[h.debit].debitsPending, amount), decrease(&b.accounts[h.credit].creditsPending, amount))
}

// resolve ends a reservation; with keep, only as far as it was posted.
func (b *books) resolve(t *ledgerv1.Transfer, posted money.U128, keep bool) error {
	pending := t.GetPendingId()
	id, err := money.Parse(pending)
	if err != nil {
		return fmt.Errorf("pending id: %w", err)
	}
	h, ok := b.holds[id]
	if !ok && ofSplit(t) {
		return nil // the whole of it ends where the transfer does
	}
	if !ok {
		return fmt.Errorf("%w: transfer %s is not pending", errContradiction, pending)
	}
	rest, under := h.amount.Sub(posted)
	switch {
	case under:
		return fmt.Errorf("%w: more than transfer %s reserved", errContradiction, pending)
	case keep && !rest.IsZero():
		h.amount = rest
		b.holds[id] = h
		return b.release(h, posted)
	}
	delete(b.holds, id)
	return b.release(h, h.amount)
}

// expire gives back what was due by a time.
func (b *books) expire(now uint64) error {
	for id, h := range b.holds {
		if h.expires == 0 || h.expires > now {
			continue
		}
		delete(b.holds, id)
		if err := b.release(h, h.amount); err != nil {
			return err
		}
	}
	return nil
}

func increase(sum *money.U128, by money.U128) error {
	after, over := sum.Add(by)
	if over {
		return fmt.Errorf("%w: a balance beyond 2^128 - 1", errContradiction)
	}
	*sum = after
	return nil
}

func decrease(sum *money.U128, by money.U128) error {
	after, under := sum.Sub(by)
	if under {
		return fmt.Errorf("%w: a balance below zero", errContradiction)
	}
	*sum = after
	return nil
}
