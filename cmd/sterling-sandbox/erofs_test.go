package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// image writes an image with one layer, the workload and more, to the layout "image".
func (b *bench) image(more ...tar.Header) v1.Image {
	b.Helper()
	program, err := os.ReadFile(filepath.Join(b.root, "workload"))
	if err != nil {
		b.Fatal(err)
	}
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, h := range append([]tar.Header{{Name: "workload", Mode: 0o755, Size: int64(len(program))}}, more...) {
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			b.Fatal(err)
		}
		content := bytes.Repeat([]byte(h.Name), int(h.Size)/len(h.Name)+1)[:h.Size]
		if h.Name == "workload" {
			content = program
		}
		if _, err := w.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil })
	if err != nil {
		b.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		b.Fatal(err)
	}
	l, err := layout.Write(filepath.Join(b.folder, "image"), empty.Index)
	if err == nil {
		err = l.AppendImage(img)
	}
	if err != nil {
		b.Fatal(err)
	}
	return img
}

// manyFiles are files of every kind that images have, sizes at and around the ends of blocks, large and odd folders.
func manyFiles() []tar.Header {
	at := time.Unix(1_700_000_000, 123_456_789)
	long := strings.Repeat("n", 255)
	all := []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o750, Gid: 5},
		{Name: long + "/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "l/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "l/" + long, Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("t", 4095)},
		{Name: "l/out", Typeflag: tar.TypeSymlink, Linkname: "/../../etc", Uid: 7},
		{Name: "owned", Size: 10, Mode: 0o644, Uid: 3_000_000_000, Gid: 70_000, ModTime: at},
		{Name: "secret", Size: 10, Mode: 0o600, Uid: 1},
		{Name: "many/", Typeflag: tar.TypeDir, Mode: 0o755},
	}
	for _, size := range []int64{0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 1<<20 + 1} {
		name := fmt.Sprintf("file-%d", size)
		all = append(all, tar.Header{Name: name, Size: size, Mode: 0o444, ModTime: at},
			tar.Header{Name: long + "/" + name, Typeflag: tar.TypeLink, Linkname: name})
	}
	for i := range 2000 {
		all = append(all, tar.Header{Name: fmt.Sprintf("many/%d%s", i, strings.Repeat("x", i%250)), Mode: 0o644, Size: int64(i % 3)})
	}
	return all
}

func (b *bench) imagePolicy(command string, more ...string) []byte {
	return bytes.Replace(b.policy(command, more...), []byte("directory: "+b.root), []byte("image: image"), 1)
}

// gofers counts the processes that serve files of the host to sandboxes.
func (b *bench) gofers() (count int) {
	b.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range found {
		text, _ := os.ReadFile(f) // of a process that has ended, nothing
		if bytes.HasPrefix(text, []byte("runsc-gofer\x00")) && bytes.Contains(text, []byte(b.State)) {
			count++
		}
	}
	return count
}

// TestImageRoot: a sandbox sees of an image what unpacking it gives, byte for byte, also by mapping files into memory; no
// second process serves it; the next start neither unpacks nor packs.
func TestImageRoot(t *testing.T) {
	b := newBench(t)
	img := b.image(manyFiles()...)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	policy := b.imagePolicy("tree, /", "user: {uid: 0, gid: 0}")
	s, got := b.run(policy)
	if s.Root != digest.String() || *s.Exit != 0 {
		t.Errorf("%+v", s)
	}
	unpacked := t.TempDir()
	if err := os.Chmod(unpacked, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := gvisor.Unpack(filepath.Join(b.folder, "image"), digest.String(), t.TempDir(), unpacked); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(b.root, "workload"), "tree", unpacked+"/").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	lines, want := strings.Split(got, "\n"), strings.Split(string(out), "\n")
	if len(lines) != len(want) || len(lines) < 2000 {
		t.Errorf("%d lines, want %d: %s", len(lines), len(want), got[max(0, len(got)-500):])
	}
	for i := range min(len(lines), len(want)) {
		if strings.HasPrefix(lines[i], `"secret"`) { // root has no capabilities there
			if !strings.Contains(lines[i], "permission denied") {
				t.Error(lines[i])
			}
			continue
		}
		if lines[i] != want[i] {
			t.Errorf("%s\nwant\n%s", lines[i], want[i])
		}
	}
	file := filepath.Join(b.State, "images", digest.Hex+".erofs")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove("box"); err != nil {
		t.Fatal(err)
	}
	if _, again := b.run(policy); again != got {
		t.Error("the second start sees something else")
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Errorf("packed again: %v", err)
	}
}

// TestImageRootAlone: while a sandbox of an image runs, there is no process that serves its files, it holds its root by
// a name of its own, and others of the same image share the file.
func TestImageRootAlone(t *testing.T) {
	b := newBench(t)
	b.image()
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	started := make(chan string, 4)
	for _, id := range []string{"one", "two"} { // at once
		all.Go(func() {
			_, err := b.Run(ctx, gvisor.Options{ID: id, Policy: b.imagePolicy("tick", "time_limit: 1m"), Folder: b.folder, Started: func() { started <- id }})
			if err != nil {
				t.Error(err)
			}
			started <- ""
		})
	}
	if a, z := <-started, <-started; a == "" || z == "" {
		t.Fatal("one did not start")
	}
	if n := b.gofers(); n != 0 {
		t.Errorf("%d processes serve files", n)
	}
	var files []os.FileInfo
	for _, id := range []string{"one", "two"} {
		info, err := os.Stat(filepath.Join(b.State, "boxes", id, "root.erofs"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, info)
	}
	if !os.SameFile(files[0], files[1]) || files[0].Sys().(*syscall.Stat_t).Nlink != 3 {
		t.Errorf("two files, or %d names", files[0].Sys().(*syscall.Stat_t).Nlink)
	}
	b.start(b.policy("tick"), gvisor.StateRunning)
	if n := b.gofers(); n != 1 {
		t.Errorf("%d processes serve a folder", n)
	}
	if err := os.RemoveAll(filepath.Join(b.State, "images")); err != nil { // whoever prunes takes nothing away
		t.Error(err)
	}
	var out bytes.Buffer
	if code, err := b.Exec(t.Context(), "one", []string{"/workload", "say", "still here"}, nil, &out, &out); err != nil || code != 0 || !strings.Contains(out.String(), "still here") {
		t.Errorf("%d, %v, %s", code, err, out.String())
	}
}

// TestImageRootPlaces: what is mounted has its place, also in an image without any; a policy with other mounts has a root
// of its own.
func TestImageRootPlaces(t *testing.T) {
	b := newBench(t)
	b.image(tar.Header{Name: "var/run", Typeflag: tar.TypeSymlink, Linkname: "/elsewhere"})
	err := errors.Join(os.WriteFile(filepath.Join(b.folder, "key"), []byte("hush"), 0o444), os.Mkdir(filepath.Join(b.folder, "shared"), 0o755),
		os.WriteFile(filepath.Join(b.folder, "shared/f"), []byte("theirs"), 0o444))
	if err != nil {
		t.Fatal(err)
	}
	more := "secrets: [{name: key, file: key}]\nmounts: [{target: /var/run/in, source: shared}, {target: /deep/mem, memory: 1MiB, writable: true}]"
	for _, c := range []struct{ command, want string }{
		{"read, /run/secrets/key", "hush <nil>\n"}, {"read, /elsewhere/in/f", "theirs <nil>\n"},
	} {
		if _, out := b.run(b.imagePolicy(c.command, more)); out != c.want {
			t.Errorf("%s: %s", c.command, out)
		}
		if err := b.Remove("box"); err != nil {
			t.Error(err)
		}
	}
	if _, out := b.run(b.imagePolicy("files, /deep/mem/f, /deep/f, /tmp/f, /f", more, "user: {uid: 0, gid: 0}")); !strings.HasPrefix(out,
		"/deep/mem/f: <nil>\n/deep/f: open /deep/f: read-only file system\n/tmp/f: <nil>\n/f: open /f: read-only file system\n") {
		t.Error(out)
	}
	if err := b.Remove("box"); err != nil {
		t.Error(err)
	}
	if _, out := b.run(b.imagePolicy("read, /run/secrets/key")); !strings.Contains(out, "no such file") {
		t.Errorf("a policy without mounts: %s", out)
	}
	if packed, err := filepath.Glob(filepath.Join(b.State, "images/*.erofs")); len(packed) != 2 {
		t.Errorf("%q, %v", packed, err)
	}
}

// TestImageRootWritable: changes stay in memory, and the next sandbox does not see them.
func TestImageRootWritable(t *testing.T) {
	b := newBench(t)
	b.image(tar.Header{Name: "a", Size: 5, Mode: 0o644})
	policy := bytes.Replace(b.imagePolicy("files, /f, /a", "user: {uid: 0, gid: 0}"), []byte("image: image"), []byte("image: image, writable: true"), 1)
	if _, out := b.run(policy); !strings.HasPrefix(out, "/f: <nil>\n/a: <nil>\n") {
		t.Error(out)
	}
	for command, want := range map[string]string{"read, /f": "open /f: no such file", "read, /a": "aaaaa <nil>"} {
		if err := b.Remove("box"); err != nil {
			t.Error(err)
		}
		if _, out := b.run(b.imagePolicy(command)); !strings.Contains(out, want) {
			t.Errorf("%s: %s", command, out)
		}
	}
}

// TestImageRootFaults: a damaged file is made again, a changed image is another root, and a changed layer is refused.
func TestImageRootFaults(t *testing.T) {
	b := newBench(t)
	img := b.image(tar.Header{Name: "a", Size: 1, Mode: 0o444})
	policy := b.imagePolicy("read, /a")
	run := func(want string) *gvisor.Status {
		t.Helper()
		s, out := b.run(policy)
		if out != want {
			t.Errorf("%s, want %s", out, want)
		}
		if err := b.Remove("box"); err != nil {
			t.Error(err)
		}
		return s
	}
	first := run("a <nil>\n")
	packed := filepath.Join(b.State, "images", strings.TrimPrefix(first.Root, "sha256:")+".erofs")
	if err := os.Truncate(packed, 8192); err != nil {
		t.Fatal(err)
	}
	run("a <nil>\n")
	if info, err := os.Stat(packed); err != nil || info.Size() <= 8192 {
		t.Errorf("not made again: %v", err)
	}
	b.image(tar.Header{Name: "a", Size: 2, Mode: 0o444})
	if second := run("aa <nil>\n"); second.Root == first.Root {
		t.Error("another image has the same digest")
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	b.image(tar.Header{Name: "a", Size: 1, Mode: 0o444})
	digest, err := layers[0].Digest()
	if err := errors.Join(err, os.Remove(packed), os.Truncate(filepath.Join(b.folder, "image/blobs/sha256", digest.Hex), 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder}); !errors.Is(err, gvisor.ErrImage) {
		t.Errorf("a layer that was cut: %v", err)
	}
	if _, err := os.Stat(packed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root of it: %v", err)
	}
}

// TestImageRootFull: where the disk is full half-way, nothing is left of the root, and the next start makes it.
func TestImageRootFull(t *testing.T) {
	b := newBench(t)
	b.image(tar.Header{Name: "big", Size: 8 << 20, Mode: 0o444})
	if err := os.MkdirAll(b.State, 0o700); err != nil {
		t.Fatal(err)
	}
	program, err := os.Stat(filepath.Join(b.root, "workload"))
	if err != nil {
		t.Fatal(err)
	}
	// Enough for the unpacked image, and not for the packed one beside it.
	size := program.Size() + 12<<20
	if err := syscall.Mount("tmpfs", b.State, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(filepath.Join(b.State, "runsc", "null-netns"), syscall.MNT_DETACH) // gVisor's
		if err := syscall.Unmount(b.State, 0); err != nil {
			t.Error(err)
		}
	})
	policy := b.imagePolicy("say")
	if _, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v", err)
	}
	left, err := filepath.Glob(filepath.Join(b.State, "*/*.erofs"))
	boxes, err2 := filepath.Glob(filepath.Join(b.State, "boxes/box/root*"))
	if err := errors.Join(err, err2, b.Remove("box")); err != nil || len(left)+len(boxes) > 0 {
		t.Errorf("%q %q %v", left, boxes, err)
	}
	if err := syscall.Mount("", b.State, "", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", 3*size)); err != nil {
		t.Fatal(err)
	}
	if s, _ := b.run(policy); *s.Exit != 0 {
		t.Errorf("%+v", s)
	}
}
