package sandbox

// A session of gVisor's tracing, in the JSON of --pod-init-config.
type (
	traceConfig struct {
		Session traceSession `json:"trace_session"`
	}
	traceSession struct {
		Name   string       `json:"name"`
		Points []tracePoint `json:"points"`
		Sinks  []traceSink  `json:"sinks"`
	}
	tracePoint struct {
		Name           string   `json:"name"`
		OptionalFields []string `json:"optional_fields,omitempty"`
		ContextFields  []string `json:"context_fields"`
	}
	traceSink struct {
		Name   string      `json:"name"`
		Config traceRemote `json:"config"`
		// IgnoreSetupError is false: without a collector the sandbox does not start.
		IgnoreSetupError bool `json:"ignore_setup_error"`
	}
	traceRemote struct {
		Endpoint   string `json:"endpoint"`
		Retries    int    `json:"retries"`
		Backoff    string `json:"backoff"`
		BackoffMax string `json:"backoff_max"`
	}
)

// traceContext is what each event says about the task that caused it.
var traceContext = []string{
	"time", "thread_id", "group_id", "parent_thread_group_id", "thread_group_start_time", "credentials", "cwd",
	"process_name", "is_exec_session",
}

// alwaysTraced are the points without which the end of a record can't be compared with its beginning.
var alwaysTraced = []tracePoint{
	{Name: "container/start", ContextFields: traceContext},
	{Name: "sentry/clone", ContextFields: traceContext},
	{Name: "sentry/execve", OptionalFields: []string{"binary_info", "binary_sha256"}, ContextFields: traceContext},
	{Name: "sentry/task_exit", ContextFields: traceContext},
}

// traced are the points of each set. A system call is recorded when it returns, with its result.
var traced = map[EventSet][]tracePoint{
	EventsFile: {
		onExit("open"), onExit("openat", "fd_path"), onExit("creat", "fd_path"), onExit("chdir"), onExit("fchdir", "fd_path"), onExit("chroot"),
	},
	EventsNetwork: {
		onExit("socket"), onExit("socketpair"), onExit("connect", "fd_path"), onExit("bind", "fd_path"),
		onExit("listen", "fd_path"), onExit("accept", "fd_path"), onExit("accept4", "fd_path"),
	},
	EventsIdentity: {
		onExit("setuid"), onExit("setgid"), onExit("setsid"), onExit("setresuid"), onExit("setresgid"), onExit("ptrace"),
		onExit("prlimit64"),
	},
	EventsMemory: {{Name: "sentry/mmap", ContextFields: traceContext}},
}

func onExit(call string, optional ...string) tracePoint {
	return tracePoint{Name: "syscall/" + call + "/exit", OptionalFields: optional, ContextFields: traceContext}
}

// Retries of the sentry before it counts an event as lost. Its back-off doubles from 25 µs to 10 ms, so that 200 are
// about 2 s, and 3 less than a quarter of a millisecond.
const (
	retriesRecord = 3
	retriesSlow   = 200
)

func (p *Policy) trace(socket string) traceConfig {
	points := append([]tracePoint{}, alwaysTraced...)
	seen := map[EventSet]bool{}
	for _, set := range p.Audit.Events {
		if !seen[set] {
			points = append(points, traced[set]...)
		}
		seen[set] = true
	}
	if len(p.Network.Sockets) > 0 && !seen[EventsNetwork] {
		points = append(points, onExit("connect", "fd_path")) // the host's own count is compared with them
	}
	retries := retriesSlow
	if p.Audit.WhenBehind == BehindRecord {
		retries = retriesRecord
	}
	return traceConfig{Session: traceSession{
		Name:   "Default", // gVisor has one session a sandbox, of this name
		Points: points,
		Sinks: []traceSink{{Name: "remote", Config: traceRemote{
			Endpoint: socket, Retries: retries, Backoff: "25us", BackoffMax: "10ms",
		}}},
	}}
}
