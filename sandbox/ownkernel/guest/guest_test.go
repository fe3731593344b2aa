package guest

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// TestNotHere: outside a machine the program does nothing.
func TestNotHere(t *testing.T) {
	if code := Main([]string{"init"}); code != 2 {
		t.Errorf("status %d", code)
	}
}

// TestFilter: what is denied fails, by every number that stands for it, and nothing else does.
func TestFilter(t *testing.T) {
	type result struct{ keys, x32, own error }
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the filter
		call := func(number uintptr) error {
			if _, _, errno := syscall.RawSyscall(number, 0, 0, 0); errno != 0 {
				return errno
			}
			return nil
		}
		if err := errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), install()); err != nil {
			done <- result{own: err}
			return
		}
		done <- result{call(unix.SYS_KEYCTL), call(0x40000000 + unix.SYS_GETPID), call(unix.SYS_GETPID)}
	}()
	r := <-done
	if !errors.Is(r.keys, syscall.EPERM) || !errors.Is(r.x32, syscall.EPERM) || r.own != nil {
		t.Errorf("%+v", r)
	}
	// Every denied number leads to the same end.
	f := filter()
	for _, number := range denied {
		at := 4 // after the loads and the tests of the architecture
		for f[at].Code == unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K {
			if f[at].K == number {
				at += int(f[at].Jt)
			}
			at++
		}
		if f[at].K == unix.SECCOMP_RET_ALLOW {
			t.Errorf("%d is allowed", number)
		}
	}
}

func TestFind(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	for name, mode := range map[string]fs.FileMode{"tool": 0o755, "data": 0o644, "other/tool": 0o755} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(name)), 0o755), os.WriteFile(at(name), []byte(name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(at("pipe"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{boot: protocol.Boot{Folder: folder, Env: []string{"A=b", "PATH=relative:" + folder + "/missing:" + folder + "/other:" + folder}}}
	for _, one := range []struct {
		name, path string
		err        error
	}{
		{at("tool"), at("tool"), nil},
		{"tool", at("other/tool"), nil}, // the first in the path
		{"./other/tool", at("other/tool"), nil},
		{"missing", "", fs.ErrNotExist},
		{at("data"), "", fs.ErrPermission},
		{"data", "", fs.ErrPermission},
		{at("other"), "", fs.ErrPermission},
		{at("pipe"), "", fs.ErrPermission}, // and does not wait for a writer
	} {
		p, err := m.find(one.name)
		if !errors.Is(err, one.err) || p.path != one.path {
			t.Errorf("%s: %q %v", one.name, p.path, err)
		}
		if err == nil && p.sha256 != sha256.Sum256([]byte(strings.TrimPrefix(p.path, folder+"/"))) {
			t.Errorf("%s: another SHA-256", one.name)
		}
	}
}

// frames keeps what is sent, and fails after so many.
type frames struct {
	sent [][]byte
	most int
}

func (f *frames) Write(p []byte) (int, error) {
	if len(f.sent) == f.most {
		return 0, io.ErrClosedPipe
	}
	f.sent = append(f.sent, p)
	return len(p), nil
}

// TestEvents: messages have gVisor's header and its fields, zero ones left out; and one that can't be sent is known.
func TestEvents(t *testing.T) {
	to := &frames{most: 3}
	e := &events{to: to, lost: make(chan struct{})}
	one := task{pid: 7, parent: 1, uid: 5, gid: 6, folder: "/f", command: "c", session: true}
	e.executed(one, program{path: "/p", mode: 0o100755, size: 9}, []string{"a", ""})
	e.connected(one, "/run/services/s")
	e.exited(task{pid: 7}, 0x700)
	want := []struct {
		kind   byte
		fields map[protowire.Number]int
	}{
		{msgExec, map[protowire.Number]int{1: 1, 2: 1, 3: 2, 5: 1, 8: 1, 18: 1}},
		{msgConnect, map[protowire.Number]int{1: 1, 3: 1, 6: 1}},
		{msgExit, map[protowire.Number]int{1: 1, 2: 1}},
	}
	for i, w := range want {
		frame := to.sent[i][5:] // the head of the frame
		if frame[0] != headerSize || frame[2] != w.kind || frame[4] != 0 {
			t.Errorf("header % x", frame[:headerSize])
		}
		got := map[protowire.Number]int{}
		for m := frame[headerSize:]; len(m) > 0; {
			number, _, n := protowire.ConsumeField(m)
			if n < 0 {
				t.Fatalf("% x", m)
			}
			got[number]++
			m = m[n:]
		}
		for number, n := range w.fields {
			if got[number] != n {
				t.Errorf("message %d: field %d %d times, want %d", w.kind, number, got[number], n)
			}
		}
	}
	select {
	case <-e.lost:
		t.Error("nothing is lost yet")
	default:
	}
	e.exited(one, 0)
	select {
	case <-e.lost:
	default:
		t.Error("a message that was not sent is not known")
	}
}

// TestPort: until the host is there, an end is none; afterwards it is one.
func TestPort(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p := &port{File: r, deadline: time.Now().Add(time.Hour)}
	b := make([]byte, 8)
	if n, err := p.Read(b); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := p.Read(b); !errors.Is(err, io.EOF) {
		t.Errorf("after the host has gone: %v", err)
	}
	late := &port{File: r, deadline: time.Now()}
	if _, err := late.Read(b); !errors.Is(err, io.EOF) {
		t.Errorf("a host that never came: %v", err)
	}
}

func TestExitCode(t *testing.T) {
	for status, want := range map[syscall.WaitStatus]byte{0: 0, 0x700: 7, 9: 137, 15: 143, 0xff00: 255} {
		if got := exitCode(status); got != want {
			t.Errorf("%#x: %d, want %d", int(status), got, want)
		}
	}
}

// TestLateConnection: the end of the events waits for the host to have seen what was told, and later connections are in no
// account. One after the end must not end the machine either: the exit of the workload is on its way.
func TestLateConnection(t *testing.T) {
	e := &events{to: io.Discard, lost: make(chan struct{})}
	if !e.connected(task{pid: 2}, "/run/services/a") {
		t.Fatal("a connection is not told of")
	}
	ended := make(chan struct{})
	go func() {
		e.end()
		close(ended)
	}()
	for e.connected(task{pid: 2}, "/run/services/a") { // until it has begun to end
		e.calling.Done()
		runtime.Gosched()
	}
	select {
	case <-ended:
		t.Error("it has ended before the host saw a connection")
	default:
	}
	e.calling.Done()
	<-ended
	select {
	case <-e.lost:
		t.Error("what came too late is taken for lost")
	default:
	}
}
