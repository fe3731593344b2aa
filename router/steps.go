package router

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

const (
	commitSteps = 3 // decide, marker, transfer
	abortSteps  = 2 // decide, marker
	transitRoom = 128
)

// attempt is one try to bring a transfer about, and what is known of it. Each has an id of its own, that of its reserve,
// from which the ids of its other steps are derived: so attempts of one transfer never meet.
type attempt struct {
	home     uint64
	transfer journal.Transfer // as asked for
	details  journal.Details  // its own
	transit  journal.Transit
	asset    money.Asset

	result     journal.Result
	held       bool           // by the peer
	refusal    journal.Status // of the peer, or of the decision; 0: none
	unanswered bool           // by the peer
	committed  bool
	posted     money.U128 // once the transfer has ended
	expires    uint64     // ns; 0: never
}

func newAttempt(home uint64, c *Crossing, r money.U128, asset money.Asset) *attempt {
	t := &c.Transfer
	return &attempt{
		home: home, transfer: *t, details: c.Details, asset: asset,
		transit: journal.Transit{
			Transfer: t.ID, Reserve: r, Debit: t.Debit, Credit: t.Credit, Peer: c.Peer, Timeout: t.Timeout, Flags: t.Flags & journal.TransferPending,
		},
	}
}

func resumedAttempt(home uint64, t *ledger.Transfer, asset money.Asset) (*attempt, error) {
	d, err := journal.DecodeDetails([]byte(t.Attachment))
	if err != nil || d.Transit == nil {
		return nil, fmt.Errorf("read what reservation %v is of: %w", t.ID, err)
	}
	a := &attempt{home: home, transfer: t.Transfer, transit: *d.Transit, asset: asset}
	a.transfer.ID, a.transfer.Debit, a.transfer.Credit = d.Transit.Transfer, d.Transit.Debit, d.Transit.Credit
	a.transfer.Flags, a.transfer.Timeout, a.transfer.PendingID, a.transfer.Timestamp = d.Transit.Flags, d.Transit.Timeout, money.U128{}, 0
	d.Transit = nil
	a.details = d
	a.committed = a.transit.Step == journal.TransitMarker && a.transit.Status == journal.Created
	if a.committed && a.transit.Timeout != 0 {
		a.expires = t.Timestamp + uint64(a.transit.Timeout)*1e9
	}
	return a, nil
}

func (a *attempt) id() money.U128 { return a.transit.Transfer }

func (a *attempt) pending() bool { return a.transit.Flags.Has(journal.TransferPending) }

func (a *attempt) step(s journal.TransitStep, status journal.Status, own bool, t journal.Transfer) step {
	x := a.transit
	x.Step, x.Status = s, status
	d := journal.Details{Transit: &x}
	if own {
		d.BookingDate, d.Metadata = a.details.BookingDate, a.details.Metadata
	}
	t.Flags |= journal.TransferTransit | journal.TransferAttached
	return step{t, d.Append(nil)}
}

func (a *attempt) through() money.U128 { return InTransitID(a.asset) }

const reserves = journal.TransferPending | journal.TransferHold

func (a *attempt) reserve() step {
	t := a.transfer
	t.ID, t.Credit, t.PendingID, t.Flags, t.Timeout = a.transit.Reserve, a.through(), a.id(), reserves, 0
	return a.step(journal.TransitReserve, 0, true, t)
}

func (a *attempt) hold() step {
	t := a.transfer
	t.ID, t.Debit, t.PendingID, t.Flags, t.Timeout = stepID(a.transit.Reserve, "hold"), ClearingID(a.asset, a.home), a.id(), reserves, 0
	s := *a
	s.transit.Peer = a.home
	return s.step(journal.TransitHold, 0, true, t)
}

func (a *attempt) decide() step {
	t := journal.Transfer{ID: stepID(a.transit.Reserve, "decide"), PendingID: a.transit.Reserve, Flags: journal.TransferVoid | journal.TransferLinked}
	return a.step(journal.TransitDecide, 0, false, t)
}

func (a *attempt) markerID() money.U128 { return stepID(a.transit.Reserve, "marker") }

func (a *attempt) mark(status journal.Status) step {
	t := a.transfer
	t.ID, t.Debit, t.Credit = a.markerID(), a.through(), ClearingID(a.asset, a.transit.Peer)
	t.PendingID, t.Flags, t.Timeout = a.id(), reserves, 0
	if status == journal.Created {
		t.Flags |= journal.TransferLinked
	} else {
		t.Amount = money.U128{}
	}
	return a.step(journal.TransitMarker, status, true, t)
}

func (a *attempt) alone() step {
	t := a.transfer
	t.Credit = a.through()
	return a.step(journal.TransitTransfer, 0, true, t)
}

func (a *attempt) commit() []step { return []step{a.decide(), a.mark(journal.Created), a.alone()} }

func (a *attempt) abort() []step { return []step{a.decide(), a.mark(a.refusal)} }

func (a *attempt) confirm() step {
	t := journal.Transfer{ID: stepID(a.transit.Reserve, "confirm"), PendingID: stepID(a.transit.Reserve, "hold"), Amount: a.posted, Flags: journal.TransferPost}
	if a.posted.IsZero() {
		t.Flags = journal.TransferVoid | journal.TransferFence
	}
	s := *a
	s.transit.Peer = a.home
	return s.step(journal.TransitConfirm, 0, false, t)
}

func (a *attempt) confirmedBy(s journal.Status) bool {
	switch s { //nolint:exhaustive // all others are refusals
	case journal.Created, journal.TransferExists:
		return true
	case journal.TransferPendingTransferNotFound, journal.TransferIdAlreadyFailed, journal.TransferPendingTransferAlreadyVoided:
		return a.posted.IsZero() // a fence
	}
	return false
}

func (a *attempt) settle() step {
	t := journal.Transfer{ID: stepID(a.transit.Reserve, "settle"), PendingID: a.markerID(), Amount: a.posted, Flags: journal.TransferPost}
	if a.posted.IsZero() {
		t.Flags = journal.TransferVoid
	}
	return a.step(journal.TransitSettle, 0, false, t)
}

func (e *Ending) step(through money.U128) step {
	t := e.Transfer
	if t.Credit == e.Of.Credit && !t.Credit.IsZero() {
		t.Credit = through
	}
	x := e.Of
	x.Step = journal.TransitEnd
	d := e.Details
	d.Transit = &x
	t.Flags |= journal.TransferTransit | journal.TransferAttached
	return step{t, d.Append(nil)}
}

func stepID(r money.U128, name string) money.U128 {
	var b [16]byte
	r.PutLE(b[:])
	h := sha256.Sum256(append(b[:], name...))
	return money.LE(h[:])
}

func paddedAsset(a money.Asset) []byte {
	var b [16]byte
	copy(b[:], a.String())
	return b[:]
}

func InTransitID(a money.Asset) money.U128 {
	h := sha256.Sum256(append([]byte("sterling in transit"), paddedAsset(a)...))
	return money.LE(h[:])
}

func ClearingID(a money.Asset, cell uint64) money.U128 {
	h := sha256.Sum256(binary.LittleEndian.AppendUint64(append([]byte("sterling clearing"), paddedAsset(a)...), cell))
	return money.LE(h[:])
}
