package proxy

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// accessLog writes a line of JSON for each request. Requests add to a buffer in memory; one goroutine writes it. Where
// the writer is too slow, lines are lost and counted: requests do not wait for a log.
type accessLog struct {
	to   io.Writer
	lost atomic.Uint64
	wake chan struct{} // has one while there is something to write
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	lines []byte
	err   error // the last of writing
}

const maxLogBytes = 4 << 20

func newAccessLog(to io.Writer) *accessLog {
	l := &accessLog{to: to, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go l.write()
	return l
}

func (l *accessLog) write() {
	defer close(l.done)
	var spare []byte
	for stopping := false; !stopping; {
		select {
		case <-l.wake:
		case <-l.stop:
			stopping = true
		}
		l.mu.Lock()
		lines := l.lines
		l.lines = spare[:0]
		l.mu.Unlock()
		if len(lines) > 0 {
			if _, err := l.to.Write(lines); err != nil {
				l.lost.Add(countLines(lines))
				l.mu.Lock()
				l.err = err
				l.mu.Unlock()
			}
		}
		spare = lines
	}
}

func countLines(b []byte) (n uint64) {
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}

// close writes what is left. The error is the last one of writing.
func (l *accessLog) close() error {
	close(l.stop)
	<-l.done
	if l.err != nil {
		return fmt.Errorf("write the access log: %w", l.err)
	}
	return nil
}

// request adds a line. It has the path without the query and no header fields: those may have secrets.
func (l *accessLog) request(x *exchange, status int, took time.Duration) {
	req := x.req
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) > maxLogBytes {
		l.lost.Add(1)
		return
	}
	b := append(l.lines, `{"time":"`...)
	b = x.started.UTC().AppendFormat(b, `2006-01-02T15:04:05.000000Z"`)
	b = appendJSON(b, "listener", x.c.l.Name)
	if x.route != nil {
		b = appendJSON(b, "route", x.route.Name)
	}
	if x.cluster != nil {
		b = appendJSON(b, "cluster", x.cluster.Name)
	}
	if n := len(x.tried); x.endpoint != nil {
		b = appendJSON(b, "endpoint", x.endpoint.Address)
		b = append(b, `,"retries":`...)
		b = strconv.AppendInt(b, int64(n), 10)
	}
	b = appendJSON(b, "peer", x.c.peer)
	b = appendJSON(b, "method", string(req.Method)) // tokens, and URI and host characters: nothing JSON must escape but "
	b = appendJSON(b, "host", string(x.host))
	b = appendJSON(b, "path", string(req.Path))
	b = appendJSON(b, "trace", string(x.trace))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	if x.code >= 0 {
		b = append(b, `,"grpc":`...)
		b = strconv.AppendInt(b, int64(x.code), 10)
	}
	if x.failed != nil {
		b = appendJSON(b, "failure", x.failed.reason)
		b = appendJSON(b, "outcome", string(x.failed.outcome))
	}
	if x.shadow {
		b = append(b, `,"shadow":true`...)
	}
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, x.in, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, x.sent, 10)
	b = append(b, `,"us":`...)
	b = strconv.AppendInt(b, took.Microseconds(), 10)
	l.lines = append(b, "}\n"...)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// appendJSON adds a member whose value is visible ASCII, as the codec and the configuration's check made sure.
func appendJSON(b []byte, name, value string) []byte {
	b = append(append(append(b, `,"`...), name...), `":"`...)
	for i := range len(value) {
		if c := value[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return append(b, '"')
}
