package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

func (c *command) runCommand() *cobra.Command {
	var id string
	var detach, cold bool
	var services, folder string
	cmd := &cobra.Command{
		Use:   "run POLICY",
		Short: "Run a workload to its end, in a sandbox of the pool if one idles for its policy; the exit status is its own",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if folder == "" {
				folder = filepath.Dir(args[0])
			}
			if folder, err = filepath.Abs(folder); err != nil {
				return fmt.Errorf("find the policy's folder: %w", err)
			}
			if id == "" {
				p, err := sandbox.Parse(document)
				if err != nil {
					return err
				}
				id = p.Name
			}
			r, err := c.runner()
			if err != nil {
				return err
			}
			if services != "" {
				if services, err = filepath.Abs(services); err != nil {
					return fmt.Errorf("find the folder of services: %w", err)
				}
			}
			o := gvisor.Options{ID: id, Services: services, Policy: document, Folder: folder, Cold: cold}
			if detach {
				if _, err := r.Start(cmd.Context(), o); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), id)
				return err
			}
			o.Stdout, o.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			// That nobody reads its output any more is for the workload to hear: SIGPIPE would end its runner.
			gone := make(chan os.Signal, 1)
			signal.Notify(gone, syscall.SIGPIPE)
			defer signal.Stop(gone)
			s, err := r.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if s.Reason != "exited" {
				cmd.PrintErrf("sterling-sandbox: %s: %s\n", id, s.Reason)
			}
			if n := s.Audit.Alerts; n > 0 {
				cmd.PrintErrf("sterling-sandbox: %s: rules fired %d times: audit show %[1]s\n", id, n)
			}
			if l := s.Audit.Logged; l != nil && l.Fault != "" {
				cmd.PrintErrf("sterling-sandbox: %s: the record's head is not in the log where it should be: %s\n", id, l.Fault)
			}
			return exited(*s.Exit)
		},
	}

	cmd.Flags().StringVar(&id, "id", "", "name of the sandbox (default: the policy's)")
	cmd.Flags().BoolVar(&detach, "detach", false, "print the name and return when the workload runs; it goes on, with its output in the log")
	cmd.Flags().StringVar(&folder, "folder", "", "what relative paths of the policy start from (default: the policy's folder)")
	cmd.Flags().StringVar(&services, "services", "", "folder of the sockets that network.services of the policy names, such as a mesh proxy's")
	cmd.Flags().BoolVar(&cold, "cold", false, "start a sandbox of its own, even if one idles")
	return cmd
}

// exited passes a workload's exit status on.
func exited(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// readPolicy reads a document, and no more than a policy can be; - is standard input.
func readPolicy(path string) ([]byte, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("read the policy: %w", err)}
		}
		defer f.Close() //nolint:errcheck // only read from
	}
	document, err := io.ReadAll(io.LimitReader(f, sandbox.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return document, nil
}

func (c *command) execCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exec ID -- COMMAND...",
		Short: "Run one more command in a running sandbox, as the policy's user",
		Long: "Run one more command in a running sandbox, as the policy's user. Its exit status is this one's. With --json, what came of it is\n" +
			"an object, {\"exit\": 0, \"output\": \"…\"}, with the first 4 KiB of what it wrote, and the exit status is 0; so a program can tell it\n" +
			"from a fault of this host, of which there is no object. There is no \"exit\" where the sandbox could not execute the command.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.runner()
			if err != nil {
				return err
			}
			if c.json {
				return execJSON(cmd, r, args[0], args[1:])
			}
			code, err := r.Exec(cmd.Context(), args[0], args[1:], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return exited(code)
		},
	}
}

// executed is what came of a command.
type executed struct {
	Exit   *int   `json:"exit,omitempty"` // nil: the sandbox could not execute it
	Output string `json:"output"`         // the first bytes of both streams, or why it was not executed
}

// maxOutput bounds Output, in bytes.
const maxOutput = 4 << 10

func execJSON(cmd *cobra.Command, r *gvisor.Runner, id string, argv []string) error {
	out := &first{}
	code, err := r.Exec(cmd.Context(), id, argv, cmd.InOrStdin(), out, out)
	is := executed{Exit: &code, Output: out.String()}
	if errors.Is(err, gvisor.ErrNotExecuted) {
		is, err = executed{Output: err.Error()}, nil
	}
	if err != nil {
		return err
	}
	return printJSON(cmd.OutOrStdout(), is)
}

// first keeps the first bytes of what is written.
type first struct{ bytes.Buffer }

// Write implements io.Writer. It never fails.
func (f *first) Write(p []byte) (int, error) {
	f.Buffer.Write(p[:min(len(p), max(0, maxOutput-f.Len()))])
	return len(p), nil
}

func (c *command) psCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List sandboxes, those that have ended included",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.runner()
			if err != nil {
				return err
			}
			if follow {
				return followBoxes(cmd.Context(), r, cmd.OutOrStdout())
			}
			all, err := r.List()
			if err != nil {
				return err
			}
			if c.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprint(w, "ID\tSTATE\tEXIT\tISOLATION\tCREATED\tEVENTS\tGAPS\tCOMMAND\n") // Flush tells
			for _, s := range all {
				exit := "-"
				if s.Exit != nil {
					exit = fmt.Sprint(*s.Exit)
				}
				created := time.Unix(0, int64(s.Created)).UTC().Format(time.RFC3339) //nolint:gosec // until the year 2262
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%q\n", s.ID, s.State, exit, s.Isolation, created, s.Audit.Events, s.Audit.Gaps, strings.Join(s.Command, " "))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "print the list as a line of JSON, now, when something changes, and every 10s; until nobody reads it")
	return cmd
}

const (
	lookEvery = 200 * time.Millisecond
	sayEvery  = 10 * time.Second // so that nobody who has gone is told for ever
)

// followBoxes prints the list whenever it changes, until ctx ends or it can't be written.
func followBoxes(ctx context.Context, r *gvisor.Runner, to io.Writer) error {
	var last []byte
	var said uint64
	for {
		all, err := r.List()
		if err != nil {
			return err
		}
		line, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if now := r.Clock.Mono(); !bytes.Equal(line, last) || now-said >= uint64(sayEvery) {
			if _, err := to.Write(append(line, '\n')); err != nil {
				return fmt.Errorf("print the list: %w", err)
			}
			last, said = line, now
		}
		if clock.Sleep(ctx, r.Clock, lookEvery) != nil {
			return nil
		}
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (c *command) inspectCommand() *cobra.Command {
	return c.onBox("inspect ID", "Print what is known of a sandbox, as JSON", func(cmd *cobra.Command, r *gvisor.Runner, id string) error {
		s, err := r.Inspect(id)
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), s)
	})
}

func (c *command) logsCommand() *cobra.Command {
	return c.onBox("logs ID", "Print what a workload wrote", func(cmd *cobra.Command, r *gvisor.Runner, id string) error {
		f, err := r.OpenLogs(id)
		if err != nil {
			return err
		}
		_, err = io.Copy(cmd.OutOrStdout(), f)
		return errors.Join(err, f.Close())
	})
}

func (c *command) stopCommand() *cobra.Command {
	return c.onBox("stop ID", "Stop a workload: SIGTERM, and SIGKILL 10 s later", func(cmd *cobra.Command, r *gvisor.Runner, id string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
		defer cancel()
		return r.Stop(ctx, id)
	})
}

func (c *command) removeCommand() *cobra.Command {
	cmd := c.onBox("remove ID", "Forget a sandbox that has ended, with its output and its record", func(_ *cobra.Command, r *gvisor.Runner, id string) error {
		return r.Remove(id)
	})
	cmd.Aliases = []string{"rm"}
	return cmd
}

// onBox is a command about one sandbox.
func (c *command) onBox(use, short string, do func(cmd *cobra.Command, r *gvisor.Runner, id string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.runner()
			if err != nil {
				return err
			}
			return do(cmd, r, args[0])
		},
	}
}

// recordCommand is for gvisor.Runner, which starts it.
func recordCommand() *cobra.Command {
	return &cobra.Command{
		Use: gvisor.RecordCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			giveBack()
			file := os.NewFile(3, "listener")
			listener, err := net.FileListener(file)
			if err = errors.Join(err, file.Close()); err != nil {
				return fmt.Errorf("take the listener: %w", err)
			}
			unix, ok := listener.(*net.UnixListener)
			if !ok {
				return errors.New("the listener is not for Unix sockets")
			}
			// A signal for all processes of a service is for the runner: this one goes on as long as there is something to record.
			return gvisor.Record(context.WithoutCancel(cmd.Context()), gvisor.Recording{
				Listener: unix, File: os.NewFile(4, "record"), Control: os.Stdin, Status: os.Stdout, Clock: clock.NewSystem(),
			})
		},
	}
}
