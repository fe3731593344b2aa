package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// Names in the data folder.
const (
	journalDir   = "journal"
	snapshotDir  = "snapshots"
	idsDir       = "ids"
	lockName     = "LOCK"
	ownerName    = "LOCK.owner"
	formatName   = "FORMAT"
	formatPrefix = "sterling data folder, format "
	tmpSuffix    = ".tmp"
)

// Segment sizes in bytes.
const (
	DefaultSegmentSize = 256 << 20
	minSegmentSize     = 16 << 10
	maxSegmentSize     = 1 << 38
)

// Options say what Open finds and how carefully it looks.
type Options struct {
	// FS is where the folder is; vfs.Default, the real one, if nil.
	FS vfs.FS
	// Cell is the number of the cell that the folder belongs to.
	Cell uint64
	// SegmentSize is the size of new segment files in bytes, rounded up to 4 KiB; DefaultSegmentSize if 0. A block
	// that is larger gets a segment of its own.
	SegmentSize int64
	// Floor is the highest sequence number that the caller knows to be durable, such as the index's position. A
	// journal that ends before it, or before the newest snapshot, has lost acknowledged blocks: Open fails with
	// ErrBehind.
	Floor uint64
	// VerifyFrom is the first block whose every sector, and whose place in the chain, Open checks; 0 means all. Older
	// segments are checked when they are read, and by Verify. The last segment is always checked.
	VerifyFrom uint64
	// Archive is the folder where archived segments are now; empty: where Archive put them.
	Archive string
}

// Recovery tells what Open found.
type Recovery struct {
	Head uint64 // sequence number of the last block
	// Cut says that an append had been interrupted, and that its torn sectors were cleared: Sectors of them in File
	// from Offset on. Nothing in them had been acknowledged.
	Cut     bool
	File    string
	Offset  int64
	Sectors int
}

// Store is one cell's journal and snapshots in one folder. It is a cell.Log; Snapshots has the rest.
type Store struct {
	fs       vfs.FS
	dir      string
	opts     Options
	lock     io.Closer
	recovery Recovery
	prepare  *preparer
	files    files
	ids      *IDs

	archiving sync.Mutex    // one Archive at a time; guards archive
	archive   archiveRecord // set by Open, then by Archive

	space  atomic.Int64 // sectors that the active segment has left
	life   sync.RWMutex // held for reading by every call, for writing by Close
	closed bool

	appending sync.Mutex // one append at a time; guards the fields up to mu
	failed    error      // of a sync: every later append fails with it
	buf       []byte     // the framed block
	coder     codec      // of the active segment
	tail      uint32     // next free sector of the active segment
	dirty     uint32     // sectors from tail on that a failed write may have touched

	mu       sync.RWMutex // guards what readers see
	segments []*segment   // ascending; the last one is active
	active   []place      // blocks of the active segment
	head     uint64
	hash     journal.Hash
}

// Open opens the journal in dir, which it creates where it isn't there, and recovers it: it cuts a torn tail, which
// nobody was told about, and refuses to go on over anything else that isn't as it was written. Errors: ErrLocked,
// ErrVersion, ErrWrongCell, ErrMissing, ErrBehind, cell.ErrDamaged.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < minSegmentSize || o.SegmentSize > maxSegmentSize {
		return nil, fmt.Errorf("open %s: segments of %d bytes: they have %d to %d", dir, o.SegmentSize, minSegmentSize, int64(maxSegmentSize))
	}
	o.SegmentSize = (o.SegmentSize + 4095) &^ 4095
	s := &Store{fs: o.FS, dir: dir, opts: o, files: files{fs: o.FS}}
	s.ids = newIDs(s)
	if err := s.openFolder(); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.files.close(), s.lock.Close())
	}
	s.recovery.Head = s.head
	s.prepare = newPreparer(s.fs, s.path(journalDir, preparedName))
	s.prepare.ask(s.opts.SegmentSize, false)
	s.pace()
	return s, nil
}

// Recovery tells what Open found.
func (s *Store) Recovery() Recovery { return s.recovery }

// Close waits for the calls in progress, stops the preparation of segments and releases the folder.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.prepare.close()
	return errors.Join(s.files.close(), s.ids.close(), s.lock.Close())
}

// enter begins a call; the function it returns ends it.
func (s *Store) enter() (leave func(), err error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, ErrClosed
	}
	return s.life.RUnlock, nil
}

func (s *Store) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.dir}, elem...)...)
}

// openFolder creates the folder, locks it and checks its format.
func (s *Store) openFolder() error {
	if err := s.createFolder(s.dir); err != nil {
		return err
	}
	lock, err := s.fs.Lock(s.path(lockName))
	if err != nil {
		return s.lockError(err)
	}
	s.lock = lock
	if err := s.layOut(); err != nil {
		return errors.Join(err, lock.Close())
	}
	return nil
}

func (s *Store) layOut() error {
	for _, sub := range []string{journalDir, snapshotDir, idsDir} {
		if err := s.fs.MkdirAll(s.path(sub), 0o700); err != nil {
			return fmt.Errorf("create data folder: %w", full(err))
		}
	}
	// Only for the message of whoever comes second: a full disk must not keep the journal from being read.
	_ = s.writeFile(ownerName, strconv.Itoa(os.Getpid()))
	if err := s.checkFormat(); err != nil {
		return err
	}
	return s.syncDir(s.dir)
}

// createFolder makes a folder, with those above it, and their names durable.
func (s *Store) createFolder(folder string) error {
	var parents []string
	for dir := folder; ; dir = s.fs.PathDir(dir) {
		if dir == s.fs.PathDir(dir) {
			break
		}
		parents = append(parents, s.fs.PathDir(dir))
		if _, err := s.fs.Stat(dir); err == nil {
			break // whoever made it may not have made its name durable
		}
	}
	if err := s.fs.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("create folder %s: %w", folder, full(err))
	}
	for _, parent := range parents {
		if err := s.syncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lockError(cause error) error {
	owner, err := s.readFile(ownerName)
	if pid, convErr := strconv.Atoi(strings.TrimSpace(owner)); err == nil && convErr == nil {
		return fmt.Errorf("open %s: %w by process %d (%w)", s.dir, ErrLocked, pid, cause)
	}
	return fmt.Errorf("open %s: %w by another process (%w)", s.dir, ErrLocked, cause)
}

// checkFormat reads the folder's format version, or writes it into a folder without a journal.
func (s *Store) checkFormat() error {
	text, err := s.readFile(formatName)
	if errors.Is(err, os.ErrNotExist) {
		names, err := s.fs.List(s.path(journalDir))
		if err != nil {
			return fmt.Errorf("list segments: %w", err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".seg") {
				return damaged(s.path(formatName), 0, "it is missing, but there is a journal")
			}
		}
		if err := s.writeFile(formatName+tmpSuffix, formatPrefix+strconv.Itoa(formatVersion)+"\n"); err != nil {
			return err
		}
		if err := s.fs.Rename(s.path(formatName+tmpSuffix), s.path(formatName)); err != nil {
			return fmt.Errorf("name %s: %w", formatName, full(err))
		}
		return nil
	}
	if err != nil {
		return err
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(text), formatPrefix)
	n, err := strconv.Atoi(version)
	if !ok || err != nil {
		return damaged(s.path(formatName), 0, "it does not say %q and a number", formatPrefix)
	}
	if n != formatVersion {
		return fmt.Errorf("open %s: %w: the folder has %d, this program knows %d", s.dir, ErrVersion, n, formatVersion)
	}
	return nil
}

// readFile returns the contents of a small file of the folder, at most 256 bytes.
func (s *Store) readFile(name string) (string, error) {
	f, err := s.fs.Open(s.path(name))
	if err != nil {
		return "", fmt.Errorf("open %s: %w", name, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return string(b), nil
}

// writeFile writes a small file of the folder and makes it durable.
func (s *Store) writeFile(name, text string) error {
	f, err := s.fs.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, full(err))
	}
	_, err = f.Write([]byte(text))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, full(err))
	}
	return nil
}

// syncDir makes the names in a folder durable.
func (s *Store) syncDir(path string) error {
	d, err := s.fs.OpenDir(path)
	if err != nil {
		return fmt.Errorf("open folder %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w: %w", path, ErrSyncFailed, err)
	}
	return nil
}

func unsupported(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, errors.ErrUnsupported)
}

var (
	_ cell.Log       = (*Store)(nil)
	_ cell.Snapshots = (*Snapshots)(nil)
)
