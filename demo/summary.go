package demo

import (
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Summary is what a run did.
type Summary struct {
	Elapsed                   time.Duration
	Accounts                  int    // opened, or found open
	Created, Existed, Refused uint64 // transfers
	Kinds                     map[Kind]*KindSummary
	// Totals are over all of the bank's accounts, by asset; none where the run was interrupted, and of a shadow.
	Totals []Total
}

// KindSummary is what became of the transfers of one kind.
type KindSummary struct {
	Calls, Created, Existed uint64
	Refused                 map[ledgerv1.CreateTransferStatus]uint64
	// Amount is what was moved or reserved, in minor units by asset, of transfers whose amount was said.
	Amount map[string]uint64
}

// Total is the sum over all accounts of an asset, in minor units.
type Total struct {
	Asset                         string
	Accounts                      int
	DebitsPosted, CreditsPosted   big.Int
	DebitsPending, CreditsPending big.Int
}

// Balanced reports whether debits equal credits.
func (t *Total) Balanced() bool {
	return t.DebitsPosted.Cmp(&t.CreditsPosted) == 0 && t.DebitsPending.Cmp(&t.CreditsPending) == 0
}

func newSummary() *Summary { return &Summary{Kinds: map[Kind]*KindSummary{}} }

// count adds a step's results and reports whether all of it was created, now or before.
func (s *Summary) count(step *Step, results []*ledgerv1.CreateTransferResult) (ok bool) {
	k := s.Kinds[step.Kind]
	if k == nil {
		k = &KindSummary{Refused: map[ledgerv1.CreateTransferStatus]uint64{}, Amount: map[string]uint64{}}
		s.Kinds[step.Kind] = k
	}
	k.Calls++
	ok = true
	again := existed(results)
	for i, r := range results {
		status := r.GetStatus()
		if again {
			status = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
		}
		switch status {
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED:
			k.Created++
			s.Created++
			t := step.Transfers[i]
			if amount, err := strconv.ParseUint(t.GetAmount(), 10, 64); err == nil && t.GetPendingId() == "" && !slices.Contains(t.GetFlags(), atMostDebit) {
				k.Amount[t.GetAsset()] += amount
			}
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS:
			k.Existed++
			s.Existed++
		default:
			k.Refused[status]++
			s.Refused++
			ok = false
		}
	}
	return ok
}

// existed reports whether a step was recorded before. Of linked transfers that are sent again one says exists, and the
// others that a linked one was not created; they were recorded together or not at all, so all of them exist.
func existed(results []*ledgerv1.CreateTransferResult) bool {
	found := false
	for _, r := range results {
		switch r.GetStatus() {
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS:
			found = true
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED:
		default:
			return false
		}
	}
	return found
}

// WriteText writes the summary as tables.
func (s *Summary) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "what\tcalls\tcreated\texisted\trefused\tyuan\tdollars\t")
	for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
		k := s.Kinds[kind]
		var refused uint64
		for _, n := range k.Refused {
			refused += n
		}
		_, _ = fmt.Fprintf(t, "%v\t%d\t%d\t%d\t%d\t%s\t%s\t\n", kind, k.Calls, k.Created, k.Existed, refused, units(k.Amount[cny]), units(k.Amount[usd]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := s.writeRefused(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d accounts; %d transfers created, %d existed, %d refused in %v (%.0f/s)\n", s.Accounts, s.Created, s.Existed, s.Refused,
		s.Elapsed.Round(100*time.Millisecond), float64(s.Created+s.Existed)/max(s.Elapsed.Seconds(), 1e-3))
	for i := range s.Totals {
		if a := &s.Totals[i]; err == nil {
			in := func(sum *big.Int) string { return sum.String() + " minor units" }
			if asset, err := money.ParseAsset(a.Asset); err == nil {
				in = func(sum *big.Int) string { return asset.FormatDigits(sum.String()) }
			}
			_, err = fmt.Fprintf(w, "%s: debits = credits = %s posted, %s pending (%d accounts)\n", a.Asset, in(&a.DebitsPosted), in(&a.DebitsPending), a.Accounts)
		}
	}
	return err
}

// writeRefused lists why transfers were refused, by kind.
func (s *Summary) writeRefused(w io.Writer) error {
	first := true
	for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
		refused := s.Kinds[kind].Refused
		for _, status := range slices.Sorted(maps.Keys(refused)) {
			if first {
				_, _ = fmt.Fprintln(w, "\nrefused, and why:")
				first = false
			}
			name := strings.ToLower(strings.TrimPrefix(status.String(), "CREATE_TRANSFER_STATUS_"))
			if _, err := fmt.Fprintf(w, "  %6d  %v: %s\n", refused[status], kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// units writes minor units with the point, "–" for none.
func units(minor uint64) string {
	if minor == 0 {
		return "–"
	}
	return fmt.Sprintf("%d.%02d", minor/100, minor%100)
}
