package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newBooks() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "books", Short: "Close days, sign trial balances, and decide with two people",
		Long: `Keeps the books of a running ledger. A day that is closed gets a signed trial balance, and
nothing is booked into it any more but by a proposal that another person approves.
Everything is journaled with who and why.`,
		Example: `  sterling books close 2026-01-31 --reason "end of day"
  sterling books show 2026-01-31 --out 2026-01-31.statement
  sterling books verify 2026-01-31.statement --key KEY
  sterling books propose transfer --from 1 --to 2 --amount "5 CNY" --code 1 --booking-date 2026-01-31 --reason "late invoice"
  sterling books approve PROPOSAL-ID --reason "seen the invoice"`,
	}
	f.register(c)
	c.AddCommand(
		newClose(&f), newCloses(&f), newShowClose(&f), newVerifyStatement(&f), newBooksKey(&f), newTrialBalance(&f), newPolicy(&f),
		newPropose(&f), newProposals(&f), newDecide(&f, ledgerv1.Verdict_VERDICT_APPROVE), newDecide(&f, ledgerv1.Verdict_VERDICT_REJECT),
		newPrincipals(&f), newRevokePrincipal(&f),
	)
	return c
}

func newClose(f *ledgerFlags) *cobra.Command {
	var id, reason string
	c := &cobra.Command{
		Use: "close DATE", Short: "Close the books of a day and of all days before it", Args: cobra.ExactArgs(1),
		Long: `Closes a day that is over in the ledger's zone, and journals the trial balance. Afterwards
nothing is booked into it but by a proposal that another person approves.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkDay("date", args[0]); err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				given, err := s.giveID(id)
				if err != nil {
					return err
				}
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Books().CloseDay(ctx, &ledgerv1.CloseDayRequest{Id: given, Date: args[0], Reason: reason})
				if err != nil {
					return fmt.Errorf("close %s: %w", given, s.explain(err))
				}
				if s.flags.output == "json" {
					if err := s.printJSON(r); err != nil {
						return err
					}
				}
				return s.control(given, r.GetStatus())
			})
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of the close (default: a new one)")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 64 bytes")
	return c
}

func checkDay(what, day string) error {
	if _, err := journal.ParseDate(day); err != nil {
		return usage("%s: %w", what, err)
	}
	return nil
}

func newCloses(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "closes", Short: "List what was closed and opened again, by whom and why", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Books().ListCloses(ctx, &ledgerv1.ListClosesRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, x := range r.GetCloses() {
					what := "closed"
					if x.GetReopened() {
						what = "reopened"
					}
					rows = append(rows, []string{x.GetId(), x.GetDate(), what, stamp(x.GetTimestamp()), x.GetActor(), plain(x.GetReason())})
				}
				if s.flags.output != "json" {
					s.printf("closed through %s\n", dash(r.GetClosedThrough()))
				}
				return s.print(r, "ID DATE WHAT TIME TOKEN REASON", rows)
			})
		},
	}
}

func newShowClose(f *ledgerFlags) *cobra.Command {
	var out, keyText string
	c := &cobra.Command{
		Use: "show ID|DATE", Short: "Show a close with its signed trial balance, or save that", Args: cobra.ExactArgs(1),
		Long: `Shows the trial balance of a close, by its id or its date (the last close of that date),
after checking its signature and its sums. With --key, the signature has to be by that
key; "sterling books key" prints it. --out saves what was signed with the signature,
for "sterling books verify".`,
		RunE: func(c *cobra.Command, args []string) error {
			key, err := readKey(keyText)
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.showClose(ctx, args[0], out, key) })
		},
	}
	c.Flags().StringVar(&out, "out", "", "save statement and signature in this file, which must not be there")
	c.Flags().StringVar(&keyText, "key", "", keyHelp)
	return c
}

const keyHelp = "public key that must have signed: 64 hexadecimal digits, or a file with them"

// readKey reads a public key or the file that holds one; "" is none.
func readKey(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	digits := text
	if len(text) != hex.EncodedLen(ed25519.PublicKeySize) {
		b, err := os.ReadFile(text)
		if err != nil {
			return nil, usage("--key: want 64 hexadecimal digits or a file: %w", err)
		}
		digits = strings.TrimSpace(string(b))
	}
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, usage("--key %.80q: want 64 hexadecimal digits, or a file with them", text)
	}
	return key, nil
}

// closeID finds a close by its date, if it is one.
func (s *session) closeID(ctx context.Context, name string) (string, error) {
	if _, err := journal.ParseDate(name); err != nil {
		return parseID("id", name)
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	list, err := s.client.Books().ListCloses(ctx, &ledgerv1.ListClosesRequest{})
	if err != nil {
		return "", err
	}
	id := ""
	for _, x := range list.GetCloses() {
		if x.GetDate() == name && !x.GetReopened() {
			id = x.GetId()
		}
	}
	if id == "" {
		return "", fmt.Errorf("no close is of %s: sterling books closes lists them", name)
	}
	return id, nil
}

// getClose fetches a close and proves its statement. key is the one that must have signed, nil for that of the answer.
func (s *session) getClose(ctx context.Context, id string, key ed25519.PublicKey) (*ledgerv1.GetCloseResponse, *statement, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	r, err := s.client.Books().GetClose(ctx, &ledgerv1.GetCloseRequest{Id: id})
	if err != nil {
		return nil, nil, err
	}
	if key == nil {
		key = r.GetPublicKey()
	}
	st, err := proveStatement(r.GetStatement(), r.GetSignature(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("close %s: %w", id, err)
	}
	shown := *st
	shown.rows = r.GetRows()
	if !bytes.Equal(shown.bytes(), r.GetStatement()) || st.close != id {
		return nil, nil, fmt.Errorf("close %s: %w: the answer shows something else than what is signed", id, errStatement)
	}
	return r, st, nil
}

func (s *session) showClose(ctx context.Context, name, out string, key ed25519.PublicKey) error {
	id, err := s.closeID(ctx, name)
	if err != nil {
		return err
	}
	r, st, err := s.getClose(ctx, id, key)
	if err != nil {
		return err
	}
	if out != "" {
		if err := writeNew(out, saveStatement(r.GetStatement(), r.GetSignature(), r.GetPublicKey())); err != nil {
			return err
		}
		s.note("saved in %s", out)
	}
	if s.flags.output != "json" {
		s.printStatementHead(st, r.GetPublicKey())
	}
	return s.print(r, trialHead, trialRows(st.rows))
}

// writeNew writes a file that is not there yet.
func writeNew(path string, data []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a statement is no secret
	if errors.Is(err, fs.ErrExist) {
		return usage("%s is there already: choose another name", path)
	}
	if err != nil {
		return usage("%w", err)
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

func (s *session) printStatementHead(st *statement, key []byte) {
	s.printf("close      %s\nthrough    %s\ntime       %s\ntoken      %s\nblock      %d of cell %d, hash %s\nsignature  good, by key %x\n\n",
		st.close, st.through, stamp(st.timestamp), st.actor, st.block, st.cell, st.hash, key)
}

func newVerifyStatement(f *ledgerFlags) *cobra.Command {
	var keyText string
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a saved statement, without a server", Args: cobra.ExactArgs(1),
		Long: `Checks that a statement saved by "sterling books show --out" is as it was signed, and that
its sums agree. Give the key that you keep with --key: without it the file only proves
that it fits the key that it names itself.`,
		RunE: func(c *cobra.Command, args []string) error {
			if f.output != "text" && f.output != "json" {
				return usage("--output: want text or json, not %q", f.output)
			}
			trusted, err := readKey(keyText)
			if err != nil {
				return err
			}
			data, err := readInput(c, args[0])
			if err != nil {
				return err
			}
			text, signature, key, err := splitStatement(data)
			if err == nil && trusted != nil && !trusted.Equal(key) {
				err = fmt.Errorf("%w: it is signed by key %x, not by the one you gave", errStatement, key)
			}
			var st *statement
			if err == nil {
				st, err = proveStatement(text, signature, key)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			s := &session{flags: f, c: c}
			if trusted == nil {
				s.note("compare the key with the one you keep, or give that with --key: this file names its key itself")
			}
			if f.output == "json" {
				return s.printJSON(&ledgerv1.GetCloseResponse{
					Close: &ledgerv1.DayClose{
						Id: st.close, Date: st.through, Actor: st.actor, Timestamp: st.timestamp, Position: &ledgerv1.Position{Cell: st.cell, Seq: st.block},
					},
					Rows: st.rows, Statement: text, Signature: signature, PublicKey: key,
				})
			}
			s.printStatementHead(st, key)
			return s.print(nil, trialHead, trialRows(st.rows))
		},
	}
	c.Flags().StringVar(&keyText, "key", "", keyHelp)
	return c
}

func newBooksKey(f *ledgerFlags) *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use: "key", Short: "Print the public key that signs trial balances", Args: cobra.NoArgs,
		Long: `Prints the key, 64 hexadecimal digits. Keep it where nobody who runs the server can change
it: it proves a statement later. The server shows it with a close; --offline reads it
in the data folder, before there is one.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if offline {
				return printFolderKey(c, f.data)
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.booksKey(ctx) })
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "read it in the folder named by --data; takes no token")
	return c
}

func printFolderKey(c *cobra.Command, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, audit.KeyFile)); err != nil { // OpenKey would make one
		return usage("%s holds no signing key: the first start makes it: %w", dir, err)
	}
	key, err := audit.OpenKey(dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), hex.EncodeToString(key.Public()))
	return err
}

func (s *session) booksKey(ctx context.Context) error {
	id := ""
	bounded, cancel := s.call(ctx)
	defer cancel()
	list, err := s.client.Books().ListCloses(bounded, &ledgerv1.ListClosesRequest{})
	if err != nil {
		return err
	}
	for _, x := range list.GetCloses() {
		if !x.GetReopened() {
			id = x.GetId()
		}
	}
	if id == "" {
		return errors.New("no day is closed yet, so nothing is signed: close one, or on the server's machine `sterling books key --offline --data FOLDER`")
	}
	r, _, err := s.getClose(ctx, id, nil)
	if err != nil {
		return err
	}
	if s.flags.output == "json" {
		return s.printJSON(&ledgerv1.GetCloseResponse{PublicKey: r.GetPublicKey()})
	}
	s.printf("%x\n", r.GetPublicKey())
	return nil
}

// offset writes minutes ahead of UTC as +08:00.
func offset(minutes int32) string {
	sign := '+'
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Sprintf("%c%02d:%02d", sign, minutes/60, minutes%60)
}

// parseOffset is the reverse of offset.
func parseOffset(text string) (int32, error) {
	bad := usage("--utc-offset %q: want hours and minutes ahead of UTC, such as +08:00 or -03:30, up to 18:00", text)
	if len(text) != 6 || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, bad
	}
	hours, err := strconv.ParseUint(text[1:3], 10, 8)
	minutes, err2 := strconv.ParseUint(text[4:], 10, 8)
	total := int32(hours*60 + minutes)
	if err != nil || err2 != nil || minutes > 59 || total > 18*60 {
		return 0, bad
	}
	if text[0] == '-' {
		total = -total
	}
	return total, nil
}
