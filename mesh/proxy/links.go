package proxy

import (
	"fmt"
	"time"

	"golang.org/x/net/http2"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// links are the HTTP/2 connections to one endpoint. Requests share them.
type links struct{ shared[*h2.Conn] }

// openStream begins the request on a connection to e: the least loaded one that has room, or a new one.
func (x *exchange) openStream(e *endpoint) (*downlink, error) {
	head := x.streamHead()
	end := x.whole && len(x.body) == 0 && len(x.req.Body.Trailers) == 0
	for {
		c, err := e.links.get(x, e)
		if err != nil {
			return nil, err
		}
		s, err := c.Open(head, end, string(x.req.Method) == "HEAD")
		if err == nil {
			return &downlink{Stream: s, c: c, all: end}, nil
		}
		// Another request was quicker, or the connection has just ended: nothing was sent.
		if time.Until(x.deadline) <= 0 {
			return nil, fmt.Errorf("open a stream: %w", err)
		}
	}
}

func (p *links) get(x *exchange, e *endpoint) (*h2.Conn, error) {
	for {
		p.mu.Lock()
		if c := p.least(); c != nil {
			p.mu.Unlock()
			return c, nil
		}
		if err := p.another(x, func() error { return p.dial(x, e) }); err != nil {
			return nil, err
		}
	}
}

// least is the connection with the fewest streams that has room for another, nil if there is none. mu is held.
func (p *links) least() (best *h2.Conn) {
	fewest := 0
	for _, c := range p.open {
		if n, room := c.Load(); room && (best == nil || n < fewest) {
			best, fewest = c, n
		}
	}
	return best
}

// dial adds a connection. The proxy serves it until it ends.
func (p *links) dial(x *exchange, e *endpoint) error {
	nc, err := dial(x.cluster, e, x.cluster.tls, x.deadline)
	if err != nil {
		return err
	}
	c := h2.NewConn(nc, h2.Options{})
	p.mu.Lock()
	p.open = append(p.open, c)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		c.Retire() // when this request is over
	}
	owner, name := x.c.p, x.cluster.Name
	owner.linking.Go(func() {
		err := c.Serve()
		p.remove(c)
		c.Close()
		if !h2.Ended(err) {
			owner.log.Debug("connection to an endpoint", "cluster", name, "endpoint", e.Address, "error", err)
		}
	})
	return nil
}

// sweep ends connections that have been idle for too long; all of them, as soon as they are idle, where the endpoint is
// gone.
func (p *links) sweep(gone bool) {
	for _, c := range p.list(gone) {
		if since, idle := c.IdleSince(); gone || idle && time.Since(since) >= maxIdleTime {
			c.Retire()
		}
	}
}

// downlink is the server of an attempt by HTTP/2.
type downlink struct {
	*h2.Stream
	c    *h2.Conn
	resp h1.Response
	any  bool // a head has come
	all  bool // the request has been sent
}

// send sends what is held of the body if there is room for it; openStream has sent the head. Otherwise it goes by upload,
// while the answer is awaited: an endpoint may answer without reading.
func (d *downlink) send(x *exchange) (rest, sent bool, err error) {
	defer d.Flush()
	switch {
	case d.all:
		return false, true, nil
	case x.whole && len(x.req.Body.Trailers) > 0:
		return true, true, nil
	}
	ok, _ := d.Offer(x.body, x.whole) // if it was cut off, next says so
	return !ok, true, nil
}

func (d *downlink) upload(x *exchange, data []byte, done bool) error {
	trailers := x.req.Body.Trailers
	if len(data) > 0 || done && len(trailers) == 0 {
		if err := d.Write(data, done && len(trailers) == 0, x.deadline); err != nil {
			return err
		}
	}
	if done && len(trailers) > 0 {
		h := &h2.Head{}
		for i := range trailers {
			h.Fields = toHTTP2(h.Fields, &trailers[i])
		}
		if err := d.Answer(h, true); err != nil {
			return err
		}
	}
	if done || len(data) == 0 {
		d.Flush()
	}
	return nil
}

func (d *downlink) stopUpload() { d.Stop() }

func (d *downlink) next(x *exchange) (*h1.Response, error) {
	h, err := d.Next(x.tryBy)
	if err != nil {
		if isTimeout(err) {
			d.c.Suspect(d.Opened)
		}
		return nil, err
	}
	d.any = true
	return &d.resp, composeAnswer(&d.resp, d.Stream, h, x.req.Method)
}

func (d *downlink) fill(x *exchange) error { return d.Wait(x.tryBy) }

func (d *downlink) begun() bool { return d.any }

func (d *downlink) release(*exchange, bool) { d.Done() }

func (d *downlink) cut() { d.Cancel(http2.ErrCodeCancel) }
