package main

import (
	"fmt"
	"strings"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// stepText says which step of which transfer across cells a record is; "" for any other record.
func stepText(t *ledgerv1.Transfer) string {
	x := t.GetTransit()
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%s of %s (cell %d)", short(x.GetStep().String()), x.GetTransferId(), x.GetPeer())
}

// askedID is the id that a person knows a record by: of a step of a transfer across cells the transfer's.
func askedID(t *ledgerv1.Transfer) string {
	if x := t.GetTransit(); x != nil {
		return x.GetTransferId()
	}
	return t.GetId()
}

// transitText says what is in transit between cells, "" where nothing is.
func transitText(p *watchv1.GetProofResponse) string {
	var list []string
	for _, t := range p.GetTotals() {
		if n := t.GetOutgoing() + t.GetIncoming(); n > 0 {
			list = append(list, fmt.Sprintf("%s out, %s in of %s (%d)", decimal(t.GetTransitOut(), t.GetAsset()), decimal(t.GetTransitIn(), t.GetAsset()), t.GetAsset(), n))
		}
	}
	return strings.Join(list, ", ")
}
