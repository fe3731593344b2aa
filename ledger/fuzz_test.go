package ledger_test

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// FuzzApply packs the fuzzer's bytes into requests: of every 130 bytes, one says what the record is and whether it
// begins a new request, one what happens before it (a block ends, the clock moves, blocks are released, the actor
// changes), and 128 are the record. Nothing may panic, debits must equal credits, and the journal must replay.
func FuzzApply(f *testing.F) {
	f.Add(fuzzSeed())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 130*200 {
			return
		}
		r := newRigOf([2]uint64{1, 2}, 4)
		r.clock = 1_000_000_000
		for len(data) >= 130 {
			kind := journal.Kind(data[0]%6) + 1
			r.between(data[1])
			var actor journal.Actor
			actor[0] = data[1] >> 6
			events := bytes.Clone(data[2:130])
			for data = data[130:]; len(data) >= 130 && data[0]&128 != 0; data = data[130:] {
				events = append(events, data[2:130]...)
			}
			r.apply(kind, actor, journal.Aligned(events))
		}
		if err := r.checkReplay(); err != nil {
			t.Fatal(err)
		}
		if err := conserved(r.state); err != nil {
			t.Fatal(err)
		}
		r.endBlock()
		image := takeSnapshot(r.state, uint64(len(r.log)))
		copied, _, err := ledger.Restore(r.ids.config([2]uint64{}, 4), bytes.NewReader(image))
		if err != nil {
			t.Fatalf("restore what was just taken: %v", err)
		}
		if err := equalStates(r.state, copied); err != nil {
			t.Fatal(err)
		}
	})
}

func (r *rig) between(what byte) {
	switch what & 7 {
	case 1, 2:
		r.seal()
	case 3:
		r.seal()
		r.clock += uint64(what>>3) * 500_000_000
	case 4:
		r.seal()
		r.release(uint64(len(r.log)))
	case 5:
		r.endBlock()
	}
}

func takeSnapshot(s *ledger.State, seq uint64) (image []byte) {
	sn := s.StartSnapshot(seq)
	for more := true; more; {
		image, more = sn.Next(image, 1<<16)
	}
	return image
}

// conserved checks that debits equal credits in every asset.
func conserved(s *ledger.State) error {
	type sums struct{ dp, d, cp, c big.Int }
	byAsset := map[uint32]*sums{}
	for n := uint32(1); uint64(n) <= s.Counts().Accounts; n++ {
		a := s.AccountByNumber(n)
		x := byAsset[a.Asset]
		if x == nil {
			x = &sums{}
			byAsset[a.Asset] = x
		}
		x.dp.Add(&x.dp, bigOf(a.DebitsPending))
		x.d.Add(&x.d, bigOf(a.DebitsPosted))
		x.cp.Add(&x.cp, bigOf(a.CreditsPending))
		x.c.Add(&x.c, bigOf(a.CreditsPosted))
	}
	for asset, x := range byAsset {
		if x.dp.Cmp(&x.cp) != 0 || x.d.Cmp(&x.c) != 0 {
			return &unbalanced{asset}
		}
	}
	return nil
}

type unbalanced struct{ asset uint32 }

func (u *unbalanced) Error() string {
	return "debits and credits differ in asset " + money.From(uint64(u.asset)).String()
}

// fuzzSeed has accounts, reservations, posts, a chain, a freeze and a limit, so that the fuzzer begins with what works.
func fuzzSeed() []byte {
	var b []byte
	put := func(head, between byte, record []byte) { b = append(append(b, head, between), record...) }
	for i := range uint64(3) {
		put(byte(min(i, 1))<<7, 0, journal.Bytes([]journal.Account{{ID: money.From(i + 1), Asset: 1, Code: 1}}))
	}
	transfers := []journal.Transfer{
		{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(100), Asset: 1, Code: 1, Flags: journal.TransferPending, Timeout: 1},
		{ID: money.From(11), PendingID: money.From(10), Amount: money.From(30), Flags: journal.TransferPost | journal.TransferKeepRemainder},
		{ID: money.From(12), Debit: money.From(2), Credit: money.From(3), Amount: money.From(5), Asset: 1, Code: 1, Flags: journal.TransferLinked},
		{ID: money.From(13), PendingID: money.From(10), Flags: journal.TransferVoid | journal.TransferLinked},
		{ID: money.From(14), PendingID: money.From(99), Flags: journal.TransferVoid | journal.TransferFence},
	}
	for i := range transfers {
		put(1|byte(min(i, 1))<<7, 1, journal.Bytes(transfers[i:i+1]))
	}
	put(3, 0, journal.Bytes([]journal.Freeze{{ID: money.From(20), Account: money.From(1), Selector: journal.SelectAccount, Mode: journal.FreezeAll}}))
	put(5, 0, journal.Bytes([]journal.Limit{{ID: money.From(21), Account: money.From(2), Side: journal.FreezeDebit, HourAmount: money.From(7)}}))
	put(2, 0, journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2})}))
	for i := range transfers {
		put(1, 4|byte(i)&1|byte(i)<<3, journal.Bytes(transfers[i:i+1]))
	}
	put(4, 64|3|7<<3, journal.Bytes([]journal.Unfreeze{{ID: money.From(22), FreezeID: money.From(20)}}))
	return b
}

// FuzzRestore alters snapshots. What Restore accepts must be a state that works: money conserved, reservations that
// can be voided, a snapshot of it that reads back the same.
func FuzzRestore(f *testing.F) {
	seed := fuzzSeed()
	for n := 0; n*130 <= len(seed); n += 4 {
		r := newRig([2]uint64{1, 2})
		for i := range n {
			r.apply(journal.Kind(seed[i*130]%6)+1, journal.Actor{}, journal.Aligned(bytes.Clone(seed[i*130+2:(i+1)*130])))
		}
		r.seal()
		f.Add(takeSnapshot(r.state, uint64(len(r.log))))
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		s, seq, err := ledger.Restore(ledger.Config{}, bytes.NewReader(image))
		if err != nil {
			return
		}
		if err := conserved(s); err != nil {
			t.Fatal(err)
		}
		again, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(takeSnapshot(s, seq)))
		if err != nil {
			t.Fatalf("a snapshot of what was restored: %v", err)
		}
		if err := equalStates(s, again); err != nil {
			t.Fatal(err)
		}
		exercise(t, s, seq, image)
	})
}

// exercise moves time to the end of all reservations, and freezes and moves money between the first accounts.
func exercise(t *testing.T, s *ledger.State, seq uint64, image []byte) {
	b, fx := journal.NewBuilder(), &ledger.Effects{}
	if seq >= journal.MaxSeq || s.NextTime() > journal.MaxTimestamp/2 {
		return
	}
	s.Begin(b, fx, seq+1, max(s.NextTime(), s.NextExpiry()))
	s.Expire()
	if s.Counts().Accounts >= 2 {
		x, y := s.AccountByNumber(1), s.AccountByNumber(2)
		events := []journal.Transfer{
			{ID: money.U128{Lo: 1, Hi: 77}, Debit: x.ID, Credit: y.ID, Amount: money.From(1), Asset: x.Asset, Code: 1},
			{ID: money.U128{Lo: 2, Hi: 77}, PendingID: money.From(10), Flags: journal.TransferVoid},
		}
		if len(image) > 256 {
			events[1].PendingID = money.U128{Lo: binary.LittleEndian.Uint64(image[248:]), Hi: 0}
		}
		for i := range events {
			if needs := s.Needs(journal.KindTransfers, journal.Bytes(events[i:i+1]), nil); len(needs) > 0 {
				continue // the journal that would tell is not there
			}
			s.Apply(journal.KindTransfers, journal.Actor{}, journal.Bytes(events[i:i+1]), ledger.Facts{}, make([]journal.Result, 1))
		}
		f := []journal.Freeze{{ID: money.U128{Lo: 3, Hi: 77}, Account: x.ID, Selector: journal.SelectAccount, Mode: journal.FreezeAll}}
		s.Apply(journal.KindFreeze, journal.Actor{}, journal.Bytes(f), ledger.Facts{}, make([]journal.Result, 1))
	}
	if err := conserved(s); err != nil {
		t.Fatal(err)
	}
}
