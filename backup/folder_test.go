package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/backup/backuptest"
)

func TestConformanceOfFolder(t *testing.T) {
	t.Parallel()
	backuptest.Repositories(t, func(t *testing.T) backup.Repository {
		return backup.NewFolder(filepath.Join(t.TempDir(), "new", "folder"))
	})
}

// TestLeftoversInAFolder: a temporary file of a Put that was killed is no object, and goes after two days.
func TestLeftoversInAFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.grow(3, 2)
	dir := t.TempDir()
	folder := backup.NewFolder(dir)
	run := func() *backup.Result {
		o := r.options()
		result, err := backup.Run(t.Context(), r.log, folder, o)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	r.clock.Jump(time.Since(wall(r.clock))) // the files' times are of the real clock
	first := run()
	for _, sub := range []string{"manifests", "blocks"} {
		old := filepath.Join(dir, "cell-1", sub, "zzz.1234.tmp")
		if err := os.WriteFile(old, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(old, time.Time{}, time.Now().Add(-72*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(old+".young.tmp", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := run(); got.Removed != 2 || got.Manifest.ID != first.Manifest.ID {
		t.Errorf("%+v", got)
	}
	if _, err := backup.Restore(t.Context(), folder, cellNumber, backup.Target{}, backup.Discard{}, nil); err != nil {
		t.Error(err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		info, infoErr := d.Info()
		if err == nil && infoErr == nil && info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s has mode %v", strings.TrimPrefix(path, dir), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
