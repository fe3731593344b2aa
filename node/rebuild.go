package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/store/local"
)

// barPause is how often progress is told.
const barPause = 100 * time.Millisecond

// RebuildIndex builds a data folder's index anew, offline: nothing else may run on it. Progress may be nil.
func RebuildIndex(ctx context.Context, folder string, number uint32, progress func(seq, head uint64)) (err error) {
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	store, err := local.Open(folder, local.Options{Cell: uint64(number)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	head, _, err := store.Head(ctx)
	if err != nil {
		return err
	}
	x, err := index.OpenLive(filepath.Join(folder, indexDir), index.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	x.Start(store)
	if err := x.RebuildTo(head); err != nil {
		return err
	}
	for {
		ctx, cancel := context.WithTimeout(ctx, barPause)
		err := x.AwaitBuilt(ctx)
		cancel()
		if b := x.Building(); progress != nil {
			progress(b.Done, b.Total)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(err, x.Flush(context.WithoutCancel(ctx)))
		}
	}
}
