package books_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// moved are two cells after their bucket has gone to the second one, with what happened then: Erin is opened in the
// first and paid, Carol is frozen; Dora is paid in the second.
func moved() *readmodeltest.Moves {
	m := readmodeltest.NewMoves()
	m.Move(0, 1)
	a := m.Cells[0]
	a.Do(journal.KindAccounts, 1, journal.Bytes([]journal.Account{{ID: erin(m), Asset: 1, Code: 1}}))
	a.Seal()
	m.Pay(0, 601, m.Carol, erin(m), 1)
	a.Do(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{{ID: money.From(602), Account: m.Carol, Selector: journal.SelectAccount, Mode: journal.FreezeDebit}}))
	a.Seal()
	m.Pay(1, 603, m.Alice, m.Dora, 1)
	return m
}

// erin is an account that is not in the bucket that moves.
func erin(m *readmodeltest.Moves) money.U128 {
	for id := uint64(900); ; id++ {
		if journal.Bucket(money.From(id)) != journal.Bucket(m.Alice) {
			return money.From(id)
		}
	}
}

// TestMoves: of a bucket that goes to another cell and comes back there is nothing to find in either journal, the balances
// are the ledger's, and a snapshot in between has all there is to know.
func TestMoves(t *testing.T) {
	m := moved()
	m.End(1, 604, readmodeltest.PendingWithin, 60)
	m.Cells[1].Advance(2 * 3600 * second)
	m.Pay(1, 605, m.Alice, m.Bob, 1)
	m.Move(1, 0)
	m.Pay(0, 606, m.Bob, m.Alice, 2)
	for _, w := range m.Cells {
		model := books.New(w.Cell, books.Options{})
		for i, k := range w.Blocks {
			model.Apply(k.Raw, nil, func(f *books.Finding) { t.Errorf("cell %d: %s: %s %+v", w.Cell, f.Class, f.Summary, f.Fields) })
			if i%3 != 0 {
				continue
			}
			var b bytes.Buffer
			if err := model.Snapshot(&b); err != nil {
				t.Fatal(err)
			}
			var err error
			if model, err = books.Restore(&b, w.Cell, books.Options{HashKey: uint64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range w.State.Counts().Accounts {
			a := w.State.AccountByNumber(uint32(n + 1))
			got, ok := model.Account(id(a.ID))
			want := books.Balances{
				Account: id(a.ID), Asset: a.Asset, DebitsPosted: count.Amount(a.DebitsPosted), CreditsPosted: count.Amount(a.CreditsPosted),
				DebitsPending: count.Amount(a.DebitsPending), CreditsPending: count.Amount(a.CreditsPending),
			}
			if !ok || got != want || model.Moved(id(a.ID)) != a.Flags.Has(journal.AccountMoved) {
				t.Errorf("cell %d: %+v, the ledger has %+v", w.Cell, got, want)
			}
		}
		if n := w.State.Counts().Pending; model.Pending() != n {
			t.Errorf("cell %d: %d reservations, the ledger has %d", w.Cell, model.Pending(), n)
		}
	}
}

// misplaced is a fault in one cell's journal of a move: the block that has the n-th request of a kind is bent.
type misplaced struct {
	name   string
	cell   int
	kind   journal.Kind
	n      int
	change func(m *readmodeltest.Moves, d *draft)
	class  string
	want   string // of a summary
}

func plantedMoves() []misplaced {
	step := func(change func(*journal.BucketMove)) func(*readmodeltest.Moves, *draft) {
		return func(_ *readmodeltest.Moves, d *draft) {
			change(&journal.View[journal.BucketMove](d.requests[0].events)[0])
		}
	}
	payload := func(event, at int) func(*readmodeltest.Moves, *draft) {
		return func(_ *readmodeltest.Moves, d *draft) { bendPayload(d, event, at) }
	}
	const closing, given, gone = 0, 1, 2 // of the giver
	return []misplaced{
		{"another balance", 0, journal.KindGive, 0, payload(0, 32), "lost_update", "another balance than it had"},
		{"another account", 0, journal.KindGive, 0, payload(0, 0), "lost_update", "another account's"},
		{"a limit that was counted less", 0, journal.KindGive, 0, payload(0, 173+128+8), "lost_update", "does not take its limits"},
		{"against another account", 0, journal.KindGive, 0, func(m *readmodeltest.Moves, d *draft) {
			journal.View[journal.Handover](d.requests[0].events)[0].Clearing = m.InTransit()
		}, "lost_update", "its clearing account is not"},
		{"of another move", 0, journal.KindGive, 0, func(_ *readmodeltest.Moves, d *draft) {
			journal.View[journal.Handover](d.requests[0].events)[0].Move.Lo++
		}, "lost_update", "is not closing"},
		{"twice", 0, journal.KindGive, 0, func(_ *readmodeltest.Moves, d *draft) { again(d) }, "lost_update", "is given, and is not here"},
		{"an account stays behind", 0, journal.KindGive, 0, func(_ *readmodeltest.Moves, d *draft) {
			d.requests[0].events = d.requests[0].events[:journal.RecordSize]
			d.attached = d.attached[:1]
		}, "lost_update", "comes while 1 accounts"},
		{"fewer than were given", 0, journal.KindBuckets, given, step(func(m *journal.BucketMove) { m.Accounts-- }), "lost_update", "says 1 accounts"},
		{"another digest", 0, journal.KindBuckets, given, step(func(m *journal.BucketMove) { m.Digest.Lo++ }), "lost_update", "with digest"},
		{"called off, and given", 0, journal.KindBuckets, given, step(func(m *journal.BucketMove) {
			m.Step, m.Accounts, m.Reservations, m.Digest = journal.BucketCancel, 0, 0, money.U128{}
		}), "lost_update", "calls it off"},
		{"a step too early", 0, journal.KindBuckets, closing, step(func(m *journal.BucketMove) { m.Step = journal.BucketGiven }), "lost_update", "comes while the bucket is settled"},
		{"a step of another move", 0, journal.KindBuckets, gone, step(func(m *journal.BucketMove) { m.ID.Lo++ }), "lost_update", "under way is"},
		{"a step that is none", 0, journal.KindBuckets, gone, step(func(m *journal.BucketMove) { m.Step = 9 }), "lost_update", "is none"},
		{"less than was reserved leaves", 0, journal.KindCarry, 0, func(_ *readmodeltest.Moves, d *draft) { d.attached[0].Data[len(d.attached[0].Data)-16]-- }, "lost_update", "another amount than is left"},
		{"half of what is split", 0, journal.KindCarry, 1, func(_ *readmodeltest.Moves, d *draft) {
			d.requests[0].events, d.attached, d.outcomes = d.requests[0].events[:2*journal.RecordSize], d.attached[:2], d.outcomes[:2]
			for i := range d.attached { // as if the transfer stayed
				d.attached[i].Data[len(d.attached[i].Data)-43+2] = byte(journal.StandingStays)
			}
		}, "lost_update", "in part"},
		{"a hold from another cell", 0, journal.KindCarry, 1, func(_ *readmodeltest.Moves, d *draft) {
			journal.View[journal.Transfer](d.requests[0].events)[2].Debit = journal.View[journal.Transfer](d.requests[0].events)[0].Debit
		}, "lost_update", "is not what step 2"},
		{"what left leaves again", 0, journal.KindCarry, 0, func(_ *readmodeltest.Moves, d *draft) { again(d) }, "lost_update", "is given, and is not open"},
		{"used while it closes", 0, journal.KindTransfers, 1, func(m *readmodeltest.Moves, d *draft) {
			close := journal.BucketMove{ID: money.From(5), Peer: 2, Version: 1, Bucket: journal.Bucket(m.Alice), Step: journal.BucketClose}
			d.requests = slices.Insert(d.requests, 0, part{journal.KindBuckets, journal.Actor{1}, journal.Bytes([]journal.BucketMove{close})})
		}, "lost_update", "is closing"},
		{"used when it is gone", 0, journal.KindTransfers, 6, func(m *readmodeltest.Moves, d *draft) { d.transfer(0, 0).Credit = m.Alice }, "lost_update", "is gone"},
		{"frozen when it is gone", 0, journal.KindFreeze, 0, func(m *readmodeltest.Moves, d *draft) {
			journal.View[journal.Freeze](d.requests[0].events)[0].Account = m.Alice
		}, "lost_update", "is gone"},
		{"opened again where it is gone", 0, journal.KindAccounts, 1, func(m *readmodeltest.Moves, d *draft) {
			journal.View[journal.Account](d.requests[0].events)[0].ID = m.Alice
		}, "duplicate_id", "a second time"},
		{"another balance arrives", 1, journal.KindTake, 0, payload(0, 32), "lost_update", "with digest"},
		{"it arrives twice", 1, journal.KindTake, 0, func(_ *readmodeltest.Moves, d *draft) { again(d) }, "duplicate_id", "is taken, and is here"},
		{"it arrives against another account", 1, journal.KindTake, 0, func(m *readmodeltest.Moves, d *draft) {
			journal.View[journal.Handover](d.requests[0].events)[0].Clearing = m.InTransit()
		}, "lost_update", "against another account"},
		{"a reservation of nobody arrives", 1, journal.KindCarry, 1, func(_ *readmodeltest.Moves, d *draft) { d.transfer(0, 0).Credit = money.From(77) }, "lost_update", "its accounts are not here"},
		{"a reservation arrives twice", 1, journal.KindCarry, 1, func(_ *readmodeltest.Moves, d *draft) { again(d) }, "duplicate_id", "is open here"},
		{"an id of the other cell is used", 1, journal.KindTransfers, 0, func(_ *readmodeltest.Moves, d *draft) { d.transfer(0, 0).ID = money.From(201) }, "duplicate_id", "a second time"},
		{"an old move", 1, journal.KindBuckets, 0, step(func(m *journal.BucketMove) { m.Version = 0 }), "lost_update", "is for version 0"},
		{"used while it arrives", 1, journal.KindBuckets, 1, func(_ *readmodeltest.Moves, d *draft) {
			journal.View[journal.BucketMove](d.requests[0].events)[0].Step = journal.BucketArrive
		}, "lost_update", "while the bucket is arriving"},
	}
}

// again makes the block do its request twice.
func again(d *draft) {
	n := len(d.requests[0].events) / journal.RecordSize
	d.requests = append(d.requests, d.requests[0])
	for _, a := range slices.Clone(d.attached) {
		d.attached = append(d.attached, journal.Attachment{Event: a.Event + n, Data: a.Data})
	}
	for _, o := range slices.Clone(d.outcomes) {
		o.Event += uint32(n)
		o.Timestamp += uint64(n)
		d.outcomes = append(d.outcomes, o)
	}
}

// bendPayload adds one to a byte of what an account takes along.
func bendPayload(d *draft, event, at int) {
	for _, a := range d.attached {
		for b := a.Data; a.Event == event && len(b) > 0; {
			n := int(binary.LittleEndian.Uint32(b[1:]))
			if b[0] == 7 {
				b[5+at]++
			}
			b = b[5+n:]
		}
	}
}

// TestPlantedInMoves: each fault is found, and named by what it is.
func TestPlantedInMoves(t *testing.T) {
	m := moved()
	for _, p := range plantedMoves() {
		t.Run(p.name, func(t *testing.T) {
			w, seen := m.Cells[p.cell], 0
			at := slices.IndexFunc(w.Blocks, func(k *journal.Block) bool {
				if k.Requests[0].Kind == p.kind {
					seen++
				}
				return seen > p.n
			})
			if at < 0 {
				t.Fatalf("%d requests of kind %d", seen, p.kind)
			}
			found := watch(books.New(w.Cell, books.Options{}), bend(w.Blocks, at, func(d *draft) { p.change(m, d) })).findings
			if !slices.ContainsFunc(found, func(f books.Finding) bool { return f.Class == p.class && strings.Contains(f.Summary, p.want) }) {
				t.Errorf("want %s: …%s…, found %+v", p.class, p.want, found)
			}
		})
	}
}

// TestStuckBucket: a bucket whose move stands is told of once, and that it went on, also after a snapshot.
func TestStuckBucket(t *testing.T) {
	m := moved()
	w := m.Cells[0]
	model := books.New(w.Cell, books.Options{})
	var told, ended []books.Bucket
	look := func(before uint64) {
		model.Stuck(before, func(b *books.Bucket) { told = append(told, *b) }, func(b *books.Bucket) { ended = append(ended, *b) })
	}
	for _, k := range w.Blocks {
		model.Apply(k.Raw, nil, nil)
		if k.Requests[0].Kind != journal.KindBuckets {
			continue
		}
		look(k.Header.Time - 1)
		look(k.Header.Time)
		look(k.Header.Time + second)
		var b bytes.Buffer
		if err := model.Snapshot(&b); err != nil {
			t.Fatal(err)
		}
		var err error
		if model, err = books.Restore(&b, w.Cell, books.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	look(1 << 62)
	phases := func(list []books.Bucket) (s string) {
		for i := range list {
			s += list[i].Phase.String() + " "
		}
		return s
	}
	if phases(told) != "closing given " || phases(ended) != "closing given " {
		t.Errorf("told of %+v, ended %+v", told, ended)
	}
	if b := told[1]; b.Bucket != journal.Bucket(m.Alice) || b.Peer != 2 || b.Accounts != 2 || b.Reservations != 3 {
		t.Errorf("%+v", b)
	}
}
