package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/client"
)

type observeFlags struct {
	source string
	first  uint64
}

func newWatchObserve(f *ledgerFlags) *cobra.Command {
	var o observeFlags
	c := &cobra.Command{
		Use: "observe FILE", Short: "Send what a source saw, from a file of JSON lines", Args: cobra.ExactArgs(1),
		Long: `Each line is one observation as the API has it; the first line is number 1 of the source, or
--first-seq. It goes on where the server has got to, so it can be run again with the same
file, also with one that has grown. The first token that speaks for a source is the only
one that may, besides an admin's. - is standard input.`,
		Example: `  echo '{"kind":"OBSERVATION_KIND_INSTRUCTION","time":"1795344187000000000","key":"order-7","amount":"1234",
    "asset":"CNY/2","debitAccountId":"1","creditAccountId":"2"}' | tr -d '\n' >orders.jsonl
  sterling watch observe --source orders orders.jsonl`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.source == "":
				return usage("--source: say whose observations these are")
			case o.first == 0:
				return usage("--first-seq: a source counts from 1")
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.observe(ctx, &o, args[0]) })
		},
	}
	c.Flags().StringVar(&o.source, "source", "", "name of the source, as the flows have it")
	c.Flags().Uint64Var(&o.first, "first-seq", 1, "number of the first line")
	return c
}

func (s *session) observe(ctx context.Context, f *observeFlags, path string) (err error) {
	in := s.c.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return usage("%w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		in = file
	}
	bounded, cancel := s.call(ctx)
	defer cancel()
	o, err := s.client.Observe(bounded, f.source)
	if err != nil {
		return err
	}
	before := o.Through()
	if before+1 < f.first {
		err = usage("%s was taken through %d, and the first line would be %d: send what is between first", f.source, before, f.first)
	} else {
		err = sendLines(ctx, o, in, path, f.first)
		if ferr := o.Flush(ctx); err == nil {
			err = ferr
		}
	}
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s is taken through %d; run it again to go on: %w", f.source, o.Through(), s.explain(err))
	}
	s.printf("%s is taken through %d, %d of them new\n", f.source, o.Through(), o.Through()-before)
	return nil
}

// maxObservation bounds a line of observations, in bytes.
const maxObservation = 64 << 10

// sendLines sends what the server does not have yet. An error of a line stops it; those before are sent.
func sendLines(ctx context.Context, o *client.Observer, in io.Reader, path string, first uint64) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 4096), maxObservation)
	seq, next := first, o.Next()
	for line := 1; scanner.Scan(); line++ {
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		seq++
		if seq <= next { // seq-1 was taken
			continue
		}
		x := &client.Observation{}
		if err := protojson.Unmarshal(text, x); err != nil {
			return usage("%s:%d: %w", path, line, err)
		}
		if err := o.Send(ctx, x); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return usage("%s: %w", path, err)
	}
	return nil
}
