package feed

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/journal"
)

// Position names one event of one cell for ever; a consumer resumes after it. Positions of a cell order like events.
type Position struct {
	Cell  uint64
	Seq   uint64 // of the journal block; 0: before the first
	Index int    // of the event in its block; Whole: after all of them
}

// Whole is the index after all events of a block: none is as large.
const Whole = 1<<14 - 1

// ErrPosition is text that is no position.
var ErrPosition = errors.New("not a position (want CELL:SEQ:INDEX, or CELL:SEQ for after a whole block)")

// AfterBlock is the position after all events of block seq.
func AfterBlock(cell, seq uint64) Position { return Position{cell, seq, Whole} }

// Compare is negative where p comes before q. Both are of one cell.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Index, q.Index))
}

// String returns CELL:SEQ:INDEX.
func (p Position) String() string {
	b := strconv.AppendUint(make([]byte, 0, 32), p.Cell, 10)
	b = strconv.AppendUint(append(b, ':'), p.Seq, 10)
	b = strconv.AppendInt(append(b, ':'), int64(p.Index), 10)
	return string(b)
}

// ParsePosition reads what String writes, and CELL:SEQ for the position after all of a block.
func ParsePosition(text string) (Position, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return Position{}, fmt.Errorf("%.64q: %w", text, ErrPosition)
	}
	p := Position{Index: Whole}
	var errs [3]error
	p.Cell, errs[0] = strconv.ParseUint(parts[0], 10, 64)
	p.Seq, errs[1] = strconv.ParseUint(parts[1], 10, 48)
	if len(parts) == 3 {
		var index uint64
		index, errs[2] = strconv.ParseUint(parts[2], 10, 14)
		p.Index = int(index)
	}
	if errors.Join(errs[:]...) != nil || p.check() != nil {
		return Position{}, fmt.Errorf("%.64q: %w", text, ErrPosition)
	}
	return p, nil
}

// MarshalText returns CELL:SEQ:INDEX.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePosition.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

func (p Position) check() error {
	if p.Cell == 0 || p.Seq > journal.MaxSeq || p.Index < 0 || p.Index > Whole {
		return fmt.Errorf("%v: %w", p, ErrPosition)
	}
	return nil
}

// next is where the event after p may stand.
func (p Position) next() (seq uint64, index int) {
	if p.Index >= Whole {
		return p.Seq + 1, 0
	}
	return max(p.Seq, 1), p.Index + 1
}
