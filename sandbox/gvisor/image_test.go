package gvisor

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/google/go-containerregistry/pkg/name"
)

// A node is an entry of a layer: a file with a text, a folder ("name/"), or a link ("name -> target", "name => target").
func layerTar(t testing.TB, nodes ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range nodes {
		h := &tar.Header{Name: n, Mode: 0o4755, Typeflag: tar.TypeReg, Uid: os.Getuid(), Gid: os.Getgid()}
		text := "text of " + n
		if link, target, ok := strings.Cut(n, " -> "); ok {
			h.Name, h.Linkname, h.Typeflag, text = link, target, tar.TypeSymlink, ""
		} else if link, target, ok := strings.Cut(n, " => "); ok {
			h.Name, h.Linkname, h.Typeflag, text = link, target, tar.TypeLink, ""
		} else if strings.HasSuffix(n, "/") {
			h.Typeflag, text = tar.TypeDir, ""
		} else if strings.HasPrefix(n, "dev:") {
			h.Name, h.Typeflag, text = n[4:], tar.TypeChar, ""
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func imageOf(t testing.TB, layers ...[]string) v1.Image {
	t.Helper()
	img := empty.Image
	for _, nodes := range layers {
		text := layerTar(t, nodes...)
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// layoutOf writes images to a layout.
func layoutOf(t testing.TB, images ...v1.Image) string {
	t.Helper()
	folder := t.TempDir()
	l, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if err := l.AppendImage(img); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func digestOf(t testing.TB, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// tree lists a folder: files with their content, links with their target.
func tree(t testing.TB, folder string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == folder {
			return err
		}
		rel, info := p[len(folder)+1:], must(t, d.Info)
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += " -> " + target
		case !info.Mode().IsRegular() || info.Mode()&fs.ModeSetuid != 0:
			return fmt.Errorf("%s has mode %s", rel, info.Mode())
		}
		all = append(all, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func must[T any](t testing.TB, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func asRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking an image keeps its owners, which needs root")
	}
}

func TestUnpackLayers(t *testing.T) {
	asRoot(t)
	img := imageOf(
		t,
		[]string{"usr/bin/", "usr/bin/app", "bin -> usr/bin", "etc/", "etc/a", "etc/b", "cache/", "cache/x", "cache/y", "old", "dev:null", "swap"},
		[]string{"bin/tool", "usr/bin/link => usr/bin/app", "etc/.wh.a", "cache/new", "cache/.wh..wh..opq", "old/", "old/inside", "swap -> etc"},
	)
	folder := layoutOf(t, img)
	into := t.TempDir()
	digest, err := Unpack(folder, digestOf(t, img), t.TempDir(), into)
	if err != nil || digest != digestOf(t, img) {
		t.Fatal(digest, err)
	}
	want := []string{
		"bin -> usr/bin", "cache/", "cache/new", "etc/", "etc/b", "old/", "old/inside", "swap -> etc",
		"usr/", "usr/bin/", "usr/bin/app", "usr/bin/link", "usr/bin/tool",
	}
	if got := tree(t, into); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(into, "usr/bin/link")); string(text) != "text of usr/bin/app" {
		t.Errorf("the hard link: %q, %v", text, err)
	}
}

// TestUnpackTars: a tar of a layout and one of docker save are images like a layout.
func TestUnpackTars(t *testing.T) {
	asRoot(t)
	img := imageOf(t, []string{"app"})
	saved := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(saved, name.MustParseReference("a/b:c"), img); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "layout.tar")
	f := must(t, func() (*os.File, error) { return os.Create(packed) })
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(layoutOf(t, img))), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{saved, packed} {
		into := t.TempDir()
		if _, err := Unpack(path, "", t.TempDir(), into); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, into); !slices.Equal(got, []string{"app"}) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestUnpackRefuses: nothing is written outside, and nothing that was changed passes.
func TestUnpackRefuses(t *testing.T) {
	asRoot(t)
	outside := t.TempDir()
	up := "up -> " + outside
	for _, nodes := range [][]string{
		{"../escape"},
		{"a/../../escape"},
		{up, "up/escape"},
		{"up -> ../../..", "up/tmp/escape"},
		{"a/", "a/up -> ../..", "a/up/escape"},
		{"link => ../../etc/passwd"},
		{up, "link => up/x"},
		{"a/.wh..."},
		{".wh."},
	} {
		_, err := Unpack(layoutOf(t, imageOf(t, nodes)), "", t.TempDir(), t.TempDir())
		if !errors.Is(err, ErrImage) {
			t.Errorf("%q: %v", nodes, err)
		}
	}
	if got := tree(t, outside); len(got) > 0 {
		t.Errorf("outside: %q", got)
	}

	one, two := imageOf(t, []string{"one"}), imageOf(t, []string{"two"})
	both := layoutOf(t, one, two)
	if _, err := Unpack(both, "", t.TempDir(), t.TempDir()); !errors.Is(err, ErrImage) {
		t.Errorf("two images, none named: %v", err)
	}
	if _, err := Unpack(both, digestOf(t, two), t.TempDir(), t.TempDir()); err != nil {
		t.Errorf("two images, one named: %v", err)
	}
	if _, err := Unpack(layoutOf(t, one), digestOf(t, two), t.TempDir(), t.TempDir()); !errors.Is(err, ErrImage) {
		t.Errorf("another digest: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.tar")
	if err := os.WriteFile(empty, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(empty, "", t.TempDir(), t.TempDir()); !errors.Is(err, ErrImage) {
		t.Errorf("no tar: %v", err)
	}
}

// TestUnpackFindsChanges: every blob of an image is bound to its digest.
func TestUnpackFindsChanges(t *testing.T) {
	asRoot(t)
	img := imageOf(t, []string{"app"}, []string{"lib"})
	digest := digestOf(t, img)
	blobs := must(t, func() ([]string, error) { return filepath.Glob(filepath.Join(layoutOf(t, img), "blobs/sha256/*")) })
	if len(blobs) != 4 {
		t.Fatalf("%d blobs; want a manifest, a configuration and two layers", len(blobs))
	}
	for i := range blobs {
		folder := layoutOf(t, img)
		blob := must(t, func() ([]string, error) { return filepath.Glob(filepath.Join(folder, "blobs/sha256/*")) })[i]
		text := must(t, func() ([]byte, error) { return os.ReadFile(blob) })
		text[len(text)/2] ^= 1
		if err := os.WriteFile(blob, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(folder, digest, t.TempDir(), t.TempDir()); !errors.Is(err, ErrImage) {
			t.Errorf("blob %d: %v", i, err)
		}
	}
}

// TestImageDigest: the digest is that of Unpack, without the layers; a manifest that was changed is no image.
func TestImageDigest(t *testing.T) {
	asRoot(t)
	img := imageOf(t, []string{"app"})
	folder := layoutOf(t, img)
	packed := filepath.Join(t.TempDir(), "layout.tar")
	f := must(t, func() (*os.File, error) { return os.Create(packed) })
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(folder)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(saved, name.MustParseReference("a/b:c"), img); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(t.TempDir(), "scratch")
	for _, image := range []string{folder, packed, saved} {
		want, err := Unpack(image, "", t.TempDir(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := imageDigest(image, want, scratch); err != nil || got != want {
			t.Errorf("%s: %s, %v", image, got, err)
		}
		if _, err := imageDigest(image, "sha256:"+strings.Repeat("0", 64), scratch); !errors.Is(err, ErrImage) {
			t.Errorf("%s: another digest: %v", image, err)
		}
		if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left behind: %v", image, err)
		}
	}
	layer := must(t, func() ([]v1.Layer, error) { return img.Layers() })[0]
	blob := func(h v1.Hash) string { return filepath.Join(folder, "blobs/sha256", h.Hex) }
	if err := os.Remove(blob(must(t, layer.Digest))); err != nil {
		t.Fatal(err)
	}
	if got, err := imageDigest(folder, "", scratch); err != nil || got != digestOf(t, img) {
		t.Errorf("without its layer: %s, %v", got, err)
	}
	manifest := blob(must(t, img.Digest))
	text := must(t, func() ([]byte, error) { return os.ReadFile(manifest) })
	text[len(text)/2] ^= 1
	if err := os.WriteFile(manifest, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := imageDigest(folder, "", scratch); !errors.Is(err, ErrImage) {
		t.Errorf("a changed manifest: %v", err)
	}
}

// FuzzUnpack: no archive writes outside of its folder.
func FuzzUnpack(f *testing.F) {
	asRoot(f)
	f.Add(layerTar(f, "a/", "a/b", "c -> a", "c/d", "e => a/b", "a/.wh.b", "a/.wh..wh..opq"))
	f.Add(layerTar(f, "up -> ../..", "up/x", "../y", "l => ../z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parent := t.TempDir()
		into := filepath.Join(parent, "into")
		if err := os.Mkdir(into, 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(into)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := &unpacker{root: root, bytes: 1 << 20, entries: 100, most: 1 << 20, layered: true, fresh: map[string]struct{}{}}
		if err := u.tar(bytes.NewReader(text)); err != nil && !errors.Is(err, ErrImage) {
			t.Fatal(err)
		}
		names := must(t, func() ([]os.DirEntry, error) { return os.ReadDir(parent) })
		if len(names) != 1 || names[0].Name() != "into" {
			t.Fatalf("outside: %v", names)
		}
	})
}
