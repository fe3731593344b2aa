package gvisor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// rig is a session without processes: its control group is a file.
func rig(t *testing.T, behind sandbox.WhenBehind) *session {
	t.Helper()
	folder := t.TempDir()
	freeze := filepath.Join(folder, "freeze")
	if err := os.WriteFile(freeze, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &session{
		Runner: &Runner{Clock: clock.NewFake(1)}, place: place{folder}, helping: context.Background(),
		policy: &sandbox.Policy{Audit: sandbox.Audit{WhenBehind: behind}},
		status: Status{ID: "box", State: StateStarting},
		cgroup: group{freeze: freeze, frozen: "1", thawed: "0", procs: filepath.Join(folder, "procs")},
	}
}

// TestHear: what the recorder reports decides about the workload.
func TestHear(t *testing.T) {
	for _, behind := range []sandbox.WhenBehind{sandbox.BehindSlow, sandbox.BehindRecord, sandbox.BehindStop} {
		s := rig(t, behind)
		if started, stop := s.hear(report{}); started || stop {
			t.Errorf("%s: nothing: %t, %t", behind, started, stop)
		}
		if started, stop := s.hear(report{Events: 3}); !started || stop || s.status.State != StateRunning {
			t.Errorf("%s: the first events: %t, %t", behind, started, stop)
		}
		if started, stop := s.hear(report{Events: 4, Gaps: 1}); started || stop != (behind == sandbox.BehindStop) {
			t.Errorf("%s: a gap: %t, %t", behind, started, stop)
		}
		if _, stop := s.hear(report{Events: 5, Gaps: 1}); stop {
			t.Errorf("%s: the same gap again", behind)
		}
	}
}

// TestReasons: a status says why a sandbox ended as far as the host knows.
func TestReasons(t *testing.T) {
	none, some, full := uint64(0), uint64(2), uint64(64<<20)
	for _, c := range []struct {
		exit        int
		kills, peak *uint64 // for lack of memory; bytes
		want        string
	}{
		{0, nil, nil, "exited"},
		{7, &none, &full, "exited"},
		{7, &some, &full, "exited"},
		{137, &some, &full, "more memory than limits.memory"},
		{128, &some, &full, "more memory than limits.memory"},
		{137, &some, &some, "or of the host"},
		{137, &some, nil, "or of the host"},
		{137, &none, &full, "by itself, by gVisor, or by someone there"},
		{137, nil, nil, "for lack of memory, or"},
	} {
		if got := reasonOf(c.exit, &trail.Host{OutOfMemory: c.kills, MemoryPeak: c.peak}, 64<<20); !strings.Contains(got, c.want) {
			t.Errorf("%d: %q", c.exit, got)
		}
	}
}

// TestFreeze: a silent recorder freezes until it speaks, one with an error for good.
func TestFreeze(t *testing.T) {
	s := rig(t, sandbox.BehindSlow)
	s.freeze(true, "its recorder is silent")
	s.hear(report{})
	if s.cgroup.isFrozen() || s.status.State != StateStarting {
		t.Errorf("it spoke before the workload: %+v", s.status)
	}
	s.hear(report{Events: 1})
	s.freeze(true, "its recorder is silent")
	if !s.cgroup.isFrozen() || s.status.State != StatePaused {
		t.Errorf("silent: %+v", s.status)
	}
	s.hear(report{Events: 1})
	if s.cgroup.isFrozen() || s.status.State != StateRunning || s.status.Reason != "" {
		t.Errorf("it spoke: %+v", s.status)
	}
	s.hear(report{Error: "disk full"})
	s.hear(report{Events: 1})
	if !s.cgroup.isFrozen() || s.status.State != StatePaused || !strings.Contains(s.status.Reason, "disk full") {
		t.Errorf("an error: %+v", s.status)
	}
}

// TestCloseRecord: a record whose recorder died gets a gap and an end, whatever its last line looks like.
func TestCloseRecord(t *testing.T) {
	var whole bytes.Buffer
	r := newRecorder(&whole)
	if err := errors.Join(r.begin(1, trail.Begin{Sandbox: "box"}), r.message(2, started(1)), r.message(3, cloned(1, 2))); err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole.Bytes(), '\n') + 1
	for cut := first; cut <= whole.Len(); cut++ {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, whole.Bytes()[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		report, chain, err := closeRecord(f, 9, 137, "stopped", errors.New("it was killed"))
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := verified(t, text)
		head, _ := chain.Head()
		if got.End == nil || got.GapCount != 1 || got.Gaps[0].Reason != trail.GapCollector || got.Head != head.String() || report.GapCount != 1 {
			t.Fatalf("cut at %d: %+v", cut, got)
		}
	}
	// What was tampered with is left as it is.
	text := bytes.Clone(whole.Bytes())
	text[first+100] ^= 1
	path := filepath.Join(t.TempDir(), "record")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := closeRecord(f, 9, 137, "stopped", errors.New("x")); !errors.Is(err, trail.ErrTampered) {
		t.Errorf("tampered: %v", err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, text) {
		t.Errorf("it was changed, %v", err)
	}
}

// TestOutputLog: what is kept is the end, and never more than the bound.
func TestOutputLog(t *testing.T) {
	r := &Runner{State: t.TempDir()}
	p, err := r.place("box")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := openLog(p.path(fileOutput), 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ write, kept string }{
		{"", ""}, {"abc", "abc"}, {"defg", "abcdefg"}, {"hij", "efghij"}, {"0123456789AB", "6789AB"}, {"C", "6789ABC"},
	} {
		if n, err := w.Write([]byte(step.write)); n != len(step.write) || err != nil {
			t.Errorf("%q: %d, %v", step.write, n, err)
		}
		f, err := r.OpenLogs("box")
		if err != nil {
			t.Fatal(err)
		}
		kept, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil || string(kept) != step.kept {
			t.Errorf("after %q: %q, want %q, %v", step.write, kept, step.kept, err)
		}
	}
	w.close()
	if n, err := w.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("after close: %d, %v", n, err)
	}
	if _, err := r.OpenLogs("nobody"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
