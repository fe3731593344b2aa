package local

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestMappingBeyondTheFileIsNoCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("sterling"), 2048)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := vfs.Default.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m := mapFile(vfs.Default, file, int64(len(content)))
	if m == nil {
		t.Skip("this system maps no files")
	}
	defer m.unmap()
	b := make([]byte, 512)
	if !m.copy(b, 8192) || !bytes.Equal(b, content[8192:8192+512]) {
		t.Fatalf("read %q", b[:16])
	}
	for _, offset := range []int64{-1, int64(len(content)) - 511, 1 << 40} {
		if m.copy(b, offset) {
			t.Errorf("read at offset %d of %d bytes", offset, len(content))
		}
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if m.copy(b, 8192) {
		t.Error("read what was cut off")
	}
	if !m.copy(b, 512) {
		t.Error("what is left is not read")
	}
	if mapFile(vfs.NewMem(), file, 4096) != nil {
		t.Error("mapped a file of another file system")
	}
}

func TestPagesAreForgotten(t *testing.T) {
	var w warmPages
	w.add(1, 4096-256, 512)
	if !w.has(1, 0, 1) || !w.has(1, 4096, 4096) || !w.has(1, 4000, 200) || w.has(1, 8191, 2) || w.has(2, 0, 1) {
		t.Error("not the two pages that were read")
	}
	for i := range int64(64 << warmBits >> 4) { // four times what it holds
		w.add(3, i<<pageBits, 1)
	}
	if w.has(1, 0, 1) {
		t.Error("a page that was read long ago")
	}
}
