package local_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
)

var update = flag.Bool("update", false, "write the golden files anew; only for a new version of the format")

// golden compares b with a file of hexadecimal lines of 32 bytes, and returns the file's bytes.
func golden(t *testing.T, path string, b []byte) []byte {
	t.Helper()
	if *update {
		var text strings.Builder
		for rest := b; len(rest) > 0; rest = rest[min(32, len(rest)):] {
			text.WriteString(hex.EncodeToString(rest[:min(32, len(rest))]) + "\n")
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("what is written differs from %s: that is another version of the format", path)
	}
	return want
}

// TestGoldenSegment: three blocks, of one, three and one sectors, in the journal's first segment. The file has what
// comes before its zeros.
func TestGoldenSegment(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	o.SegmentSize = 16 << 10
	s := open(t, "data", o)
	blocks := writer.Chain(0, journal.Hash{}, 3, 0, 8, 1)
	appendAll(t, s, blocks)
	closeStore(t, s)
	path := segmentPath("data", 1)
	written := file(t, fs, path)
	end := (len(bytes.TrimRight(written, "\x00")) + 511) &^ 511
	b := make([]byte, len(written))
	copy(b, golden(t, "testdata/segment-v1.hex", written[:min(end, len(written))]))
	if err := writeFile(fs, path, b); err != nil {
		t.Fatal(err)
	}
	wantBlocks(t, open(t, "data", o), blocks)
}

// TestGoldenSnapshot: two pieces of data in one chunk.
func TestGoldenSnapshot(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "data", options(fs))
	w, err := s.Snapshots().Create(0x1234)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"accounts and ", "open reservations"} {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	path := snapshotPath("data", 0x1234)
	if err := writeFile(fs, path, golden(t, "testdata/snapshot-v1.hex", file(t, fs, path))); err != nil {
		t.Fatal(err)
	}
	r, err := s.Snapshots().Open(0x1234)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != "accounts and open reservations" {
		t.Fatalf("read %q, error %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenIDs: a generation of 300 ids, page by page without the zeros at the ends.
func TestGoldenIDs(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "bank", options(fs))
	ref, entries, err := generation(s.IDs(), 1, 300)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	var got strings.Builder
	for b := file(t, fs, idPath(1)); len(b) > 0; b = b[page:] {
		got.WriteString(hex.EncodeToString(bytes.TrimRight(b[:page], "\x00")) + "\n")
	}
	const path = "testdata/ids-v1.hex"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Fatal("a generation is written in another way than " + path + ": a new format needs a new version")
	}
	var b []byte
	for line := range strings.Lines(string(want)) {
		content, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		b = append(append(b, content...), make([]byte, page-len(content))...)
	}
	if err := writeFile(fs, idPath(1), b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.IDs().Load(ref); err != nil {
		t.Fatal(err)
	}
	for hash, value := range entries {
		if list, err := s.IDs().Find(1, hash, nil); err != nil || !slices.Equal(list, []uint64{value}) {
			t.Fatalf("hash %x: found %x, error %v", hash, list, err)
		}
	}
}
