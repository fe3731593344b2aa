package faults

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

const (
	beatEvery    = 500 * millisecond
	tickEvery    = 100 * millisecond
	compareEvery = 64 // blocks
	balanceEvery = 5 * second
)

// player lets a stream happen.
type player struct {
	*Stream
	r       *rand.Rand
	agenda  agenda
	now     uint64
	book    *book
	sources map[string]*speaker
	next    func() (*Story, bool)
	begun   uint64 // the last story's start
	yield   func(*Step) error

	bent    bool         // the journal is no longer what the ledger made
	hash    journal.Hash // of the journal's last block
	arrived uint64       // when the last block arrives
}

// Play lets the stream happen and gives every step to yield, ascending by Now. It ends with yield's first error.
func (s *Stream) Play(yield func(*Step) error) error {
	next, stop := iter.Pull(s.all())
	defer stop()
	p := &player{
		Stream: s, r: newRand(s.Seed ^ 0x5741_5443), book: newBook(), sources: map[string]*speaker{}, next: next, yield: yield,
	}
	for _, name := range Sources() {
		p.sources[name] = &speaker{name: name}
	}
	for _, moves := range [][]Move{s.Size.SetUp(s.Begin), s.Extra} {
		for i := range moves {
			p.agenda.add(event{at: moves[i].At, kind: onMove, move: &moves[i]})
		}
	}
	p.agenda.add(event{at: s.Begin, kind: onBeat})
	p.agenda.add(event{at: s.Begin, kind: onTick})
	p.agenda.add(event{at: s.First, kind: onBalance})
	p.story()
	for len(p.agenda.list) > 0 {
		e := p.agenda.take()
		p.now = e.at
		if err := p.happen(&e); err != nil {
			return fmt.Errorf("play stream %d at %d: %w", s.Seed, e.at-s.Begin, err)
		}
	}
	return nil
}

// until is when the stream ends.
func (p *player) until() uint64 {
	if p.next != nil {
		return ^uint64(0)
	}
	return max(p.Until, p.begun+rest)
}

func (p *player) happen(e *event) error {
	switch e.kind {
	case onStory:
		p.start(e.story)
		p.story()
	case onMove:
		return p.move(e.move)
	case onSeal:
		return p.seal()
	case onWord:
		p.tell(e)
	case onFlush:
		p.flush(e.source)
	case onBeat:
		p.beat()
	case onBalance:
		p.balance()
	case onArrive:
		return p.arrive(e.step)
	case onTick:
		return p.tick()
	}
	return nil
}

// story puts the next story on the agenda.
func (p *player) story() {
	if p.next == nil {
		return
	}
	s, ok := p.next()
	if !ok {
		p.next = nil
		return
	}
	p.begun = max(s.Start, p.now)
	p.agenda.add(event{at: p.begun, kind: onStory, story: s})
}

func (p *player) start(s *Story) {
	for i := range s.Moves {
		p.agenda.add(event{at: s.Moves[i].At, kind: onMove, move: &s.Moves[i]})
	}
	for i := range s.Words {
		w := &pending{Word: &s.Words[i]}
		source := p.sources[w.Source]
		source.waits = append(source.waits, w)
		p.agenda.add(event{at: w.Told, kind: onWord, word: w, source: source})
		if w.Again != 0 {
			p.agenda.add(event{at: w.Told + w.Again, kind: onWord, word: w, source: source, again: true})
		}
	}
}

func (p *player) move(m *Move) error {
	n := len(m.Events) / journal.RecordSize
	if p.book.full(n) {
		if err := p.seal(); err != nil {
			return err
		}
	}
	if !p.book.open {
		p.book.begin(p.now)
		p.agenda.add(event{at: p.now + p.size(), kind: onSeal})
	}
	return p.book.apply(m.Kind, m.Events, m.Attached...)
}

// size is how long a block stays open.
func (p *player) size() uint64 {
	if p.r.IntN(10) == 0 {
		return 30*millisecond + p.r.Uint64N(60*millisecond)
	}
	return p.r.Uint64N(20 * millisecond)
}

// seal ends the open block and sends it to the watch.
func (p *player) seal() error {
	k, err := p.book.seal()
	if k == nil || err != nil {
		return err
	}
	step := &Step{Kind: StepBlock, Seq: k.Header.Seq, Events: int(k.Header.Events), Block: k.Raw}
	var more [][]byte
	if len(p.sealed) > 0 {
		step.Block, more = p.bend(k)
	}
	p.arrived = max(p.arrived, p.now+p.r.Uint64N(20*millisecond))
	p.agenda.add(event{at: p.arrived, kind: onArrive, step: step})
	for _, raw := range more {
		p.agenda.add(event{at: p.arrived, kind: onArrive, step: &Step{Kind: StepBlock, Seq: k.Header.Seq, Block: raw}})
	}
	if k.Header.Seq%compareEvery == 0 && !p.bent {
		p.agenda.add(event{at: p.arrived, kind: onArrive, step: &Step{Kind: StepCompare, Seq: k.Header.Seq, Compare: p.compare()}})
	}
	return nil
}

// bend has the hooks look at a block. Once one was bent, all after it follow the one that stands in the journal.
func (p *player) bend(k *journal.Block) (raw []byte, more [][]byte) {
	if !p.bent {
		p.hash = k.Header.Prev
	}
	d := &Sealed{Draft: TakeApart(k), Now: p.now}
	d.Header.Prev = p.hash
	for _, f := range p.sealed {
		f(d)
	}
	p.bent = p.bent || d.bent
	raw = k.Raw
	if p.bent {
		raw = d.Seal()
	}
	p.hash = sha256.Sum256(raw[:journal.HeaderSize])
	if d.Raw != nil {
		raw = d.Raw
	}
	return raw, d.More
}

// compare are the balances that the ledger itself has of a few accounts.
func (p *player) compare() (list []watch.AccountBalance) {
	n := p.book.state.Counts().Accounts
	for range 4 {
		a := p.book.state.AccountByNumber(uint32(p.r.Uint64N(n)) + 1) //nolint:gosec // G115: few accounts
		list = append(list, watch.AccountBalance{
			Account: idOf(a.ID), Asset: a.Asset, DebitsPosted: watch.Amount(a.DebitsPosted), CreditsPosted: watch.Amount(a.CreditsPosted),
			DebitsPending: watch.Amount(a.DebitsPending), CreditsPending: watch.Amount(a.CreditsPending),
		})
	}
	return list
}

// tell gives a word its number.
func (p *player) tell(e *event) {
	w, s := e.word, e.source
	w.told = true
	p.say(s, w.Seen)
}

func (p *player) say(s *speaker, o watch.Observation) {
	if m, ok := p.mute[s.name]; ok && p.now >= m.from && p.now < m.until {
		return
	}
	s.seq++
	o.Seq = s.seq
	s.batch = append(s.batch, o)
	if !s.flush {
		s.flush = true
		p.agenda.add(event{at: p.now + p.r.Uint64N(20*millisecond), kind: onFlush, source: s})
	}
}

// flush sends what a source has told. Some deliveries are overtaken by later ones, some come twice.
func (p *player) flush(s *speaker) {
	s.flush = false
	list := s.batch
	s.batch = nil
	if p.steady {
		p.deliver(s, p.now, list)
		return
	}
	at := p.now + p.r.Uint64N(10*millisecond)
	switch p.r.IntN(60) {
	case 0:
		p.deliver(s, at+p.r.Uint64N(5*second), slices.Clone(list))
	case 1:
		at += p.r.Uint64N(p.limit)
	}
	p.deliver(s, at, list)
}

func (p *player) deliver(s *speaker, at uint64, list []watch.Observation) {
	for _, f := range p.told {
		list = f(s.name, list)
	}
	if len(list) > 0 {
		p.agenda.add(event{at: at, kind: onArrive, step: &Step{Kind: StepObserve, Source: s.name, List: list}})
	}
}

// beat has every source promise.
func (p *player) beat() {
	for _, name := range Sources() {
		s := p.sources[name]
		p.say(s, watch.Observation{Kind: watch.Heartbeat, Time: p.now, Through: s.promise(p.now)})
	}
	if p.now < p.until() {
		p.agenda.add(event{at: p.now + beatEvery, kind: onBeat})
	}
}

// balance has the bank tell what is on its account, at a moment when no block is open.
func (p *player) balance() {
	if p.now >= p.until() {
		return
	}
	wait := balanceEvery
	if p.book.open {
		wait = millisecond
	} else if p.now >= p.book.state.NextTime() && !p.bent {
		a, _ := p.book.state.Account(money.From(clearing))
		o := watch.Observation{Kind: watch.Balance, Time: p.now, Debit: ID(clearing), Asset: cnyName}
		debits, credits := watch.Amount(a.DebitsPosted), watch.Amount(a.CreditsPosted)
		if o.Amount, o.Minus = credits.SubSat(debits), false; credits.Less(debits) {
			o.Amount, o.Minus = debits.SubSat(credits), true
		}
		p.say(p.sources[Bank], o)
	}
	p.agenda.add(event{at: p.now + wait, kind: onBalance})
}

// tick tells the watch the time, and has the ledger do what is due.
func (p *player) tick() error {
	if due := p.book.state.NextExpiry(); due != 0 && due <= p.now && !p.book.open {
		p.book.begin(p.now)
		if err := p.seal(); err != nil {
			return err
		}
	}
	horizon := p.now - 1
	if p.book.open {
		horizon = p.book.opened - 1
	}
	if p.now < p.until() {
		p.agenda.add(event{at: p.now + p.pause(), kind: onTick})
	}
	return p.arrive(&Step{Kind: StepTick, Head: p.book.seq, Horizon: horizon})
}

// pause is how long after a tick the next one comes: longer once all is done and only time passes.
func (p *player) pause() uint64 {
	if p.next == nil && p.now > p.begun+rest+minute {
		return second
	}
	return tickEvery
}

func (p *player) arrive(step *Step) error {
	step.Now = p.now
	if m, ok := p.mute[step.Source]; ok && p.now >= m.from+p.limit && p.now < m.until {
		return nil // what was on its way is lost as well
	}
	list := []Step{*step}
	for _, f := range p.steps {
		var next []Step
		for i := range list {
			next = append(next, f(&list[i])...)
		}
		list = next
	}
	for i := range list {
		if err := p.yield(&list[i]); err != nil {
			return err
		}
	}
	return nil
}
