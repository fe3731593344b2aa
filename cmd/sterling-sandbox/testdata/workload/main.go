// Command workload is what the tests run in a sandbox. It uses the standard library only.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch what := os.Args[1]; what {
	case "say":
		fmt.Println(strings.Join(os.Args[2:], " "))
		fmt.Fprintln(os.Stderr, "on stderr")
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "read":
		text, err := os.ReadFile(os.Args[2])
		fmt.Println(string(text), err)
	case "probe":
		probe()
	case "trip":
		trip(os.Args[2], os.Args[3])
	case "tick": // until it is stopped
		for i := 0; ; i++ {
			fmt.Println("tick", i)
			time.Sleep(5 * time.Millisecond)
		}
	case "deaf": // to SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		time.Sleep(time.Hour)
	case "children":
		for range 5 {
			out, err := exec.Command(os.Args[0], "say", "child").Output()
			fmt.Print(string(out), err, "\n")
		}
	case "eat": // memory
		var kept [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
			fmt.Println(len(kept)*16, "MiB")
		}
	case "flood": // events
		n, _ := strconv.Atoi(os.Args[2])
		for range n {
			if f, err := os.Open("/nothing"); err == nil {
				f.Close()
			}
		}
	case "files":
		for _, name := range os.Args[2:] {
			fmt.Printf("%s: %v\n", name, os.WriteFile(name, nil, 0o600))
		}
		fmt.Println("mkdir:", os.Mkdir("/mem/d", 0o700))
		err := os.WriteFile("/mem/big", make([]byte, 2<<20), 0o600)
		fmt.Println("fill:", errors.Unwrap(err))
	case "serve":
		serve(os.Args[2])
	case "tree":
		tree(os.Args[2])
	case "astray":
		astray(os.Args[2])
	case "dial":
		conn, err := net.Dial("unix", os.Args[2])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		text, err := io.ReadAll(conn)
		fmt.Println(string(text), err)
	}
}

// probe tries what a sandbox must not allow, and prints what came of it.
func probe() {
	try := func(what string, err error) { fmt.Printf("%s: %v\n", what, err) }
	version, _ := os.ReadFile("/proc/version")
	fmt.Println("gvisor:", strings.Contains(string(version), "gvisor"))
	fmt.Println("uid:", os.Getuid(), "pid:", os.Getpid())
	_, err := os.Stat(os.Args[2])
	try("host file", err)
	try("write root", os.WriteFile("/file", nil, 0o600))
	try("mount", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	try("device", syscall.Mknod("/tmp/sda", syscall.S_IFBLK|0o600, 8<<8))
	try("chroot", syscall.Chroot("/tmp"))
	try("setuid", syscall.Setuid(0))
	try("hostname", syscall.Sethostname([]byte("x")))
	try("module", call(syscall.SYS_INIT_MODULE))
	try("reboot", call(syscall.SYS_REBOOT))
	try("keyring", call(248)) // add_key
	_, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	try("raw socket", err)
	_, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	try("packet socket", err)
	_, err = net.DialTimeout("tcp", "192.0.2.1:80", time.Second)
	try("network", err)
	_, err = net.DialTimeout("tcp", os.Args[3], time.Second)
	try("host's loopback", err)
	try("ptrace", syscall.PtraceAttach(os.Getppid()))
	entries, _ := os.ReadDir("/proc")
	processes := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			processes++
		}
	}
	fmt.Println("processes:", processes)
	_, err = os.ReadFile("/proc/kcore")
	try("kcore", err)
	try("sysrq", os.WriteFile("/proc/sysrq-trigger", []byte("h"), 0))
	try("core pattern", os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/x"), 0))
	try("cgroup", os.WriteFile("/sys/fs/cgroup/release_agent", []byte("/x"), 0))
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "CapEff") || strings.HasPrefix(line, "CapBnd") {
			fmt.Println(strings.Join(strings.Fields(line), " "))
		}
	}
}

func call(number uintptr) error {
	if _, _, errno := syscall.Syscall(number, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
