package cell

import (
	"context"
	"fmt"
)

// Standby follows a journal that another node writes: it has the state, and can lead from it at once. Its methods are
// not safe for concurrent use, but for Head.
type Standby struct {
	c    *Cell
	head logHead
	told uint64 // last block that publish told of
}

// OpenStandby recovers the state as far as the journal is confirmed, and writes nothing. The options are those of Open.
func OpenStandby(ctx context.Context, opts Options) (*Standby, error) {
	s := &Standby{c: newCell(opts)}
	var err error
	if s.head, err = s.c.logHead(ctx); err == nil {
		err = s.c.load(ctx, s.head)
	}
	if err != nil {
		return nil, fmt.Errorf("recover cell %d: %w", opts.ID, err)
	}
	s.publish()
	return s, nil
}

// publish tells Head, and who reads the catalogue of assets, how far the standby is.
func (s *Standby) publish() {
	s.c.assets.Store(s.c.state.Assets())
	s.c.stats.counts.Store(new(s.c.state.Counts()))
	s.c.followed.advance(s.c.seq)
	s.told = s.c.seq
}

// Head is the last block that the standby has: the journal itself says that it was acknowledged.
func (s *Standby) Head() uint64 { return s.c.durable.Load() }

// Epoch is that of the journal's last block, as Follow saw it.
func (s *Standby) Epoch() uint64 { return s.head.epoch }

// Follow takes what was confirmed since, and tells how many blocks that were. An error that is ErrDamaged says that the
// journal contradicts what the standby has, one that is ErrHalfway that a block could not be replayed to its end: it must
// be opened anew. After others it may be called again.
func (s *Standby) Follow(ctx context.Context) (blocks int, err error) {
	s.snapshotSteps()
	head, err := s.c.logHead(ctx)
	if err != nil || head == s.head {
		return 0, err
	}
	if head.seq < s.c.seq {
		return 0, fmt.Errorf("%w: the journal ends at block %d, and had block %d", ErrDamaged, head.seq, s.c.seq)
	}
	if s.c.halfway {
		err = ErrHalfway
	} else if err = s.c.replay(ctx, head.acked, head.seq, true); s.c.halfway {
		err = fmt.Errorf("%w: %w", ErrHalfway, err)
	}
	if err == nil {
		err = s.c.confirmTail() // which the follower had no room for before
	}
	if err != nil {
		return 0, fmt.Errorf("follow the journal of cell %d: %w", s.c.opts.ID, err)
	}
	s.head = head
	if blocks = int(s.c.seq - s.told); blocks == 0 { //nolint:gosec // few
		return 0, nil
	}
	s.publish()
	return blocks, nil
}

// snapshotPieces is how many pieces of a snapshot are copied each time that the journal is looked at.
const snapshotPieces = 4

// snapshotSteps takes a snapshot while the journal is followed: whoever is to lead must not have to wait for one.
func (s *Standby) snapshotSteps() {
	s.c.collectSnapshot()
	for range snapshotPieces {
		if !s.c.snapshotStep() {
			return
		}
	}
}

// Close gives up what a standby that does not lead is at. It must not be used afterwards.
func (s *Standby) Close() {
	if s.c.snapshot.cancel != nil {
		s.c.snapshot.cancel()
	}
	s.c.endSnapshot()
}

// Lead takes the journal over and starts the cell. believed is what the clock of the store says, in ns since 1970: this
// machine's is held against it; 0: there is none. The standby must not be used afterwards, and is to be closed if it could
// not take over.
func (s *Standby) Lead(ctx context.Context, incarnation [16]byte, believed uint64) (*Cell, error) {
	if err := s.takeOver(ctx, incarnation, believed); err != nil {
		return nil, err
	}
	s.c.run()
	return s.c, nil
}

func (s *Standby) takeOver(ctx context.Context, incarnation [16]byte, believed uint64) error {
	c := s.c
	c.opts.Incarnation = incarnation
	began := c.opts.Clock.Mono()
	head, err := c.logHead(ctx)
	if err == nil {
		err = c.catchUp(ctx, head)
	}
	if err == nil {
		if believed != 0 {
			believed += c.opts.Clock.Mono() - began // it was asked for before the journal was read
		}
		err = c.takeOver(ctx, believed)
	}
	if err != nil {
		return fmt.Errorf("take over cell %d: %w", c.opts.ID, err)
	}
	return nil
}
