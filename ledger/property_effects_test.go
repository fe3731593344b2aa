package ledger_test

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// walk follows balances the way an index of as-of balances does: by adding up transfers and expiries from the effects
// and the journal alone. Every row must be what that gives, but for a post that released more than it posted, where
// there has to be a row.
type walk struct {
	sums map[uint32]ledger.Balances // by account number
}

func (w *walk) change(n uint32, pending, posted int, side int, amount money.U128) {
	b := w.sums[n]
	sums := [2][2]*money.U128{{&b.DebitsPending, &b.DebitsPosted}, {&b.CreditsPending, &b.CreditsPosted}}
	for i, sign := range [2]int{pending, posted} {
		v := sums[side][i]
		switch { // where a post released more, it may wrap until its row comes
		case sign > 0:
			*v, _ = v.Add(amount)
		case sign < 0:
			*v, _ = v.Sub(amount)
		}
	}
	w.sums[n] = b
}

func (w *walk) both(debit, credit uint32, pending, posted int, amount money.U128) {
	w.change(debit, pending, posted, 0, amount)
	w.change(credit, pending, posted, 1, amount)
}

// checkHistory walks on through a block that was just sealed.
func (d *duel) checkHistory(k *journal.Block) {
	rows := d.r.fx.History
	for i, e := range d.r.fx.Expired {
		f, err := d.r.fact(e.Pending)
		if err != nil || int(e.Index) != i || f.Asked.ID != k.Expiries[i].Pending || e.Amount != k.Expiries[i].Amount {
			d.Fatalf("effect of expiry %d: %+v at transfer %v, recorded is %+v: %v", i, e, f.Asked.ID, k.Expiries[i], err)
		}
		d.walk.both(e.Debit, e.Credit, -1, 0, e.Amount)
	}
	if len(d.r.fx.Expired) != len(k.Expiries) {
		d.Fatalf("block %d: %d effects of %d expiries", k.Header.Seq, len(d.r.fx.Expired), len(k.Expiries))
	}
	for _, e := range d.r.fx.Transfers {
		p := journal.At(k.Header.Seq, len(k.Expiries)+int(e.Event))
		f, err := d.r.fact(p)
		if err != nil {
			d.Fatal(err)
		}
		switch {
		case f.Asked.Flags.Has(journal.TransferPending):
			d.walk.both(e.Debit, e.Credit, 1, 0, f.Amount)
		case f.Asked.Flags.Has(journal.TransferPost):
			d.walk.both(e.Debit, e.Credit, -1, 1, f.Amount)
		case f.Asked.Flags.Has(journal.TransferVoid):
			d.walk.both(e.Debit, e.Credit, -1, 0, f.Amount)
		default:
			d.walk.both(e.Debit, e.Credit, 0, 1, f.Amount)
		}
		for len(rows) > 0 && rows[0].Position == p {
			d.checkRow(&rows[0], &f)
			rows = rows[1:]
		}
	}
	if len(rows) > 0 {
		d.Fatalf("block %d: rows of no transfer: %+v", k.Header.Seq, rows)
	}
	for n, got := range d.walk.sums {
		if a := d.r.state.AccountByNumber(n); got != ledger.BalancesOf(&a) {
			d.Fatalf("after block %d, rows and transfers of account %v add up to %+v, it has %+v", k.Header.Seq, a.ID, got, ledger.BalancesOf(&a))
		}
	}
}

func (d *duel) checkRow(row *ledger.HistoryRow, f *ledger.Fact) {
	got := d.walk.sums[row.Account]
	if f.Asked.Flags.Has(journal.TransferPost) && !f.Asked.Flags.Has(journal.TransferKeepRemainder) { // may release more
		got.DebitsPending, got.CreditsPending = row.Balances.DebitsPending, row.Balances.CreditsPending
	}
	if got != row.Balances {
		d.Fatalf("a row says %+v after transfer %v, what came before adds up to %+v", row.Balances, f.Asked.ID, got)
	}
	d.walk.sums[row.Account] = got
	if history := d.r.state.AccountByNumber(row.Account).Flags.Has(journal.AccountHistory); history == row.Sampled {
		d.Fatalf("a row of an account with history %v is sampled %v", history, row.Sampled)
	}
}

// checkNewEffects compares the effects that version 2 of the format brought, and the trial balances of closes.
func (d *duel) checkNewEffects(k *journal.Block) {
	bookings := map[uint32]journal.Date{}
	for _, b := range d.r.fx.Bookings {
		bookings[b.Event] = b.Date
	}
	for _, e := range d.r.fx.Transfers {
		x := d.m.transfers[k.Transfer(int(e.Event)).ID]
		day, other := bookings[e.Event]
		if !other {
			day = journal.Date(x.today)
		}
		if int64(day) != x.booked {
			d.Fatalf("transfer %v is booked on %v, the model says %v", x.asked.ID, day, x.booked)
		}
		delete(bookings, e.Event)
	}
	if len(bookings) > 0 {
		d.Fatalf("block %d: bookings of what was not created: %v", k.Header.Seq, bookings)
	}
	created, changed := d.r.fx.Accounts, d.r.fx.Changed
	for part := range k.Parts() {
		for event := part.First; event < part.First+part.Count; event++ {
			if o := k.Outcome(event); o != nil && o.Status != journal.Created {
				continue
			}
			switch part.Kind {
			case journal.KindAccounts:
				id := journal.View[journal.Account](k.EventBytes(event, 1))[0].ID
				created = d.nextEffect(created, event, id)
			case journal.KindMetadata:
				id := journal.View[journal.MetadataChange](k.EventBytes(event, 1))[0].Account
				changed = d.nextEffect(changed, event, id)
			case journal.KindDayClose:
				rows, err := ledger.ReadTrial(k.Attachment(event))
				if err != nil {
					d.Fatal(err)
				}
				d.sameTrial(rows, d.trials[0])
				d.trials = d.trials[1:]
			}
		}
	}
	if len(created)+len(changed) > 0 {
		d.Fatalf("block %d: effects of nothing: %v, %v", k.Header.Seq, created, changed)
	}
}

func (d *duel) nextEffect(list []ledger.AccountEffect, event int, id money.U128) []ledger.AccountEffect {
	_, n := d.r.state.Account(id)
	if len(list) == 0 || list[0] != (ledger.AccountEffect{Event: uint32(event), Number: n}) {
		d.Fatalf("event %d, account %v: the next effect is %v, it should be of account %d", event, id, list, n)
	}
	return list[1:]
}
