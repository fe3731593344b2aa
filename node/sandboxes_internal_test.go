package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/supervisor"
)

// shownBoxes are sandboxes in a folder of the test's; the program's list is given.
func shownBoxes(t *testing.T, names ...string) *sandboxes {
	t.Helper()
	s := &sandboxes{state: t.TempDir(), clock: clock.NewSystem(), records: map[string]*follower{}, list: func(context.Context) ([]supervisor.Box, error) {
		var list []supervisor.Box
		for _, name := range names {
			list = append(list, supervisor.Box{ID: name, State: "running", Audit: supervisor.Audit{Logged: &supervisor.Logged{Where: "here", Lines: 2}}})
		}
		return list, nil
	}}
	t.Cleanup(s.close)
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(s.state, "boxes", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// written is a record that a test writes on.
type written struct {
	t     *testing.T
	path  string
	chain trail.Chain
}

func (w *written) line(kind trail.Kind, body string) []byte {
	return w.chain.Append(nil, 1, kind, []byte(body))
}

func (w *written) write(text []byte) {
	w.t.Helper()
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func (s *sandboxes) until(t *testing.T, id string, done func(*ledgerv1.GetSandboxResponse) bool) *ledgerv1.GetSandboxResponse {
	t.Helper()
	late := time.Now().Add(20 * time.Second)
	for range time.Tick(time.Millisecond) {
		r, err := s.Get(t.Context(), id, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if done(r) {
			return r
		}
		if time.Now().After(late) {
			t.Fatalf("it does not come to that: %v", r)
		}
	}
	return nil
}

const begins = `{"format":2,"sandbox":"a","policy":"","root":"/","isolation":"gvisor-systrap","nonce":"x"}`

// TestARecordIsShownAsItGrows: lines, processes and gaps, each verified; half a line is not shown.
func TestARecordIsShownAsItGrows(t *testing.T) {
	s := shownBoxes(t, "a")
	w := &written{t: t, path: filepath.Join(s.state, "boxes", "a", "audit.log")}
	w.write(w.line(trail.KindBegin, begins))
	s.until(t, "a", func(r *ledgerv1.GetSandboxResponse) bool { return r.GetVerified() == 1 })
	next := w.line(trail.KindEvent, `{"point":"start","context":{"task":1,"process":1},"argv":["/hello"]}`)
	w.write(next[:20])
	w.write(next[20:])
	w.write(w.line(trail.KindGap, `{"reason":"dropped","lost":7}`))
	w.write(w.line(trail.KindEvent, fmt.Sprintf(`{"point":"open","path":%q}`, strings.Repeat("x", 9000))))
	r := s.until(t, "a", func(r *ledgerv1.GetSandboxResponse) bool { return r.GetVerified() == 4 })
	switch {
	case r.GetFault() != "", len(r.GetLines()) != 4, len(r.GetBreaks()) != 1, r.GetBreaks()[0].GetSeq() != 2:
		t.Errorf("%v", r)
	case len(r.GetProcesses()) != 1, r.GetProcesses()[0].GetPath() != "/hello":
		t.Errorf("processes: %v", r.GetProcesses())
	case r.GetLines()[3].GetBody() != `{"left_out_bytes":9026}`:
		t.Errorf("a long line: %s", r.GetLines()[3].GetBody())
	case r.GetSandbox().GetLoggedLines() != 2:
		t.Errorf("its state: %v", r.GetSandbox())
	}
	tail, err := s.Get(t.Context(), "a", 2, 1)
	if err != nil || len(tail.GetLines()) != 1 || tail.GetLines()[0].GetSeq() != 3 {
		t.Errorf("the newest line: %v, %v", tail.GetLines(), err)
	}
}

// TestABrokenRecordIsShownAsBroken, and stays so; another sandbox of its name is another record.
func TestABrokenRecordIsShownAsBroken(t *testing.T) {
	s := shownBoxes(t, "a")
	w := &written{t: t, path: filepath.Join(s.state, "boxes", "a", "audit.log")}
	w.write(w.line(trail.KindBegin, begins))
	bad := w.line(trail.KindEvent, `{"point":"open","path":"/etc/passwd"}`)
	bad[len(bad)-5]++
	w.write(bad)
	for range 3 {
		r := s.until(t, "a", func(r *ledgerv1.GetSandboxResponse) bool { return r.GetFault() != "" })
		if !strings.Contains(r.GetFault(), "line 2") || r.GetVerified() != 1 || len(r.GetLines()) != 1 {
			t.Errorf("%v", r)
		}
	}
	other := &written{t: t, path: w.path + ".new"}
	other.write(other.line(trail.KindBegin, begins))
	if err := os.Rename(other.path, w.path); err != nil {
		t.Fatal(err)
	}
	s.until(t, "a", func(r *ledgerv1.GetSandboxResponse) bool { return r.GetFault() == "" && r.GetVerified() == 1 })
}

func TestSandboxesThatAreNotThere(t *testing.T) {
	s := shownBoxes(t, "a")
	for _, id := range []string{"b", "", "../a"} {
		if _, err := s.Get(t.Context(), id, 0, 1); !errors.Is(err, api.ErrNoSandbox) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestFewRecordsAreFollowed: many pages do not hold many files.
func TestFewRecordsAreFollowed(t *testing.T) {
	var names []string
	for i := range followed + 3 {
		names = append(names, fmt.Sprintf("box-%d", i))
	}
	s := shownBoxes(t, names...)
	for _, name := range names {
		w := &written{t: t, path: filepath.Join(s.state, "boxes", name, "audit.log")}
		w.write(w.line(trail.KindBegin, begins))
		s.until(t, name, func(r *ledgerv1.GetSandboxResponse) bool { return r.GetVerified() == 1 })
	}
	if len(s.records) != followed {
		t.Errorf("%d records are followed", len(s.records))
	}
}
