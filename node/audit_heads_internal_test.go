package node

import (
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/audit"
)

// TestHeadsShareAnEntry: heads of one second are one entry beside the ledger's own, a repeated one is stated once, and
// each caller learns where it is.
func TestHeadsShareAnEntry(t *testing.T) {
	dir := t.TempDir()
	key, err := audit.OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newStating(t, dir, key)
	s.heads, s.stopped = make(chan headOrder), make(chan struct{})
	s.at(3)
	s.entries(1)
	boxes := []string{"a", "b", "b"}
	var group sync.WaitGroup
	for _, name := range boxes {
		group.Go(func() {
			h := audit.Head{Record: sha256.Sum256([]byte(name)), Lines: 7, Name: name}
			if entry, err := s.LogHead(t.Context(), h); err != nil || entry != 1 {
				t.Errorf("%s: entry %d, %v", name, entry, err)
			}
		})
	}
	s.takeHeads(t.Context(), 500*time.Millisecond)
	group.Wait()
	s.at(4)
	s.entries(3)
	stated := 0
	r, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{
		Files: audit.Folder{Dir: filepath.Join(dir, "log")}, Trusted: audit.Trusted{Key: key.Public(), Cell: 1},
		Heads: func(index uint64, h *audit.Heads) error {
			stated += len(h.Heads)
			return nil
		},
	})
	if err != nil || r.Size != 3 || stated != 2 {
		t.Errorf("%+v, %v, %d heads", r, err, stated)
	}
}

// TestHeadsWithoutLog: who tells a head to a server whose log can't be written learns so.
func TestHeadsWithoutLog(t *testing.T) {
	s := newStating(t, t.TempDir(), nil)
	s.heads, s.stopped = make(chan headOrder), make(chan struct{})
	answer := make(chan error, 1)
	go func() {
		_, err := s.LogHead(t.Context(), audit.Head{Lines: 1, Name: "box"})
		answer <- err
	}()
	s.takeHeads(t.Context(), 500*time.Millisecond)
	if err := <-answer; !errors.Is(err, audit.ErrLog) {
		t.Error(err)
	}
	close(s.stopped)
	if _, err := s.LogHead(t.Context(), audit.Head{}); !errors.Is(err, audit.ErrLog) {
		t.Error(err)
	}
}
