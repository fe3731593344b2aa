package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/supervisor/service"
)

const (
	// unreadyEvery is how often at least a replica is asked that is not ready yet.
	unreadyEvery = time.Second
	// openFor is how long a connection has to stay open to be one.
	openFor = 200 * time.Millisecond
)

// ErrNotAsked is wrapped where a replica could not be asked for a reason of this host's. That says nothing about the
// replica: else a host that has run out of something would end all of them at once.
var ErrNotAsked = errors.New("it could not be asked")

// maxWhy bounds what is kept of what a replica, or a program that speaks for it, says.
const maxWhy = 512

// plain is a text of somebody else's on one line, bounded, without what a terminal would take for an order.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text[:min(len(text), maxWhy)])
	return strings.Join(strings.Fields(text), " ")
}

// A probe asks one replica how it is. All but ready is the loop's.
type probe struct {
	stop  context.CancelFunc
	since uint64 // when it was first asked, in nanoseconds of Clock.Mono
	ready atomic.Bool

	health []service.Health
	checks []checked // of health
	was    bool      // ready, ever
}

// checked is what came of one check.
type checked struct {
	asked    bool
	failures int // in a row
	err      error
}

// start asks until ctx ends, and tells of every answer.
func (p *probe) start(ctx context.Context, s *Supervisor, box Box) {
	p.checks = make([]checked, len(p.health))
	for i, h := range p.health {
		s.running.Go(func() {
			for ctx.Err() == nil {
				within, cancel := context.WithTimeout(ctx, time.Duration(h.Timeout))
				err := check(within, s.o.Boxes, box, h)
				cancel()
				if ctx.Err() != nil {
					return
				}
				s.post(func() {
					if s.boxes[box.ID].State == stateRunning { // one that stands still is not sick
						p.take(i, err, h.Failures)
					}
				})
				pause := time.Duration(h.Every)
				if !p.ready.Load() {
					pause = min(pause, unreadyEvery)
				}
				_ = clock.Sleep(ctx, s.o.Clock, pause) // the loop looks at ctx
			}
		})
	}
}

// take judges an answer.
func (p *probe) take(i int, err error, most int) {
	c := &p.checks[i]
	c.asked, c.err = true, nil
	if err != nil {
		c.err = errors.New(plain(err.Error()))
	}
	switch {
	case err == nil:
		c.failures = 0
	case !errors.Is(err, ErrNotAsked):
		c.failures++
	}
	ready := true
	for _, c := range p.checks {
		ready = ready && c.asked && (c.err == nil || p.was && c.failures < most)
	}
	p.was = p.was || ready
	p.ready.Store(ready)
}

// failing says why the replica is to be replaced, "" if it is not.
func (p *probe) failing(now uint64, limit time.Duration) string {
	if p.ready.Load() {
		return ""
	}
	for i, c := range p.checks {
		if p.was && c.failures >= p.health[i].Failures {
			return fmt.Sprintf("health[%d] failed %d times: %v", i, c.failures, c.err)
		}
	}
	if p.was || now < p.since+uint64(limit) { //nolint:gosec // an hour at most
		return ""
	}
	for i, c := range p.checks {
		if c.err != nil {
			return fmt.Sprintf("not ready within %s: health[%d]: %v", limit, i, c.err)
		}
	}
	return fmt.Sprintf("not ready within %s", limit)
}

// says is the last failure of a check, "" if there is none.
func (p *probe) says() string {
	for i, c := range p.checks {
		if c.err != nil {
			return fmt.Sprintf("health[%d]: %v", i, c.err)
		}
	}
	return ""
}

// check asks a replica once.
func check(ctx context.Context, boxes Boxes, box Box, h service.Health) error {
	if len(h.Exec) > 0 {
		return boxes.Exec(ctx, box.ID, h.Exec)
	}
	socket := box.Listen[h.Socket]
	if socket == "" {
		return fmt.Errorf("no socket %s yet", h.Socket)
	}
	if h.Path != "" {
		return checkHTTP(ctx, socket, h.Path)
	}
	conn, err := dialReplica(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if err := conn.SetReadDeadline(time.Now().Add(openFor)); err != nil {
		return err
	}
	if _, err = conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("nobody listens: the connection ended: %w", err)
}

func dialReplica(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS) {
		err = fmt.Errorf("%w: %w", ErrNotAsked, err)
	}
	return conn, err
}

// maxHeader bounds the header of a replica's answer, in bytes.
const maxHeader = 16 << 10

func checkHTTP(ctx context.Context, socket, path string) error {
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialReplica(ctx, socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://replica"+path, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	defer response.Body.Close()                                      //nolint:errcheck // the status tells
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16)) // so that the replica can end what it began
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("GET %s: status %d", path, response.StatusCode) // its text is the replica's
	}
	return nil
}
