package guest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// follow reaps for as long as there is a machine.
func (c *children) follow() {
	c.wait = map[int]chan syscall.WaitStatus{}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		for range signals {
			c.reap()
		}
	}()
}

// program is a file that is executed.
type program struct {
	path   string
	sha256 [sha256.Size]byte
	mode   uint32
	uid    uint32
	gid    uint32
	inode  uint64
	size   int64
}

// find looks for a command as a shell does, and reads it.
func (m *machine) find(name string) (program, error) {
	candidates := []string{name}
	switch {
	case path.IsAbs(name):
	case strings.Contains(name, "/"):
		candidates = []string{path.Join(m.boot.Folder, name)}
	default:
		candidates = nil
		for folder := range strings.SplitSeq(variable(m.boot.Env, "PATH"), ":") {
			if path.IsAbs(folder) {
				candidates = append(candidates, path.Join(folder, name))
			}
		}
	}
	why := fs.ErrNotExist
	for _, path := range candidates {
		p, err := read(path)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			why = err
		}
	}
	return program{}, fmt.Errorf("%q can't be executed: %w", name, why)
}

func variable(env []string, name string) string {
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

func read(path string) (program, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold process 1
	if err != nil {
		return program{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return program{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return program{}, fs.ErrPermission
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return program{}, err
	}
	p := program{path: path, mode: s.Mode, uid: s.Uid, gid: s.Gid, inode: s.Ino, size: s.Size}
	h.Sum(p.sha256[:0])
	return p, nil
}

// start is what a process of the workload is told before it becomes one.
type start struct {
	Path      string   `json:"path"`
	Argv      []string `json:"argv"`
	Env       []string `json:"env"`
	Folder    string   `json:"folder"`
	UID       uint32   `json:"uid"`
	GID       uint32   `json:"gid"`
	OpenFiles uint64   `json:"open_files"`
	FileSize  uint64   `json:"file_size"`
}

const maxArguments = 64 << 10 // bytes of a command's arguments: they are in one event

// process runs what a stream asks for, to its end.
func (m *machine) process(stream net.Conn) {
	defer stream.Close() //nolint:errcheck // the last frame was sent, or there is nobody
	var o protocol.Order
	err := protocol.ReadAsk(stream, protocol.MaxFrame, &o)
	switch {
	case err != nil:
	case o.Run == nil || len(o.Run.Argv) == 0 || m.events == nil:
		err = errors.New("an order that is no command")
	case len(strings.Join(o.Run.Argv, "")) > maxArguments:
		err = fmt.Errorf("arguments of more than %d bytes", maxArguments)
	default:
		err = m.run(&locked{w: stream}, stream, *o.Run)
	}
	if err != nil {
		_ = protocol.Write(stream, protocol.Fault, []byte(err.Error())) // who is gone needs no answer
	}
}

// locked keeps frames of several writers whole: each is one write.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// run runs a command. An error means that it did not start.
func (m *machine) run(to io.Writer, from io.Reader, r protocol.Run) error {
	p, err := m.find(r.Argv[0])
	if err != nil {
		return err
	}
	pipes, err := newPipes()
	if err != nil {
		return err
	}
	defer pipes.closeOurs()
	defer pipes.closeTheirs()
	for _, f := range pipes.theirs[:3] { // so that /dev/stdin and its like can be opened
		if err := f.Chown(int(m.boot.UID), int(m.boot.GID)); err != nil {
			return fmt.Errorf("give a pipe to the user: %w", err)
		}
	}
	attr := &syscall.ProcAttr{
		Files: []uintptr{pipes.theirs[0].Fd(), pipes.theirs[1].Fd(), pipes.theirs[2].Fd(), pipes.theirs[3].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(m.group.Fd())},
	}
	m.children.live.Add(1)
	defer m.children.live.Done()
	pid, ended, err := m.children.start("/proc/self/exe", []string{stageName}, attr)
	pipes.closeTheirs()
	if err != nil {
		return fmt.Errorf("start a process: %w", err)
	}
	t := task{pid: pid, parent: 1, uid: m.boot.UID, gid: m.boot.GID, folder: m.boot.Folder, command: path.Base(p.path), session: !r.Main}
	if r.Main {
		m.events.started(t, r.Argv)
	}
	m.events.executed(t, p, r.Argv)
	// It waits for this: by now the recorder has been told of it.
	text, err := json.Marshal(start{p.path, r.Argv, m.boot.Env, m.boot.Folder, m.boot.UID, m.boot.GID, m.boot.OpenFiles, m.boot.FileSize})
	if err == nil {
		_, err = pipes.ours[3].Write(text)
	}
	_ = errors.Join(err, pipes.ours[3].Close()) // one that has ended says so below
	if r.Main {
		_ = pipes.ours[0].Close() // a workload reads nothing
	}
	var outputs sync.WaitGroup
	outputs.Go(func() { _, _ = io.Copy(protocol.Frames{To: to, Kind: protocol.Stdout}, pipes.ours[1]) })
	outputs.Go(func() { _, _ = io.Copy(protocol.Frames{To: to, Kind: protocol.Stderr}, pipes.ours[2]) })
	go m.obey(from, pid, pipes.ours[0], r.Main)
	status := <-ended
	m.events.exited(t, uint32(status))
	if r.Main {
		m.killAll()
	}
	drained := make(chan struct{})
	go func() { outputs.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(outputLimit): // a process of its own still has the other end
		pipes.closeOurs()
		<-drained
	}
	if r.Main {
		m.finish()
	}
	_ = protocol.Write(to, protocol.Exit, []byte{exitCode(status)})
	return nil
}

// outputLimit is how long output may still come after a command has ended.
const outputLimit = 2 * time.Second

func exitCode(s syscall.WaitStatus) byte {
	if s.Signaled() {
		return byte(128 + s.Signal()) //nolint:gosec // at most 64
	}
	return byte(s.ExitStatus()) //nolint:gosec // at most 255
}

// obey takes what the host sends to a process. When there is no more, one that is not the workload gets SIGTERM: who
// asked for it is gone.
func (m *machine) obey(from io.Reader, pid int, stdin io.WriteCloser, main bool) {
	defer stdin.Close() //nolint:errcheck // a pipe
	for {
		k, payload, err := protocol.Read(from, protocol.MaxFrame)
		switch {
		case err != nil:
			if !main {
				m.children.signal(pid, syscall.SIGTERM)
			}
			return
		case k == protocol.Signal && len(payload) == 1:
			m.children.signal(pid, syscall.Signal(payload[0]))
		case k == protocol.Stdin && len(payload) == 0:
			_ = stdin.Close()
		case k == protocol.Stdin:
			_, _ = stdin.Write(payload) // one that reads no more is no fault
		}
	}
}

// signal sends a signal to a process that has not ended.
func (c *children) signal(pid int, s syscall.Signal) {
	c.mu.Lock() // while it is not reaped, its number is its own
	defer c.mu.Unlock()
	if c.wait[pid] != nil {
		_ = syscall.Kill(pid, s)
	}
}

// killAll ends every process but this one, and no other begins.
func (m *machine) killAll() {
	m.children.mu.Lock()
	m.children.ending = true
	m.children.mu.Unlock()
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d/cgroup.kill", m.group.Fd()), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("1")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		powerOff()
	}
}

// finish ends the record: when this returns, all events are on their way to the host.
func (m *machine) finish() {
	m.children.live.Done() // of the workload itself
	m.children.live.Wait()
	m.children.live.Add(1)
	m.events.end()
}

// pipes are those of a process: its input, its outputs, and what it is told at its start.
type pipes struct{ ours, theirs [4]*os.File }

func newPipes() (*pipes, error) {
	p := &pipes{}
	for i := range p.ours {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeOurs()
			p.closeTheirs()
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		p.ours[i], p.theirs[i] = w, r
		if i == 1 || i == 2 {
			p.ours[i], p.theirs[i] = r, w
		}
	}
	return p, nil
}

func (p *pipes) closeOurs()   { closeAll(p.ours[:]) }
func (p *pipes) closeTheirs() { closeAll(p.theirs[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // closed already is as good
		}
	}
}
