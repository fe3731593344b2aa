package codec_test

import (
	"encoding/json"
	"errors"
	"math/big"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The oracle decodes with protojson or proto into messages and converts those in
// the plainest way: what the codec must agree with.

var errOracle = errors.New("the oracle refuses")

func assets() *codec.AssetTable { return codec.NewAssetTable([]string{"CNY/2", "JPY/0"}) }

type oracle struct{ err error }

func (o *oracle) refuse() { o.err = errOracle }

func (o *oracle) u128(text string) money.U128 {
	if text == "" {
		return money.U128{}
	}
	return o.amount(text)
}

func (o *oracle) amount(text string) money.U128 {
	for _, r := range text {
		if r < '0' || r > '9' {
			o.refuse()
			return money.U128{}
		}
	}
	v, ok := new(big.Int).SetString(text, 10)
	if !ok || v.BitLen() > 128 || len(text) > 128 {
		o.refuse()
		return money.U128{}
	}
	var b [16]byte
	return money.BE(v.FillBytes(b[:]))
}

func (o *oracle) asset(name string) (uint32, bool) {
	switch name {
	case "":
		return 0, true
	case "CNY/2":
		return 1, true
	case "JPY/0":
		return 2, true
	}
	if _, err := money.ParseAsset(name); err != nil {
		o.refuse()
	}
	return journal.NoAsset, false
}

func (o *oracle) code(code uint32) uint16 {
	if code > 65535 {
		o.refuse()
	}
	return uint16(code)
}

func (o *oracle) flag(n int32) uint16 {
	if n < 0 || n > 65535 {
		o.refuse()
	}
	return uint16(n)
}

func (o *oracle) accounts(list []*ledgerv1.Account) (b codec.Batch) {
	for i, m := range list {
		number, known := o.asset(m.GetAsset())
		a := journal.Account{
			ID: o.u128(m.GetId()), DebitsPending: o.u128(m.GetDebitsPending()), DebitsPosted: o.u128(m.GetDebitsPosted()),
			CreditsPending: o.u128(m.GetCreditsPending()), CreditsPosted: o.u128(m.GetCreditsPosted()),
			UserData128: o.u128(m.GetUserData_128()), UserData64: m.GetUserData_64(), UserData32: m.GetUserData_32(),
			Asset: number, Code: o.code(m.GetCode()), Timestamp: m.GetTimestamp(),
		}
		for _, flag := range m.GetFlags() {
			a.Flags |= journal.AccountFlags(o.flag(int32(flag)))
		}
		if !known && o.err == nil {
			asset, _ := money.ParseAsset(m.GetAsset())
			b.Unregistered = append(b.Unregistered, codec.Unregistered{Event: i, Asset: asset})
		}
		b.Accounts = append(b.Accounts, a)
		if m.GetAddress() != "" || len(m.GetMetadata()) > 0 {
			b.Details = append(b.Details, codec.Details{Event: i, Address: m.GetAddress(), Metadata: m.GetMetadata()})
		}
	}
	if len(list) > codec.MaxEvents {
		o.refuse()
	}
	return b
}

func (o *oracle) transfers(list []*ledgerv1.Transfer) (b codec.Batch) {
	for i, m := range list {
		number, known := o.asset(m.GetAsset())
		if !known && o.err == nil {
			asset, _ := money.ParseAsset(m.GetAsset())
			b.Unregistered = append(b.Unregistered, codec.Unregistered{Event: i, Asset: asset})
		}
		t := journal.Transfer{
			ID: o.u128(m.GetId()), Debit: o.u128(m.GetDebitAccountId()), Credit: o.u128(m.GetCreditAccountId()),
			PendingID: o.u128(m.GetPendingId()), UserData128: o.u128(m.GetUserData_128()),
			UserData64: m.GetUserData_64(), UserData32: m.GetUserData_32(), Timeout: m.GetTimeout(),
			Asset: number, Code: o.code(m.GetCode()), Timestamp: m.GetTimestamp(),
		}
		for _, flag := range m.GetFlags() {
			t.Flags |= journal.TransferFlags(o.flag(int32(flag)))
		}
		switch {
		case m.Amount != nil && m.GetAmount() == "":
			o.refuse()
		case m.Amount != nil:
			t.Amount = o.amount(m.GetAmount())
		case t.Flags&journal.TransferPost != 0:
			t.Amount = money.Max()
		case t.Flags&journal.TransferVoid == 0:
			o.refuse()
		}
		b.Transfers = append(b.Transfers, t)
		if m.GetBookingDate() != "" || len(m.GetMetadata()) > 0 {
			b.Details = append(b.Details, codec.Details{Event: i, BookingDate: m.GetBookingDate(), Metadata: m.GetMetadata()})
		}
	}
	if len(list) > codec.MaxEvents {
		o.refuse()
	}
	return b
}

// decoding names the three ways a request is read, by format.
type decoding struct {
	name   string
	codec  func(*codec.Batch, []byte) error
	oracle func([]byte) (codec.Batch, error)
}

func jsonDecodings(c *codec.Codec) []decoding {
	return decodings(
		func(b *codec.Batch, data []byte) error { return c.DecodeAccountsJSON(b, data, assets()) },
		func(b *codec.Batch, data []byte) error { return c.DecodeTransfersJSON(b, data, assets()) },
		c.DecodeIDsJSON,
		strictJSON)
}

// strictJSON is protojson, but for texts that are no JSON: it takes the number in
// {"code":1e}.
func strictJSON(data []byte, m proto.Message) error {
	if !json.Valid(data) {
		return errOracle
	}
	return protojson.Unmarshal(data, m)
}

func wireDecodings(c *codec.Codec) []decoding {
	return decodings(
		func(b *codec.Batch, data []byte) error { return c.DecodeAccountsWire(b, data, assets()) },
		func(b *codec.Batch, data []byte) error { return c.DecodeTransfersWire(b, data, assets()) },
		c.DecodeIDsWire,
		proto.Unmarshal)
}

func decodings(accounts, transfers, ids func(*codec.Batch, []byte) error, unmarshal func([]byte, proto.Message) error) []decoding {
	return []decoding{
		{"accounts", accounts, func(data []byte) (codec.Batch, error) {
			m, o := &ledgerv1.CreateAccountsRequest{}, oracle{}
			if err := unmarshal(data, m); err != nil {
				return codec.Batch{}, err
			}
			b := o.accounts(m.GetAccounts())
			return b, o.err
		}},
		{"transfers", transfers, func(data []byte) (codec.Batch, error) {
			m, o := &ledgerv1.CreateTransfersRequest{}, oracle{}
			if err := unmarshal(data, m); err != nil {
				return codec.Batch{}, err
			}
			b := o.transfers(m.GetTransfers())
			return b, o.err
		}},
		{"ids", ids, func(data []byte) (codec.Batch, error) {
			m, o, b := &ledgerv1.LookupAccountsRequest{}, oracle{}, codec.Batch{}
			if err := unmarshal(data, m); err != nil {
				return codec.Batch{}, err
			}
			for _, id := range m.GetIds() {
				b.IDs = append(b.IDs, o.u128(id))
			}
			if len(b.IDs) > codec.MaxEvents {
				o.refuse()
			}
			return b, o.err
		}},
	}
}
