package postgres

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
		if len(x.list) > 0 {
			w.do(x.table, func() error {
				return w.exec("DELETE FROM "+x.table+" WHERE cell = $1 AND "+x.id+" = ANY ($2::text[]::numeric[])", w.cell, texts(x.list))
			})
		}
	}
}

// moves writes what left for other cells, and the postings of all that was handed over.
func (w *writer) moves(b *readmodel.Batch) {
	w.update("accounts", len(b.Gone), `UPDATE accounts SET flags = flags | $3 WHERE cell = $1 AND id = ANY ($2::text[]::numeric[])`,
		w.cell, texts(b.Gone), int32(readmodel.AccountGone))
	w.insert("handovers", "position, side, id, timestamp, booking_date, debit_account_id, credit_account_id, amount, asset, actor",
		len(b.Handovers), func(c *copier, i int) {
			h := &b.Handovers[i]
			c.position(h.Position)
			c.uint(uint64(h.Side))
			c.u128(h.ID)
			c.uint(h.Timestamp)
			c.text(h.Booked.String())
			c.u128(h.Debit)
			c.u128(h.Credit)
			c.u128(h.Amount)
			c.uint(uint64(h.Asset))
			c.bytes(h.Actor[:])
		})
}
