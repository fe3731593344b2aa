package faults

import "github.com/sterlingrun/sterling/watch"

// eventKind says what comes.
type eventKind uint8

const (
	onStory   eventKind = iota // the next story starts
	onMove                     // a request reaches the ledger
	onSeal                     // the open block ends
	onWord                     // a source tells something
	onFlush                    // what a source has told goes out
	onBeat                     // all sources promise
	onBalance                  // the bank tells the balance of its account
	onArrive                   // a step reaches the watch
	onTick
)

// event is something that is to come.
type event struct {
	at, order uint64 // ns; among events of one time
	kind      eventKind
	again     bool // a word that is told once more
	story     *Story
	move      *Move
	word      *pending
	source    *speaker
	step      *Step
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// agenda holds what is to come, by time, and among equals in the order in which it was put down.
type agenda struct {
	list  []event
	order uint64
}

func (a *agenda) add(e event) {
	a.order++
	e.order = a.order
	a.list = append(a.list, e)
	i := len(a.list) - 1
	for i > 0 && e.before(&a.list[(i-1)/4]) {
		a.list[i] = a.list[(i-1)/4]
		i = (i - 1) / 4
	}
	a.list[i] = e
}

func (a *agenda) take() event {
	first, n := a.list[0], len(a.list)-1
	e := a.list[n]
	a.list[n] = event{}
	a.list = a.list[:n]
	i := 0
	for n > 0 {
		least := 4*i + 1
		if least >= n {
			break
		}
		for child := least + 1; child < min(4*i+5, n); child++ {
			if a.list[child].before(&a.list[least]) {
				least = child
			}
		}
		if !a.list[least].before(&e) {
			break
		}
		a.list[i] = a.list[least]
		i = least
	}
	if n > 0 {
		a.list[i] = e
	}
	return first
}

// pending is a word that a source is going to tell.
type pending struct {
	*Word
	told bool
}

// speaker is a source as it speaks.
type speaker struct {
	name  string
	seq   uint64 // the last number
	waits []*pending
	batch []watch.Observation
	flush bool // of the batch, is on the agenda
}

// promise is up to when the source has told everything.
func (s *speaker) promise(now uint64) uint64 {
	through := now
	kept := s.waits[:0]
	for _, w := range s.waits {
		if !w.told {
			kept = append(kept, w)
			through = min(through, w.Seen.Time)
		}
	}
	clear(s.waits[len(kept):])
	s.waits = kept
	return through - 1
}
