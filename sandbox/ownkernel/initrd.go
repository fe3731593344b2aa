package ownkernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// Modes of entries of an archive.
const (
	modeFolder = 0o40755
	modeFile   = 0o100755
	modeDevice = 0o20600
)

// writeInitrd writes the initial file system of a machine: the init, the drivers, and folders to mount on. The format is
// "newc", which the kernel's documentation describes (driver-api/early-userspace/buffer-format).
func (h *Host) writeInitrd(w io.Writer) error {
	a := &archive{w: w}
	for _, folder := range []string{"dev", "proc", "sys", "modules"} {
		a.entry(folder, modeFolder, nil, 0, 0)
	}
	a.entry("dev/console", modeDevice, nil, 5, 1)
	files := [][2]string{{fileInit, "init"}}
	for i, d := range drivers {
		files = append(files, [2]string{d + ".ko", fmt.Sprintf("modules/%02d-%s.ko", i, d)})
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(h.Folder, f[0]))
		if err != nil {
			return fmt.Errorf("read a part of the machine: %w", err)
		}
		a.entry(f[1], modeFile, text, 0, 0)
	}
	a.entry("TRAILER!!!", 0, nil, 0, 0)
	if a.err != nil {
		return fmt.Errorf("write the initial file system: %w", a.err)
	}
	return nil
}

// archive writes entries. Its first error stays.
type archive struct {
	w      io.Writer
	number int
	err    error
}

func (a *archive) entry(name string, mode int, text []byte, major, minor int) {
	a.number++
	head := "070701"
	for _, field := range []int{a.number, mode, 0, 0, 1, 0, len(text), 0, 0, major, minor, len(name) + 1, 0} {
		head += fmt.Sprintf("%08X", field)
	}
	a.write([]byte(head + name + "\x00"))
	a.write(text)
}

// write pads to a multiple of four bytes.
func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	if _, a.err = a.w.Write(b); a.err == nil {
		_, a.err = a.w.Write(make([]byte, -len(b)&3))
	}
}

// Bounds of a disk.
const (
	maxDiskBytes   = 16 << 30
	maxDiskEntries = 1 << 20
	spareBytes     = 16 << 20
	blockSize      = 4096
)

// makeDisk copies a root file system to an ext4 image. The image is a sparse file, a little larger than what is in it.
func makeDisk(mkfs, root, path string) error {
	var bytes int64
	entries := 0
	err := filepath.WalkDir(root, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		entries++
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += (s.Size + 2*blockSize - 1) / blockSize * blockSize // and what describes it
		}
		if bytes > maxDiskBytes || entries > maxDiskEntries {
			return errors.New("more than 16 GiB or a million files")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("measure the root: %w", err)
	}
	size := bytes + bytes/16 + int64(entries)*512 + spareBytes
	cmd := exec.Command(mkfs, "-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-m", "0", "-b", strconv.Itoa(blockSize),
		"-I", "256", "-N", strconv.Itoa(entries+64), "-E", "root_owner=0:0,lazy_itable_init=0", "-d", root, path, strconv.FormatInt(size/1024, 10)+"k")
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the root to a disk: %w: %s", err, out[:min(len(out), maxSaid)])
	}
	return nil
}
