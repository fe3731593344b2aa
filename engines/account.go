package engines

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that servers run as: database servers refuse to run as root. Nil: the user of this process.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged returns the first of names that is a user here; nil where this process is not root's.
func unprivileged(names ...string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is documented: the user of this process
	}
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		if errUID != nil || errGID != nil || uid == 0 {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("find a user to run servers as: this process is root, and none of %v is a user here", names)
}

// give makes path the account's own.
func (a *account) give(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// folder makes dir, and what is missing above it, the account's own where it is new. An older folder is left as it is,
// and must be one that the account can reach.
func (a *account) folder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		if err := a.give(dir); err != nil {
			return fmt.Errorf("give %s to user %s: %w", dir, a.name, err)
		}
	case errors.Is(err, os.ErrNotExist):
		if err := a.folder(filepath.Dir(dir)); err != nil {
			return err
		}
		return a.folder(dir)
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("make the folder %s: %w", dir, err)
	}
	return a.reaches(dir)
}

// reaches tells whether the account may enter dir and every folder above it.
func (a *account) reaches(dir string) error {
	for a != nil {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("look at the folder %s: %w", dir, err)
		}
		enter := info.Mode()&0o001 != 0
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			enter = enter || owner.Uid == a.uid && info.Mode()&0o100 != 0 || owner.Gid == a.gid && info.Mode()&0o010 != 0
		}
		if !enter {
			return fmt.Errorf("user %s, whom servers run as, may not enter %s: choose another folder, or chmod o+x it", a.name, dir)
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	return nil
}
