package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// Scopes narrow a caller to some accounts. Everything here runs for callers with
// a scope only; a method that is not in scopedMethods refuses them, so that a new
// one is closed until it was thought about.
//
// What is outside of a scope is as if it were not there: reads leave it out, and
// a write that names it is refused in the same words as one that names nothing.

// AccountScope is what scopes look at.
type AccountScope struct {
	Asset   uint32 // number in the catalogue
	Address string // empty: it has none
	Found   bool   // there is such an account
}

// Accounts tells what scopes look at. Both never change for an account, so an
// answer never gets old.
type Accounts interface {
	// Describe returns one entry per id, in order, as of now or later.
	Describe(ctx context.Context, ids []money.U128) ([]AccountScope, error)
}

// described describes the accounts of a cell.
type described struct{ cell Reader }

// Describe implements Accounts.
func (d described) Describe(ctx context.Context, ids []money.U128) ([]AccountScope, error) {
	list := make([]AccountScope, len(ids))
	err := d.cell.Read(ctx, func(st *ledger.State) {
		for i, id := range ids {
			if a, n := st.Account(id); n != 0 {
				list[i] = AccountScope{Asset: a.Asset, Address: st.Address(n), Found: true}
			}
		}
	})
	return list, err
}

// scopedMethods are the paths of the methods that heed scopes.
func scopedMethods() []string {
	return []string{
		ledgerv1connect.LedgerServiceCreateAccountsProcedure,
		ledgerv1connect.LedgerServiceCreateAccountsPackedProcedure,
		ledgerv1connect.LedgerServiceCreateTransfersProcedure,
		ledgerv1connect.LedgerServiceCreateTransfersPackedProcedure,
		ledgerv1connect.LedgerServiceCreateTransfersStreamProcedure,
		ledgerv1connect.LedgerServiceCreateTransactionProcedure,
		ledgerv1connect.LedgerServiceGetTransactionProcedure,
		ledgerv1connect.LedgerServiceSetMetadataProcedure,
		ledgerv1connect.LedgerServiceLookupAddressesProcedure,
		ledgerv1connect.HistoryServiceGetBalanceAsOfProcedure,
		ledgerv1connect.HistoryServiceGetStatementProcedure,
		ledgerv1connect.HistoryServiceListAccountsByAddressProcedure,
		ledgerv1connect.LedgerServiceLookupAccountsProcedure,
		ledgerv1connect.LedgerServiceLookupAccountsPackedProcedure,
		ledgerv1connect.LedgerServiceLookupTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountBalancesProcedure,
		ledgerv1connect.LedgerServiceQueryAccountsProcedure,
		ledgerv1connect.LedgerServiceQueryTransfersProcedure,
		ledgerv1connect.LedgerServiceListFreezesProcedure,
		ledgerv1connect.LedgerServiceListAssetsProcedure,
	}
}

func quoted(name string) string { return strconv.Quote(name) }

func scopeRefused(field, message string) *fault {
	if field != "" {
		message = field + ": " + message
	}
	return &fault{code: connect.CodePermissionDenied, reason: ledgerv1.ErrorReason_ERROR_REASON_SCOPE_REFUSED, field: field, message: message}
}

// outside refuses a write. The words are the same whether an account is outside
// of the scope or is not there at all.
func outside(kind string, event int) *fault {
	return scopeRefused(fmt.Sprintf("%s[%d]", kind, event), "is not within the token's scope; no event of the call was recorded")
}

// covers reports for each id whether there is such an account within the scope.
func (s *Server) covers(ctx context.Context, scope *auth.Scope, ids []money.U128) ([]bool, error) {
	covered := make([]bool, len(ids))
	list, err := s.config.Accounts.Describe(ctx, ids)
	if err != nil {
		return nil, err
	}
	if len(list) != len(ids) {
		return nil, fmt.Errorf("describe %d accounts: got %d answers", len(ids), len(list))
	}
	names := s.assetTable()
	for i, a := range list {
		covered[i] = a.Found && scope.HasAsset(names.Name(a.Asset)) && scope.HasAddress(a.Address)
	}
	return covered, nil
}

// allowTransfers refuses a call of which an event names an account outside of
// the scope. A post or void is judged by the accounts of its pending transfer,
// which are filled in: the ledger then refuses it if the id means another one by
// the time that it is decided.
func (s *Server) allowTransfers(ctx context.Context, scope *auth.Scope, events []journal.Transfer) error {
	if scope == nil {
		return nil
	}
	if err := s.fillPending(ctx, events); err != nil {
		return err
	}
	ids := make([]money.U128, 0, 2*len(events))
	for i := range events {
		ids = append(ids, events[i].Debit, events[i].Credit)
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return err
	}
	for i := range events {
		if !covered[2*i] || !covered[2*i+1] {
			return outside("transfers", i)
		}
	}
	return nil
}

const settles = journal.TransferPost | journal.TransferVoid

// fillPending gives posts and voids the accounts of their pending transfers, of
// the ledger or of earlier events. An event whose accounts differ from those, and
// one whose pending transfer is not there, loses its accounts, which no scope
// covers.
func (s *Server) fillPending(ctx context.Context, events []journal.Transfer) error {
	var ids []money.U128
	for i := range events {
		if events[i].Flags&settles != 0 {
			ids = append(ids, events[i].PendingID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	recorded, err := s.config.Cell.LookupTransfers(ctx, ids)
	if err != nil {
		return err
	}
	type pair struct{ debit, credit money.U128 }
	accounts := make(map[money.U128]pair, len(ids))
	for i := range recorded {
		accounts[recorded[i].ID] = pair{recorded[i].Debit, recorded[i].Credit}
	}
	for i := range events {
		e := &events[i]
		if e.Flags&settles == 0 {
			if _, found := accounts[e.ID]; !found { // what is recorded goes before what is only asked for
				accounts[e.ID] = pair{e.Debit, e.Credit}
			}
			continue
		}
		p := accounts[e.PendingID]
		if !e.Debit.IsZero() && e.Debit != p.debit || !e.Credit.IsZero() && e.Credit != p.credit {
			p = pair{}
		}
		e.Debit, e.Credit = p.debit, p.credit
	}
	return nil
}

// allowAccounts refuses a call that would open an account outside of the scope,
// or one whose id is taken by one outside, or that would bring an asset into the
// catalogue that the scope does not name.
func (s *Server) allowAccounts(ctx context.Context, c *call) error {
	scope, events := c.principal.Scope, c.batch.Accounts
	fresh := make(map[int]string, len(c.batch.Unregistered))
	for _, u := range c.batch.Unregistered {
		fresh[u.Event] = u.Asset.String()
	}
	ids := make([]money.U128, len(events))
	for i := range events {
		name, isNew := fresh[i]
		if !isNew {
			name = c.assets.Name(events[i].Asset)
		}
		if !scope.HasAsset(name) || isNew && !scope.NamesAsset(name) || !scope.HasAddress(c.address(i)) {
			return outside("accounts", i)
		}
		ids[i] = events[i].ID
	}
	list, err := s.config.Accounts.Describe(ctx, ids)
	if err != nil {
		return err
	}
	names := s.assetTable()
	for i, a := range list {
		if a.Found && (!scope.HasAsset(names.Name(a.Asset)) || !scope.HasAddress(a.Address)) {
			return outside("accounts", i)
		}
	}
	return nil
}

// address is the address that a new account asks for.
func (c *call) address(event int) string {
	for i := range c.batch.Details {
		if c.batch.Details[i].Event == event {
			return c.batch.Details[i].Address
		}
	}
	return ""
}

// scopeAccounts leaves the accounts within the scope, in place.
func (s *Server) scopeAccounts(ctx context.Context, scope *auth.Scope, rows []journal.Account) ([]journal.Account, error) {
	if scope == nil || len(rows) == 0 {
		return rows, nil
	}
	ids := make([]money.U128, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for i := range rows {
		if covered[i] {
			kept = append(kept, rows[i])
		}
	}
	return kept, nil
}

// scopeTransfers leaves the transfers that touch an account within the scope, in
// place. Where the other account is outside, its id is shown as zero: the balance
// of the account within stays explicable, and the other stays unknown.
func (s *Server) scopeTransfers(ctx context.Context, scope *auth.Scope, rows []ledger.Transfer) ([]ledger.Transfer, error) {
	if scope == nil || len(rows) == 0 {
		return rows, nil
	}
	ids := make([]money.U128, 0, 2*len(rows))
	for i := range rows {
		ids = append(ids, rows[i].Debit, rows[i].Credit)
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for i := range rows {
		row, debit, credit := rows[i], covered[2*i], covered[2*i+1]
		if !debit && !credit {
			continue
		}
		if !debit {
			row.Debit = money.U128{}
		}
		if !credit {
			row.Credit = money.U128{}
		}
		kept = append(kept, row)
	}
	return kept, nil
}

// scopeStatement hides the other account of each row where it is outside of the scope.
func (s *Server) scopeStatement(ctx context.Context, scope *auth.Scope, page *index.Statement) error {
	if scope == nil {
		return nil
	}
	ids := make([]money.U128, 0, 2*len(page.Rows))
	for i := range page.Rows {
		ids = append(ids, page.Rows[i].Transfer.Debit, page.Rows[i].Transfer.Credit)
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return err
	}
	for i := range page.Rows {
		t := &page.Rows[i].Transfer
		if !covered[2*i] {
			t.Debit = money.U128{}
		}
		if !covered[2*i+1] {
			t.Credit = money.U128{}
		}
	}
	return nil
}

// scopedRounds bounds how often a scoped query goes on where the scope left
// nothing of a page: then it answers an empty page with the place to go on from.
const scopedRounds = 4

// scopedPages reads pages until something of one is within the scope. read
// returns a page after the scope, and the timestamp that the next page begins
// with, 0 if there is none.
func scopedPages[Row any](f index.QueryFilter, read func(index.QueryFilter) ([]Row, uint64, error)) (rows []Row, next uint64, err error) {
	for range scopedRounds {
		if rows, next, err = read(f); err != nil || len(rows) > 0 || next == 0 {
			return rows, next, err
		}
		if f.Reversed {
			f.TimestampMax = next
		} else {
			f.TimestampMin = next
		}
	}
	return rows, next, nil
}

// narrow gives a query the asset of a scope that has only one: then the index
// does the work. It reports false where nothing can be found.
func (s *Server) narrow(scope *auth.Scope, f *index.QueryFilter) bool {
	if scope == nil || len(scope.Assets) == 0 {
		return true
	}
	names := s.assetTable()
	if f.Asset != 0 {
		return scope.HasAsset(names.Name(f.Asset))
	}
	if len(scope.Assets) == 1 {
		number, ok := names.Number(scope.Assets[0])
		f.Asset = number
		return ok
	}
	return true
}

// scopeFreezes leaves the freezes of accounts within the scope. Those of codes
// and of the cell are not about single accounts.
func (s *Server) scopeFreezes(ctx context.Context, scope *auth.Scope, list []ledger.Freeze) ([]ledger.Freeze, error) {
	if scope == nil {
		return list, nil
	}
	list = slices.DeleteFunc(slices.Clone(list), func(f ledger.Freeze) bool { return f.Selector != journal.SelectAccount })
	ids := make([]money.U128, len(list))
	for i := range list {
		ids[i] = list[i].Account
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	i := -1
	return slices.DeleteFunc(list, func(ledger.Freeze) bool { i++; return !covered[i] }), nil
}
