package node

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// statedByWatch is what watch states, for the transparency log. Name tells an asset by its number, "" where it has none.
func statedByWatch(w *watch.Statement, name func(asset uint32) string) (audit.Statement, error) {
	s := audit.Statement{Cell: w.Cell, Seq: w.Seq, Hash: w.Hash, Time: w.Time, SafeThrough: w.Through, Events: w.Events}
	amount := func(a watch.Amount) money.U128 { return money.U128{Hi: a.Hi, Lo: a.Lo} }
	for i := range w.Totals {
		t := &w.Totals[i]
		asset := name(t.Asset)
		if asset == "" {
			return s, fmt.Errorf("asset %d has no name", t.Asset)
		}
		s.Totals = append(s.Totals, audit.Total{
			Asset: asset, DebitsPosted: amount(t.DebitsPosted), CreditsPosted: amount(t.CreditsPosted),
			DebitsPending: amount(t.DebitsPending), CreditsPending: amount(t.CreditsPending), Transfers: t.Transfers,
		})
	}
	for i := range w.Sources {
		o := &w.Sources[i]
		s.Sources = append(s.Sources, audit.Source{Name: o.Name, ThroughSeq: o.Seq, Digest: o.Digest})
	}
	slices.SortFunc(s.Totals, func(a, b audit.Total) int { return strings.Compare(a.Asset, b.Asset) })
	slices.SortFunc(s.Sources, func(a, b audit.Source) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}
