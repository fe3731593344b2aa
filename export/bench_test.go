package export

import (
	"io"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// BenchmarkTransfer writes one row in each format.
func BenchmarkTransfer(b *testing.B) {
	columns := transferColumns()
	row := &transferRow{&ledgerv1.Transfer{
		Id: "123456789012345678901234567890", DebitAccountId: "17", CreditAccountId: "4711", Amount: proto.String("123456"),
		Asset: "CNY/2", Code: 7, PendingId: "0", UserData_128: "0", Timestamp: 1795335656419966715,
	}, money.Asset{Code: "CNY", Scale: 2}, money.From(123456)}
	for _, format := range []Format{CSV, JSONL, Parquet} {
		b.Run(string(format), func(b *testing.B) {
			out := newTable(io.Discard, format, headOf(columns))
			b.ReportAllocs()
			var cells []cell
			for b.Loop() {
				cells = cellsOf(cells, columns, row)
				if err := out.write(cells, row.Transfer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
