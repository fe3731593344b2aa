package monitor

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/sterlingrun/sterling/watch"
)

// record is a break as the database has it: watch.Record without its history and the count of its group.
type record struct {
	watch.Break
	Changed  uint64      `json:"changed"`
	Stop     *watch.Stop `json:"stop,omitempty"`
	Proposal watch.ID    `json:"proposal"`
	Entries  uint64      `json:"entries"` // of its history
}

// wanted is a freeze that is to be made.
type wanted struct {
	watch.Freeze
	At uint64 `json:"at"` // ns, when it was wanted
}

// records writes breaks. The loop owns it.
type records struct {
	s      *session
	fresh  map[watch.ID]*freshRecord // not stored yet
	queue  []freshID
	wanted map[watch.ID]wanted
}

type freshRecord struct {
	record
	group uint64
}

type freshID struct {
	id    watch.ID
	group uint64
}

func (r *records) init(s *session) {
	r.s, r.fresh, r.wanted = s, map[watch.ID]*freshRecord{}, map[watch.ID]wanted{}
}

// load reads what is open.
func (r *records) load() error {
	s := r.s
	err := s.store.scan([]byte{tagFreeze}, nil, func(_, value []byte) (bool, error) {
		var w wanted
		if err := json.Unmarshal(value, &w); err != nil {
			return false, fmt.Errorf("read a freeze that is to be made: %w", err)
		}
		r.wanted[w.ID] = w
		s.freezer.add(w)
		return true, nil
	})
	if err != nil {
		return err
	}
	s.m.alarms.forgetBreaks()
	return s.store.scan([]byte{tagState, byte(watch.Open)}, nil, func(key, _ []byte) (bool, error) {
		old, err := r.get(watch.ID(key[len(key)-16:]))
		if err == nil && old != nil {
			s.m.alarms.count(told{b: &old.Break, to: watch.Open})
			if old.Class == watch.BalanceMismatch {
				for _, a := range old.Accounts {
					s.differing[a] = true
				}
			}
		}
		return true, err
	})
}

// forget lets go of what is in the database.
func (r *records) forget(committed uint64) {
	for len(r.queue) > 0 && r.queue[0].group <= committed {
		q := r.queue[0]
		if f := r.fresh[q.id]; f != nil && f.group <= committed {
			delete(r.fresh, q.id)
		}
		r.queue = r.queue[1:]
	}
}

// get returns a record as the newest group has it; nil: there is none.
func (r *records) get(id watch.ID) (*record, error) {
	if f := r.fresh[id]; f != nil {
		return &f.record, nil
	}
	rec := new(record)
	found, err := r.s.store.getJSON(idKey(tagRecord, id), rec)
	if err != nil || !found {
		return nil, err
	}
	return rec, nil
}

// write stores a record. old is what stood there, nil if nothing did.
func (r *records) write(g *group, old *listed, rec record) error {
	value, err := json.Marshal(&rec)
	if err != nil {
		return fmt.Errorf("encode a break: %w", err)
	}
	if err := g.batch.Set(idKey(tagRecord, rec.ID), value, nil); err != nil {
		return err
	}
	now := listedOf(&rec.Break)
	if old == nil || *old != now {
		if old != nil {
			for _, key := range old.keys(rec.ID) {
				if err := g.batch.Delete(key, nil); err != nil {
					return err
				}
			}
		}
		for _, key := range now.keys(rec.ID) {
			if err := g.batch.Set(key, nil, nil); err != nil {
				return err
			}
		}
	}
	r.fresh[rec.ID] = &freshRecord{rec, g.number}
	r.queue = append(r.queue, freshID{rec.ID, g.number})
	return nil
}

// note adds to a record's history.
func (r *records) note(g *group, rec *record, e watch.Entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an entry of a break's history: %w", err)
	}
	key := binary.BigEndian.AppendUint64(idKey(tagHistory, rec.ID), rec.Entries)
	rec.Entries++
	rec.Changed = max(rec.Changed, e.Time)
	g.sync = true
	return g.batch.Set(key, value, nil)
}

// put keeps a break that is new or was changed.
func (r *records) put(g *group, e *watch.Effect) error {
	old, err := r.get(e.Break.ID)
	if err != nil {
		return err
	}
	rec := record{Break: *e.Break}
	var was *listed
	t := told{to: rec.State}
	if old != nil {
		rec.Changed, rec.Stop, rec.Proposal, rec.Entries = old.Changed, old.Stop, old.Proposal, old.Entries
		l := listedOf(&old.Break)
		was, t.from = &l, old.State
	}
	who := e.Who
	if who == "" {
		who = "watch"
	}
	if err := r.note(g, &rec, watch.Entry{Time: e.Time, State: rec.State, Who: who, Why: e.Why}); err != nil {
		return err
	}
	t.b = &rec.Break
	g.told = append(g.told, t)
	return r.write(g, was, rec)
}

// The states of a freeze, besides "failed: …".
const (
	stopPending = "pending"
	stopFrozen  = "frozen"
	stopFailed  = "failed: "
)

// want keeps a freeze that the engine wants, or would.
func (r *records) want(g *group, e *watch.Effect) error {
	stop := watch.Stop{Freeze: *e.Freeze, State: e.Freeze.Withheld, Time: e.Time}
	if stop.State == "" {
		stop.State = stopPending
		w := wanted{*e.Freeze, r.s.m.opts.Clock.Wall()}
		value, err := json.Marshal(w)
		if err != nil {
			return fmt.Errorf("encode a freeze: %w", err)
		}
		if err := g.batch.Set(idKey(tagFreeze, w.ID), value, nil); err != nil {
			return err
		}
		r.wanted[w.ID] = w
		g.freezes = append(g.freezes, w)
	} else {
		g.told = append(g.told, told{freeze: e.Freeze, at: e.Time})
	}
	rec, err := r.get(e.Freeze.Break)
	if err != nil || rec == nil {
		return err
	}
	changed := *rec
	if changed.Stop == nil || changed.Stop.ID == stop.ID { // of several, the first is shown
		changed.Stop = &stop
	}
	if err := r.note(g, &changed, watch.Entry{Time: e.Time, State: rec.State, Who: "watch", Why: "freeze of " + e.Freeze.Covers() + ": " + stop.State}); err != nil {
		return err
	}
	l := listedOf(&rec.Break)
	return r.write(g, &l, changed)
}

// frozen keeps what became of a freeze.
func (r *records) frozen(g *group, v verdictOfFreeze) error {
	w, ok := r.wanted[v.id]
	if !ok {
		return nil
	}
	delete(r.wanted, v.id)
	if err := g.batch.Delete(idKey(tagFreeze, v.id), nil); err != nil {
		return err
	}
	if v.failure == "" {
		g.told = append(g.told, told{freeze: &w.Freeze, at: v.at})
	}
	rec, err := r.get(w.Break)
	if err != nil || rec == nil {
		return err
	}
	state := stopFrozen
	if v.failure != "" {
		state = stopFailed + v.failure
	}
	changed := *rec
	if changed.Stop != nil && changed.Stop.ID == v.id {
		changed.Stop = &watch.Stop{Freeze: w.Freeze, State: state, Time: v.at}
	}
	if err := r.note(g, &changed, watch.Entry{Time: v.at, State: rec.State, Who: "watch", Why: "freeze of " + w.Covers() + ": " + state}); err != nil {
		return err
	}
	l := listedOf(&rec.Break)
	return r.write(g, &l, changed)
}

// propose keeps the id of a proposal with a break.
func (r *records) propose(g *group, p *proposal, now uint64) error {
	rec, err := r.get(p.breakID)
	if err != nil {
		return err
	}
	if rec == nil {
		return watch.ErrNoBreak
	}
	if rec.Proposal == p.id {
		return nil
	}
	changed := *rec
	changed.Proposal = p.id
	if err := r.note(g, &changed, watch.Entry{Time: now, State: rec.State, Who: p.who, Why: "proposal " + watch.DecimalID(p.id) + ": " + p.why}); err != nil {
		return err
	}
	l := listedOf(&rec.Break)
	return r.write(g, &l, changed)
}

// listed is what the lists of breaks order and select by.
type listed struct {
	firstSeen uint64
	state     watch.BreakState
	class     watch.Class
	flow      string
	group     watch.ID
}

func listedOf(b *watch.Break) listed { return listed{b.FirstSeen, b.State, b.Class, b.Flow, b.Group} }

func (l *listed) keys(id watch.ID) [][]byte {
	prefixes := [][]byte{{tagAll}, stateKey(l.state), nameKey(tagClass, string(l.class)), nameKey(tagFlow, l.flow), idKey(tagMates, l.group)}
	for i, p := range prefixes {
		prefixes[i] = append(binary.BigEndian.AppendUint64(p, ^l.firstSeen), id[:]...)
	}
	return prefixes
}

func stateKey(state watch.BreakState) []byte { return []byte{tagState, byte(state)} }
func nameKey(tag byte, name string) []byte   { return append(append([]byte{tag}, name...), 0) }
