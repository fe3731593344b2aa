package router

import (
	"context"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
)

// Record has the leader of another cell record a part of a move; see [Host.Record].
func (n *Network) Record(ctx context.Context, to uint64, r *Record) ([]journal.Status, error) {
	c, err := n.To(to)
	if err != nil {
		return nil, err
	}
	m := &cellv1.RecordRequest{From: r.From, Kind: uint32(r.Kind), Actor: r.Actor[:], Events: r.Events, Catalogue: uint32(r.Catalogue)} //nolint:gosec // asset numbers are 32 bits
	for _, a := range r.Attachments {
		m.Attachments = append(m.Attachments, &cellv1.Attached{Event: uint32(a.Event), Data: a.Data}) //nolint:gosec // at most MaxEvents
	}
	for _, a := range r.Assets {
		m.Assets = append(m.Assets, a.String())
	}
	response, err := c.Record(ctx, m)
	if err != nil {
		return nil, err
	}
	if got, want := len(response.GetStatuses()), len(r.Events)/journal.RecordSize; got != want {
		return nil, fmt.Errorf("cell %d answered %d records with %d statuses", to, want, got)
	}
	statuses := make([]journal.Status, len(response.GetStatuses()))
	for i, s := range response.GetStatuses() {
		statuses[i] = journal.Status(s) //nolint:gosec // one that is not known is taken for none
	}
	return statuses, nil
}

// ReadRecord reads what Network.Record sends.
func ReadRecord(r *cellv1.RecordRequest) (*Record, error) {
	if len(r.GetActor()) != len(journal.Actor{}) || r.GetKind() > 255 || len(r.GetAttachments()) > journal.MaxEvents || len(r.GetAssets()) > journal.MaxEvents {
		return nil, fmt.Errorf("%w: an actor of %d bytes, kind %d, %d attachments, %d assets", ErrRecord, len(r.GetActor()), r.GetKind(), len(r.GetAttachments()), len(r.GetAssets()))
	}
	out := &Record{
		From: r.GetFrom(), Kind: journal.Kind(r.GetKind()), Actor: journal.Actor(r.GetActor()), //nolint:gosec // it was checked
		Events: journal.Aligned(r.GetEvents()), Catalogue: int(r.GetCatalogue()),
	}
	for _, a := range r.GetAttachments() {
		out.Attachments = append(out.Attachments, journal.Attachment{Event: int(a.GetEvent()), Data: a.GetData()})
	}
	for _, text := range r.GetAssets() {
		a, err := money.ParseAsset(text)
		if err != nil {
			return nil, fmt.Errorf("%w: asset %.20q", ErrRecord, text)
		}
		out.Assets = append(out.Assets, a)
	}
	return out, nil
}

// Buckets asks the leader of another cell where buckets stand, once its map is of a version, or a newer one.
func (n *Network) Buckets(ctx context.Context, in, version uint64, buckets []uint16) ([]BucketReport, error) {
	c, err := n.To(in)
	if err != nil {
		return nil, err
	}
	r := &cellv1.BucketsRequest{MapVersion: version}
	for _, b := range buckets {
		r.Buckets = append(r.Buckets, uint32(b))
	}
	response, err := c.Buckets(ctx, r)
	if err != nil {
		return nil, err
	}
	list := make([]BucketReport, len(response.GetBuckets()))
	for i, b := range response.GetBuckets() {
		if len(b.GetMove()) != 16 || i >= len(buckets) || b.GetBucket() != uint32(buckets[i]) {
			return nil, fmt.Errorf("cell %d answered about other buckets than it was asked", in)
		}
		list[i] = BucketReport{
			BucketState: ledger.BucketState{
				Bucket: buckets[i], Phase: ledger.Phase(b.GetPhase()), Move: money.LE(b.GetMove()), Peer: b.GetPeer(), Version: b.GetVersion(), //nolint:gosec // one that is not known is taken for none
				Accounts: b.GetMovedAccounts(), Reservations: b.GetMovedReservations(),
			},
			Present: b.GetAccounts(), Reserved: b.GetReservations(),
		}
	}
	if len(list) != len(buckets) {
		return nil, fmt.Errorf("cell %d answered about %d buckets of %d", in, len(list), len(buckets))
	}
	return list, nil
}

// ReportMessage is what Network.Buckets reads.
func ReportMessage(list []BucketReport) *cellv1.BucketsResponse {
	m := &cellv1.BucketsResponse{}
	for i := range list {
		b := &list[i]
		var move [16]byte
		b.Move.PutLE(move[:])
		m.Buckets = append(m.Buckets, &cellv1.Bucket{
			Bucket: uint32(b.Bucket), Phase: uint32(b.Phase), Move: slices.Clone(move[:]), Peer: b.Peer, Version: b.Version,
			MovedAccounts: b.Accounts, MovedReservations: b.Reservations, Accounts: b.Present, Reservations: b.Reserved,
		})
	}
	return m
}
