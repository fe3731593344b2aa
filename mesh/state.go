package mesh

import (
	"net/netip"
	"time"
)

// State is the desired state of a mesh as people wrote it, each part checked by itself and every name in it known.
type State struct {
	Cells          Cells
	Services       []Service
	Routes         []Rules
	Identities     []Identity
	Authorizations []Authorization
	Shedding       []Shedding
	Shadow         Shadow
	Trust          []Trust
}

// Cells divides the customers: each of Buckets buckets of accounts is owned by exactly one cell.
type Cells struct {
	Buckets uint32
	Cells   []Cell
}

// Cell is a unit that owns buckets and fails alone.
type Cell struct {
	Name, Region, Zone string
	Buckets            []Range
}

// Range is From to To, both included.
type Range struct{ From, To uint32 }

// Protocol is what a service speaks.
type Protocol string

// The protocols.
const (
	GRPC Protocol = "grpc"
	HTTP Protocol = "http"
	TCP  Protocol = "tcp"

	// Calls that only our node proxy carries.
	Bolt  Protocol = "bolt"  // SOFARPC's
	Dubbo Protocol = "dubbo" // Dubbo 2's, with Hessian 2.0
)

// Calls tells whether the protocol is one that only our node proxy carries, by its routes. A call's path is
// /SERVICE/METHOD, and its headers or attachments are what an HTTPRoute matches as headers.
func (p Protocol) Calls() bool { return p == Bolt || p == Dubbo }

// Holds says that money or its records lie behind a service, so that shadow traffic must not reach it.
type Holds string

// What a service can hold.
const (
	HoldsNothing  Holds = ""
	HoldsLedger   Holds = "ledger"
	HoldsDatabase Holds = "database"
)

// Service is something that is called by its name.
type Service struct {
	Name     string
	Protocol Protocol
	// Port is where sidecars offer the service on loopback; 0: nowhere, its callers are proxyless.
	Port uint16
	// Holds refuses shadow traffic; see Shadow.
	Holds Holds
	// Sharded requests go to the cell that owns the bucket in HeaderBucket; without one they are refused.
	Sharded  bool
	Money    Money
	Limits   Limits
	Ejection Ejection
	Backends []Backend
}

// Money names the methods that move money: they are tried again only with an idempotency key.
type Money struct {
	Methods []Path
	Key     string // the header with the key, in lower case
}

// Limits bounds what one caller asks of a service.
type Limits struct {
	Requests     uint32        // at the same time; more are refused at once
	Connections  uint32        // to one backend
	Connect      time.Duration // for a new connection
	RetryPercent uint32        // of the requests that may be further attempts
	BodyBytes    uint32        // of a request
}

// Ejection takes a backend that fails out of the rotation for a while.
type Ejection struct {
	Failures       uint32 // in a row that eject; 0: they don't
	FailurePercent uint32 // from how many percent of failed requests on; 0: they don't
	Requests       uint32 // judged only from so many in an interval on
	Interval       time.Duration
	Time           time.Duration // the first time out; it grows with each further one
	MaxPercent     uint32        // of the backends out at once
}

// Backend is one place where a service runs.
type Backend struct {
	Cell    string
	Address netip.AddrPort // with mTLS: the program itself or its sidecar
	App     netip.AddrPort // the plain program behind its sidecar, or SupervisedApp; zero for proxyless ones
	Weight  uint32
}

// PathKind tells how a Path is compared.
type PathKind uint8

// The kinds of paths. A prefix ends with "/" and a regular expression (RE2) covers the whole path.
const (
	AnyPath PathKind = iota
	ExactPath
	PrefixPath
	RegexPath
)

// Path is a condition on a request's path; in gRPC, /package.Service/Method.
type Path struct {
	Kind PathKind
	Text string
}

// Rules is an HTTPRoute or a GRPCRoute: how requests to its parents are routed.
type Rules struct {
	Name    string // with its kind: HTTPRoute/pay
	GRPC    bool
	Parents []string
	Rules   []Rule
}

// Rule is one rule of a route: what fits any of Matches goes to Targets.
type Rule struct {
	Line    int // in the file, for errors
	Matches []Match
	Targets []Target
	Change  Headers
	Answer  Headers // changes to the answer's headers
	Mirrors []Mirror
	Timeout time.Duration // of the whole request; 0: the caller's
	Try     time.Duration // of one attempt; 0: as Timeout
	Retry   Retry
	Fault   Fault
	Rate    Rate
}

// Match is a set of conditions that all have to hold. An empty method is any.
type Match struct {
	Path    Path
	Method  string
	Headers []HeaderMatch
}

// HeaderKind tells how a HeaderMatch compares.
type HeaderKind uint8

// The kinds of header conditions. A range is of whole decimal numbers.
const (
	HeaderExact HeaderKind = iota
	HeaderRegex
	HeaderPresent
	HeaderAbsent
	HeaderRange
)

// HeaderMatch is a condition on a header, whose name is in lower case.
type HeaderMatch struct {
	Name  string
	Kind  HeaderKind
	Value string
	Range Range
}

// Target is a service that gets a share of the requests. Cell is set only in snapshots, for sharded services.
type Target struct {
	Service, Cell string
	Weight        uint32
}

// Mirror sends a copy of some requests to a service and forgets the answers.
type Mirror struct {
	Service string
	Percent uint32
}

// Headers changes the headers of a request or an answer.
type Headers struct {
	Set, Add []Header
	Remove   []string
}

// Header is a name in lower case and a value.
type Header struct{ Name, Value string }

// Retry tries a failed request again. Attempts 0: never.
type Retry struct {
	Attempts uint32 // after the first
	Codes    []int  // HTTP
	Statuses []string
	Backoff  time.Duration
	// Hedge sends a second copy where there is no answer after this long: the first answer counts, and the other copy is
	// taken back. It is one of the attempts. 0: none.
	Hedge time.Duration
}

// Identity gives the processes that match Unix an identity.
type Identity struct {
	Name, Service, Cell string
	Unix                UnixSelector
}

// UnixSelector is what the kernel must tell about a process at the other end of a Unix socket.
type UnixSelector struct {
	UID uint32
	GID *uint32 // nil: any
	PID *int32  // nil: any
}

// Authorization says who may call which methods of a service. What no authorization allows is refused.
type Authorization struct {
	Service string
	Allow   []Grant
}

// Grant lets peers call paths; no paths: all of them.
type Grant struct {
	From []Peer
	To   []Path
}

// Priority is what a request is worth when not all can be served.
type Priority string

// The priorities, best first.
const (
	Settle Priority = "settle"
	Pay    Priority = "pay"
	Query  Priority = "query"
)

// Shedding says which requests of a service go first when it is overloaded.
type Shedding struct {
	Service   string
	QueueWait time.Duration // from when on requests are shed
	Classes   []Class       // the first that fits counts
	Default   Priority
	Critical  []Peer // within a priority, these go first
}

// Class gives methods a priority.
type Class struct {
	Priority Priority
	Paths    []Path
}

// Shadow says where marked requests (HeaderShadow) may come from and go to. A service that holds money or records
// never takes one; its shadow target takes nothing else.
type Shadow struct {
	Mark    []Peer // may set the mark
	Carry   []Peer // may pass on what they got
	Targets map[string]string
}

// Trust is a trust domain whose identities are believed, with its bundle (SPIFFE's JSON) or where that is published.
type Trust struct {
	Name, Domain, Bundle string // no Bundle: nobody of the domain is believed before one was fetched
	Endpoint             Follow
}
