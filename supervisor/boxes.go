package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Boxes are the sandboxes of one state folder.
type Boxes interface {
	// Follow calls changed with all sandboxes, now and whenever one of them changes, until ctx ends or it can't.
	Follow(ctx context.Context, changed func([]Box)) error
	// Start returns when the workload runs. It goes on without this process.
	Start(ctx context.Context, s Start) error
	// Stop ends a workload, gently at first, and cleans up what a killed runner left.
	Stop(ctx context.Context, id string) error
	// Remove forgets a sandbox that has ended, with its output and its record.
	Remove(ctx context.Context, id string) error
	// Exec runs a command in a sandbox. The error says so if its exit status is not 0 or the sandbox could not execute it,
	// and wraps ErrNotAsked where this host could not ask the sandbox.
	Exec(ctx context.Context, id string, argv []string) error
	// Logs writes what a workload wrote.
	Logs(ctx context.Context, id string, to io.Writer) error
}

// Start is a sandbox to be started.
type Start struct {
	ID       string
	Policy   []byte
	Folder   string // absolute; what relative paths of the policy start from
	Services string // absolute; the folder of sockets that network.services of the policy names; "" for none
}

// Box is what the program tells of a sandbox. Times are in nanoseconds since 1970; 0 is not yet.
type Box struct {
	ID        string            `json:"id"`
	State     string            `json:"state"` // starting, or one of those below
	Reason    string            `json:"reason"`
	Isolation string            `json:"isolation"`
	Policy    string            `json:"policy_sha256"`
	Root      string            `json:"root"` // digest of the image, or the folder
	Command   []string          `json:"command"`
	Start     string            `json:"start"` // cold or pool
	Created   uint64            `json:"created"`
	Ended     uint64            `json:"ended"`
	Exit      *int              `json:"exit"`
	Listen    map[string]string `json:"listen"` // sockets that lead to those of the workload, by name
	Audit     Audit             `json:"audit"`
}

// Audit is how far a sandbox's record is.
type Audit struct {
	Events uint64  `json:"events"`
	Gaps   uint64  `json:"gaps"`
	Lost   uint64  `json:"lost"`
	Alerts uint64  `json:"alerts"`
	Head   string  `json:"head"`
	Logged *Logged `json:"logged"` // nil: nobody has tried yet
}

// Logged is how far a transparency log knows a record.
type Logged struct {
	Where string `json:"where"` // "": no log knows it
	Lines uint64 `json:"lines"`
	Fault string `json:"fault"` // why it is not further, or elsewhere
}

// States of a box.
const (
	stateRunning = "running"
	statePaused  = "paused"
	stateEnded   = "ended"
	stateLost    = "lost"
)

func (b *Box) over() bool { return b.State == stateEnded || b.State == stateLost }

// Program drives sterling-sandbox.
type Program struct {
	Path  string // of the program
	State string // the folder of its sandboxes
}

// How long the program may take.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
	callLimit  = 30 * time.Second
	maxSaid    = 4 << 10 // bytes of what it says of an error
	maxList    = 16 << 20
)

func (p *Program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path, append([]string{"--state", p.State}, args...)...)
	// It ends with this process, even if that is killed: a start that goes on is one that the next supervisor does not see
	// in time. The kernel looks at the thread that started it; so callers keep theirs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a command of the program to its end. What it says on standard error is the error.
func (p *Program) run(ctx context.Context, limit time.Duration, in []byte, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := p.command(ctx, args...)
	said := &head{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), said, said
	if err := cmd.Run(); err != nil {
		if text := strings.TrimPrefix(strings.TrimSpace(said.String()), "sterling-sandbox: "); text != "" {
			return fmt.Errorf("%s (%w)", text, err)
		}
		return fmt.Errorf("sterling-sandbox %s: %w", args[0], err)
	}
	return nil
}

// List returns all sandboxes by name, those that have ended included.
func (p *Program) List(ctx context.Context) ([]Box, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := p.command(ctx, "ps", "--json")
	said := &head{}
	cmd.Stderr = said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes in %s: %w %s", p.State, err, said)
	}
	if len(out) > maxList {
		return nil, fmt.Errorf("list the sandboxes in %s: %d bytes, at most %d: remove some that have ended", p.State, len(out), maxList)
	}
	var all []Box
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("read the list of sandboxes in %s: %w", p.State, err)
	}
	return all, nil
}

// Follow implements Boxes.
func (p *Program) Follow(ctx context.Context, changed func([]Box)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := p.command(ctx, "ps", "--follow")
	said := &head{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("follow sandboxes: %w", err)
	}
	for d := json.NewDecoder(out); err == nil; {
		var all []Box
		if err = d.Decode(&all); err == nil {
			changed(all)
		}
	}
	_ = cmd.Process.Kill() // its output is not what it should be, or it has ended already
	_ = cmd.Wait()
	return fmt.Errorf("follow sandboxes: %w %s", err, said)
}

// Start implements Boxes.
func (p *Program) Start(ctx context.Context, s Start) error {
	args := []string{"run", "-", "--detach", "--id", s.ID, "--folder", s.Folder}
	if s.Services != "" {
		args = append(args, "--services", s.Services)
	}
	return p.run(ctx, startLimit, s.Policy, args...)
}

// Stop implements Boxes.
func (p *Program) Stop(ctx context.Context, id string) error {
	return p.run(ctx, stopLimit, nil, "stop", id)
}

// Remove implements Boxes.
func (p *Program) Remove(ctx context.Context, id string) error {
	return p.run(ctx, callLimit, nil, "remove", id)
}

// Exec implements Boxes.
func (p *Program) Exec(ctx context.Context, id string, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := p.command(ctx, append([]string{"exec", "--json", id, "--"}, argv...)...)
	said := &head{}
	cmd.Stderr = said
	out, err := cmd.Output()
	var is struct {
		Exit   *int   `json:"exit"`   // nil: the sandbox could not execute it
		Output string `json:"output"` // of the command, or why
	}
	if err == nil {
		err = json.Unmarshal(out, &is)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%s: %w", argv[0], ctx.Err()) // the command took too long
	case err != nil:
		return fmt.Errorf("%w: %w %s", ErrNotAsked, err, said)
	case is.Exit == nil:
		return errors.New(is.Output)
	case *is.Exit != 0:
		return fmt.Errorf("%s (exit status %d)", strings.TrimSpace(is.Output), *is.Exit)
	}
	return nil
}

// Logs implements Boxes.
func (p *Program) Logs(ctx context.Context, id string, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := p.command(ctx, "logs", id)
	said := &head{}
	cmd.Stdout, cmd.Stderr = to, said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("read what %s wrote: %w %s", id, err, said)
	}
	return nil
}

// A head keeps the first bytes of what is written.
type head struct{ bytes.Buffer }

// Write implements io.Writer. It never fails.
func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), max(0, maxSaid-h.Len()))])
	return len(p), nil
}
