package gvisor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/sandbox"
)

// Start is how a workload got its sandbox. Both give the same isolation, and the same record.
type Start string

// The starts.
const (
	StartCold Start = "cold" // made for it
	StartPool Start = "pool" // waited for it, and was used by nobody before
)

// State is where a sandbox is in its life.
type State string

// The states.
const (
	StateStarting State = "starting"
	StateRunning  State = "running"
	StatePaused   State = "paused" // frozen; Reason says why
	StateEnded    State = "ended"
	StateLost     State = "lost" // its runner is gone without a word, and the sandbox with it
)

// Errors of looking up sandboxes.
var (
	ErrNotFound = errors.New("no such sandbox")
	ErrExists   = errors.New("a sandbox of this name exists")
)

// Status is what is known of a sandbox. Times are in nanoseconds since 1970 (UTC); 0 is not yet.
type Status struct {
	ID        string            `json:"id"`
	State     State             `json:"state"`
	Reason    string            `json:"reason,omitempty"`
	Isolation sandbox.Isolation `json:"isolation"` // the level
	Policy    string            `json:"policy_sha256"`
	Root      string            `json:"root"` // digest of the image, or the folder
	Command   []string          `json:"command"`
	Runner    int               `json:"runner"` // process id
	Start     Start             `json:"start"`
	Slot      string            `json:"slot,omitempty"` // of the pool that it started in: its name for gVisor and in control groups
	Created   uint64            `json:"created"`
	Ended     uint64            `json:"ended"`
	Exit      *int              `json:"exit,omitempty"` // as shells give it
	Audit     Audited           `json:"audit"`
	// Listen are the host's sockets that lead to those of the policy's network.listen, by name, while the sandbox lives.
	// Root connects to them; where the workload does not listen, a connection ends.
	Listen map[string]string `json:"listen,omitempty"`
}

// name is what gVisor and the host's control groups call the sandbox.
func (s *Status) name() string { return cmp.Or(s.Slot, s.ID) }

// Audited is how far a record is.
type Audited struct {
	Events uint64 `json:"events"`
	Gaps   uint64 `json:"gaps"`
	Lost   uint64 `json:"lost"`
	Alerts uint64 `json:"alerts"`
	Head   string `json:"head"`
	// Logged is how far a transparency log knows the record; nil: nobody has tried yet.
	Logged *Logged `json:"logged,omitempty"`
}

func audited(r *report) Audited {
	return Audited{Events: r.Events, Gaps: r.Gaps, Lost: r.Lost, Alerts: r.Alerts, Head: r.Head}
}

// A place is the folder of one sandbox.
type place struct{ folder string }

func (p place) path(name string) string { return filepath.Join(p.folder, name) }

// Names of files in a sandbox's folder.
const (
	fileStatus = "status.json"
	filePolicy = "policy.yaml"
	fileRecord = "audit.log"
	fileOutput = "output.log"
	fileSocket = "audit.sock"
	fileLock   = "lock" // held by the runner as long as it lives
	fileRoot   = "root.erofs"
)

// save writes the status where others read it.
func (p place) save(s *Status) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = durable.WriteFile(p.path(fileStatus), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save the status: %w", err)
	}
	return nil
}

// lock takes the runner's lock: exclusively to own the sandbox, shared to find out whether someone does. It does not
// wait: where it is held, the error is EWOULDBLOCK.
func (p place) lock(how int) (*os.File, error) { return lockFile(p.path(fileLock), how) }

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (r *Runner) place(id string) (place, error) {
	if !sandbox.ValidName(id) {
		return place{}, fmt.Errorf("%w: %q is no name of one", ErrNotFound, id)
	}
	return place{filepath.Join(r.State, "boxes", id)}, nil
}

// Inspect returns what is known of a sandbox. The error wraps ErrNotFound.
func (r *Runner) Inspect(id string) (*Status, error) {
	p, err := r.place(id)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(p.path(fileStatus))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the status of %s: %w", id, err)
	}
	s := &Status{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read the status of %s: %w", id, err)
	}
	if s.State != StateEnded {
		f, err := p.lock(syscall.LOCK_SH)
		if err == nil {
			s.State, s.Reason = StateLost, "its runner is gone: killed, or its disk was full"
			return s, f.Close()
		}
	}
	// A runner whose disk is full can't say that it froze the sandbox.
	if group, _ := r.group(s.name()); (s.State == StateStarting || s.State == StateRunning) && group.isFrozen() {
		s.State, s.Reason = StatePaused, "frozen"
	}
	return s, nil
}

// List returns all sandboxes by name, those that have ended included.
func (r *Runner) List() ([]*Status, error) {
	entries, err := os.ReadDir(filepath.Join(r.State, "boxes"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	all := []*Status{}
	for _, e := range entries {
		s, err := r.Inspect(e.Name())
		if errors.Is(err, ErrNotFound) {
			continue // being made, or removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// OpenRecord opens a sandbox's record, as it is now. The caller closes it.
func (r *Runner) OpenRecord(id string) (*os.File, error) { return r.open(id, fileRecord) }

func (r *Runner) open(id, name string) (*os.File, error) {
	p, err := r.place(id)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s of %s: %w", name, id, err)
	}
	return f, nil
}
