package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Config says what to measure, and on what.
type Config struct {
	Shapes []string // names; empty: all
	// Command starts a server: a program and its first arguments, which `--config FILE` follows.
	Command []string
	Dir     string // where the servers' data lies while they run: on the disk to be measured
	// Server is the address of a server that runs already, and Token a token of a teller there. It is used instead of
	// Command, and then only the shapes that need no server of their own can be measured.
	Server, Token string
	// Store is the database that has the servers' journals, as for sterling up --store; empty: they are in Dir. Each
	// server gets a cell of its own there, which stays.
	Store   string
	Version string // of the program, for the report

	Accounts int           // 2 or more
	Duration time.Duration // of each measured window; 0: each shape's own
	Warmup   time.Duration // before it
	// Transfers is how many the shapes start and memory have in the journal.
	Transfers int
	Rest      time.Duration // without load before memory is read: the runtime gives it back little by little
	// Profile is for how many seconds of each window of load the server's processor profile is taken; it is written
	// to ProfileDir/SHAPE.pprof. 0: not at all.
	Profile    int
	ProfileDir string
	// Progress is told how far a shape is; total is 0 where time is not what ends it. May be nil; may be called from
	// several goroutines.
	Progress func(shape string, elapsed, total time.Duration, transfers uint64)
}

// Default is the configuration of the published numbers, without Command, Dir and Version.
func Default() Config {
	return Config{Accounts: 1_000_000, Transfers: 10_000_000, Warmup: 2 * time.Second, Rest: 5 * time.Second}
}

// ErrConfig is a configuration that can't be used; the text says why.
var ErrConfig = errors.New("benchmark")

// Names are the shapes that there are, in the order of the report.
func Names() []string {
	var names []string
	for _, s := range shapes() {
		names = append(names, s.name)
	}
	return names
}

func (c *Config) check() error {
	for _, name := range c.Shapes {
		i := slices.IndexFunc(shapes(), func(s shape) bool { return s.name == name })
		switch {
		case i < 0:
			return fmt.Errorf("%w: there is no shape %q; there are %s", ErrConfig, name, strings.Join(Names(), ", "))
		case c.Server != "" && shapes()[i].own:
			return fmt.Errorf("%w: shape %s needs a server of its own", ErrConfig, name)
		}
	}
	switch {
	case c.Accounts < 2 || c.Accounts > 100_000_000:
		return fmt.Errorf("%w: want 2 to 100,000,000 accounts, not %d", ErrConfig, c.Accounts)
	case c.Transfers < 1 || c.Transfers > 1_000_000_000:
		return fmt.Errorf("%w: want 1 to 1,000,000,000 transfers, not %d", ErrConfig, c.Transfers)
	case c.Duration < 0 || c.Warmup < 0 || c.Rest < 0:
		return fmt.Errorf("%w: durations can't be negative", ErrConfig)
	case c.Profile > 0 && c.Server != "":
		return fmt.Errorf("%w: profiles are taken of own servers only", ErrConfig)
	}
	return nil
}

// bench is one run.
type bench struct {
	Config
	book    *book
	made    bool   // the accounts, on a server that runs already
	scratch string // folder of the children's data
	shape   *shape // being measured
}

// Run measures the shapes, one after the other, each on a fresh server. With an error the report has the shapes that
// were measured before it.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &bench{Config: c, book: newBook(c.Accounts, 1)}
	if c.Server != "" { // others may have been here
		b.book = newBook(c.Accounts, uint64(time.Now().UnixNano()))
	}
	if b.scratch, err = os.MkdirTemp(c.Dir, "sterling-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the servers' data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	report = &Report{
		Version: c.Version, Began: time.Now().UTC(), Accounts: c.Accounts,
		Durability: "acknowledged = on disk: one local journal, every block followed by fdatasync",
	}
	if c.Store != "" {
		report.Durability = "acknowledged = committed by the database at --store, as that is set up"
	}
	if c.Server != "" {
		report.Durability = "as the server at " + c.Server + " is set up"
	}
	if report.Machine, err = Describe(b.scratch); err != nil {
		return report, err
	}
	for _, s := range shapes() {
		if len(c.Shapes) > 0 && !slices.Contains(c.Shapes, s.name) || len(c.Shapes) == 0 && s.own && c.Server != "" {
			continue
		}
		b.shape = &s
		result, err := s.run(ctx, b)
		if err != nil {
			return report, fmt.Errorf("shape %s: %w", s.name, err)
		}
		result.Shape, result.What = s.name, s.what
		report.Results = append(report.Results, result)
	}
	return report, nil
}

// window is how long the shape's measured window is.
func (b *bench) window(own time.Duration) time.Duration {
	if b.Duration > 0 {
		return b.Duration
	}
	return own
}

func (b *bench) progress(elapsed, total time.Duration, transfers uint64) {
	if b.Progress != nil {
		b.Progress(b.shape.name, elapsed, total, transfers)
	}
}

// child starts a server on a folder of the shape's own.
func (b *bench) child(ctx context.Context, snapshots uint64) (*server, time.Duration, error) {
	return start(ctx, b.Command, childOptions{folder: b.folder(), snapshots: snapshots, profiles: b.Profile > 0, store: b.Store})
}

func (b *bench) folder() string { return filepath.Join(b.scratch, b.shape.name) }

// serve gives f a server with the accounts on it.
func (b *bench) serve(ctx context.Context, snapshots uint64, f func(s *server) error) (err error) {
	var s *server
	if b.Server != "" {
		s, err = connect(b.Server, b.Token)
	} else {
		s, _, err = b.child(ctx, snapshots)
	}
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.close())
		if s.folder != "" {
			err = errors.Join(err, os.RemoveAll(s.folder))
		}
	}()
	if !b.made {
		if err := b.createAccounts(ctx, s); err != nil {
			return err
		}
		b.made = b.Server != ""
	}
	return f(s)
}

const bulk = 8000 // records of a packed call

// asset returns the number of the benchmark's asset.
func (b *bench) asset(ctx context.Context, s *server) (uint32, error) {
	r, err := ledgerv1.NewLedgerServiceClient(s.admin).RegisterAssets(authorized(ctx, s.token), &ledgerv1.RegisterAssetsRequest{Assets: []string{assetName}})
	if err != nil {
		return 0, fmt.Errorf("register the asset: %w", err)
	}
	return r.GetAssets()[0].GetNumber(), nil
}

// createAccounts opens the book's accounts, in bulk.
func (b *bench) createAccounts(ctx context.Context, s *server) (err error) {
	asset, err := b.asset(ctx, s)
	if err != nil {
		return err
	}
	conns, err := dial(s.address, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(conns)) }()
	ctx, cancel := context.WithCancelCause(authorized(ctx, s.token))
	defer cancel(nil)
	var next, done atomic.Int64
	began := time.Now()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(bulk)) - bulk
				if from >= len(b.book.ids) {
					return
				}
				until := min(from+bulk, len(b.book.ids))
				if err := b.createSome(ctx, conns[i%len(conns)], asset, from, until); err != nil {
					cancel(err)
					return
				}
				b.progress(time.Since(began), 0, uint64(done.Add(int64(until-from)))) //nolint:gosec // G115: ≥ 0
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (b *bench) createSome(ctx context.Context, conn *grpc.ClientConn, asset uint32, from, until int) error {
	records := make([]journal.Account, until-from)
	for i := range records {
		records[i] = journal.Account{ID: b.book.ids[from+i], Asset: asset, Code: 1}
	}
	request, answer := wrapRecords(journal.Bytes(records)), []byte(nil)
	if err := conn.Invoke(ctx, ledgerv1.LedgerService_CreateAccountsPacked_FullMethodName, &request, &answer, grpc.ForceCodecV2(rawCodec{})); err != nil {
		return fmt.Errorf("create accounts: %w", err)
	}
	if n, err := createdInPacked(answer); err != nil || n != len(records) {
		return fmt.Errorf("create accounts: %d of %d were created (%w)", n, len(records), errors.Join(err, errNotAll))
	}
	return nil
}

var errNotAll = errors.New("every one has to be")
