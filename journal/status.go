package journal

import "strconv"

// Status is the outcome of one event. Accounts, transfers and control records (assets, freezes, limits) have a list
// each; 1 means created in all of them. The numbers are part of the journal's format and of the API: they never
// change, and new ones are added at the end of a list, whatever their precedence.
type Status uint16

// Created is the outcome of an event that took effect.
const Created Status = 1

// Outcomes of creating an account, in descending precedence.
const (
	AccountCreated                              Status = 1
	AccountLinkedEventFailed                    Status = 2
	AccountLinkedEventChainOpen                 Status = 3
	AccountImportedEventExpected                Status = 4
	AccountImportedEventNotExpected             Status = 5
	AccountTimestampMustBeZero                  Status = 6
	AccountImportedEventTimestampOutOfRange     Status = 7
	AccountImportedEventTimestampMustNotAdvance Status = 8
	AccountReservedField                        Status = 9
	AccountReservedFlag                         Status = 10
	AccountIdMustNotBeZero                      Status = 11
	AccountIdMustNotBeIntMax                    Status = 12
	AccountExistsWithDifferentFlags             Status = 13
	AccountExistsWithDifferentUserData128       Status = 14
	AccountExistsWithDifferentUserData64        Status = 15
	AccountExistsWithDifferentUserData32        Status = 16
	AccountExistsWithDifferentLedger            Status = 17
	AccountExistsWithDifferentCode              Status = 18
	AccountExists                               Status = 19
	AccountFlagsAreMutuallyExclusive            Status = 20
	AccountDebitsPendingMustBeZero              Status = 21
	AccountDebitsPostedMustBeZero               Status = 22
	AccountCreditsPendingMustBeZero             Status = 23
	AccountCreditsPostedMustBeZero              Status = 24
	AccountLedgerMustNotBeZero                  Status = 25
	AccountCodeMustNotBeZero                    Status = 26
	AccountImportedEventTimestampMustNotRegress Status = 27

	// Since version 2 of the format.
	AccountExistsWithDifferentAddress  Status = 28
	AccountExistsWithDifferentMetadata Status = 29
	AccountAddressTaken                Status = 30
	AccountApprovalRequired            Status = 31
)

// Outcomes of creating a transfer, in descending precedence.
const (
	TransferCreated                                         Status = 1
	TransferLinkedEventFailed                               Status = 2
	TransferLinkedEventChainOpen                            Status = 3
	TransferImportedEventExpected                           Status = 4
	TransferImportedEventNotExpected                        Status = 5
	TransferTimestampMustBeZero                             Status = 6
	TransferImportedEventTimestampOutOfRange                Status = 7
	TransferImportedEventTimestampMustNotAdvance            Status = 8
	TransferReservedFlag                                    Status = 9
	TransferIdMustNotBeZero                                 Status = 10
	TransferIdMustNotBeIntMax                               Status = 11
	TransferExistsWithDifferentFlags                        Status = 12
	TransferExistsWithDifferentPendingId                    Status = 13
	TransferExistsWithDifferentTimeout                      Status = 14
	TransferExistsWithDifferentDebitAccountId               Status = 15
	TransferExistsWithDifferentCreditAccountId              Status = 16
	TransferExistsWithDifferentAmount                       Status = 17
	TransferExistsWithDifferentUserData128                  Status = 18
	TransferExistsWithDifferentUserData64                   Status = 19
	TransferExistsWithDifferentUserData32                   Status = 20
	TransferExistsWithDifferentLedger                       Status = 21
	TransferExistsWithDifferentCode                         Status = 22
	TransferExists                                          Status = 23
	TransferIdAlreadyFailed                                 Status = 24
	TransferFlagsAreMutuallyExclusive                       Status = 25
	TransferDebitAccountIdMustNotBeZero                     Status = 26
	TransferDebitAccountIdMustNotBeIntMax                   Status = 27
	TransferCreditAccountIdMustNotBeZero                    Status = 28
	TransferCreditAccountIdMustNotBeIntMax                  Status = 29
	TransferAccountsMustBeDifferent                         Status = 30
	TransferPendingIdMustBeZero                             Status = 31
	TransferPendingIdMustNotBeZero                          Status = 32
	TransferPendingIdMustNotBeIntMax                        Status = 33
	TransferPendingIdMustBeDifferent                        Status = 34
	TransferTimeoutReservedForPendingTransfer               Status = 35
	TransferClosingTransferMustBePending                    Status = 36
	TransferLedgerMustNotBeZero                             Status = 37
	TransferCodeMustNotBeZero                               Status = 38
	TransferDebitAccountNotFound                            Status = 39
	TransferCreditAccountNotFound                           Status = 40
	TransferAccountsMustHaveTheSameLedger                   Status = 41
	TransferTransferMustHaveTheSameLedgerAsAccounts         Status = 42
	TransferPendingTransferNotFound                         Status = 43
	TransferPendingTransferNotPending                       Status = 44
	TransferPendingTransferHasDifferentDebitAccountId       Status = 45
	TransferPendingTransferHasDifferentCreditAccountId      Status = 46
	TransferPendingTransferHasDifferentLedger               Status = 47
	TransferPendingTransferHasDifferentCode                 Status = 48
	TransferExceedsPendingTransferAmount                    Status = 49
	TransferPendingTransferHasDifferentAmount               Status = 50
	TransferPendingTransferAlreadyPosted                    Status = 51
	TransferPendingTransferAlreadyVoided                    Status = 52
	TransferPendingTransferExpired                          Status = 53
	TransferImportedEventTimestampMustNotRegress            Status = 54
	TransferImportedEventTimestampMustPostdateDebitAccount  Status = 55
	TransferImportedEventTimestampMustPostdateCreditAccount Status = 56
	TransferImportedEventTimeoutMustBeZero                  Status = 57
	TransferDebitAccountAlreadyClosed                       Status = 58
	TransferCreditAccountAlreadyClosed                      Status = 59
	TransferDebitAccountFrozen                              Status = 60
	TransferCreditAccountFrozen                             Status = 61
	TransferOverflowsDebitsPending                          Status = 62
	TransferOverflowsCreditsPending                         Status = 63
	TransferOverflowsDebitsPosted                           Status = 64
	TransferOverflowsCreditsPosted                          Status = 65
	TransferOverflowsDebits                                 Status = 66
	TransferOverflowsCredits                                Status = 67
	TransferOverflowsTimeout                                Status = 68
	TransferExceedsCredits                                  Status = 69
	TransferExceedsDebits                                   Status = 70
	TransferExceedsDebitVelocityLimit                       Status = 71
	TransferExceedsCreditVelocityLimit                      Status = 72

	// Since version 2 of the format.
	TransferExistsWithDifferentBookingDate Status = 73
	TransferExistsWithDifferentMetadata    Status = 74
	TransferExistsWithDifferentLegs        Status = 75
	TransferBookingDayClosed               Status = 76
	TransferBookingDateOutOfRange          Status = 77
	TransferApprovalRequired               Status = 78
	TransferLegsAreCyclic                  Status = 79
)

// Outcomes of a control record.
const (
	ControlCreated                   Status = 1
	ControlExists                    Status = 2
	ControlExistsWithDifferentFields Status = 3
	ControlIdMustNotBeZero           Status = 4
	ControlIdMustNotBeIntMax         Status = 5
	ControlSelectorInvalid           Status = 6
	ControlModeInvalid               Status = 7
	ControlAccountNotFound           Status = 8
	ControlCodeMustNotBeZero         Status = 9
	ControlFreezeNotFound            Status = 10
	ControlFreezeAlreadyLifted       Status = 11
	ControlSecondPersonRequired      Status = 12
	ControlAssetInvalid              Status = 13
	ControlAssetsExhausted           Status = 14
	ControlReasonTooLong             Status = 15
	ControlLimitInvalid              Status = 16

	// Since version 2 of the format.
	ControlDateInvalid            Status = 17
	ControlApprovalRequired       Status = 18
	ControlProposalNotFound       Status = 19
	ControlProposalAlreadyDecided Status = 20
	ControlProposalDiffers        Status = 21
	ControlProposalFailed         Status = 22
	ControlTooManyProposals       Status = 23
	ControlPolicyInvalid          Status = 24
	ControlPrincipalInvalid       Status = 25
	ControlDayNotOver             Status = 26
	ControlDayAlreadyClosed       Status = 27
	ControlDayNotClosed           Status = 28
	ControlTooManyGroups          Status = 29
	ControlProposalExpired        Status = 30

	// Since version 3 of the format.
	ControlMoveInvalid         Status = 31
	ControlMoveNotOpen         Status = 32
	ControlMoveDiffers         Status = 33
	ControlBucketNotEmpty      Status = 34
	ControlReservationNotFound Status = 35
	ControlReservationCrosses  Status = 36
	ControlReservationsLeft    Status = 37
	ControlClearingNotFound    Status = 38
	ControlOverflows           Status = 39
	ControlTooMuchAttached     Status = 40
)

func accountStatusName(s Status) string {
	switch s {
	case AccountCreated:
		return "created"
	case AccountLinkedEventFailed:
		return "linked_event_failed"
	case AccountLinkedEventChainOpen:
		return "linked_event_chain_open"
	case AccountImportedEventExpected:
		return "imported_event_expected"
	case AccountImportedEventNotExpected:
		return "imported_event_not_expected"
	case AccountTimestampMustBeZero:
		return "timestamp_must_be_zero"
	case AccountImportedEventTimestampOutOfRange:
		return "imported_event_timestamp_out_of_range"
	case AccountImportedEventTimestampMustNotAdvance:
		return "imported_event_timestamp_must_not_advance"
	case AccountReservedField:
		return "reserved_field"
	case AccountReservedFlag:
		return "reserved_flag"
	case AccountIdMustNotBeZero:
		return "id_must_not_be_zero"
	case AccountIdMustNotBeIntMax:
		return "id_must_not_be_int_max"
	case AccountExistsWithDifferentFlags:
		return "exists_with_different_flags"
	case AccountExistsWithDifferentUserData128:
		return "exists_with_different_user_data_128"
	case AccountExistsWithDifferentUserData64:
		return "exists_with_different_user_data_64"
	case AccountExistsWithDifferentUserData32:
		return "exists_with_different_user_data_32"
	case AccountExistsWithDifferentLedger:
		return "exists_with_different_ledger"
	case AccountExistsWithDifferentCode:
		return "exists_with_different_code"
	case AccountExists:
		return "exists"
	case AccountFlagsAreMutuallyExclusive:
		return "flags_are_mutually_exclusive"
	case AccountDebitsPendingMustBeZero:
		return "debits_pending_must_be_zero"
	case AccountDebitsPostedMustBeZero:
		return "debits_posted_must_be_zero"
	case AccountCreditsPendingMustBeZero:
		return "credits_pending_must_be_zero"
	case AccountCreditsPostedMustBeZero:
		return "credits_posted_must_be_zero"
	case AccountLedgerMustNotBeZero:
		return "ledger_must_not_be_zero"
	case AccountCodeMustNotBeZero:
		return "code_must_not_be_zero"
	case AccountImportedEventTimestampMustNotRegress:
		return "imported_event_timestamp_must_not_regress"
	case AccountExistsWithDifferentAddress:
		return "exists_with_different_address"
	case AccountExistsWithDifferentMetadata:
		return "exists_with_different_metadata"
	case AccountAddressTaken:
		return "address_taken"
	case AccountApprovalRequired:
		return "approval_required"
	}
	return ""
}

func transferStatusName(s Status) string {
	switch s {
	case TransferCreated:
		return "created"
	case TransferLinkedEventFailed:
		return "linked_event_failed"
	case TransferLinkedEventChainOpen:
		return "linked_event_chain_open"
	case TransferImportedEventExpected:
		return "imported_event_expected"
	case TransferImportedEventNotExpected:
		return "imported_event_not_expected"
	case TransferTimestampMustBeZero:
		return "timestamp_must_be_zero"
	case TransferImportedEventTimestampOutOfRange:
		return "imported_event_timestamp_out_of_range"
	case TransferImportedEventTimestampMustNotAdvance:
		return "imported_event_timestamp_must_not_advance"
	case TransferReservedFlag:
		return "reserved_flag"
	case TransferIdMustNotBeZero:
		return "id_must_not_be_zero"
	case TransferIdMustNotBeIntMax:
		return "id_must_not_be_int_max"
	case TransferExistsWithDifferentFlags:
		return "exists_with_different_flags"
	case TransferExistsWithDifferentPendingId:
		return "exists_with_different_pending_id"
	case TransferExistsWithDifferentTimeout:
		return "exists_with_different_timeout"
	case TransferExistsWithDifferentDebitAccountId:
		return "exists_with_different_debit_account_id"
	case TransferExistsWithDifferentCreditAccountId:
		return "exists_with_different_credit_account_id"
	case TransferExistsWithDifferentAmount:
		return "exists_with_different_amount"
	case TransferExistsWithDifferentUserData128:
		return "exists_with_different_user_data_128"
	case TransferExistsWithDifferentUserData64:
		return "exists_with_different_user_data_64"
	case TransferExistsWithDifferentUserData32:
		return "exists_with_different_user_data_32"
	case TransferExistsWithDifferentLedger:
		return "exists_with_different_ledger"
	case TransferExistsWithDifferentCode:
		return "exists_with_different_code"
	case TransferExists:
		return "exists"
	case TransferIdAlreadyFailed:
		return "id_already_failed"
	case TransferFlagsAreMutuallyExclusive:
		return "flags_are_mutually_exclusive"
	case TransferDebitAccountIdMustNotBeZero:
		return "debit_account_id_must_not_be_zero"
	case TransferDebitAccountIdMustNotBeIntMax:
		return "debit_account_id_must_not_be_int_max"
	case TransferCreditAccountIdMustNotBeZero:
		return "credit_account_id_must_not_be_zero"
	case TransferCreditAccountIdMustNotBeIntMax:
		return "credit_account_id_must_not_be_int_max"
	case TransferAccountsMustBeDifferent:
		return "accounts_must_be_different"
	case TransferPendingIdMustBeZero:
		return "pending_id_must_be_zero"
	case TransferPendingIdMustNotBeZero:
		return "pending_id_must_not_be_zero"
	case TransferPendingIdMustNotBeIntMax:
		return "pending_id_must_not_be_int_max"
	case TransferPendingIdMustBeDifferent:
		return "pending_id_must_be_different"
	case TransferTimeoutReservedForPendingTransfer:
		return "timeout_reserved_for_pending_transfer"
	case TransferClosingTransferMustBePending:
		return "closing_transfer_must_be_pending"
	case TransferLedgerMustNotBeZero:
		return "ledger_must_not_be_zero"
	case TransferCodeMustNotBeZero:
		return "code_must_not_be_zero"
	case TransferDebitAccountNotFound:
		return "debit_account_not_found"
	case TransferCreditAccountNotFound:
		return "credit_account_not_found"
	case TransferAccountsMustHaveTheSameLedger:
		return "accounts_must_have_the_same_ledger"
	case TransferTransferMustHaveTheSameLedgerAsAccounts:
		return "transfer_must_have_the_same_ledger_as_accounts"
	case TransferPendingTransferNotFound:
		return "pending_transfer_not_found"
	case TransferPendingTransferNotPending:
		return "pending_transfer_not_pending"
	case TransferPendingTransferHasDifferentDebitAccountId:
		return "pending_transfer_has_different_debit_account_id"
	case TransferPendingTransferHasDifferentCreditAccountId:
		return "pending_transfer_has_different_credit_account_id"
	case TransferPendingTransferHasDifferentLedger:
		return "pending_transfer_has_different_ledger"
	case TransferPendingTransferHasDifferentCode:
		return "pending_transfer_has_different_code"
	case TransferExceedsPendingTransferAmount:
		return "exceeds_pending_transfer_amount"
	case TransferPendingTransferHasDifferentAmount:
		return "pending_transfer_has_different_amount"
	case TransferPendingTransferAlreadyPosted:
		return "pending_transfer_already_posted"
	case TransferPendingTransferAlreadyVoided:
		return "pending_transfer_already_voided"
	case TransferPendingTransferExpired:
		return "pending_transfer_expired"
	case TransferImportedEventTimestampMustNotRegress:
		return "imported_event_timestamp_must_not_regress"
	case TransferImportedEventTimestampMustPostdateDebitAccount:
		return "imported_event_timestamp_must_postdate_debit_account"
	case TransferImportedEventTimestampMustPostdateCreditAccount:
		return "imported_event_timestamp_must_postdate_credit_account"
	case TransferImportedEventTimeoutMustBeZero:
		return "imported_event_timeout_must_be_zero"
	case TransferDebitAccountAlreadyClosed:
		return "debit_account_already_closed"
	case TransferCreditAccountAlreadyClosed:
		return "credit_account_already_closed"
	case TransferDebitAccountFrozen:
		return "debit_account_frozen"
	case TransferCreditAccountFrozen:
		return "credit_account_frozen"
	case TransferOverflowsDebitsPending:
		return "overflows_debits_pending"
	case TransferOverflowsCreditsPending:
		return "overflows_credits_pending"
	case TransferOverflowsDebitsPosted:
		return "overflows_debits_posted"
	case TransferOverflowsCreditsPosted:
		return "overflows_credits_posted"
	case TransferOverflowsDebits:
		return "overflows_debits"
	case TransferOverflowsCredits:
		return "overflows_credits"
	case TransferOverflowsTimeout:
		return "overflows_timeout"
	case TransferExceedsCredits:
		return "exceeds_credits"
	case TransferExceedsDebits:
		return "exceeds_debits"
	case TransferExceedsDebitVelocityLimit:
		return "exceeds_debit_velocity_limit"
	case TransferExceedsCreditVelocityLimit:
		return "exceeds_credit_velocity_limit"
	case TransferExistsWithDifferentBookingDate:
		return "exists_with_different_booking_date"
	case TransferExistsWithDifferentMetadata:
		return "exists_with_different_metadata"
	case TransferExistsWithDifferentLegs:
		return "exists_with_different_legs"
	case TransferBookingDayClosed:
		return "booking_day_closed"
	case TransferBookingDateOutOfRange:
		return "booking_date_out_of_range"
	case TransferApprovalRequired:
		return "approval_required"
	case TransferLegsAreCyclic:
		return "legs_are_cyclic"
	}
	return ""
}

func controlStatusName(s Status) string {
	switch s {
	case ControlCreated:
		return "created"
	case ControlExists:
		return "exists"
	case ControlExistsWithDifferentFields:
		return "exists_with_different_fields"
	case ControlIdMustNotBeZero:
		return "id_must_not_be_zero"
	case ControlIdMustNotBeIntMax:
		return "id_must_not_be_int_max"
	case ControlSelectorInvalid:
		return "selector_invalid"
	case ControlModeInvalid:
		return "mode_invalid"
	case ControlAccountNotFound:
		return "account_not_found"
	case ControlCodeMustNotBeZero:
		return "code_must_not_be_zero"
	case ControlFreezeNotFound:
		return "freeze_not_found"
	case ControlFreezeAlreadyLifted:
		return "freeze_already_lifted"
	case ControlSecondPersonRequired:
		return "second_person_required"
	case ControlAssetInvalid:
		return "asset_invalid"
	case ControlAssetsExhausted:
		return "assets_exhausted"
	case ControlReasonTooLong:
		return "reason_too_long"
	case ControlLimitInvalid:
		return "limit_invalid"
	case ControlDateInvalid:
		return "date_invalid"
	case ControlApprovalRequired:
		return "approval_required"
	case ControlProposalNotFound:
		return "proposal_not_found"
	case ControlProposalAlreadyDecided:
		return "proposal_already_decided"
	case ControlProposalDiffers:
		return "proposal_differs"
	case ControlProposalFailed:
		return "proposal_failed"
	case ControlTooManyProposals:
		return "too_many_proposals"
	case ControlPolicyInvalid:
		return "policy_invalid"
	case ControlPrincipalInvalid:
		return "principal_invalid"
	case ControlDayNotOver:
		return "day_not_over"
	case ControlDayAlreadyClosed:
		return "day_already_closed"
	case ControlDayNotClosed:
		return "day_not_closed"
	case ControlTooManyGroups:
		return "too_many_groups"
	case ControlProposalExpired:
		return "proposal_expired"
	case ControlMoveInvalid:
		return "move_invalid"
	case ControlMoveNotOpen:
		return "move_not_open"
	case ControlMoveDiffers:
		return "move_differs"
	case ControlBucketNotEmpty:
		return "bucket_not_empty"
	case ControlReservationNotFound:
		return "reservation_not_found"
	case ControlReservationCrosses:
		return "reservation_crosses"
	case ControlReservationsLeft:
		return "reservations_left"
	case ControlClearingNotFound:
		return "clearing_account_not_found"
	case ControlOverflows:
		return "overflows"
	case ControlTooMuchAttached:
		return "too_much_attached"
	}
	return ""
}

// Name returns the published name of s as the outcome of an event of kind k ("exceeds_credits"), or its number where
// the list has no such status.
func (s Status) Name(k Kind) string {
	var name string
	switch k {
	case KindAccounts:
		name = accountStatusName(s)
	case KindTransfers, KindTransaction:
		name = transferStatusName(s)
	default:
		name = controlStatusName(s)
	}
	if name == "" {
		return "status " + strconv.Itoa(int(s))
	}
	return name
}

// LastStatus is the largest status that an event of kind k can have.
func LastStatus(k Kind) Status {
	switch k {
	case KindAccounts:
		return AccountApprovalRequired
	case KindTransfers, KindTransaction:
		return TransferLegsAreCyclic
	default:
		return ControlTooMuchAttached
	}
}

// Transient reports whether a transfer that failed with s burns its id: the same event might succeed later, so
// sending the id again answers id_already_failed instead of deciding anew.
func (s Status) Transient() bool {
	switch s {
	case TransferDebitAccountNotFound, TransferCreditAccountNotFound, TransferPendingTransferNotFound,
		TransferExceedsCredits, TransferExceedsDebits,
		TransferDebitAccountAlreadyClosed, TransferCreditAccountAlreadyClosed,
		TransferDebitAccountFrozen, TransferCreditAccountFrozen,
		TransferExceedsDebitVelocityLimit, TransferExceedsCreditVelocityLimit:
		return true
	}
	return false
}
