package backup_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

func TestFullThenIncremental(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(7, 8190, 0, 100)
	first := r.backup()
	if !first.New || first.Manifest.Kind != backup.Full || first.Manifest.LastSeq != 7 || first.Objects < 2 {
		t.Fatalf("%+v", first)
	}
	r.wantBlocks(backup.Target{}, 7)
	r.grow(3, 5)
	second := r.backup()
	m := second.Manifest
	if m.Kind != backup.Incremental || m.Parent != first.Manifest.ID || m.FirstSeq != 8 || m.LastSeq != 10 || second.Objects != 1 {
		t.Fatalf("%+v", second)
	}
	if out := r.wantBlocks(backup.Target{}, 10); out.Backups != 2 || out.Manifest.ID != m.ID {
		t.Fatalf("%+v", out)
	}
	r.wantBlocks(backup.Target{Manifest: first.Manifest.ID}, 7)
	// Nothing new: no new backup.
	if again := r.backup(); again.New || again.Manifest.ID != m.ID || len(r.only("manifests/")) != 2 {
		t.Fatalf("%+v", again)
	}
	// A full one stands for itself.
	full := r.backup(func(o *backup.Options) { o.Full = true })
	if full.Manifest.Kind != backup.Full || full.Manifest.LastSeq != 10 {
		t.Fatalf("%+v", full)
	}
	if out := r.wantBlocks(backup.Target{}, 10); out.Backups != 1 {
		t.Fatalf("%+v", out)
	}
}

func TestThroughBoundsTheBackup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(9, 3)
	if m := r.backup(func(o *backup.Options) { o.Through = 4 }).Manifest; m.LastSeq != 4 {
		t.Fatalf("%+v", m)
	}
	r.wantBlocks(backup.Target{}, 4)
}

func TestRestoreToAnyBlockAndTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 4 {
		r.grow(5, 8190, 1, 0)
		r.backup()
	}
	for n := 1; n <= 20; n++ {
		r.wantBlocks(backup.Target{Seq: uint64(n)}, n)
		at := time.Unix(0, int64(r.blocks[n-1].Header.Time))
		if out := r.wantBlocks(backup.Target{Time: at}, n); !out.Time.Equal(at) {
			t.Fatalf("%+v", out)
		}
		if n < 20 {
			r.wantBlocks(backup.Target{Time: at.Add(time.Nanosecond)}, n)
		}
		r.wantBlocks(backup.Target{Time: at, Seq: uint64(max(1, n-1))}, max(1, n-1))
	}
	for name, target := range map[string]backup.Target{
		"a block beyond":  {Seq: 21},
		"before it began": {Time: time.Unix(0, int64(r.blocks[0].Header.Time)-1)},
		"after it":        {Time: wall(r.clock).Add(time.Hour)},
	} {
		if _, _, err := r.restore(target); !errors.Is(err, backup.ErrOutOfReach) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.restore(backup.Target{Manifest: "20260101t000000.000000z-00000000"}); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("an unknown id: %v", err)
	}
}

func TestNoBackupOfTheCell(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, _, err := r.restore(backup.Target{}); !errors.Is(err, backup.ErrNoBackup) {
		t.Errorf("an empty repository: %v", err)
	}
	if _, err := backup.Run(t.Context(), r.log, r.repo, r.options()); err == nil || len(r.repo.names()) > 0 {
		t.Errorf("an empty journal: %v, %v", err, r.repo.names())
	}
}

// TestAnotherHistoryIsRefused: a journal that was restored to an earlier point and went on, one of another writer, and
// one that is shorter.
func TestAnotherHistoryIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(6, 2)
	r.backup()
	before := r.repo.names()
	for _, keep := range []int{0, 3, 5} {
		for _, more := range []int{1, 4} {
			other := newRig(t)
			other.repo = r.repo
			for _, b := range r.blocks[:keep] {
				if err := other.log.Append(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			other.blocks = r.blocks[:keep:keep]
			other.writer.Incarnation = 9
			other.grow(more, 2)
			for _, full := range []bool{false, true} {
				o := other.options()
				o.Full = full
				if _, err := backup.Run(t.Context(), other.log, r.repo, o); !errors.Is(err, backup.ErrDiverged) {
					t.Errorf("%d blocks kept, %d of its own: %v", keep, more, err)
				}
			}
		}
	}
	if got := r.repo.names(); len(got) != len(before) {
		t.Errorf("it wrote: %v", got)
	}
}

func TestADamagedJournalIsNotBackedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(4, 2)
	for _, at := range []int{40, journal.HeaderSize + 5} {
		if _, err := backup.Run(t.Context(), flipped{r.log, 3, at}, r.repo, r.options()); err == nil {
			t.Errorf("a flipped bit at %d went into the backup", at)
		}
	}
	if got := r.only("manifests/"); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestTwoCellsShareARepository(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(3, 2)
	r.backup()
	log := new(celltest.Memory)
	for _, b := range (celltest.Writer{Cell: 2, Epoch: 1, Incarnation: 1}).Chain(0, journal.Hash{}, 5, 1) {
		if err := log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	o := r.options()
	o.Cell = 2
	if _, err := backup.Run(t.Context(), log, r.repo, o); err != nil {
		t.Fatal(err)
	}
	out, err := backup.Restore(t.Context(), r.repo, 2, backup.Target{}, backup.Discard{}, nil)
	if err != nil || out.Seq != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	r.wantBlocks(backup.Target{}, 3)
}

func TestExtrasAreReplacedAndRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	with := func(text string) func(*backup.Options) {
		return func(o *backup.Options) { o.Extras = []backup.Extra{{Name: "keys/current", Data: []byte(text)}} }
	}
	r.grow(2, 2)
	first := r.backup(with("old"))
	r.grow(2, 2)
	r.backup(with("newer"))
	r.backup(with("newest")) // there is no new block
	for _, id := range []string{"", first.Manifest.ID} {
		out, _, err := r.restore(backup.Target{Manifest: id})
		if err != nil || len(out.Extras) != 1 || out.Extras[0].Name != "keys/current" || string(out.Extras[0].Data) != "newest" {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	for _, name := range []string{"", "../x", "a//b", "a/../b", "/a", "A", "a b", ".", strings.Repeat("a", 129)} {
		o := r.options()
		o.Extras = []backup.Extra{{Name: name}}
		if _, err := backup.Run(t.Context(), r.log, r.repo, o); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestListShowsWhatCanBeRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for range 4 {
		r.grow(1, 2)
		ids = append(ids, r.backup().Manifest.ID)
	}
	broken := fmt.Sprintf("cell-1/manifests/%s.json", ids[1])
	r.repo.objects[broken][200] ^= 1
	list, err := backup.List(t.Context(), r.repo, cellNumber)
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, b := range list {
		if b.ID != ids[i] || (b.Fault == nil) != (i == 0) || (b.Manifest == nil) != (i == 1) {
			t.Errorf("backup %d: %+v", i, b)
		}
		if b.Fault != nil {
			wantDamage(t, b.Fault, broken)
		}
	}
}
