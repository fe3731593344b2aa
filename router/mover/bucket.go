package mover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// bucket is one bucket on its way.
type bucket struct {
	*term
	carrier  *carrier
	actor    journal.Actor
	to       uint64
	bucket   uint16
	accounts []ledger.AccountIn // those with numbers below `next`
	next     uint32

	id      money.U128
	version uint64
	closed  uint64 // block of the close; of a move that this leader began, like the next two
	began   uint64 // clock.Mono
	mine    bool   // this leader has just prepared it: it is closed, and nothing is given
	waited  time.Duration

	reserved uint64             // reservations that are to be given
	known    *router.Map        // the newest map before the close; nil: look
	handed   ledger.BucketState // as it stands once all is given
	switched *router.Map
}

// Bounds of the pause.
const (
	// drainPatience is how long transfers to other cells may take to be decided once the bucket is closed.
	drainPatience = 2 * time.Second
	drainPoll     = 10 * time.Millisecond
	// takerPatience is how long the other cell may take to know the last ids, once the bucket is closed.
	takerPatience = 2 * time.Second
	// maxTail is how many blocks before the close may not be carried yet when something is given: a leader that takes
	// over carries from there on.
	maxTail = 1024
)

// move moves the bucket. After an error it is where it was, unless the term has ended: then the next leader goes on.
func (m *bucket) move() (moved Moved, err error) {
	if err := m.ready(); err != nil {
		return moved, err
	}
	m.began = m.opts.Clock.Mono()
	err = m.tell(journal.BucketClose, ledger.BucketState{})
	if err == nil {
		err = m.prepare()
	}
	m.mine = err == nil
	if err != nil {
		return moved, errors.Join(err, m.callOff())
	}
	s, err := m.finish()
	if err != nil {
		return moved, err
	}
	moved = Moved{Bucket: m.bucket, Accounts: s.Accounts, Reservations: s.Reservations, Pause: m.waited}
	m.stats.moved(moved.Pause)
	m.opts.Logger.Info("a bucket has moved", "cell", m.opts.Cell, "to", m.to, "bucket", m.bucket, "accounts", s.Accounts, "reservations", s.Reservations, "pause", moved.Pause)
	return moved, nil
}

// ready makes sure of all that can be before anybody has to wait.
func (m *bucket) ready() error {
	if err := m.carrier.catchUp(m.ctx, nil); err != nil {
		return err
	}
	if err := m.openClearing(); err != nil {
		return err
	}
	var b [16]byte
	if _, err := io.ReadFull(m.opts.Random, b[:]); err != nil {
		return fmt.Errorf("read random numbers: %w", err)
	}
	m.id = money.LE(b[:])
	known, err := loadMap(m.ctx, m.opts.Maps)
	if err != nil {
		return err
	}
	own, err := router.Report(m.ctx, m.local, []uint16{m.bucket})
	if err != nil {
		return err
	}
	peer, err := m.opts.Peers.Buckets(m.ctx, m.to, 0, []uint16{m.bucket})
	if err != nil {
		return fmt.Errorf("ask cell %d: %w", m.to, err)
	}
	m.known = known
	m.version = 1 + max(known.Version, own[0].Version, peer[0].Version)
	return nil
}

// openClearing opens the accounts of this cell that what leaves is cleared with.
func (m *bucket) openClearing() error {
	assets := m.local.Assets()
	for _, n := range m.assetNumbers() {
		if m.carrier.cleared[n] {
			continue
		}
		a, known := assets.Asset(n)
		if !known {
			return fmt.Errorf("asset %d of an account in bucket %d is not in the catalogue", n, m.bucket)
		}
		if err := router.OpenClearing(m.ctx, m.local, a, n, m.to); err != nil {
			return fmt.Errorf("open the clearing account of %v with cell %d: %w", a, m.to, err)
		}
		m.carrier.cleared[n] = true
	}
	return nil
}

func (m *bucket) assetNumbers() (list []uint32) {
	for i := range m.accounts {
		if n := m.accounts[i].Asset; !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// tell has a step of the move recorded in this cell.
func (m *bucket) tell(step journal.BucketStep, s ledger.BucketState) error {
	r := &cell.Request{Kind: journal.KindBuckets, Actor: m.actor, Events: m.step(step, m.to, s), Results: make([]journal.Result, 1)}
	if err := m.local.Do(m.ctx, r); err != nil {
		return fmt.Errorf("record step %d of the move of bucket %d: %w", step, m.bucket, err)
	}
	if step == journal.BucketClose {
		m.closed = r.Seq
	}
	return made(r.Results[0].Status, journal.KindBuckets)
}

// step is the record of a step: of what a cell that is given to or taken from has.
func (m *bucket) step(step journal.BucketStep, peer uint64, s ledger.BucketState) []byte {
	r := journal.BucketMove{ID: m.id, Peer: peer, Version: m.version, Bucket: m.bucket, Step: step}
	if step == journal.BucketGiven || step == journal.BucketTaken {
		r.Accounts, r.Reservations, r.Digest = s.Accounts, s.Reservations, s.Digest
	}
	return journal.Bytes([]journal.BucketMove{r})
}

// StatusError is a step that a ledger has refused.
type StatusError struct {
	Kind   journal.Kind
	Status journal.Status
}

// Error implements error.
func (e *StatusError) Error() string { return e.Status.Name(e.Kind) }

// made is nil if an event was recorded, now or before.
func made(s journal.Status, kind journal.Kind) error {
	if s == journal.ControlCreated || s == journal.ControlExists {
		return nil
	}
	return &StatusError{kind, s}
}

// callOff opens the bucket again, if it is closed.
func (m *bucket) callOff() error {
	return m.repeat(m.ctx, "call a move off", func() error {
		err := m.tell(journal.BucketCancel, ledger.BucketState{})
		if e := (*StatusError)(nil); errors.As(err, &e) && e.Status == journal.ControlMoveNotOpen { // it was not even closed
			return nil
		}
		return err
	})
}

// errUndecided is a transfer to another cell that gets its decision soon.
var errUndecided = errors.New("transfers to other cells are not decided, since a cell does not answer: move again")

// prepare waits until nothing from the bucket is undecided, and carries the last ids. After it, nothing stands in the way.
func (m *bucket) prepare() error {
	for until, try := m.opts.Clock.Mono()+uint64(drainPatience), 0; ; try++ {
		n, err := m.listRest()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if m.opts.Clock.Mono() >= until {
			return fmt.Errorf("%w (%d of them)", errUndecided, n)
		}
		if err := clock.Sleep(m.ctx, m.opts.Clock, min(pause(try), drainPoll)); err != nil {
			return err
		}
	}
	if m.carrier.through+maxTail < m.closed {
		return fmt.Errorf("%d blocks were made before the close that are not carried yet", m.closed-m.carrier.through)
	}
	ctx, cancel := clock.Within(m.ctx, m.opts.Clock, takerPatience)
	defer cancel()
	if err := m.carrier.carry(ctx, m.closed, nil); err != nil {
		return err
	}
	if _, err := m.opts.Peers.Buckets(ctx, m.to, 0, []uint16{m.bucket}); err != nil { // what is given has to be taken
		return fmt.Errorf("ask cell %d: %w", m.to, err)
	}
	if err := m.openClearing(); err != nil {
		return err
	}
	var stays error
	all := m.handovers(m.accounts)
	if err := m.local.Read(m.ctx, func(s *ledger.State) { stays = s.CheckGive(all) }); err != nil {
		return err
	}
	return stays
}

// listRest lists the accounts that were opened since the others were, and tells how many transfers are undecided.
func (m *bucket) listRest() (undecided uint64, err error) {
	var set ledger.BucketSet
	set.Add(m.bucket)
	for more := true; more; {
		err := m.local.Read(m.ctx, func(s *ledger.State) {
			undecided = s.Undecided(m.bucket)
			_, m.reserved = s.InBucket(m.bucket)
			m.accounts, m.next = s.AccountsIn(&set, m.next, scanPiece, m.accounts)
			more = uint64(m.next) <= s.Counts().Accounts
		})
		if err != nil {
			return 0, fmt.Errorf("list the accounts of bucket %d: %w", m.bucket, err)
		}
	}
	return undecided, nil
}

// state is where the bucket stands in this cell.
func (m *bucket) state() (s ledger.BucketState, accounts, reservations uint64, err error) {
	err = m.local.Read(m.ctx, func(st *ledger.State) {
		for _, b := range st.Buckets() {
			if b.Bucket == m.bucket {
				s = b
			}
		}
		accounts, reservations = st.InBucket(m.bucket)
	})
	return s, accounts, reservations, err
}

// finish brings a move to its end that can't be called off any more: until it has succeeded, or the term ends.
func (m *bucket) finish() (s ledger.BucketState, err error) {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"give", m.give}, {"take", m.take}, {"switch the map of cells", m.switchMap},
	} {
		if err := m.repeat(m.ctx, fmt.Sprintf("%s bucket %d to cell %d", step.what, m.bucket, m.to), step.do); err != nil {
			return s, err
		}
	}
	m.waited = time.Duration(m.opts.Clock.Mono() - m.began) //nolint:gosec // short
	if m.switched != nil {
		m.follow(m.switched.Version)
	}
	err = m.repeat(m.ctx, fmt.Sprintf("end the move of bucket %d", m.bucket), func() error {
		var err error
		if s, _, _, err = m.state(); err == nil && s.Phase == ledger.Given && m.switched != nil {
			err = m.tell(journal.BucketGone, s)
		}
		return err
	})
	if err == nil && s.Reservations > 0 {
		err = m.repeat(m.ctx, fmt.Sprintf("go on with reservations of bucket %d", m.bucket), func() error {
			return m.opts.Left(m.ctx)
		})
	}
	return s, err
}

// give takes all that the bucket has out of this cell.
func (m *bucket) give() error {
	if !m.mine { // another leader began the move, or a step failed
		s, _, reservations, err := m.state()
		if err != nil || s.Phase != ledger.Closing {
			m.handed = s
			return err
		}
		m.reserved, m.accounts, m.next = reservations, nil, 0
		if _, err := m.listRest(); err != nil {
			return err
		}
	}
	m.mine = false
	if m.reserved > 0 {
		if err := m.giveReservations(); err != nil {
			return err
		}
	}
	if err := m.giveAccounts(); err != nil {
		return err
	}
	s, _, _, err := m.state()
	if err != nil {
		return err
	}
	if err = m.tell(journal.BucketGiven, s); err == nil {
		s.Phase = ledger.Given
		m.handed = s
	}
	return err
}

// partAccounts is how many accounts one request gives: with what is attached, it has to fit a block.
const partAccounts = 2048

func (m *bucket) giveAccounts() error {
	if err := m.openClearing(); err != nil {
		return err
	}
	for list := m.handovers(m.accounts); len(list) > 0; {
		n, err := m.handOver(list[:min(partAccounts, len(list))])
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (m *bucket) handovers(accounts []ledger.AccountIn) []journal.Handover {
	assets, list := m.local.Assets(), make([]journal.Handover, len(accounts))
	for i, a := range accounts {
		asset, _ := assets.Asset(a.Asset)
		list[i] = journal.Handover{Move: m.id, Account: a.ID, Clearing: transit.Clearing(asset, m.to)}
	}
	return list
}

// handOver gives accounts, and returns how many of them are given: all before the first that is too much for one request.
func (m *bucket) handOver(events []journal.Handover) (n int, err error) {
	r := &cell.Request{Kind: journal.KindGive, Actor: m.actor, Events: journal.Bytes(events), Results: make([]journal.Result, len(events))}
	if err := m.local.Do(m.ctx, r); err != nil {
		return 0, fmt.Errorf("give %d accounts: %w", len(events), err)
	}
	for i := range r.Results {
		s := r.Results[i].Status
		if s == journal.ControlTooMuchAttached && i > 0 {
			return i, nil
		}
		if err := made(s, journal.KindGive); err != nil {
			return 0, fmt.Errorf("give account %v: %w", events[i].Account, err)
		}
	}
	return len(events), nil
}

// take has the other cell take what was given.
func (m *bucket) take() error {
	s := m.handed
	switch s.Phase {
	case ledger.Given:
	case ledger.Gone: // it was over before
		return nil
	default:
		return fmt.Errorf("bucket %d is %s here, and can't be taken", m.bucket, PhaseName(s.Phase))
	}
	if err := m.tellTaker(journal.BucketArrive, s); err != nil {
		if e := (*StatusError)(nil); errors.As(err, &e) && e.Status == journal.ControlMoveNotOpen {
			return m.isTaken(err)
		}
		return err
	}
	if err := m.sendGiven(); err != nil {
		return err
	}
	if err := m.carrier.carry(m.ctx, m.local.Head(), nil); err != nil { // nothing of the bucket is recorded here since it was given
		return err
	}
	return m.tellTaker(journal.BucketTaken, s)
}

// isTaken is nil if the taker has all of the bucket already; otherwise refused.
func (m *bucket) isTaken(refused error) error {
	peer, err := m.opts.Peers.Buckets(m.ctx, m.to, 0, []uint16{m.bucket})
	if err != nil {
		return err
	}
	known, err := loadMap(m.ctx, m.opts.Maps)
	if err == nil && known.Buckets[m.bucket] == m.opts.Cell && (peer[0].Move != m.id || peer[0].Phase != ledger.Settled) {
		err = refused
	}
	return err
}

// tellTaker has the other cell record a step.
func (m *bucket) tellTaker(step journal.BucketStep, s ledger.BucketState) error {
	statuses, err := m.send(m.ctx, m.to, m.actor, &router.Record{Kind: journal.KindBuckets, Events: m.step(step, m.opts.Cell, s)})
	if err != nil {
		return err
	}
	if err := made(statuses[0], journal.KindBuckets); err != nil {
		return fmt.Errorf("step %d in cell %d: %w", step, m.to, err)
	}
	return nil
}

// switchMap makes the other cell the bucket's owner in the map of cells.
func (m *bucket) switchMap() error {
	if m.handed.Phase != ledger.Given {
		return nil
	}
	for known := m.known; ; known = nil {
		if known == nil {
			var err error
			if known, err = loadMap(m.ctx, m.opts.Maps); err != nil {
				return err
			}
			// Only now: had this leader been deposed before it read the map, the bucket could have come back by that. What was
			// read before the move is safe: the map's version has not risen since.
			if s, _, _, err := m.state(); err != nil || s.Move != m.id || s.Phase != ledger.Given {
				return err
			}
		}
		if known.Buckets[m.bucket] != m.opts.Cell { // it may have gone on from there
			m.switched = known
			m.opts.Switched(known)
			return nil
		}
		next := *known
		next.Buckets[m.bucket] = m.to
		text, err := next.Encode()
		if err != nil {
			return err
		}
		m.known = nil
		swapped, err := m.opts.Maps.Swap(m.ctx, known.Version, text)
		if err != nil {
			return fmt.Errorf("write version %d of the map of cells: %w", known.Version+1, err)
		}
		if swapped {
			next.Version++
			m.switched = &next
			m.opts.Switched(&next)
			return nil
		}
	}
}

// followPatience is how long the taker's node may take to know the new map. If it does not, it looks by itself.
const followPatience = 500 * time.Millisecond

// follow has the taker's node look at the map at once.
func (m *bucket) follow(version uint64) {
	ctx, cancel := context.WithTimeout(m.ctx, followPatience)
	defer cancel()
	if _, err := m.opts.Peers.Buckets(ctx, m.to, version, nil); err != nil && m.ctx.Err() == nil {
		m.opts.Logger.Warn("the cell that took a bucket has not said that it knows the new map of cells", "cell", m.to, "version", version, "error", err)
	}
}
