package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/clock"
)

// What can be wrong with a log.
var (
	// ErrLog is a log that can't be written or read just now: a full disk, a folder that is gone. Trying again may help.
	ErrLog = errors.New("transparency log")
	// ErrDamaged is a log whose files do not fit each other or the key: trying again does not help.
	ErrDamaged = errors.New("transparency log is damaged")
	// ErrUnpublished is an entry that is in the log, but in no signed checkpoint yet.
	ErrUnpublished = errors.New("the entry is not in a signed checkpoint yet")
)

const (
	// publishEvery is the least time between two signed checkpoints: one a second must never wait for it. Of a log of
	// records it is the driver's least, since the end of a sandbox waits for it.
	publishEvery        = 200 * time.Millisecond
	publishRecordsEvery = 100 * time.Millisecond
	pollFirst           = 500 * time.Microsecond
	pollMost            = 8 * time.Millisecond // each wait is twice as long as the one before
	publishWait         = 10 * time.Second
	batchAge            = 10 * time.Millisecond // never reached: a batch is full with one entry
	tidyEvery           = time.Minute           // files of part of a tile are removed once the tile is full
)

// RecordsOnly is the cell of a log that is no ledger's: it has heads of records only.
const RecordsOnly = 0

// LogOptions say where a log is.
type LogOptions struct {
	Dir   string // made where it is not there
	Cell  uint64 // or RecordsOnly
	Clock clock.Clock
}

// Log is a transparency log of signed statements in a folder. One process has it open. It is safe for concurrent use.
type Log struct {
	dir     Folder
	key     *Key
	trusted Trusted
	clock   clock.Clock

	appender *tessera.Appender
	shutdown func(context.Context) error
	stop     context.CancelFunc

	appending sync.Mutex // held while an entry is on its way
	ended     bool       // Close was called; guarded by appending
	lineage   lineage
	grown     *compact.Range // over all entries: our own count, against the driver's

	mu        sync.RWMutex
	published Checkpoint
}

// OpenLog opens the log, or begins one in a folder where none is. What a crash cut short is as if it had never begun.
// Errors: ErrLog, ErrDamaged.
func OpenLog(ctx context.Context, key *Key, o LogOptions) (_ *Log, err error) {
	l := &Log{dir: Folder{o.Dir}, key: key, trusted: Trusted{key.Public(), o.Cell}, clock: o.Clock}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: make its folder: %w", ErrLog, err)
	}
	if err := l.checkOwner(); err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: o.Dir})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLog, err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	interval := publishEvery
	if o.Cell == RecordsOnly {
		interval = publishRecordsEvery
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer{origin(o.Cell), key}).
		WithCheckpointInterval(interval).WithCheckpointRepublishInterval(0).
		WithBatching(1, batchAge).WithGarbageCollectionInterval(tidyEvery)
	appender, shutdown, reader, err := tessera.NewAppender(background, driver, options)
	if err != nil {
		stop()
		return nil, fmt.Errorf("%w: open %s: %w", ErrDamaged, o.Dir, err)
	}
	l.appender, l.shutdown = appender, shutdown
	size, err := reader.IntegratedSize(ctx)
	if err == nil {
		err = l.await(ctx, size)
	}
	if err == nil {
		err = l.resume(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.Dir, err), l.Close(ctx))
	}
	return l, nil
}

// checkOwner refuses a log that another key has signed: it would go on under two names.
func (l *Log) checkOwner() error {
	raw, err := l.dir.File(context.Background(), file{checkpoint: true}.path(), maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	if _, err := l.trusted.OpenCheckpoint(raw); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, l.dir.Dir, err)
	}
	return nil
}

// resume checks the end of the log against its last checkpoint, and reads the last statement.
func (l *Log) resume(ctx context.Context) error {
	size := l.Published().Size
	r := newReader(l.dir, size)
	var err error
	if l.grown, err = r.rangeTo(ctx, size); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := l.checkRoot(); err != nil || size == 0 {
		return err
	}
	e, err := r.entry(ctx, size-1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	leaf, err := r.node(ctx, 0, size-1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if [sha256.Size]byte(leaf) != [sha256.Size]byte(rfc6962.DefaultHasher.HashLeaf(e.seal())) {
		return fmt.Errorf("%w: entry %d is not the one that the tree holds", ErrDamaged, size-1)
	}
	if !Verify(l.key.Public(), e.Statement, e.Signature) {
		return fmt.Errorf("%w: entry %d is not signed by this key", ErrDamaged, size-1)
	}
	return l.resumeStatement(ctx, r)
}

// resumeStatement reads the last statement about the ledger: heads of records may stand after it. A log of records
// alone has none.
func (l *Log) resumeStatement(ctx context.Context, r *reader) error {
	if l.trusted.Cell == RecordsOnly {
		return nil
	}
	for i := l.Published().Size; i > 0; i-- {
		e, err := r.entry(ctx, i-1)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if e.OfRecords() {
			continue
		}
		s, err := e.Open(l.key.Public())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return l.lineage.take(&s)
	}
	return nil
}

// checkRoot compares what was signed with our own count of the entries.
func (l *Log) checkRoot() error {
	root, err := rootOf(l.grown)
	if c := l.Published(); err == nil && (c.Size != l.grown.End() || c.Root != root) {
		err = fmt.Errorf("the signed checkpoint has %d entries and root %x, want %d and %x", c.Size, c.Root, l.grown.End(), root)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Append signs a statement, writes it, and returns its place once a signed checkpoint covers it. The log owns s from
// then on. Errors: ErrStatement; ErrContradiction where it takes back what was stated; ErrLog; ErrUnpublished and
// ctx's; ErrDamaged where the driver did not do what it said. After the first three the log is as before, after the others
// it may have the entry.
func (l *Log) Append(ctx context.Context, s Statement) (index uint64, err error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if s.Cell != l.trusted.Cell {
		return 0, fmt.Errorf("%w: it is of cell %d, the log of cell %d", ErrStatement, s.Cell, l.trusted.Cell)
	}
	text, err := s.Encode()
	if err != nil {
		return 0, err
	}
	next := l.lineage.clone()
	if err := next.take(&s); err != nil {
		return 0, err
	}
	return l.add(ctx, text, func() { l.lineage = next })
}

// AppendHeads signs heads of records, writes them, and returns their place once a signed checkpoint covers it. Errors are
// those of Append, without ErrContradiction: what the heads are of is known to whoever verifies a record.
func (l *Log) AppendHeads(ctx context.Context, h Heads) (index uint64, err error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if h.Cell != l.trusted.Cell {
		return 0, fmt.Errorf("%w: it is of cell %d, the log of cell %d", ErrStatement, h.Cell, l.trusted.Cell)
	}
	text, err := h.Encode()
	if err != nil {
		return 0, err
	}
	return l.add(ctx, text, func() {})
}

// add writes an entry. Written is called once the log has it, covered or not.
func (l *Log) add(ctx context.Context, text []byte, written func()) (index uint64, err error) {
	if err := l.reachable(); err != nil {
		return 0, err
	}
	sealed := (&Entry{Statement: text, Signature: l.key.Sign(text)}).seal()
	at, err := l.appender.Add(ctx, tessera.NewEntry(sealed))()
	if err != nil {
		return 0, fmt.Errorf("%w: append: %w", ErrLog, err)
	}
	written()
	if err := l.grown.Append(rfc6962.DefaultHasher.HashLeaf(sealed), nil); err != nil {
		return at.Index, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := l.await(ctx, at.Index+1); err != nil {
		return at.Index, fmt.Errorf("entry %d: %w", at.Index, err)
	}
	return at.Index, l.checkWritten(ctx, at.Index, sealed)
}

// checkWritten reads back what was written: the driver has ways to lose a bundle without saying so.
func (l *Log) checkWritten(ctx context.Context, index uint64, sealed []byte) error {
	if err := l.checkRoot(); err != nil {
		return err
	}
	list, err := newReader(l.dir, index+1).entries(ctx, index/tileWidth)
	if err != nil {
		return fmt.Errorf("%w: read entry %d back: %w", ErrDamaged, index, err)
	}
	if !bytes.Equal(list[index%tileWidth], sealed) {
		return fmt.Errorf("%w: entry %d was not written as it was signed", ErrDamaged, index)
	}
	return nil
}

// reachable tells of what would end the process further down: the driver takes a lock that it can't open for a fault
// of the program. The lock itself is not opened here: closing it would give up the driver's.
func (l *Log) reachable() error {
	state := filepath.Join(l.dir.Dir, ".state")
	d, err := os.Open(state) // also: is there a file descriptor left
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	err = unix.Access(filepath.Join(state, "treeState.lock"), unix.R_OK|unix.W_OK) // also: is the file system read-only
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	return nil
}

// await waits until a signed checkpoint has at least this many entries.
func (l *Log) await(ctx context.Context, size uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, publishWait, ErrUnpublished)
	defer cancel()
	for wait := pollFirst; ; wait = min(2*wait, pollMost) {
		raw, err := l.dir.File(ctx, file{checkpoint: true}.path(), maxNote)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("%w: %w", ErrLog, err)
		default:
			c, err := l.trusted.OpenCheckpoint(raw)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if c.Size >= size {
				l.mu.Lock()
				l.published = c
				l.mu.Unlock()
				return nil
			}
		}
		if err := clock.Sleep(ctx, l.clock, wait); err != nil {
			return context.Cause(ctx)
		}
	}
}

// Published is the newest signed checkpoint that this log has waited for.
func (l *Log) Published() Checkpoint {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.published
}

// Trusted is what verifies the log.
func (l *Log) Trusted() Trusted { return l.trusted }

// Last is the last statement, and whether there is one.
func (l *Log) Last() (s Statement, ok bool) {
	l.appending.Lock()
	defer l.appending.Unlock()
	return l.lineage.last, l.lineage.heard
}

// maxEntries bounds a call of Entries.
const maxEntries = 500

// maxScan bounds how many entries Entries looks at. The ledger states something at least once a minute and heads come at
// most once a second, so there is always a statement among them.
const maxScan = 1 << 14

// Entries returns up to limit (at most 500) published statements about the ledger before index before, newest first;
// before 0: from the newest. Heads of records are passed over. Errors: ErrLog.
func (l *Log) Entries(ctx context.Context, before uint64, limit int) ([]Entry, error) {
	size := l.Published().Size
	if before == 0 || before > size {
		before = size
	}
	r := newReader(l.dir, size)
	var list []Entry
	for i := before; i > 0 && before-i < maxScan && len(list) < min(limit, maxEntries); i-- {
		e, err := r.entry(ctx, i-1)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLog, err)
		}
		if e.OfRecords() {
			continue
		}
		list = append(list, e)
	}
	return list, nil
}

// File returns a published file of the log by its path: "checkpoint", "tile/…". Other paths, and what no signed
// checkpoint covers yet, are [fs.ErrNotExist]: so what is served never changes, but for the checkpoint.
func (l *Log) File(ctx context.Context, path string) ([]byte, error) {
	f, ok := parseFile(path)
	c := l.Published()
	switch {
	case !ok || !f.checkpoint && f.needs() > c.Size:
		return nil, fmt.Errorf("%.200q: %w", path, fs.ErrNotExist)
	case f.checkpoint:
		return c.Note, nil
	}
	return l.dir.File(ctx, f.path(), f.maxSize())
}

// Close waits, as long as ctx allows, until everything is in a signed checkpoint, and ends the log.
func (l *Log) Close(ctx context.Context) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.ended {
		return nil
	}
	l.ended = true
	err := l.shutdown(ctx)
	l.stop()
	if err != nil {
		return fmt.Errorf("%w: close: %w", ErrUnpublished, err)
	}
	return nil
}
