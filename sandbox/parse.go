package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// ErrPolicy is wrapped by every error about the content of a policy.
var ErrPolicy = errors.New("sandbox policy")

// Parse reads one policy document, fills in what was left out, and verifies every bound. Unknown keys are errors. The
// error wraps ErrPolicy and names each fault it found, one a line.
func Parse(document []byte) (*Policy, error) {
	if len(document) > MaxDocument {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrPolicy, len(document), MaxDocument)
	}
	d := yaml.NewDecoder(bytes.NewReader(document))
	d.KnownFields(true)
	p := &Policy{}
	if err := d.Decode(p); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the document is empty")
		}
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: one document is wanted, and more follows", ErrPolicy)
	}
	p.fill()
	v := &validator{}
	v.policy(p)
	if len(v.faults) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrPolicy, strings.Join(v.faults, "\n"))
	}
	return p, nil
}

func (p *Policy) fill() {
	if p.WorkingDirectory == "" {
		p.WorkingDirectory = "/"
	}
	if p.User == nil {
		p.User = &User{UID: nobody, GID: nobody}
	}
	if p.Isolation == "" {
		p.Isolation = GVisor
	}
	if p.Limits.OpenFiles == 0 {
		p.Limits.OpenFiles = defaultOpenFiles
	}
	if p.Audit.WhenBehind == "" {
		p.Audit.WhenBehind = BehindSlow
	}
	if p.Kubernetes.RuntimeClass == "" {
		p.Kubernetes.RuntimeClass = defaultRuntimeClass
		if p.Isolation == Kata {
			p.Kubernetes.RuntimeClass = string(Kata)
		}
	}
}

var (
	labelForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	syscallForm  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	digestForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hashForm     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// A count of repetitions is compiled into as many copies; so the length is compared apart.
	imageForm = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
)

const maxReference = 473

// ValidName tells whether a name is a DNS label, as policies and sandboxes are called.
func ValidName(name string) bool { return labelForm.MatchString(name) }

// reserved are places in the sandbox that its kernel fills.
var reserved = []string{"/", "/proc", "/sys", "/dev", SecretFolder, SocketFolder, ListenFolder}

type validator struct{ faults []string }

func (v *validator) want(ok bool, format string, args ...any) {
	if !ok {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

func (v *validator) text(where, s string) {
	v.want(len(s) <= maxText && !strings.ContainsRune(s, 0), "%s: at most %d bytes, none of them zero", where, maxText)
}

func (v *validator) items(where string, n int) {
	v.want(n <= maxItems, "%s: %d entries, at most %d", where, n, maxItems)
}

func (v *validator) policy(p *Policy) {
	v.want(p.Version == Version, "version: %d, this program reads %d", p.Version, Version)
	v.want(ValidName(p.Name), "name: %q is no DNS label (a-z, 0-9 and -, up to 63)", clip(p.Name))
	v.isolation(p.Isolation)
	v.root(p.Root)
	v.want(len(p.Command) > 0 && p.Command[0] != "", "command: nothing to run")
	v.items("command", len(p.Command))
	for _, s := range p.Command {
		v.text("command", s)
	}
	v.place("working_directory", p.WorkingDirectory)
	v.items("environment", len(p.Environment))
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		v.want(variableForm.MatchString(name), "environment: %q is no name of a variable", clip(name))
		v.text("environment."+clip(name), p.Environment[name])
	}
	v.mounts(p)
	v.network(&p.Network)
	v.limits(p.Limits)
	v.items("syscalls.deny", len(p.Syscalls.Deny))
	for _, s := range p.Syscalls.Deny {
		v.want(syscallForm.MatchString(s), "syscalls.deny: %q is no name of a system call", clip(s))
	}
	const longest = Duration(30 * 24 * time.Hour)
	v.want(p.TimeLimit == 0 || p.TimeLimit >= Duration(time.Second) && p.TimeLimit <= longest, "time_limit: 1s to 720h")
	v.audit(p.Audit)
	v.rules(p)
	v.want(p.Kubernetes.Image == "" || len(p.Kubernetes.Image) <= maxReference && imageForm.MatchString(p.Kubernetes.Image),
		"kubernetes.image: %q is no reference with a digest (name@sha256:…)", clip(p.Kubernetes.Image))
	v.want(ValidName(p.Kubernetes.RuntimeClass), "kubernetes.runtime_class: %q is no DNS label", clip(p.Kubernetes.RuntimeClass))
}

func (v *validator) root(r Root) {
	v.want((r.Image == "") != (r.Directory == ""), "root: exactly one of image and directory")
	v.text("root.image", r.Image)
	v.text("root.directory", r.Directory)
	v.want(r.Digest == "" || r.Image != "" && digestForm.MatchString(r.Digest),
		"root.digest: sha256: and 64 hex digits, together with image")
}

// place verifies a path inside the sandbox.
func (v *validator) place(where, s string) {
	v.text(where, s)
	v.want(path.IsAbs(s) && path.Clean(s) == s, "%s: %q is no absolute path in its shortest form", where, clip(s))
}

func (v *validator) mounts(p *Policy) {
	v.items("mounts", len(p.Mounts))
	v.items("secrets", len(p.Secrets))
	v.items("network.sockets", len(p.Network.Sockets))
	var targets []string
	for i, m := range p.Mounts {
		where := fmt.Sprintf("mounts[%d]", i)
		v.place(where+".target", m.Target)
		v.text(where+".source", m.Source)
		v.want((m.Source == "") != (m.Memory == 0), "%s: exactly one of source and memory", where)
		v.want(m.Memory == 0 || m.Writable, "%s: memory that is not writable is of no use; say writable: true", where)
		for _, r := range reserved {
			v.want(m.Target != r && (r == "/" || !strings.HasPrefix(m.Target, r+"/")), "%s.target: %q belongs to the sandbox", where, clip(m.Target))
		}
		v.want(!slices.Contains(targets, m.Target), "%s.target: %q is there twice", where, clip(m.Target))
		targets = append(targets, m.Target)
	}
	seen := map[string]bool{}
	name := func(kind, name, file string) {
		v.want(nameForm.MatchString(name), "%s: %q is no name (letters, digits, dot, dash, underscore; up to 63)", kind, clip(name))
		v.want(!seen[kind+name], "%s: %q is there twice", kind, clip(name))
		seen[kind+name] = true
		v.text(kind, file)
		v.want(file != "", "%s: %q has no file", kind, clip(name))
	}
	for _, s := range p.Secrets {
		name("secrets", s.Name, s.File)
	}
	for _, s := range p.Network.Sockets {
		name("network.sockets", s.Name, s.Path)
	}
}

func (v *validator) limits(l Limits) {
	v.want(l.CPU >= 10 && l.CPU <= 1_024_000, "limits.cpu: required, 0.01 to 1024 cores")
	v.want(l.Memory >= 64<<20 && l.Memory <= 16<<40, "limits.memory: required, 64MiB to 16TiB")
	v.want(l.Processes >= 64 && l.Processes <= 100_000, "limits.processes: required, 64 to 100000; the sandbox's kernel needs about 40 of them")
	v.want(l.OpenFiles >= 16 && l.OpenFiles <= 1<<20, "limits.open_files: 16 to 1048576")
}

func (v *validator) audit(a Audit) {
	v.items("audit.events", len(a.Events))
	for _, e := range a.Events {
		v.want(slices.Contains([]EventSet{EventsFile, EventsNetwork, EventsIdentity, EventsMemory}, e),
			"audit.events: %q is none of file, network, identity, memory", clip(string(e)))
	}
	v.want(slices.Contains([]WhenBehind{BehindSlow, BehindRecord, BehindStop}, a.WhenBehind),
		"audit.when_behind: %q is none of slow, record, stop", clip(string(a.WhenBehind)))
}
