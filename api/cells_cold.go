package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
	"github.com/sterlingrun/sterling/router"
)

// forwardedMethods are the paths of the methods that nodes answer for each other.
func forwardedMethods() []string {
	return []string{
		ledgerv1connect.LedgerServiceCreateAccountsProcedure,
		ledgerv1connect.LedgerServiceCreateTransfersProcedure,
		ledgerv1connect.LedgerServiceCreateTransactionProcedure,
		ledgerv1connect.LedgerServiceGetTransactionProcedure,
		ledgerv1connect.LedgerServiceSetMetadataProcedure,
		ledgerv1connect.LedgerServiceLookupAddressesProcedure,
		ledgerv1connect.LedgerServiceLookupAccountsProcedure,
		ledgerv1connect.LedgerServiceLookupTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountBalancesProcedure,
		ledgerv1connect.LedgerServiceQueryAccountsProcedure,
		ledgerv1connect.LedgerServiceQueryTransfersProcedure,
		ledgerv1connect.LedgerServiceFreezeProcedure,
		ledgerv1connect.LedgerServiceUnfreezeProcedure,
		ledgerv1connect.LedgerServiceListFreezesProcedure,
		ledgerv1connect.LedgerServiceSetVelocityLimitsProcedure,
		ledgerv1connect.HistoryServiceGetBalanceAsOfProcedure,
		ledgerv1connect.HistoryServiceGetStatementProcedure,
		ledgerv1connect.HistoryServiceListAccountsByAddressProcedure,
	}
}

// destination is where a call is answered.
type destination struct {
	path string // of the method; empty: here
	cell uint64 // 0: in all cells
	// settled tells of calls that one cell can answer, nobody knows which, whether this answer is it. nil: the answers of
	// all cells are merged.
	settled func(response proto.Message, err error) bool
}

// destine tells where a call is answered that came in at this node. Calls that are not listed are about the cell of the
// node that was asked.
func (s *Server) destine(ctx context.Context, request proto.Message) (d destination, err error) {
	switch r := request.(type) {
	case *ledgerv1.GetAccountTransfersRequest:
		return s.ofAccount(ledgerv1connect.LedgerServiceGetAccountTransfersProcedure, r.GetFilter().GetAccountId())
	case *ledgerv1.GetAccountBalancesRequest:
		return s.ofAccount(ledgerv1connect.LedgerServiceGetAccountBalancesProcedure, r.GetFilter().GetAccountId())
	case *ledgerv1.SetMetadataRequest:
		return s.ofAccount(ledgerv1connect.LedgerServiceSetMetadataProcedure, r.GetAccountId())
	case *ledgerv1.GetBalanceAsOfRequest:
		return s.ofAsked(ctx, ledgerv1connect.HistoryServiceGetBalanceAsOfProcedure, r.GetAccountId(), r.GetAddress())
	case *ledgerv1.GetStatementRequest:
		return s.ofAsked(ctx, ledgerv1connect.HistoryServiceGetStatementProcedure, r.GetAccountId(), r.GetAddress())
	case *ledgerv1.FreezeRequest:
		if r.GetAccountId() == "" {
			return d, nil
		}
		return s.ofAccount(ledgerv1connect.LedgerServiceFreezeProcedure, r.GetAccountId())
	case *ledgerv1.SetVelocityLimitsRequest:
		return s.ofLimits(r)
	case *ledgerv1.CreateTransactionRequest:
		return s.ofLegs(ctx, r)
	case *ledgerv1.UnfreezeRequest:
		d.path = ledgerv1connect.LedgerServiceUnfreezeProcedure
		d.settled = func(m proto.Message, err error) bool {
			a, ok := m.(*ledgerv1.UnfreezeResponse)
			return err != nil || !ok || a.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_FREEZE_NOT_FOUND
		}
	case *ledgerv1.GetTransactionRequest:
		d.path = ledgerv1connect.LedgerServiceGetTransactionProcedure
		d.settled = func(_ proto.Message, err error) bool {
			f := (*fault)(nil)
			return !errors.As(err, &f) || f.reason != ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND
		}
	case *ledgerv1.LookupAddressesRequest:
		d.path = ledgerv1connect.LedgerServiceLookupAddressesProcedure
	case *ledgerv1.ListFreezesRequest:
		d.path = ledgerv1connect.LedgerServiceListFreezesProcedure
	case *ledgerv1.QueryAccountsRequest:
		d.path = ledgerv1connect.LedgerServiceQueryAccountsProcedure
	case *ledgerv1.QueryTransfersRequest:
		d.path = ledgerv1connect.LedgerServiceQueryTransfersProcedure
	case *ledgerv1.ListAccountsByAddressRequest:
		d.path = ledgerv1connect.HistoryServiceListAccountsByAddressProcedure
	}
	return d, nil
}

// at is the destination of a call for one cell.
func (s *Server) at(path string, cell uint64) destination {
	if cell == s.config.CellNumber {
		return destination{}
	}
	return destination{path: path, cell: cell}
}

// ofAccount is the destination of a call about an account. What is no id is answered here: by what is wrong with it.
func (s *Server) ofAccount(path, account string) (destination, error) {
	id, err := codec.U128([]byte(account))
	if err != nil || id.IsZero() {
		return destination{}, nil
	}
	return s.at(path, s.config.Cells.Router.Home(id)), nil
}

// ofAsked is the destination of a call about an account that is named by its id or by its address.
func (s *Server) ofAsked(ctx context.Context, path, account, address string) (destination, error) {
	if address == "" || account != "" {
		return s.ofAccount(path, account)
	}
	placeholder := router.Placeholder(address)
	home := s.config.Cells.Router.Home(placeholder)
	if home != s.config.CellNumber {
		found, err := s.accountsIn(ctx, home, nodePrincipal(), []money.U128{placeholder})
		if err != nil || len(found) == 0 {
			return destination{}, err
		}
		return s.ofAccount(path, found[0].GetUserData_128())
	}
	found, err := s.config.Cell.LookupAccounts(ctx, []money.U128{placeholder})
	if err != nil || len(found) == 0 {
		return destination{}, err
	}
	return s.at(path, s.config.Cells.Router.Home(found[0].UserData128)), nil
}

func (s *Server) ofLimits(r *ledgerv1.SetVelocityLimitsRequest) (d destination, err error) {
	var first uint64
	for i, l := range r.GetLimits() {
		id, err := codec.U128([]byte(l.GetAccountId()))
		if err != nil {
			return d, nil // what is wrong with it is said here
		}
		home := s.config.Cells.Router.Home(id)
		if i > 0 && home != first {
			return d, crossRefused(&router.RefusedError{Event: i, Reason: "the limits of one call have to be of accounts of one cell; nothing was recorded"}, "limits")
		}
		first = home
	}
	if len(r.GetLimits()) == 0 {
		return d, nil
	}
	return s.at(ledgerv1connect.LedgerServiceSetVelocityLimitsProcedure, first), nil
}

// ofLegs is the destination of a transaction: all of its legs have to be of one cell.
func (s *Server) ofLegs(ctx context.Context, r *ledgerv1.CreateTransactionRequest) (d destination, err error) {
	var b codec.Batch
	if n := len(r.GetLegs()); n == 0 || n > MaxLegs {
		return d, nil // what is wrong with it is said here
	}
	if err := s.readTransfers(&b, r.GetLegs(), "legs"); err != nil {
		return d, err
	}
	for i := range b.Transfers {
		b.Transfers[i].ID = money.From(uint64(i) + 1) // any: legs get theirs from the transaction
	}
	home, err := s.config.Cells.Router.OneCell(ctx, b.Transfers, s.finder(&call{}))
	if e := (*router.RefusedError)(nil); errors.As(err, &e) {
		return d, crossRefused(&router.RefusedError{Event: e.Event, Reason: "all legs of a transaction have to be of one cell; nothing was recorded"}, "legs")
	}
	return s.at(ledgerv1connect.LedgerServiceCreateTransactionProcedure, home), err
}

// routed has a call answered where it belongs. answer answers it here.
func routed[PReq, PResp proto.Message](
	ctx context.Context, s *Server, p *auth.Principal, request PReq, fresh func() PResp, answer func() (PResp, error),
) (PResp, error) {
	if s.config.Cells == nil {
		return answer()
	}
	var response PResp
	err := s.whileMoving(ctx, isForwarded(ctx), func() (err error) {
		if isForwarded(ctx) { // its own ledger says whether that is right; the one that forwarded asks the other cells, too
			response, err = answer()
		} else {
			response, err = routedOnce(ctx, s, p, request, fresh, answer)
		}
		return err
	})
	return response, err
}

// routedOnce is routed by the map that the node has.
func routedOnce[PReq, PResp proto.Message](
	ctx context.Context, s *Server, p *auth.Principal, request PReq, fresh func() PResp, answer func() (PResp, error),
) (PResp, error) {
	var none PResp
	d, err := s.destine(ctx, request)
	if err != nil {
		return none, err
	}
	there := func(cell uint64) (PResp, error) {
		response := fresh()
		if err := s.forwardTo(ctx, cell, p, "", d.path, request, response); err != nil {
			return none, err
		}
		return response, nil
	}
	switch {
	case d.path == "":
		return answer()
	case d.cell != 0:
		return there(d.cell)
	case d.settled != nil:
		response, err := answer()
		for _, id := range s.others() {
			if d.settled(response, err) {
				break
			}
			response, err = there(id)
		}
		return response, err
	}
	own, err := answer()
	if err != nil {
		return none, err
	}
	others := s.others()
	list := make([]proto.Message, 1+len(others))
	list[0] = own
	err = together(others, func(id uint64) error {
		response, err := there(id)
		list[1+slices.Index(others, id)] = response
		return err
	})
	if err != nil {
		return none, err
	}
	merge(request, list)
	return own, nil
}

// merge puts the answers of all cells to a call into the first one.
func merge(request proto.Message, answers []proto.Message) {
	switch own := answers[0].(type) {
	case *ledgerv1.LookupAddressesResponse:
		var all []*ledgerv1.Account
		for _, a := range answers {
			all = append(all, a.(*ledgerv1.LookupAddressesResponse).GetAccounts()...)
		}
		own.Accounts = nil
		for _, address := range request.(*ledgerv1.LookupAddressesRequest).GetAddresses() {
			if i := slices.IndexFunc(all, func(a *ledgerv1.Account) bool { return a.GetAddress() == address }); i >= 0 {
				own.Accounts = append(own.Accounts, all[i])
			}
		}
	case *ledgerv1.ListFreezesResponse:
		for _, a := range answers[1:] {
			own.Freezes = append(own.Freezes, a.(*ledgerv1.ListFreezesResponse).GetFreezes()...)
		}
	case *ledgerv1.QueryAccountsResponse:
		p := pages[*ledgerv1.Account]{filter: request.(*ledgerv1.QueryAccountsRequest).GetFilter(), at: (*ledgerv1.Account).GetTimestamp}
		for _, a := range answers {
			p.add(a.(*ledgerv1.QueryAccountsResponse).GetAccounts(), a.(*ledgerv1.QueryAccountsResponse).GetNextTimestamp())
		}
		own.Accounts, own.NextTimestamp = p.merged()
	case *ledgerv1.QueryTransfersResponse:
		p := pages[*ledgerv1.Transfer]{filter: request.(*ledgerv1.QueryTransfersRequest).GetFilter(), at: (*ledgerv1.Transfer).GetTimestamp}
		for _, a := range answers {
			p.add(a.(*ledgerv1.QueryTransfersResponse).GetTransfers(), a.(*ledgerv1.QueryTransfersResponse).GetNextTimestamp())
		}
		own.Transfers, own.NextTimestamp = p.merged()
	case *ledgerv1.ListAccountsByAddressResponse:
		mergeAddresses(request.(*ledgerv1.ListAccountsByAddressRequest), own, answers)
	}
}

// pages are one page of each cell, by timestamp.
type pages[T any] struct {
	filter *ledgerv1.QueryFilter
	at     func(T) uint64
	rows   []T
	next   uint64 // the cells have told of all rows before it; 0: of all
}

// before tells whether a row at a comes before one at b.
func (p *pages[T]) before(a, b uint64) bool { return a < b != p.filter.GetReversed() && a != b }

func (p *pages[T]) add(rows []T, next uint64) {
	p.rows = append(p.rows, rows...)
	if next != 0 && (p.next == 0 || p.before(next, p.next)) {
		p.next = next
	}
}

// merged returns a page of all cells and where the next one begins. Rows of two cells can have the same timestamp; they
// are never parted, so a page may be longer than asked for by one row for each other cell.
func (p *pages[T]) merged() ([]T, uint64) {
	if p.next != 0 {
		p.rows = slices.DeleteFunc(p.rows, func(r T) bool { return !p.before(p.at(r), p.next) })
	}
	slices.SortStableFunc(p.rows, func(a, b T) int {
		if p.filter.GetReversed() {
			a, b = b, a
		}
		return cmp.Compare(p.at(a), p.at(b))
	})
	end := int(cmp.Or(p.filter.GetLimit(), defaultRows))
	for end < len(p.rows) && p.at(p.rows[end]) == p.at(p.rows[end-1]) {
		end++
	}
	if end >= len(p.rows) {
		return p.rows, p.next
	}
	return p.rows[:end], p.at(p.rows[end])
}

// mergeAddresses is merge for accounts in the order of their addresses.
func mergeAddresses(r *ledgerv1.ListAccountsByAddressRequest, own *ledgerv1.ListAccountsByAddressResponse, answers []proto.Message) {
	var all []*ledgerv1.Account
	var through []byte // the cells have told of all up to it; nil: of all
	for _, a := range answers {
		m := a.(*ledgerv1.ListAccountsByAddressResponse)
		all = append(all, m.GetAccounts()...)
		last, err := base64.RawURLEncoding.DecodeString(m.GetNextPageToken())
		if err == nil && len(last) > 0 && (through == nil || bytes.Compare(last, through) < 0) {
			through = last
		}
	}
	if through != nil {
		all = slices.DeleteFunc(all, func(a *ledgerv1.Account) bool { return a.GetAddress() > string(through) })
	}
	slices.SortFunc(all, func(a, b *ledgerv1.Account) int { return cmp.Compare(a.GetAddress(), b.GetAddress()) })
	if limit := int(cmp.Or(r.GetLimit(), defaultRows)); len(all) > limit {
		all = all[:limit]
		through = []byte(all[limit-1].GetAddress())
	}
	own.Accounts, own.NextPageToken = all, base64.RawURLEncoding.EncodeToString(through)
}
