package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/router"
)

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
		var used []uint64
		s := &storedMap{}
		var refusal error
		a := &atlas{maps: s, cell: 2, clock: clock.NewSystem(), logger: slog.New(slog.NewTextHandler(&log, nil)), use: func(m *router.Map) error {
			used = append(used, m.Version)
			return refusal
		}}
		if _, err := a.load(t.Context()); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "sterling cell define") {
			t.Errorf("no map: error %v", err)
		}
		s.set(1, mapOf(t, "a:1"), nil)
		if _, err := a.load(t.Context()); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "cell 2") {
			t.Errorf("a map without this cell: error %v", err)
		}
		s.set(2, mapOf(t, "a:1", "b:1"), nil)
		m, err := a.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.start(m)
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
			if len(used) != 0 {
				t.Errorf("%s: version %d is used", name, used[0])
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%s: %d warnings, want 1:\n%s", name, n, log.String())
			}
		}
		s.set(5, mapOf(t, "a:5", "b:5"), nil)
		refusal = errors.New("cell 1 can't be dialled")
		pass(t, a)
		if len(used) < 2 || used[0] != 5 {
			t.Errorf("a version that could not be used was tried %d times", len(used))
		}
		refusal, used = nil, nil
		pass(t, a)
		pass(t, a)
		if !slices.Equal(used, []uint64{5}) {
			t.Errorf("versions %v were used, want 5 once", used)
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
