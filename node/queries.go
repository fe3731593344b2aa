package node

import (
	"context"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// queries joins the cell, which knows accounts, with the index, which knows lists of transfers.
type queries struct {
	*index.Queries
	cell  *cell.Cell
	index *index.Index
}

func newQueries(c *cell.Cell, x *index.Index) *queries { return &queries{index.NewQueries(x, c), c, x} }

// Applied implements api.Progress.
func (q *queries) Applied() uint64 { return q.index.Applied() }

// WaitFor implements api.Progress.
func (q *queries) WaitFor(ctx context.Context, seq uint64) error { return q.index.WaitFor(ctx, seq) }

func accountFilter(f api.AccountFilter) index.AccountFilter {
	return index.AccountFilter{
		AccountID: f.AccountID, UserData128: f.UserData128, UserData64: f.UserData64, UserData32: f.UserData32, Code: f.Code,
		TimestampMin: f.TimestampMin, TimestampMax: f.TimestampMax, Limit: int(f.Limit), Debits: f.Debits, Credits: f.Credits,
		Reversed: f.Reversed,
	}
}

func queryFilter(f api.QueryFilter) index.QueryFilter {
	return index.QueryFilter{
		UserData128: f.UserData128, UserData64: f.UserData64, UserData32: f.UserData32, Asset: f.Asset, Code: f.Code,
		TimestampMin: f.TimestampMin, TimestampMax: f.TimestampMax, Limit: int(f.Limit), Reversed: f.Reversed,
	}
}

// AccountTransfers implements api.Queries. An account that doesn't exist has no transfers.
func (q *queries) AccountTransfers(ctx context.Context, f api.AccountFilter) ([]ledger.Transfer, error) {
	n, err := q.cell.AccountNumber(ctx, f.AccountID)
	if err != nil || n == 0 {
		return nil, err
	}
	page, err := q.Queries.AccountTransfers(ctx, n, accountFilter(f))
	return page.Rows, err
}

// AccountBalances implements api.Queries.
func (q *queries) AccountBalances(ctx context.Context, f api.AccountFilter) ([]api.Balance, error) {
	n, err := q.cell.AccountNumber(ctx, f.AccountID)
	if err != nil || n == 0 {
		return nil, err
	}
	page, err := q.Queries.AccountBalances(ctx, n, accountFilter(f))
	list := make([]api.Balance, len(page.Rows))
	for i, row := range page.Rows {
		list[i] = api.Balance{Balances: row.Balances, Timestamp: row.Timestamp}
	}
	return list, err
}

// Transfers implements api.Queries.
func (q *queries) Transfers(ctx context.Context, f api.QueryFilter) ([]ledger.Transfer, error) {
	page, err := q.Queries.Transfers(ctx, queryFilter(f))
	return page.Rows, err
}

// Accounts implements api.Queries: by user data through the index, otherwise by looking through the accounts.
func (q *queries) Accounts(ctx context.Context, f api.QueryFilter) ([]journal.Account, error) {
	if f.UserData128.IsZero() && f.UserData64 == 0 && f.UserData32 == 0 {
		return q.scanAccounts(ctx, f)
	}
	var list []journal.Account
	// The index knows user data only: what else the filter asks for is decided here, a piece at a time.
	all := queryFilter(f)
	all.Limit = journal.MaxEvents
	numbers, _, err := q.AccountNumbers(ctx, all, nil)
	if err != nil {
		return nil, err
	}
	accounts, err := q.cell.AccountsByNumber(ctx, numbers)
	for i := range accounts {
		if len(list) < int(f.Limit) && matches(&f, &accounts[i]) {
			list = append(list, accounts[i])
		}
	}
	return list, err
}

func (q *queries) scanAccounts(ctx context.Context, f api.QueryFilter) ([]journal.Account, error) {
	var list []journal.Account
	err := q.cell.ScanAccounts(ctx, 0, f.Reversed, func(_ uint32, a *journal.Account) bool {
		if matches(&f, a) {
			list = append(list, *a)
		}
		return len(list) < int(f.Limit)
	})
	return list, err
}

func matches(f *api.QueryFilter, a *journal.Account) bool {
	return (f.Asset == 0 || a.Asset == f.Asset) && (f.Code == 0 || a.Code == f.Code) &&
		a.Timestamp >= f.TimestampMin && (f.TimestampMax == 0 || a.Timestamp <= f.TimestampMax)
}
