package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/journal"
)

// Appender takes the blocks that are restored, in order from block 1 on, and keeps none of their memory. Every cell.Log
// is one.
type Appender interface {
	Append(ctx context.Context, b *journal.Block) error
}

// Discard is an Appender that drops what it is given: restoring into it checks a backup and writes nothing.
type Discard struct{}

// Append implements Appender.
func (Discard) Append(context.Context, *journal.Block) error { return nil }

// Target says what to restore. The zero value means all that the newest backup has.
type Target struct {
	Manifest string    // id of a backup; empty: the one that reaches furthest
	Seq      uint64    // last block; 0: no bound
	Time     time.Time // the last block that began at this time or before; zero: no bound
}

// Restored is what Restore did.
type Restored struct {
	Manifest *Manifest // the backup that it came from
	Backups  int       // how many that one stands on, itself included
	Seq      uint64    // last block
	Hash     journal.Hash
	Time     time.Time // when the last block was made
	Bytes    int64     // read from the repository
	Extras   []Extra   // in their last version, whatever the target
}

// Restore reads a backup and hands its blocks on. It checks the hash of every object, and header, hash and place in the
// chain of every block, before it hands them on; the caller has to drop what it got when there is an error. Errors:
// ErrNoBackup, ErrOutOfReach, ErrDamaged and ErrMissing with the object's name, and to's.
func Restore(ctx context.Context, r Repository, cell uint64, t Target, to Appender, progress func(done, total uint64)) (*Restored, error) {
	out, err := restore(ctx, r, cell, t, to, progress)
	if err != nil {
		return nil, fmt.Errorf("restore cell %d: %w", cell, err)
	}
	return out, nil
}

func restore(ctx context.Context, r Repository, cell uint64, t Target, to Appender, progress func(done, total uint64)) (*Restored, error) {
	c, err := load(ctx, r, cell)
	if err != nil {
		return nil, err
	}
	m, err := c.choose(t)
	if err != nil {
		return nil, err
	}
	if t.Seq > m.LastSeq {
		return nil, fmt.Errorf("%w: block %d, backup %s ends with block %d", ErrOutOfReach, t.Seq, m.ID, m.LastSeq)
	}
	if t.Time.After(m.Time) {
		return nil, fmt.Errorf("%w: backup %s was taken at %s, before %s", ErrOutOfReach, m.ID, stamp(m.Time), stamp(t.Time))
	}
	chain, err := c.chain(m)
	if err != nil {
		return nil, err
	}
	s := &restorer{repository: r, target: t, to: to, progress: progress, out: &Restored{Manifest: m.Manifest, Backups: len(chain)}}
	s.total = m.LastSeq
	if t.Seq > 0 {
		s.total = t.Seq
	}
	for _, m := range chain {
		if err := s.backup(ctx, m.Manifest); err != nil {
			return nil, err
		}
		if s.done {
			break
		}
	}
	if s.out.Seq == 0 {
		return nil, fmt.Errorf("%w: the first block was made at %s, after %s", ErrOutOfReach, stamp(s.first), stamp(t.Time))
	}
	if s.out.Extras, err = getExtras(ctx, r, m.Manifest); err != nil {
		return nil, err
	}
	return s.out, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// choose returns the backup to restore. Where a younger one can't be read, none is taken in its stead: less than what
// was asked for is not what was asked for.
func (c *catalog) choose(t Target) (*listed, error) {
	if t.Manifest != "" {
		for _, f := range c.faults {
			if f.id == t.Manifest {
				return nil, f.err
			}
		}
		m := c.manifests[t.Manifest]
		if m == nil {
			return nil, fmt.Errorf("%w: %s", ErrNoBackup, t.Manifest)
		}
		return m, nil
	}
	m := c.newest(func(*listed) bool { return true })
	if n := len(c.faults); n > 0 && (m == nil || c.faults[n-1].id > m.ID) {
		return nil, fmt.Errorf("%w; it may be the newest backup: to restore another one, name it", c.faults[n-1].err)
	}
	if m == nil {
		return nil, fmt.Errorf("%w: there is none of cell %d", ErrNoBackup, c.cell)
	}
	return m, nil
}

// errReached ends the reading of an object where the target is reached.
var errReached = errors.New("the target is reached")

// restorer is a restore on its way.
type restorer struct {
	repository Repository
	target     Target
	to         Appender
	progress   func(done, total uint64)
	total      uint64
	out        *Restored
	first      time.Time // of the first block
	done       bool
}

// backup restores the blocks of one backup.
func (s *restorer) backup(ctx context.Context, m *Manifest) error {
	for i := range m.Objects {
		o := &m.Objects[i]
		stored, err := fetch(ctx, s.repository, o.Name, o.Bytes)
		if err != nil {
			return err
		}
		s.out.Bytes += o.Bytes
		err = readRun(ctx, m.Cell, o, stored, func(seq uint64, raw []byte) error { return s.block(ctx, m.Cell, o.Name, seq, raw) })
		if errors.Is(err, errReached) {
			s.done = true
			return nil
		}
		if err != nil {
			return err
		}
		if s.progress != nil {
			s.progress(s.out.Seq, s.total)
		}
	}
	if Digest(s.out.Hash) != m.LastHash {
		return damaged(manifestName(m.Cell, m.ID), "block %d has hash %v, it says %v", m.LastSeq, s.out.Hash, journal.Hash(m.LastHash))
	}
	return nil
}

// block checks one block and hands it on.
func (s *restorer) block(ctx context.Context, cell uint64, object string, seq uint64, raw []byte) error {
	k, err := journal.Decode(raw)
	if err != nil {
		return errors.Join(damaged(object, "block %d", seq), err)
	}
	h := &k.Header
	if h.Cell != cell || h.Seq != seq || seq != s.out.Seq+1 || h.Prev != s.out.Hash {
		return damaged(object, "block %d of cell %d does not follow block %d with hash %v", h.Seq, h.Cell, s.out.Seq, s.out.Hash)
	}
	made := time.Unix(0, int64(h.Time)).UTC() //nolint:gosec // ≤ journal.MaxTimestamp
	if seq == 1 {
		s.first = made
	}
	if !s.target.Time.IsZero() && made.After(s.target.Time) {
		return errReached
	}
	if err := s.to.Append(ctx, k); err != nil {
		return fmt.Errorf("append block %d: %w", seq, err)
	}
	s.out.Seq, s.out.Hash, s.out.Time = seq, k.Hash, made
	if seq == s.target.Seq {
		return errReached
	}
	return nil
}
