package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

func metadata(texts ...string) []byte {
	var d journal.Details
	for i, s := range texts {
		d.Metadata = append(d.Metadata, journal.Text(string(rune('a'+i)), s))
	}
	return d.Append(nil)
}

// TestExistsOfAnEndedReservation: a reservation with metadata is sent again after it ended, in the same request, in a
// block that was not released, and after that. Each time its metadata must be known.
func TestExistsOfAnEndedReservation(t *testing.T) {
	reserve := journal.Transfer{
		ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(9), Asset: 1, Code: 1,
		Flags: journal.TransferPending | journal.TransferAttached,
	}
	void := journal.Transfer{ID: money.From(11), PendingID: money.From(10), Flags: journal.TransferVoid}
	for _, c := range []struct {
		name    string
		between func(r *rig)
	}{
		{"same request", nil},
		{"same block", func(*rig) {}},
		{"block not released", func(r *rig) { r.seal() }},
		{"released", func(r *rig) { r.seal(); r.release(uint64(len(r.log))) }},
	} {
		r := newRig([2]uint64{1, 2})
		wantStatus(t, send(r, journal.KindAccounts, journal.Account{ID: money.From(1), Asset: 1, Code: 1}, journal.Account{ID: money.From(2), Asset: 1, Code: 1}), 1, 1)
		attached := []journal.Attachment{{Event: 0, Data: metadata("order 7")}}
		wantStatus(t, r.applyAttached(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{reserve}), attached), 1)
		r.seal()
		r.release(uint64(len(r.log)))
		events := []journal.Transfer{reserve, reserve}
		again := []journal.Attachment{{Event: 0, Data: metadata("order 7")}, {Event: 1, Data: metadata("order 8")}}
		want := []journal.Status{journal.TransferExists, journal.TransferExistsWithDifferentMetadata}
		if c.between == nil {
			events = append([]journal.Transfer{void}, events...)
			again[0].Event, again[1].Event = 1, 2
			want = append([]journal.Status{journal.Created}, want...)
		} else {
			wantStatus(t, send(r, journal.KindTransfers, void), journal.Created)
			c.between(r)
		}
		t.Run(c.name, func(t *testing.T) {
			wantStatus(t, r.applyAttached(journal.KindTransfers, journal.Actor{}, journal.Bytes(events), again), want...)
			if err := r.checkReplay(); err != nil {
				t.Error(err)
			}
		})
	}
}
