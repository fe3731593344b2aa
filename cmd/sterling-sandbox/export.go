package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/otlp"
	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/sandbox/trail/export"
)

// exportFlags say where an export goes.
type exportFlags struct {
	format, out, endpoint, token string
	patience                     time.Duration
}

func (c *command) auditExportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export ID|FILE",
		Short: "Write a record for other systems: lines of JSON, CEF, OCSF or OpenTelemetry logs",
		Long: `Writes each line of a record once it is verified, in the format of another system, or sends
the lines to an OpenTelemetry collector. Where the record was tampered with, what comes before
the fault is written, and the exit status is 4. docs/sandbox-export.md says which field goes where.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := c.openRecord(args[0])
			if err != nil {
				return err
			}
			if f.endpoint != "" {
				err = f.send(cmd, record)
			} else {
				err = f.write(cmd, record)
			}
			return errors.Join(err, record.Close())
		},
	}
	cmd.Flags().StringVar(&f.format, "format", string(export.JSONL), "jsonl, cef, ocsf or otel")
	cmd.Flags().StringVar(&f.out, "out", "", "file to write, which must not be there (default: standard output)")
	cmd.Flags().StringVar(&f.endpoint, "endpoint", "", "with otel: collector to send to by OTLP over HTTP, such as http://collector:4318/v1/logs")
	cmd.Flags().StringVar(&f.token, "token-file", "", "file with a bearer token for the collector")
	cmd.Flags().DurationVar(&f.patience, "patience", 2*time.Minute, "how long a collector that does not answer is tried")
	return cmd
}

func (f *exportFlags) write(cmd *cobra.Command, record io.Reader) error {
	e, err := export.New(export.Format(f.format))
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--format: %w", err)}
	}
	to := cmd.OutOrStdout()
	closed := func() error { return nil }
	if f.out != "" {
		file, err := os.OpenFile(f.out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		to, closed = file, file.Close
	}
	b := bufio.NewWriter(to)
	var text []byte
	_, _, err = trail.Verify(record, func(r trail.Record) error {
		var err error
		if text, err = e.Append(text[:0], r); err == nil {
			_, err = b.Write(text)
		}
		return err
	})
	return errors.Join(err, b.Flush(), closed())
}

// send hands each line to the collector; while that does not take them, the record is not read on.
func (f *exportFlags) send(cmd *cobra.Command, record io.Reader) error {
	u, err := url.Parse(f.endpoint)
	if f.format != string(export.OTel) || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return &exitError{exitUsage, errors.New("--endpoint: want --format otel, and a URL such as http://collector:4318/v1/logs")}
	}
	e, err := export.New(export.OTel)
	if err != nil {
		return err
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if f.token != "" {
		text, err := os.ReadFile(f.token)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("--token-file: %w", err)}
		}
		if u.Scheme != "https" {
			return &exitError{exitUsage, errors.New("--token-file: a token is sent over https only")}
		}
		client.Transport = bearer{strings.TrimSpace(string(text))}
	}
	s := &otlp.Sender{URL: f.endpoint, Client: client, Clock: clock.NewSystem(), Patience: f.patience}
	return f.pass(cmd, record, e, s)
}

func (f *exportFlags) pass(cmd *cobra.Command, record io.Reader, e *export.Exporter, s *otlp.Sender) error {
	ctx := cmd.Context()
	_, _, err := trail.Verify(record, func(r trail.Record) error {
		one, err := e.LogRecord(r)
		if err == nil {
			err = s.Add(ctx, one)
		}
		return err
	})
	if err == nil || errors.Is(err, trail.ErrTampered) {
		err = errors.Join(err, s.Flush(ctx)) // what comes before the fault
	}
	cmd.PrintErrf("sterling-sandbox: the collector has taken %d log records\n", s.Sent)
	return err
}

// bearer adds a token to requests.
type bearer struct{ token string }

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}
