package backup_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sterlingrun/sterling/backup"
)

var update = flag.Bool("update", false, "write the golden files anew; only for a new version of the format")

const goldenDir = "testdata/repository-v1"

// goldenRig makes what the golden repository has: a full backup of 3 blocks, an incremental one of 2 more, an extra.
func goldenRig(t *testing.T) *rig {
	r := newRig(t)
	for _, n := range []int{3, 2} {
		r.grow(n, 2, 0, 1)
		r.backup(func(o *backup.Options) { o.Extras = []backup.Extra{{Name: "keys/current", Data: []byte("a key")}} })
	}
	return r
}

// TestGoldenRepository: what was written once is read for ever, and manifests are still written like that.
func TestGoldenRepository(t *testing.T) {
	t.Parallel()
	r := goldenRig(t)
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		for name, b := range r.repo.objects {
			path := filepath.Join(goldenDir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	folder := backup.NewFolder(goldenDir)
	entries, err := folder.List(t.Context(), "cell-1/")
	if err != nil || len(entries) != 5 {
		t.Fatalf("%v, %v", entries, err)
	}
	r.repo.objects = map[string][]byte{}
	for _, e := range entries {
		if r.repo.objects[e.Name], err = folder.Get(t.Context(), e.Name, 1<<20); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(e.Name, "/manifests/") {
			continue
		}
		m, sum, err := backup.DecodeManifest(e.Name, r.repo.objects[e.Name])
		if err != nil {
			t.Fatal(err)
		}
		again, sum2, err := m.Encode()
		if err != nil || sum2 != sum || !bytes.Equal(again, r.repo.objects[e.Name]) {
			t.Errorf("%s is written in another way now: that is another version of the format", e.Name)
		}
	}
	out := r.wantBlocks(backup.Target{}, 5)
	if out.Backups != 2 || string(out.Extras[0].Data) != "a key" {
		t.Errorf("%+v", out)
	}
}

// TestRunIsAsSpecified takes a run apart by docs/formats.md and by no code of the package.
func TestRunIsAsSpecified(t *testing.T) {
	t.Parallel()
	r := goldenRig(t)
	name := r.only("blocks/")[0]
	if want := "cell-1/blocks/0000000000000001-0000000000000003-" + sum(r.repo.objects[name]) + ".run.zst"; name != want {
		t.Fatalf("%s, want %s", name, want)
	}
	unzip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unzip.Close()
	got, err := unzip.DecodeAll(r.repo.objects[name], nil)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	want := append([]byte("STERLRUN"), 1, 0, 0, 0, 0, 0, 0, 0)
	want = le.AppendUint64(le.AppendUint64(want, cellNumber), 1)
	for _, b := range r.blocks[:3] {
		want = le.AppendUint32(le.AppendUint32(want, uint32(len(b.Raw))), 0)
		want = append(want, b.Raw...)
	}
	want = append(want, make([]byte, 8)...)
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// TestRefusedManifests: each is whole by its hash, and still not a manifest.
func TestRefusedManifests(t *testing.T) {
	t.Parallel()
	r := goldenRig(t)
	names := r.only("manifests/")
	read := func(i int) *backup.Manifest {
		m, _, err := backup.DecodeManifest(names[i], r.repo.objects[names[i]])
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, change := range map[string]func(full, more *backup.Manifest){
		"version":            func(m, _ *backup.Manifest) { m.Version = 2 },
		"cell":               func(m, _ *backup.Manifest) { m.Cell = 2 },
		"id":                 func(m, _ *backup.Manifest) { m.ID = "../../x" },
		"kind":               func(m, _ *backup.Manifest) { m.Kind = "half" },
		"full with parent":   func(m, _ *backup.Manifest) { m.Parent = m.ID },
		"full from 2":        func(m, _ *backup.Manifest) { m.FirstSeq = 2 },
		"no blocks":          func(m, _ *backup.Manifest) { m.LastSeq = 0 },
		"objects end early":  func(m, _ *backup.Manifest) { m.LastSeq = 4 },
		"no objects":         func(m, _ *backup.Manifest) { m.Objects = nil },
		"object elsewhere":   func(m, _ *backup.Manifest) { m.Objects[0].Name = "../../etc/passwd" },
		"object of no bytes": func(m, _ *backup.Manifest) { m.Objects[0].Bytes = 0 },
		"object too large":   func(m, _ *backup.Manifest) { m.Objects[0].RawBytes = 1 << 40 },
		"gap":                func(m, _ *backup.Manifest) { m.Objects[0].FirstSeq = 2 },
		"extra elsewhere":    func(m, _ *backup.Manifest) { m.Extras = []string{"../x"} },
		"no parent":          func(_, m *backup.Manifest) { m.Parent, m.ParentHash = "", nil },
		"parent elsewhere":   func(_, m *backup.Manifest) { m.Parent = "../x" },
	} {
		full, more := read(0), read(1)
		change(full, more)
		for i, m := range []*backup.Manifest{full, more} {
			b, _, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(b, r.repo.objects[names[i]]) {
				continue
			}
			if _, _, err := backup.DecodeManifest(names[i], b); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrVersion) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// FuzzManifest: any bytes are a manifest that is written the same again, or refused.
func FuzzManifest(f *testing.F) {
	var names []string
	err := filepath.WalkDir(goldenDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json") {
			b, readErr := os.ReadFile(path)
			f.Add(b)
			f.Add(b[:len(b)/2])
			names = append(names, filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash(goldenDir)+string(filepath.Separator))))
			return readErr
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range names {
			m, _, err := backup.DecodeManifest(name, b)
			if err != nil {
				continue
			}
			if m.FirstSeq == 0 || m.LastSeq < m.FirstSeq || len(m.Objects) == 0 || m.Time.After(time.Now().AddDate(10_000, 0, 0)) {
				t.Errorf("%+v", m)
			}
		}
	})
}
