package proxy

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// An upstream is the server of an attempt by HTTP/1.1.

func (u *upstream) send(x *exchange) (rest, sent bool, err error) {
	x.renderHead()
	x.renderFirst()
	if u.Conn == net.Conn(u.socket) && x.whole {
		return u.ask(x)
	}
	n, err := u.write(x, x.first)
	_, encrypted := u.Conn.(*tls.Conn)
	return false, n > 0 || encrypted, err
}

// ask sends a whole request, and reads the beginning of the answer: next returns what became of that.
func (u *upstream) ask(x *exchange) (rest, sent bool, err error) {
	if err := u.writes.move(u.SetWriteDeadline, x.deadline, x.deadline.Sub(x.started)); err != nil {
		return false, false, err
	}
	u.request, u.written = x.first, 0
	err = u.fill(x)
	u.request = nil
	if u.written < len(x.first) {
		return false, u.written > 0, err
	}
	u.early = err
	return false, true, nil
}

// Read reads from the connection, after it has written the request if there is one to be asked.
func (u *upstream) Read(b []byte) (n int, err error) {
	if u.request == nil {
		return u.Conn.Read(b)
	}
	u.written, n, err = u.socket.ask(u.request, b)
	return n, err
}

func (u *upstream) write(x *exchange, b []byte) (int, error) {
	if err := u.writes.move(u.SetWriteDeadline, x.deadline, x.deadline.Sub(x.started)); err != nil {
		return 0, err
	}
	return u.Write(b)
}

func (u *upstream) upload(x *exchange, data []byte, done bool) error {
	b := &x.req.Body
	if b.Kind == h1.Chunked {
		u.out = appendChunk(u.out, data)
		if done {
			u.out = appendLastChunk(u.out, b.Trailers)
		}
	} else {
		u.out = append(u.out, data...)
	}
	if len(u.out) < flushAt && !done && len(data) > 0 || len(u.out) == 0 {
		return nil
	}
	_, err := u.write(x, u.out)
	if u.out = u.out[:0]; cap(u.out) > maxKept && done {
		u.out = nil
	}
	return err
}

// stopUpload makes the connection useless: it is out of step.
func (u *upstream) stopUpload() { _ = u.SetWriteDeadline(time.Unix(1, 0)) }

func (u *upstream) next(x *exchange) (*h1.Response, error) {
	for {
		ok, err := u.rd.Response(&u.resp, x.req.Method)
		if err != nil {
			return nil, err
		}
		if ok {
			return &u.resp, nil
		}
		if err := u.fill(x); err != nil {
			return nil, err
		}
	}
}

func (u *upstream) fill(x *exchange) error {
	if err := u.early; err != nil {
		u.early = nil
		return err
	}
	if err := u.reads.move(u.SetReadDeadline, x.tryBy, x.tryBy.Sub(x.started)); err != nil {
		return err
	}
	return u.rd.Fill()
}

func (u *upstream) begun() bool { return len(u.rd.Buffered()) > 0 }

func (u *upstream) release(x *exchange, clean bool) {
	if clean {
		u.pool.put(u, x.c.p.clock.Mono())
	} else {
		u.discard()
	}
}

// cut closes the socket itself: closing TLS could wait for the endpoint.
func (u *upstream) cut() {
	inner := u.Conn
	if t, ok := inner.(*tls.Conn); ok {
		inner = t.NetConn()
	}
	_ = inner.Close() // nothing is owed to anyone on it
}
