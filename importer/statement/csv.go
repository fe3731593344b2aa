package statement

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/money"
)

// ErrMapping is a mapping that can't be used; the text says which key, and what it wants.
var ErrMapping = errors.New("mapping")

// Mapping says what the columns of a CSV statement mean. In its values "$name" stands for a column, any other text for
// itself. Spaces at both ends of a field don't count.
type Mapping struct {
	Delimiter string   `yaml:"delimiter"` // one character; "," if empty
	Columns   []string `yaml:"columns"`   // of a file that has no header line
	Account   string   `yaml:"account"`   // IBAN or number
	Currency  string   `yaml:"currency"`  // code of ISO 4217
	Booked    string   `yaml:"booked"`
	Value     string   `yaml:"value"`
	// Dates is how dates are written, with YYYY, MM and DD: "YYYY-MM-DD" if empty.
	Dates string `yaml:"dates"`
	// Amount with its sign; or without one, where Debit says which ones are debits.
	Amount string `yaml:"amount"`
	// DecimalComma: "1.234,56" instead of "1,234.56".
	DecimalComma bool `yaml:"decimal_comma"`
	// Direction is a column, and Debit its text for money that left the account; any other is a credit.
	Direction string `yaml:"direction"`
	Debit     string `yaml:"debit"`
	Reference string `yaml:"reference"` // the bank's, unique for the account
	EndToEnd  string `yaml:"end_to_end"`
	Text      string `yaml:"text"`
	// Balance after each line, which is checked; empty: there is none.
	Balance string `yaml:"balance"`
	// NewestFirst: the last line is the oldest.
	NewestFirst bool `yaml:"newest_first"`

	layout string
}

// maxMapping bounds a mapping, in bytes.
const maxMapping = 64 << 10

// ParseMapping reads a mapping from YAML. Unknown keys are errors; so is one that lacks what every line needs.
func ParseMapping(text []byte) (*Mapping, error) {
	if len(text) > maxMapping {
		return nil, fmt.Errorf("%w: %d bytes: at most %d", ErrMapping, len(text), maxMapping)
	}
	m := &Mapping{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(m); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	for _, one := range []struct{ key, value string }{
		{"account", m.Account}, {"currency", m.Currency}, {"booked", m.Booked}, {"amount", m.Amount}, {"reference", m.Reference},
	} {
		if one.value == "" {
			return nil, fmt.Errorf("%w: %s: is missing", ErrMapping, one.key)
		}
	}
	if m.Delimiter == "" {
		m.Delimiter = ","
	}
	if len([]rune(m.Delimiter)) != 1 {
		return nil, fmt.Errorf("%w: delimiter: want one character, not %.20q", ErrMapping, m.Delimiter)
	}
	if (m.Direction == "") != (m.Debit == "") {
		return nil, fmt.Errorf("%w: direction and debit: want both or none", ErrMapping)
	}
	if m.Dates == "" {
		m.Dates = "YYYY-MM-DD"
	}
	m.layout = strings.NewReplacer("YYYY", "2006", "MM", "01", "DD", "02").Replace(m.Dates)
	for _, part := range []string{"2006", "01", "02"} {
		if strings.Count(m.layout, part) != 1 {
			return nil, fmt.Errorf("%w: dates: want YYYY, MM and DD once each, not %.40q", ErrMapping, m.Dates)
		}
	}
	return m, nil
}

// csvReader reads one file.
type csvReader struct {
	m       *Mapping
	columns []string
	row     []string
	line    int
	s       Statement
	after   []*Amount // balances after the entries
}

// ReadCSV reads the statement of one account. It is complete through the day of its last entry. Errors are *Error, or
// the reader's.
func ReadCSV(in io.Reader, m *Mapping) ([]Statement, error) {
	bound := &boundedReader{in: in, left: MaxBytes}
	c := csv.NewReader(bound)
	c.Comma = []rune(m.Delimiter)[0]
	c.ReuseRecord, c.TrimLeadingSpace = true, true
	r := &csvReader{m: m, columns: m.Columns}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if bound.err != nil {
			return nil, bound.err
		}
		if err != nil {
			var p *csv.ParseError
			line := 1
			if errors.As(err, &p) {
				line, err = p.Line, p.Err
			}
			return nil, &Error{line, "", fmt.Errorf("%w: %w", ErrMalformed, err)}
		}
		r.line, _ = c.FieldPos(0)
		if r.columns == nil {
			r.columns = slices.Clone(row)
			for i := range r.columns {
				r.columns[i] = strings.TrimSpace(strings.TrimPrefix(r.columns[i], "\ufeff"))
			}
			continue
		}
		r.row = row
		if err := r.entry(); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// value returns what a key of the mapping is in this row.
func (r *csvReader) value(key, text string) (string, error) {
	name, isColumn := strings.CutPrefix(text, "$")
	if !isColumn {
		return text, nil
	}
	i := slices.Index(r.columns, name)
	if i < 0 || i >= len(r.row) {
		return "", &Error{r.line, key, fmt.Errorf("%w: there is no column %.40q", ErrMalformed, name)}
	}
	return strings.TrimSpace(r.row[i]), nil
}

func (r *csvReader) entry() error {
	if len(r.s.Entries) == MaxEntries {
		return &Error{r.line, "", fmt.Errorf("%w: more than %d entries", ErrTooLarge, MaxEntries)}
	}
	e := Entry{Line: r.line}
	var account, currency, booked, value, amount, direction, balance string
	for _, one := range []struct {
		key, text string
		dst       *string
	}{
		{"account", r.m.Account, &account},
		{"currency", r.m.Currency, &currency},
		{"booked", r.m.Booked, &booked},
		{"value", r.m.Value, &value},
		{"amount", r.m.Amount, &amount},
		{"direction", r.m.Direction, &direction},
		{"balance", r.m.Balance, &balance},
		{"reference", r.m.Reference, &e.Reference},
		{"end_to_end", r.m.EndToEnd, &e.EndToEnd},
		{"text", r.m.Text, &e.Text},
	} {
		var err error
		if *one.dst, err = r.value(one.key, one.text); err != nil {
			return err
		}
	}
	if r.s.Account == "" {
		r.s.Account, r.s.Line = bounded(account), r.line
	}
	if bounded(account) != r.s.Account {
		return &Error{r.line, "account", fmt.Errorf("%w: a second account: want one a file", ErrMalformed)}
	}
	asset, err := assetOf(currency)
	if err != nil {
		return &Error{r.line, "currency", err}
	}
	if e.Amount, err = r.amount(asset, amount); err != nil {
		return &Error{r.line, "amount", err}
	}
	if r.m.Direction != "" && direction == r.m.Debit {
		e.Amount.Minus = !e.Amount.Minus
	}
	for _, d := range []struct {
		key, text string
		dst       *time.Time
	}{{"booked", booked, &e.Booked}, {"value", value, &e.Value}} {
		if d.text == "" && d.key == "value" {
			continue
		}
		if *d.dst, err = time.Parse(r.m.layout, d.text); err != nil || d.dst.Year() < 1970 || d.dst.Year() > 2200 {
			return &Error{r.line, d.key, fmt.Errorf("%w: %.40q: want a date as %s between 1970 and 2200", ErrMalformed, d.text, r.m.Dates)}
		}
	}
	e.Reference, e.EndToEnd, e.Text = bounded(e.Reference), bounded(e.EndToEnd), bounded(e.Text)
	if r.m.Balance != "" {
		after, err := r.amount(asset, balance)
		if err != nil {
			return &Error{r.line, "balance", err}
		}
		r.after = append(r.after, &after)
	}
	r.s.Entries = append(r.s.Entries, e)
	return nil
}

// amount reads a number with its sign and its marks of thousands.
func (r *csvReader) amount(asset money.Asset, text string) (Amount, error) {
	point, thousands := ".", ","
	if r.m.DecimalComma {
		point, thousands = thousands, point
	}
	digits, minus := strings.CutPrefix(text, "-")
	digits = strings.TrimPrefix(digits, "+")
	whole, part, found := strings.Cut(digits, point)
	groups := strings.Split(whole, thousands)
	for i, g := range groups {
		if i > 0 && len(g) != 3 {
			return Amount{}, fmt.Errorf("%w: %.40q is no amount", ErrMalformed, text)
		}
	}
	digits = strings.Join(groups, "")
	if found {
		digits += "." + part
	}
	minor, err := parseDecimal(asset, digits)
	return Amount{minor, minus, asset.String()}, err
}

// finish orders the entries, checks the balances, and tells opening and closing.
func (r *csvReader) finish() ([]Statement, error) {
	s := &r.s
	if len(s.Entries) == 0 {
		return nil, &Error{max(r.line, 1), "", fmt.Errorf("%w: no entry", ErrMalformed)}
	}
	if r.m.NewestFirst {
		slices.Reverse(s.Entries)
		slices.Reverse(r.after)
	}
	first, last := s.Entries[0].Booked, s.Entries[0].Booked
	for i := range s.Entries {
		if b := s.Entries[i].Booked; b.Before(first) {
			first = b
		} else if b.After(last) {
			last = b
		}
	}
	s.From, s.To = first, last.AddDate(0, 0, 1)
	s.ID = first.Format("2006-01-02") + "/" + last.Format("2006-01-02")
	if len(r.after) == 0 {
		return []Statement{*s}, nil
	}
	sum := new(big.Int).Sub(r.after[0].signed(), s.Entries[0].Amount.signed())
	opening, ok := amountOf(sum, s.Entries[0].Amount.Asset)
	if !ok {
		return nil, &Error{s.Entries[0].Line, "balance", fmt.Errorf("%w: beyond 128 bits", ErrSums)}
	}
	for i := range s.Entries {
		if sum.Add(sum, s.Entries[i].Amount.signed()).Cmp(r.after[i].signed()) != 0 {
			return nil, &Error{s.Entries[i].Line, "balance", fmt.Errorf("%w: want %v after this line, not %v (minor units)", ErrSums, sum, r.after[i])}
		}
	}
	s.Opening, s.Closing = &opening, r.after[len(r.after)-1]
	if err := s.check(); err != nil {
		return nil, err
	}
	return []Statement{*s}, nil
}

func amountOf(n *big.Int, asset string) (Amount, bool) {
	minor, err := money.Parse(new(big.Int).Abs(n).String())
	return Amount{minor, n.Sign() < 0, asset}, err == nil
}
