package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// FuzzTake alters what is attached to an account that arrives. What CheckRequest lets through must not break the ledger:
// money is conserved, the journal replays, and a snapshot reads back.
func FuzzTake(f *testing.F) {
	seeds := givenAccounts()
	for _, data := range seeds {
		d, err := journal.DecodeDetails(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d.Payload, d.Address)
	}
	f.Fuzz(func(t *testing.T, payload []byte, address string) {
		d := journal.Details{Payload: payload, Address: address}
		if len(payload) < 16 || d.Check() != nil {
			return
		}
		r := newRigOf([2]uint64{1, 2}, 4)
		r.witness, r.deriver = nil, nil
		r.clock = 1_000_000_000
		h := journal.Handover{Move: money.From(900), Account: money.LE(payload), Clearing: money.From(99), Flags: journal.TransferAttached}
		list := []journal.Attachment{{Data: d.Append(nil)}}
		events := journal.Bytes([]journal.Handover{h})
		if ledger.CheckRequest(journal.KindTake, events, list) != nil {
			return
		}
		r.apply(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})}))
		r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{{ID: money.From(99), Asset: 1, Code: 65534, Flags: journal.AccountTransit}}))
		m := journal.BucketMove{ID: money.From(900), Peer: 9, Version: 1, Bucket: journal.Bucket(h.Account), Step: journal.BucketArrive}
		r.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{m}))
		took := r.applyAttached(journal.KindTake, journal.Actor{}, events, list)[0].Status == journal.Created
		r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{{ID: money.From(1), Debit: h.Account, Credit: money.From(99), Amount: money.From(1), Asset: 1, Code: 1}}))
		if err := r.checkReplay(); err != nil {
			t.Fatal(err)
		}
		if err := conserved(r.state); err != nil {
			t.Fatal(err)
		}
		if _, n := r.state.Account(h.Account); took != (n != 0) && h.Account != money.From(99) {
			t.Fatalf("taken: %v, account number %d", took, n)
		}
		r.endBlock()
		copied, _, err := ledger.Restore(r.ids.config([2]uint64{}, 4), bytes.NewReader(takeSnapshot(r.state, uint64(len(r.log)))))
		if err != nil {
			t.Fatalf("restore what was just taken: %v", err)
		}
		if err := equalStates(r.state, copied); err != nil {
			t.Fatal(err)
		}
	})
}

// givenAccounts returns what the ledger attaches to an account with everything, and to one with nothing.
func givenAccounts() (list [][]byte) {
	r := newRigOf([2]uint64{1, 2}, 0)
	r.witness, r.deriver = nil, nil
	r.clock = 1_000_000_000
	details := journal.Details{Address: "a:1", Metadata: []journal.Meta{journal.Text("k", "v")}}
	r.apply(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})}))
	r.applyAttached(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{
		{ID: money.From(1), Asset: 1, Code: 1, Flags: journal.AccountAttached},
		{ID: money.From(1539), Asset: 1, Code: 2},
		{ID: money.From(99), Asset: 1, Code: 65534, Flags: journal.AccountTransit},
	}), []journal.Attachment{{Data: details.Append(nil)}})
	r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{{ID: money.From(10), Debit: money.From(1), Credit: money.From(1539), Amount: money.From(5), Asset: 1, Code: 1}}))
	r.apply(journal.KindLimits, journal.Actor{}, journal.Bytes([]journal.Limit{
		{ID: money.From(20), Account: money.From(1), Side: journal.FreezeDebit, DayAmount: money.From(9)}, {ID: money.From(21), Account: money.From(1), Side: journal.FreezeCredit, HourCount: 3},
	}))
	r.apply(journal.KindFreeze, journal.Actor{}, journal.Bytes([]journal.Freeze{{ID: money.From(30), Account: money.From(1), Selector: journal.SelectAccount, Mode: journal.FreezeDebit}}))
	r.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{{ID: money.From(900), Peer: 9, Version: 1, Bucket: journal.Bucket(money.From(1)), Step: journal.BucketClose}}))
	r.apply(journal.KindGive, journal.Actor{}, journal.Bytes([]journal.Handover{
		{Move: money.From(900), Account: money.From(1), Clearing: money.From(99)}, {Move: money.From(900), Account: money.From(1539), Clearing: money.From(99)},
	}))
	r.seal()
	k := r.log[len(r.log)-1]
	for i := range int(k.Header.Events) {
		if data := k.Attachment(i); data != nil && i >= int(k.Header.Events)-2 {
			list = append(list, data)
		}
	}
	return list
}

// FuzzHandOver alters the records of reservations that leave, stay or arrive. What CheckRequest lets through must not
// break the ledger: what is pending is what is reserved, the journal replays, and a snapshot reads back.
func FuzzHandOver(f *testing.F) {
	for _, list := range handedOver(f) {
		for _, arrives := range []bool{false, true} {
			var records, attached []byte
			for _, e := range list {
				records = append(records, journal.Bytes([]journal.Transfer{e.Transfer})...)
				attached = append(binary.LittleEndian.AppendUint16(attached, uint16(len(e.Attached))), e.Attached...)
			}
			f.Add(records, attached, arrives)
		}
	}
	f.Fuzz(func(t *testing.T, records, attached []byte, arrives bool) {
		n := min(len(records)/journal.RecordSize, 4)
		copied := make([]journal.Transfer, n) // aligned
		copy(journal.Bytes(copied), records)
		events := journal.Bytes(copied)
		var list []journal.Attachment
		for i := 0; i < n && len(attached) >= 2; i++ {
			size := min(int(binary.LittleEndian.Uint16(attached)), len(attached)-2)
			list = append(list, journal.Attachment{Event: i, Data: attached[2 : 2+size]})
			attached = attached[2+size:]
		}
		if n == 0 || ledger.CheckRequest(journal.KindCarry, events, list) != nil {
			return
		}
		r := handingRig(arrives)
		for range 2 {
			r.applyAttached(journal.KindCarry, journal.Actor{}, events, list)
		}
		r.clock += 100_000_000_000
		r.seal()
		r.begin() // what has a timeout expires
		if err := r.checkReplay(); err != nil {
			t.Fatal(err)
		}
		if err := conserved(r.state); err != nil {
			t.Fatal(err)
		}
		r.endBlock()
		restored, _, err := ledger.Restore(r.ids.config([2]uint64{}, 4), bytes.NewReader(takeSnapshot(r.state, uint64(len(r.log)))))
		if err != nil {
			t.Fatalf("restore what was just handed over: %v", err)
		}
		if err := errors.Join(equalStates(r.state, restored), equalMoves(r.state, restored)); err != nil {
			t.Fatal(err)
		}
	})
}

// handedOver returns groups of each kind: of the reservations of handingRig, split, and what arrives of them.
func handedOver(t testing.TB) (list [][]transit.Event) {
	r := handingRig(false)
	r.seal()
	for id, debitLeaves := range map[uint64]bool{10: true, 11: false} {
		p, ok := r.state.OpenPending(money.From(id))
		f, err := r.fact(p.Position)
		if !ok || err != nil {
			t.Fatalf("reservation %d: %v, %v", id, ok, err)
		}
		open := transit.Reservation{Record: f.Asked, Attached: f.Attachment, Timestamp: f.Timestamp, Amount: f.Amount, Remaining: p.Remaining}
		s := transit.Split{Reservation: open, Asset: townAsset, Move: money.From(900), Giver: 7, Taker: 9, DebitLeaves: debitLeaves}
		var arriving []transit.Event
		for _, e := range s.Events() {
			if e, ok := transit.Arrives(e); ok {
				arriving = append(arriving, e)
			}
		}
		list = append(list, s.Events(), arriving, []transit.Event{open.Leaves()})
	}
	return list
}

// TestHandedOverIsAccepted keeps the seeds of FuzzHandOver what they are meant to be.
func TestHandedOverIsAccepted(t *testing.T) {
	created := 0
	for _, list := range handedOver(t) {
		for _, arrives := range []bool{false, true} {
			events, attached := requestOf(list)
			if handingRig(arrives).applyAttached(journal.KindCarry, journal.Actor{}, events, attached)[0].Status == journal.ControlCreated {
				created++
			}
		}
	}
	if created != 4 {
		t.Errorf("%d groups were made, want two that split and two that arrive", created)
	}
}

// handingRig is a cell whose bucket of account 1 closes, with reservations 10 from it and 11 to it, or arrives with that
// account.
func handingRig(arrives bool) *rig {
	r := newRigOf([2]uint64{1, 2}, 4)
	r.witness, r.deriver = nil, nil
	r.clock = 1_000_000_000
	r.apply(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{ledger.AssetRecord(townAsset)}))
	var own []journal.Account
	for _, peer := range []uint64{7, 9} {
		own = append(own, transit.Accounts(townAsset, 1, peer)...)
	}
	r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(append(own, journal.Account{ID: money.From(2), Asset: 1, Code: 1})))
	m := journal.BucketMove{ID: money.From(900), Peer: 9, Version: 1, Bucket: journal.Bucket(money.From(1)), Step: journal.BucketArrive}
	if arrives {
		r.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{m}))
		h := journal.Handover{Move: m.ID, Account: money.From(1), Clearing: transit.Clearing(townAsset, 9), Flags: journal.TransferAttached}
		r.applyAttached(journal.KindTake, journal.Actor{}, journal.Bytes([]journal.Handover{h}), []journal.Attachment{{Data: givenAccounts()[0]}})
		return r
	}
	r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}}))
	r.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{
		{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(7), Asset: 1, Code: 1, Flags: journal.TransferPending},
		{ID: money.From(11), Debit: money.From(2), Credit: money.From(1), Amount: money.From(7), Asset: 1, Code: 1, Flags: journal.TransferPending},
	}))
	m.Step = journal.BucketClose
	r.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{m}))
	return r
}
