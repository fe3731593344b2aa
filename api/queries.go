package api

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const defaultRows = 100

// reach waits until the index has the position asked for, or else everything that
// was durable when the query came, and returns the position of the answer.
func (s *Server) reach(ctx context.Context, asked *ledgerv1.Position) (*ledgerv1.Position, error) {
	head, err := s.config.Cell.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	seq := head
	if s.config.Cells != nil && asked.GetCell() != s.config.CellNumber {
		asked = nil // of another cell: its answer was durable before this call came
	}
	if asked != nil {
		seq = asked.GetSeq()
		if asked.GetCell() != s.config.CellNumber {
			return nil, malformed("minPosition.cell", fmt.Sprintf("this is cell %d, not %d", s.config.CellNumber, asked.GetCell()))
		}
		if seq > head {
			return nil, malformed("minPosition.seq", fmt.Sprintf("the journal's head is %d, not yet %d: this position was not given by this ledger", head, seq))
		}
	}
	if err := s.config.Progress.WaitFor(ctx, seq); err != nil {
		return nil, err
	}
	return s.position(max(seq, min(s.config.Progress.Applied(), s.config.Cell.Head()))), nil
}

func (s *Server) position(seq uint64) *ledgerv1.Position {
	return &ledgerv1.Position{Cell: s.config.CellNumber, Seq: seq}
}

func readU128(field, text string) (money.U128, error) {
	v, err := codec.U128([]byte(text))
	if err != nil {
		return money.U128{}, malformed(field, err.Error())
	}
	return v, nil
}

func readCode(field string, code uint32) (uint16, error) {
	if code > 1<<16-1 {
		return 0, malformed(field, "want a whole number from 0 to 65535")
	}
	return uint16(code), nil
}

func readRows(limit uint32) (int, error) {
	switch {
	case limit == 0:
		return defaultRows, nil
	case limit > MaxEvents:
		return 0, malformed("filter.limit", fmt.Sprintf("want 1 to %d", MaxEvents))
	default:
		return int(limit), nil
	}
}

func readAccountFilter(f *ledgerv1.AccountFilter) (index.AccountFilter, error) {
	id, err := readU128("filter.accountId", f.GetAccountId())
	if err == nil && id.IsZero() {
		err = malformed("filter.accountId", "is missing")
	}
	if err != nil {
		return index.AccountFilter{}, err
	}
	user, err := readU128("filter.userData128", f.GetUserData_128())
	if err != nil {
		return index.AccountFilter{}, err
	}
	code, err := readCode("filter.code", f.GetCode())
	if err != nil {
		return index.AccountFilter{}, err
	}
	rows, err := readRows(f.GetLimit())
	if err != nil {
		return index.AccountFilter{}, err
	}
	both := !f.GetDebits() && !f.GetCredits()
	return index.AccountFilter{
		AccountID: id, UserData128: user, UserData64: f.GetUserData_64(), UserData32: f.GetUserData_32(), Code: code,
		TimestampMin: f.GetTimestampMin(), TimestampMax: f.GetTimestampMax(), Limit: rows,
		Debits: both || f.GetDebits(), Credits: both || f.GetCredits(), Reversed: f.GetReversed(),
	}, nil
}

// readQueryFilter returns ok false where nothing can match.
func (s *Server) readQueryFilter(f *ledgerv1.QueryFilter) (filter index.QueryFilter, ok bool, err error) {
	user, err := readU128("filter.userData128", f.GetUserData_128())
	if err != nil {
		return index.QueryFilter{}, false, err
	}
	code, err := readCode("filter.code", f.GetCode())
	if err != nil {
		return index.QueryFilter{}, false, err
	}
	rows, err := readRows(f.GetLimit())
	if err != nil {
		return index.QueryFilter{}, false, err
	}
	ok = true
	var asset uint32
	if f.GetAsset() != "" {
		if _, err := money.ParseAsset(f.GetAsset()); err != nil {
			return index.QueryFilter{}, false, malformed("filter.asset", err.Error())
		}
		asset, ok = s.assetTable().Number(f.GetAsset())
	}
	return index.QueryFilter{
		UserData128: user, UserData64: f.GetUserData_64(), UserData32: f.GetUserData_32(), Asset: asset, Code: code,
		TimestampMin: f.GetTimestampMin(), TimestampMax: f.GetTimestampMax(), Limit: rows, Reversed: f.GetReversed(),
	}, ok, nil
}

// accountQuery reads a filter of one account, waits for the index, and finds the
// account's number there; 0 means that there is no such account.
func (s *Server) accountQuery(ctx context.Context, scope *auth.Scope, m *ledgerv1.AccountFilter, asked *ledgerv1.Position) (f index.AccountFilter, number uint32, at *ledgerv1.Position, err error) {
	if f, err = readAccountFilter(m); err != nil {
		return f, 0, nil, err
	}
	if at, err = s.reach(ctx, asked); err != nil {
		return f, 0, nil, err
	}
	if scope != nil {
		if covered, err := s.covers(ctx, scope, []money.U128{f.AccountID}); err != nil || !covered[0] {
			return f, 0, at, err
		}
	}
	number, err = s.config.Cell.AccountNumber(ctx, f.AccountID)
	return f, number, at, err
}

func (s *Server) getAccountTransfers(ctx context.Context, p auth.Principal, r *ledgerv1.GetAccountTransfersRequest) (*ledgerv1.GetAccountTransfersResponse, error) {
	f, number, at, err := s.accountQuery(ctx, p.Scope, r.GetFilter(), r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetAccountTransfersResponse{Position: at}
	if number == 0 {
		return response, nil
	}
	page, err := s.config.Queries.AccountTransfers(ctx, number, f)
	if err == nil {
		page.Rows, err = s.scopeTransfers(ctx, p.Scope, page.Rows)
	}
	if err != nil {
		return nil, err
	}
	response.NextTimestamp = page.NextTimestamp
	response.Transfers, err = s.transferMessages(page.Rows)
	return response, err
}

func (s *Server) getAccountBalances(ctx context.Context, p auth.Principal, r *ledgerv1.GetAccountBalancesRequest) (*ledgerv1.GetAccountBalancesResponse, error) {
	f, number, at, err := s.accountQuery(ctx, p.Scope, r.GetFilter(), r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetAccountBalancesResponse{Position: at}
	if number == 0 {
		return response, nil
	}
	page, err := s.config.Queries.AccountBalances(ctx, number, f)
	if err != nil {
		return nil, err
	}
	for i := range page.Rows {
		b := &page.Rows[i]
		response.Balances = append(response.Balances, &ledgerv1.AccountBalance{
			DebitsPending: b.DebitsPending.String(), DebitsPosted: b.DebitsPosted.String(),
			CreditsPending: b.CreditsPending.String(), CreditsPosted: b.CreditsPosted.String(), Timestamp: b.Timestamp,
		})
	}
	response.NextTimestamp = page.NextTimestamp
	return response, nil
}

func (s *Server) queryAccounts(ctx context.Context, p auth.Principal, r *ledgerv1.QueryAccountsRequest) (*ledgerv1.QueryAccountsResponse, error) {
	f, some, err := s.readQueryFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.QueryAccountsResponse{Position: at}
	if !some || !s.narrow(p.Scope, &f) {
		return response, nil
	}
	rows, next, err := scopedPages(f, func(f index.QueryFilter) ([]journal.Account, uint64, error) {
		rows, next, err := s.accounts(ctx, f)
		if err == nil {
			rows, err = s.scopeAccounts(ctx, p.Scope, rows)
		}
		return rows, next, err
	})
	if err != nil {
		return nil, err
	}
	if response.Accounts, err = s.accountMessages(ctx, rows); err != nil {
		return nil, err
	}
	response.NextTimestamp = next
	return response, nil
}

// accounts lists accounts by user data through the index, and otherwise by
// looking at all of them. next is the timestamp that the next page begins with, 0
// if there is none.
func (s *Server) accounts(ctx context.Context, f index.QueryFilter) (rows []journal.Account, next uint64, err error) {
	page := accountPage{cell: s.config.Cell, filter: f}
	indexed, err := page.fromIndex(ctx, s.config.Queries)
	if err == nil && !indexed {
		err = s.config.Cell.ScanAccounts(ctx, 0, f.Reversed, func(_ uint32, a *journal.Account) bool { return page.take(a) })
	}
	if len(page.rows) == f.Limit {
		if next = page.rows[len(page.rows)-1].Timestamp + 1; f.Reversed {
			next -= 2
		}
	}
	return page.rows, next, err
}

// accountPage collects the accounts that a filter chooses.
type accountPage struct {
	cell    Numbers
	filter  index.QueryFilter
	rows    []journal.Account
	numbers []uint32 // from the index, not looked at yet
	err     error
}

// take adds an account if the filter chooses it, and reports whether there is
// room for more.
func (p *accountPage) take(a *journal.Account) bool {
	f := &p.filter
	if len(p.rows) < f.Limit &&
		(f.Code == 0 || a.Code == f.Code) && (f.Asset == 0 || a.Asset == f.Asset) &&
		a.Timestamp >= f.TimestampMin && (f.TimestampMax == 0 || a.Timestamp <= f.TimestampMax) {
		p.rows = append(p.rows, *a)
	}
	return len(p.rows) < f.Limit
}

// lookAtOnce is how many accounts are fetched together: each time takes a turn of
// the cell's sequencer.
const lookAtOnce = 1024

// fromIndex goes over the accounts that the index lists for the filter's user
// data. The index does not know the rest of the filter, so it is asked to keep
// none and to go on until the page is full.
func (p *accountPage) fromIndex(ctx context.Context, q Queries) (indexed bool, err error) {
	listing, stop := context.WithCancel(ctx)
	defer stop()
	full := false
	_, indexed, err = q.AccountNumbers(listing, p.filter, func(number uint32) bool {
		if full {
			return false
		}
		if p.numbers = append(p.numbers, number); len(p.numbers) == lookAtOnce && !p.look(ctx) {
			full = true
			stop()
		}
		return false
	})
	if full {
		return indexed, p.err
	}
	if err == nil && indexed {
		p.look(ctx)
		err = p.err
	}
	return indexed, err
}

// look takes the accounts whose numbers were collected, and reports whether to go
// on.
func (p *accountPage) look(ctx context.Context) bool {
	accounts, err := p.cell.AccountsByNumber(ctx, p.numbers)
	p.numbers, p.err = p.numbers[:0], err
	more := err == nil
	for i := range accounts {
		more = p.take(&accounts[i]) && more
	}
	return more
}

func (s *Server) queryTransfers(ctx context.Context, p auth.Principal, r *ledgerv1.QueryTransfersRequest) (*ledgerv1.QueryTransfersResponse, error) {
	f, some, err := s.readQueryFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.QueryTransfersResponse{Position: at}
	if !some || !s.narrow(p.Scope, &f) {
		return response, nil
	}
	rows, next, err := scopedPages(f, func(f index.QueryFilter) ([]ledger.Transfer, uint64, error) {
		page, err := s.config.Queries.Transfers(ctx, f)
		if err == nil {
			page.Rows, err = s.scopeTransfers(ctx, p.Scope, page.Rows)
		}
		return page.Rows, page.NextTimestamp, err
	})
	if err != nil {
		return nil, err
	}
	response.NextTimestamp = next
	response.Transfers, err = s.transferMessages(rows)
	return response, err
}

func accountMessage(a *journal.Account, names *codec.AssetTable) *ledgerv1.Account {
	m := &ledgerv1.Account{
		Id: a.ID.String(), DebitsPending: a.DebitsPending.String(), DebitsPosted: a.DebitsPosted.String(),
		CreditsPending: a.CreditsPending.String(), CreditsPosted: a.CreditsPosted.String(),
		UserData_128: a.UserData128.String(), UserData_64: a.UserData64, UserData_32: a.UserData32,
		Asset: names.Name(a.Asset), Code: uint32(a.Code), Timestamp: a.Timestamp,
	}
	for bit := journal.AccountFlags(1); bit&journal.AccountFlagsKnown != 0; bit <<= 1 {
		if a.Flags.Has(bit) {
			m.Flags = append(m.Flags, ledgerv1.AccountFlag(bit))
		}
	}
	return m
}

func (s *Server) transferMessages(rows []ledger.Transfer) ([]*ledgerv1.Transfer, error) {
	names := s.assetTable()
	list := make([]*ledgerv1.Transfer, len(rows))
	for i := range rows {
		t := rows[i].Transfer
		transit := feed.ShowTransit(&t, []byte(rows[i].Attachment))
		list[i] = transferMessage(&t, names)
		if rows[i].Attachment == "" {
			continue
		}
		d, err := s.detailsOf(rows[i].ID, []byte(rows[i].Attachment))
		if err != nil {
			return nil, err
		}
		list[i].BookingDate, list[i].Metadata, list[i].Transit = d.BookingDate, d.Metadata, transit
	}
	return list, nil
}

func transferMessage(t *journal.Transfer, names *codec.AssetTable) *ledgerv1.Transfer {
	amount := t.Amount.String()
	m := &ledgerv1.Transfer{
		Id: t.ID.String(), DebitAccountId: t.Debit.String(), CreditAccountId: t.Credit.String(), Amount: &amount,
		PendingId: t.PendingID.String(), UserData_128: t.UserData128.String(), UserData_64: t.UserData64, UserData_32: t.UserData32,
		Timeout: t.Timeout, Asset: names.Name(t.Asset), Code: uint32(t.Code), Timestamp: t.Timestamp,
	}
	for bit := journal.TransferFlags(1); bit&journal.TransferFlagsKnown != 0; bit <<= 1 {
		if t.Flags.Has(bit) {
			m.Flags = append(m.Flags, ledgerv1.TransferFlag(bit))
		}
	}
	return m
}
