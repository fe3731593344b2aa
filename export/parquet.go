package export

import (
	"io"
	"math/big"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
)

// A decimal column holds amounts of every asset, so it has the largest scale that an asset may have. 38 digits are the
// most that other readers take: of 128 bits, the upper end does not fit, and is null there. Minor units are text, and
// exact always.
const (
	decimalDigits = 38
	decimalScale  = money.MaxScale
	decimalBytes  = 16
)

// groupRows bounds the rows that are held before they are written.
const groupRows = 1 << 16

// parquetTable writes Parquet with zstd.
type parquetTable struct {
	w     *parquet.GenericWriter[any] // copies what a row refers to
	group int                         // rows since the last flush
	row   parquet.Row
}

func newParquet(w io.Writer, head []heading) *parquetTable {
	schema := parquet.NewSchema("sterling", schemaOf(head))
	return &parquetTable{w: parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Zstd))}
}

// ordered is a group whose columns keep their order; parquet.Group sorts them by name.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements parquet.Node.
func (o *ordered) Fields() []parquet.Field { return o.fields }

// field is a column of ordered.
type field struct {
	parquet.Node
	name string
}

// Name implements parquet.Field.
func (f *field) Name() string { return f.name }

// Value implements parquet.Field, for rows that are maps.
func (f *field) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

func schemaOf(head []heading) parquet.Node {
	o := &ordered{Group: parquet.Group{}}
	for _, h := range head {
		n := nodeOf(h.kind)
		o.Group[h.name] = n
		o.fields = append(o.fields, &field{n, h.name})
	}
	return o
}

func nodeOf(k kind) parquet.Node {
	switch k {
	case number:
		return parquet.Uint(64)
	case instant:
		return parquet.Timestamp(parquet.Nanosecond)
	case major:
		return parquet.Optional(parquet.Decimal(decimalScale, decimalDigits, parquet.FixedLenByteArrayType(decimalBytes)))
	default:
		return parquet.String()
	}
}

func (t *parquetTable) write(row []cell, _ proto.Message) error {
	t.row = t.row[:0]
	for i := range row {
		value, defined := row[i].value()
		t.row = append(t.row, value.Level(0, defined, i))
	}
	if _, err := t.w.WriteRows([]parquet.Row{t.row}); err != nil {
		return err
	}
	if t.group++; t.group < groupRows {
		return nil
	}
	t.group = 0
	return t.w.Flush()
}

// value is a cell as Parquet has it, and its definition level: 1 where an optional value is there.
func (c *cell) value() (v parquet.Value, defined int) {
	switch c.kind {
	case number:
		return parquet.Int64Value(int64(c.number)), 0 //nolint:gosec // the column is of 64 bits without a sign
	case instant:
		return parquet.Int64Value(int64(c.number)), 0 //nolint:gosec // until 2262, when the format ends
	case major:
		if b := fixed(c.amount, c.asset); b != nil {
			return parquet.FixedLenByteArrayValue(b), 1
		}
		return parquet.NullValue(), 0
	default:
		return parquet.ByteArrayValue([]byte(c.plain())), 0
	}
}

// fixed writes an amount as a decimal of the column's scale: two's complement, big-endian. It is nil if the amount has
// more digits than the column.
func fixed(amount signed, asset money.Asset) []byte {
	var be [decimalBytes]byte
	amount.abs.PutBE(be[:])
	v := new(big.Int).SetBytes(be[:])
	v.Mul(v, power10(decimalScale-int(asset.Scale)))
	if v.Cmp(power10(decimalDigits)) >= 0 {
		return nil
	}
	if amount.negative {
		v.Sub(new(big.Int).Lsh(big.NewInt(1), 8*decimalBytes), v)
	}
	return v.FillBytes(make([]byte, decimalBytes))
}

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func (t *parquetTable) close(whole bool) error {
	if !whole {
		return nil
	}
	return t.w.Close()
}
