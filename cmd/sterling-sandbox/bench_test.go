package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
	m.runner = &gvisor.Runner{Program: b.Program, GVisor: b.GVisor, State: filepath.Join(m.folder, "state"), Clock: clock.NewSystem()}
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
	if m.sterling, err = buildSterling(); err != nil {
		t.Fatal(err)
	}
	pay, err := m.payments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"least_recorded", "all_recorded"}
	if runc != "" {
		kinds = append(kinds, "runc")
	}
	for _, kind := range kinds {
		p := pay[0].Parts
		if p[kind+"_p50_ms"] <= 0 || p[kind+"_p99_ms"] < p[kind+"_p50_ms"] || p[kind+"_p99_highest_ms"] < p[kind+"_p99_ms"] || p[kind+"_busy"] <= 0 || p[kind+"_busy"] > 1 {
			t.Errorf("%s: %+v", kind, pay)
		}
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

// TestOpenLoad: requests are sent when they are due, and those that a stall delays have waited as long as they did.
func TestOpenLoad(t *testing.T) {
	const stall = 200 * time.Millisecond
	socket := filepath.Join(short(t), "http")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 10 {
			slow, cancel := context.WithTimeout(r.Context(), stall)
			defer cancel()
			<-slow.Done()
		}
		w.WriteHeader(http.StatusCreated)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	l := &openLoad{
		socket: socket, rate: 100, connections: 1, duration: time.Second, status: http.StatusCreated,
		request: func() []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
	}
	took, err := l.run(t.Context())
	if err != nil || len(took) != 100 || calls.Load() != 100 {
		t.Fatalf("%d of %d requests, %v", len(took), calls.Load(), err)
	}
	// That one, and those due every 10 ms meanwhile: the tenth of them has waited for half of the stall.
	if took[99] < stall || took[90] < stall/2 {
		t.Errorf("%v", took)
	}
	l.status = http.StatusOK
	if _, err := l.run(t.Context()); err == nil || !strings.Contains(err.Error(), "201") {
		t.Errorf("another answer than is wanted: %v", err)
	}
}
