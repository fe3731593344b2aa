package main

import (
	"crypto/rand"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/node"
)

func newToken() *cobra.Command {
	var data string
	parent := &cobra.Command{
		Use: "token", Short: "Make, list and revoke the tokens of a data folder",
		Long: `Works on the folder itself, so it needs access to it and no token. A running server
notices within a second.`,
	}
	parent.PersistentFlags().StringVar(&data, "data", node.DefaultConfig().Data, "data folder")
	parent.AddCommand(newTokenCreate(&data), newTokenList(&data), newTokenRevoke(&data))
	return parent
}

func newTokenCreate(data *string) *cobra.Command {
	var (
		role string
		life time.Duration
	)
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, this once", Args: cobra.ExactArgs(1),
		Long: `Roles: reader (look things up), teller (and create accounts and transfers), operator
(and freeze, unfreeze, limits, clock), auditor (read everything, verify), admin.`,
		RunE: func(c *cobra.Command, args []string) error {
			r, err := auth.ParseRole(role)
			if err != nil {
				return usage("--role: %w", err)
			}
			now, expires := time.Now(), time.Time{}
			if life != 0 {
				expires = now.Add(life)
			}
			token, _, err := auth.Create(*data, args[0], r, now, expires, rand.Reader)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), token)
			return err
		},
	}
	c.Flags().StringVar(&role, "role", "reader", "reader, teller, operator, auditor or admin")
	c.Flags().DurationVar(&life, "expires-in", 0, "how long it is valid (0: until revoked)")
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
			_, _ = fmt.Fprintln(w, "ID\tNAME\tROLE\tCREATED\tSTATE")
			for _, t := range list {
				state := "valid"
				switch {
				case !t.Revoked.IsZero():
					state = "revoked " + t.Revoked.Format(time.RFC3339)
				case !t.Expires.IsZero():
					state = "until " + t.Expires.Format(time.RFC3339)
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\n", t.ID, t.Name, t.Role, t.Created.Format(time.RFC3339), state)
			}
			return w.Flush()
		},
	}
}

func newTokenRevoke(data *string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a token invalid, from now on", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return auth.Revoke(*data, args[0], time.Now()) },
	}
}
