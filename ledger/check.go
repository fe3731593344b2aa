package ledger

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
)

// ErrRequest is a request that is malformed as a whole: no event of it can be given a status.
var ErrRequest = errors.New("malformed request")

// CheckRequest tells what is wrong with the envelope of a request, or nil. Apply relies on it for requests of the kinds
// of format version 2 and for requests with attachments; others need no check.
func CheckRequest(kind journal.Kind, events []byte, attached []journal.Attachment) error {
	n := len(events) / journal.RecordSize
	for i, a := range attached {
		if a.Event < 0 || a.Event >= n || i > 0 && a.Event <= attached[i-1].Event {
			return fmt.Errorf("%w: attachment %d is of event %d of %d", ErrRequest, i, a.Event, n)
		}
		record := events[a.Event*journal.RecordSize:][:journal.RecordSize]
		if err := checkAttachment(partOf(kind, events, a.Event), record, a.Data); err != nil {
			return fmt.Errorf("%w: event %d: %w", ErrRequest, a.Event, err)
		}
	}
	switch kind {
	case journal.KindTransaction:
		return checkHead(journal.View[journal.Transfer](events), attached)
	case journal.KindProposal:
		return checkProposal(events, attached)
	case journal.KindDecision:
		return checkDecided(events, attached)
	case journal.KindMetadata:
		for i, c := range journal.View[journal.MetadataChange](events) {
			if c.Flags&^journal.TransferAttached != journal.TransferHead || c.Flags.Has(journal.TransferAttached) != has(attached, i) {
				return fmt.Errorf("%w: metadata change %d has flags %#x", ErrRequest, i, c.Flags)
			}
		}
	}
	return nil
}

func has(attached []journal.Attachment, event int) bool {
	for _, a := range attached {
		if a.Event == event {
			return true
		}
	}
	return false
}

// partOf returns the kind of one event of a request.
func partOf(kind journal.Kind, events []byte, event int) journal.Kind {
	for _, p := range journal.Parts(kind, events) {
		if event >= p.First && event < p.First+p.Count {
			return p.Kind
		}
	}
	return 0
}

// checkAttachment checks that an event of this kind may carry these details.
func checkAttachment(kind journal.Kind, record, data []byte) error {
	d, err := journal.DecodeDetails(data)
	if err != nil {
		return err
	}
	most := journal.MaxDetails
	if d.Transit != nil {
		most += journal.TransitField // the ledger's own, beside what the caller attached
	}
	if len(data) > most && kind != journal.KindProposal {
		return fmt.Errorf("%w: %d bytes, at most %d", journal.ErrDetails, len(data), most)
	}
	allowed := journal.Details{}
	switch kind {
	case journal.KindAccounts:
		allowed.Address, allowed.Metadata = d.Address, d.Metadata
	case journal.KindTransfers, journal.KindTransaction:
		allowed.BookingDate, allowed.Metadata = d.BookingDate, d.Metadata
		if journal.View[journal.Transfer](record)[0].Flags.Has(journal.TransferTransit) {
			allowed.Transit = d.Transit
		}
	case journal.KindMetadata:
		allowed.Metadata = d.Metadata
	case journal.KindPrincipals:
		allowed.Assets, allowed.Prefixes, allowed.Rate = d.Assets, d.Prefixes, d.Rate
	case journal.KindProposal:
		allowed.Payload = d.Payload
	}
	if len(allowed.Append(nil)) != len(data) || d.Empty() {
		return fmt.Errorf("%w: an event of kind %d can't carry it", journal.ErrDetails, kind)
	}
	return nil
}

func checkHead(events []journal.Transfer, attached []journal.Attachment) error {
	if len(events) < 2 {
		return fmt.Errorf("%w: a transaction without legs", ErrRequest)
	}
	head, legs := &events[0], events[1:]
	var ofLegs []journal.Attachment
	for _, a := range attached {
		if a.Event > 0 {
			ofLegs = append(ofLegs, journal.Attachment{Event: a.Event - 1, Data: a.Data})
		}
	}
	hi, lo := journal.LegsDigest(legs, ofLegs)
	if head.Debit != hi || head.Credit != lo || int(head.Timeout) != len(legs) {
		return fmt.Errorf("%w: the head's digest is not that of its %d legs", ErrRequest, len(legs))
	}
	if !head.Amount.IsZero() || !head.PendingID.IsZero() || head.Asset != 0 {
		return fmt.Errorf("%w: the head of a transaction has an amount, a pending id or an asset", ErrRequest)
	}
	for i := range legs {
		if legs[i].ID != journal.LegID(head.ID, uint32(i)) {
			return fmt.Errorf("%w: leg %d has id %v", ErrRequest, i, legs[i].ID)
		}
		if legs[i].Flags.Has(journal.TransferLinked) {
			return fmt.Errorf("%w: leg %d is linked: all legs are", ErrRequest, i)
		}
	}
	return nil
}

// proposable are the kinds that can be proposed.
func proposable(k journal.Kind) bool {
	switch k {
	case journal.KindAccounts, journal.KindTransfers, journal.KindTransaction, journal.KindUnfreeze, journal.KindReopen,
		journal.KindPolicy, journal.KindPrincipals:
		return true
	}
	return false
}

// oneOnly are the kinds of which a proposal holds one event: what was done could not be taken back if another failed.
func oneOnly(k journal.Kind) bool {
	return k != journal.KindAccounts && k != journal.KindTransfers && k != journal.KindTransaction
}

func checkProposal(events []byte, attached []journal.Attachment) error {
	p := journal.View[journal.Proposal](events)
	if len(p) != 1 || len(attached) != 1 || !proposable(p[0].Inner) {
		return fmt.Errorf("%w: %d proposals of kind %d", ErrRequest, len(p), p[0].Inner)
	}
	d, err := journal.DecodeDetails(attached[0].Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(d.Payload) > journal.MaxPayload {
		return fmt.Errorf("%w: what is proposed has %d bytes, at most %d", ErrRequest, len(d.Payload), journal.MaxPayload)
	}
	inner, list, err := DecodePayload(d.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(inner) >= journal.MaxEvents*journal.RecordSize || oneOnly(p[0].Inner) && len(inner) > journal.RecordSize {
		return fmt.Errorf("%w: %d events of kind %d in a proposal", ErrRequest, len(inner)/journal.RecordSize, p[0].Inner)
	}
	return CheckRequest(p[0].Inner, inner, list)
}

func checkDecided(events []byte, attached []journal.Attachment) error {
	d := &journal.View[journal.Decision](events[:journal.RecordSize])[0]
	n := len(events) / journal.RecordSize
	switch d.Verdict {
	case journal.Approve:
		if n < 2 || !proposable(d.Inner) || oneOnly(d.Inner) && n > 2 {
			return fmt.Errorf("%w: an approval of %d events of kind %d", ErrRequest, n-1, d.Inner)
		}
	case journal.Reject:
		if n != 1 {
			return fmt.Errorf("%w: a rejection with %d events", ErrRequest, n-1)
		}
		return nil
	default:
		return fmt.Errorf("%w: verdict %d", ErrRequest, d.Verdict)
	}
	if len(attached) > 0 && attached[0].Event == 0 {
		return fmt.Errorf("%w: a decision has no attachment of its own", ErrRequest)
	}
	var inner []journal.Attachment
	for _, a := range attached {
		inner = append(inner, journal.Attachment{Event: a.Event - 1, Data: a.Data})
	}
	return CheckRequest(d.Inner, events[journal.RecordSize:], inner)
}
