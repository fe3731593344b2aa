package sandbox

import "time"

// Version is the version of policy documents that this package reads.
const Version = 1

// Policy is what one workload may do. The zero value of an optional field is the strict choice.
type Policy struct {
	Version int `yaml:"version"`
	// Name is what logs and clusters call the workload: a DNS label.
	Name string `yaml:"name"`
	// Isolation is the kind of kernel, or the exact level, that the workload must have. Default: gvisor.
	Isolation Isolation `yaml:"isolation"`
	Root      Root      `yaml:"root"`
	Command   []string  `yaml:"command"`
	// User is never looked up in the image's own files, which the image's author controls. Default: nobody, 65534.
	User             *User             `yaml:"user"`
	WorkingDirectory string            `yaml:"working_directory"` // absolute; default "/"
	Environment      map[string]string `yaml:"environment"`
	Secrets          []Secret          `yaml:"secrets"`
	Mounts           []Mount           `yaml:"mounts"`
	Limits           Limits            `yaml:"limits"`
	Network          Network           `yaml:"network"`
	Syscalls         Syscalls          `yaml:"syscalls"`
	// TimeLimit ends the workload, counted from its first event; zero is none. 1 s to 30 days.
	TimeLimit  Duration   `yaml:"time_limit"`
	Audit      Audit      `yaml:"audit"`
	Kubernetes Kubernetes `yaml:"kubernetes"`
}

// Root is the workload's root file system: exactly one of Image and Directory. It is never changed: with Writable,
// changes stay in the sandbox's memory and end with it.
type Root struct {
	Image     string `yaml:"image"`     // an OCI image layout (a folder), or a tar of one or of docker save
	Directory string `yaml:"directory"` // a folder that is the root itself
	Digest    string `yaml:"digest"`    // "sha256:" and 64 hex digits: the image's manifest; another is refused
	Writable  bool   `yaml:"writable"`
}

// User is whom the workload runs as, inside the sandbox.
type User struct {
	UID uint32 `yaml:"uid"`
	GID uint32 `yaml:"gid"`
}

// Secret is a file of the host that the workload sees, read-only, at SecretFolder/Name.
type Secret struct {
	Name string `yaml:"name"`
	File string `yaml:"file"`
}

// Mount is a folder or file of the host at a place in the sandbox, or fresh memory there: exactly one of Source and
// Memory.
type Mount struct {
	Target   string `yaml:"target"`
	Source   string `yaml:"source"`
	Memory   Size   `yaml:"memory"` // counts against Limits.Memory
	Writable bool   `yaml:"writable"`
}

// Limits are upper bounds. The first three are required: a workload without them can starve its host.
type Limits struct {
	CPU       MilliCPU `yaml:"cpu"`        // 10 (a hundredth of a core) to 1,024,000
	Memory    Size     `yaml:"memory"`     // of the sandbox with its kernel; 64 MiB to 16 TiB
	Processes int      `yaml:"processes"`  // host threads and processes of the sandbox with its kernel; 64 to 100,000
	OpenFiles int      `yaml:"open_files"` // per process; 16 to 1,048,576, default 1,024
	FileSize  Size     `yaml:"file_size"`  // of one file that is written; zero is none
}

// Network is what the workload can reach, and what reaches it: nothing, but sockets that are named here.
type Network struct {
	// Sockets are Unix sockets of the host (of a broker or a mesh proxy), which appear at SocketFolder/Name.
	Sockets []Socket `yaml:"sockets"` // Parse adds one for each of Services and Egress
	// Services are names of services of the mesh, which appear at SocketFolder/Name. Calls go out as the identity of
	// whoever runs the sandbox says; see Policy.Broker.
	Services []string `yaml:"services"`
	Egress   []Egress `yaml:"egress"`
	// Listen are names of stream sockets that the workload makes in ListenFolder, for those outside that may call it.
	Listen []string `yaml:"listen"`
}

// Socket is one Unix socket of the host.
type Socket struct {
	Name    string `yaml:"name"`
	Path    string `yaml:"path"`
	Service bool   `yaml:"-"` // of Network.Services
	Address string `yaml:"-"` // of Network.Egress
}

// Syscalls narrows what the sandbox's kernel does for the workload.
type Syscalls struct {
	// Deny are names of system calls that fail with EPERM.
	Deny []string `yaml:"deny"`
}

// Audit is what is recorded. Starts, new tasks, executed binaries with their SHA-256, and ends always are.
type Audit struct {
	Events []EventSet `yaml:"events"`
	// WhenBehind is what happens when events come faster than they are recorded.
	WhenBehind WhenBehind `yaml:"when_behind"`
	// Binaries are the SHA-256 of programs that may be executed, for rules: 64 lower-case hex digits each.
	Binaries []string `yaml:"binaries"`
	Rules    []Rule   `yaml:"rules"`
}

// EventSet names a group of events.
type EventSet string

// The groups that can be added to what is always recorded.
const (
	EventsFile     EventSet = "file"     // opened, created, changed folder, new root
	EventsNetwork  EventSet = "network"  // socket, connect, bind, listen, accept
	EventsIdentity EventSet = "identity" // changes of user and group, ptrace, limits
	EventsMemory   EventSet = "memory"   // files that are mapped to be executed
)

// WhenBehind is a reaction to events that come too fast.
type WhenBehind string

// The reactions. None loses an event silently: a lost one is a gap in the record.
const (
	BehindSlow   WhenBehind = "slow"   // the default: the workload waits, up to about 2 s for an event
	BehindRecord WhenBehind = "record" // the workload does not wait; what is lost is recorded as a gap
	BehindStop   WhenBehind = "stop"   // as slow, and a gap ends the workload
)

// Kubernetes is what only a cluster needs to know.
type Kubernetes struct {
	Image        string `yaml:"image"`         // a reference with a digest, for the cluster's registry
	RuntimeClass string `yaml:"runtime_class"` // default "gvisor"
}

// Where secrets and sockets appear in the sandbox.
const (
	SecretFolder = "/run/secrets"
	SocketFolder = "/run/services"
)

// Bounds of a document. They keep a hostile one from costing more than its size.
const (
	MaxDocument = 64 << 10 // bytes
	maxItems    = 256      // entries of a list or map
	maxText     = 4096     // bytes of one text
)

// Values that stand for a field that is left out.
const (
	defaultOpenFiles    = 1024
	nobody              = 65534
	defaultRuntimeClass = "gvisor"
)

// Limit is the time limit as a duration of the standard library.
func (p *Policy) Limit() time.Duration { return time.Duration(p.TimeLimit) }
