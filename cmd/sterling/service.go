package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/node"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/supervisor"
	"github.com/sterlingrun/sterling/supervisor/service"
)

// serviceData is the folder of services, where no other is named.
const serviceData = "/var/lib/sterling-services"

func newService() *cobra.Command {
	c := &cobra.Command{
		Use: "service", Short: "Run declared services: replicas in sandboxes, kept healthy, updated one by one",
		Long: `A supervisor ("sterling service run", or the section services of the configuration of
"sterling up") keeps what is declared: so many replicas, each in a sandbox of its own,
started again when they end, replaced when they are not healthy. An update that does not
get healthy stops and says why; the replicas of before stay.`,
		Example: `  sterling service run                        # as root; sandboxes go on when it ends
  sterling service check orders.yaml
  sterling service apply -f orders.yaml
  sterling service status orders`,
	}
	c.AddCommand(newServiceRun(), newServiceApply(), newServiceLs(), newServiceStatus(), newServiceLogs(), newServiceStop(), newServiceRemove(), newServiceCheck(), newServiceSchema())
	return c
}

func newServiceRun() *cobra.Command {
	config, logs := node.Services{Dir: serviceData}, meshLog{}
	c := &cobra.Command{
		Use: "run", Short: "Run the supervisor of a folder", Args: cobra.NoArgs,
		Long: `Runs what is declared in the folder, until it is interrupted. Replicas go on without it;
the next supervisor of the folder finds them. Where gVisor can't run, no service does:
the status says what is missing.`,
		RunE: func(c *cobra.Command, _ []string) error {
			logger, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			s, err := node.StartServices(c.Context(), config, clock.NewSystem(), logger)
			if err != nil {
				return err
			}
			printf(c, "Sterling is ready: services of %s; declare one with: %s service apply --dir %[1]s -f FILE\n", config.Dir, program())
			<-c.Context().Done()
			return s.Close()
		},
	}
	c.Flags().StringVar(&config.Dir, "dir", config.Dir, "folder of services")
	c.Flags().StringVar(&config.Program, "program", "", "sterling-sandbox (default: the one beside this program)")
	c.Flags().StringVar(&config.Control, "control", "", "control plane of the mesh, unix:PATH (default: no service is in a mesh)")
	logs.register(c)
	return c
}

// readDeclaration reads a declaration with the policy that it names.
func readDeclaration(path string) (supervisor.Declaration, error) {
	d := supervisor.Declaration{}
	var err error
	if d.Document, err = readBounded(path, service.MaxDocument); err != nil {
		return d, usage("read the declaration: %w", err)
	}
	spec, err := service.Parse(d.Document)
	if err != nil {
		return d, usage("%s: %w", path, err)
	}
	policy := spec.Policy
	if !filepath.IsAbs(policy) {
		policy = filepath.Join(filepath.Dir(path), policy)
	}
	if d.Policy, err = readBounded(policy, sandbox.MaxDocument); err != nil {
		return d, usage("%s: policy: %w", path, err)
	}
	d.Folder, err = filepath.Abs(filepath.Dir(policy))
	return d, err
}

// readBounded reads a file, and a byte more than it may have, so that its parser says so.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, most+1))
}

func newServiceCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Tell what is wrong with a declaration, and what is risky in its policy", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := readDeclaration(args[0])
			if err != nil {
				return err
			}
			spec, err := service.Parse(d.Document)
			if err != nil {
				return usage("%w", err)
			}
			policy, err := sandbox.Parse(d.Policy)
			if err == nil {
				err = spec.Fits(policy)
			}
			if err != nil {
				return usage("%s: %w", args[0], err)
			}
			policy.Resolve(d.Folder)
			refused := false
			for _, f := range sandbox.Check(policy) {
				refused = refused || f.Severity == sandbox.SeverityRefuse
				printf(c, "%-6s  policy: %s: %s\n", f.Severity, f.Field, f.Why)
			}
			if refused {
				return usage("%s: its policy must not run", args[0])
			}
			printf(c, "%s is good: %d of %s\n", args[0], spec.Replicas, spec.Name)
			return nil
		},
	}
}

func newServiceSchema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of declarations", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), service.Schema)
			return err
		},
	}
}

// serviceCall is a call of a supervisor.
type serviceCall struct{ dir, output string }

func (s *serviceCall) register(c *cobra.Command, looks bool) *cobra.Command {
	c.Flags().StringVar(&s.dir, "dir", serviceData, "folder of services")
	s.output = "text"
	if looks {
		c.Flags().StringVar(&s.output, "output", "text", "text or json")
	}
	return c
}

func (s *serviceCall) client() (supervisor.Client, error) {
	if s.output != "text" && s.output != "json" {
		return supervisor.Client{}, usage("--output: want text or json, not %q", s.output)
	}
	return supervisor.Client{Dir: s.dir}, nil
}

// lookAgain is how often a service is looked at that is waited for.
const lookAgain = 200 * time.Millisecond

func newServiceApply() *cobra.Command {
	call, file, wait := &serviceCall{}, "", 2*time.Minute
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Declare a service, and wait until it is as declared", Args: cobra.NoArgs,
		Long: `Another policy is another release: its replicas take the place of the last one's as the
declaration's update says. Anything else holds at once for the replicas that run. If the
new ones are not healthy, the update stops, the last ones stay, and the exit status is 1.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("-f: want the file of the declaration")
			}
			d, err := readDeclaration(file)
			if err != nil {
				return err
			}
			client, err := call.client()
			if err != nil {
				return err
			}
			changed, err := client.Apply(c.Context(), d)
			if errors.Is(err, supervisor.ErrRefused) {
				return usage("%s: %w", file, err)
			}
			if err != nil {
				return err
			}
			if !changed {
				printf(c, "nothing changes\n")
			}
			spec, err := service.Parse(d.Document)
			if err != nil || wait == 0 {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), wait)
			defer cancel()
			return awaitService(ctx, c, client, spec.Name)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the declaration: docs/sandbox.md")
	c.Flags().DurationVar(&wait, "wait", wait, "how long to wait; 0: not at all")
	return call.register(c, false)
}

// awaitService waits until a service is as declared, and tells what happens.
func awaitService(ctx context.Context, c *cobra.Command, client supervisor.Client, name string) error {
	last := ""
	for {
		s, err := client.Status(ctx, name)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s: generation %d, %s, %d of %d ready", s.Name, s.Generation, s.State, s.Ready, s.Wanted)
		if s.MeshFault != "" {
			line += "; not in the mesh: " + s.MeshFault
		}
		if line != last {
			printf(c, "%s\n", line)
			last = line
		}
		switch {
		case s.State == supervisor.StateHalted:
			return fmt.Errorf("%s: the update stops, and generation %d stays: %s", name, s.Good, s.Reason)
		case s.State == supervisor.StateReady && s.MeshFault == "":
			return nil
		}
		if clock.Sleep(ctx, clock.NewSystem(), lookAgain) != nil {
			return fmt.Errorf("%s is %s, %d of %d are ready: %s", name, s.State, s.Ready, s.Wanted, s.Reason)
		}
	}
}

func newServiceLs() *cobra.Command {
	call := &serviceCall{}
	return call.register(&cobra.Command{
		Use: "ls", Short: "List services", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := call.client()
			if err != nil {
				return err
			}
			all, err := client.Overview(c.Context())
			if err != nil {
				return err
			}
			if call.output == "json" {
				return json.NewEncoder(c.OutOrStdout()).Encode(all)
			}
			var rows [][]string
			for _, s := range all.Services {
				rows = append(rows, []string{s.Name, s.State, fmt.Sprintf("%d/%d", s.Ready, s.Wanted), strconv.Itoa(s.Generation), s.Reason})
			}
			if err := meshTable(c, "NAME STATE READY GENERATION REASON", rows); err != nil {
				return err
			}
			for _, id := range all.Others {
				printf(c, "%s is no service's: sterling sandbox --state %s stop %[1]s\n", id, filepath.Join(call.dir, supervisor.SandboxDir))
			}
			if all.Fault != "" {
				return fmt.Errorf("nothing is started or stopped: %s", all.Fault)
			}
			return nil
		},
	}, true)
}

func newServiceStatus() *cobra.Command {
	call := &serviceCall{}
	return call.register(&cobra.Command{
		Use: "status NAME", Short: "Tell how a service and its replicas are, and how earlier ones ended", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := call.client()
			if err != nil {
				return err
			}
			s, err := client.Status(c.Context(), args[0])
			if err != nil {
				return err
			}
			if call.output == "json" {
				return json.NewEncoder(c.OutOrStdout()).Encode(s)
			}
			printf(c, "%s: %s, %d of %d ready, generation %d (last good: %d)\n", s.Name, s.State, s.Ready, s.Wanted, s.Generation, s.Good)
			if s.Reason != "" {
				printf(c, "  %s\n", s.Reason)
			}
			if s.Identity != "" {
				printf(c, "  in the mesh as %s %s\n", s.Identity, s.MeshFault)
			}
			var rows [][]string
			for _, r := range s.Replicas {
				rows = append(rows, []string{r.ID, r.State, strconv.FormatBool(r.Ready), r.Isolation, fmt.Sprint(r.Gaps), fmt.Sprint(r.Alerts), r.Reason})
			}
			for _, e := range s.Ended {
				rows = append(rows, []string{e.ID, "ended", "false", "-", fmt.Sprint(e.Gaps), fmt.Sprint(e.Alerts), e.Reason})
			}
			return meshTable(c, "REPLICA STATE READY ISOLATION GAPS ALERTS REASON", rows)
		},
	}, true)
}

func newServiceLogs() *cobra.Command {
	call, replica := &serviceCall{}, ""
	c := &cobra.Command{
		Use: "logs NAME", Short: "Print what the replicas of a service wrote, those that are there", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := call.client()
			if err != nil {
				return err
			}
			if replica != "" {
				return client.Logs(c.Context(), replica, c.OutOrStdout())
			}
			s, err := client.Status(c.Context(), args[0])
			if err != nil {
				return err
			}
			for _, r := range s.Replicas {
				printf(c, "== %s ==\n", r.ID)
				if err := client.Logs(c.Context(), r.ID, c.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&replica, "replica", "", "of one replica, also of one that has ended")
	return call.register(c, false)
}

func newServiceStop() *cobra.Command {
	return newServiceEnd("stop NAME", "Stop all replicas of a service; apply starts them again", supervisor.Client.Stop)
}

func newServiceRemove() *cobra.Command {
	return newServiceEnd("remove NAME", "Stop a service and forget it, with the output and the records of its replicas", supervisor.Client.Remove)
}

// newServiceEnd is a command that ends a service, and waits until nothing of it runs.
func newServiceEnd(use, short string, end func(supervisor.Client, context.Context, string) error) *cobra.Command {
	call := &serviceCall{}
	return call.register(&cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := call.client()
			if err != nil {
				return err
			}
			if err := end(client, c.Context(), args[0]); err != nil {
				return err
			}
			for {
				s, err := client.Status(c.Context(), args[0])
				if errors.Is(err, supervisor.ErrNotFound) || err == nil && s.State == supervisor.StateStopped && len(s.Replicas) == 0 {
					return nil
				}
				if err != nil {
					return err
				}
				if err := clock.Sleep(c.Context(), clock.NewSystem(), lookAgain); err != nil {
					return err
				}
			}
		},
	}, false)
}
