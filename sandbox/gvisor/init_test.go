//go:build linux && amd64

package gvisor

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
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
