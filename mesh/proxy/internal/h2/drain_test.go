package h2_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// gated is a connection whose writer is held up once it has written the PING of a drain.
type gated struct {
	net.Conn
	said, release chan struct{}
}

func (g *gated) Write(b []byte) (int, error) {
	n, err := g.Conn.Write(b)
	if bytes.Contains(b, []byte("drain")) {
		close(g.said)
		<-g.release
	}
	return n, err
}

// TestADrainedConnectionWritesWhatItOwes: whoever asked for the end is still at the writing when the last request has been
// answered and the peer knows of the end. The connection is not over before the answer is out.
func TestADrainedConnectionWritesWhatItOwes(t *testing.T) {
	mine, its := net.Pipe()
	g := &gated{Conn: its, said: make(chan struct{}), release: make(chan struct{})}
	asked, answer, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c := h2.NewConn(g, h2.Options{Idle: time.Minute, Serve: func(s *h2.Stream) {
		close(asked)
		<-answer
		ok(s)
		close(answered)
	}})
	served := make(chan struct{})
	go func() {
		_ = c.Serve()
		close(served)
		c.Close()
	}()
	p := &peer{Conn: mine, Framer: http2.NewFramer(mine, mine), t: t, done: make(chan struct{}), news: make(chan struct{}, 1), ends: map[uint32]string{}}
	go p.read()
	t.Cleanup(func() { mine.Close(); <-p.done })
	_, err := io.WriteString(mine, http2.ClientPreface)
	for _, say := range []func() error{func() error { return p.WriteSettings() }, func() error { return p.get(1) }} {
		if err == nil {
			err = say()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	go c.Drain()
	<-g.said
	close(answer)
	<-answered
	if err := p.WritePing(true, [8]byte{'d', 'r', 'a', 'i', 'n'}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-served:
		t.Error("the connection is over, and its last answer is not out")
	case <-time.After(50 * time.Millisecond): // nothing to wait for: it does not happen
	}
	close(g.release)
	if code := p.ended(); code != http2.ErrCodeNo.String() || p.end(1) != "200 " {
		t.Errorf("the request ended with %q, the connection with %s", p.end(1), code)
	}
}
