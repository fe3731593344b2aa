package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/durable"
	bank "github.com/sterlingrun/sterling/importer/statement"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

type watchImportFlags struct {
	source, flow, account, format, mapping string
	dryRun                                 bool
	sandbox                                string // state folder of sandboxes; "": files are read in this process
}

func newWatchImport(f *ledgerFlags) *cobra.Command {
	var i watchImportFlags
	c := &cobra.Command{
		Use: "import FILE…", Short: "Tell the watch what a bank's statements say", Args: cobra.MinimumNArgs(1),
		Long: `Reads statements (ISO 20022 camt.053, or CSV by a mapping), checks their sums, and sends
each booked line as an observation of the source: its key is the end-to-end reference, or
else the bank's own reference. With --account the closing balance is compared with that
account of the ledger: what the bank owes us is a debit balance there.

What was sent is noted in watch-imports/SOURCE.json in the data folder, so that a file that
is imported again changes nothing, and an interrupted import goes on. A statement whose
opening balance is not the closing balance of the one before it is refused: one is missing.`,
		Example: `  sterling watch import march.xml --source bank:house --flow settlement --account 8800401000000001
  sterling watch import march.csv --source bank:house --format csv --mapping house.yaml --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			list, err := i.read(c.Context(), args)
			if err != nil {
				return usage("%w", err)
			}
			if i.dryRun {
				return i.show(c.OutOrStdout(), list, "would be sent")
			}
			return f.with(c, func(ctx context.Context, s *session) error { return i.run(ctx, s, list) })
		},
	}
	c.Flags().StringVar(&i.source, "source", "", "name of the source, as the flows have it, such as bank:house")
	c.Flags().StringVar(&i.flow, "flow", "", "flow of the lines (default: the flow that waits for the source)")
	c.Flags().StringVar(&i.account, "account", "", "account of the ledger that mirrors the bank's account")
	c.Flags().StringVar(&i.format, "format", "camt053", "camt053 or csv")
	c.Flags().StringVar(&i.mapping, "mapping", "", "YAML file that says what the columns of a CSV file mean")
	c.Flags().StringVar(&i.sandbox, "sandbox", "", "read files in a sandbox, as root; =FOLDER of sandboxes")
	c.Flags().Lookup("sandbox").NoOptDefVal = sandboxState
	c.Flags().BoolVar(&i.dryRun, "dry-run", false, "read and check everything, send nothing")
	return c
}

// told is a statement as observations.
type told struct {
	bank.Statement
	file         string
	digest       string
	observations []*client.Observation
}

var sourceName = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// read reads all files, oldest statement first. Nothing is sent before all of them are understood.
func (i *watchImportFlags) read(ctx context.Context, paths []string) ([]told, error) {
	switch {
	case !sourceName.MatchString(i.source):
		return nil, fmt.Errorf("--source: want 1 to 64 letters, digits, and . _ - :, not %.80q", i.source)
	case i.format != "camt053" && i.format != "csv":
		return nil, fmt.Errorf("--format: want camt053 or csv, not %q", i.format)
	case (i.format == "csv") != (i.mapping != ""):
		return nil, errors.New("--mapping: a CSV file needs one, and nothing else does")
	}
	var m *bank.Mapping
	var mapping []byte
	if i.mapping != "" {
		text, err := os.ReadFile(i.mapping)
		if err != nil {
			return nil, err
		}
		if m, err = bank.ParseMapping(text); err != nil {
			return nil, fmt.Errorf("%s: %w", i.mapping, err)
		}
		mapping = text
	}
	readFile := func(path string) ([]bank.Statement, error) { return readStatements(path, m) }
	if i.sandbox != "" {
		r, err := newStatementReader(i.sandbox)
		if err != nil {
			return nil, err
		}
		readFile = func(path string) ([]bank.Statement, error) { return r.read(ctx, path, mapping) }
	}
	var list []told
	for _, path := range paths {
		found, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for n := range found {
			t := told{Statement: found[n], file: path}
			if err := i.observe(&t); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b told) int { return a.Through().Compare(b.Through()) })
	return list, nil
}

func readStatements(path string, m *bank.Mapping) (list []bank.Statement, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if m != nil {
		return bank.ReadCSV(file, m)
	}
	return bank.ReadCamt(file)
}

// observe makes a statement's observations. They depend on the statement alone, so that they are the same every time.
func (i *watchImportFlags) observe(t *told) error {
	through := t.Through()
	if through.IsZero() || through.After(time.Now().Add(time.Second)) {
		return fmt.Errorf("statement %s: it ends at %v, which is not over yet: import it when it is complete", t.ID, through)
	}
	ids := map[string]int{}
	for n := range t.Entries {
		e := &t.Entries[n]
		if e.EndToEnd == "" && e.Reference == "" {
			return &bank.Error{Line: e.Line, Element: "AcctSvcrRef", Err: fmt.Errorf("%w: no reference: nothing says what it is about", bank.ErrMalformed)}
		}
		id := e.Reference
		if id == "" {
			id = e.EndToEnd
		}
		ids[id]++
		if ids[id] > 1 { // transactions of a batch share the bank's reference
			id += "#" + strconv.Itoa(ids[id])
		}
		key := e.EndToEnd
		if key == "" {
			key = e.Reference
		}
		t.observations = append(t.observations, &client.Observation{
			Kind: watchv1.ObservationKind_OBSERVATION_KIND_STATEMENT_ENTRY, Time: uint64(e.Booked.UnixNano()), Flow: i.flow,
			Key: fitting(key), Id: fitting(id), Amount: e.Amount.String(), Asset: e.Amount.Asset, Text: e.Text,
		})
	}
	end := uint64(through.UnixNano())
	last := &client.Observation{Kind: watchv1.ObservationKind_OBSERVATION_KIND_HEARTBEAT, Time: end, Through: end}
	if i.account != "" && t.Closing != nil {
		amount := t.Closing.String()
		if rest, minus := strings.CutPrefix(amount, "-"); minus { // our debt to the bank is its claim on us
			amount = rest
		} else if amount != "0" {
			amount = "-" + amount
		}
		last = &client.Observation{
			Kind: watchv1.ObservationKind_OBSERVATION_KIND_BALANCE, Time: end, Through: end, Id: fitting("balance " + t.ID), Amount: amount, Asset: t.Closing.Asset,
			DebitAccountId: i.account, Text: "closing balance of " + t.Account,
		}
	}
	t.observations = append(t.observations, last)
	h := sha256.New()
	for _, o := range t.observations {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(o)
		if err != nil {
			return fmt.Errorf("encode an observation: %w", err)
		}
		_, _ = fmt.Fprintf(h, "%d ", len(b)) // never fails
		_, _ = h.Write(b)
	}
	t.digest = hex.EncodeToString(h.Sum(nil))
	return nil
}

// fitting makes a text fit into what a key may have: its digest stands for a longer one.
func fitting(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:16])
}

// imported is what was sent of a source, oldest first.
type imported struct {
	Source     string              `json:"source"`
	Statements []importedStatement `json:"statements"`
}

type importedStatement struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Digest  string    `json:"digest"` // SHA-256 of its observations
	First   uint64    `json:"first_seq"`
	Count   uint64    `json:"count"`
	Closing string    `json:"closing,omitempty"` // minor units
	Through time.Time `json:"through"`
}

func (f *ledgerFlags) importsFile(source string) string {
	return filepath.Join(f.data, "watch-imports", strings.ReplaceAll(source, ":", "_")+".json")
}

func loadImported(path, source string) (*imported, error) {
	done := &imported{Source: source}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err == nil {
		err = json.Unmarshal(b, done)
	}
	if err == nil && done.Source != source {
		err = fmt.Errorf("it is of source %q", done.Source)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was imported, in %s: %w", path, err)
	}
	return done, nil
}

func (m *imported) save(path string) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("note what is imported: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note what is imported: %w", err)
	}
	if err := durable.WriteFile(path, append(b, '\n')); err != nil {
		return fmt.Errorf("note what is imported: %w", err)
	}
	return nil
}

// follows says why a statement can't come after those of its account that were imported.
func (m *imported) follows(t *told) error {
	for n := len(m.Statements) - 1; n >= 0; n-- {
		before := &m.Statements[n]
		if before.Account != t.Account {
			continue
		}
		switch {
		case t.Through().Before(before.Through):
			return fmt.Errorf("statement %s of %s is older than %s, which was imported: what a source has told to be complete can't be added to", t.ID, t.Account, before.ID)
		case before.Closing != "" && t.Opening != nil && before.Closing != t.Opening.String():
			return fmt.Errorf("statement %s of %s opens with %v and %s, the last that was imported, closes with %s (minor units): import what is between first",
				t.ID, t.Account, t.Opening, before.ID, before.Closing)
		}
		return nil
	}
	return nil
}

func (i *watchImportFlags) run(ctx context.Context, s *session, list []told) (err error) {
	path := s.flags.importsFile(i.source)
	done, err := loadImported(path, i.source)
	if err != nil {
		return err
	}
	bounded, cancel := s.call(ctx)
	o, err := s.client.Observe(bounded, i.source)
	cancel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	bar := workBar(s.c.ErrOrStderr(), "importing", "lines")
	total, sent := uint64(0), uint64(0)
	for n := range list {
		total += uint64(len(list[n].observations))
	}
	for n := range list {
		t := &list[n]
		place := slices.IndexFunc(done.Statements, func(x importedStatement) bool { return x.Digest == t.digest && x.Account == t.Account })
		if place < 0 {
			if err := done.follows(t); err != nil {
				return usage("%w", err)
			}
			x := importedStatement{ID: t.ID, Account: t.Account, Digest: t.digest, First: o.Next(), Count: uint64(len(t.observations)), Through: t.Through()}
			if t.Closing != nil {
				x.Closing = t.Closing.String()
			}
			done.Statements = append(done.Statements, x)
			if err := done.save(path); err != nil { // first, so that what is sent is known whatever happens
				return err
			}
			place = len(done.Statements) - 1
		}
		news, err := sendStatement(ctx, o, t, &done.Statements[place])
		if err != nil {
			return fmt.Errorf("%s: statement %s: %w", t.file, t.ID, s.explain(err))
		}
		if sent += uint64(len(t.observations)); bar != nil {
			bar(sent, total)
		}
		word := "sent"
		if news == 0 {
			word = "there already"
		}
		if err := i.show(s.c.OutOrStdout(), list[n:n+1], word); err != nil {
			return err
		}
	}
	return nil
}

// sendStatement sends what the server does not have of a statement, and returns how much that was.
func sendStatement(ctx context.Context, o *client.Observer, t *told, x *importedStatement) (news int, err error) {
	next := o.Next()
	switch {
	case next < x.First:
		return 0, fmt.Errorf("it was sent as numbers %d to %d, and the server has taken only %d: it was restored from before, or is another one", x.First, x.First+x.Count-1, next-1)
	case next >= x.First+x.Count:
		return 0, nil
	}
	list := t.observations[next-x.First:]
	if err := o.Send(ctx, list...); err != nil {
		return 0, err
	}
	return len(list), o.Flush(ctx)
}

func (i *watchImportFlags) show(w io.Writer, list []told, word string) error {
	for n := range list {
		t := &list[n]
		note := ""
		if t.Pending > 0 {
			note = fmt.Sprintf(", %d not booked and left out", t.Pending)
		}
		if _, err := fmt.Fprintf(w, "%s  %s  %d lines through %s%s: %s\n", t.Account, t.ID, len(t.Entries), t.Through().Format(time.RFC3339), note, word); err != nil {
			return err
		}
	}
	return nil
}
