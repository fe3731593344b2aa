package gvisor

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An unpacker writes layers over each other into a folder, and nowhere else: every path goes through an os.Root, which
// follows no link out of it.
type unpacker struct {
	root    *os.Root
	bytes   int64 // that may still be written
	entries int
	most    int64               // bytes of a file; larger ones are left out
	layered bool                // whiteouts mean something
	fresh   map[string]struct{} // names of the present layer, which an opaque folder keeps
}

func (u *unpacker) layer(l v1.Layer, want v1.Hash) error {
	r, err := l.Uncompressed()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	defer r.Close() //nolint:errcheck // only read from
	u.layered, u.fresh = true, map[string]struct{}{}
	hash := sha256.New()
	in := io.TeeReader(r, hash)
	if err := u.tar(in); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, in, 1<<20); !errors.Is(err, io.EOF) { // padding
		return fmt.Errorf("%w: more than 1 MiB after the end of a layer", ErrImage)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); want.Algorithm != "sha256" || sum != want.Hex {
		return fmt.Errorf("%w: its content is sha256:%s, and the image says %s", ErrImage, sum, want)
	}
	return nil
}

func (u *unpacker) tar(in io.Reader) error {
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: read a layer: %w", ErrImage, err)
		}
		u.entries--
		u.bytes -= max(0, h.Size)
		if u.entries < 0 || u.bytes < 0 {
			return fmt.Errorf("%w: more than %d files or %d bytes", ErrImage, maxImageEntries, int64(maxImageBytes))
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		if name == "." {
			continue
		}
		if !fs.ValidPath(name) {
			return fmt.Errorf("%w: the path %q leads out of it", ErrImage, h.Name)
		}
		if err := u.entry(name, h, r); err != nil {
			return fmt.Errorf("%w: %q: %w", ErrImage, name, err)
		}
	}
}

// Names that hide what lower layers hold: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

func (u *unpacker) entry(name string, h *tar.Header, r io.Reader) error {
	folder, base := path.Split(name)
	folder = path.Clean(folder)
	switch {
	case u.layered && base == opaque:
		return u.hideAll(folder)
	case u.layered && strings.HasPrefix(base, whiteout):
		hidden := strings.TrimPrefix(base, whiteout)
		if hidden == "" || hidden == "." || hidden == ".." {
			return errors.New("hides no file")
		}
		return u.root.RemoveAll(path.Join(folder, hidden))
	}
	if err := u.root.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if u.layered {
		for p := name; p != "."; p = path.Dir(p) {
			u.fresh[p] = struct{}{}
		}
	}
	old, err := u.root.Lstat(name)
	if err == nil && (!old.IsDir() || h.Typeflag != tar.TypeDir) {
		if err := u.root.RemoveAll(name); err != nil {
			return err
		}
	}
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	case tar.TypeReg:
		if h.Size > u.most {
			return nil
		}
		if err := u.file(name, h.Size, r); err != nil {
			return err
		}
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return u.root.Link(path.Clean(strings.TrimPrefix(h.Linkname, "/")), name)
	default:
		return nil // devices, pipes: the sandbox's kernel has its own
	}
	if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := u.root.Chmod(name, mode); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime) // of folders, what is written into them changes it again
}

func (u *unpacker) file(name string, size int64, r io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, r, size)
	return errors.Join(err, f.Close())
}

// hideAll removes what lower layers put into a folder.
func (u *unpacker) hideAll(folder string) error {
	d, err := u.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		p := path.Join(folder, n)
		if _, kept := u.fresh[p]; kept {
			continue
		}
		if err := u.root.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}
