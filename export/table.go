package export

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// table is a file of rows.
type table interface {
	// write adds a row, and keeps nothing of it. message is the API's form of it, nil if it has none.
	write(row []cell, message proto.Message) error
	// close ends the file; without whole it only gives up what the table holds.
	close(whole bool) error
}

// writeBuffer is what text is collected to before it is written, bytes.
const writeBuffer = 1 << 16

func newTable(w io.Writer, format Format, head []heading) table {
	switch format {
	case Parquet:
		return newParquet(w, head)
	case JSONL:
		return &jsonTable{w: bufio.NewWriterSize(w, writeBuffer), head: head}
	default:
		return newCSV(w, head)
	}
}

// plain writes a cell as text.
func (c *cell) plain() string {
	switch c.kind {
	case number:
		return strconv.FormatUint(c.number, 10)
	case instant:
		return stamp(c.number)
	case minor:
		return c.amount.minor()
	case major:
		return c.amount.decimal(c.asset)
	default:
		return c.text
	}
}

// at is a timestamp as a time in UTC.
func at(ns uint64) time.Time {
	return time.Unix(int64(ns/1e9), int64(ns%1e9)).UTC() //nolint:gosec // ns/1e9 < 2^35
}

// stamp writes a time to the nanosecond.
func stamp(ns uint64) string { return at(ns).Format("2006-01-02T15:04:05.000000000Z") }

// csvTable writes RFC 4180: a header, lines that end with CR LF, quotes where a field needs them.
type csvTable struct {
	w      *csv.Writer
	fields []string
	err    error
}

func newCSV(w io.Writer, head []heading) *csvTable {
	t := &csvTable{w: csv.NewWriter(bufio.NewWriterSize(w, writeBuffer)), fields: make([]string, len(head))}
	t.w.UseCRLF = true
	for i, h := range head {
		t.fields[i] = h.name
	}
	t.err = t.w.Write(t.fields)
	return t
}

func (t *csvTable) write(row []cell, _ proto.Message) error {
	if t.err != nil {
		return t.err
	}
	for i := range row {
		t.fields[i] = row[i].plain()
	}
	return t.w.Write(t.fields)
}

func (t *csvTable) close(whole bool) error {
	if !whole || t.err != nil {
		return t.err
	}
	t.w.Flush()
	return t.w.Error()
}

// jsonTable writes one JSON object a line: the API's, or the row's cells by name.
type jsonTable struct {
	w    *bufio.Writer
	head []heading
	line bytes.Buffer
}

func (t *jsonTable) write(row []cell, message proto.Message) error {
	b, err := t.encode(row, message)
	if err != nil {
		return fmt.Errorf("write a row as JSON: %w", err)
	}
	t.line.Reset() // protojson varies its spaces from build to build
	if err := json.Compact(&t.line, b); err != nil {
		return fmt.Errorf("write a row as JSON: %w", err)
	}
	t.line.WriteByte('\n')
	_, err = t.w.Write(t.line.Bytes())
	return err
}

func (t *jsonTable) encode(row []cell, message proto.Message) ([]byte, error) {
	if message != nil {
		return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	}
	b := []byte{'{'}
	for i := range row {
		if i > 0 {
			b = append(b, ',')
		}
		value, err := json.Marshal(row[i].plain())
		if err != nil {
			return nil, err
		}
		if row[i].kind == number {
			value = strconv.AppendUint(nil, row[i].number, 10)
		}
		b = append(append(strconv.AppendQuote(b, t.head[i].name), ':'), value...)
	}
	return append(b, '}'), nil
}

func (t *jsonTable) close(whole bool) error {
	if !whole {
		return nil
	}
	return t.w.Flush()
}
