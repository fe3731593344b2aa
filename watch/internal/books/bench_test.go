package books_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/books"
)

// chainer seals blocks that follow each other, without a ledger.
type chainer struct {
	b    *journal.Builder
	head journal.Header
	prev journal.Hash
}

func newChainer() *chainer {
	return &chainer{b: journal.NewBuilder(), head: journal.Header{Kind: journal.BlockEpoch, Rules: 2, Cell: cellID, Epoch: 1, Time: 1000 * dayNs}}
}

// block returns a block of one request. Its memory is the builder's: valid until the next.
func (c *chainer) block(kind journal.Kind, events []byte, outcomes ...journal.Outcome) []byte {
	c.b.Reset()
	c.b.AddRequest(kind, journal.Actor{1}, events)
	for _, o := range outcomes {
		c.b.AddOutcome(o)
	}
	c.head.Seq++
	c.head.Prev, c.head.Acked = c.prev, c.head.Seq-1
	c.head.Time += 1_000_000
	k := c.b.Seal(c.head)
	c.head.Kind, c.prev = journal.BlockNormal, k.Hash
	return k.Raw
}

// accounts creates n accounts, 1 to n.
func (c *chainer) accounts(m *books.Model, n int) {
	list := make([]journal.Account, 0, journal.MaxEvents)
	for i := range n {
		list = append(list, journal.Account{ID: money.From(uint64(i + 1)), Asset: 1, Code: uint16(1 + i%4)})
		if len(list) == cap(list) || i == n-1 {
			m.Apply(c.block(journal.KindAccounts, journal.Bytes(list)), nil, nil)
			list = list[:0]
		}
	}
}

// BenchmarkTransfers applies full blocks of plain transfers between random accounts; one operation is one transfer.
func BenchmarkTransfers(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		for _, visit := range []bool{false, true} {
			b.Run(fmt.Sprintf("accounts=%d,visit=%v", n, visit), func(b *testing.B) { benchTransfers(b, n, visit) })
		}
	}
}

func benchTransfers(b *testing.B, accounts int, visit bool) {
	c, m := newChainer(), books.New(cellID, books.Options{})
	c.accounts(m, accounts)
	rnd := rand.New(rand.NewPCG(1, 2))
	list := make([]journal.Transfer, journal.MaxEvents)
	next, moved := uint64(1<<40), uint64(0)
	var each func(*books.Movement)
	if visit {
		each = func(x *books.Movement) { moved += x.Amount.Lo }
	}
	b.ResetTimer()
	for done := 0; done < b.N; done += len(list) {
		b.StopTimer()
		for i := range list {
			debit := 1 + rnd.Uint64N(uint64(accounts))
			list[i] = plain(next, debit, 1+debit%uint64(accounts), 5)
			next++
		}
		raw := c.block(journal.KindTransfers, journal.Bytes(list))
		b.StartTimer()
		m.Apply(raw, each, func(f *books.Finding) { b.Fatal(f.Summary) })
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
}

// BenchmarkReservations applies blocks that reserve, then blocks that capture; one operation is one transfer.
func BenchmarkReservations(b *testing.B) {
	c, m := newChainer(), books.New(cellID, books.Options{})
	c.accounts(m, 100_000)
	list := make([]journal.Transfer, journal.MaxEvents)
	outcomes := make([]journal.Outcome, journal.MaxEvents)
	next := uint64(1 << 40)
	b.ResetTimer()
	for done := 0; done < b.N; done += len(list) {
		b.StopTimer()
		capture := done/len(list)%2 == 1
		if capture {
			for i := range list {
				list[i] = resolve(next, next-uint64(len(list)), 0, journal.TransferPost)
				list[i].Amount = money.Max()
				outcomes[i] = journal.Outcome{
					Event: uint32(i), Status: journal.Created, Timestamp: c.head.Time + 1_000_000 + uint64(i), Amount: money.From(5),
					PendingPosition: journal.At(c.head.Seq, i),
				}
				next++
			}
		} else {
			for i := range list {
				list[i] = reserve(next, 1+next%100_000, 1+(next+7)%100_000, 5, 60)
				next++
			}
		}
		var raw []byte
		if capture {
			raw = c.block(journal.KindTransfers, journal.Bytes(list), outcomes...)
		} else {
			raw = c.block(journal.KindTransfers, journal.Bytes(list))
		}
		b.StartTimer()
		m.Apply(raw, nil, func(f *books.Finding) { b.Fatal(f.Summary) })
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
}

// TestMemory bounds what a million accounts and a million open reservations take.
func TestMemory(t *testing.T) {
	c, m := newChainer(), books.New(cellID, books.Options{Window: 1000})
	const n = 1_000_000
	before := heap()
	c.accounts(m, n)
	each := float64(heap()-before) / n
	t.Logf("%.0f B an account", each)
	if each > 150 {
		t.Errorf("an account takes %.0f B", each)
	}
	before = heap()
	list := make([]journal.Transfer, 0, journal.MaxEvents)
	for i := range uint64(n) {
		list = append(list, reserve(1<<40+i, 1+i, 1+(i+1)%n, 5, 60))
		if len(list) == cap(list) || i == n-1 {
			m.Apply(c.block(journal.KindTransfers, journal.Bytes(list)), nil, func(f *books.Finding) { t.Fatal(f.Summary) })
			list = list[:0]
		}
	}
	each = float64(heap()-before) / n
	t.Logf("%.0f B an open reservation", each)
	if each > 150 {
		t.Errorf("an open reservation takes %.0f B", each)
	}
	if m.Pending() != n || m.Accounts() != n {
		t.Errorf("%d accounts, %d reservations", m.Accounts(), m.Pending())
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
