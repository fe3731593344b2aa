package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// ErrWrongCell is a block of another cell than the store was opened for.
var ErrWrongCell = errors.New("wrong cell")

// Options say which journal to open.
type Options struct {
	// DSN is what go-sql-driver/mysql takes, or a URL mysql://user:password@host:port,host:port/database?parameters.
	// Of several hosts the first that takes writes is used; all must be nodes of one cluster without a failover of its
	// own (Galera, TiDB, OceanBase).
	DSN    string
	Cell   uint64       // whose journal it is, 1 to 2^63-1. One schema serves many cells
	Logger *slog.Logger // nil: none

	// Timeout bounds an append (whose outcome is unknown after it), a single read and a lease. 0 means 5 s; at least
	// 100 ms. Within it a lock is waited for at most 2 s.
	Timeout time.Duration
	// Readers is the most connections for reads, 2 to 64. 0 means 4. Appends have one of their own.
	Readers int

	insert string // instead of insertSQL: tests break it on purpose
}

// Store is one cell's journal and lease. It is safe for concurrent use.
type Store struct {
	cell    uint64
	timeout time.Duration
	log     *slog.Logger
	insert  string

	toRead  *connector
	readers *sql.DB
	idle    int // connections for reads that are kept

	appending chan struct{} // holds one token: who has it owns writer
	toAppend  *connector
	writer    *writer // nil: to be connected
	closed    chan struct{}
}

var (
	_ cell.Log    = (*Store)(nil)
	_ cell.Leases = (*Store)(nil)
)

const (
	defaultTimeout = 5 * time.Second
	defaultReaders = 4
	maxReaders     = 64
	maxConnect     = 2 * time.Second
)

// Open connects to the server, brings the schema to this program's version, and returns the journal of one cell. It
// does not judge the engine: that is Check. The caller closes the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open the journal in MySQL: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	config, servers, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	if config.DBName == "" {
		return nil, errors.New("the DSN names no database")
	}
	s := &Store{cell: o.Cell, timeout: o.Timeout, log: o.Logger, insert: o.insert, idle: o.Readers, appending: make(chan struct{}, 1), closed: make(chan struct{})}
	if s.toRead, err = newConnector(config, servers, o, false); err != nil {
		return nil, err
	}
	if s.toAppend, err = newConnector(config, servers, o, true); err != nil {
		return nil, err
	}
	s.readers = sql.OpenDB(s.toRead)
	s.readers.SetMaxOpenConns(o.Readers)
	s.readers.SetMaxIdleConns(o.Readers)
	if err := migrate(ctx, s.readers, o.Logger); err != nil {
		return nil, errors.Join(err, s.readers.Close())
	}
	s.appending <- struct{}{}
	return s, nil
}

func (o *Options) complete() error {
	if o.Cell == 0 || o.Cell > math.MaxInt64 {
		return fmt.Errorf("cell %d: want 1 to 2^63-1", o.Cell)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Timeout < 100*time.Millisecond {
		return fmt.Errorf("a time-out of %v: want at least 100ms", o.Timeout)
	}
	if o.Readers == 0 {
		o.Readers = defaultReaders
	}
	if o.Readers < 2 || o.Readers > maxReaders {
		return fmt.Errorf("%d readers: want 2 to %d", o.Readers, maxReaders)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.insert == "" {
		o.insert = insertSQL
	}
	return nil
}

// Close ends the store's connections. It waits for an append under way, at most as long as an append may take. The
// store is of no use afterwards.
func (s *Store) Close() error {
	<-s.appending
	defer func() { s.appending <- struct{}{} }()
	select {
	case <-s.closed:
		return nil
	default:
	}
	close(s.closed)
	if s.writer != nil {
		s.writer.drop()
		s.writer = nil
	}
	return s.readers.Close()
}

// bounded is ctx with the time-out of one operation.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no answer within %v", s.timeout))
}

// key is a number of ours as the engine has it: Open and Append refuse what would not fit.
func key(n uint64) int64 { return int64(n) } //nolint:gosec // bounded before

func blockError(what string, seq uint64, err error) error {
	return fmt.Errorf("%s block %d: %w", what, seq, err)
}

// fits tells what of a header has no place in the table.
func (s *Store) fits(b *journal.Block) error {
	h := &b.Header
	switch {
	case h.Cell != s.cell:
		return fmt.Errorf("%w: the block is of cell %d, the journal of cell %d", ErrWrongCell, h.Cell, s.cell)
	case h.Seq == 0 || h.Seq > journal.MaxSeq:
		return fmt.Errorf("%w: sequence number %d", journal.ErrFormat, h.Seq)
	case h.Epoch > math.MaxInt64 || h.Time > math.MaxInt64 || h.Acked >= h.Seq:
		return fmt.Errorf("%w: epoch %d, time %d, acknowledged %d", journal.ErrFormat, h.Epoch, h.Time, h.Acked)
	case len(b.Raw) != journal.HeaderSize+h.BodySize() || len(b.Raw) > journal.MaxBlock:
		return fmt.Errorf("%w: %d bytes, the header says %d", journal.ErrFormat, len(b.Raw), journal.HeaderSize+h.BodySize())
	}
	return nil
}
