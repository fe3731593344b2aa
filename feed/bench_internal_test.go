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

func (noLedger) Head() uint64 { return 0 }

// What a full block of 8,190 transfers costs the feed, in parts.
func BenchmarkBlock(b *testing.B) {
	f := New(Options{Cell: 1, Clock: clock.NewSystem()})
	f.ledger = noLedger{}
	k := celltest.Writer{Cell: 1}.Block(1, journal.Hash{}, journal.MaxEvents)
	ctx := context.Background()
	b.Run("clone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.Clone()
		}
	})
	for _, c := range []struct {
		name   string
		form   Form
		filter Filter
		events int
	}{
		{"messages", MessageForm, Filter{}, journal.MaxEvents},
		{"packed", PackedForm, Filter{}, journal.MaxEvents},
		{"packed, 2 accounts, no match", PackedForm, Filter{Accounts: []money.U128{money.From(1e9), money.From(1e9 + 1)}}, 0},
		{"packed, a code, no match", PackedForm, Filter{Codes: []uint16{999}}, 0},
	} {
		g := &group{matcher: newMatcher(&c.filter, f.Catalogue), form: c.form}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, n := newPage(k), 0
				for from := 0; from < Whole; {
					c, err := f.encode(ctx, g, p, from)
					if err != nil {
						b.Fatal(err)
					}
					n += c.events
					_, from = c.end.next()
					if c.end.Index == Whole {
						break
					}
				}
				if n != c.events {
					b.Fatalf("%d events, want %d", n, c.events)
				}
			}
		})
	}
	few := newMatcher(&Filter{Accounts: []money.U128{money.From(1e9), money.From(1e9 + 1)}}, f.Catalogue)
	p := newPage(k)
	for range 2 { // the second makes the summary
		if _, err := few.passes(ctx, f, p); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("summary, 2 accounts, no match", func(b *testing.B) {
		for b.Loop() {
			if pass, err := few.passes(ctx, f, p); err != nil || !pass {
				b.Fatal("it may match", err)
			}
		}
	})
}
