package gvisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// launched runs a script in the place of gVisor's command: it says which processes it has made on descriptor 3. The folder
// is its to write to, and the exit what came of it.
func launched(t *testing.T, script string) (r *runsc, exit int) {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(folder, "gvisor")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncd "+folder+"\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	r = (&Runner{GVisor: program, State: folder, Clock: clock.NewSystem()}).runsc(place{folder}, "box")
	exited, err := r.run(os.Stderr, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return r, <-exited
}

// TestOthersAreNotKilled: where gVisor's command fails after it has taken the ends of its own processes, their numbers may
// be those of others.
func TestOthersAreNotKilled(t *testing.T) {
	const next = "/proc/sys/kernel/ns_last_pid"
	if f, err := os.OpenFile(next, os.O_WRONLY, 0); err != nil {
		t.Skipf("only root can say which process id is next: %v", err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // another process of this machine may have been faster
		r, exit := launched(t, `
sleep 60 & kernel=$!
sleep 60 & gofer=$!
echo $kernel $gofer >&3
head -c 1 <&3 >go
kill -KILL $kernel $gofer
wait
echo $((gofer - 1)) >`+next+`
sleep 60 &
echo $gofer $! >pids
exit 7`)
		text, err := os.ReadFile(filepath.Join(r.folder, "pids"))
		if err != nil {
			t.Fatal(err)
		}
		gofer, other, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		pid, err := strconv.Atoi(other)
		if err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus // orphans are this process's
		gone, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if err == nil && gone == 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, err = syscall.Wait4(pid, &status, 0, nil)
		} else {
			err = errors.Join(fmt.Errorf("killed: %v", status), err)
		}
		if exit != 7 || err != nil {
			t.Fatalf("exit %d; another process: %v", exit, err)
		}
		if gofer == other {
			return
		}
	}
	t.Skip("this machine is too busy to have the same process id twice")
}

// TestSaid: a sandbox that did not start says why, whoever knows it.
func TestSaid(t *testing.T) {
	for _, c := range []struct {
		script, want string
		exit         int
	}{
		{`echo '{"msg":"no room","level":"error"}' >runsc.log; exit 128`, "no room", 128},
		{"kill -KILL $$", "gVisor's command ended with 137", 137},
		{"echo -1 0 >&3; read end <&3", "the sandbox's kernel is process -1", 137},
		{"sleep 60 >go 2>&1 & kernel=$!; kill -KILL $kernel; wait; echo $kernel 0 >&3; read end <&3", "for its guard", 137},
	} {
		r, exit := launched(t, c.script)
		if said := r.Said(); exit != c.exit || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit %d, %q", c.script, exit, said)
		}
	}
}

// A slowWriter takes so long for each write, or until it is let go.
type slowWriter struct {
	got  int
	each time.Duration
	stop <-chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	select {
	case <-time.After(w.each):
	case <-w.stop:
	}
	w.got += len(p)
	return len(p), nil
}

// TestSlowReaders: all of what a workload wrote arrives, however slowly it is taken; where nobody takes it, the sandbox's
// end is told all the same.
func TestSlowReaders(t *testing.T) {
	const all = 96 << 10 // bytes: what is copied at once, and a pipe full
	stop := make(chan struct{})
	defer close(stop)
	for _, each := range []time.Duration{killGrace * 2 / 3, time.Hour} {
		out := &slowWriter{each: each, stop: stop}
		o, err := newPipes(out, out)
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := syscall.Dup(int(o.write[0].Fd()))
		if err != nil {
			t.Fatal(err)
		}
		o.started()
		n, err := syscall.Write(kernel, make([]byte, all))
		if err = errors.Join(err, syscall.Close(kernel)); err != nil || n != all {
			t.Fatal(n, err)
		}
		ended := make(chan struct{})
		go func() {
			o.end()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(killGrace * 4):
			t.Fatalf("%v: it waits for ever", each)
		}
		if each < killGrace && out.got != all {
			t.Errorf("%v: %d bytes of %d", each, out.got, all)
		}
	}
}
