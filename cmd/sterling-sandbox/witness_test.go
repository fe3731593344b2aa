package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// accounts are what the host saw, as the box's record has it.
func (b *bench) accounts() []trail.Host {
	b.Helper()
	f, err := b.OpenRecord("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var all []trail.Host
	_, _, err = trail.Verify(f, func(r trail.Record) error {
		if r.Kind != trail.KindHost {
			return nil
		}
		var h trail.Host
		err := json.Unmarshal(r.Body, &h)
		all = append(all, h)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// TestEgress: the host counts what goes through the policy's sockets, and it is what the events tell, also where the
// policy asks for no network events.
func TestEgress(t *testing.T) {
	b := newBench(t)
	folder, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "s")
	service, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	go func() {
		for {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(b.folder, "root")
	if err := os.MkdirAll(filepath.Join(root, "run", "services"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(b.root, "workload"))
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "workload"), program, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "run", "services", "bank"), nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.root = root
	s, out := b.run(b.policy("dial, /run/services/bank", fmt.Sprintf("network: {sockets: [{name: bank, path: %s}]}", path)))
	report, events := b.record()
	if *s.Exit != 0 || !report.Complete() || len(points(events, "connect")) != 1 || report.Alerts != 0 {
		t.Errorf("%+v, %d connects\n%s", report, len(points(events, "connect")), out)
	}
	all := b.accounts()
	if len(all) == 0 {
		t.Fatal("no account of the host")
	}
	if e := all[len(all)-1].Egress; len(e) != 1 || e[0].Connections != 1 || e[0].Received != 5 {
		t.Errorf("%+v", e)
	}
	if left, _ := filepath.Glob(filepath.Join(b.State, "boxes", "box", "s[0-9]*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestAccounts: while a workload runs, the host writes down what it takes.
func TestAccounts(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("tick"), gvisor.StateRunning)
	for len(b.accounts()) == 0 {
		b.sleep(20 * time.Millisecond)
	}
	h := b.accounts()[0]
	if h.CPU == nil || *h.CPU == 0 || h.Memory == nil || *h.Memory < 1<<20 || h.Tasks == nil || *h.Tasks == 0 || h.OutOfMemory == nil || *h.OutOfMemory != 0 {
		t.Errorf("%+v", h)
	}
	if h.Leaked || h.Network == nil || *h.Network != 0 {
		t.Errorf("network: %+v", h)
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); !report.Complete() {
		t.Errorf("%+v", report)
	}
}

// TestLastAccount: a record ends with what the whole run took, however short it was, and however it was started.
func TestLastAccount(t *testing.T) {
	b := newBench(t)
	policy := b.policy("say")
	b.pool(1, policy)
	for _, start := range []gvisor.Start{gvisor.StartPool, gvisor.StartCold} {
		s, err := b.Run(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder, Cold: start == gvisor.StartCold})
		if err != nil || s.Start != start {
			t.Fatalf("%+v, %v", s, err)
		}
		all := b.accounts()
		if len(all) == 0 {
			t.Fatal("no account of the host")
		}
		h := all[len(all)-1]
		if h.CPU == nil || *h.CPU == 0 || h.MemoryPeak == nil || *h.MemoryPeak < 1<<20 || h.Tasks == nil || *h.Tasks != 0 || h.OutOfMemory == nil || *h.OutOfMemory != 0 {
			t.Errorf("%s: %+v", start, h)
		}
		if err := b.Remove("box"); err != nil {
			t.Fatal(err)
		}
	}
}

// noLog is a log of heads that can't be written.
type noLog struct{}

func (noLog) LogHead(context.Context, audit.Head) (string, uint64, error) {
	return "", 0, syscall.ENOSPC
}

// TestHeadsUnlogged: a log whose disk is full does not stop a workload, and is told.
func TestHeadsUnlogged(t *testing.T) {
	b := newBench(t)
	b.Heads = noLog{}
	s, _ := b.run(b.policy("say"))
	if report, _ := b.record(); !report.Complete() || *s.Exit != 0 {
		t.Errorf("%+v, %+v", report, s)
	}
	if l := s.Audit.Logged; l == nil || l.Where != "" || l.Lines != 0 || !strings.Contains(l.Fault, "no space left") {
		t.Errorf("%+v", l)
	}
}

// TestExport: a record goes out in each format, and what was tampered with says so.
func TestExport(t *testing.T) {
	b := newBench(t)
	b.run(b.policy("children"))
	for format, want := range map[string]string{
		"jsonl": `"kind":"end"`, "cef": "CEF:0|Sterling|", "ocsf": `"type_uid":100701`, "otel": `"stringValue":"sandbox.exec"`,
	} {
		if code, out := b.command("audit", "export", "box", "--format", format, "--state", b.State); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %.300s", format, code, out)
		}
	}
	var got atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Add(n)
	}))
	defer collector.Close()
	if code, out := b.command("audit", "export", "box", "--format", "otel", "--endpoint", collector.URL, "--state", b.State); code != 0 || got.Load() == 0 {
		t.Errorf("%d %s, %d bytes", code, out, got.Load())
	}
	record := filepath.Join(b.State, "boxes", "box", "audit.log")
	text, err := os.ReadFile(record)
	if err == nil {
		err = os.WriteFile(record, bytes.Replace(text, []byte(`"point":"exec"`), []byte(`"point":"exeC"`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := b.command("audit", "export", "box", "--state", b.State); code != exitUnproven {
		t.Errorf("a tampered record: %d", code)
	}
	if code, _ := b.command("audit", "export", "box", "--format", "xml", "--state", b.State); code != exitUsage {
		t.Errorf("an unknown format: %d", code)
	}
}

// TestHeadsRunnerKilled: what was logged before the runner died holds the record that the recorder then ended.
func TestHeadsRunnerKilled(t *testing.T) {
	b := newBench(t)
	cmd := b.start(b.policy("tick"), gvisor.StateRunning)
	for {
		if s, err := b.Inspect("box"); err == nil && s.Audit.Logged != nil {
			if s.Audit.Logged.Fault != "" || s.Audit.Logged.Lines == 0 {
				t.Fatalf("%+v", s.Audit.Logged)
			}
			break
		}
		b.sleep(20 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for {
		if report, _ := b.record(); report.End != nil {
			break
		}
		b.sleep(20 * time.Millisecond)
	}
	verify := func() (int, string) { return b.command("audit", "verify", "box", "--state", b.State) }
	if code, out := verify(); code != exitUnproven || !strings.Contains(out, trail.GapRunner) || !strings.Contains(out, "in a log that is proven") {
		t.Errorf("%d %s", code, out)
	}
	record := filepath.Join(b.State, "boxes", "box", "audit.log")
	text, err := os.ReadFile(record)
	if err == nil {
		err = os.WriteFile(record, text[:bytes.IndexByte(text, '\n')+1], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, out := verify(); code != exitUnproven || !strings.Contains(out, "cut short") {
		t.Errorf("cut: %d %s", code, out)
	}
}
