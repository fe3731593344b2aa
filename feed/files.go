package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile makes a file durable under its name, whole or not at all.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// cursor is the file that says how far a sink is.
type cursor struct {
	Sink     string   `json:"sink"`
	Position Position `json:"position"` // everything up to here is delivered
}

// readCursor returns the position, or ok false where there is no file yet.
func readCursor(path, sink string) (p Position, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("read the cursor: %w", err)
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return p, false, fmt.Errorf("read the cursor %s: %w", path, err)
	}
	if err := c.Position.check(); err != nil || c.Sink != sink {
		return p, false, fmt.Errorf("read the cursor %s: it is of sink %q, at %v", path, c.Sink, c.Position)
	}
	return c.Position, true, nil
}

func writeCursor(path, sink string, p Position) error {
	b, err := json.Marshal(cursor{sink, p})
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return writeFile(path, append(b, '\n'))
}
