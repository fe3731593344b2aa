package gvisor

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sterlingrun/sterling/sandbox"
)

// settle replaces paths of the host by what they are, links followed, so that they are judged and used as the same
// thing, and verifies that they are what the policy takes them for.
func settle(p *sandbox.Policy) error {
	follow := func(what string, s *string) (os.FileInfo, error) {
		real, err := filepath.EvalSymlinks(*s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		*s = real
		info, err := os.Stat(real)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		return info, nil
	}
	for i := range p.Mounts {
		if p.Mounts[i].Source == "" {
			continue
		}
		if _, err := follow("mount "+p.Mounts[i].Target, &p.Mounts[i].Source); err != nil {
			return err
		}
	}
	for i := range p.Secrets {
		s := &p.Secrets[i]
		info, err := follow("secret "+s.Name, &s.File)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || !readable(info, *p.User) {
			return fmt.Errorf("secret %s: %s is no file that the policy's user (uid %d, gid %d) may read", s.Name, s.File, p.User.UID, p.User.GID)
		}
	}
	for i := range p.Network.Sockets {
		s := &p.Network.Sockets[i]
		if s.Brokered() {
			continue // it may come later
		}
		info, err := follow("socket "+s.Name, &s.Path)
		if err != nil {
			return err
		}
		if info.Mode().Type() != os.ModeSocket {
			return fmt.Errorf("socket %s: %s is no socket", s.Name, s.Path)
		}
	}
	if p.Root.Directory == "" {
		return nil
	}
	if _, err := follow("root", &p.Root.Directory); err != nil {
		return err
	}
	if p.Isolation.Kind() != sandbox.GVisor {
		return nil // a copy of the root, in which places can be made
	}
	return settleTargets(p)
}

// settleTargets verifies that a root that is a folder has all places for mounts: gVisor would make them in it, and the
// folder is not ours to change.
func settleTargets(p *sandbox.Policy) error {
	root, err := os.OpenRoot(p.Root.Directory)
	if err != nil {
		return fmt.Errorf("open the root folder: %w", err)
	}
	defer root.Close() //nolint:errcheck // a folder
	var targets []string
	for _, m := range p.Mounts {
		if m.Source != "" {
			targets = append(targets, m.Target)
		}
	}
	for _, s := range p.Secrets {
		targets = append(targets, filepath.Join(sandbox.SecretFolder, s.Name))
	}
	for _, s := range p.Network.Sockets {
		targets = append(targets, filepath.Join(sandbox.SocketFolder, s.Name))
	}
	if len(p.Network.Listen) > 0 {
		targets = append(targets, sandbox.ListenFolder)
	}
	for _, t := range targets {
		if _, err := root.Stat(t[1:]); err != nil {
			return fmt.Errorf("root: %s has no %s to mount on; make one there, or use an image: %w", p.Root.Directory, t, err)
		}
	}
	return nil
}

// readable tells whether a user may read a file by its mode. Root has no capabilities in a sandbox, so it is a user too.
func readable(info os.FileInfo, u sandbox.User) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	switch {
	case !ok:
		return false
	case owner.Uid == u.UID:
		return mode&0o400 != 0
	case owner.Gid == u.GID:
		return mode&0o040 != 0
	}
	return mode&0o004 != 0
}
