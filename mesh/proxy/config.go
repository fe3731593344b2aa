package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// Config is all that a node proxy does. A control plane compiles its desired state into one; a person can write it as
// YAML. It is data only: nothing in it is a secret, certificates come from an [Identity].
type Config struct {
	// Zone is where this proxy runs: endpoints of the same zone are preferred.
	Zone string `yaml:"zone"`
	// ShadowCallers may mark their requests as shadow traffic: SPIFFE ids, or patterns: /* at the end, or one /*/ for any segment.
	ShadowCallers []string `yaml:"shadow_callers"`
	// CriticalCallers are shed last within their priority: SPIFFE ids, or patterns: /* at the end, or one /*/ for any segment.
	CriticalCallers []string `yaml:"critical_callers"`

	Listeners []Listener `yaml:"listeners"`
	Clusters  []Cluster  `yaml:"clusters"`
	// Routes are tried in this order; the first that matches is taken.
	Routes []Route `yaml:"routes"`
}

// Listener is an address that the proxy accepts connections on.
type Listener struct {
	Name     string `yaml:"name"`
	Address  string `yaml:"address"`  // host:port, or unix:/path
	Protocol string `yaml:"protocol"` // http (the default; HTTP/1.1 and HTTP/2, whichever a client speaks), bolt, dubbo or tcp
	// MTLS wants TLS 1.3 with a certificate from the caller. Without it, Caller says who calls.
	MTLS bool `yaml:"mtls"`
	// Caller is the identity of whoever can reach a listener without TLS: the workload that this proxy stands beside.
	// Empty: the caller is unknown, and is refused wherever an identity is asked for.
	Caller string `yaml:"caller"`
	// Shadow: all that comes in here is shadow traffic, whoever sends it. The one way to mark what is not HTTP.
	Shadow bool `yaml:"shadow"`
	// Allow are the callers that may connect: SPIFFE ids, or patterns. Empty: any that is trusted.
	Allow []string `yaml:"allow"`
	// Cluster gets the connections of a tcp listener.
	Cluster string `yaml:"cluster"`
	// MaxConnections are open at most; more are closed at once. Default 10,000.
	MaxConnections int `yaml:"max_connections"`
	// Idle is how long a connection may be silent. Default 1m; for bolt and dubbo 3m, for tcp 1h.
	Idle time.Duration `yaml:"idle"`
}

// Kinds of clusters.
const (
	KindService  = "service"
	KindDatabase = "database" // keeps state: shadow traffic needs a target of its own
	KindLedger   = "ledger"   // keeps money: the same
)

// What a cluster's endpoints speak.
const (
	ProtocolHTTP = "http" // HTTP/1.1
	ProtocolGRPC = "grpc" // HTTP/2: gRPC, and any other request

	// Calls in messages: of listeners too, whose routes lead to clusters of the same.
	ProtocolBolt  = "bolt"  // SOFARPC's, version 1 and 2
	ProtocolDubbo = "dubbo" // Dubbo 2, with Hessian 2.0
)

// Cluster is a set of endpoints that serve the same.
type Cluster struct {
	Name string `yaml:"name"`
	// Protocol is http (the default), grpc, bolt or dubbo. Between the first two, the proxy translates.
	Protocol string `yaml:"protocol"`
	Kind     string `yaml:"kind"` // service (the default), database or ledger
	// Shadow is the cluster that shadow traffic goes to. A database or ledger without one refuses shadow traffic;
	// the shadow cluster refuses all other.
	Shadow string `yaml:"shadow"`
	// ShadowOnly refuses all other traffic, as the shadow of another cluster does.
	ShadowOnly bool       `yaml:"shadow_only"`
	Endpoints  []Endpoint `yaml:"endpoints"`
	// MTLS connects by TLS 1.3 with our certificate and wants one of Peers on the other side.
	MTLS bool `yaml:"mtls"`
	// Peers are the identities that endpoints may have: SPIFFE ids, or patterns. Required with MTLS.
	Peers []string `yaml:"peers"`
	// ConnectTimeout bounds one attempt to connect, TLS included. Default 1s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// MaxConnections to one endpoint (by HTTP/2, each carries up to 100 requests at a time), and MaxRequests in flight to the whole cluster: the circuit breaker. Requests
	// beyond are refused at once. Default 1,024 each.
	MaxConnections int `yaml:"max_connections"`
	MaxRequests    int `yaml:"max_requests"`
	// RetryPercent of the requests may be retries. Default 20; -1: none.
	RetryPercent int      `yaml:"retry_percent"`
	Ejection     Ejection `yaml:"ejection"`
	// Adaptive finds by itself how many requests in flight the cluster takes, and sheds the rest by priority.
	Adaptive bool `yaml:"adaptive"`
	// QueueWait is how long requests may wait on average before the least important are refused at once. Default 20ms.
	QueueWait time.Duration `yaml:"queue_wait"`
}

// Endpoint is one address of a cluster.
type Endpoint struct {
	Address string `yaml:"address"` // host:port, or unix:/path
	Zone    string `yaml:"zone"`
	// Distance is how far away it is, 0 the nearest. Farther ones get requests only while fewer than half of each
	// nearer distance are healthy.
	Distance int `yaml:"distance"`
	Weight   int `yaml:"weight"` // its share among those of the same distance; default 1
}

// Ejection takes endpoints that fail out of the choice for a while.
type Ejection struct {
	// Failures in a row that eject: no connection, no answer, or 5xx. Default 5; -1: never eject.
	Failures int `yaml:"failures"`
	// Percent of the requests that fail within an Interval eject as well, once there were Requests of them; 0: not
	// judged. An interval begins with a failure.
	Percent  int           `yaml:"percent"`
	Requests int           `yaml:"requests"` // default 20
	Interval time.Duration `yaml:"interval"` // default 1s
	// For is how long the first time; each further time in a row as much longer, ten times at most. Default 30s.
	For time.Duration `yaml:"for"`
	// MaxPercent of the endpoints may be ejected; never the last one. Default 50.
	MaxPercent int `yaml:"max_percent"`
}

// Priorities, from the last to be shed to the first.
const (
	PrioritySettle = "settle"
	PriorityPay    = "pay"
	PriorityQuery  = "query"
)

// Route says where requests go and what is done to them.
type Route struct {
	Name string `yaml:"name"`
	// Listeners that have the route, of one protocol; empty: every http listener.
	Listeners []string `yaml:"listeners"`
	Match     Match    `yaml:"match"`
	// Allow are the callers that may use the route: SPIFFE ids, or patterns. Empty: any.
	Allow []string `yaml:"allow"`
	// Backends share the requests by weight.
	Backends []Backend `yaml:"backends"`
	// Refuse answers 403 with this text instead.
	Refuse string `yaml:"refuse"`
	// Timeout bounds a request from its head to the end of its answer, retries included. Default 15s. A caller's
	// X-Sterling-Timeout-Ms or grpc-timeout shortens it.
	Timeout time.Duration `yaml:"timeout"`
	// MaxBody is the largest request body in bytes. Default 64 MiB.
	MaxBody int64 `yaml:"max_body"`
	// Money: the requests move money. One is sent again only where none of it was sent, or with an Idempotency-Key.
	Money bool `yaml:"money"`
	// Key is the field that names the operation on a money route, where it is not Idempotency-Key.
	Key      string `yaml:"key"`
	Priority string `yaml:"priority"` // settle, pay or query (the default)
	Retry    Retry  `yaml:"retry"`
	// Request and Response change header fields on the way.
	Request  Fields    `yaml:"request"`
	Response Fields    `yaml:"response"`
	Fault    Fault     `yaml:"fault"`
	Mirror   Mirror    `yaml:"mirror"`
	Rate     RateLimit `yaml:"rate"`
	// Upgrade lists protocols, such as websocket, that a connection may go on with.
	Upgrade []string `yaml:"upgrade"`
	// Connect: CONNECT requests open a tunnel to an endpoint of the backends, whatever target they name.
	Connect bool `yaml:"connect"`
}

// Match is what a request must have. What is empty matches all.
type Match struct {
	Hosts   []string     `yaml:"hosts"`  // names without port; *.example.com: any name below
	Path    string       `yaml:"path"`   // the whole path
	Prefix  string       `yaml:"prefix"` // whole segments: /v1 matches /v1 and /v1/x, not /v10; /v1/ only what is below
	Regex   string       `yaml:"regex"`  // of the whole path (RE2)
	Methods []string     `yaml:"methods"`
	Headers []FieldMatch `yaml:"headers"` // all of them
}

// FieldMatch matches a header field; without anything else its presence.
type FieldMatch struct {
	Name   string  `yaml:"name"`
	Is     string  `yaml:"is"`
	Prefix string  `yaml:"prefix"`
	Regex  string  `yaml:"regex"` // of the whole value (RE2)
	Number *Number `yaml:"number"`
}

// Number matches a field that is there once, with a decimal number From to To, both included.
type Number struct {
	From uint32 `yaml:"from"`
	To   uint32 `yaml:"to"`
}

// Backend is a cluster and its share of the requests.
type Backend struct {
	Cluster string `yaml:"cluster"`
	Weight  int    `yaml:"weight"` // default 1 where there is one backend; 0 takes no requests
}

// Retry sends a request again that failed before any byte of its answer came, within the cluster's retry budget.
type Retry struct {
	Attempts int `yaml:"attempts"` // beyond the first, 0 to 5
	// Each bounds how long an attempt may wait for its answer to begin, where another attempt may follow. 0: as long
	// as the whole request may take.
	Each time.Duration `yaml:"each"`
	// Statuses are answers that are tried again as well: 502, 503, 504 or 429; of gRPC, those that mean the same, such as
	// UNAVAILABLE for 503, where no message came before. Not where Money is set.
	Statuses []int `yaml:"statuses"`
	// Backoff is the longest wait before the first further attempt, doubled before each one after. The wait is random.
	Backoff time.Duration `yaml:"backoff"`
	// Hedge sends a copy to another endpoint where there is no answer after this long: the first answer counts, and the
	// other copy is taken back. It counts as an attempt, and only what may be sent again is hedged. 0: never.
	Hedge time.Duration `yaml:"hedge"`
}

// Fields are changes to header fields, removals first.
type Fields struct {
	Remove []string          `yaml:"remove"`
	Set    map[string]string `yaml:"set"` // replaces what is there
	Add    map[string]string `yaml:"add"` // beside what is there
}

// Fault makes a part of the requests fail on purpose.
type Fault struct {
	AbortPercent int           `yaml:"abort_percent"` // answered with AbortStatus
	AbortStatus  int           `yaml:"abort_status"`  // 400 to 599
	DelayPercent int           `yaml:"delay_percent"` // held for Delay
	Delay        time.Duration `yaml:"delay"`         // up to 1m
}

// Mirror sends copies of a part of the requests, marked as shadow traffic, and drops the answers.
type Mirror struct {
	Cluster string `yaml:"cluster"`
	Percent int    `yaml:"percent"`
}

// RateLimit refuses what is beyond a rate with 429.
type RateLimit struct {
	PerSecond int `yaml:"per_second"` // 0: no limit
	Burst     int `yaml:"burst"`      // requests at once; default PerSecond
	// Shared names a rate that several routes have together. Empty: the route's own.
	Shared string `yaml:"shared"`
}

// ErrConfig is a configuration that can't be used; the text says which key, and what it wants.
var ErrConfig = errors.New("mesh proxy configuration")

// maxConfig bounds the text of a configuration.
const maxConfig = 16 << 20

// ParseConfig reads YAML, refuses unknown keys, fills in the defaults and checks. An error wraps [ErrConfig].
func ParseConfig(text []byte) (Config, error) {
	var c Config
	if len(text) > maxConfig {
		return c, fmt.Errorf("%w: %d bytes, at most %d", ErrConfig, len(text), maxConfig)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := d.Decode(new(Config)); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%w: want one document", ErrConfig)
	}
	c.setDefaults()
	return c, c.Check()
}

func (c *Config) setDefaults() {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		orDefault(&l.Protocol, "http")
		orDefault(&l.MaxConnections, 10_000)
		if l.Protocol == "tcp" {
			orDefault(&l.Idle, time.Hour)
		}
		if rpcProtocolOf(l.Protocol) != nil {
			orDefault(&l.Idle, 3*time.Minute) // their clients send heartbeats, the slowest once a minute
		}
		orDefault(&l.Idle, time.Minute)
	}
	for i := range c.Clusters {
		k := &c.Clusters[i]
		orDefault(&k.Protocol, ProtocolHTTP)
		orDefault(&k.Kind, KindService)
		orDefault(&k.ConnectTimeout, time.Second)
		orDefault(&k.MaxConnections, 1024)
		orDefault(&k.MaxRequests, 1024)
		orDefault(&k.RetryPercent, 20)
		orDefault(&k.QueueWait, shed.QueueWait)
		orDefault(&k.Ejection.Failures, 5)
		orDefault(&k.Ejection.For, 30*time.Second)
		orDefault(&k.Ejection.MaxPercent, 50)
		orDefault(&k.Ejection.Requests, 20)
		orDefault(&k.Ejection.Interval, time.Second)
		for j := range k.Endpoints {
			orDefault(&k.Endpoints[j].Weight, 1)
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		orDefault(&r.Timeout, 15*time.Second)
		orDefault(&r.MaxBody, 64<<20)
		orDefault(&r.Priority, PriorityQuery)
		orDefault(&r.Rate.Burst, r.Rate.PerSecond)
		if len(r.Backends) == 1 {
			orDefault(&r.Backends[0].Weight, 1)
		}
	}
}

func orDefault[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}
