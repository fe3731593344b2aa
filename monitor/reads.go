package monitor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/watch"
)

// view is what readers see of the engine. It never changes.
type view struct {
	proof     watch.Proof
	sources   []watch.SourceState
	statement watch.Statement
	seq       uint64
	lag       uint64 // durable blocks that were not taken
	since     uint64 // ns: while there are such, from when on the watch may be behind; see session.behindSince
	at        uint64 // ns, when it was made
}

func (s *session) makeView() *view {
	head := s.m.opts.Ledger.Head()
	lag := head - min(head, s.meta.Seq)
	sources := s.engine.Sources()
	s.align(sources)
	now := s.m.opts.Clock.Wall()
	return &view{s.engine.Proof(), sources, s.engine.Statement(), s.meta.Seq, lag, s.behindSince(lag, now), now}
}

// behindSince is the time of the oldest thing that the watch may not have seen: of its last block, or, where the ledger
// was idle after that, of the last moment at which there was nothing to take. Before the first block it is when the
// session began.
func (s *session) behindSince(lag, now uint64) uint64 {
	if lag == 0 || s.level == 0 && s.blockTime == 0 {
		s.level = now
	}
	return max(s.blockTime, s.level)
}

// Observe takes observations of a source, numbered from firstSeq on, and returns once they are durable. It takes the
// list over. through is the number up to which all of the source were taken; it is valid with watch.ErrAhead and
// watch.ErrRepeat, too. An empty list only asks for through. Other errors: watch.ErrSource (more sources than there may
// be), ErrBehind, ErrStarting, ErrDown, ErrTooLarge, and ctx's, after which the observations may have been taken: send them again.
func (m *Monitor) Observe(ctx context.Context, source string, firstSeq uint64, list []watch.Observation) (through uint64, err error) {
	if err := checkObservations(source, max(firstSeq, boolNumber(len(list) == 0)), list); err != nil {
		return 0, err
	}
	return m.sendBatch(ctx, &batch{source: source, first: firstSeq, list: list, answer: make(chan answer, 1)})
}

func boolNumber(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Proof says how far everything is safe, as of a few moments ago. Where the watch does not run, its reason says so.
func (m *Monitor) Proof() watch.Proof { return m.view.Load().proof }

// Sources returns the sources by name, as of a few moments ago.
func (m *Monitor) Sources() []watch.SourceState { return m.view.Load().sources }

// Statement is what a checkpoint says: of a state that survives a crash.
func (m *Monitor) Statement() watch.Statement { return m.durable.Load().statement }

// Flows returns the flows as they are configured, in the order of Proof's.
func (m *Monitor) Flows() []watch.Definition { return slices.Clone(m.opts.Flows) }

// DryRun tells that freezes are only reported.
func (m *Monitor) DryRun() bool { return m.opts.StopLoss.DryRun }

// Decide changes the state of a break by a person's word, and returns once that is durable. watch.ErrNoBreak where there
// is none that it could change; watch.ErrDown.
func (m *Monitor) Decide(ctx context.Context, d watch.Decision) error {
	return m.sendControl(ctx, &control{decision: &d, answer: make(chan answer, 1)})
}

// Proposed keeps the id of a proposal with the break that it would repair, durably, and notes it in the history. Told
// twice, it is noted once. watch.ErrNoBreak, ErrDown.
func (m *Monitor) Proposed(ctx context.Context, id, proposed watch.ID, who, why string) error {
	return m.sendControl(ctx, &control{proposal: &proposal{id, proposed, who, why}, answer: make(chan answer, 1)})
}

const (
	maxPage = 1000
	// maxExamined bounds how many breaks one page looks at: it may then be shorter than asked for, and not the last.
	maxExamined = 20_000
	// maxMates bounds how many breaks of a group are counted, and how much of a history is read.
	maxMates = 10_000
)

// reading gives the session, with its database open until leave.
func (m *Monitor) reading() (*session, error) {
	s := m.session.Load()
	if s != nil {
		return s, s.enter()
	}
	if err := m.Err(); err != nil {
		return nil, m.inbox.why(err)
	}
	return nil, watch.ErrStarting
}

// Breaks returns a page of breaks, newest first, without evidence and history. next is empty after the last. Errors:
// watch.ErrFilter, ErrDown.
func (m *Monitor) Breaks(ctx context.Context, f watch.Filter) (page []watch.Record, next string, err error) {
	prefix, from, err := rangeOf(&f)
	if err != nil {
		return nil, "", err
	}
	s, err := m.reading()
	if err != nil {
		return nil, "", err
	}
	defer s.leave()
	limit, examined := min(max(f.Limit, 1), maxPage), 0
	var last []byte
	err = s.store.scan(prefix, from, func(key, _ []byte) (bool, error) {
		if len(page) == limit || examined == maxExamined {
			next = hex.EncodeToString(last)
			return false, nil
		}
		examined++
		suffix := key[len(key)-suffixSize:]
		last = append(last[:0], suffix...)
		r, err := s.readBreak(watch.ID(suffix[8:]))
		if err == nil && matches(&f, r) {
			r.Evidence = nil
			page = append(page, *r)
		}
		return true, errors.Join(err, ctx.Err())
	})
	return page, next, err
}

const suffixSize = 8 + 16 // of a list's key: time and id

// rangeOf chooses the list that selects most, and where to begin in it.
func rangeOf(f *watch.Filter) (prefix, from []byte, err error) {
	switch {
	case f.Group != watch.ID{}:
		prefix = idKey(tagMates, f.Group)
	case f.Class != "":
		prefix = nameKey(tagClass, string(f.Class))
	case f.Flow != "":
		prefix = nameKey(tagFlow, f.Flow)
	case f.State != 0:
		prefix = stateKey(f.State)
	default:
		prefix = []byte{tagAll}
	}
	if f.After == "" {
		return prefix, nil, nil
	}
	suffix, err := hex.DecodeString(f.After)
	if err != nil || len(suffix) != suffixSize {
		return nil, nil, fmt.Errorf("%w: after: %.80q is not what a page returned", watch.ErrFilter, f.After)
	}
	return prefix, append(append(slices.Clone(prefix), suffix...), 0), nil
}

func matches(f *watch.Filter, r *watch.Record) bool {
	return (f.State == 0 || f.State == r.State) && (f.Flow == "" || f.Flow == r.Flow) && (f.Class == "" || f.Class == r.Class) &&
		(f.Group == watch.ID{} || f.Group == r.Group) && (!f.Roots || isRoot(&r.Break))
}

// isRoot tells whether a break is the first of its group.
func isRoot(b *watch.Break) bool { return b.Group == b.ID || b.Group == watch.ID{} }

// readBreak reads a break without its history; watch.ErrNoBreak.
func (s *session) readBreak(id watch.ID) (*watch.Record, error) {
	var rec record
	found, err := s.store.getJSON(idKey(tagRecord, id), &rec)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%w: %s", watch.ErrNoBreak, watch.HexID(id))
	}
	r := &watch.Record{Break: rec.Break, Changed: rec.Changed, Stop: rec.Stop, Proposal: rec.Proposal}
	if rec.Group != rec.ID {
		return r, nil
	}
	mates := 0
	err = s.store.scan(idKey(tagMates, rec.Group), nil, func(_, _ []byte) (bool, error) {
		mates++
		return mates < maxMates, nil
	})
	r.Others = max(0, mates-1)
	return r, err
}

// Break returns all of one; watch.ErrNoBreak, ErrDown. Of a history beyond 10,000 entries it returns the oldest.
func (m *Monitor) Break(ctx context.Context, id watch.ID) (watch.Record, error) {
	s, err := m.reading()
	if err != nil {
		return watch.Record{}, err
	}
	defer s.leave()
	r, err := s.readBreak(id)
	if err != nil {
		return watch.Record{}, err
	}
	err = s.store.scan(idKey(tagHistory, id), nil, func(_, value []byte) (bool, error) {
		var e watch.Entry
		if err := json.Unmarshal(value, &e); err != nil {
			return false, fmt.Errorf("read the history of a break: %w", err)
		}
		r.History = append(r.History, e)
		return len(r.History) < maxMates, ctx.Err()
	})
	return *r, err
}

// Err is why the watch does not run; nil: it does, or it is starting.
func (m *Monitor) Err() error {
	if p := m.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Stats says how a monitor is doing.
type Stats struct {
	Up          bool   // it runs
	SafeThrough uint64 // ns since 1970
	Seq, Head   uint64 // last block that was taken, and the ledger's
	LagNs       uint64 // while there are blocks to take: age of the last that was taken, or since when there are any
	Events      uint64 // movements and observations
	OpenKeys    uint64
	OpenBreaks  map[watch.Class]uint64 // in state Open
	Sources     []watch.SourceState
}

// Stats returns the numbers of a few moments ago.
func (m *Monitor) Stats() Stats {
	v := m.view.Load()
	s := Stats{
		Up: m.session.Load() != nil, SafeThrough: v.proof.Through, Seq: v.seq, Head: m.opts.Ledger.Head(), Events: v.proof.Events,
		OpenKeys: v.proof.Keys, Sources: v.sources, OpenBreaks: m.alarms.open(),
	}
	if now := m.opts.Clock.Wall(); s.Head > s.Seq && now > v.since {
		s.LagNs = now - v.since
	}
	return s
}
