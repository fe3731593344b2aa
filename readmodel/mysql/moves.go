package mysql

import (
	"slices"
	"strconv"

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
		for ids := range slices.Chunk(x.list, findRows) {
			w.do(x.table, func() error {
				w.withIDs("DELETE FROM "+x.table+" WHERE cell = ", " AND "+x.id+" IN ", ids)
				return w.exec(x.table, -1)
			})
		}
	}
}

// withIDs writes a statement about rows of the cell with one of these ids.
func (w *writer) withIDs(verb, in string, ids []money.U128) {
	w.sql.buf, w.sql.field = w.sql.buf[:0], false
	w.sql.raw(verb)
	w.sql.int(w.cell)
	w.sql.raw(in)
	w.sql.begin()
	for _, id := range ids {
		w.sql.u128(id)
	}
	w.sql.end()
}

// moves writes what left for other cells, and the postings of all that was handed over.
func (w *writer) moves(b *readmodel.Batch) {
	for ids := range slices.Chunk(b.Gone, findRows) {
		w.do("accounts", func() error {
			w.withIDs("UPDATE accounts SET flags = flags | "+strconv.Itoa(int(readmodel.AccountGone))+" WHERE cell = ", " AND id IN ", ids)
			return w.exec("accounts", len(ids))
		})
	}
	w.insert("handovers", "position, side, id, timestamp, booking_date, debit_account_id, credit_account_id, amount, asset, actor",
		len(b.Handovers), func(l *literals, i int) {
			h := &b.Handovers[i]
			l.position(h.Position)
			l.uint(uint64(h.Side))
			l.u128(h.ID)
			l.uint(h.Timestamp)
			l.text(h.Booked.String())
			l.u128(h.Debit)
			l.u128(h.Credit)
			l.u128(h.Amount)
			l.uint(uint64(h.Asset))
			l.bytes(h.Actor[:])
		})
}
