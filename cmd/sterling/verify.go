package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/node"
)

func newVerify() *cobra.Command {
	var (
		data   string
		number uint32
		output string
	)
	c := &cobra.Command{
		Use: "verify", Short: "Prove a data folder right, offline", Args: cobra.NoArgs,
		Long: `Reads the whole journal and checks all that can be known from it: every checksum,
the chain of hashes, every outcome (by validating each request again), and every
balance (against a second count, which reads the same bytes and shares no code
with the ledger). Where the two differ it names the accounts. Nothing may run on
the folder meanwhile.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usage("--output: want text or json, not %q", output)
			}
			v, err := node.Verify(c.Context(), data, number, recoveryBar(c.ErrOrStderr()))
			if err != nil {
				return fmt.Errorf("NOT PROVEN: %w", err)
			}
			return printVerification(c.OutOrStdout(), v, output)
		},
	}
	c.Flags().StringVar(&data, "data", node.DefaultConfig().Data, "data folder")
	c.Flags().Uint32Var(&number, "cell", node.DefaultConfig().Cell, "number of the cell")
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

func printVerification(w io.Writer, v cell.Verification, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(v)
	}
	_, err := fmt.Fprintf(w, "proven: %d blocks, %d events, %d accounts, %d transfers (%d pending), head %v\n",
		v.Blocks, v.Events, v.Accounts, v.Transfers, v.Pending, v.Head)
	for _, a := range v.Assets {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %-12s %d accounts, debits = credits = %v posted, %v pending\n", a.Asset, a.Accounts,
				decimal(a.Posted.String(), a.Asset), decimal(a.Pending.String(), a.Asset))
		}
	}
	return err
}
