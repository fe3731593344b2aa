package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/supervisor/service"
)

// TestNotAsked: what is wrong with the host is no failure of a replica.
func TestNotAsked(t *testing.T) {
	p := &probe{health: []service.Health{{Failures: 2}}, checks: make([]checked, 1)}
	for _, c := range []struct {
		err   error
		ready bool
	}{
		{fmt.Errorf("no file descriptors: %w", ErrNotAsked), false},
		{nil, true},
		{ErrNotAsked, true},
		{ErrNotAsked, true},
		{ErrNotAsked, true},
		{errors.New("sick"), true},
		{ErrNotAsked, true},
		{errors.New("sick"), false},
	} {
		p.take(0, c.err, p.health[0].Failures)
		if p.ready.Load() != c.ready {
			t.Errorf("after %v: ready is %v", c.err, p.ready.Load())
		}
		if failing := p.failing(0, time.Hour); p.was && (failing == "") != c.ready {
			t.Errorf("after %v: %q", c.err, failing)
		}
	}
	missing := &Program{Path: filepath.Join(t.TempDir(), "missing")}
	if err := missing.Exec(t.Context(), "a", []string{"x"}); !errors.Is(err, ErrNotAsked) {
		t.Errorf("no program: %v", err)
	}
}

// TestExec: a command that ended badly, that the sandbox could not execute, or that took too long is a failed check; a
// fault of the program, whatever its exit status, is none.
func TestExec(t *testing.T) {
	program := &Program{Path: filepath.Join(t.TempDir(), "sterling-sandbox"), State: "/state"}
	for _, c := range []struct {
		script, want string
		asked        bool
	}{
		{`[ "$*" = "--state /state exec --json a -- x -y" ] && echo '{"exit":0,"output":"well"}'`, "", true},
		{`echo '{"exit":1,"output":"sick\\n"}'`, "sick (exit status 1)", true},
		{`echo '{"output":"x does not exist"}'`, "x does not exist", true},
		{`echo sterling-sandbox: no memory >&2; exit 1`, "no memory", false},
		{`kill -KILL $$`, "killed", false},
		{`echo '{'`, "JSON", false},
	} {
		if err := os.WriteFile(program.Path, []byte("#!/bin/sh\n"+c.script), 0o700); err != nil {
			t.Fatal(err)
		}
		err := program.Exec(t.Context(), "a", []string{"x", "-y"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNotAsked) == c.asked {
			t.Errorf("%s: %v", c.script, err)
		}
	}
	if err := os.WriteFile(program.Path, []byte("#!/bin/sh\nread forever <>/dev/zero"), 0o700); err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := program.Exec(late, "a", []string{"x"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotAsked) {
		t.Errorf("too long: %v", err)
	}
}

// TestAnswersAreBounded: what a replica answers is neither kept without bounds nor as it is.
func TestAnswersAreBounded(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for _, answer := range []string{"500 \x1b[2J" + strings.Repeat("x", 10000), "200 OK\r\nA: " + strings.Repeat("x", 1<<20)} {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", answer) // the second one is not read to its end
			_ = conn.Close()
		}
	}()
	if err := checkHTTP(t.Context(), socket, "/"); err == nil || err.Error() != "GET /: status 500" {
		t.Errorf("%.100v", err)
	}
	if err := checkHTTP(t.Context(), socket, "/"); err == nil || !strings.Contains(err.Error(), "exceeded") {
		t.Errorf("%.100v", err)
	}
	p := &probe{checks: make([]checked, 1)}
	p.take(0, errors.New("\x1b[2J\nsick\u202e"+strings.Repeat("x", 10000)), 1)
	if says := p.says(); len(says) > 600 || !strings.HasPrefix(says, "health[0]: [2J sick x") {
		t.Errorf("%q", says)
	}
}

// TestList: all that the program tells is read, and what it complains of is the error.
func TestList(t *testing.T) {
	program := &Program{Path: filepath.Join(t.TempDir(), "sterling-sandbox"), State: "/state"}
	says := func(script string) {
		if err := os.WriteFile(program.Path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	says(`[ "$*" = "--state /state ps --json" ] && echo '[{"id":"a","state":"ended","start":"pool","exit":3,"audit":{"lost":7,"logged":{"where":"w","lines":2}}}]'`)
	list, err := program.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Start != "pool" || *list[0].Exit != 3 || list[0].Audit.Lost != 7 || list[0].Audit.Logged.Lines != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	says("echo no such folder >&2; exit 1")
	if _, err := program.List(t.Context()); err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("a program that fails: %v", err)
	}
	says("echo '{'")
	if _, err := program.List(t.Context()); err == nil || !strings.Contains(err.Error(), "read the list") {
		t.Errorf("no list: %v", err)
	}
}
