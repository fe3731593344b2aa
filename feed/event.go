package feed

import (
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Kind says what happened; its numbers are those of the API's EventKind.
type Kind int32

// The kinds of events. A record of a kind that is not among them becomes an event of kind Other.
const (
	AccountCreated     = Kind(ledgerv1.EventKind_EVENT_KIND_ACCOUNT_CREATED)
	TransferCreated    = Kind(ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED)
	ReservationExpired = Kind(ledgerv1.EventKind_EVENT_KIND_RESERVATION_EXPIRED)
	Frozen             = Kind(ledgerv1.EventKind_EVENT_KIND_FROZEN)
	Unfrozen           = Kind(ledgerv1.EventKind_EVENT_KIND_UNFROZEN)
	LimitSet           = Kind(ledgerv1.EventKind_EVENT_KIND_LIMIT_SET)
	AssetRegistered    = Kind(ledgerv1.EventKind_EVENT_KIND_ASSET_REGISTERED)
	AccountLeft        = Kind(ledgerv1.EventKind_EVENT_KIND_ACCOUNT_LEFT)
	AccountArrived     = Kind(ledgerv1.EventKind_EVENT_KIND_ACCOUNT_ARRIVED)
	ReservationLeft    = Kind(ledgerv1.EventKind_EVENT_KIND_RESERVATION_LEFT)
	ReservationArrived = Kind(ledgerv1.EventKind_EVENT_KIND_RESERVATION_ARRIVED)
	Other              = Kind(ledgerv1.EventKind_EVENT_KIND_OTHER)
)

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool {
	_, known := ledgerv1.EventKind_name[int32(k)]
	return known && k != 0
}

// String returns the kind's name, such as "transfer_created".
func (k Kind) String() string {
	return strings.ToLower(strings.TrimPrefix(ledgerv1.EventKind(k).String(), "EVENT_KIND_"))
}

// ParseKind returns the kind of a name.
func ParseKind(name string) (Kind, error) {
	n, ok := ledgerv1.EventKind_value["EVENT_KIND_"+strings.ToUpper(name)]
	if !ok || n == 0 {
		return 0, fmt.Errorf("event kind %q is unknown", name)
	}
	return Kind(n), nil
}

// Event is one thing that happened. It shares the memory of its block, which never changes.
type Event struct {
	Position  Position
	BlockTime uint64         // ns since 1970
	Timestamp uint64         // ns since 1970; an imported account's or transfer's is what the import gave
	Actor     *journal.Actor // who asked for it; nil: the ledger did it by itself
	Kind      Kind

	// One of these, by Kind: *journal.Account and *journal.Transfer (both but for their timestamp, which is the
	// event's; a transfer with its accounts, asset, code and amount filled in), *Expired, *journal.Freeze,
	// *journal.Unfreeze, *journal.Limit, *RegisteredAsset, *HandedOver, *HeldOver, *OtherRecord.
	Record any
	// Attachment is what the record carries beside it: journal.DecodeDetails reads it. Nil where there is none.
	Attachment []byte
}

// Expired is a reservation that ended by its timeout.
type Expired struct {
	journal.Expiry                  // what was released
	Transfer       journal.Transfer // the pending transfer
	Attachment     string           // the pending transfer's; empty: none
}

// RegisteredAsset is an asset with its number.
type RegisteredAsset struct {
	money.Asset
	Number uint32
}

// OtherRecord is a record that this package knows nothing more about.
type OtherRecord struct {
	Kind    journal.Kind
	Bytes   []byte     // 128
	Account money.U128 // that it is about; zero: none
}

// ID is the record's own: every record begins with it.
func (r *OtherRecord) ID() money.U128 { return money.LE(r.Bytes) }

// name is what the record did; a kind that is newer than this package has a number.
func (r *OtherRecord) name() string {
	switch r.Kind {
	case journal.KindTransaction:
		return "transaction_created"
	case journal.KindDayClose:
		return "day_closed"
	case journal.KindReopen:
		return "day_reopened"
	case journal.KindProposal:
		return "proposed"
	case journal.KindDecision:
		return "decided"
	case journal.KindPolicy:
		return "policy_set"
	case journal.KindPrincipals:
		return "principal_set"
	case journal.KindMetadata:
		return "metadata_replaced"
	case journal.KindErasure:
		return "subject_erased"
	case journal.KindCarry:
		return "event_carried"
	case journal.KindBuckets:
		return bucketStep(journal.View[journal.BucketMove](r.Bytes)[0].Step)
	}
	return fmt.Sprintf("record_%d", r.Kind)
}

// Name is the kind in words; for a record of kind Other it says what that did.
func (e *Event) Name() string {
	if r, ok := e.Record.(*OtherRecord); ok {
		return r.name()
	}
	return e.Kind.String()
}
