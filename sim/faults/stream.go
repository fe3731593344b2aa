package faults

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch"
)

// Stream is what a bank does for a while, before any of it has taken effect. An injector changes the stories, or adds
// hooks that bend what the ledger journals and what the sources tell; Play then lets it happen.
type Stream struct {
	Seed  uint64
	Size  Size
	Begin uint64 // ns since 1970: the bank opens
	First uint64 // the first story may start
	Last  uint64 // the last story has started
	Until uint64 // it is played until then
	// Stories are ascending by Start; see Sort.
	Stories []*Story
	// Extra are requests beside the stories, such as freezes.
	Extra []Move

	endless func(*rand.Rand) iter.Seq[*Story]
	limit   uint64 // ns that a delivery may be overtaken by others
	steady  bool   // nothing is delivered out of order, or twice
	sealed  []func(*Sealed)
	told    []func(source string, list []watch.Observation) []watch.Observation
	steps   []func(*Step) []Step
	mute    map[string]span
	teller  *teller
}

type span struct{ from, until uint64 }

// Sealed is a block that the ledger has made, before it stands in the journal.
type Sealed struct {
	*Draft
	Now uint64 // ns
	// Raw is what stands in the journal: where it is nil, the draft, with its hashes made anew. More comes right after.
	Raw  []byte
	More [][]byte
	bent bool
}

// Bend changes the draft: the block is sealed again, and all blocks after it follow it.
func (k *Sealed) Bend() *Draft {
	k.bent = true
	return k.Draft
}

// OnSeal has f look at every block before it stands in the journal.
func (s *Stream) OnSeal(f func(*Sealed)) { s.sealed = append(s.sealed, f) }

// OnTold has f look at every delivery of a source, numbered already. It returns what arrives.
func (s *Stream) OnTold(f func(source string, list []watch.Observation) []watch.Observation) {
	s.told = append(s.told, f)
}

// OnStep has f look at every step, the last thing before the watch gets it. It returns what it gets.
func (s *Stream) OnStep(f func(*Step) []Step) { s.steps = append(s.steps, f) }

// Mute has a source say nothing from one moment to another, nor ever tell afterwards what it would have said.
func (s *Stream) Mute(source string, from, until uint64) {
	if s.mute == nil {
		s.mute = map[string]span{}
	}
	s.mute[source] = span{from, until}
}

// Sort puts the stories in order again. A story whose Start was moved needs it.
func (s *Stream) Sort() {
	slices.SortStableFunc(s.Stories, func(a, b *Story) int { return cmp.Compare(a.Start, b.Start) })
}

// Pick returns a story for which f is true, at random, and not among the first or the last if there is another; nil
// where there is none.
func (s *Stream) Pick(r *rand.Rand, f func(*Story) bool) *Story {
	for _, list := range [][]*Story{s.Stories[len(s.Stories)/8 : len(s.Stories)*7/8], s.Stories} {
		var fit []*Story
		for _, one := range list {
			if f(one) {
				fit = append(fit, one)
			}
		}
		if len(fit) > 0 {
			return fit[r.IntN(len(fit))]
		}
	}
	return nil
}

// Of returns the story of a key, or nil.
func (s *Stream) Of(key watch.ID) *Story {
	for _, one := range s.Stories {
		if one.Key == key {
			return one
		}
	}
	return nil
}

// PlayUntil has the stream played until a moment at least.
func (s *Stream) PlayUntil(at uint64) { s.Until = max(s.Until, at) }

// epoch is when streams begin.
const epoch = 1_800_000_000 * second

const (
	lead = 2 * second  // from the opening to the first story
	rest = 45 * second // after the last story: until all deadlines but those of reservations are over
)

// New makes a clean stream of n stories.
func New(seed uint64, n int) *Stream {
	s := &Stream{Seed: seed, Size: Size{Customers: 40, Merchants: 8}, Begin: epoch, First: epoch + lead, limit: 500 * millisecond}
	s.teller = &teller{r: newRand(seed), size: s.Size, slow: 700 * millisecond}
	at, list := s.First, tales()
	for range n {
		at += s.teller.between(millisecond, 40*millisecond)
		s.Stories = append(s.Stories, s.teller.story(list, at))
	}
	s.Last, s.Until = at, at+rest
	return s
}

// Endless makes a clean stream of n stories that is never in memory as a whole. every is the mean time between two
// stories in ns. Words may be late by most of a minute, and a few sources' promises with them.
func Endless(seed uint64, n int, every uint64) *Stream {
	return endless(seed, n, every, tales())
}

// Holds is Endless of reservations alone, which nobody ends within half an hour.
func Holds(seed uint64, n int, every uint64) *Stream {
	return endless(seed, n, every, []tale{{1, (*teller).hold}})
}

func endless(seed uint64, n int, every uint64, list []tale) *Stream {
	s := &Stream{Seed: seed, Size: Size{Customers: 10_000, Merchants: 500}, Begin: epoch, First: epoch + lead}
	s.limit = min(slowest, overtaken*every)
	s.endless = func(r *rand.Rand) iter.Seq[*Story] {
		return func(yield func(*Story) bool) {
			t := &teller{r: r, size: s.Size, slow: 40 * second}
			at := s.First
			for range n {
				at += t.between(1, 2*every)
				if !yield(t.story(list, at)) {
					return
				}
			}
		}
	}
	return s
}

const (
	slowest   = 2_500 * millisecond
	overtaken = 1_500 // stories, at most: a source keeps no more than a few thousand words waiting
)

// Steady has every delivery arrive once and in order, as a client does that waits for its answers.
func (s *Stream) Steady() *Stream {
	s.steady = true
	return s
}

// all are the stories in the order of their start.
func (s *Stream) all() iter.Seq[*Story] {
	if s.endless != nil {
		return s.endless(newRand(s.Seed))
	}
	return slices.Values(s.Stories)
}

// StepKind says what a step is.
type StepKind uint8

// The kinds of steps: the calls of watch.Engine.
const (
	StepBlock StepKind = 1 + iota
	StepObserve
	StepTick
	StepCompare
)

// Step is one input of the watch. Its memory is the receiver's.
type Step struct {
	Kind    StepKind
	Now     uint64 // ns: when it arrives; of a tick, what it tells
	Seq     uint64 // of a block, or of a comparison: the block after which it holds
	Events  int    // in the block
	Block   []byte
	Source  string
	List    []watch.Observation
	Head    uint64
	Horizon uint64
	Compare []watch.AccountBalance
}

// Apply gives the step to an engine.
func (s *Step) Apply(e *watch.Engine) {
	switch s.Kind {
	case StepBlock:
		e.Block(s.Block)
	case StepObserve:
		e.Observe(s.Source, s.List)
	case StepTick:
		e.Tick(s.Now, s.Head, s.Horizon)
	case StepCompare:
		e.Compare(s.Seq, s.Compare)
	}
}

// Draft is a block taken apart, to be bent and put together again.
type Draft struct {
	Header   journal.Header
	Expiries []journal.Expiry
	Requests []Part
	Outcomes []journal.Outcome
	Attached []journal.Attachment
}

// Part is one request of a block.
type Part struct {
	Kind   journal.Kind
	Actor  journal.Actor
	Events []byte
}

// TakeApart copies a block.
func TakeApart(k *journal.Block) *Draft {
	d := &Draft{Header: k.Header, Expiries: slices.Clone(k.Expiries), Outcomes: slices.Clone(k.Outcomes)}
	first := 0
	for i := range k.Requests {
		r := &k.Requests[i]
		d.Requests = append(d.Requests, Part{r.Kind, r.Actor, slices.Clone(k.EventBytes(first, int(r.Count)))})
		first += int(r.Count)
	}
	for _, a := range k.Attachments(0, int(k.Header.Events), nil) {
		d.Attached = append(d.Attached, journal.Attachment{Event: a.Event, Data: slices.Clone(a.Data)})
	}
	return d
}

// Transfers visits the transfers of the block with their numbers among its events.
func (d *Draft) Transfers(f func(event uint32, t *journal.Transfer)) {
	event := uint32(0)
	for i := range d.Requests {
		r := &d.Requests[i]
		r.Events = journal.Aligned(r.Events)
		n := uint32(len(r.Events) / journal.RecordSize) //nolint:gosec // G115: up to 8,190
		if r.Kind == journal.KindTransfers {
			list := journal.View[journal.Transfer](r.Events)
			for k := range list {
				f(event+uint32(k), &list[k])
			}
		}
		event += n
	}
}

// Drop takes away the outcome of an event: so it says that it was created as asked.
func (d *Draft) Drop(event uint32) {
	d.Outcomes = slices.DeleteFunc(d.Outcomes, func(o journal.Outcome) bool { return o.Event == event })
}

// Outcome returns an event's outcome, or nil.
func (d *Draft) Outcome(event uint32) *journal.Outcome {
	for i := range d.Outcomes {
		if d.Outcomes[i].Event == event {
			return &d.Outcomes[i]
		}
	}
	return nil
}

// Set records an outcome of an event.
func (d *Draft) Set(o journal.Outcome) {
	d.Drop(o.Event)
	d.Outcomes = append(d.Outcomes, o)
	slices.SortFunc(d.Outcomes, func(a, b journal.Outcome) int { return cmp.Compare(a.Event, b.Event) })
}

// Seal puts the block together, with its hashes as they should be.
func (d *Draft) Seal() []byte {
	b := journal.NewBuilder()
	for _, e := range d.Expiries {
		b.AddExpiry(e)
	}
	for _, r := range d.Requests {
		b.AddRequest(r.Kind, r.Actor, r.Events)
	}
	for _, o := range d.Outcomes {
		b.AddOutcome(o)
	}
	for _, a := range d.Attached {
		b.Attach(a.Event, a.Data)
	}
	return slices.Clone(b.Seal(d.Header).Raw)
}
