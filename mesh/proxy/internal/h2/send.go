package h2

import (
	"runtime"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sink is where the framer writes to: memory. mu is held.
type sink Conn

func (s *sink) Write(b []byte) (int, error) {
	s.out = append(s.out, b...)
	return len(b), nil
}

const flushAt = 32 << 10 // bytes that are not left waiting for more

// flush writes what is waiting. Where another goroutine is writing already, that one writes this, too: under load, many
// streams' frames go out in one write. mu is held, and released while writing. It is not for the goroutine that reads: see
// flushAside.
func (c *Conn) flush() {
	if !c.writing && len(c.out) > 0 {
		c.writing = true
		c.write()
	}
}

// flushAside is flush by another goroutine. Whoever reads does not write: where each side waits for the other to read
// before it does, neither does. mu is held.
func (c *Conn) flushAside() {
	if !c.writing && len(c.out) > 0 {
		c.writing = true
		go func() {
			c.mu.Lock()
			c.write()
			c.unlock()
		}()
	}
}

// write is flush for the one who has set writing.
func (c *Conn) write() {
	if c.owned > 1 {
		// Others are about to write, too: a system call costs more than letting them go first.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for len(c.out) > 0 && !c.broken {
		b := c.out
		c.out = c.spare[:0]
		var err error
		if now := time.Now(); c.err == nil && c.writeBy.Before(now.Add(writeTime)) {
			// Later than needed, so that most writes need not set it: that costs as much as a small frame. Under mu, so that
			// it is not set in place of die's.
			c.writeBy = now.Add(writeTime + writeTime/8)
			err = c.nc.SetWriteDeadline(c.writeBy)
		}
		c.mu.Unlock()
		if err == nil {
			_, err = c.nc.Write(b)
		}
		c.mu.Lock()
		if c.spare = b[:0]; cap(b) > maxPending {
			c.spare = nil
		}
		if err != nil {
			c.broken = true
			c.die(err)
		}
		c.wake()
		c.written.Broadcast()
	}
	c.writing = false
	c.written.Broadcast()
}

// wake lets blocked streams see whether they can write. mu is held.
func (c *Conn) wake() {
	if c.blocked == 0 {
		return
	}
	for _, s := range c.streams {
		signal(s.sendable)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// writeHead writes a header block. mu is held: blocks must go out in the order in which they were compressed.
func (c *Conn) writeHead(stream uint32, h *Head, end bool) {
	c.encoded.Reset()
	if h.Status != 0 {
		c.encode(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(h.Status)})
	}
	if h.Method != nil {
		c.encode(hpack.HeaderField{Name: ":method", Value: string(h.Method)})
		c.encode(hpack.HeaderField{Name: ":scheme", Value: string(h.Scheme)})
		c.encode(hpack.HeaderField{Name: ":path", Value: string(h.Path), Sensitive: len(h.Path) > 128})
		c.encode(hpack.HeaderField{Name: ":authority", Value: string(h.Authority)})
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		c.encode(hpack.HeaderField{Name: c.intern(f.Name), Value: string(f.Value), Sensitive: f.Once})
	}
	b := c.encoded.Bytes()
	for first := true; first || len(b) > 0; first = false {
		piece := b[:min(len(b), maxFrame)]
		b = b[len(piece):]
		if first {
			_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: piece, EndStream: end, EndHeaders: len(b) == 0}) // into memory
		} else {
			_ = c.fr.WriteContinuation(stream, len(b) == 0, piece) // the same
		}
	}
}

func (c *Conn) encode(f hpack.HeaderField) {
	_ = c.enc.WriteField(f) // into memory
}

// maxNames bounds what is remembered of a connection's names.
const maxNames = 256

func (c *Conn) intern(name []byte) string {
	if s, ok := c.names[string(name)]; ok {
		return s
	}
	s := string(name)
	if len(c.names) < maxNames {
		c.names[s] = s
	}
	return s
}

// grant gives the peer back n bytes of the connection's window, when enough have come together. Said: there is something
// to write. mu is held.
func (c *Conn) grant(n int64) (said bool) {
	if c.ungranted += n; c.ungranted < serverWindow/4 || c.err != nil {
		return false
	}
	_ = c.fr.WriteWindowUpdate(0, uint32(c.ungranted)) //nolint:gosec // at most a window. Into memory
	c.window += c.ungranted
	c.ungranted = 0
	return true
}

// reset ends a stream for a reason of ours; the peer hears of it before the next read.
func (c *Conn) reset(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	defer c.unlock()
	c.resetLocked(id, code)
}

// resetLocked is reset where mu is held. Nothing is written yet.
func (c *Conn) resetLocked(id uint32, code http2.ErrCode) {
	if c.err != nil {
		return
	}
	_ = c.fr.WriteRSTStream(id, code) // into memory
	if s := c.streams[id]; s != nil {
		c.finish(s, &ResetError{code, true})
	} else {
		c.recent.add(id, true)
	}
}
