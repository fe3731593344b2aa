package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/store/local"
)

// ErrNotEmpty says that a restore makes a new data folder, and there is something already. Nothing was touched.
var ErrNotEmpty = errors.New("the folder is not empty")

// Beside the folder that a restore makes stands the one in which it makes it, with a file that says so.
const (
	restoringSuffix = ".restoring"
	restoringMark   = "RESTORING"
)

// RestoreOptions say what is restored, and where to. From, Data and Cell are required.
type RestoreOptions struct {
	From     string // repository: a folder or s3://…
	Data     string // folder to be made; it must not exist, or be empty
	Cell     uint32
	Target   backup.Target
	NoVerify bool                                       // leave out Verify
	Progress func(step RestoreStep, done, total uint64) // may be nil
}

// RestoreStep is what a restore is doing.
type RestoreStep string

// The steps of a restore.
const (
	RestoreCopies   RestoreStep = "restoring"
	RestoreVerifies RestoreStep = "verifying"
)

// RestoreResult is what Restore did.
type RestoreResult struct {
	*backup.Restored
	Verification *cell.Verification // nil where it was left out
}

// Restore makes a data folder of a backup. Everything is written to a folder beside it, checked, made durable and only
// then renamed: a restore that is cut short leaves no data folder, and the next one removes what it left. Errors are
// ErrNotEmpty, and those of backup.Restore and Verify.
func Restore(ctx context.Context, o RestoreOptions) (result RestoreResult, err error) {
	repository, err := OpenRepository(o.From)
	if err != nil {
		return result, err
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return result, fmt.Errorf("restore to %s: %w", o.Data, err)
	}
	if err := wantEmpty(data); err != nil {
		return result, err
	}
	tmp := data + restoringSuffix
	if err := claim(tmp); err != nil {
		return result, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if result.Restored, err = fill(ctx, repository, tmp, o); err != nil {
		return result, err
	}
	if !o.NoVerify {
		v, err := Verify(ctx, tmp, o.Cell, o.step(RestoreVerifies))
		if err != nil {
			return result, fmt.Errorf("verify what was restored: %w", err)
		}
		result.Verification = &v
	}
	return result, name(tmp, data)
}

func (o *RestoreOptions) step(s RestoreStep) func(done, total uint64) {
	if o.Progress == nil {
		return nil
	}
	return func(done, total uint64) { o.Progress(s, done, total) }
}

// wantEmpty refuses a folder with anything in it.
func wantEmpty(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("restore to %s: %w: it has %s", dir, ErrNotEmpty, list[0].Name())
	}
	return nil
}

// claim makes the folder in which a restore works. One that an earlier restore left is removed, unless that one still
// runs; anything else of that name is left alone.
func claim(tmp string) error {
	// An empty one may be of a restore that was killed before it could write its mark.
	if err := syscall.Rmdir(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(tmp, restoringMark)); err != nil {
			return fmt.Errorf("restore: %w: %s is in the way, and no restore made it", ErrNotEmpty, tmp)
		}
		lock, err := vfs.Default.Lock(filepath.Join(tmp, "LOCK"))
		if err != nil {
			return fmt.Errorf("restore: another one works in %s: %w", tmp, err)
		}
		if err := errors.Join(os.RemoveAll(tmp), lock.Close()); err != nil {
			return fmt.Errorf("remove what an earlier restore left: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(tmp), 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tmp, restoringMark), []byte("a restore works here; worthless after a crash\n"), 0o600); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// fill writes the journal, and what lay beside the backup.
func fill(ctx context.Context, r backup.Repository, tmp string, o RestoreOptions) (out *backup.Restored, err error) {
	store, err := local.Open(tmp, local.Options{FS: unsynced{vfs.Default}, Cell: uint64(o.Cell)})
	if err != nil {
		return nil, err
	}
	out, err = backup.Restore(ctx, r, uint64(o.Cell), o.Target, store, o.step(RestoreCopies))
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	for _, x := range out.Extras {
		if x.Name != keysExport { // whoever could write to the repository must not bring tokens along
			return nil, fmt.Errorf("restore %s: %w: only %s lies beside a backup", x.Name, backup.ErrDamaged, keysExport)
		}
		path := filepath.Join(tmp, x.Name)
		if err := os.WriteFile(path, x.Data, 0o600); err != nil {
			return nil, fmt.Errorf("restore %s: %w", x.Name, err)
		}
	}
	return out, nil
}

// name makes all of tmp durable and gives it its name.
func name(tmp, data string) error {
	if err := syncTree(tmp); err != nil {
		return err
	}
	if err := syscall.Rmdir(data); err != nil && !errors.Is(err, fs.ErrNotExist) { // only an empty folder goes
		return fmt.Errorf("restore to %s: %w: %w", data, ErrNotEmpty, err)
	}
	if err := os.Rename(tmp, data); err != nil {
		return fmt.Errorf("name the restored folder: %w", err)
	}
	if err := os.Remove(filepath.Join(data, restoringMark)); err != nil {
		return fmt.Errorf("remove the mark of the restore: %w", err)
	}
	return errors.Join(syncPath(data), syncPath(filepath.Dir(data)))
}

// syncTree makes every file and name in dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("make %s durable: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make %s durable: %w", path, err)
	}
	return nil
}

// unsynced is a file system that is made durable once, at the end: nothing in a folder without a name has to survive a
// crash, and a sync for every block would take hours for a large journal.
type unsynced struct{ vfs.FS }

// Create implements vfs.FS.
func (u unsynced) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, category)
	return unsyncedFile{f}, err
}

// OpenReadWrite implements vfs.FS.
func (u unsynced) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := u.FS.OpenReadWrite(name, category, options...)
	return unsyncedFile{f}, err
}

type unsyncedFile struct{ vfs.File }

// Sync implements vfs.File.
func (unsyncedFile) Sync() error { return nil }

// SyncData implements vfs.File.
func (unsyncedFile) SyncData() error { return nil }

// SyncTo implements vfs.File.
func (unsyncedFile) SyncTo(int64) (bool, error) { return true, nil }
