package codec

import (
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// DecodeAccountsJSON reads a CreateAccountsRequest into b.Accounts and
// b.Unregistered. The error is an [*Error].
func (c *Codec) DecodeAccountsJSON(b *Batch, data []byte, assets *AssetTable) error {
	s := &scanner{data: data}
	s.message("accounts", func() {
		b.Accounts = append(b.Accounts, journal.Account{})
		c.accountJSON(s, b, assets)
	})
	return s.err
}

// DecodeTransfersJSON reads a CreateTransfersRequest into b.Transfers. The error
// is an [*Error].
func (c *Codec) DecodeTransfersJSON(b *Batch, data []byte, assets *AssetTable) error {
	s := &scanner{data: data}
	s.message("transfers", func() {
		b.Transfers = append(b.Transfers, journal.Transfer{})
		c.transferJSON(s, b, assets)
	})
	return s.err
}

// DecodeIDsJSON reads a LookupAccountsRequest or a LookupTransfersRequest into
// b.IDs. The error is an [*Error].
func (c *Codec) DecodeIDsJSON(b *Batch, data []byte) error {
	s := &scanner{data: data}
	s.message("ids", func() {
		b.IDs = append(b.IDs, s.u128())
	})
	return s.err
}

// message reads a message whose only field is a list, and calls read at the
// beginning of each of its elements.
func (s *scanner) message(list string, read func()) {
	var mask uint32
	s.open('{')
	for n := 0; s.more(n, '}'); n++ {
		name := s.key()
		if s.err != nil {
			return
		}
		s.field = list
		if string(name) != list {
			s.field = ""
			s.refuse(fmt.Sprintf("unknown field %.64q", name))
			return
		}
		s.seen(&mask, 0)
		if s.null() {
			continue
		}
		s.open('[')
		s.list, s.field = list, ""
		for s.index = 0; s.more(s.index, ']'); s.index++ {
			if s.index == MaxEvents {
				s.err = tooMany(list)
				return
			}
			read()
			s.field = ""
		}
		s.list = ""
	}
	s.end()
}

// u128 consumes a string that holds a decimal.
func (s *scanner) u128() money.U128 {
	text := s.text()
	if s.err != nil {
		return money.U128{}
	}
	v, err := U128(text)
	if err != nil {
		s.refuse(err.Error())
	}
	return v
}

// flags consumes a list of flags.
func (s *scanner) flags(values map[string]int32) (sum uint16) {
	s.open('[')
	for n := 0; s.more(n, ']'); n++ {
		number := s.enum(values)
		if s.err != nil {
			return 0
		}
		bits, err := flagBits(number)
		if err != nil {
			s.refuse(err.Error())
		}
		sum |= bits
	}
	return sum
}

// asset consumes the name of an asset.
func (s *scanner) asset(assets *AssetTable) (number uint32, unknown money.Asset) {
	text := s.text()
	if s.err != nil {
		return 0, money.Asset{}
	}
	number, unknown, err := assets.asset(text)
	if err != nil {
		s.refuse(err.Error())
	}
	return number, unknown
}

// member begins the next member of an element: it sets the field for paths by
// the number that find gives the name, and refuses unknown and repeated names. A
// null is consumed here and answered with number 0.
func (s *scanner) member(mask *uint32, find func(name []byte) (field string, number uint32)) uint32 {
	name := s.key()
	if s.err != nil {
		return 0
	}
	field, number := find(name)
	s.field = field
	if number == 0 {
		s.refuse(fmt.Sprintf("unknown field %.64q", name))
		return 0
	}
	s.seen(mask, number)
	if s.null() {
		return 0
	}
	return number
}

// Field numbers of Account.
const (
	accountID = iota + 1
	accountDebitsPending
	accountDebitsPosted
	accountCreditsPending
	accountCreditsPosted
	accountUserData128
	accountUserData64
	accountUserData32
	accountAsset
	accountCode
	accountFlags
	accountTimestamp
	accountAddress
	accountMetadata
)

func accountField(name []byte) (field string, number uint32) {
	switch string(name) {
	case "id":
		return "id", accountID
	case "debitsPending", "debits_pending":
		return "debitsPending", accountDebitsPending
	case "debitsPosted", "debits_posted":
		return "debitsPosted", accountDebitsPosted
	case "creditsPending", "credits_pending":
		return "creditsPending", accountCreditsPending
	case "creditsPosted", "credits_posted":
		return "creditsPosted", accountCreditsPosted
	case "userData128", "user_data_128":
		return "userData128", accountUserData128
	case "userData64", "user_data_64":
		return "userData64", accountUserData64
	case "userData32", "user_data_32":
		return "userData32", accountUserData32
	case "asset":
		return "asset", accountAsset
	case "code":
		return "code", accountCode
	case "flags":
		return "flags", accountFlags
	case "timestamp":
		return "timestamp", accountTimestamp
	case "address":
		return "address", accountAddress
	case "metadata":
		return "metadata", accountMetadata
	default:
		return "", 0
	}
}

func (c *Codec) accountJSON(s *scanner, b *Batch, assets *AssetTable) {
	a := &b.Accounts[len(b.Accounts)-1]
	var mask uint32
	b.beyond = b.beyond[:0]
	s.open('{')
	for n := 0; s.more(n, '}'); n++ {
		switch s.member(&mask, accountField) {
		case accountID:
			a.ID = s.u128()
		case accountDebitsPending:
			a.DebitsPending = s.u128()
		case accountDebitsPosted:
			a.DebitsPosted = s.u128()
		case accountCreditsPending:
			a.CreditsPending = s.u128()
		case accountCreditsPosted:
			a.CreditsPosted = s.u128()
		case accountUserData128:
			a.UserData128 = s.u128()
		case accountUserData64:
			a.UserData64 = s.uint64()
		case accountUserData32:
			a.UserData32 = s.uint32(1<<32 - 1)
		case accountAsset:
			number, unknown := s.asset(assets)
			a.Asset = number
			if number == journal.NoAsset {
				b.Unregistered = append(b.Unregistered, Unregistered{Event: s.index, Asset: unknown})
			}
		case accountCode:
			a.Code = uint16(s.uint32(1<<16 - 1)) //nolint:gosec // bounded
		case accountFlags:
			a.Flags = journal.AccountFlags(s.flags(c.accountFlags))
		case accountTimestamp:
			a.Timestamp = s.uint64()
		case accountAddress, accountMetadata:
			b.keepJSON(s)
		}
	}
	b.accountDetailsJSON(s)
}

// Field numbers of Transfer.
const (
	transferID = iota + 1
	transferDebit
	transferCredit
	transferAmount
	transferPendingID
	transferUserData128
	transferUserData64
	transferUserData32
	transferTimeout
	transferAsset
	transferCode
	transferFlags
	transferTimestamp
	transferBookingDate
	transferMetadata
	transferTransit
)

func transferField(name []byte) (field string, number uint32) {
	switch string(name) {
	case "id":
		return "id", transferID
	case "debitAccountId", "debit_account_id":
		return "debitAccountId", transferDebit
	case "creditAccountId", "credit_account_id":
		return "creditAccountId", transferCredit
	case "amount":
		return "amount", transferAmount
	case "pendingId", "pending_id":
		return "pendingId", transferPendingID
	case "userData128", "user_data_128":
		return "userData128", transferUserData128
	case "userData64", "user_data_64":
		return "userData64", transferUserData64
	case "userData32", "user_data_32":
		return "userData32", transferUserData32
	case "timeout":
		return "timeout", transferTimeout
	case "asset":
		return "asset", transferAsset
	case "code":
		return "code", transferCode
	case "flags":
		return "flags", transferFlags
	case "timestamp":
		return "timestamp", transferTimestamp
	case "bookingDate", "booking_date":
		return "bookingDate", transferBookingDate
	case "metadata":
		return "metadata", transferMetadata
	case "transit":
		return "transit", transferTransit
	default:
		return "", 0
	}
}

func (c *Codec) transferJSON(s *scanner, b *Batch, assets *AssetTable) {
	t := &b.Transfers[len(b.Transfers)-1]
	var mask uint32
	b.beyond = b.beyond[:0]
	amount := false
	s.open('{')
	for n := 0; s.more(n, '}'); n++ {
		switch s.member(&mask, transferField) {
		case transferID:
			t.ID = s.u128()
		case transferDebit:
			t.Debit = s.u128()
		case transferCredit:
			t.Credit = s.u128()
		case transferAmount:
			amount = true
			t.Amount = s.amount()
		case transferPendingID:
			t.PendingID = s.u128()
		case transferUserData128:
			t.UserData128 = s.u128()
		case transferUserData64:
			t.UserData64 = s.uint64()
		case transferUserData32:
			t.UserData32 = s.uint32(1<<32 - 1)
		case transferTimeout:
			t.Timeout = s.uint32(1<<32 - 1)
		case transferAsset:
			var unknown money.Asset
			t.Asset, unknown = s.asset(assets)
			b.noteAsset(s.index, unknown)
		case transferCode:
			t.Code = uint16(s.uint32(1<<16 - 1)) //nolint:gosec // bounded
		case transferFlags:
			t.Flags = journal.TransferFlags(s.flags(c.transferFlags))
		case transferTimestamp:
			t.Timestamp = s.uint64()
		case transferBookingDate, transferMetadata, transferTransit:
			b.keepJSON(s)
		}
	}
	b.transferDetailsJSON(s)
	if err := settleAmount(t, amount); err != nil {
		s.field = "amount"
		s.refuse(err.Error())
	}
}

// amount is u128, except that an empty string is no amount.
func (s *scanner) amount() money.U128 {
	text := s.text()
	if s.err != nil {
		return money.U128{}
	}
	v, err := Amount(text)
	if err != nil {
		s.refuse(err.Error())
	}
	return v
}

// Amount reads a decimal; nothing is an error, because it is more likely a slip
// than a zero.
func Amount(text []byte) (money.U128, error) {
	v, err := money.ParseBytes(text)
	if err != nil {
		return money.U128{}, describe(err)
	}
	return v, nil
}
