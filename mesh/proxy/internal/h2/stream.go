package h2

import (
	"os"
	"time"

	"golang.org/x/net/http2"
)

// Stream is one request and its answer. One goroutine reads it and one writes it, at most.
type Stream struct {
	// Head is the request's, where we are the server.
	Head *Head
	// Opened is when the request came or was sent.
	Opened time.Time

	c                    *Conn
	id                   uint32
	readable, sendable   chan struct{}
	readTimer, sendTimer *time.Timer

	// Under the connection's mu.
	heads      []*Head // of answers, not yet taken
	answered   bool    // the final one has come
	in, spare  []byte  // received and not yet taken
	window     int64   // that the peer has left
	ungranted  int64   // taken, and not granted again
	want, got  int64   // bytes of data; want is -1 where unknown
	noBody     bool    // no data may come, whatever Content-Length says
	ended      bool    // the peer has sent all
	trailers   []Field
	sendWindow int64
	sentAll    bool
	closed     bool  // no longer among the connection's streams
	err        error // why it was cut off
	halted     bool  // the reader is to stop
	stopped    bool  // the writer is to stop
	gone       func()
}

// add makes a stream. mu is held.
func (c *Conn) add(id uint32, now time.Time) *Stream {
	s := &Stream{
		c: c, id: id, Opened: now, readable: make(chan struct{}, 1), sendable: make(chan struct{}, 1), window: streamWindow, want: -1, sendWindow: c.initWindow,
	}
	c.streams[id] = s
	c.owned++
	c.changed = now
	return s
}

// finish takes a stream out; err is nil where both sides have said all. mu is held.
func (c *Conn) finish(s *Stream, err error) {
	if s.closed {
		return
	}
	s.closed, s.err = true, err
	delete(c.streams, s.id)
	var reset *ResetError
	ours := err != nil && asReset(err, &reset) && reset.Ours
	c.recent.add(s.id, ours)
	if err == nil {
		c.earned += earnRequest
		return
	}
	signal(s.readable)
	signal(s.sendable)
	if s.gone != nil {
		c.orphans = append(c.orphans, s.gone)
		s.gone = nil
	}
}

func asReset(err error, to **ResetError) bool {
	r, ok := err.(*ResetError) //nolint:errorlint // set as it is by this package
	*to = r
	return ok
}

// Open sends a request; end: it has no body. noBody: its answer has none. ErrClosed: nothing was sent, and nothing will
// be on this connection. The request leaves with the next Flush or Write.
func (c *Conn) Open(h *Head, end, noBody bool) (*Stream, error) {
	c.mu.Lock()
	defer c.unlock()
	if c.err != nil || c.away || len(c.streams) >= min(MaxStreams, int(c.peerStreams)) {
		return nil, ErrClosed
	}
	s := c.add(c.nextOut, time.Now())
	c.nextOut += 2
	c.away = c.nextOut >= 1<<31-1
	s.noBody, s.sentAll = noBody, end
	c.writeHead(s.id, h, end)
	return s, nil
}

// Answer sends the head of an answer, or trailers; end: nothing follows. It leaves with the next Flush or Write.
func (s *Stream) Answer(h *Head, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	if s.err != nil {
		return s.err
	}
	c.writeHead(s.id, h, end)
	if end {
		s.sendEnd()
	}
	return nil
}

// sendEnd notes that all was sent. mu is held.
func (s *Stream) sendEnd() {
	s.sentAll = true
	if s.ended {
		s.c.finish(s, nil)
	}
}

// Write sends data; end: nothing follows. It waits until by for the peer to grant the room, and returns an error that is
// a timeout where it does not.
func (s *Stream) Write(b []byte, end bool, by time.Time) error {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	for {
		if s.err != nil {
			return s.err
		}
		if s.stopped {
			return ErrStopped
		}
		n := max(min(int64(len(b)), s.sendWindow, c.sendWindow, maxFrame), 0)
		if len(b) == 0 || n > 0 && len(c.out) < maxPending {
			last := int(n) == len(b)
			s.put(b[:n], end && last)
			if b = b[n:]; !last {
				continue
			}
			if len(c.out) >= flushAt {
				c.flush()
			}
			return nil
		}
		if err := s.block(by); err != nil {
			return err
		}
	}
}

// Offer is Write where it need not wait; ok is false where it would have to, and nothing was sent.
func (s *Stream) Offer(b []byte, end bool) (ok bool, err error) {
	s.c.mu.Lock()
	n := int64(len(b))
	ok = s.err != nil || n <= s.sendWindow && n <= s.c.sendWindow && len(s.c.out) < flushAt
	for ok && s.err == nil && n > maxFrame {
		s.put(b[:maxFrame], false)
		b = b[maxFrame:]
		n -= maxFrame
	}
	if ok && s.err == nil {
		s.put(b, end)
	}
	err = s.err
	s.c.unlock()
	return ok, err
}

// put writes a frame of data that there is room for. mu is held.
func (s *Stream) put(b []byte, end bool) {
	c, n := s.c, int64(len(b))
	_ = c.fr.WriteData(s.id, end, b) // into memory
	s.sendWindow -= n
	c.sendWindow -= n
	c.earned += n / bytesEarn
	if end {
		s.sendEnd()
	}
}

// block waits for room to write. mu is held before and after, and released meanwhile.
func (s *Stream) block(by time.Time) error {
	c := s.c
	c.blocked++
	c.flush()
	c.unlock()
	err := await(s.sendable, &s.sendTimer, by)
	c.mu.Lock()
	c.blocked--
	return err
}

// await waits for a signal until by.
func await(ch chan struct{}, timer **time.Timer, by time.Time) error {
	select {
	case <-ch:
		return nil
	default:
	}
	left := time.Until(by)
	if left <= 0 {
		return os.ErrDeadlineExceeded
	}
	if *timer == nil {
		*timer = time.NewTimer(left)
	} else {
		(*timer).Reset(left)
	}
	defer (*timer).Stop()
	select {
	case <-ch:
		return nil
	case <-(*timer).C:
		return os.ErrDeadlineExceeded
	}
}

// Flush sends what was written.
func (s *Stream) Flush() {
	s.c.mu.Lock()
	s.c.flush()
	s.c.unlock()
}

// Next waits until by for the head of an answer: interim ones first, then the final one.
func (s *Stream) Next(by time.Time) (*Head, error) {
	for {
		s.c.mu.Lock()
		if len(s.heads) > 0 {
			h := s.heads[0]
			s.heads = s.heads[1:]
			s.c.mu.Unlock()
			return h, nil
		}
		err := s.err
		s.c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if err := await(s.readable, &s.readTimer, by); err != nil {
			return nil, err
		}
	}
}

// Take returns what has come of the body, valid until the next Take, and whether that was the rest. Where there is
// neither, Wait tells when there is more.
func (s *Stream) Take() (data []byte, done bool, err error) {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	data, s.in, s.spare = s.in, s.spare[:0], s.in
	if done = s.ended; !done && len(data) == 0 {
		err = s.err
	}
	if n := int64(len(data)); n > 0 {
		if s.release(n) {
			c.flush() // the last thing: mu is released meanwhile
		}
	}
	return data, done, err
}

// release lets the peer send as many bytes as were taken. Said: there is something to write. mu is held.
func (s *Stream) release(n int64) (said bool) {
	c := s.c
	if !s.ended && !s.closed {
		if s.ungranted += n; s.ungranted >= streamWindow/2 {
			_ = c.fr.WriteWindowUpdate(s.id, uint32(s.ungranted)) //nolint:gosec // at most a window. Into memory
			s.window += s.ungranted
			s.ungranted = 0
			said = true
		}
	}
	return c.grant(n) || said
}

// Trailers are there once the body is done.
func (s *Stream) Trailers() []Field { return s.trailers }

// Wait waits until by for more of the body.
func (s *Stream) Wait(by time.Time) error {
	for {
		s.c.mu.Lock()
		ready, err := len(s.in) > 0 || s.ended, s.err
		if s.halted {
			ready, err = false, ErrStopped
		}
		s.c.mu.Unlock()
		if ready {
			return nil
		}
		if err != nil {
			return err
		}
		if err := await(s.readable, &s.readTimer, by); err != nil {
			return err
		}
	}
}

// Halt makes Wait return ErrStopped.
func (s *Stream) Halt() {
	s.c.mu.Lock()
	s.halted = true
	s.c.mu.Unlock()
	signal(s.readable)
}

// Stop makes Write return ErrStopped.
func (s *Stream) Stop() {
	s.c.mu.Lock()
	s.stopped = true
	s.c.mu.Unlock()
	signal(s.sendable)
}

// OnGone has tell called when the stream is cut off by the peer or with its connection; at once if it is already.
func (s *Stream) OnGone(tell func()) {
	s.c.mu.Lock()
	if s.err == nil {
		s.gone = tell
		tell = nil
	}
	s.c.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// Cancel cuts the stream off: its goroutines return, and the peer is told.
func (s *Stream) Cancel(code http2.ErrCode) {
	s.c.mu.Lock()
	defer s.c.unlock()
	if !s.closed {
		s.c.resetLocked(s.id, code)
		s.c.flushAside() // whoever reads another connection cancels, too
	}
}

// Done ends the owner's part. What is not said by then is cut off.
func (s *Stream) Done() {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	s.gone = nil
	if !s.closed && c.err == nil {
		code := http2.ErrCodeCancel
		if c.o.Serve != nil && s.sentAll {
			code = http2.ErrCodeNo // RFC 9113, 8.1: the answer did not need the rest of the request
			c.earned += earnRequest
		}
		c.resetLocked(s.id, code)
	}
	if n := int64(len(s.in)); n > 0 && c.err == nil {
		s.in = nil
		c.grant(n)
	}
	c.owned--
	c.changed = time.Now()
	c.flush()
	c.endDrained()
}
