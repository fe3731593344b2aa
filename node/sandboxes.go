package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/clock"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/sandbox/trail/processes"
	"github.com/sterlingrun/sterling/supervisor"
)

// Sandboxes shows what the secure containers of this machine do, in the console and by the API. The node only reads.
type Sandboxes struct {
	// State is the folder of all sandboxes: what sterling-sandbox has as --state, by default /var/lib/sterling-sandbox.
	// The node's user must be able to read it. Empty: none are shown.
	State string `yaml:"state"`
}

func (s *Sandboxes) check(fault func(format string, args ...any)) {
	if s.State != "" && !filepath.IsAbs(s.State) {
		fault("sandboxes.state: want an absolute path, such as /var/lib/sterling-sandbox, not %q", s.State)
	}
}

// SandboxProgram is the name of the program for secure containers, which has a kernel in it and so is one of its own.
const SandboxProgram = "sterling-sandbox"

// FindSandbox returns the path of the program for secure containers: the one beside this program first, which is of the
// same version, then one on the path.
func FindSandbox() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Join(filepath.Dir(self), SandboxProgram)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for %s: %w", SandboxProgram, err)
	}
	path, err := exec.LookPath(SandboxProgram)
	if err != nil {
		return "", fmt.Errorf("no %s beside %s or on the path: `make build` makes it (Linux on amd64), and nothing runs in a sandbox without it", SandboxProgram, self)
	}
	return path, nil
}

// Bounds of what is shown of sandboxes.
const (
	listEvery  = time.Second            // how old a list may be
	tailEvery  = 200 * time.Millisecond // how often a record is looked at for more
	catchUp    = time.Second            // how long a call waits for a record that was just opened
	followFor  = time.Minute            // a record that nobody asks for is followed no longer
	followed   = 16                     // records at a time
	keptLines  = 500                    // of each, the newest
	keptBody   = 8 << 10                // bytes of a line; of longer ones only the length is shown
	keptBreaks = 100                    // of each, the first
)

// sandboxes implements api.Sandboxes by the program's own list, and by following records.
type sandboxes struct {
	state string
	clock clock.Clock
	// list runs the program.
	list func(ctx context.Context) ([]supervisor.Box, error)

	mu      sync.Mutex
	known   []*ledgerv1.Sandbox
	listed  uint64 // clock.Mono; 0: never
	records map[string]*follower
	running sync.WaitGroup
}

func (n *Node) showSandboxes(config *api.Config) {
	if n.config.Sandboxes.State == "" {
		return
	}
	state := n.config.Sandboxes.State
	n.sandboxes = &sandboxes{state: state, clock: n.clock, records: map[string]*follower{}, list: func(ctx context.Context) ([]supervisor.Box, error) {
		program, err := FindSandbox()
		if err != nil {
			return nil, err
		}
		return (&supervisor.Program{Path: program, State: state}).List(ctx)
	}}
	config.Sandboxes = n.sandboxes
}

func messageOf(b *supervisor.Box) *ledgerv1.Sandbox {
	m := &ledgerv1.Sandbox{
		Id: b.ID, State: b.State, Reason: b.Reason, Isolation: b.Isolation, Start: b.Start, Command: b.Command, Root: b.Root,
		PolicySha256: b.Policy, Created: b.Created, Ended: b.Ended,
		Events: b.Audit.Events, Gaps: b.Audit.Gaps, Lost: b.Audit.Lost, Alerts: b.Audit.Alerts, Head: b.Audit.Head,
	}
	if b.Exit != nil {
		exit := int32(*b.Exit) //nolint:gosec // -1 to 255
		m.Exit = &exit
	}
	if l := b.Audit.Logged; l != nil {
		m.LoggedIn, m.LoggedLines, m.LogFault = l.Where, l.Lines, l.Fault
	}
	return m
}

// List implements api.Sandboxes.
func (s *sandboxes) List(ctx context.Context) ([]*ledgerv1.Sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listed != 0 && s.clock.Mono()-s.listed < uint64(listEvery) {
		return s.known, nil
	}
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	known := make([]*ledgerv1.Sandbox, len(all))
	for i := range all {
		known[i] = messageOf(&all[i])
	}
	s.known, s.listed = known, s.clock.Mono()
	return known, nil
}

// Get implements api.Sandboxes.
func (s *sandboxes) Get(ctx context.Context, id string, from uint64, limit int) (*ledgerv1.GetSandboxResponse, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(m *ledgerv1.Sandbox) bool { return m.GetId() == id })
	if i < 0 || !sandbox.ValidName(id) {
		return nil, api.ErrNoSandbox
	}
	f, err := s.follow(id)
	if err != nil {
		return nil, err
	}
	wait, cancel := clock.Within(ctx, s.clock, catchUp)
	defer cancel()
	select {
	case <-f.caught:
	case <-wait.Done(): // a long record: what is verified so far
	}
	response := f.answer(from, limit)
	response.Sandbox = all[i]
	return response, nil
}

// follow returns who reads a sandbox's record, and stops those that nobody asks any more.
func (s *sandboxes) follow(id string) (*follower, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Mono()
	oldest := ""
	for other, f := range s.records {
		if other == id {
			continue
		}
		if now-f.asked > uint64(followFor) {
			s.drop(other)
		} else if oldest == "" || f.asked < s.records[oldest].asked {
			oldest = other
		}
	}
	path := filepath.Join(s.state, "boxes", id, "audit.log")
	if f := s.records[id]; f != nil && f.reads(path) {
		f.asked = now
		return f, nil
	}
	s.drop(id)
	if len(s.records) >= followed {
		s.drop(oldest)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the record of sandbox %s: %w", id, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{file: file, asked: now, cancel: cancel, caught: make(chan struct{})}
	atEnd := sync.OnceFunc(func() { close(f.caught) })
	s.records[id] = f
	s.running.Go(func() {
		defer atEnd()
		f.run(&tail{ctx, file, s.clock, atEnd})
	})
	return f, nil
}

// drop stops following a record. The caller holds mu.
func (s *sandboxes) drop(id string) {
	if f := s.records[id]; f != nil {
		f.cancel()
		_ = f.file.Close() // it was only read
		delete(s.records, id)
	}
}

func (s *sandboxes) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	for id := range s.records {
		s.drop(id)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// follower verifies a record as it grows.
type follower struct {
	file   *os.File
	cancel context.CancelFunc
	asked  uint64        // clock.Mono; guarded by the mutex of sandboxes
	caught chan struct{} // closed when all that the record had at first was read

	mu        sync.Mutex
	lines     []*ledgerv1.SandboxLine // the newest
	breaks    []*ledgerv1.SandboxLine // the first
	processes processes.Tree
	verified  uint64
	fault     string
}

// reads tells whether what is at a path is still the file that is followed: a sandbox may have been removed, and another
// one have its name.
func (f *follower) reads(path string) bool {
	own, err := f.file.Stat()
	there, other := os.Stat(path)
	return err == nil && other == nil && os.SameFile(own, there)
}

func (f *follower) run(r io.Reader) {
	_, _, err := trail.Verify(r, func(r trail.Record) error {
		f.add(r)
		return nil
	})
	if err != nil {
		f.mu.Lock()
		f.fault = err.Error()
		f.mu.Unlock()
	}
}

func (f *follower) add(r trail.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verified = r.Seq + 1
	f.processes.Add(r)
	line := &ledgerv1.SandboxLine{Seq: r.Seq, Time: r.Time, Kind: string(r.Kind), Body: strings.ToValidUTF8(string(r.Body), "\uFFFD")}
	if len(line.GetBody()) > keptBody {
		line.Body = fmt.Sprintf(`{"left_out_bytes":%d}`, len(r.Body))
	}
	if f.lines = append(f.lines, line); len(f.lines) == 2*keptLines {
		f.lines = append([]*ledgerv1.SandboxLine(nil), f.lines[keptLines:]...)
	}
	if (r.Kind == trail.KindGap || r.Kind == trail.KindAlert) && len(f.breaks) < keptBreaks {
		f.breaks = append(f.breaks, line)
	}
}

func (f *follower) answer(from uint64, limit int) *ledgerv1.GetSandboxResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &ledgerv1.GetSandboxResponse{Verified: f.verified, Fault: f.fault, Breaks: slices.Clone(f.breaks)}
	lines := f.lines[max(len(f.lines)-limit, 0):]
	for len(lines) > 0 && lines[0].GetSeq() < from {
		lines = lines[1:]
	}
	m.Lines = slices.Clone(lines)
	var list []processes.Process
	list, m.ProcessesLeftOut = f.processes.List()
	for i := range list {
		p := &list[i]
		m.Processes = append(m.Processes, &ledgerv1.SandboxProcess{
			Id: p.ID, Parent: p.Parent, Path: p.Path, Argv: p.Argv, Sha256: p.SHA256, Uid: p.UID, Session: p.Session,
			Began: p.Began, Ended: p.Ended, Status: p.Status, Line: p.Line,
		})
	}
	return m
}

// tail reads a file, and what is appended to it, until ctx ends.
type tail struct {
	ctx   context.Context
	file  io.Reader
	clock clock.Clock
	atEnd func() // called whenever there is no more for now
}

// Read implements io.Reader.
func (t *tail) Read(p []byte) (int, error) {
	for {
		n, err := t.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		t.atEnd()
		if clock.Sleep(t.ctx, t.clock, tailEvery) != nil {
			return 0, io.EOF
		}
	}
}
