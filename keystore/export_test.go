package keystore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/keystore"
)

func export(t testing.TB, s *keystore.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Export(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func imported(t testing.TB, b []byte) *keystore.Store {
	t.Helper()
	fs := vfs.NewMem()
	if err := keystore.Import(t.Context(), options(t, fs), bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return open(t, fs)
}

func TestExportImport(t *testing.T) {
	s := open(t, vfs.NewMem())
	want(t, "read from an empty export", read(t, imported(t, export(t, s)), nil))
	sealed := seal(t, s, value("c-1", 1, "name", "Wang"), value("c-2", 1, "name", "Li"), value("c-3", 1, "name", "Zhao"))
	erase(t, s, "c-2", "nobody")
	older := export(t, s)
	erase(t, s, "c-1")

	restored := imported(t, export(t, s))
	want(t, "read from the newest export", read(t, restored, sealed), "erased", "erased", "Zhao")
	if got, err := restored.Subject("c-2"); err != nil || got.By != [16]byte{9} {
		t.Fatalf("an erasure in an export: %+v, %v", got, err)
	}
	seal(t, restored, value("c-4", 1, "name", "Chen"))

	// An older export beside a newer journal: the journal's erasures take the key away again.
	restored = imported(t, older)
	want(t, "read from an older export", read(t, restored, sealed), "Wang", "erased", "Zhao")
	for _, wanted := range []int{1, 0} {
		n, err := restored.ApplyErasures(t.Context(), slices.Values([]keystore.Erasure{erasure("c-2", 1), erasure("c-1", 2), erasure("c-1", 3)}))
		if err != nil || n != wanted {
			t.Fatalf("applied %d erasures, %v; want %d", n, err, wanted)
		}
	}
	want(t, "read after the journal's erasures", read(t, restored, sealed), "erased", "erased", "Zhao")
}

func TestImportRefusals(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	seal(t, s, value("c-1", 1, "name", "Wang"), value("c-2", 1, "name", "Li"))
	good := export(t, s)
	if bytes.Contains(good, contents(t, fs)["keyring"][100:]) {
		t.Error("an export has the keyring of the disk, which an erasure could not take back")
	}
	for n := range len(good) {
		if n > 800 && n%64 != 0 {
			continue
		}
		fs := vfs.NewMem()
		if err := keystore.Import(t.Context(), options(t, fs), bytes.NewReader(good[:n])); !errors.Is(err, keystore.ErrDamaged) {
			t.Fatalf("an export cut to %d of %d bytes: got %v", n, len(good), err)
		}
		altered := slices.Clone(good)
		altered[n] ^= 4
		if err := keystore.Import(t.Context(), options(t, fs), bytes.NewReader(altered)); !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrMaster) {
			t.Fatalf("an export with byte %d altered: got %v", n, err)
		}
		if err := keystore.Import(t.Context(), options(t, fs), bytes.NewReader(good)); err != nil { // what those left is no obstacle
			t.Fatalf("import after an interrupted one: %v", err)
		}
	}
	if err := keystore.Import(t.Context(), options(t, vfs.NewMem()), bytes.NewReader(append(slices.Clone(good), 0))); !errors.Is(err, keystore.ErrDamaged) {
		t.Fatalf("an export with a byte too many: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := keystore.Import(t.Context(), options(t, fs), bytes.NewReader(good)); !errors.Is(err, keystore.ErrNotEmpty) {
		t.Fatalf("an import over keys: got %v", err)
	}
	o := options(t, vfs.NewMem())
	o.Master = master(t, 2)
	if err := keystore.Import(t.Context(), o, bytes.NewReader(good)); !errors.Is(err, keystore.ErrMaster) {
		t.Fatalf("an import with another master: got %v", err)
	}
}

// folder is a store on the real file system, with its master key in a file.
func folder(t *testing.T, keys, path string) *keystore.Store {
	t.Helper()
	m, err := keystore.OpenMaster(t.Context(), keys, path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keystore.Open(t.Context(), keystore.Options{Dir: keys, Master: m, Clock: clock.NewSystem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestRotateFile: after the master key has changed, older exports are worthless, and a change that was interrupted
// anywhere is completed or undone at the next start.
func TestRotateFile(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	path := filepath.Join(keys, keystore.MasterFile)
	s := folder(t, keys, path)
	sealed := seal(t, s, value("c", 1, "name", "Wang"))
	older, first := export(t, s), readFile(t, path)
	if err := s.RotateFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	want(t, "read after the change", read(t, s, sealed), "Wang")
	second := readFile(t, path)
	if bytes.Equal(first, second) {
		t.Fatal("the master key is the old one")
	}
	s.Close()
	m, err := keystore.LoadMaster(path)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, vfs.NewMem())
	if o.Master = m; !errors.Is(keystore.Import(t.Context(), o, bytes.NewReader(older)), keystore.ErrMaster) {
		t.Fatal("an older export opens with the new master key")
	}
	for name, files := range map[string][2][]byte{ // at the path, and at path.new
		"before the keyring was written": {second, first},
		"after it was written":           {first, second},
		"after the old one was removed":  {nil, second},
		"after it":                       {second, nil},
	} {
		for i, b := range files {
			p := path + []string{"", ".new"}[i]
			if b == nil {
				removeFile(t, p)
			} else if err := os.WriteFile(p, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := folder(t, keys, path)
		want(t, "read after an interruption "+name, read(t, s, sealed), "Wang")
		s.Close()
		if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) || !bytes.Equal(readFile(t, path), second) {
			t.Fatalf("after an interruption %s the files are not settled", name)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMasterFile(t *testing.T) {
	root := t.TempDir()
	keys, path := filepath.Join(root, "data", "keys"), filepath.Join(root, "elsewhere", "sterling.key")
	s := folder(t, keys, path)
	seal(t, s, value("c", 1, "name", "Wang"))
	s.Close()
	names, err := filepath.Glob(filepath.Join(keys, "k*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("files %v, %v", names, err)
	}
	for _, name := range append(names, path) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
	good := readFile(t, path)
	other := slices.Clone(good)
	if last := &other[len(other)-2]; *last == '0' { // a digit, before the line's end
		*last = '1'
	} else {
		*last = '0'
	}
	for what, bad := range map[string][]byte{
		"missing": nil, "empty": {}, "cut": good[:60], "other text": []byte("hello"), "not hexadecimal": bytes.ReplaceAll(good, good[30:31], []byte("x")),
		"another key": other,
	} {
		removeFile(t, path)
		if bad != nil {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := keystore.OpenMaster(t.Context(), keys, path); !errors.Is(err, keystore.ErrMaster) {
			t.Errorf("%s: got %v, want ErrMaster", what, err)
		}
		if _, err := os.Stat(path); bad == nil && !os.IsNotExist(err) {
			t.Error("a master key was made in the place of a missing one")
		}
	}
	removeFile(t, path)
	if err := os.WriteFile(path, good, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.OpenMaster(t.Context(), keys, path); !errors.Is(err, keystore.ErrMaster) {
		t.Errorf("a file that others may read: got %v, want ErrMaster", err)
	}
}

// removeFile removes a file that may not be there.
func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
