package engines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"14", "15"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "made-up-server"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := findProgram([]string{"made-up-server"}, []string{filepath.Join(dir, "*")}, "x")
	if err != nil || got != filepath.Join(dir, "15", "made-up-server") {
		t.Errorf("found %q, %v; want the newest version's", got, err)
	}
	if err := os.Chmod(filepath.Join(dir, "15", "made-up-server"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := findProgram([]string{"made-up-server"}, []string{filepath.Join(dir, "*")}, "x"); err != nil || filepath.Base(filepath.Dir(got)) != "14" {
		t.Errorf("found %q, %v; want the one that can be run", got, err)
	}
	_, err = findProgram([]string{"not-there"}, []string{filepath.Join(dir, "*")}, "the-package")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "the-package") {
		t.Errorf("a missing program: %v; want ErrMissing and what to install", err)
	}
}

func TestParsePosition(t *testing.T) {
	const id = "491c6d5c-e67d-11f1-99d7-42de71eacf54"
	for name, x := range map[string]struct{ log, want string }{
		"empty":        {"", ""},
		"none":         {"[Note] WSREP: something else\n", ""},
		"one":          {"2026 0 [Note] WSREP: Recovered position: " + id + ":206\n", id + ":206"},
		"no colon":     {"2026 0 [Note] WSREP: Recovered position " + id + ":206\n", id + ":206"},
		"of two, last": {"WSREP: Recovered position: " + id + ":206\nWSREP: Recovered position: " + id + ":207\n", id + ":207"},
		"never joined": {"WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1\n", "00000000-0000-0000-0000-000000000000:-1"},
		"cut short":    {"WSREP: Recovered position: " + id + ":20", ""},
		"too long":     {"WSREP: Recovered position: " + id + ":99999999999999999999\n", ""},
	} {
		got, err := parsePosition([]byte(x.log))
		switch {
		case x.want == "" && err == nil:
			t.Errorf("%s: got %v, want an error", name, got)
		case x.want != "" && (err != nil || got.String() != x.want):
			t.Errorf("%s: got %v, %v; want %s", name, got, err, x.want)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add([]byte("WSREP: Recovered position: 491c6d5c-e67d-11f1-99d7-42de71eacf54:206\n"))
	f.Add([]byte("WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1\nx"))
	f.Fuzz(func(t *testing.T, log []byte) {
		p, err := parsePosition(log)
		if err != nil {
			return
		}
		again, err := parsePosition([]byte("WSREP: Recovered position: " + p.String() + "\n"))
		if err != nil || again != p {
			t.Fatalf("%v reads back as %v, %v", p, again, err)
		}
	})
}

func TestQuoteSetting(t *testing.T) {
	for value, want := range map[string]string{
		`plain`: `"plain"`, `a;b#c`: `"a;b#c"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "a\nb": `"a\nb"`,
	} {
		if got := quoteSetting(value); got != want {
			t.Errorf("%q becomes %s, want %s", value, got, want)
		}
	}
}

func TestPoll(t *testing.T) {
	failing := errors.New("not yet")
	calls := 0
	if err := poll(t.Context(), nil, func(context.Context) error {
		if calls++; calls < 3 {
			return failing
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("ready at the third look: %v after %d", err, calls)
	}
	ended := make(chan struct{})
	close(ended)
	if err := poll(t.Context(), ended, func(context.Context) error { return failing }); err == nil {
		t.Error("a server that has ended is ready")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := poll(ctx, nil, func(context.Context) error { return failing }); !errors.Is(err, failing) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too late: %v; want the deadline, and what was wrong last", err)
	}
}

// TestProcessWithChildren stops and kills a shell with children of its own.
func TestProcessWithChildren(t *testing.T) {
	dir := t.TempDir()
	c := command{program: "/bin/sh", args: []string{"-c", "sleep 100 & sleep 100 & echo started; wait"}, dir: dir, logFile: filepath.Join(dir, "log")}
	p, err := c.start()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var children []int
	if err := poll(ctx, p.done, func(context.Context) (err error) {
		if children, err = descendants(p.pid); err == nil && len(children) != 2 {
			err = errors.New("not two children yet")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.stop(), p.resume(), p.stop()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.kill(), p.kill()); err != nil { // killing a dead one is no error
		t.Fatal(err)
	}
	for _, pid := range append(children, p.pid) {
		if running(pid) {
			t.Errorf("pid %d is left", pid)
		}
	}
	if p.stop() == nil || p.resume() == nil {
		t.Error("a dead process was stopped or continued without an error")
	}
}

func TestCommandThatFails(t *testing.T) {
	dir := t.TempDir()
	c := command{program: "/bin/sh", args: []string{"-c", "echo the reason; exit 3"}, dir: dir, logFile: filepath.Join(dir, "log")}
	if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("it failed with %v; want what it said last", err)
	}
	c.args = []string{"-c", "sleep 100"}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that takes too long: %v", err)
	}
	c.program = filepath.Join(dir, "not-there")
	if err := c.run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}
