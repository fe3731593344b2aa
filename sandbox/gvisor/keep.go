package gvisor

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KeepCommand makes Runner.Program call Runner.Keep with the connection at descriptor 3.
const KeepCommand = "keep-sandbox"

// fileTake is the socket where a sandbox that idles is taken from.
const fileTake = "take.sock"

// A keeper's order is one line of JSON: to start a sandbox that idles, or, where it has an ID, to run a workload that
// goes on after the command that started it.
type (
	keepOrder struct {
		Slot   string `json:"slot,omitempty"`
		ID     string `json:"id,omitempty"`
		Policy []byte `json:"policy"`
		Folder string `json:"folder"`

		Services string `json:"services,omitempty"`
	}
	keepReport struct {
		Ready      bool   `json:"ready,omitempty"`   // it idles
		Taken      bool   `json:"taken,omitempty"`   // and is a workload's from now on
		Started    bool   `json:"started,omitempty"` // the workload of an ID runs
		Error      string `json:"error,omitempty"`   // the end
		NotStarted bool   `json:"not_started,omitempty"`
		Exists     bool   `json:"exists,omitempty"`
	}
)

// What a taker and a keeper say to each other, one JSON object a packet: take, taken or refused, go, started, ended. A
// taker that goes away before go has taken nothing.
type (
	takeRequest struct {
		Key    string `json:"key,omitempty"` // of the policy, and of this program
		ID     string `json:"id,omitempty"`
		Detach bool   `json:"detach,omitempty"` // the workload goes on without the taker
		Go     bool   `json:"go,omitempty"`
		Stop   bool   `json:"stop,omitempty"`
	}
	takeReply struct {
		Refused    string `json:"refused,omitempty"`
		Exists     bool   `json:"exists,omitempty"` // refused because there is one of this name
		Taken      bool   `json:"taken,omitempty"`
		Started    bool   `json:"started,omitempty"`
		Ended      bool   `json:"ended,omitempty"`
		Error      string `json:"error,omitempty"`
		NotStarted bool   `json:"not_started,omitempty"`
	}
)

// Bounds of the talk about a sandbox.
const (
	maxOrder  = 256 << 10       // bytes
	maxPacket = 16 << 10        // bytes
	maxSaid   = 4 << 10         // bytes of an error
	talkLimit = 5 * time.Second // for each answer but the last
)

// Keep keeps one sandbox, in a process of its own: idle until it is taken, and then as its runner to the end. Until its
// workload runs, the end of what starter says ends it; afterwards it depends on nobody.
func (r *Runner) Keep(ctx context.Context, starter io.ReadWriter) error {
	d := json.NewDecoder(io.LimitReader(starter, maxOrder))
	var o keepOrder
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	report := func(k keepReport) {
		if line, err := json.Marshal(k); err == nil {
			_, _ = starter.Write(append(line, '\n')) // who is gone needs no report
		}
	}
	// The reader ends with the process, or with the starter: it can't be interrupted.
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, starter)
		close(gone)
	}()
	var err error
	if o.ID != "" {
		err = r.keepRunning(ctx, o, gone, report)
	} else {
		err = r.keepIdle(ctx, o, gone, report)
	}
	if err != nil {
		report(keepReport{Error: clipped(err), NotStarted: errors.Is(err, ErrNotStarted), Exists: errors.Is(err, ErrExists)})
	}
	return err
}

// keepRunning runs a workload that goes on without who started it, once it runs.
func (r *Runner) keepRunning(ctx context.Context, o keepOrder, gone <-chan struct{}, report func(keepReport)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan struct{})
	go func() {
		select {
		case <-gone:
			cancel()
		case <-started:
		case <-ctx.Done():
		}
	}()
	begun := sync.OnceFunc(func() {
		close(started)
		report(keepReport{Started: true})
	})
	_, err := r.Run(ctx, Options{ID: o.ID, Policy: o.Policy, Folder: o.Folder, Services: o.Services, Cold: true, Started: begun})
	if err == nil {
		begun() // it ended before anybody could say that it ran
	}
	return err
}

func clipped(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return text[:min(len(text), maxSaid)]
}

func (r *Runner) keepIdle(ctx context.Context, o keepOrder, gone <-chan struct{}, report func(keepReport)) (err error) {
	if err := Probe(); err != nil {
		return err
	}
	key, err := r.key(o.Policy, o.Folder)
	if err != nil {
		return err
	}
	i, err := r.idle(ctx, o.Slot, o.Policy, o.Folder)
	if err != nil {
		return err
	}
	listener, err := offer(i.place.path(fileTake))
	if err != nil {
		return errors.Join(err, i.discard(ctx))
	}
	takers := make(chan *net.UnixConn)
	stop := make(chan struct{})
	go accept(listener, takers, stop)
	report(keepReport{Ready: true})
	taker, request, err := i.await(ctx, takers, gone, key)
	// Only now can nobody come any more. Who came in between is told so by the end of the connection.
	close(stop)
	_ = errors.Join(os.Remove(i.place.path(fileTake)), listener.Close())
	if taker == nil {
		return errors.Join(err, i.discard(ctx))
	}
	defer taker.conn.Close() //nolint:errcheck // the last word was sent, or there is nobody
	return i.serve(ctx, taker, request, report)
}

// offer listens at a path. The socket appears there when it takes connections, not before: whoever finds one that refuses
// starts a sandbox of his own.
func offer(path string) (*net.UnixListener, error) {
	early := filepath.Join(filepath.Dir(path), "new.sock") // no longer: paths of sockets are short
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: early, Net: "unixpacket"})
	if err == nil {
		listener.SetUnlinkOnClose(false) // by then it has another name
		err = os.Chmod(early, 0o600)     // nobody but root gets into the folder anyway
	}
	if err == nil {
		err = os.Rename(early, path)
	}
	if err == nil {
		return listener, nil
	}
	if listener != nil {
		_ = listener.Close()
	}
	return nil, fmt.Errorf("listen for who takes the sandbox: %w", err)
}

// accept hands on connections until the listener is closed.
func accept(listener *net.UnixListener, to chan<- *net.UnixConn, stop <-chan struct{}) {
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		select {
		case to <- conn:
		case <-stop:
			_ = conn.Close()
			return
		}
	}
}

// await idles until someone takes the sandbox, and returns nobody when it has to end.
func (i *idler) await(ctx context.Context, takers <-chan *net.UnixConn, gone <-chan struct{}, key string) (*taker, takeRequest, error) {
	for {
		due, cancel := i.Clock.After(checkEvery)
		select {
		case conn := <-takers:
			t := &taker{conn: conn}
			request, err := t.request(key)
			if err == nil {
				if err = errors.Join(i.check(), i.fresh()); err == nil {
					cancel()
					return t, request, nil
				}
			}
			t.say(takeReply{Refused: clipped(err)})
			t.close()
			if !errors.Is(err, errRequest) {
				cancel()
				return nil, request, err
			}
		case <-due:
			if err := i.check(); err != nil {
				return nil, takeRequest{}, err
			}
		case exit := <-i.exited:
			cancel()
			i.exited = nil
			return nil, takeRequest{}, fmt.Errorf("the idle sandbox ended with %d: %s", exit, i.kernel.Said())
		case <-i.recorder.reports:
			cancel()
			return nil, takeRequest{}, fmt.Errorf("the recorder of the idle sandbox is gone: %s", i.recorder.said)
		case <-gone:
			cancel()
			return nil, takeRequest{}, nil
		case <-ctx.Done():
			cancel()
			return nil, takeRequest{}, nil
		}
		cancel()
	}
}

// serve runs the workload for who took the sandbox.
func (i *idler) serve(ctx context.Context, t *taker, request takeRequest, report func(keepReport)) error {
	defer t.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for n, w := range []io.Writer{i.options.Stdout, i.options.Stderr} {
		if late, ok := w.(*lateWriter); ok && t.output[n] != nil && !request.Detach {
			late.set(t.output[n])
		}
	}
	i.options.Started = func() { t.say(takeReply{Started: true}) }
	began, err := i.enter(ctx, request.ID, func() error {
		t.say(takeReply{Taken: true})
		answer, err := t.hear(talkLimit)
		if err == nil && !answer.Go {
			err = errors.New("it did not say go")
		}
		if err != nil {
			return fmt.Errorf("wait for who takes the sandbox: %w", err)
		}
		report(keepReport{Taken: true})
		go t.listen(request.Detach, cancel)
		return nil
	})
	if !began {
		t.say(takeReply{Refused: clipped(err), Exists: errors.Is(err, ErrExists)})
		return errors.Join(err, i.discard(ctx))
	}
	closed := i.lock.Close() // the last word is that it is over
	t.say(takeReply{Ended: true, Error: clipped(err), NotStarted: errors.Is(err, ErrNotStarted)})
	return closed
}

// errRequest is wrapped where a taker asked for nothing that can be given, which is no fault of the sandbox.
var errRequest = errors.New("no request for this sandbox")

// A taker is who takes a sandbox, as its keeper sees it.
type taker struct {
	conn   *net.UnixConn
	output [2]*os.File // standard output and error; nil where it gave none
}

func (t *taker) close() {
	_ = t.conn.Close()
	for n, f := range t.output {
		if f != nil {
			_ = f.Close()
			t.output[n] = nil
		}
	}
}

// request takes the request and what comes with it, from root only.
func (t *taker) request(key string) (takeRequest, error) {
	var q takeRequest
	if err := fromRoot(t.conn); err != nil {
		return q, fmt.Errorf("%w: %w", errRequest, err)
	}
	if err := t.conn.SetReadDeadline(time.Now().Add(talkLimit)); err != nil {
		return q, fmt.Errorf("%w: %w", errRequest, err)
	}
	text, control := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(2*4))
	n, c, _, _, err := t.conn.ReadMsgUnix(text, control)
	if err == nil {
		err = t.files(control[:c])
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &q)
	}
	if err != nil {
		return q, fmt.Errorf("%w: %w", errRequest, err)
	}
	if q.Key != key {
		return q, fmt.Errorf("%w: the policy or the program is another one", errRequest)
	}
	return q, nil
}

// files takes the descriptors of a message.
func (t *taker) files(control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		for n, fd := range fds {
			unix.CloseOnExec(fd)
			f := os.NewFile(uintptr(fd), "output")
			if n >= len(t.output) || t.output[n] != nil {
				return errors.Join(errors.New("more descriptors than two"), f.Close())
			}
			t.output[n] = f
		}
	}
	return nil
}

// fromRoot tells whether the other end is a process of this user, who is root.
func fromRoot(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var got error
	err = raw.Control(func(fd uintptr) {
		cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, got); err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d is at the other end", cred.Uid)
	}
	return nil
}

// say sends a packet. Who is gone is noticed by hear and listen.
func (t *taker) say(r takeReply) {
	if text, err := json.Marshal(r); err == nil {
		_ = t.conn.SetWriteDeadline(time.Now().Add(talkLimit))
		_, _ = t.conn.Write(text)
	}
}

// hear takes one packet.
func (t *taker) hear(limit time.Duration) (q takeRequest, err error) {
	err = t.conn.SetReadDeadline(time.Now().Add(limit))
	text := make([]byte, maxPacket)
	n := 0
	if err == nil {
		n, err = t.conn.Read(text)
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &q)
	}
	return q, err
}

// listen stops the workload when the taker says so, or is gone and the workload is not to go on without it. It ends with
// the connection.
func (t *taker) listen(detached bool, stop func()) {
	_ = t.conn.SetReadDeadline(time.Time{})
	text := make([]byte, maxPacket)
	for {
		n, err := t.conn.Read(text)
		if err != nil || n == 0 {
			if !detached {
				stop()
			}
			return
		}
		if q := (takeRequest{}); json.Unmarshal(text[:n], &q) == nil && q.Stop {
			stop()
		}
	}
}

// key names everything that sandboxes of one pool have in common: the document, where its relative paths start, and the
// programs that started them. After an upgrade, no sandbox of the old program is taken.
func (r *Runner) key(document []byte, folder string) (string, error) {
	if err := r.gvisorThere(); err != nil {
		return "", err
	}
	h := sha256.New()
	for _, program := range []string{r.Program, r.GVisor} {
		info, err := os.Stat(program)
		if err != nil {
			return "", fmt.Errorf("look at the program: %w", err)
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return "", errors.New("look at the program: this system does not say what a file is")
		}
		fmt.Fprintf(h, "%s %d %d %d %d\n", program, s.Dev, s.Ino, s.Size, s.Mtim.Nano()) //nolint:errcheck // a hash
	}
	fmt.Fprintf(h, "%q\n", folder) //nolint:errcheck // a hash
	h.Write(document)
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
