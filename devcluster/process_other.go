//go:build unix && !linux

package devcluster

import "syscall"

// dieWithParent does nothing: this system has no such thing, and nodes outlive a process that was killed.
func dieWithParent(*syscall.SysProcAttr) {}
