package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/store/local"
)

// Backup says where a running node backs its journal up to. A caller names a target; it can't bring one along, so that
// a token can't send the books elsewhere.
type Backup struct {
	Targets map[string]BackupTarget `yaml:"targets"`
	// Every is how often each target gets what is new; 0: only when somebody asks.
	Every time.Duration `yaml:"every"`
}

// BackupTarget is a repository of backups.
type BackupTarget struct {
	URL string `yaml:"url"` // folder, or s3://BUCKET/PREFIX?endpoint=…
}

// Archive says where old segments of the journal are kept.
type Archive struct {
	Dir string `yaml:"dir"` // folder; empty: nothing is archived, and what was is where it was put
}

// onlineRate is how many bytes of blocks a second a backup beside running writes reads at most: several times what
// writes make, and little beside what a disk gives.
const onlineRate = 100 << 20

// minEvery bounds how often backups run by themselves.
const minEvery = time.Minute

// check says what is wrong with b.
func (b *Backup) check(fault func(format string, args ...any)) {
	if b == nil {
		return
	}
	for name, target := range b.Targets {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			fault("backup.targets: %q is no name: want lower-case letters, digits, - and _", name)
		}
		if _, err := OpenRepository(target.URL); err != nil {
			fault("backup.targets.%s.url: %w", name, err)
		}
	}
	if b.Every != 0 && b.Every < minEvery {
		fault("backup.every: want %v or more, not %v", minEvery, b.Every)
	}
	if b.Every != 0 && len(b.Targets) == 0 {
		fault("backup.every: there are no targets")
	}
}

// names returns the targets' names in order.
func (b *Backup) names() []string {
	var names []string
	if b != nil {
		for name := range b.Targets {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// BackUp copies the journal of a folder that nothing runs on.
func BackUp(ctx context.Context, config Config, place string, full bool, progress func(done, total uint64)) (result *backup.Result, err error) {
	repository, err := OpenRepository(place)
	if err != nil {
		return nil, err
	}
	store, _, err := openOffline(config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	o := backup.Options{Cell: uint64(config.Cell), Full: full, Clock: clock.NewSystem(), Random: rand.Reader, Progress: progress}
	if _, err := os.Stat(filepath.Join(config.Data, keysDir)); err == nil {
		keys, openErr := openKeys(ctx, config, o.Clock)
		if openErr != nil {
			return nil, openErr
		}
		defer func() { err = errors.Join(err, keys.Close()) }()
		o.Extras = keysExtras(keys)
	}
	return backup.Run(ctx, store, repository, o)
}

// openOffline opens the journal of a folder that nothing runs on, and tells how far the index is; it never makes one.
// Blocks are not checked here: who copies them checks them.
func openOffline(config Config) (store *local.Store, indexed uint64, err error) {
	if _, err := os.Stat(config.Data); err != nil {
		return nil, 0, fmt.Errorf("data folder: %w", err)
	}
	o := local.Options{
		Cell: uint64(config.Cell), Archive: config.Archive.Dir, SegmentSize: config.SegmentBytes, VerifyFrom: math.MaxUint64,
	}
	indexed, indexErr := indexedTo(config)
	if indexErr != nil {
		o.Floor = math.MaxUint64 // nothing may be cut off; Open tells if a server runs on the folder
	} else {
		o.Floor = indexed
	}
	store, err = local.Open(config.Data, o)
	switch {
	case errors.Is(err, local.ErrLocked), indexErr == nil:
		return store, indexed, err
	case err == nil: // an empty journal
		return nil, 0, errors.Join(indexErr, store.Close())
	}
	return nil, 0, indexErr
}

// indexedTo tells which blocks are known to have been durable because the index has them; 0 where there is no index.
func indexedTo(config Config) (uint64, error) {
	path := filepath.Join(config.Data, indexDir)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	x, err := index.Open(path, index.Options{})
	if errors.Is(err, index.ErrRebuild) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return x.Durable(), x.Close()
}

// backUp copies the running journal, up to the last block that is durable now.
func (n *Node) backUp(ctx context.Context, target string, full bool, progress func(done, total uint64)) (*backup.Result, error) {
	repository, err := OpenRepository(n.config.Backup.Targets[target].URL)
	if err != nil {
		return nil, err
	}
	r, err := backup.Run(ctx, n.journal, repository, backup.Options{
		Cell: uint64(n.config.Cell), Through: n.cell.Head(), Full: full, Clock: n.clock, Random: rand.Reader, Rate: onlineRate, Progress: progress,
		Extras: keysExtras(n.keys),
	})
	if err != nil {
		return nil, err
	}
	for _, fault := range r.Skipped {
		n.logger.Error("a damaged backup was not built upon", "target", target, "error", fault)
	}
	if r.Untidy != nil {
		n.logger.Warn("rests of older backups were not removed", "target", target, "error", r.Untidy)
	}
	return r, nil
}

// schedule backs up to every target at the start and whenever it is time, until ctx ends. What fails is tried again at the next
// time; the log says so.
func (j *jobs) schedule(ctx context.Context) {
	n := j.n
	for ctx.Err() == nil {
		for _, target := range n.config.Backup.names() {
			if err := j.scheduled(ctx, target); err != nil && ctx.Err() == nil {
				n.logger.Error("scheduled backup not taken", "target", target, "error", err)
			}
		}
		_ = clock.Sleep(ctx, n.clock, n.config.Backup.Every) // the loop looks at ctx
	}
}
