package proxy

import (
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// maxMirrors are copies under way at a time. More are dropped: copies must not cost the requests anything.
const maxMirrors = 64

// sendMirror sends a copy of the request elsewhere, if the route asks for it and the body is held whole. A copy is
// always marked as shadow traffic, so that it can't move money that the request has moved already.
func (x *exchange) sendMirror() {
	r := x.route
	if r.mirror == nil || x.req.UpgradeTo != nil || string(x.req.Method) == "CONNECT" || rand.IntN(100) >= r.Mirror.Percent { //nolint:gosec // chance, not secrecy
		return
	}
	k := r.mirror.forColor(true)
	if k == nil || !x.whole {
		r.stats.dropped.Add(1)
		return
	}
	select {
	case x.c.p.mirrors <- struct{}{}:
	default:
		r.stats.dropped.Add(1)
		return
	}
	send := x.copyFor(k)
	p := x.c.p
	p.running.Go(func() {
		defer func() { <-p.mirrors }()
		now := p.clock.Mono()
		e := k.choose(now, nil)
		sent := e != nil && k.enter()
		if sent {
			sent = send(e)
			k.leave()
		}
		if sent {
			r.stats.mirrors.Add(1)
		} else {
			r.stats.dropped.Add(1)
		}
	})
}

// copyFor makes a copy of the request, and returns what sends it to an endpoint of k and reads the answer to its end.
func (x *exchange) copyFor(k *cluster) func(e *endpoint) bool {
	list := x.fields
	if !x.shadow {
		list = appendShadow(slices.Clip(list), true)
	}
	own := x.clone(k, list)
	return func(e *endpoint) bool {
		up, err := own.open(e)
		if err != nil {
			return false
		}
		rest, sent, err := up.send(own)
		if rest && err == nil {
			err = up.upload(own, own.body, true)
		}
		up.release(own, err == nil && readAnswer(own, up))
		return sent && err == nil
	}
}

// clone makes a copy of a request that is held whole, with these fields, which outlives it.
func (x *exchange) clone(k *cluster, fields []h1.Field) *exchange {
	own := &exchange{c: x.c, req: &h1.Request{}, route: x.route, cluster: k, started: x.started, deadline: x.deadline, tryBy: x.deadline, whole: true, grpc: x.grpc, attempts: 1}
	*own.req = *x.req // its slices are copied below: the request's own end with it
	req := own.req
	req.Method, req.Target, req.Host = slices.Clone(req.Method), slices.Clone(req.Target), slices.Clone(req.Host)
	req.Fields, own.body = nil, slices.Clone(x.body)
	req.Body.Trailers = cloneFields(req.Body.Trailers)
	own.fields = cloneFields(fields)
	return own
}

func cloneFields(list []h1.Field) []h1.Field {
	out := make([]h1.Field, len(list))
	for i, f := range list {
		f.Name, f.Value = slices.Clone(f.Name), slices.Clone(f.Value)
		out[i] = f
	}
	return out
}

// readAnswer reads past an answer and tells whether both sides have said all.
func readAnswer(x *exchange, up server) bool {
	for {
		resp, err := up.next(x)
		if err != nil || resp.Status == 101 || resp.Body.Kind == h1.UntilClose {
			return false
		}
		for done := resp.Interim(); !done; {
			var data []byte
			data, done, err = resp.Body.Step()
			if err != nil || !done && len(data) == 0 && up.fill(x) != nil {
				return false
			}
		}
		if !resp.Interim() {
			return !resp.Close
		}
	}
}
