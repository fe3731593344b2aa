package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

// Largest returns a block of journal.MaxEvents events with attachments that is, within 8 KiB, as large as a block can
// be.
func Largest(seq uint64, prev journal.Hash) *journal.Block {
	b := journal.NewBuilder()
	b.AddRequest(journal.KindTransfers, journal.Actor{1}, make([]byte, journal.MaxEvents*journal.RecordSize))
	left := journal.MaxBlock - journal.HeaderSize - journal.MaxEvents*journal.RecordSize - journal.RequestSize
	for i := range left / (journal.MaxDetails + journal.AttachmentSize) {
		data := make([]byte, journal.MaxDetails)
		for j := range data {
			data[j] = byte(i * j) //nolint:gosec // any bytes
		}
		b.Attach(i, data)
	}
	return b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: seq, Epoch: 1, Time: 1 + seq*journal.MaxEvents, Prev: prev, Acked: seq - 1})
}

// Append measures appends to an empty journal of cell 1, one after the other, of blocks with events transfers, or of
// Largest where events is 0. Making the blocks is not measured.
func Append(b *testing.B, log cell.Log, events int) {
	w := celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 1}
	took := make([]time.Duration, 0, 1<<12)
	var prev journal.Hash
	var size int
	for seq := uint64(1); b.Loop(); seq++ {
		b.StopTimer()
		block := w.Block(seq, prev, max(1, events))
		if events == 0 {
			block = Largest(seq, prev)
		}
		prev, size = block.Hash, len(block.Raw)
		b.StartTimer()
		began := time.Now()
		if err := log.Append(b.Context(), block); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.SetBytes(int64(size))
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}
