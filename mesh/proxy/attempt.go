package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// maxInterim bounds the 1xx answers before the final one.
const maxInterim = 8

// server is an attempt's side of the endpoint: a connection of HTTP/1.1, or a stream of HTTP/2. One goroutine calls
// upload, another one the rest.
type server interface {
	// send sends the head of the request and what is held of its body; rest: that is still to be uploaded; sent: the
	// endpoint may have got some of the request.
	send(x *exchange) (rest, sent bool, err error)
	// upload sends more of the body; done: that was all. Without data, it sends what it has collected. stopUpload makes
	// it return.
	upload(x *exchange, data []byte, done bool) error
	stopUpload()
	// next waits until x.tryBy for the head of an answer, fill for more of its body.
	next(x *exchange) (*h1.Response, error)
	fill(x *exchange) error
	// begun tells whether anything of an answer has come.
	begun() bool
	// release ends the attempt; clean: both sides have said all.
	release(x *exchange, clean bool)
	canceler // makes all of these return
}

// canceler is what can be cut off. Any goroutine may do so.
type canceler interface{ cut() }

// result is how an attempt ended: with an answer that the client has (failed is nil), with one that is worth another
// attempt, or without one.
type result struct {
	status int
	failed *failure
	again  bool    // mayRetry has said so
	redo   outcome // what mayRetry is to judge; "": it is over
	client bool    // it was the client who broke off
}

// attempt sends the request to e and the answer to the client.
func (x *exchange) attempt(e *endpoint) result {
	if x.hedges() {
		return x.hedge(e)
	}
	e.active.Add(1)
	defer e.active.Add(-1)
	if string(x.req.Method) == "CONNECT" {
		return x.connect(e)
	}
	up, err := x.open(e)
	if err != nil {
		return x.noConnection(err)
	}
	x.onto(up)
	if x.c.p.severed.Load() {
		up.cut() // the shutdown's time was over while this attempt began
	}
	x.tryBy = x.deadline
	if each := x.route.Retry.Each; each > 0 && x.attempts <= x.route.Retry.Attempts && x.whole && x.repeatable() {
		if by := time.Now().Add(each); by.Before(x.tryBy) {
			x.tryBy = by
		}
	}
	r, clean := x.exchangeWith(up)
	x.onto(nil)
	up.release(x, clean)
	if x.left() {
		r.failed, r.client, r.redo, r.again = errClientGone, true, "", false
	}
	return r
}

// open reaches an endpoint in the cluster's protocol.
func (x *exchange) open(e *endpoint) (server, error) {
	switch {
	case x.call() != nil:
		return x.openCall(e)
	case x.cluster.Protocol == ProtocolGRPC:
		return x.openStream(e)
	}
	return x.openConnection(e)
}

func (x *exchange) openConnection(e *endpoint) (*upstream, error) {
	k := x.cluster
	return e.pool.get(x.c.p.clock.Mono(), k.MaxConnections, func() (net.Conn, error) { return dial(k, e, k.tls, x.deadline) })
}

// exchangeWith sends the request and passes on the answer. clean: both sides have said all.
func (x *exchange) exchangeWith(up server) (r result, clean bool) {
	rest, sent, err := up.send(x)
	if err != nil {
		f := *errNoAnswer
		if !sent {
			f = *errNoConnect
		}
		return result{failed: &f, redo: f.outcome}, false
	}
	if x.whole && !rest {
		return x.receive(up, nil)
	}
	load := x.startUpload(up, rest)
	r, clean = x.receive(up, load)
	return r, x.endUpload(load, &r) && clean
}

func (x *exchange) noConnection(err error) result {
	f := *errNoConnect
	switch {
	case errors.Is(err, errFull):
		f.reason = errFull.Error()
		return result{failed: errFull503, redo: notSent}
	case time.Until(x.deadline) <= 0:
		f.status = 504
	}
	x.c.p.log.Debug("no connection", "route", x.route.Name, "cluster", x.cluster.Name, "error", err)
	return result{failed: &f, redo: notSent}
}

// receive reads the answer and passes it on. clean: the connection can take another request.
func (x *exchange) receive(up server, load *upload) (r result, clean bool) {
	var resp *h1.Response
	for interim := 0; ; {
		var err error
		if resp, err = up.next(x); err != nil || interim > maxInterim {
			return x.noAnswer(up, err, interim > 0), false
		}
		if !resp.Interim() {
			break
		}
		interim++
		if x.req.Minor == 1 {
			x.from.interim(resp)
			if x.from.flush() != nil {
				return result{failed: errClientGone, client: true}, false
			}
		}
	}
	return x.answer(up, resp, load)
}

// answer passes on an answer whose head has come, unless it is worth another attempt.
func (x *exchange) answer(up server, resp *h1.Response, load *upload) (r result, clean bool) {
	if resp.Status == 101 {
		return x.switchProtocols(up, resp), false
	}
	status := statusOf(resp)
	if slices.Contains(x.route.Retry.Statuses, status) && x.settle(load) && x.mayRetry(unknown) {
		return result{status: status, again: true}, false
	}
	x.status, x.answered = resp.Status, true
	x.from.head(x, resp)
	return x.pass(up, resp)
}

// statusOf is an answer's status as far as its head tells: a gRPC answer without messages has its own at once.
func statusOf(resp *h1.Response) int {
	if code, ok := grpcStatus(resp.Fields); ok {
		return httpStatus(code)
	}
	return resp.Status
}

// errClientGone has nobody left to be sent to; it is for the log.
var errClientGone = &failure{499, "the client closed the connection", unknown}

// noAnswer is for an endpoint that did not answer. Once a byte of an answer has come, nothing is sent again.
func (x *exchange) noAnswer(up server, err error, begun bool) result {
	var bad *h1.Error
	switch {
	case begun || up.begun() || errors.As(err, &bad):
		return result{failed: errBadAnswer}
	case errors.Is(err, h2.ErrRefused):
		return result{failed: errNoConnect, redo: notSent} // RFC 9113, 8.7: no part of it was acted on
	case isTimeout(err):
		return result{failed: errTimeout, redo: unknown}
	}
	return result{failed: errNoAnswer, redo: unknown}
}

// pass sends the body of the answer to the client as it arrives.
func (x *exchange) pass(up server, resp *h1.Response) (r result, clean bool) {
	r.status, x.tryBy = resp.Status, x.deadline
	gone := result{status: r.status, failed: errClientGone, client: true}
	for {
		data, done, err := resp.Body.Step()
		if err != nil {
			r.failed = errBadAnswer
			return r, false
		}
		x.sent += int64(len(data))
		if len(data) > 0 && x.from.data(x, data) != nil {
			return gone, false
		}
		if done {
			break
		}
		if len(data) > 0 {
			continue
		}
		if x.from.flush() != nil {
			return gone, false
		}
		if err := up.fill(x); err != nil {
			if !errors.Is(err, io.EOF) || resp.Body.End() != nil {
				if r.failed = errBadAnswer; isTimeout(err) {
					r.failed = errTimeout
				}
				return r, false
			}
			break
		}
	}
	x.judgeGRPC(resp, &r)
	if x.from.finish(x, resp.Body.Trailers) != nil {
		return gone, false
	}
	return r, !resp.Close
}

// upload passes the rest of a request's body on while the answer is awaited: either may come first.
type upload struct {
	x      *exchange
	up     server
	failed *failure // the client's fault; nil: done, stopped, or the endpoint no longer takes it
	rest   bool     // what is held comes first
	held   bool     // and is all
	whole  bool     // all was passed on
	done   chan struct{}
}

func (x *exchange) startUpload(up server, rest bool) *upload {
	l := &upload{x: x, up: up, rest: rest, held: x.whole, done: make(chan struct{})}
	go l.run()
	return l
}

// endUpload waits for the upload's end, and makes it end where the answer did not wait for it. It tells whether both
// sides are in step: all of the request was passed on.
func (x *exchange) endUpload(l *upload, r *result) bool {
	inStep := true
	select {
	case <-l.done:
	default:
		inStep = false
		if !l.held {
			x.from.stopReading()
		}
		l.up.stopUpload()
	}
	x.joinUpload(l)
	if l.failed != nil && r.failed != nil && !x.begun {
		r.failed, r.client, r.redo = l.failed, true, ""
	}
	return l.whole && inStep
}

// settle tells whether the request is held whole, or was by the end of its upload; nil: there was none.
func (x *exchange) settle(l *upload) bool {
	if l != nil {
		select {
		case <-l.done:
			x.joinUpload(l)
		default:
			return false
		}
	}
	return x.whole
}

func (x *exchange) joinUpload(l *upload) {
	<-l.done
	if !l.held {
		x.read = l.whole
		x.whole = l.whole && !x.passed
	}
}

func (l *upload) run() {
	defer close(l.done)
	x := l.x
	b := &x.req.Body
	if l.rest {
		if err := l.up.upload(x, x.body, l.held); err != nil || l.held {
			l.whole = err == nil
			return
		}
	}
	for {
		data, done, err := b.Step()
		if err == nil && x.in+int64(len(data)) > x.route.MaxBody {
			l.abort(errTooLarge)
			return
		}
		if err != nil {
			l.abort(x.uploadFailure(err))
			return
		}
		x.in += int64(len(data))
		if x.passed = x.passed || len(x.body)+len(data) > maxHeld; !x.passed {
			x.body = append(x.body, data...)
		}
		if err := l.up.upload(x, data, done); err != nil {
			return // the endpoint may have answered before it stopped reading
		}
		if done {
			l.whole = true
			return
		}
		if len(data) > 0 {
			continue
		}
		if err := x.fillBody(); err != nil {
			if !errors.Is(err, errStopping) {
				l.abort(x.uploadFailure(err))
			}
			return
		}
	}
}

// abort ends the attempt: a request whose body is not whole must not look as if it were.
func (l *upload) abort(f *failure) {
	l.failed = f
	l.up.cut() // so that the endpoint sees the end, and the reader of the answer wakes up
}

func (x *exchange) uploadFailure(err error) *failure {
	f := x.bodyFailure(err)
	f.outcome = unknown
	return f
}

// connect opens a tunnel for a CONNECT that the route takes. The tunnel goes to the cluster, whatever the target says.
func (x *exchange) connect(e *endpoint) result {
	u, err := x.openConnection(e)
	if err != nil {
		return x.noConnection(err)
	}
	x.onto(u)
	defer func() {
		x.onto(nil)
		u.discard()
	}()
	x.keep = false
	x.status, x.answered = 200, true
	x.c.out = append(x.c.out, "HTTP/1.1 200 OK\r\n\r\n"...)
	return x.tunnel(u)
}

// switchProtocols goes on with another protocol where the client asked for it and the route has it.
func (x *exchange) switchProtocols(up server, resp *h1.Response) result {
	u, ok := up.(*upstream)
	if !ok || x.req.UpgradeTo == nil || !bytes.EqualFold(resp.UpgradeTo, x.req.UpgradeTo) || !x.whole {
		return result{failed: errBadAnswer}
	}
	x.keep = false
	x.status, x.answered = 101, true
	x.from.head(x, resp)
	return x.tunnel(u)
}

// tunnel passes bytes both ways until both sides have ended. Only HTTP/1.1 opens one.
func (x *exchange) tunnel(u *upstream) result {
	c := x.c
	r := result{status: x.status}
	c.out = append(c.out, u.rd.Take()...)
	if c.flush() != nil {
		r.failed, r.client = errClientGone, true
		return r
	}
	if ahead := c.rd.Take(); len(ahead) > 0 {
		if _, err := u.write(x, ahead); err != nil {
			return r
		}
	}
	c.idleBy.at, c.writeBy.at = time.Time{}, time.Time{}
	x.in, x.sent = pipe(c.nc, u.Conn, c.l.Idle)
	return r
}
