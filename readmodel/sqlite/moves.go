package sqlite

import (
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// renewals are the tables, with their columns of ids, whose rows are deleted before what comes back from another cell is
// inserted.
func renewals(r *readmodel.Renewed) []renewal {
	return []renewal{
		{"accounts", "id", r.Accounts},
		{"balances", "account_id", r.Accounts},
		{"transfers", "id", r.Transfers},
		{"reservations", "id", r.Transfers},
		{"metadata", "owner = 'transfer' AND owner_id", r.Transfers},
		{"freezes", "id", r.Freezes},
	}
}

type renewal struct {
	table, id string
	list      []money.U128
}

func (w *writer) renew(r *readmodel.Renewed) {
	for _, x := range renewals(r) {
		w.each(x.table, "DELETE FROM "+x.table+" WHERE cell = ? AND "+x.id+" = ?", len(x.list), false, func(i int) []any {
			return []any{w.cell, id(x.list[i])}
		})
	}
}

// moves writes what left for other cells, and the postings of all that was handed over.
func (w *writer) moves(b *readmodel.Batch) {
	w.each("accounts", `UPDATE accounts SET flags = flags | ? WHERE cell = ? AND id = ?`, len(b.Gone), true, func(i int) []any {
		return []any{uint16(readmodel.AccountGone), w.cell, id(b.Gone[i])}
	})
	w.each("handovers", `INSERT INTO handovers (cell, position, side, id, timestamp, booking_date, debit_account_id, credit_account_id, amount, asset, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(b.Handovers), false, func(i int) []any {
		h := &b.Handovers[i]
		return []any{
			w.cell, position(h.Position), h.Side, id(h.ID), ns(h.Timestamp), h.Booked.String(), id(h.Debit), id(h.Credit), amount(h.Amount), h.Asset, actor(&h.Actor),
		}
	})
}
