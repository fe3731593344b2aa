package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

// TestMain lets the test binary be the background process that "up" starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

// folder is one that the servers' user may enter, which a test's own folder is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cluster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(t.Output())
	root.SetArgs(append(args, "--dir", dir))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func mustRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, args...)
	if err != nil {
		t.Fatalf("cluster %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func wantError(t *testing.T, dir, want string, args ...string) {
	t.Helper()
	if _, err := run(t, dir, args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("cluster %s: %v; want an error with %q", strings.Join(args, " "), err, want)
	}
}

func needPostgres(t *testing.T) {
	t.Helper()
	p, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	_ = p.Close()
}

func TestPostgresCluster(t *testing.T) {
	needPostgres(t)
	dir := folder(t)
	dsn := strings.TrimSpace(mustRun(t, dir, "up", "postgres"))
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(s.Pid, syscall.SIGKILL) }) // whatever happened; the servers die with it
	insert(t, dsn, "CREATE TABLE x (id int)")
	wantError(t, dir, "runs in", "up", "postgres")
	wantError(t, dir, "no node", "kill", "4")
	if out := mustRun(t, dir, "status"); strings.Count(out, "streaming, quorum") != 2 {
		t.Errorf("status says:\n%s\nwant two standbys in the quorum", out)
	}
	if got := strings.TrimSpace(mustRun(t, dir, "dsn")); got != dsn {
		t.Errorf("dsn says %s, up said %s", got, dsn)
	}

	mustRun(t, dir, "kill", "1")
	insert(t, dsn, "INSERT INTO x VALUES (1)")
	if out := mustRun(t, dir, "status"); !strings.Contains(out, "dead") {
		t.Errorf("status says:\n%s\nwant a dead node", out)
	}
	mustRun(t, dir, "start", "1")
	mustRun(t, dir, "wait")
	mustRun(t, dir, "stop", "1")
	mustRun(t, dir, "start", "1")
	mustRun(t, dir, "cut", "1")
	mustRun(t, dir, "heal", "1")
	mustRun(t, dir, "wait")
	checkGuard(t, s)

	mustRun(t, dir, "down")
	if err := syscall.Kill(s.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the background process after down: %v; want none", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres-trio")); !os.IsNotExist(err) {
		t.Errorf("the data after down: %v; want none", err)
	}
	mustRun(t, dir, "down") // it is down
	wantError(t, dir, "tools/cluster up", "status")
}

// checkGuard calls without the token.
func checkGuard(t *testing.T, s state) {
	t.Helper()
	s.Token = "another"
	dir := folder(t)
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	wantError(t, dir, "token", "status")
	wantError(t, dir, "token", "down") // and ends nobody
	if err := syscall.Kill(s.Pid, 0); err != nil {
		t.Errorf("a caller without the token ended the cluster: %v", err)
	}
}

// insert tries until a primary has taken the statement.
func insert(t *testing.T, dsn, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_, err = c.Exec(ctx, statement)
			_ = c.Close(ctx)
		}
		if err == nil {
			return
		}
		if clock.Sleep(ctx, clock.NewSystem(), 50*time.Millisecond) != nil {
			t.Fatal(err)
		}
	}
}

func TestWithoutACluster(t *testing.T) {
	dir := folder(t)
	wantError(t, dir, "tools/cluster up", "kill", "1")
	wantError(t, dir, "invalid argument", "up", "oracle")
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, dir, stateFile, "status")
}

func TestStateOfADeadProcess(t *testing.T) {
	dir := folder(t)
	child := exec.CommandContext(t.Context(), "true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if err := (state{Kind: kindPostgres, Pid: child.Process.Pid}).write(dir); err != nil {
		t.Fatal(err)
	}
	wantError(t, dir, "no cluster runs", "status")
	mustRun(t, dir, "down")
	if _, err := os.Stat(filepath.Join(dir, stateFile)); !os.IsNotExist(err) {
		t.Errorf("the state after down: %v; want none", err)
	}
}

func TestStartThatFails(t *testing.T) {
	needPostgres(t)
	dir := folder(t)
	if err := os.Chmod(dir, 0o500); err != nil || os.Geteuid() != 0 {
		t.Skipf("only as root can a folder be closed to the servers' user alone (%v)", err)
	}
	wantError(t, dir, "may not enter", "up", "postgres")
}
