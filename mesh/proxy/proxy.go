package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// Options are what a proxy needs beside its configuration.
type Options struct {
	Identity Identity    // required where the configuration has mtls
	Clock    clock.Clock // of ejections, rates and shedding. Sockets follow the machine's clock
	Log      *slog.Logger
	// AccessLog gets a line of JSON for each request; nil: none. Writes are batched and made by one goroutine.
	AccessLog io.Writer
	// Listen makes the listener of each Listener, which the proxy closes; nil: on its address.
	Listen func(Listener) (net.Listener, error)
	// Stats count calls; nil: nobody asks for them.
	Stats *Stats
}

// Proxy is a node proxy. Make it with New, start it with Start, and end it with Shutdown.
type Proxy struct {
	clock  clock.Clock
	log    *slog.Logger
	id     Identity
	access *accessLog // nil: none
	taps   atomic.Pointer[[]*tap]
	listen func(Listener) (net.Listener, error)

	snap     atomic.Pointer[snapshot]
	applying sync.Mutex
	config   []Listener // as started

	listeners []*listener
	stopping  atomic.Bool
	draining  atomic.Bool   // connections end with the answer to their next request
	severed   atomic.Bool   // requests under way are cut off
	stop      chan struct{} // closed when stopping
	running   sync.WaitGroup
	accepting sync.WaitGroup
	linking   sync.WaitGroup // of connections to endpoints by HTTP/2, which outlive requests
	mirrors   chan struct{}  // a place for each copy under way

	mu    sync.Mutex
	conns map[net.Conn]*conn // accepted connections; nil where tcp
}

// listener is a Listener at work.
type listener struct {
	Listener
	ln    net.Listener
	tls   *tls.Config // nil: plain
	open  atomic.Int64
	stats listenerStats
	calls *callStats
}

// sweepEvery is how often connections are looked through for those idle too long.
const sweepEvery = 10 * time.Second

// New checks the configuration and makes a proxy that does not listen yet. An error wraps [ErrConfig].
func New(c Config, o Options) (*Proxy, error) {
	p := &Proxy{
		clock: o.Clock, log: o.Log, id: o.Identity, listen: o.Listen, config: c.Listeners, stop: make(chan struct{}),
		mirrors: make(chan struct{}, maxMirrors), conns: map[net.Conn]*conn{},
	}
	if err := p.check(&c); err != nil {
		return nil, err
	}
	if o.AccessLog != nil {
		p.access = newAccessLog(o.AccessLog)
	}
	if o.Stats == nil {
		o.Stats = NewStats()
	}
	if p.listen == nil {
		p.listen = func(l Listener) (net.Listener, error) { return net.Listen(networkOf(l.Address)) }
	}
	p.snap.Store(compile(&c, o.Identity, &snapshot{}))
	for _, l := range c.Listeners {
		at := &listener{Listener: l, calls: o.Stats.listener(l.Name)}
		if l.MTLS {
			at.tls = serverTLS(o.Identity, compilePatterns(l.Allow))
			if l.Protocol != "http" {
				acceptAnyProtocol(at.tls)
			}
		}
		p.listeners = append(p.listeners, at)
	}
	return p, nil
}

func (p *Proxy) check(c *Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	needs := slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.MTLS }) ||
		slices.ContainsFunc(c.Clusters, func(k Cluster) bool { return k.MTLS })
	if needs && p.id == nil {
		return fmt.Errorf("%w: mtls needs an identity", ErrConfig)
	}
	return nil
}

// ErrListeners is a configuration for Apply that only a new proxy can use.
var ErrListeners = fmt.Errorf("%w: listeners can't change while the proxy runs", ErrConfig)

// Apply changes clusters, routes and callers, for the requests that begin from now on; a configuration that can't be
// used changes nothing. Listeners change only with a new proxy: [ErrListeners]. An error wraps [ErrConfig].
func (p *Proxy) Apply(c Config) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.check(&c); err != nil {
		return err
	}
	if !slices.EqualFunc(c.Listeners, p.config, sameListener) {
		return ErrListeners
	}
	was := p.snap.Load()
	p.snap.Store(compile(&c, p.id, was))
	p.sweep(was)
	return nil
}

func sameListener(a, b Listener) bool {
	same := slices.Equal(a.Allow, b.Allow)
	a.Allow, b.Allow = nil, nil
	return same && fmt.Sprint(a) == fmt.Sprint(b)
}

// Start listens. Where one address can't be had, none is kept.
func (p *Proxy) Start() error {
	for _, l := range p.listeners {
		ln, err := p.listen(l.Listener)
		if err != nil {
			for _, other := range p.listeners {
				if other.ln != nil {
					_ = other.ln.Close() // the first error is the one that tells
				}
			}
			return fmt.Errorf("listen as %s on %s: %w", l.Name, l.Address, err)
		}
		l.ln = ln
	}
	for _, l := range p.listeners {
		p.accepting.Add(1)
		p.running.Go(func() { defer p.accepting.Done(); p.accept(l) })
	}
	p.running.Go(p.sweepLoop)
	return nil
}

// Addr is the address that a listener has, nil where there is no such listener or it has not started.
func (p *Proxy) Addr(name string) net.Addr {
	for _, l := range p.listeners {
		if l.Name == name && l.ln != nil {
			return l.ln.Addr()
		}
	}
	return nil
}

func (p *Proxy) accept(l *listener) {
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if p.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, or a connection that was gone already: go on, but not in a tight loop.
			p.log.Warn("accept a connection", "listener", l.Name, "error", err)
			fired, stop := p.clock.After(10 * time.Millisecond)
			select {
			case <-fired:
			case <-p.stop:
			}
			stop()
			continue
		}
		if l.open.Add(1) > int64(l.MaxConnections) {
			l.open.Add(-1)
			l.stats.refused.Add(1)
			_ = nc.Close() // refused
			continue
		}
		l.stats.accepted.Add(1)
		nc = direct(nc)
		c := &conn{p: p, l: l, nc: nc, raw: nc}
		if !p.track(c) {
			c.end()
			continue
		}
		p.running.Go(c.run)
	}
}

// run serves a connection by its listener's protocol.
func (c *conn) run() {
	switch {
	case c.l.Protocol == "http":
		c.serve()
		return
	case rpcProtocolOf(c.l.Protocol) != nil:
		c.serveRPC()
		return
	}
	defer c.end()
	if err := c.p.serveTCP(c.l, c.nc); err != nil {
		c.p.log.Debug("pass a connection through", "listener", c.l.Name, "error", err)
	}
}

// track remembers the connection so that Shutdown can end it; false: it is too late.
func (p *Proxy) track(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping.Load() {
		return false
	}
	p.conns[c.raw] = c
	return true
}

// Shutdown stops accepting, closes idle connections, and waits for requests under way until ctx ends; then it closes
// what is left. The error says whether all ended by themselves.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	first := !p.stopping.Swap(true)
	if first {
		close(p.stop)
	}
	for _, l := range p.listeners {
		if l.ln != nil {
			_ = l.ln.Close() // no more connections
		}
	}
	for _, c := range p.conns {
		c.drain()
	}
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("wait for requests under way: %w", ctx.Err())
		p.severed.Store(true)
		p.mu.Lock()
		for _, c := range p.conns {
			c.sever()
		}
		p.mu.Unlock()
		<-done
	}
	if first {
		for _, k := range p.snap.Load().clusters {
			for _, e := range k.endpoints {
				e.pool.sweep(p.clock.Mono(), true)
				e.links.sweep(true)
				e.calls.sweep(true)
			}
		}
		p.linking.Wait()
		if p.access != nil {
			err = errors.Join(err, p.access.close())
		}
	}
	return err
}

// sweepLoop closes connections to endpoints that have been idle for too long.
func (p *Proxy) sweepLoop() {
	for {
		fired, stop := p.clock.After(sweepEvery)
		select {
		case <-fired:
			p.sweep(p.snap.Load())
		case <-p.stop:
			stop()
			return
		}
	}
}

// sweep closes idle connections to the endpoints of s: those that are idle for too long, and all to endpoints that the
// configuration no longer has.
func (p *Proxy) sweep(s *snapshot) {
	current := map[*endpoint]bool{}
	for _, k := range p.snap.Load().clusters {
		for _, e := range k.endpoints {
			current[e] = true
		}
	}
	for _, k := range s.clusters {
		for _, e := range k.endpoints {
			e.pool.sweep(p.clock.Mono(), !current[e])
			e.links.sweep(!current[e])
			e.calls.sweep(!current[e])
		}
	}
}
