package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
)

// Mapper is where the map of cells is: router.Maps, which stores can't import.
type Mapper interface {
	Load(ctx context.Context) (version uint64, raw []byte, err error)
	Swap(ctx context.Context, was uint64, raw []byte) (bool, error)
}

// Maps checks the map through two stores of two nodes, of different cells. There must be none yet.
func Maps(t *testing.T, here, there Mapper) {
	t.Helper()
	wantMap := func(m Mapper, version uint64, raw []byte) {
		t.Helper()
		if v, got, err := m.Load(t.Context()); err != nil || v != version || !bytes.Equal(got, raw) {
			t.Fatalf("version %d with %d bytes, error %v; want version %d with %d", v, len(got), err, version, len(raw))
		}
	}
	swap := func(m Mapper, was uint64, raw []byte, want bool) {
		t.Helper()
		if done, err := m.Swap(t.Context(), was, raw); err != nil || done != want {
			t.Fatalf("version %d replaced: %t, error %v; want %t", was, done, err, want)
		}
	}
	large := bytes.Repeat([]byte{0, '\'', '\\', 0xff}, 1<<18)
	wantMap(here, 0, nil)
	swap(here, 1, large, false)
	swap(here, 0, large, true)
	wantMap(there, 1, large)
	swap(there, 0, []byte("another first"), false)
	swap(there, 2, []byte("a version ahead"), false)
	swap(there, 1, []byte("two"), true)
	swap(here, 1, []byte("another second"), false)
	wantMap(here, 2, []byte("two"))
	for name, c := range map[string]struct {
		was uint64
		raw []byte
	}{"nothing": {2, nil}, "too much": {2, append(large, 0)}, "a version that has no next": {math.MaxInt64, []byte("x")}} {
		if _, err := here.Swap(t.Context(), c.was, c.raw); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	wantMap(there, 2, []byte("two"))
}

// MapContention has a writer for each store replace the map at once, again and again: every version must have one
// writer, and none may be left out.
func MapContention(t *testing.T, stores []Mapper, rounds int) {
	t.Helper()
	first, _, err := stores[0].Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failures := make(chan error, len(stores))
	for i, s := range stores {
		go func() { failures <- count(t.Context(), s, i, rounds) }()
	}
	for range stores {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if last, _, err := stores[0].Load(t.Context()); err != nil || last != first+uint64(len(stores)*rounds) { //nolint:gosec // small
		t.Errorf("the map went from version %d to %d, error %v; want %d more", first, last, err, len(stores)*rounds)
	}
}

// count replaces the map until it was this writer's as often as rounds says.
func count(ctx context.Context, s Mapper, writer, rounds int) error {
	for done := 0; done < rounds; {
		was, _, err := s.Load(ctx)
		if err != nil {
			return err
		}
		mine := fmt.Appendf(nil, "version %d of writer %d", was+1, writer)
		swapped, err := s.Swap(ctx, was, mine)
		if err != nil {
			return err
		}
		if !swapped {
			continue
		}
		done++
		v, raw, err := s.Load(ctx)
		if err != nil {
			return err
		}
		if v == was+1 && !bytes.Equal(raw, mine) {
			return fmt.Errorf("%q was made for us, and %q is there", mine, raw)
		}
	}
	return nil
}
