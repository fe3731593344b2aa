package keystore

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// keysCategory is what vfs accounts our writes under.
const keysCategory = vfs.WriteCategoryUnspecified

// privateFS is the operating system's file system, where created files are their owner's only.
type privateFS struct{ vfs.FS }

// Create makes an empty file of mode 0600 in the place of one that may be there.
func (f privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return f.OpenReadWrite(name, category)
}

// makeFolder makes a folder and those above it, and their names durable: up to the first one that was there, because
// whoever made that may not have got so far.
func makeFolder(fs vfs.FS, dir string) error {
	var parents []string
	for at := dir; fs.PathDir(at) != at; at = fs.PathDir(at) {
		parents = append(parents, fs.PathDir(at))
		if _, err := fs.Stat(at); err == nil {
			break
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the folder of the keys: %w", err)
	}
	for _, parent := range parents {
		if err := syncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads a file of at most limit bytes.
func readAll(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrDamaged, path, limit)
	}
	return b, nil
}

// create writes a new file and leaves it open. Its bytes are durable, its name is once the folder is synced.
func create(fs vfs.FS, path string, b []byte) (vfs.File, error) {
	f, err := fs.Create(path, keysCategory)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, errors.Join(err, f.Close()))
	}
	return f, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// scrub overwrites all of an open file with random bytes, durably, and closes it.
func scrub(f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("inspect a file to overwrite: %w", err), f.Close())
	}
	junk := make([]byte, 64<<10)
	for at := int64(0); at < info.Size() && err == nil; {
		part := junk[:min(int64(len(junk)), info.Size()-at)]
		if err = random(part); err == nil {
			_, err = f.WriteAt(part, at)
		}
		at += int64(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("overwrite a file that is not needed any more: %w", err)
	}
	return nil
}

// discard overwrites a file by its path, and removes it.
func discard(fs vfs.FS, path string) error {
	f, err := fs.OpenReadWrite(path, keysCategory)
	if err != nil {
		return fmt.Errorf("open %s to overwrite it: %w", path, err)
	}
	if err := scrub(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := fs.Remove(path); err != nil {
		return fmt.Errorf("remove the overwritten %s: %w", path, err)
	}
	return nil
}
