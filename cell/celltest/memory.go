package celltest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// Memory is a correct cell.Log that forgets everything with the process. It is safe for concurrent use; the zero
// value is empty.
type Memory struct {
	mu     sync.Mutex
	blocks []*journal.Block
	plant  fault // none; the suite's own tests set it
}

// fault is a rule of the contract broken on purpose.
type fault int

const (
	none           fault = iota
	noPredecessor        // any predecessor will do: a unique key alone
	overwrites           // a taken number is written over
	conflictsSame        // the last block again is a conflict
	fillsGaps            // a number beyond the next one is taken as the next one
	shiftsReads          // ReadAt is one byte off
	pads                 // ReadAt goes on with zeros after the end
	acksConflicts        // a conflict is reported as success
	forgetsOnOpen        // the last block wasn't durable
	lateHead             // Head lags one behind
	invents              // a missing block is read as an empty one
	checksAfter          // the number is checked, then written, with others in between
	cancelsHalfway       // a cancelled append is there and then conflicts with itself
)

// Append implements cell.Log.
func (m *Memory) Append(ctx context.Context, b *journal.Block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &b.Header
	head, hash := m.head()
	if h.Seq == head && hash == b.Hash && m.plant != conflictsSame {
		return nil
	}
	free, follows := h.Seq == head+1, h.Prev == hash
	switch m.plant {
	case noPredecessor:
		follows = true
	case fillsGaps:
		free, follows = h.Seq > head, true
	case overwrites:
		if h.Seq >= 1 && h.Seq <= head {
			m.blocks[h.Seq-1] = clone(b)
			return nil
		}
	case acksConflicts:
		if !free || !follows {
			return nil
		}
	case checksAfter:
		m.mu.Unlock()
		for range 1000 { // lets the other contender in
			runtime.Gosched()
		}
		m.mu.Lock()
	case cancelsHalfway:
		if ctx.Err() != nil && free {
			c := clone(b)
			c.Hash[0] ^= 1
			m.blocks = append(m.blocks, c)
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append block %d: %w", h.Seq, err)
	}
	if !free || !follows {
		return fmt.Errorf("append block %d: %w", h.Seq, cell.ErrConflict)
	}
	m.blocks = append(m.blocks, clone(b))
	return nil
}

func clone(b *journal.Block) *journal.Block {
	return &journal.Block{Header: b.Header, Hash: b.Hash, Raw: bytes.Clone(b.Raw)}
}

func (m *Memory) head() (uint64, journal.Hash) {
	if len(m.blocks) == 0 {
		return 0, journal.Hash{}
	}
	return uint64(len(m.blocks)), m.blocks[len(m.blocks)-1].Hash
}

// Head implements cell.Log.
func (m *Memory) Head(context.Context) (uint64, journal.Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq, hash := m.head()
	if m.plant == lateHead && seq > 1 {
		return seq - 1, m.blocks[seq-2].Hash, nil
	}
	return seq, hash, nil
}

// Read implements cell.Log.
func (m *Memory) Read(_ context.Context, seq uint64, dst []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq == 0 || seq > uint64(len(m.blocks)) {
		if m.plant == invents {
			return dst[:0], nil
		}
		return nil, fmt.Errorf("read block %d: %w", seq, cell.ErrNotFound)
	}
	return append(dst[:0], m.blocks[seq-1].Raw...), nil
}

// ReadAt implements cell.Log.
func (m *Memory) ReadAt(ctx context.Context, seq uint64, p []byte, offset int) error {
	raw, err := m.Read(ctx, seq, nil)
	if err != nil {
		return err
	}
	switch m.plant {
	case shiftsReads:
		offset = max(0, offset-1)
	case pads:
		raw = append(raw, make([]byte, len(p)+max(0, offset))...)
	}
	if offset < 0 || len(p) > len(raw)-offset {
		return fmt.Errorf("read bytes %d to %d of block %d: it has %d: %w", offset, offset+len(p), seq, len(raw), io.ErrUnexpectedEOF)
	}
	copy(p, raw[offset:])
	return nil
}

// reopen is what a restart leaves.
func (m *Memory) reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	blocks := m.blocks
	if m.plant == forgetsOnOpen {
		blocks = blocks[:len(blocks)-1]
	}
	return &Memory{blocks: blocks, plant: m.plant}
}

var _ cell.Log = (*Memory)(nil)
