package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"google.golang.org/grpc"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	readyTime = 10 * time.Minute // to recover
	stopTime  = 60 * time.Second
	quietTime = 5 * time.Minute // for background work to end
)

// server is the one under test: a child process, or one that runs already.
type server struct {
	address, token string
	admin          *grpc.ClientConn

	// The rest is a child's.
	folder  string // data
	ready   string // see childOptions
	debug   string // address of its profiles, "" if none
	command *exec.Cmd
	exited  chan error
	log     string
}

// childOptions are what a shape wants of its server.
type childOptions struct {
	folder    string
	snapshots uint64 // events between two; 0: as it comes
	profiles  bool
	address   string // to listen on; empty: a free port
	ready     string // page that answers once it may be used; empty: /leader
	store     string // database that has the journal; empty: the folder
	more      string // lines of configuration
}

// connect uses a server that runs already.
func connect(address, token string) (*server, error) {
	conns, err := dial(address, 1)
	if err != nil {
		return nil, err
	}
	return &server{address: address, token: token, admin: conns[0]}, nil
}

// start runs a child until its ready, and says how long that took from its first instruction. command is the program
// and its first arguments; --config and a file follow.
func start(ctx context.Context, command []string, o childOptions) (s *server, took time.Duration, err error) {
	s = &server{folder: o.folder, log: o.folder + ".log", exited: make(chan error, 1)}
	ports, err := freePorts(2)
	if err != nil {
		return nil, 0, err
	}
	s.address = ports[0]
	if o.address != "" {
		s.address = o.address
	}
	if s.ready = o.ready; s.ready == "" {
		s.ready = "/leader"
	}
	config := fmt.Sprintf("data: %q\nlisten: %q\n", o.folder, s.address) + o.more
	if o.snapshots > 0 {
		config += fmt.Sprintf("snapshot_events: %d\n", o.snapshots)
	}
	if o.profiles {
		s.debug = ports[1]
		config += fmt.Sprintf("debug:\n  listen: %q\n", s.debug)
	}
	if o.store != "" { // a cell of the folder's own; the same one when it is started again
		cell := fnv.New32a()
		_, _ = fmt.Fprint(cell, o.folder) // never fails
		config += fmt.Sprintf("cell: %d\nstore:\n  dsn: %q\n", max(1, cell.Sum32()), o.store)
	}
	file := o.folder + ".yaml"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, 0, fmt.Errorf("write the server's configuration: %w", err)
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	s.command = exec.Command(command[0], append(append([]string(nil), command[1:]...), "--config", file)...)
	s.command.Stdout, s.command.Stderr = out, out
	began := time.Now()
	if err := s.command.Start(); err != nil {
		return nil, 0, fmt.Errorf("start a server: %w", err)
	}
	go func() { s.exited <- s.command.Wait() }()
	if err := s.awaitReady(ctx); err != nil {
		return nil, 0, errors.Join(err, s.kill())
	}
	took = time.Since(began)
	if err := s.authorize(); err != nil {
		return nil, 0, errors.Join(err, s.kill())
	}
	return s, took, nil
}

// freePorts finds loopback addresses that nobody listens on at the moment.
func freePorts(n int) (addresses []string, err error) {
	var listeners []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("find a free port: %w", err), closeAll(listeners))
		}
		listeners = append(listeners, l)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, closeAll(listeners)
}

// awaitReady asks its page until it says yes.
func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for {
		if _, err := s.get(ctx, s.address, s.ready); err == nil {
			return nil
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("the server ended before it was ready (%w); its last words: %s", err, s.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("wait for the server to be ready: %w; its last words: %s", ctx.Err(), s.lastWords())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (s *server) lastWords() string {
	text, _ := os.ReadFile(s.log)
	return string(text[max(0, len(text)-2000):])
}

// authorize reads the admin token that the child has made.
func (s *server) authorize() error {
	token, err := os.ReadFile(filepath.Join(s.folder, "admin.token"))
	if err != nil {
		return fmt.Errorf("read the server's token: %w", err)
	}
	s.token = strings.TrimSpace(string(token))
	conns, err := dial(s.address, 1)
	if err == nil {
		s.admin = conns[0]
	}
	return err
}

// get fetches a page; only 200 is no error.
func (s *server) get(ctx context.Context, address, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s: %.200s", path, response.Status, body)
	}
	return body, nil
}

func (s *server) isChild() bool { return s.command != nil }

// close ends a child in order, and leaves another server running.
func (s *server) close() error { return s.end(syscall.SIGTERM) }

// kill ends a child as a crash would.
func (s *server) kill() error { return s.end(syscall.SIGKILL) }

func (s *server) end(signal syscall.Signal) error {
	var err error
	if s.admin != nil {
		err = s.admin.Close()
		s.admin = nil
	}
	if s.command == nil {
		return err
	}
	_ = s.command.Process.Signal(signal) // it may have ended already
	select {
	case ended := <-s.exited:
		if signal == syscall.SIGTERM && ended != nil {
			err = errors.Join(err, fmt.Errorf("the server ended with %w; its last words: %s", ended, s.lastWords()))
		}
	case <-time.After(stopTime):
		_ = s.command.Process.Kill() // the error that matters follows
		err = errors.Join(err, fmt.Errorf("the server did not end within %v of being told to: %w", stopTime, <-s.exited))
	}
	s.command = nil
	return err
}

// nextRun is a number that no other load has, of this or of another process.
func (s *server) nextRun() uint64 { return rand.Uint64()>>1 | 1 } //nolint:gosec // G404: distinct, not secret

// status asks where the server stands.
func (s *server) status(ctx context.Context) (*ledgerv1.StatusResponse, error) {
	status, err := ledgerv1.NewAdminServiceClient(s.admin).Status(authorized(ctx, s.token), &ledgerv1.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("ask the server's status: %w", err)
	}
	return status, nil
}

// cpu is the processor time that the server has used.
func (s *server) cpu(ctx context.Context) (time.Duration, error) {
	if s.isChild() {
		p, err := s.process()
		if err != nil {
			return 0, err
		}
		stat, err := p.Stat()
		if err != nil {
			return 0, fmt.Errorf("read the server's processor time: %w", err)
		}
		return time.Duration(stat.CPUTime() * float64(time.Second)), nil
	}
	m, err := s.metrics(ctx)
	return time.Duration(m["process_cpu_seconds_total"] * float64(time.Second)), err
}

func (s *server) process() (procfs.Proc, error) {
	p, err := procfs.NewProc(s.command.Process.Pid)
	if err != nil {
		return p, fmt.Errorf("look at the server's process: %w", err)
	}
	return p, nil
}

// memory is what the server has resident now and had at most, in bytes. The peak of a server that is not a child is
// unknown: 0.
func (s *server) memory(ctx context.Context) (now, peak uint64, err error) {
	if s.isChild() {
		p, err := s.process()
		if err != nil {
			return 0, 0, err
		}
		status, err := p.NewStatus()
		if err != nil {
			return 0, 0, fmt.Errorf("read the server's memory: %w", err)
		}
		return status.VmRSS, status.VmHWM, nil
	}
	m, err := s.metrics(ctx)
	return uint64(m["process_resident_memory_bytes"]), 0, err
}

// metrics are the server's metrics that have no labels.
func (s *server) metrics(ctx context.Context) (map[string]float64, error) {
	page, err := s.get(ctx, s.address, "/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.ContainsAny(name, "#{") {
			found[name] = v
		}
	}
	return found, nil
}

// settled says how long the server worked on after the last answer.
type settled struct {
	blocks uint64        // that the index had not seen when it was first asked
	lag    time.Duration // until queries saw all that was acknowledged
	quiet  time.Duration // until nothing went on in the background any more: compaction, snapshots
}

const (
	quietWindow = 500 * time.Millisecond
	quietShare  = 0.1 // of one processor
)

// settle waits until the index has followed and the server's processor time shows that nothing goes on any more.
func (s *server) settle(ctx context.Context, last time.Time) (r settled, err error) {
	ctx, cancel := context.WithTimeout(ctx, quietTime)
	defer cancel()
	for first := true; ; first = false {
		status, err := s.status(ctx)
		if err != nil {
			return r, err
		}
		behind := status.GetHead() - min(status.GetHead(), status.GetIndexSeq())
		if first {
			r.blocks = behind
		}
		if behind == 0 {
			break
		}
		if err := sleepUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
			return r, err
		}
	}
	r.lag = max(0, time.Since(last))
	for windows := 0; windows < 2; {
		began := time.Now()
		before, err := s.cpu(ctx)
		if err != nil {
			return r, err
		}
		if err := sleepUntil(ctx, began.Add(quietWindow)); err != nil {
			return r, fmt.Errorf("wait for the server to be quiet: %w", err)
		}
		after, err := s.cpu(ctx)
		if err != nil {
			return r, err
		}
		if windows++; float64(after-before) > quietShare*float64(quietWindow) {
			windows = 0
		} else if windows == 1 {
			r.quiet = max(0, began.Sub(last))
		}
	}
	return r, nil
}

// profile takes a processor profile of the server and writes it to a file.
func (s *server) profile(ctx context.Context, seconds int, file string) error {
	page, err := s.get(ctx, s.debug, "/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
	if err != nil {
		return fmt.Errorf("take a profile: %w", err)
	}
	if err := os.WriteFile(file, page, 0o600); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	return nil
}
