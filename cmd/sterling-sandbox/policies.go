package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/ownkernel"
)

func parsePolicy(path string) (*sandbox.Policy, error) {
	document, err := readPolicy(path)
	if err != nil {
		return nil, err
	}
	p, err := sandbox.Parse(document)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the policy's folder: %w", err)
	}
	p.Resolve(filepath.Dir(abs))
	return p, nil
}

func (c *command) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check POLICY",
		Short: "Explain what is risky in a policy; exit status 2 where it must not run",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePolicy(args[0])
			if err != nil {
				return err
			}
			findings := sandbox.Check(p)
			if c.json {
				err = printJSON(cmd.OutOrStdout(), findings)
			} else {
				var b strings.Builder
				for _, f := range findings {
					fmt.Fprintf(&b, "%-6s  %s: %s\n", f.Severity, f.Field, f.Why)
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), b.String())
			}
			if len(findings) > 0 && findings[0].Severity == sandbox.SeverityRefuse {
				err = errors.Join(err, &exitError{code: exitUsage})
			}
			return err
		},
	}
}

func (c *command) compileCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "compile POLICY --out FOLDER",
		Short: "Write what a policy compiles to: OCI spec, flags and trace session, objects for Kubernetes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parsePolicy(args[0])
			if err != nil {
				return err
			}
			if out, err = filepath.Abs(out); err != nil {
				return fmt.Errorf("find the folder: %w", err)
			}
			files, err := compiled(p, out)
			if err != nil {
				return err
			}
			manifest, seccomp, err := p.Manifest()
			if err == nil {
				files["kubernetes.json"], files["seccomp.json"] = manifest, seccomp
			} else {
				cmd.PrintErrf("nothing for Kubernetes: %v\n", err)
			}
			return writeFiles(out, files)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write to; made if it is not there")
	_ = cmd.MarkFlagRequired("out") // it is defined above
	return cmd
}

// compiled is what a host enforces a policy with.
func compiled(p *sandbox.Policy, out string) (map[string][]byte, error) {
	root, file := p.Root.Directory, ""
	if root == "" {
		root = filepath.Join(out, "root")
		if p.Isolation.Kind() == sandbox.GVisor {
			file = filepath.Join(out, "root.erofs")
		}
	}
	p.Broker(filepath.Join(out, "services"))
	plan, err := sandbox.Compile(p, sandbox.Site{
		Listen: filepath.Join(out, "listen"),
		ID:     p.Name, Root: root, RootFile: file, AuditSocket: filepath.Join(out, "audit.sock"), Cgroup: "/sterling-sandbox/" + p.Name, KVM: p.Isolation == sandbox.GVisorKVM,
	})
	if err != nil {
		return nil, err
	}
	lines := func(all []string) []byte { return []byte(strings.Join(all, "\n") + "\n") }
	switch p.Isolation.Kind() {
	case sandbox.OwnKernel:
		spec := ownkernel.SpecOf(p, p.Isolation != sandbox.OwnKernelTCG)
		return map[string][]byte{"qemu.arguments": lines(spec.Arguments("qemu-system-x86_64"))}, nil
	case sandbox.Kata: // there is nothing but what Kubernetes gets
		return map[string][]byte{}, nil
	}
	return map[string][]byte{"config.json": plan.Spec, "trace.json": plan.Trace, "runsc.flags": lines(plan.Flags)}, nil
}

func writeFiles(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func (c *command) buildCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "build SOURCE --out FOLDER",
		Short: "Make an image, an OCI layout, of a static binary or a folder, and print its digest; the same content gives the same",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			digest, err := gvisor.Build(args[0], out)
			if err != nil {
				return err
			}
			if c.json {
				return printJSON(cmd.OutOrStdout(), map[string]string{"digest": digest})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), digest)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write to, which must not exist")
	_ = cmd.MarkFlagRequired("out") // it is defined above
	return cmd
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of policies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), sandbox.Schema)
			return err
		},
	}
}
