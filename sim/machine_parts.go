package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// snapshots is cell.Snapshots in memory. What is committed survives a crash, unless its medium damages it.
type snapshots struct {
	kept    map[uint64][]byte
	damaged map[uint64]bool
}

func newSnapshots() *snapshots {
	return &snapshots{kept: map[uint64][]byte{}, damaged: map[uint64]bool{}}
}

type snapshotFile struct {
	bytes.Buffer
	of  *snapshots
	seq uint64
}

// Create implements cell.Snapshots.
func (s *snapshots) Create(seq uint64) (cell.SnapshotWriter, error) {
	return &snapshotFile{of: s, seq: seq}, nil
}

// Commit implements cell.SnapshotWriter.
func (f *snapshotFile) Commit() error {
	f.of.kept[f.seq] = f.Bytes()
	delete(f.of.damaged, f.seq)
	return nil
}

// Abort implements cell.SnapshotWriter.
func (f *snapshotFile) Abort() error { return nil }

// List implements cell.Snapshots.
func (s *snapshots) List() ([]uint64, error) {
	var list []uint64
	for seq := range s.kept {
		list = append(list, seq)
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list, nil
}

// Open implements cell.Snapshots.
func (s *snapshots) Open(seq uint64) (io.ReadCloser, error) {
	if s.damaged[seq] {
		return nil, fmt.Errorf("open snapshot %d: %w", seq, cell.ErrDamaged)
	}
	return io.NopCloser(bytes.NewReader(s.kept[seq])), nil
}

// Remove implements cell.Snapshots.
func (s *snapshots) Remove(seq uint64) error {
	delete(s.kept, seq)
	return nil
}

// damage spoils one snapshot, if there is any.
func (s *snapshots) damage(rng *rand.Rand) (seq uint64) {
	list, _ := s.List() // never fails
	if len(list) == 0 {
		return 0
	}
	seq = list[rng.IntN(len(list))]
	s.damaged[seq] = true
	return seq
}

// follower stands for an index that lags: what it took after its last flush is gone after a crash. It answers whether a
// transfer has a timestamp, once it has caught up.
type follower struct {
	blocks  []followed
	durable int
	lags    bool // planted: it answers without having caught up
	catchUp func()
}

type followed struct {
	hash  journal.Hash
	times []uint64 // of the transfers that were created
}

// Add implements cell.Follower.
func (f *follower) Add(b *journal.Block, fx *ledger.Effects) error {
	n := uint64(len(f.blocks))
	switch {
	case b.Header.Seq <= n && f.blocks[b.Header.Seq-1].hash == b.Hash:
		return nil
	case b.Header.Seq != n+1:
		return fmt.Errorf("block %d %v after block %d", b.Header.Seq, b.Hash, n)
	}
	x := followed{hash: b.Hash}
	for _, e := range fx.Transfers {
		at := b.Header.Time + uint64(len(b.Expiries)) + uint64(e.Event)
		x.times = append(x.times, at)
	}
	f.blocks = append(f.blocks, x)
	return nil
}

// Applied implements cell.Follower.
func (f *follower) Applied() uint64 { return uint64(len(f.blocks)) }

// Durable implements cell.Follower.
func (f *follower) Durable() uint64 { return uint64(f.durable) } //nolint:gosec // a length

// Flush implements cell.Follower.
func (f *follower) Flush(context.Context) error {
	f.durable = len(f.blocks)
	return nil
}

// TransferAt implements cell.TransferTimes.
func (f *follower) TransferAt(_ context.Context, timestamp uint64) (bool, error) {
	if !f.lags && f.catchUp != nil {
		f.catchUp()
	}
	for i := range f.blocks {
		if slices.Contains(f.blocks[i].times, timestamp) {
			return true, nil
		}
	}
	return false, nil
}

func (f *follower) crash() { f.blocks = f.blocks[:f.durable] }
