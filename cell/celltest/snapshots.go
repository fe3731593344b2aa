package celltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/cell"
)

// SnapshotHarness is an empty store of snapshots, fresh for each case.
type SnapshotHarness struct {
	Snapshots cell.Snapshots
	// Stored and Replace read and overwrite the stored form of a committed snapshot, past the store.
	Stored  func(seq uint64) ([]byte, error)
	Replace func(seq uint64, b []byte) error
}

// SnapshotCase is one rule of the contract. Run returns what broke it.
type SnapshotCase struct {
	Name string
	Run  func(ctx context.Context, h SnapshotHarness) error
}

// Snapshots runs every case as a subtest, each on a store that open makes.
func Snapshots(t *testing.T, open func(t *testing.T) SnapshotHarness) {
	t.Helper()
	for _, c := range SnapshotCases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), open(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// SnapshotCases are the rules.
func SnapshotCases() []SnapshotCase {
	return []SnapshotCase{
		{"what was committed is read back", snapshotRoundTrip},
		{"the newest is listed first", snapshotsListed},
		{"what was not committed does not count", snapshotNotCommitted},
		{"what was given up is gone", snapshotAborted},
		{"a removed one is gone", snapshotRemoved},
		{"one that was cut short is damaged", snapshotCut},
		{"one that was altered is damaged", snapshotAltered},
		{"one with more after its end is damaged", snapshotLonger},
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)}) //nolint:gosec // a few seeds, told apart by their last byte
	_, _ = r.Read(b)                           // never fails
	return b
}

// writeSnapshot writes data in pieces of odd sizes.
func writeSnapshot(s cell.Snapshots, seq uint64, data []byte) (cell.SnapshotWriter, error) {
	w, err := s.Create(seq)
	if err != nil {
		return nil, err
	}
	for piece := 1; len(data) > 0; piece = piece*3 + 1 {
		n := min(piece, len(data))
		if k, err := w.Write(data[:n]); err != nil || k != n {
			return nil, fmt.Errorf("write %d bytes: wrote %d, error %w", n, k, err)
		}
		data = data[n:]
	}
	return w, nil
}

func commitSnapshot(s cell.Snapshots, seq uint64, data []byte) error {
	w, err := writeSnapshot(s, seq, data)
	if err != nil {
		return err
	}
	return w.Commit()
}

func readSnapshot(s cell.Snapshots, seq uint64) ([]byte, error) {
	r, err := s.Open(seq)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantList(s cell.Snapshots, want ...uint64) error {
	got, err := s.List()
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the snapshots are %v, want %v", got, want)
	}
	return nil
}

func snapshotRoundTrip(_ context.Context, h SnapshotHarness) error {
	for i, n := range []int{0, 1, 39, 40, 41, 4096, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 123} {
		seq := uint64(i + 1)
		data := noise(seq, n)
		if err := commitSnapshot(h.Snapshots, seq, data); err != nil {
			return fmt.Errorf("snapshot of %d bytes: %w", n, err)
		}
		got, err := readSnapshot(h.Snapshots, seq)
		if err != nil || !bytes.Equal(got, data) {
			return fmt.Errorf("snapshot of %d bytes: read %d, error %w", n, len(got), err)
		}
	}
	return nil
}

func snapshotsListed(_ context.Context, h SnapshotHarness) error {
	if err := wantList(h.Snapshots); err != nil {
		return err
	}
	for _, seq := range []uint64{7, 1 << 40, 300} {
		if err := commitSnapshot(h.Snapshots, seq, []byte("state")); err != nil {
			return err
		}
	}
	return wantList(h.Snapshots, 1<<40, 300, 7)
}

func snapshotNotCommitted(_ context.Context, h SnapshotHarness) error {
	w, err := writeSnapshot(h.Snapshots, 5, noise(5, 3<<20))
	if err != nil {
		return err
	}
	if err := wantList(h.Snapshots); err != nil {
		return err
	}
	if _, err := readSnapshot(h.Snapshots, 5); err == nil {
		return errors.New("a snapshot was read before it was committed")
	}
	if err := w.Commit(); err != nil {
		return err
	}
	return wantList(h.Snapshots, 5)
}

func snapshotAborted(_ context.Context, h SnapshotHarness) error {
	w, err := writeSnapshot(h.Snapshots, 5, noise(5, 100))
	if err != nil {
		return err
	}
	if err := w.Abort(); err != nil {
		return err
	}
	if err := wantList(h.Snapshots); err != nil {
		return err
	}
	return commitSnapshot(h.Snapshots, 5, []byte("once more"))
}

func snapshotRemoved(_ context.Context, h SnapshotHarness) error {
	for seq := uint64(1); seq <= 3; seq++ {
		if err := commitSnapshot(h.Snapshots, seq, []byte("state")); err != nil {
			return err
		}
	}
	if err := h.Snapshots.Remove(2); err != nil {
		return err
	}
	if _, err := readSnapshot(h.Snapshots, 2); err == nil {
		return errors.New("a removed snapshot was read")
	}
	return wantList(h.Snapshots, 3, 1)
}

// wantDamaged stores b in place of snapshot seq and reads it.
func wantDamaged(h SnapshotHarness, seq uint64, b []byte, what string) error {
	if err := h.Replace(seq, b); err != nil {
		return err
	}
	_, err := readSnapshot(h.Snapshots, seq)
	return wantError(err, cell.ErrDamaged, what)
}

func snapshotCut(_ context.Context, h SnapshotHarness) error {
	for i, n := range []int{0, 1000, 2<<20 + 5} {
		seq := uint64(i + 1)
		if err := commitSnapshot(h.Snapshots, seq, noise(seq, n)); err != nil {
			return err
		}
		b, err := h.Stored(seq)
		if err != nil {
			return err
		}
		for cut := 0; cut < len(b); cut += 1 + cut/7 {
			if err := wantDamaged(h, seq, b[:cut], fmt.Sprintf("%d of %d bytes", cut, len(b))); err != nil {
				return err
			}
		}
		if err := wantDamaged(h, seq, b[:len(b)-1], "all but the last byte"); err != nil {
			return err
		}
	}
	return nil
}

func snapshotAltered(_ context.Context, h SnapshotHarness) error {
	if err := commitSnapshot(h.Snapshots, 1, noise(1, 5000)); err != nil {
		return err
	}
	b, err := h.Stored(1)
	if err != nil {
		return err
	}
	// The version and the cell may answer with errors of their own: what counts is that nothing passes.
	for at := 0; at < len(b); at += 1 + at/100 {
		altered := bytes.Clone(b)
		altered[at] ^= 1 << (at % 8)
		if err := h.Replace(1, altered); err != nil {
			return err
		}
		if _, err := readSnapshot(h.Snapshots, 1); err == nil {
			return fmt.Errorf("a bit of byte %d was altered, and nobody noticed", at)
		}
	}
	middle := bytes.Clone(b)
	middle[len(b)/2] ^= 0x10
	return wantDamaged(h, 1, middle, "a bit in the middle")
}

func snapshotLonger(_ context.Context, h SnapshotHarness) error {
	if err := commitSnapshot(h.Snapshots, 1, noise(1, 5000)); err != nil {
		return err
	}
	b, err := h.Stored(1)
	if err != nil {
		return err
	}
	return wantDamaged(h, 1, append(b, 0), "a byte more")
}
