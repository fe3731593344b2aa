package api

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// MaxLegs is how many legs a transaction can have.
const MaxLegs = MaxEvents - 1

func (s *Server) createTransaction(ctx context.Context, p auth.Principal, r *ledgerv1.CreateTransactionRequest) (*ledgerv1.CreateTransactionResponse, error) {
	request, err := s.readTransaction(ctx, p.Scope, r)
	if err != nil {
		return nil, err
	}
	request.Actor = p.ID
	request.Results = make([]journal.Result, len(request.Events)/journal.RecordSize)
	response := &ledgerv1.CreateTransactionResponse{}
	for _, t := range journal.View[journal.Transfer](request.Events)[1:] {
		response.LegIds = append(response.LegIds, t.ID.String())
	}
	if err := s.config.Cell.Do(ctx, request); err != nil {
		return nil, err
	}
	head := request.Results[0]
	response.Status, response.Timestamp = ledgerv1.CreateTransferStatus(head.Status), head.Timestamp
	response.Position = s.position(request.Seq)
	if head.Status == journal.TransferCreated || head.Status == journal.TransferLinkedEventFailed {
		response.Legs = transferResults(request.Results[1:])
	}
	return response, nil
}

func transferResults(results []journal.Result) (list []*ledgerv1.CreateTransferResult) {
	for _, r := range results {
		list = append(list, &ledgerv1.CreateTransferResult{Status: ledgerv1.CreateTransferStatus(r.Status), Timestamp: r.Timestamp})
	}
	return list
}

// readTransaction makes the request of a transaction: its head and its legs.
func (s *Server) readTransaction(ctx context.Context, scope *auth.Scope, r *ledgerv1.CreateTransactionRequest) (*cell.Request, error) {
	if n := len(r.GetLegs()); n == 0 || n > MaxLegs {
		return nil, malformed("legs", fmt.Sprintf("%d legs: want 1 to %d", n, MaxLegs))
	}
	head := journal.Transfer{UserData64: r.GetUserData_64(), UserData32: r.GetUserData_32(), Flags: journal.TransferHead}
	var err error
	if head.ID, err = readU128("id", r.GetId()); err != nil {
		return nil, err
	}
	head.ID = callersID(head.ID)
	if head.UserData128, err = readU128("userData128", r.GetUserData_128()); err != nil {
		return nil, err
	}
	if r.GetCode() != 0 {
		if head.Code, err = readCode("code", r.GetCode()); err != nil {
			return nil, err
		}
	}
	if r.GetAllowCycles() {
		head.Flags |= journal.TransferCycles
	}
	legs, attached, err := s.readLegs(ctx, scope, r, head.ID)
	if err != nil {
		return nil, err
	}
	head.Timeout = uint32(len(legs)) //nolint:gosec // ≤ MaxLegs
	head.Debit, head.Credit = journal.LegsDigest(legs, attached)
	whole, err := s.attach(ctx, headDetails(r), "transaction", func(int) money.U128 { return head.ID })
	if err != nil {
		return nil, err
	}
	if len(whole) > 0 {
		head.Flags |= journal.TransferAttached
	}
	for _, a := range attached {
		whole = append(whole, journal.Attachment{Event: a.Event + 1, Data: a.Data})
	}
	events := append([]journal.Transfer{head}, legs...)
	return &cell.Request{Kind: journal.KindTransaction, Events: journal.Bytes(events), Attachments: whole}, nil
}

func headDetails(r *ledgerv1.CreateTransactionRequest) []codec.Details {
	if r.GetBookingDate() == "" && len(r.GetMetadata()) == 0 {
		return nil
	}
	return []codec.Details{{BookingDate: r.GetBookingDate(), Metadata: r.GetMetadata()}}
}

// readLegs reads the legs, gives them their ids and the transaction's booking date where they have none, and checks the
// control sum.
func (s *Server) readLegs(ctx context.Context, scope *auth.Scope, r *ledgerv1.CreateTransactionRequest, id money.U128) ([]journal.Transfer, []journal.Attachment, error) {
	var b codec.Batch
	if err := s.readTransfers(&b, r.GetLegs(), "legs"); err != nil {
		return nil, nil, err
	}
	var sum ledger.Total
	for i := range b.Transfers {
		t := &b.Transfers[i]
		own := journal.LegID(id, uint32(i))
		if !t.ID.IsZero() && t.ID != own {
			return nil, nil, malformed(fmt.Sprintf("legs[%d].id", i), "leave it empty: the transaction's id decides it")
		}
		t.ID = own
		if r.GetControlSum() != "" && r.GetLegs()[i].Amount == nil && !t.Flags.Has(journal.TransferVoid) {
			return nil, nil, malformed(fmt.Sprintf("legs[%d].amount", i), "a control sum takes the amount of every leg")
		}
		sum.Add(t.Amount)
		if t.Flags.Has(journal.TransferLinked) {
			return nil, nil, malformed(fmt.Sprintf("legs[%d].flags", i), "legs are never linked: all of them succeed or none does")
		}
	}
	if err := checkSum(r.GetControlSum(), sum); err != nil {
		return nil, nil, err
	}
	if err := s.allowTransfers(ctx, scope, b.Transfers); err != nil {
		return nil, nil, inField(err, "transfers[", "legs[")
	}
	b.Details = withDate(b.Details, r.GetBookingDate(), len(b.Transfers))
	attached, err := s.attachTransfers(ctx, &b)
	if err != nil {
		return nil, nil, inField(err, "transfers[", "legs[")
	}
	return b.Transfers, attached, nil
}

func checkSum(text string, sum ledger.Total) error {
	if text == "" {
		return nil
	}
	want, err := readU128("controlSum", text)
	if err != nil {
		return err
	}
	if sum.Hi != 0 || sum.Lo != want {
		return &fault{
			code: connect.CodeInvalidArgument, reason: ledgerv1.ErrorReason_ERROR_REASON_UNBALANCED, field: "controlSum",
			message: fmt.Sprintf("controlSum: the legs add up to %s, not to %v: nothing was written", sum, want),
		}
	}
	return nil
}

// withDate gives all legs a booking date that have none of their own.
func withDate(list []codec.Details, date string, n int) []codec.Details {
	if date == "" {
		return list
	}
	all := make([]codec.Details, n)
	for i := range all {
		all[i] = codec.Details{Event: i, BookingDate: date}
	}
	for _, d := range list {
		all[d.Event].Metadata = d.Metadata
		if d.BookingDate != "" {
			all[d.Event].BookingDate = d.BookingDate
		}
	}
	return all
}

// readTransfers reads transfers that came inside of another message; list names them in errors.
func (s *Server) readTransfers(b *codec.Batch, transfers []*ledgerv1.Transfer, list string) error {
	wire, err := proto.Marshal(&ledgerv1.CreateTransfersRequest{Transfers: transfers})
	if err != nil {
		return malformed(list, err.Error())
	}
	return inField(s.codec.DecodeTransfersWire(b, wire, s.assetTable()), "transfers[", list+"[")
}

// inField renames the beginning of the path in an error.
func inField(err error, was, is string) error {
	switch e := err.(type) { //nolint:errorlint // both come bare
	case *codec.Error:
		return malformed(strings.Replace(e.Field, was, is, 1), e.Reason)
	case *fault:
		f := *e
		f.field, f.message = strings.Replace(f.field, was, is, 1), strings.Replace(f.message, was, is, 1)
		return &f
	}
	return err
}

func (s *Server) getTransaction(ctx context.Context, p auth.Principal, r *ledgerv1.GetTransactionRequest) (*ledgerv1.GetTransactionResponse, error) {
	id, err := readU128("id", r.GetId())
	if err != nil {
		return nil, err
	}
	head, err := s.config.Cell.Transaction(ctx, id)
	if err != nil {
		return nil, err
	}
	if head == nil {
		return nil, notFound(fmt.Sprintf("there is no transaction %v", id))
	}
	ids := make([]money.U128, head.Asked.Timeout)
	for i := range ids {
		ids[i] = journal.LegID(id, uint32(i))
	}
	legs, err := s.config.Cell.LookupTransfers(ctx, ids)
	if err != nil {
		return nil, err
	}
	if legs, err = s.scopeTransfers(ctx, p.Scope, legs); err != nil {
		return nil, err
	}
	if len(legs) == 0 { // none is within the scope
		return nil, notFound(fmt.Sprintf("there is no transaction %v", id))
	}
	out := &ledgerv1.CreateTransactionRequest{
		Id: id.String(), Code: uint32(head.Asked.Code), UserData_128: head.Asked.UserData128.String(),
		UserData_64: head.Asked.UserData64, UserData_32: head.Asked.UserData32,
		AllowCycles: head.Asked.Flags.Has(journal.TransferCycles),
	}
	if head.Attachment != nil {
		d, err := s.detailsOf(id, head.Attachment)
		if err != nil {
			return nil, err
		}
		out.BookingDate, out.Metadata = d.BookingDate, d.Metadata
	}
	if out.Legs, err = s.transferMessages(legs); err != nil {
		return nil, err
	}
	return &ledgerv1.GetTransactionResponse{Transaction: out, Timestamp: head.Timestamp, Position: s.position(s.config.Cell.Head())}, nil
}

func notFound(message string) *fault {
	return &fault{code: connect.CodeNotFound, reason: ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND, message: message}
}

func (s *Server) setMetadata(ctx context.Context, p auth.Principal, r *ledgerv1.SetMetadataRequest) (*ledgerv1.SetMetadataResponse, error) {
	c := journal.MetadataChange{Flags: journal.TransferHead}
	var err error
	if c.ID, err = readU128("id", r.GetId()); err != nil {
		return nil, err
	}
	c.ID = callersID(c.ID)
	if c.Account, err = readU128("accountId", r.GetAccountId()); err != nil {
		return nil, err
	}
	if p.Scope != nil {
		covered, err := s.covers(ctx, p.Scope, []money.U128{c.Account})
		if err != nil {
			return nil, err
		}
		if !covered[0] {
			return nil, scopeRefused("accountId", "is not within the token's scope; nothing was recorded")
		}
	}
	var list []codec.Details
	if len(r.GetMetadata()) > 0 {
		list = []codec.Details{{Metadata: r.GetMetadata()}}
		c.Flags |= journal.TransferAttached
	}
	attached, err := s.attach(ctx, list, "account", func(int) money.U128 { return c.Account })
	if err != nil {
		return nil, inField(err, "account[0].", "")
	}
	request := &cell.Request{
		Kind: journal.KindMetadata, Actor: p.ID, Events: journal.Bytes([]journal.MetadataChange{c}),
		Attachments: attached, Results: make([]journal.Result, 1),
	}
	if err := s.config.Cell.Do(ctx, request); err != nil {
		return nil, err
	}
	return &ledgerv1.SetMetadataResponse{
		Status: ledgerv1.ControlStatus(request.Results[0].Status), Timestamp: request.Results[0].Timestamp, Position: s.position(request.Seq),
	}, nil
}

func (s *Server) lookupAddresses(ctx context.Context, p auth.Principal, r *ledgerv1.LookupAddressesRequest) (*ledgerv1.LookupAddressesResponse, error) {
	if len(r.GetAddresses()) > MaxEvents {
		return nil, malformed("addresses", fmt.Sprintf("more than %d in one call", MaxEvents))
	}
	var accounts []journal.Account
	err := s.config.Cell.Read(ctx, func(st *ledger.State) {
		for _, address := range r.GetAddresses() {
			if n := st.ByAddress(address); n != 0 {
				accounts = append(accounts, st.AccountByNumber(n))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if accounts, err = s.scopeAccounts(ctx, p.Scope, accounts); err != nil {
		return nil, err
	}
	messages, err := s.accountMessages(ctx, accounts)
	if err != nil {
		return nil, err
	}
	return &ledgerv1.LookupAddressesResponse{Accounts: messages, Position: s.position(s.config.Cell.Head())}, nil
}

// accountMessages returns accounts with their addresses and metadata.
func (s *Server) accountMessages(ctx context.Context, accounts []journal.Account) ([]*ledgerv1.Account, error) {
	details, err := s.accountDetails(ctx, accounts)
	if err != nil {
		return nil, err
	}
	names := s.assetTable()
	list := make([]*ledgerv1.Account, len(accounts))
	for i := range accounts {
		list[i] = accountMessage(&accounts[i], names)
	}
	for i := range details {
		d := &details[i]
		list[d.Event].Address, list[d.Event].Metadata = d.Address, d.Metadata
	}
	return list, nil
}
