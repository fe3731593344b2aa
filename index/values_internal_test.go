package index

import (
	"bytes"
	"testing"

	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// FuzzValues: whatever stands in a table is read or refused, and what is read is written the same way again.
func FuzzValues(f *testing.F) {
	row := ledger.HistoryRow{Balances: ledger.Balances{DebitsPosted: money.From(300), CreditsPending: money.Max()}}
	sampled := row
	sampled.Sampled = true
	for _, a := range []aside{{booked: true}, {row: &row}, {row: &sampled, booked: true}} {
		f.Add(a.append(nil, 77))
	}
	e := expired{credit: true, timestamp: 5, amount: money.From(9), pending: 3}
	f.Add(e.append(nil))
	f.Add([]byte{3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := readExpired(b); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Fatalf("%x is read as %+v", b, e)
		}
		r, err := readAside(b)
		if err != nil || len(b) == 0 {
			return
		}
		a := aside{booked: r.booked}
		if r.kind != rowNone {
			a.row = &ledger.HistoryRow{Sampled: r.kind == rowSampled, Balances: r.row.Balances}
		}
		again, err := readAside(a.append(nil, r.row.Timestamp))
		if err != nil || again != r {
			t.Fatalf("%x is read as %+v, and that again as %+v, %v", b, r, again, err)
		}
	})
}
