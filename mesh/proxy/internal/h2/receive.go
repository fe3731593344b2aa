package h2

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/net/http2"
)

// receive handles a frame. An http2.StreamError ends its stream, any other error the connection.
func (c *Conn) receive(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return c.headers(f)
	case *http2.ContinuationFrame:
		return c.piece(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		return c.data(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.RSTStreamFrame:
		return c.peerReset(f)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.GoAwayFrame:
		return c.peerAway(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // switched off
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
	}
	return c.charge(priceFrame) // RFC 9113, 5.5: what is unknown is ignored
}

// charge makes the peer pay for what it has us do.
func (c *Conn) charge(price int64) error {
	now := time.Now()
	c.mu.Lock()
	c.credit.earn(c.earned)
	c.earned, c.heard = 0, now
	c.mu.Unlock()
	if !c.credit.pay(price, now) {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}

// headers begins a header block.
func (c *Conn) headers(f *http2.HeadersFrame) error {
	now := time.Now()
	c.mu.Lock()
	foreign := f.StreamID%2 == 0 || c.o.Serve == nil && c.idle(f.StreamID)
	c.mu.Unlock()
	if foreign {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.block.begin(f.StreamID, f.StreamEnded(), now)
	c.block.selfParent = f.HasPriority() && f.Priority.StreamDep == f.StreamID
	if !f.HeadersEnded() {
		_ = c.nc.SetReadDeadline(now.Add(headTime)) // an error comes with the next read
	}
	return c.piece(f.HeaderBlockFragment(), f.HeadersEnded())
}

// piece decodes a part of a header block.
func (c *Conn) piece(b []byte, end bool) error {
	k := &c.block
	k.wire += len(b)
	if k.pieces++; k.pieces > maxPieces || k.wire > maxBlock {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if _, err := c.dec.Write(b); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !end {
		return nil
	}
	if c.dec.Close() != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	k.since = time.Time{}
	k.finish()
	if c.o.Serve != nil {
		return c.request(k)
	}
	return c.answer(k)
}

// request takes a header block of a client: a new request, or trailers.
func (c *Conn) request(k *block) error {
	id, now := k.stream, time.Now()
	c.mu.Lock()
	defer c.unlock()
	c.heard = now
	if s := c.streams[id]; s != nil {
		return c.takeTrailers(s, k)
	}
	if id <= c.lastIn {
		switch known, ours := c.recent.find(id); {
		case ours:
			return nil // on its way before the client knew
		case known:
			return http2.ConnectionError(http2.ErrCodeStreamClosed)
		}
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.lastIn = id
	switch {
	case c.err != nil || c.drained:
		return nil // our GOAWAY says that it was not taken
	case !k.wellFormed(true, false):
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	case len(c.streams) >= MaxStreams || c.owned >= MaxStreams+slackOfDone:
		if !c.credit.pay(priceReset, now) {
			return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
		}
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeRefusedStream}
	}
	s := c.add(id, now)
	s.Head, s.ended, s.want = k.head, k.head.end, k.head.length
	c.fresh = append(c.fresh, s)
	if s.ended && s.want > 0 {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	return nil
}

// answer takes a header block of an endpoint: an answer's, or trailers.
func (c *Conn) answer(k *block) error {
	c.mu.Lock()
	defer c.unlock()
	c.heard = time.Now()
	s := c.streams[k.stream]
	bad := http2.StreamError{StreamID: k.stream, Code: http2.ErrCodeProtocol}
	switch {
	case s == nil:
		return nil // cut off before the endpoint knew
	case s.answered:
		return c.takeTrailers(s, k)
	case s.ended:
		return http2.StreamError{StreamID: k.stream, Code: http2.ErrCodeStreamClosed}
	case !k.wellFormed(false, false) || k.head.Status < 200 && (k.head.end || len(s.heads) >= maxInterim):
		return bad
	}
	s.heads = append(s.heads, k.head)
	signal(s.readable)
	if k.head.Status < 200 {
		return nil
	}
	s.answered = true
	s.noBody = s.noBody || k.head.Status == 204 || k.head.Status == 304
	if s.want = k.head.length; s.noBody {
		s.want = 0
	}
	if k.head.end {
		if s.want > 0 {
			return bad
		}
		c.peerEnd(s)
	}
	return nil
}

func (c *Conn) takeTrailers(s *Stream, k *block) error {
	switch {
	case s.ended:
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeStreamClosed}
	case !k.wellFormed(c.o.Serve != nil, true) || k.head.TooLarge || s.want >= 0 && s.got != s.want:
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeProtocol}
	}
	s.trailers = k.head.Fields
	c.peerEnd(s)
	return nil
}

// peerEnd notes that the peer has sent all of a stream. mu is held.
func (c *Conn) peerEnd(s *Stream) {
	s.ended = true
	signal(s.readable)
	if s.sentAll {
		c.finish(s, nil)
	}
}

// idle tells whether a stream has never been opened. mu is held.
func (c *Conn) idle(id uint32) bool {
	if c.o.Serve != nil {
		return id > c.lastIn || id%2 == 0
	}
	return id >= c.nextOut || id%2 == 0
}

func (c *Conn) data(f *http2.DataFrame) error {
	n := int64(f.Length) // padding counts
	if len(f.Data()) == 0 && !f.StreamEnded() {
		if err := c.charge(priceFrame); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.unlock()
	c.heard = time.Now()
	if c.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if c.window -= n; c.window < 0 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	s := c.streams[f.StreamID]
	if s == nil || s.ended {
		c.grant(n)
		if _, ours := c.recent.find(f.StreamID); s == nil && (ours || c.drained) {
			return nil // on its way before the peer knew
		}
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	}
	if s.window -= n; s.window < 0 {
		return http2.ConnectionError(http2.ErrCodeFlowControl) // its sum can't be trusted any more
	}
	s.got += int64(len(f.Data()))
	c.earned += n / bytesEarn
	if s.want >= 0 && (s.got > s.want || f.StreamEnded() && s.got != s.want) || c.o.Serve == nil && !s.answered {
		c.grant(n)
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeProtocol}
	}
	s.in = append(s.in, f.Data()...)
	if f.StreamEnded() {
		c.peerEnd(s)
	} else {
		signal(s.readable)
	}
	if padding := n - int64(len(f.Data())); padding > 0 {
		s.release(padding)
	}
	return nil
}

func (c *Conn) settings(f *http2.SettingsFrame) error {
	if err := c.charge(priceFrame); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.unlock()
	c.greeted = true
	if f.IsAck() {
		return nil
	}
	if f.HasDuplicates() && f.NumSettings() > 32 {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	err := f.ForeachSetting(func(v http2.Setting) error {
		if err := v.Valid(); err != nil {
			return err
		}
		switch v.ID {
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSize(min(v.Val, maxTable))
		case http2.SettingMaxConcurrentStreams:
			c.peerStreams = v.Val
		case http2.SettingInitialWindowSize:
			delta := int64(v.Val) - c.initWindow
			c.initWindow = int64(v.Val)
			for _, s := range c.streams {
				if s.sendWindow += delta; s.sendWindow > math.MaxInt32 {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
			c.wake()
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = c.fr.WriteSettingsAck() // into memory; it leaves before the next read
	return nil
}

func (c *Conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if err := c.charge(priceFrame); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.unlock()
	more := int64(f.Increment)
	if f.StreamID == 0 {
		if c.sendWindow += more; c.sendWindow > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.wake()
		return nil
	}
	if c.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if s := c.streams[f.StreamID]; s != nil {
		if s.sendWindow += more; s.sendWindow > math.MaxInt32 {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		}
		signal(s.sendable)
	}
	return nil
}

func (c *Conn) peerReset(f *http2.RSTStreamFrame) error {
	price := int64(priceFrame)
	c.mu.Lock()
	if c.idle(f.StreamID) {
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if s := c.streams[f.StreamID]; s != nil {
		if c.o.Serve != nil && time.Since(s.Opened) < rapid {
			price = priceReset
		}
		var err error = &ResetError{Code: f.ErrCode}
		if f.ErrCode == http2.ErrCodeRefusedStream && !s.answered {
			err = ErrRefused
		}
		if f.ErrCode == http2.ErrCodeNo && s.ended {
			err = fmt.Errorf("%w: %w", ErrStopped, err) // the answer is whole: the rest of the request is not wanted
		}
		c.finish(s, err)
	}
	c.unlock()
	return c.charge(price)
}

func (c *Conn) ping(f *http2.PingFrame) error {
	if err := c.charge(priceFrame); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.unlock()
	switch {
	case !f.IsAck():
		_ = c.fr.WritePing(true, f.Data) // into memory; it leaves before the next read
	case f.Data == drainPing && c.draining && !c.drained:
		c.drain()
	}
	return nil
}

// peerAway ends what the peer says it will not act on. Streams below go on.
func (c *Conn) peerAway(f *http2.GoAwayFrame) error {
	if err := c.charge(priceFrame); err != nil {
		return err
	}
	if c.o.Serve != nil {
		return nil // a client that is about to leave; we push nothing
	}
	c.mu.Lock()
	defer c.unlock()
	c.away = true
	for id, s := range c.streams {
		if id > f.LastStreamID {
			c.finish(s, ErrRefused)
		}
	}
	c.endDrained()
	return nil
}

// Ended tells whether an error of Serve is the ordinary end of a connection.
func Ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, errIdle) }
