package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// pollEvery is how often a command asks how far its operation is.
const pollEvery = 200 * time.Millisecond

// serverFlags returns the flags of a command that talks to a server, for a command that has others beside.
func (f *ledgerFlags) serverFlags() *pflag.FlagSet {
	var c cobra.Command
	f.register(&c)
	return c.PersistentFlags()
}

// follow starts an operation and waits for its end. An interrupt cancels it: that leaves nothing half done.
func (s *session) follow(ctx context.Context, unit string, start func(ctx context.Context) (*ledgerv1.Operation, error)) (*ledgerv1.Operation, error) {
	call, cancel := s.call(ctx)
	o, err := start(call)
	cancel()
	if err != nil {
		return nil, err
	}
	bar := workBar(s.c.ErrOrStderr(), o.GetKind(), unit)
	for o.GetState() == ledgerv1.OperationState_OPERATION_STATE_RUNNING {
		if err := clock.Sleep(ctx, clock.NewSystem(), pollEvery); err != nil {
			return nil, s.cancel(o, err)
		}
		if o, err = s.poll(ctx, o.GetId()); err != nil {
			return nil, err
		}
		if bar != nil {
			bar(o.GetDone(), o.GetTotal())
		}
	}
	if o.GetState() != ledgerv1.OperationState_OPERATION_STATE_DONE {
		return o, fmt.Errorf("%s to %s: %s", o.GetKind(), o.GetTarget(), o.GetError())
	}
	return o, nil
}

func (s *session) poll(ctx context.Context, id string) (*ledgerv1.Operation, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	r, err := s.client.Operations().GetOperation(ctx, &ledgerv1.GetOperationRequest{Id: id})
	return r.GetOperation(), err
}

// cancel ends an operation whose caller was interrupted.
func (s *session) cancel(o *ledgerv1.Operation, cause error) error {
	ctx, cancel := s.call(context.Background())
	defer cancel()
	if _, err := s.client.Operations().CancelOperation(ctx, &ledgerv1.CancelOperationRequest{Id: o.GetId()}); err != nil {
		return errors.Join(fmt.Errorf("interrupted, but %s %s may go on", o.GetKind(), o.GetId()), err)
	}
	return fmt.Errorf("the %s was canceled: %w", o.GetKind(), cause)
}

// printOperation prints what an operation did.
func (s *session) printOperation(o *ledgerv1.Operation) error {
	if s.flags.output == "json" {
		return s.printJSON(o)
	}
	w := s.c.OutOrStdout()
	if b := o.GetBackup(); b != nil {
		return printBackup(w, b)
	}
	return printArchive(w, o.GetArchive())
}

func printBackup(w io.Writer, b *ledgerv1.BackupDone) error {
	for _, text := range b.GetSkipped() {
		if _, err := fmt.Fprintf(w, "not built upon: %s\n", text); err != nil {
			return err
		}
	}
	if !b.GetNew() {
		_, err := fmt.Fprintf(w, "nothing new since backup %s, which ends with block %d\n", b.GetId(), b.GetLastSeq())
		return err
	}
	_, err := fmt.Fprintf(w, "backup %s: %s, blocks %d to %d, %d bytes in %d objects\n",
		b.GetId(), b.GetKind(), b.GetFirstSeq(), b.GetLastSeq(), b.GetBytes(), b.GetObjects())
	return err
}

func printArchive(w io.Writer, a *ledgerv1.ArchiveDone) error {
	_, err := fmt.Fprintf(w, "archived %d segments, %d bytes; blocks 1 to %d are in the archive\n", a.GetSegments(), a.GetBytes(), a.GetThroughSeq())
	if err == nil && a.GetBound() != "" {
		_, err = fmt.Fprintf(w, "not more, because %s\n", a.GetBound())
	}
	return err
}
