package statement

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/money"
)

// Statements as one process passes them to another: the one that read them may be in a sandbox, since a reader of other
// people's files is the first thing that such a file attacks.
type (
	passedAmount struct {
		Minor string `json:"minor"` // with its sign
		Asset string `json:"asset"`
	}
	passedEntry struct {
		Line      int          `json:"line"`
		Amount    passedAmount `json:"amount"`
		Booked    time.Time    `json:"booked"`
		Value     time.Time    `json:"value"`
		Reference string       `json:"reference,omitempty"`
		EndToEnd  string       `json:"end_to_end,omitempty"`
		Text      string       `json:"text,omitempty"`
		Reversal  bool         `json:"reversal,omitempty"`
	}
	passedStatement struct {
		Line    int           `json:"line"`
		ID      string        `json:"id"`
		Account string        `json:"account"`
		From    time.Time     `json:"from"`
		To      time.Time     `json:"to"`
		Created time.Time     `json:"created"`
		Opening *passedAmount `json:"opening,omitempty"`
		Closing *passedAmount `json:"closing,omitempty"`
		Entries []passedEntry `json:"entries"`
		Pending int           `json:"pending"`
	}
)

// maxPassed bounds the bytes of statements that are passed on.
const maxPassed = 4 * MaxBytes

func pass(a *Amount) *passedAmount {
	if a == nil {
		return nil
	}
	return &passedAmount{a.String(), a.Asset}
}

// Encode writes statements for Decode.
func Encode(w io.Writer, list []Statement) error {
	e := json.NewEncoder(w)
	for i := range list {
		s := &list[i]
		out := passedStatement{
			Line: s.Line, ID: s.ID, Account: s.Account, From: s.From, To: s.To, Created: s.Created,
			Opening: pass(s.Opening), Closing: pass(s.Closing), Entries: make([]passedEntry, len(s.Entries)), Pending: s.Pending,
		}
		for n := range s.Entries {
			x := &s.Entries[n]
			out.Entries[n] = passedEntry{x.Line, *pass(&x.Amount), x.Booked, x.Value, x.Reference, x.EndToEnd, x.Text, x.Reversal}
		}
		if err := e.Encode(out); err != nil {
			return fmt.Errorf("pass a statement on: %w", err)
		}
	}
	return nil
}

// Decode reads what Encode wrote, to its end. Whoever wrote it is not believed: bounds, currencies and sums are verified
// as where a file is read. Errors wrap those of this package.
func Decode(in io.Reader) ([]Statement, error) {
	d := json.NewDecoder(&boundedReader{in: in, left: maxPassed})
	d.DisallowUnknownFields()
	var list []Statement
	entries := 0
	for {
		var p passedStatement
		err := d.Decode(&p)
		if err == io.EOF { //nolint:errorlint // as the decoder says it at the end
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: what was passed on: %w", ErrMalformed, err)
		}
		if entries += len(p.Entries) + 1; entries > MaxEntries {
			return nil, fmt.Errorf("%w: more than %d entries", ErrTooLarge, MaxEntries)
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		if err := s.check(); err != nil {
			return nil, err
		}
		list = append(list, *s)
	}
}

func (p *passedStatement) statement() (*Statement, error) {
	s := &Statement{Line: p.Line, ID: p.ID, Account: p.Account, From: p.From, To: p.To, Created: p.Created, Pending: p.Pending}
	err := texts(p.Line, p.ID, p.Account)
	for _, one := range []struct {
		from *passedAmount
		to   **Amount
	}{{p.Opening, &s.Opening}, {p.Closing, &s.Closing}} {
		if one.from != nil && err == nil {
			*one.to, err = one.from.amount(p.Line)
		}
	}
	for i := range p.Entries {
		if err != nil {
			break
		}
		x := &p.Entries[i]
		var amount *Amount
		if amount, err = x.Amount.amount(x.Line); err == nil {
			err = texts(x.Line, x.Reference, x.EndToEnd, x.Text)
			s.Entries = append(s.Entries, Entry{x.Line, *amount, x.Booked, x.Value, x.Reference, x.EndToEnd, x.Text, x.Reversal})
		}
	}
	return s, err
}

// texts wants texts as readers of files make them.
func texts(line int, list ...string) error {
	for _, text := range list {
		if len(text) > MaxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return &Error{line, "", fmt.Errorf("%w: a text that no file gives", ErrMalformed)}
		}
	}
	return nil
}

func (p *passedAmount) amount(line int) (*Amount, error) {
	digits, minus := strings.CutPrefix(p.Minor, "-")
	minor, err := money.Parse(digits)
	if err != nil || minor.String() != digits {
		return nil, &Error{line, "", fmt.Errorf("%w: amount %.60q", ErrMalformed, p.Minor)}
	}
	code, _, _ := strings.Cut(p.Asset, "/")
	asset, err := assetOf(code)
	if err != nil || asset.String() != p.Asset {
		return nil, &Error{line, "", fmt.Errorf("%w %.40q", ErrCurrency, p.Asset)}
	}
	return &Amount{Minor: minor, Minus: minus, Asset: p.Asset}, nil
}
