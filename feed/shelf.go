package feed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/sterlingrun/sterling/durable"
)

// Shelf is where sinks keep how far they are, and what they gave up on: under NAME.json, and NAME.dead/ID.json. Stores that
// several nodes reach are shelves; Folder is one of a node of its own.
type Shelf interface {
	// Document returns what is kept under a name, nil where there is nothing.
	Document(ctx context.Context, name string) ([]byte, error)
	// Documents returns the names that begin with a prefix, in order.
	Documents(ctx context.Context, prefix string) ([]string, error)
	// PutDocument keeps body, which is not empty, in place of what was there, durably.
	PutDocument(ctx context.Context, name string, body []byte) error
	// RemoveDocument forgets what is kept under a name, durably.
	RemoveDocument(ctx context.Context, name string) error
}

// Folder is a shelf in a folder of this machine, which is made when something is kept in it.
type Folder string

func (f Folder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

// Document implements Shelf.
func (f Folder) Document(_ context.Context, name string) ([]byte, error) {
	b, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Documents implements Shelf for prefixes that end in a slash. What a crash left half written is removed.
func (f Folder) Documents(_ context.Context, prefix string) (names []string, err error) {
	entries, err := os.ReadDir(f.path(prefix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", f.path(prefix), err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), documentSuffix) {
			names = append(names, prefix+e.Name())
			continue
		}
		if err := os.Remove(f.path(prefix + e.Name())); err != nil {
			return nil, fmt.Errorf("remove a file that was left half written: %w", err)
		}
	}
	sort.Strings(names)
	return names, nil
}

// PutDocument implements Shelf.
func (f Folder) PutDocument(_ context.Context, name string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(f.path(name), body)
}

// RemoveDocument implements Shelf.
func (f Folder) RemoveDocument(_ context.Context, name string) error {
	if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncFolder(filepath.Dir(f.path(name)))
}

const documentSuffix = ".json"

// cursorName and deadPrefix are where a sink's documents are.
func cursorName(sink string) string { return sink + documentSuffix }
func deadPrefix(sink string) string { return sink + ".dead/" }
