package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/watch"
)

// VerifyStore proves a cell's journal in a database right, as far as it goes when it is asked; nodes may run on it
// meanwhile.
func VerifyStore(ctx context.Context, store Store, number uint32, logger *slog.Logger, progress func(seq, head uint64)) (v cell.Verification, err error) {
	dsn, err := store.ReadDSN()
	if err != nil {
		return v, err
	}
	log, err := openLog(ctx, dsn, number, logger)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return cell.Verify(ctx, uint64(number), log, watch.NewVerifier(uint64(number)), progress)
}

// Verify proves a data folder right, offline: nothing else may run on it. Two opinions that share no code have to agree:
// the ledger's replay and watch's own count.
func Verify(ctx context.Context, folder string, number uint32, progress func(seq, head uint64)) (v cell.Verification, err error) {
	if _, err := os.Stat(folder); err != nil {
		return v, fmt.Errorf("data folder: %w", err)
	}
	store, err := local.Open(folder, local.Options{Cell: uint64(number)})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Verify(ctx, nil); err != nil {
		return v, err
	}
	return cell.Verify(ctx, uint64(number), store, watch.NewVerifier(uint64(number)), progress)
}
