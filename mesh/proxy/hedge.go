package proxy

import (
	"sync"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// race is an attempt that a second one may join at another endpoint: the first answer counts. Each copy is sent and
// awaited by a goroutine of its own, since connecting can't be taken back: whoever loses ends by itself, later.
type race struct {
	reported chan *leg // has room for all
	left     chan struct{}

	mu   sync.Mutex
	legs []*leg // with a server that nobody has reported
	over bool
	gone bool // left is closed
}

// leg is one copy. The goroutine that sends it has it until it is reported, then the race.
type leg struct {
	x    *exchange
	e    *endpoint
	up   server       // nil: no connection
	resp *h1.Response // nil: no answer, for the reason in r
	r    result
}

// awaitHedged waits for more of a body that does not say how long it is, as gRPC's don't, and tells whether there is more:
// only what is held whole can be hedged. It waits no longer than until a second copy would be sent, since a call with
// messages both ways may wait for an answer before its next one.
func (x *exchange) awaitHedged() bool {
	by := x.started.Add(x.route.Retry.Hedge)
	return x.route.Retry.Hedge > 0 && !x.req.Expects && time.Now().Before(by) && x.repeatable() && x.from.fill(by) == nil
}

// hedges tells whether the next attempt is one that another may join: under the same conditions as another attempt
// after it, for money as for all else. A call that wants no answer is done when it is sent.
func (x *exchange) hedges() bool {
	if t := x.call(); t != nil && t.m.kind() == rpcOneWay {
		return false
	}
	return x.route.Retry.Hedge > 0 && x.attempts <= x.route.Retry.Attempts && x.whole && x.repeatable() && x.req.UpgradeTo == nil && string(x.req.Method) != "CONNECT"
}

// hedge sends the request to e and, where that does not answer in time, to another endpoint.
func (x *exchange) hedge(e *endpoint) result {
	h := &race{reported: make(chan *leg, 2), left: make(chan struct{})}
	x.onto(h)
	defer x.onto(nil)
	if x.c.p.severed.Load() {
		h.cut() // the shutdown's time was over while this attempt began
	}
	h.start(x, e)
	late, stop := x.c.p.clock.After(x.route.Retry.Hedge)
	defer stop()
	var worse *leg // failed, or answered that it did, while another one is under way
	for running := 1; ; {
		select {
		case <-h.left:
			h.end()
			if worse != nil {
				worse.release(false)
			}
			return result{failed: errClientGone, client: true}
		case <-late:
			if second := x.second(e); second != nil {
				defer x.cluster.leave()
				h.start(x, second)
				running++
			}
		case l := <-h.reported:
			running--
			if failed := l.resp == nil || statusOf(l.resp) >= 500; failed && running > 0 {
				worse = l
				continue
			}
			return x.take(h, l, worse)
		}
	}
}

// second picks where the second copy goes: nil where the gate, the retry budget or the breaker is against it, or where
// there is no other endpoint.
func (x *exchange) second(first *endpoint) *endpoint {
	k := x.cluster
	e := k.choose(x.c.p.clock.Mono(), append(x.tried, first))
	if e == nil || e == first || !k.enter() {
		return nil
	}
	if !x.mayRetry(unknown) {
		k.leave()
		return nil
	}
	x.attempts++
	x.tried = append(x.tried, first)
	x.route.stats.hedges.Add(1)
	return e
}

// take ends the race with the leg that decides it. An answer counts more than none, even one that says that it failed.
func (x *exchange) take(h *race, l, other *leg) result {
	if l.resp == nil && other != nil && other.resp != nil {
		l, other = other, l
	}
	h.end()
	if other != nil {
		if other.r.failed != errFull503 {
			x.cluster.failed(other.e, x.c.p.clock.Mono())
		}
		other.release(false)
	}
	x.endpoint = l.e
	if l.resp == nil {
		defer l.release(false)
		if other != nil && certainty(other.r) < certainty(l.r) {
			return other.r
		}
		return l.r
	}
	x.onto(l.up)
	r, clean := x.answer(l.up, l.resp, nil)
	x.onto(nil) // before the connection is another request's
	l.release(clean)
	if x.left() {
		r.failed, r.client, r.redo, r.again = errClientGone, true, "", false
	}
	return r
}

// certainty orders failures by how sure it is that nothing was done: of two copies, the less sure one counts.
func certainty(r result) int {
	switch r.redo {
	case notSent:
		return 2
	case unknown:
		return 1
	}
	return 0
}

func (h *race) start(x *exchange, e *endpoint) {
	own := x.clone(x.cluster, x.fields)
	own.tryBy = x.deadline
	if each := x.route.Retry.Each; each > 0 && x.attempts <= x.route.Retry.Attempts {
		if by := time.Now().Add(each); by.Before(own.tryBy) {
			own.tryBy = by
		}
	}
	e.active.Add(1)
	x.c.p.running.Go(func() { h.run(&leg{x: own, e: e}) })
}

// run sends a copy and waits for the head of its answer.
func (h *race) run(l *leg) {
	up, err := l.x.open(l.e)
	if err != nil {
		l.r = l.x.noConnection(err)
		h.report(l)
		return
	}
	l.up = up
	h.mu.Lock()
	over := h.over || h.gone
	if !over {
		h.legs = append(h.legs, l)
	}
	h.mu.Unlock()
	if over {
		l.release(true) // nothing was sent
		return
	}
	rest, sent, err := up.send(l.x)
	if rest && err == nil {
		_ = up.upload(l.x, l.x.body, true) // an endpoint may answer without reading; next tells
	}
	if err != nil {
		f := *errNoAnswer
		if !sent {
			f = *errNoConnect
		}
		l.r = result{failed: &f, redo: f.outcome}
	} else {
		l.resp, l.r = l.await()
	}
	h.report(l)
}

func (l *leg) await() (*h1.Response, result) {
	for interim := 0; ; interim++ {
		resp, err := l.up.next(l.x)
		if err != nil || interim > maxInterim {
			return nil, l.x.noAnswer(l.up, err, interim > 0)
		}
		if !resp.Interim() {
			return resp, result{}
		}
	}
}

// report hands a leg over to the race. One that comes too late is nobody's.
func (h *race) report(l *leg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.legs {
		if h.legs[i] == l {
			h.legs = append(h.legs[:i], h.legs[i+1:]...)
			break
		}
	}
	if h.over {
		l.release(false)
		return
	}
	h.reported <- l
}

// end takes back all copies but those that were taken from reported.
func (h *race) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	for _, l := range h.legs {
		l.up.cut()
	}
	for {
		select {
		case l := <-h.reported:
			l.release(false)
		default:
			return
		}
	}
}

// cut implements canceler: the client is gone.
func (h *race) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.gone = true
		close(h.left)
	}
}

// release ends a leg. clean: its connection can take another request.
func (l *leg) release(clean bool) {
	l.e.active.Add(-1)
	if l.up != nil {
		l.up.release(l.x, clean)
	}
}
