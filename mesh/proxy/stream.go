package proxy

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/net/http2"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// serveStreams answers requests by HTTP/2 until the connection ends.
func (c *conn) serveStreams() {
	ahead := append([]byte(nil), c.rd.Take()...)
	c.rd.Close()
	c.rd = nil
	h := h2.NewConn(c.nc, h2.Options{Serve: c.serveStream, Idle: c.l.Idle, Ahead: ahead})
	c.h2.Store(h)
	if c.p.stopping.Load() || c.p.draining.Load() {
		h.Drain()
	}
	err := h.Serve()
	var broken http2.ConnectionError
	if errors.As(err, &broken) {
		c.l.stats.malformed.Add(1)
		c.p.log.Debug("malformed HTTP/2", "listener", c.l.Name, "from", c.raw.RemoteAddr().String(), "caller", c.peer, "error", err)
		c.linger() // so that the client sees our GOAWAY
	}
}

// stream is a client's stream: the client of its exchange.
type stream struct {
	*h2.Stream
	x   exchange
	req h1.Request
}

func (c *conn) serveStream(s *h2.Stream) {
	defer s.Done()
	t := &stream{Stream: s}
	x := &t.x
	x.c, x.from, x.req, x.deadline = c, t, &t.req, s.Opened.Add(headTime)
	if err := composeRequest(&t.req, s); err != nil {
		var bad *h1.Error
		if errors.As(err, &bad) {
			c.l.stats.malformed.Add(1)
			c.p.log.Debug("malformed request", "listener", c.l.Name, "from", c.raw.RemoteAddr().String(), "caller", c.peer, "reason", bad.Reason)
			x.grpc = isGRPC(x.req)
			t.decline(x, &failure{bad.Status, bad.Reason, notSent})
		}
		s.Flush()
		return
	}
	s.OnGone(x.cut)
	x.run(s.Opened)
	s.Flush()
}

func (t *stream) fill(by time.Time) error {
	err := t.Wait(by)
	if errors.Is(err, h2.ErrStopped) {
		return errStopping
	}
	return err
}

func (t *stream) stopReading() { t.Halt() }

func (t *stream) interim(resp *h1.Response) {
	h := &h2.Head{Status: resp.Status}
	for i := range resp.Fields {
		if f := &resp.Fields[i]; f.Forwarded() {
			h.Fields = toHTTP2(h.Fields, f)
		}
	}
	_ = t.Answer(h, false) // a client that is gone is noticed with the answer
}

func (t *stream) head(x *exchange, resp *h1.Response) {
	r := x.route
	h := &h2.Head{Status: resp.Status, Fields: make([]h2.Field, 0, len(resp.Fields)+1)}
	for i := range resp.Fields {
		f := &resp.Fields[i]
		if !f.Forwarded() || len(r.response.drop) > 0 && r.response.drops(f.Name) {
			continue
		}
		h.Fields = toHTTP2(h.Fields, f)
	}
	for i := range r.response.add {
		h.Fields = toHTTP2(h.Fields, &r.response.add[i])
	}
	switch n := resp.Body.Left(); {
	case resp.Body.Kind == h1.None && resp.Has(h1.ContentLength) && (string(x.req.Method) == "HEAD" || resp.Status == 304):
		h.Fields = append(h.Fields, h2.Field{Name: nameLength, Value: resp.Get(h1.ContentLength), Once: true}) // of the body that is left out
	case resp.Body.Kind == h1.Length && !x.grpc:
		h.Fields = append(h.Fields, lengthField(n))
	}
	x.begun = true // it can't be taken back
	x.headOnly = resp.Body.Over()
	_ = t.Answer(h, x.headOnly) // a client that is gone is noticed with what follows, or by nobody
}

func (t *stream) data(x *exchange, b []byte) error { return t.Write(b, false, t.writeBy(x)) }

// writeBy is until when the client has to take more of the answer.
func (t *stream) writeBy(x *exchange) time.Time {
	by := time.Now().Add(writeTime)
	if x.deadline.Before(by) {
		return x.deadline
	}
	return by
}

func (t *stream) finish(x *exchange, trailers []h1.Field) error {
	switch {
	case x.headOnly:
		return nil
	case len(trailers) == 0:
		return t.Write(nil, true, t.writeBy(x))
	}
	h := &h2.Head{Fields: make([]h2.Field, 0, len(trailers))}
	for i := range trailers {
		h.Fields = toHTTP2(h.Fields, &trailers[i])
	}
	return t.Answer(h, true)
}

func (t *stream) flush() error {
	t.Flush()
	return nil
}

// decline answers a gRPC call with a status of gRPC's, in a head that is the whole answer, and any other with a text.
func (t *stream) decline(x *exchange, f *failure) {
	outcome := h2.Field{Name: []byte("x-sterling-outcome"), Value: []byte(f.outcome)}
	if x.grpc {
		x.code = f.grpcCode()
		_ = t.Answer(&h2.Head{Status: 200, Fields: append([]h2.Field{{Name: []byte("content-type"), Value: []byte("application/grpc")}, outcome}, grpcFailure(f)...)}, true)
		return
	}
	h := &h2.Head{Status: f.status, Fields: []h2.Field{{Name: []byte("content-type"), Value: []byte("text/plain; charset=utf-8")}, outcome, lengthField(int64(len(f.reason) + 1))}}
	if f.status == 503 || f.status == 429 {
		h.Fields = append(h.Fields, h2.Field{Name: []byte("retry-after"), Value: []byte("1")})
	}
	head := string(t.req.Method) == "HEAD"
	if err := t.Answer(h, head); err == nil && !head {
		_ = t.Write(append([]byte(f.reason), '\n'), true, t.writeBy(x)) // a client that takes nothing gets nothing
	}
}

// grpcFailure says a failure as a status of gRPC's. Reasons are plain ASCII: nothing in them has to be escaped.
func grpcFailure(f *failure) []h2.Field {
	return []h2.Field{
		{Name: []byte("grpc-status"), Value: strconv.AppendInt(nil, int64(f.grpcCode()), 10)},
		{Name: []byte("grpc-message"), Value: []byte(f.reason)},
	}
}

// abort ends an answer that has begun: a gRPC call by its status, which is what tells a client that it failed.
func (t *stream) abort(x *exchange, f *failure) {
	if x.grpc && f != errClientGone {
		x.code = f.grpcCode()
		if t.Answer(&h2.Head{Fields: grpcFailure(f)}, true) == nil {
			return
		}
	}
	t.Cancel(http2.ErrCodeInternal)
}
