package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/node"
	"github.com/sterlingrun/sterling/shadow"
)

func (f *ledgerFlags) registerShadow(flags *pflag.FlagSet) {
	flags.BoolVar(&f.shadow, "shadow", false, "mark calls as shadow traffic of a load test; takes a token made for it")
}

// greetShadow is greet for a shadow.
func greetShadow(w io.Writer, scheme string, n *node.Node, config node.Config) {
	_, _ = fmt.Fprintf(w, `Sterling is ready on %[4]s://%[1]s

It is the shadow of the ledger in %[2]s, for load tests. It takes marked calls only, by tokens
made for them:
  %[3]s token create --data %[2]s --shadow --role teller load-test > shadow.token
  %[3]s demo --shadow --server %[1]s --token-file shadow.token
`, n.Address(), config.Shadow.Of, program(), scheme)
}

// shadowFlags are those of commands that talk to a live ledger and to its shadow.
type shadowFlags struct {
	ledgerFlags               // of the live ledger
	address, tokenPath string // of the shadow
}

func newShadow() *cobra.Command {
	var f shadowFlags
	c := &cobra.Command{
		Use: "shadow", Short: "Load tests beside live traffic: seed a ledger's shadow, and prove that nothing got out of it",
		Long: `A shadow is a ledger of its own (sterling up --shadow-of FOLDER) that takes calls only which
are marked as shadow traffic, by tokens made for that (sterling token create --shadow); the
live ledger refuses both. See docs/guides/shadow-load.md.`,
	}
	f.register(c)
	c.PersistentFlags().StringVar(&f.address, "shadow-server", "", "address of the shadow, host:port")
	c.PersistentFlags().StringVar(&f.tokenPath, "shadow-token-file", "", "file with a token for shadow traffic")
	c.AddCommand(newShadowSeed(&f), newShadowProve(&f))
	return c
}

// with runs a command's work over a connection to each.
func (f *shadowFlags) with(c *cobra.Command, work func(ctx context.Context, live, shadow *client.Client) error) error {
	if f.address == "" || f.tokenPath == "" {
		return usage("want --shadow-server and --shadow-token-file")
	}
	other := f.ledgerFlags
	other.server, other.tokenFile, other.shadow = f.address, f.tokenPath, true
	return f.ledgerFlags.with(c, func(ctx context.Context, s *session) (err error) {
		token, err := other.token()
		if err != nil {
			return err
		}
		conn, err := other.dial(token.token)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		return work(ctx, s.client, conn)
	})
}

func newShadowSeed(f *shadowFlags) *cobra.Command {
	return &cobra.Command{
		Use: "seed", Short: "Open the live ledger's accounts in its shadow, with their balances", Args: cobra.NoArgs,
		Long: `Reads the accounts of the live ledger (--server) and opens them in its shadow: the same ids,
assets, codes, limits, user data and addresses, and the balances that they have now. Metadata
stays behind, and so do reservations and closed accounts. It may be repeated.`,
		Example: `  sterling shadow seed --shadow-server 127.0.0.1:7700 --shadow-token-file shadow.token`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, live, other *client.Client) error {
				s, err := shadow.Seed(ctx, live, other)
				if err != nil {
					return err
				}
				if f.output == "json" {
					return json.NewEncoder(c.OutOrStdout()).Encode(s)
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%d accounts opened in the shadow, %d with a balance; %d were there before, %d are closed\n", s.Accounts, s.Balances, s.Existed, s.Closed)
				return err
			})
		},
	}
}

func newShadowProve(f *shadowFlags) *cobra.Command {
	return &cobra.Command{
		Use: "prove", Short: "Prove that nothing of a load test's shadow traffic is in the live ledger", Args: cobra.NoArgs,
		Long: `Reads the change feeds of the live ledger (--server) and of its shadow, each to its end, and
compares them: no transfer of the shadow may be in the live ledger, nor anything that was
asked for by a token which acts in the shadow. Then it asks the live ledger's watch: debits
equal credits, and there is no open break. It ends with 4 where one of that is not so. Both
may be at work meanwhile. It takes 16 bytes of memory a transfer of the shadow. A ledger of
several cells is proven cell by cell.`,
		Example: `  sterling shadow prove --shadow-server 127.0.0.1:7700 --shadow-token-file shadow.token`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, live, other *client.Client) error {
				r, err := shadow.Compare(ctx, live, other)
				if err != nil {
					return err
				}
				return printShadow(c.OutOrStdout(), r, f.output)
			})
		},
	}
}

func printShadow(w io.Writer, r *shadow.Report, output string) error {
	verdict := r.Proven()
	if verdict != nil {
		verdict = &exitError{exitUnproven, verdict}
	}
	if output == "json" {
		return errors.Join(json.NewEncoder(w).Encode(r), verdict)
	}
	for _, x := range []struct {
		name string
		side *shadow.Side
	}{{"shadow", &r.Shadow}, {"live", &r.Live}} {
		_, _ = fmt.Fprintf(w, "%-7s cell %d through block %d: accounts %d, transfers %d, tokens %d\n", x.name, x.side.Cell, x.side.Through, x.side.Accounts, x.side.Transfers, x.side.Actors)
	}
	for _, l := range r.First {
		_, _ = fmt.Fprintf(w, "  %v transfer %s by token %s: %s\n", l.Position, dash(l.Transfer), dash(l.Actor), l.Why)
	}
	for _, t := range r.Totals {
		_, _ = fmt.Fprintf(w, "%-7s debits %s, credits %s, pending %s and %s\n", t.Asset, decimal(t.Debits, t.Asset), decimal(t.Credits, t.Asset), decimal(t.PendingDebits, t.Asset), decimal(t.PendingCredits, t.Asset))
	}
	_, err := fmt.Fprintf(w, "watch   live recomputed through block %d, %d open breaks\n", r.Recomputed, r.OpenBreaks)
	if err == nil && verdict == nil {
		_, err = fmt.Fprintln(w, "proven: no transfer of the shadow is in the live ledger, nor anything its tokens asked for")
	}
	return errors.Join(err, verdict)
}
