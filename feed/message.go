package feed

import (
	"bytes"
	"encoding/hex"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Message returns the position as the API has it.
func (p Position) Message() *ledgerv1.FeedPosition {
	return &ledgerv1.FeedPosition{Cell: p.Cell, Seq: p.Seq, Index: uint32(p.Index)} //nolint:gosec // 0 to Whole
}

// PositionOf reads the API's form; the error is ErrPosition.
func PositionOf(m *ledgerv1.FeedPosition) (Position, error) {
	p := Position{Cell: m.GetCell(), Seq: m.GetSeq(), Index: int(m.GetIndex())}
	return p, p.check()
}

// Messages returns events as the API has them.
func (f *Feed) Messages(events []Event) []*ledgerv1.FeedEvent {
	if len(events) == 0 {
		return nil
	}
	catalogue := f.Catalogue()
	list := make([]*ledgerv1.FeedEvent, len(events))
	for i := range events {
		list[i] = message(&events[i], catalogue)
	}
	return list
}

func message(e *Event, assets *ledger.Catalogue) *ledgerv1.FeedEvent {
	m := &ledgerv1.FeedEvent{
		Position: e.Position.Message(), BlockTime: e.BlockTime, Timestamp: e.Timestamp, Kind: ledgerv1.EventKind(e.Kind), KindName: e.Name(),
		Attachment: e.Attachment,
	}
	if e.Actor != nil {
		m.Actor = hex.EncodeToString(e.Actor[:])
	}
	switch r := e.Record.(type) {
	case *journal.Account:
		a, d := accountMessage(r, e.Timestamp, assets), e.details()
		a.Address, a.Metadata = d.Address, Metadata(d.Metadata)
		m.Body = &ledgerv1.FeedEvent_Account{Account: a}
	case *journal.Transfer:
		shown := *r
		transit := ShowTransit(&shown, e.Attachment)
		t, d := transferMessage(&shown, e.Timestamp, assets), e.details()
		t.BookingDate, t.Metadata, t.Transit = bookingDate(d.BookingDate), Metadata(d.Metadata), transit
		m.Body = &ledgerv1.FeedEvent_Transfer{Transfer: t}
	case *Expired:
		t := r.Transfer
		transit := ShowTransit(&t, []byte(r.Attachment))
		m.Body = &ledgerv1.FeedEvent_Expired{Expired: &ledgerv1.ReservationExpired{
			PendingId: r.Pending.String(), Amount: r.Amount.String(), DebitAccountId: t.Debit.String(), CreditAccountId: t.Credit.String(),
			Asset: assetName(assets, t.Asset), Code: uint32(t.Code), Transit: transit,
		}}
	case *journal.Freeze:
		m.Body = &ledgerv1.FeedEvent_Freeze{Freeze: FreezeMessage(r, e.Timestamp, m.GetActor())}
	case *journal.Unfreeze:
		m.Body = &ledgerv1.FeedEvent_Unfreeze{Unfreeze: &ledgerv1.Unfrozen{Id: r.ID.String(), FreezeId: r.FreezeID.String(), Reason: text(r.Reason[:])}}
	case *journal.Limit:
		m.Body = &ledgerv1.FeedEvent_Limit{Limit: &ledgerv1.VelocityLimit{
			Id: r.ID.String(), AccountId: r.Account.String(), Side: ledgerv1.TransferSide(r.Side), AmountPerHour: r.HourAmount.String(),
			AmountPerDay: r.DayAmount.String(), CountPerHour: r.HourCount, CountPerDay: r.DayCount,
		}}
	case *RegisteredAsset:
		m.Body = &ledgerv1.FeedEvent_Asset{Asset: &ledgerv1.Asset{Name: text([]byte(r.String())), Number: r.Number, Scale: uint32(r.Scale)}}
	case *HandedOver:
		setHandedOver(m, r, assets)
	case *HeldOver:
		setHeldOver(m, e, r, assets)
	case *OtherRecord:
		m.Body = &ledgerv1.FeedEvent_Record{Record: r.Bytes}
	}
	return m
}

func accountMessage(a *journal.Account, timestamp uint64, assets *ledger.Catalogue) *ledgerv1.Account {
	const zero = "0"
	return &ledgerv1.Account{
		Id: a.ID.String(), DebitsPending: zero, DebitsPosted: zero, CreditsPending: zero, CreditsPosted: zero,
		UserData_128: a.UserData128.String(), UserData_64: a.UserData64, UserData_32: a.UserData32,
		Asset: assetName(assets, a.Asset), Code: uint32(a.Code), Flags: bits[ledgerv1.AccountFlag](uint16(a.Flags & journal.AccountFlagsKnown)), Timestamp: timestamp,
	}
}

func transferMessage(t *journal.Transfer, timestamp uint64, assets *ledger.Catalogue) *ledgerv1.Transfer {
	amount := t.Amount.String()
	return &ledgerv1.Transfer{
		Id: t.ID.String(), DebitAccountId: t.Debit.String(), CreditAccountId: t.Credit.String(), Amount: &amount, PendingId: t.PendingID.String(),
		UserData_128: t.UserData128.String(), UserData_64: t.UserData64, UserData_32: t.UserData32, Timeout: t.Timeout,
		Asset: assetName(assets, t.Asset), Code: uint32(t.Code), Flags: bits[ledgerv1.TransferFlag](uint16(t.Flags & journal.TransferFlagsKnown)), Timestamp: timestamp,
	}
}

// FreezeMessage returns a freeze as the API has it; actor is the token's id in hexadecimal.
func FreezeMessage(f *journal.Freeze, timestamp uint64, actor string) *ledgerv1.FrozenState {
	m := &ledgerv1.FrozenState{Id: f.ID.String(), Mode: ledgerv1.FreezeMode(f.Mode), Reason: text(f.Reason[:]), Actor: actor, Timestamp: timestamp}
	switch f.Selector {
	case journal.SelectAccount:
		m.Selector = &ledgerv1.FrozenState_AccountId{AccountId: f.Account.String()}
	case journal.SelectCode:
		m.Selector = &ledgerv1.FrozenState_TransferCode{TransferCode: uint32(f.Code)}
	case journal.SelectCell:
		m.Selector = &ledgerv1.FrozenState_WholeCell{WholeCell: true}
	}
	return m
}

// text reads a field that is padded with zeros.
func text(b []byte) string {
	return string(bytes.ToValidUTF8(bytes.TrimRight(b, "\x00"), []byte("\uFFFD")))
}

func assetName(assets *ledger.Catalogue, number uint32) string {
	a, ok := assets.Asset(number)
	if !ok {
		return ""
	}
	return a.String()
}

func bits[T ~int32](flags uint16) (list []T) {
	for bit := int32(1); bit < 1<<16; bit <<= 1 {
		if flags&uint16(bit) != 0 {
			list = append(list, T(bit))
		}
	}
	return list
}

// EventKey is what events are ordered by for those who can't take all of them in order: the account of an event about an
// account; the id of a transfer, and of the reservation for all that becomes of it; otherwise the id of the record.
func EventKey(m *ledgerv1.FeedEvent) string {
	switch b := m.GetBody().(type) {
	case *ledgerv1.FeedEvent_Account:
		return b.Account.GetId()
	case *ledgerv1.FeedEvent_Transfer:
		if pending := b.Transfer.GetPendingId(); pending != "" && pending != "0" {
			return pending
		}
		return b.Transfer.GetId()
	case *ledgerv1.FeedEvent_Expired:
		return b.Expired.GetPendingId()
	case *ledgerv1.FeedEvent_Freeze:
		return b.Freeze.GetId()
	case *ledgerv1.FeedEvent_Unfreeze:
		return b.Unfreeze.GetFreezeId()
	case *ledgerv1.FeedEvent_Limit:
		return b.Limit.GetAccountId()
	case *ledgerv1.FeedEvent_Asset:
		return b.Asset.GetName()
	case *ledgerv1.FeedEvent_Record:
		if len(b.Record) >= 16 {
			return money.LE(b.Record).String()
		}
	}
	return m.GetKindName()
}

// FilterOf reads the API's form; the error is ErrFilter.
func FilterOf(m *ledgerv1.EventFilter) (Filter, error) {
	var f Filter
	if n := max(len(m.GetAccountIds()), len(m.GetAssets()), len(m.GetTransferCodes()), len(m.GetKinds())); n > MaxFilter {
		return f, filterError("%d entries, at most %d", n, MaxFilter)
	}
	for _, text := range m.GetAccountIds() {
		id, err := money.Parse(text)
		if err != nil {
			return f, filterError("account id %w", err)
		}
		f.Accounts = append(f.Accounts, id)
	}
	for _, name := range m.GetAssets() {
		a, err := money.ParseAsset(name)
		if err != nil {
			return f, filterError("asset %w", err)
		}
		f.Assets = append(f.Assets, a)
	}
	for _, code := range m.GetTransferCodes() {
		if code == 0 || code > 1<<16-1 {
			return f, filterError("transfer code %d: want 1 to 65,535", code)
		}
		f.Codes = append(f.Codes, uint16(code))
	}
	for _, k := range m.GetKinds() {
		f.Kinds = append(f.Kinds, Kind(k))
	}
	return f, f.check()
}
