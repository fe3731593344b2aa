package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// proposeFlags are the flags of every proposal.
type proposeFlags struct{ id, reason, expires string }

func (p *proposeFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&p.id, "id", "", "id of the proposal (default: a new one)")
	c.Flags().StringVar(&p.reason, "reason", "", "why, up to 64 bytes")
	c.Flags().StringVar(&p.expires, "expires", "", "when it can't be approved any more: a time, or 48h from now (default: in 7 days)")
}

func newPropose(f *ledgerFlags) *cobra.Command {
	parent := &cobra.Command{
		Use: "propose", Short: "Ask for something that another person has to approve",
		Long: `Journals what is asked for, by whom and why. Nothing happens until another person approves
it; then all of it happens, or nothing.`,
	}
	parent.AddCommand(
		newProposeTransfer(f), newProposeTransfers(f), newProposeAccounts(f), newProposeTransaction(f), newProposeReopen(f),
		newProposeUnfreeze(f), newProposePolicy(f), newProposePrincipal(f),
	)
	return parent
}

// proposal makes a command that proposes what fill puts into the request. The request has its id and its reason.
func (f *ledgerFlags) proposal(c *cobra.Command, fill func(ctx context.Context, c *cobra.Command, s *session, args []string, r *ledgerv1.ProposeRequest) error) *cobra.Command {
	var p proposeFlags
	p.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return f.with(c, func(ctx context.Context, s *session) error {
			r, err := s.newProposal(&p)
			if err != nil {
				return err
			}
			if err := fill(ctx, c, s, args, r); err != nil {
				return err
			}
			response, err := s.propose(ctx, r)
			if err != nil {
				return err
			}
			if s.flags.output == "json" {
				if err := s.printJSON(response); err != nil {
					return err
				}
			}
			return s.proposed(r.GetId(), response)
		})
	}
	return c
}

// newProposal makes a request with what all proposals have.
func (s *session) newProposal(p *proposeFlags) (*ledgerv1.ProposeRequest, error) {
	r := &ledgerv1.ProposeRequest{Reason: p.reason}
	if life, err := time.ParseDuration(p.expires); err == nil && life > 0 {
		r.Expires = uint64(time.Now().Add(life).UnixNano())
	} else if r.Expires, err = parseTime(p.expires); err != nil {
		return nil, usage("--expires %q: want 48h, 2026-01-31 or 2026-01-31T12:00:00Z", p.expires)
	}
	var err error
	r.Id, err = s.giveID(p.id)
	return r, err
}

func (s *session) propose(ctx context.Context, r *ledgerv1.ProposeRequest) (*ledgerv1.ProposeResponse, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.client.Books().Propose(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("proposal %s: %w", r.GetId(), s.explain(err))
	}
	return response, nil
}

// proposed tells what came of a proposal, and what happens next.
func (s *session) proposed(id string, r *ledgerv1.ProposeResponse) error {
	if err := s.control(id, r.GetStatus()); err != nil {
		return err
	}
	s.note("another person approves it: sterling books approve %s --reason …", id)
	return nil
}

func newProposeTransfer(f *ledgerFlags) *cobra.Command {
	var t transferFlags
	c := &cobra.Command{
		Use: "transfer", Short: "Propose one transfer, such as one into a closed day", Args: cobra.NoArgs,
		Long:    "Takes the flags of \"sterling ledger transfer\". The transfer gets the proposal's id, unless --transfer-id gives it another.",
		Example: `  sterling books propose transfer --from 1 --to 2 --amount "5 CNY" --code 1 --booking-date 2026-01-31 --reason "late invoice"`,
	}
	t.registerMove(c)
	c.Flags().StringVar(&t.id, "transfer-id", "", "id of the transfer (default: that of the proposal)")
	return f.proposal(c, func(ctx context.Context, _ *cobra.Command, s *session, _ []string, r *ledgerv1.ProposeRequest) error {
		x, err := t.move()
		if err != nil {
			return err
		}
		if t.id == "" {
			t.id = r.GetId()
		}
		if err := s.fill(ctx, &t, x); err != nil {
			return err
		}
		r.What = &ledgerv1.ProposeRequest_Transfers{Transfers: &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{x}}}
		return nil
	})
}

func newProposeTransfers(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "transfers FILE", Short: "Propose transfers of JSON lines, as create-transfers takes them", Args: cobra.ExactArgs(1),
		Long: `Proposes all transfers of a file, - for standard input. Another person approves all of them or
none. Each needs its id in the file.`,
	}
	return f.proposal(c, func(ctx context.Context, c *cobra.Command, s *session, args []string, r *ledgerv1.ProposeRequest) error {
		var list []*ledgerv1.Transfer
		err := eachLine(c, args[0], func(line []byte) error {
			t := &ledgerv1.Transfer{}
			list = append(list, t)
			return unmarshalEvent(line, t)
		})
		if err != nil {
			return err
		}
		r.What = &ledgerv1.ProposeRequest_Transfers{Transfers: &ledgerv1.CreateTransfersRequest{Transfers: list}}
		return s.settleAccounts(ctx, list)
	})
}

func newProposeAccounts(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "accounts FILE", Short: "Propose accounts of JSON lines, as the API has them, such as imported ones", Args: cobra.ExactArgs(1),
	}
	return f.proposal(c, func(_ context.Context, c *cobra.Command, _ *session, args []string, r *ledgerv1.ProposeRequest) error {
		var list []*ledgerv1.Account
		err := eachLine(c, args[0], func(line []byte) error {
			a := &ledgerv1.Account{}
			list = append(list, a)
			return unmarshalEvent(line, a)
		})
		r.What = &ledgerv1.ProposeRequest_Accounts{Accounts: &ledgerv1.CreateAccountsRequest{Accounts: list}}
		return err
	})
}

// unmarshalEvent reads one line. Ids have to be there, so that an approval that is sent again is the same.
func unmarshalEvent(line []byte, m interface {
	proto.Message
	GetId() string
},
) error {
	if err := protojson.Unmarshal(line, m); err != nil {
		return err
	}
	if m.GetId() == "" {
		return fmt.Errorf("it needs an id")
	}
	return nil
}

// eachLine gives the lines of a file that are not empty.
func eachLine(c *cobra.Command, path string, take func(line []byte) error) error {
	data, err := readInput(c, path)
	if err != nil {
		return err
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(make([]byte, 0, 4096), maxLine)
	for n := 1; scanner.Scan(); n++ {
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		if err := take(scanner.Bytes()); err != nil {
			return usage("%s:%d: %w", path, n, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return usage("%s: %w", path, err)
	}
	return nil
}

func newProposeTransaction(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "transaction FILE", Short: "Propose a transaction, from a file as \"sterling ledger transaction\" takes it", Args: cobra.ExactArgs(1),
		Long: "The transaction gets the proposal's id, unless the file gives it another.",
	}
	return f.proposal(c, func(ctx context.Context, c *cobra.Command, s *session, args []string, r *ledgerv1.ProposeRequest) error {
		file, err := loadTransaction(c, args[0])
		if err != nil {
			return err
		}
		x, err := s.transactionRequest(ctx, args[0], file)
		if err != nil {
			return err
		}
		if x.Id = r.GetId(); file.ID != "" {
			if x.Id, err = parseID("id", file.ID); err != nil {
				return err
			}
		}
		r.What = &ledgerv1.ProposeRequest_Transaction{Transaction: x}
		return nil
	})
}

func newProposeReopen(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "reopen DATE", Short: "Propose to open a closed day, and all days after it, again", Args: cobra.ExactArgs(1),
	}
	return f.proposal(c, func(_ context.Context, _ *cobra.Command, _ *session, args []string, r *ledgerv1.ProposeRequest) error {
		r.What = &ledgerv1.ProposeRequest_Reopen{Reopen: &ledgerv1.ReopenDay{Id: r.GetId(), Date: args[0], Reason: r.GetReason()}}
		return checkDay("date", args[0])
	})
}

func newProposeUnfreeze(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{Use: "unfreeze FREEZE-ID", Short: "Propose to lift a freeze", Args: cobra.ExactArgs(1)}
	return f.proposal(c, func(_ context.Context, _ *cobra.Command, _ *session, args []string, r *ledgerv1.ProposeRequest) error {
		freeze, err := parseID("freeze id", args[0])
		r.What = &ledgerv1.ProposeRequest_Unfreeze{Unfreeze: &ledgerv1.UnfreezeRequest{Id: r.GetId(), FreezeId: freeze, Reason: r.GetReason()}}
		return err
	})
}

func newProposePolicy(f *ledgerFlags) *cobra.Command {
	var p policyFlags
	c := &cobra.Command{
		Use: "policy", Short: "Propose other rules of the house; what is not given stays", Args: cobra.NoArgs,
		Example: `  sterling books propose policy --imports-approved=false --reason "migration weekend"`,
	}
	p.register(c)
	return f.proposal(c, func(ctx context.Context, c *cobra.Command, s *session, _ []string, r *ledgerv1.ProposeRequest) error {
		policy, err := s.policy(ctx, c, &p)
		if err != nil {
			return err
		}
		policy.Id, policy.Reason = r.GetId(), r.GetReason()
		r.What = &ledgerv1.ProposeRequest_Policy{Policy: policy}
		return nil
	})
}

// principalFlags describe the rights of a token.
type principalFlags struct {
	role, name, until string
	assets, prefixes  []string
	rate              uint32
}

// register adds the flags; the expiry of the token is not that of the proposal.
func (p *principalFlags) register(c *cobra.Command, expires string) {
	c.Flags().StringVar(&p.role, "role", "reader", "reader, teller, operator, auditor or admin")
	c.Flags().StringVar(&p.name, "name", "", "whose it is, up to 64 bytes")
	c.Flags().StringArrayVar(&p.assets, "asset", nil, "see and move this asset only, CODE/SCALE or an ISO 4217 code; may be repeated")
	c.Flags().StringArrayVar(&p.prefixes, "prefix", nil, "see and move accounts below this address only; may be repeated")
	c.Flags().Uint32Var(&p.rate, "rate", 0, "refuse accounts, transfers and ids beyond this many a second (0: no limit)")
	c.Flags().StringVar(&p.until, expires, "", "when the token ends: a time, or 720h from now (default: never)")
}

// principal makes the rights of a token.
func (p *principalFlags) principal(id string, hash []byte) (*ledgerv1.Principal, error) {
	if _, err := auth.ParseRole(p.role); err != nil {
		return nil, usage("--role: %w", err)
	}
	if strings.TrimSpace(p.name) == "" {
		return nil, usage("--name: say whose token it is")
	}
	r := &ledgerv1.Principal{Token: id, SecretHash: hash, Role: p.role, Name: p.name, AddressPrefixes: p.prefixes, Rate: p.rate}
	for _, text := range p.assets {
		name, err := assetName("asset", text)
		if err != nil {
			return nil, err
		}
		r.Assets = append(r.Assets, name)
	}
	if life, err := time.ParseDuration(p.until); err == nil && life > 0 {
		r.Expires = uint64(time.Now().Add(life).UnixNano())
	} else if r.Expires, err = parseTime(p.until); err != nil {
		return nil, usage("%q is no time: want 720h, 2026-01-31 or 2026-01-31T12:00:00Z", p.until)
	}
	return r, nil
}

func newProposePrincipal(f *ledgerFlags) *cobra.Command {
	var p principalFlags
	var token, hash string
	c := &cobra.Command{
		Use: "principal", Short: "Propose the rights of a token whose secret somebody else made, or other rights of one", Args: cobra.NoArgs,
		Long: `Only the hash of the secret is given. "sterling token propose" makes a secret and proposes it in
one step.`,
		Example: `  sterling books propose principal --token 00112233445566778899aabbccddeeff --hash $HASH --role teller --name till-7`,
	}
	p.register(c, "token-expires")
	c.Flags().StringVar(&token, "token", "", "the token's id, 32 hexadecimal digits")
	c.Flags().StringVar(&hash, "hash", "", "SHA-256 of the token's secret, 64 hexadecimal digits")
	return f.proposal(c, func(_ context.Context, _ *cobra.Command, _ *session, _ []string, r *ledgerv1.ProposeRequest) error {
		digest, err := hex.DecodeString(hash)
		if err != nil || len(digest) != 32 {
			return usage("--hash: want the SHA-256 of the token's secret, 64 hexadecimal digits")
		}
		principal, err := p.principal(token, digest)
		r.What = &ledgerv1.ProposeRequest_Principal{Principal: principal}
		return err
	})
}
