package main

import (
	"slices"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// hints are what to do next about refused events: each is said once.
type hints []string

func (h *hints) add(hint string) {
	if hint != "" && !slices.Contains(*h, hint) {
		*h = append(*h, hint)
	}
}

func (h *hints) print(s *session) {
	for _, hint := range *h {
		s.note("%s", hint)
	}
}

// transferHint says what to do about a refused transfer; "" where the status says it all.
func transferHint(status ledgerv1.CreateTransferStatus) string {
	switch status {
	case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_BOOKING_DAY_CLOSED:
		return "the books of that day are closed. Leave --booking-date out to book it today, or propose it, for another person to approve: sterling books propose transfer … --reason …, or sterling books propose transfers FILE --reason …"
	case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_APPROVAL_REQUIRED:
		return "imports take two people: sterling books propose transfers FILE --reason …"
	case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_BOOKING_DATE_OUT_OF_RANGE:
		return "a booking date lies within 366 days of the day on which a transfer is recorded"
	case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_ID_ALREADY_FAILED:
		return "an id that was refused once is never taken again: after mending the cause, send with a new id"
	case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LEGS_ARE_CYCLIC:
		return "the legs lead money back to an account that it left; if that is meant, give --allow-cycles"
	}
	return ""
}

// accountHint says what to do about a refused account.
func accountHint(status ledgerv1.CreateAccountStatus) string {
	switch status {
	case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_ADDRESS_TAKEN:
		return "another account has this address: sterling ledger accounts ADDRESS shows which"
	case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_APPROVAL_REQUIRED:
		return "imports take two people: sterling books propose accounts FILE --reason …"
	}
	return ""
}

// controlHint says what to do about a refused control.
func controlHint(status ledgerv1.ControlStatus) string {
	switch status {
	case ledgerv1.ControlStatus_CONTROL_STATUS_APPROVAL_REQUIRED:
		return "this takes two people; propose it: sterling books propose --help"
	case ledgerv1.ControlStatus_CONTROL_STATUS_SECOND_PERSON_REQUIRED:
		return "another person has to do it, with a token of their own"
	case ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_NOT_FOUND:
		return "sterling books proposals lists those that are open"
	case ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_ALREADY_DECIDED:
		return "sterling books proposals --all shows by whom"
	case ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_EXPIRED:
		return "propose it again"
	case ledgerv1.ControlStatus_CONTROL_STATUS_PROPOSAL_FAILED:
		return "nothing was done, and the proposal stays open: mend the cause and approve again, or reject it"
	case ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS_WITH_DIFFERENT_FIELDS:
		return "this id was used for something else: leave --id out for a new one"
	case ledgerv1.ControlStatus_CONTROL_STATUS_DAY_NOT_OVER:
		return "a day can be closed when it has ended in the ledger's zone: sterling books policy shows it"
	case ledgerv1.ControlStatus_CONTROL_STATUS_DAY_ALREADY_CLOSED, ledgerv1.ControlStatus_CONTROL_STATUS_DAY_NOT_CLOSED:
		return "sterling books closes shows how far the books are closed"
	case ledgerv1.ControlStatus_CONTROL_STATUS_REASON_TOO_LONG:
		return "a reason has up to 64 bytes"
	}
	return ""
}
