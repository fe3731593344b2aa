package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const placeHelp = "folder, or s3://BUCKET/PREFIX[?endpoint=https://HOST&region=NAME&credentials=FILE]"

func newBackup() *cobra.Command {
	var (
		f             ledgerFlags
		to            string
		full, offline bool
		number        uint32
	)
	c := &cobra.Command{
		Use: "backup", Short: "Back up the journal, while the server runs or not", Args: cobra.NoArgs,
		Long: `Asks the server to copy what a backup target does not have yet: everything the
first time, then the blocks since. Targets are named in the server's configuration
(backup.targets), so that nobody with a token can send the books elsewhere.

With --offline it copies the data folder by itself, to any folder or S3-compatible
store; no server may run on the folder. Keys of S3 come from AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, or from a credentials file.

A backup that is cut short counts for nothing, and the next one uses what is there.`,
		Example: `  sterling backup --to nightly
  sterling backup --offline --data sterling-data --to /var/backups/sterling
  sterling backup list --from /var/backups/sterling`,
		RunE: func(c *cobra.Command, _ []string) error {
			if to == "" {
				return usage("a backup needs --to: the name of a target, or with --offline a folder or s3://…")
			}
			if offline {
				return backupOffline(c, &f, number, to, full)
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				o, err := s.follow(ctx, "blocks", func(ctx context.Context) (*ledgerv1.Operation, error) {
					r, err := s.client.Operations().Backup(ctx, &ledgerv1.BackupRequest{Target: to, Full: full})
					return r.GetOperation(), err
				})
				if err != nil {
					return err
				}
				return s.printOperation(o)
			})
		},
	}
	c.Flags().AddFlagSet(f.serverFlags())
	c.Flags().StringVar(&to, "to", "", "name of a target; with --offline: "+placeHelp)
	c.Flags().BoolVar(&full, "full", false, "begin with the first block, whatever is there")
	c.Flags().BoolVar(&offline, "offline", false, "copy the folder of --data, on which nothing runs")
	c.Flags().Uint32Var(&number, "cell", node.DefaultConfig().Cell, "number of the cell; with --offline")
	c.AddCommand(newBackupList(), newBackupCheck())
	return c
}

func backupOffline(c *cobra.Command, f *ledgerFlags, number uint32, to string, full bool) error {
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	config := node.DefaultConfig()
	config.Data, config.Cell = f.data, number
	r, err := node.BackUp(c.Context(), config, to, full, workBar(c.ErrOrStderr(), "backup", "blocks"))
	if err != nil {
		return err
	}
	s := &session{flags: f, c: c}
	return s.printOperation(&ledgerv1.Operation{
		Kind: "backup", Target: to, State: ledgerv1.OperationState_OPERATION_STATE_DONE, Result: &ledgerv1.Operation_Backup{Backup: backupMessage(r)},
	})
}

func backupMessage(r *backup.Result) *ledgerv1.BackupDone {
	m := r.Manifest
	done := &ledgerv1.BackupDone{
		Id: m.ID, New: r.New, Kind: string(m.Kind), FirstSeq: m.FirstSeq, LastSeq: m.LastSeq,
		Bytes: uint64(r.Bytes), Objects: uint64(r.Objects + r.Reused), //nolint:gosec // ≥ 0
	}
	for _, err := range r.Skipped {
		done.Skipped = append(done.Skipped, err.Error())
	}
	return done
}

// placeFlags name a repository and a cell in it.
type placeFlags struct {
	from, output string
	cell         uint32
}

func (f *placeFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.from, "from", "", placeHelp)
	c.Flags().Uint32Var(&f.cell, "cell", node.DefaultConfig().Cell, "number of the cell")
	c.Flags().StringVar(&f.output, "output", "text", "text or json")
}

func (f *placeFlags) check() error {
	if f.from == "" {
		return usage("--from is required: %s", placeHelp)
	}
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	return nil
}

// targetFlags say which backup, and how far.
type targetFlags struct {
	manifest, time string
	seq            uint64
}

func (f *targetFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.manifest, "manifest", "", "id of a backup (default: the one that reaches furthest)")
	c.Flags().Uint64Var(&f.seq, "to-seq", 0, "stop after this block")
	c.Flags().StringVar(&f.time, "to-time", "", "stop after the last block that began at this time or before: 2026-01-31T12:00:00Z")
}

func (f *targetFlags) target() (backup.Target, error) {
	t := backup.Target{Manifest: f.manifest, Seq: f.seq}
	ns, err := parseTime(f.time)
	if err != nil {
		return t, usage("--to-time: %w", err)
	}
	if ns > 0 {
		t.Time = time.Unix(0, int64(ns)).UTC() //nolint:gosec // until 2262
	}
	return t, nil
}

func newBackupList() *cobra.Command {
	var f placeFlags
	c := &cobra.Command{
		Use: "list", Short: "List the backups of a repository", Args: cobra.NoArgs,
		Long: `Looks at the manifests only: whether a backup's objects are whole shows "backup check".`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			r, err := node.OpenRepository(f.from)
			if err != nil {
				return err
			}
			list, err := backup.List(c.Context(), r, uint64(f.cell))
			if err != nil {
				return err
			}
			return printBackups(c, list, f.output)
		},
	}
	f.register(c)
	return c
}

// listedBackup is a line of `backup list --output json`.
type listedBackup struct {
	ID       string           `json:"id"`
	Manifest *backup.Manifest `json:"manifest"`
	Fault    string           `json:"fault,omitempty"`
}

func printBackups(c *cobra.Command, list []backup.Backup, output string) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	if output == "text" {
		_, _ = fmt.Fprintln(w, "ID\tKIND\tBLOCKS\tTAKEN\tLAST BLOCK MADE\tSTATE")
	}
	for _, b := range list {
		line, state := listedBackup{ID: b.ID, Manifest: b.Manifest}, "good"
		if b.Fault != nil {
			line.Fault, state = b.Fault.Error(), b.Fault.Error()
		}
		if output == "json" {
			if err := json.NewEncoder(c.OutOrStdout()).Encode(line); err != nil {
				return err
			}
			continue
		}
		kind, blocks, taken, last := "?", "?", "?", "?"
		if m := b.Manifest; m != nil {
			kind, blocks = string(m.Kind), fmt.Sprintf("%d-%d", m.FirstSeq, m.LastSeq)
			taken, last = m.Time.Format(time.RFC3339), stamp(m.LastTime)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, kind, blocks, taken, last, state)
	}
	return w.Flush()
}

func newBackupCheck() *cobra.Command {
	var (
		f placeFlags
		t targetFlags
	)
	c := &cobra.Command{
		Use: "check", Short: "Read a whole backup and check it, without restoring it", Args: cobra.NoArgs,
		Long: `Reads every object, and checks its hash and the chain of every block in it. Whether
the books add up is what "restore" verifies.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			target, err := t.target()
			if err != nil {
				return err
			}
			r, err := node.OpenRepository(f.from)
			if err != nil {
				return err
			}
			out, err := backup.Restore(c.Context(), r, uint64(f.cell), target, backup.Discard{}, workBar(c.ErrOrStderr(), "checking", "blocks"))
			if err != nil {
				return err
			}
			return printRestored(c.OutOrStdout(), "whole", node.RestoreResult{Restored: out}, f.output)
		},
	}
	f.register(c)
	t.register(c)
	return c
}
