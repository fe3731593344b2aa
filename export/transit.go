package export

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/transit"
)

// A transfer across cells is shown by the API between its own accounts, and is booked, in each of the two cells, on an
// account of that cell's own in place of the one in the other. Balances count what is booked. docs/cells.md says more.

// booked returns the accounts that a transfer is booked on.
func booked(t *ledgerv1.Transfer) (debit, credit string) {
	debit, credit = t.GetDebitAccountId(), t.GetCreditAccountId()
	own := t.GetTransit().GetAccountId()
	if own == "" || own == "0" {
		return debit, credit
	}
	switch t.GetTransit().GetStep() {
	case ledgerv1.TransitStep_TRANSIT_STEP_HOLD, ledgerv1.TransitStep_TRANSIT_STEP_CONFIRM:
		return own, credit
	}
	return debit, own
}

// ownName is what an account of the cells' own goes by, "" for any other account: it is that of an address.
func ownName(id money.U128, asset money.Asset, a *ledgerv1.Account) string {
	name := asset.Code + "-" + strconv.Itoa(int(asset.Scale))
	switch code := a.GetCode(); {
	case code == uint32(transit.CodeInTransit) && id == transit.InTransit(asset):
		return "in-transit:" + name
	case code == uint32(transit.CodeClearing) && id == transit.Clearing(asset, a.GetUserData_64()):
		return fmt.Sprintf("clearing:%s:cell-%d", name, a.GetUserData_64())
	}
	return ""
}

// stepName is a step in small letters, "" for none.
func stepName(t *ledgerv1.Transfer) string {
	if t.GetTransit() == nil {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(t.GetTransit().GetStep().String(), "TRANSIT_STEP_"))
}

// ofSplit reports whether a transfer may end a reservation that is not listed: one that was split when a bucket moved to
// another cell, and is listed as the whole that it was.
func ofSplit(t *ledgerv1.Transfer) bool {
	step := t.GetTransit().GetStep()
	return step == ledgerv1.TransitStep_TRANSIT_STEP_CONFIRM || step == ledgerv1.TransitStep_TRANSIT_STEP_SETTLE
}
