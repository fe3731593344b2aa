package ledger_test

import (
	"fmt"
	"sort"
	"strings"

	"github.com/sterlingrun/sterling/journal"
)

var stepNames = map[string]journal.TransitStep{
	"reserve": journal.TransitReserve, "hold": journal.TransitHold, "decide": journal.TransitDecide, "marker": journal.TransitMarker,
	"transfer": journal.TransitTransfer, "confirm": journal.TransitConfirm, "settle": journal.TransitSettle, "end": journal.TransitEnd,
}

// transit reads what a line says of a transfer across cells; nil where it has no step.
func (f *fields) transit() *journal.Transit {
	name := f.take("step")
	if name == "" {
		return nil
	}
	f.values["mark"] = name
	x := &journal.Transit{
		Step: stepNames[name], Transfer: f.u128("of"), Reserve: f.u128("r"), Debit: f.u128("from"), Credit: f.u128("to"),
		Peer: f.uint("peer", 64, 9), Timeout: uint32(f.uint("of_timeout", 32, 0)), Status: f.status("with"),
	}
	if f.take("of_flags") == "pending" {
		x.Flags = journal.TransferPending
	}
	return x
}

func (f *fields) status(key string) journal.Status {
	name := f.take(key)
	if name == "" {
		return 0
	}
	for s := journal.Created; s <= journal.LastStatus(journal.KindTransfers); s++ {
		if s.Name(journal.KindTransfers) == name {
			return s
		}
	}
	f.t.Fatalf("%s: status %q", f.pos, name)
	return 0
}

// pendings lists the open reservations.
func (s *script) pendings() string {
	var lines []string
	list, _ := s.state.OpenPendings(0, 1000, nil)
	for _, p := range list {
		if one, ok := s.state.OpenPending(p.ID); !ok || one != p {
			s.t.Errorf("reservation %v: alone it is %+v, in the list %+v", p.ID, one, p)
		}
		line := fmt.Sprintf("%v: %v → %v, %v of %v", p.ID, p.Debit, p.Credit, p.Remaining, p.Amount)
		if p.Ended {
			line += fmt.Sprintf(", ended with %v", p.Posted)
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
