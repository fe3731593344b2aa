package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/money"
)

// statementHead begins every statement: its format and version.
const statementHead = "sterling checkpoint v1"

// Bounds of a statement. The log's format holds 65,535 bytes of an entry.
const (
	maxStatement = 65_000
	maxName      = 64
)

// ErrStatement is a statement that can't be made or read.
var ErrStatement = errors.New("statement")

// Statement is what a ledger states about itself at a moment.
type Statement struct {
	Cell uint64
	Seq  uint64   // last block that it is about
	Hash [32]byte // of that block: with it the statement names the whole journal up to there
	Time uint64   // of that block, ns since 1970 UTC
	// SafeThrough: everything up to here was proven safe by what was known when it was made, ns since 1970 UTC; 0:
	// nothing was yet. It is the one number that may be taken back: a fault may come to light late, and a flow may join
	// whose witness is behind. That it was taken back stays in the log.
	SafeThrough uint64
	Made        uint64   // when it was stated, ns since 1970 UTC
	Events      uint64   // movements and observations so far
	Totals      []Total  // ascending by asset
	Sources     []Source // ascending by name
}

// Total is what all accounts of an asset add up to, in minor units.
type Total struct {
	Asset                                                      string // such as "CNY/2"
	DebitsPosted, CreditsPosted, DebitsPending, CreditsPending money.U128
	Transfers                                                  uint64 // created so far
}

// Source is how far a second witness has told.
type Source struct {
	Name       string   // letters, digits, ".", "_", "-", ":", up to 64 bytes
	ThroughSeq uint64   // all of its observations up to here are counted
	Digest     [32]byte // SHA-256 chained over them
}

// Encode returns the statement's only bytes, which docs/formats.md specifies, or ErrStatement where a field is out of
// its range.
func (s *Statement) Encode() ([]byte, error) {
	b := fmt.Appendf(nil, "%s\ncell %d\nseq %d\nhash %x\ntime %d\nsafe-through %d\nmade %d\nevents %d\n",
		statementHead, s.Cell, s.Seq, s.Hash, s.Time, s.SafeThrough, s.Made, s.Events)
	for i := range s.Totals {
		t := &s.Totals[i]
		if _, err := money.ParseAsset(t.Asset); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStatement, err)
		}
		if i > 0 && s.Totals[i-1].Asset >= t.Asset {
			return nil, fmt.Errorf("%w: asset %s after %s", ErrStatement, t.Asset, s.Totals[i-1].Asset)
		}
		b = fmt.Appendf(b, "total %s posted %v %v pending %v %v transfers %d\n", t.Asset, t.DebitsPosted, t.CreditsPosted, t.DebitsPending, t.CreditsPending, t.Transfers)
	}
	for i := range s.Sources {
		o := &s.Sources[i]
		if !isName(o.Name) {
			return nil, fmt.Errorf("%w: %.80q is no name of a source", ErrStatement, o.Name)
		}
		if i > 0 && s.Sources[i-1].Name >= o.Name {
			return nil, fmt.Errorf("%w: source %s after %s", ErrStatement, o.Name, s.Sources[i-1].Name)
		}
		b = fmt.Appendf(b, "source %s %d %x\n", o.Name, o.ThroughSeq, o.Digest)
	}
	if len(b) > maxStatement {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d", ErrStatement, len(b), maxStatement)
	}
	return b, nil
}

func isName(name string) bool {
	return name != "" && len(name) <= maxName &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") == ""
}

// ParseStatement reads a statement. Bytes that Encode would not have written are ErrStatement.
func ParseStatement(b []byte) (Statement, error) {
	var s Statement
	if len(b) > maxStatement {
		return s, fmt.Errorf("%w: it has %d bytes, at most %d", ErrStatement, len(b), maxStatement)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 9 || lines[0] != statementHead || lines[len(lines)-1] != "" {
		return s, fmt.Errorf("%w: it is not of this version", ErrStatement)
	}
	for i, f := range []struct {
		name string
		dst  any
	}{
		{"cell", &s.Cell},
		{"seq", &s.Seq},
		{"hash", &s.Hash},
		{"time", &s.Time},
		{"safe-through", &s.SafeThrough},
		{"made", &s.Made},
		{"events", &s.Events},
	} {
		value, ok := strings.CutPrefix(lines[i+1], f.name+" ")
		if !ok || !scan(value, f.dst) {
			return s, fmt.Errorf("%w: line %d is no %s", ErrStatement, i+2, f.name)
		}
	}
	for i, line := range lines[8 : len(lines)-1] {
		if !s.parseRow(strings.Split(line, " ")) {
			return s, fmt.Errorf("%w: line %d is neither a total nor a source", ErrStatement, i+9)
		}
	}
	again, err := s.Encode()
	if err != nil {
		return s, err
	}
	if !bytes.Equal(again, b) {
		return s, fmt.Errorf("%w: it is not written as a ledger writes it", ErrStatement)
	}
	return s, nil
}

func (s *Statement) parseRow(words []string) bool {
	switch {
	case len(words) == 10 && words[0] == "total" && words[2] == "posted" && words[5] == "pending" && words[8] == "transfers":
		t := Total{Asset: words[1]}
		ok := scan(words[3], &t.DebitsPosted) && scan(words[4], &t.CreditsPosted) &&
			scan(words[6], &t.DebitsPending) && scan(words[7], &t.CreditsPending) && scan(words[9], &t.Transfers)
		s.Totals = append(s.Totals, t)
		return ok
	case len(words) == 4 && words[0] == "source":
		o := Source{Name: words[1]}
		ok := scan(words[2], &o.ThroughSeq) && scan(words[3], &o.Digest)
		s.Sources = append(s.Sources, o)
		return ok
	}
	return false
}

// scan reads a number or a hash. That it is written in the one right way is for the caller to check.
func scan(text string, dst any) bool {
	var err error
	switch dst := dst.(type) {
	case *uint64:
		*dst, err = strconv.ParseUint(text, 10, 64)
	case *money.U128:
		*dst, err = money.Parse(text)
	case *[32]byte:
		if len(text) != hex.EncodedLen(len(dst)) {
			return false
		}
		_, err = hex.Decode(dst[:], []byte(text))
	}
	return err == nil
}

// Check says whether the statement agrees with itself: in every asset, debits are credits.
func (s *Statement) Check() error {
	for i := range s.Totals {
		t := &s.Totals[i]
		if t.DebitsPosted != t.CreditsPosted || t.DebitsPending != t.CreditsPending {
			return fmt.Errorf("%s does not balance: posted %v debits and %v credits, pending %v and %v",
				t.Asset, t.DebitsPosted, t.CreditsPosted, t.DebitsPending, t.CreditsPending)
		}
	}
	return nil
}

// SameState reports whether two statements say the same but for the times at which they were made and through which
// all is safe.
func (s *Statement) SameState(o *Statement) bool {
	a, b := *s, *o
	a.Made, a.SafeThrough, b.Made, b.SafeThrough = 0, 0, 0, 0
	one, err := a.Encode()
	two, err2 := b.Encode()
	return err == nil && err2 == nil && bytes.Equal(one, two)
}
