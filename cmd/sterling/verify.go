package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/node"
)

func newVerify() *cobra.Command {
	var (
		data   string
		number uint32
		output string
		store  node.Store
	)
	c := &cobra.Command{
		Use: "verify", Short: "Prove a journal right", Args: cobra.NoArgs,
		Long: `Reads the whole journal and checks all that can be known from it: every checksum,
the chain of hashes, every outcome (by validating each request again), and every
balance (against a second count, which reads the same bytes and shares no code
with the ledger). Where the two differ it names the accounts. Nothing may run on
a data folder meanwhile. A journal in a database (--store) is read as far as it
goes at the start, and its nodes may go on.`,
		Example: `  sterling verify --data sterling-data
  sterling verify --store file:/etc/sterling/dsn --cell 2`,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usage("--output: want text or json, not %q", output)
			}
			bar := recoveryBar(c.ErrOrStderr())
			var v cell.Verification
			var err error
			if c.Flags().Changed("store") {
				v, err = node.VerifyStore(c.Context(), store, number, slog.New(slog.DiscardHandler), bar)
			} else {
				v, err = node.Verify(c.Context(), data, number, bar)
			}
			if err != nil {
				return fmt.Errorf("NOT PROVEN: %w", err)
			}
			return printVerification(c.OutOrStdout(), v, output)
		},
	}
	c.Flags().StringVar(&data, "data", node.DefaultConfig().Data, "data folder")
	c.Flags().Var(storeFlag{&store}, "store", "database that has the journal, instead of a data folder: postgres://… or mysql://…, or file:PATH of a file with that")
	c.MarkFlagsMutuallyExclusive("data", "store")
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

// storeFlag is the database of a journal, named or in a file.
type storeFlag struct{ store *node.Store }

func (f storeFlag) String() string { return "" }
func (f storeFlag) Type() string   { return "DSN" }

func (f storeFlag) Set(text string) error {
	if path, isFile := strings.CutPrefix(text, "file:"); isFile {
		f.store.DSN, f.store.DSNFile = "", path
	} else {
		f.store.DSN, f.store.DSNFile = text, ""
	}
	return nil
}
