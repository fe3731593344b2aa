package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// ErrRefused is wrapped when Compile refuses a policy that Check says must not run.
var ErrRefused = errors.New("sandbox policy refused")

// Site is where a sandbox's own things are on the host. All paths are absolute.
type Site struct {
	ID          string // the sandbox's name: a DNS label
	Root        string // the root file system; with RootFile, an empty folder
	RootFile    string // a file of EROFS that is the root file system; "" where Root is
	AuditSocket string // where the recorder of events listens
	Cgroup      string // the sandbox's control group, below the mount of each controller: "/sterling-sandbox/…"
	Listen      string // a folder for the sockets of Network.Listen; "" where there are none
	KVM         bool   // gVisor uses KVM, not systrap
	Idle        bool   // the first process is package gvisor's init, which the workload takes the place of
}

// Plan is a policy as gVisor enforces it.
type Plan struct {
	Spec  []byte   // config.json of the OCI bundle
	Flags []string // flags of runsc, before its sub-command; none of them is the state folder
	Trace []byte   // the file for --pod-init-config: which events go where
}

// Compile turns a policy into what gVisor enforces at a site. Relative paths of the policy must have been resolved
// (Policy.Resolve). The error wraps ErrRefused where Check finds something that must not run.
func Compile(p *Policy, at Site) (*Plan, error) {
	for _, f := range Check(p) {
		if f.Severity == SeverityRefuse {
			return nil, fmt.Errorf("%w: %s: %s", ErrRefused, f.Field, f.Why)
		}
	}
	if !ValidName(at.ID) {
		return nil, fmt.Errorf("%w: %q is no name of a sandbox", ErrPolicy, clip(at.ID))
	}
	paths := append(p.hostPaths(), at.Root, at.AuditSocket, at.Cgroup)
	if len(p.Network.Listen) > 0 {
		paths = append(paths, at.Listen)
	}
	if at.RootFile != "" {
		paths = append(paths, at.RootFile)
	}
	for _, s := range paths {
		if !path.IsAbs(s) {
			return nil, fmt.Errorf("%w: %q is relative", ErrPolicy, clip(s))
		}
	}
	if at.Idle && !p.CanIdle() {
		return nil, fmt.Errorf("%w: a sandbox that idles needs the system calls %s, and has no network.services or network.listen", ErrRefused, strings.Join(idleCalls, ", "))
	}
	spec, err := encode(p.spec(at))
	if err != nil {
		return nil, err
	}
	trace, err := encode(p.trace(at.AuditSocket))
	if err != nil {
		return nil, err
	}
	return &Plan{Spec: spec, Flags: p.flags(at), Trace: trace}, nil
}

func encode(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(text, '\n'), nil
}

// Resolve makes relative paths of the host absolute, from a folder: the one the policy's document is in.
func (p *Policy) Resolve(folder string) {
	abs := func(s *string) {
		if *s != "" && !path.IsAbs(*s) {
			*s = path.Join(folder, *s)
		}
	}
	abs(&p.Root.Image)
	abs(&p.Root.Directory)
	for i := range p.Mounts {
		abs(&p.Mounts[i].Source)
	}
	for i := range p.Secrets {
		abs(&p.Secrets[i].File)
	}
	for i := range p.Network.Sockets {
		abs(&p.Network.Sockets[i].Path) // that of a brokered one is not known yet
	}
}

// hostPaths are the paths of the host that the sandbox reaches, besides its root.
func (p *Policy) hostPaths() []string {
	var all []string
	for _, m := range p.Mounts {
		if m.Source != "" {
			all = append(all, m.Source)
		}
	}
	for _, s := range p.Secrets {
		all = append(all, s.File)
	}
	for _, s := range p.Network.Sockets {
		all = append(all, s.Path)
	}
	return all
}

// flags are runsc's. Those that say what is the default already are there because a default may change.
func (p *Policy) flags(at Site) []string {
	platform := "--platform=systrap"
	if at.KVM {
		platform = "--platform=kvm"
	}
	// Without directfs, the kernel of the sandbox has no file descriptor of the host's folders, and no right to open
	// one: it asks a second process, the gofer, for each file.
	flags := []string{
		platform, "--network=none", "--directfs=false", "--net-raw=false", "--allow-suid=false",
		"--character-device-policy=emulated-only", "--host-fifo=none", "--ignore-cgroups=false", "--rootless=false",
	}
	switch {
	case p.Root.Writable && at.RootFile == "":
		flags = append(flags, "--overlay2=root:memory")
	default:
		flags = append(flags, "--overlay2=none")
	}
	flags = append(flags, "--host-uds="+p.Network.hostUDS())
	if len(p.Syscalls.Deny) > 0 {
		flags = append(flags, "--oci-seccomp=true")
	}
	return flags
}

func (p *Policy) spec(at Site) ociSpec {
	cpuPeriod := uint64(100_000) // µs
	s := ociSpec{
		Version:  ociVersion,
		Hostname: p.Name,
		Root:     ociRoot{Path: at.Root, ReadOnly: !p.Root.Writable},

		Annotations: p.annotations(at),
		Process: ociProcess{
			User:            ociUser{UID: p.User.UID, GID: p.User.GID},
			Args:            p.arguments(at.Idle),
			Env:             p.environment(),
			Cwd:             p.WorkingDirectory,
			NoNewPrivileges: true,
			Capabilities:    ociCapabilities{Bounding: []string{}, Effective: []string{}, Inheritable: []string{}, Permitted: []string{}, Ambient: []string{}},
			Rlimits: []ociRlimit{
				{Type: "RLIMIT_CORE"}, // a core file would carry secrets
				{Type: "RLIMIT_NOFILE", Hard: uint64(p.Limits.OpenFiles), Soft: uint64(p.Limits.OpenFiles)}, //nolint:gosec // Parse: 16 to 1 Mi
			},
		},
		Mounts: p.ociMounts(at),
		Linux: ociLinux{
			CgroupsPath: at.Cgroup,
			Resources: ociResources{
				Memory: ociMemory{Limit: int64(p.Limits.Memory)},
				CPU:    ociCPU{Quota: int64(p.Limits.CPU) * int64(cpuPeriod) / 1000, Period: cpuPeriod},
				Pids:   ociPids{Limit: int64(p.Limits.Processes)},
			},
		},
	}
	if size := uint64(p.Limits.FileSize); size > 0 { //nolint:gosec // Parse: positive
		s.Process.Rlimits = append(s.Process.Rlimits, ociRlimit{Type: "RLIMIT_FSIZE", Hard: size, Soft: size})
	}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, ociNamespace{Type: kind})
	}
	if len(p.Syscalls.Deny) > 0 {
		s.Linux.Seccomp = p.seccomp()
	}
	return s
}

// annotations tell gVisor to serve the root from a file by itself, without a second process. Where they are, --overlay2
// says nothing of the root.
func (p *Policy) annotations(at Site) map[string]string {
	if at.RootFile == "" {
		return nil
	}
	const rootfs = "dev.gvisor.spec.rootfs."
	a := map[string]string{rootfs + "source": at.RootFile, rootfs + "type": "erofs"}
	if p.Root.Writable {
		a[rootfs+"overlay"] = "memory"
	}
	return a
}

// defaultPath is where commands are looked for unless the policy says.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (p *Policy) environment() []string {
	env := []string{}
	if _, ok := p.Environment["PATH"]; !ok {
		env = append(env, "PATH="+defaultPath)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		env = append(env, name+"="+p.Environment[name])
	}
	return env
}

func (p *Policy) ociMounts(at Site) []ociMount {
	mounts := []ociMount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}}}
	bind := func(source, target, access string) {
		mounts = append(mounts, ociMount{
			Destination: target, Type: "bind", Source: source, Options: []string{"rbind", access, "nosuid", "nodev"},
		})
	}
	for _, m := range p.Mounts {
		access := "ro"
		if m.Writable {
			access = "rw"
		}
		if m.Source != "" {
			bind(m.Source, m.Target, access)
			continue
		}
		mounts = append(mounts, ociMount{
			Destination: m.Target, Type: "tmpfs", Source: "tmpfs",
			Options: []string{"nosuid", "nodev", "mode=1777", fmt.Sprintf("size=%d", m.Memory)},
		})
	}
	for _, s := range p.Secrets {
		bind(s.File, path.Join(SecretFolder, s.Name), "ro")
	}
	for _, s := range p.Network.Sockets {
		bind(s.Path, path.Join(SocketFolder, s.Name), "rw")
	}
	if len(p.Network.Listen) > 0 {
		bind(at.Listen, ListenFolder, "rw")
	}
	// A mount hides what is mounted below it before; so the shorter path comes first.
	slices.SortStableFunc(mounts, func(a, b ociMount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return mounts
}

func (p *Policy) seccomp() *ociSeccomp {
	return &ociSeccomp{
		DefaultAction: "SCMP_ACT_ALLOW",
		Syscalls:      []ociSyscall{{Names: p.Syscalls.Deny, Action: "SCMP_ACT_ERRNO"}},
	}
}
