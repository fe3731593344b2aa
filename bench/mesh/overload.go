package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// The endpoint that is overloaded works on places requests at a time, each for work: 400 a second, whatever else the
// machine does. It makes the others wait, as most services do.
const (
	places = 8
	work   = 20 * time.Millisecond
)

// What is offered, in parts of the capacity: settle calls just fit, and the rest does not.
var offered = []struct {
	class string
	share float64
}{{"settle", 0.85}, {"pay", 0.85}, {"query", 8.3}}

// patience is how long callers wait: a later answer is of no use to them.
const patience = time.Second

// serveSlowly answers requests as an endpoint of fixed capacity does.
func serveSlowly() error {
	ln, err := announce("")
	if err != nil {
		return err
	}
	free := make(chan struct{}, places)
	for {
		c, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go answerAll(c, func() {
			free <- struct{}{}
			<-time.After(work)
			<-free
		})
	}
}

// overload measures what an endpoint gets done at ten times its capacity behind the proxy.
func (f *fleet) overload(r *Report) error {
	endpoint, err := f.self("slow-backend", "")
	if err != nil {
		return err
	}
	var routes strings.Builder
	for _, o := range offered {
		fmt.Fprintf(&routes, "- {name: %[1]s, match: {prefix: /%[1]s}, money: true, priority: %[1]s, timeout: 5s, backends: [{cluster: app}]}\n", o.class)
	}
	config, err := f.file("proxy.yaml", fmt.Sprintf(`listeners: [{name: in, address: "127.0.0.1:0", caller: "%s"}]
clusters: [{name: app, adaptive: true, endpoints: [{address: "%s"}]}]
routes:
%s`, meshID, endpoint, routes.String()))
	if err != nil {
		return err
	}
	address, err := f.self("proxy", config)
	if err != nil {
		return err
	}
	// Alone, the endpoint is asked by twice as many as it works for: it is never without work, and nobody waits for long.
	capacity := (&offer{address: endpoint, class: "query"}).closed(2*places, f.span)
	if capacity == 0 {
		return fmt.Errorf("measure the capacity of an endpoint: it answered nothing")
	}
	r.row("overload: capacity of the endpoint alone", capacity, "requests/s")
	offers, good := make([]*offer, len(offered)), 0.0
	span := 6 * f.span
	var load sync.WaitGroup
	for i, o := range offered {
		offers[i] = &offer{address: address, class: o.class, perSecond: o.share * capacity}
		load.Go(func() { offers[i].open(span) })
	}
	load.Wait()
	for _, o := range offers {
		good += float64(o.answered) / span.Seconds()
		r.note("overload, %s: %d offered, %d answered in time, %d refused, %d late or broken%s", o.class, o.sent, o.answered, o.refused, o.failed, o.why())
	}
	r.least("overload: goodput at ten times the capacity / capacity", good/capacity, "ratio", 0.8, 0.95)
	r.most("overload: settle calls that failed", float64(offers[0].sent-offers[0].answered), "requests", 0, 0)
	return nil
}

// offer is the load of one class and what became of it.
type offer struct {
	address   string
	class     string
	perSecond float64

	mu                              sync.Mutex
	idle                            []*caller
	sent, answered, refused, failed int
	last                            error // of those that failed
}

func (o *offer) why() string {
	if o.last == nil {
		return ""
	}
	return fmt.Sprintf(" (the last: %v)", o.last)
}

// caller is a connection.
type caller struct {
	net.Conn
	in   *bufio.Reader
	last bool // the other side takes no more requests on it
}

// open sends requests at their times, whether or not others have been answered.
func (o *offer) open(span time.Duration) {
	clk := clock.NewSystem()
	begin := time.Now()
	var wg sync.WaitGroup
	for due := 0; time.Since(begin) < span; _ = clock.Sleep(context.Background(), clk, time.Millisecond) { // it ends by itself
		for ; float64(due) < time.Since(begin).Seconds()*o.perSecond; due++ {
			at := begin.Add(time.Duration(float64(due) / o.perSecond * float64(time.Second)))
			wg.Go(func() { o.one(at) })
		}
	}
	wg.Wait()
}

// closed sends requests on n connections, one after the other on each, and returns how many a second were answered.
func (o *offer) closed(n int, span time.Duration) float64 {
	end := time.Now().Add(span)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for now := time.Now(); now.Before(end); now = time.Now() {
				o.one(now)
			}
		})
	}
	wg.Wait()
	return float64(o.answered) / span.Seconds()
}

// one makes a request that was due at a time, and counts what becomes of it.
func (o *offer) one(at time.Time) {
	c, status, err := o.ask(at.Add(patience), rand.Uint64()) //nolint:gosec // to tell operations apart
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	switch {
	case err != nil:
		o.failed++
		o.last = err
		if c != nil {
			_ = c.Close() // its answer may still come
		}
		return
	case status == "200":
		o.answered++
	default:
		o.refused++
		o.last = fmt.Errorf("answered %s", status)
	}
	if c.last {
		_ = c.Close() // as the other side will
		return
	}
	o.idle = append(o.idle, c)
}

func (o *offer) ask(by time.Time, operation uint64) (c *caller, status string, err error) {
	o.mu.Lock()
	if n := len(o.idle); n > 0 {
		c, o.idle = o.idle[n-1], o.idle[:n-1]
	}
	o.mu.Unlock()
	if c == nil {
		nc, err := net.DialTimeout("tcp", o.address, time.Until(by))
		if err != nil {
			return nil, "", err
		}
		c = &caller{Conn: nc, in: bufio.NewReaderSize(nc, 1024)}
	}
	if err := c.SetDeadline(by); err != nil {
		return c, "", err
	}
	// Requests of one operation are shed alike, so each is one of its own.
	request := strings.Replace(requestText, "/v1/payments", "/"+o.class, 1)
	if _, err := io.WriteString(c, strings.Replace(request, "8448eb211c80319c", fmt.Sprintf("%016x", operation), 1)); err != nil {
		return c, "", err
	}
	status, err = c.answer()
	return c, status, err
}

// answer reads an answer of any status, with a length.
func (c *caller) answer() (status string, err error) {
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if status == "" {
			if len(line) < len("HTTP/1.1 200") {
				return "", fmt.Errorf("answered %q", line)
			}
			status = string(line[9:12])
		}
		switch name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": ")); strings.ToLower(string(name)) {
		case "content-length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return "", err
			}
		case "connection":
			c.last = string(value) == "close"
		}
		if len(line) == 2 {
			_, err := c.in.Discard(length)
			return status, err
		}
	}
}
