package feed

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// HandedOver is an account that left for another cell with its bucket, or arrived from there.
type HandedOver struct {
	journal.Handover
	Record  journal.Account // with the balances that it had
	Details journal.Details
}

// HeldOver is an open reservation that left or arrived, or the half of one that is split which stays, with what is still
// reserved as its amount.
type HeldOver struct{ Transfer journal.Transfer }

// movesRecord is what an event of the move of a bucket shows.
func movesRecord(kind journal.Kind, raw, attachment []byte) (Kind, any) {
	switch kind {
	case journal.KindGive, journal.KindTake:
		a, err := ledger.Handed(attachment)
		if err != nil {
			break // subscribers have the bytes anyway
		}
		if kind == journal.KindGive {
			return AccountLeft, &HandedOver{journal.View[journal.Handover](raw)[0], a.Account, a.Details}
		}
		return AccountArrived, &HandedOver{journal.View[journal.Handover](raw)[0], a.Account, a.Details}
	case journal.KindCarry:
		c, _, ok := journal.CarriedOf(attachment)
		if !ok || c.Standing < journal.StandingArrives {
			break
		}
		t := journal.View[journal.Transfer](raw)[0]
		t.Amount, t.Timestamp = c.Remaining, c.Timestamp
		if c.Standing == journal.StandingLeaves {
			return ReservationLeft, &HeldOver{t}
		}
		return ReservationArrived, &HeldOver{t}
	}
	return Other, otherRecord(kind, raw)
}

// bucketStep is what a step of a move did, in words.
func bucketStep(s journal.BucketStep) string {
	names := [...]string{"bucket_moves", "bucket_closed", "bucket_move_cancelled", "bucket_given", "bucket_arriving", "bucket_taken", "bucket_gone"}
	if int(s) < len(names) {
		return names[s]
	}
	return names[0]
}

// setHandedOver fills in the message of an account that left or arrived.
func setHandedOver(m *ledgerv1.FeedEvent, h *HandedOver, assets *ledger.Catalogue) {
	a := accountMessage(&h.Record, h.Record.Timestamp, assets)
	a.DebitsPosted, a.CreditsPosted = h.Record.DebitsPosted.String(), h.Record.CreditsPosted.String()
	a.Address, a.Metadata = h.Details.Address, Metadata(h.Details.Metadata)
	m.Body = &ledgerv1.FeedEvent_Account{Account: a}
	m.Handover = &ledgerv1.Handover{MoveId: h.Move.String(), ClearingAccountId: h.Clearing.String()}
}

// setHeldOver fills in the message of a reservation that left or arrived.
func setHeldOver(m *ledgerv1.FeedEvent, e *Event, h *HeldOver, assets *ledger.Catalogue) {
	shown := h.Transfer
	transit := ShowTransit(&shown, e.Attachment)
	t, d := transferMessage(&shown, h.Transfer.Timestamp, assets), e.details()
	t.BookingDate, t.Metadata, t.Transit = bookingDate(d.BookingDate), Metadata(d.Metadata), transit
	m.Body = &ledgerv1.FeedEvent_Transfer{Transfer: t}
}
