package export

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// step is how many rows one call fetches: as many as the API gives.
const step = 8190

// Moment is the state of the ledger that an export shows: right after the last transfer that was recorded when the
// export began, whatever happens while it runs.
//
// It is taken by two linearizable queries, for the last account and then for the last transfer. Timestamps of transfers
// only ever increase, and so do those of accounts, imported ones among their own kind too. So all transfers up to
// LastTransfer are a beginning of the ledger's history that nothing can be added to; and as every account is older than
// its transfers, the accounts up to the later of the two are all that those transfers name. Balances are counted from
// the transfers, not read, because balances that are read page by page would be of many moments.
type Moment struct {
	Position     *ledgerv1.Position // the index had this; later pages wait for it too
	LastTransfer uint64             // ns since 1970 UTC; zero if there is none
	LastAccount  uint64             // likewise
	Time         uint64             // reservations due by then have expired; ns since 1970 UTC
}

// take finds the moment of an export.
func take(ctx context.Context, ledger Ledger, o *Options) (Moment, error) {
	m := Moment{Time: o.Now}
	err := latest(func(f *ledgerv1.QueryFilter) (bool, uint64, error) {
		r, err := ledger.QueryAccounts(ctx, f, nil)
		for _, a := range r.GetAccounts() {
			m.LastAccount = a.GetTimestamp()
		}
		return len(r.GetAccounts()) > 0, r.GetNextTimestamp(), err
	})
	if err != nil {
		return Moment{}, err
	}
	err = latest(func(f *ledgerv1.QueryFilter) (bool, uint64, error) {
		r, err := ledger.QueryTransfers(ctx, f, nil)
		for _, t := range r.GetTransfers() {
			m.LastTransfer = t.GetTimestamp()
		}
		if m.Position == nil {
			m.Position = r.GetPosition()
		}
		return len(r.GetTransfers()) > 0, r.GetNextTimestamp(), err
	})
	if err != nil {
		return Moment{}, err
	}
	m.LastAccount = max(m.LastAccount, m.LastTransfer)
	m.Time = max(m.Time, m.LastAccount) // a clock that is behind the ledger's says nothing
	if o.Until != 0 {
		m.LastTransfer, m.LastAccount, m.Time = min(m.LastTransfer, o.Until), min(m.LastAccount, o.Until), min(m.Time, o.Until)
	}
	return m, nil
}

// latest asks for the last row. A token with a scope may be answered with none and where to go on: what it may not see
// was left out.
func latest(ask func(*ledgerv1.QueryFilter) (found bool, next uint64, err error)) error {
	for f := (&ledgerv1.QueryFilter{Limit: 1, Reversed: true}); ; {
		found, next, err := ask(f)
		if err != nil || found || next == 0 {
			return err
		}
		if f.TimestampMax != 0 && next >= f.TimestampMax {
			return fmt.Errorf("the ledger's answer goes on from %d to %d, which is not before it", f.TimestampMax, next)
		}
		f.TimestampMax = next
	}
}

// eachAccount goes over the accounts that the options choose, but for Options.Accounts, in the order of their opening.
func (r *run) eachAccount(ctx context.Context, use func(id money.U128, a *ledgerv1.Account) error) error {
	f := &ledgerv1.QueryFilter{Asset: r.options.Asset, Code: r.options.Code, TimestampMax: r.moment.LastAccount, Limit: step}
	for more := r.moment.LastAccount != 0; more; {
		page, err := r.ledger.QueryAccounts(ctx, f, r.moment.Position)
		if err != nil {
			return err
		}
		for _, a := range page.GetAccounts() {
			id, err := money.Parse(a.GetId())
			if err != nil {
				return fmt.Errorf("account: %w", err)
			}
			if err := use(id, a); err != nil {
				return err
			}
		}
		r.progress(len(page.GetAccounts()))
		if more, err = goOn(&f.TimestampMin, f.TimestampMax, page.GetNextTimestamp()); err != nil {
			return err
		}
	}
	return nil
}

// eachTransfer goes over the transfers that the options choose, in their order.
func (r *run) eachTransfer(ctx context.Context, use func(*ledgerv1.Transfer) error) error {
	if r.moment.LastTransfer < max(1, r.options.Since) {
		return nil
	}
	if len(r.options.Accounts) == 1 && r.options.What == Transfers {
		return r.eachOfAccount(ctx, use)
	}
	f := &ledgerv1.QueryFilter{Asset: r.options.Asset, TimestampMin: r.options.Since, TimestampMax: r.moment.LastTransfer, Limit: step}
	chosen := map[money.U128]bool(nil)
	if r.options.What == Transfers {
		f.Code, chosen = r.options.Code, r.chosen()
	}
	for more := true; more; {
		page, err := r.ledger.QueryTransfers(ctx, f, r.moment.Position)
		if err != nil {
			return err
		}
		for _, t := range page.GetTransfers() {
			if ok, err := touches(chosen, t); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
			if err := use(t); err != nil {
				return fmt.Errorf("transfer %s: %w", t.GetId(), err)
			}
		}
		r.progress(len(page.GetTransfers()))
		if more, err = goOn(&f.TimestampMin, f.TimestampMax, page.GetNextTimestamp()); err != nil {
			return err
		}
	}
	return nil
}

// eachOfAccount is eachTransfer for one account, which the ledger has a list for.
func (r *run) eachOfAccount(ctx context.Context, use func(*ledgerv1.Transfer) error) error {
	f := &ledgerv1.AccountFilter{
		AccountId: r.options.Accounts[0].String(), Code: r.options.Code,
		TimestampMin: r.options.Since, TimestampMax: r.moment.LastTransfer, Limit: step,
	}
	for more := true; more; {
		page, err := r.ledger.AccountTransfers(ctx, f, r.moment.Position)
		if err != nil {
			return err
		}
		for _, t := range page.GetTransfers() {
			if r.options.Asset != "" && t.GetAsset() != r.options.Asset {
				continue
			}
			if err := use(t); err != nil {
				return fmt.Errorf("transfer %s: %w", t.GetId(), err)
			}
		}
		r.progress(len(page.GetTransfers()))
		if more, err = goOn(&f.TimestampMin, f.TimestampMax, page.GetNextTimestamp()); err != nil {
			return err
		}
	}
	return nil
}

// goOn moves a filter to the next page. A page that does not move on would be read for ever.
func goOn(from *uint64, last, next uint64) (more bool, err error) {
	if next == 0 || next > last {
		return false, nil
	}
	if next <= *from {
		return false, fmt.Errorf("the ledger's answer goes back from %d to %d", *from, next)
	}
	*from = next
	return true, nil
}

func touches(chosen map[money.U128]bool, t *ledgerv1.Transfer) (bool, error) {
	if chosen == nil {
		return true, nil
	}
	debit, err := money.Parse(t.GetDebitAccountId())
	if err != nil {
		return false, fmt.Errorf("transfer %s: debit account: %w", t.GetId(), err)
	}
	credit, err := money.Parse(t.GetCreditAccountId())
	if err != nil {
		return false, fmt.Errorf("transfer %s: credit account: %w", t.GetId(), err)
	}
	return chosen[debit] || chosen[credit], nil
}
