package local_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// BenchmarkAppend appends blocks to a journal on the real disk (of the test's temporary folder), each made durable.
func BenchmarkAppend(b *testing.B) {
	for _, transfers := range []int{1, 30, 500, 8000} {
		b.Run(fmt.Sprintf("%dtransfers", transfers), func(b *testing.B) {
			s, err := local.Open(b.TempDir(), local.Options{FS: vfs.Default, Cell: 1})
			if err != nil {
				b.Fatal(err)
			}
			var prev journal.Hash
			seq := uint64(0)
			var blocks []*journal.Block
			b.ReportAllocs()
			for b.Loop() {
				if len(blocks) == 0 {
					b.StopTimer()
					blocks = writer.Chain(seq, prev, 64, transfers)
					b.StartTimer()
				}
				k := blocks[0]
				if err := s.Append(b.Context(), k); err != nil {
					b.Fatal(err)
				}
				seq, prev, blocks = k.Header.Seq, k.Hash, blocks[1:]
				b.SetBytes(int64(len(k.Raw)))
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkReadAt reads single records from the page cache, of the active segment and of sealed ones.
func BenchmarkReadAt(b *testing.B) {
	const blocks = 4000
	for name, size := range map[string]int64{"active": 64 << 20, "sealed": 1 << 20} {
		for _, transfers := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%dtransfers", name, transfers), func(b *testing.B) {
				dir := b.TempDir()
				s, err := local.Open(dir, local.Options{Cell: 1, SegmentSize: size})
				if err != nil {
					b.Fatal(err)
				}
				w := celltest.Writer{Cell: 1}
				for _, k := range w.Chain(0, journal.Hash{}, blocks, transfers) {
					if err := s.Append(b.Context(), k); err != nil {
						b.Fatal(err)
					}
				}
				var record [journal.RecordSize]byte
				b.ReportAllocs()
				i := uint64(0)
				for b.Loop() {
					i++
					seq := i*7919%(blocks-100) + 1
					if err := s.ReadAt(b.Context(), seq, record[:], journal.HeaderSize+int(i)%transfers*journal.RecordSize); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
