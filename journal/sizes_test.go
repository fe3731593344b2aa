package journal_test

import (
	"testing"
	"unsafe"

	"github.com/sterlingrun/sterling/journal"
)

// TestSizes pins the size of every record type, and the offset of every field, to the format (docs/formats.md).
func TestSizes(t *testing.T) {
	var (
		account  journal.Account
		transfer journal.Transfer
		asset    journal.Asset
		freeze   journal.Freeze
		unfreeze journal.Unfreeze
		limit    journal.Limit
		expiry   journal.Expiry
		request  journal.RequestEntry
		outcome  journal.Outcome
		move     journal.BucketMove
		handover journal.Handover
	)
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"account", unsafe.Sizeof(account), journal.RecordSize},
		{"transfer", unsafe.Sizeof(transfer), journal.RecordSize},
		{"asset", unsafe.Sizeof(asset), journal.RecordSize},
		{"freeze", unsafe.Sizeof(freeze), journal.RecordSize},
		{"unfreeze", unsafe.Sizeof(unfreeze), journal.RecordSize},
		{"limit", unsafe.Sizeof(limit), journal.RecordSize},
		{"expiry", unsafe.Sizeof(expiry), journal.ExpirySize},
		{"request", unsafe.Sizeof(request), journal.RequestSize},
		{"outcome", unsafe.Sizeof(outcome), journal.OutcomeSize},
		{"bucket move", unsafe.Sizeof(move), journal.RecordSize},
		{"handover", unsafe.Sizeof(handover), journal.RecordSize},

		{"bucket_move.peer", unsafe.Offsetof(move.Peer), 16},
		{"bucket_move.version", unsafe.Offsetof(move.Version), 24},
		{"bucket_move.accounts", unsafe.Offsetof(move.Accounts), 32},
		{"bucket_move.reservations", unsafe.Offsetof(move.Reservations), 40},
		{"bucket_move.digest", unsafe.Offsetof(move.Digest), 48},
		{"bucket_move.bucket", unsafe.Offsetof(move.Bucket), 64},
		{"bucket_move.step", unsafe.Offsetof(move.Step), 66},
		{"handover.account_id", unsafe.Offsetof(handover.Account), 16},
		{"handover.clearing_account_id", unsafe.Offsetof(handover.Clearing), 32},
		{"handover.flags", unsafe.Offsetof(handover.Flags), 118},

		{"account.debits_pending", unsafe.Offsetof(account.DebitsPending), 16},
		{"account.debits_posted", unsafe.Offsetof(account.DebitsPosted), 32},
		{"account.credits_pending", unsafe.Offsetof(account.CreditsPending), 48},
		{"account.credits_posted", unsafe.Offsetof(account.CreditsPosted), 64},
		{"account.user_data_128", unsafe.Offsetof(account.UserData128), 80},
		{"account.user_data_64", unsafe.Offsetof(account.UserData64), 96},
		{"account.user_data_32", unsafe.Offsetof(account.UserData32), 104},
		{"account.reserved", unsafe.Offsetof(account.Reserved), 108},
		{"account.asset", unsafe.Offsetof(account.Asset), 112},
		{"account.code", unsafe.Offsetof(account.Code), 116},
		{"account.flags", unsafe.Offsetof(account.Flags), 118},
		{"account.timestamp", unsafe.Offsetof(account.Timestamp), 120},

		{"transfer.debit_account_id", unsafe.Offsetof(transfer.Debit), 16},
		{"transfer.credit_account_id", unsafe.Offsetof(transfer.Credit), 32},
		{"transfer.amount", unsafe.Offsetof(transfer.Amount), 48},
		{"transfer.pending_id", unsafe.Offsetof(transfer.PendingID), 64},
		{"transfer.user_data_128", unsafe.Offsetof(transfer.UserData128), 80},
		{"transfer.user_data_64", unsafe.Offsetof(transfer.UserData64), 96},
		{"transfer.user_data_32", unsafe.Offsetof(transfer.UserData32), 104},
		{"transfer.timeout", unsafe.Offsetof(transfer.Timeout), 108},
		{"transfer.asset", unsafe.Offsetof(transfer.Asset), 112},
		{"transfer.code", unsafe.Offsetof(transfer.Code), 116},
		{"transfer.flags", unsafe.Offsetof(transfer.Flags), 118},
		{"transfer.timestamp", unsafe.Offsetof(transfer.Timestamp), 120},

		{"asset.scale", unsafe.Offsetof(asset.Scale), 16},
		{"freeze.account_id", unsafe.Offsetof(freeze.Account), 16},
		{"freeze.code", unsafe.Offsetof(freeze.Code), 32},
		{"freeze.selector", unsafe.Offsetof(freeze.Selector), 34},
		{"freeze.mode", unsafe.Offsetof(freeze.Mode), 35},
		{"freeze.reason", unsafe.Offsetof(freeze.Reason), 40},
		{"unfreeze.freeze_id", unsafe.Offsetof(unfreeze.FreezeID), 16},
		{"unfreeze.reason", unsafe.Offsetof(unfreeze.Reason), 40},
		{"limit.account_id", unsafe.Offsetof(limit.Account), 16},
		{"limit.hour_amount", unsafe.Offsetof(limit.HourAmount), 32},
		{"limit.day_amount", unsafe.Offsetof(limit.DayAmount), 48},
		{"limit.hour_count", unsafe.Offsetof(limit.HourCount), 64},
		{"limit.day_count", unsafe.Offsetof(limit.DayCount), 68},
		{"limit.side", unsafe.Offsetof(limit.Side), 72},

		{"expiry.amount", unsafe.Offsetof(expiry.Amount), 16},
		{"request.count", unsafe.Offsetof(request.Count), 4},
		{"request.actor", unsafe.Offsetof(request.Actor), 16},
		{"outcome.status", unsafe.Offsetof(outcome.Status), 4},
		{"outcome.timestamp", unsafe.Offsetof(outcome.Timestamp), 8},
		{"outcome.amount", unsafe.Offsetof(outcome.Amount), 16},
		{"outcome.pending_position", unsafe.Offsetof(outcome.PendingPosition), 32},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the format says %d", c.name, c.got, c.want)
		}
	}
}
