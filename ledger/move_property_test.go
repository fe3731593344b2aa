package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
	"github.com/sterlingrun/sterling/watch"
)

// TestMovesAgainstOneCell sends random requests to cells between which buckets move, with crashes and repeats between any
// two steps, and the same requests to a ledger of one cell. Every status and every balance must be the same, whatever is
// sent again must be answered as before, and the cells' own accounts must cancel out.
func TestMovesAgainstOneCell(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newTown(t)
		w.seen = seen
		w.live()
	})
	for _, what := range []string{
		"moved", "called off", "refused", "plain", "split true", "split false", "pair", "hold", "across", "drained",
		"both ends in one cell", "ended across", "expired across",
	} {
		if seen[what] == 0 {
			t.Errorf("it did not see %q: %v", what, seen)
		}
	}
}

const (
	townCells   = 3
	townBuckets = 4
	perBucket   = 4
)

var townAsset = money.Asset{Code: "CNY", Scale: 2}

// town is some cells, and one ledger that is asked the same.
type town struct {
	*rapid.T
	cells   [townCells]*cellRig
	one     *rig
	owner   map[uint16]int // bucket → cell
	known   []uint16
	ids     map[uint16][]money.U128
	nextID  uint64
	sent    []journal.Transfer
	home    map[money.U128]uint16 // id of a transfer → bucket
	moving  []*mover              // at most two
	version uint64
	limits  uint64
	asked   map[money.U128]journal.Transfer // by id
	limited map[money.U128]bool             // accounts that ever had a limit
	seen    map[string]int                  // what happened
}

// cellRig is one cell, with the snapshot that is being taken of it.
type cellRig struct {
	*rig
	taking *ledger.Snapshot
	taken  []byte
	base   uint64
}

func townRig(t *rapid.T, name string) *rig {
	r := newRigOf([2]uint64{rapid.Uint64().Draw(t, name), 7}, rapid.SampledFrom([]int{0, 3, 20}).Draw(t, name+" generation"))
	return r
}

func newTown(t *rapid.T) *town {
	w := &town{
		T: t, owner: map[uint16]int{}, ids: map[uint16][]money.U128{}, home: map[money.U128]uint16{}, nextID: 1 << 20, one: townRig(t, "one"),
		asked: map[money.U128]journal.Transfer{}, limited: map[money.U128]bool{},
	}
	for id := uint64(1); len(w.known) < townBuckets || w.missing(); id++ {
		b := journal.Bucket(money.From(id))
		if _, ok := w.ids[b]; !ok {
			if len(w.known) == townBuckets {
				continue
			}
			w.known = append(w.known, b)
		}
		w.ids[b] = append(w.ids[b], money.From(id))
	}
	asset := journal.Bytes([]journal.Asset{ledger.AssetRecord(townAsset)})
	w.one.apply(journal.KindAssets, journal.Actor{}, asset)
	for i := range w.cells {
		c := &cellRig{rig: townRig(t, fmt.Sprint("cell ", i))}
		w.cells[i] = c
		c.header, c.witness = journal.Header{Kind: journal.BlockNormal, Rules: ledger.Rules, Cell: cellID(i)}, watch.NewVerifier(cellID(i))
		c.apply(journal.KindAssets, journal.Actor{}, asset)
		own := transit.Accounts(townAsset, 1, cellID(0))
		for peer := 1; peer < townCells; peer++ {
			own = append(own, transit.Accounts(townAsset, 1, cellID(peer))[1])
		}
		w.all(c.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(own)))
	}
	for i, b := range w.known {
		w.owner[b] = i % townCells
		for k, id := range w.ids[b] {
			w.account(b, id, k)
		}
	}
	return w
}

func cellID(i int) uint64 { return uint64(i) + 1 }

func clearing(peer int) money.U128 { return transit.Clearing(townAsset, cellID(peer)) }

func (w *town) missing() bool {
	for _, b := range w.known {
		if len(w.ids[b]) < perBucket {
			return true
		}
	}
	return false
}

func (w *town) all(results []journal.Result) {
	for i, r := range results {
		if r.Status != journal.Created {
			w.Fatalf("event %d: status %d", i, r.Status)
		}
	}
}

// account creates an account with an address, metadata, or a limit of its balance.
func (w *town) account(b uint16, id money.U128, k int) {
	a := journal.Account{ID: id, Asset: 1, Code: uint16(1 + k%2), UserData64: id.Lo}
	var list []journal.Attachment
	switch k % 4 {
	case 1:
		a.Flags = journal.AccountDebitsMustNotExceedCredits | journal.AccountAttached
		d := journal.Details{Address: fmt.Sprint("customer:", id), Metadata: []journal.Meta{journal.Text("name", id.String())}}
		list = []journal.Attachment{{Data: d.Append(nil)}}
	case 2:
		a.Flags = journal.AccountHistory
	}
	events := journal.Bytes([]journal.Account{a})
	for _, r := range []*rig{w.one, w.cells[w.owner[b]].rig} {
		w.all(r.applyAttached(journal.KindAccounts, journal.Actor{}, events, list))
	}
}

func (w *town) pick(from, to int) int { return rapid.IntRange(from, to).Draw(w.T, "n") }

func (w *town) live() {
	for range w.pick(30, 150) {
		w.drive()
		switch w.pick(0, 19) {
		case 0:
			w.metadata()
		case 1:
			w.freezeOrLimit()
		case 2, 3:
			w.later()
		case 4:
			w.crash(w.cells[w.pick(0, townCells-1)])
		case 5:
			w.cells[w.pick(0, townCells-1)].snapshot(w)
		case 6:
			w.again()
		case 7, 8, 9, 10, 11, 12, 13:
			w.step()
		default:
			w.transfer()
		}
		w.check()
	}
	for len(w.moving) > 0 {
		w.step()
	}
	w.check()
	for i := range w.sent {
		w.send(w.sent[i])
	}
	w.check()
	w.endAll()
	w.check()
	for _, c := range w.cells {
		if err := c.checkReplay(); err != nil {
			w.Fatal(err)
		}
		c.finish(w)
	}
}

// later moves the clocks, never to a whole second after another event.
func (w *town) later() {
	by := rapid.Uint64Range(1, 1_500_000_000).Draw(w.T, "ns") | 1<<16
	for _, r := range append([]*rig{w.one}, w.rigs()...) {
		r.seal()
		r.clock = max(r.clock, w.one.state.NextTime()) + by
		r.release(uint64(len(r.log)) - uint64(w.pick(0, min(1, len(r.log)))))
		r.ids.settle(r.state)
	}
	now := w.one.clock
	for _, r := range w.rigs() {
		r.clock = now
	}
}

func (w *town) rigs() (list []*rig) {
	for _, c := range w.cells {
		list = append(list, c.rig)
	}
	return list
}

// transfer sends a transfer, or a post or void.
func (w *town) transfer() {
	pay := journal.Transfer{ID: money.From(w.nextID), Asset: 1, Code: 1, Amount: money.From(uint64(w.pick(0, 20))), UserData32: uint32(w.pick(0, 1))}
	w.nextID++
	b, fenced := w.home[pay.ID]
	if !fenced {
		b = w.known[w.pick(0, townBuckets-1)]
	}
	if kind := w.pick(0, 9); kind < 3 && len(w.sent) > 0 && !fenced {
		b = w.resolve(&pay, w.pick(0, 3), b)
	} else {
		other := b
		switch w.pick(0, 3) {
		case 0:
			other = w.neighbour(b)
		case 1, 2:
			other = w.known[w.pick(0, townBuckets-1)]
		}
		pay.Debit, pay.Credit = w.ids[b][w.pick(0, perBucket-1)], w.ids[other][w.pick(0, perBucket-1)]
		if pay.Debit == pay.Credit {
			return
		}
		if kind < 8 {
			pay.Flags, pay.Timeout = journal.TransferPending, uint32(w.pick(0, 3)/3*w.pick(0, 3))
			if w.owner[other] == w.owner[b] && w.pick(0, 9) == 0 {
				pay.Flags |= journal.TransferClosingDebit << w.pick(0, 1)
			}
		}
	}
	w.home[pay.ID], w.asked[pay.ID] = b, pay
	if w.send(pay) {
		w.sent = append(w.sent, pay)
	}
}

// neighbour returns another bucket of the same cell, or b where there is none.
func (w *town) neighbour(b uint16) uint16 {
	for _, other := range w.known {
		if other != b && w.owner[other] == w.owner[b] {
			return other
		}
	}
	return b
}

// resolve makes a post or void of pay, of something that was sent, is open, or may come; it returns its bucket.
func (w *town) resolve(pay *journal.Transfer, kind int, b uint16) uint16 {
	switch w.pick(0, 9) {
	case 0:
		pay.PendingID = w.sent[w.pick(0, len(w.sent)-1)].ID
	case 1:
		pay.PendingID = money.From(w.nextID + uint64(w.pick(0, 3))) // to come, if it is not fenced
		if _, known := w.home[pay.PendingID]; !known {
			w.home[pay.PendingID] = b
		}
	default:
		pay.PendingID = w.reserve()
	}
	pay.Asset, pay.Code = 0, 0
	pay.Flags = []journal.TransferFlags{
		journal.TransferPost, journal.TransferVoid, journal.TransferVoid | journal.TransferFence, journal.TransferPost | journal.TransferKeepRemainder,
	}[kind]
	switch {
	case pay.Flags.Has(journal.TransferVoid):
		pay.Amount = money.U128{}
	case w.pick(0, 1) == 0:
		pay.Amount = money.Max()
	}
	if of, known := w.asked[pay.PendingID]; known && w.pick(0, 2) == 0 { // the right accounts, or wrong ones
		pay.Debit, pay.Credit = of.Debit, of.Credit
		if w.pick(0, 5) == 0 {
			pay.Credit = w.ids[w.home[pay.PendingID]][w.pick(0, perBucket-1)]
		}
	}
	return w.home[pay.PendingID]
}

// reserve returns the id of a reservation that is open, if there is one.
func (w *town) reserve() money.U128 {
	list, _ := w.one.state.OpenPendings(0, 100, nil)
	if len(list) == 0 {
		return w.sent[0].ID
	}
	return list[w.pick(0, len(list)-1)].ID
}

func (w *town) again() {
	if n := len(w.sent); n > 0 {
		w.send(w.sent[w.pick(0, n-1)])
	}
}

// send sends a transfer to its cell, which may need another one for it, and to the one ledger. It reports whether it was
// taken.
func (w *town) send(t journal.Transfer) bool {
	w.drive()
	cell := w.owner[w.home[t.ID]]
	c := w.cells[cell]
	if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
		if x, crosses := w.crossing(c, t.PendingID); crosses {
			return w.endAcross(c, &t, &x)
		}
	} else if w.owner[journal.Bucket(t.Credit)] != cell {
		return w.across(cell, t)
	}
	return w.compare(c, t, transit.Event{Transfer: t})
}

// compare sends an event for t, and t to the one ledger: the results must be the same.
func (w *town) compare(c *cellRig, t journal.Transfer, e transit.Event) bool {
	got, refused := c.askEvents(e)
	if refused {
		w.seen["refused"]++
		return false
	}
	want := w.one.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{t}))
	if got[0].Status != want[0].Status {
		w.Fatalf("%+v: %s, alone it is %s", e.Transfer, got[0].Status.Name(journal.KindTransfers), want[0].Status.Name(journal.KindTransfers))
	}
	return true
}

// ask applies a request unless it touches a bucket that moves.
func (c *cellRig) ask(kind journal.Kind, events []byte, list []journal.Attachment) (results []journal.Result, refused bool) {
	c.begin()
	c.state.Attach(list)
	facts, err := c.fetch(c.state.Needs(kind, events, nil), c.released, c.ids)
	if err != nil {
		panic(err)
	}
	if _, refused = c.state.Refused(kind, events, facts); refused {
		return nil, true
	}
	return c.applyAttached(kind, journal.Actor{1}, events, list), false
}

func (w *town) both(b uint16, kind journal.Kind, events []byte, list []journal.Attachment) {
	got, refused := w.cells[w.owner[b]].ask(kind, events, list)
	if refused {
		return
	}
	want := w.one.applyAttached(kind, journal.Actor{1}, events, list)
	if got[0].Status != want[0].Status {
		w.Fatalf("kind %d: %s, alone it is %s", kind, got[0].Status.Name(kind), want[0].Status.Name(kind))
	}
}

func (w *town) metadata() {
	b := w.known[w.pick(0, townBuckets-1)]
	d := journal.Details{Metadata: []journal.Meta{journal.Int("n", int64(w.nextID))}}
	c := journal.MetadataChange{ID: money.U128{Hi: 3, Lo: w.nextID}, Account: w.ids[b][w.pick(0, perBucket-1)], Flags: journal.TransferHead | journal.TransferAttached}
	w.nextID++
	w.both(b, journal.KindMetadata, journal.Bytes([]journal.MetadataChange{c}), []journal.Attachment{{Data: d.Append(nil)}})
}

func (w *town) freezeOrLimit() {
	b := w.known[w.pick(0, townBuckets-1)]
	account := w.ids[b][w.pick(0, perBucket-1)]
	w.limits++
	id := money.U128{Hi: account.Lo, Lo: uint64(w.pick(1, 3))} // ids are unique in a home
	switch w.pick(0, 2) {
	case 0:
		w.both(b, journal.KindFreeze, journal.Bytes([]journal.Freeze{{ID: id, Account: account, Selector: journal.SelectAccount, Mode: journal.FreezeMode(w.pick(1, 3))}}), nil)
	case 1:
		for _, f := range w.one.state.Freezes(true) {
			u := journal.Unfreeze{ID: money.U128{Hi: f.Account.Lo, Lo: 1<<40 + w.limits}, FreezeID: f.ID}
			w.both(journal.Bucket(f.Account), journal.KindUnfreeze, journal.Bytes([]journal.Unfreeze{u}), nil)
			return
		}
	case 2:
		l := journal.Limit{ID: id, Account: account, Side: journal.FreezeMode(w.pick(1, 2)), DayAmount: money.From(uint64(w.pick(0, 100))), HourCount: uint32(w.pick(0, 9))}
		w.limited[account] = true
		w.both(b, journal.KindLimits, journal.Bytes([]journal.Limit{l}), nil)
	}
}

// crash makes a cell go on from its journal, or from a snapshot that was taken and the journal after it.
func (w *town) crash(c *cellRig) {
	c.seal()
	c.finish(w)
	ids := newIDFiles()
	s := ledger.New(ids.config([2]uint64{3, 4}, c.size))
	if err := c.replayedWith(ids, s, 1); err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(equalStates(c.state, s), equalMoves(c.state, s)); err != nil {
		w.Fatal(err)
	}
	c.state, c.ids = s, ids
	c.release(uint64(len(c.log)))
}

func equalMoves(a, b *ledger.State) error {
	if !slices.Equal(a.Buckets(), b.Buckets()) {
		return fmt.Errorf("buckets %+v, the other has %+v", a.Buckets(), b.Buckets())
	}
	for k := range uint16(journal.Buckets) {
		x, y := a.InBucket(k)
		if v, w := b.InBucket(k); v != x || w != y {
			return fmt.Errorf("bucket %d has %d accounts and %d reservations, in the other %d and %d", k, x, y, v, w)
		}
	}
	return nil
}

// snapshot takes a piece of a snapshot, or begins one.
func (c *cellRig) snapshot(w *town) {
	c.seal()
	if c.taking == nil && c.taken == nil && c.state.Unsettled() == 0 {
		c.base = uint64(len(c.log))
		c.taking = c.state.StartSnapshot(c.base)
	}
	if c.taking != nil {
		var more bool
		if c.taken, more = c.taking.Next(c.taken, w.pick(1, 2000)); !more {
			c.taking = nil
		}
	}
}

// finish ends a snapshot, reads it, and replays what came after it.
func (c *cellRig) finish(w *town) {
	if c.taking == nil && c.taken == nil {
		return
	}
	for c.taking != nil {
		c.snapshot(w)
	}
	s, seq, err := ledger.Restore(c.ids.config([2]uint64{}, c.size), bytes.NewReader(c.taken))
	if err != nil || seq != c.base {
		w.Fatalf("snapshot of block %d, not %d: %v", seq, c.base, err)
	}
	if err := c.replayedWith(c.ids, s, seq+1); err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(equalStates(c.state, s), equalMoves(c.state, s)); err != nil {
		w.Fatal(err)
	}
	c.taken = nil
}

// check compares every account with that of the one ledger, and adds up what the cells have to do with each other.
func (w *town) check() {
	w.drive() // what is due has expired
	waits := w.waiting()
	for b, ids := range w.ids {
		if w.moves(b) {
			continue // it is on its way
		}
		for _, id := range ids {
			c := w.cells[w.owner[b]]
			if waits[id] {
				continue
			}
			got, n := c.state.Account(id)
			want, m := w.one.state.Account(id)
			got.Timestamp, want.Timestamp = 0, 0
			if got != want {
				w.Fatalf("account %v of bucket %d in cell %d: %+v, alone it is %+v", id, b, w.owner[b], got, want)
			}
			if a, b := c.state.Address(n), w.one.state.Address(m); a != b || a != "" && c.state.ByAddress(a) != n {
				w.Fatalf("account %v has address %q, alone %q", id, a, b)
			}
			if a, b := c.metadata(n), w.one.metadata(m); !slices.EqualFunc(a, b, func(x, y journal.Meta) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) }) {
				w.Fatalf("account %v has metadata %v, alone %v", id, a, b)
			}
		}
	}
	if len(w.moving) > 0 {
		return
	}
	var debits, credits, pending uint64
	for i, c := range w.cells {
		for peer := range townCells {
			y, _ := c.state.Account(clearing(peer))
			debits, credits = debits+y.DebitsPosted.Lo, credits+y.CreditsPosted.Lo
		}
		if x, _ := c.state.Account(transit.InTransit(townAsset)); x.DebitsPosted != x.CreditsPosted {
			w.Fatalf("cell %d has in transit: %+v", i, x)
		}
		for _, p := range openOf(c.state) {
			if !p.Flags.Has(journal.TransferHold) {
				pending++
			}
		}
	}
	if debits != credits || pending != w.one.state.Counts().Pending {
		w.Fatalf("the cells owe each other %d and %d, and have %d reservations of %d", debits, credits, pending, w.one.state.Counts().Pending)
	}
}

// metadata returns an account's metadata.
func (r *rig) metadata(n uint32) []journal.Meta {
	p := r.state.Metadata(n)
	if p == 0 {
		return nil
	}
	if p.Seq() > uint64(len(r.log)) {
		r.seal()
	}
	k := r.log[p.Seq()-1]
	d, err := journal.DecodeDetails(k.Attachment(p.Index() - len(k.Expiries)))
	if err != nil {
		panic(err)
	}
	return d.Metadata
}
