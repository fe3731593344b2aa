package readmodeltest

import (
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// Extremes fills a new world with the largest of everything that fits a journal.
func (w *World) Extremes() {
	most, _ := money.Max().Sub(money.From(1))
	w.Do(journal.KindAssets, 255, journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "A23456789012345", Scale: 18})}))
	accounts := make([]journal.Account, 6)
	for i := range accounts {
		accounts[i] = journal.Account{ID: money.From(uint64(i) + 1), Asset: 1, Code: 65535}
	}
	accounts[0].Asset = 1<<32 - 2 // nobody registered it
	accounts = append(accounts, journal.Account{ID: money.From(7), Asset: 1, Code: 65535})
	a := &accounts[1]
	a.ID, a.UserData128, a.UserData64, a.UserData32, a.Flags = most, money.Max(), 1<<64-1, 1<<32-1, journal.AccountAttached
	d := journal.Details{Address: strings.Repeat("a", journal.MaxAddress)}
	for i := range journal.MaxMetaEntries {
		key := strings.Repeat("k", journal.MaxMetaKey-2) + string(rune('A'+i/26)) + string(rune('a'+i%26))
		d.Metadata = append(d.Metadata, journal.Bool(key, true))
	}
	d.Metadata[0] = journal.Text(d.Metadata[0].Key, strings.Repeat("🏦", journal.MaxMetaText/4))
	d.Metadata[1].Type, d.Metadata[1].Value = journal.MetaBytes, make([]byte, 512)
	w.Do(journal.KindAccounts, 255, journal.Bytes(accounts), journal.Attachment{Event: 1, Data: d.Append(nil)})

	id := func(n uint64) money.U128 { v, _ := most.Sub(money.From(n)); return v }
	transfer := func(n uint64, debit, credit money.U128, amount money.U128) journal.Transfer {
		return journal.Transfer{
			ID: id(n), Debit: debit, Credit: credit, Amount: amount, Asset: 1, Code: 65535, UserData128: money.Max(), UserData64: 1<<64 - 1, UserData32: 1<<32 - 1,
		}
	}
	list := []journal.Transfer{
		transfer(1, money.From(7), most, money.Max()),
		transfer(2, money.From(3), money.From(4), money.Max()),
		transfer(3, money.From(5), money.From(6), most),
	}
	list[2].Flags, list[2].Timeout = journal.TransferPending, 1<<32-1
	w.Seal() // so that their accounts are there before
	w.Do(journal.KindTransfers, 255, journal.Bytes(list))
	w.Seal()
	w.Advance(2 * dayNs)
	c := journal.DayClose{ID: most, Date: journal.DateOf(w.now, 0) - 1}
	copy(c.Reason[:], strings.Repeat("r", 64))
	w.Do(journal.KindDayClose, 255, journal.Bytes([]journal.DayClose{c}))
	w.Seal()
	f := journal.Freeze{ID: most, Account: most, Selector: journal.SelectAccount, Mode: journal.FreezeAll}
	copy(f.Reason[:], strings.Repeat("界", 21))
	w.Do(journal.KindFreeze, 255, journal.Bytes([]journal.Freeze{f}))
	w.Seal()

	full := make([]journal.Transfer, journal.MaxEvents) // posts of parts: each names the one reservation
	for i := range full {
		full[i] = journal.Transfer{ID: money.From(uint64(i) + 1_000_000), PendingID: id(3), Amount: money.From(1), Flags: journal.TransferPost | journal.TransferKeepRemainder}
	}
	w.Do(journal.KindTransfers, 255, journal.Bytes(full))
	w.Seal()
	rest := journal.Transfer{ID: id(4), PendingID: id(3), Amount: money.Max(), Flags: journal.TransferPost}
	w.Do(journal.KindTransfers, 255, journal.Bytes([]journal.Transfer{rest}))
	w.Seal()
}
