package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/node"
)

func newToken() *cobra.Command {
	var data string
	parent := &cobra.Command{
		Use: "token", Short: "Make, list, rotate and revoke the tokens of a data folder",
		Long: `Works on the folder itself, so it needs access to it and no token. A running server
notices within a second. Only "propose" talks to a running server: it makes a token that
another person has to approve.`,
	}
	parent.PersistentFlags().StringVar(&data, "data", node.DefaultConfig().Data, "data folder")
	parent.AddCommand(newTokenCreate(&data), newTokenList(&data), newTokenRotate(&data), newTokenRevoke(&data), newTokenBlock(&data), newTokenPropose())
	return parent
}

func newTokenCreate(data *string) *cobra.Command {
	var (
		role string
		life time.Duration
		spec auth.Spec
	)
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, this once", Args: cobra.ExactArgs(1),
		Long: `Roles: reader (look things up), teller (and create accounts and transfers), operator
(and freeze, unfreeze, limits, clock), auditor (read everything, verify), admin.

A scope narrows what the token sees and moves: --asset and --address-prefix, each as
often as needed. Accounts outside are to it as if they were not there. Controls need
a token without a scope.`,
		Example: `  sterling token create --role teller till-7
  sterling token create --role teller --asset CNY/2 --expires-in 720h shop
  sterling token create --role reader --calls-per-second 50 dashboard`,
		RunE: func(c *cobra.Command, args []string) error {
			r, err := auth.ParseRole(role)
			if err != nil {
				return usage("--role: %w", err)
			}
			now := time.Now()
			spec.Name, spec.Role = args[0], r
			if life != 0 {
				spec.Expires = now.Add(life)
			}
			token, _, err := auth.CreateToken(*data, spec, now, rand.Reader)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), token)
			return err
		},
	}
	c.Flags().StringVar(&role, "role", "reader", "reader, teller, operator, auditor or admin")
	c.Flags().DurationVar(&life, "expires-in", 0, "how long it is valid (0: until revoked)")
	c.Flags().StringArrayVar(&spec.Assets, "asset", nil, "see and move this asset only, CODE/SCALE; may be repeated")
	c.Flags().StringArrayVar(&spec.AddressPrefixes, "address-prefix", nil, "see and move accounts below this address only; may be repeated")
	c.Flags().BoolVar(&spec.Shadow, "shadow", false, "for the shadow traffic of load tests, and for nothing else: see docs/guides/shadow-load.md")
	c.Flags().Float64Var(&spec.CallsPerSecond, "calls-per-second", 0, "refuse calls beyond this rate (0: no limit)")
	c.Flags().Float64Var(&spec.EventsPerSecond, "events-per-second", 0, "refuse accounts, transfers and ids beyond this rate (0: no limit)")
	return c
}

func newTokenRotate(data *string) *cobra.Command {
	var grace time.Duration
	c := &cobra.Command{
		Use: "rotate ID", Short: "Give a token a new secret and print it, this once", Args: cobra.ExactArgs(1),
		Long: `Id, name, role, scope and expiry stay. The old secret works until the grace has passed,
so that its users can be changed over; a secret from before an earlier rotation ends
at once. If a token may have been stolen, use --grace 0 or revoke it.`,
		RunE: func(c *cobra.Command, args []string) error {
			token, entry, err := auth.Rotate(*data, args[0], grace, time.Now(), rand.Reader)
			if err != nil {
				return err
			}
			if b, err := os.ReadFile(filepath.Join(*data, auth.AdminFile)); err == nil && strings.Contains(string(b), entry.ID) {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "%s holds the old secret of this token: put the new one there\n", filepath.Join(*data, auth.AdminFile))
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), token)
			return err
		},
	}
	c.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old secret goes on (0: not at all; at most 720h)")
	return c
}

func newTokenList(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := auth.List(*data)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "ID\tNAME\tROLE\tSCOPE AND LIMITS\tCREATED\tSTATE")
			for _, t := range list {
				state := "valid"
				switch {
				case !t.Revoked.IsZero():
					state = "revoked " + t.Revoked.Format(time.RFC3339)
				case !t.Expires.IsZero():
					state = "until " + t.Expires.Format(time.RFC3339)
				}
				if t.Revoked.IsZero() && time.Now().Before(t.PreviousUntil) {
					state += ", its old secret until " + t.PreviousUntil.Format(time.RFC3339)
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, narrowed(&t), t.Created.Format(time.RFC3339), state)
			}
			return w.Flush()
		},
	}
}

// narrowed is what a token may not, in a few words.
func narrowed(t *auth.Token) string {
	parts := append(slices.Clone(t.Assets), t.AddressPrefixes...)
	if t.Shadow {
		parts = append(parts, "shadow only")
	}
	if t.CallsPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%v calls/s", t.CallsPerSecond))
	}
	if t.EventsPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%v events/s", t.EventsPerSecond))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func newTokenRevoke(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a token invalid, from now on", Args: cobra.ExactArgs(1),
		Long: `For tokens of the data folder. One that two people gave its rights with "sterling token
propose" is revoked with "sterling books revoke".`,
		RunE: func(_ *cobra.Command, args []string) error { return auth.Revoke(*data, args[0], time.Now()) },
	}
}

func newTokenBlock(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "block ACTOR NAME", Short: "Refuse someone who needs no token of this folder", Args: cobra.ExactArgs(2),
		Long: `For tokens of an issuer and for client certificates: ACTOR is the actor id that the
access log has of them, NAME is for whoever reads the list. It can't be undone: give
the person another subject or certificate.`,
		RunE: func(_ *cobra.Command, args []string) error { return auth.Block(*data, args[0], args[1], time.Now()) },
	}
}
