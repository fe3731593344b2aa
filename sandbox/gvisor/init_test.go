//go:build linux && amd64

package gvisor

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestInit: the init is a program of this system's, too. It answers as often as it is asked, executes the first path
// that it can, with the command's own arguments and environment, and leaves its descriptor to nobody.
func TestInit(t *testing.T) {
	program := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(program, InitProgram(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(InitProgram()))
	for _, test := range []struct {
		name string
		argv []string
		say  string
		want string
		code int
	}{
		{"shell", []string{"/missing/sh", "/bin/sh", "", "sh", "-c", `readlink /proc/self/fd/0; echo $0 $X "$1"`, "a", ""}, "ppg", "/dev/null\na b \n", 0},
		{"no such command", []string{"/missing/sh", "/etc/passwd", "", "sh"}, "g", "", 127},
		{"nobody is there", []string{"/bin/sh", "", "sh"}, "", "", 127},
		{"nothing to execute", []string{"", "sh"}, "g", "", 127},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs, err := socketPair()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			var out bytes.Buffer
			cmd := exec.Command(program)
			cmd.Args = append([]string{"init"}, test.argv...)
			cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{"X=b"}, theirs, &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = theirs.Close()
			answer := make([]byte, 1)
			if _, err := ours.Read(answer); err != nil || answer[0] != '.' {
				t.Errorf("%q, %v", answer, err)
			}
			for i := range test.say {
				if _, err := ours.Write([]byte{test.say[i]}); err != nil {
					t.Fatal(err)
				}
				if test.say[i] == 'g' {
					break
				}
				if _, err := ours.Read(answer); err != nil || answer[0] != '.' {
					t.Errorf("%q, %v", answer, err)
				}
			}
			_ = ours.Close()
			_ = cmd.Wait() // the state tells
			if cmd.ProcessState.ExitCode() != test.code || out.String() != test.want {
				t.Errorf("status %d, %q", cmd.ProcessState.ExitCode(), out.String())
			}
		})
	}
}

// TestGuard: what it guards lives as long as its input does, and no longer.
func TestGuard(t *testing.T) {
	for _, end := range []string{"closed", "broken"} {
		guarded := exec.CommandContext(t.Context(), "/bin/sleep", "60")
		if err := guarded.Start(); err != nil {
			t.Fatal(err)
		}
		g, err := startGuard(guarded.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if end == "closed" {
			err = g.input.Close()
		} else {
			_, err = g.input.WriteString("not the end")
			err = errors.Join(err, syscall.Kill(guarded.Process.Pid, 0), g.input.Close())
		}
		if err != nil {
			t.Error(err)
		}
		_ = guarded.Wait() // killed
		if code := codeOf(guarded.ProcessState); code != 128+9 {
			t.Errorf("%s: %d", end, code)
		}
		if err := g.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", end, err)
		}
	}
}
