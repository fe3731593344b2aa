package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/keystore"
)

const dir = "data/keys"

func master(t testing.TB, n byte) *keystore.FileMaster {
	t.Helper()
	m, err := keystore.NewMaster([32]byte{n})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func options(t testing.TB, fs vfs.FS) keystore.Options {
	return keystore.Options{Dir: dir, Master: master(t, 1), Clock: clock.NewFake(1_000), FS: fs}
}

func open(t testing.TB, fs vfs.FS) *keystore.Store {
	t.Helper()
	s, err := keystore.Open(t.Context(), options(t, fs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// again closes a store and opens its folder once more.
func again(t testing.TB, s *keystore.Store, fs vfs.FS) *keystore.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, fs)
}

func value(subject string, event byte, name, clear string) keystore.Value {
	return keystore.Value{Subject: subject, Event: [16]byte{event}, Name: name, Type: 1, Clear: []byte(clear)}
}

func seal(t testing.TB, s *keystore.Store, values ...keystore.Value) []keystore.Value {
	t.Helper()
	if err := s.Seal(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	return values
}

// read opens copies of sealed values and returns what is in them: the text, or the subject's state.
func read(t testing.TB, s *keystore.Store, sealed []keystore.Value) []string {
	t.Helper()
	values := slices.Clone(sealed)
	for i := range values {
		values[i].Clear, values[i].Type = nil, 0
	}
	if err := s.Open(values); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range values {
		switch v.State {
		case keystore.Active:
			out = append(out, string(v.Clear))
		case keystore.Erased:
			out = append(out, "erased")
		default:
			out = append(out, "unknown")
		}
	}
	return out
}

func erasure(subject string, n byte) keystore.Erasure {
	return keystore.Erasure{Subject: keystore.HashOf(subject), When: uint64(n), By: [16]byte{n}, ID: [16]byte{n, n}}
}

func erase(t testing.TB, s *keystore.Store, subjects ...string) {
	t.Helper()
	var list []keystore.Erasure
	for _, name := range subjects {
		list = append(list, erasure(name, 9))
	}
	n, err := s.Erase(t.Context(), list...)
	if err != nil || n != len(subjects) {
		t.Fatalf("erased %d of %d: %v", n, len(subjects), err)
	}
}

func want(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func TestSealOpenErase(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	sealed := seal(t, s, value("c-1", 1, "name", "Wang"), value("c-2", 1, "name", "Li"), value("c-1", 2, "phone", "123"), value("c-1", 3, "note", ""))
	want(t, "read", read(t, s, sealed), "Wang", "Li", "123", "")
	s = again(t, s, fs)
	want(t, "read after a restart", read(t, s, sealed), "Wang", "Li", "123", "")

	erase(t, s, "c-1")
	want(t, "read after the erasure", read(t, s, sealed), "erased", "Li", "erased", "erased")
	s = again(t, s, fs)
	want(t, "read after the erasure and a restart", read(t, s, sealed), "erased", "Li", "erased", "erased")

	values := []keystore.Value{value("c-3", 4, "name", "Zhao"), value("c-1", 4, "name", "Wang")}
	err := s.Seal(t.Context(), values)
	var erased *keystore.ErasedError
	if !errors.As(err, &erased) || erased.Index != 1 || erased.Subject != "c-1" || !errors.Is(err, keystore.ErrErased) {
		t.Fatalf("seal for an erased subject: %v", err)
	}
	if got, err := s.Subject("c-3"); err != nil || got.State != keystore.Unknown {
		t.Fatalf("a refused call made a key: %+v, %v", got, err)
	}
	if got, err := s.Subject("c-1"); err != nil || got != (keystore.Subject{State: keystore.Erased, Since: 9, By: [16]byte{9}, ID: [16]byte{9, 9}}) {
		t.Fatalf("an erased subject: %+v, %v", got, err)
	}
	if got, err := s.Subject("c-2"); err != nil || got.State != keystore.Active || got.Since == 0 {
		t.Fatalf("an active subject: %+v, %v", got, err)
	}
	if got := s.Stats(); got != (keystore.Stats{Subjects: 1, Erased: 1, Files: 1}) {
		t.Fatalf("stats: %+v", got)
	}
	if n, err := s.Erase(t.Context(), erasure("c-1", 7)); n != 0 || err != nil {
		t.Fatalf("erase again: %d, %v", n, err)
	}
	if got, _ := s.Subject("c-1"); got.Since != 9 {
		t.Fatalf("erased again, it says another time: %+v", got)
	}
}

// TestEraseUnknown: an erasure counts for subjects without a key, too, and keeps them from getting one.
func TestEraseUnknown(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	erase(t, s, "never-seen")
	s = again(t, s, fs)
	if err := s.Seal(t.Context(), []keystore.Value{value("never-seen", 1, "n", "x")}); !errors.Is(err, keystore.ErrErased) {
		t.Fatalf("got %v", err)
	}
}

// TestDeterministic: a request that is sent again is the same bytes; anything else is different ones.
func TestDeterministic(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	first := seal(t, s, value("c", 1, "name", "Wang"))[0].Sealed
	s = again(t, s, fs)
	typed := value("c", 1, "name", "Wang")
	typed.Type = 2
	others := seal(t, s, value("c", 1, "name", "Wang"), value("c", 2, "name", "Wang"), value("c", 1, "nam", "eWang"),
		value("c", 1, "name", "Wang\x00"), value("d", 1, "name", "Wang"), typed)
	if !bytes.Equal(first, others[0].Sealed) {
		t.Fatal("the same value has other bytes")
	}
	seen := map[string]bool{}
	for _, v := range others {
		nonce := string(v.Sealed[1:13])
		if seen[nonce] {
			t.Fatalf("%+v has the nonce of another value", v)
		}
		seen[nonce] = true
		if bytes.Contains(v.Sealed, []byte("Wang")) {
			t.Fatal("a sealed value shows what is in it")
		}
	}
	if a, b := seal(t, s, value("c", 5, "k", "Li"))[0], seal(t, s, value("c", 5, "k", "Wang Xiaoming"))[0]; len(a.Sealed) != len(b.Sealed) {
		t.Fatal("the length of a name shows")
	}
}

// TestBoundToItsPlace: a sealed value opens at its event, metadata key and subject only, and only unaltered.
func TestBoundToItsPlace(t *testing.T) {
	s := open(t, vfs.NewMem())
	good := seal(t, s, value("c", 1, "name", strings.Repeat("x", keystore.MaxValue)), value("d", 1, "name", "other"))[0]
	if len(good.Sealed) != keystore.MaxSealed {
		t.Fatalf("the largest value has %d bytes, want %d", len(good.Sealed), keystore.MaxSealed)
	}
	for what, change := range map[string]func(v *keystore.Value){
		"event":   func(v *keystore.Value) { v.Event[3]++ },
		"name":    func(v *keystore.Value) { v.Name = "nome" },
		"subject": func(v *keystore.Value) { v.Subject = "d" },
		"version": func(v *keystore.Value) { v.Sealed[0]++ },
		"nonce":   func(v *keystore.Value) { v.Sealed[1] ^= 1 },
		"value":   func(v *keystore.Value) { v.Sealed[40] ^= 1 },
		"tag":     func(v *keystore.Value) { v.Sealed[len(v.Sealed)-1] ^= 1 },
		"cut":     func(v *keystore.Value) { v.Sealed = v.Sealed[:20] },
		"empty":   func(v *keystore.Value) { v.Sealed = nil },
	} {
		v := good
		v.Sealed = slices.Clone(good.Sealed)
		change(&v)
		if err := s.Open([]keystore.Value{v}); !errors.Is(err, keystore.ErrValue) {
			t.Errorf("another %s: got %v, want ErrValue", what, err)
		}
	}
}

func TestRefusedInput(t *testing.T) {
	s := open(t, vfs.NewMem())
	for _, subject := range []string{"", "wang@example.com", "Wang Xiaoming", "+8613800000000", "王", strings.Repeat("x", 129), "a\x00b"} {
		if err := s.Seal(t.Context(), []keystore.Value{value(subject, 1, "n", "v")}); !errors.Is(err, keystore.ErrSubject) {
			t.Errorf("subject %q: got %v, want ErrSubject", subject, err)
		}
		if _, err := s.Subject(subject); !errors.Is(err, keystore.ErrSubject) {
			t.Errorf("look for subject %q: got %v, want ErrSubject", subject, err)
		}
	}
	for _, v := range []keystore.Value{
		value("c", 1, "", "v"), value("c", 1, strings.Repeat("n", 65), "v"), value("c", 1, "n", strings.Repeat("v", 1025)),
	} {
		if err := s.Seal(t.Context(), []keystore.Value{value("c", 1, "n", "v"), v}); !errors.Is(err, keystore.ErrValue) {
			t.Errorf("got %v, want ErrValue", err)
		}
	}
	if got := s.Stats(); got.Subjects != 0 {
		t.Errorf("refused calls made %d keys", got.Subjects)
	}
	seal(t, s, value(strings.Repeat("x", 128), 1, strings.Repeat("n", 64), strings.Repeat("v", 1024)), value("cn:shop-7/c_1.x+y", 1, "n", "v"))
}

// TestManySubjects goes over several files, and erases in several of them at once.
func TestManySubjects(t *testing.T) {
	const n = 40_000
	fs := vfs.NewMem()
	s := open(t, fs)
	values := make([]keystore.Value, n)
	for i := range values {
		values[i] = value(fmt.Sprint("c-", i), byte(i), "name", fmt.Sprint("person ", i))
	}
	for from := 0; from < n; from += 8000 {
		seal(t, s, values[from:from+8000]...)
	}
	if got := s.Stats(); got != (keystore.Stats{Subjects: n, Files: 3}) {
		t.Fatalf("stats: %+v", got)
	}
	erase(t, s, "c-0", "c-39999", "c-20000", "c-20001", "nobody")
	s = again(t, s, fs)
	if got := s.Stats(); got != (keystore.Stats{Subjects: n - 4, Erased: 5, Files: 3}) {
		t.Fatalf("stats after erasing: %+v", got)
	}
	erased := 0
	for i, got := range read(t, s, values) {
		if got == "erased" {
			erased++
		} else if got != fmt.Sprint("person ", i) {
			t.Fatalf("value %d: %q", i, got)
		}
	}
	if erased != 4 {
		t.Fatalf("%d are erased", erased)
	}
	names, err := fs.List(dir)
	if err != nil || len(names) != 5 { // LOCK, keyring, three files of keys
		t.Fatalf("files: %v, %v", names, err)
	}
}

// TestNothingOldStays: no byte of the file that held an erased key, and of the keyring that opened it, is left.
func TestNothingOldStays(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	sealed := seal(t, s, value("c-1", 1, "name", "Wang"), value("c-2", 1, "name", "Li"))
	before, held := contents(t, fs), holdOpen(t, fs)
	erase(t, s, "c-1")
	for name, b := range contents(t, fs) {
		if old, there := before[name]; there && bytes.Equal(old, b) && len(b) > 0 {
			t.Errorf("%s is as it was before", name)
		}
	}
	for name, f := range held { // the blocks of the replaced files
		b := make([]byte, len(before[name]))
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		for at := 0; at+16 <= len(b); at += 16 {
			if part := b[at : at+16]; bytes.Equal(part, before[name][at:at+16]) {
				t.Fatalf("the old %s still has its bytes at %d", name, at)
			}
		}
		f.Close()
	}
	if len(held) != 2 {
		t.Fatalf("%d files were looked at, want the keyring and the keys", len(held))
	}
	// The new keyring and the old keys do not fit together, nor the other way round.
	mixed := vfs.NewMem()
	after := contents(t, fs)
	put(t, mixed, after)
	put(t, mixed, map[string][]byte{"keyring": before["keyring"]})
	if _, err := keystore.Open(t.Context(), options(t, mixed)); !errors.Is(err, keystore.ErrDamaged) {
		t.Fatalf("the old keyring over the new keys: got %v, want ErrDamaged", err)
	}
	want(t, "read", read(t, s, sealed), "erased", "Li")
}

func contents(t testing.TB, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return all
}

func holdOpen(t testing.TB, fs vfs.FS) map[string]vfs.File {
	t.Helper()
	all := map[string]vfs.File{}
	for name := range contents(t, fs) {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = f
	}
	return all
}

func put(t testing.TB, fs vfs.FS, files map[string][]byte) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(slices.Clone(b)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// TestConcurrent: sealing, reading, erasing and exporting at once; every subject has one key, whoever made it.
func TestConcurrent(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	const workers, subjects = 8, 60
	sealed := make([][]keystore.Value, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range subjects {
				v := []keystore.Value{value(fmt.Sprint("c-", i), byte(i), "name", "x"), value(fmt.Sprintf("own-%d-%d", w, i), 1, "n", "y")}
				if err := s.Seal(context.Background(), v); err != nil {
					t.Error(err)
					return
				}
				sealed[w] = append(sealed[w], v...)
				if err := s.Open(slices.Clone(v)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for i := range 20 {
			if _, err := s.Erase(context.Background(), erasure(fmt.Sprint("gone-", i), 1)); err != nil {
				t.Error(err)
			}
		}
	})
	group.Go(func() {
		for range 10 {
			if err := s.Export(context.Background(), io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	s = again(t, s, fs)
	if got := s.Stats(); got.Subjects != subjects+workers*subjects || got.Erased != 20 {
		t.Fatalf("stats: %+v", got)
	}
	for w := range workers {
		for i, v := range sealed[w] {
			if i%2 == 0 && !bytes.Equal(v.Sealed, sealed[0][i].Sealed) {
				t.Fatalf("subject %s was sealed with two keys", v.Subject)
			}
		}
		read(t, s, sealed[w])
	}
}

func TestEraseGivesUpWaiting(t *testing.T) {
	s := open(t, vfs.NewMem())
	err := s.Publish(t.Context(), func(context.Context, io.Reader, int64) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Erase(ctx, erasure("c", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("an erasure during an export: got %v, want that it waits", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	erase(t, s, "c")
}
