package journal_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

func TestTransitOfIsWhatTheDetailsSay(t *testing.T) {
	d := goldenTransit(journal.TransitMarker)
	d.Transit.Status = journal.TransferExceedsCredits
	d.BookingDate, d.Metadata, d.Payload = 20_000, []journal.Meta{journal.Text("a", "b"), journal.Int("n", 1)}, []byte("payload")
	data := d.Append(nil)
	read, err := journal.DecodeDetails(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, &read); diff != "" {
		t.Error(diff)
	}
	if got, ok := journal.TransitOf(data); !ok || got != *d.Transit {
		t.Errorf("got %+v, %v, want %+v", got, ok, *d.Transit)
	}
	d.Transit = nil
	if got, ok := journal.TransitOf(d.Append(nil)); ok {
		t.Errorf("without one: got %+v", got)
	}
	for n := range data[:len(data)-1] {
		if got, ok := journal.TransitOf(data[:n]); ok {
			t.Errorf("of %d bytes: got %+v", n, got)
		}
	}
}

func TestTransitIsBounded(t *testing.T) {
	for name, change := range map[string]func(*journal.Transit){
		"no step": func(x *journal.Transit) { x.Step = 0 }, "unknown step": func(x *journal.Transit) { x.Step = 9 },
		"no transfer": func(x *journal.Transit) { x.Transfer = money.U128{} }, "no reserve": func(x *journal.Transit) { x.Reserve = money.U128{} },
		"linked": func(x *journal.Transit) { x.Flags |= journal.TransferLinked }, "timeout of a plain transfer": func(x *journal.Transit) { x.Flags = 0 },
		"status of a hold": func(x *journal.Transit) { x.Status = journal.Created },
	} {
		d := goldenTransit(journal.TransitHold)
		change(d.Transit)
		if _, err := journal.DecodeDetails(d.Append(nil)); !errors.Is(err, journal.ErrDetails) {
			t.Errorf("%s: got error %v, want ErrDetails", name, err)
		}
	}
}

// TestBucket binds the formula: an account that changed its bucket would be looked for in another cell. The numbers were
// computed by another program.
func TestBucket(t *testing.T) {
	for _, c := range []struct {
		id   money.U128
		want uint16
	}{
		{money.U128{}, 0},
		{money.From(1), 346},
		{money.From(2), 879},
		{money.From(1001), 452},
		{money.U128{Hi: 1}, 904},
		{money.U128{Hi: 1, Lo: 1}, 915},
		{money.Max(), 915},
		{money.U128{Hi: 0x0123456789abcdef, Lo: 0xfedcba9876543210}, 405},
	} {
		if got := journal.Bucket(c.id); got != c.want {
			t.Errorf("account %v is in bucket %d, want %d", c.id, got, c.want)
		}
	}
}

// TestBucketsAreEven: accounts with numbers in a row, and those that differ in the upper half only, spread alike.
func TestBucketsAreEven(t *testing.T) {
	const each = 200
	for name, id := range map[string]func(i uint64) money.U128{
		"low": money.From, "high": func(i uint64) money.U128 { return money.U128{Hi: i, Lo: 7} },
	} {
		var n [journal.Buckets]int
		for i := range uint64(each * journal.Buckets) {
			n[journal.Bucket(id(i))]++
		}
		for b, got := range n {
			if got < each/2 || got > 2*each {
				t.Errorf("%s: bucket %d has %d of %d accounts", name, b, got, each*journal.Buckets)
			}
		}
	}
}
