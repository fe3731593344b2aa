package ownkernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox"
)

// parts fills a folder with files of the right names.
func partsFor(t *testing.T) *Host {
	t.Helper()
	h := &Host{Folder: t.TempDir()}
	for _, name := range append([]string{fileKernel, fileInit}, modules()...) {
		if err := os.WriteFile(filepath.Join(h.Folder, name), []byte("text of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func modules() []string {
	var all []string
	for _, d := range drivers {
		all = append(all, d+".ko")
	}
	return all
}

func TestFind(t *testing.T) {
	h := partsFor(t)
	t.Setenv("PATH", h.Folder)
	for _, name := range []string{"qemu-system-x86_64", "mke2fs"} {
		if err := os.WriteFile(filepath.Join(h.Folder, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Find(); err != nil {
		t.Errorf("all is there: %v", err)
	}
	before, err := h.Stamp()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Folder, "qemu-system-x86_64"), []byte("#!/bin/sh\n\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if after, err := h.Stamp(); err != nil || after == before {
		t.Errorf("another QEMU has the stamp of the last: %v", err)
	}
	if err := os.Remove(filepath.Join(h.Folder, "overlay.ko")); err != nil {
		t.Fatal(err)
	}
	if err := h.Find(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "overlay.ko") || !strings.Contains(err.Error(), "tools/microvm.sh install") {
		t.Errorf("no driver: %v", err)
	}
}

// TestInitrd reads the archive back as the kernel does.
func TestInitrd(t *testing.T) {
	h := partsFor(t)
	var b bytes.Buffer
	if err := h.writeInitrd(&b); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var names []string
	for rest := b.Bytes(); ; {
		if len(rest) < 110 || string(rest[:6]) != "070701" {
			t.Fatalf("no header after %q", names)
		}
		field := func(n int) int {
			v, err := strconv.ParseInt(string(rest[6+8*n:14+8*n]), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		const mode, size, nameSize = 1, 6, 11
		name := string(rest[110 : 110+field(nameSize)-1])
		text := (110 + field(nameSize) + 3) &^ 3
		if name == "TRAILER!!!" {
			break
		}
		names = append(names, name)
		got[name] = fmt.Sprintf("%o %s", field(mode), rest[text:text+field(size)])
		rest = rest[(text+field(size)+3)&^3:]
	}
	if got["init"] != "100755 text of init" || got["modules/00-virtio_ring.ko"] != "100755 text of virtio_ring.ko" || got["dev/console"] != "20600 " || got["modules"] != "40755 " {
		t.Errorf("%q", got)
	}
	loaded := slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "modules/") })
	if !slices.IsSorted(loaded) || len(loaded) != len(drivers) {
		t.Errorf("drivers are not in the order in which they are loaded: %q", loaded)
	}
	if err := os.Remove(filepath.Join(h.Folder, fileInit)); err != nil {
		t.Fatal(err)
	}
	if err := h.writeInitrd(&b); err == nil {
		t.Error("a machine without an init")
	}
}

func parse(t *testing.T, more string) *sandbox.Policy {
	t.Helper()
	p, err := sandbox.Parse([]byte("{version: 1, name: a, isolation: own-kernel, root: {directory: /r}, command: [x], limits: {cpu: 0.5, memory: 512MiB, processes: 64}" + more + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestArguments: QEMU gets no network, no device that is not named, no way to write, and its own filter.
func TestArguments(t *testing.T) {
	spec := SpecOf(parse(t, ""), false)
	if spec.CPUs != 1 || spec.Memory != 512<<20-Overhead || !spec.Disk {
		t.Errorf("%+v", spec)
	}
	for _, kvm := range []bool{false, true} {
		spec.KVM = kvm
		line := strings.Join(spec.Arguments("/q"), " ")
		for _, want := range []string{
			"/q ", " -nodefaults ", " -no-user-config ", " -nic none ", " -monitor none ", " -display none ", " -smp 1 ", " -m size=360448k ",
			" -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny ", "read-only=on",
		} {
			if !strings.Contains(line, want) {
				t.Errorf("no %q in %s", want, line)
			}
		}
		if kvm != strings.Contains(line, "-accel kvm ") || kvm == strings.Contains(line, "-accel tcg") {
			t.Errorf("another accelerator in %s", line)
		}
	}
	spec.Disk = false
	if strings.Contains(strings.Join(spec.Arguments("/q"), " "), "blk") {
		t.Error("a disk that nobody asked for")
	}
}

// TestBoot: what a policy says reaches the machine, and secrets are bounded.
func TestBoot(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := parse(t, ", environment: {A: b}, user: {uid: 5, gid: 6}, secrets: [{name: s, file: "+secret+"}], mounts: [{target: /m, memory: 1MiB, writable: true}]")
	b, err := bootOf(p)
	if err != nil {
		t.Fatal(err)
	}
	if string(b.Secrets[0].Text) != "hush" || b.UID != 5 || b.GID != 6 || !slices.Contains(b.Env, "A=b") || b.Memory[0].Size != 1<<20 || b.Writable || !b.Disk || b.OpenFiles != 1024 || b.Processes != 64 {
		t.Errorf("%+v", b)
	}
	if err := os.WriteFile(secret, make([]byte, sandbox.MaxMachineSecrets+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bootOf(p); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("too large a secret: %v", err)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if _, err := bootOf(p); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no secret: %v", err)
	}
}
