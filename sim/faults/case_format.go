package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// ErrCase is a case that can't be read; the text says where and why.
var ErrCase = errors.New("unusable case")

// caseLine is one line of a case: exactly one of its fields beside At. docs/bench-cases.md is the specification.
type caseLine struct {
	At          *caseTime        `json:"at"`
	Account     *caseAccount     `json:"account"`
	Transfer    *caseTransfer    `json:"transfer"`
	Block       *struct{}        `json:"block"`
	RawBlock    *[]byte          `json:"raw_block"`
	Observation *caseObservation `json:"observation"`
	Promise     *[]string        `json:"promise"`
	Tick        *struct{}        `json:"tick"`
	Restart     *struct{}        `json:"restart"`
}

type caseAccount struct {
	ID          caseID `json:"id"`
	Asset       string `json:"asset"`
	Code        uint16 `json:"code"`
	NoOverdraft bool   `json:"no_overdraft"`
}

type caseTransfer struct {
	ID            caseID     `json:"id"`
	Debit         caseID     `json:"debit"`
	Credit        caseID     `json:"credit"`
	Amount        caseNumber `json:"amount"`
	Asset         string     `json:"asset"`
	Code          uint16     `json:"code"`
	UserData128   caseID     `json:"user_data_128"`
	UserData64    uint64     `json:"user_data_64"`
	UserData32    uint32     `json:"user_data_32"`
	Pending       bool       `json:"pending"`
	Timeout       uint32     `json:"timeout"` // s
	Post          caseID     `json:"post"`
	Void          caseID     `json:"void"`
	KeepRemainder bool       `json:"keep_remainder"`
	Linked        bool       `json:"linked"`
	Recorded      *recorded  `json:"recorded"`
}

// recorded is what a faulty ledger's journal says instead. What is left out is as it was asked for.
type recorded struct {
	Created bool        `json:"created"` // though the ledger refused it
	Debit   *caseID     `json:"debit"`
	Credit  *caseID     `json:"credit"`
	Amount  *caseNumber `json:"amount"`
}

type caseObservation struct {
	Source  string           `json:"source"`
	Seq     uint64           `json:"seq"` // 0: the next one
	Kind    string           `json:"kind"`
	Outcome string           `json:"outcome"`
	Time    *caseTime        `json:"time"`
	Through *caseTime        `json:"through"`
	Flow    string           `json:"flow"`
	Key     caseID           `json:"key"`
	ID      caseID           `json:"id"`
	Amount  caseNumber       `json:"amount"`
	Minus   bool             `json:"minus"`
	Asset   string           `json:"asset"`
	Debit   caseID           `json:"debit"`
	Credit  caseID           `json:"credit"`
	OfKey   caseID           `json:"of_key"`
	Terms   map[string]int64 `json:"terms"`
	Text    string           `json:"text"`
}

// caseExpected is the file of what has to be found.
type caseExpected struct {
	Breaks []caseBreak `json:"breaks"`
}

type caseBreak struct {
	Class watch.Class `json:"class"`
	Flow  string      `json:"flow"`
	Key   caseID      `json:"key"`
	By    *caseTime   `json:"by"` // absent: until the end
}

// caseID is a u128: its decimal digits, or a text, of which it is the first 16 bytes of the SHA-256.
type caseID struct {
	id   watch.ID
	text string
}

const maxCaseText = 256

// UnmarshalJSON implements json.Unmarshaler.
func (c *caseID) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &c.text); err != nil || len(c.text) > maxCaseText {
		return fmt.Errorf("want an id as a text of up to %d bytes, not %.40s", maxCaseText, b) //nolint:err113 // wrapped with its place
	}
	n, err := money.Parse(c.text)
	switch {
	case c.text == "":
	case err == nil:
		c.id, c.text = idOf(n), ""
	default:
		sum := sha256.Sum256([]byte(c.text))
		copy(c.id[:], sum[:])
	}
	return nil
}

// caseNumber is an amount in minor units, as a text of digits.
type caseNumber struct{ money.U128 }

// UnmarshalJSON implements json.Unmarshaler.
func (c *caseNumber) UnmarshalJSON(b []byte) error {
	var text string
	err := json.Unmarshal(b, &text)
	if err == nil {
		c.U128, err = money.Parse(text)
	}
	if err != nil {
		return fmt.Errorf(`want an amount in minor units as a text such as "1234", not %.40s`, b) //nolint:err113 // wrapped with its place
	}
	return nil
}

// caseTime is a moment in RFC 3339, in ns since 1970.
type caseTime uint64

// UnmarshalJSON implements json.Unmarshaler.
func (c *caseTime) UnmarshalJSON(b []byte) error {
	var at time.Time
	if err := json.Unmarshal(b, &at); err != nil || at.Year() < 1971 || at.Year() > 2200 {
		return fmt.Errorf(`want a time such as "2027-01-15T08:00:00.25Z", not %.60s`, b) //nolint:err113 // wrapped with its place
	}
	*c = caseTime(at.UnixNano())
	return nil
}

var kindNames = map[string]watch.ObservationKind{
	"instruction": watch.Instruction, "receipt": watch.Receipt, "statement_entry": watch.StatementEntry, "balance": watch.Balance, "heartbeat": watch.Heartbeat,
}

var outcomeNames = map[string]watch.Outcome{
	"": 0, "settled": watch.Settled, "failed": watch.Failed, "refunded": watch.Refunded, "charged_back": watch.ChargedBack,
}

// strictly reads one value, and nothing else.
func strictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value") //nolint:err113 // wrapped with its place
	}
	return nil
}

// readLine reads a line of a case.
func readLine(b []byte) (l caseLine, err error) {
	if err := strictly(b, &l); err != nil {
		return l, err
	}
	said := 0
	for _, there := range []bool{
		l.Account != nil, l.Transfer != nil, l.Block != nil, l.RawBlock != nil, l.Observation != nil, l.Promise != nil, l.Tick != nil, l.Restart != nil,
	} {
		if there {
			said++
		}
	}
	if said != 1 {
		return l, errors.New(`want exactly one of "account", "transfer", "block", "raw_block", "observation", "promise", "tick", "restart"`) //nolint:err113 // wrapped with its place
	}
	return l, nil
}

// observation is what the line says a source saw.
func (o *caseObservation) observation(now uint64) (seen watch.Observation, err error) {
	kind, known := kindNames[o.Kind]
	outcome, ended := outcomeNames[o.Outcome]
	switch {
	case !known:
		return seen, fmt.Errorf("there is no kind %q of observation", o.Kind) //nolint:err113 // wrapped with its place
	case !ended:
		return seen, fmt.Errorf("there is no outcome %q", o.Outcome) //nolint:err113 // wrapped with its place
	case o.Source == "" || len(o.Source) > 64:
		return seen, errors.New("want a source of 1 to 64 bytes") //nolint:err113 // wrapped with its place
	}
	seen = watch.Observation{
		Seq: o.Seq, Kind: kind, Outcome: outcome, Time: now, Flow: o.Flow, Key: o.Key.id, KeyText: o.Key.text, ID: o.ID.id, IDText: o.ID.text,
		Amount: watch.Amount(o.Amount.U128), Minus: o.Minus, Asset: o.Asset, Debit: o.Debit.id, Credit: o.Credit.id, OfKey: o.OfKey.id, Text: o.Text,
	}
	if o.Time != nil {
		seen.Time = uint64(*o.Time)
	}
	if o.Through != nil {
		seen.Through = uint64(*o.Through)
	}
	values := map[string]uint64{}
	for name, v := range o.Terms {
		values[name] = uint64(v) //nolint:gosec // G115: wraps, and back
	}
	seen.Terms = termsOf(values)
	return seen, nil
}

// offsetOf is where in a text an error of its JSON is, or its end.
func offsetOf(err error, end int) int {
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return int(syntax.Offset)
	case errors.As(err, &typed):
		return int(typed.Offset)
	default:
		return end
	}
}
