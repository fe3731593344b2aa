package h2

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What becomes of streams and connections.
var (
	// ErrRefused: the peer says that it has not acted on the request: it may be sent again, whatever it asks for.
	ErrRefused = errors.New("the peer refused the stream unprocessed")
	// ErrClosed: the connection takes no more streams. Nothing was sent.
	ErrClosed = errors.New("the connection takes no more streams")
	// ErrStopped: the stream's owner has called Stop.
	ErrStopped = errors.New("the stream was stopped")

	errIdle  = errors.New("idle for too long")
	errEnded = errors.New("the connection has ended")
)

// ResetError is the end of a stream by the peer, or by us where the peer broke the protocol.
type ResetError struct {
	Code http2.ErrCode
	Ours bool
}

// Error implements error.
func (e *ResetError) Error() string { return fmt.Sprintf("stream reset: %v", e.Code) }

// Options are what a connection needs to know.
type Options struct {
	// Serve handles a request, in a goroutine of its own; it must call the stream's Done at its end. nil: we are the
	// client.
	Serve func(*Stream)
	// Idle is how long a client's connection may be without requests; and without a frame, where it has some.
	Idle time.Duration
	// Ahead has been read from the connection already.
	Ahead []byte
}

// Conn is a connection. Its methods are safe for concurrent use, but Serve is called once.
type Conn struct {
	nc      net.Conn
	o       Options
	in      *bufio.Reader
	fr      *http2.Framer // reading: Serve's; writing: under mu
	dec     *hpack.Decoder
	serving sync.WaitGroup

	// Of the goroutine that reads.
	block  block
	fresh  []*Stream // to be started once all that has arrived is read: most have their whole body then
	credit credit
	began  time.Time

	mu                sync.Mutex
	streams           map[uint32]*Stream
	owned             int    // streams whose owner has not finished
	lastIn            uint32 // highest stream of the peer
	nextOut           uint32 // next stream of ours
	recent            ring   // streams that have ended
	err               error  // the connection has failed, or its time is over
	away              bool   // the peer takes no more streams, or none is left to number
	draining, drained bool
	drainBy           time.Time
	greeted           bool      // the peer's SETTINGS came
	changed           time.Time // when the last stream began or ended
	heard             time.Time // when the last frame came
	earned            int64     // for credit

	out, spare  []byte // to be written
	writing     bool
	written     sync.Cond // of mu: something was, or writing is over
	writeBy     time.Time // the writer's deadline
	blocked     int       // streams that wait to write
	enc         *hpack.Encoder
	encoded     bytes.Buffer
	names       map[string]string // names of fields, so that most need no copy
	sendWindow  int64
	initWindow  int64 // of the peer's streams
	peerStreams uint32
	window      int64 // that the peer has left
	ungranted   int64 // taken from it, and not granted again
	broken      bool  // nothing more can be written
	orphans     []func()
}

// NewConn makes a connection and, where we are the client, says so to the peer. Call Serve next.
func NewConn(nc net.Conn, o Options) *Conn {
	now := time.Now()
	c := &Conn{
		nc: nc, o: o, began: now, changed: now, heard: now, credit: credit{left: creditStart, at: now}, streams: map[uint32]*Stream{}, nextOut: 1,
		names: map[string]string{}, sendWindow: 64<<10 - 1, initWindow: 64<<10 - 1, peerStreams: MaxStreams,
	}
	c.written.L = &c.mu
	c.in = bufio.NewReaderSize((*feed)(c), 4<<10)
	c.fr = http2.NewFramer((*sink)(c), c.in)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.dec = hpack.NewDecoder(maxTable, func(f hpack.HeaderField) { c.block.emit(f) })
	c.dec.SetMaxStringLength(maxBlock)
	c.enc = hpack.NewEncoder(&c.encoded)
	c.enc.SetMaxDynamicTableSizeLimit(maxTable)
	settings := []http2.Setting{{ID: http2.SettingMaxHeaderListSize, Val: MaxList}}
	c.window = serverWindow
	if o.Serve == nil {
		c.out = append(c.out, http2.ClientPreface...)
		settings = append(settings, http2.Setting{ID: http2.SettingEnablePush, Val: 0})
		c.window = clientWindow
	} else {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: MaxStreams})
	}
	_ = c.fr.WriteSettings(settings...)                        // into memory
	_ = c.fr.WriteWindowUpdate(0, uint32(c.window)-(64<<10-1)) //nolint:gosec // a constant. The same
	return c
}

// feed is what the frames are read from. It takes care of the time that a peer may be silent, so that a deadline in the
// middle of a frame loses nothing.
type feed Conn

func (f *feed) Read(b []byte) (int, error) {
	c := (*Conn)(f)
	if n := copy(b, c.o.Ahead); n > 0 {
		c.o.Ahead = c.o.Ahead[n:]
		return n, nil
	}
	// All that has arrived is read.
	c.startFresh()
	c.mu.Lock()
	c.flushAside()
	for c.writing && len(c.out) > maxUnsaid && !c.broken {
		c.written.Wait()
	}
	c.unlock()
	for {
		n, err := c.nc.Read(b)
		var late net.Error
		if n > 0 || !errors.As(err, &late) || !late.Timeout() {
			return n, err
		}
		if err := c.wait(time.Now()); err != nil {
			return 0, err
		}
	}
}

// wait sets how long the peer may go on saying nothing. An error: its time is over.
func (c *Conn) wait(now time.Time) error {
	c.mu.Lock()
	defer c.unlock()
	if c.err != nil {
		return c.err
	}
	var by time.Time
	switch {
	case !c.block.since.IsZero():
		by = c.block.since.Add(headTime)
	case !c.greeted:
		by = c.began.Add(headTime)
	case c.draining && !c.drained:
		if by = c.drainBy; !now.Before(by) {
			if c.drain(); c.err != nil {
				return c.err
			}
			by = now.Add(c.o.Idle)
		}
	case c.o.Serve == nil:
		return c.nc.SetReadDeadline(time.Time{}) // the pool closes what is idle, requests have deadlines
	case c.owned > 0:
		by = now.Add(c.o.Idle)
	default:
		by = c.changed.Add(c.o.Idle)
	}
	if !now.Before(by) {
		return errIdle
	}
	return c.nc.SetReadDeadline(by)
}

// Serve reads until the connection ends, and returns when all owners of a client's streams have finished and what they
// said is out. The caller closes the connection.
func (c *Conn) Serve() error {
	err := c.nc.SetReadDeadline(c.began.Add(headTime))
	if err == nil && c.o.Serve != nil {
		err = c.preface()
	}
	for err == nil {
		err = c.step()
	}
	c.fail(err)
	c.serving.Wait()
	c.mu.Lock()
	for c.writing { // whoever it is, such as the caller of Drain, writes for all
		c.written.Wait()
	}
	c.unlock()
	return err
}

func (c *Conn) preface() error {
	var got [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(c.in, got[:]); err != nil {
		return err
	}
	if string(got[:]) != http2.ClientPreface {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil
}

// step handles one frame. A fault of one stream ends that stream; what it returns ends the connection.
func (c *Conn) step() error {
	f, err := c.fr.ReadFrame()
	if err == nil {
		err = c.receive(f)
	}
	var stream http2.StreamError
	if errors.As(err, &stream) {
		err = c.charge(priceFrame)
		c.reset(stream.StreamID, stream.Code)
	}
	return err
}

// startFresh hands new requests to their owners.
func (c *Conn) startFresh() {
	for i, s := range c.fresh {
		c.fresh[i] = nil
		c.serving.Go(func() { c.o.Serve(s) })
	}
	c.fresh = c.fresh[:0]
}

// fail ends the connection and all its streams.
func (c *Conn) fail(err error) {
	c.startFresh()
	c.mu.Lock()
	defer c.unlock()
	if c.err == nil {
		code := http2.ErrCodeNo
		var broken http2.ConnectionError
		switch {
		case errors.As(err, &broken):
			code = http2.ErrCode(broken)
		case errors.Is(err, http2.ErrFrameTooLarge):
			code = http2.ErrCodeFrameSize
		}
		c.goAway(c.lastIn, code)
		c.flushAside()
	}
	c.die(err)
}

// die fails all streams and ends Serve. mu is held.
func (c *Conn) die(err error) {
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("%w: %w", errEnded, err)
	for _, s := range c.streams {
		c.finish(s, c.err)
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))               // wakes up the reader
	_ = c.nc.SetWriteDeadline(time.Now().Add(farewellTime)) // of what is still to be said
}

func (c *Conn) goAway(last uint32, code http2.ErrCode) {
	_ = c.fr.WriteGoAway(last, code, nil) // into memory
}

// unlock releases mu, and then tells the owners of streams that were cut off.
func (c *Conn) unlock() {
	orphans := c.orphans
	c.orphans = nil
	c.mu.Unlock()
	for _, tell := range orphans {
		tell()
	}
}

// Drain asks the peer to send no more requests, and ends the connection when those under way have ended.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.unlock()
	if c.draining || c.err != nil {
		return
	}
	c.draining, c.drainBy = true, time.Now().Add(drainTime)
	c.goAway(1<<31-1, http2.ErrCodeNo)
	_ = c.fr.WritePing(false, drainPing) // into memory. Its answer tells that the peer knows
	c.flush()
	_ = c.nc.SetReadDeadline(c.drainBy) // a connection that is broken ends anyway
}

var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n'}

// drain ends the time in which requests are still taken. mu is held.
func (c *Conn) drain() {
	c.drained = true
	c.goAway(c.lastIn, http2.ErrCodeNo)
	c.flushAside()
	c.endDrained()
}

// endDrained ends a connection that takes no more streams and has none. mu is held.
func (c *Conn) endDrained() {
	if c.owned == 0 && (c.drained || c.o.Serve == nil && c.away) {
		c.die(io.EOF)
	}
}

// Close ends the connection at once.
func (c *Conn) Close() {
	c.mu.Lock()
	c.die(net.ErrClosed)
	c.broken = true
	c.unlock()
	_ = c.nc.Close() // whatever was left to say
}

// Load is how many streams are open, and whether the connection takes another one.
func (c *Conn) Load() (streams int, room bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.streams)
	return n, c.err == nil && !c.away && n < MaxStreams && n < int(c.peerStreams)
}

// IdleSince is when the last stream ended; ok is false while there are any.
func (c *Conn) IdleSince() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed, c.owned == 0
}

// Suspect retires a client's connection that was silent since a request began that got no answer: the peer may be gone
// without a word. Requests under way keep it.
func (c *Conn) Suspect(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard.Before(since) {
		c.away = true
	}
}

// Retire ends a client's connection when the requests under way have ended.
func (c *Conn) Retire() {
	c.mu.Lock()
	defer c.unlock()
	c.away = true
	c.endDrained()
}

// ring remembers the last streams that ended, and whether we cut them off.
type ring struct {
	ids  [256]uint32
	ours [256]bool
	next int
}

func (r *ring) add(id uint32, ours bool) {
	r.ids[r.next], r.ours[r.next] = id, ours
	r.next = (r.next + 1) % len(r.ids)
}

// find tells whether id is known to have ended, and whether the peer may not know yet.
func (r *ring) find(id uint32) (known, ours bool) {
	for i := range r.ids {
		if r.ids[i] == id {
			known, ours = true, ours || r.ours[i]
		}
	}
	return known, ours
}
