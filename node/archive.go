package node

import (
	"context"
	"errors"
	"math"

	"github.com/sterlingrun/sterling/store/local"
)

// ArchiveResult is what an archive did, and what kept more from being moved.
type ArchiveResult struct {
	local.Archived
	Bound string // empty: nothing did
}

// ArchiveBounds say which segments may go: those whose blocks all come before a block, or before a time in nanoseconds
// since 1970. Zero: no bound.
type ArchiveBounds struct{ Seq, Time uint64 }

// MoveOld moves old segments of a folder that nothing runs on.
func MoveOld(ctx context.Context, config Config, b ArchiveBounds, progress func(done, total uint64)) (result ArchiveResult, err error) {
	store, indexed, err := openOffline(config)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return moveOld(ctx, store, indexed, config.Archive.Dir, b, progress)
}

// moveOld archives what the bounds allow and every other part has passed: a start must not need what may be on a slow
// disk.
func moveOld(ctx context.Context, store *local.Store, indexed uint64, dir string, b ArchiveBounds, progress func(done, total uint64)) (result ArchiveResult, err error) {
	o := local.ArchiveOptions{Dir: dir, Below: math.MaxUint64, Before: math.MaxUint64, Progress: progress}
	if b.Seq > 0 {
		o.Below = b.Seq
	}
	if b.Time > 0 {
		o.Before = b.Time
	}
	var snapshot uint64
	list, err := store.Snapshots().List()
	if err != nil {
		return result, err
	}
	if len(list) > 0 {
		snapshot = list[0]
	}
	if sealed := store.Sealed(); min(o.Below, sealed) > min(snapshot, indexed)+1 {
		o.Below = min(snapshot, indexed) + 1
		result.Bound = "the index has not passed the other segments yet"
		if snapshot <= indexed {
			result.Bound = "no snapshot has passed the other segments yet"
		}
	}
	result.Archived, err = store.Archive(ctx, o)
	return result, err
}
