package monitor

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// commitAll is the committer: it stores groups in order, and answers who waits for them.
func (s *session) commitAll() {
	defer func() { // after a fault: the loop may wait to hand a group over, and others for answers
		for g := range s.commits {
			s.refuse(g)
		}
	}()
	checked := uint64(0)
	for g := range s.commits {
		if mono := s.mono(); checked == 0 || mono-checked >= uint64(spacePause) {
			checked = mono
			if err := checkSpace(s.m.opts.FS, s.m.opts.Dir, reserve); err != nil {
				s.fail(err)
			}
		}
		if s.err() == nil {
			if err := s.commit(g); err != nil {
				s.fail(err)
			}
		}
		if s.err() != nil {
			s.refuse(g)
			continue
		}
		s.stored(g)
	}
}

// spacePause is how often the free space is looked at.
const spacePause = 200 * time.Millisecond

// refuse answers those who wait for a group that is not stored. The loop closes commits.
func (s *session) refuse(g *group) {
	for _, answer := range g.answers {
		answer(s.m.inbox.why(s.err()))
	}
	if !s.left.Load() {
		_ = g.batch.Close() // it is given up
	}
}

// commit stores a group. Pebble may end the goroutine that calls it, or panic; neither may reach others.
func (s *session) commit(g *group) error {
	option := pebble.NoSync
	if g.sync {
		option = pebble.Sync
	}
	done := make(chan error, 1)
	go func() {
		err := contained(func() error { return g.batch.Commit(option) })
		if err != nil {
			s.store.fatal(err)
		}
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-s.failed:
		if !s.left.Load() {
			err = <-done
			break
		}
		err = s.err() // the database may never come back
	}
	if err != nil {
		return fmt.Errorf("store group %d of the watch: %w", g.number, err)
	}
	return nil
}

// stored tells of a group that is in the database, and durable if it was to be.
func (s *session) stored(g *group) {
	if err := g.batch.Close(); err != nil {
		s.fail(fmt.Errorf("store group %d of the watch: %w", g.number, err))
	}
	s.committed.Store(g.number)
	if g.durable != nil {
		close(g.durable)
	}
	for _, answer := range g.answers {
		answer(nil)
	}
	for _, w := range g.freezes {
		s.freezer.add(w)
	}
	if g.view != nil {
		s.m.view.Store(g.view)
		if g.sync {
			s.m.durable.Store(g.view)
		}
	}
	s.m.alarms.tell(g.told, g.view)
}
