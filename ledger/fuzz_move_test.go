package ledger_test

import (
	"bytes"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
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
