package index

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultRunEntries is how many entries a run has unless told otherwise: 128 full blocks.
const DefaultRunEntries = 128 * 2 * 8190

// Options of an index. The zero value is good.
type Options struct {
	FS         vfs.FS       // the disk unless set
	RunEntries int          // entries (two a transfer) in memory before they are written; DefaultRunEntries unless set
	Logger     *slog.Logger // nowhere unless set
}

const (
	runName   = "run.tmp" // a run until it is ingested
	cacheSize = 64 << 20
	// reserve is the space, in bytes, that the index leaves free. Pebble ends the process when its manifest can't be
	// written, so it is not asked to where the disk is nearly full.
	reserve = 64 << 20
)

// Open opens or creates the index in dir, which one process at a time can do. ErrRebuild: see there; every other
// error leaves the folder as it is, and trying again may help.
func Open(dir string, o Options) (*Index, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.RunEntries <= 0 {
		o.RunEntries = DefaultRunEntries
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Index{
		dir: dir, fs: o.FS, log: o.Logger, runEntries: o.RunEntries, pace: newPace(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := x.open(); err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	x.active = &buffer{through: x.head}
	x.applied.Store(x.head.seq)
	x.durable.Store(x.head.seq)
	go x.ingestRuns()
	return x, nil
}

func (x *Index) open() error {
	if err := makeFolder(x.fs, x.dir); err != nil {
		return err
	}
	lock, err := pebble.LockDirectory(x.dir, x.fs)
	if err != nil {
		return fmt.Errorf("lock it (is another process using it?): %w", err)
	}
	defer func() {
		if x.db == nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := x.checkFolder(); err != nil {
		return err
	}
	if err := x.checkSpace(0); err != nil {
		return err
	}
	x.cache = pebble.NewCache(cacheSize)
	x.lock, x.opts = lock, x.pebbleOptions(lock)
	db, err := pebble.Open(x.dir, x.opts)
	if err == nil {
		x.head, err = loadPoint(db)
		if err == nil {
			x.db = db
			return nil
		}
		err = errors.Join(err, db.Close())
	}
	x.cache.Unref()
	if surroundings(err) || errors.Is(err, ErrRebuild) {
		return err
	}
	return &rebuildError{err}
}

// makeFolder makes dir and those above it that are missing, so that they survive a crash: what is durable inside is
// only if its folder is.
func makeFolder(fs vfs.FS, dir string) error {
	var above []string
	for at := fs.PathDir(dir); ; at = fs.PathDir(at) {
		above = append(above, at)
		if _, err := fs.Stat(at); err == nil || at == fs.PathDir(at) {
			break
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, at := range above {
		d, err := fs.OpenDir(at)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// checkFolder refuses a folder that has files but no Pebble database, and removes a run that was not ingested.
func (x *Index) checkFolder() error {
	names, err := x.fs.List(x.dir)
	if err != nil {
		return err
	}
	if slices.Contains(names, runName) {
		if err := x.fs.Remove(x.fs.PathJoin(x.dir, runName)); err != nil {
			return err
		}
	}
	desc, err := pebble.Peek(x.dir, x.fs)
	if err != nil && surroundings(err) {
		return err
	}
	if err != nil {
		return &rebuildError{err}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "LOCK" || n == runName || n == "lost+found" })
	if !desc.Exists && len(names) > 0 {
		return fmt.Errorf("%w: it has files (%s, …) that are no index", ErrRebuild, names[0])
	}
	return nil
}

// checkSpace refuses to write n bytes to a disk that would then be nearly full.
func (x *Index) checkSpace(n uint64) error {
	usage, err := x.fs.GetDiskUsage(x.dir)
	if err != nil {
		return nil //nolint:nilerr // not every file system can tell; writing will
	}
	if usage.AvailBytes < reserve+n {
		return fmt.Errorf("%d bytes are free, the index needs %d: %w", usage.AvailBytes, reserve+n, syscall.ENOSPC)
	}
	return nil
}

// loadPoint reads how far the index is. A new one has nothing at all.
func loadPoint(db *pebble.DB) (point, error) {
	value, closer, err := db.Get([]byte{tagPoint})
	if err == nil {
		p, err := readPoint(value)
		return p, errors.Join(err, closer.Close())
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return point{}, damage(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return point{}, damage(err)
	}
	foreign := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return point{}, damage(err)
	}
	if foreign {
		return point{}, fmt.Errorf("%w: it is a database of something else", ErrRebuild)
	}
	return point{}, nil
}

// pebbleOptions: tables come in sorted and large, and nothing is written in any other way, so there is no log and the
// memtable is idle. Compression and filters cost more than they bring for keys of 13 bytes that are read by prefix.
func (x *Index) pebbleOptions(lock *pebble.Lock) *pebble.Options {
	o := &pebble.Options{
		FS: &pacedFS{x.fs, x.pace, x.crowded}, Cache: x.cache, Lock: lock, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest,
		L0CompactionThreshold: 16, L0StopWritesThreshold: 1000, LBaseMaxBytes: 512 << 20,
		Logger: logger{x.log},
	}
	o.CompactionConcurrencyRange = func() (lower, upper int) {
		if x.pace.asking() && !x.crowded() {
			return 1, 1
		}
		return 1, 2
	}
	o.Experimental.ReadSamplingMultiplier = -1 // reads cause no compactions
	for i := range o.Levels {
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 64 << 20
	}
	o.EventListener = &pebble.EventListener{
		CompactionEnd: func(pebble.CompactionInfo) { x.signal() },
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			x.corrupt.Store(true)
			x.log.Error("index is damaged", "path", i.Path, "error", i.Details)
		},
		BackgroundError: func(err error) { x.log.Error("index compaction", "error", err) },
	}
	return o
}

// logger passes on what Pebble says. Pebble calls Fatalf where it can't go on (its manifest could not be synced):
// the index is then in a state that only a new start can tell.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) {
	panic("index: Pebble stopped: " + fmt.Sprintf(format, args...))
}
