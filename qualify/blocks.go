package qualify

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Writer makes valid blocks of a scratch cell, as a leader would. Writers with different incarnations never make the
// same block. It is not safe for concurrent use.
type Writer struct {
	cell        uint64
	incarnation [16]byte
	builder     *journal.Builder
	made        uint64
}

// NewWriter returns a writer. The incarnation has to be fresh: random, or counted by the caller.
func NewWriter(cell uint64, incarnation [16]byte) *Writer {
	return &Writer{cell: cell, incarnation: incarnation, builder: journal.NewBuilder()}
}

// Block returns block seq after the one with hash prev, with n transfers, 0 to journal.MaxEvents. Each call makes
// another block, also for the same arguments, and it is valid until the next call.
func (w *Writer) Block(seq uint64, prev journal.Hash, n int) *journal.Block {
	w.made++
	w.builder.Reset()
	kind := journal.BlockBarrier
	if n > 0 {
		kind = journal.BlockNormal
		events := make([]journal.Transfer, n)
		for i := range events {
			// Spread like the ids and amounts of real transfers, so that no engine compresses them away.
			x := (w.made<<20 | uint64(i)) * 0x9e3779b97f4a7c15
			events[i] = journal.Transfer{
				ID: money.U128{Lo: x, Hi: binary.LittleEndian.Uint64(w.incarnation[:]) + 1}, Debit: money.U128{Lo: x >> 7, Hi: x}, Credit: money.U128{Lo: x >> 13, Hi: x << 1},
				Amount: money.From(1 + x>>40), UserData64: x ^ x>>31, Asset: 1, Code: 1,
			}
		}
		w.builder.AddRequest(journal.KindTransfers, journal.Actor(w.incarnation), journal.Bytes(events))
	}
	return w.builder.Seal(journal.Header{
		Rules: 1, Kind: kind, Cell: w.cell, Seq: seq, Epoch: 1, Incarnation: w.incarnation,
		Time: 1_000_000_000 + w.made*journal.MaxEvents, Prev: prev, Acked: seq - 1,
	})
}
