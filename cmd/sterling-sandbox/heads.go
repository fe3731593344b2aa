package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/sandbox/heads"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// A place is a ledger whose transparency log holds records to what they were.
type place struct {
	URL       string `json:"url"`
	Key       string `json:"key"`                  // that the log is known by
	TokenFile string `json:"token_file,omitempty"` // absolute
	Authority string `json:"authority_file,omitempty"`
}

// fileLedger is where the state folder keeps the place, for all that run sandboxes there.
const fileLedger = "ledger.json"

// open makes a client, and reads the key. A path that is relative starts from here.
func (p *place) open() (*heads.Ledger, heads.Log, error) {
	for _, path := range []*string{&p.TokenFile, &p.Authority} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, heads.Log{}, fmt.Errorf("find %s: %w", *path, err)
		}
		*path = abs
	}
	by, err := readKey(p.Key)
	if err != nil {
		return nil, heads.Log{}, &exitError{exitUsage, fmt.Errorf("--key: %w: a log is only as good as the key that it is known by", err)}
	}
	p.Key = by.String()
	l, err := heads.NewLedger(p.URL, p.TokenFile, p.Authority)
	if err != nil {
		return nil, heads.Log{}, &exitError{exitUsage, err}
	}
	return l, heads.Log{Files: l.Log(), Trusted: by}, nil
}

func (p *place) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.Key, "key", "", "public key of the log, as `sterling audit key` prints it, or a file with it")
	cmd.Flags().StringVar(&p.TokenFile, "token-file", "", "file with an auditor's token")
	cmd.Flags().StringVar(&p.Authority, "ca", "", "file with the certificates of the server's authority (default: the system's)")
}

// own is the log of the state folder.
func (c *command) own() (heads.Own, error) {
	state, err := filepath.Abs(c.state)
	if err != nil {
		return heads.Own{}, fmt.Errorf("find the state folder: %w", err)
	}
	return heads.Own{Dir: filepath.Join(state, "heads"), Clock: clock.NewSystem()}, nil
}

// ledger is the place that the state folder names, nil where it names none.
func (c *command) ledger() (*place, error) {
	own, err := c.own()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(own.Dir, fileLedger))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := &place{}
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil {
		return nil, fmt.Errorf("read which ledger logs the heads: %w", err)
	}
	return p, nil
}

func (c *command) keeper() (*heads.Keeper, error) {
	own, err := c.own()
	if err != nil {
		return nil, err
	}
	k := &heads.Keeper{Own: own}
	p, err := c.ledger()
	if err == nil && p != nil {
		k.Ledger, _, err = p.open()
	}
	audit.RouteDriverLog(slog.New(slog.DiscardHandler)) // what goes wrong is an error of the call, too
	return k, err
}

func (c *command) auditLedgerCommand() *cobra.Command {
	var p place
	var none bool
	cmd := &cobra.Command{
		Use:   "ledger [URL --key KEY]",
		Short: "Say which ledger's transparency log has the heads of this host's records; without a URL: print it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			own, err := c.own()
			if err != nil {
				return err
			}
			path := filepath.Join(own.Dir, fileLedger)
			switch {
			case none:
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("forget the ledger: %w", err)
				}
				return nil
			case len(args) == 0:
				now, err := c.ledger()
				if err == nil {
					err = printJSON(cmd.OutOrStdout(), now)
				}
				return err
			}
			p.URL = args[0]
			if _, _, err := p.open(); err != nil {
				return err
			}
			text, err := json.Marshal(&p)
			if err == nil {
				err = os.MkdirAll(own.Dir, 0o700)
			}
			if err == nil {
				err = durable.WriteFile(path, append(text, '\n'))
			}
			if err != nil {
				return fmt.Errorf("keep which ledger logs the heads: %w", err)
			}
			return nil
		},
	}
	p.add(cmd)
	cmd.Flags().BoolVar(&none, "none", false, "use the log of the state folder from now on")
	return cmd
}

func (c *command) auditVerifyCommand() *cobra.Command {
	var head string
	var p place
	cmd := &cobra.Command{
		Use:   "verify ID|FILE",
		Short: "Verify a record: exit status 4 if it was tampered with, has gaps, or has no end",
		Long: `Verifies every line of a record; and the logs of its heads, that of the ledger which "audit
ledger" or --log names and that of the state folder, and that no line that was logged is
another one, or gone.

It ends with 0 when the record is proven to be all that happened, with 4 when it is not,
and with 1 when that could not be found out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			logs, err := c.logs(&p)
			if err != nil {
				return err
			}
			f, err := c.openRecord(args[0])
			if err != nil {
				return err
			}
			r, err := heads.Verify(cmd.Context(), f, logs...)
			if err = errors.Join(err, f.Close()); err != nil {
				return unproven(err)
			}
			if c.json {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = printResult(cmd.OutOrStdout(), r)
			}
			switch {
			case err != nil:
				return err
			case head != "" && head != r.Record.Head:
				return &exitError{exitUnproven, fmt.Errorf("%w: its head is %s, not %s", trail.ErrTampered, r.Record.Head, head)}
			case !r.Record.Complete():
				return &exitError{exitUnproven, errors.New("the record is not complete: it has gaps, or no end")}
			}
			return nil
		},
	}
	p.add(cmd)
	cmd.Flags().StringVar(&p.URL, "log", "", "ledger to ask, such as https://ledger:7600, and no other log")
	cmd.Flags().StringVar(&head, "head", "", "the head that it must have, as inspect printed it")
	return cmd
}

// logs are the logs to ask, none where nothing was ever logged here.
func (c *command) logs(given *place) ([]heads.Log, error) {
	if given.URL != "" {
		_, log, err := given.open()
		return []heads.Log{log}, err
	}
	var all []heads.Log
	p, err := c.ledger()
	if err != nil {
		return nil, err
	}
	if p != nil {
		_, log, err := p.open()
		if err != nil {
			return nil, err
		}
		all = append(all, log)
	}
	own, err := c.own()
	if err != nil {
		return nil, err
	}
	log := heads.Log{Files: own.Log()}
	switch _, found := os.Stat(own.Log().Dir); {
	case given.Key != "":
		log.Trusted, err = readKey(given.Key)
	case found != nil:
		return all, nil
	default:
		log.Trusted, err = own.Trusted()
	}
	return append(all, log), err
}

// readKey takes a key, or a file with it.
func readKey(key string) (audit.Trusted, error) {
	const most = 4 << 10
	f, err := os.Open(key)
	if err != nil {
		return audit.ParseTrusted(key)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err = errors.Join(err, f.Close()); err != nil {
		return audit.Trusted{}, fmt.Errorf("read the key: %w", err)
	}
	return audit.ParseTrusted(string(text))
}

func unproven(err error) error {
	if errors.Is(err, audit.ErrUnproven) || errors.Is(err, heads.ErrUnknown) {
		return &exitError{exitUnproven, err}
	}
	return err
}

func printResult(w io.Writer, r *heads.Result) error {
	if err := printReport(w, r.Record); err != nil {
		return err
	}
	said := "nowhere: who can write the file can replace it as a whole"
	if len(r.Logs) > 0 {
		said = fmt.Sprintf("%d of %d lines, by %d entries", r.Logged(), r.Record.Records, len(r.Stated))
	}
	_, err := fmt.Fprintf(w, "logged     %s\n", said)
	for _, l := range r.Logs {
		if err == nil {
			_, err = fmt.Fprintf(w, "           in a log that is proven: cell %d, %d entries, root %s\n", l.Cell, l.Size, l.Root)
		}
	}
	return err
}
