package faults

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Cell is the number of the cell that streams are of.
const Cell = 1

// book is the real ledger, with a journal that it forgets.
type book struct {
	state   *ledger.State
	builder *journal.Builder
	fx      ledger.Effects
	seq     uint64 // of the last block
	hash    journal.Hash
	open    bool
	opened  uint64 // time of the open block
	recent  [recentBlocks]*journal.Block
}

// recentBlocks is how many blocks are kept, so that a capture finds its reservation.
const recentBlocks = 2_048

var errForgotten = errors.New("a block that is no longer kept")

func newBook() *book {
	return &book{state: ledger.New(ledger.Config{}), builder: journal.NewBuilder()}
}

// begin opens a block at a moment, or right after what the ledger has.
func (b *book) begin(now uint64) {
	if b.open {
		return
	}
	b.open, b.opened = true, max(now, b.state.NextTime())
	b.state.Begin(b.builder, &b.fx, b.seq+1, b.opened)
	b.state.Expire()
}

// actor is who sends everything.
var actor = journal.Actor{1}

// apply runs a request in the open block. Events that the ledger refuses are what the stream asked for.
func (b *book) apply(kind journal.Kind, events []byte, attached ...journal.Attachment) error {
	events = journal.Aligned(events)
	if err := ledger.CheckRequest(kind, events, attached); err != nil {
		return fmt.Errorf("request of kind %d: %w", kind, err)
	}
	b.state.Attach(attached)
	facts := ledger.Facts{At: map[journal.Position]ledger.Fact{}, TransferAt: map[uint64]bool{}}
	for _, n := range b.state.Needs(kind, events, nil) {
		if n.OfTimestamp() {
			facts.TransferAt[n.Timestamp] = false
			continue
		}
		f, err := b.fact(n.Position)
		if err != nil {
			return err
		}
		facts.At[n.Position] = f
		if p := f.PendingPosition; p != 0 {
			if facts.At[p], err = b.fact(p); err != nil {
				return err
			}
		}
	}
	b.state.Apply(kind, actor, events, facts, make([]journal.Result, len(events)/journal.RecordSize))
	return nil
}

func (b *book) fact(p journal.Position) (ledger.Fact, error) {
	k := b.recent[p.Seq()%recentBlocks]
	if k == nil || k.Header.Seq != p.Seq() {
		return ledger.Fact{}, fmt.Errorf("block %d: %w", p.Seq(), errForgotten)
	}
	i := p.Index() - len(k.Expiries)
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index())), nil //nolint:gosec // G115: an index
}

// seal ends the open block; nil: there was nothing in it.
func (b *book) seal() (*journal.Block, error) {
	if !b.open {
		return nil, nil //nolint:nilnil // no block is no error
	}
	b.open = false
	if b.builder.Empty() {
		b.state.End(nil)
		return nil, nil //nolint:nilnil // no block is no error
	}
	h := journal.Header{Kind: journal.BlockNormal, Rules: ledger.Rules, Cell: Cell, Epoch: 1, Incarnation: [16]byte{1}, Seq: b.seq + 1, Time: b.opened, Prev: b.hash, Acked: b.seq}
	if b.seq == 0 {
		h.Kind = journal.BlockEpoch
	}
	k, err := journal.Decode(bytes.Clone(b.builder.Seal(h).Raw))
	if err != nil {
		return nil, fmt.Errorf("read block %d as the ledger made it: %w", h.Seq, err)
	}
	b.state.End(k)
	b.state.Release(h.Seq)
	b.seq, b.hash = h.Seq, k.Hash
	b.recent[h.Seq%recentBlocks] = k
	return k, nil
}

// full reports whether another request of n events may not fit into the open block.
func (b *book) full(n int) bool { return b.open && b.builder.Events()+n > journal.MaxEvents }
