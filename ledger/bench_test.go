package ledger_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

const benchAccounts = 1_000_000

// bank is a ledger with many accounts and a source of transfers between them. Ids rise as those of a time-ordered
// generator do.
type bank struct {
	s       *ledger.State
	builder *journal.Builder
	fx      ledger.Effects
	rnd     *rand.Rand
	seq     uint64
	time    uint64
	id      uint64
	results []journal.Result
	needs   []ledger.Need
}

// arena hands out parts of large pieces that hold no pointers, as memory outside of the heap would.
func arena() ledger.Alloc {
	var free []byte
	return func(n int) []byte {
		n = (n + 63) &^ 63
		if len(free) < n {
			words := make([]uint64, max(64<<20, n)/8+8)
			free = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
			skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(free)))) & 63
			free = free[skip:]
		}
		part := free[:n:n]
		free = free[n:]
		return part
	}
}

func newBank(b *testing.B, alloc ledger.Alloc) *bank {
	b.Helper()
	return newBankOf(b, ledger.Config{Alloc: alloc})
}

func newBankOf(b *testing.B, cfg ledger.Config) *bank {
	b.Helper()
	cfg.HashKey = [2]uint64{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}
	k := &bank{
		s:       ledger.New(cfg),
		builder: journal.NewBuilder(), rnd: rand.New(rand.NewPCG(1, 2)), results: make([]journal.Result, journal.MaxEvents), id: 1 << 40,
	}
	for first := 0; first < benchAccounts; first += 8000 {
		records := make([]journal.Account, 8000)
		for i := range records {
			records[i] = journal.Account{ID: money.From(uint64(first + i + 1)), Asset: 1, Code: 1}
		}
		k.block(func() { k.apply(journal.KindAccounts, journal.Bytes(records)) })
	}
	return k
}

// block begins a block, fills it, and releases it at once, as if the journal could be read back.
func (k *bank) block(fill func()) *journal.Block {
	k.begin()
	fill()
	return k.end()
}

func (k *bank) begin() {
	k.seq++
	k.time = max(k.s.NextTime(), 1)
	k.s.Begin(k.builder, &k.fx, k.seq, k.time)
	k.s.Expire()
}

func (k *bank) end() *journal.Block {
	sealed := k.builder.Seal(journal.Header{Kind: journal.BlockNormal, Seq: k.seq, Time: k.time, Rules: ledger.Rules})
	k.s.End(sealed)
	k.s.Release(k.seq)
	return sealed
}

func (k *bank) apply(kind journal.Kind, events []byte) {
	k.needs = k.s.Needs(kind, events, k.needs[:0])
	k.s.Apply(kind, journal.Actor{}, events, ledger.Facts{}, k.results[:len(events)/journal.RecordSize])
}

// plain fills records with transfers between random accounts.
func (k *bank) plain(records []journal.Transfer) {
	for i := range records {
		k.id++
		debit := 1 + k.rnd.Uint64N(benchAccounts)
		credit := 1 + (debit+k.rnd.Uint64N(benchAccounts-1))%benchAccounts
		records[i] = journal.Transfer{ID: money.U128{Lo: k.rnd.Uint64(), Hi: k.id}, Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(1), Asset: 1, Code: 1}
	}
}

// BenchmarkApply applies requests of n transfers between a million accounts; one op is one transfer. The time to make
// and to seal the blocks is not counted.
func BenchmarkApply(b *testing.B) {
	for _, memory := range []struct {
		name  string
		alloc ledger.Alloc
	}{{"heap", nil}, {"arena", arena()}} {
		for _, size := range []int{1, 100, 8190} {
			b.Run(fmt.Sprintf("%s/%d", memory.name, size), func(b *testing.B) {
				k := newBank(b, memory.alloc)
				records := make([]journal.Transfer, journal.MaxEvents)
				b.ReportAllocs()
				b.ResetTimer()
				for done := 0; done < b.N; {
					n := min(len(records), b.N-done)
					b.StopTimer()
					k.plain(records[:n])
					k.begin()
					b.StartTimer()
					for from := 0; from < n; from += size {
						k.apply(journal.KindTransfers, journal.Bytes(records[from:min(from+size, n)]))
					}
					b.StopTimer()
					k.end()
					done += n
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkTwoPhase reserves and posts; one op is both.
func BenchmarkTwoPhase(b *testing.B) {
	k := newBank(b, nil)
	const half = 4000
	records, posts := make([]journal.Transfer, half), make([]journal.Transfer, half)
	b.ResetTimer()
	for done := 0; done < b.N; done += half {
		b.StopTimer()
		k.plain(records)
		for i := range records {
			records[i].Flags = journal.TransferPending
			records[i].Timeout = 60
			k.id++
			posts[i] = journal.Transfer{ID: money.U128{Lo: k.rnd.Uint64(), Hi: k.id}, PendingID: records[i].ID, Amount: money.Max(), Flags: journal.TransferPost}
		}
		b.StartTimer()
		k.block(func() {
			k.apply(journal.KindTransfers, journal.Bytes(records))
			k.apply(journal.KindTransfers, journal.Bytes(posts))
		})
	}
}

// BenchmarkReplay replays blocks of 8,190 transfers; one op is one transfer.
func BenchmarkReplay(b *testing.B) {
	k := newBank(b, nil)
	base := takeSnapshot(k.s, k.seq)
	var blocks []*journal.Block
	records := make([]journal.Transfer, journal.MaxEvents)
	for len(blocks) < 100 {
		k.plain(records)
		sealed := k.block(func() { k.apply(journal.KindTransfers, journal.Bytes(records)) })
		kept, err := journal.Decode(bytes.Clone(sealed.Raw))
		if err != nil {
			b.Fatal(err)
		}
		blocks = append(blocks, kept)
	}
	scratch, fx := journal.NewBuilder(), &ledger.Effects{}
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		s, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(base))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for i := 0; i < len(blocks) && done < b.N; i, done = i+1, done+journal.MaxEvents {
			if err := s.Replay(blocks[i], scratch, fx, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSnapshotPiece takes pieces of a snapshot of a million accounts and two million transfers; the owner of the
// state can do nothing else meanwhile. Restore reads the whole of it.
func BenchmarkSnapshotPiece(b *testing.B) {
	k := newBank(b, nil)
	records := make([]journal.Transfer, journal.MaxEvents)
	for range 250 {
		k.plain(records)
		k.block(func() { k.apply(journal.KindTransfers, journal.Bytes(records)) })
	}
	for _, size := range []int{16 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			var sn *ledger.Snapshot
			buf := make([]byte, 0, 2*size)
			for b.Loop() {
				if sn == nil {
					sn = k.s.StartSnapshot(k.seq)
				}
				if _, more := sn.Next(buf, size); !more {
					sn = nil
				}
			}
			if sn != nil {
				sn.Abandon()
			}
		})
	}
	b.Run("restore", func(b *testing.B) {
		image := takeSnapshot(k.s, k.seq)
		b.SetBytes(int64(len(image)))
		for b.Loop() {
			if _, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(image)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
