package audit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
)

// heads are n heads of records in their order.
func heads(cell uint64, n int) audit.Heads {
	h := audit.Heads{Cell: cell, Made: 5_000}
	for i := range n {
		h.Heads = append(h.Heads, audit.Head{
			Record: sha256.Sum256(fmt.Append(nil, "record", i)), Lines: uint64(i + 1), Hash: sha256.Sum256(fmt.Append(nil, "head", i)),
			Name: fmt.Sprintf("box-%d", i), By: [16]byte{byte(i)},
		})
	}
	slices.SortFunc(h.Heads, func(a, b audit.Head) int { return a.Compare(&b) })
	return h
}

// TestHeadsVector pins the format, which docs/formats.md describes.
func TestHeadsVector(t *testing.T) {
	h := audit.Heads{Cell: 1, Made: 7007, Heads: []audit.Head{{Record: sha256.Sum256([]byte("a")), Lines: 12, Hash: sha256.Sum256([]byte("b")), Name: "parser", By: [16]byte{0xab}}}}
	want := "sterling sandbox heads v1\ncell 1\nmade 7007\n" +
		"head ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb 12 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d parser ab000000000000000000000000000000\n"
	got, err := h.Encode()
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	again, err := audit.ParseHeads(got)
	if err != nil || !cmp.Equal(again, h) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestHeadsBounds(t *testing.T) {
	most := heads(1, audit.MaxHeads)
	for i := range most.Heads {
		most.Heads[i].Name, most.Heads[i].Lines = strings.Repeat("x", 64), 1<<64-1
	}
	if _, err := most.Encode(); err != nil {
		t.Errorf("the longest statement: %v", err)
	}
	for what, change := range map[string]func(h *audit.Heads){
		"none":     func(h *audit.Heads) { h.Heads = nil },
		"too many": func(h *audit.Heads) { *h = heads(1, audit.MaxHeads+1) },
		"no lines": func(h *audit.Heads) { h.Heads[0].Lines = 0 },
		"a name":   func(h *audit.Heads) { h.Heads[0].Name = "a b" },
		"no name":  func(h *audit.Heads) { h.Heads[0].Name = "" },
		"twice":    func(h *audit.Heads) { h.Heads[1] = h.Heads[0] },
		"order":    func(h *audit.Heads) { slices.Reverse(h.Heads) },
	} {
		h := heads(1, 3)
		change(&h)
		if _, err := h.Encode(); !errors.Is(err, audit.ErrStatement) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestLogOfBoth: heads of records and statements about the ledger share a log, and the ledger's word is held to what it
// said before, whatever stands between.
func TestLogOfBoth(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	l := open(t, key, dir)
	mustAppend(t, l, stated(1))
	for range 2 {
		if _, err := l.AppendHeads(t.Context(), heads(1, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.AppendHeads(t.Context(), heads(2, 1)); !errors.Is(err, audit.ErrStatement) {
		t.Errorf("heads for another log: %v", err)
	}
	closeLog(t, l)
	l = open(t, key, dir)
	back := stated(1)
	back.Hash[0] ^= 1
	if _, err := l.Append(t.Context(), back); !errors.Is(err, audit.ErrContradiction) {
		t.Errorf("after a restart, with heads at the end: %v", err)
	}
	mustAppend(t, l, stated(2))
	if list, err := l.Entries(t.Context(), 0, 10); err != nil || len(list) != 2 || list[0].Index != 3 || list[1].Index != 0 {
		t.Errorf("%d statements, %v", len(list), err)
	}
	var found []uint64
	r, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{
		Files: audit.Folder{Dir: dir}, Trusted: trust(key),
		Heads: func(index uint64, h *audit.Heads) error {
			if !cmp.Equal(*h, heads(1, 3)) {
				t.Errorf("entry %d: %+v", index, h)
			}
			found = append(found, index)
			return nil
		},
	})
	if err != nil || r.Size != 4 || r.Last.Seq != 2 || !slices.Equal(found, []uint64{1, 2}) {
		t.Errorf("%+v, %v, heads at %v", r, err, found)
	}
}

func mustAppend(t *testing.T, l *audit.Log, s audit.Statement) {
	t.Helper()
	if _, err := l.Append(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// TestLogOfRecords: a log without a ledger goes on after a restart, is verified from where it was, and every changed byte
// of an entry is found.
func TestLogOfRecords(t *testing.T) {
	key, dir := newKey(t), t.TempDir()
	var since *audit.State
	for n := range 2 {
		l, err := audit.OpenLog(t.Context(), key, audit.LogOptions{Dir: dir, Cell: audit.RecordsOnly, Clock: clock.NewSystem()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendHeads(t.Context(), heads(0, n+1)); err != nil {
			t.Fatal(err)
		}
		closeLog(t, l)
		r, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: audit.Trusted{Key: key.Public()}, Since: since})
		if err != nil || r.Size != uint64(n+1) || r.Last != nil {
			t.Fatalf("%+v, %v", r, err)
		}
		kept, err := r.State.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if since, err = audit.ReadState(kept, audit.Trusted{Key: key.Public()}); err != nil {
			t.Fatal(err)
		}
	}
	bundle, _ := filepath.Glob(filepath.Join(dir, "tile", "entries", "000.p", "2"))
	text, err := os.ReadFile(bundle[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		put(t, bundle[0], "", bad)
		if _, err := audit.VerifyLog(t.Context(), audit.VerifyOptions{Files: audit.Folder{Dir: dir}, Trusted: audit.Trusted{Key: key.Public()}}); !errors.Is(err, audit.ErrUnproven) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func FuzzParseHeads(f *testing.F) {
	h := heads(1, 3)
	text, err := h.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("sterling sandbox heads v1\ncell 1\nmade 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := audit.ParseHeads(b)
		if err != nil {
			if !errors.Is(err, audit.ErrStatement) {
				t.Fatal(err)
			}
			return
		}
		if again, err := h.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q, %v", again, err)
		}
	})
}
