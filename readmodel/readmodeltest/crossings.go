package readmodeltest

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// NewCrossings returns cell 2 of a ledger of two cells, on 2026-01-01 from 10:00 on, a step a minute: of transfers from
// its account 201 to cell 1, one was moved, one was refused and waits to be settled, one is decided, one is pending, one
// is only reserved; of those from cell 1, one came and one is held. It is the ledger of the report between_cells.
func NewCrossings() *World {
	w := NewWorld(2, 1)
	w.still, w.now = true, uint64(knownDay(1, 1))*dayNs+10*hourNs
	cny := money.Asset{Code: "CNY", Scale: 2}
	w.Do(journal.KindAssets, 1, journal.Bytes([]journal.Asset{ledger.AssetRecord(cny)}))
	w.Do(journal.KindAccounts, 1, journal.Bytes(append(transit.Accounts(cny, 1, 1), journal.Account{ID: money.From(201), Asset: 1, Code: 2010})))
	at := func(home, transfer, amount uint64, flags journal.TransferFlags) *transit.Attempt {
		a := &transit.Attempt{
			Asked: journal.Transfer{ID: money.From(transfer), Debit: money.From(201), Credit: money.From(101), Amount: money.From(amount), Asset: 1, Code: 1, Flags: flags},
			Asset: cny, Home: home, Peer: 3 - home, Reserve: money.From(transfer + 1000),
		}
		if home == 1 {
			a.Asked.Debit, a.Asked.Credit = a.Asked.Credit, a.Asked.Debit
		}
		return a
	}
	moved := at(2, 51, 700, 0)
	w.cross(moved.Reserved())
	w.cross(moved.Commit()...)
	w.cross(moved.Settle(money.From(700)))
	refused := at(2, 52, 800, 0)
	w.cross(refused.Reserved())
	w.cross(refused.Abort(journal.TransferExceedsCredits)...)
	decided := at(2, 53, 900, 0)
	w.cross(decided.Reserved())
	w.cross(decided.Commit()...)
	pending := at(2, 54, 1000, journal.TransferPending)
	w.cross(pending.Reserved())
	w.cross(pending.Commit()...)
	w.cross(at(2, 55, 60, 0).Reserved())
	came := at(1, 61, 40, 0)
	w.cross(came.Hold(1))
	w.cross(came.Confirm(money.From(40), false))
	w.cross(at(1, 62, 50, 0).Hold(1))
	return w
}

// cross makes a step, which must succeed, in a block of its own.
func (w *World) cross(list ...transit.Event) {
	events, attached := make([]journal.Transfer, len(list)), make([]journal.Attachment, len(list))
	for i, e := range list {
		events[i], attached[i] = e.Transfer, journal.Attachment{Event: i, Data: e.Attached}
	}
	for _, r := range w.Do(journal.KindTransfers, 1, journal.Bytes(events), attached...) {
		if r.Status != journal.Created {
			panic("a step of transfer has status " + r.Status.Name(journal.KindTransfers))
		}
	}
	w.Seal()
	w.Advance(minuteNs)
}
