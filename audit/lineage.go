package audit

import (
	"errors"
	"fmt"
	"maps"
)

// ErrContradiction is a statement that takes back what one before it has stated.
var ErrContradiction = errors.New("it contradicts what was stated before")

// lineage is what statements of one ledger have said so far: what comes next must neither take it back nor change it.
// The zero value has heard nothing.
type lineage struct {
	heard   bool
	last    Statement
	sources map[string]Source // the last word on each, also on those that are no longer named
}

func (l lineage) clone() lineage {
	l.sources = maps.Clone(l.sources)
	return l
}

// take accepts the next statement, or says what it contradicts (ErrContradiction) and changes nothing.
func (l *lineage) take(s *Statement) error {
	if l.heard {
		if err := l.check(s); err != nil {
			return fmt.Errorf("%w: %w", ErrContradiction, err)
		}
	}
	if l.sources == nil {
		l.sources = map[string]Source{}
	}
	for _, o := range s.Sources {
		l.sources[o.Name] = o
	}
	l.last, l.heard = *s, true
	return nil
}

func (l *lineage) check(s *Statement) error {
	if s.Cell != l.last.Cell {
		return fmt.Errorf("it is of cell %d, those before of cell %d", s.Cell, l.last.Cell)
	}
	for _, f := range []struct {
		name      string
		now, then uint64
	}{
		{"seq", s.Seq, l.last.Seq},
		{"time", s.Time, l.last.Time},
		{"made", s.Made, l.last.Made},
	} {
		if f.now < f.then {
			return fmt.Errorf("%s goes back from %d to %d", f.name, f.then, f.now)
		}
	}
	if s.Seq == l.last.Seq && (s.Hash != l.last.Hash || s.Time != l.last.Time) {
		return fmt.Errorf("block %d was %x before, and is %x now", s.Seq, l.last.Hash, s.Hash)
	}
	for _, o := range s.Sources {
		before, known := l.sources[o.Name]
		switch {
		case !known:
		case o.ThroughSeq < before.ThroughSeq:
			return fmt.Errorf("source %s goes back from %d to %d", o.Name, before.ThroughSeq, o.ThroughSeq)
		case o.ThroughSeq == before.ThroughSeq && o.Digest != before.Digest:
			return fmt.Errorf("source %s has another digest through the same observation %d", o.Name, o.ThroughSeq)
		}
	}
	return l.checkTotals(s)
}

// checkTotals holds an asset to its count: transfers are never taken back, and an asset that was there stays.
func (l *lineage) checkTotals(s *Statement) error {
	at := 0
	for i := range l.last.Totals {
		before := &l.last.Totals[i]
		for at < len(s.Totals) && s.Totals[at].Asset < before.Asset {
			at++
		}
		if at == len(s.Totals) || s.Totals[at].Asset != before.Asset {
			return fmt.Errorf("asset %s is no longer stated", before.Asset)
		}
		if now := &s.Totals[at]; now.Transfers < before.Transfers {
			return fmt.Errorf("asset %s had %d transfers, and has %d", before.Asset, before.Transfers, now.Transfers)
		}
	}
	return nil
}
