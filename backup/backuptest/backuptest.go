// Package backuptest is the suite that every backup.Repository passes. It is for tests only. Start reading at
// Repositories.
package backuptest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/backup"
)

// Repositories checks the contract of backup.Repository; empty returns a new one without objects.
func Repositories(t *testing.T, empty func(t *testing.T) backup.Repository) {
	for name, check := range map[string]func(*testing.T, backup.Repository){
		"put and get": putAndGet, "replace": replace, "bounded get": boundedGet, "list": list, "remove": remove, "together": together,
	} {
		t.Run(name, func(t *testing.T) { check(t, empty(t)) })
	}
}

func put(t *testing.T, r backup.Repository, name string, b []byte) {
	t.Helper()
	if err := r.Put(t.Context(), name, b); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func want(t *testing.T, r backup.Repository, name string, b []byte) {
	t.Helper()
	got, err := r.Get(t.Context(), name, int64(len(b)))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("get %s: %d bytes, %v; want %d", name, len(got), err, len(b))
	}
}

func putAndGet(t *testing.T, r backup.Repository) {
	if _, err := r.Get(t.Context(), "a/none", 10); !errors.Is(err, backup.ErrAbsent) {
		t.Fatalf("an object that is not there: %v", err)
	}
	for _, size := range []int{1, 5 << 20, 20 << 20} {
		b := bytes.Repeat([]byte("sterling"), size/8+1)[:size]
		put(t, r, "a/b/c.x-1", b)
		want(t, r, "a/b/c.x-1", b)
	}
}

func replace(t *testing.T, r backup.Repository) {
	put(t, r, "a/x", []byte("a longer one"))
	put(t, r, "a/x", []byte("short"))
	want(t, r, "a/x", []byte("short"))
}

func boundedGet(t *testing.T, r backup.Repository) {
	put(t, r, "a/x", make([]byte, 1000))
	for _, limit := range []int64{0, 1, 999} {
		if _, err := r.Get(t.Context(), "a/x", limit); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
	want(t, r, "a/x", make([]byte, 1000))
}

func list(t *testing.T, r backup.Repository) {
	if l, err := r.List(t.Context(), "a/"); err != nil || len(l) > 0 {
		t.Fatalf("an empty repository: %v, %v", l, err)
	}
	for _, name := range []string{"a/2", "a/b/3", "ab/1", "a/10", "b/1"} {
		put(t, r, name, []byte(name))
	}
	l, err := r.List(t.Context(), "a/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l {
		got = append(got, e.Name)
		if e.Bytes != int64(len(e.Name)) || e.Modified.IsZero() || e.Leftover {
			t.Errorf("%+v", e)
		}
	}
	if fmt.Sprint(got) != "[a/10 a/2 a/b/3]" {
		t.Errorf("%v", got)
	}
}

func remove(t *testing.T, r backup.Repository) {
	put(t, r, "a/x", []byte("x"))
	put(t, r, "a/y", []byte("y"))
	for range 2 { // the second time it is not there, which is fine
		if err := r.Remove(t.Context(), "a/x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Get(t.Context(), "a/x", 1); !errors.Is(err, backup.ErrAbsent) {
		t.Errorf("a removed object: %v", err)
	}
	want(t, r, "a/y", []byte("y"))
}

// together: many writers and readers of one name; a reader sees one writer's object, whole.
func together(t *testing.T, r backup.Repository) {
	object := func(i int) []byte { return bytes.Repeat([]byte{"abcdefgh"[i]}, 100_000) }
	put(t, r, "a/x", object(0))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if err := r.Put(t.Context(), "a/x", object(i)); err != nil {
				t.Errorf("put: %v", err)
			}
			b, err := r.Get(t.Context(), "a/x", 100_000)
			if err != nil || len(b) != 100_000 || bytes.Count(b, b[:1]) != len(b) {
				t.Errorf("get: %d bytes, %v", len(b), err)
			}
		})
	}
	group.Wait()
	l, err := r.List(t.Context(), "a/")
	if err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
}
