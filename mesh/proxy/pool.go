package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// Bounds of idle connections to endpoints.
const (
	maxIdle     = 256 // of one endpoint
	maxIdleTime = 30 * time.Second
	// freshTime is how recently a connection must have been used to be taken without a look whether it still stands:
	// less than the way to the endpoint and back, so that looking would tell nothing.
	freshTime = 50 * time.Microsecond
)

var errFull = errors.New("as many connections as the circuit breaker allows")

// pool has the connections to one endpoint, those that are idle newest first.
type pool struct {
	mu     sync.Mutex
	idle   []*upstream
	open   int // idle or in use
	closed bool
}

// upstream is a connection to an endpoint. One request at a time uses it.
type upstream struct {
	net.Conn
	pool *pool
	rd   *h1.Reader
	resp h1.Response
	// since is when it became idle, in the clock's monotonic nanoseconds.
	since uint64
	reads timer
	// writes are set anew where a body is streamed.
	writes timer
	out    []byte // of an upload, not yet written

	socket  *socket // below TLS, if any; nil: not TCP
	request []byte  // to be written by the next read
	written int     // of it
	early   error   // of a read that next has not been told of
}

// get takes an idle connection, or makes one by dial.
func (p *pool) get(now uint64, limit int, dial func() (net.Conn, error)) (*upstream, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			if p.open >= limit {
				p.mu.Unlock()
				return nil, errFull
			}
			p.open++
			p.mu.Unlock()
			break
		}
		u := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		age := now - u.since
		if age < uint64(maxIdleTime) && (age < uint64(freshTime) || u.quiet()) {
			return u, nil
		}
		u.discard()
	}
	c, err := dial()
	if err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		return nil, err
	}
	return newUpstream(p, c), nil
}

func newUpstream(p *pool, c net.Conn) *upstream {
	u := &upstream{Conn: c, pool: p}
	u.rd = h1.NewReader(u)
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	u.socket, _ = c.(*socket)
	return u
}

// quiet tells whether nothing has come from an idle connection: neither its end nor bytes that nobody asked for, which
// the next request would take for its answer.
func (u *upstream) quiet() bool {
	return u.socket != nil && len(u.rd.Buffered()) == 0 && u.socket.quiet()
}

// put gives a connection back whose request is over on both sides.
func (p *pool) put(u *upstream, now uint64) {
	u.rd.Done()
	if len(u.rd.Buffered()) > 0 {
		u.discard()
		return
	}
	u.since = now
	p.mu.Lock()
	if !p.closed && len(p.idle) < maxIdle {
		p.idle = append(p.idle, u)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	u.discard()
}

// discard closes a connection for good.
func (u *upstream) discard() {
	_ = u.Close() // nothing is owed to anyone on it
	u.rd.Close()
	u.pool.mu.Lock()
	u.pool.open--
	u.pool.mu.Unlock()
}

// sweep closes connections that have been idle for too long; all of them where the endpoint is gone.
func (p *pool) sweep(now uint64, gone bool) {
	p.mu.Lock()
	p.closed = p.closed || gone
	old := 0
	for old < len(p.idle) && (gone || now-p.idle[old].since >= uint64(maxIdleTime)) {
		old++
	}
	out := append([]*upstream(nil), p.idle[:old]...)
	p.idle = append(p.idle[:0], p.idle[old:]...)
	p.mu.Unlock()
	for _, u := range out {
		u.discard()
	}
}

// dial connects to an endpoint, with TLS unless secure is nil, within the cluster's time and before latest.
func dial(c *cluster, e *endpoint, secure *tls.Config, latest time.Time) (net.Conn, error) {
	by := time.Now().Add(c.ConnectTimeout)
	if latest.Before(by) {
		by = latest
	}
	d := net.Dialer{Deadline: by, KeepAlive: 15 * time.Second}
	network, address := networkOf(e.Address)
	nc, err := d.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Name, err)
	}
	nc = direct(nc)
	if secure == nil {
		return nc, nil
	}
	t := tls.Client(nc, secure)
	err = errors.Join(t.SetDeadline(by), t.Handshake())
	if err == nil {
		err = t.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close() // the handshake's error is the one that tells
		return nil, fmt.Errorf("connect to %s by mTLS: %w", c.Name, err)
	}
	return t, nil
}

// timer remembers what a connection's deadline is set to, so that most requests need not set it: setting one
// costs as much as parsing a head. One is up to an eighth of its time later than asked for.
type timer struct{ at time.Time }

// move makes sure that the deadline is at want or a little later. span is the time from now to want.
func (d *timer) move(set func(time.Time) error, want time.Time, span time.Duration) error {
	slack := span / 8
	if !d.at.Before(want) && !d.at.After(want.Add(slack)) {
		return nil
	}
	d.at = want.Add(slack)
	return set(d.at)
}
