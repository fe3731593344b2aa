package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
)

// Verify reads the whole journal as it was when it was called and checks all that the format promises: sectors,
// bodies, headers, and the chain from the first block on. It gives every block to visit, which may be nil; the block
// is visit's to keep. It never changes anything, and stops at the first fault, which it names by file and offset.
func (s *Store) Verify(ctx context.Context, visit func(*journal.Block) error) error {
	head, want, err := s.Head(ctx)
	if err != nil {
		return err
	}
	var prev journal.Hash
	for seq := uint64(1); seq <= head; seq++ {
		raw, err := s.Read(ctx, seq, nil)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		b, err := journal.Decode(raw)
		if err != nil {
			return errors.Join(s.blame(seq, "block %d does not decode", seq), err)
		}
		if b.Header.Prev != prev {
			return s.blame(seq, "block %d follows %v, but the block before it is %v", seq, b.Header.Prev, prev)
		}
		prev = b.Hash
		if visit == nil {
			continue
		}
		if err := visit(b); err != nil {
			return fmt.Errorf("verify block %d: %w", seq, err)
		}
	}
	if prev != want {
		return s.blame(head, "block %d has hash %v, the journal ended with %v", head, prev, want)
	}
	return nil
}

// blame is damage of a block that can be read.
func (s *Store) blame(seq uint64, format string, args ...any) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	r, err := s.reader(seq)
	if err != nil {
		return err
	}
	defer r.close()
	return damaged(r.seg.path, offsetOf(r.sector), format, args...)
}
