package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prelude lets a guide's commands find the server of the test, which is on a port of its own.
const prelude = `sterling() {
	case "$*" in
	"token propose"*) command sterling "$@" --server "$ADDRESS" ;;
	"watch check"*) command sterling "$@" ;;
	audit* | ledger* | books* | export* | backup* | watch*) command sterling "$@" --server "$ADDRESS" ;;
	up*) shift; exec sterling up --listen "$ADDRESS" "$@" ;;
	*) command sterling "$@" ;;
	esac
}
`

// block is a fenced block of shell in a guide, with the words behind the language: "server" is started and left running
// until the next one, "refused" has to fail, if need be after a moment, the name of a tool is run where there is one.
type block struct{ kind, text string }

func blocksOf(t *testing.T, path string) (list []block) {
	t.Helper()
	guide, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split("\n"+string(guide), "\n```") {
		head, body, _ := strings.Cut(part, "\n")
		if kind, ok := strings.CutPrefix(head, "sh"); i%2 == 1 && ok {
			list = append(list, block{strings.TrimSpace(kind), body})
		}
	}
	return list
}

// TestAccessGuide runs every command of docs/guides/access.md.
func TestAccessGuide(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the guide needs %s, which this machine has not", tool)
		}
	}
	runGuide(t, "access.md", 10)
}

// TestSettlementGuide runs every command of docs/guides/settlement.md, those of hledger where there is one.
func TestSettlementGuide(t *testing.T) {
	t.Parallel()
	runGuide(t, "settlement.md", 15)
}

// TestAuditGuide runs every command of docs/guides/audit.md.
func TestAuditGuide(t *testing.T) {
	t.Parallel()
	runGuide(t, "audit.md", 7)
}

// TestWatchGuide runs every command of docs/guides/watch.md.
func TestWatchGuide(t *testing.T) {
	t.Parallel()
	runGuide(t, "watch.md", 12)
}

// TestQualifyGuide runs every command of docs/guides/qualify.md.
func TestQualifyGuide(t *testing.T) {
	t.Parallel()
	runGuide(t, "qualify.md", 3)
}

// runGuide runs a guide's commands in order, in a folder of its own. It has at least so many blocks of them.
func runGuide(t *testing.T, name string, least int) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir, address := t.TempDir(), freeAddress(t)
	shell := func(text string) *exec.Cmd {
		c := exec.CommandContext(ctx, "sh", "-ec", prelude+strings.ReplaceAll(text, "127.0.0.1:7600", address))
		c.Dir, c.Env = dir, append(os.Environ(), "ADDRESS="+address)
		c.WaitDelay = time.Second
		return c
	}
	stop := func() {}
	defer func() { stop() }()
	blocks := blocksOf(t, filepath.Join("..", "..", "docs", "guides", name))
	for _, b := range blocks {
		switch b.kind {
		case "server":
			stop()
			stop = startServer(t, shell(b.text))
		case "refused":
			for shell(b.text).Run() == nil {
				if ctx.Err() != nil {
					t.Fatalf("was not refused:\n%s", b.text)
				}
			}
		default:
			if _, err := exec.LookPath(b.kind); b.kind != "" && err != nil {
				t.Logf("this machine has no %s: left out\n%s", b.kind, b.text)
				continue
			}
			out, err := shell(b.text).CombinedOutput()
			if t.Logf("%s\n%s", b.text, out); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(blocks) < least {
		t.Fatalf("%d blocks of commands: the guide was not read", len(blocks))
	}
}

// startServer starts a command and waits for its first line.
func startServer(t *testing.T, c *exec.Cmd) (stop func()) {
	t.Helper()
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if first, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(first, "Sterling is ready") {
		t.Fatalf("%q, %v", first, err)
	}
	drained := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, lines); close(drained) }()
	return func() {
		_ = c.Process.Signal(syscall.SIGINT) // it is the server: the shell has made room for it
		<-drained
		if err := c.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}
