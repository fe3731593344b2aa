package engines_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

// asVictim makes the test binary start servers and wait to be killed.
const asVictim = "STERLING_ENGINES_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(asVictim) == "" {
		os.Exit(m.Run())
	}
	p, err := engines.StartPostgres(context.Background(), engines.Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(p.Pid(), filepath.Dir(filepath.Dir(p.Log())))
	select {}
}

func TestNothingIsLeftAfterAKill(t *testing.T) {
	probe, err := engines.StartPostgres(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), asVictim+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("%q: %v", strings.TrimSpace(line), err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the server does not run before the kill: %v", err)
	}
	_ = victim.Process.Kill()
	_ = victim.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, errDir := os.Stat(dir)
		if errors.Is(errDir, os.ErrNotExist) && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		if clock.Sleep(ctx, clock.NewSystem(), 20*time.Millisecond) != nil {
			t.Fatalf("left behind: folder %s (%v) or process %d", dir, errDir, pid)
		}
	}
}
