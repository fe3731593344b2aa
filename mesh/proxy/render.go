package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// moreFields is how many fields the proxy adds of its own: trace, colour twice, peer.
const moreFields = 4

// collectFields takes the fields that endpoints get, up to what each attempt adds. Framing and all that belongs to one
// connection is left out; what callers must not say of themselves is replaced by what the proxy knows.
func (x *exchange) collectFields() {
	req, r := x.req, x.route
	list := slices.Grow(x.fields[:0], len(req.Fields)+len(r.request.add)+moreFields)
	for i := range req.Fields {
		f := &req.Fields[i]
		if !f.Forwarded() {
			continue
		}
		switch f.Known {
		case h1.Other:
			if len(r.request.drop) > 0 && r.request.drops(f.Name) {
				continue
			}
		case h1.Host, h1.Expect, h1.Peer, h1.TimeoutMs, h1.Shadow:
			continue
		case h1.GRPCTimeout:
			if x.grpc {
				continue
			}
		case h1.TraceParent, h1.TraceState:
			if x.fresh {
				continue
			}
		case h1.Authorization, h1.Cookie:
			if r.request.drops(f.Name) {
				continue
			}
		}
		list = append(list, *f)
	}
	list = append(list, r.request.add...)
	if x.fresh {
		list = append(list, h1.Field{Name: nameTrace, Value: x.trace, Known: h1.TraceParent})
	}
	if x.shadow {
		list = appendShadow(list, x.fresh || !shadowState(req))
	}
	if x.c.peer != "" {
		list = append(list, h1.Field{Name: namePeer, Value: x.c.peerBytes, Known: h1.Peer})
	}
	x.fields = list
}

// renderHead writes the request as HTTP/1.1, up to what each attempt adds.
func (x *exchange) renderHead() {
	req := x.req
	b := append(x.head[:0], req.Method...)
	b = append(b, ' ')
	b = append(b, req.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(append(b, x.authority()...), "\r\n"...)
	for i := range x.fields {
		b = appendField(b, x.fields[i].Name, x.fields[i].Value)
	}
	if req.AcceptsTrailers && req.UpgradeTo == nil {
		b = append(b, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if req.UpgradeTo != nil {
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(append(b, req.UpgradeTo...), "\r\n"...)
	}
	x.head = x.renderFraming(b)
}

// authority is the host that the endpoint is asked for. HTTP/1.0 may leave it out.
func (x *exchange) authority() []byte {
	if len(x.req.Host) > 0 {
		return x.req.Host
	}
	return []byte(x.cluster.Name)
}

// renderFraming says how the body ends. One that is held whole has a length, even if it came in chunks.
func (x *exchange) renderFraming(b []byte) []byte {
	body := &x.req.Body
	switch {
	case body.Kind == h1.None:
	case x.whole && len(body.Trailers) == 0:
		b = appendLength(b, int64(len(x.body)))
	case body.Kind == h1.Length:
		b = appendLength(b, int64(len(x.body))+body.Left())
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.req.Expects && !x.whole {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return b
}

// renderFirst writes what an attempt sends at once: the head, the time that is left, and what is held of the body.
func (x *exchange) renderFirst() {
	b := append(x.first[:0], x.head...)
	b = append(b, "X-Sterling-Timeout-Ms: "...)
	b = strconv.AppendInt(b, max(time.Until(x.deadline).Milliseconds(), 1), 10)
	if x.grpc {
		b = append(b, "\r\nGrpc-Timeout: "...)
		b = appendGRPCTimeout(b, time.Until(x.deadline))
	}
	b = append(b, "\r\n\r\n"...)
	body := &x.req.Body
	switch {
	case body.Kind != h1.Chunked || x.whole && len(body.Trailers) == 0:
		b = append(b, x.body...)
	default:
		b = appendChunk(b, x.body)
		if x.whole {
			b = appendLastChunk(b, body.Trailers)
		}
	}
	x.first = b
}

// head writes the head of an endpoint's answer as HTTP/1.1.
func (c *conn) head(x *exchange, resp *h1.Response) {
	r := x.route
	b := append(c.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(resp.Status), 10)
	b = append(append(append(b, ' '), resp.Reason...), "\r\n"...)
	for i := range resp.Fields {
		f := &resp.Fields[i]
		if !f.Forwarded() || len(r.response.drop) > 0 && r.response.drops(f.Name) {
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	for i := range r.response.add {
		b = appendField(b, r.response.add[i].Name, r.response.add[i].Value)
	}
	c.chunked = false
	switch {
	case resp.Body.Kind == h1.Length:
		b = appendLength(b, resp.Body.Left())
	case resp.Body.Kind != h1.None && x.req.Minor == 1:
		c.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case resp.Body.Kind == h1.None && resp.Has(h1.ContentLength) && (string(x.req.Method) == "HEAD" || resp.Status == 304):
		b = appendField(b, []byte("Content-Length"), resp.Get(h1.ContentLength)) // of the body that is left out
	}
	if resp.UpgradeTo != nil {
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(append(b, resp.UpgradeTo...), "\r\n"...)
	} else if !x.keep {
		b = append(b, "Connection: close\r\n"...)
	}
	c.out = append(b, "\r\n"...)
}

// data writes a part of an answer's body.
func (c *conn) data(_ *exchange, b []byte) error {
	if c.chunked {
		c.out = appendChunk(c.out, b)
	} else {
		c.out = append(c.out, b...)
	}
	if len(c.out) < flushAt {
		return nil
	}
	return c.flush()
}

// finish writes what says that an answer is whole.
func (c *conn) finish(_ *exchange, trailers []h1.Field) error {
	if c.chunked {
		c.out = appendLastChunk(c.out, trailers)
	}
	return nil
}

// decline writes an answer of the proxy's own, instead of one that has not begun.
func (c *conn) decline(x *exchange, f *failure) {
	c.out = appendFailure(c.out[:0], f, x.keep, string(x.req.Method) == "HEAD")
}

// interim writes a 1xx answer, which another one follows.
func (c *conn) interim(resp *h1.Response) {
	b := append(c.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(resp.Status), 10)
	b = append(append(append(b, ' '), resp.Reason...), "\r\n"...)
	for i := range resp.Fields {
		if f := &resp.Fields[i]; f.Forwarded() {
			b = appendField(b, f.Name, f.Value)
		}
	}
	c.out = append(b, "\r\n"...)
}

// appendFailure writes an answer of the proxy's own.
func appendFailure(b []byte, f *failure, keep, head bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(f.status), 10)
	b = append(append(append(b, ' '), http.StatusText(f.status)...), "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Sterling-Outcome: "...)
	b = append(append(b, f.outcome...), "\r\n"...)
	if f.status == 503 || f.status == 429 {
		b = append(b, "Retry-After: 1\r\n"...)
	}
	if !keep {
		b = append(b, "Connection: close\r\n"...)
	}
	b = appendLength(b, int64(len(f.reason)+1))
	b = append(b, "\r\n"...)
	if head {
		return b
	}
	return append(append(b, f.reason...), '\n')
}

func appendField(b, name, value []byte) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	return append(strconv.AppendInt(b, n, 10), "\r\n"...)
}

// appendChunk writes data as a chunk. Nothing of no data: an empty chunk is the end.
func appendChunk(b, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	b = strconv.AppendInt(b, int64(len(data)), 16)
	b = append(append(b, "\r\n"...), data...)
	return append(b, "\r\n"...)
}

func appendLastChunk(b []byte, trailers []h1.Field) []byte {
	b = append(b, "0\r\n"...)
	for i := range trailers {
		b = appendField(b, trailers[i].Name, trailers[i].Value)
	}
	return append(b, "\r\n"...)
}
