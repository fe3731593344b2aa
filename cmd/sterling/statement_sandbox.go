package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"

	bank "github.com/sterlingrun/sterling/importer/statement"
	"github.com/sterlingrun/sterling/node"
)

// sandboxState is where sandboxes are, where no other folder is named.
const sandboxState = "/var/lib/sterling-sandbox"

// statementPolicy is what a reader of a bank's file may do: read the file and the mapping, and write to its output.
const statementPolicy = `version: 1
name: read-statement
root: {directory: root}
command: [/sterling-sandbox, read-statement, /statement%s]
mounts: [{source: %q, target: /sterling-sandbox}]
limits: {cpu: 2, memory: 2GiB, processes: 128, open_files: 64}
time_limit: 10m
audit:
  events: [file, network, identity]
  when_behind: stop
  rules:
  - {name: no-program, on: exec, when: "true", action: kill}
  - {name: no-socket, on: connect, when: "true", action: kill}
`

// statementReader reads statements in a sandbox.
type statementReader struct{ program, state string }

// newStatementReader finds the program. Where there is none, nothing is read: what was asked for is isolation.
func newStatementReader(state string) (*statementReader, error) {
	program, err := node.FindSandbox()
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err == nil {
		state, err = filepath.Abs(state)
	}
	return &statementReader{program, state}, err
}

// read reads a file by the mapping, which may be nil. The sandbox is removed where all went well; otherwise it stays, and
// the error names it.
func (r *statementReader) read(ctx context.Context, path string, mapping []byte) (list []bank.Statement, err error) {
	folder, err := os.MkdirTemp("", "sterling-statement-") // of this user only, and what is in it is for the sandbox
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := r.lay(filepath.Join(folder, "root"), path, mapping); err != nil {
		return nil, fmt.Errorf("make a root for the sandbox: %w", err)
	}
	more := ""
	if mapping != nil {
		more = ", --mapping, /mapping"
	}
	id := "statement-" + strings.ToLower(rand.Text())
	run := exec.CommandContext(ctx, r.program, "--state", r.state, "run", "-", "--cold", "--id", id, "--folder", folder)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	said := &said{}
	run.Stdin, run.Stderr = strings.NewReader(fmt.Sprintf(statementPolicy, more, r.program)), said
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	list, bad := bank.Decode(out)
	_, _ = io.Copy(io.Discard, out) // so that it can end
	if err := run.Wait(); err != nil {
		return nil, fmt.Errorf("read in the sandbox %s: %s (%w)", id, said, err)
	}
	if bad != nil {
		return nil, fmt.Errorf("read in the sandbox %s: %w", id, bad)
	}
	for _, step := range [][]string{{"audit", "verify", id}, {"remove", id}} {
		if text, err := exec.CommandContext(ctx, r.program, append([]string{"--state", r.state}, step...)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("read in the sandbox %s: %s: %s", id, step[0], printable(string(text)))
		}
	}
	return list, nil
}

// lay makes the root: copies that whoever runs there may read, and a place for the program.
func (r *statementReader) lay(root, path string, mapping []byte) (err error) {
	if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // the folder above is this user's only
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	for name, from := range map[string]io.Reader{"statement": io.LimitReader(in, bank.MaxBytes+1), "mapping": bytes.NewReader(mapping), "sterling-sandbox": bytes.NewReader(nil)} {
		out, err := os.OpenFile(filepath.Join(root, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // see above
		if err != nil {
			return err
		}
		_, err = io.Copy(out, from)
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
	return nil
}

// said keeps the first bytes of what is said by who may be anybody.
type said struct{ bytes.Buffer }

// Write implements io.Writer. It never fails.
func (s *said) Write(p []byte) (int, error) {
	const most = 2048
	s.Buffer.Write(p[:min(len(p), max(0, most-s.Len()))])
	return len(p), nil
}

func (s *said) String() string { return printable(s.Buffer.String()) }

// printable is a text without what a terminal would take for an order.
func printable(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text))
}
