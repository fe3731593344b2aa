package proxy

import (
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// maxMirrors are copies under way at a time. More are dropped: copies must not cost the requests anything.
const maxMirrors = 64

// sendMirror sends a copy of the request elsewhere, if the route asks for it and the body is held whole. A copy is
// always marked as shadow traffic, so that it can't move money that the request has moved already.
func (x *exchange) sendMirror() {
	r := x.route
	if r.mirror == nil || x.c.req.UpgradeTo != nil || string(x.c.req.Method) == "CONNECT" || rand.IntN(100) >= r.Mirror.Percent { //nolint:gosec // chance, not secrecy
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
	x.renderFirst()
	method := string(x.c.req.Method)
	copied := slices.Clone(x.first)
	if !x.shadow {
		copied = slices.Insert(copied, len(x.head), []byte(shadowLine+shadowStateLine)...)
	}
	deadline := x.deadline
	p := x.c.p
	p.running.Go(func() {
		defer func() { <-p.mirrors }()
		if p.mirrorTo(k, method, copied, deadline) {
			r.stats.mirrors.Add(1)
		} else {
			r.stats.dropped.Add(1)
		}
	})
}

// mirrorTo sends one copy and reads its answer to the end.
func (p *Proxy) mirrorTo(k *cluster, method string, message []byte, deadline time.Time) bool {
	now := p.clock.Mono()
	e := k.choose(now, nil)
	if e == nil || !k.enter() {
		return false
	}
	defer k.leave()
	u, err := e.pool.get(now, k.MaxConnections, func() (net.Conn, error) { return dial(k, e, k.tls, deadline) })
	if err != nil {
		return false
	}
	u.reads, u.writes = timer{}, timer{}
	if u.SetDeadline(deadline) != nil {
		u.discard()
		return false
	}
	if _, err := u.Write(message); err != nil || !readAnswer(u, method) {
		u.discard()
		return err == nil
	}
	e.pool.put(u, p.clock.Mono())
	return true
}

// readAnswer reads past an answer and tells whether the connection can take another request.
func readAnswer(u *upstream, method string) bool {
	for {
		ok, err := u.rd.Response(&u.resp, []byte(method))
		switch {
		case err != nil || ok && u.resp.Status == 101:
			return false
		case ok && !u.resp.Interim():
			return skipBody(u)
		case !ok && u.rd.Fill() != nil:
			return false
		}
	}
}

func skipBody(u *upstream) bool {
	for {
		data, done, err := u.resp.Body.Step()
		switch {
		case err != nil || u.resp.Body.Kind == h1.UntilClose:
			return false
		case done:
			return !u.resp.Close
		case len(data) == 0 && u.rd.Fill() != nil:
			return false
		}
	}
}
