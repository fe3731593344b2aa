package ownkernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
)

const cgroupMount = "/sys/fs/cgroup"

// hostThreads bounds the threads of QEMU. Those of the workload are the machine's own, with their own limit.
const hostThreads = 64

// groups are the folders of a machine's control group: one, or, with version 1, one for each controller.
type groups []string

func groupsOf(name string) groups {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return groups{filepath.Join(cgroupMount, name)}
	}
	var all groups
	for _, controller := range []string{"memory", "cpu", "cpuacct", "pids", "freezer"} {
		all = append(all, filepath.Join(cgroupMount, controller, name))
	}
	return all
}

// make makes the groups with the limits of a policy.
func (g groups) make(l sandbox.Limits) error {
	const period = 100_000 // µs
	quota := int64(l.CPU) * period / 1000
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	settings := [][2]string{
		{"memory.max", number(int64(l.Memory))}, {"memory.swap.max", "0"}, {"cpu.max", fmt.Sprintf("%d %d", quota, period)}, {"pids.max", strconv.Itoa(hostThreads)},
	}
	if len(g) > 1 {
		settings = [][2]string{
			{"memory.limit_in_bytes", number(int64(l.Memory))},
			{"cpu.cfs_period_us", number(period)},
			{"cpu.cfs_quota_us", number(quota)},
			{"pids.max", strconv.Itoa(hostThreads)},
		}
	}
	for _, folder := range g {
		if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // a control group
			return fmt.Errorf("make the control group: %w", err)
		}
	}
	if len(g) == 1 {
		if err := delegate(g[0]); err != nil {
			return err
		}
	}
	return g.set(settings)
}

// delegate has the controllers reach a group of version 2: each folder above it has to pass them on, the uppermost first.
func delegate(folder string) error {
	below, err := filepath.Rel(cgroupMount, filepath.Dir(folder))
	if err != nil {
		return fmt.Errorf("find the control group: %w", err)
	}
	at := cgroupMount
	for name := range strings.SplitSeq(below, "/") {
		for _, folder := range []string{at, filepath.Join(at, name)} {
			if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+memory +cpu +pids"), 0); err != nil {
				return fmt.Errorf("pass controllers on to the control group: %w", err)
			}
		}
		at = filepath.Join(at, name)
	}
	return nil
}

// set writes each setting where its controller is.
func (g groups) set(settings [][2]string) error {
	for _, s := range settings {
		controller, _, _ := strings.Cut(s[0], ".")
		for _, folder := range g {
			if len(g) > 1 && !strings.HasPrefix(folder, filepath.Join(cgroupMount, controller)+"/") {
				continue
			}
			err := os.WriteFile(filepath.Join(folder, s[0]), []byte(s[1]), 0)
			if err != nil && s[0] != "memory.swap.max" { // which a kernel without swap accounting does not have
				return fmt.Errorf("limit the machine: %w", err)
			}
		}
	}
	return nil
}

// join puts this process into the groups.
func (g groups) join() error {
	for _, folder := range g {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter the control group: %w", err)
		}
	}
	return nil
}

// remove removes the groups of a machine that has ended. The kernel may take a moment to see that they are empty.
func (g groups) remove(ctx context.Context) error {
	for _, folder := range g {
		for {
			err := os.Remove(folder)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || clock.Sleep(ctx, clock.NewSystem(), 5*time.Millisecond) != nil {
				return fmt.Errorf("remove the control group: %w", err)
			}
		}
	}
	return nil
}
