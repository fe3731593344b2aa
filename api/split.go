package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// preface begins every HTTP/2 connection (RFC 9113, 3.4). No HTTP/1.1 request
// can: there is no method PRI.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// splitter accepts connections and deals them out by their first bytes.
type splitter struct {
	listener net.Listener
	limits   Limits
	clock    clock.Clock
	metrics  *metrics
	logger   *slog.Logger
	// secure does the handshake of a connection and says where it comes from.
	secure func(net.Conn) (net.Conn, *origin, error)

	http1 *queue // what begins with anything but the preface
	http2 *queue
	peers *queue // of nodes of other cells, whatever it begins with

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // accepted, not dealt out yet
	closed  bool
	group   sync.WaitGroup
	slots   chan struct{} // one per open connection
}

func newSplitter(l net.Listener, limits Limits, c clock.Clock, m *metrics, logger *slog.Logger, secure func(net.Conn) (net.Conn, *origin, error)) *splitter {
	return &splitter{
		listener: l, limits: limits, clock: c, metrics: m, logger: logger, secure: secure,
		http1: newQueue(l.Addr()), http2: newQueue(l.Addr()), peers: newQueue(l.Addr()),
		waiting: map[net.Conn]struct{}{},
		slots:   make(chan struct{}, limits.Connections),
	}
}

// run accepts until close is called (then it returns nil) or the listener fails.
func (s *splitter) run() error {
	defer s.group.Wait()
	pause := minPause
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = minPause
			s.accept(conn)
		case s.isClosed():
			return nil
		case isTransient(err): // out of file descriptors, for instance
			s.logger.Warn("accept a connection", "error", err, "pause", pause)
			if clock.Sleep(context.Background(), s.clock, pause) != nil {
				return err
			}
			pause = min(2*pause, maxPause)
		default:
			s.close()
			return err
		}
	}
}

const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// isTransient reports whether accepting may succeed later: errors of one
// connection and lack of resources, but not a closed listener.
func isTransient(err error) bool {
	return !errors.Is(err, net.ErrClosed)
}

func (s *splitter) accept(conn net.Conn) {
	select {
	case s.slots <- struct{}{}:
	default:
		s.metrics.refused.Inc()
		conn.Close() //nolint:errcheck // nothing to lose
		return
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.waiting[conn] = struct{}{}
		s.group.Add(1)
	}
	s.mu.Unlock()
	if closed {
		conn.Close() //nolint:errcheck // nothing to lose
		<-s.slots
		return
	}
	go func() {
		defer s.group.Done()
		s.deal(conn)
	}()
}

// deal reads until it is clear what the connection speaks. One that stays silent
// may do so as long as an idle one; once it has begun, it must go on.
func (s *splitter) deal(accepted net.Conn) {
	gauge := s.metrics.connections.WithLabelValues("new")
	gauge.Inc()
	var first []byte
	var isHTTP2 bool
	conn, from, err := s.secure(accepted)
	if err == nil {
		first, isHTTP2, err = s.sniff(conn)
	}
	gauge.Dec()

	s.mu.Lock()
	delete(s.waiting, accepted)
	s.mu.Unlock()
	if err != nil {
		conn.Close() //nolint:errcheck // nothing to lose
		<-s.slots
		return
	}
	if begun, ok := conn.(*begunConn); ok {
		conn = begun.Conn // its first byte is in first
	}
	to, protocol := s.http1, "http1"
	switch {
	case from.cell != 0:
		to, protocol = s.peers, "peer"
	case isHTTP2:
		to, protocol = s.http2, "http2"
	}
	gauge = s.metrics.connections.WithLabelValues(protocol)
	gauge.Inc()
	to.put(&replayed{Conn: conn, origin: from, first: first, closed: func() {
		gauge.Dec()
		<-s.slots
	}})
}

func (s *splitter) sniff(conn net.Conn) (first []byte, isHTTP2 bool, err error) {
	buf := make([]byte, len(preface))
	n := 0
	for n < len(preface) {
		timeout := s.limits.Header
		if n == 0 {
			timeout = s.limits.Idle
		}
		if err := conn.SetReadDeadline(wall(s.clock).Add(timeout)); err != nil {
			return nil, false, err
		}
		more, err := conn.Read(buf[n:])
		if err != nil {
			return nil, false, err
		}
		n += more
		if string(buf[:n]) != preface[:n] {
			return buf[:n], false, conn.SetReadDeadline(time.Time{})
		}
	}
	return buf, true, conn.SetReadDeadline(time.Time{})
}

func (s *splitter) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// close stops accepting and ends connections that were not dealt out yet. Those
// dealt out belong to their servers.
func (s *splitter) close() {
	s.mu.Lock()
	s.closed = true
	for conn := range s.waiting {
		conn.Close() //nolint:errcheck // nothing to lose
	}
	s.mu.Unlock()
	s.listener.Close() //nolint:errcheck // closing twice is no fault
	s.http1.Close()    //nolint:errcheck // returns nil
	s.http2.Close()    //nolint:errcheck // returns nil
	s.peers.Close()    //nolint:errcheck // returns nil
}

// queue is a listener over connections that were accepted elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		conn.Close() //nolint:errcheck // nothing to lose
	}
}

// Accept returns the next connection, or net.ErrClosed.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr returns the address of the real listener.
func (q *queue) Addr() net.Addr { return q.addr }

// replayed is a connection whose first bytes are read again.
type replayed struct {
	net.Conn
	origin *origin
	first  []byte
	once   sync.Once
	closed func()
}

// Read returns the first bytes again, then those that follow.
func (c *replayed) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		if len(c.first) == 0 {
			c.first = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// Close closes the connection and frees its slot.
func (c *replayed) Close() error {
	defer c.once.Do(c.closed)
	return c.Conn.Close()
}
