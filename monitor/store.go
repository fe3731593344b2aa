package monitor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	pebblebloom "github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/watch"
)

// What the keys of the database begin with. Numbers in keys are big-endian, so that keys order like them.
const (
	tagMeta    = 'M' // → meta
	tagFlows   = 'F' // → settings, those that the log was written under
	tagGroup   = 'L' // group → inputs
	tagClosed  = 'C' // flow, 0, key, ^effect → state of a closed key
	tagRecord  = 'B' // break → record
	tagHistory = 'H' // break, number → watch.Entry
	tagFreeze  = 'Z' // freeze → watch.Freeze that is to be made
	// The lists of breaks. Each key ends in ^time and the break's id, so that the newest come first.
	tagAll   = 'T'
	tagState = 'I' // state
	tagClass = 'J' // class, 0
	tagFlow  = 'K' // flow, 0
	tagMates = 'G' // group
)

const (
	cacheSize    = 32 << 20
	memTableSize = 32 << 20
	// reserve is the space in bytes that is left free: Pebble can't be closed after its manifest could not be written.
	reserve = 64 << 20
)

// meta says how far the database is.
type meta struct {
	Version int    `json:"version"`
	Cell    uint64 `json:"cell"`
	Group   uint64 `json:"group"`  // last group of the log
	Effect  uint64 `json:"effect"` // number of the last effect that is stored
	Shift   uint64 `json:"shift"`  // what is added to the engine's numbers: see session.realign
	Seq     uint64 `json:"seq"`    // last block
}

const storeVersion = 1

// store is the database. Only the committer writes to it.
type store struct {
	db    *pebble.DB
	cache *pebble.Cache
	fence fence
	fatal func(error) // called when it can't be used any more, even to close it
}

// comparer orders keys by their prefix, then by the rest. The prefix of a closed key, for filters, is all but its
// version; other keys are prefixes. Keys of tables are not shortened: a shorter key would be split elsewhere.
func comparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "sterling.monitor.1"
	c.Split = splitKey
	c.Compare = func(a, b []byte) int {
		i, k := splitKey(a), splitKey(b)
		if order := bytes.Compare(a[:i], b[:k]); order != 0 {
			return order
		}
		return bytes.Compare(a[i:], b[k:])
	}
	c.Separator = func(dst, a, _ []byte) []byte { return append(dst, a...) }
	c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
	return &c
}

func splitKey(key []byte) int {
	const id, version = 16, 8
	if len(key) > 0 && key[0] == tagClosed {
		if end := bytes.IndexByte(key, 0) + 1 + id; end > id && len(key) == end+version {
			return end
		}
	}
	return len(key)
}

// storeDir is the database's folder in the monitor's.
const storeDir = "db"

// openStore opens or makes the database in a folder that is locked. fatal is told when nothing more can be done with it,
// not even closing it.
func openStore(dir string, fs vfs.FS, log *slog.Logger, fatal func(error)) (*store, error) {
	s := &store{fence: newFence(fs), cache: pebble.NewCache(cacheSize)}
	s.fatal = func(err error) {
		s.fence.shut.Store(true)
		fatal(err)
	}
	o := &pebble.Options{
		FS: s.fence, Cache: s.cache, FormatMajorVersion: pebble.FormatNewest, Comparer: comparer(),
		MemTableSize: memTableSize, MemTableStopWritesThreshold: 4, L0CompactionThreshold: 4, LBaseMaxBytes: 128 << 20,
		Logger: pebbleLog{log, s.fatal}, BytesPerSync: 1 << 20, WALBytesPerSync: 1 << 20,
		EventListener: &pebble.EventListener{
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error("the watch's database is damaged", "path", i.Path, "error", i.Details)
			},
			BackgroundError: func(err error) { log.Warn("the watch's database", "error", err) },
		},
	}
	o.CompactionConcurrencyRange = func() (lower, upper int) { return 1, 1 }
	o.Experimental.ReadSamplingMultiplier = -1 // reads cause no compactions
	for i := range o.Levels {
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].FilterPolicy = pebblebloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	err := contained(func() (err error) {
		s.db, err = pebble.Open(fs.PathJoin(dir, storeDir), o)
		return err
	})
	if err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("open the watch's database: %w", err)
	}
	return s, nil
}

// close ends the database, or leaves it behind where it can't be closed.
func (s *store) close() error {
	if s.fence.shut.Load() {
		return nil
	}
	err := contained(s.db.Close)
	if !s.fence.shut.Load() {
		s.cache.Unref()
	}
	return err
}

// contained runs f on a goroutine of its own and turns a panic, or the end of that goroutine (see pebbleLog), into an
// error: the same process takes payments.
func contained(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errStopped
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: %v", errStopped, r)
			}
			done <- err
		}()
		err = f()
	}()
	return <-done
}

var errStopped = errors.New("the watch broke off")

// checkSpace refuses to go on where the disk is nearly full.
func checkSpace(fs vfs.FS, dir string, n uint64) error {
	usage, err := fs.GetDiskUsage(dir)
	if err != nil {
		return nil //nolint:nilerr // not every file system can tell; writing will
	}
	if usage.AvailBytes < n {
		return fmt.Errorf("%d bytes are free in %s, the watch needs %d: %w", usage.AvailBytes, dir, n, syscall.ENOSPC)
	}
	return nil
}

// getJSON reads a value; false where there is none.
func (s *store) getJSON(key []byte, v any) (bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %q: %w", key[:1], err)
	}
	err = json.Unmarshal(value, v)
	if err = errors.Join(err, closer.Close()); err != nil {
		return false, fmt.Errorf("read %q: %w", key[:1], err)
	}
	return true, nil
}

// scan calls f with what begins with a prefix, from a key on, until it returns false. Both slices are the database's.
func (s *store) scan(prefix, from []byte, f func(key, value []byte) (more bool, err error)) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if from == nil {
		from = prefix
	}
	for ok := it.SeekGE(from); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := f(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// after returns the first key beyond all that begin with a prefix, which is not all 0xff.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

func numberKey(tag byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{tag}, n) }
func idKey(tag byte, id watch.ID) []byte  { return append([]byte{tag}, id[:]...) }

func closedKey(dst []byte, flow string, key watch.ID, number uint64) []byte {
	dst = append(append(append(dst, tagClosed), flow...), 0)
	return binary.BigEndian.AppendUint64(append(dst, key[:]...), ^number)
}

// closed returns the state of the newest version of a key up to a number; nil: there is none.
func (s *store) closed(flow string, key watch.ID, through uint64) (state []byte, err error) {
	from := closedKey(nil, flow, key, through)
	prefix := from[:len(from)-8]
	it, err := s.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.SeekPrefixGE(from) && bytes.HasPrefix(it.Key(), prefix) {
		value, err := it.ValueAndErr()
		return bytes.Clone(value), err
	}
	return nil, it.Error()
}

// pebbleLog passes on what Pebble says. Pebble calls Fatalf where it can't go on; its caller must not either, and the
// payments of this process must: the goroutine ends, and the database is left behind.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLog) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l pebbleLog) Errorf(format string, args ...any) { l.log.Warn(fmt.Sprintf(format, args...)) }

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("the watch's database stopped: %w", fmt.Errorf(format, args...)))
	runtime.Goexit()
}
