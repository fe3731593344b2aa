package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/ownkernel"
)

// machineFolder is where machines of own kernels are made from, beside the program; tools/microvm.sh fills it.
const machineFolder = "microvm"

// addOwnKernel gives a runner the kind own-kernel.
func addOwnKernel(r *gvisor.Runner, folder string) {
	host := &ownkernel.Host{Program: r.Program, Folder: folder}
	r.Tiers = map[sandbox.Isolation]gvisor.Tier{sandbox.OwnKernel: &ownKernel{host: host, runner: r}}
}

// ownKernel is package ownkernel as package gvisor wants a kind of kernel.
type ownKernel struct {
	host   *ownkernel.Host
	runner *gvisor.Runner
}

var _ gvisor.Tier = (*ownKernel)(nil)

// Level implements gvisor.Tier. The kind is KVM where a machine has booted with it, and TCG elsewhere.
func (o *ownKernel) Level(ctx context.Context, want sandbox.Isolation) (sandbox.Isolation, error) {
	err := gvisor.Probe()
	if err == nil {
		err = o.host.Find()
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", gvisor.ErrUnavailable, want, err)
	}
	if want == sandbox.OwnKernelTCG {
		return want, nil
	}
	if err = o.kvm(ctx); err == nil {
		return sandbox.OwnKernelKVM, nil
	}
	if want == sandbox.OwnKernel && errors.Is(err, gvisor.ErrUnavailable) {
		return sandbox.OwnKernelTCG, nil
	}
	return "", err
}

// kvm boots a machine with KVM.
func (o *ownKernel) kvm(ctx context.Context) error {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return fmt.Errorf("%w: %s: there is no /dev/kvm: it wants a processor with virtualisation, and in a virtual machine nested virtualisation", gvisor.ErrUnavailable, sandbox.OwnKernelKVM)
	}
	stamp, err := o.host.Stamp()
	if err != nil {
		return err
	}
	return o.runner.Booted(ctx, sandbox.OwnKernelKVM, stamp, func(ctx context.Context) error {
		folder, err := os.MkdirTemp(o.runner.State, "probe-")
		if err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer os.RemoveAll(folder) //nolint:errcheck // of a probe
		limits := sandbox.Limits{CPU: 1000, Memory: sandbox.MachineOverhead + 256<<20}
		err = o.host.Boots(ctx, true, folder, "/sterling-sandbox/"+filepath.Base(folder), limits)
		if errors.Is(err, ownkernel.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", gvisor.ErrUnavailable, err)
		}
		return err
	})
}

// Start implements gvisor.Tier.
func (o *ownKernel) Start(l gvisor.Launch) (gvisor.Kernel, error) {
	m, err := o.host.Start(ownkernel.Options{
		Folder: l.Folder, Root: l.Root, Policy: l.Policy, Cgroup: l.Cgroup, AuditSocket: l.AuditSocket,
		KVM: l.Level == sandbox.OwnKernelKVM, Stdout: l.Stdout, Stderr: l.Stderr,
	})
	if err != nil {
		return nil, err // not a nil *Machine in an interface
	}
	return m, nil
}

// Exec implements gvisor.Tier.
func (o *ownKernel) Exec(ctx context.Context, folder string, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	code, err := ownkernel.Exec(ctx, folder, argv, stdin, stdout, stderr)
	if errors.Is(err, ownkernel.ErrFault) {
		err = fmt.Errorf("%w: %w", gvisor.ErrNotExecuted, err)
	}
	return code, err
}

// Forget implements gvisor.Tier.
func (o *ownKernel) Forget(ctx context.Context, folder, cgroup string) error {
	return ownkernel.Forget(ctx, folder, cgroup)
}

// level is one line of what a host has.
type level struct {
	Level     sandbox.Isolation `json:"level"`
	Available bool              `json:"available"`
	Why       string            `json:"why,omitempty"` // why not
}

func (c *command) levelsCommand() *cobra.Command {
	var again bool
	cmd := &cobra.Command{
		Use:   "levels",
		Short: "Tell which levels of isolation this host has, found out by booting, and why not the others",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.runner()
			if err == nil && again {
				err = r.ForgetLevels()
			}
			if err != nil {
				return err
			}
			all := r.Levels(cmd.Context())
			list := make([]level, 0, len(all))
			for _, l := range all {
				one := level{Level: l.Level, Available: l.Err == nil}
				if l.Err != nil {
					one.Why = strings.TrimPrefix(l.Err.Error(), gvisor.ErrUnavailable.Error()+": ")
				}
				list = append(list, one)
			}
			if c.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, l := range list {
				there := "no: " + strings.Join(strings.Fields(l.Why), " ")
				if l.Available {
					there = "yes"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\n", l.Level, there) // Flush tells
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "boot again what was found out since the host was booted")
	return cmd
}

// confineCommand is for ownkernel.Host, which starts it.
func confineCommand() *cobra.Command {
	return &cobra.Command{
		Use: ownkernel.ConfineCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return ownkernel.Confine() },
	}
}
