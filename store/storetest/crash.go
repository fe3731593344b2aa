package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

// Crashes appends blocks of all sizes to an empty journal of cell 1 while crash ends the server in the middle of it and
// brings it back, as often as rounds says. The same bytes are appended again until it is known what became of them.
// Nothing acknowledged may be lost or altered, and nothing may be there that was not appended.
func Crashes(t *testing.T, s Store, rounds int, crash func() error) {
	t.Helper()
	c := crashes{s: s, w: celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 1}}
	for range rounds {
		if err := c.round(t, crash); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d blocks appended, %d unknown outcomes in %d crashes", len(c.blocks), c.unknown, rounds)
	if c.unknown == 0 {
		t.Error("no crash hit an append")
	}
	if err := c.verify(t); err != nil {
		t.Fatal(err)
	}
}

type crashes struct {
	s       Store
	w       celltest.Writer
	blocks  []*journal.Block // acknowledged
	unknown int
}

// round appends until 20 blocks after a crash.
func (c *crashes) round(t *testing.T, crash func() error) error {
	var crashed chan error
	for before, after := 0, 0; after < 20; before++ {
		if before == 20 {
			crashed = make(chan error, 1)
			go func() { crashed <- crash() }()
		}
		waited, err := c.append(t, crashed)
		if err != nil {
			return err
		}
		if waited {
			crashed = nil
		}
		if before > 20 && crashed == nil {
			after++
		}
	}
	return nil
}

// append makes the next block durable. Once its outcome is unknown, it waits until the server is back.
func (c *crashes) append(t *testing.T, crashed chan error) (waited bool, err error) {
	var prev journal.Hash
	if len(c.blocks) > 0 {
		prev = c.blocks[len(c.blocks)-1].Hash
	}
	sizes := []int{1, 0, 700, 3, 60}
	b := c.w.Block(uint64(len(c.blocks)+1), prev, sizes[len(c.blocks)%len(sizes)])
	for try := range 10 {
		err = c.s.Append(t.Context(), b)
		if err == nil {
			c.blocks = append(c.blocks, b)
			return waited, nil
		}
		if !errors.Is(err, cell.ErrOutcomeUnknown) {
			return waited, fmt.Errorf("append while the server crashes, try %d: %w", try, err)
		}
		c.unknown++
		if crashed != nil && !waited {
			waited = true
			if err := <-crashed; err != nil {
				return waited, fmt.Errorf("bring the server back: %w", err)
			}
		}
	}
	return waited, err
}

func (c *crashes) verify(t *testing.T) error {
	for next := uint64(1); int(next) <= len(c.blocks); { //nolint:gosec // a small number
		from := next
		err := c.s.ReadFrom(t.Context(), next, 1000, 1<<20, func(seq uint64, raw []byte) error {
			if !bytes.Equal(raw, c.blocks[seq-1].Raw) {
				return fmt.Errorf("block %d is another one than was acknowledged", seq)
			}
			next = seq + 1
			return nil
		})
		if err != nil {
			return err
		}
		if next == from {
			return fmt.Errorf("block %d was acknowledged and is not there", next)
		}
	}
	seq, _, err := c.s.Head(t.Context())
	if err == nil && int(seq) != len(c.blocks) { //nolint:gosec // a small number
		err = fmt.Errorf("the head is block %d, appended were %d", seq, len(c.blocks))
	}
	return err
}
