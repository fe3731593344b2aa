package monitor

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/watch"
)

// TestPast: the newest version up to a number, whether it is stored already or not.
func TestPast(t *testing.T) {
	s := &session{}
	var err error
	if s.store, err = openStore("watch", vfs.NewMem(), slog.New(slog.DiscardHandler), func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	s.past.init(s)
	key := watch.ID{1}
	put := func(number uint64, state string) {
		if err := s.store.db.Set(closedKey(nil, "flow", key, number), []byte(state), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	add := func(group, number uint64, state string) {
		s.past.add(group, number, &watch.Closed{Flow: "flow", Key: key, State: []byte(state)})
	}
	check := func(when string, want ...string) { // by number, from 0 on
		t.Helper()
		for through, state := range want {
			if got := string(s.past.Closed("flow", key, uint64(through))); got != state {
				t.Errorf("%s: up to %d: %q, want %q", when, through, got, state)
			}
		}
	}
	check("nothing yet", "", "", "")
	add(5, 2, "two")
	add(5, 3, "three")
	add(6, 5, "five")
	check("in memory", "", "", "two", "three", "three", "five", "five")
	put(2, "two")
	put(3, "three")
	s.past.forget(5)
	check("half of it stored", "", "", "two", "three", "three", "five", "five")
	s.past.forget(6)
	check("lost", "", "", "two", "three", "three", "three")
	put(5, "five")
	check("stored", "", "", "two", "three", "three", "five", "five")
	if got := s.past.Closed("flo", key, 9); got != nil {
		t.Errorf("another flow: %q", got)
	}
	if len(s.past.fresh) != 0 || len(s.past.queue) != 0 {
		t.Errorf("%d keys and %d groups are still in memory", len(s.past.fresh), len(s.past.queue))
	}
	if err := errors.Join(s.store.close()); err != nil {
		t.Error(err)
	}
}

// TestFence: behind a shut fence nothing changes any more, also by files that were open before.
func TestFence(t *testing.T) {
	fs := vfs.NewMem()
	f := newFence(fs)
	file, err := f.Create("a", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	f.shut.Store(true)
	_, writeErr := file.Write([]byte("y"))
	_, atErr := file.WriteAt([]byte("y"), 0)
	_, toErr := file.SyncTo(1)
	_, createErr := f.Create("b", vfs.WriteCategoryUnspecified)
	_, openErr := f.OpenReadWrite("a", vfs.WriteCategoryUnspecified)
	_, reuseErr := f.ReuseForWrite("a", "b", vfs.WriteCategoryUnspecified)
	_, lockErr := f.Lock("LOCK")
	for i, err := range []error{
		writeErr, atErr, toErr, createErr, openErr, reuseErr, lockErr, file.Sync(), file.SyncData(),
		f.Remove("a"), f.RemoveAll("a"), f.Rename("a", "b"), f.Link("a", "b"),
	} {
		if !errors.Is(err, errFenced) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if b, err := fs.UnsafeGetFileDataBuffer("a"); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestSplitKey: only whole closed keys have a version, and versions of a key stand beside each other, newest first.
func TestSplitKey(t *testing.T) {
	c := comparer()
	newer, older := closedKey(nil, "flow", watch.ID{1}, 9), closedKey(nil, "flow", watch.ID{1}, 8)
	other := closedKey(nil, "flow", watch.ID{1, 1}, 0)
	for i, key := range [][]byte{newer, older, other} {
		if got := c.Split(key); got != len(key)-8 {
			t.Errorf("key %d is split at %d of %d", i, got, len(key))
		}
		for n := range len(key) {
			if got := c.Split(key[:n]); got != n {
				t.Errorf("%d bytes of key %d are split at %d", n, i, got)
			}
		}
	}
	if c.Compare(newer, older) >= 0 || c.Compare(older, other) >= 0 || c.Compare(other, newer) <= 0 || c.Compare(newer, newer) != 0 {
		t.Error("the order is another")
	}
	for _, key := range [][]byte{nil, {tagClosed}, numberKey(tagGroup, 1), idKey(tagRecord, watch.ID{2})} {
		if got := c.Split(key); got != len(key) {
			t.Errorf("%q is split at %d", key, got)
		}
	}
}
