package proxy

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// Names of fields that the proxy adds.
var (
	nameTrace       = []byte("traceparent")
	namePeer        = []byte("x-sterling-peer")
	nameTimeout     = []byte("x-sterling-timeout-ms")
	nameGRPCTimeout = []byte("grpc-timeout")
	nameLength      = []byte("content-length")
	nameTE          = []byte("te")
	valueTrailers   = []byte("trailers")
)

// toHTTP2 adds a field, with its name in lower case. What is secret or different each time stays out of compression tables.
func toHTTP2(list []h2.Field, f *h1.Field) []h2.Field {
	once := false
	switch f.Known {
	case h1.Authorization, h1.Cookie, h1.IdempotencyKey, h1.TraceParent, h1.TimeoutMs, h1.GRPCTimeout, h1.ContentLength:
		once = true
	}
	return append(list, h2.Field{Name: lower(f.Name), Value: f.Value, Once: once})
}

func lower(name []byte) []byte {
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			return bytes.ToLower(name)
		}
	}
	return name
}

func lengthField(n int64) h2.Field {
	return h2.Field{Name: nameLength, Value: strconv.AppendInt(nil, n, 10), Once: true}
}

// streamHead is the request as an attempt sends it by HTTP/2.
func (x *exchange) streamHead() *h2.Head {
	req := x.req
	h := &h2.Head{Method: req.Method, Scheme: []byte("http"), Authority: x.authority(), Path: req.Target, Fields: make([]h2.Field, 0, len(x.fields)+4)}
	if x.cluster.tls != nil {
		h.Scheme = []byte("https")
	}
	for i := range x.fields {
		h.Fields = toHTTP2(h.Fields, &x.fields[i])
	}
	left := time.Until(x.deadline)
	h.Fields = append(h.Fields, h2.Field{Name: nameTimeout, Value: strconv.AppendInt(nil, max(left.Milliseconds(), 1), 10), Once: true})
	if x.grpc {
		h.Fields = append(h.Fields, h2.Field{Name: nameGRPCTimeout, Value: appendGRPCTimeout(nil, left), Once: true})
	}
	if req.AcceptsTrailers {
		h.Fields = append(h.Fields, h2.Field{Name: nameTE, Value: valueTrailers})
	}
	if req.Expects && !x.whole {
		h.Fields = append(h.Fields, h2.Field{Name: []byte("expect"), Value: []byte("100-continue")})
	}
	switch body := &req.Body; {
	case x.grpc || body.Kind == h1.None: // a gRPC client does not say, and its end is the stream's
	case x.whole:
		h.Fields = append(h.Fields, lengthField(int64(len(x.body))))
	case body.Kind == h1.Length:
		h.Fields = append(h.Fields, lengthField(int64(len(x.body))+body.Left()))
	}
	return h
}

// carried is the body of a message that a stream carries.
type carried struct {
	*h2.Stream
	trailers []h1.Field
}

// Step implements h1.Source.
func (c *carried) Step(b *h1.Body) (data []byte, done bool, err error) {
	data, done, err = c.Take()
	if done && c.trailers == nil {
		for _, f := range c.Trailers() {
			// What decides on routes and permissions comes before the body or not at all, as by HTTP/1.1.
			if h1.Lookup(f.Name) != h1.Other {
				return nil, false, h1.ErrTrailer
			}
			c.trailers = append(c.trailers, h1.Field{Name: f.Name, Value: f.Value})
		}
		b.Trailers = c.trailers
	}
	return data, done, err
}

// fromHTTP2 puts the fields of a message into dst.
func fromHTTP2(dst []h1.Field, list []h2.Field) []h1.Field {
	dst = slices.Grow(dst[:0], len(list))
	for i := range list {
		dst = append(dst, h1.Field{Name: list[i].Name, Value: list[i].Value})
	}
	return dst
}

// composeRequest makes a stream's request one that the proxy can judge.
func composeRequest(req *h1.Request, s *h2.Stream) error {
	h := s.Head
	if h.TooLarge {
		return h1.ErrHeadLarge
	}
	req.Fields = fromHTTP2(req.Fields, h.Fields)
	length, end := h.Length()
	switch method := string(h.Method); {
	case !end:
		req.Body = h1.Carried(&carried{Stream: s}, length)
	case length == 0 || method == "POST" || method == "PUT" || method == "PATCH":
		req.Body = h1.Body{Kind: h1.Length}
	default:
		req.Body = h1.Body{}
	}
	return req.Compose(h.Method, h.Authority, h.Path)
}

// composeAnswer makes a head from an endpoint's stream one that the proxy can pass on.
func composeAnswer(resp *h1.Response, s *h2.Stream, h *h2.Head, method []byte) error {
	if h.TooLarge {
		return h1.ErrHeadLarge
	}
	resp.Fields = fromHTTP2(resp.Fields, h.Fields)
	length, end := h.Length()
	switch {
	case h.Status < 200, h.Status == 204, h.Status == 304, string(method) == "HEAD":
		resp.Body = h1.Body{}
	case end:
		resp.Body = h1.Body{Kind: h1.Length}
	default:
		resp.Body = h1.Carried(&carried{Stream: s}, length)
	}
	return resp.Compose(h.Status, []byte(http.StatusText(h.Status)))
}
