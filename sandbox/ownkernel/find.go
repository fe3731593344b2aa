package ownkernel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnavailable is wrapped where a machine can't be had here. The text says what is missing, and how to get it.
var ErrUnavailable = errors.New("no machine available")

// Names of files in the folder of a Host, where tools/microvm.sh puts them.
const (
	fileKernel = "vmlinuz"
	fileInit   = "init"
)

// drivers are the kernel's modules that a machine needs, in the order in which they need each other.
var drivers = []string{
	"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "virtio_console", "overlay",
}

// Host has what machines are made of.
type Host struct {
	// Program is the absolute path of a program that calls Confine when its first argument is ConfineCommand.
	Program string
	Folder  string // absolute; with the kernel, its drivers, and the init
}

// parts are programs and files that were found.
type parts struct{ qemu, mkfs string }

// Find tells whether everything is there that a machine is made of; that it boots is found out by Boots. The error wraps
// ErrUnavailable and names everything that is missing.
func (h *Host) Find() error {
	_, err := h.find()
	return err
}

func (h *Host) find() (parts, error) {
	var p parts
	var missing []string
	program := func(into *string, name, fallback, debian string) {
		found, err := exec.LookPath(name)
		if err != nil {
			found, err = exec.LookPath(fallback)
		}
		if err != nil {
			missing = append(missing, name+" (apt-get install "+debian+")")
		}
		*into = found
	}
	program(&p.qemu, "qemu-system-x86_64", "/usr/bin/qemu-system-x86_64", "qemu-system-x86")
	program(&p.mkfs, "mke2fs", "/sbin/mke2fs", "e2fsprogs")
	files := []string{fileKernel, fileInit}
	for _, d := range drivers {
		files = append(files, d+".ko")
	}
	if i := slices.IndexFunc(files, func(name string) bool {
		info, err := os.Stat(filepath.Join(h.Folder, name))
		return err != nil || !info.Mode().IsRegular()
	}); i >= 0 {
		missing = append(missing, fmt.Sprintf("%s in %s (tools/microvm.sh install %[2]s puts Debian's kernel, its drivers and the init there)", files[i], h.Folder))
	}
	if len(missing) > 0 {
		return p, fmt.Errorf("%w: missing: %s", ErrUnavailable, strings.Join(missing, "; "))
	}
	return p, nil
}

// Stamp is another one where QEMU, the kernel or the init is: what was found out with others says nothing about them. The
// error wraps ErrUnavailable.
func (h *Host) Stamp() (string, error) {
	p, err := h.find()
	if err != nil {
		return "", err
	}
	stamp := sha256.New()
	for _, path := range []string{p.qemu, filepath.Join(h.Folder, fileKernel), filepath.Join(h.Folder, fileInit)} {
		info, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("look at a part of the machine: %w", err)
		}
		_, _ = fmt.Fprintln(stamp, path, info.Size(), info.ModTime().UnixNano()) // never fails
	}
	return hex.EncodeToString(stamp.Sum(nil)), nil
}
