package gvisor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/sandbox"
)

// Bounds of packed roots that no sandbox has.
const (
	maxUnused    = 8 // the most recently used ones stay
	maxUnusedAge = 30 * 24 * time.Hour
	rootsRetry   = 20 * time.Millisecond // while another process packs
)

// packedRoots is the folder of images of roots, each a file of EROFS that is made once. A sandbox has its own by a link in
// its own folder, so that nothing takes it away: a file here of one name only is in use by nobody. The time of its last
// change is when it was last asked for.
type packedRoots struct {
	folder string
	clock  clock.Clock
}

func (r *Runner) packedRoots() packedRoots {
	return packedRoots{filepath.Join(r.State, "images"), r.Clock}
}

// hold makes a link to the packed root of a name at a path of the same file system. Where there is none that is whole,
// write makes it, while nobody else does; what it leaves unfinished is at that path only, for the caller to remove.
func (p packedRoots) hold(ctx context.Context, name, at string, write func(out *os.File, identity [16]byte) error) error {
	sum := sha256.Sum256([]byte(name))
	identity := [16]byte(sum[:16])
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of packed roots: %w", err)
	}
	if held, err := p.take(name, at, identity); held || err != nil {
		return err
	}
	lock, err := p.lock(ctx, name[:1])
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing is written there
	if held, err := p.take(name, at, identity); held || err != nil {
		return err
	}
	out, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return fmt.Errorf("pack a root: %w", err)
	}
	err = write(out, identity)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	// Only now, complete and on the disk, does it get the name that others look for.
	file := p.path(name)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) { // a damaged one
		return fmt.Errorf("replace a packed root: %w", err)
	}
	if err := os.Link(at, file); err != nil {
		return fmt.Errorf("keep a packed root: %w", err)
	}
	if err := durable.SyncFolder(p.folder); err != nil {
		return fmt.Errorf("keep a packed root: %w", err)
	}
	p.prune()
	return nil
}

func (p packedRoots) path(name string) string { return filepath.Join(p.folder, name+".erofs") }

// take links what is there, if it is whole.
func (p packedRoots) take(name, at string, identity [16]byte) (bool, error) {
	err := os.Link(p.path(name), at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take a packed root: %w", err)
	}
	if err := verifyErofs(at, identity); err != nil {
		if gone := os.Remove(at); gone != nil || !errors.Is(err, errTorn) {
			return false, errors.Join(err, gone)
		}
		return false, nil // it is made again
	}
	now := clock.Now(p.clock)
	if err := os.Chtimes(at, now, now); err != nil {
		return false, fmt.Errorf("take a packed root: %w", err)
	}
	return true, nil
}

// lock waits for whoever packs a root whose name begins alike: 16 locks, of which none has to be removed.
func (p packedRoots) lock(ctx context.Context, first string) (*os.File, error) {
	for {
		f, err := lockFile(filepath.Join(p.folder, "lock-"+first), syscall.LOCK_EX)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return f, err
		}
		if err := clock.Sleep(ctx, p.clock, rootsRetry); err != nil {
			return nil, fmt.Errorf("wait for another start that packs a root: %w", err)
		}
	}
}

// prune removes what nobody has, beyond the bounds. What can't be removed now is tried again after the next start that
// packs, or removal.
func (p packedRoots) prune() {
	type unused struct {
		path string
		used time.Time
	}
	var all []unused
	files, _ := filepath.Glob(filepath.Join(p.folder, "*.erofs")) // the pattern is right
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink == 1 {
			all = append(all, unused{file, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b unused) int { return b.used.Compare(a.used) })
	oldest := clock.Now(p.clock).Add(-maxUnusedAge)
	for i, u := range all {
		if i >= maxUnused || u.used.Before(oldest) {
			// Who takes it in this moment has a link of its own.
			_ = os.Remove(u.path)
		}
	}
}

// root makes the root file system ready, and tells the image in the status. The file is that of a packed one.
func (s *session) root(ctx context.Context) (folder, file string, err error) {
	switch {
	case s.policy.Root.Image == "":
		return s.policy.Root.Directory, "", nil
	case s.policy.Isolation.Kind() != sandbox.GVisor:
		folder, s.status.Root, err = s.unpack(s.policy.Root.Digest)
		return folder, "", err
	}
	s.status.Root, err = s.packRoot(ctx)
	return s.place.path("root"), s.place.path(fileRoot), err
}

// packRoot makes the image of the policy's root into one file, or finds it, and returns the digest of the image.
func (s *session) packRoot(ctx context.Context) (digest string, err error) {
	image, want := s.policy.Root.Image, s.policy.Root.Digest
	digest, err = imageDigest(image, want, s.place.path("manifest"))
	if err != nil {
		return "", err
	}
	places, err := mountPlaces(s.policy)
	if err != nil {
		return "", err
	}
	name := strings.TrimPrefix(digest, "sha256:")
	if len(places) > 0 {
		sum := sha256.New()
		for _, p := range places {
			fmt.Fprintf(sum, "%q %t\n", p.Path, p.Folder) //nolint:errcheck // a hash
		}
		name += "-" + hex.EncodeToString(sum.Sum(nil)[:8])
	}
	err = s.packedRoots().hold(ctx, name, s.place.path(fileRoot), func(out *os.File, identity [16]byte) error {
		root, _, err := s.unpack(digest)
		if err != nil {
			return err
		}
		if err := makePlaces(root, append(slices.Clone(kernelPlaces), places...)); err != nil {
			return err
		}
		if err := writeErofs(root, out, identity); err != nil {
			return err
		}
		if err := os.RemoveAll(root); err != nil {
			return fmt.Errorf("remove the unpacked image: %w", err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	// gVisor wants a folder beside the file, and takes nothing from it.
	if err := os.Mkdir(s.place.path("root"), 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the root: %w", err)
	}
	return digest, nil
}

// unpack writes the image to a folder of the sandbox. An empty digest is any.
func (s *session) unpack(want string) (root, digest string, err error) {
	root = s.place.path("root")
	scratch := s.place.path("layout")
	for _, folder := range []string{root, scratch} {
		// The root of a file system is open to its users; the folder above is not.
		err := os.Mkdir(folder, 0o755) //nolint:gosec // see above
		if err == nil {
			err = os.Chmod(folder, 0o755) //nolint:gosec // whatever the umask is
		}
		if err != nil {
			return "", "", fmt.Errorf("make a folder for the image: %w", err)
		}
	}
	digest, err = Unpack(s.policy.Root.Image, want, scratch, root)
	return root, digest, errors.Join(err, os.RemoveAll(scratch))
}

// A mountPlace is where something is mounted in a root.
type mountPlace struct {
	Path   string // of the sandbox
	Folder bool
}

// kernelPlaces are what gVisor mounts in each root.
var kernelPlaces = []mountPlace{{"/proc", true}, {"/sys", true}, {"/dev", true}, {"/tmp", true}}

// mountPlaces are what a policy mounts, by path.
func mountPlaces(p *sandbox.Policy) ([]mountPlace, error) {
	var all []mountPlace
	for _, m := range p.Mounts {
		folder := true // memory
		if m.Source != "" {
			info, err := os.Stat(m.Source)
			if err != nil {
				return nil, fmt.Errorf("mount %s: %w", m.Target, err)
			}
			folder = info.IsDir()
		}
		all = append(all, mountPlace{m.Target, folder})
	}
	for _, s := range p.Secrets {
		all = append(all, mountPlace{path.Join(sandbox.SecretFolder, s.Name), false})
	}
	for _, s := range p.Network.Sockets {
		all = append(all, mountPlace{path.Join(sandbox.SocketFolder, s.Name), false})
	}
	if len(p.Network.Listen) > 0 {
		all = append(all, mountPlace{sandbox.ListenFolder, true})
	}
	slices.SortFunc(all, func(a, b mountPlace) int { return cmp.Compare(a.Path, b.Path) })
	return all, nil
}

// makePlaces makes places that are not there in an unpacked root, where the sandbox will look for them: links are
// followed as they are within it. What is of the wrong kind stays as it is; gVisor says so.
func makePlaces(folder string, places []mountPlace) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("open the unpacked image: %w", err)
	}
	defer root.Close() //nolint:errcheck // a folder
	for _, p := range places {
		if err := makePlace(root, p); err != nil {
			return fmt.Errorf("%w: make a place for %s: %w", ErrImage, p.Path, err)
		}
	}
	return nil
}

func makePlace(root *os.Root, p mountPlace) error {
	done, left := ".", strings.Split(p.Path, "/")
	for links := 0; len(left) > 0; {
		next := path.Join(done, left[0])
		if left[0] == ".." && done == "." {
			next = "." // as / is above /
		}
		left = left[1:]
		info, err := root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := makeOne(root, next, p.Folder || len(left) > 0); err != nil {
				return err
			}
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > 40 {
				return syscall.ELOOP
			}
			to, err := root.Readlink(next)
			if err != nil {
				return err
			}
			if path.IsAbs(to) {
				done = "."
			}
			left = append(strings.Split(to, "/"), left...)
			continue
		}
		done = next
	}
	return nil
}

func makeOne(root *os.Root, name string, folder bool) error {
	if folder {
		if err := root.Mkdir(name, 0o755); err != nil {
			return err
		}
		return root.Chmod(name, 0o755) // whatever the umask is
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Close())
}
