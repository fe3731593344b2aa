package block_test

import (
	"testing"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// The buckets that docs/formats.md names.
func TestBucket(t *testing.T) {
	for _, c := range []struct {
		id   count.Amount
		want uint16
	}{{count.Of(1), 346}, {count.Of(2), 879}, {count.Max(), 915}} {
		id := count.IDOf(c.id)
		if got := block.Bucket(&id); got != c.want {
			t.Errorf("account %v is in bucket %d, want %d", c.id, got, c.want)
		}
	}
}

// Whatever is attached to a handover, reading it stays within its bytes.
func FuzzBelongings(f *testing.F) {
	f.Add([]byte{})
	payload := make([]byte, 173+184+152+257)
	payload[161], payload[165], payload[169] = 1, 1, 1
	f.Add(append([]byte{7, byte(len(payload)), byte(len(payload) >> 8), 0, 0}, payload...))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, ok := block.BelongingsOf(data)
		if !ok {
			return
		}
		for i := range g.Limits() {
			g.Limit(i)
		}
		for i := range g.Freezes() {
			g.Freeze(i)
		}
		if size := 173 + 184*g.Limits() + 257*g.Freezes(); size > len(data) {
			t.Errorf("%d limits and %d freezes in %d bytes", g.Limits(), g.Freezes(), len(data))
		}
	})
}
