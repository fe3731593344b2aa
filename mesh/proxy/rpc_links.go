package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// rpcLinks are the connections to one endpoint by Bolt or Dubbo. Calls share them.
type rpcLinks struct{ shared[*rpcLink] }

// rpcLink is a connection to an endpoint. One goroutine reads it, one writes it.
type rpcLink struct {
	w       *rpcWriter
	nc      net.Conn
	dialect uint16
	all     *rpcLinks

	mu      sync.Mutex
	calls   map[uint64]*rpcAttempt // that wait for an answer, by the id that they have here
	last    uint32                 // id given out: Bolt's have 32 bits
	ended   error                  // why there are no more answers
	single  bool                   // retired with its first call
	retired bool                   // no more calls
	since   time.Time              // when the last call ended
}

// rpcAttempt is the server of an attempt.
type rpcAttempt struct {
	link *rpcLink
	id   uint64
	once sync.Once
	over chan struct{} // closed with one of these:
	m    rpcMessage
	err  error

	resp   h1.Response
	oneWay bool
}

var errAttemptCut = errors.New("the call was given up")

// openCall takes a place on a connection to e.
func (x *exchange) openCall(e *endpoint) (*rpcAttempt, error) {
	for {
		l, err := e.calls.get(x, e)
		if err != nil {
			return nil, err
		}
		if a := l.take(); a != nil {
			a.oneWay = x.call().m.kind() == rpcOneWay
			return a, nil
		}
		if time.Until(x.deadline) <= 0 { // another call was quicker, or the connection has just ended
			return nil, fmt.Errorf("begin a call: %w", os.ErrDeadlineExceeded)
		}
	}
}

// get finds the connection with the fewest calls, or makes one.
func (p *rpcLinks) get(x *exchange, e *endpoint) (*rpcLink, error) {
	for {
		p.mu.Lock()
		if l := p.least(x.call().m.dialect()); l != nil {
			p.mu.Unlock()
			return l, nil
		}
		if err := p.another(x, func() error { return p.dial(x, e) }); err != nil {
			return nil, err
		}
	}
}

// least is the connection with the fewest calls that has room for another, nil if there is none. mu is held.
func (p *rpcLinks) least(dialect uint16) (best *rpcLink) {
	fewest := maxCalls
	for _, l := range p.open {
		if n, room := l.load(); room && l.dialect == dialect && n < fewest {
			best, fewest = l, n
		}
	}
	return best
}

// dial adds a connection. The proxy serves it until it ends.
func (p *rpcLinks) dial(x *exchange, e *endpoint) error {
	nc, err := dial(x.cluster, e, x.cluster.tls, x.deadline)
	if err != nil {
		return err
	}
	l := &rpcLink{
		w: newRPCWriter(nc), nc: nc, dialect: x.call().m.dialect(), all: p,
		calls: map[uint64]*rpcAttempt{}, since: time.Now(),
	}
	p.mu.Lock()
	p.open = append(p.open, l)
	if l.single = p.closed; l.single {
		_ = nc.SetReadDeadline(x.deadline.Add(lingerTime)) // nobody sweeps it any more
	}
	p.mu.Unlock()
	owner, name, protocol := x.c.p, x.cluster.Name, rpcProtocolOf(x.cluster.Protocol)
	owner.linking.Go(func() {
		l.w.run()
		if w, ok := nc.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite() // the endpoint may have answers to give, or has gone
		}
	})
	owner.linking.Go(func() {
		err := l.read(protocol)
		l.end(err)
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			owner.log.Debug("connection to an endpoint", "cluster", name, "endpoint", e.Address, "error", err)
		}
	})
	return nil
}

// sweep ends connections that have been idle for too long; all of them, as soon as they are idle, where the endpoint is
// gone.
func (p *rpcLinks) sweep(gone bool) {
	for _, l := range p.list(gone) {
		l.mu.Lock()
		idle := len(l.calls) == 0 && time.Since(l.since) >= maxIdleTime
		l.mu.Unlock()
		if gone || idle {
			l.retire()
		}
	}
}

func (l *rpcLink) load() (calls int, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls), l.ended == nil && !l.retired && len(l.calls) < maxCalls
}

// take gives an attempt a place and an id, nil where there is none.
func (l *rpcLink) take() *rpcAttempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil || l.retired || len(l.calls) >= maxCalls {
		return nil
	}
	for l.last++; l.calls[uint64(l.last)] != nil; {
		l.last++
	}
	a := &rpcAttempt{link: l, id: uint64(l.last), over: make(chan struct{})}
	l.calls[a.id] = a
	l.retired = l.single
	return a
}

// give takes the attempt's place back. An answer that comes later is nobody's.
func (l *rpcLink) give(id uint64) {
	l.mu.Lock()
	delete(l.calls, id)
	l.since = time.Now()
	last := l.retired && len(l.calls) == 0
	l.mu.Unlock()
	if last {
		l.close()
	}
}

// retire takes no more calls, and ends the connection with the last one under way.
func (l *rpcLink) retire() {
	l.mu.Lock()
	l.retired = true
	last := len(l.calls) == 0
	l.mu.Unlock()
	if last {
		l.close()
	}
}

// close ends the connection, after what is still to be written: calls that need no answer.
func (l *rpcLink) close() {
	l.w.end()
	_ = l.nc.SetReadDeadline(time.Now().Add(lingerTime)) // until the endpoint has ended its side, or not
}

// read takes answers until the connection ends.
func (l *rpcLink) read(protocol *rpcProtocol) error {
	in := &rpcReader{protocol, bufio.NewReaderSize(l.nc, rpcBuffer), l.nc.SetReadDeadline}
	for {
		m, err := in.next()
		large := m != nil && errors.Is(err, errRPCLarge)
		if err != nil && !large {
			return err
		}
		switch kind := m.kind(); {
		case kind == rpcAnswer:
			l.deliver(m, err)
		case large:
			return malformed(err) // what is not there can't be given back
		case kind == rpcPing:
			if err := l.w.add(func(b []byte) ([]byte, error) { return m.appendPong(b), nil }); err != nil {
				return err
			}
		case kind == rpcFarewell:
			l.retire()
		default: // not for us: we serve no calls of endpoints
		}
		if large {
			if err := in.skip(m); err != nil {
				return err
			}
		}
		if over, err := l.over(); over || err != nil {
			return err
		}
	}
}

// over tells whether nothing more is expected. Otherwise messages are awaited for as long as it takes: calls have times of
// their own. Together, because close sets a time that must stay.
func (l *rpcLink) over() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired && len(l.calls) == 0 {
		return true, nil
	}
	return false, l.nc.SetReadDeadline(time.Time{})
}

func (l *rpcLink) deliver(m rpcMessage, err error) {
	l.mu.Lock()
	a := l.calls[m.id()]
	l.mu.Unlock()
	if a == nil {
		return
	}
	if err != nil {
		err = malformed(err)
	}
	a.finish(m, err)
}

// end ends the connection for all who wait for answers.
func (l *rpcLink) end(err error) {
	if err == nil {
		err = io.EOF
	}
	l.mu.Lock()
	l.ended = err
	list := make([]*rpcAttempt, 0, len(l.calls))
	for _, a := range l.calls {
		list = append(list, a)
	}
	l.mu.Unlock()
	l.all.remove(l)
	l.w.end()
	_ = socketOf(l.nc).Close() // nothing more is expected of it
	for _, a := range list {
		a.finish(nil, err)
	}
}

func (a *rpcAttempt) finish(m rpcMessage, err error) {
	a.once.Do(func() {
		a.m, a.err = m, err
		close(a.over)
	})
}

// send has all of the call written. That the endpoint got none of it is certain only where it was not even queued.
func (a *rpcAttempt) send(x *exchange) (rest, sent bool, err error) {
	err = a.link.w.add(func(b []byte) ([]byte, error) { return x.call().m.appendCall(b, x, a.id) })
	return false, err == nil, err
}

func (a *rpcAttempt) upload(*exchange, []byte, bool) error { return nil } // send has sent all
func (a *rpcAttempt) stopUpload()                          {}

func (a *rpcAttempt) next(x *exchange) (*h1.Response, error) {
	if a.oneWay {
		a.resp.Status = 202
		return &a.resp, nil
	}
	late := time.NewTimer(time.Until(x.tryBy))
	defer late.Stop()
	select {
	case <-a.over:
	case <-late.C:
		return nil, fmt.Errorf("wait for an answer: %w", os.ErrDeadlineExceeded)
	}
	if a.err != nil {
		return nil, a.err
	}
	a.resp.Status, a.resp.Body = a.m.status(), h1.Carried(rpcAnswered{a.m}, -1)
	return &a.resp, nil
}

func (a *rpcAttempt) fill(*exchange) error    { return io.ErrUnexpectedEOF } // answers are whole
func (a *rpcAttempt) begun() bool             { return false }
func (a *rpcAttempt) release(*exchange, bool) { a.link.give(a.id) }
func (a *rpcAttempt) cut()                    { a.finish(nil, errAttemptCut) }

// rpcAnswered is an answer as the body that is passed on: its whole frame.
type rpcAnswered struct{ rpcMessage }

// Step implements h1.Source.
func (m rpcAnswered) Step(*h1.Body) (data []byte, done bool, err error) { return m.frame(), true, nil }
