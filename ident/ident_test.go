package ident_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sterlingrun/sterling/ident"
)

func fixed(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestNextCarriesTimeThenRandomness(t *testing.T) {
	at := time.UnixMilli(0x0123456789ab)
	random := bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	id, err := ident.NewGenerator(fixed(at), random).Next()
	if err != nil {
		t.Fatal(err)
	}
	if want := (ident.ID{Hi: 0x0123456789ab0102, Lo: 0x030405060708090a}); id != want {
		t.Fatalf("id = %x, want %x", id, want)
	}
	if !id.Time().Equal(at) {
		t.Fatalf("time = %v, want %v", id.Time(), at)
	}
}

func TestNextIncreasesWhenTheClockStopsOrRunsBack(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	g := ident.NewGenerator(func() time.Time { return now }, rand.Reader)
	last := ident.ID{}
	for i := range 1000 {
		switch i {
		case 300:
			now = now.Add(-time.Hour)
		case 600:
			now = now.Add(2 * time.Hour)
		}
		id, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		if id.Compare(last) != 1 || last.Compare(id) != -1 || id.Compare(id) != 0 {
			t.Fatalf("id %d = %x does not follow %x", i, id, last)
		}
		last = id
	}
	if !last.Time().Equal(now) {
		t.Fatalf("time = %v, want %v", last.Time(), now)
	}
}

func TestNextCarriesOverAndBorrows(t *testing.T) {
	ones := bytes.Repeat([]byte{0xff}, 10)
	carry := append([]byte{0, 0}, ones[:8]...)
	g := ident.NewGenerator(fixed(time.UnixMilli(7)), bytes.NewReader(append(carry, ones...)))
	want := []ident.ID{{Hi: 7 << 16, Lo: 1<<64 - 1}, {Hi: 7<<16 | 1, Lo: 0}}
	for _, w := range want {
		if id, err := g.Next(); err != nil || id != w {
			t.Fatalf("id = %x, %v, want %x", id, err, w)
		}
	}
	full := ident.NewGenerator(fixed(time.UnixMilli(7)), bytes.NewReader(append(ones, make([]byte, 10)...)))
	want = []ident.ID{{Hi: 7<<16 | 0xffff, Lo: 1<<64 - 1}, {Hi: 8 << 16, Lo: 0}, {Hi: 8 << 16, Lo: 1}}
	for _, w := range want {
		if id, err := full.Next(); err != nil || id != w {
			t.Fatalf("id = %x, %v, want %x", id, err, w)
		}
	}
}

func TestNextReportsFailingRandomness(t *testing.T) {
	g := ident.NewGenerator(fixed(time.UnixMilli(7)), iotest.ErrReader(io.ErrNoProgress))
	if _, err := g.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("err = %v", err)
	}
}

func TestNextIsUniqueAcrossGoroutines(t *testing.T) {
	g := ident.NewGenerator(time.Now, rand.Reader)
	ids := make([][]ident.ID, 4)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			for range 5000 {
				if id, err := g.Next(); err == nil {
					ids[i] = append(ids[i], id)
				}
			}
		})
	}
	group.Wait()
	seen := map[ident.ID]bool{}
	for _, list := range ids {
		for _, id := range list {
			seen[id] = true
		}
	}
	if len(seen) != 4*5000 {
		t.Fatalf("%d distinct ids, want %d", len(seen), 4*5000)
	}
}
