package architecture

// A tree is a folder of the house and everything below it, except what has a line of its own.
type tree struct {
	path string
	rank int
	// pure: state and input in, results or a plan out. No I/O, clock, randomness or logger.
	pure bool
	// branches: each sub-folder is one implementation of the same contract; they share nothing.
	branches bool
	// free: sub-folders may import each other (generated code).
	free bool
}

// assemblyRank is the rank whose packages put others together: simulators, benchmarks, demos. They may import each
// other; nothing that handles money imports them.
const assemblyRank = 6

// table is the house. The longest path that contains a package gives its tree. A new top-level folder needs a line
// here, in docs/architecture.md, and a reason why no existing one fits.
var table = []tree{
	{path: "cmd", rank: 8},

	{path: "node", rank: 7},

	{path: "bench", rank: assemblyRank},
	{path: "console", rank: assemblyRank},
	{path: "demo", rank: assemblyRank},
	{path: "devcluster", rank: assemblyRank}, // several cells as child processes of the command, to try, measure and break
	{path: "drill", rank: assemblyRank},
	{path: "export", rank: assemblyRank},   // the ledger to files, through the client like any user; the command is its only caller
	{path: "importer", rank: assemblyRank}, // files to accounts and transfers, through the client like any user; the command is its only caller
	{path: "qualify", rank: assemblyRank},
	{path: "shadow", rank: assemblyRank}, // whether a load test kept out of the live ledger, through the client like any user
	{path: "sim", rank: assemblyRank},

	{path: "api", rank: 5},

	{path: "backup", rank: 4},
	{path: "enclave/vtpm", rank: 4},
	{path: "feed", rank: 4}, // events of journal blocks, for subscribers and sinks
	{path: "index", rank: 4},
	{path: "mesh/control", rank: 4},
	{path: "mesh/proxy", rank: 4},
	{path: "monitor", rank: 4},
	{path: "readmodel", rank: 4, branches: true},
	{path: "router", rank: 4},
	{path: "sandbox/gvisor", rank: 4},
	{path: "sandbox/heads", rank: 4}, // heads of records, in the ledger's log or one of the host
	{path: "sandbox/otlp", rank: 4},  // log records of sandboxes, to a collector
	{path: "sandbox/ownkernel", rank: 4},
	{path: "store", rank: 4, branches: true},
	{path: "supervisor", rank: 4},
	{path: "supervisor/service", rank: 3, pure: true}, // declarations, and the plan from them to what runs

	{path: "cell", rank: 3},

	{path: "capacity", rank: 2, pure: true},
	{path: "enclave", rank: 2, pure: true},
	{path: "incident", rank: 2, pure: true},
	{path: "ledger", rank: 2, pure: true},
	{path: "loan", rank: 2, pure: true},
	{path: "mesh", rank: 2, pure: true},
	{path: "sandbox", rank: 2, pure: true},
	{path: "transit", rank: 2, pure: true},
	{path: "watch", rank: 2, pure: true},

	{path: "audit", rank: 1},
	{path: "auth", rank: 1},
	{path: "client", rank: 1},
	{path: "journal", rank: 1, pure: true},
	{path: "engines", rank: 1},  // database servers on loopback, for tests and trials; nothing of the product starts one
	{path: "wire", rank: 1},     // fields of protobuf messages, for what feed and api write without messages
	{path: "keystore", rank: 1}, // keys of subjects; auth keeps secrets of callers, this one keeps keys of data

	{path: "architecture", rank: 0}, // this package: looks at the others, imports none
	{path: "clock", rank: 0},
	{path: "durable", rank: 0}, // small files replaced as a whole
	{path: "fault", rank: 0},
	{path: "flows", rank: 0}, // flow files of the demo bank and their schema, as texts; watch parses them
	{path: "ident", rank: 0},
	{path: "money", rank: 0, pure: true},
	{path: "must", rank: 0, pure: true},
	{path: "proto", rank: 0, free: true},
}

// A forbidden edge is an import that the ranks would allow.
type edge struct{ from, to, reason string }

var forbiddenEdges = []edge{
	{"watch", "money", reasonWatch},
	{"watch", "ledger", reasonWatch},
	{"watch", "journal/codec", reasonWatch},
}

// impure are imports that give a pure package a way to the outside. A path covers what is below it.
var impure = map[string]string{
	"crypto/rand":            "randomness",
	"database/sql":           "I/O",
	"embed":                  "files",
	"expvar":                 "I/O",
	"io/ioutil":              "I/O",
	"log":                    "a logger",
	"math/rand":              "randomness",
	"net":                    "I/O",
	"os":                     "I/O",
	"plugin":                 "I/O",
	"runtime/debug":          "the process",
	"syscall":                "the operating system",
	"testing":                "test machinery (fine in a suite, such as ledger/ledgertest)",
	"golang.org/x/sys":       "the operating system",
	"google.golang.org/grpc": "I/O",
}

// pureAnyway are paths below an impure one that only compute.
var pureAnyway = map[string]bool{"net/netip": true, "net/url": true}

// pureModules are the foreign modules that pure packages may use, with what for.
var pureModules = map[string]string{
	"cel.dev/cel-go":   "watch: rules of flows, compiled once; sandbox: rules over events",
	"gopkg.in/yaml.v3": "watch: flow files, read from their nodes so that an error has line and column; sandbox: policies",
}

// The reasons, as failure messages give them.
const (
	reasonTable    = "every folder has a rank, so that imports can be judged: add it to the table in architecture/table.go and to docs/architecture.md"
	reasonDown     = "imports go strictly downwards, so that each package can be read, tested and replaced knowing only what lies below it: move the shared part down, or let the consumer declare a small interface that node/ fills"
	reasonSiblings = "packages of one rank never import each other, because two that know each other can only be understood and changed together: move the shared part a rank down, or hand it in from above"
	reasonAdapter  = "a domain never imports its own adapters, because the adapter implements the domain's interface and not the other way round: declare the interface here and wire the adapter in node/ (helpers of the package itself belong below its internal/)"
	reasonBranches = "implementations of one contract share no code, so that a fault in one is not a fault in all; they share the conformance suite"
	reasonCousins  = "sub-packages of one tree know their parents, not each other: move the shared part to the parent or below its internal/"
	reasonPure     = "pure packages turn state and input into results and know no I/O, clock, randomness or logger, so that a run replays exactly: take the value as an argument, or move the code to the runner (cell, monitor, supervisor, …)"
	reasonPureOwn  = "a pure package imports pure packages only, or it would reach the outside through them"
	reasonPureMod  = "a foreign module in a pure package is part of what has to be deterministic: prefer the standard library, or add the module to pureModules in architecture/table.go with what it is for"
	reasonSuite    = "packages named after their parent with \"test\" are test suites: only tests, other suites and rank 6 import them, so that no test machinery is shipped"
	reasonWatch    = "watch recomputes everything with code of its own: it decodes from docs/formats.md and counts with its own arithmetic, so that one bug cannot hide in both; golden vectors bind the two"
)
