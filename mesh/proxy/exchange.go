package proxy

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// maxHeld is how many bytes of a request's body are held, so that it can be sent again.
const maxHeld = 16 << 10

// An outcome says what may have become of a request that got no answer.
type outcome string

// The outcomes, as X-Sterling-Outcome has them. A caller may send a request again that was not sent, and has to find out
// first about the others.
const (
	notSent outcome = "not-sent"
	unknown outcome = "unknown"
)

// failure is an answer of the proxy's own.
type failure struct {
	status  int
	reason  string
	outcome outcome
}

// The answers of the proxy's own.
var (
	errNoRoute     = &failure{404, "no route", notSent}
	errUpgrade     = &failure{403, "no route upgrades to this protocol", notSent}
	errConnect     = &failure{405, "no route takes CONNECT", notSent}
	errCaller      = &failure{403, "this caller may not use the route", notSent}
	errColorFrom   = &failure{403, "this caller may not send shadow traffic", notSent}
	errColorTo     = &failure{403, "shadow traffic, and the cluster keeps state and has no shadow target", notSent}
	errLive        = &failure{403, "the cluster is for shadow traffic only", notSent}
	errKey         = &failure{400, "an empty or overlong Idempotency-Key", notSent}
	errTimeoutMs   = &failure{400, "a malformed X-Sterling-Timeout-Ms", notSent}
	errGRPCTimeout = &failure{400, "a malformed grpc-timeout", notSent}
	errExpired     = &failure{504, "the caller's time was over before the request was sent", notSent}
	errRate        = &failure{429, "above the route's rate", notSent}
	errTooLarge    = &failure{413, "body too large", notSent}
	errBreaker     = &failure{503, "as many requests as the circuit breaker allows", notSent}
	errShed        = &failure{503, "overload: shed by priority", notSent}
	errNoEndpoint  = &failure{503, "the cluster has no endpoints", notSent}
	errNoConnect   = &failure{503, "no connection to the endpoint", notSent}
	errNoAnswer    = &failure{502, "the endpoint closed the connection without an answer", unknown}
	errBadAnswer   = &failure{502, "the endpoint's answer was malformed or broke off", unknown}
	errTimeout     = &failure{504, "no answer in time", unknown}
	errClientBody  = &failure{400, "the body broke off or was malformed", unknown}
	errSlowBody    = &failure{408, "the body took too long", unknown}
)

// client is the side that a request came from: a connection of HTTP/1.1, or a stream of HTTP/2. An answer is collected
// until flush. One goroutine calls fill, another one the rest.
type client interface {
	// fill waits until by for more of the request's body; stopReading makes it return.
	fill(by time.Time) error
	stopReading()
	// interim, head, data and finish pass an answer on, decline makes one of the proxy's own.
	interim(resp *h1.Response)
	head(x *exchange, resp *h1.Response)
	data(x *exchange, b []byte) error
	finish(x *exchange, trailers []h1.Field) error
	decline(x *exchange, f *failure)
	flush() error
	// abort ends an answer that has begun so that nobody takes it for a whole one.
	abort(x *exchange, f *failure)
}

// exchange is one request and its answer. A connection has one at a time and uses it again, a stream has its own.
type exchange struct {
	c        *conn // that the request came on
	from     client
	req      *h1.Request
	snap     *snapshot
	route    *route
	cluster  *cluster
	started  time.Time
	deadline time.Time // of the whole exchange
	tryBy    time.Time // when the attempt must have begun to answer
	shadow   bool
	fresh    bool // the trace begins here
	trace    []byte
	traceBuf [traceLen]byte
	host     []byte

	fields []h1.Field // for the endpoint
	head   []byte     // the same as HTTP/1.1, without what each attempt adds
	first  []byte     // what an attempt writes at once
	body   []byte     // held
	whole  bool       // body has all of it
	read   bool       // all of it has come from the client
	passed bool       // some of it was passed on without being held
	tried  []*endpoint
	ticket shed.Ticket

	mu   sync.Mutex
	up   canceler // that the attempt under way is on
	gone bool     // the client is: nothing is owed to anyone

	grpc     bool     // the request is a gRPC call
	status   int      // of the answer; of gRPC's, as HTTP would say it
	code     int      // gRPC's status of the answer; -1: none
	failed   *failure // nil: the answer is the endpoint's
	attempts int
	endpoint *endpoint // of the last attempt
	in, sent int64     // bytes of the bodies, request and answer
	answered bool      // the head of the final answer is rendered
	headOnly bool      // and is all of it
	begun    bool      // and on its way to the client
	keep     bool      // the connection takes another request
	unread   bool      // a part of the request is not read: the connection is of no further use
}

// run serves the request in x.req and tells whether the connection takes another.
func (x *exchange) run(started time.Time) (keep bool) {
	c := x.c
	x.snap, x.started = c.p.snap.Load(), started
	x.route, x.cluster, x.endpoint, x.shadow, x.failed = nil, nil, nil, false, nil
	x.body, x.whole, x.read, x.passed, x.tried, x.attempts = x.body[:0], false, false, false, x.tried[:0], 0
	x.in, x.sent, x.answered, x.begun, x.headOnly, x.unread, x.status = 0, 0, false, false, false, false, 0
	x.keep = !x.req.Close && !c.p.stopping.Load() && !c.p.draining.Load()
	x.grpc, x.code = x.call() == nil && isGRPC(x.req), -1
	x.trace, x.fresh = trace(&x.traceBuf, x.req)
	if f := x.admit(); f != nil {
		x.skip()
		x.fail(f)
	} else {
		x.serve()
	}
	x.unread = x.unread || x.req.Body.Kind != h1.None && !x.read
	x.keep = x.keep && !x.unread
	x.record()
	return x.keep
}

// skip reads past a body that has arrived already, so that a refusal does not cost the client its connection.
func (x *exchange) skip() {
	for {
		data, done, err := x.req.Body.Step()
		if x.read = done && err == nil; done || err != nil || len(data) == 0 {
			return
		}
	}
}

// admit decides whether the request may go on, and where to.
func (x *exchange) admit() *failure {
	c := x.c
	req := x.req
	x.host = lowerHost(x.host, req.Host)
	if x.route = x.snap.tables[c.l.Name].find(x.host, req); x.route == nil {
		return errNoRoute
	}
	r := x.route
	if r.Refuse != "" {
		return &failure{403, r.Refuse, notSent}
	}
	if len(r.allow) > 0 && !r.allow.has(c.peer) {
		return errCaller
	}
	if f := x.judgeUpgrade(); f != nil {
		return f
	}
	if f := x.judgeColor(); f != nil {
		return f
	}
	if r.Money && req.Has(h1.IdempotencyKey) {
		if n := len(req.Get(h1.IdempotencyKey)); n == 0 || n > 255 {
			return errKey
		}
	}
	if r.limit != nil && !r.limit.allow(c.p.clock.Mono()) {
		return errRate
	}
	if req.Body.Left() > r.MaxBody {
		return errTooLarge
	}
	if f := x.setDeadline(); f != nil {
		return f
	}
	if f := x.injectFault(); f != nil {
		return f
	}
	if x.cluster = r.pick().forColor(x.shadow); x.cluster == nil {
		return wrongColor(x.shadow)
	}
	return nil
}

// judgeUpgrade refuses what would turn the connection into a tunnel, unless the route has it. An offer of h2c is
// ignored, as RFC 9110 (7.8) permits: some clients make it with every first request.
func (x *exchange) judgeUpgrade() *failure {
	req := x.req
	if _, h1 := x.from.(*conn); string(req.Method) == "CONNECT" && (!x.route.Connect || !h1) {
		return errConnect
	}
	if req.UpgradeTo == nil {
		return nil
	}
	if bytes.EqualFold(req.UpgradeTo, []byte("h2c")) {
		req.UpgradeTo = nil
		return nil
	}
	for _, p := range x.route.Upgrade {
		if bytes.EqualFold(req.UpgradeTo, []byte(p)) {
			return nil
		}
	}
	return errUpgrade
}

// setDeadline takes the route's time or what is left of the caller's, whichever is less.
func (x *exchange) setDeadline() *failure {
	span := x.route.Timeout
	if x.grpc && x.req.Has(h1.GRPCTimeout) {
		left, ok := parseGRPCTimeout(x.req.Get(h1.GRPCTimeout))
		if !ok || x.req.Repeated(h1.GRPCTimeout) {
			return errGRPCTimeout
		}
		span = min(span, left)
	}
	if v := x.req.Get(h1.TimeoutMs); x.req.Has(h1.TimeoutMs) {
		ms, err := strconv.ParseUint(string(v), 10, 31)
		if err != nil {
			return errTimeoutMs
		}
		span = min(span, time.Duration(ms)*time.Millisecond)
	}
	if span == 0 {
		return errExpired
	}
	x.deadline = x.started.Add(span)
	return nil
}

func (x *exchange) injectFault() *failure {
	t := &x.route.Fault
	if t.AbortPercent > 0 && rand.IntN(100) < t.AbortPercent { //nolint:gosec // chance, not secrecy
		return &failure{t.AbortStatus, reasonInjected, notSent}
	}
	if t.DelayPercent > 0 && rand.IntN(100) < t.DelayPercent { //nolint:gosec // the same
		fired, stop := x.c.p.clock.After(min(t.Delay, time.Until(x.deadline)))
		defer stop()
		select {
		case <-fired:
		case <-x.c.p.stop:
		}
		if time.Until(x.deadline) <= 0 {
			return errExpired
		}
	}
	return nil
}

// serve takes the places that bound the load, and tries endpoints.
func (x *exchange) serve() {
	k := x.cluster
	if f := x.hold(); f != nil {
		x.fail(f)
		return
	}
	if !k.enter() {
		x.fail(errBreaker)
		return
	}
	defer k.leave()
	if k.limiter != nil {
		var ok bool
		if x.ticket, ok = x.acquire(k.limiter); !ok {
			x.fail(errShed)
			return
		}
		defer func() {
			k.limiter.Release(x.ticket, x.c.p.clock.Mono(), x.failed == nil || x.failed == errTimeout)
		}()
	}
	k.load.budget.deposit(k.RetryPercent)
	x.collectFields()
	x.sendMirror()
	x.try()
}

// hold reads the body as far as it is small: then no endpoint waits for a slow client, and the request can be sent
// again. The rest is passed on as it arrives.
func (x *exchange) hold() *failure {
	b := &x.req.Body
	wait := b.Kind == h1.Length && b.Left() <= maxHeld && !x.req.Expects
	for {
		data, done, err := b.Step()
		if err != nil {
			return x.bodyFailure(err)
		}
		x.body = append(x.body, data...)
		x.in += int64(len(data))
		switch {
		case x.in > x.route.MaxBody:
			return errTooLarge
		case done:
			x.whole, x.read = true, true
			return nil
		case len(data) > 0 && len(x.body) <= maxHeld:
			continue
		case !wait:
			if len(x.body) > maxHeld || !x.awaitHedged() {
				return nil
			}
			continue
		}
		if err := x.fillBody(); err != nil {
			return x.bodyFailure(err)
		}
	}
}

// fillBody waits for more of the request's body.
func (x *exchange) fillBody() error {
	by := time.Now().Add(bodyTime)
	if x.deadline.Before(by) {
		by = x.deadline
	}
	return x.from.fill(by)
}

// bodyFailure is for a body that can't be read while nothing of the request has been sent.
func (x *exchange) bodyFailure(err error) *failure {
	var bad *h1.Error
	f := *errClientBody
	switch {
	case errors.As(err, &bad):
		f.status, f.reason = bad.Status, bad.Reason
	case isTimeout(err):
		f = *errSlowBody
	}
	f.outcome = notSent
	return &f
}

// try sends the request to one endpoint after the other, as long as that is safe and the budget lasts.
func (x *exchange) try() {
	k, p := x.cluster, x.c.p
	for {
		e := k.choose(p.clock.Mono(), x.tried)
		if e == nil {
			x.fail(errNoEndpoint)
			return
		}
		x.attempts++
		x.endpoint = e
		r := x.attempt(e)
		e = x.endpoint // a hedged one may have ended elsewhere
		again := r.again || r.redo != "" && x.mayRetry(r.redo)
		switch {
		case r.client: // the client's own doing
		case r.failed == errFull503:
		case r.failed != nil || r.status >= 500:
			k.failed(e, p.clock.Mono())
		default:
			k.succeeded(e)
		}
		if !again {
			if r.failed != nil {
				x.fail(r.failed)
			}
			return
		}
		x.tried = append(x.tried, e)
		x.route.stats.retries.Add(1)
		x.backOff()
	}
}

// errFull503 is no fault of the endpoint.
var errFull503 = &failure{503, "as many connections as the circuit breaker allows", notSent}

// mayRetry decides whether the request is sent again after an attempt that left this outcome. It is the gate that
// keeps money from moving twice: what may have been received is sent again only where the receiver can tell.
func (x *exchange) mayRetry(o outcome) bool {
	if x.attempts > x.route.Retry.Attempts || time.Until(x.deadline) <= 0 || x.left() {
		return false
	}
	if x.passed || o != notSent && !(x.whole && x.repeatable()) {
		return false
	}
	return x.cluster.RetryPercent > 0 && x.cluster.load.budget.withdraw()
}

// repeatable tells whether receiving the request twice is the same as once.
func (x *exchange) repeatable() bool {
	req := x.req
	if x.route.Money && x.route.Key != "" {
		return x.hasOwnKey()
	}
	if req.Has(h1.IdempotencyKey) {
		return true
	}
	if x.route.Money {
		return false
	}
	switch string(req.Method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE": // RFC 9110, 9.2.2
		return true
	}
	return false
}

// fail answers in the endpoint's stead, unless its answer has begun: then only an abrupt end tells the client.
func (x *exchange) fail(f *failure) {
	x.failed = f
	if x.begun {
		x.keep = false
		x.from.abort(x, f)
		return
	}
	x.unread = x.unread || x.req.Body.Kind != h1.None && !x.read
	x.keep = x.keep && !x.unread
	x.status = f.status
	x.from.decline(x, f)
}

// cut ends the exchange because its client is gone or its time is over: what waits for the endpoint returns.
func (x *exchange) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = true
	if x.up != nil {
		x.up.cut()
	}
}

// onto says what cut has to cut off: nil when an attempt has ended, so that nobody else's request is.
func (x *exchange) onto(up canceler) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.up = up; up != nil && x.gone {
		up.cut()
	}
}

// left tells whether the client is gone.
func (x *exchange) left() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone
}
