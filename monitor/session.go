package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sterlingrun/sterling/watch"
)

// session is one life of the database and the engine. What has no lock belongs to the loop.
type session struct {
	m        *Monitor
	store    *store
	life     sync.RWMutex // held for reading while the database is in use
	closed   bool
	engine   Engine
	meta     meta
	settings settings // those of the engine
	past     past
	records  records
	sources  map[string]*source
	effects  []watch.Effect // scratch
	block    []byte         // scratch
	encoded  []byte         // scratch
	key      []byte         // scratch

	blockTime uint64 // ns, of the last block
	level     uint64 // ns, when there was nothing left to take; 0: not yet
	head      uint64 // of the last tick
	horizon   uint64 // of the last tick, ns
	believed  moment // the newest
	ticked    uint64 // mono, of the last tick
	viewed    uint64 // mono, of the last view
	synced    uint64 // mono, of the last group that was synced
	pending   *moment
	differing map[watch.ID]bool // accounts that were not as the engine had them

	taken      atomic.Uint64 // last block
	hold       atomic.Uint64 // the block at which to hold still
	compared   chan struct{}
	commits    chan *group
	committed  atomic.Uint64 // last group
	freezer    freezer
	checkpoint checkpointing

	failed  chan struct{} // closed at the first fault
	once    sync.Once
	fault   error
	left    atomic.Bool // the database can't be closed
	helpers sync.WaitGroup
	saving  sync.WaitGroup // of checkpoints
	group   *group         // being made; nil: none
}

func newSession(m *Monitor) *session {
	s := &session{
		m: m, sources: map[string]*source{}, differing: map[watch.ID]bool{}, compared: make(chan struct{}, 1),
		commits: make(chan *group, 1), failed: make(chan struct{}),
	}
	s.hold.Store(noHold)
	s.freezer.s, s.freezer.wake = s, make(chan struct{}, 1)
	return s
}

// fail ends the session. It may be called by any goroutine, and more than once.
func (s *session) fail(err error) {
	s.once.Do(func() {
		s.fault = err
		close(s.failed)
	})
}

func (s *session) err() error {
	select {
	case <-s.failed:
		return s.fault
	default:
		return nil
	}
}

// abandon is told by the database that it is beyond use.
func (s *session) abandon(err error) {
	s.left.Store(true)
	s.fail(err)
}

// open reads what is recorded, up to where the log ends.
func (s *session) open(ctx context.Context) (err error) {
	o := &s.m.opts
	if s.store, err = openStore(o.Dir, o.FS, o.Logger, s.abandon); err != nil {
		return err
	}
	s.past.init(s)
	err = contained(func() error {
		s.records.init(s)
		if err := s.recover(ctx); err != nil {
			return err
		}
		return s.records.load()
	})
	if err != nil {
		return fmt.Errorf("recover the watch: %w", err)
	}
	s.taken.Store(s.meta.Seq)
	s.committed.Store(s.meta.Group)
	return nil
}

// run works until ctx ends or something fails. It saves the state at the end.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	committer := make(chan struct{})
	go func() {
		defer close(committer)
		s.commitAll()
	}()
	s.helpers.Add(3)
	go func() {
		defer s.helpers.Done()
		s.moments(ctx)
	}()
	go func() {
		defer s.helpers.Done()
		s.freezer.run(ctx)
	}()
	go func() {
		defer s.helpers.Done()
		s.past.fill(ctx)
	}()
	err := s.guardedLoop(ctx)
	cancel()
	why := err
	if why == nil {
		why = errEnded
		err = s.lastCheckpoint()
	}
	s.m.inbox.refuse(why)
	close(s.commits)
	<-committer
	s.helpers.Wait()
	s.saving.Wait()
	return errors.Join(err, s.err())
}

// guardedLoop is the loop, with its end: whoever waits for a group that was not handed over is answered.
func (s *session) guardedLoop(ctx context.Context) error {
	if err := contained(func() error { return s.loop(ctx) }); err != nil {
		s.fail(err)
	}
	if s.group != nil {
		s.refuse(s.group)
	}
	return s.err()
}

// end closes the database.
func (s *session) end(err error) (left bool, _ error) {
	if s.store == nil {
		return false, err
	}
	if s.left.Load() {
		return true, errors.Join(err, s.err())
	}
	s.life.Lock()
	s.closed = true
	s.life.Unlock()
	closeErr := s.store.close()
	return s.left.Load(), errors.Join(err, closeErr)
}

// enter keeps the database open until leave; watch.ErrDown where it is not.
func (s *session) enter() error {
	s.life.RLock()
	if s.closed || s.left.Load() {
		s.life.RUnlock()
		return watch.ErrDown
	}
	return nil
}

func (s *session) leave() { s.life.RUnlock() }

func (s *session) mono() uint64 { return s.m.opts.Clock.Mono() }

// past is what left the engine's memory. The engine asks on the loop; the newest answers are in groups that are not
// stored yet.
type past struct {
	s     *session
	bloom *bloom
	fresh map[pastKey][]pastState
	queue []pastGroup
}

type pastKey struct {
	flow string
	key  watch.ID
}

type pastState struct {
	number uint64
	state  []byte
}

// pastGroup says which keys a group closed.
type pastGroup struct {
	group uint64
	keys  []pastKey
}

func (p *past) init(s *session) { p.s, p.bloom, p.fresh = s, newBloom(), map[pastKey][]pastState{} }

// Closed implements watch.Past.
func (p *past) Closed(flow string, key watch.ID, through uint64) []byte {
	states := p.fresh[pastKey{flow, key}]
	for i := len(states) - 1; i >= 0; i-- {
		if states[i].number <= through {
			return states[i].state
		}
	}
	if !p.bloom.perhaps(bloomHash(flow, key)) {
		return nil
	}
	state, err := p.s.store.closed(flow, key, through)
	if err != nil { // what the engine makes of the wrong answer is never stored
		p.s.fail(fmt.Errorf("look for a closed key: %w", err))
		return nil
	}
	return state
}

// add notes a key that is closed in a group.
func (p *past) add(group, number uint64, c *watch.Closed) {
	k := pastKey{c.Flow, c.Key}
	p.fresh[k] = append(p.fresh[k], pastState{number, c.State})
	p.bloom.add(bloomHash(c.Flow, c.Key))
	if n := len(p.queue); n == 0 || p.queue[n-1].group != group {
		p.queue = append(p.queue, pastGroup{group: group})
	}
	g := &p.queue[len(p.queue)-1]
	g.keys = append(g.keys, k)
}

// forget lets go of what is in the database.
func (p *past) forget(committed uint64) {
	for len(p.queue) > 0 && p.queue[0].group <= committed {
		for _, k := range p.queue[0].keys {
			if states := p.fresh[k]; len(states) > 1 {
				p.fresh[k] = states[1:]
			} else {
				delete(p.fresh, k)
			}
		}
		p.queue = p.queue[1:]
	}
}

// fill reads the keys of the database into the filter.
func (p *past) fill(ctx context.Context) {
	err := p.s.readAll(ctx, []byte{tagClosed}, func(key []byte) {
		if k, ok := readClosedKey(key); ok {
			p.bloom.add(bloomHash(k.flow, k.key))
		}
	})
	if err == nil {
		p.bloom.whole.Store(true)
	} else if ctx.Err() == nil {
		p.s.m.opts.Logger.Warn("closed keys are looked up on disk, since they could not be listed", "error", err)
	}
}

func readClosedKey(key []byte) (k pastKey, ok bool) {
	const fixed = 1 + 1 + 16 + 8
	if len(key) < fixed {
		return k, false
	}
	return pastKey{string(key[1 : 1+len(key)-fixed]), watch.ID(key[len(key)-24 : len(key)-8])}, true
}

// readAll calls f with all keys that begin with a prefix.
func (s *session) readAll(ctx context.Context, prefix []byte, f func(key []byte)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.store.scan(prefix, nil, func(key, _ []byte) (bool, error) {
		f(key)
		return true, ctx.Err()
	})
}

var errNoCheckpoint = errors.New("no checkpoint of the watch can be read; move its folder away to begin anew, without what the sources told")

// recover makes the engine that the log tells of.
func (s *session) recover(ctx context.Context) error {
	known, err := s.store.getJSON([]byte{tagMeta}, &s.meta)
	if err != nil {
		return err
	}
	if !known {
		return s.begin()
	}
	if s.meta.Version != storeVersion || s.meta.Cell != s.m.opts.Cell {
		return fmt.Errorf("the folder is of version %d and cell %d, want %d and %d", s.meta.Version, s.meta.Cell, storeVersion, s.m.opts.Cell)
	}
	last := s.meta
	at, err := s.newest(last.Group)
	if err != nil {
		return err
	}
	if err := s.replay(ctx, at, last.Group); err != nil {
		return err
	}
	if err := s.realign(last); err != nil {
		return err
	}
	s.align(s.engine.Sources())
	s.forgetOldCheckpoints()
	if string(s.settings.encode()) != string(s.m.settings.encode()) {
		return s.change()
	}
	return nil
}

// begin makes the first engine, and a checkpoint of it, so that there always is one.
func (s *session) begin() (err error) {
	s.settings = s.m.settings
	s.meta = meta{Version: storeVersion, Cell: s.m.opts.Cell}
	if s.engine, err = s.m.opts.Engines.New(s.options(s.settings)); err != nil {
		return err
	}
	if err := s.saveNow(); err != nil {
		return err
	}
	return s.putMeta()
}

func (s *session) options(from settings) watch.Options {
	o := watch.Options{Cell: s.m.opts.Cell, StopLoss: from.StopLoss, Past: &s.past, HashKey: s.m.opts.HashKey, Transit: from.Transit}
	for _, d := range from.Flows {
		f, err := s.m.opts.Engines.Parse(d.Name, []byte(d.Text))
		if err != nil { // of an older version: today's were parsed by Open
			s.m.opts.Logger.Error("an older flow can't be used any more; its cases are dropped", "flow", d.Name, "error", err)
			continue
		}
		o.Flows = append(o.Flows, f)
	}
	return o
}

// replay gives the log after a group to the engine. Its effects are stored already.
func (s *session) replay(ctx context.Context, group, last uint64) error {
	next := group + 1
	err := s.store.scan([]byte{tagGroup}, numberKey(tagGroup, next), func(key, value []byte) (bool, error) {
		if string(key) != string(numberKey(tagGroup, next)) {
			return false, fmt.Errorf("%w: group %d is missing", errLog, next)
		}
		err := readGroup(value, func(in *input) error { return s.apply(ctx, in) })
		if err != nil {
			return false, fmt.Errorf("replay group %d: %w", next, err)
		}
		next++
		return true, errors.Join(ctx.Err(), s.err())
	})
	if err == nil && next != last+1 {
		err = fmt.Errorf("%w: it ends with group %d, %d were stored", errLog, next-1, last)
	}
	s.meta.Group = last
	return err
}

// apply gives one input of the log to the engine.
func (s *session) apply(ctx context.Context, in *input) error {
	switch in.kind {
	case inputBlocks:
		for seq := in.first; seq <= in.last; seq++ {
			raw, err := s.m.opts.Log.Read(ctx, seq, s.block)
			if err != nil {
				return fmt.Errorf("read block %d: %w", seq, err)
			}
			s.block = raw
			s.takeBlock(seq, raw)
			s.drop()
		}
		return nil
	case inputObserve:
		src := s.source(in.source)
		for i := range in.observations {
			var content int
			s.encoded, content = appendObservation(s.encoded[:0], &in.observations[i])
			if hash := contentHash(s.encoded[content:]); src.judge(in.observations[i].Seq, hash) == takeIt {
				src.took(in.observations[i].Seq, hash)
			}
		}
		s.engine.Observe(in.source, in.observations)
	case inputTick:
		s.engine.Tick(in.now, in.head, in.horizon)
		s.head, s.horizon = in.head, in.horizon
	case inputCompare:
		s.engine.Compare(in.seq, in.accounts)
	case inputDecide:
		if err := s.engine.Decide(in.decision); err != nil {
			return fmt.Errorf("a decision that was taken before: %w", err)
		}
	case inputFrozen:
		s.engine.Frozen(in.freeze, in.failure)
	case inputSettings:
		if err := s.remake(in.settings); err != nil {
			return err
		}
	}
	s.drop()
	return nil
}

// drop takes the engine's effects without storing them.
func (s *session) drop() {
	s.effects = s.engine.Effects(s.effects[:0])
	if n := len(s.effects); n > 0 {
		s.meta.Effect = s.effects[n-1].Number + s.meta.Shift
	}
}

// realign makes the engine's next effect the next to be stored. It is, unless this version of the engine makes other
// effects of the same inputs than the one that wrote the log.
func (s *session) realign(last meta) error {
	if s.meta.Effect == last.Effect {
		return nil
	}
	s.m.opts.Logger.Error("this version of the watch finds something else in what it saw before the start; breaks that it found then are kept",
		"effects", s.meta.Effect, "stored", last.Effect)
	s.meta.Shift += last.Effect - s.meta.Effect // modulo 2^64
	s.meta.Effect = last.Effect
	return s.saveNow()
}

// change goes over to the settings of today: an input like others.
func (s *session) change() error {
	if err := s.remake(s.m.settings); err != nil {
		return err
	}
	g := s.newGroup()
	g.log = appendSettings(g.log, s.settings.encode())
	s.drain(g)
	g.sync = true
	if err := s.seal(g); err != nil {
		return err
	}
	s.m.opts.Logger.Info("the watch goes on with other flows or another stop-loss")
	return s.commit(g)
}

// remake gives the engine's state to one with other settings.
func (s *session) remake(to settings) error {
	r, w := io.Pipe()
	from := s.engine
	go func() { w.CloseWithError(from.Snapshot(w)) }()
	e, err := s.m.opts.Engines.Restore(r, s.options(to))
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("change the flows: %w", err)
	}
	s.engine, s.settings = e, to
	return nil
}

// source returns a source, and makes it where there is none.
func (s *session) source(name string) *source {
	src := s.sources[name]
	if src == nil {
		src = newSource()
		s.sources[name] = src
	}
	return src
}

// align follows the engine where it gave up waiting for a gap: senders go on after it, and may fill it still.
func (s *session) align(states []watch.SourceState) {
	for i := range states {
		if src := s.sources[states[i].Name]; src != nil {
			src.skip(states[i].Seq)
		}
	}
}

// takeBlock gives the next block to the engine.
func (s *session) takeBlock(seq uint64, raw []byte) {
	s.engine.Block(raw)
	s.meta.Seq = seq
	if t, ok := timeOf(raw); ok {
		s.blockTime = max(s.blockTime, t)
	}
}
