package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxRow bounds one row, in bytes: a quote that is never closed must not swallow a file.
const maxRow = 1 << 20

// Format is how a file's rows are written.
type Format string

// The formats.
const (
	CSV   Format = "csv"
	JSONL Format = "jsonl" // one JSON object a line
)

// Fault is a row that can't be imported, and why.
type Fault struct {
	File   string
	Line   int
	Reason error
}

// Error gives file:line and the reason.
func (f *Fault) Error() string { return fmt.Sprintf("%s:%d: %v", f.File, f.Line, f.Reason) }

// Unwrap returns the reason.
func (f *Fault) Unwrap() error { return f.Reason }

// row is one row by its columns' names.
type row struct {
	line   int
	values map[string]string
}

func (r *row) get(column string) (string, error) {
	v, ok := r.values[column]
	if !ok {
		return "", fmt.Errorf("there is no column %q", column)
	}
	return strings.TrimSpace(v), nil
}

// rowReader reads rows; io.EOF ends them, and after a *Fault the next row can be read.
type rowReader interface {
	read() (*row, error)
}

func openRows(path string, format Format, m *Mapping) (rowReader, io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if format == JSONL {
		s := bufio.NewScanner(f)
		s.Buffer(nil, maxRow)
		return &jsonRows{file: path, lines: s}, f, nil
	}
	r, err := newCSV(path, f, m)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return r, f, nil
}

// csvRows reads a CSV file (RFC 4180, with any delimiter).
type csvRows struct {
	file    string
	bounded *boundedReader
	csv     *csv.Reader
	columns []string
}

var errLongRow = fmt.Errorf("a row is longer than %d bytes: is a quote not closed?", maxRow)

// boundedReader fails when more than left bytes are read.
type boundedReader struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRow
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func newCSV(path string, in io.Reader, m *Mapping) (*csvRows, error) {
	c := &csvRows{file: path, bounded: &boundedReader{r: in, left: maxRow}, columns: m.Columns}
	c.csv = csv.NewReader(c.bounded)
	c.csv.ReuseRecord = true
	if m.Delimiter != "" {
		c.csv.Comma, _ = utf8.DecodeRuneInString(m.Delimiter)
	}
	if len(c.columns) > 0 {
		c.csv.FieldsPerRecord = len(c.columns)
		return c, nil
	}
	header, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Fault{path, 1, errors.New("the file is empty: want a line with the names of the columns")}
	}
	if err != nil {
		return nil, &Fault{path, 1, reasonOf(err)}
	}
	seen := map[string]bool{}
	for _, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		if name == "" || seen[name] {
			return nil, &Fault{path, 1, fmt.Errorf("column %q: names of columns are unique and not empty", name)}
		}
		seen[name] = true
		c.columns = append(c.columns, name)
	}
	return c, nil
}

func (c *csvRows) read() (*row, error) {
	c.bounded.left = maxRow
	fields, err := c.csv.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.As(err, &parse) && !errors.Is(err, errLongRow):
		return nil, &Fault{c.file, parse.StartLine, reasonOf(err)}
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", c.file, err)
	}
	line, _ := c.csv.FieldPos(0)
	r := &row{line: line, values: make(map[string]string, len(fields))}
	for i, name := range c.columns {
		r.values[name] = fields[i]
	}
	return r, nil
}

// reasonOf is a parse error without its place, which the fault has.
func reasonOf(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.Err
	}
	return err
}

// jsonRows reads JSON lines.
type jsonRows struct {
	file  string
	lines *bufio.Scanner
	line  int
}

func (j *jsonRows) read() (*row, error) {
	for j.lines.Scan() {
		j.line++
		if len(bytes.TrimSpace(j.lines.Bytes())) == 0 {
			continue
		}
		r := &row{line: j.line, values: map[string]string{}}
		if err := j.object(r.values); err != nil {
			return nil, &Fault{j.file, j.line, err}
		}
		return r, nil
	}
	if err := j.lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s, line %d: %w", j.file, j.line+1, err)
	}
	return nil, io.EOF
}

// object reads one line's object. Numbers keep their digits; null is blank.
func (j *jsonRows) object(values map[string]string) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(j.lines.Bytes(), &fields); err != nil {
		return err
	}
	for name, raw := range fields {
		switch raw[0] {
		case '"':
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			values[name] = text
		case '{', '[':
			return fmt.Errorf("%s: want a text, a number, true, false or null", name)
		case 'n':
			values[name] = ""
		default:
			values[name] = string(raw)
		}
	}
	return nil
}
