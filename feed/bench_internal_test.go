package feed

import (
	"context"
	"testing"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

type noLedger struct{ Ledger }

func (noLedger) Assets() *ledger.Catalogue { return &ledger.Catalogue{} }

// What a full block of 8,190 transfers costs the feed, in parts.
func BenchmarkBlock(b *testing.B) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{}
	k := celltest.Writer{Cell: 1}.Block(1, journal.Hash{}, journal.MaxEvents)
	ctx := context.Background()
	p, err := f.decode(ctx, k)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("clone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.Clone()
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.decode(ctx, k); err != nil {
				b.Fatal(err)
			}
		}
	})
	few := newMatcher(&Filter{Accounts: []money.U128{money.From(1e9), money.From(1e9 + 1)}}, f.Catalogue)
	b.Run("no match", func(b *testing.B) {
		for b.Loop() {
			if few.page(p) {
				b.Fatal("it may match")
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.AppendWire(make([]byte, 0, 4<<20), &Batch{Events: p.events}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
