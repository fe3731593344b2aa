package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/router"
)

func TestSecretOfCells(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		fault   string // part of the error; empty: none
	}{
		"good":            {strings.Repeat("x", 64) + "\n", 0o600, ""},
		"read-only":       {strings.Repeat("x", 32), 0o400, ""},
		"short":           {strings.Repeat("x", 31) + "\n", 0o600, "31 bytes"},
		"empty":           {"", 0o600, "0 bytes"},
		"long":            {strings.Repeat("x", 5000), 0o600, "bytes"},
		"group may read":  {strings.Repeat("x", 64), 0o640, "chmod 600"},
		"others may read": {strings.Repeat("x", 64), 0o604, "chmod 600"},
	} {
		if err := errors.Join(os.RemoveAll(file), os.WriteFile(file, []byte(c.content), c.mode), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		secret, err := readSecret(file)
		switch {
		case c.fault == "" && (err != nil || string(secret) != strings.TrimSpace(c.content)):
			t.Errorf("%s: %d bytes, error %v", name, len(secret), err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || secret != nil):
			t.Errorf("%s: error %v, want %q", name, err, c.fault)
		case c.fault != "" && strings.Contains(err.Error(), "xx"):
			t.Errorf("%s: the error tells the secret", name)
		}
	}
}

// storedMap is a map of cells whose reading can fail.
type storedMap struct {
	mu      sync.Mutex
	version uint64
	raw     []byte
	err     error
}

func (s *storedMap) Load(context.Context) (uint64, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version, s.raw, s.err
}

func (*storedMap) Swap(context.Context, uint64, []byte) (bool, error) {
	return false, errors.New("a node writes no map")
}

func (s *storedMap) set(version uint64, raw []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.raw, s.err = version, raw, err
}

func mapOf(t *testing.T, nodes ...string) []byte {
	t.Helper()
	var cells []router.Cell
	for i, n := range nodes {
		cells = append(cells, router.Cell{ID: uint64(i + 1), Nodes: []string{n}})
	}
	raw, err := router.Even(cells).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestMapIsFollowed: a new version is noticed; one that is of no use, older or not to be read leaves the last one.
func TestMapIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &storedMap{}
		open := func() (*atlas, error) {
			return openAtlas(t.Context(), s, 2, clock.NewSystem(), slog.New(slog.NewTextHandler(&log, nil)))
		}
		if _, err := open(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "sterling cell define") {
			t.Errorf("no map: error %v", err)
		}
		s.set(1, mapOf(t, "a:1"), nil)
		if _, err := open(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "cell 2") {
			t.Errorf("a map without this cell: error %v", err)
		}
		s.set(2, mapOf(t, "a:1", "b:1"), nil)
		a, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		for name, c := range map[string]struct {
			version uint64
			raw     []byte
			err     error
		}{
			"not read":          {0, nil, errors.New("the database is away")},
			"gone":              {0, nil, nil},
			"damaged":           {3, []byte("{"), nil},
			"without this cell": {4, mapOf(t, "a:1"), nil},
			"an older one":      {1, mapOf(t, "a:2", "b:2"), nil},
		} {
			log.Reset()
			s.set(c.version, c.raw, c.err)
			pass(t, a)
			if m := a.Map(); m.Version != 2 {
				t.Errorf("%s: version %d is followed, want 2", name, m.Version)
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%s: %d warnings, want 1:\n%s", name, n, log.String())
			}
		}
		s.set(5, mapOf(t, "a:5", "b:5"), nil)
		pass(t, a)
		if m := a.Map(); m.Version != 5 || m.Cell(1).Nodes[0] != "a:5" {
			t.Errorf("version %d with %v, want 5", m.Version, m.Cells)
		}
	})
}

// pass lets the follower look three times.
func pass(t *testing.T, a *atlas) {
	t.Helper()
	if err := clock.Sleep(t.Context(), a.clock, 3*mapEvery+mapEvery/2); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}
