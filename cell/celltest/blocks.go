package celltest

import (
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Writer makes valid blocks as one leader would. Two writers with different incarnations never make the same block.
type Writer struct {
	Cell        uint64
	Epoch       uint64
	Incarnation byte
}

// Block returns block seq after the block with hash prev (zero for the first), with n transfers whose fields follow
// from seq and their index. n is 0 to journal.MaxEvents; without transfers it is a barrier.
func (w Writer) Block(seq uint64, prev journal.Hash, n int) *journal.Block {
	b := journal.NewBuilder()
	kind := journal.BlockBarrier
	if n > 0 {
		kind = journal.BlockNormal
		events := make([]journal.Transfer, n)
		for i := range events {
			events[i] = journal.Transfer{
				ID: money.U128{Lo: seq<<16 | uint64(i), Hi: uint64(w.Incarnation)}, Debit: money.From(1), Credit: money.From(2),
				Amount: money.From(seq), UserData64: ^seq, Asset: 1, Code: 1,
			}
		}
		b.AddRequest(journal.KindTransfers, journal.Actor{w.Incarnation}, journal.Bytes(events))
	}
	h := journal.Header{
		Rules: 1, Kind: kind, Cell: w.Cell, Seq: seq, Epoch: w.Epoch, Time: 1_000_000_000 + seq*journal.MaxEvents, Prev: prev, Acked: seq - 1,
	}
	binary.LittleEndian.PutUint64(h.Incarnation[:], uint64(w.Incarnation))
	return b.Seal(h)
}

// Chain returns n blocks from the one after (seq, prev) on; block i has sizes[i % len(sizes)] transfers.
func (w Writer) Chain(seq uint64, prev journal.Hash, n int, sizes ...int) []*journal.Block {
	blocks := make([]*journal.Block, n)
	for i := range blocks {
		seq++
		blocks[i] = w.Block(seq, prev, sizes[i%len(sizes)])
		prev = blocks[i].Hash
	}
	return blocks
}
