// Package codec turns the bytes of the hot calls (create and look up accounts
// and transfers) into the journal's 128-byte records and back, from JSON and
// from protobuf's binary form, with no message objects in between.
//
// What it accepts and refuses is what protojson and proto accept and refuse for
// the messages of sterling.ledger.v1, and the tests hold it to that; it adds only
// the meaning of a field (a u128, an asset, a flag) and the bound on events. It
// does no I/O, and keeps neither its input nor its output. Start reading at
// [Batch] and [Codec.DecodeTransfersJSON].
package codec

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// MaxEvents is how many accounts, transfers or ids one call may carry.
const MaxEvents = journal.MaxEvents

// Batch is a decoded request. Its slices are used again by the next decoding.
type Batch struct {
	Sequence  uint64 // of a stream's message
	Accounts  []journal.Account
	Transfers []journal.Transfer
	IDs       []money.U128
	// Unregistered are the assets that the table does not have, of accounts and
	// transfers; the asset number of those is journal.NoAsset.
	Unregistered []Unregistered
	// Details are what events say beyond their records, ascending by event.
	Details []Details

	beyond []byte // fields of the event being read that its record has no place for
}

// Details are the address, booking date and metadata of one event, as sent, and in answers the transfer across cells that
// it is a step of.
type Details struct {
	Event       int
	Address     string
	BookingDate string
	Metadata    map[string]*ledgerv1.MetadataValue
	Transit     *ledgerv1.Transit
}

// Unregistered is an event's asset that has no number yet.
type Unregistered struct {
	Event int
	Asset money.Asset
}

// noteAsset keeps the asset of a transfer if it is not registered. A field may come twice: the last one counts.
func (b *Batch) noteAsset(event int, unknown money.Asset) {
	if n := len(b.Unregistered); n > 0 && b.Unregistered[n-1].Event == event {
		b.Unregistered = b.Unregistered[:n-1]
	}
	if unknown.Code != "" {
		b.Unregistered = append(b.Unregistered, Unregistered{Event: event, Asset: unknown})
	}
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Sequence = 0
	b.Accounts, b.Transfers = b.Accounts[:0], b.Transfers[:0]
	b.IDs, b.Unregistered = b.IDs[:0], b.Unregistered[:0]
	clear(b.Details)
	b.Details = b.Details[:0]
}

// Reply is what an encoder writes. Only the slice that belongs to the call is
// read.
type Reply struct {
	Sequence  uint64 // of a stream's message
	Results   []journal.Result
	Accounts  []journal.Account
	Transfers []journal.Transfer
	Details   []Details // of some of the accounts or transfers, ascending
	Cell      uint64
	Seq       uint64
}

// Error is a fault of a request's envelope, in words for its sender.
type Error struct {
	Field  string // path such as transfers[3].amount; empty if the message itself can't be read
	Reason string
}

// Error returns the path and the reason.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Codec holds the names of the enums. It is read-only and safe for concurrent
// use.
type Codec struct {
	accountStatus  []string
	transferStatus []string
	accountFlags   map[string]int32
	transferFlags  map[string]int32
	accountBits    [16]string
	transferBits   [16]string
}

// New returns a codec.
func New() *Codec {
	return &Codec{
		accountStatus:  names(ledgerv1.CreateAccountStatus_name),
		transferStatus: names(ledgerv1.CreateTransferStatus_name),
		accountFlags:   ledgerv1.AccountFlag_value,
		transferFlags:  ledgerv1.TransferFlag_value,
		accountBits:    bits(ledgerv1.AccountFlag_name),
		transferBits:   bits(ledgerv1.TransferFlag_name),
	}
}

func names(m map[int32]string) []string {
	list := make([]string, len(m))
	for n, name := range m {
		list[n] = name
	}
	return list
}

func bits(m map[int32]string) (list [16]string) {
	for i := range list {
		if name, ok := m[1<<i]; ok {
			list[i] = name
		}
	}
	return list
}

// AssetTable is the catalogue as the codec needs it. It is immutable.
type AssetTable struct {
	numbers map[string]uint32
	names   []string // by number; number 0 is no asset
}

// NewAssetTable returns a table of names such as "CNY/2"; names[i] has the number
// i+1.
func NewAssetTable(names []string) *AssetTable {
	t := &AssetTable{numbers: make(map[string]uint32, len(names)), names: make([]string, 1, len(names)+1)}
	t.names = append(t.names, names...)
	for i, name := range names {
		t.numbers[name] = uint32(i) + 1
	}
	return t
}

// Number returns the number of a name.
func (t *AssetTable) Number(name string) (uint32, bool) {
	n, ok := t.numbers[name]
	return n, ok
}

// Len returns how many assets the table has.
func (t *AssetTable) Len() int { return len(t.names) - 1 }

// Name returns the name of a number, empty for a number that was never given.
func (t *AssetTable) Name(number uint32) string {
	if int64(number) >= int64(len(t.names)) {
		return ""
	}
	return t.names[number]
}

// U128 reads a decimal; nothing is zero.
func U128(text []byte) (money.U128, error) {
	if len(text) == 0 {
		return money.U128{}, nil
	}
	v, err := money.ParseBytes(text)
	if err != nil {
		return money.U128{}, describe(err)
	}
	return v, nil
}

func describe(err error) error {
	if errors.Is(err, money.ErrRange) {
		return errors.New("larger than 2^128-1")
	}
	return errors.New(`want decimal digits, such as "100"`)
}

// asset returns the number of an asset by its name. A name that the table does
// not have must at least be one.
func (t *AssetTable) asset(name []byte) (number uint32, unknown money.Asset, err error) {
	if len(name) == 0 {
		return 0, money.Asset{}, nil
	}
	if n, ok := t.numbers[string(name)]; ok {
		return n, money.Asset{}, nil
	}
	a, err := money.ParseAsset(string(name))
	if err != nil {
		return 0, money.Asset{}, fmt.Errorf(`%.32q is not an asset: want CODE/SCALE, such as "CNY/2"`, name)
	}
	return journal.NoAsset, a, nil
}

// flagBits checks an enum's number as flags: any 16 bits may be given, because a
// reserved one has a status of its own.
func flagBits(number int32) (uint16, error) {
	if number < 0 || number > 1<<16-1 {
		return 0, fmt.Errorf("flag %d is unknown", number)
	}
	return uint16(number), nil
}

// settleAmount gives an absent amount its meaning.
func settleAmount(t *journal.Transfer, present bool) error {
	switch {
	case present:
		return nil
	case t.Flags.Has(journal.TransferPost):
		t.Amount = money.Max()
		return nil
	case t.Flags.Has(journal.TransferVoid):
		return nil
	default:
		return errors.New("is missing: only a post or a void may leave it out")
	}
}

func tooMany(field string) *Error {
	return &Error{Field: field, Reason: "more than " + strconv.Itoa(MaxEvents) + " in one call: send them in several"}
}

func element(list string, index int, field string) string {
	path := list + "[" + strconv.Itoa(index) + "]"
	if field == "" {
		return path
	}
	return path + "." + field
}
