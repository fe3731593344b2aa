package mysql_test

import (
	"fmt"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/storetest"
)

func BenchmarkAppend(b *testing.B) {
	for _, events := range []int{1, 1600, journal.MaxEvents, 0} {
		name := fmt.Sprintf("events=%d", events)
		if events == 0 {
			name = "largest"
		}
		b.Run(name, func(b *testing.B) {
			var log cell.Log = open(b, fresh(b))
			storetest.Append(b, log, events)
		})
	}
}

// TestLargestBlock: the largest block goes in and out with the settings that a server comes with.
func TestLargestBlock(t *testing.T) {
	s := open(t, fresh(t))
	b := storetest.Largest(1, journal.Hash{})
	if len(b.Raw) < journal.MaxBlock-8192 {
		t.Fatalf("the largest block has %d bytes", len(b.Raw))
	}
	appendAll(t, s, []*journal.Block{b})
	raw, err := s.Read(t.Context(), 1, nil)
	if err != nil || string(raw) != string(b.Raw) {
		t.Fatalf("%d bytes were read, error %v", len(raw), err)
	}
}
