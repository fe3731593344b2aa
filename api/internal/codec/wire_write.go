package codec

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/wire"
)

// AppendResultsWire appends a CreateAccountsResponse or a
// CreateTransfersResponse to dst: they differ only in the names of the statuses.
func (c *Codec) AppendResultsWire(dst []byte, r *Reply) []byte {
	dst = appendResults(dst, r.Results, 1)
	return appendPosition(dst, r, 2)
}

// AppendStreamWire appends a CreateTransfersStreamResponse to dst.
func (c *Codec) AppendStreamWire(dst []byte, r *Reply) []byte {
	dst = wire.Varint(dst, 1, r.Sequence)
	dst = appendResults(dst, r.Results, 2)
	return appendPosition(dst, r, 3)
}

// setLength puts the length of what begins at `at` into the byte before it.
func setLength(dst []byte, at int) {
	dst[at-1] = byte(len(dst) - at) //nolint:gosec // every caller says why it is below 128
}

func appendResults(dst []byte, results []journal.Result, number protowire.Number) []byte {
	for i := range results {
		dst = protowire.AppendTag(dst, number, protowire.BytesType)
		dst = append(dst, 0)
		at := len(dst)
		dst = wire.Varint(dst, 1, uint64(results[i].Status))
		dst = wire.Varint(dst, 2, results[i].Timestamp)
		setLength(dst, at) // two tags and two varints: at most 15 bytes
	}
	return dst
}

func appendPosition(dst []byte, r *Reply, number protowire.Number) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = append(dst, 0)
	at := len(dst)
	dst = wire.Varint(dst, 1, r.Cell)
	dst = wire.Varint(dst, 2, r.Seq)
	setLength(dst, at) // at most 22 bytes
	return dst
}

// appendBits appends flags as a packed list of enum numbers.
func appendBits(dst []byte, number protowire.Number, flags uint16) []byte {
	if flags == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = append(dst, 0)
	at := len(dst)
	for bit := uint64(1); bit < 1<<16; bit <<= 1 {
		if uint64(flags)&bit != 0 {
			dst = protowire.AppendVarint(dst, bit)
		}
	}
	setLength(dst, at) // at most 16 × 3 bytes
	return dst
}

// AppendAccountsWire appends a LookupAccountsResponse to dst.
func (c *Codec) AppendAccountsWire(dst []byte, r *Reply, assets *AssetTable) []byte {
	for i := range r.Accounts {
		a := &r.Accounts[i]
		var at int
		dst, at = wire.Begin(dst, 1)
		dst = wire.Decimal(dst, accountID, a.ID)
		dst = wire.Decimal(dst, accountDebitsPending, a.DebitsPending)
		dst = wire.Decimal(dst, accountDebitsPosted, a.DebitsPosted)
		dst = wire.Decimal(dst, accountCreditsPending, a.CreditsPending)
		dst = wire.Decimal(dst, accountCreditsPosted, a.CreditsPosted)
		dst = wire.Decimal(dst, accountUserData128, a.UserData128)
		dst = wire.Varint(dst, accountUserData64, a.UserData64)
		dst = wire.Varint(dst, accountUserData32, uint64(a.UserData32))
		dst = wire.Text(dst, accountAsset, assets.Name(a.Asset))
		dst = wire.Varint(dst, accountCode, uint64(a.Code))
		dst = appendBits(dst, accountFlags, uint16(a.Flags&journal.AccountFlagsKnown))
		dst = wire.Varint(dst, accountTimestamp, a.Timestamp)
		if d := r.details(i); d != nothing {
			dst = appendMessage(dst, &ledgerv1.Account{Address: d.Address, Metadata: d.Metadata})
		}
		dst = wire.Finish(dst, at)
	}
	return appendPosition(dst, r, 2)
}

// AppendTransfersWire appends a LookupTransfersResponse to dst.
func (c *Codec) AppendTransfersWire(dst []byte, r *Reply, assets *AssetTable) []byte {
	for i := range r.Transfers {
		dst = appendTransfer(dst, 1, &r.Transfers[i], r.details(i), assets)
	}
	return appendPosition(dst, r, 2)
}

func appendTransfer(dst []byte, number protowire.Number, t *journal.Transfer, d *Details, assets *AssetTable) []byte {
	dst, at := wire.Begin(dst, number)
	dst = wire.Decimal(dst, transferID, t.ID)
	dst = wire.Decimal(dst, transferDebit, t.Debit)
	dst = wire.Decimal(dst, transferCredit, t.Credit)
	dst = wire.Decimal(dst, transferAmount, t.Amount)
	dst = wire.Decimal(dst, transferPendingID, t.PendingID)
	dst = wire.Decimal(dst, transferUserData128, t.UserData128)
	dst = wire.Varint(dst, transferUserData64, t.UserData64)
	dst = wire.Varint(dst, transferUserData32, uint64(t.UserData32))
	dst = wire.Varint(dst, transferTimeout, uint64(t.Timeout))
	dst = wire.Text(dst, transferAsset, assets.Name(t.Asset))
	dst = wire.Varint(dst, transferCode, uint64(t.Code))
	dst = appendBits(dst, transferFlags, uint16(t.Flags&journal.TransferFlagsKnown))
	dst = wire.Varint(dst, transferTimestamp, t.Timestamp)
	if d != nothing {
		dst = appendMessage(dst, &ledgerv1.Transfer{BookingDate: d.BookingDate, Metadata: d.Metadata, Transit: d.Transit})
	}
	return wire.Finish(dst, at)
}

// ResultSize is the size of a packed result in bytes.
const ResultSize = 16

// AppendResultsPacked appends a CreateAccountsPackedResponse or a
// CreateTransfersPackedResponse to dst.
func (c *Codec) AppendResultsPacked(dst []byte, r *Reply) []byte {
	if len(r.Results) > 0 {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(len(r.Results)*ResultSize))
	}
	for i := range r.Results {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Results[i].Status))
		dst = binary.LittleEndian.AppendUint64(dst, r.Results[i].Timestamp)
	}
	return appendPosition(dst, r, 2)
}

// AppendAccountsPacked appends a LookupAccountsPackedResponse to dst.
func (c *Codec) AppendAccountsPacked(dst []byte, r *Reply) []byte {
	if len(r.Accounts) > 0 {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendBytes(dst, journal.Bytes(r.Accounts))
	}
	return appendPosition(dst, r, 2)
}
