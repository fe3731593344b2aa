package watch

// Class names what is wrong.
type Class string

// The classes. docs/watch.md says of each what finds it.
const (
	// Between an instruction and what the ledger did.
	DuplicatePost   Class = "duplicate_post"   // one instruction, booked twice (a replay after a failover, too)
	MissingPost     Class = "missing_post"     // nothing booked by the deadline (a tail lost after its acknowledgement, too)
	MissingLeg      Class = "missing_leg"      // some of it booked
	StuckPending    Class = "stuck_pending"    // reserved, and neither captured nor released by the deadline
	WrongAmount     Class = "wrong_amount"     // of a leg
	UnitError       Class = "unit_error"       // off by a power of ten: minor units taken for major ones
	WrongFee        Class = "wrong_fee"        // of a leg declared as a fee
	MissingFee      Class = "missing_fee"      //
	WrongAccount    Class = "wrong_account"    // a leg from or to another account than ordered
	SwappedSides    Class = "swapped_sides"    // debit and credit the wrong way round
	WrongCurrency   Class = "wrong_currency"   //
	UnorderedEffect Class = "unordered_effect" // money moved without an instruction (a compensating pair, too)
	// Between a channel and the rest.
	DuplicatePayout     Class = "duplicate_payout"      // the channel paid twice
	MissingReceipt      Class = "missing_receipt"       // booked, and no word of the channel by the deadline
	WrongChannelAmount  Class = "wrong_channel_amount"  // the channel paid another amount (or currency)
	PostedChannelFailed Class = "posted_channel_failed" // booked, and the channel says it failed
	FailedChannelPaid   Class = "failed_channel_paid"   // released or never booked, and the channel paid
	// Refunds, by what was paid before.
	RefundDouble          Class = "refund_double"
	RefundExcess          Class = "refund_excess"
	RefundMisdirected     Class = "refund_misdirected"
	RefundOrphan          Class = "refund_orphan"
	ChargebackAfterRefund Class = "chargeback_after_refund"
	// Recomputed terms.
	StaleRate          Class = "stale_rate"     // another rate than the one in force
	WrongInterest      Class = "wrong_interest" //
	DayCount           Class = "day_count"      // interest for another number of days
	ContractPrice      Class = "contract_price" // another price than the contract's
	LoanTwice          Class = "loan_disbursed_twice"
	ScheduleOff        Class = "schedule_not_amortising" // a schedule that does not end at zero
	AllocationMismatch Class = "allocation_mismatch"     // principal, interest and fees of a repayment are not the repayment
	RuleFailed         Class = "rule_failed"             // a rule of the flow's own, or one that could not be computed
	// What the journal alone shows.
	Unbalanced       Class = "unbalanced"       // debits are not credits, in one transfer or in the sum
	Fork             Class = "fork"             // two blocks with one predecessor
	LostUpdate       Class = "lost_update"      // a recorded balance or outcome forgets a transfer before it
	TamperedHistory  Class = "tampered_history" // bytes that are not what their hash says
	LimitExceeded    Class = "limit_exceeded"   // a balance or velocity beyond its limit (limit races)
	MovedWhileFrozen Class = "moved_while_frozen"
	DuplicateID      Class = "duplicate_id"     // one id created twice
	ClockJump        Class = "clock_jump"       // time that goes back, or forward by more than allowed
	StuckInTransit   Class = "stuck_in_transit" // of a transfer across cells, longer than both cells need
	// Between books and other books.
	BalanceMismatch   Class = "balance_mismatch"   // another balance in the ledger, or at the bank, than recomputed
	StatementMismatch Class = "statement_mismatch" // a line of a statement that nothing in the books explains, or whose sums are off
	// Of the witnesses themselves.
	SilentSource Class = "silent_source"
	SourceGap    Class = "source_gap"    // sequence numbers that never came
	SourceRepeat Class = "source_repeat" // one sequence number or id, two contents
	OversizedKey Class = "oversized_key" // more legs than one key may have
	UnknownAsset Class = "unknown_asset" // an observation in a currency that the ledger doesn't have
)

// Classes returns all classes.
func Classes() []Class {
	return []Class{
		DuplicatePost, MissingPost, MissingLeg, StuckPending, WrongAmount, UnitError, WrongFee, MissingFee, WrongAccount, SwappedSides,
		WrongCurrency, UnorderedEffect, DuplicatePayout, MissingReceipt, WrongChannelAmount, PostedChannelFailed, FailedChannelPaid,
		RefundDouble, RefundExcess, RefundMisdirected, RefundOrphan, ChargebackAfterRefund, StaleRate, WrongInterest, DayCount,
		ContractPrice, LoanTwice, ScheduleOff, AllocationMismatch, RuleFailed, Unbalanced, Fork, LostUpdate, TamperedHistory,
		LimitExceeded, MovedWhileFrozen, DuplicateID, ClockJump, StuckInTransit, BalanceMismatch, StatementMismatch, SilentSource, SourceGap,
		SourceRepeat, OversizedKey, UnknownAsset,
	}
}
