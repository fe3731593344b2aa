package api

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/index"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// statements is GetStatement. Over gRPC its answers are encoded without messages: a hundred rows are a thousand
// strings.
func statements() *cold {
	c := unary((*Server).getStatement)
	c.serve = func(s *Server, ctx context.Context, p auth.Principal, dec func(proto.Message) error) (any, error) {
		var request ledgerv1.GetStatementRequest
		if err := dec(&request); err != nil {
			return nil, err
		}
		if s.config.Cells == nil {
			return s.statementWire(ctx, p.Scope, &request)
		}
		var answer any
		err := s.whileMoving(ctx, isForwarded(ctx), func() (err error) {
			answer, err = s.statementOf(ctx, &p, &request)
			return err
		})
		return answer, err
	}
	return c
}

// statementOf answers where the account is.
func (s *Server) statementOf(ctx context.Context, p *auth.Principal, r *ledgerv1.GetStatementRequest) (any, error) {
	if isForwarded(ctx) {
		return s.statementWire(ctx, p.Scope, r)
	}
	d, err := s.destine(ctx, r)
	if err != nil {
		return nil, err
	}
	if d.path == "" {
		return s.statementWire(ctx, p.Scope, r)
	}
	response := &ledgerv1.GetStatementResponse{}
	return response, s.forwardTo(ctx, d.cell, p, "", d.path, r, response)
}

func (s *Server) statementWire(ctx context.Context, scope *auth.Scope, r *ledgerv1.GetStatementRequest) (any, error) {
	st, err := s.statement(ctx, scope, r)
	if err != nil {
		return nil, err
	}
	return &wireBatch{s.codec.AppendStatementWire(nil, st, s.assetTable())}, nil
}

// statement answers as the codec writes it.
func (s *Server) statement(ctx context.Context, scope *auth.Scope, r *ledgerv1.GetStatementRequest) (*codec.Statement, error) {
	f, err := readStatement(r)
	if err != nil {
		return nil, err
	}
	a, err := s.askedAccount(ctx, scope, r.GetAccountId(), r.GetAddress(), r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	f.Account = a.AccountRef
	page, err := s.config.Queries.Statement(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := s.scopeStatement(ctx, scope, &page); err != nil {
		return nil, err
	}
	st := &codec.Statement{
		Account: a.ID, Asset: a.asset, ByDate: f.ByDate, Page: &page, Cell: a.at.GetCell(), Seq: a.at.GetSeq(),
	}
	for i := range page.Rows {
		t := &page.Rows[i].Transfer
		if t.Attachment == "" {
			continue
		}
		d, err := s.detailsOf(t.ID, []byte(t.Attachment))
		if err != nil {
			return nil, err
		}
		d.Event, d.Transit = i, feed.ShowTransit(&t.Transfer, []byte(t.Attachment))
		st.Details = append(st.Details, d)
	}
	if n := page.Next; n != nil {
		st.NextPage = writePage(n.Transfers, n.Expiries, uint64(n.Date))
	}
	return st, nil
}

func (s *Server) getStatement(ctx context.Context, p auth.Principal, r *ledgerv1.GetStatementRequest) (*ledgerv1.GetStatementResponse, error) {
	st, err := s.statement(ctx, p.Scope, r)
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetStatementResponse{
		AccountId: st.Account.String(), Asset: st.Asset, NextPageToken: st.NextPage,
		Opening: balancesMessage(&st.Page.Opening, st.ByDate), Closing: balancesMessage(&st.Page.Closing, st.ByDate),
		Position: &ledgerv1.Position{Cell: st.Cell, Seq: st.Seq},
	}
	names, details := s.assetTable(), st.Details
	for i := range st.Page.Rows {
		r := &st.Page.Rows[i]
		t := transferMessage(&r.Transfer.Transfer, names)
		if len(details) > 0 && details[0].Event == i {
			t.BookingDate, t.Metadata, t.Transit, details = details[0].BookingDate, details[0].Metadata, details[0].Transit, details[1:]
		}
		response.Rows = append(response.Rows, statementRow(r, t, st.ByDate))
	}
	return response, nil
}

func statementRow(r *index.StatementRow, t *ledgerv1.Transfer, byDate bool) *ledgerv1.StatementRow {
	m := &ledgerv1.StatementRow{
		Transfer: t, Expired: r.Expired, Timestamp: r.At, Side: ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT,
		Posted: r.Delta.Posted.String(), Reserved: r.Delta.Reserved.String(), Released: r.Delta.Released.String(),
		Balances: balancesMessage(&r.After, byDate),
	}
	if r.Delta.Credit {
		m.Side = ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT
	}
	if byDate {
		m.BookingDate = r.Date.String()
	}
	if r.Moved != nil {
		m.Moved = &ledgerv1.MovedBalances{Left: r.Moved.Left, Balances: balancesMessage(&r.Moved.Balances, byDate)}
	}
	return m
}
