package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TransferStatus is why the ledger refused a transfer. It is an error, so that
// callers branch with errors.Is; any status of the protobuf can be converted.
type TransferStatus ledgerv1.CreateTransferStatus

// Refusals that callers most often branch on.
const (
	ErrExceedsCredits         = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXCEEDS_CREDITS)
	ErrExceedsDebits          = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXCEEDS_DEBITS)
	ErrDebitAccountNotFound   = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_DEBIT_ACCOUNT_NOT_FOUND)
	ErrCreditAccountNotFound  = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND)
	ErrDebitAccountFrozen     = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_DEBIT_ACCOUNT_FROZEN)
	ErrCreditAccountFrozen    = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_FROZEN)
	ErrPendingAlreadyPosted   = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_PENDING_TRANSFER_ALREADY_POSTED)
	ErrPendingAlreadyVoided   = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_PENDING_TRANSFER_ALREADY_VOIDED)
	ErrPendingExpired         = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_PENDING_TRANSFER_EXPIRED)
	ErrPendingNotFound        = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_PENDING_TRANSFER_NOT_FOUND)
	ErrIDAlreadyFailed        = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_ID_ALREADY_FAILED)
	ErrExistsWithOtherAmount  = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_AMOUNT)
	ErrExistsWithOtherAccount = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID)
	ErrLinkedEventFailed      = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED)
	ErrExistsWithOtherLegs    = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_LEGS)
	ErrExistsWithOtherDate    = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_BOOKING_DATE)
	ErrExistsWithOtherData    = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_METADATA)
	ErrBookingDayClosed       = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_BOOKING_DAY_CLOSED)
	ErrApprovalRequired       = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_APPROVAL_REQUIRED)
	ErrLegsAreCyclic          = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LEGS_ARE_CYCLIC)
)

// Error returns the status in words.
func (s TransferStatus) Error() string {
	return words(ledgerv1.CreateTransferStatus(s).String(), "CREATE_TRANSFER_STATUS_")
}

// AccountStatus is why the ledger refused an account; see [TransferStatus].
type AccountStatus ledgerv1.CreateAccountStatus

// Error returns the status in words.
func (s AccountStatus) Error() string {
	return words(ledgerv1.CreateAccountStatus(s).String(), "CREATE_ACCOUNT_STATUS_")
}

// ControlStatus is why the ledger refused what is neither an account nor a transfer:
// a day close, a proposal, a decision, an erasure; see [TransferStatus].
type ControlStatus ledgerv1.ControlStatus

// Refusals of controls that callers most often branch on.
const (
	ErrDayNotOver             = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_DAY_NOT_OVER)
	ErrDayAlreadyClosed       = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_DAY_ALREADY_CLOSED)
	ErrSecondPersonRequired   = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_SECOND_PERSON_REQUIRED)
	ErrProposalRequired       = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_APPROVAL_REQUIRED)
	ErrProposalAlreadyDecided = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_ALREADY_DECIDED)
	ErrProposalFailed         = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_FAILED)
	ErrAccountNotFound        = ControlStatus(ledgerv1.ControlStatus_CONTROL_STATUS_ACCOUNT_NOT_FOUND)
)

// Error returns the status in words.
func (s ControlStatus) Error() string {
	return words(ledgerv1.ControlStatus(s).String(), "CONTROL_STATUS_")
}

func words(name, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", " ")
}

// StatusError is the error of one event that the ledger refused: nothing of it,
// and of the chain it stood in, was recorded. It wraps its Status.
type StatusError struct {
	ID     money.U128
	Index  int   // place in the chain, from 0
	Status error // a TransferStatus, an AccountStatus or a ControlStatus
}

// Error names the event and the status.
func (e *StatusError) Error() string {
	kind := "transfer"
	if errors.As(e.Status, new(AccountStatus)) {
		kind = "account"
	}
	if errors.As(e.Status, new(ControlStatus)) {
		kind = "control"
	}
	return fmt.Sprintf("%s %v refused: %v", kind, e.ID, e.Status)
}

// Unwrap returns the status.
func (e *StatusError) Unwrap() error { return e.Status }

// UnknownError is the error of events that may or may not have been recorded: the
// answer was lost, or time ran out while it was awaited. Send the same events with
// the same ids again, at any time, to find out; a new id could pay twice.
type UnknownError struct {
	IDs []money.U128 // of the events, in order
	Err error        // what happened last
}

// namedIDs is how many ids an error's text gives; the field has all.
const namedIDs = 8

// Error names the ids.
func (e *UnknownError) Error() string {
	var ids strings.Builder
	for i, id := range e.IDs[:min(len(e.IDs), namedIDs)] {
		if i > 0 {
			ids.WriteString(", ")
		}
		ids.WriteString(id.String())
	}
	if more := len(e.IDs) - namedIDs; more > 0 {
		fmt.Fprintf(&ids, " and %d more", more)
	}
	return fmt.Sprintf("outcome unknown of id %s: send again with the same ids: %v", ids.String(), e.Err)
}

// Unwrap returns what happened last.
func (e *UnknownError) Unwrap() error { return e.Err }

// ErrNotSent is wrapped by errors of events that never left this process, because
// the context ended or the client was closed while they waited: nothing was
// recorded.
var ErrNotSent = errors.New("not sent")

// ErrClosed is wrapped by errors of calls on a client that was closed.
var ErrClosed = errors.New("the client is closed")

// Result is an event that is recorded in the ledger.
type Result struct {
	ID money.U128
	// Timestamp is the ledger's, in ns since 1970 UTC.
	Timestamp uint64
	// Existed: it was there before, perhaps by an earlier attempt of the same call.
	Existed bool
	// Position sees the event when given to a query.
	Position *Position
}

// Time returns the ledger's timestamp.
func (r Result) Time() time.Time {
	return time.Unix(0, int64(r.Timestamp)).UTC() //nolint:gosec // until the year 2262
}
