package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// renderHead writes the request as endpoints get it, up to what each attempt adds. Framing and all that belongs to one
// connection is made anew; what callers must not say of themselves is replaced by what the proxy knows.
func (x *exchange) renderHead() {
	req, r := &x.c.req, x.route
	b := append(x.head[:0], req.Method...)
	b = append(b, ' ')
	b = append(b, req.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if len(req.Host) > 0 {
		b = append(b, req.Host...)
	} else {
		b = append(b, x.cluster.Name...)
	}
	b = append(b, "\r\n"...)
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
		case h1.TraceParent, h1.TraceState:
			if x.fresh {
				continue
			}
		case h1.Authorization, h1.Cookie:
			if r.request.drops(f.Name) {
				continue
			}
		}
		b = appendField(b, f.Name, f.Value)
	}
	b = append(b, r.request.add...)
	if x.fresh {
		b = append(b, "traceparent: "...)
		b = append(append(b, x.trace...), "\r\n"...)
	}
	if x.shadow {
		b = append(b, shadowLine...)
		if x.fresh || !shadowState(req) {
			b = append(b, shadowStateLine...)
		}
	}
	if x.c.peer != "" {
		b = append(b, "X-Sterling-Peer: "...)
		b = append(append(b, x.c.peer...), "\r\n"...)
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

// renderFraming says how the body ends. One that is held whole has a length, even if it came in chunks.
func (x *exchange) renderFraming(b []byte) []byte {
	body := &x.c.req.Body
	switch {
	case body.Kind == h1.None:
	case x.whole && len(body.Trailers) == 0:
		b = appendLength(b, int64(len(x.body)))
	case body.Kind == h1.Length:
		b = appendLength(b, int64(len(x.body))+body.Left())
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.c.req.Expects && !x.whole {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return b
}

// renderFirst writes what an attempt sends at once: the head, the time that is left, and what is held of the body.
func (x *exchange) renderFirst() {
	b := append(x.first[:0], x.head...)
	b = append(b, "X-Sterling-Timeout-Ms: "...)
	b = strconv.AppendInt(b, max(time.Until(x.deadline).Milliseconds(), 1), 10)
	b = append(b, "\r\n\r\n"...)
	body := &x.c.req.Body
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

// renderAnswer writes the head of an endpoint's answer to the client.
func (x *exchange) renderAnswer(resp *h1.Response) {
	r := x.route
	b := append(x.c.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(resp.Status), 10)
	b = append(append(append(b, ' '), resp.Reason...), "\r\n"...)
	for i := range resp.Fields {
		f := &resp.Fields[i]
		if !f.Forwarded() || len(r.response.drop) > 0 && r.response.drops(f.Name) {
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	b = append(b, r.response.add...)
	switch {
	case resp.Body.Kind == h1.Length:
		b = appendLength(b, resp.Body.Left())
	case resp.Body.Kind != h1.None && x.c.req.Minor == 1:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case resp.Body.Kind == h1.None && resp.Has(h1.ContentLength) && (string(x.c.req.Method) == "HEAD" || resp.Status == 304):
		b = appendField(b, []byte("Content-Length"), resp.Get(h1.ContentLength)) // of the body that is left out
	}
	if resp.UpgradeTo != nil {
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(append(b, resp.UpgradeTo...), "\r\n"...)
	} else if !x.keep {
		b = append(b, "Connection: close\r\n"...)
	}
	x.c.out = append(b, "\r\n"...)
	x.status, x.answered = resp.Status, true
}

// appendInterim writes a 1xx answer, which another one follows.
func appendInterim(b []byte, resp *h1.Response) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(resp.Status), 10)
	b = append(append(append(b, ' '), resp.Reason...), "\r\n"...)
	for i := range resp.Fields {
		if f := &resp.Fields[i]; f.Forwarded() {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return append(b, "\r\n"...)
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
