package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newProposals(f *ledgerFlags) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "proposals [ID]", Short: "List what waits for a decision, or show one proposal with all that it would do", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := &ledgerv1.ListProposalsRequest{All: all}
			if len(args) == 1 {
				var err error
				if r.Id, err = parseID("id", args[0]); err != nil {
					return err
				}
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.proposals(ctx, r) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that are decided or expired")
	return c
}

func (s *session) proposals(ctx context.Context, r *ledgerv1.ListProposalsRequest) error {
	bounded, cancel := s.call(ctx)
	defer cancel()
	response, err := s.client.Books().ListProposals(bounded, r)
	if err != nil {
		return err
	}
	list := response.GetProposals()
	if r.GetId() != "" && len(list) == 0 {
		return fmt.Errorf("there is no proposal %s", r.GetId())
	}
	var rows [][]string
	for _, p := range list {
		rows = append(rows, []string{
			p.GetRequest().GetId(), p.GetKind(), proposalState(p), p.GetActor(), stamp(p.GetTimestamp()),
			stamp(p.GetRequest().GetExpires()), plain(p.GetRequest().GetReason()), dash(p.GetDecidedBy()), decidedReason(p),
		})
	}
	if err := s.print(response, "ID KIND STATE BY TIME EXPIRES REASON DECIDED-BY DECIDED-REASON", rows); err != nil || s.flags.output == "json" || r.GetId() == "" {
		return err
	}
	return s.printProposed(ctx, list[0].GetRequest())
}

// decidedReason is why it was decided so, "-" while it was not.
func decidedReason(p *ledgerv1.Proposal) string {
	if p.GetVerdict() == ledgerv1.Verdict_VERDICT_UNSPECIFIED {
		return "-"
	}
	return plain(p.GetDecidedReason())
}

// proposalState is open, approved, rejected or expired.
func proposalState(p *ledgerv1.Proposal) string {
	switch p.GetVerdict() {
	case ledgerv1.Verdict_VERDICT_APPROVE:
		return "approved"
	case ledgerv1.Verdict_VERDICT_REJECT:
		return "rejected"
	}
	if p.GetRequest().GetWhat() == nil {
		return "expired"
	}
	return "open"
}

// printProposed prints what an approval would do.
func (s *session) printProposed(ctx context.Context, r *ledgerv1.ProposeRequest) error {
	if r.GetWhat() != nil {
		s.printf("\n")
	}
	switch what := r.GetWhat().(type) {
	case *ledgerv1.ProposeRequest_Transfers:
		return s.printTransfers(ctx, nil, what.Transfers.GetTransfers())
	case *ledgerv1.ProposeRequest_Accounts:
		return s.print(nil, accountHead, accountRows(what.Accounts.GetAccounts()))
	case *ledgerv1.ProposeRequest_Transaction:
		s.printf("transaction %s, booked %s, metadata %s\n", what.Transaction.GetId(), dash(what.Transaction.GetBookingDate()), metaText(what.Transaction.GetMetadata()))
		return s.printTransfers(ctx, nil, what.Transaction.GetLegs())
	case *ledgerv1.ProposeRequest_Unfreeze:
		s.printf("unfreeze %s\n", what.Unfreeze.GetFreezeId())
	case *ledgerv1.ProposeRequest_Reopen:
		s.printf("reopen %s and all days after it\n", what.Reopen.GetDate())
	case *ledgerv1.ProposeRequest_Policy:
		s.printPolicy(what.Policy)
	case *ledgerv1.ProposeRequest_Principal:
		return s.print(nil, principalHead, [][]string{principalRow(what.Principal)})
	}
	return nil
}

// newDecide is approve or reject.
func newDecide(f *ledgerFlags, verdict ledgerv1.Verdict) *cobra.Command {
	var id, reason string
	c := &cobra.Command{
		Use: "approve PROPOSAL-ID", Short: "Approve a proposal of another person: what it asks for happens at once", Args: cobra.ExactArgs(1),
		Long: `What was proposed happens whole or not at all. "sterling books proposals ID" shows it first.
Whoever proposed can't approve.`,
	}
	if verdict == ledgerv1.Verdict_VERDICT_REJECT {
		c.Use, c.Short, c.Long = "reject PROPOSAL-ID", "Reject a proposal: nothing happens", "Whoever proposed may reject, too."
	}
	c.Flags().StringVar(&id, "id", "", "id of the decision (default: a new one)")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	c.RunE = func(c *cobra.Command, args []string) error {
		proposal, err := parseID("proposal id", args[0])
		if err != nil {
			return err
		}
		return f.with(c, func(ctx context.Context, s *session) error {
			return s.decide(ctx, &ledgerv1.DecideRequest{Id: id, ProposalId: proposal, Verdict: verdict, Reason: reason})
		})
	}
	return c
}

func (s *session) decide(ctx context.Context, r *ledgerv1.DecideRequest) (err error) {
	if r.Id, err = s.giveID(r.GetId()); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.client.Books().Decide(ctx, r)
	if err != nil {
		return fmt.Errorf("decision %s: %w", r.GetId(), s.explain(err))
	}
	if s.flags.output == "json" {
		if err := s.printJSON(response); err != nil {
			return err
		}
	}
	s.noteFailed(response)
	return s.control(r.GetId(), response.GetStatus())
}

// noteFailed names what of an approval failed, and what to do about it.
func (s *session) noteFailed(r *ledgerv1.DecideResponse) {
	if r.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_FAILED {
		return
	}
	var hints hints
	name := func(what string, i int, status string) {
		if status = short(status); status != "linked_event_failed" && status != "created" && status != "proposal_failed" {
			s.note("%s %s: %s", what, strconv.Itoa(i), strings.ToLower(status))
		}
	}
	for i, x := range r.GetTransfers() {
		name("transfer", i, x.GetStatus().String())
		hints.add(transferHint(x.GetStatus()))
	}
	for i, x := range r.GetAccounts() {
		name("account", i, x.GetStatus().String())
		hints.add(accountHint(x.GetStatus()))
	}
	for i, x := range r.GetControls() {
		name("control", i, x.GetStatus().String())
	}
	hints.print(s)
}
