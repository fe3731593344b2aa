package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// trip prints the time until it is stopped, and meanwhile does what a rule is about.
func trip(what, with string) {
	go func() {
		time.Sleep(50 * time.Millisecond)
		switch what {
		case "exec":
			_ = exec.Command(os.Args[0], "say", "tripped").Run()
		case "open":
			_, _ = os.ReadFile(with)
		case "connect":
			_, _ = net.Dial("unix", with)
		case "dial":
			_, _ = net.DialTimeout("tcp", with, time.Second)
		}
	}()
	for range 3000 {
		fmt.Println(time.Now().UnixNano())
		time.Sleep(time.Millisecond)
	}
}
