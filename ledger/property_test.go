package ledger_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/big"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestAgainstModel sends random requests, biased to collisions, to the ledger and to the model. Every status,
// timestamp and balance must be equal; at the end the journal must replay, and a snapshot that was taken in pieces
// meanwhile, with the blocks after it, must give the same state. STERLING_SOAK=1 runs many more of them.
func TestAgainstModel(t *testing.T) {
	if os.Getenv("STERLING_SOAK") == "1" {
		if err := flag.Set("rapid.checks", "20000"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) { newDuel(t).fight() })
}

// duel is a run of the ledger against the model.
type duel struct {
	*rapid.T
	gen
	r        *rig
	m        *model
	expiries []journal.Expiry // that the open block must have
	taking   *ledger.Snapshot
	taken    []byte
	base     uint64 // block of the snapshot
	walk     walk
	trials   []map[[2]uint32][6]string // that closes of the open block must have attached
	policies int
	late     int // late bookings that were proposed
	crossings
}

func newDuel(t *rapid.T) *duel {
	key := [2]uint64{rapid.Uint64().Draw(t, "key"), rapid.Uint64().Draw(t, "key")}
	size := rapid.SampledFrom([]int{0, 1, 2, 5, 20}).Draw(t, "generation")
	d := &duel{T: t, r: newRigOf(key, size), m: newModel()}
	d.gen = gen{T: t, m: d.m}
	if rapid.IntRange(0, 3).Draw(t, "collide") == 0 {
		d.collide = key[0] | 1 // ids with this low half have one hash
		d.r = newRigOf([2]uint64{d.collide, key[1]}, d.r.size)
	}
	d.r.clock = 1 + uint64(d.pick(0, 5_000))*1_000_000_000
	if d.pick(0, 2) > 0 {
		d.r.clock += 400 * 86_400 * 1_000_000_000
	}
	d.walk.sums = map[uint32]ledger.Balances{}
	d.r.began = func() {
		d.m.time = d.r.opened
		d.expiries = d.m.expire(journal.MaxEvents)
	}
	d.r.sealed = d.checkBlock
	return d
}

func (d *duel) fight() {
	d.accounts()
	d.beginCrossings()
	for range d.pick(5, 60) {
		switch d.pick(0, 33+d.crossing()) {
		case 0:
			d.accounts()
		case 1, 2, 3:
			d.r.seal()
		case 4, 5:
			d.r.seal()
			d.r.clock += d.clockStep()
		case 6:
			d.r.release(uint64(len(d.r.log)) - uint64(d.pick(0, min(2, len(d.r.log)))))
		case 7:
			d.freeze()
		case 8:
			d.limit()
		case 9, 10:
			d.snapshot()
		case 11, 12, 13:
			d.transaction()
		case 14:
			d.metadataChange()
		case 15, 16:
			d.closeDay()
		case 17:
			d.control()
		case 18, 19:
			d.propose()
		case 20, 21:
			d.decide()
		case 22:
			d.lateBooking()
		case 23, 24:
			d.settle()
		case 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48:
			d.cross()
		default:
			d.transfers()
		}
		d.checkBalances()
		d.checkBooks()
		d.checkCrossings()
	}
	d.r.seal()
	d.checkTransfers()
	d.finishSnapshot(false)
	if err := d.r.checkReplay(); err != nil {
		d.Fatal(err)
	}
}

func (d *duel) compare(kind journal.Kind, got, want []journal.Result, describe func(i int) string) {
	for i := range got {
		if got[i] != want[i] {
			d.Fatalf("event %d, %s: got %s at %d, the model says %s at %d", i, describe(i),
				got[i].Status.Name(kind), got[i].Timestamp, want[i].Status.Name(kind), want[i].Timestamp)
		}
	}
}

func (d *duel) accounts() {
	d.r.begin()
	_, events, list := d.genProposed(0)
	got := d.r.applyAttached(journal.KindAccounts, journal.Actor{}, events, list)
	asked := journal.View[journal.Account](events)
	want := d.m.createAccounts(d.r.next, asked, list)
	d.compare(journal.KindAccounts, got, want, func(i int) string { return fmt.Sprintf("%+v", asked[i]) })
}

func (d *duel) transfers() {
	d.r.begin()
	events := d.genTransfers()
	list := d.attach(len(events), func(i int) string {
		if k := d.again[i]; k >= 0 && !d.chance(4) {
			return d.sentDetails[k]
		}
		return d.transferDetails()
	}, func(i int, on bool) { setFlag(&events[i], on) })
	got := d.r.applyAttached(journal.KindTransfers, journal.Actor{}, journal.Bytes(events), list)
	want := d.m.createTransfers(d.r.next, events, list)
	d.compare(journal.KindTransfers, got, want, func(i int) string { return fmt.Sprintf("%+v", events[i]) })
	for i := range events {
		d.sent, d.sentDetails = append(d.sent, events[i]), append(d.sentDetails, attachedTo(list, i))
	}
}

// freeze freezes something, or lifts the youngest freeze.
func (d *duel) freeze() {
	open := -1
	for i, f := range d.m.freezes {
		if !f.lifted {
			open = i
		}
	}
	d.r.begin()
	if open >= 0 && d.pick(0, 2) > 0 {
		u := journal.Unfreeze{ID: money.From(uint64(2100 + open)), FreezeID: d.m.freezes[open].ID}
		got := d.r.apply(journal.KindUnfreeze, journal.Actor{2}, journal.Bytes([]journal.Unfreeze{u}))
		var want [1]journal.Result
		want[0].Status, want[0].Timestamp = d.m.unfreeze(u, journal.Actor{2}, d.r.next)
		d.compare(journal.KindFreeze, got, want[:], func(int) string { return fmt.Sprintf("%+v", u) })
		return
	}
	f := journal.Freeze{ID: money.From(uint64(1000 + len(d.m.freezes))), Selector: journal.Selector(d.pick(1, 3)), Mode: journal.FreezeMode(d.pick(1, 3))}
	switch f.Selector {
	case journal.SelectAccount:
		if f.Account = d.accountID(); d.m.accounts[f.Account].debPosted == nil {
			return
		}
	case journal.SelectCode:
		f.Code = uint16(d.pick(1, 2))
	}
	mustBeCreated(d, d.r.apply(journal.KindFreeze, journal.Actor{1}, journal.Bytes([]journal.Freeze{f})))
	d.m.freezes = append(d.m.freezes, modelFreeze{Freeze: f, actor: journal.Actor{1}})
}

func mustBeCreated(d *duel, results []journal.Result) {
	if results[0].Status != journal.Created {
		d.Fatalf("status %d at %d", results[0].Status, results[0].Timestamp)
	}
}

func (d *duel) limit() {
	l := journal.Limit{
		ID: money.From(uint64(len(d.sent)*100 + d.pick(1, 99))), Account: d.accountID(), Side: journal.FreezeMode(d.pick(1, 2)),
		HourAmount: d.smallAmount(), DayAmount: d.smallAmount(), HourCount: uint32(d.pick(0, 4)), DayCount: uint32(d.pick(0, 6)),
	}
	_, known := d.m.accounts[l.Account]
	results := d.r.apply(journal.KindLimits, journal.Actor{1}, journal.Bytes([]journal.Limit{l}))
	if results[0].Status == journal.ControlAccountNotFound && !known || results[0].Status == journal.ControlExistsWithDifferentFields {
		return
	}
	mustBeCreated(d, results)
	key := limitOf{l.Account, l.Side}
	since := len(d.m.moved)
	if was, ok := d.m.limits[key]; ok {
		since = was.since
	}
	d.m.limits[key] = modelLimit{l, since}
}

// snapshot begins one, takes a piece of the one under way, or finishes it and perhaps goes on with the copy.
func (d *duel) snapshot() {
	if d.taking == nil {
		d.r.seal()
		d.r.release(uint64(len(d.r.log)))
		d.r.ids.settle(d.r.state)
		d.base, d.taken = uint64(len(d.r.log)), nil
		d.taking = d.r.state.StartSnapshot(d.base)
		return
	}
	for range d.pick(1, 3) {
		var more bool
		if d.taken, more = d.taking.Next(d.taken, d.pick(1, 600)); !more {
			d.finishSnapshot(d.pick(0, 1) == 0)
			return
		}
	}
}

// settle writes one or all generations out that can be.
func (d *duel) settle() {
	if g := d.r.state.NextSealed(); g != nil {
		d.r.ids.write(d.r.state, g)
	}
	if d.pick(0, 1) == 0 {
		d.r.ids.settle(d.r.state)
	}
}

func (d *duel) finishSnapshot(goOn bool) {
	if d.taking == nil {
		return
	}
	d.r.seal()
	for more := true; more; {
		d.taken, more = d.taking.Next(d.taken, 1000)
	}
	d.taking = nil
	words := func(n int) []byte { return make([]byte, n, n+8) }
	cfg := d.r.ids.config([2]uint64{}, d.r.size)
	cfg.Alloc = words
	copied, seq, err := ledger.Restore(cfg, bytes.NewReader(d.taken))
	if err != nil || seq != d.base {
		d.Fatalf("restore: block %d, want %d: %v", seq, d.base, err)
	}
	if err := d.r.replayedWith(d.r.ids, copied, seq+1); err != nil {
		d.Fatalf("replay on top of the snapshot: %v", err)
	}
	if err := equalStates(d.r.state, copied); err != nil {
		d.Fatalf("snapshot and later blocks: %v", err)
	}
	if goOn {
		d.r.state, d.r.released = copied, uint64(len(d.r.log))
	}
}

// checkBlock compares a sealed block's expiries and effects.
func (d *duel) checkBlock(k *journal.Block) {
	if len(k.Expiries) != len(d.expiries) {
		d.Fatalf("block %d has expiries %v, the model %v", k.Header.Seq, k.Expiries, d.expiries)
	}
	for i, e := range k.Expiries {
		if e != d.expiries[i] {
			d.Fatalf("expiry %d of block %d is %v, the model's %v", i, k.Header.Seq, e, d.expiries[i])
		}
	}
	rows := historyRows(d.r.fx.History)
	if len(rows) != len(d.m.history) {
		d.Fatalf("block %d has %d rows of history, the model %d", k.Header.Seq, len(rows), len(d.m.history))
	}
	for i, h := range rows {
		row, b := d.m.history[i], h.Balances
		sums := [4]money.U128{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted}
		if id := d.r.state.AccountByNumber(h.Account).ID; id != row.account || sums != row.sums {
			d.Fatalf("row %d of block %d: account %v has %v, the model's %v has %v", i, k.Header.Seq, id, sums, row.account, row.sums)
		}
	}
	d.m.history = nil
	d.checkEffects(k)
	d.checkHistory(k)
	d.checkNewEffects(k)
}

// checkEffects checks that the block's effects name all transfers that were created, with what they inherited.
func (d *duel) checkEffects(k *journal.Block) {
	inherited := map[uint32]ledger.Inherited{}
	for _, in := range d.r.fx.Inherited {
		inherited[in.Event] = in
	}
	for _, e := range d.r.fx.Transfers {
		f, err := d.r.fact(journal.At(k.Header.Seq, len(k.Expiries)+int(e.Event)))
		if err != nil || f.Status != journal.Created {
			d.Fatalf("effect of event %d, which has status %d: %v", e.Event, f.Status, err)
		}
		want, in := d.m.transfers[f.Asked.ID], inherited[e.Event]
		data := [3]money.U128{f.Asked.UserData128, money.From(f.Asked.UserData64), money.From(uint64(f.Asked.UserData32))}
		for i, v := range [3]money.U128{in.UserData128, money.From(in.UserData64), money.From(uint64(in.UserData32))} {
			if !v.IsZero() {
				data[i] = v
			}
		}
		debit, credit := d.r.state.AccountByNumber(e.Debit).ID, d.r.state.AccountByNumber(e.Credit).ID
		if debit != want.debit || credit != want.credit || data != want.data {
			d.Fatalf("effect of transfer %v: %v → %v with %v, the model has %v → %v with %v", f.Asked.ID, debit, credit, data, want.debit, want.credit, want.data)
		}
	}
}

// checkBalances compares every account and the totals, and that debits equal credits.
func (d *duel) checkBalances() {
	sums := map[uint32]*[4]*big.Int{}
	for id, want := range d.m.accounts {
		got, n := d.r.state.Account(id)
		if n == 0 {
			d.Fatalf("account %v is missing", id)
		}
		b := ledger.BalancesOf(&got)
		if have := [4]money.U128{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted}; have != want.sums() {
			d.Fatalf("account %v has %v, the model %v", id, have, want.sums())
		}
		if got.Flags.Has(journal.AccountClosed) != want.closed || got.Timestamp != want.timestamp || got.Reserved != 0 {
			d.Fatalf("account %v: %+v, the model %+v", id, got, want)
		}
		if sums[got.Asset] == nil {
			sums[got.Asset] = &[4]*big.Int{{}, {}, {}, {}}
		}
		for i, v := range want.sums() {
			sums[got.Asset][i].Add(sums[got.Asset][i], bigOf(v))
		}
	}
	for asset, s := range sums {
		if s[0].Cmp(s[2]) != 0 || s[1].Cmp(s[3]) != 0 {
			d.Fatalf("asset %d: debits %v and %v, credits %v and %v", asset, s[0], s[1], s[2], s[3])
		}
	}
	want := ledger.Counts{Accounts: uint64(len(d.m.accounts)), Transfers: uint64(len(d.m.transfers)), Burned: uint64(len(d.m.burned))}
	for _, x := range d.m.transfers {
		if x.open() {
			want.Pending++
		}
	}
	if got := d.r.state.Counts(); got != want {
		d.Fatalf("counts %+v, the model %+v", got, want)
	}
}

// checkTransfers compares every transfer as it is kept.
func (d *duel) checkTransfers() {
	for id, want := range d.m.transfers {
		got, ok := d.r.lookup(id)
		data := [3]money.U128{got.UserData128, money.From(got.UserData64), money.From(uint64(got.UserData32))}
		if !ok || bigOf(got.Amount).Cmp(want.amount) != 0 || got.Debit != want.debit || got.Credit != want.credit || data != want.data || got.Timestamp != want.timestamp || got.Attachment != want.attached {
			d.Fatalf("transfer %v is kept (%v) as %+v, the model has %+v", id, ok, got, want)
		}
	}
	for id := range d.m.burned {
		if _, ok := d.r.lookup(id); ok {
			d.Fatalf("transfer %v is there, the model says it burned", id)
		}
	}
}
