package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/node"
)

func newRestore() *cobra.Command {
	var (
		f        placeFlags
		t        targetFlags
		data     string
		noVerify bool
	)
	c := &cobra.Command{
		Use: "restore", Short: "Make a data folder of a backup, up to any block or time", Args: cobra.NoArgs,
		Long: `Makes a new data folder; one that has anything in it is refused. Every object and
every block is checked on the way, then the whole folder as "sterling verify" does.
Until all is well the work is in a folder beside it, FOLDER.restoring: a restore that
is cut short leaves no data folder.

Tokens are not in a backup: the first start on the new folder makes an admin token.`,
		Example: `  sterling restore --from /var/backups/sterling --data restored
  sterling restore --from /var/backups/sterling --data restored --to-time 2026-01-31T12:00:00Z`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if data == "" {
				return usage("--data is required: the folder to be made")
			}
			target, err := t.target()
			if err != nil {
				return err
			}
			bars := map[node.RestoreStep]func(done, total uint64){}
			result, err := node.Restore(c.Context(), node.RestoreOptions{
				From: f.from, Data: data, Cell: f.cell, Target: target, NoVerify: noVerify,
				Progress: func(step node.RestoreStep, done, total uint64) {
					bar, ok := bars[step]
					if !ok {
						bar = workBar(c.ErrOrStderr(), string(step), "blocks")
						bars[step] = bar
					}
					if bar != nil {
						bar(done, total)
					}
				},
			})
			if errors.Is(err, node.ErrNotEmpty) {
				return usage("%w; nothing was touched", err)
			}
			if err != nil {
				return err
			}
			return printRestored(c.OutOrStdout(), "restored", result, f.output)
		},
	}
	f.register(c)
	t.register(c)
	c.Flags().StringVar(&data, "data", "", "folder to be made; it must not exist, or be empty")
	c.Flags().BoolVar(&noVerify, "no-verify", false, "leave out the verification at the end (\"sterling verify\" does it later)")
	return c
}

// restoredJSON is what restore and backup check print with --output json.
type restoredJSON struct {
	Backup       string             `json:"backup"`
	Backups      int                `json:"backups"`
	Seq          uint64             `json:"seq"`
	Hash         string             `json:"hash"`
	Time         time.Time          `json:"time"`
	Verification *cell.Verification `json:"verification,omitempty"`
}

func printRestored(w io.Writer, what string, r node.RestoreResult, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(restoredJSON{
			Backup: r.Manifest.ID, Backups: r.Backups, Seq: r.Seq, Hash: fmt.Sprintf("%x", r.Hash[:]), Time: r.Time, Verification: r.Verification,
		})
	}
	_, err := fmt.Fprintf(w, "%s: blocks 1 to %d, the last one made at %s, from backup %s and %d before it\n",
		what, r.Seq, r.Time.Format(time.RFC3339Nano), r.Manifest.ID, r.Backups-1)
	if err == nil && r.Verification != nil {
		err = printVerification(w, *r.Verification, output)
	}
	return err
}
