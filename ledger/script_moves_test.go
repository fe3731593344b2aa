package ledger_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

var bucketSteps = map[string]journal.BucketStep{
	"close": journal.BucketClose, "cancel": journal.BucketCancel, "given": journal.BucketGiven, "arrive": journal.BucketArrive,
	"taken": journal.BucketTaken, "gone": journal.BucketGone,
}

var standings = map[string]journal.Standing{
	"": journal.StandingOpen, "posted": journal.StandingPosted, "voided": journal.StandingVoided, "expired": journal.StandingExpired,
	"arrives": journal.StandingArrives, "leaves": journal.StandingLeaves, "stays": journal.StandingStays,
}

// moves runs the commands of moves of buckets.
func (s *script) moves(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "buckets":
		return request(t, s, d, journal.KindBuckets, s.parseMove)
	case "carry":
		return request(t, s, d, journal.KindCarry, parseTransfer)
	case "take":
		return s.take(t, d)
	case "fill-limits":
		return s.fillLimits()
	case "give":
		out := request(t, s, d, journal.KindGive, parseHandover)
		s.hand()
		return out
	}
	var out strings.Builder
	for _, b := range s.state.Buckets() {
		accounts, reservations := s.state.InBucket(b.Bucket)
		fmt.Fprintf(&out, "%d: phase %d of move %v, with cell %d, version %d; %d accounts, %d reservations handed over, %d and %d here\n",
			b.Bucket, b.Phase, b.Move, b.Peer, b.Version, b.Accounts, b.Reservations, accounts, reservations)
	}
	return out.String()
}

// fillLimits sets the limit of account 1539 more often than fits what an account takes along.
func (s *script) fillLimits() string {
	list := make([]journal.Limit, 2000)
	for i := range list {
		list[i] = journal.Limit{ID: money.From(uint64(5000 + i)), Account: money.From(1539), Side: journal.FreezeCredit}
	}
	n := 0
	for _, r := range s.apply(journal.KindLimits, journal.Actor{}, journal.Bytes(list)) {
		if r.Status == journal.Created {
			n++
		}
	}
	return fmt.Sprintf("%d limits", n)
}

// parseMove reads a step: bucket_of= an account. The digest is the ledger's own unless digest= says otherwise.
func (s *script) parseMove(f *fields) journal.BucketMove {
	m := journal.BucketMove{
		ID: f.u128("id"), Peer: f.uint("peer", 64, 9), Version: f.uint("version", 64, 0), Step: bucketSteps[f.take("do")],
		Accounts: f.uint("accounts", 64, 0), Reservations: f.uint("reservations", 64, 0),
		Bucket: uint16(f.uint("bucket", 16, uint64(journal.Bucket(f.u128("bucket_of"))))),
	}
	for _, b := range s.state.Buckets() {
		if b.Bucket == m.Bucket && (m.Step == journal.BucketGiven || m.Step == journal.BucketTaken) {
			m.Digest = b.Digest
		}
	}
	if f.has("digest") {
		m.Digest = f.u128("digest")
	}
	return m
}

func parseHandover(f *fields) journal.Handover {
	f.take("id")
	return journal.Handover{Move: f.u128("move"), Account: f.u128("account"), Clearing: f.u128("clearing")}
}

// hand keeps what the ledger attached to the accounts that were given last.
func (s *script) hand() {
	s.seal()
	last := s.log[len(s.log)-1]
	for part := range last.Parts() {
		for i := part.First; part.Kind == journal.KindGive && i < part.First+part.Count; i++ {
			if data := last.Attachment(i); data != nil {
				s.handed[journal.View[journal.Handover](last.EventBytes(i, 1))[0].Account] = bytes.Clone(data)
			}
		}
	}
}

// take takes accounts with what was attached when they were given.
func (s *script) take(t *testing.T, d *datadriven.TestData) string {
	events, names, _ := parseEvents(t, d, journal.KindGive, parseHandover)
	var attached []journal.Attachment
	for i := range events {
		events[i].Flags = journal.TransferAttached
		attached = append(attached, journal.Attachment{Event: i, Data: s.handed[events[i].Account]})
	}
	if err := ledger.CheckRequest(journal.KindTake, journal.Bytes(events), attached); err != nil {
		return err.Error()
	}
	return s.print(journal.KindTake, names, s.applyAttached(journal.KindTake, actorOf(t, d), journal.Bytes(events), attached))
}

// carried reads what a line says of an event in another cell; nil where it has no status there.
func (f *fields) carried() *journal.Carried {
	if !f.has("was") {
		return nil
	}
	c := &journal.Carried{Status: f.status("was"), Standing: standings[f.take("standing")], Timestamp: f.timestamp("then"), Remaining: f.u128("remaining")}
	if c.Status == journal.Created {
		c.Amount = f.u128("moved")
	}
	return c
}
