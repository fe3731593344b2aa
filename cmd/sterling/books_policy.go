package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newPolicy(f *ledgerFlags) *cobra.Command {
	show := func(c *cobra.Command, _ []string) error {
		return f.with(c, func(ctx context.Context, s *session) error {
			ctx, cancel := s.call(ctx)
			defer cancel()
			r, err := s.client.Books().GetPolicy(ctx, &ledgerv1.GetPolicyRequest{})
			if err != nil {
				return err
			}
			if s.flags.output == "json" {
				return s.printJSON(r)
			}
			p := r.GetPolicy()
			s.printPolicy(p)
			if r.GetTimestamp() != 0 {
				s.printf("set                %s by %s: %s\n", stamp(r.GetTimestamp()), r.GetActor(), plain(p.GetReason()))
			}
			return nil
		})
	}
	parent := &cobra.Command{
		Use: "policy", Short: "Show the rules of the house, or set them", Args: cobra.NoArgs, RunE: show,
		Long: `The zone in which days begin, and what takes two people besides what always does.`,
	}
	parent.AddCommand(newPolicySet(f))
	return parent
}

func (s *session) printPolicy(p *ledgerv1.SetPolicyRequest) {
	s.printf("utc-offset         %s\nimports-approved   %t\nunfreeze-approved  %t\n", offset(p.GetUtcOffsetMinutes()), p.GetImportsApproved(), p.GetUnfreezeApproved())
}

// policyFlags are the rules that a command line changes; the others stay as they are.
type policyFlags struct {
	imports, unfreeze bool
	zone              string
}

func (p *policyFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&p.imports, "imports-approved", false, "imported accounts and transfers take two people")
	c.Flags().BoolVar(&p.unfreeze, "unfreeze-approved", false, "lifting a freeze takes a proposal")
	c.Flags().StringVar(&p.zone, "utc-offset", "", "zone in which days begin and end, such as +08:00")
}

// policy is the rules in force with the changes of a command line.
func (s *session) policy(ctx context.Context, c *cobra.Command, p *policyFlags) (*ledgerv1.SetPolicyRequest, error) {
	flags := c.Flags()
	if !flags.Changed("imports-approved") && !flags.Changed("unfreeze-approved") && !flags.Changed("utc-offset") {
		return nil, usage("say what to change: --imports-approved, --unfreeze-approved, --utc-offset")
	}
	minutes := int32(0)
	if p.zone != "" {
		var err error
		if minutes, err = parseOffset(p.zone); err != nil {
			return nil, err
		}
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	now, err := s.client.Books().GetPolicy(ctx, &ledgerv1.GetPolicyRequest{})
	if err != nil {
		return nil, err
	}
	was := now.GetPolicy()
	r := &ledgerv1.SetPolicyRequest{
		ImportsApproved: was.GetImportsApproved(), UnfreezeApproved: was.GetUnfreezeApproved(), UtcOffsetMinutes: was.GetUtcOffsetMinutes(),
	}
	if flags.Changed("imports-approved") {
		r.ImportsApproved = p.imports
	}
	if flags.Changed("unfreeze-approved") {
		r.UnfreezeApproved = p.unfreeze
	}
	if p.zone != "" {
		r.UtcOffsetMinutes = minutes
	}
	return r, nil
}

func newPolicySet(f *ledgerFlags) *cobra.Command {
	var p policyFlags
	var id, reason string
	c := &cobra.Command{
		Use: "set", Short: "Change rules of the house; what makes them looser takes a proposal", Args: cobra.NoArgs,
		Long: `Changes the rules that are given and leaves the others. Rules become stricter at once.
What makes them looser, or moves the zone after a day was closed, takes two people:
see "sterling books propose policy".`,
		Example: `  sterling books policy set --utc-offset +08:00 --reason "our days are China's"
  sterling books policy set --imports-approved --unfreeze-approved --reason "four eyes"`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				r, err := s.policy(ctx, c, &p)
				if err != nil {
					return err
				}
				if r.Id, err = s.giveID(id); err != nil {
					return err
				}
				r.Reason = reason
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.Books().SetPolicy(ctx, r)
				if err != nil {
					return fmt.Errorf("policy %s: %w", r.GetId(), s.explain(err))
				}
				if s.flags.output == "json" {
					if err := s.printJSON(response); err != nil {
						return err
					}
				}
				if response.GetStatus() == ledgerv1.ControlStatus_CONTROL_STATUS_APPROVAL_REQUIRED {
					s.note("propose it: sterling books propose policy … --reason …, with the same flags")
				}
				return s.control(r.GetId(), response.GetStatus())
			})
		},
	}
	p.register(c)
	c.Flags().StringVar(&id, "id", "", "id of the change (default: a new one)")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	return c
}

func newPrincipals(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "principals", Short: "List the tokens that proposals gave their rights", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Books().ListPrincipals(ctx, &ledgerv1.ListPrincipalsRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, p := range r.GetPrincipals() {
					rows = append(rows, principalRow(p))
				}
				return s.print(r, principalHead, rows)
			})
		},
	}
}

const principalHead = "TOKEN NAME ROLE SCOPE RATE EXPIRES"

func principalRow(p *ledgerv1.Principal) []string {
	scope := ""
	for i, part := range append(append([]string(nil), p.GetAssets()...), p.GetAddressPrefixes()...) {
		if i > 0 {
			scope += ","
		}
		scope += part
	}
	return []string{p.GetToken(), plain(p.GetName()), p.GetRole(), dash(scope), dash(strconv.Itoa(int(p.GetRate()))), dash(stamp(p.GetExpires()))}
}

func newRevokePrincipal(f *ledgerFlags) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "Take the rights of a token away that a proposal gave, at once", Args: cobra.ExactArgs(1),
		Long: `Takes effect before the command ends, and takes one person only. Tokens of the data folder
are revoked with "sterling token revoke".`,
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				list, err := s.client.Books().ListPrincipals(ctx, &ledgerv1.ListPrincipalsRequest{})
				if err != nil {
					return err
				}
				known := false
				for _, p := range list.GetPrincipals() {
					if p.GetToken() == args[0] {
						known = true
						if name == "" {
							name = p.GetName()
						}
					}
				}
				if !known {
					return fmt.Errorf("no proposal gave token %s rights that it still has: sterling books principals lists those that have; tokens of the data folder are revoked with `sterling token revoke`", args[0])
				}
				r, err := s.client.Books().RevokePrincipal(ctx, &ledgerv1.RevokePrincipalRequest{Token: args[0], Name: name})
				if err != nil {
					return fmt.Errorf("revoke %s: %w", args[0], s.explain(err))
				}
				if s.flags.output == "json" {
					if err := s.printJSON(r); err != nil {
						return err
					}
				}
				return s.control(args[0], r.GetStatus())
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "what to remember it by, up to 64 bytes (default: its name)")
	return c
}
