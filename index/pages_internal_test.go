package index

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// TestArena: what is kept comes back, over the borders of pages, also from a copy that was made before more came.
func TestArena(t *testing.T) {
	var a, copied arena
	rng := rand.New(rand.NewPCG(1, 2))
	var places []uint32
	var kept [][]byte
	for len(a.pages) < 4 {
		b := make([]byte, rng.IntN(256))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		places, kept = append(places, a.add(b)), append(kept, b)
		if len(kept) == 1000 {
			copied = a
		}
	}
	for i, place := range places {
		if got := a.at(place); place == 0 || !bytes.Equal(got, kept[i]) {
			t.Fatalf("string %d at %d is %x, want %x", i, place, got, kept[i])
		}
		if i < 1000 && !bytes.Equal(copied.at(place), kept[i]) {
			t.Fatalf("string %d is another one in the copy", i)
		}
	}
	if a.at(0) != nil {
		t.Error("there is something at place 0")
	}
}

// count returns how many transfers a view has of account 1.
func (v *view) count(t *testing.T) (n int) {
	t.Helper()
	l := v.open(accountList(1), 0, v.top, true)
	for at := v.top; at > 0; n++ {
		value, ok, err := l.seek(at - 1)
		if err != nil {
			t.Error(err)
		}
		if !ok {
			return n
		}
		at = value
	}
	return n
}

// TestWholeBlocks: who asks while a block is being added sees all of a block or nothing of it, and a flush at such a
// moment makes whole blocks durable.
func TestWholeBlocks(t *testing.T) {
	const blocks, events = 40, 3 * yieldEvery
	fs := vfs.NewMem()
	x, err := Open("idx", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			v := x.view()
			n := v.count(t)
			if err := v.close(); err != nil || n%events != 0 || n != int(journal.Position(v.top).Seq()-1)*events {
				t.Errorf("a view up to block %d has %d transfers (%v)", journal.Position(v.top).Seq()-1, n, err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	others.Go(func() {
		for n := 0; ; n++ {
			if err := x.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	var hash journal.Hash
	fx := &ledger.Effects{Transfers: make([]ledger.TransferEffect, events)}
	for i := range fx.Transfers {
		fx.Transfers[i] = ledger.TransferEffect{Event: uint32(i), Debit: 1, Credit: 2}
	}
	for seq := uint64(1); seq <= blocks; seq++ {
		b := journal.NewBuilder()
		b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, events*journal.RecordSize))
		k := b.Seal(journal.Header{Kind: journal.BlockNormal, Seq: seq, Time: seq * 1e6, Prev: hash})
		if hash = k.Hash; x.Add(k, fx) != nil {
			t.Fatal("a block was not taken")
		}
	}
	close(done)
	others.Wait()
	if err := x.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if x, err = Open("idx", Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	v := x.view()
	defer func() { _ = v.close() }() // it was only read
	if n := v.count(t); n != blocks*events {
		t.Errorf("%d transfers are durable, want %d", n, blocks*events)
	}
}
