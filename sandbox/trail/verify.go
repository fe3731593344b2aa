package trail

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrTampered is wrapped by every error about a record that is not what was written.
var ErrTampered = errors.New("the record is not what was written")

// Report is what a verified record says.
type Report struct {
	Begin    Begin  `json:"begin"`
	Records  uint64 `json:"records"`
	Events   uint64 `json:"events"`
	GapCount uint64 `json:"gap_count"`
	Gaps     []Gap  `json:"gaps"` // the first MaxGaps
	Lost     uint64 `json:"lost"` // events known to be lost
	Alerts   uint64 `json:"alerts"`
	// End is nil where the record has no end: the sandbox runs, or lines are missing.
	End  *End   `json:"end,omitempty"`
	Head string `json:"head"`
	// First is the hash of the first line, which names the record: no other has it.
	First Hash `json:"first"`
	// Torn is true where the text stops within a line, at byte Size.
	Torn bool  `json:"torn"`
	Size int64 `json:"size"` // bytes of whole lines
}

// MaxGaps bounds the gaps that a report lists; Report.GapCount counts all.
const MaxGaps = 1000

// Complete tells whether the record shows all that happened: it has an end, and no gap.
func (r *Report) Complete() bool { return r.End != nil && r.GapCount == 0 && !r.Torn }

// Verify reads a record and checks every line. The report is of the lines before the fault, if there is one; the error
// then wraps ErrTampered and names the line and the byte. Where a record just stops, that is no error, but no end.
// Each, if not nil, is called with every verified record, whose body it must not keep.
func Verify(r io.Reader, each func(Record) error) (*Report, Chain, error) {
	v := verifier{report: &Report{Gaps: []Gap{}}}
	lines := bufio.NewReaderSize(r, MaxLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return v.done(nil)
		case errors.Is(err, io.EOF):
			v.report.Torn = true
			if v.report.End != nil {
				return v.done(v.fault("text after the end"))
			}
			return v.done(nil)
		case errors.Is(err, bufio.ErrBufferFull):
			return v.done(v.fault("a line of more than %d bytes", MaxLine))
		case err != nil:
			return v.done(fmt.Errorf("read the record: %w", err))
		}
		record, err := v.line(line)
		if err == nil && each != nil {
			err = each(record)
		}
		if err != nil {
			return v.done(err)
		}
		v.report.Size += int64(len(line))
	}
}

type verifier struct {
	chain  Chain
	report *Report
}

func (v *verifier) done(err error) (*Report, Chain, error) {
	v.report.Head = v.chain.head.String()
	return v.report, v.chain, err
}

func (v *verifier) fault(format string, args ...any) error {
	return fmt.Errorf("%w: line %d, at byte %d: %s", ErrTampered, v.report.Records+1, v.report.Size, fmt.Sprintf(format, args...))
}

// line verifies one line, newline included, and counts it.
func (v *verifier) line(line []byte) (Record, error) {
	var r Record
	if len(line) <= hashColumn+1 || line[hashColumn-1] != ' ' {
		return r, v.fault("no hash")
	}
	text := line[hashColumn : len(line)-1]
	want := link(v.chain.head, text)
	var claimed [2 * len(Hash{})]byte
	hex.Encode(claimed[:], want[:])
	if !bytes.Equal(claimed[:], line[:hashColumn-1]) {
		return r, v.fault("the hash does not follow from the line and those before it")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, v.fault("not readable: %v", err)
	}
	if d.InputOffset() != int64(len(text)) {
		return r, v.fault("text after the record")
	}
	switch {
	case v.report.End != nil:
		return r, v.fault("a line after the end")
	case r.Seq != v.chain.next:
		return r, v.fault("number %d where %d is due", r.Seq, v.chain.next)
	case r.Time < v.chain.last:
		return r, v.fault("the time goes back")
	case (r.Kind == KindBegin) != (r.Seq == 0):
		return r, v.fault("%q as number %d", r.Kind, r.Seq)
	}
	if err := v.count(r); err != nil {
		return r, err
	}
	r.Hash = want
	if r.Seq == 0 {
		v.report.First = want
	}
	v.chain = Chain{head: want, next: r.Seq + 1, last: r.Time}
	v.report.Records++
	return r, nil
}

// count reads the body of what is not an event. Numbers that an end claims must be those of the lines.
func (v *verifier) count(r Record) error {
	read := func(into any) error {
		if err := json.Unmarshal(r.Body, into); err != nil {
			return v.fault("%s: %v", r.Kind, err)
		}
		return nil
	}
	switch r.Kind {
	case KindBegin:
		if err := read(&v.report.Begin); err != nil {
			return err
		}
		if f := v.report.Begin.Format; f < 1 || f > Format {
			return v.fault("format %d; this program reads 1 to %d", f, Format)
		}
	case KindEvent:
		v.report.Events++
	case KindGap:
		var g Gap
		if err := read(&g); err != nil {
			return err
		}
		v.report.Lost += g.Lost
		v.report.GapCount++
		if len(v.report.Gaps) < MaxGaps {
			v.report.Gaps = append(v.report.Gaps, g)
		}
	case KindHost, KindAlert:
		return v.countHost(r, read)
	case KindEnd:
		var e End
		if err := read(&e); err != nil {
			return err
		}
		if r := v.report; e.Events != r.Events || e.Gaps != r.GapCount || e.Lost != r.Lost || e.Alerts != r.Alerts {
			return v.fault("the end counts %d events, %d gaps, %d lost and %d alerts; there are %d, %d, %d and %d",
				e.Events, e.Gaps, e.Lost, e.Alerts, r.Events, r.GapCount, r.Lost, r.Alerts)
		}
		v.report.End = &e
	default:
		return v.fault("unknown kind %q", r.Kind)
	}
	return nil
}

// countHost reads a line that format 1 does not have.
func (v *verifier) countHost(r Record, read func(into any) error) error {
	if v.report.Begin.Format < 2 {
		return v.fault("%q in a record of format %d", r.Kind, v.report.Begin.Format)
	}
	if r.Kind == KindHost {
		return read(&Host{})
	}
	var a Alert
	if err := read(&a); err != nil {
		return err
	}
	if a.Of >= r.Seq {
		return v.fault("an alert about line %d, which is not before it", a.Of)
	}
	v.report.Alerts++
	return nil
}
