package readmodeltest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// busyAccounts of each asset are used; more may be made.
const busyAccounts = 12

// assets of a world, by their numbers from 1.
func assets() []money.Asset {
	return []money.Asset{{Code: "CNY", Scale: 2}, {Code: "USD", Scale: 2}, {Code: "JPY"}}
}

// request makes a random one.
func (w *World) request() {
	actor := byte(1 + w.rng.IntN(3)) //nolint:gosec // small
	switch k := w.rng.IntN(100); {
	case w.State.Assets().Len() == 0:
		w.Do(journal.KindAssets, actor, journal.Bytes([]journal.Asset{ledger.AssetRecord(assets()[0])}))
	case k < 3:
		w.Do(journal.KindAssets, actor, journal.Bytes([]journal.Asset{ledger.AssetRecord(assets()[w.rng.IntN(3)])}))
	case len(w.accounts[1]) < busyAccounts/2 || len(w.accounts[2]) < 2 || k < 8:
		w.newAccounts(actor)
	case k < 70:
		list, attached := w.transfers(1 + w.rng.IntN(8))
		w.Do(journal.KindTransfers, actor, journal.Bytes(list), attached...)
	case k < 73:
		w.freeze(actor)
	case k < 77:
		w.metadata(actor)
	case k < 83:
		events, attached := w.transaction(w.id())
		w.Do(journal.KindTransaction, actor, events, attached...)
	case k < 86:
		c := journal.DayClose{ID: w.id(), Date: w.day()}
		copy(c.Reason[:], "end of day")
		w.Do(journal.KindDayClose, actor, journal.Bytes([]journal.DayClose{c}))
	case k < 87:
		w.Do(journal.KindPolicy, actor, journal.Bytes([]journal.Policy{{ID: w.id(), UTCOffset: int32(60 * (w.rng.IntN(25) - 12))}})) //nolint:gosec // small
	case k < 93 || len(w.proposals) == 0:
		w.propose(actor)
	default:
		w.decide(actor)
	}
}

func (w *World) id() money.U128 {
	w.nextID++
	switch w.nextID % 7 {
	case 0:
		return money.U128{Hi: ^uint64(0) - w.nextID, Lo: w.nextID} // needs all 39 digits
	case 1:
		return money.U128{Hi: w.nextID, Lo: 1 << 63}
	}
	return money.From(w.nextID)
}

func (w *World) account() money.U128 { return w.accountOf(1) }

func (w *World) accountOf(asset uint32) money.U128 {
	list := w.accounts[asset]
	return list[w.rng.IntN(min(len(list), busyAccounts))]
}

// day is one that may be over, or not.
func (w *World) day() journal.Date {
	return journal.DateOf(w.now, 0) - 2 + journal.Date(w.rng.IntN(4)) //nolint:gosec // small
}

func (w *World) userData() (money.U128, uint64, uint32) {
	if w.rng.IntN(3) > 0 {
		return money.U128{}, 0, 0
	}
	return money.U128{Lo: w.rng.Uint64(), Hi: w.rng.Uint64()}, w.rng.Uint64(), w.rng.Uint32()
}

func (w *World) newAccounts(actor byte) {
	list := make([]journal.Account, 1+w.rng.IntN(4))
	var attached []journal.Attachment
	imported := w.rng.IntN(5) == 0
	for i := range list {
		a := &list[i]
		*a = journal.Account{ID: w.id(), Asset: 1 + uint32(w.rng.IntN(5))/4, Code: uint16(1 + w.rng.IntN(3))} //nolint:gosec // small
		a.UserData128, a.UserData64, a.UserData32 = w.userData()
		if w.rng.IntN(6) == 0 {
			a.Flags |= []journal.AccountFlags{journal.AccountDebitsMustNotExceedCredits, journal.AccountHistory, journal.AccountLinked}[w.rng.IntN(3)]
		}
		if imported {
			a.Flags |= journal.AccountImported
			a.Timestamp = w.opened - w.rng.Uint64N(1_000_000)
		}
		d := journal.Details{Metadata: w.meta()}
		if w.rng.IntN(2) == 0 {
			d.Address = fmt.Sprintf("shop:%d:Settle", w.rng.IntN(40))
		}
		if !d.Empty() {
			a.Flags |= journal.AccountAttached
			attached = append(attached, journal.Attachment{Event: i, Data: d.Append(nil)})
		}
	}
	w.Do(journal.KindAccounts, actor, journal.Bytes(list), attached...)
}

// meta is often nothing, and otherwise something of every type, and what SQL has trouble with.
func (w *World) meta() []journal.Meta {
	if w.rng.IntN(3) > 0 {
		return nil
	}
	list := []journal.Meta{
		journal.Amount("a.amount", money.Max()), journal.Bool("b", w.rng.IntN(2) == 0),
		{Key: "c.bytes", Type: journal.MetaBytes, Value: []byte{0, 255, '\t', '\n', '\\', '\''}},
		journal.Int("d", -1<<63), journal.Text("e", "it's \"quoted\" \\N \\\\ \t\r\n 付款 🏦 %s ? $1 ; --"), journal.Text("f", ""),
		journal.Text("g", "a\x00b"), journal.PersonalMeta("h", journal.Personal{Subject: "person:" + fmt.Sprint(w.rng.IntN(3)), Sealed: []byte("sealed\x00\xff")}),
		journal.Time("i", w.now), journal.Text("j", fmt.Sprint(w.rng.Uint64())),
	}
	from := w.rng.IntN(len(list))
	return list[from : from+1+w.rng.IntN(len(list)-from)]
}

// transfers makes a request of them.
func (w *World) transfers(n int) ([]journal.Transfer, []journal.Attachment) {
	list := make([]journal.Transfer, n)
	imported := w.rng.IntN(12) == 0
	for i := range list {
		list[i] = w.transfer()
		if imported {
			list[i].Flags, list[i].Timeout = list[i].Flags|journal.TransferImported, 0
			list[i].Timestamp = w.known.lastTransfer + 1 + uint64(i)
		}
		if i < n-1 && w.rng.IntN(8) == 0 {
			list[i].Flags |= journal.TransferLinked
		}
		w.used = append(w.used, list[i])
	}
	return list, w.attach(list, 0)
}

// attach gives transfers booking dates and metadata.
func (w *World) attach(list []journal.Transfer, first int) (attached []journal.Attachment) {
	for i := range list {
		d := journal.Details{Metadata: w.meta()}
		if w.rng.IntN(6) == 0 {
			d.BookingDate = w.day()
		}
		list[i].Flags &^= journal.TransferAttached
		if w.rng.IntN(2) == 0 && !d.Empty() {
			list[i].Flags |= journal.TransferAttached
			attached = append(attached, journal.Attachment{Event: first + i, Data: d.Append(nil)})
		}
	}
	return attached
}

func (w *World) transfer() journal.Transfer {
	if len(w.used) > 0 && w.rng.IntN(15) == 0 {
		return w.used[w.rng.IntN(len(w.used))] // an id again
	}
	t := journal.Transfer{ID: w.id()}
	t.UserData128, t.UserData64, t.UserData32 = w.userData()
	if len(w.pendings) > 0 && w.rng.IntN(5) < 2 {
		w.resolution(&t)
		return t
	}
	t.Asset, t.Code = 1+uint32(w.rng.IntN(5))/4, uint16(1+w.rng.IntN(3)) //nolint:gosec // small
	t.Debit, t.Credit = w.accountOf(t.Asset), w.accountOf(t.Asset)
	if w.rng.IntN(20) == 0 {
		t.Credit = money.From(999_999)
	}
	t.Amount = money.From(w.rng.Uint64N(50))
	if w.rng.IntN(20) == 0 {
		t.Amount = money.U128{Hi: w.rng.Uint64() >> 3, Lo: w.rng.Uint64()}
	}
	switch k := w.rng.IntN(10); {
	case k < 5:
		t.Flags = journal.TransferPending
		if w.rng.IntN(2) == 0 {
			t.Timeout = uint32(w.rng.IntN(90)) //nolint:gosec // small
		}
		if w.rng.IntN(15) == 0 {
			t.Flags |= journal.TransferFlags(1+w.rng.IntN(3)) << 6 //nolint:gosec // closing debit, credit or both
			t.Timeout = 1 + uint32(w.rng.IntN(60))                 //nolint:gosec // small
		}
	case k == 5:
		t.Flags = journal.TransferBalancingDebit
		t.Amount = money.From(1000)
	}
	return t
}

func (w *World) resolution(t *journal.Transfer) {
	i := max(0, len(w.pendings)-1-w.rng.IntN(20))
	if t.PendingID = w.pendings[i]; w.rng.IntN(3) > 0 {
		w.pendings = slices.Delete(w.pendings, i, i+1)
	}
	switch w.rng.IntN(5) {
	case 0, 1:
		t.Flags = journal.TransferVoid
		if w.rng.IntN(3) == 0 {
			t.Flags |= journal.TransferFence
		}
	case 2:
		t.Flags, t.Amount = journal.TransferPost, money.Max()
	default:
		t.Flags, t.Amount = journal.TransferPost, money.From(w.rng.Uint64N(30))
		if w.rng.IntN(3) > 0 {
			t.Flags |= journal.TransferKeepRemainder
		}
	}
}

func (w *World) freeze(actor byte) {
	reason := [64]byte{}
	copy(reason[:], "why's \xff")
	if len(w.freezes) > 0 && w.rng.IntN(4) > 0 {
		w.Do(journal.KindUnfreeze, actor, journal.Bytes([]journal.Unfreeze{{ID: w.id(), FreezeID: w.freezes[w.rng.IntN(len(w.freezes))], Reason: reason}}))
		return
	}
	f := journal.Freeze{ID: w.id(), Account: w.account(), Selector: journal.SelectAccount, Mode: journal.FreezeMode(1 + w.rng.IntN(3)), Reason: reason} //nolint:gosec // small
	if w.rng.IntN(4) == 0 {
		f.Account, f.Selector, f.Code = money.U128{}, journal.SelectCode, 3
	}
	w.freezes = append(w.freezes, f.ID)
	w.Do(journal.KindFreeze, actor, journal.Bytes([]journal.Freeze{f}))
}

func (w *World) metadata(actor byte) {
	c := journal.MetadataChange{ID: w.id(), Account: w.account(), Flags: journal.TransferHead}
	var attached []journal.Attachment
	if list := w.meta(); list != nil {
		c.Flags |= journal.TransferAttached
		attached = []journal.Attachment{{Data: (&journal.Details{Metadata: list}).Append(nil)}}
	}
	w.Do(journal.KindMetadata, actor, journal.Bytes([]journal.MetadataChange{c}), attached...)
}

// transaction makes the request of one whose legs leave one account.
func (w *World) transaction(id money.U128) ([]byte, []journal.Attachment) {
	legs := make([]journal.Transfer, 1+w.rng.IntN(4))
	debit := w.account()
	for i := range legs {
		legs[i] = journal.Transfer{
			ID: journal.LegID(id, uint32(i)), Debit: debit, Credit: w.account(), Amount: money.From(w.rng.Uint64N(20)), Asset: 1, Code: 2,
		}
	}
	attached := w.attach(legs, 0)
	head := journal.Transfer{ID: id, Flags: journal.TransferHead, Timeout: uint32(len(legs)), Code: 9} //nolint:gosec // small
	head.UserData128, head.UserData64, head.UserData32 = w.userData()
	head.Debit, head.Credit = journal.LegsDigest(legs, attached)
	for i := range attached {
		attached[i].Event++
	}
	if list := w.meta(); list != nil {
		head.Flags |= journal.TransferAttached
		attached = slices.Insert(attached, 0, journal.Attachment{Data: (&journal.Details{Metadata: list}).Append(nil)})
	}
	return journal.Bytes(append([]journal.Transfer{head}, legs...)), attached
}

func (w *World) propose(actor byte) {
	p := proposed{id: w.id()}
	switch w.rng.IntN(4) {
	case 0:
		p.inner, p.events = journal.KindReopen, journal.Bytes([]journal.Reopen{{ID: w.id(), Date: w.day()}})
	case 1:
		p.inner = journal.KindTransaction
		p.events, p.attached = w.transaction(w.id())
	default:
		var list []journal.Transfer
		list, p.attached = w.transfers(1 + w.rng.IntN(3))
		p.inner, p.events = journal.KindTransfers, journal.Bytes(list)
	}
	w.proposals = append(w.proposals, p)
	payload := journal.Details{Payload: ledger.EncodePayload(p.events, p.attached)}
	w.Do(journal.KindProposal, actor, journal.Bytes([]journal.Proposal{{ID: p.id, Inner: p.inner}}), journal.Attachment{Data: payload.Append(nil)})
}

func (w *World) decide(actor byte) {
	p := w.proposals[max(0, len(w.proposals)-1-w.rng.IntN(6))]
	d := journal.Decision{ID: w.id(), Proposal: p.id, Inner: p.inner, Verdict: journal.Approve}
	if w.rng.IntN(6) == 0 {
		d.Verdict = journal.Reject
		w.Do(journal.KindDecision, actor, journal.Bytes([]journal.Decision{d}))
		return
	}
	events := bytes.Join([][]byte{journal.Bytes([]journal.Decision{d}), p.events}, nil)
	var attached []journal.Attachment
	for _, a := range p.attached {
		attached = append(attached, journal.Attachment{Event: a.Event + 1, Data: a.Data})
	}
	w.Do(journal.KindDecision, actor, journal.Aligned(events), attached...)
}
