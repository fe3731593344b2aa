package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// fired are the alerts of the box's record, and the times of the events that they are about and of their own lines.
type fired struct {
	trail.Alert
	event, line uint64
}

func (b *bench) alerts() []fired {
	b.Helper()
	f, err := b.OpenRecord("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	at := map[uint64]uint64{}
	var all []fired
	_, _, err = trail.Verify(f, func(r trail.Record) error {
		switch r.Kind {
		case trail.KindEvent:
			var e struct{ Context struct{ At uint64 } }
			if err := json.Unmarshal(r.Body, &e); err != nil {
				return err
			}
			at[r.Seq] = e.Context.At
		case trail.KindAlert:
			one := fired{line: r.Time}
			if err := json.Unmarshal(r.Body, &one.Alert); err != nil {
				return err
			}
			one.event = at[one.Of]
			all = append(all, one)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// lastTick is the last time that the workload printed.
func (b *bench) lastTick() uint64 {
	b.Helper()
	f, err := b.OpenLogs("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var last uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			last = n
		}
	}
	return last
}

// effectLimit is what may pass from the event to what a rule does about it.
const effectLimit = 100 * time.Millisecond

func took(b *bench, what string, from, to uint64) {
	b.Helper()
	d := time.Duration(int64(to) - int64(from))
	b.Logf("%s: %v after the event", what, d)
	if from == 0 || d > effectLimit {
		b.Errorf("%s: %v after the event, want at most %v", what, d, effectLimit)
	}
}

const ruled = "audit:\n  events: [file, network]\n  binaries: ['" + "0000000000000000000000000000000000000000000000000000000000000000" + "']\n  rules:\n  - "

// TestRuleKills: the workload does nothing more 100 ms after a program was executed that the policy does not know.
func TestRuleKills(t *testing.T) {
	b := newBench(t)
	s, out := b.run(b.policy("trip, exec, ''", ruled+"{standard: unknown-binary, action: kill}"))
	alerts := b.alerts()
	if len(alerts) == 0 || alerts[0].Rule != "unknown-binary" || alerts[0].Action != "kill" || alerts[0].Fault != "" {
		t.Fatalf("%+v\n%s", alerts, out)
	}
	if s.Reason != "rule unknown-binary" || *s.Exit != 128+9 || s.Audit.Alerts != uint64(len(alerts)) {
		t.Errorf("%+v", s)
	}
	took(b, "the last sign of life", alerts[0].event, b.lastTick())
	if report, _ := b.record(); report.End == nil || report.Alerts != uint64(len(alerts)) || report.End.Reason != "rule unknown-binary" {
		t.Errorf("%+v", report)
	}
}

// TestRulePauses: likewise, and what is paused stays so until it is stopped.
func TestRulePauses(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("trip, open, ../run/secrets/pin", ruled+"{standard: secret-opened, action: pause}"), gvisor.StatePaused)
	for !strings.HasPrefix(b.await(gvisor.StatePaused).Reason, "rule") { // on a busy host, a recorder may be silent before
		b.sleep(5 * time.Millisecond)
	}
	alerts := b.alerts()
	if len(alerts) != 1 || alerts[0].Rule != "secret-opened" {
		t.Fatalf("%+v", alerts)
	}
	took(b, "the last sign of life", alerts[0].event, b.lastTick())
	before := b.output()
	b.sleep(700 * time.Millisecond) // more than it takes a recorder that was silent to be trusted again
	if after := b.output(); after != before {
		t.Errorf("it went on: %d bytes, then %d", before, after)
	}
	if s, _ := b.Inspect("box"); s.State != gvisor.StatePaused || !strings.HasPrefix(s.Reason, "rule secret-opened") || s.Audit.Alerts != 1 {
		t.Errorf("%+v", s)
	}
	if err := b.Stop(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	if report, _ := b.record(); report.End == nil || report.Alerts != 1 {
		t.Errorf("%+v", report)
	}
}

// TestRuleAlerts: the alert is in the record, and the workload goes on. Known sockets are no alert, nor is one that
// nobody listens on.
func TestRuleAlerts(t *testing.T) {
	b := newBench(t)
	b.start(b.policy("trip, dial, '192.0.2.1:80'", ruled+"{standard: connect-outside, action: alert}"), gvisor.StateRunning)
	for len(b.alerts()) == 0 {
		b.sleep(5 * time.Millisecond)
	}
	alerts := b.alerts()
	if alerts[0].Rule != "connect-outside" || alerts[0].Action != "alert" {
		t.Errorf("%+v", alerts)
	}
	took(b, "the alert", alerts[0].event, alerts[0].line)
	before := b.lastTick()
	b.sleep(300 * time.Millisecond)
	if b.lastTick() == before {
		t.Error("it stands still")
	}
}

func TestRuleQuiet(t *testing.T) {
	b := newBench(t)
	s, _ := b.run(b.policy("dial, /nobody", ruled+"{standard: connect-outside, action: kill}"))
	if len(b.alerts()) != 0 || s.Reason != "exited" {
		t.Errorf("%+v, %+v", b.alerts(), s)
	}
}

// TestRuleFault: a rule that has no value does what it does when it is true.
func TestRuleFault(t *testing.T) {
	b := newBench(t)
	s, _ := b.run(b.policy("trip, exec, ''", ruled+"{name: ninth, on: exec, when: 'argv[8] == \"x\"', action: kill}"))
	if alerts := b.alerts(); len(alerts) == 0 || alerts[0].Fault == "" || s.Reason != "rule ninth" {
		t.Errorf("%+v, %+v", alerts, s)
	}
}

// TestHeads: the heads of what runs here are in a log, which tells that a record was cut short.
func TestHeads(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.folder, "policy.yaml")
	if err := os.WriteFile(path, b.policy("children", allEvents), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) (int, string) { return b.command(append(args, "--state", b.State)...) }
	if code, out := command("run", path, "--id", "box"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	s, err := b.Inspect("box")
	if err != nil || s.Audit.Logged == nil || s.Audit.Logged.Fault != "" || s.Audit.Logged.Where == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	if code, out := command("audit", "verify", "box"); code != 0 || !strings.Contains(out, "in a log that is proven: cell 0, ") {
		t.Errorf("%d %s", code, out)
	}
	record := filepath.Join(b.State, "boxes", "box", "audit.log")
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if err := os.WriteFile(record, []byte(strings.Join(lines[:len(lines)-3], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := command("audit", "verify", "box"); code != exitUnproven || !strings.Contains(out, "cut short") {
		t.Errorf("%d %s", code, out)
	}
}

// command runs the program.
func (b *bench) command(args ...string) (int, string) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), b.Program, append([]string{asProgram}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// sleep waits for something to happen, or not to.
func (b *bench) sleep(d time.Duration) {
	b.Helper()
	if err := clock.Sleep(b.Context(), b.Clock, d); err != nil {
		b.Fatal(err)
	}
}
