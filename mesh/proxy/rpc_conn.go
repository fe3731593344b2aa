package proxy

import (
	"bufio"
	"errors"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// How long calls are taken yet on a connection that is to end: from a client that was asked for no more, and from one that
// can't be asked, until there is a moment without any.
const (
	retireTime = time.Second
	momentTime = 5 * time.Second
)

// rpcConn is a client's connection by Bolt or Dubbo. One goroutine reads it, one writes it, and each call has its own.
type rpcConn struct {
	*conn
	protocol *rpcProtocol
	w        *rpcWriter

	mu      sync.Mutex // taken before the writer's
	room    sync.Cond  // for another call
	calls   map[*rpcCall]struct{}
	bytes   int64     // of these calls
	endBy   time.Time // when no more calls are taken; zero: not retired
	waiting bool      // for a message
	cutOff  bool
}

// serveRPC carries calls until the connection ends.
func (c *conn) serveRPC() {
	defer c.close()
	if !c.identify() {
		return
	}
	c.peerBytes = []byte(c.peer)
	r := &rpcConn{conn: c, protocol: rpcProtocolOf(c.l.Protocol), w: newRPCWriter(c.nc), calls: map[*rpcCall]struct{}{}}
	r.room.L = &r.mu
	c.rpc.Store(r)
	if c.p.stopping.Load() || c.p.draining.Load() {
		r.retire()
	}
	var writing sync.WaitGroup
	writing.Go(r.w.run)
	err := r.read()
	var bad *h1.Error
	if errors.As(err, &bad) {
		c.l.stats.malformed.Add(1)
		c.p.log.Debug("malformed message", "listener", c.l.Name, "from", c.raw.RemoteAddr().String(), "caller", c.peer, "reason", bad.Reason)
	}
	if !errors.Is(err, errStopping) {
		r.cut() // there is nobody left to answer
	}
	r.mu.Lock()
	for len(r.calls) > 0 {
		r.room.Wait()
	}
	r.mu.Unlock()
	r.w.end()
	writing.Wait()
	if errors.Is(err, errStopping) {
		c.linger()
	}
}

// read takes messages until the connection ends; errStopping: the calls under way are still to be answered.
func (r *rpcConn) read() error {
	in := &rpcReader{r.protocol, bufio.NewReaderSize(r.nc, rpcBuffer), r.late}
	for {
		if err := r.await(in.in); err != nil {
			return err
		}
		m, err := in.next()
		if err != nil && (m == nil || !errors.Is(err, errRPCLarge)) {
			return err
		}
		started := time.Now()
		switch kind := m.kind(); {
		case err != nil && (kind == rpcCallKind || kind == rpcOneWay):
			(&rpcCall{c: r, m: m}).refuse(errCallTooLarge)
			if err := in.skip(m); err != nil {
				return err
			}
		case err != nil:
			return malformed(err)
		case kind == rpcPing:
			if err := r.write(m.appendPong); err != nil {
				return err
			}
		case kind == rpcPong:
		case kind != rpcCallKind && kind != rpcOneWay:
			return malformed(errors.New("a message that no client sends"))
		default:
			r.begin(m, started)
		}
	}
}

// late sets the read deadline to something that await has to set again.
func (r *rpcConn) late(by time.Time) error {
	r.idleBy.at = time.Time{}
	return r.nc.SetReadDeadline(by)
}

// await waits for a message, as long as the connection may be idle. A connection with calls under way is not idle. One
// that is retired takes calls for a while yet.
func (r *rpcConn) await(in *bufio.Reader) error {
	for {
		if err := r.settleWait(in); err != nil {
			return err
		}
		_, err := in.Peek(1)
		r.mu.Lock()
		r.waiting = false
		ends := r.endBy.IsZero() && len(r.calls) == 0
		r.mu.Unlock()
		if err == nil || !isTimeout(err) || ends {
			return err
		}
		r.idleBy.at = time.Time{}
	}
}

// settleWait sets until when the next message is awaited; errStopping: none is.
func (r *rpcConn) settleWait(in *bufio.Reader) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch now := time.Now(); {
	case r.endBy.IsZero():
		err = r.idleBy.move(r.nc.SetReadDeadline, now.Add(r.l.Idle), r.l.Idle)
	case !now.Before(r.endBy), r.protocol.farewell == nil && len(r.calls) == 0 && in.Buffered() == 0:
		return errStopping
	default:
		err = r.late(r.endBy)
	}
	r.waiting = err == nil
	return err
}

// retire asks the client for no more calls, and ends the connection when those under way are over.
func (r *rpcConn) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.endBy.IsZero() {
		return
	}
	words := r.protocol.farewell
	if r.endBy = time.Now().Add(momentTime); words != nil {
		r.endBy = time.Now().Add(retireTime)
		_ = r.w.add(func(b []byte) ([]byte, error) { return append(b, words...), nil }) // a client that is gone needs none
	}
	r.wake()
}

// wake makes a reader that waits look again whether it should. mu is held.
func (r *rpcConn) wake() {
	if r.waiting {
		_ = r.nc.SetReadDeadline(time.Unix(1, 0)) // it is set anew
	}
}

// cut ends the calls under way.
func (r *rpcConn) cut() {
	r.mu.Lock()
	r.cutOff = true
	list := make([]*rpcCall, 0, len(r.calls))
	for t := range r.calls {
		list = append(list, t)
	}
	r.room.Broadcast()
	r.mu.Unlock()
	for _, t := range list {
		t.x.cut()
	}
}

// begin serves a call, as soon as there is room for it: meanwhile the client's messages wait in the network.
func (r *rpcConn) begin(m rpcMessage, started time.Time) {
	t := &rpcCall{c: r, m: m}
	r.mu.Lock()
	for !r.cutOff && len(r.calls) > 0 && (len(r.calls) >= maxCalls || r.bytes+m.bodyLen() > maxCallBytes) {
		r.room.Wait()
	}
	if r.cutOff {
		r.mu.Unlock()
		return
	}
	r.calls[t] = struct{}{}
	r.bytes += m.bodyLen()
	r.mu.Unlock()
	r.p.running.Go(func() {
		t.run(started)
		r.mu.Lock()
		delete(r.calls, t)
		r.bytes -= m.bodyLen()
		r.room.Broadcast()
		if len(r.calls) == 0 && !r.endBy.IsZero() {
			r.wake()
		}
		r.mu.Unlock()
	})
}

// write answers. A client that lets too much wait is given up.
func (r *rpcConn) write(appendTo func(b []byte) []byte) error {
	err := r.w.add(func(b []byte) ([]byte, error) { return appendTo(b), nil })
	if errors.Is(err, errWaiting) {
		_ = r.raw.Close() // the reader ends what is under way
	}
	return err
}

// rpcCall is a call: the client of its exchange, and the source of its body.
type rpcCall struct {
	c      *rpcConn
	m      rpcMessage
	x      exchange
	req    h1.Request
	answer []byte // the frame of the endpoint's
}

func (t *rpcCall) run(started time.Time) {
	t.x.c, t.x.from, t.x.req = t.c.conn, t, &t.req
	if f := t.m.call(t); f != nil {
		t.c.l.stats.malformed.Add(1)
		t.c.p.log.Debug("malformed call", "listener", t.c.l.Name, "caller", t.c.peer, "reason", f.reason)
		t.refuse(f)
		return
	}
	t.x.run(started)
}

// carry makes the request that the exchange judges.
func (t *rpcCall) carry(path []byte, fields []h1.Field) *failure {
	method := "CALL"
	if t.m.kind() == rpcOneWay {
		method = "SEND"
	}
	if t.req.Carry(method, path, fields, h1.Carried(t, t.m.bodyLen())) != nil {
		return errCallFields
	}
	return nil
}

// call is the call that the request was made of, nil where it is HTTP.
func (x *exchange) call() *rpcCall {
	t, _ := x.req.Body.Source().(*rpcCall)
	return t
}

// refuse declines the call, unless its caller expects nothing.
func (t *rpcCall) refuse(f *failure) {
	if t.m.kind() == rpcOneWay {
		return
	}
	_ = t.c.write(func(b []byte) []byte { return t.m.appendRefusal(b, f) }) // a client that is gone gets nothing
}

// Step implements h1.Source: all of the call is here, and stays where it is.
func (t *rpcCall) Step(*h1.Body) (data []byte, done bool, err error) {
	t.x.in = t.m.bodyLen()
	return nil, true, nil
}

func (t *rpcCall) fill(time.Time) error            { return nil } // Step was done
func (t *rpcCall) stopReading()                    {}
func (t *rpcCall) interim(*h1.Response)            {}
func (t *rpcCall) head(*exchange, *h1.Response)    {} // messages are passed on whole, by finish
func (t *rpcCall) flush() error                    { return nil }
func (t *rpcCall) abort(_ *exchange, f *failure)   { t.refuse(f) }
func (t *rpcCall) decline(_ *exchange, f *failure) { t.refuse(f) }

func (t *rpcCall) data(_ *exchange, b []byte) error {
	t.answer = b // all of it
	return nil
}

func (t *rpcCall) finish(*exchange, []h1.Field) error {
	if t.answer == nil {
		return nil // it is expected by nobody
	}
	m, err := t.c.protocol.again(t.answer)
	if err != nil {
		return err
	}
	return t.c.write(func(b []byte) []byte { return m.appendAnswer(b, t.m.id()) })
}
