package feed

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sterlingrun/sterling/wire"
)

// Form is how a stream's events are encoded.
type Form int

// The forms of SubscribeResponse.
const (
	MessageForm Form = iota // every event a FeedEvent
	PackedForm              // transfers without an attachment in TransferRuns
)

const (
	// A response is full with fullBytes; a chunk that is added to it has up to chunkBytes. Together they are batchBytes.
	fullBytes  = batchBytes / 4
	chunkBytes = batchBytes - fullBytes
	// sharedBytes bounds the chunks that are kept for several streams.
	sharedBytes = 32 << 20
	// Up to spanStreams, a response may share the memory of its block, which then stays until the response is sent. With
	// more of them that would be too much memory for consumers that take nothing.
	spanStreams = 16
	// chunkCost is what keeping a chunk takes beside its bytes.
	chunkCost = 128
)

// Stream reads the feed like a Subscription, as SubscribeResponses in protobuf's wire format. Streams with equal filters
// and of one form share what is encoded. One goroutine uses it.
type Stream struct {
	*Subscription
	group *group
	leave sync.Once
}

// WireBatch is one SubscribeResponse.
type WireBatch struct {
	// Wire has the response when its parts are put behind each other. Others may send the same parts: they never change.
	Wire   [][]byte
	Events int // how many are in it
}

// Stream begins to read; its errors are those of Subscribe. The stream must be closed.
func (f *Feed) Stream(ctx context.Context, from Start, filter Filter, form Form) (*Stream, error) {
	s, err := f.Subscribe(ctx, from, filter)
	if err != nil {
		return nil, err
	}
	g := f.groups.join(&filter, form, s.matcher)
	s.matcher = g.matcher
	return &Stream{Subscription: s, group: g}, nil
}

// Close ends the stream.
func (s *Stream) Close() {
	s.leave.Do(func() { s.feed.groups.leave(s.group) })
	s.Subscription.Close()
}

// NextWire returns the next events that match, as [Subscription.Next] does.
func (s *Stream) NextWire(ctx context.Context) (WireBatch, error) {
	r := chunkReader{s: s}
	if err := s.read(ctx, &r); err != nil {
		return WireBatch{}, err
	}
	end, at := wire.Begin(nil, 2)
	end = wire.Finish(appendPosition(end, s.at), at)
	end = wire.Varint(end, 3, s.time)
	end = wire.Varint(end, 4, s.feed.Head())
	return WireBatch{append(r.wire, end), r.events}, nil
}

// chunkReader makes a response of chunks.
type chunkReader struct {
	s      *Stream
	wire   [][]byte
	bytes  int
	events int
}

func (r *chunkReader) empty() bool { return r.events == 0 }

func (r *chunkReader) page(ctx context.Context, p *page, from int) (full bool, err error) {
	c, err := r.s.feed.chunk(ctx, r.s.group, p, from)
	if err != nil {
		return false, err
	}
	if c.events > 0 {
		r.wire = append(r.wire, c.wire...)
		r.bytes += c.bytes
		r.events += c.events
	}
	r.s.reach(p, c.end)
	return r.bytes >= fullBytes, nil
}

// chunk is a run of events of one block, encoded.
type chunk struct {
	wire   [][]byte // parts
	bytes  int
	events int
	end    Position // everything up to here is in it, or does not match
}

// chunk returns what matches on a page from an index on, up to about chunkBytes of it.
func (f *Feed) chunk(ctx context.Context, g *group, p *page, from int) (*chunk, error) {
	if g.members.Load() < 2 {
		return f.encode(ctx, g, p, from)
	}
	slot := p.shared.slot(chunkKey{g, from}, &f.groups.bytes)
	if slot == nil {
		return f.encode(ctx, g, p, from)
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.chunk == nil {
		c, err := f.encode(ctx, g, p, from)
		if err != nil {
			return nil, err
		}
		slot.chunk = c
		p.shared.charge(int64(c.bytes))
	}
	return slot.chunk, nil
}

func (f *Feed) encode(ctx context.Context, g *group, p *page, from int) (*chunk, error) {
	h := &p.block.Header
	c := &chunk{end: AfterBlock(h.Cell, h.Seq)}
	pass, err := g.matcher.passes(ctx, f, p)
	if err != nil || pass {
		return c, err
	}
	e := f.groups.encoder()
	defer f.groups.give(e)
	e.begin(f, g.form, p.block)
	whole, err := f.walk(ctx, p, from, g.matcher, e)
	if err != nil {
		return nil, fmt.Errorf("encode block %d: %w", h.Seq, err)
	}
	c.wire, c.bytes = e.finish()
	c.events = e.events
	if !whole {
		c.end = e.last
	}
	return c, nil
}

// group is the streams that get the same bytes.
type group struct {
	key     groupKey
	matcher *matcher
	form    Form
	members atomic.Int32
}

type groupKey struct {
	filter string
	form   Form
}

// groups are those of all open streams, and what they share.
type groups struct {
	mu    sync.Mutex
	open  map[groupKey]*group
	bytes atomic.Int64 // of the chunks that are kept
	pool  sync.Pool    // of *encoder
}

// join returns the group of a filter and a form.
func (s *groups) join(filter *Filter, form Form, m *matcher) *group {
	key := groupKey{filter.key(), form}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[groupKey]*group{}
	}
	g := s.open[key]
	if g == nil {
		g = &group{key: key, matcher: m, form: form}
		s.open[key] = g
	}
	g.members.Add(1)
	return g
}

func (s *groups) leave(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.members.Add(-1) == 0 {
		delete(s.open, g.key)
	}
}

func (s *groups) encoder() *encoder {
	if e, ok := s.pool.Get().(*encoder); ok {
		return e
	}
	return &encoder{}
}

func (s *groups) give(e *encoder) {
	if cap(e.wire) <= 2*batchBytes { // a single large event is rare
		s.pool.Put(e)
	}
}

// sharedChunks are those of one page that are kept while the page is.
type sharedChunks struct {
	mu      sync.Mutex
	slots   map[chunkKey]*chunkSlot
	total   *atomic.Int64 // of all pages
	bytes   int64
	dropped bool
}

type chunkKey struct {
	group *group
	from  int
}

// chunkSlot is made by the first who wants it.
type chunkSlot struct {
	mu    sync.Mutex // held while the chunk is made
	chunk *chunk
}

// slot returns the place of a chunk; nil where none can be kept.
func (s *sharedChunks) slot(key chunkKey, total *atomic.Int64) *chunkSlot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := s.slots[key]; slot != nil {
		return slot
	}
	if s.dropped || total.Load() >= sharedBytes {
		return nil
	}
	if s.slots == nil {
		s.slots = map[chunkKey]*chunkSlot{}
	}
	slot := &chunkSlot{}
	s.slots[key], s.total = slot, total
	s.bytes += chunkCost
	total.Add(chunkCost)
	return slot
}

// charge counts the bytes of a chunk that was made.
func (s *sharedChunks) charge(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		s.bytes += n
		s.total.Add(n)
	}
}

// drop forgets the chunks: the page itself is forgotten.
func (s *sharedChunks) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total != nil {
		s.total.Add(-s.bytes)
	}
	s.slots, s.bytes, s.dropped = nil, 0, true
}
