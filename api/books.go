package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Signer signs trial balances. [audit.Key] does.
type Signer interface {
	Sign(statement []byte) []byte
	Public() ed25519.PublicKey
}

func text(reason [64]byte) string { return string(bytes.TrimRight(reason[:], "\x00")) }

// readID reads the id and the reason of a control.
func readID(id, reason string, dst *[64]byte) (money.U128, error) {
	v, err := readU128("id", id)
	if err != nil {
		return v, err
	}
	return v, readReason(dst, reason)
}

func readDate(field, date string) (journal.Date, error) {
	d, err := journal.ParseDate(date)
	if err != nil {
		return 0, malformed(field, err.Error())
	}
	return d, nil
}

func (s *Server) closeDay(ctx context.Context, p auth.Principal, r *ledgerv1.CloseDayRequest) (*ledgerv1.CloseDayResponse, error) {
	var c journal.DayClose
	var err error
	if c.ID, err = readID(r.GetId(), r.GetReason(), &c.Reason); err != nil {
		return nil, err
	}
	if c.Date, err = readDate("date", r.GetDate()); err != nil {
		return nil, err
	}
	done, err := s.control(ctx, p, journal.KindDayClose, journal.Bytes([]journal.DayClose{c}))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.CloseDayResponse{
		Status: ledgerv1.ControlStatus(done.Results[0].Status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}, nil
}

func (s *Server) closeMessage(c *ledger.Close) *ledgerv1.DayClose {
	return &ledgerv1.DayClose{
		Id: c.ID.String(), Date: c.Date.String(), Reopened: c.Reopened, Reason: text(c.Reason),
		Actor: hex.EncodeToString(c.Actor[:]), Timestamp: c.Timestamp, Position: s.position(c.Position.Seq()),
	}
}

func (s *Server) listCloses(ctx context.Context, _ auth.Principal, _ *ledgerv1.ListClosesRequest) (*ledgerv1.ListClosesResponse, error) {
	response := &ledgerv1.ListClosesResponse{}
	var closes []ledger.Close
	err := s.config.Cell.Read(ctx, func(st *ledger.State) {
		closes = st.Closes()
		if d := st.ClosedThrough(); d != 0 {
			response.ClosedThrough = d.String()
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range closes {
		response.Closes = append(response.Closes, s.closeMessage(&closes[i]))
	}
	response.Position = s.position(s.config.Cell.Head())
	return response, nil
}

func (s *Server) getClose(ctx context.Context, _ auth.Principal, r *ledgerv1.GetCloseRequest) (*ledgerv1.GetCloseResponse, error) {
	id, err := readU128("id", r.GetId())
	if err != nil {
		return nil, err
	}
	var found *ledger.Close
	err = s.config.Cell.Read(ctx, func(st *ledger.State) {
		for _, c := range st.Closes() {
			if c.ID == id && !c.Reopened {
				found = &c
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, notFound(fmt.Sprintf("no close has the id %v", id))
	}
	attachment, err := s.config.Cell.Attachment(ctx, found.Position)
	if err != nil {
		return nil, err
	}
	rows, err := ledger.ReadTrial(attachment)
	if err != nil {
		return nil, fmt.Errorf("trial balance of close %v: %w", id, err)
	}
	h, err := s.config.Cell.Header(ctx, found.Position.Seq())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetCloseResponse{Close: s.closeMessage(found), Rows: s.trialMessages(rows), Position: s.position(s.config.Cell.Head())}
	response.Statement = statement(&h, response)
	response.Signature = s.config.Signer.Sign(response.Statement)
	response.PublicKey = s.config.Signer.Public()
	return response, nil
}

// statement is what is signed of a close: docs/formats.md.
func statement(h *journal.Header, r *ledgerv1.GetCloseResponse) []byte {
	var b strings.Builder
	hash := h.Hash()
	c := r.GetClose()
	fmt.Fprintf(&b, "sterling trial balance 1\ncell %d\nblock %d\nhash %x\nclose %s\nthrough %s\nactor %s\ntimestamp %d\n",
		h.Cell, h.Seq, hash[:], c.GetId(), c.GetDate(), c.GetActor(), c.GetTimestamp())
	for _, row := range r.GetRows() {
		fmt.Fprintf(&b, "row %s %d opening %s %s late %s %s period %s %s closing %s %s\n", row.GetAsset(), row.GetCode(),
			row.GetOpeningDebits(), row.GetOpeningCredits(), row.GetLateDebits(), row.GetLateCredits(),
			row.GetDebits(), row.GetCredits(), row.GetClosingDebits(), row.GetClosingCredits())
	}
	return []byte(b.String())
}

func (s *Server) trialMessages(rows []ledger.TrialRow) (list []*ledgerv1.TrialRow) {
	names := s.assetTable()
	for i := range rows {
		r := &rows[i]
		closing := r.Closing()
		list = append(list, &ledgerv1.TrialRow{
			Asset: names.Name(r.Asset), Code: uint32(r.Code),
			OpeningDebits: r.Opening.Debits.String(), OpeningCredits: r.Opening.Credits.String(),
			LateDebits: r.Late.Debits.String(), LateCredits: r.Late.Credits.String(),
			Debits: r.Period.Debits.String(), Credits: r.Period.Credits.String(),
			ClosingDebits: closing.Debits.String(), ClosingCredits: closing.Credits.String(),
		})
	}
	return list
}

func (s *Server) getTrialBalance(ctx context.Context, _ auth.Principal, r *ledgerv1.GetTrialBalanceRequest) (*ledgerv1.GetTrialBalanceResponse, error) {
	from, through := journal.Date(0), journal.MaxDate
	var err error
	if r.GetFrom() != "" {
		if from, err = readDate("from", r.GetFrom()); err != nil {
			return nil, err
		}
	}
	if r.GetThrough() != "" {
		if through, err = readDate("through", r.GetThrough()); err != nil {
			return nil, err
		}
	}
	if through < from {
		return nil, malformed("through", "it lies before from")
	}
	var rows []ledger.TrialRow
	if err := s.config.Cell.Read(ctx, func(st *ledger.State) { rows = st.TrialBalance(from, through) }); err != nil {
		return nil, err
	}
	return &ledgerv1.GetTrialBalanceResponse{Rows: s.trialMessages(rows), Position: s.position(s.config.Cell.Head())}, nil
}

func (s *Server) setPolicy(ctx context.Context, p auth.Principal, r *ledgerv1.SetPolicyRequest) (*ledgerv1.SetPolicyResponse, error) {
	record, err := readPolicy(r)
	if err != nil {
		return nil, err
	}
	done, err := s.control(ctx, p, journal.KindPolicy, journal.Bytes([]journal.Policy{record}))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.SetPolicyResponse{
		Status: ledgerv1.ControlStatus(done.Results[0].Status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}, nil
}

func readPolicy(r *ledgerv1.SetPolicyRequest) (journal.Policy, error) {
	p := journal.Policy{UTCOffset: r.GetUtcOffsetMinutes()}
	if r.GetImportsApproved() {
		p.Flags |= journal.PolicyImportsApproved
	}
	if r.GetUnfreezeApproved() {
		p.Flags |= journal.PolicyUnfreezeApproved
	}
	var err error
	p.ID, err = readID(r.GetId(), r.GetReason(), &p.Reason)
	return p, err
}

func policyMessage(p *journal.Policy) *ledgerv1.SetPolicyRequest {
	return &ledgerv1.SetPolicyRequest{
		Id: p.ID.String(), ImportsApproved: p.Flags&journal.PolicyImportsApproved != 0,
		UnfreezeApproved: p.Flags&journal.PolicyUnfreezeApproved != 0, UtcOffsetMinutes: p.UTCOffset, Reason: text(p.Reason),
	}
}

func (s *Server) getPolicy(ctx context.Context, _ auth.Principal, _ *ledgerv1.GetPolicyRequest) (*ledgerv1.GetPolicyResponse, error) {
	var p ledger.Policy
	if err := s.config.Cell.Read(ctx, func(st *ledger.State) { p = st.Policy() }); err != nil {
		return nil, err
	}
	response := &ledgerv1.GetPolicyResponse{Policy: policyMessage(&p.Policy), Timestamp: p.Timestamp, Position: s.position(s.config.Cell.Head())}
	if p.Timestamp != 0 {
		response.Actor = hex.EncodeToString(p.Actor[:])
	}
	return response, nil
}
