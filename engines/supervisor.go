package engines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/clock"
)

// A Supervisor keeps a PostgreSQL trio alive: it probes the primary, promotes a standby when the primary is gone, and
// attaches again whoever is not streaming from the primary. It is an example of the rules that a promotion must follow
// so that no acknowledged commit is lost, short enough to read; it runs in one process, and while that is gone nobody
// promotes. In production use Patroni with synchronous_mode_strict, or what your provider runs.
//
// The rules. A commit is acknowledged when one of the two standbys has it. So:
//   - Both standbys are heard before one is chosen: the commit may be on either. With one of them away there is no
//     promotion, only waiting.
//   - Both are detached from the old primary, and confirm it, before their positions are compared. A standby that still
//     streams could let the old primary acknowledge a commit that the chosen one does not have.
//   - The position of a standby is the end of what it has on disk: it has replayed all of it when it waits for more.
//   - The one with the higher position is promoted; the other follows it. The promoted one asks for a quorum from its
//     first commit on.
//   - A primary that comes back after it was replaced is ended, rewound to where its successor began, and attached as a
//     standby. Until then it can't acknowledge anything, because no standby streams from it.
type Supervisor struct {
	nodes [trioSize]*postgresNode
	log   *slog.Logger
	clock clock.Clock

	primary    atomic.Int32
	promotions atomic.Int32

	mu     sync.Mutex // one decision at a time; guards what follows
	misses int
	probe  *pgx.Conn         // to the primary; nil: connect first
	absent [trioSize]absence // since when a standby, though it answers, does not stream

	cancel context.CancelFunc
	done   sync.WaitGroup
}

type absence struct {
	absent bool
	since  uint64 // in the clock's monotonic nanoseconds
}

const (
	probeEvery = 250 * time.Millisecond
	// missesToFail is how many probes in a row fail before the primary counts as gone.
	missesToFail = 3
	// answerWithin is how long a node may take to answer one question.
	answerWithin = time.Second
	// promoteWithin bounds one attempt of a promotion.
	promoteWithin = 15 * time.Second
	// copyAfter is how long a standby that answers may fail to stream before its data are copied anew.
	copyAfter = 10 * time.Second
)

func newSupervisor(t *PostgresTrio) *Supervisor {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Supervisor{nodes: t.nodes, log: t.log, clock: clock.NewSystem(), cancel: cancel}
	s.done.Go(func() {
		for clock.Sleep(ctx, s.clock, probeEvery) == nil {
			s.step(ctx)
		}
	})
	return s
}

// Primary is the node that is taken for the primary now: 0 to 2.
func (s *Supervisor) Primary() int { return int(s.primary.Load()) }

// Promotions counts the promotions so far.
func (s *Supervisor) Promotions() int { return int(s.promotions.Load()) }

func (s *Supervisor) close() {
	s.cancel()
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropProbe()
}

// step is one look at the primary, and what follows from it.
func (s *Supervisor) step(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	streaming, err := s.look(ctx)
	if err != nil {
		s.misses++
		s.log.Debug("the primary does not answer", "node", nodeName(s.Primary()), "misses", s.misses, "error", err)
		if s.misses >= missesToFail {
			s.failOver(ctx)
		}
		return
	}
	s.misses = 0
	s.attachAbsent(ctx, streaming)
}

// look asks the primary whether it is one, and who streams from it.
func (s *Supervisor) look(ctx context.Context) (streaming map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if s.probe == nil {
		if s.probe, err = pgx.Connect(ctx, s.nodes[s.Primary()].frontDSN("postgres")); err != nil {
			s.probe = nil
			return nil, err
		}
	}
	var inRecovery bool
	var names []string
	const question = `SELECT pg_is_in_recovery(), coalesce((SELECT array_agg(application_name) FROM pg_stat_replication WHERE state = 'streaming'), '{}')`
	if err = s.probe.QueryRow(ctx, question).Scan(&inRecovery, &names); err == nil && inRecovery {
		err = errors.New("it is a standby")
	}
	if err != nil {
		s.dropProbe()
		return nil, err
	}
	streaming = map[string]bool{}
	for _, name := range names {
		streaming[name] = true
	}
	return streaming, nil
}

func (s *Supervisor) dropProbe() {
	if s.probe != nil {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		defer cancel()
		_ = s.probe.Close(ctx)
		s.probe = nil
	}
}

// A standing is what a detached standby says of itself.
type standing struct {
	index    int
	position uint64 // the end of its log, as PostgreSQL counts bytes
	promoted bool   // it is a primary: an earlier attempt promoted it, and nobody heard
}

// choose returns the standby to promote: one that is promoted already, or else the one with the higher position. It
// wants to have heard both.
func choose(heard []standing) (standing, error) {
	if len(heard) != trioSize-1 {
		return standing{}, fmt.Errorf("choose a primary: %d standbys are heard, want %d: an acknowledged commit may be only on the other", len(heard), trioSize-1)
	}
	best := heard[0]
	for _, x := range heard[1:] {
		switch {
		case x.promoted && best.promoted:
			return standing{}, fmt.Errorf("choose a primary: %s and %s both are one", nodeName(best.index), nodeName(x.index))
		case best.promoted:
		case x.promoted || x.position > best.position:
			best = x
		}
	}
	return best, nil
}

// failOver promotes a standby, or leaves everything as it is and is called again.
func (s *Supervisor) failOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, promoteWithin)
	defer cancel()
	old := s.Primary()
	chosen, err := s.detachAndChoose(ctx, old)
	if err == nil && !chosen.promoted {
		err = s.nodes[chosen.index].promote(ctx)
	}
	if err != nil {
		s.log.Warn("no promotion yet", "gone", nodeName(old), "error", err)
		return
	}
	s.primary.Store(int32(chosen.index)) //nolint:gosec // 0 to 2
	s.promotions.Add(1)
	s.misses = 0
	s.absent = [trioSize]absence{}
	s.dropProbe()
	s.log.Info("promoted", "node", nodeName(chosen.index), "gone", nodeName(old))
	for _, n := range s.nodes {
		if n.index != old && n.index != chosen.index {
			if err := s.point(ctx, n, s.nodes[chosen.index]); err != nil {
				s.log.Warn("point a standby to the new primary", "node", nodeName(n.index), "error", err) // attachAbsent tries again
			}
		}
	}
}

// promote makes a standby a primary and returns when it takes writes.
func (n *postgresNode) promote(ctx context.Context) error {
	var promoted bool
	err := n.ask(ctx, fmt.Sprintf("SELECT pg_promote(true, %d)", int(promoteWithin.Seconds())), &promoted)
	if err == nil && !promoted {
		err = errors.New("it did not become a primary in time")
	}
	return wrap(err, "promote "+nodeName(n.index))
}

// detachAndChoose detaches both standbys of the node that is gone, and compares them.
func (s *Supervisor) detachAndChoose(ctx context.Context, gone int) (standing, error) {
	var heard [trioSize]standing
	var failed [trioSize]error
	var asking sync.WaitGroup
	for i, n := range s.nodes {
		if i != gone {
			asking.Go(func() { heard[i], failed[i] = detach(ctx, n) })
		}
	}
	asking.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return standing{}, err
	}
	return choose(append(heard[:gone:gone], heard[gone+1:]...))
}

// detach makes a standby stop streaming, waits until it has, and returns its position.
func detach(ctx context.Context, n *postgresNode) (standing, error) {
	at := standing{index: n.index}
	ctx, cancel := context.WithTimeout(ctx, 3*answerWithin)
	defer cancel()
	if err := n.ask(ctx, "SELECT NOT pg_is_in_recovery()", &at.promoted); err != nil || at.promoted {
		return at, wrap(err, "ask "+nodeName(n.index))
	}
	if err := n.setSource(ctx, ""); err != nil {
		return at, fmt.Errorf("detach %s: %w", nodeName(n.index), err)
	}
	// A connection made after the reload is served with the new setting, and by then the replaying process has been
	// told. It is still to act on it: so it counts when two looks in a row find no receiver, all replayed, and no move.
	const question = `SELECT current_setting('primary_conninfo') = ''
		AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver')
		AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryRetrieveRetryInterval'),
		(pg_last_wal_replay_lsn() - '0/0')::bigint`
	last := int64(-1)
	err := poll(ctx, nil, func(ctx context.Context) error {
		var detached bool
		var replayed int64
		if err := n.ask(ctx, question, &detached, &replayed); err != nil {
			return err
		}
		before := last
		if last = -1; detached {
			last = replayed
		}
		if last == -1 || last != before {
			return errors.New("it still moves")
		}
		at.position = uint64(max(replayed, 0))
		return nil
	})
	return at, wrap(err, "detach "+nodeName(n.index))
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// setSource changes whom a running standby streams from; "": nobody.
func (n *postgresNode) setSource(ctx context.Context, source string) error {
	// ALTER SYSTEM takes no parameters. source is ours and has no quotes.
	if err := n.tell(ctx, "ALTER SYSTEM SET primary_conninfo = '"+strings.ReplaceAll(source, "'", "''")+"'"); err != nil {
		return err
	}
	return n.tell(ctx, "SELECT pg_reload_conf()")
}

func (s *Supervisor) point(ctx context.Context, n, primary *postgresNode) error {
	s.log.Info("attach a standby", "node", nodeName(n.index), "primary", nodeName(primary.index))
	return n.setSource(ctx, n.sourceOf(primary))
}

// attachAbsent looks after the nodes that do not stream from the primary. Those that do not run, or do not answer, are
// left alone: someone starts or heals them.
func (s *Supervisor) attachAbsent(ctx context.Context, streaming map[string]bool) {
	primary := s.nodes[s.Primary()]
	for i, n := range s.nodes {
		if i == primary.index || streaming[nodeName(i)] {
			s.absent[i] = absence{}
			continue
		}
		if err := s.attachOne(ctx, n, primary); err != nil {
			s.log.Debug("attach a standby", "node", nodeName(i), "error", err)
		}
	}
}

func (s *Supervisor) attachOne(ctx context.Context, n, primary *postgresNode) error {
	if n.Pid() == 0 {
		s.absent[n.index] = absence{}
		return nil
	}
	var inRecovery bool
	var source string
	asking, cancel := context.WithTimeout(ctx, answerWithin)
	err := n.ask(asking, "SELECT pg_is_in_recovery(), current_setting('primary_conninfo')", &inRecovery, &source)
	cancel()
	if err != nil {
		return err
	}
	repairing, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if !inRecovery {
		s.log.Info("a replaced primary is back: end and rewind it", "node", nodeName(n.index))
		return s.attach(repairing, n, primary)
	}
	if source != n.sourceOf(primary) {
		return s.point(repairing, n, primary)
	}
	now := s.clock.Mono()
	if a := &s.absent[n.index]; !a.absent {
		*a = absence{absent: true, since: now}
	} else if now-a.since > uint64(copyAfter) {
		*a = absence{}
		s.log.Warn("a standby does not come to stream: copy it anew", "node", nodeName(n.index))
		if err := n.Kill(); err != nil {
			return err
		}
		return n.copyFrom(repairing, primary)
	}
	return nil
}

// attach makes a node the primary's standby, whatever it was.
func (s *Supervisor) attach(ctx context.Context, n, primary *postgresNode) error {
	if err := n.Kill(); err != nil {
		return err
	}
	if _, err := os.Stat(n.home.path("data/standby.signal")); errors.Is(err, os.ErrNotExist) {
		// It was a primary: its log may have an end that its successor never saw.
		if err := n.rewind(ctx, primary); err != nil {
			s.log.Warn("rewind: copy instead", "node", nodeName(n.index), "error", err)
			return n.copyFrom(ctx, primary)
		}
	}
	return n.startAsStandby(ctx, primary)
}

// rewind takes a stopped former primary back to where the primary's history began. pg_rewind brings the data to a clean
// end first, and copies the primary's settings too, which startAsStandby replaces.
func (n *postgresNode) rewind(ctx context.Context, primary *postgresNode) error {
	// Until its first checkpoint a promoted server's control file names the old history.
	if err := primary.tell(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("checkpoint %s: %w", nodeName(primary.index), err)
	}
	return n.command("pg_rewind", "--target-pgdata="+n.data(), "--source-server="+n.sourceOf(primary)).run(ctx)
}

// start starts a node that does not run: the primary as it is, any other as its standby.
func (s *Supervisor) start(ctx context.Context, i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, primary := s.nodes[i], s.nodes[s.Primary()]
	if n.Pid() != 0 {
		return fmt.Errorf("start %s: it runs", nodeName(i))
	}
	if n == primary {
		return wrap(n.Restart(ctx), "start "+nodeName(i))
	}
	return wrap(s.attach(ctx, n, primary), "start "+nodeName(i))
}
