package engines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A home is the folder of one server, or of a trio: its files, the user they belong to, and who removes them.
type home struct {
	dir     string
	owner   *account
	sweeper *sweeper // nil where the folder is the caller's and stays
}

// newHome makes the folder name below the caller's dir, or below a temporary one.
func newHome(dir, name string, owner *account) (*home, error) {
	h := &home{owner: owner}
	if dir == "" {
		s, err := newSweeper(owner)
		if err != nil {
			return nil, err
		}
		h.sweeper, dir = s, s.dir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	h.dir = filepath.Join(dir, name)
	if _, err := os.Lstat(h.dir); err == nil {
		return nil, errors.Join(fmt.Errorf("make the folder %s: it exists; remove it, or choose another folder", h.dir), h.close())
	}
	if err := owner.folder(h.dir); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// below returns the home of a member; the whole's sweeper sweeps it too.
func (h *home) below(name string) (*home, error) {
	member := &home{dir: h.path(name), owner: h.owner}
	return member, h.owner.folder(member.dir)
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// write replaces a file; only its owner may read it.
func (h *home) write(name, text string) error {
	path := h.path(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := h.owner.give(path); err != nil {
		return fmt.Errorf("give %s away: %w", path, err)
	}
	return nil
}

func (h *home) remove(name string) error {
	if err := os.RemoveAll(h.path(name)); err != nil {
		return fmt.Errorf("remove %s: %w", h.path(name), err)
	}
	return nil
}

// close removes the folder if it is a temporary one.
func (h *home) close() error { return h.sweeper.close() }
