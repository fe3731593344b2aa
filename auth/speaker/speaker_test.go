package speaker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/speaker"
)

func principal(n byte) auth.Principal {
	return auth.Principal{ID: [16]byte{n}, Name: fmt.Sprint("token-", n), Role: auth.RoleTeller}
}

func open(t *testing.T, dir string) *speaker.Store {
	t.Helper()
	s, err := speaker.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheFirstCallerSpeaks(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, ok := s.Speaker("orders"); ok {
		t.Error("somebody speaks for orders in an empty folder")
	}
	for _, by := range []byte{1, 2, 1} {
		is, err := s.Bind("orders", principal(by))
		if err != nil || is != (speaker.Speaker{ID: [16]byte{1}, Name: "token-1"}) {
			t.Fatalf("bind to %d: %v, %v", by, is, err)
		}
	}
	// It outlives the process.
	s = open(t, dir)
	if is, ok := s.Speaker("orders"); !ok || is.Name != "token-1" {
		t.Errorf("after opening again: %v, %v", is, ok)
	}
	if was, ok, err := s.Release("orders"); !ok || err != nil || was.Name != "token-1" {
		t.Errorf("release: %v, %v, %v", was, ok, err)
	}
	if _, ok, err := s.Release("orders"); ok || err != nil {
		t.Errorf("release again: %v, %v", ok, err)
	}
	s = open(t, dir)
	if is, err := s.Bind("orders", principal(2)); err != nil || is.Name != "token-2" {
		t.Errorf("bind after a release: %v, %v", is, err)
	}
	info, err := os.Stat(filepath.Join(dir, speaker.File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestOneOfMany: of callers at once exactly one is bound, and all are told the same.
func TestOneOfMany(t *testing.T) {
	s := open(t, t.TempDir())
	told := make([]speaker.Speaker, 8)
	var group sync.WaitGroup
	for i := range told {
		group.Go(func() { told[i], _ = s.Bind("orders", principal(byte(i+1))) })
	}
	group.Wait()
	for _, is := range told {
		if is != told[0] || is.Name == "" {
			t.Fatalf("told %v", told)
		}
	}
}

// TestADamagedFileFreesNothing: nothing is open for all because a file can't be read.
func TestADamagedFileFreesNothing(t *testing.T) {
	for text, says := range map[string]string{
		``:                            "EOF",
		`{`:                           "unexpected EOF",
		`{"version":2,"sources":[]}`:  "version 2",
		`{"version":1,"speakers":[]}`: "unknown field",
		`{"version":1,"sources":[{"source":"a","id":"00","name":"x"}]}`:                              "32 hexadecimal digits",
		`{"version":1,"sources":[{"source":"","id":"00000000000000000000000000000000","name":"x"}]}`: "empty or there twice",
		`{"version":1,"sources":[` + two + `,` + two + `]}`:                                          "empty or there twice",
		`{"version":1,"sources":[` + strings.Repeat(" ", 17<<20) + `]}`:                              "more than",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, speaker.File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := speaker.Open(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
}

const two = `{"source":"a","id":"00000000000000000000000000000001","name":"x"}`

func TestWhatCantBeWrittenIsNotBound(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, speaker.File, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bind("orders", principal(1)); err == nil {
		t.Error("bound without a file")
	}
	if is, ok := s.Speaker("orders"); ok {
		t.Errorf("%v speaks", is)
	}
}

func TestSourcesAreBounded(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(`{"version":1,"sources":[`)
	for i := range speaker.MaxSources {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"source":"s%d","id":"00000000000000000000000000000001","name":"x"}`, i)
	}
	b.WriteString(`]}`)
	if err := os.WriteFile(filepath.Join(dir, speaker.File), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if _, err := s.Bind("one more", principal(1)); !errors.Is(err, speaker.ErrFull) {
		t.Errorf("%v", err)
	}
	if is, err := s.Bind("s7", principal(2)); err != nil || is.Name != "x" {
		t.Errorf("%v, %v", is, err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"version":1,"sources":[` + two + `]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, speaker.File), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := speaker.Open(dir)
		if err != nil {
			return
		}
		// What was read can be written and read again.
		if _, err := s.Bind("fuzz", principal(3)); err != nil && !errors.Is(err, speaker.ErrFull) {
			t.Fatal(err)
		}
		if _, err := speaker.Open(dir); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
	})
}
