package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

func (c *command) poolCommand() *cobra.Command {
	var idle int
	var age time.Duration
	cmd := &cobra.Command{
		Use:   "pool POLICY...",
		Short: "Keep started sandboxes ready for policies, until it is interrupted; those that were taken go on",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.runner()
			if err != nil {
				return err
			}
			p := &gvisor.Pool{Runner: r, MaxAge: age, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
			for _, arg := range args {
				document, err := readPolicy(arg)
				if err != nil {
					return err
				}
				path, err := filepath.Abs(arg)
				if err != nil {
					return fmt.Errorf("find the policy's folder: %w", err)
				}
				p.Policies = append(p.Policies, gvisor.Pooled{Policy: document, Folder: filepath.Dir(path), Idle: idle})
			}
			return p.Run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&idle, "idle", 2, fmt.Sprintf("sandboxes that are to be ready for each policy; of all policies, at most %d", gvisor.MaxIdle))
	cmd.Flags().DurationVar(&age, "max-age", time.Hour, "age at which an idle sandbox is replaced; 1m to 720h")
	return cmd
}

// started is when a sandbox has started for sure, on a busy host, too.
const started = 2 * time.Second

// giveBack has what a start leaves in the heap returned: Go collects for the first time at 4 MiB, which a process that
// idles never reaches again.
func giveBack() { time.AfterFunc(started, debug.FreeOSMemory) }

// keepCommand is for gvisor.Runner, which starts it.
func (c *command) keepCommand() *cobra.Command {
	return &cobra.Command{
		Use: gvisor.KeepCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			giveBack()
			file := os.NewFile(3, "starter")
			conn, err := net.FileConn(file)
			if err = errors.Join(err, file.Close()); err != nil {
				return fmt.Errorf("take the connection: %w", err)
			}
			r, err := c.runner()
			if err != nil {
				return err
			}
			defer conn.Close() //nolint:errcheck // the other end may be gone long since
			return r.Keep(cmd.Context(), conn)
		},
	}
}
