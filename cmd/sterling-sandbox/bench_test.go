package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// TestBench: each row can be measured, and measures what it says; no number is judged here.
func TestBench(t *testing.T) {
	b := newBench(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Log("runc is not there to compare with: apt-get install runc")
	}
	m := &benchmark{folder: t.TempDir(), runc: runc, rounds: 1}
	m.runner = &gvisor.Runner{Program: b.Program, State: filepath.Join(m.folder, "state"), Clock: clock.NewSystem()}
	t.Cleanup(func() {
		for _, state := range []string{filepath.Join(m.runner.State, "runsc"), filepath.Join(m.folder, "plain")} {
			_ = syscall.Unmount(filepath.Join(state, "null-netns"), syscall.MNT_DETACH)
		}
	})
	if err := m.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	starts, err := m.starts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"runsc_ms", "pool_ms", "cold_ms"} {
		if starts[0].Parts[kind] <= 0 {
			t.Errorf("%s: %+v", kind, starts)
		}
	}
	memory, err := m.memory(t.Context())
	if err != nil || memory[0].Parts["runsc_mib"] < 1 || memory[0].Parts["keep-sandbox_mib"] <= 0 || memory[0].Parts["record-events_mib"] <= 0 {
		t.Errorf("%+v, %v", memory, err)
	}
	drops, err := m.drops(t.Context())
	if err != nil || drops[0].Value != 0 || drops[0].Parts["slow_recorded"] != floodSize {
		t.Errorf("%+v, %v", drops, err)
	}
	chain, err := m.chain(t.Context())
	if err != nil || chain[0].Value < 1000 {
		t.Errorf("%+v, %v", chain, err)
	}
	if all, err := m.runner.List(); err != nil || len(all) > 0 {
		t.Errorf("left over: %v, %v", all, err)
	}
}

// TestBenchWork: what is compared does what is asked of it, and prints what numbers reads.
func TestBenchWork(t *testing.T) {
	out, err := exec.Command(os.Args[0], "bench-work", "cpu", "1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if all, err := numbers(string(out), 1); err != nil || all[0] <= 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := numbers("1 x", 2); err == nil {
		t.Error("a word is a number")
	}
	if _, err := numbers(strings.Repeat("1 ", 3), 2); err == nil {
		t.Error("three numbers are two")
	}
	if err := exec.Command(os.Args[0], "bench-work", "cpu", "0").Run(); err == nil {
		t.Error("no work is done")
	}
}
