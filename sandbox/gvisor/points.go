package gvisor

// A field of a message of gVisor's tracing, and how it is written down.
type field struct {
	name string
	kind kind
	of   *fields // of a message
}

type kind uint8

const (
	kindInt  kind = iota + 1 // a signed integer
	kindUint                 // an unsigned integer
	kindBool
	kindText    // UTF-8 that comes from the workload
	kindTexts   // a list of them
	kindHex     // bytes
	kindAddress // a sockaddr of the kernel
	kindMessage
	kindLeftOut // known, and not written down: an environment holds secrets, the others say nothing more
)

// A point is one type of message.
type point struct {
	name   string
	fields fields
}

// fields are a message's by their number. A kind of 0 is a field that is not written down.
type fields [maxField + 1]field

// maxField is the largest number of a field that is.
const maxField = 31

// Numbers of messages and fields are those of gVisor's pkg/sentry/seccheck/points; a test of cmd/sterling-sandbox
// compares this table with the gVisor that it is built with. A point that policies can't ask for is not here.
const (
	msgStart = 1
	msgClone = 2
	msgExec  = 3
	msgExit  = 5

	msgConnect = 10
)

const contextUser = 7

var contextFields = fields{
	1: {name: "at", kind: kindInt},
	2: {name: "task", kind: kindInt},
	3: {kind: kindLeftOut},
	4: {name: "process", kind: kindInt},
	5: {name: "process_started", kind: kindInt},
	6: {kind: kindLeftOut},
	contextUser: {name: "user", kind: kindMessage, of: &fields{
		1: {name: "uid", kind: kindUint}, 2: {name: "euid", kind: kindUint}, 3: {name: "suid", kind: kindUint},
		4: {name: "gid", kind: kindUint}, 5: {name: "egid", kind: kindUint}, 6: {name: "sgid", kind: kindUint},
	}},
	8:  {name: "folder", kind: kindText},
	9:  {name: "command", kind: kindText},
	10: {name: "parent", kind: kindInt},
	11: {name: "exec_session", kind: kindBool},
}

var timespecFields = fields{1: {name: "s", kind: kindInt}, 2: {name: "ns", kind: kindInt}}

var exitFields = fields{1: {name: "result", kind: kindInt}, 2: {name: "errno", kind: kindInt}}

// event is a message of the kernel itself, call one of a system call.
func event(name string, more fields) *point {
	more[1] = field{name: "context", kind: kindMessage, of: &contextFields}
	return &point{name, more}
}

func call(name string, more fields) *point {
	more[2] = field{name: "exit", kind: kindMessage, of: &exitFields}
	more[3] = field{name: "sysno", kind: kindUint}
	return event(name, more)
}

func onFile(name string, more fields) *point {
	more[4] = field{name: "fd", kind: kindInt}
	more[5] = field{name: "fd_path", kind: kindText}
	return call(name, more)
}

var limitFields = fields{1: {name: "soft", kind: kindUint}, 2: {name: "hard", kind: kindUint}}

// points are the messages by their number.
var points = map[uint16]*point{
	msgStart: event("start", fields{
		2: {name: "id", kind: kindText}, 3: {name: "cwd", kind: kindText}, 4: {name: "argv", kind: kindTexts},
		5: {kind: kindLeftOut}, 6: {name: "terminal", kind: kindBool},
	}),
	msgClone: event("clone", fields{
		3: {name: "new_task", kind: kindInt}, 4: {name: "new_process", kind: kindInt},
		5: {name: "new_started", kind: kindInt}, 6: {name: "flags", kind: kindUint},
	}),
	msgExec: event("exec", fields{
		2: {name: "path", kind: kindText}, 3: {name: "argv", kind: kindTexts}, 4: {kind: kindLeftOut}, 5: {name: "mode", kind: kindUint},
		6: {name: "owner", kind: kindUint}, 7: {name: "group", kind: kindUint}, 8: {name: "sha256", kind: kindHex},
		9: {name: "upper", kind: kindBool}, 15: {name: "lower", kind: kindBool}, 10: {name: "inode", kind: kindUint},
		11: {name: "changed", kind: kindMessage, of: &timespecFields}, 17: {name: "name", kind: kindText},
		18: {name: "size", kind: kindInt}, 19: {name: "links", kind: kindUint}, 20: {name: "in_memory", kind: kindBool},
		12: {kind: kindLeftOut}, 13: {kind: kindLeftOut}, 14: {kind: kindLeftOut}, 16: {kind: kindLeftOut},
		21: {kind: kindLeftOut}, 22: {kind: kindLeftOut},
	}),
	msgExit:    event("exit", fields{2: {name: "status", kind: kindInt}}),
	7:          onFile("open", fields{6: {name: "path", kind: kindText}, 7: {name: "flags", kind: kindUint}, 8: {name: "mode", kind: kindUint}}),
	msgConnect: onFile("connect", fields{6: {name: "address", kind: kindAddress}}),
	12: call("socket", fields{
		4: {name: "domain", kind: kindInt}, 5: {name: "type", kind: kindInt}, 6: {name: "protocol", kind: kindInt},
	}),
	13: onFile("chdir", fields{6: {name: "path", kind: kindText}}),
	14: call("setid", fields{4: {name: "id", kind: kindUint}}),
	15: call("setresid", fields{4: {name: "rid", kind: kindUint}, 5: {name: "eid", kind: kindUint}, 6: {name: "sid", kind: kindUint}}),
	16: call("prlimit", fields{
		4: {name: "pid", kind: kindInt}, 5: {name: "resource", kind: kindInt},
		6: {name: "new", kind: kindMessage, of: &limitFields}, 7: {name: "old", kind: kindMessage, of: &limitFields},
	}),
	21: call("chroot", fields{4: {name: "path", kind: kindText}}),
	24: onFile("bind", fields{6: {name: "address", kind: kindAddress}}),
	33: call("socketpair", fields{
		4: {name: "domain", kind: kindInt}, 5: {name: "type", kind: kindInt}, 6: {name: "protocol", kind: kindInt},
		7: {name: "first", kind: kindInt}, 8: {name: "second", kind: kindInt},
	}),
	35: event("map", fields{
		2: {name: "path", kind: kindText}, 3: {name: "inode", kind: kindUint}, 4: {name: "mode", kind: kindUint},
		5: {name: "owner", kind: kindUint}, 6: {name: "group", kind: kindUint}, 7: {name: "initial", kind: kindBool},
		8: {name: "changed", kind: kindMessage, of: &timespecFields}, 9: {name: "upper", kind: kindBool}, 10: {name: "lower", kind: kindBool},
	}),
	37: onFile("listen", fields{
		6: {name: "backlog", kind: kindInt}, 7: {name: "address", kind: kindAddress},
		8: {name: "domain", kind: kindInt}, 9: {name: "type", kind: kindInt},
	}),
	38: call("ptrace", fields{4: {name: "request", kind: kindInt}, 5: {name: "pid", kind: kindInt}}),
	25: onFile("accept", fields{6: {name: "address", kind: kindAddress}, 7: {name: "flags", kind: kindInt}}),
}
