package codec

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// fields walks over the fields of a binary message. As in scanner, the first
// fault sticks.
type fields struct {
	data []byte
	err  error

	number protowire.Number
	kind   protowire.Type

	list  string
	index int
}

// next moves to the next field; its value stands at the beginning of data.
func (f *fields) next() bool {
	if f.err != nil || len(f.data) == 0 {
		return false
	}
	number, kind, n := protowire.ConsumeTag(f.data)
	if n < 0 || number > protowire.MaxValidNumber {
		f.malformed()
		return false
	}
	f.number, f.kind, f.data = number, kind, f.data[n:]
	return true
}

func (f *fields) malformed() {
	if f.err == nil {
		f.err = &Error{Reason: "invalid protobuf message"}
	}
}

func (f *fields) refuse(field, reason string) {
	if f.err != nil {
		return
	}
	if f.list != "" {
		field = element(f.list, f.index, field)
	}
	f.err = &Error{Field: field, Reason: reason}
}

// skip passes over a field that is unknown or of another type than it should be,
// as proto does.
func (f *fields) skip() {
	n := protowire.ConsumeFieldValue(f.number, f.kind, f.data)
	if n < 0 {
		f.malformed()
		return
	}
	f.data = f.data[n:]
}

func (f *fields) bytes() []byte {
	v, n := protowire.ConsumeBytes(f.data)
	if n < 0 {
		f.malformed()
		return nil
	}
	f.data = f.data[n:]
	return v
}

func (f *fields) varint() uint64 {
	v, n := protowire.ConsumeVarint(f.data)
	if n < 0 {
		f.malformed()
		return 0
	}
	f.data = f.data[n:]
	return v
}

func (f *fields) u128(field string) money.U128 {
	text := f.bytes()
	v, err := U128(text)
	if err != nil {
		f.refuse(field, err.Error())
	}
	return v
}

// code reads a uint32 that must fit 16 bits.
func (f *fields) code() uint16 {
	v := uint32(f.varint()) //nolint:gosec // proto truncates likewise
	if v > 1<<16-1 {
		f.refuse("code", "want a whole number from 0 to 65535")
	}
	return uint16(v) //nolint:gosec // checked
}

// flags adds a flag, or a packed list of flags, to sum.
func (f *fields) flags(sum uint16) uint16 {
	if f.kind == protowire.VarintType {
		return sum | f.flag(f.varint())
	}
	list := f.bytes()
	for len(list) > 0 && f.err == nil {
		v, n := protowire.ConsumeVarint(list)
		if n < 0 {
			f.malformed()
			return 0
		}
		sum |= f.flag(v)
		list = list[n:]
	}
	return sum
}

func (f *fields) flag(v uint64) uint16 {
	bits, err := flagBits(int32(v)) //nolint:gosec // proto truncates likewise
	if err != nil {
		f.refuse("flags", err.Error())
	}
	return bits
}

// DecodeAccountsWire reads a CreateAccountsRequest into b.Accounts and
// b.Unregistered. The error is an [*Error].
func (c *Codec) DecodeAccountsWire(b *Batch, data []byte, assets *AssetTable) error {
	f := &fields{data: data}
	for f.next() {
		if f.number != 1 || f.kind != protowire.BytesType {
			f.skip()
			continue
		}
		if len(b.Accounts) == MaxEvents {
			return tooMany("accounts")
		}
		e := fields{data: f.bytes(), err: f.err, list: "accounts", index: len(b.Accounts)}
		b.Accounts = append(b.Accounts, journal.Account{})
		b.beyond = b.beyond[:0]
		unknown := accountWire(&e, b, &b.Accounts[e.index], assets)
		b.accountDetails(&e)
		if unknown.Code != "" {
			b.Unregistered = append(b.Unregistered, Unregistered{Event: e.index, Asset: unknown})
		}
		f.err = e.err
	}
	return f.err
}

func accountWire(f *fields, b *Batch, a *journal.Account, assets *AssetTable) (unknown money.Asset) {
	for f.next() {
		switch {
		case f.kind == protowire.BytesType:
			switch f.number {
			case accountID:
				a.ID = f.u128("id")
			case accountDebitsPending:
				a.DebitsPending = f.u128("debitsPending")
			case accountDebitsPosted:
				a.DebitsPosted = f.u128("debitsPosted")
			case accountCreditsPending:
				a.CreditsPending = f.u128("creditsPending")
			case accountCreditsPosted:
				a.CreditsPosted = f.u128("creditsPosted")
			case accountUserData128:
				a.UserData128 = f.u128("userData128")
			case accountAsset:
				a.Asset, unknown = f.asset(assets)
			case accountFlags:
				a.Flags = journal.AccountFlags(f.flags(uint16(a.Flags)))
			case accountAddress, accountMetadata:
				b.keep(f)
			default:
				f.skip()
			}
		case f.kind == protowire.VarintType:
			switch f.number {
			case accountUserData64:
				a.UserData64 = f.varint()
			case accountUserData32:
				a.UserData32 = uint32(f.varint()) //nolint:gosec // proto truncates likewise
			case accountCode:
				a.Code = f.code()
			case accountFlags:
				a.Flags = journal.AccountFlags(f.flags(uint16(a.Flags)))
			case accountTimestamp:
				a.Timestamp = f.varint()
			default:
				f.skip()
			}
		default:
			f.skip()
		}
	}
	return unknown
}

func (f *fields) asset(assets *AssetTable) (number uint32, unknown money.Asset) {
	text := f.bytes()
	number, unknown, err := assets.asset(text)
	if err != nil {
		f.refuse("asset", err.Error())
	}
	return number, unknown
}

// DecodeTransfersWire reads a CreateTransfersRequest into b.Transfers. The error
// is an [*Error].
func (c *Codec) DecodeTransfersWire(b *Batch, data []byte, assets *AssetTable) error {
	return transfersWire(&fields{data: data}, b, 1, 0, assets)
}

// DecodeStreamWire reads a CreateTransfersStreamRequest into b.Transfers and
// b.Sequence. The error is an [*Error].
func (c *Codec) DecodeStreamWire(b *Batch, data []byte, assets *AssetTable) error {
	return transfersWire(&fields{data: data}, b, 2, 1, assets)
}

func transfersWire(f *fields, b *Batch, list, sequence protowire.Number, assets *AssetTable) error {
	for f.next() {
		switch {
		case f.number == list && f.kind == protowire.BytesType:
			if len(b.Transfers) == MaxEvents {
				return tooMany("transfers")
			}
			e := fields{data: f.bytes(), err: f.err, list: "transfers", index: len(b.Transfers)}
			b.Transfers = append(b.Transfers, journal.Transfer{})
			b.beyond = b.beyond[:0]
			transferWire(&e, b, &b.Transfers[e.index], assets)
			b.transferDetails(&e)
			f.err = e.err
		case sequence != 0 && f.number == sequence && f.kind == protowire.VarintType:
			b.Sequence = f.varint()
		default:
			f.skip()
		}
	}
	return f.err
}

func transferWire(f *fields, b *Batch, t *journal.Transfer, assets *AssetTable) {
	amount := false
	for f.next() {
		switch {
		case f.kind == protowire.BytesType && f.number >= transferBookingDate && f.number <= transferTransit:
			b.keep(f)
		case f.kind == protowire.BytesType:
			amount = transferBytes(f, b, t, assets) || amount
		case f.kind == protowire.VarintType:
			transferVarint(f, t)
		default:
			f.skip()
		}
	}
	if err := settleAmount(t, amount); err != nil {
		f.refuse("amount", err.Error())
	}
}

// transferBytes reads a length-delimited field and reports whether it was the
// amount.
func transferBytes(f *fields, b *Batch, t *journal.Transfer, assets *AssetTable) (amount bool) {
	switch f.number {
	case transferID:
		t.ID = f.u128("id")
	case transferDebit:
		t.Debit = f.u128("debitAccountId")
	case transferCredit:
		t.Credit = f.u128("creditAccountId")
	case transferAmount:
		v, err := Amount(f.bytes())
		if err != nil {
			f.refuse("amount", err.Error())
		}
		t.Amount = v
		return true
	case transferPendingID:
		t.PendingID = f.u128("pendingId")
	case transferUserData128:
		t.UserData128 = f.u128("userData128")
	case transferAsset:
		var unknown money.Asset
		t.Asset, unknown = f.asset(assets)
		b.noteAsset(f.index, unknown)
	case transferFlags:
		t.Flags = journal.TransferFlags(f.flags(uint16(t.Flags)))
	default:
		f.skip()
	}
	return false
}

func transferVarint(f *fields, t *journal.Transfer) {
	switch f.number {
	case transferUserData64:
		t.UserData64 = f.varint()
	case transferUserData32:
		t.UserData32 = uint32(f.varint()) //nolint:gosec // proto truncates likewise
	case transferTimeout:
		t.Timeout = uint32(f.varint()) //nolint:gosec // proto truncates likewise
	case transferCode:
		t.Code = f.code()
	case transferFlags:
		t.Flags = journal.TransferFlags(f.flags(uint16(t.Flags)))
	case transferTimestamp:
		t.Timestamp = f.varint()
	default:
		f.skip()
	}
}

// DecodeIDsWire reads a LookupAccountsRequest or a LookupTransfersRequest into
// b.IDs. The error is an [*Error].
func (c *Codec) DecodeIDsWire(b *Batch, data []byte) error {
	f := &fields{data: data}
	for f.next() {
		if f.number != 1 || f.kind != protowire.BytesType {
			f.skip()
			continue
		}
		if len(b.IDs) == MaxEvents {
			return tooMany("ids")
		}
		id, err := U128(f.bytes())
		if err != nil {
			f.refuse("ids["+strconv.Itoa(len(b.IDs))+"]", err.Error())
		}
		b.IDs = append(b.IDs, id)
	}
	return f.err
}

// Packed requests: one bytes field. What is not a whole number of records is
// refused.

// DecodeAccountsPacked reads a CreateAccountsPackedRequest into b.Accounts.
func (c *Codec) DecodeAccountsPacked(b *Batch, data []byte) error {
	records, err := packed(data, "records", journal.RecordSize)
	if err != nil {
		return err
	}
	b.Accounts = append(b.Accounts[:0], make([]journal.Account, len(records)/journal.RecordSize)...)
	copy(journal.Bytes(b.Accounts), records)
	return nil
}

// DecodeTransfersPacked reads a CreateTransfersPackedRequest into b.Transfers.
func (c *Codec) DecodeTransfersPacked(b *Batch, data []byte) error {
	records, err := packed(data, "records", journal.RecordSize)
	if err != nil {
		return err
	}
	b.Transfers = append(b.Transfers[:0], make([]journal.Transfer, len(records)/journal.RecordSize)...)
	copy(journal.Bytes(b.Transfers), records)
	return nil
}

// DecodeIDsPacked reads a LookupAccountsPackedRequest into b.IDs.
func (c *Codec) DecodeIDsPacked(b *Batch, data []byte) error {
	ids, err := packed(data, "ids", idSize)
	if err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[idSize:] {
		b.IDs = append(b.IDs, money.LE(ids))
	}
	return nil
}

const idSize = 16

func packed(data []byte, field string, size int) (records []byte, err error) {
	f := &fields{data: data}
	for f.next() {
		if f.number == 1 && f.kind == protowire.BytesType {
			records = f.bytes()
		} else {
			f.skip()
		}
	}
	switch {
	case f.err != nil:
		return nil, f.err
	case len(records)%size != 0:
		return nil, &Error{Field: field, Reason: fmt.Sprintf("%d bytes are not a whole number of %d-byte records", len(records), size)}
	case len(records) > MaxEvents*size:
		return nil, tooMany(field)
	}
	return records, nil
}
