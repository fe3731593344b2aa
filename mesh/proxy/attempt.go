package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// maxInterim bounds the 1xx answers before the final one.
const maxInterim = 8

// result is how an attempt ended: with an answer that the client has (failed is nil), with one that is worth another
// attempt, or without one.
type result struct {
	status int
	failed *failure
	again  bool
	client bool // it was the client who broke off
}

// attempt sends the request to e and the answer to the client.
func (x *exchange) attempt(e *endpoint) result {
	e.active.Add(1)
	defer e.active.Add(-1)
	k := x.cluster
	u, err := e.pool.get(x.c.p.clock.Mono(), k.MaxConnections, func() (net.Conn, error) { return dial(k, e, k.tls, x.deadline) })
	if err != nil {
		return x.noConnection(err)
	}
	x.c.up.Store(u)
	defer x.c.up.Store(nil)
	if x.c.p.severed.Load() {
		_ = u.Close() // the shutdown's time was over while this attempt began
	}
	x.tryBy = x.deadline
	if each := x.route.Retry.Each; each > 0 && x.attempts <= x.route.Retry.Attempts && x.whole && x.repeatable() {
		if by := time.Now().Add(each); by.Before(x.tryBy) {
			x.tryBy = by
		}
	}
	if string(x.c.req.Method) == "CONNECT" {
		defer u.discard()
		return x.connect(u)
	}
	x.renderFirst()
	if n, err := x.write(u, x.first); err != nil {
		u.discard()
		_, encrypted := u.Conn.(*tls.Conn)
		f := *errNoAnswer
		if n == 0 && !encrypted {
			f = *errNoConnect
		}
		return result{failed: &f, again: x.mayRetry(f.outcome)}
	}
	var up *upload
	if !x.whole {
		up = x.startUpload(u)
	}
	r, clean := x.receive(u)
	if up != nil {
		clean = x.endUpload(up, &r) && clean
	}
	if clean {
		e.pool.put(u, x.c.p.clock.Mono())
	} else {
		u.discard()
	}
	return r
}

func (x *exchange) noConnection(err error) result {
	f := *errNoConnect
	switch {
	case errors.Is(err, errFull):
		f.reason = errFull.Error()
		return result{failed: errFull503, again: x.mayRetry(notSent)}
	case time.Until(x.deadline) <= 0:
		f.status = 504
	}
	x.c.p.log.Debug("no connection", "route", x.route.Name, "cluster", x.cluster.Name, "error", err)
	return result{failed: &f, again: x.mayRetry(notSent)}
}

func (x *exchange) write(u *upstream, b []byte) (int, error) {
	if err := u.writes.move(u.SetWriteDeadline, x.deadline, x.deadline.Sub(x.started)); err != nil {
		return 0, err
	}
	return u.Write(b)
}

func (x *exchange) fill(u *upstream) error {
	if err := u.reads.move(u.SetReadDeadline, x.tryBy, x.tryBy.Sub(x.started)); err != nil {
		return err
	}
	return u.rd.Fill()
}

// receive reads the answer and passes it on. clean: the connection can take another request.
func (x *exchange) receive(u *upstream) (r result, clean bool) {
	resp := &u.resp
	for interim := 0; ; {
		ok, err := u.rd.Response(resp, x.c.req.Method)
		if err != nil || interim > maxInterim {
			return result{failed: errBadAnswer}, false
		}
		if !ok {
			if err := x.fill(u); err != nil {
				return x.noAnswer(u, err, interim > 0), false
			}
			continue
		}
		if !resp.Interim() {
			break
		}
		interim++
		if x.c.req.Minor == 1 {
			x.c.out = appendInterim(x.c.out, resp)
			if x.c.flush() != nil {
				return result{failed: errClientGone, client: true}, false
			}
		}
	}
	if resp.Status == 101 {
		return x.switchProtocols(u), false
	}
	for _, s := range x.route.Retry.Statuses {
		if s == resp.Status && x.mayRetry(unknown) {
			return result{status: s, again: true}, false
		}
	}
	x.renderAnswer(resp)
	return x.pass(u)
}

// errClientGone has nobody left to be sent to; it is for the log.
var errClientGone = &failure{499, "the client closed the connection", unknown}

// noAnswer is for an endpoint that did not answer. Once a byte of an answer has come, nothing is sent again.
func (x *exchange) noAnswer(u *upstream, err error, begun bool) result {
	switch {
	case begun || len(u.rd.Buffered()) > 0:
		return result{failed: errBadAnswer}
	case isTimeout(err):
		return result{failed: errTimeout, again: x.mayRetry(unknown)}
	}
	return result{failed: errNoAnswer, again: x.mayRetry(unknown)}
}

// pass sends the body of the answer to the client as it arrives.
func (x *exchange) pass(u *upstream) (r result, clean bool) {
	c, resp := x.c, &u.resp
	r.status, x.tryBy = resp.Status, x.deadline
	chunked := (resp.Body.Kind == h1.Chunked || resp.Body.Kind == h1.UntilClose) && c.req.Minor == 1
	for {
		data, done, err := resp.Body.Step()
		if err != nil {
			r.failed = errBadAnswer
			return r, false
		}
		x.sent += int64(len(data))
		if chunked {
			c.out = appendChunk(c.out, data)
		} else {
			c.out = append(c.out, data...)
		}
		if done {
			break
		}
		if len(c.out) >= flushAt || len(data) == 0 {
			if c.flush() != nil {
				r.failed, r.client = errClientGone, true
				return r, false
			}
		}
		if len(data) > 0 {
			continue
		}
		if err := x.fill(u); err != nil {
			if !errors.Is(err, io.EOF) || resp.Body.End() != nil {
				r.failed = errBadAnswer
				return r, false
			}
			break
		}
	}
	if chunked {
		c.out = appendLastChunk(c.out, resp.Body.Trailers)
	}
	return r, !resp.Close
}

// upload passes the rest of a request's body on while the answer is awaited: either may come first.
type upload struct {
	x      *exchange
	u      *upstream
	failed *failure // the client's fault; nil: done, stopped, or the endpoint no longer takes it
	whole  bool
	done   chan struct{}
}

func (x *exchange) startUpload(u *upstream) *upload {
	up := &upload{x: x, u: u, done: make(chan struct{})}
	go up.run()
	return up
}

// endUpload waits for the upload's end, and makes it end where the answer did not wait for it. It tells whether both
// connections are in step: all of the request was passed on.
func (x *exchange) endUpload(up *upload, r *result) bool {
	inStep := true
	select {
	case <-up.done:
	default:
		inStep = false
		x.halt.Store(true)
		past := time.Unix(1, 0)
		_ = x.c.nc.SetReadDeadline(past) // of a connection that is closed soon
		_ = up.u.SetWriteDeadline(past)  // the same
		<-up.done
	}
	x.c.idleBy.at = time.Time{}
	x.whole = up.whole
	if up.failed != nil && r.failed != nil && !x.begun {
		r.failed, r.client, r.again = up.failed, true, false
	}
	return up.whole && inStep
}

func (up *upload) run() {
	defer close(up.done)
	x, u := up.x, up.u
	b := &x.c.req.Body
	var out []byte
	for {
		data, done, err := b.Step()
		if err == nil && x.in+int64(len(data)) > x.route.MaxBody {
			up.abort(errTooLarge)
			return
		}
		if err != nil {
			up.abort(x.uploadFailure(err))
			return
		}
		x.in += int64(len(data))
		if b.Kind == h1.Chunked {
			out = appendChunk(out, data)
			if done {
				out = appendLastChunk(out, b.Trailers)
			}
		} else {
			out = append(out, data...)
		}
		if len(out) >= flushAt || done || len(data) == 0 && len(out) > 0 {
			if _, err := x.write(u, out); err != nil {
				return // the endpoint may have answered before it stopped reading
			}
			out = out[:0]
		}
		if done {
			up.whole = true
			return
		}
		if len(data) > 0 {
			continue
		}
		if err := x.c.fillBody(x); err != nil {
			if !x.halt.Load() {
				up.abort(x.uploadFailure(err))
			}
			return
		}
	}
}

// abort ends the attempt: a request whose body is not whole must not look as if it were.
func (up *upload) abort(f *failure) {
	up.failed = f
	_ = up.u.Close() // so that the endpoint sees the end, and the reader of the answer wakes up
}

func (x *exchange) uploadFailure(err error) *failure {
	f := x.bodyFailure(err)
	f.outcome = unknown
	return f
}

// connect opens a tunnel for a CONNECT that the route takes. The tunnel goes to the cluster, whatever the target says.
func (x *exchange) connect(u *upstream) result {
	x.keep = false
	x.status, x.answered = 200, true
	x.c.out = append(x.c.out, "HTTP/1.1 200 OK\r\n\r\n"...)
	return x.tunnel(u)
}

// switchProtocols goes on with another protocol where the client asked for it and the route has it.
func (x *exchange) switchProtocols(u *upstream) result {
	if x.c.req.UpgradeTo == nil || !bytes.EqualFold(u.resp.UpgradeTo, x.c.req.UpgradeTo) || !x.whole {
		return result{failed: errBadAnswer}
	}
	x.renderAnswer(&u.resp)
	x.keep = false
	return x.tunnel(u)
}

// tunnel passes bytes both ways until both sides have ended.
func (x *exchange) tunnel(u *upstream) result {
	c := x.c
	r := result{status: x.status}
	c.out = append(c.out, u.rd.Take()...)
	if c.flush() != nil {
		r.failed, r.client = errClientGone, true
		return r
	}
	if ahead := c.rd.Take(); len(ahead) > 0 {
		if _, err := x.write(u, ahead); err != nil {
			return r
		}
	}
	c.idleBy.at, c.writeBy.at = time.Time{}, time.Time{}
	x.in, x.sent = pipe(c.nc, u.Conn, c.l.Idle)
	return r
}
