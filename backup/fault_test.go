package backup_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/backup"
)

var errCut = errors.New("the backup was cut short here")

// flipped is a journal with one bit of one block turned around.
type flipped struct {
	backup.Blocks
	seq uint64
	at  int
}

func (f flipped) Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error) {
	b, err := f.Blocks.Read(ctx, seq, dst)
	if err == nil && seq == f.seq {
		b[f.at] ^= 4
	}
	return b, err
}

// TestCutShortAnywhere ends a backup before and after each of its writes. What was there before must still restore,
// the part must count for nothing, and the next backup must be whole and use what is there.
func TestCutShortAnywhere(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		for cut := 1; ; cut++ {
			r := newRig(t)
			r.grow(2, 10)
			r.backup()
			r.grow(6, 8190)
			r.repo.puts = 0
			fail := func(n int, _ string) error {
				if n == cut {
					return errCut
				}
				return nil
			}
			if stored {
				r.repo.after = fail
			} else {
				r.repo.before = fail
			}
			extras := func(o *backup.Options) { o.Extras = []backup.Extra{{Name: "keys", Data: []byte("k")}} }
			o := r.options()
			extras(&o)
			_, err := backup.Run(t.Context(), r.log, r.repo, o)
			r.repo.before, r.repo.after = nil, nil
			if err == nil {
				if cut < 5 {
					t.Fatalf("only %d writes", cut-1)
				}
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			committed := len(r.only("manifests/")) == 2 // the manifest was stored, only the answer was lost
			if committed {
				r.wantBlocks(backup.Target{}, 8)
			} else {
				r.wantBlocks(backup.Target{}, 2)
			}
			left := len(r.only("blocks/")) - 1
			next := r.backup(extras)
			if !committed && next.Reused != left {
				t.Errorf("cut at %d: %d objects were left, %d used again", cut, left, next.Reused)
			}
			r.wantBlocks(backup.Target{}, 8)
		}
	}
}

// TestLeftoversGoAfterTwoDays, and not before: another backup may be about to name them.
func TestLeftoversGoAfterTwoDays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(4, 8190)
	r.repo.before = func(_ int, name string) error {
		if strings.Contains(name, "/manifests/") {
			return errCut
		}
		return nil
	}
	if _, err := backup.Run(t.Context(), r.log, r.repo, r.options()); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	r.repo.before = nil
	orphans := r.only("blocks/")
	r.grow(1, 1)
	r.clock.Advance(13 * time.Hour) // too old to be named, too young to go
	r.repo.puts = 0
	result := r.backup(func(o *backup.Options) { o.RunSize = 32 << 20 }) // other objects
	if result.Reused != 0 || result.Removed != 0 || len(r.only("blocks/")) != len(orphans)+1 {
		t.Fatalf("%+v, %v", result, r.only("blocks/"))
	}
	r.clock.Advance(48 * time.Hour)
	if result = r.backup(); result.Removed != len(orphans) || len(r.only("blocks/")) != 1 {
		t.Fatalf("%+v, %v", result, r.only("blocks/"))
	}
	r.wantBlocks(backup.Target{}, 5)
}

// keeper is a repository that lets nothing be removed.
type keeper struct{ *memory }

func (keeper) Remove(context.Context, string) error { return errCut }

// TestWhereNothingMayBeRemoved a backup is good all the same.
func TestWhereNothingMayBeRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(2, 2)
	if err := r.repo.Put(t.Context(), "cell-1/blocks/orphan", []byte("x")); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(72 * time.Hour)
	result, err := backup.Run(t.Context(), r.log, keeper{r.repo}, r.options())
	if err != nil || !result.New || !errors.Is(result.Untidy, errCut) {
		t.Fatalf("%+v, %v", result, err)
	}
	r.wantBlocks(backup.Target{}, 2)
}

// TestNothingIsRemovedBesideADamagedManifest: nobody knows what it names.
func TestNothingIsRemovedBesideADamagedManifest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(2, 2)
	r.backup()
	r.repo.objects[r.only("manifests/")[0]][100] ^= 1
	before := r.only("blocks/")
	r.clock.Advance(72 * time.Hour)
	r.grow(1, 2)
	result := r.backup()
	if result.Removed != 0 || len(result.Skipped) != 1 || result.Manifest.Kind != backup.Full {
		t.Fatalf("%+v", result)
	}
	for _, name := range before {
		if !slices.Contains(r.only("blocks/"), name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestADamagedBackupIsNotBuiltUpon: with an object missing or cut, the next backup begins where all is whole.
func TestADamagedBackupIsNotBuiltUpon(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		r := newRig(t)
		r.grow(2, 2)
		first := r.backup()
		r.grow(2, 2)
		second := r.backup()
		name := second.Manifest.Objects[0].Name
		if cut {
			r.repo.objects[name] = r.repo.objects[name][:10]
		} else {
			delete(r.repo.objects, name)
		}
		r.grow(2, 2)
		third := r.backup()
		if third.Manifest.Parent != first.Manifest.ID || len(third.Skipped) != 1 {
			t.Fatalf("%+v", third)
		}
		wantDamage(t, third.Skipped[0], name)
		r.wantBlocks(backup.Target{}, 6)
	}
}

// TestEveryAlterationIsFound alters any object in any way: a restore of everything says which one it is.
func TestEveryAlterationIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.grow(3, 8190, 7)
		r.backup(func(o *backup.Options) { o.Extras = []backup.Extra{{Name: "keys/current", Data: []byte("some keys")}} })
	}
	names := r.repo.names()
	whole := r.repo.objects
	kinds := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "object")
		b := slices.Clone(whole[name])
		how := rapid.SampledFrom([]string{"flip", "cut", "grow", "remove", "swap", "empty"}).Draw(t, "how")
		altered := map[string][]byte{}
		for n, v := range whole {
			altered[n] = v
		}
		switch how {
		case "flip":
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		case "cut":
			b = b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]
		case "grow":
			b = append(b, rapid.Byte().Draw(t, "more"))
		case "empty":
			b = nil
		case "swap":
			other := rapid.SampledFrom(names).Filter(func(n string) bool { return n != name }).Draw(t, "other")
			b = whole[other]
		}
		altered[name] = b
		if how == "remove" {
			delete(altered, name)
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(name, "cell-1/"), "/")
		kinds[kind+" "+how]++
		repo := newMemory(r.clock)
		repo.objects = altered
		out, err := backup.Restore(context.Background(), repo, cellNumber, backup.Target{}, backup.Discard{}, nil)
		last := name == names[slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, "/manifests/") })+2]
		if how == "remove" && last { // then there is an older backup, and it is the newest
			if err != nil || out.Seq != 6 {
				t.Fatalf("without the newest manifest: %+v, %v", out, err)
			}
			return
		}
		var o *backup.ObjectError
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrVersion) || !errors.As(err, &o) || o.Object != name {
			t.Fatalf("%s of %s: %v", how, name, err)
		}
	})
	t.Log(kinds)
}

// TestOlderManifestsCantStandIn: the newest backup's manifest is replaced by an older one, or its parent by another.
func TestOlderManifestsCantStandIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.grow(1, 2)
		r.backup()
	}
	m := r.only("manifests/")
	for _, victim := range m[1:] {
		kept := r.repo.objects[victim]
		r.repo.objects[victim] = r.repo.objects[m[0]]
		_, _, err := r.restore(backup.Target{})
		wantDamage(t, err, victim)
		r.repo.objects[victim] = kept
	}
	// A manifest that is whole, with the right name, but not the one that the next was built upon.
	twin := newRig(t)
	twin.writer.Incarnation = 9
	twin.grow(1, 2)
	twin.backup()
	forged := twin.repo.objects[twin.only("manifests/")[0]]
	if twin.only("manifests/")[0] != m[0] {
		t.Fatal("the rigs' ids differ")
	}
	r.repo.objects[m[0]] = forged
	_, _, err := r.restore(backup.Target{})
	wantDamage(t, err, m[0])
}

// TestTwoAtOnce: backups of one journal into one repository at the same time, while the journal grows.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(3, 8190)
	var random sync.Mutex
	draw := func(seed byte) backup.Options {
		random.Lock()
		defer random.Unlock()
		o := r.options()
		o.Random = rand.NewChaCha8([32]byte{seed})
		return o
	}
	for round := range 4 {
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				if _, err := backup.Run(t.Context(), r.log, r.repo, draw(byte(round*4+i))); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		r.clock.Advance(time.Second)
		r.wantBlocks(backup.Target{}, len(r.blocks))
		r.grow(2, 100)
	}
}

func TestATooSlowBackupIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(3, 8190)
	r.repo.before = func(n int, _ string) error {
		if n == 2 {
			r.clock.Advance(backup.MaxDuration + 1)
		}
		return nil
	}
	r.clock.Advance(time.Second)
	_, err := backup.Run(t.Context(), r.log, r.repo, r.options())
	if !errors.Is(err, backup.ErrTooSlow) || len(r.only("manifests/")) > 0 {
		t.Fatalf("%v", err)
	}
	r.repo.before = nil
	if result := r.backup(); result.Objects+result.Reused < 2 {
		t.Fatalf("%+v", result)
	}
	r.wantBlocks(backup.Target{}, 3)
}
