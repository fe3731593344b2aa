package gvisor

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

var anIdentity = [16]byte{1, 2, 3}

// packed writes a folder to an image.
func packed(t testing.TB, folder, file string) error {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(writeErofs(folder, out, anIdentity), out.Close())
}

// A seen is a file as a reader shows it.
type seen struct {
	Mode     fs.FileMode
	UID, GID uint32
	Size     int64
	Mtime    time.Time
	Names    uint64
	Same     string // the first path of the same file
	Content  string // or where a link points
}

// sights are files by their paths, and the first path of each file.
type sights struct {
	all   map[string]seen
	first map[uint64]string
}

func newSights() sights { return sights{map[string]seen{}, map[uint64]string{}} }

// add adds what is at a path; sizes and names of folders are the file system's own affair.
func (s sights) add(path string, number uint64, one seen, link func() (string, error), read func() ([]byte, error)) (err error) {
	switch {
	case one.Mode.IsDir():
		one.Size, one.Names = 0, 0
	case one.Mode.Type() == fs.ModeSymlink:
		one.Content, err = link()
	default:
		var text []byte
		text, err = read()
		one.Content = string(text)
	}
	if _, ok := s.first[number]; !ok {
		s.first[number] = path
	}
	one.Same = s.first[number]
	s.all[path] = one
	return err
}

// onHost is what is in a folder of the host.
func onHost(t testing.TB, folder string) map[string]seen {
	t.Helper()
	found := newSights()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := syscall.Stat_t{}
		if err := syscall.Lstat(path, &s); err != nil {
			return err
		}
		one := seen{Mode: info.Mode(), UID: s.Uid, GID: s.Gid, Size: s.Size, Mtime: info.ModTime(), Names: s.Nlink}
		return found.add(path[len(folder):], s.Ino, one, func() (string, error) { return os.Readlink(path) }, func() ([]byte, error) { return os.ReadFile(path) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found.all
}

// inImage is what a reader that shares nothing with the writer finds in an image.
func inImage(t testing.TB, file string) map[string]seen {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := erofs.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	found := newSights()
	err = fs.WalkDir(image, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*erofs.Stat)
		if !ok {
			return fmt.Errorf("%s: %T", path, info.Sys())
		}
		// This reader leaves the kind's own bits among those of the mode.
		one := seen{Mode: info.Mode() & (fs.ModeType | fs.ModePerm), UID: s.UID, GID: s.GID, Size: s.Size, Mtime: time.Unix(int64(s.Mtime), int64(s.MtimeNs)), Names: uint64(s.Nlink)}
		return found.add(strings.TrimSuffix("/"+path, "/."), uint64(s.Ino), one,
			func() (string, error) { return fs.ReadLink(image, path) }, func() ([]byte, error) { return fs.ReadFile(image, path) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found.all
}

// kinds makes a folder with files of all kinds, sizes at and around the ends of blocks, and folders of many blocks.
func kinds(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	long := strings.Repeat("n", 255)
	errs := []error{os.Mkdir(filepath.Join(folder, "empty"), 0o1777), os.Mkdir(filepath.Join(folder, long), 0o700), os.Chmod(filepath.Join(folder, "empty"), 0o777)}
	for _, size := range []int{0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8192, 1<<20 + 1} {
		name := filepath.Join(folder, fmt.Sprintf("file-%d", size))
		text := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		errs = append(errs, os.WriteFile(name, text, 0o640), os.Link(name, filepath.Join(folder, long, fmt.Sprintf("%d again", size))))
	}
	for _, size := range []int{1, 4031, 4032, 4033, 4095} {
		errs = append(errs, os.Symlink(strings.Repeat("t", size), filepath.Join(folder, fmt.Sprintf("link-%d", size))))
	}
	for _, name := range []string{"!", "-", "..a", ".a", " ", "é", "\xff", long[1:] + "m"} { // before and after . and ..
		errs = append(errs, os.WriteFile(filepath.Join(folder, name), []byte(name), 0o400))
	}
	many := filepath.Join(folder, "many")
	errs = append(errs, os.Mkdir(many, 0o755))
	for i := range 3000 {
		errs = append(errs, os.WriteFile(filepath.Join(many, fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%240))), nil, 0o600))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		err := errors.Join(os.Chown(filepath.Join(folder, "file-1"), 70_000, 4_000_000_000), os.Lchown(filepath.Join(folder, "link-1"), 65534, 0))
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestErofs: another reader finds in an image what was in the folder.
func TestErofs(t *testing.T) {
	folder, file := kinds(t), filepath.Join(t.TempDir(), "root.erofs")
	if err := packed(t, folder, file); err != nil {
		t.Fatal(err)
	}
	if err := verifyErofs(file, anIdentity); err != nil {
		t.Error(err)
	}
	want, got := onHost(t, folder), inImage(t, file)
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 3000 {
		t.Error(diff[:min(len(diff), 4000)])
	}
	again := filepath.Join(t.TempDir(), "again.erofs")
	one, err := os.ReadFile(file)
	if err := errors.Join(err, packed(t, folder, again)); err != nil {
		t.Fatal(err)
	}
	if two, err := os.ReadFile(again); err != nil || !bytes.Equal(one, two) {
		t.Errorf("the same folder gives another image: %v", err)
	}
}

// TestErofsVector: the same files give the same bytes, in this release and in others of the same erofsVolume. If what is
// written changes, change both: images that earlier releases packed are then made again.
func TestErofsVector(t *testing.T) {
	asRoot(t)
	folder := t.TempDir()
	errs := []error{
		os.Mkdir(filepath.Join(folder, "d"), 0o750), os.WriteFile(filepath.Join(folder, "d/file"), []byte("text"), 0o640),
		os.Symlink("d/file", filepath.Join(folder, "link")), os.Link(filepath.Join(folder, "d/file"), filepath.Join(folder, "again")),
	}
	at := unix.Timeval{Sec: 1_700_000_000, Usec: 5}
	for _, name := range []string{"d/file", "link", "d", ""} {
		errs = append(errs, unix.Lutimes(filepath.Join(folder, name), []unix.Timeval{at, at}))
	}
	file := filepath.Join(t.TempDir(), "root.erofs")
	if err := errors.Join(append(errs, os.Chmod(folder, 0o755), packed(t, folder, file))...); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%x", sha256.Sum256(text)), "1996aaa1740727c9ee769d0876dbc9e52d952df610f7a6cb684f409035897d72"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestErofsShape: whatever the names and sizes, what was in a folder is in its image.
func TestErofsShape(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		folder, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(folder, "root")
		folders := []string{root}
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 60).Draw(r, "files") {
			parent := rapid.SampledFrom(folders).Draw(r, "parent")
			path := filepath.Join(parent, rapid.StringMatching(`[!-.0-~]{1,255}`).Draw(r, "name"))
			switch rapid.IntRange(0, 3).Draw(r, "kind") {
			case 0:
				if os.Mkdir(path, 0o755) == nil {
					folders = append(folders, path)
				}
			case 1: // where one of this name is, or it is . or .., there is no second one
				_ = os.Symlink(strings.Repeat("t", rapid.IntRange(1, 4095).Draw(r, "length")), path)
			default:
				_ = os.WriteFile(path, make([]byte, rapid.IntRange(0, 9000).Draw(r, "size")), 0o600)
			}
		}
		file := filepath.Join(folder, "root.erofs")
		if err := packed(t, root, file); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(onHost(t, root), inImage(t, file)); diff != "" {
			r.Fatal(diff)
		}
	})
}

// TestErofsFaults: a file that was cut, changed or made for something else is not taken.
func TestErofsFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.erofs")
	if err := packed(t, kinds(t), file); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return b
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "the first block": whole[:erofsBlock], "cut": whole[:len(whole)-erofsBlock], "longer": append(bytes.Clone(whole), 0),
		"no superblock": append(make([]byte, erofsBlock), whole[erofsBlock:]...), "magic": flipped(erofsSuper), "checksum": flipped(erofsSuper + 4),
		"the block's end": flipped(erofsBlock - 1), "where inodes are": flipped(erofsSuper + 40),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := verifyErofs(file, anIdentity); !errors.Is(err, errTorn) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verifyErofs(file, anIdentity); err != nil {
		t.Error(err)
	}
	if err := verifyErofs(file, [16]byte{}); !errors.Is(err, errTorn) {
		t.Errorf("another identity: %v", err)
	}
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "p"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := packed(t, pipe, file); !errors.Is(err, ErrImage) {
		t.Errorf("a pipe: %v", err)
	}
}

// TestErofsLargeFile: sizes and places beyond 4 GiB.
func TestErofsLargeFile(t *testing.T) {
	n := erofsNode{mode: syscall.S_IFREG, size: 5<<30 + 1, block: 1 << 31, names: 70_000}
	b := n.inode(1)
	if got := [3]any{b[8:16], b[16:20], b[44:48]}; fmt.Sprint(got) != fmt.Sprint([3]any{[]byte{1, 0, 0, 0x40, 1, 0, 0, 0}, []byte{0, 0, 0, 0x80}, []byte{0x70, 0x11, 1, 0}}) {
		t.Error(got)
	}
	if got := blocksOf(n.size); got != 5<<18+1 {
		t.Error(got)
	}
	w := &erofsWriter{next: 1 << 20}
	small := filepath.Join(t.TempDir(), "small")
	out, err := os.Create(small + ".out")
	if err = errors.Join(err, os.WriteFile(small, []byte("at 4 GiB"), 0o600)); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := w.data(&erofsNode{path: small, mode: syscall.S_IFREG, size: 8}, out); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 9)
	if n, err := out.ReadAt(text, 4<<30); n != 8 || err != io.EOF || string(text[:n]) != "at 4 GiB" || w.next != 1<<20+1 {
		t.Errorf("%q, %v, next %d", text[:n], err, w.next)
	}
}
