package books_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// crowd sends random requests to the ledger, in which accounts, ids and times meet often.
type crowd struct {
	*rapid.T
	*rig
	transfers, controls uint64
	open                []uint64 // ids of reservations, some of them ended
}

func (c *crowd) pick(from, to int) int { return rapid.IntRange(from, to).Draw(c.T, "n") }

func (c *crowd) id() uint64 {
	if c.pick(0, 9) == 0 {
		return 1000 + uint64(c.pick(0, int(c.transfers))) // again
	}
	c.transfers++
	return 1000 + c.transfers
}

func (c *crowd) transfer() journal.Transfer {
	debit := uint64(c.pick(1, 4))
	t := plain(c.id(), debit, 1+(debit+uint64(c.pick(0, 2)))%4, uint64(c.pick(0, 60)))
	t.Code, t.UserData64 = uint16(c.pick(1, 2)), uint64(c.pick(0, 2))
	switch c.pick(0, 9) {
	case 0, 1, 2:
		t.Flags, t.Timeout = journal.TransferPending, uint32(c.pick(0, 3))
		if c.pick(0, 12) == 0 {
			t.Flags |= journal.TransferClosingDebit
		}
		c.open = append(c.open, t.ID.Lo)
	case 3, 4, 5:
		if len(c.open) > 0 {
			t = resolve(t.ID.Lo, c.open[c.pick(0, len(c.open)-1)], uint64(c.pick(0, 30)), journal.TransferPost)
			switch c.pick(0, 3) {
			case 0:
				t.Flags |= journal.TransferKeepRemainder
			case 1:
				t.Amount = money.Max()
			case 2:
				t.Flags, t.Amount = journal.TransferVoid, money.U128{}
			}
		}
	case 6:
		t.Flags = journal.TransferBalancingDebit
	case 7:
		t.Flags = journal.TransferBalancingCredit
	case 8:
		t.Debit, t.Credit, t.Asset = money.From(5), money.From(6), 2
	}
	if c.pick(0, 4) == 0 {
		t.Flags |= journal.TransferLinked
	}
	return t
}

func (c *crowd) send() {
	list := make([]journal.Transfer, c.pick(1, 12))
	for i := range list {
		list[i] = c.transfer()
	}
	c.rig.join(journal.KindTransfers, 1, journal.Bytes(list))
}

func (c *crowd) control() {
	c.controls++
	n := money.From(100_000 + c.controls)
	switch c.pick(0, 6) {
	case 0:
		f := journal.Freeze{ID: n, Selector: journal.Selector(c.pick(1, 3)), Mode: journal.FreezeMode(c.pick(1, 3))}
		switch f.Selector {
		case journal.SelectAccount:
			f.Account = money.From(uint64(c.pick(1, 4)))
		case journal.SelectCode:
			f.Code = uint16(c.pick(1, 2))
		}
		c.rig.join(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{f}))
	case 1, 2, 3:
		for _, f := range c.state.Freezes(true) {
			c.controls++
			c.rig.join(journal.KindUnfreeze, 2, journal.Bytes([]journal.Unfreeze{{ID: money.From(100_000 + c.controls), FreezeID: f.ID}}))
		}
	case 4:
		c.rig.join(journal.KindLimits, 1, journal.Bytes([]journal.Limit{{
			ID: n, Account: money.From(uint64(c.pick(1, 4))), Side: journal.FreezeMode(c.pick(1, 2)),
			HourAmount: money.From(uint64(c.pick(0, 200))), DayCount: uint32(c.pick(0, 9)),
		}}))
	case 5:
		c.rig.join(journal.KindDayClose, 1, journal.Bytes([]journal.DayClose{{ID: n, Date: journal.DateOf(c.clock, 0) - 1}}))
	case 6:
		inner := journal.Bytes([]journal.Transfer{plain(c.id(), 1, 2, 5)})
		p := journal.Proposal{ID: n, Inner: journal.KindTransfers}
		c.rig.join(journal.KindProposal, 1, journal.Bytes([]journal.Proposal{p}), journal.Attachment{Data: (&journal.Details{Payload: ledger.EncodePayload(inner, nil)}).Append(nil)})
		c.controls++
		v := journal.Decision{ID: money.From(100_000 + c.controls), Proposal: n, Verdict: journal.Approve, Inner: p.Inner}
		c.rig.join(journal.KindDecision, 2, slices.Concat(journal.Bytes([]journal.Decision{v}), inner))
	}
}

func (c *crowd) run() {
	c.rig.setUp()
	for range c.pick(1, 40) {
		switch c.pick(0, 9) {
		case 0:
			c.control()
		case 1:
			c.seal()
			c.clock += []uint64{1, second, 3600 * second, dayNs}[c.pick(0, 3)]
		case 2, 3:
			c.seal()
		default:
			c.send()
		}
	}
	c.seal()
}

// TestAgainstLedger: in what the ledger records there is nothing to find, the balances are its own, and the movements add
// up to them. A snapshot in the middle and the blocks after it give the same.
func TestAgainstLedger(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &crowd{T: rt, rig: newRig(t)}
		c.run()
		w := watch(books.New(cellID, books.Options{}), c.raws())
		if len(w.findings) > 0 || w.model.Broken() != nil {
			rt.Fatalf("found %+v, %v", w.findings, w.model.Broken())
		}
		if err := c.sameAs(w.model); err != nil {
			rt.Fatal(err)
		}
		addUp(rt, w)
		c.resume(rt, w)
	})
}

// addUp adds the movements up by what their phases mean.
func addUp(t *rapid.T, w *watched) {
	got := map[count.ID]*books.Balances{}
	at := func(id count.ID) *books.Balances {
		if got[id] == nil {
			got[id] = &books.Balances{Account: id}
		}
		return got[id]
	}
	plus := func(v *count.Amount, a count.Amount) { *v, _ = v.Add(a) }
	minus := func(v *count.Amount, a count.Amount) {
		d, ok := v.Sub(a)
		if !ok {
			t.Fatalf("%v less %v", v, a)
		}
		*v = d
	}
	last := [2]uint64{}
	for _, x := range w.moves {
		if place := [2]uint64{x.Seq, uint64(x.Index)}; place[0] < last[0] || place[0] == last[0] && place[1] <= last[1] && last != [2]uint64{} {
			t.Fatalf("movement %+v comes after %v", x, last)
		} else {
			last = place
		}
		debit, credit := at(x.Debit), at(x.Credit)
		switch x.Phase {
		case books.Single:
			plus(&debit.DebitsPosted, x.Amount)
			plus(&credit.CreditsPosted, x.Amount)
		case books.Reserve:
			plus(&debit.DebitsPending, x.Amount)
			plus(&credit.CreditsPending, x.Amount)
		case books.Capture:
			plus(&debit.DebitsPosted, x.Amount)
			plus(&credit.CreditsPosted, x.Amount)
			for _, a := range [2]count.Amount{x.Amount, x.Freed} {
				minus(&debit.DebitsPending, a)
				minus(&credit.CreditsPending, a)
			}
		case books.Release, books.Expire:
			minus(&debit.DebitsPending, x.Amount)
			minus(&credit.CreditsPending, x.Amount)
		}
	}
	w.model.VisitAccounts(func(b books.Balances) {
		sum := *at(b.Account)
		if sum.Asset = b.Asset; sum != b {
			t.Fatalf("the movements add up to %+v, the account has %+v", sum, b)
		}
	})
}

// resume goes on from a snapshot that was taken after some block.
func (c *crowd) resume(t *rapid.T, w *watched) {
	raws := c.raws()
	from := c.pick(0, len(raws))
	before := books.New(cellID, books.Options{})
	watch(before, raws[:from])
	var taken bytes.Buffer
	if err := before.Snapshot(&taken); err != nil {
		t.Fatal(err)
	}
	taken.WriteString("behind")
	copied, err := books.Restore(&taken, cellID, books.Options{HashKey: 5})
	if err != nil || taken.String() != "behind" {
		t.Fatalf("restored after block %d: %v, %q is left", from, err, taken.String())
	}
	rest := watch(copied, raws[from:])
	if err := c.sameAs(copied); err != nil || len(rest.findings) > 0 {
		t.Fatalf("from block %d on: %v, found %+v", from, err, rest.findings)
	}
	skip := slices.IndexFunc(w.moves, func(x books.Movement) bool { return x.Seq > uint64(from) })
	if skip < 0 {
		skip = len(w.moves)
	}
	if !slices.Equal(rest.moves, w.moves[skip:]) {
		t.Fatalf("from block %d on it sees %+v, without a stop %+v", from, rest.moves, w.moves[skip:])
	}
	if copied.Events() != w.model.Events() || copied.Hash() != w.model.Hash() || !slices.Equal(copied.Totals(), w.model.Totals()) || copied.AssetName(2) != w.model.AssetName(2) {
		t.Fatalf("from block %d on it is another model", from)
	}
}

// TestPlantedAfterRestore: what a snapshot carries is enough to find each fault.
func TestPlantedAfterRestore(t *testing.T) {
	for _, p := range slices.Concat(plantedTransfers(), plantedReservations(), plantedControls()) {
		t.Run(p.name, func(t *testing.T) {
			r := newRig(t)
			r.setUp()
			p.prepare(r)
			raws := bend(r.log, len(r.log)-1, p.change)
			last := len(raws) - 1
			m := books.New(cellID, books.Options{})
			watch(m, raws[:last])
			var taken bytes.Buffer
			if err := m.Snapshot(&taken); err != nil {
				t.Fatal(err)
			}
			copied, err := books.Restore(&taken, cellID, books.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, got := watch(m, raws[last:]), watch(copied, raws[last:])
			if !slices.EqualFunc(want.findings, got.findings, func(a, b books.Finding) bool { return a.Class == b.Class && a.Summary == b.Summary }) || len(got.findings) == 0 {
				t.Errorf("found %+v, without a stop %+v", got.findings, want.findings)
			}
			if broken(copied) != broken(m) {
				t.Errorf("broken: %v, without a stop %v", copied.Broken(), m.Broken())
			}
			taken.Reset()
			if err := copied.Snapshot(&taken); err != nil {
				t.Fatal(err)
			}
			if again, err := books.Restore(&taken, cellID, books.Options{}); err != nil || broken(again) != broken(m) {
				t.Errorf("restored once more: %v", err)
			}
		})
	}
}

func broken(m *books.Model) string {
	if err := m.Broken(); err != nil {
		return err.Error()
	}
	return ""
}

// TestWindow: an id is known for at least as many others as the window says, and KeepAll never forgets.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		window int
		after  uint64
		found  bool
	}{{100, 100, true}, {100, 1000, false}, {books.KeepAll, 5000, true}, {0, 5000, true}} {
		ch, m := newChainer(), books.New(cellID, books.Options{Window: c.window})
		ch.accounts(m, 2)
		found := 0
		for i := range c.after + 2 {
			x := plain(1000+i, 1, 2, 1)
			if i == c.after+1 {
				x.ID = money.From(1000)
			}
			m.Apply(ch.block(journal.KindTransfers, journal.Bytes([]journal.Transfer{x})), nil, func(f *books.Finding) {
				if found++; f.Class != "duplicate_id" {
					t.Errorf("found %+v", f)
				}
			})
		}
		if (found == 1) != c.found {
			t.Errorf("window %d: after %d others it finds %d", c.window, c.after, found)
		}
	}
}

// TestFindingsAreBounded: a block can't have more findings than a bound, and says how many it has.
func TestFindingsAreBounded(t *testing.T) {
	ch, m := newChainer(), books.New(cellID, books.Options{})
	ch.accounts(m, 2)
	list := make([]journal.Transfer, journal.MaxEvents)
	for i := range list {
		list[i] = plain(1000+uint64(i), 7, 8, 1)
	}
	w := watch(m, [][]byte{ch.block(journal.KindTransfers, journal.Bytes(list))})
	if n := len(w.findings); n != 1001 || w.findings[1000].Summary != "block 2: 7190 findings more" || m.Broken() != nil {
		t.Errorf("%d findings, the last is %+v", n, w.findings[n-1])
	}
}

func TestRestoreRefuses(t *testing.T) {
	r := newRig(t)
	r.setUp()
	m := books.New(cellID, books.Options{})
	watch(m, r.raws())
	var taken bytes.Buffer
	if err := m.Snapshot(&taken); err != nil {
		t.Fatal(err)
	}
	whole := taken.Bytes()
	refused := func(what string, b []byte, cell uint64) {
		t.Helper()
		if m, err := books.Restore(bytes.NewReader(b), cell, books.Options{}); !errors.Is(err, books.ErrSnapshot) || m != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another cell", whole, cellID+1)
	for n := 0; n < len(whole); n += 97 {
		refused("cut short", whole[:n], cellID)
		bent := bytes.Clone(whole)
		bent[n] ^= 4
		refused("a bit altered", bent, cellID)
	}
	if err := m.Snapshot(failing{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failing struct{}

var errFull = errors.New("no space left")

func (failing) Write([]byte) (int, error) { return 0, errFull }
