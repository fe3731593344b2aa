package client

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Amount is a number of minor units of an asset: 1234 of CNY/2 is 12.34 yuan.
type Amount struct {
	Minor money.U128
	Asset money.Asset
}

// ParseAmount reads a decimal number of the asset's major unit, such as "12.34" of
// "CNY/2", exactly: places beyond the asset's are an error.
func ParseAmount(decimal, asset string) (Amount, error) {
	a, err := money.ParseAsset(asset)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %.48q: %w", decimal, err)
	}
	minor, err := a.ParseAmount(decimal)
	if err != nil {
		return Amount{}, fmt.Errorf("amount of %v: %w", a, err)
	}
	return Amount{minor, a}, nil
}

// String returns the decimal number and the code, such as "12.34 CNY".
func (a Amount) String() string { return a.Asset.Format(a.Minor) + " " + a.Asset.Code }

// Entry is one transfer to record with [Client.Transfer] or [Client.Chain]. What a
// field means in full is said at [Transfer], the message of the API; rare needs,
// such as imports with timestamps, call [Client.CreateTransfers] with it.
type Entry struct {
	// ID is the idempotency key. Zero: the client makes one, and [Result] and errors
	// have it. Give one that was kept with the order, to be safe across a restart of
	// this process too.
	ID     money.U128
	Debit  money.U128 // the account that gives
	Credit money.U128 // the account that takes
	Amount Amount
	Code   uint16 // the reason, 1 to 65,535
	// Flags: PENDING reserves. See Post and Void for what settles. LINKED is set by
	// Chain, IMPORTED is refused.
	Flags []ledgerv1.TransferFlag
	// Timeout releases a reservation by itself: whole seconds, zero never.
	Timeout     time.Duration
	PendingID   money.U128 // that a post or void settles
	UserData128 money.U128
	UserData64  uint64
	UserData32  uint32
	// BookingDate is the day in the books, such as "2026-01-31"; empty means the day
	// of the ledger's timestamp, in the ledger's zone.
	BookingDate string
	// Metadata is recorded with the transfer and never changed. It is read until the
	// call returns.
	Metadata Metadata

	full bool // the whole pending amount, whatever it is
}

// Post returns the entry that settles a reservation in full.
func Post(pending money.U128) Entry {
	return Entry{PendingID: pending, Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}, full: true}
}

// PostPart returns the entry that settles a part of a reservation and releases the
// rest; add the flag KEEP_REMAINDER to keep the rest reserved.
func PostPart(pending money.U128, amount Amount) Entry {
	e := Post(pending)
	e.Amount, e.full = amount, false
	return e
}

// Void returns the entry that releases a reservation.
func Void(pending money.U128) Entry {
	return Entry{PendingID: pending, Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER}, full: true}
}

// ErrEntry is wrapped by errors of entries and openings that can't be sent.
var ErrEntry = errors.New("can't be sent")

// message returns what is sent.
func (e *Entry) message() (*Transfer, error) {
	for _, f := range e.Flags {
		if f == ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED || f == ledgerv1.TransferFlag_TRANSFER_FLAG_IMPORTED {
			return nil, fmt.Errorf("transfer %v %w: flag %v: use Chain or CreateTransfers", e.ID, ErrEntry, f)
		}
	}
	if e.Timeout < 0 || e.Timeout%time.Second != 0 || e.Timeout/time.Second > math.MaxUint32 {
		return nil, fmt.Errorf("transfer %v %w: a timeout of %v is not in whole seconds", e.ID, ErrEntry, e.Timeout)
	}
	asset, err := assetName(e.Amount.Asset)
	if err != nil {
		return nil, fmt.Errorf("transfer %v %w: %w", e.ID, ErrEntry, err)
	}
	if err := checkDate(e.BookingDate); err != nil {
		return nil, fmt.Errorf("transfer %v %w", e.ID, err)
	}
	t := &Transfer{
		Id: e.ID.String(), DebitAccountId: number(e.Debit), CreditAccountId: number(e.Credit), Asset: asset,
		Code: uint32(e.Code), Flags: slices.Clone(e.Flags), Timeout: uint32(e.Timeout / time.Second), PendingId: number(e.PendingID), //nolint:gosec // checked above
		UserData_128: number(e.UserData128), UserData_64: e.UserData64, UserData_32: e.UserData32,
		BookingDate: e.BookingDate, Metadata: e.Metadata,
	}
	if !e.full {
		t.Amount = proto.String(e.Amount.Minor.String())
	}
	return t, nil
}

// number returns the digits of v, none for zero.
func number(v money.U128) string {
	switch {
	case v.IsZero():
		return ""
	case v.Hi == 0:
		return strconv.FormatUint(v.Lo, 10)
	}
	return v.String()
}

// assetName returns CODE/SCALE, nothing for no asset.
func assetName(a money.Asset) (string, error) {
	if a == (money.Asset{}) {
		return "", nil
	}
	if !a.Valid() {
		return "", fmt.Errorf("%.40q: %w", a.String(), money.ErrAsset)
	}
	return a.String(), nil
}

// Opening is one account to open with [Client.Open]; see [Account] for the fields.
type Opening struct {
	ID    money.U128 // zero: the client makes one
	Asset money.Asset
	Code  uint16 // place in the chart of accounts, 1 to 65,535
	// Flags of the account. LINKED and IMPORTED are refused: use CreateAccounts.
	Flags       []ledgerv1.AccountFlag
	UserData128 money.U128
	UserData64  uint64
	UserData32  uint32
	// Address is a second name, unique in the ledger and never changed, such as
	// "merchant:1001:settlement"; see [Client.LookupAddresses].
	Address string
	// Metadata may be replaced later: [Client.SetMetadata].
	Metadata Metadata
}

func (o *Opening) message() (*Account, error) {
	for _, f := range o.Flags {
		if f == ledgerv1.AccountFlag_ACCOUNT_FLAG_LINKED || f == ledgerv1.AccountFlag_ACCOUNT_FLAG_IMPORTED {
			return nil, fmt.Errorf("account %v %w: flag %v: use CreateAccounts", o.ID, ErrEntry, f)
		}
	}
	asset, err := assetName(o.Asset)
	if err != nil {
		return nil, fmt.Errorf("account %v %w: %w", o.ID, ErrEntry, err)
	}
	if asset == "" {
		return nil, fmt.Errorf("account %v %w: it has no asset", o.ID, ErrEntry)
	}
	return &Account{
		Id: o.ID.String(), Asset: asset, Code: uint32(o.Code), Flags: slices.Clone(o.Flags),
		UserData_128: number(o.UserData128), UserData_64: o.UserData64, UserData_32: o.UserData32,
		Address: o.Address, Metadata: o.Metadata,
	}, nil
}
