package journal

import "github.com/sterlingrun/sterling/money"

// Shown returns the accounts of a step as people know them: the transfer's own in place of the cell's. Of a marker and
// its settlement, which are between accounts of the cell alone, it returns these.
func (t *Transit) Shown(debit, credit money.U128) (shownDebit, shownCredit money.U128) {
	if t.Step == TransitMarker || t.Step == TransitSettle {
		return debit, credit
	}
	return t.Debit, t.Credit
}

// Bookkeeping reports whether a step, with the flags of its record, is only how two cells agree: what it reserves and
// releases the transfer itself then moves, and in the peer the confirmation that posts.
func (t *Transit) Bookkeeping(flags TransferFlags) bool {
	switch t.Step {
	case TransitTransfer, TransitEnd:
		return false
	case TransitConfirm:
		return flags.Has(TransferVoid)
	}
	return true
}
