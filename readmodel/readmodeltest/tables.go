package readmodeltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel"
)

// table is what one of the tables must hold.
type table struct {
	name    string
	columns string // all but cell
	rows    [][]string
}

// tables are all tables as the ledger has them, but for projected_through.
func (w *World) tables() []table {
	return []table{
		{"assets", "number, code, scale, position, timestamp", w.assetRows()},
		{"accounts", "id, position, timestamp, asset, code, flags, closed, address, user_data_128, user_data_64, user_data_32, actor", w.accountRows()},
		{"balances", "account_id, debits_pending, debits_posted, credits_pending, credits_posted", w.balanceRows()},
		{"transfers", "position, id, timestamp, booking_date, kind, debit_account_id, credit_account_id, amount, released, asset, code, flags, " +
			"timeout, pending_id, transaction_id, user_data_128, user_data_64, user_data_32, actor", w.transferRows()},
		{"reservations", "id, remaining, state, expires, ended", w.reservationRows()},
		{"transactions", "position, id, timestamp, legs, code, user_data_128, user_data_64, user_data_32, actor", w.transactionRows()},
		{"metadata", "owner, owner_id, name, type, value, data, subject", w.metadataRows()},
		{"freezes", "id, position, timestamp, selector, account_id, code, mode, reason, actor, lifted, lift_id, lift_reason, lift_actor", w.freezeRows()},
		{"day_closes", "position, id, timestamp, day, reopened, reason, actor", w.closeRows()},
		{"day_close_lines", "close_id, asset, code, opening_debits, opening_credits, late_debits, late_credits, period_debits, period_credits", w.lineRows()},
	}
}

// row makes the texts of a row. A zero u128 in optional is NULL, which is written "".
func row(values ...any) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case bool:
			texts[i] = "0"
			if v {
				texts[i] = "1"
			}
		case optional:
			if !money.U128(v).IsZero() {
				texts[i] = money.U128(v).String()
			}
		case journal.Actor:
			texts[i] = string(v[:])
		default:
			texts[i] = fmt.Sprint(v)
		}
		texts[i] = canonical(texts[i])
	}
	return texts
}

type optional money.U128

// canonical strips the zeros before a number: engines pad, and a text of digits is as good as another.
func canonical(s string) string {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return s
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return "0"
	}
	return s
}

func (w *World) assetRows() (rows [][]string) {
	for i, a := range w.known.assets {
		rows = append(rows, row(i+1, a.Code, a.Scale, a.position, a.time))
	}
	return rows
}

func (w *World) accountRows() (rows [][]string) {
	for i, r := range w.known.accounts {
		n := uint32(i + 1)
		a := w.State.AccountByNumber(n)
		rows = append(rows, row(a.ID, r.position, a.Timestamp, a.Asset, a.Code, uint16(r.asked.Flags&readmodel.AccountFlags),
			a.Flags.Has(journal.AccountClosed), w.State.Address(n), a.UserData128, a.UserData64, a.UserData32, r.actor))
	}
	return rows
}

func (w *World) balanceRows() (rows [][]string) {
	for i := range w.known.accounts {
		a := w.State.AccountByNumber(uint32(i + 1))
		rows = append(rows, row(a.ID, a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted))
	}
	return rows
}

func (w *World) transferRows() (rows [][]string) {
	for i := range w.known.transfers {
		t := &w.known.transfers[i]
		kind := "transfer"
		switch {
		case t.Flags.Has(journal.TransferPending):
			kind = "pending"
		case t.Flags.Has(journal.TransferPost):
			kind = "post"
		case t.Flags.Has(journal.TransferVoid):
			kind = "void"
		}
		rows = append(rows, row(t.Position, t.ID, t.Timestamp, t.booked, kind, t.Debit, t.Credit, t.Amount, t.released, t.Asset, t.Code,
			uint16(t.Flags&readmodel.TransferFlags), t.Timeout, optional(t.PendingID), optional(t.transaction), t.UserData128, t.UserData64, t.UserData32, t.actor))
	}
	return rows
}

func (w *World) reservationRows() (rows [][]string) {
	for i := range w.known.transfers {
		t := &w.known.transfers[i]
		if t.state == "" {
			continue
		}
		expires, ended := "", ""
		if t.Timeout != 0 {
			expires = strconv.FormatUint(t.Timestamp+uint64(t.Timeout)*secondNs, 10)
		}
		if t.ended != 0 {
			ended = strconv.FormatUint(t.ended, 10)
		}
		rows = append(rows, row(t.ID, t.remaining, t.state, expires, ended))
	}
	return rows
}

func (w *World) transactionRows() (rows [][]string) {
	for i := range w.known.transactions {
		h := &w.known.transactions[i]
		rows = append(rows, row(h.position, h.ID, h.time, h.Timeout, h.Code, h.UserData128, h.UserData64, h.UserData32, h.actor))
	}
	return rows
}

func (w *World) metadataRows() (rows [][]string) {
	for key, list := range w.known.metadata {
		for i := range list {
			m := &list[i]
			value, data, subject := "", "", ""
			name := map[journal.MetaType]string{1: "text", 2: "integer", 3: "truth", 4: "amount", 5: "time", 6: "bytes", 7: "personal"}[m.Type]
			switch m.Type {
			case journal.MetaText:
				if value = string(m.Value); strings.Contains(value, "\x00") {
					value, data = "", value
				}
			case journal.MetaInt:
				value = fmt.Sprint(m.Int())
			case journal.MetaBool:
				value = fmt.Sprint(m.Bool())
			case journal.MetaAmount:
				value = m.Amount().String()
			case journal.MetaTime:
				value = fmt.Sprint(m.Time())
			case journal.MetaBytes:
				data = string(m.Value)
			case journal.MetaPersonal:
				p, err := m.Personal()
				if err != nil {
					panic(err)
				}
				data, subject = string(p.Sealed), p.Subject
			}
			rows = append(rows, row(key.owner, key.id, m.Key, name, value, data, subject))
		}
	}
	return rows
}

func reasonOf(padded [64]byte) string {
	return strings.ToValidUTF8(strings.TrimRight(string(padded[:]), "\x00"), "\uFFFD")
}

func (w *World) freezeRows() (rows [][]string) {
	for _, f := range w.State.Freezes(false) {
		selector, code := "account", ""
		if f.Selector == journal.SelectCode {
			selector, code = "code", fmt.Sprint(f.Code)
		}
		mode := map[journal.FreezeMode]string{1: "debit", 2: "credit", 3: "all"}[f.Mode]
		lifted, reason, actor := "", "", ""
		if f.Lifted {
			lifted, reason, actor = fmt.Sprint(f.LiftedAt), reasonOf(f.LiftedReason), string(f.LiftedBy[:])
		}
		rows = append(rows, row(f.ID, w.known.freezes[f.ID], f.Timestamp, selector, optional(f.Account), code, mode, reasonOf(f.Reason), f.Actor,
			lifted, optional(f.UnfreezeID), reason, actor))
	}
	return rows
}

func (w *World) closeRows() (rows [][]string) {
	for _, c := range w.State.Closes() {
		rows = append(rows, row(c.Position, c.ID, c.Timestamp, c.Date, c.Reopened, reasonOf(c.Reason), c.Actor))
	}
	return rows
}

func (w *World) lineRows() (rows [][]string) {
	for _, c := range w.State.Closes() {
		if c.Reopened {
			continue
		}
		k := w.Blocks[c.Position.Seq()-1]
		attached := k.Attachment(c.Position.Index() - len(k.Expiries))
		if attached == nil {
			continue
		}
		lines, err := ledger.ReadTrial(attached)
		if err != nil {
			panic(err)
		}
		for _, l := range lines {
			rows = append(rows, row(c.ID, l.Asset, l.Code, l.Opening.Debits, l.Opening.Credits, l.Late.Debits, l.Late.Credits, l.Period.Debits, l.Period.Credits))
		}
	}
	return rows
}

// sortRows puts rows into one order, whatever an engine thinks of order.
func sortRows(rows [][]string) { slices.SortFunc(rows, slices.Compare) }
