package statement

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/money"
)

// The elements that are read, by their names in camt.053. What is not here is skipped.
type (
	camtAmount struct {
		Currency string `xml:"Ccy,attr"`
		Value    string `xml:",chardata"`
	}
	camtDate struct {
		Date string `xml:"Dt"`
		Time string `xml:"DtTm"`
	}
	camtBalance struct {
		Code      string     `xml:"Tp>CdOrPrtry>Cd"`
		Amount    camtAmount `xml:"Amt"`
		Direction string     `xml:"CdtDbtInd"`
		Date      camtDate   `xml:"Dt"`
	}
	camtStatus struct { // a text until 001.02, an element with a code since 001.03
		Text string `xml:",chardata"`
		Code string `xml:"Cd"`
	}
	camtAccount struct {
		IBAN  string `xml:"Id>IBAN"`
		Other string `xml:"Id>Othr>Id"`
	}
	camtDetails struct {
		EndToEnd    string      `xml:"Refs>EndToEndId"`
		Transaction string      `xml:"Refs>TxId"`
		Reference   string      `xml:"Refs>AcctSvcrRef"`
		Amount      *camtAmount `xml:"Amt"`               // since 001.04
		Older       *camtAmount `xml:"AmtDtls>TxAmt>Amt"` // until 001.03
		Direction   string      `xml:"CdtDbtInd"`
		Text        []string    `xml:"RmtInf>Ustrd"`
		Structured  string      `xml:"RmtInf>Strd>CdtrRefInf>Ref"`
	}
	camtEntry struct {
		Reference string        `xml:"NtryRef"`
		Bank      string        `xml:"AcctSvcrRef"`
		Amount    camtAmount    `xml:"Amt"`
		Direction string        `xml:"CdtDbtInd"`
		Reversal  string        `xml:"RvslInd"`
		Status    camtStatus    `xml:"Sts"`
		Booked    camtDate      `xml:"BookgDt"`
		Value     camtDate      `xml:"ValDt"`
		Text      string        `xml:"AddtlNtryInf"`
		Details   []camtDetails `xml:"NtryDtls>TxDtls"`
	}
	camtPeriod struct {
		From string `xml:"FrDtTm"`
		To   string `xml:"ToDtTm"`
	}
)

// camtReader reads one document.
type camtReader struct {
	d       *xml.Decoder
	list    []Statement
	entries int
	closes  time.Time // date of the closing balance of the statement that is read
}

const maxDepth = 64 // of elements

// ReadCamt reads the statements of a camt.053 document. Errors are *Error, or the reader's.
func ReadCamt(in io.Reader) ([]Statement, error) {
	bound := &boundedReader{in: in, left: MaxBytes}
	r := &camtReader{d: xml.NewDecoder(bound)}
	r.d.Strict = true
	if err := r.document(); err != nil {
		if bound.err != nil {
			return nil, bound.err
		}
		return nil, r.at("", err)
	}
	return r.list, nil
}

// boundedReader fails where more than left bytes come.
type boundedReader struct {
	in   io.Reader
	left int64
	err  error // not of the end
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxBytes)
		return 0, b.err
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// at gives an error its place, unless it has one.
func (r *camtReader) at(element string, err error) error {
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	line, _ := r.d.InputPos()
	if !slices.ContainsFunc([]error{ErrMalformed, ErrCurrency, ErrSums, ErrTooLarge}, func(known error) bool { return errors.Is(err, known) }) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &Error{line, element, err}
}

// next returns the next beginning of an element; nil at the end of the one around it.
func (r *camtReader) next() (*xml.StartElement, error) {
	for {
		t, err := r.d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		case xml.Directive:
			return nil, fmt.Errorf("%w: it has a document type definition, and no statement needs one", ErrMalformed)
		}
	}
}

// skip passes over an element, of a bounded depth.
func (r *camtReader) skip() error {
	for depth := 1; depth > 0; {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		switch t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: elements are nested more than %d deep", ErrMalformed, maxDepth)
			}
		case xml.EndElement:
			depth--
		}
	}
	return nil
}

func (r *camtReader) document() error {
	root, err := r.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: no document", ErrMalformed)
		}
		return err
	}
	if root == nil || root.Name.Local != "Document" || !strings.Contains(root.Name.Space, "camt.053.001.") {
		return fmt.Errorf("%w: want a Document of camt.053, such as xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"", ErrMalformed)
	}
	if err := r.children(map[string]func(*xml.StartElement) error{"BkToCstmrStmt": func(*xml.StartElement) error {
		return r.children(map[string]func(*xml.StartElement) error{"Stmt": func(*xml.StartElement) error { return r.statement() }})
	}}); err != nil {
		return err
	}
	if len(r.list) == 0 {
		return fmt.Errorf("%w: no statement (Stmt)", ErrMalformed)
	}
	return nil
}

// children reads the children that have a reader, and skips the others, until the end of the element.
func (r *camtReader) children(readers map[string]func(*xml.StartElement) error) error {
	for {
		e, err := r.next()
		if err != nil || e == nil {
			return err
		}
		if read := readers[e.Name.Local]; read != nil {
			err = read(e)
		} else {
			err = r.skip()
		}
		if err != nil {
			return r.at(e.Name.Local, err)
		}
	}
}

func (r *camtReader) statement() error {
	line, _ := r.d.InputPos()
	s := Statement{Line: line}
	r.closes = time.Time{}
	text := func(dst *string) func(*xml.StartElement) error {
		return func(e *xml.StartElement) error { return r.d.DecodeElement(dst, e) }
	}
	var created string
	var period camtPeriod
	var account camtAccount
	err := r.children(map[string]func(*xml.StartElement) error{
		"Id": text(&s.ID), "CreDtTm": text(&created),
		"FrToDt": func(e *xml.StartElement) error { return r.d.DecodeElement(&period, e) },
		"Acct":   func(e *xml.StartElement) error { return r.d.DecodeElement(&account, e) },
		"Bal":    func(e *xml.StartElement) error { return r.balance(&s, e) },
		"Ntry":   func(e *xml.StartElement) error { return r.entry(&s, e) },
	})
	if err != nil {
		return err
	}
	s.ID = bounded(s.ID)
	if s.Account = bounded(account.IBAN); s.Account == "" {
		s.Account = bounded(account.Other)
	}
	if s.Account == "" {
		return r.at("Stmt/Acct", fmt.Errorf("%w: no IBAN and no other number of the account", ErrMalformed))
	}
	for _, one := range []struct {
		name, text string
		dst        *time.Time
	}{{"CreDtTm", created, &s.Created}, {"FrToDt/FrDtTm", period.From, &s.From}, {"FrToDt/ToDtTm", period.To, &s.To}} {
		if *one.dst, err = moment(camtDate{Time: one.text}); err != nil {
			return r.at(one.name, err)
		}
	}
	if s.To.IsZero() && !r.closes.IsZero() {
		s.To = r.closes.AddDate(0, 0, 1)
	}
	if s.To.IsZero() {
		for i := range s.Entries {
			if end := s.Entries[i].Booked.Truncate(24*time.Hour).AddDate(0, 0, 1); end.After(s.To) {
				s.To = end
			}
		}
	}
	if err := s.check(); err != nil {
		return err
	}
	r.list = append(r.list, s)
	return nil
}

// balance keeps the booked balances at the beginning and at the end.
func (r *camtReader) balance(s *Statement, e *xml.StartElement) error {
	var b camtBalance
	if err := r.d.DecodeElement(&b, e); err != nil {
		return err
	}
	var dst **Amount
	switch strings.TrimSpace(b.Code) {
	case "OPBD", "PRCD":
		dst = &s.Opening
	case "CLBD":
		dst = &s.Closing
	default:
		return nil
	}
	amount, err := readAmount(b.Amount, b.Direction)
	if err != nil {
		return r.at("Bal/Amt", err)
	}
	if *dst != nil && **dst != amount {
		return fmt.Errorf("%w: two different %s balances", ErrMalformed, b.Code)
	}
	*dst = &amount
	if dst == &s.Closing {
		if r.closes, err = moment(b.Date); err != nil {
			return r.at("Bal/Dt", err)
		}
		r.closes = r.closes.Truncate(24 * time.Hour)
	}
	return nil
}

func (r *camtReader) entry(s *Statement, start *xml.StartElement) error {
	line, _ := r.d.InputPos()
	var x camtEntry
	if err := r.d.DecodeElement(&x, start); err != nil {
		return err
	}
	status := strings.TrimSpace(x.Status.Text)
	if code := strings.TrimSpace(x.Status.Code); code != "" {
		status = code
	}
	switch status {
	case "BOOK", "":
	case "PDNG", "INFO", "FUTR":
		s.Pending++
		return nil
	default:
		return r.at("Ntry/Sts", fmt.Errorf("%w: %.40q: want BOOK, PDNG, INFO or FUTR", ErrMalformed, status))
	}
	amount, err := readAmount(x.Amount, x.Direction)
	if err != nil {
		return &Error{line, "Ntry/Amt", err}
	}
	e := Entry{Line: line, Amount: amount, Reference: bounded(x.Bank), Text: bounded(x.Text), Reversal: strings.TrimSpace(x.Reversal) == "true"}
	if e.Reference == "" {
		e.Reference = bounded(x.Reference)
	}
	if e.Booked, err = moment(x.Booked); err != nil {
		return &Error{line, "Ntry/BookgDt", err}
	}
	if e.Value, err = moment(x.Value); err != nil {
		return &Error{line, "Ntry/ValDt", err}
	}
	if e.Booked.IsZero() {
		return &Error{line, "Ntry/BookgDt", fmt.Errorf("%w: it is missing", ErrMalformed)}
	}
	list, err := x.split(e)
	if err != nil {
		return &Error{line, "Ntry/NtryDtls", err}
	}
	if r.entries += len(list); r.entries > MaxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrTooLarge, MaxEntries)
	}
	s.Entries = append(s.Entries, list...)
	return nil
}

// split makes the transactions of an entry; one where the details don't say their amounts.
func (x *camtEntry) split(e Entry) ([]Entry, error) {
	var list []Entry
	sum := new(big.Int)
	for i := range x.Details {
		d := &x.Details[i]
		one := e
		amount := d.Amount
		if amount == nil {
			amount = d.Older
		}
		if amount != nil {
			direction := d.Direction
			if direction == "" {
				direction = x.Direction
			}
			var err error
			if one.Amount, err = readAmount(*amount, direction); err != nil {
				return nil, err
			}
		}
		one.describe(d)
		if len(x.Details) == 1 {
			one.Amount = e.Amount // the detail may be in the payer's currency
			return []Entry{one}, nil
		}
		if amount == nil || one.Amount.Asset != e.Amount.Asset {
			return []Entry{e}, nil
		}
		sum.Add(sum, one.Amount.signed())
		list = append(list, one)
	}
	if len(list) == 0 {
		return []Entry{e}, nil
	}
	if sum.Cmp(e.Amount.signed()) != 0 {
		return nil, fmt.Errorf("%w: the %d transactions of the batch make %v, and the entry is %v", ErrSums, len(list), sum, e.Amount)
	}
	return list, nil
}

func (e *Entry) describe(d *camtDetails) {
	if id := bounded(d.EndToEnd); id != "NOTPROVIDED" {
		e.EndToEnd = id
	}
	switch {
	case d.Reference != "":
		e.Reference = bounded(d.Reference)
	case d.Transaction != "":
		e.Reference = bounded(d.Transaction)
	}
	text := strings.Join(d.Text, " ")
	if text == "" {
		text = d.Structured
	}
	if text != "" {
		e.Text = bounded(text)
	}
}

func readAmount(a camtAmount, direction string) (Amount, error) {
	asset, err := assetOf(strings.TrimSpace(a.Currency))
	if err != nil {
		return Amount{}, err
	}
	minor, err := parseDecimal(asset, strings.TrimSpace(a.Value))
	if err != nil {
		return Amount{}, err
	}
	switch strings.TrimSpace(direction) {
	case "CRDT":
		return Amount{minor, false, asset.String()}, nil
	case "DBIT":
		return Amount{minor, true, asset.String()}, nil
	}
	return Amount{}, fmt.Errorf("%w: CdtDbtInd %.40q: want CRDT or DBIT", ErrMalformed, direction)
}

// parseDecimal reads an amount; zeros beyond the currency's scale, which the format allows, are left out.
func parseDecimal(asset money.Asset, text string) (money.U128, error) {
	if whole, part, found := strings.Cut(text, "."); found {
		for len(part) > int(asset.Scale) && strings.HasSuffix(part, "0") {
			part = part[:len(part)-1]
		}
		if text = whole; part != "" {
			text += "." + part
		}
	}
	minor, err := asset.ParseAmount(text)
	if err != nil {
		return money.U128{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return minor, nil
}

// moment reads a date or a time; one without a zone is UTC. Zero where there is none.
func moment(d camtDate) (time.Time, error) {
	text := strings.TrimSpace(d.Time)
	if text == "" {
		text = strings.TrimSpace(d.Date)
	}
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02", "2006-01-02Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			if t.Year() < 1970 || t.Year() > 2200 {
				break
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %.40q is no date between 1970 and 2200", ErrMalformed, text)
}
