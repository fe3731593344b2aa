package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newTokenPropose() *cobra.Command {
	var (
		f ledgerFlags
		r principalFlags
		p proposeFlags
	)
	c := &cobra.Command{
		Use: "propose", Short: "Make a token that is valid once another admin approves it, and print it, this once", Args: cobra.NoArgs,
		Long: `Talks to a running server, with the token of an admin. The secret is made here and never
leaves: only its hash is proposed. The token is printed on standard output. When another
admin has approved the proposal ("sterling books approve ID"), it is valid at once, on
every server of this ledger. "sterling books revoke TOKEN-ID" takes its rights away.

Until the approval the token can do nothing. If the answer to this command was lost,
run it again: it makes another token.`,
		Example: `  sterling token propose --name till-7 --role teller --asset CNY --expires 720h --reason "new till" >till-7.token`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error { return s.proposeToken(ctx, &r, &p) })
		},
	}
	f.register(c)
	r.register(c, "expires")
	c.Flags().StringVar(&p.id, "id", "", "id of the proposal (default: a new one)")
	c.Flags().StringVar(&p.reason, "reason", "", "why, up to 64 bytes")
	return c
}

func (s *session) proposeToken(ctx context.Context, r *principalFlags, p *proposeFlags) error {
	token, id, hash, err := auth.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	principal, err := r.principal(id, hash[:])
	if err != nil {
		return err
	}
	request := &ledgerv1.ProposeRequest{Reason: p.reason, What: &ledgerv1.ProposeRequest_Principal{Principal: principal}}
	if p.id != "" {
		request.Id, err = parseID("--id", p.id)
	} else {
		request.Id, err = newID()
	}
	if err != nil {
		return err
	}
	response, err := s.propose(ctx, request)
	if err != nil {
		return err
	}
	if response.GetStatus() != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED {
		return &exitError{exitRefused, fmt.Errorf("proposal %s refused: %s", request.GetId(), short(response.GetStatus().String()))}
	}
	if s.flags.output == "json" {
		err = json.NewEncoder(s.c.OutOrStdout()).Encode(map[string]string{
			"token": token, "tokenId": id, "proposalId": request.GetId(), "status": response.GetStatus().String(),
		})
	} else {
		_, err = fmt.Fprintln(s.c.OutOrStdout(), token)
	}
	s.note("proposal %s: the token %s is valid once another admin approves: sterling books approve %s --reason …", request.GetId(), id, request.GetId())
	return err
}
