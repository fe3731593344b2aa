package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// Bounds of a client's connection.
const (
	headTime    = 10 * time.Second // from the first byte of a head to its last, and for a TLS handshake
	bodyTime    = 30 * time.Second // without a byte of the body
	writeTime   = 30 * time.Second // without taking a byte of the answer
	lingerTime  = time.Second      // for a client to read the answer to what it has not finished sending
	lingerBytes = 256 << 10
	flushAt     = 32 << 10 // bytes of an answer written at once
	maxKept     = 4 << 10  // larger buffers are not kept for the next request: most connections are idle
)

// conn is a client's connection, and the goroutine that serves it.
type conn struct {
	p    *Proxy
	l    *listener
	nc   net.Conn
	raw  net.Conn // as accepted: nc without TLS
	rd   *h1.Reader
	req  h1.Request
	rpc  atomic.Pointer[rpcConn] // nil: it speaks HTTP
	peer string                  // the caller's identity, "" if unknown
	out  []byte                  // of the answer, not yet written

	peerBytes       []byte // peer, as fields have it
	idleBy, writeBy timer
	idle            atomic.Bool // waits for a request: may be closed at any time
	chunked         bool        // the answer's body goes in chunks
	halt            atomic.Bool // the body is to be read no more
	x               exchange
	h2              atomic.Pointer[h2.Conn] // nil: it speaks HTTP/1.1
	counted         atomic.Pointer[countedAt]
}

// serve answers requests until the connection ends.
func (c *conn) serve() {
	defer c.close()
	if !c.identify() {
		return
	}
	c.rd = h1.NewReader(c.nc)
	c.peerBytes = []byte(c.peer)
	if both, err := c.speaksHTTP2(); err != nil || both {
		if both {
			c.serveStreams()
		}
		return
	}
	c.x.c, c.x.from, c.x.req = c, c, &c.req
	for {
		started, err := c.readHead()
		if err != nil {
			c.refuse(err)
			return
		}
		c.halt.Store(false)
		keep := c.x.run(started)
		if err := c.flush(); err != nil || !keep {
			if err == nil && c.x.unread {
				c.linger()
			}
			return
		}
		c.rd.Done()
		for _, b := range []*[]byte{&c.out, &c.x.head, &c.x.first, &c.x.body} {
			if cap(*b) > maxKept {
				*b = nil
			}
		}
	}
}

// identify finds out who calls: by certificate, or by what the listener says of whoever can reach it.
func (c *conn) identify() bool {
	c.peer = c.l.Caller
	if c.l.tls == nil {
		return true
	}
	t := tls.Server(c.nc, c.l.tls)
	by := time.Now().Add(headTime)
	err := errors.Join(t.SetDeadline(by), t.Handshake())
	if err == nil {
		err = t.SetDeadline(time.Time{})
	}
	if err == nil {
		c.peer, err = peerOf(t)
	}
	if err != nil {
		c.l.stats.handshakes.Add(1)
		c.p.log.Debug("TLS handshake", "listener", c.l.Name, "from", c.nc.RemoteAddr().String(), "error", err)
		return false
	}
	c.nc = t
	return true
}

// await waits for the first byte of a request.
func (c *conn) await() error {
	if len(c.rd.Buffered()) > 0 {
		return nil
	}
	c.idle.Store(true)
	defer c.idle.Store(false)
	if c.p.stopping.Load() {
		return errStopping
	}
	if err := c.idleBy.move(c.nc.SetReadDeadline, time.Now().Add(c.l.Idle), c.l.Idle); err != nil {
		return err
	}
	return c.rd.Fill()
}

// speaksHTTP2 tells whether the client does: as agreed on by TLS, or else because it begins so (RFC 9113, 3.3). No
// method of HTTP/1.1 is called PRI.
func (c *conn) speaksHTTP2() (bool, error) {
	if t, ok := c.nc.(*tls.Conn); ok {
		return t.ConnectionState().NegotiatedProtocol == "h2", nil
	}
	const preface = "PRI "
	err := c.await()
	for by := time.Now().Add(headTime); err == nil; {
		have := c.rd.Buffered()
		n := min(len(have), len(preface))
		if string(have[:n]) != preface[:n] || n == len(preface) {
			return n == len(preface) && string(have[:n]) == preface, nil
		}
		if err = c.setRead(by); err == nil {
			err = c.rd.Fill()
		}
	}
	return false, err
}

// fill waits for more of a request's body.
func (c *conn) fill(by time.Time) error {
	if err := c.setRead(by); err != nil {
		return err
	}
	if c.halt.Load() {
		return errStopping
	}
	err := c.rd.Fill()
	if err != nil && c.halt.Load() {
		return errStopping
	}
	return err
}

// stopReading makes the connection useless: it is closed soon.
func (c *conn) stopReading() {
	c.halt.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// readHead waits for a request. The time begins with the first byte of its head.
func (c *conn) readHead() (started time.Time, err error) {
	if err := c.await(); err != nil {
		return started, err
	}
	started = time.Now()
	for slow := false; ; slow = true {
		if ok, err := c.rd.Request(&c.req); ok || err != nil {
			return started, err
		}
		if !slow {
			if err := c.setRead(started.Add(headTime)); err != nil {
				return started, err
			}
		}
		if err := c.rd.Fill(); err != nil {
			if isTimeout(err) {
				return started, errSlowHead
			}
			return started, err
		}
	}
}

var (
	errStopping = errors.New("the proxy stops")
	errSlowHead = &h1.Error{Status: 408, Reason: "the head took too long"}
)

// setRead sets the read deadline to something that readHead has to set again.
func (c *conn) setRead(by time.Time) error {
	c.idleBy.at = time.Time{}
	return c.nc.SetReadDeadline(by)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// refuse answers a message that is none, where an answer makes sense.
func (c *conn) refuse(err error) {
	var bad *h1.Error
	if !errors.As(err, &bad) {
		return // closed, idle for too long, or broken
	}
	c.l.stats.malformed.Add(1)
	c.p.log.Debug("malformed request", "listener", c.l.Name, "from", c.raw.RemoteAddr().String(), "caller", c.peer, "reason", bad.Reason)
	c.out = appendFailure(c.out, &failure{bad.Status, bad.Reason, notSent}, false, false)
	if c.flush() == nil {
		c.linger()
	}
}

// flush writes the answer so far. The client has writeTime to take it.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.x.begun = c.x.answered
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *conn) write(b []byte) error {
	if err := c.writeBy.move(c.nc.SetWriteDeadline, time.Now().Add(writeTime), writeTime); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return err
}

// linger reads on for a moment after the last answer: closing with bytes unread would reset the connection, and the
// client might never see why.
func (c *conn) linger() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.nc, lingerBytes) // until the client has seen the end
	}
}

// abort ends the connection so that nobody takes a cut answer for a whole one.
func (c *conn) abort(*exchange, *failure) {
	if t, ok := bare(c.raw).(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a reset instead of an orderly end; without it, the framing still tells
	}
	_ = c.raw.Close() // past saving
}

func (c *conn) close() {
	if c.rd != nil {
		c.rd.Close()
	}
	c.end()
}

// drain ends the connection when the requests under way have ended.
func (c *conn) drain() {
	if h := c.h2.Load(); h != nil {
		h.Drain()
	} else if r := c.rpc.Load(); r != nil {
		r.retire()
	} else if c.idle.Load() {
		_ = c.raw.Close() // it waits for a request
	}
}

// sever ends the connection and what it has under way.
func (c *conn) sever() {
	if h := c.h2.Load(); h != nil {
		h.Close()
	}
	_ = c.raw.Close() // its time is over
	c.x.cut()
	if r := c.rpc.Load(); r != nil {
		r.cut()
	}
}

// end closes the connection and forgets it.
func (c *conn) end() {
	_ = c.nc.Close() // the client has all it gets
	c.l.open.Add(-1)
	c.p.mu.Lock()
	delete(c.p.conns, c.raw)
	c.p.mu.Unlock()
}
