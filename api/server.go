package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth/accesslog"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/ledger"
)

// Config is what a server is made of. All fields are required but Handlers and
// those that say what nil means.
type Config struct {
	CellNumber uint64 // of Cell, for positions
	Cell       Cell
	Queries    Queries
	Progress   Progress // of what Queries reads
	Node       Node
	Operations Operations
	Tokens     Tokens
	// Accounts tells what scopes look at; nil: what Cell knows.
	Accounts Accounts
	// Certificates encrypt the port and know clients by theirs; nil: plain text.
	Certificates Certificates
	// AccessLog is told of every call; nil: there is none.
	AccessLog *accesslog.Log
	// Revoked reports whether an actor id is revoked; it is asked about callers who
	// are known by a certificate. nil: none is.
	Revoked    func(id [16]byte, now time.Time) bool
	Keys       Keys // of personal metadata; nil: there is none
	Signer     Signer
	Audit      Audit
	Principals func([]ledger.Principal) error // told when journaled rights change; nil: nobody is
	Feed       *feed.Feed                     // nil: it is not served
	Sinks      Sinks                          // nil: there are none
	Sandboxes  Sandboxes                      // nil: none are shown
	Watch      Watch                          // nil: it is switched off, or WatchFault says why it does not run
	WatchFault error                          // shown to callers; it has no secrets
	Speakers   Speakers                       // nil: nobody can speak for a source
	Injector   WatchInjector                  // nil: this is no demonstration
	// Leads is asked before each call on a node that may not lead its cell; nil: it always does. Its error, such as
	// cell.ErrNotLeader, refuses the call.
	Leads    func() error
	Clock    clock.Clock
	Limits   Limits
	Logger   *slog.Logger
	Registry prometheus.Registerer
	// Cells are the other cells of the ledger; nil: there is one.
	Cells *Cells
	// Subjects are those of personal metadata. Nil: the server keeps no keys.
	Subjects Subjects
	// Handlers are served without a token under their exact paths, on the same
	// port: /healthz, /readyz, /metrics.
	// May be nil.
	Handlers map[string]http.Handler
}

// Server serves one listener. Its zero value is of no use; see [New].
type Server struct {
	config  Config
	logger  *slog.Logger
	metrics *metrics
	codec   *codec.Codec
	tls     *tls.Config // nil: plain text
	calls   sync.Pool   // of *call
	bodies  sync.Pool   // of *[]byte
	assets  atomic.Pointer[codec.AssetTable]

	methods map[string]*method // by path
	errors  *connect.ErrorWriter
	grpc    *grpc.Server
	http    *http.Server

	stopping chan struct{} // closed by Shutdown: subscriptions end

	mu       sync.Mutex
	split    *splitter
	shutdown bool
}

// New returns a server. The error is that of a metric that is registered already.
func New(config Config) (*Server, error) {
	m, err := newMetrics(config.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of the API: %w", err)
	}
	if config.Sinks == nil {
		config.Sinks = noSinks{}
	}
	if config.Accounts == nil {
		config.Accounts = described{config.Cell}
	}
	s := &Server{
		config: config, logger: config.Logger, metrics: m,
		codec: codec.New(), errors: connect.NewErrorWriter(), stopping: make(chan struct{}),
	}
	if config.Certificates != nil {
		s.tls = config.Certificates.TLS()
	}
	if err := s.openCells(); err != nil {
		return nil, err
	}
	s.calls.New = func() any { return new(call) }
	s.bodies.New = func() any { return new([]byte) }
	s.methods = s.allMethods()
	s.grpc = s.newGRPC()
	s.http = s.newHTTP()
	return s, nil
}

// Serve accepts connections of l until Shutdown is called (then it returns nil)
// or l fails. It closes l, and may be called once.
func (s *Server) Serve(l net.Listener) error {
	split := newSplitter(l, s.config.Limits, s.config.Clock, s.metrics, s.logger, s.secure)
	s.mu.Lock()
	switch {
	case s.shutdown: // whoever starts and stops at once need not know which came first
		s.mu.Unlock()
		return l.Close()
	case s.split != nil:
		s.mu.Unlock()
		return errors.Join(errors.New("the server was started before"), l.Close())
	}
	s.split = split
	s.mu.Unlock()

	var group sync.WaitGroup
	var http1, http2 error
	group.Go(func() {
		if err := s.http.Serve(split.http1); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			http1 = fmt.Errorf("serve HTTP/1.1: %w", err)
		}
		split.close()
	})
	group.Go(func() {
		if err := s.grpc.Serve(split.http2); err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
			http2 = fmt.Errorf("serve gRPC: %w", err)
		}
		split.close()
	})
	err := split.run()
	if err != nil {
		err = fmt.Errorf("accept connections: %w", err)
	}
	group.Wait()
	return errors.Join(err, http1, http2)
}

// Shutdown stops accepting and waits until the calls in flight are answered. When
// ctx ends first, it breaks their connections and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.shutdown {
		close(s.stopping)
	}
	s.shutdown = true
	split := s.split
	s.mu.Unlock()
	if split != nil {
		split.close()
	}
	var group sync.WaitGroup
	var err error
	group.Go(func() {
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, s.http.Close())
		}
	})
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	s.grpc.GracefulStop()
	stop()
	group.Wait()
	return err
}
