package sandbox

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Severity says what a finding means.
type Severity string

// The severities.
const (
	SeverityRefuse Severity = "refuse" // must not run: Compile refuses it
	SeverityWarn   Severity = "warn"   // weakens the isolation or the record
	SeverityNote   Severity = "note"   // worth knowing
)

// Finding is one risk of a policy.
type Finding struct {
	Severity Severity `json:"severity"`
	Field    string   `json:"field"` // where in the document
	Why      string   `json:"why"`   // what can happen, and what to do instead
}

// Check explains what is risky in a parsed policy, the worst first. It judges paths as they are written; links on the
// host are for the one who runs it to resolve first.
func Check(p *Policy) []Finding {
	var found []Finding
	add := func(s Severity, field, format string, args ...any) {
		found = append(found, Finding{s, field, fmt.Sprintf(format, args...)})
	}
	checkIsolation(p, add)
	checkMounts(p, add)
	checkSecrets(p, add)
	if p.User.UID == 0 {
		add(SeverityWarn, "user.uid", "root inside the sandbox: a fault of its kernel is easier to use for root; run as another user")
	}
	if p.Root.Image != "" && p.Root.Digest == "" {
		add(SeverityWarn, "root.digest", "the image is not pinned: whoever writes the file decides what runs; add its digest")
	}
	if p.Root.Directory != "" {
		add(SeverityNote, "root.directory", "a folder has no digest: whoever writes it decides what runs")
	}
	if p.TimeLimit == 0 {
		add(SeverityNote, "time_limit", "none: a workload that hangs runs until someone stops it")
	}
	if p.Audit.WhenBehind == BehindRecord {
		add(SeverityWarn, "audit.when_behind", "a workload can flood the record and act in the gap; the gap is recorded, what happened in it is not")
	}
	for _, set := range []EventSet{EventsFile, EventsNetwork, EventsIdentity} {
		if !slices.Contains(p.Audit.Events, set) {
			add(SeverityNote, "audit.events", "%s events are not recorded", set)
		}
	}
	if p.Audit.WhenBehind == BehindRecord && len(p.Audit.Rules) > 0 {
		add(SeverityWarn, "audit.rules", "an event that is lost is one that no rule saw, so the strictest of them fires: say when_behind: slow")
	}
	for i, r := range p.Audit.Rules {
		if r.Standard == RuleSecretOpened {
			add(SeverityNote, fmt.Sprintf("audit.rules[%d]", i), "sees the path that is asked for, made absolute, and not where links lead: keep root.writable off and mounts without places to make links in")
		}
	}
	checkNetwork(p, add)
	rank := []Severity{SeverityRefuse, SeverityWarn, SeverityNote}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return slices.Index(rank, a.Severity) - slices.Index(rank, b.Severity)
	})
	return found
}

type adder func(s Severity, field, format string, args ...any)

// Places of the host that give it away: to any workload, to one that writes there, to one that can read what root can.
var (
	neverMounted = []string{"/proc", "/sys", "/dev", "/boot"}
	neverWritten = []string{"/bin", "/etc", "/lib", "/lib32", "/lib64", "/opt", "/root", "/run", "/sbin", "/usr", "/var/lib", "/var/run"}
	heldClose    = []string{"/etc", "/root", "/home", "/run", "/var/lib", "/var/run"}
	engines      = regexp.MustCompile(`(^|/)(docker|containerd|crio|podman|runsc|dockershim)[^/]*\.sock$`)
)

func checkMounts(p *Policy, add adder) {
	var memory Size
	for i, m := range p.Mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		memory += m.Memory
		if m.Source == "" {
			continue
		}
		checkSource(add, field+".source", m.Source)
		if below(m.Source, neverWritten) != "" && m.Writable {
			add(SeverityRefuse, field+".writable", "%s: a workload that writes there owns the host", m.Source)
		} else if m.Writable {
			add(SeverityWarn, field+".writable", "%s: what the workload writes there outlives it, and programs outside may trust it", m.Source)
		} else if below(m.Source, heldClose) != "" {
			add(SeverityWarn, field+".source", "%s: may hold secrets of the host, or sockets; name the one file that is needed", m.Source)
		}
		if len(p.Network.Sockets) > 0 {
			add(SeverityWarn, field+".source", "%s: with network.sockets, every socket below it can be reached, not only those named", m.Source)
		}
	}
	if memory > p.Limits.Memory {
		add(SeverityWarn, "mounts", "memory file systems may hold %d bytes, more than limits.memory: a full one ends the workload", memory)
	}
	if p.Root.Directory != "" {
		checkSource(add, "root.directory", p.Root.Directory)
		if len(p.Network.Sockets) > 0 {
			add(SeverityNote, "root.directory", "with network.sockets, every socket in the folder can be reached: an image has none")
		}
	}
	for i, s := range p.Network.Sockets {
		if engines.MatchString(s.Path) {
			add(SeverityRefuse, fmt.Sprintf("network.sockets[%d].path", i), "%s: whoever talks to a container engine owns the host", s.Path)
		}
	}
}

func checkSource(add adder, field, source string) {
	switch source = path.Clean(source); {
	case source == "/":
		add(SeverityRefuse, field, "the whole host: name the folder that is needed")
	case engines.MatchString(source):
		add(SeverityRefuse, field, "%s: whoever talks to a container engine owns the host", source)
	case below(source, neverMounted) != "":
		add(SeverityRefuse, field, "%s: the host's kernel and devices; the sandbox has its own", source)
	}
}

// below returns the tree that a path is in, or that is in it; "" if none.
func below(p string, trees []string) string {
	p = path.Clean(p)
	for _, tree := range trees {
		if p == tree || strings.HasPrefix(p, tree+"/") || strings.HasPrefix(tree, strings.TrimSuffix(p, "/")+"/") {
			return tree
		}
	}
	return ""
}

var secretName = regexp.MustCompile(`(?i)(passw|secret|token|credential|private|api_?key|access_?key|dsn)`)

func checkSecrets(p *Policy, add adder) {
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		if secretName.MatchString(name) {
			add(SeverityWarn, "environment."+name, "looks like a secret: an environment is in this document, in /proc and inherited by every child; use secrets")
		}
	}
	for i, s := range p.Secrets {
		if below(s.File, neverMounted) != "" {
			add(SeverityRefuse, fmt.Sprintf("secrets[%d].file", i), "%s: the host's kernel and devices hold no secret of a workload", s.File)
		}
	}
}
