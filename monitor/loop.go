package monitor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sterlingrun/sterling/watch"
)

const (
	// A group takes up to groupBlocks bytes of blocks and groupObservations observations: together about 50 ms of work.
	groupBlocks       = 4 << 20
	groupObservations = 4 * MaxObservations
	// syncPause is how often what nobody waits for is made durable.
	syncPause = time.Second
	// viewPause is how old what readers see may be.
	viewPause = 100 * time.Millisecond
)

// group is what is stored at once: inputs, and what came of them.
type group struct {
	number  uint64
	log     []byte
	batch   *pebble.Batch
	sync    bool // somebody waits for it, or it must not be lost
	answers []func(error)
	freezes []wanted
	told    []told
	view    *view         // nil: the old one is new enough
	durable chan struct{} // closed when it is durable; nil: nobody asks
}

// told is a change of a break, for alerts and counts.
type told struct {
	b        *watch.Break
	from, to watch.BreakState // from: 0 where it is new
	freeze   *watch.Freeze
	at       uint64 // ns
}

func (s *session) newGroup() *group {
	return &group{number: s.meta.Group + 1, log: []byte{groupVersion}, batch: s.store.db.NewBatch()}
}

// loop owns the engine: it takes what is there, makes a group of it and hands it to the committer, while the group
// before is still being written.
func (s *session) loop(ctx context.Context) error {
	for {
		g := s.newGroup()
		s.group = g
		if err := s.fill(ctx, g); err != nil {
			return err
		}
		if len(g.log) == 1 && len(g.answers) == 0 {
			s.group = nil
			if err := g.batch.Close(); err != nil {
				return err
			}
			select {
			case <-s.m.wake:
				continue
			case <-s.failed:
				return s.err()
			case <-ctx.Done():
				return nil
			}
		}
		if err := s.handOver(g); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// fill takes what is there.
func (s *session) fill(ctx context.Context, g *group) error {
	s.past.forget(s.committed.Load())
	s.records.forget(s.committed.Load())
	s.keepTime(g)
	if err := s.takeBlocks(ctx, g); err != nil {
		return err
	}
	for n := 0; n < groupObservations; {
		x := s.m.inbox.takeBatch()
		if x == nil {
			break
		}
		n += 1 + len(x.list)
		s.keepTime(g) // after it came: what was true when it was told is not ahead, however long the blocks took
		s.takeBatch(g, x)
	}
	controls, freezes := s.m.inbox.takeControls()
	for _, x := range controls {
		g.answers = append(g.answers, x.reply)
	}
	for _, x := range controls {
		s.takeControl(g, x)
	}
	for _, v := range freezes {
		s.takeFrozen(g, v)
	}
	s.takeMoment(g)
	return s.err()
}

// handOver seals a group and gives it to the committer.
func (s *session) handOver(g *group) error {
	if err := s.seal(g); err != nil {
		return err
	}
	if s.checkpointDue() {
		g.sync, g.durable = true, make(chan struct{})
		s.checkpoint.busy.Store(true)
	}
	select {
	case s.commits <- g:
		s.group = nil
	case <-s.failed:
		return s.err()
	}
	if g.durable != nil {
		s.save(g)
	}
	return nil
}

// seal completes a group's batch.
func (s *session) seal(g *group) error {
	if err := s.err(); err != nil {
		return err
	}
	s.meta.Group = g.number
	mono := s.mono()
	if mono-s.synced >= uint64(syncPause) {
		g.sync = true
	}
	if g.sync {
		s.synced = mono
	}
	if g.sync || len(g.told) > 0 || mono-s.viewed >= uint64(viewPause) {
		s.viewed = mono
		g.view = s.makeView()
	}
	if through := s.checkpoint.oldest.Load(); through > s.checkpoint.removed {
		if err := g.batch.DeleteRange(numberKey(tagGroup, 0), numberKey(tagGroup, through+1), nil); err != nil {
			return err
		}
		s.checkpoint.removed = through
	}
	if err := g.batch.Set(numberKey(tagGroup, g.number), g.log, nil); err != nil {
		return err
	}
	return g.batch.Set([]byte{tagMeta}, s.meta.encode(), nil)
}

func (m *meta) encode() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("monitor: encode %+v: %v", *m, err)) // it has numbers only
	}
	return b
}

func (s *session) putMeta() error {
	return s.store.db.Set([]byte{tagMeta}, s.meta.encode(), pebble.Sync)
}

// takeBlocks gives the journal's next blocks to the engine.
func (s *session) takeBlocks(ctx context.Context, g *group) error {
	first, size := s.meta.Seq+1, 0
	for size < groupBlocks {
		next := s.meta.Seq + 1
		if next > s.m.opts.Ledger.Head() || next > s.hold.Load() {
			break
		}
		raw := s.m.tail.take(next)
		if raw != nil {
			s.takeBlock(next, raw)
			s.m.tail.giveBack(raw)
		} else {
			var err error
			if raw, err = s.m.opts.Log.Read(ctx, next, s.block); err != nil {
				if ctx.Err() != nil {
					break // the end: what was taken is stored
				}
				return fmt.Errorf("read block %d: %w", next, err)
			}
			s.block = raw
			s.takeBlock(next, raw)
		}
		size += len(raw)
		s.checkpoint.work += uint64(len(raw) / 128)
		s.drain(g)
	}
	if s.meta.Seq < first {
		return nil
	}
	s.taken.Store(s.meta.Seq)
	g.log = appendBlocks(g.log, first, s.meta.Seq)
	return nil
}

// timeOf reads a block's time where its header has it; false for what is no block.
func timeOf(raw []byte) (uint64, bool) {
	const at, latest = 56, 1<<63 - 1
	if len(raw) < 256 || string(raw[:8]) != "STERLBLK" {
		return 0, false
	}
	t := binary.LittleEndian.Uint64(raw[at:])
	return t, t <= latest
}

// takeBatch gives to the engine what is new of a batch, and what contradicts what it was told.
func (s *session) takeBatch(g *group, x *batch) {
	g.answers = append(g.answers, x.reply)
	g.sync = true // what is here again may stand in a group that is not durable yet
	var src *source
	src, x.fault = s.judged(x)
	if src == nil {
		return
	}
	defer func() { x.through = src.through }()
	if x.fault != nil {
		return
	}
	s.encoded = s.encoded[:0]
	kept := x.list[:0]
	for i := range x.list {
		o := &x.list[i]
		o.Seq = x.first + uint64(i)
		before := len(s.encoded)
		var content int
		s.encoded, content = appendObservation(s.encoded, o)
		hash := contentHash(s.encoded[content:])
		switch src.judge(o.Seq, hash) {
		case leaveIt, tooFar:
			s.encoded = s.encoded[:before]
			continue
		case differs:
			if x.fault == nil {
				x.fault = fmt.Errorf("%w: number %d of source %s", watch.ErrRepeat, o.Seq, x.source)
			}
		case takeIt:
			src.took(o.Seq, hash)
		}
		kept = append(kept, *o)
	}
	if len(kept) > 0 {
		g.log = appendObserve(g.log, x.source, len(kept), s.encoded)
		s.engine.Observe(x.source, kept)
		s.checkpoint.work += uint64(len(kept))
		s.drain(g)
	}
}

// judged returns the source of a batch, or why nothing of it can be taken.
func (s *session) judged(x *batch) (*source, error) {
	src := s.sources[x.source]
	if src == nil {
		if err := s.admit(x); err != nil || len(x.list) == 0 {
			return nil, err
		}
		src = s.source(x.source)
	}
	if last := x.first + uint64(len(x.list)) - 1; len(x.list) > 0 && last > src.through+window {
		return src, fmt.Errorf("%w: of source %s everything up to %d was taken; send %d next", watch.ErrAhead, x.source, src.through, src.through+1)
	}
	return src, nil
}

// admit refuses a source that no flow names, unless all that it tells is balances, which need no flow.
func (s *session) admit(x *batch) error {
	known := s.engine.Sources()
	if slices.ContainsFunc(known, func(k watch.SourceState) bool { return k.Name == x.source }) || len(x.list) == 0 {
		return nil
	}
	if slices.ContainsFunc(x.list, func(o watch.Observation) bool { return o.Kind != watch.Balance && o.Kind != watch.Heartbeat }) {
		return fmt.Errorf("%w: %s", watch.ErrSource, x.source)
	}
	if len(known) >= maxSources {
		return fmt.Errorf("%w: %s: there are %d sources already", watch.ErrSource, x.source, maxSources)
	}
	return nil
}

func (s *session) takeControl(g *group, x *control) {
	g.sync = true
	if d := x.decision; d != nil {
		if x.fault = s.engine.Decide(*d); x.fault == nil {
			g.log = appendDecide(g.log, d)
			s.drain(g)
		}
	}
	if p := x.proposal; p != nil {
		x.fault = s.records.propose(g, p, s.m.opts.Clock.Wall())
	}
}

func (s *session) takeFrozen(g *group, v verdictOfFreeze) {
	g.sync = true
	g.log = appendFrozen(g.log, v.id, v.failure)
	s.engine.Frozen(v.id, v.failure)
	s.drain(g)
	if err := s.records.frozen(g, v); err != nil {
		s.fail(err)
	}
}

// takeMoment tells the engine the time, and compares balances.
func (s *session) takeMoment(g *group) {
	if t := s.m.inbox.takeMoment(); t != nil {
		s.pending, s.believed = t, *t
	}
	t := s.pending
	switch {
	case t != nil && s.meta.Seq >= t.head:
		s.pending = nil
		if t.compare {
			s.takeComparison(g, t)
		}
		s.tick(g, t.head, t.now-1)
	case s.mono()-s.ticked >= uint64(tickPause) && s.blockTime > s.horizon:
		// Behind the journal: its next block is later than this one. A time that lies ahead is not believed.
		s.tick(g, s.meta.Seq, min(s.blockTime, s.time()-1))
	}
}

func (s *session) tick(g *group, head, horizon uint64) {
	s.head, s.horizon, s.ticked = max(s.head, head), max(s.horizon, horizon), s.mono()
	now := s.time()
	g.log = appendTick(g.log, now, s.head, s.horizon)
	s.engine.Tick(now, s.head, s.horizon)
	s.drain(g)
}

// time is what the ledger believed at the last moment, and what has passed since: while a clock is off, the watch goes
// wrong no more than the ledger does.
func (s *session) time() uint64 {
	if s.believed.now == 0 {
		return s.m.opts.Clock.Wall()
	}
	return s.believed.now + s.mono() - s.believed.mono
}

// lateTick is how old the engine's time may be when it takes something: it judges a source's clock by it, and says by
// it when it saw a break first.
const lateTick = time.Second

// keepTime tells the engine the time, and nothing else, if it was not told for long: at a start, or after much work.
func (s *session) keepTime(g *group) {
	if s.ticked == 0 || time.Duration(s.mono()-s.ticked) > lateTick { //nolint:gosec // small
		s.tick(g, s.head, s.horizon)
	}
}

func (s *session) takeComparison(g *group, t *moment) {
	if s.meta.Seq == t.head {
		if list := s.compare(t.accounts); len(list) > 0 {
			g.log = appendCompare(g.log, t.head, list)
			s.engine.Compare(t.head, list)
			s.drain(g)
		}
	}
	s.hold.Store(noHold)
	s.compared <- struct{}{} // the sender of moments waits for it
	s.m.poke()
}

// drain takes the engine's effects, and keeps what is to be kept.
func (s *session) drain(g *group) {
	s.effects = s.engine.Effects(s.effects[:0])
	for i := range s.effects {
		e := &s.effects[i]
		number := e.Number + s.meta.Shift
		if number <= s.meta.Effect {
			continue // stored before a restart
		}
		if number != s.meta.Effect+1 {
			s.fail(fmt.Errorf("the watch is broken: effect %d follows effect %d", number, s.meta.Effect))
			return
		}
		s.meta.Effect = number
		if err := s.keep(g, e, number); err != nil {
			s.fail(fmt.Errorf("keep effect %d: %w", number, err))
			return
		}
	}
	clear(s.effects)
}

func (s *session) keep(g *group, e *watch.Effect, number uint64) error {
	switch e.Kind {
	case watch.KeyClosed:
		s.past.add(g.number, e.Number, e.Closed)
		s.key = closedKey(s.key[:0], e.Closed.Flow, e.Closed.Key, e.Number)
		return g.batch.Set(s.key, e.Closed.State, nil)
	case watch.BreakOpened, watch.BreakChanged:
		g.sync = true
		return s.records.put(g, e)
	case watch.FreezeWanted:
		g.sync = true
		return s.records.want(g, e)
	}
	return fmt.Errorf("it is of an unknown kind, %d", e.Kind)
}
