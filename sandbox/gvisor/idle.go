package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/sandbox"
)

// initFiles is what the init of a sandbox that idles is started with.
type initFiles struct{ program, socket *os.File }

func (f *initFiles) close() { _ = errors.Join(f.program.Close(), f.socket.Close()) } // gVisor has its own

// socketPair is two connected sockets: one to talk with, and the other end to hand on.
func socketPair() (*net.UnixConn, *os.File, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // conn has its own
	socket, ok := conn.(*net.UnixConn)
	if !ok { // so err is not nil
		return nil, nil, errors.Join(fmt.Errorf("take a socket: %w", err), theirs.Close())
	}
	return socket, theirs, nil
}

// An idler is a sandbox with the init in it, and nothing else.
type idler struct {
	*session
	exited <-chan int
	init   *net.UnixConn
	lock   io.Closer
	stamp  string // of what the policy names, when the sandbox started
}

// Times of a sandbox that idles.
const (
	answerLimit = time.Second      // for the init to answer
	checkEvery  = 30 * time.Second // that it does
)

// idle starts a sandbox for a policy in a slot of the pool, and returns when its init has answered.
func (r *Runner) idle(ctx context.Context, slot string, document []byte, folder string) (*idler, error) {
	policy, err := read(document, folder, "")
	if err != nil {
		return nil, err
	}
	if policy.Isolation.Kind() != sandbox.GVisor {
		return nil, errPool
	}
	level, err := r.level(ctx, policy.Isolation)
	if err != nil {
		return nil, err
	}
	stamp, err := stampOf(policy)
	if err != nil {
		return nil, err
	}
	p := r.slot(slot)
	lock, err := r.claim(p, slot)
	if err != nil {
		return nil, err
	}
	i := &idler{session: r.session(p, policy, level, Options{Policy: document, Folder: folder}), lock: lock, stamp: stamp}
	i.warm, i.status.Slot, i.status.Start = true, slot, StartPool
	i.options.Stdout, i.options.Stderr = &lateWriter{}, &lateWriter{}
	if err := i.boot(ctx); err != nil {
		return nil, errors.Join(err, i.discard(ctx))
	}
	return i, nil
}

func (i *idler) boot(ctx context.Context) error {
	program, err := memoryFile("init", InitProgram())
	if err != nil {
		return err
	}
	files := &initFiles{program: program}
	if i.init, files.socket, err = socketPair(); err != nil {
		return errors.Join(err, program.Close())
	}
	i.exited, err = i.start(ctx, files)
	files.close() // so that the end of gVisor is the end of the connection
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = i.init.Close() })
	defer stop()
	if err := i.answer(startLimit); err != nil {
		return fmt.Errorf("%w: %w: %s", ErrNotStarted, err, i.kernel.Said())
	}
	return nil
}

// memoryFile is a program as a file of no file system, open to be read only: what is open to be written is not executed.
func memoryFile(name string, program []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file for the %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close() //nolint:errcheck // written, or the error is returned
	if _, err := f.Write(program); err != nil {
		return nil, fmt.Errorf("write the %s: %w", name, err)
	}
	read, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", name, err)
	}
	return read, nil
}

// answer waits for the init to say that it is there.
func (i *idler) answer(limit time.Duration) error {
	b := make([]byte, 1)
	err := i.init.SetReadDeadline(time.Now().Add(limit))
	if err == nil {
		_, err = io.ReadFull(i.init, b)
	}
	if err == nil && b[0] != '.' {
		err = fmt.Errorf("it said %q", b)
	}
	if err != nil {
		return fmt.Errorf("wait for an answer of the sandbox: %w", err)
	}
	return nil
}

// check asks the init for an answer.
func (i *idler) check() error {
	if _, err := i.init.Write([]byte{'?'}); err != nil {
		return fmt.Errorf("ask the sandbox: %w", err)
	}
	return i.answer(answerLimit)
}

// fresh tells whether a sandbox that would be started now would be the same.
func (i *idler) fresh() error {
	policy, err := read(i.options.Policy, i.options.Folder, i.options.Services)
	if err != nil {
		return err
	}
	stamp, err := stampOf(policy)
	if err == nil && stamp != i.stamp {
		err = errors.New("what the policy names was replaced since the sandbox started")
	}
	return err
}

// discard ends a sandbox that nobody used, and removes all of it.
func (i *idler) discard(ctx context.Context) error {
	var errs []error
	if i.init != nil {
		errs = append(errs, i.init.Close())
	}
	if i.exited != nil {
		i.kernel.End()
		<-i.exited
	}
	if i.recorder != nil {
		i.recorder.kill()
	}
	if i.kernel != nil {
		errs = append(errs, remove(ctx, i.cgroup, i.kernel))
	}
	if i.log != nil {
		i.log.close()
	}
	i.relays.close()
	return errors.Join(append(errs, os.RemoveAll(i.place.folder), i.lock.Close())...)
}

// enter gives the sandbox a name and lets the workload take the init's place, once ready has agreed: until then nothing
// of the workload has run. The error is that of the run.
func (i *idler) enter(ctx context.Context, id string, ready func() error) (began bool, err error) {
	to, err := i.Runner.place(id)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(to.folder), 0o700); err != nil {
		return false, fmt.Errorf("make the state folder: %w", err)
	}
	// One step makes the sandbox this one's, with its lock: another of the same name makes it fail.
	err = unix.Renameat2(unix.AT_FDCWD, i.place.folder, unix.AT_FDCWD, to.folder, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("%w: %s; choose another, or remove it", ErrExists, id)
	}
	if err != nil {
		return false, fmt.Errorf("name the sandbox: %w", err)
	}
	i.place = to
	if c, ok := i.kernel.(*runsc); ok {
		c.folder = to.folder
	}
	i.log.moved(to.path(fileOutput))
	i.options.ID, i.status.ID, i.status.Created = id, id, i.Clock.Wall()
	err = i.place.save(&i.status)
	if err == nil {
		err = i.recorder.begin(ctx, i.opening())
	}
	if err == nil {
		err = ready()
	}
	if err == nil {
		_, err = i.init.Write([]byte{'g'})
	}
	if err != nil {
		return false, err
	}
	_ = i.init.Close() // sent is sent
	return true, i.close(i.follow(ctx, i.exited))
}

// stampOf tells of everything of the host that a policy names whether it is still the same thing. What is in a folder,
// a file or a socket is not part of it: the sandbox sees that as it is when it looks. What is in an image is: it was
// unpacked.
func stampOf(p *sandbox.Policy) (string, error) {
	var b bytes.Buffer
	stamp := func(path string, content bool) error {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at what the policy names: %w", err)
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("look at what the policy names: this system does not say what a file is")
		}
		fmt.Fprintf(&b, "%s %d %d %d\n", path, s.Dev, s.Ino, s.Mode&syscall.S_IFMT)
		if content {
			fmt.Fprintln(&b, s.Size, s.Mtim, s.Ctim)
		}
		return nil
	}
	var errs []error
	for _, m := range p.Mounts {
		if m.Source != "" {
			errs = append(errs, stamp(m.Source, false))
		}
	}
	for _, s := range p.Secrets {
		errs = append(errs, stamp(s.File, false))
	}
	for _, s := range p.Network.Sockets {
		if s.Brokered() {
			continue
		}
		errs = append(errs, stamp(s.Path, false))
	}
	if image := p.Root.Image; image != "" {
		// In a layout, everything but the index is named by its digest.
		if info, err := os.Stat(image); err == nil && info.IsDir() {
			image = filepath.Join(image, "index.json")
		}
		errs = append(errs, stamp(image, true))
	} else {
		errs = append(errs, stamp(p.Root.Directory, false))
	}
	return b.String(), errors.Join(errs...)
}

// A lateWriter drops what is written before it has somewhere to write to, and when that is gone.
type lateWriter struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer. It never fails.
func (w *lateWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	to := w.to
	w.mu.Unlock()
	if to != nil {
		_, _ = to.Write(p)
	}
	return len(p), nil
}

func (w *lateWriter) set(to io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// slot is the folder of a sandbox that idles.
func (r *Runner) slot(name string) place { return place{filepath.Join(r.State, "pool", name)} }

// sweep removes what a keeper left that was killed. Where it lives, that is an error.
func (r *Runner) sweep(ctx context.Context, name string) error {
	p := r.slot(name)
	if _, err := os.Stat(p.folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := p.lock(syscall.LOCK_EX)
	if err != nil {
		return fmt.Errorf("remove what is left of %s: it is alive: %w", name, err)
	}
	kernel := r.runsc(p, name)
	return errors.Join(remove(ctx, kernel.group, kernel), os.RemoveAll(p.folder), lock.Close())
}
