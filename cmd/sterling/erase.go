package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newErase() *cobra.Command {
	var (
		f          ledgerFlags
		id, reason string
		yes        bool
	)
	c := &cobra.Command{
		Use: "erase SUBJECT", Short: "Destroy the key of a person's data: it can't be read again", Args: cobra.ExactArgs(1),
		Long: `Journals who erases whom and why, and destroys the key that the personal metadata
of the subject is encrypted with: on the server, and in the copies of the keys in
the backups that the server is configured with. The journal stays as it is, and
every balance. It can't be undone, and no personal metadata is taken for the
subject any more.

An erasure whose answer was lost is sent again, with the same id or another.`,
		Example: `  sterling erase customer-4711 --reason "request 2026-118"`,
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return usage("--reason: say why, in up to 64 bytes; it is kept for ever, so it must not tell who the person is")
			}
			if !yes {
				if err := confirm(c, args[0]); err != nil {
					return err
				}
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.erase(ctx, id, args[0], reason) })
		},
	}
	f.register(c)
	c.Flags().StringVar(&id, "id", "", "id of the erasure (default: a new one)")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	c.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return c
}

// confirm has a person type the subject's name again. Without a terminal nobody can.
func confirm(c *cobra.Command, subject string) error {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage("an erasure can't be undone: give --yes where nobody can be asked")
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "This destroys the personal data of %s for ever. Type the subject again: ", subject)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != subject {
		return usage("that is not %q: nothing was done", subject)
	}
	return nil
}

func (s *session) erase(ctx context.Context, id, subject, reason string) error {
	given, err := s.giveID(id)
	if err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.client.Erasure().Erase(ctx, &ledgerv1.EraseRequest{Id: given, Subject: subject, Reason: reason})
	if err != nil {
		return fmt.Errorf("erase %s: %w", subject, s.explain(err))
	}
	if s.flags.output == "json" {
		if err := s.printJSON(response); err != nil {
			return err
		}
	}
	if err := s.control(given, response.GetStatus()); err != nil {
		return err
	}
	var left []error
	for _, copied := range response.GetCopies() {
		if !copied.GetWritten() {
			left = append(left, fmt.Errorf("the backup %s still has the key: %s", copied.GetTarget(), copied.GetError()))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%w; mend that and erase again", errors.Join(left...))
	}
	return nil
}

func newSubject() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "subject SUBJECT", Short: "Tell whether a person's data can be read, or was erased", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Erasure().GetSubject(ctx, &ledgerv1.GetSubjectRequest{Subject: args[0]})
				if err != nil {
					return fmt.Errorf("subject %s: %w", args[0], s.explain(err))
				}
				row := []string{args[0], short(r.GetState().String()), stamp(r.GetSince()), r.GetActor(), r.GetErasureId()}
				return s.print(r, "SUBJECT STATE SINCE TOKEN ERASURE", [][]string{row})
			})
		},
	}
	f.register(c)
	return c
}

func newKeys() *cobra.Command {
	config := node.DefaultConfig()
	parent := &cobra.Command{Use: "keys", Short: "Look after the keys of personal metadata, offline"}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Give the keys a new master key, and destroy the old one", Args: cobra.NoArgs,
		Long: `Afterwards no older copy of the keys can be read, in whatever backup it is, unless
somebody kept the old master key. Back the keys up again, and put the new master
key where you keep it safe. Nothing may run on the folder meanwhile.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := node.RotateMasterKey(c.Context(), config); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "the keys have a new master key")
			return err
		},
	}
	rotate.Flags().StringVar(&config.Data, "data", config.Data, "data folder")
	rotate.Flags().StringVar(&config.MasterKey, "master-key", "", "file of the master key (default: keys/master.key in the data folder)")
	parent.AddCommand(rotate)
	return parent
}
