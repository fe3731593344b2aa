package api

import (
	"context"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// proposalLife is how long a proposal can be approved where it does not say so: 7 days.
const proposalLife = 7 * 24 * 3600 * 1_000_000_000

func (s *Server) propose(ctx context.Context, p auth.Principal, r *ledgerv1.ProposeRequest) (*ledgerv1.ProposeResponse, error) {
	record := journal.Proposal{Expires: r.GetExpires()}
	var err error
	if record.ID, err = readID(r.GetId(), r.GetReason(), &record.Reason); err != nil {
		return nil, err
	}
	inner, err := s.readProposed(ctx, p, r)
	if err != nil {
		return nil, err
	}
	if record.Inner = inner.Kind; record.Expires == 0 {
		record.Expires = s.defaultExpiry(ctx, record.ID)
	}
	d := journal.Details{Payload: ledger.EncodePayload(inner.Events, inner.Attachments)}
	if len(d.Payload) > journal.MaxPayload {
		return nil, malformed("", fmt.Sprintf("what is proposed has %d bytes, at most %d: split it into several proposals", len(d.Payload), journal.MaxPayload))
	}
	request := &cell.Request{
		Kind: journal.KindProposal, Actor: p.ID, Events: journal.Bytes([]journal.Proposal{record}),
		Attachments: []journal.Attachment{{Data: d.Append(nil)}}, Results: make([]journal.Result, 1),
	}
	if err := s.config.Cell.Do(ctx, request); err != nil {
		return nil, err
	}
	return &ledgerv1.ProposeResponse{
		Status: ledgerv1.ControlStatus(request.Results[0].Status), Timestamp: request.Results[0].Timestamp, Position: s.position(request.Seq),
	}, nil
}

// defaultExpiry is 7 days from now, or what it was when the same proposal came first: a proposal that is sent again has
// to be the same.
func (s *Server) defaultExpiry(ctx context.Context, id money.U128) uint64 {
	expires := s.config.Clock.Wall() + proposalLife
	_ = s.config.Cell.Read(ctx, func(st *ledger.State) { // if it fails, so will the proposal
		if p, ok := st.Proposal(id); ok {
			expires = p.Expires
		}
	})
	return expires
}

// readProposed makes the request that is proposed, and checks that its sender could send it.
func (s *Server) readProposed(ctx context.Context, p auth.Principal, r *ledgerv1.ProposeRequest) (*cell.Request, error) {
	permission := auth.Write
	var request *cell.Request
	var err error
	switch what := r.GetWhat().(type) {
	case *ledgerv1.ProposeRequest_Transfers:
		request, err = s.proposedTransfers(ctx, what.Transfers)
	case *ledgerv1.ProposeRequest_Accounts:
		request, err = s.proposedAccounts(ctx, p, what.Accounts)
	case *ledgerv1.ProposeRequest_Transaction:
		request, err = s.readTransaction(ctx, nil, what.Transaction)
	case *ledgerv1.ProposeRequest_Unfreeze:
		permission = auth.Operate
		request, err = proposedUnfreeze(what.Unfreeze)
	case *ledgerv1.ProposeRequest_Reopen:
		permission = auth.Operate
		request, err = proposedReopen(what.Reopen)
	case *ledgerv1.ProposeRequest_Policy:
		permission = auth.Operate
		var record journal.Policy
		record, err = readPolicy(what.Policy)
		request = &cell.Request{Kind: journal.KindPolicy, Events: journal.Bytes([]journal.Policy{record})}
	case *ledgerv1.ProposeRequest_Principal:
		if p.Role != auth.RoleAdmin {
			return nil, roleRefused(p, "Propose for a principal")
		}
		request, err = readPrincipal(what.Principal)
	default:
		return nil, malformed("what", "want one of transfers, accounts, transaction, unfreeze, reopen, policy, principal")
	}
	if err != nil {
		return nil, err
	}
	if !p.Role.Allows(permission) {
		return nil, roleRefused(p, "Propose for this")
	}
	return request, nil
}

func (s *Server) proposedTransfers(ctx context.Context, r *ledgerv1.CreateTransfersRequest) (*cell.Request, error) {
	var b codec.Batch
	if err := s.readTransfers(&b, r.GetTransfers(), "transfers.transfers"); err != nil {
		return nil, err
	}
	if len(b.Transfers) == 0 {
		return nil, malformed("transfers", "none")
	}
	attached, err := s.attachTransfers(ctx, &b)
	return &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(b.Transfers), Attachments: attached}, err
}

func (s *Server) proposedAccounts(ctx context.Context, p auth.Principal, r *ledgerv1.CreateAccountsRequest) (*cell.Request, error) {
	wire, err := proto.Marshal(r)
	if err != nil {
		return nil, malformed("accounts", err.Error())
	}
	c := &call{principal: p, assets: s.assetTable()}
	if err := s.codec.DecodeAccountsWire(&c.batch, wire, c.assets); err != nil {
		return nil, inField(err, "accounts[", "accounts.accounts[")
	}
	if len(c.batch.Accounts) == 0 {
		return nil, malformed("accounts", "none")
	}
	if err := s.registerMissing(ctx, c); err != nil {
		return nil, err
	}
	if err := s.mayPropose(ctx, c); err != nil {
		return nil, err
	}
	attached, err := s.attachAccounts(ctx, &c.batch)
	return &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(c.batch.Accounts), Attachments: attached}, err
}

func proposedUnfreeze(r *ledgerv1.UnfreezeRequest) (*cell.Request, error) {
	u, err := readUnfreeze(r)
	return &cell.Request{Kind: journal.KindUnfreeze, Events: journal.Bytes([]journal.Unfreeze{u})}, err
}

func proposedReopen(r *ledgerv1.ReopenDay) (*cell.Request, error) {
	var record journal.Reopen
	var err error
	if record.ID, err = readID(r.GetId(), r.GetReason(), &record.Reason); err != nil {
		return nil, err
	}
	record.Date, err = readDate("reopen.date", r.GetDate())
	return &cell.Request{Kind: journal.KindReopen, Events: journal.Bytes([]journal.Reopen{record})}, err
}

func (s *Server) decide(ctx context.Context, p auth.Principal, r *ledgerv1.DecideRequest) (*ledgerv1.DecideResponse, error) {
	record := journal.Decision{Verdict: journal.Verdict(r.GetVerdict())} //nolint:gosec // checked below
	var err error
	if record.ID, err = readID(r.GetId(), r.GetReason(), &record.Reason); err != nil {
		return nil, err
	}
	if record.Proposal, err = readU128("proposalId", r.GetProposalId()); err != nil {
		return nil, err
	}
	if v := r.GetVerdict(); v != ledgerv1.Verdict_VERDICT_APPROVE && v != ledgerv1.Verdict_VERDICT_REJECT {
		return nil, malformed("verdict", "want VERDICT_APPROVE or VERDICT_REJECT")
	}
	request, status, at, err := s.decision(ctx, p, &record)
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.DecideResponse{Status: status, Timestamp: at, Position: s.position(s.config.Cell.Head())}
	if request == nil {
		return response, nil
	}
	if err := s.config.Cell.Do(ctx, request); err != nil {
		return nil, err
	}
	response.Status, response.Timestamp = ledgerv1.ControlStatus(request.Results[0].Status), request.Results[0].Timestamp
	response.Position = s.position(request.Seq)
	if st := request.Results[0].Status; st == journal.ControlCreated || st == journal.ControlProposalFailed {
		fillDecided(response, record.Inner, request.Results[1:])
	}
	if record.Inner == journal.KindPrincipals {
		return response, s.principalsChanged(ctx)
	}
	return response, nil
}

// decision makes the request of a decision: an approval carries what was proposed. Without a request, the status
// answers: there is nothing to carry out.
func (s *Server) decision(ctx context.Context, p auth.Principal, record *journal.Decision) (*cell.Request, ledgerv1.ControlStatus, uint64, error) {
	var found ledger.Proposal
	var ok bool
	if err := s.config.Cell.Read(ctx, func(st *ledger.State) { found, ok = st.Proposal(record.Proposal) }); err != nil {
		return nil, 0, 0, err
	}
	now := s.config.Clock.Wall()
	if !ok {
		return nil, ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_NOT_FOUND, now, nil
	}
	record.Inner = found.Inner
	if record.Inner == journal.KindPrincipals && p.Role != auth.RoleAdmin {
		return nil, 0, 0, roleRefused(p, "Decide about a principal")
	}
	events := journal.Bytes([]journal.Decision{*record})
	request := &cell.Request{Kind: journal.KindDecision, Actor: p.ID, Events: events}
	switch {
	case found.Verdict != 0:
		if found.DecisionID == record.ID && found.Verdict == record.Verdict && found.DecidedBy == p.ID && found.DecidedReason == record.Reason {
			return nil, ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS, found.DecidedAt, nil
		}
		return nil, ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_ALREADY_DECIDED, now, nil
	case record.Verdict == journal.Approve && found.Payload == nil:
		return nil, ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_EXPIRED, now, nil
	case record.Verdict == journal.Approve:
		inner, attached, err := ledger.DecodePayload(found.Payload)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("proposal %v: %w", found.ID, err)
		}
		request.Events = journal.Aligned(append(events[:len(events):len(events)], inner...))
		for _, a := range attached {
			request.Attachments = append(request.Attachments, journal.Attachment{Event: a.Event + 1, Data: a.Data})
		}
	}
	request.Results = make([]journal.Result, len(request.Events)/journal.RecordSize)
	return request, 0, 0, nil
}

func fillDecided(r *ledgerv1.DecideResponse, inner journal.Kind, results []journal.Result) {
	for _, x := range results {
		switch inner {
		case journal.KindTransfers, journal.KindTransaction:
			r.Transfers = append(r.Transfers, &ledgerv1.CreateTransferResult{Status: ledgerv1.CreateTransferStatus(x.Status), Timestamp: x.Timestamp})
		case journal.KindAccounts:
			r.Accounts = append(r.Accounts, &ledgerv1.CreateAccountResult{Status: ledgerv1.CreateAccountStatus(x.Status), Timestamp: x.Timestamp})
		default:
			r.Controls = append(r.Controls, &ledgerv1.ControlResult{Status: ledgerv1.ControlStatus(x.Status), Timestamp: x.Timestamp})
		}
	}
}

func (s *Server) listProposals(ctx context.Context, _ auth.Principal, r *ledgerv1.ListProposalsRequest) (*ledgerv1.ListProposalsResponse, error) {
	only, err := readU128("id", r.GetId())
	if err != nil {
		return nil, err
	}
	var list []ledger.Proposal
	if err := s.config.Cell.Read(ctx, func(st *ledger.State) { list = st.Proposals(!r.GetAll() && only.IsZero()) }); err != nil {
		return nil, err
	}
	response := &ledgerv1.ListProposalsResponse{Position: s.position(s.config.Cell.Head())}
	for i := range list {
		if !only.IsZero() && list[i].ID != only {
			continue
		}
		m, err := s.proposalMessage(&list[i])
		if err != nil {
			return nil, err
		}
		response.Proposals = append(response.Proposals, m)
	}
	return response, nil
}

func (s *Server) proposalMessage(p *ledger.Proposal) (*ledgerv1.Proposal, error) {
	m := &ledgerv1.Proposal{
		Request: &ledgerv1.ProposeRequest{Id: p.ID.String(), Reason: text(p.Reason), Expires: p.Expires},
		Kind:    proposalKind(p.Inner), Actor: hex.EncodeToString(p.Actor[:]), Timestamp: p.Timestamp, Verdict: ledgerv1.Verdict(p.Verdict),
	}
	if p.Verdict != 0 {
		m.DecisionId, m.DecidedBy, m.DecidedAt = p.DecisionID.String(), hex.EncodeToString(p.DecidedBy[:]), p.DecidedAt
		m.DecidedReason = text(p.DecidedReason)
	}
	if p.Payload == nil {
		return m, nil
	}
	events, attached, err := ledger.DecodePayload(p.Payload)
	if err != nil {
		return nil, fmt.Errorf("proposal %v: %w", p.ID, err)
	}
	return m, s.fillProposed(m.Request, p.Inner, events, attached)
}

func proposalKind(k journal.Kind) string {
	switch k {
	case journal.KindTransfers:
		return "transfers"
	case journal.KindAccounts:
		return "accounts"
	case journal.KindTransaction:
		return "transaction"
	case journal.KindUnfreeze:
		return "unfreeze"
	case journal.KindReopen:
		return "reopen"
	case journal.KindPolicy:
		return "policy"
	case journal.KindPrincipals:
		return "principal"
	}
	return ""
}

// fillProposed shows what is proposed as it was asked for.
func (s *Server) fillProposed(r *ledgerv1.ProposeRequest, kind journal.Kind, events []byte, attached []journal.Attachment) error {
	switch kind {
	case journal.KindTransfers:
		list, err := s.proposedMessages(events, attached)
		r.What = &ledgerv1.ProposeRequest_Transfers{Transfers: &ledgerv1.CreateTransfersRequest{Transfers: list}}
		return err
	case journal.KindTransaction:
		list, err := s.proposedMessages(events, attached)
		if err != nil {
			return err
		}
		head := list[0]
		r.What = &ledgerv1.ProposeRequest_Transaction{Transaction: &ledgerv1.CreateTransactionRequest{
			Id: head.GetId(), Legs: list[1:], Code: head.GetCode(), UserData_128: head.GetUserData_128(), UserData_64: head.GetUserData_64(),
			UserData_32: head.GetUserData_32(), BookingDate: head.GetBookingDate(), Metadata: head.GetMetadata(),
			AllowCycles: journal.View[journal.Transfer](events)[0].Flags.Has(journal.TransferCycles),
		}}
	case journal.KindAccounts:
		list, err := s.proposedAccountMessages(events, attached)
		r.What = &ledgerv1.ProposeRequest_Accounts{Accounts: &ledgerv1.CreateAccountsRequest{Accounts: list}}
		return err
	case journal.KindUnfreeze:
		u := journal.View[journal.Unfreeze](events)[0]
		r.What = &ledgerv1.ProposeRequest_Unfreeze{Unfreeze: &ledgerv1.UnfreezeRequest{Id: u.ID.String(), FreezeId: u.FreezeID.String(), Reason: text(u.Reason)}}
	case journal.KindReopen:
		o := journal.View[journal.Reopen](events)[0]
		r.What = &ledgerv1.ProposeRequest_Reopen{Reopen: &ledgerv1.ReopenDay{Id: o.ID.String(), Date: o.Date.String(), Reason: text(o.Reason)}}
	case journal.KindPolicy:
		p := journal.View[journal.Policy](events)[0]
		r.What = &ledgerv1.ProposeRequest_Policy{Policy: policyMessage(&p)}
	case journal.KindPrincipals:
		p := journal.View[journal.Principal](events)[0]
		m, err := principalMessage(&p, findAttached(attached, 0))
		r.What = &ledgerv1.ProposeRequest_Principal{Principal: m}
		return err
	}
	return nil
}

func findAttached(attached []journal.Attachment, event int) []byte {
	for _, a := range attached {
		if a.Event == event {
			return a.Data
		}
	}
	return nil
}

func (s *Server) proposedMessages(events []byte, attached []journal.Attachment) ([]*ledgerv1.Transfer, error) {
	var rows []ledger.Transfer
	for i, t := range journal.View[journal.Transfer](events) {
		rows = append(rows, ledger.Transfer{Transfer: t, Attachment: string(findAttached(attached, i))})
	}
	return s.transferMessages(rows)
}

func (s *Server) proposedAccountMessages(events []byte, attached []journal.Attachment) (list []*ledgerv1.Account, err error) {
	names := s.assetTable()
	for i, a := range journal.View[journal.Account](events) {
		m := accountMessage(&a, names)
		if data := findAttached(attached, i); data != nil {
			d, err := s.detailsOf(a.ID, data)
			if err != nil {
				return nil, err
			}
			m.Address, m.Metadata = d.Address, d.Metadata
		}
		list = append(list, m)
	}
	return list, nil
}
