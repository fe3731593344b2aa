package api

import (
	"context"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/speaker"
	"github.com/sterlingrun/sterling/watch"
)

// Watch is the running watch. [monitor.Monitor] is. Its errors are those of package watch, wrapped with words for the
// caller; it keeps no slice that it is given, and returns none that it changes later.
type Watch interface {
	WatchObserver
	WatchProof
	WatchBreaks
}

// WatchObserver takes what witnesses saw.
type WatchObserver interface {
	// Observe takes observations of a source, numbered by Seq from firstSeq on without gaps, and returns once they are
	// durable. through is the number up to which all of the source were taken; it is valid with watch.ErrAhead, too. An
	// empty list only asks for through. Errors: watch.ErrSource, ErrAhead, ErrRepeat, ErrBehind, ErrStarting, ErrDown, and ctx's.
	Observe(ctx context.Context, source string, firstSeq uint64, list []watch.Observation) (through uint64, err error)
}

// WatchProof tells how far all is safe. Nothing of it waits for the engine: answers may be 100 ms old.
type WatchProof interface {
	Proof() watch.Proof
	Statement() watch.Statement
	Sources() []watch.SourceState
	Flows() []watch.Definition // in the order of Proof's
	DryRun() bool              // freezes are only reported
}

// WatchBreaks lists breaks and changes what became of them.
type WatchBreaks interface {
	// Breaks returns a page, newest first, without evidence and history. next is empty after the last. Error:
	// watch.ErrFilter.
	Breaks(ctx context.Context, f watch.Filter) (page []watch.Record, next string, err error)
	// Break returns all of one; watch.ErrNoBreak.
	Break(ctx context.Context, id watch.ID) (watch.Record, error)
	// Decide returns once the decision is durable; watch.ErrNoBreak where there is none that it could change.
	Decide(ctx context.Context, d watch.Decision) error
	// Proposed keeps the id of a proposal with the break that it would repair, durably, and notes it in the history.
	// Told twice, it is noted once.
	Proposed(ctx context.Context, id, proposal watch.ID, who, why string) error
}

// WatchInjector makes faults. Only the node of a demonstration has one.
type WatchInjector interface {
	// Inject makes one fault of a class, and says what it did and with which key. ErrNotConfigured: it knows no fault of
	// that class.
	Inject(ctx context.Context, class watch.Class) (what, key string, err error)
}

// Speakers binds sources to the callers who speak for them. [speaker.Store] does.
type Speakers interface {
	// Bind gives a source that nobody speaks for to a caller, durably, and returns who speaks for it now.
	Bind(source string, by auth.Principal) (speaker.Speaker, error)
	// Release lets the next caller speak for a source, and returns who did; false: nobody.
	Release(source string) (speaker.Speaker, bool, error)
	// Speaker returns who speaks for a source; false: nobody does.
	Speaker(source string) (speaker.Speaker, bool)
}
