package engines

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// A Proxy forwards TCP from a port of loopback to another, and can behave like a network that fails: cut (nothing
// passes, and nobody is told) or slow. While nobody listens at the target, nobody listens at the proxy either: clients
// that have several hosts to choose from go on to the next one only where connecting is refused. Safe for concurrent
// use.
type Proxy struct {
	port   int
	target string
	clock  clock.Clock
	ctx    context.Context // until Close
	cancel context.CancelFunc

	mu       sync.Mutex
	listener net.Listener  // nil while the target refuses
	open     chan struct{} // closed while bytes may pass
	delay    time.Duration
	conns    map[net.Conn]struct{}
	closed   bool
	done     sync.WaitGroup
}

const (
	chunkSize = 32 << 10
	// inFlight bounds what a slow link holds in one direction: chunks, of at most chunkSize bytes.
	inFlight = 256
	// dialWithin bounds connecting to the target, which is on this machine.
	dialWithin = 5 * time.Second
	// reviveEvery is how often a proxy looks whether its target is back.
	reviveEvery = 20 * time.Millisecond
)

// NewProxy listens on a free port of 127.0.0.1 and forwards to target ("127.0.0.1:5432"). Close ends it.
func NewProxy(target string) (*Proxy, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p := &Proxy{port: ports[0], target: target, clock: clock.NewSystem(), open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.open)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.listen(); err != nil {
		return nil, fmt.Errorf("start a proxy to %s: %w", target, err)
	}
	return p, nil
}

// Addr is where the proxy listens: "127.0.0.1:PORT".
func (p *Proxy) Addr() string { return address(p.port) }

// Port is the port it listens on.
func (p *Proxy) Port() int { return p.port }

// listen takes connections from now on.
func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	l, err := net.Listen("tcp4", address(p.port))
	if err != nil {
		return err
	}
	p.listener = l
	p.done.Go(func() { p.accept(l) })
	return nil
}

// refuse stops listening until the target takes connections again.
func (p *Proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil || p.closed {
		return
	}
	_ = p.listener.Close()
	p.listener = nil
	p.done.Go(func() {
		for clock.Sleep(p.ctx, p.clock, reviveEvery) == nil {
			c, err := net.DialTimeout("tcp4", p.target, dialWithin)
			if err != nil {
				continue
			}
			_ = c.Close()
			if p.listen() == nil {
				return
			}
		}
	})
}

// Cut holds back all bytes in both directions, as a network does that drops packets: connections stay open and hang,
// and new ones are taken but never answered. What was sent meanwhile arrives after Heal, as TCP sends it again.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default: // cut already
	}
}

// Heal ends Cut.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// Slow delays all bytes by d in each direction from now on; 0 ends it. Throughput is bounded by 8 MiB per d.
func (p *Proxy) Slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = max(0, d)
}

// Close stops listening and breaks all connections.
func (p *Proxy) Close() error {
	p.cancel()
	p.mu.Lock()
	p.closed = true
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
	select {
	case <-p.open:
	default:
		close(p.open) // who waits finds its connection closed
	}
	p.mu.Unlock()
	p.done.Wait()
	return err
}

func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed; nothing else ends a listener on loopback
		}
		if p.keep(c) {
			p.done.Go(func() { p.serve(c) })
		}
	}
}

// keep registers a connection, so that Close breaks it. False: the proxy is closed, and so is c.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// pass waits while the proxy is cut.
func (p *Proxy) pass() {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	<-open
}

func (p *Proxy) latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

// serve connects c with the target, once the proxy lets anything pass.
func (p *Proxy) serve(c net.Conn) {
	defer p.forget(c)
	p.pass()
	server, err := net.DialTimeout("tcp4", p.target, dialWithin)
	if err != nil {
		p.refuse()
		reset(c)
		return
	}
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.forward(server, c) })
	both.Go(func() { p.forward(c, server) })
	both.Wait()
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// A chunk is bytes under way.
type chunk struct {
	data []byte
	due  uint64 // when they arrive, in the clock's monotonic nanoseconds
}

// forward copies from one end to the other until either ends. The end of the stream is under way like any byte; a
// connection that breaks breaks both ends, once the cut lets the news pass.
func (p *Proxy) forward(to, from net.Conn) {
	under := make(chan chunk, inFlight)
	ctx, cancel := context.WithCancel(context.Background())
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(under)
		for {
			data := make([]byte, chunkSize)
			n, err := from.Read(data)
			if n > 0 {
				due := p.clock.Mono() + uint64(p.latency()) //nolint:gosec // never negative
				select {
				case under <- chunk{data[:n], due}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range under {
		p.wait(c.due)
		p.pass()
		if _, err := to.Write(c.data); err != nil {
			break
		}
	}
	p.pass()
	cancel()
	_ = to.Close()
	_ = from.Close()
	reader.Wait()
}

func (p *Proxy) wait(due uint64) {
	if now := p.clock.Mono(); due > now {
		_ = clock.Sleep(context.Background(), p.clock, time.Duration(due-now)) //nolint:gosec // bounded by Slow's argument
	}
}
