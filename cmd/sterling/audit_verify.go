package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/node"
)

type auditVerifyFlags struct {
	*ledgerFlags
	key, since string
	blocks     bool
}

func newAuditVerify(f *ledgerFlags) *cobra.Command {
	v := auditVerifyFlags{ledgerFlags: f}
	c := &cobra.Command{
		Use: "verify URL|FOLDER", Short: "Prove a transparency log by nothing but the public key", Args: cobra.ExactArgs(1),
		Long: `Proves the log of a server (https://HOST:PORT), of a data folder, or of a copy of one:

  signature    the log's checkpoint and every statement are signed by the key
  inclusion    every entry and every tile belongs to the tree whose root is signed
  consistency  the log goes on from the one seen the last time (--since)
  chain        no statement takes back what one before it has stated
  totals       in every statement, debits are credits in each asset
  blocks       the journal's blocks have the hashes that were signed (--blocks)
  sums         added up by watch, the blocks give every statement's totals (--blocks,
               where the whole journal is read: not where --since skips its beginning)

Keep FILE of --since: without it a log that was rewritten as a whole, by who holds the
key, can't be told from the first. It is written when all is proven, and made the first
time. --blocks reads the whole journal, of a server as an auditor, and of a folder only
while nothing runs on it.

It ends with 0 when all is proven, with 4 when something is not what was signed, and with
1 when that could not be found out.`,
		Example: `  sterling audit verify https://ledger:7600 --key ledger.key --since ledger.json --token-file auditor
  sterling audit verify /backup/sterling-data --key ledger.key --blocks`,
		RunE: func(c *cobra.Command, args []string) error { return v.run(c, args[0]) },
	}
	c.Flags().StringVar(&v.key, "key", "", "public key, or a file with it: as `sterling audit key` prints it, 64 hexadecimal digits, or base64")
	c.Flags().StringVar(&v.since, "since", "", "file that holds what the last verification saw; it is read, and written again")
	c.Flags().BoolVar(&v.blocks, "blocks", false, "also check the chain of the journal's blocks against the log")
	return c
}

func (v *auditVerifyFlags) run(c *cobra.Command, place string) (err error) {
	if v.output != "text" && v.output != "json" {
		return usage("--output: want text or json, not %q", v.output)
	}
	var o node.AuditOptions
	if o.Trusted, err = readVerifier(v.key); err != nil {
		return err
	}
	if o.Since, err = v.readSince(o.Trusted); err != nil {
		return err
	}
	closeBlocks, err := v.open(c.Context(), place, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBlocks()) }()
	o.Sums = v.blocks
	o.Progress = workBar(c.ErrOrStderr(), "verifying", "entries")
	r, err := node.VerifyAudit(c.Context(), o)
	if err == nil {
		err = v.writeSince(r.State)
	}
	if err != nil {
		return v.failed(c, err)
	}
	return v.print(c, o.Trusted, r)
}

// open finds the log, and the journal if that is asked for.
func (v *auditVerifyFlags) open(ctx context.Context, place string, o *node.AuditOptions) (closeBlocks func() error, err error) {
	closeBlocks = func() error { return nil }
	if strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") {
		base, err := url.Parse(place)
		if err != nil || base.Host == "" {
			return closeBlocks, usage("%.200q is no URL such as https://ledger:7600", place)
		}
		client, err := v.httpClient(base)
		if err != nil {
			return closeBlocks, err
		}
		o.Files = audit.Remote{Client: client, Base: base}
		if v.blocks {
			o.Blocks = node.RemoteBlocks(client, base)
		}
		return closeBlocks, nil
	}
	folder, err := audit.FindFolder(place)
	if err != nil {
		return closeBlocks, usage("%w; a server is named by https://HOST:PORT", err)
	}
	o.Files = folder
	if !v.blocks {
		return closeBlocks, nil
	}
	point, err := audit.ReadCheckpoint(ctx, folder, o.Trusted)
	if err != nil {
		return closeBlocks, v.explained(err)
	}
	blocks, err := node.OpenFolderBlocks(place, point.Cell)
	if err != nil {
		return closeBlocks, fmt.Errorf("--blocks: open the journal: %w", err)
	}
	o.Blocks = blocks
	return blocks.Close, nil
}

// httpClient sends the token to the server at base, and nowhere else.
func (v *auditVerifyFlags) httpClient(base *url.URL) (*http.Client, error) {
	loopback := base.Hostname() == "localhost"
	if ip := net.ParseIP(base.Hostname()); ip != nil {
		loopback = ip.IsLoopback()
	}
	// The token of this machine's own data folder is for this machine only. None is needed where the log is public.
	var token string
	given := v.tokenFile != "" || os.Getenv(tokenEnv) != ""
	if given || loopback {
		found, err := v.token()
		if err != nil && given {
			return nil, err
		}
		token = found.token
	}
	if token != "" && base.Scheme == "http" && !loopback && !v.plaintext {
		return nil, usage("%s is not encrypted, and beyond this machine: the token is not sent there; use https, or --plaintext if you trust the network", base.Host)
	}
	config, err := v.tlsConfig()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout:       v.deadline,
		Transport:     bearer{token, &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// bearer adds a token to requests.
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token == "" {
		return b.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

func (v *auditVerifyFlags) readSince(t audit.Trusted) (*audit.State, error) {
	if v.since == "" {
		return nil, nil
	}
	b, err := os.ReadFile(v.since)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usage("--since: %w", err)
	}
	s, err := audit.ReadState(b, t)
	if err != nil {
		return nil, usage("--since %s: %w", v.since, err)
	}
	return s, nil
}

// writeSince replaces the state as a whole, so that a crash leaves the old one or the new one.
func (v *auditVerifyFlags) writeSince(s *audit.State) error {
	if v.since == "" {
		return nil
	}
	b, err := s.Bytes()
	if err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if err := durable.WriteFile(v.since, b); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	return nil
}

// failed prints a failure, and chooses the exit code.
func (v *auditVerifyFlags) failed(c *cobra.Command, err error) error {
	if v.output == "json" {
		out := failedProof{Error: err.Error()}
		if bad := (*audit.ProofError)(nil); errors.As(err, &bad) {
			out = failedProof{Proof: bad.Proof, Where: bad.Where, Error: bad.Err.Error()}
		}
		if err := json.NewEncoder(c.OutOrStdout()).Encode(out); err != nil {
			return err
		}
	}
	return v.explained(err)
}

// explained adds the next step and the exit code.
func (v *auditVerifyFlags) explained(err error) error {
	switch {
	case errors.Is(err, audit.ErrUnproven):
		return &exitError{exitUnproven, err}
	case errors.Is(err, audit.ErrRefused):
		return fmt.Errorf("%w; give a token that may read by --token-file or %s", err, tokenEnv)
	}
	return err
}

func (v *auditVerifyFlags) print(c *cobra.Command, t audit.Trusted, r *node.AuditReport) error {
	if v.output == "json" {
		out := provenAudit{Proven: true, AuditReport: r}
		if r.Last != nil {
			text, err := r.Last.Encode()
			if err != nil {
				return err
			}
			out.Statement = string(text)
		}
		return json.NewEncoder(c.OutOrStdout()).Encode(out)
	}
	s := &session{flags: v.ledgerFlags, c: c}
	s.printf("proven: %d entries of cell %d, root %s\n", r.Size, r.Cell, r.Root)
	s.printf("  signed by        %x\n", []byte(t.Key))
	if r.Last == nil {
		return nil
	}
	if r.From > 0 {
		s.printf("  goes on from     %d entries, verified before\n", r.From)
	}
	s.printf("  made             %s\n  through block    %d, %x\n  of               %s\n  safe through     %s\n",
		stamp(r.Last.Made), r.Last.Seq, r.Last.Hash, stamp(r.Last.Time), safeThrough(r.Last.SafeThrough))
	if w := r.Withdrawn; w != nil {
		s.printf("  taken back       %d times, last by entry %d at %s: safe through %s, which was %s\n", r.Withdrawals, w.Entry, stamp(w.Made), safeThrough(w.To), safeThrough(w.From))
	}
	for i := range r.Last.Totals {
		t := &r.Last.Totals[i]
		s.printf("  %-16s debits = credits = %s posted, %s pending\n", t.Asset, decimal(t.DebitsPosted.String(), t.Asset), decimal(t.DebitsPending.String(), t.Asset))
	}
	for i := range r.Last.Sources {
		s.printf("  source %-9s through %d\n", r.Last.Sources[i].Name, r.Last.Sources[i].ThroughSeq)
	}
	if v.blocks {
		s.printf("  blocks           %d read, their chain is the one that was signed\n", r.Blocks)
		if r.Sums > 0 {
			s.printf("  sums             recomputed from the blocks for %d statements\n", r.Sums)
		}
	}
	if v.since == "" {
		s.note("without --since FILE the next verification can't tell a log that was rewritten as a whole")
	}
	return nil
}
