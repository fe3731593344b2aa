package gvisor

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sterlingrun/sterling/sandbox"
)

// Build writes an image with one layer to a folder that must not exist, an OCI image layout, and returns the digest of
// its manifest. The source is a static executable for Linux on amd64, which becomes /NAME, or a folder, which becomes the
// root. The same content gives the same digest, whenever, wherever and by whomever it is built: owners, times and
// set-user-id bits are left out, names are sorted, nothing is compressed. Devices, sockets and pipes are errors.
func Build(source, into string) (digest string, err error) {
	info, err := os.Stat(source)
	if err != nil {
		return "", fmt.Errorf("read what the image is made of: %w", err)
	}
	config := &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}
	content := func(w *tar.Writer) error { return tarFolder(w, source) }
	if !info.IsDir() {
		if err := isStatic(source); err != nil {
			return "", err
		}
		name := filepath.Base(source)
		config.Config.Entrypoint = []string{"/" + name}
		content = func(w *tar.Writer) error { return tarProgram(w, source, name) }
	}
	layer, err := tarball.LayerFromOpener(opener(content), tarball.WithCompression(compression.None), tarball.WithMediaType(types.OCIUncompressedLayer))
	if err != nil {
		return "", fmt.Errorf("build the image: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, config)
	if err == nil {
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCIUncompressedLayer})
	}
	if err != nil {
		return "", fmt.Errorf("build the image: %w", err)
	}
	if err := os.Mkdir(into, 0o750); err != nil {
		return "", fmt.Errorf("make the image's folder: %w", err)
	}
	if digest, err = write(img, into); err != nil {
		return "", errors.Join(fmt.Errorf("write the image: %w", err), os.RemoveAll(into))
	}
	return digest, nil
}

func write(img v1.Image, into string) (string, error) {
	l, err := layout.Write(into, empty.Index)
	if err == nil {
		err = l.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
	}
	if err != nil {
		return "", err
	}
	hash, err := img.Digest()
	return hash.String(), err
}

// isStatic refuses what could not run alone.
func isStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%w: %s is neither a folder nor an executable for Linux: %w", ErrImage, program, err)
	}
	defer f.Close() //nolint:errcheck // only read from
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("%w: %s is for %s, and amd64 is wanted", ErrImage, program, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%w: %s needs shared libraries: build it static (for Go: CGO_ENABLED=0), or give a folder with everything in it", ErrImage, program)
		}
	}
	return nil
}

// opener makes a tar each time it is read.
func opener(content func(*tar.Writer) error) tarball.Opener {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { // ends when the tar was read, or closed
			t := tar.NewWriter(w)
			err := content(t)
			if err == nil {
				err = t.Close()
			}
			_ = w.CloseWithError(err) // it never fails
		}()
		return r, nil
	}
}

// tarProgram writes a root with a program, and places for what a policy may mount.
func tarProgram(w *tar.Writer, program, name string) error {
	for _, folder := range []string{"run", sandbox.SecretFolder[1:], sandbox.SocketFolder[1:], "tmp"} {
		if err := w.WriteHeader(tarHeader(folder+"/", tar.TypeDir, 0o755)); err != nil {
			return err
		}
	}
	return tarFile(w, program, name, 0o755)
}

func tarHeader(name string, kind byte, mode fs.FileMode) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: int64(mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

func tarFile(w *tar.Writer, from, name string, mode fs.FileMode) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := tarHeader(name, tar.TypeReg, mode)
	h.Size = info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(w, f, h.Size); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

// tarFolder writes what is in a folder, in the order of names. What Unpack would refuse is refused.
func tarFolder(w *tar.Writer, root string) error {
	entries, left := 0, int64(maxImageBytes)
	return filepath.WalkDir(root, func(from string, d fs.DirEntry, err error) error {
		if err != nil || from == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, from)
		if err != nil {
			return err
		}
		name = path.Clean(filepath.ToSlash(name))
		entries++
		left -= info.Size()
		if entries > maxImageEntries || left < 0 {
			return fmt.Errorf("%w: more than %d files or %d bytes", ErrImage, maxImageEntries, int64(maxImageBytes))
		}
		switch info.Mode().Type() {
		case 0:
			return tarFile(w, from, name, info.Mode())
		case fs.ModeDir:
			return w.WriteHeader(tarHeader(name+"/", tar.TypeDir, info.Mode()))
		case fs.ModeSymlink:
			to, err := os.Readlink(from)
			if err != nil {
				return err
			}
			h := tarHeader(name, tar.TypeSymlink, 0o777)
			h.Linkname = to
			return w.WriteHeader(h)
		}
		return fmt.Errorf("%w: %s is a device, a socket or a pipe", ErrImage, from)
	})
}
