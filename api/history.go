package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// History answers about the past, and finds by address and metadata. [index.Queries] does.
type History interface {
	Account(ctx context.Context, id money.U128) (a index.AccountRef, asset uint32, err error) // number 0: there is none
	BalanceAt(ctx context.Context, a index.AccountRef, timestamp uint64) (ledger.Balances, error)
	BalanceOn(ctx context.Context, a index.AccountRef, day journal.Date) (index.Posted, error)
	Statement(ctx context.Context, f index.StatementQuery) (index.Statement, error)
	Addresses(ctx context.Context, prefix, after string, limit int) ([]index.Addressed, error)
	TransfersByMetadata(ctx context.Context, f index.MetaQuery) ([]ledger.Transfer, journal.Position, error)
	AccountsByMetadata(ctx context.Context, f index.MetaQuery) ([]index.MetaAccount, journal.Position, error)
}

// accountAsked is an account that a call names by id or by address.
type accountAsked struct {
	index.AccountRef
	asset string
	at    *ledgerv1.Position
}

// askedAccount waits for the index and finds the account. Ids are looked up in the index, which costs the ledger
// nothing; addresses in the ledger. An account outside of the scope is as if it were not there.
func (s *Server) askedAccount(ctx context.Context, scope *auth.Scope, id, address string, asked *ledgerv1.Position) (a accountAsked, err error) {
	if (id == "") == (address == "") {
		return a, malformed("accountId", "want an id, or an address, and not both")
	}
	if address != "" {
		if err := journal.CheckAddress(address); err != nil {
			return a, malformed("address", err.Error())
		}
	} else if a.ID, err = readU128("accountId", id); err != nil {
		return a, err
	}
	if a.at, err = s.reach(ctx, asked); err != nil {
		return a, err
	}
	var asset uint32
	if address == "" {
		a.AccountRef, asset, err = s.config.Queries.Account(ctx, a.ID)
	} else {
		err = s.config.Cell.Read(ctx, func(st *ledger.State) {
			if a.Number = st.ByAddress(address); a.Number != 0 {
				record := st.AccountByNumber(a.Number)
				a.ID, asset = record.ID, record.Asset
			}
		})
	}
	if err != nil {
		return a, err
	}
	if scope != nil && a.Number != 0 {
		covered, err := s.covers(ctx, scope, []money.U128{a.ID})
		if err != nil {
			return a, err
		}
		if !covered[0] {
			a.Number = 0
		}
	}
	if a.Number == 0 {
		return a, notFound("there is no account " + id + address)
	}
	a.asset = s.assetTable().Name(asset)
	return a, nil
}

func balancesMessage(b *ledger.Balances, posted bool) *ledgerv1.Balances {
	m := &ledgerv1.Balances{DebitsPosted: b.DebitsPosted.String(), CreditsPosted: b.CreditsPosted.String()}
	if !posted {
		m.DebitsPending, m.CreditsPending = b.DebitsPending.String(), b.CreditsPending.String()
	}
	return m
}

func (s *Server) getBalanceAsOf(ctx context.Context, p auth.Principal, r *ledgerv1.GetBalanceAsOfRequest) (*ledgerv1.GetBalanceAsOfResponse, error) {
	byDate := r.GetBookingDate() != ""
	var day journal.Date
	if byDate {
		if r.GetTimestamp() != 0 {
			return nil, malformed("bookingDate", "want this or timestamp, not both")
		}
		var err error
		if day, err = readDate("bookingDate", r.GetBookingDate()); err != nil {
			return nil, err
		}
	}
	a, err := s.askedAccount(ctx, p.Scope, r.GetAccountId(), r.GetAddress(), r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetBalanceAsOfResponse{AccountId: a.ID.String(), Asset: a.asset, Position: a.at}
	if byDate {
		b, err := s.config.Queries.BalanceOn(ctx, a.AccountRef, day)
		response.Balances = balancesMessage(&ledger.Balances{DebitsPosted: b.Debits, CreditsPosted: b.Credits}, true)
		return response, err
	}
	at := r.GetTimestamp()
	if at == 0 {
		at = 1<<64 - 1
	}
	b, err := s.config.Queries.BalanceAt(ctx, a.AccountRef, at)
	response.Balances = balancesMessage(&b, false)
	return response, err
}

func readStatement(r *ledgerv1.GetStatementRequest) (f index.StatementQuery, err error) {
	f = index.StatementQuery{From: r.GetTimestampMin(), To: r.GetTimestampMax(), ByDate: r.GetByBookingDate(), LastDay: journal.MaxDate}
	if f.Limit, err = pageRows("limit", r.GetLimit(), index.MaxStatement); err != nil {
		return f, err
	}
	switch dates := r.GetFromDate() != "" || r.GetToDate() != ""; {
	case dates && !f.ByDate:
		return f, malformed("fromDate", "days bound statements by booking date only: set byBookingDate")
	case f.ByDate && (f.From != 0 || f.To != 0):
		return f, malformed("timestampMin", "timestamps do not bound statements by booking date")
	}
	if r.GetFromDate() != "" {
		if f.FirstDay, err = readDate("fromDate", r.GetFromDate()); err != nil {
			return f, err
		}
	}
	if r.GetToDate() != "" {
		if f.LastDay, err = readDate("toDate", r.GetToDate()); err != nil {
			return f, err
		}
	}
	if r.GetPageToken() != "" {
		n, err := readPage(r.GetPageToken())
		if err != nil {
			return f, err
		}
		f.Resume = &index.Resume{Transfers: n[0], Expiries: n[1], Date: journal.Date(min(n[2], uint64(journal.MaxDate)+1))}
	}
	return f, nil
}

func pageRows(field string, limit uint32, most int) (int, error) {
	switch {
	case limit == 0:
		return min(defaultRows, most), nil
	case int64(limit) > int64(most):
		return 0, malformed(field, fmt.Sprintf("want 1 to %d", most))
	}
	return int(limit), nil
}

// A page token is three numbers. It tells where to go on and nothing else: whoever makes one up gets a page from there.
func writePage(numbers ...uint64) string {
	var b [24]byte
	for i, n := range numbers {
		binary.BigEndian.PutUint64(b[8*i:], n)
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func readPage(token string) (n [3]uint64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 24 {
		return n, malformed("pageToken", "is none of this call's")
	}
	for i := range n {
		n[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return n, nil
}

func (s *Server) rebuildIndex(ctx context.Context, p auth.Principal, _ *ledgerv1.RebuildIndexRequest) (*ledgerv1.RebuildIndexResponse, error) {
	if err := s.config.Node.RebuildIndex(ctx, p); err != nil {
		return nil, err
	}
	return &ledgerv1.RebuildIndexResponse{}, nil
}
