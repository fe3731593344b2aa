package journal

import "github.com/sterlingrun/sterling/money"

// Shown returns the accounts of a step as people know them, by those of its record: the transfer's own, one of which lies
// in the other cell. own is the account of this cell on which the record stands instead of that one. A marker and its
// settlement are between accounts of the cell alone: they keep these, and own is zero.
func (t *Transit) Shown(debit, credit money.U128) (shownDebit, shownCredit, own money.U128) {
	switch t.Step {
	case TransitMarker, TransitSettle:
		return debit, credit, money.U128{}
	case TransitHold, TransitConfirm:
		return t.Debit, credit, debit
	}
	return debit, t.Credit, credit
}
