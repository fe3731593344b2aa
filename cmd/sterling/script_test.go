package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary serve as the command that the scripts run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sterling": main})
}

// TestScripts runs the command line end to end. Besides testscript's own commands, scripts have:
//
//	up NAME [FLAG…]        start `sterling up` on a free port, wait until it is ready, put its address into $NAME
//	down NAME              interrupt it and wait: it must end well
//	crash NAME             SIGKILL
//	exits CODE COMMAND…    run a command that must end with this code
//	eventually COMMAND…    run a command until it succeeds, for 20 seconds at most
//	flip FILE OFFSET       turn one bit of a byte around
//	certificates FOLDER    make an authority and certificates of a server and of clients
//	damage DIR HOW KIND    flip, cut or remove the first object of a kind (manifests, blocks) in a backup repository
//	rows FILE COUNT        write a CSV file of payments
//	s3 NAME BUCKET         serve an S3 store with this bucket, put its URL into $NAME
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"up": startUp, "down": down, "crash": crash, "exits": exits, "eventually": eventually, "flip": flip, "certificates": certificates, "damage": damage, "rows": rows, "s3": startS3,
		},
		Setup: func(env *testscript.Env) error {
			servers := map[string]*server{}
			env.Values[serversKey{}] = servers
			env.Defer(func() {
				for _, s := range servers {
					_ = s.stop(syscall.SIGKILL) // it may have ended already
				}
			})
			return nil
		},
	})
}

type serversKey struct{}

func serversOf(ts *testscript.TestScript) map[string]*server {
	return ts.Value(serversKey{}).(map[string]*server)
}

// server is a running `sterling up`.
type server struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// stop signals the process, unless it has ended, and waits for its end.
func (s *server) stop(signal os.Signal) error {
	_ = s.cmd.Process.Signal(signal) // it may have ended by itself: then Wait tells
	<-s.ended
	return s.err
}

const startTime = 60 * time.Second

func startUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: up NAME [FLAG…]")
	}
	log, err := os.OpenFile(ts.MkAbs(args[0]+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer log.Close()
	binary, err := exec.LookPath("sterling")
	ts.Check(err)
	flags := append([]string{"up", "--listen", "127.0.0.1:0"}, args[1:]...)
	s := &server{cmd: exec.Command(binary, flags...), ended: make(chan struct{})}
	s.cmd.Dir, s.cmd.Stderr = ts.MkAbs("."), log
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "STERLING_TOKEN", "HOOK_SECRET"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	serversOf(ts)[args[0]] = s
	address := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		address <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out)
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	select {
	case line := <-address:
		host, ok := strings.CutPrefix(strings.Replace(line, "https://", "http://", 1), "Sterling is ready on http://")
		if !ok {
			<-s.ended
			ts.Fatalf("sterling up: %q, %v\n%s", line, s.err, ts.ReadFile(args[0]+".log"))
		}
		ts.Setenv(args[0], host)
	case <-time.After(startTime):
		ts.Fatalf("sterling up was not ready within %v\n%s", startTime, ts.ReadFile(args[0]+".log"))
	}
}

func down(ts *testscript.TestScript, neg bool, args []string) {
	s := theServer(ts, neg, args)
	if err := s.stop(os.Interrupt); err != nil {
		ts.Fatalf("sterling up ended with %v\n%s", err, ts.ReadFile(args[0]+".log"))
	}
}

func crash(ts *testscript.TestScript, neg bool, args []string) {
	_ = theServer(ts, neg, args).stop(syscall.SIGKILL)
}

func theServer(ts *testscript.TestScript, neg bool, args []string) *server {
	if neg || len(args) != 1 || serversOf(ts)[args[0]] == nil {
		ts.Fatalf("usage: down NAME or crash NAME, of a server that up started")
	}
	return serversOf(ts)[args[0]]
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND…")
	}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("not within 20 s: %v", err)
		}
	}
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	ts.Check(err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], offset)
	ts.Check(err)
}

// TestGreeting runs what `sterling up` tells a newcomer to try, word by word.
func TestGreeting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	c := exec.CommandContext(ctx, "sterling", "up", "--data", dir, "--listen", freeAddress(t))
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	ran := 0
	for lines := bufio.NewScanner(out); ran < 3 && lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "  sterling ") {
			continue
		}
		shell := exec.CommandContext(ctx, "sh", "-ec", lines.Text())
		if answer, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%s\n%s%v", lines.Text(), answer, err)
		}
		ran++
	}
	if ran != 3 {
		t.Fatalf("%d commands, want 3", ran)
	}
}

// freeAddress is an address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr())
}
