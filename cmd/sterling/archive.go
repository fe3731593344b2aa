package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newArchive() *cobra.Command {
	var (
		f          ledgerFlags
		before, to string
		offline    bool
		number     uint32
	)
	c := &cobra.Command{
		Use: "archive", Short: "Move old files of the journal to another disk, where they are read as before", Args: cobra.NoArgs,
		Long: `Asks the server to move old segments of the journal to the archive folder of its
configuration (archive.dir). Each is copied, read back, recorded and only then removed.
The ledger goes on reading them there, so the folder has to stay reachable.

A segment goes when all of its blocks are old enough and the index and a snapshot have
passed them. The newest segment always stays.

With --offline it works on the data folder by itself; no server may run on it.`,
		Example: `  sterling archive --before 720h
  sterling archive --before 1000000        # a block
  sterling archive --offline --data sterling-data --before 720h --to /mnt/large/sterling`,
		RunE: func(c *cobra.Command, _ []string) error {
			seq, age, err := parseBefore(before)
			if err != nil {
				return err
			}
			if offline {
				return archiveOffline(c, &f, number, to, seq, age)
			}
			if to != "" {
				return usage("--to: a server archives to the folder of its configuration (archive.dir)")
			}
			request := &ledgerv1.ArchiveRequest{Before: &ledgerv1.ArchiveRequest_BeforeSeq{BeforeSeq: seq}}
			if seq == 0 {
				request.Before = &ledgerv1.ArchiveRequest_BeforeAge{BeforeAge: uint64(age / time.Second)} //nolint:gosec // ≥ 0
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				o, err := s.follow(ctx, "segments", func(ctx context.Context) (*ledgerv1.Operation, error) {
					r, err := s.client.Operations().Archive(ctx, request)
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
	c.Flags().StringVar(&before, "before", "", "only what is older than a duration (720h), or comes before a block (1000000)")
	c.Flags().StringVar(&to, "to", "", "archive folder; with --offline")
	c.Flags().BoolVar(&offline, "offline", false, "work on the folder of --data, on which nothing runs")
	c.Flags().Uint32Var(&number, "cell", node.DefaultConfig().Cell, "number of the cell; with --offline")
	return c
}

// parseBefore reads a block or an age; exactly one of them is not zero, or the age is meant to be zero.
func parseBefore(text string) (seq uint64, age time.Duration, err error) {
	if text == "" {
		return 0, 0, usage("--before is required: a duration such as 720h, or a block")
	}
	if seq, err := strconv.ParseUint(text, 10, 48); err == nil && seq > 0 {
		return seq, 0, nil
	}
	if age, err = time.ParseDuration(text); err != nil || age < 0 {
		return 0, 0, usage("--before: want a duration such as 720h or a block, not %q", text)
	}
	return 0, age, nil
}

func archiveOffline(c *cobra.Command, f *ledgerFlags, number uint32, to string, seq uint64, age time.Duration) error {
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	if to == "" {
		return usage("--offline needs --to FOLDER")
	}
	config := node.DefaultConfig()
	config.Data, config.Cell, config.Archive.Dir = f.data, number, to
	bounds := node.ArchiveBounds{Seq: seq}
	if seq == 0 {
		bounds.Time = uint64(max(1, time.Now().Add(-age).UnixNano()))
	}
	r, err := node.MoveOld(c.Context(), config, bounds, workBar(c.ErrOrStderr(), "archive", "segments"))
	if err != nil {
		return err
	}
	s := &session{flags: f, c: c}
	return s.printOperation(&ledgerv1.Operation{
		Kind: "archive", Target: to, State: ledgerv1.OperationState_OPERATION_STATE_DONE,
		Result: &ledgerv1.Operation_Archive{Archive: &ledgerv1.ArchiveDone{
			Segments: uint64(r.Segments), Bytes: uint64(r.Bytes), ThroughSeq: r.Through, Bound: r.Bound, //nolint:gosec // ≥ 0
		}},
	})
}
