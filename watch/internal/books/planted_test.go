package books_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/books"
)

// planted is a fault in a journal that the ledger made: prepare makes blocks, of which the last one is bent.
type planted struct {
	name    string
	prepare func(*rig)
	change  func(*draft)
	class   string
	also    []string // classes that may come with it
}

func plantedTransfers() []planted {
	frozen := func(f journal.Freeze) func(*rig) {
		return func(r *rig) {
			f.ID = money.From(900)
			r.must(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{f}))
			r.send(plain(201, 1, 2, 10), plain(202, 2, 1, 10)) // a block has at least one event that changed something
			r.send(plain(203, 1, 2, 10))
		}
	}
	created := func(event uint32) func(*draft) { return func(d *draft) { d.drop(event) } }
	open := func(r *rig) { r.send(reserve(200, 1, 2, 50, 0)) }
	return []planted{
		{"more than its credits", func(r *rig) { r.send(plain(201, 3, 1, 1001)) }, created(0), "limit_exceeded", nil},
		{"more than its debits", func(r *rig) { r.send(plain(201, 1, 4, 1)) }, created(0), "limit_exceeded", nil},
		{"reserved beyond its credits", func(r *rig) { r.send(reserve(200, 3, 1, 600, 0)); r.send(plain(201, 3, 1, 401)) }, created(0), "limit_exceeded", nil},
		{"account frozen", frozen(journal.Freeze{Selector: journal.SelectAccount, Account: money.From(1), Mode: journal.FreezeDebit}), created(0), "moved_while_frozen", nil},
		{"code frozen", frozen(journal.Freeze{Selector: journal.SelectCode, Code: 1, Mode: journal.FreezeAll}), created(0), "moved_while_frozen", nil},
		{"cell frozen", frozen(journal.Freeze{Selector: journal.SelectCell, Mode: journal.FreezeCredit}), created(0), "moved_while_frozen", nil},
		{"beyond an hour's amount", func(r *rig) {
			limit(r, journal.Limit{HourAmount: money.From(100)})
			r.send(plain(201, 1, 2, 90))
			r.send(plain(202, 1, 2, 11))
		}, created(0), "limit_exceeded", nil},
		{"beyond a day's count", func(r *rig) {
			limit(r, journal.Limit{DayCount: 1})
			r.send(plain(201, 1, 2, 1))
			r.clock += 2 * 3600 * second
			r.send(plain(202, 1, 2, 1))
		}, created(0), "limit_exceeded", nil},
		{"the same id again", func(r *rig) { r.send(plain(201, 1, 2, 5)); r.send(plain(201, 1, 2, 5), plain(202, 1, 2, 5)) }, created(0), "duplicate_id", nil},
		{"credits nobody", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) { d.transfer(0, 0).Credit = money.From(77) }, "unbalanced", nil},
		{"debits nobody", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) { d.transfer(0, 0).Debit = money.From(77) }, "unbalanced", nil},
		{"between nobody and nobody", func(r *rig) { r.send(plain(201, 77, 78, 5)) }, created(0), "lost_update", nil},
		{"into another asset", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) { d.transfer(0, 0).Credit = money.From(5) }, "unbalanced", nil},
		{"one account on both sides", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) { d.transfer(0, 0).Credit = money.From(1) }, "unbalanced", nil},
		{"another asset's number", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) { d.transfer(0, 0).Asset = 2 }, "lost_update", nil},
		{"another amount than asked", func(r *rig) { r.send(plain(201, 1, 2, 5)) }, func(d *draft) {
			d.outcomes = []journal.Outcome{{Status: journal.Created, Timestamp: d.header.Time, Amount: money.From(6)}}
		}, "lost_update", nil},
		{"more than balances", func(r *rig) {
			t := plain(201, 3, 1, 2000)
			t.Flags = journal.TransferBalancingDebit
			r.send(t)
		}, func(d *draft) { d.outcome(0).Amount = money.From(1001) }, "lost_update", []string{"limit_exceeded"}},
		{"half of a chain", func(r *rig) {
			a, b := plain(201, 1, 2, 5), plain(202, 77, 2, 5)
			a.Flags = journal.TransferLinked
			r.send(a, b)
		}, created(0), "lost_update", nil},
		{"another time than its own", open, func(d *draft) {
			d.outcomes = []journal.Outcome{{Status: journal.Created, Timestamp: 5, Amount: money.From(50)}}
		}, "clock_jump", nil},
		{"imported with a time before the last", func(r *rig) {
			r.clock += 10 * second
			t := plain(201, 1, 2, 5)
			t.Flags, t.Timestamp = journal.TransferImported, r.clock-second
			r.send(t)
		}, func(d *draft) { d.transfer(0, 0).Timestamp = 5 }, "clock_jump", nil},
		{"on a closed account", func(r *rig) {
			t := reserve(200, 1, 2, 0, 0)
			t.Flags |= journal.TransferClosingDebit
			r.send(t)
			r.send(plain(201, 1, 2, 1), plain(202, 77, 2, 1))
		}, func(d *draft) { d.drop(0) }, "lost_update", nil},
		{"a balance of more than 128 bits", func(r *rig) {
			t := plain(201, 2, 1, 0)
			t.Amount = money.Max()
			r.send(t)
			r.send(plain(202, 4, 1, 1), plain(203, 77, 2, 1))
		}, created(0), "lost_update", []string{"unbalanced"}},
	}
}

func limit(r *rig, l journal.Limit) {
	l.ID, l.Account, l.Side = money.From(901), money.From(1), journal.FreezeDebit
	r.must(journal.KindLimits, 1, journal.Bytes([]journal.Limit{l}))
}

func plantedReservations() []planted {
	open := func(r *rig) { r.send(reserve(200, 1, 2, 50, 0)) }
	posted := func(r *rig) {
		open(r)
		r.send(resolve(201, 200, 40, journal.TransferPost))
	}
	return []planted{
		{"posts more than is left", posted, func(d *draft) { d.outcome(0).Amount = money.From(51) }, "lost_update", nil},
		{"posts less than it asked", posted, func(d *draft) { d.outcome(0).Amount = money.From(39) }, "lost_update", nil},
		{"names another place", posted, func(d *draft) { d.outcome(0).PendingPosition++ }, "lost_update", nil},
		{"has no outcome", posted, func(d *draft) { d.drop(0) }, "lost_update", nil},
		{"has another debit account", posted, func(d *draft) { d.transfer(0, 0).Debit = money.From(4) }, "lost_update", nil},
		{"posted twice", func(r *rig) { posted(r); r.send(resolve(202, 200, 10, journal.TransferPost), plain(203, 1, 2, 1)) }, func(d *draft) {
			*d.outcome(0) = journal.Outcome{Status: journal.Created, Timestamp: d.header.Time, Amount: money.From(10)}
		}, "lost_update", nil},
		{"voids another amount", func(r *rig) { open(r); r.send(resolve(201, 200, 0, journal.TransferVoid)) }, func(d *draft) { d.outcome(0).Amount = money.From(49) }, "lost_update", nil},
		{"posted after it expired", func(r *rig) {
			r.send(reserve(200, 1, 2, 50, 1))
			r.clock = r.log[3].Header.Time + second - 1
			r.send(plain(205, 1, 2, 1), resolve(201, 200, 40, journal.TransferPost), plain(206, 1, 2, 1))
		}, func(d *draft) {
			*d.outcome(1) = journal.Outcome{Event: 1, Status: journal.Created, Timestamp: d.header.Time + 1, Amount: money.From(40), PendingPosition: journal.At(4, 0)}
		}, "lost_update", nil},
		{"expires with another amount", expired, func(d *draft) { d.expiries[0].Amount = money.From(49) }, "lost_update", nil},
		{"never expires", expired, func(d *draft) { d.expiries = nil }, "lost_update", nil},
		{"expires too early", func(r *rig) {
			r.send(reserve(200, 1, 2, 50, 10))
			r.send(plain(201, 1, 2, 1))
		}, func(d *draft) { d.expiries = []journal.Expiry{{Pending: money.From(200), Amount: money.From(50)}} }, "lost_update", nil},
		{
			"expires and is not open", func(r *rig) { r.send(plain(201, 1, 2, 1)) },
			func(d *draft) { d.expiries = []journal.Expiry{{Pending: money.From(200), Amount: money.From(50)}} }, "lost_update", nil,
		},
		{"captured while frozen", func(r *rig) {
			open(r)
			r.must(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{{ID: money.From(900), Selector: journal.SelectCell, Mode: journal.FreezeDebit}}))
			r.send(resolve(201, 200, 40, journal.TransferPost))
		}, func(d *draft) {
			*d.outcome(0) = journal.Outcome{Status: journal.Created, Timestamp: d.header.Time, Amount: money.From(40), PendingPosition: journal.At(4, 0)}
		}, "moved_while_frozen", nil},
	}
}

func expired(r *rig) {
	r.send(reserve(200, 1, 2, 50, 1))
	r.clock += 2 * second
	r.send(plain(201, 1, 2, 1))
}

func plantedControls() []planted {
	closed := func(r *rig) {
		r.clock += 2 * dayNs
		r.must(journal.KindDayClose, 1, journal.Bytes([]journal.DayClose{{ID: money.From(800), Date: 1001}}))
	}
	transaction := func(r *rig) {
		events := []journal.Transfer{{ID: money.From(300), Flags: journal.TransferHead, Timeout: 2}, plain(0, 1, 2, 5), plain(0, 2, 4, 1)}
		for i := range events[1:] {
			events[i+1].ID = journal.LegID(events[0].ID, uint32(i))
		}
		events[2] = plain(0, 1, 2, 7)
		events[2].ID = journal.LegID(events[0].ID, 1)
		events[0].Debit, events[0].Credit = journal.LegsDigest(events[1:], nil)
		r.must(journal.KindTransaction, 1, journal.Bytes(events))
	}
	account := func(r *rig) {
		r.must(journal.KindAccounts, 1, journal.Bytes([]journal.Account{{ID: money.From(9), Asset: 1, Code: 1}}))
		r.apply(journal.KindAccounts, 1, journal.Bytes([]journal.Account{{ID: money.From(9), Asset: 1, Code: 1}, {ID: money.From(10), Asset: 1, Code: 1}}))
	}
	return []planted{
		{"a trial balance with another sum", closed, func(d *draft) { trialByte(d, 8+4*24)[0]++ }, "lost_update", []string{"unbalanced"}},
		{"a trial balance out of balance", closed, func(d *draft) { trialByte(d, 8+4*24)[0]++ }, "unbalanced", []string{"lost_update"}},
		{"a trial balance without its lines", closed, func(d *draft) { d.attached = nil }, "lost_update", nil},
		{"a trial balance with another late sum", func(r *rig) {
			closed(r)
			lateBooking(r)
			for day := range uint64(2) { // the next close tells of it, and the one after does not
				r.clock += dayNs
				r.must(journal.KindDayClose, 1, journal.Bytes([]journal.DayClose{{ID: money.From(810 + day), Date: journal.Date(1002 + day)}}))
			}
		}, func(d *draft) { trialByte(d, 8+2*24)[0]++ }, "lost_update", []string{"unbalanced"}},
		{"booked on a closed day", func(r *rig) {
			closed(r)
			t := plain(201, 1, 2, 1)
			t.Flags = journal.TransferAttached
			r.apply(journal.KindTransfers, 1, journal.Bytes([]journal.Transfer{t, plain(202, 1, 2, 1)}),
				journal.Attachment{Data: (&journal.Details{BookingDate: 1001}).Append(nil)})
		}, func(d *draft) { d.drop(0) }, "lost_update", nil},
		{"another leg than its digest's", transaction, func(d *draft) { d.transfer(0, 2).Amount = money.From(8) }, "tampered_history", nil},
		{"an account twice", account, func(d *draft) { d.drop(0) }, "duplicate_id", nil},
		{"a freeze lifted that is not in force", func(r *rig) {
			f := journal.Freeze{ID: money.From(900), Selector: journal.SelectCell, Mode: journal.FreezeAll}
			r.must(journal.KindFreeze, 1, journal.Bytes([]journal.Freeze{f}))
			r.must(journal.KindUnfreeze, 2, journal.Bytes([]journal.Unfreeze{{ID: money.From(902), FreezeID: f.ID}}))
		}, func(d *draft) { journal.View[journal.Unfreeze](d.requests[0].events)[0].FreezeID = money.From(903) }, "lost_update", nil},
		{"another thing than was proposed", func(r *rig) {
			inner := journal.Bytes([]journal.Transfer{plain(400, 1, 2, 5)})
			p := journal.Proposal{ID: money.From(600), Inner: journal.KindTransfers}
			r.must(journal.KindProposal, 1, journal.Bytes([]journal.Proposal{p}),
				journal.Attachment{Data: (&journal.Details{Payload: ledger.EncodePayload(inner, nil)}).Append(nil)})
			v := journal.Decision{ID: money.From(601), Proposal: p.ID, Verdict: journal.Approve, Inner: p.Inner}
			r.must(journal.KindDecision, 2, slices.Concat(journal.Bytes([]journal.Decision{v}), inner))
		}, func(d *draft) {
			journal.View[journal.Transfer](d.requests[0].events[journal.RecordSize:])[0].Amount = money.From(500)
		}, "lost_update", nil},
		{"a block before the end of the last", func(r *rig) { r.send(plain(201, 1, 2, 1)) }, func(d *draft) { d.header.Time -= 1_000_000 }, "clock_jump", nil},
		{"an attachment that its event can't have", func(r *rig) { r.send(plain(201, 1, 2, 1)) }, func(d *draft) {
			d.attached = []journal.Attachment{{Data: (&journal.Details{Address: "a:b"}).Append(nil)}}
		}, "tampered_history", nil},
		{"a transaction without legs", transaction, func(d *draft) { d.requests[0].events = d.requests[0].events[:journal.RecordSize] }, "tampered_history", nil},
	}
}

// lateBooking has a transfer booked on a closed day, as a second person approves.
func lateBooking(r *rig) {
	t := plain(400, 1, 2, 5)
	t.Flags = journal.TransferAttached
	inner, dated := journal.Bytes([]journal.Transfer{t}), (&journal.Details{BookingDate: 1001}).Append(nil)
	p := journal.Proposal{ID: money.From(600), Inner: journal.KindTransfers}
	r.must(journal.KindProposal, 1, journal.Bytes([]journal.Proposal{p}), journal.Attachment{
		Data: (&journal.Details{Payload: ledger.EncodePayload(inner, []journal.Attachment{{Data: dated}})}).Append(nil),
	})
	v := journal.Decision{ID: money.From(601), Proposal: p.ID, Verdict: journal.Approve, Inner: p.Inner}
	r.must(journal.KindDecision, 2, slices.Concat(journal.Bytes([]journal.Decision{v}), inner), journal.Attachment{Event: 1, Data: dated})
}

// trialByte is the place of an offset in the first line of the trial balance that is attached.
func trialByte(d *draft, at int) []byte { return d.attached[0].Data[5+at:] }

// TestPlanted bends the last block of journals that the ledger made. Before that there is nothing to find in them.
func TestPlanted(t *testing.T) {
	for _, p := range slices.Concat(plantedTransfers(), plantedReservations(), plantedControls()) {
		t.Run(p.name, func(t *testing.T) {
			r := newRig(t)
			r.setUp()
			p.prepare(r)
			// what is rejected alone is in no block: have one that has it
			clean := watch(books.New(cellID, books.Options{}), r.raws())
			if len(clean.findings) > 0 {
				t.Fatalf("before it was bent: %+v", clean.findings)
			}
			if err := r.sameAs(clean.model); err != nil {
				t.Fatal(err)
			}
			w := watch(books.New(cellID, books.Options{}), bend(r.log, len(r.log)-1, p.change))
			allowed, found := append([]string{p.class}, p.also...), false
			for _, f := range w.findings {
				found = found || f.Class == p.class
				if !slices.Contains(allowed, f.Class) {
					t.Errorf("it also finds %+v", f)
				}
				if f.Seq != uint64(len(r.log)) || f.Summary == "" {
					t.Errorf("finding %+v is not of block %d", f, len(r.log))
				}
			}
			if !found {
				t.Errorf("no %s among %+v", p.class, w.findings)
			}
		})
	}
}

func chainOf(t testing.TB) (*rig, [][]byte) {
	r := newRig(t)
	r.setUp()
	for i := range uint64(5) {
		r.send(plain(200+i, 1, 2, 1))
	}
	return r, r.raws()
}

// TestBrokenChain: after these nothing is taken any more.
func TestBrokenChain(t *testing.T) {
	r, raws := chainOf(t)
	fork := takeApart(r.log[6])
	fork.header.Incarnation[0]++
	early := takeApart(r.log[6])
	early.header.Seq, early.header.Acked = 8, 5
	flipped := bytes.Clone(raws[6])
	flipped[journal.HeaderSize+48]++
	amount := takeApart(r.log[5])
	amount.transfer(0, 0).Amount = money.From(2)
	header := func(change func(*journal.Header)) []byte {
		d := takeApart(r.log[6])
		change(&d.header)
		return d.seal()
	}
	for _, c := range []struct {
		name  string
		raws  [][]byte
		class string
	}{
		{"bytes altered", [][]byte{flipped}, "tampered_history"},
		{"no bytes", [][]byte{nil}, "tampered_history"},
		{"cut short", [][]byte{raws[6][:300]}, "tampered_history"},
		{"a second block of the same number", [][]byte{raws[6], fork.seal()}, "fork"},
		{"an older block, altered and sealed again", [][]byte{raws[6], amount.seal()}, "fork"},
		{"a second block with the same predecessor", [][]byte{raws[6], early.seal()}, "fork"},
		{"a block altered and sealed again", [][]byte{fork.seal(), raws[7]}, "tampered_history"},
		{"another cell", [][]byte{header(func(h *journal.Header) { h.Cell++ })}, "tampered_history"},
		{"an epoch that begins in the middle", [][]byte{header(func(h *journal.Header) { h.Epoch++ })}, "tampered_history"},
		{"an epoch that is over", [][]byte{header(func(h *journal.Header) { h.Epoch-- })}, "tampered_history"},
		{"rules that rise in the middle", [][]byte{header(func(h *journal.Header) { h.Rules++ })}, "tampered_history"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := books.New(cellID, books.Options{})
			if w := watch(m, raws[:6]); len(w.findings) > 0 {
				t.Fatal(w.findings)
			}
			w := watch(m, c.raws)
			if len(w.findings) != 1 || w.findings[0].Class != c.class || m.Broken() == nil {
				t.Fatalf("found %+v, broken %v; want %s", w.findings, m.Broken(), c.class)
			}
			seq := m.Seq()
			if again := watch(m, raws[6:]); len(again.findings)+len(again.moves) > 0 || m.Seq() != seq {
				t.Errorf("it goes on to block %d with %+v", m.Seq(), again)
			}
		})
	}
}

// TestGapAndRepeat: a block that comes too early is told of once and left out; one that comes again is left out.
func TestGapAndRepeat(t *testing.T) {
	r, raws := chainOf(t)
	m := books.New(cellID, books.Options{})
	w := watch(m, [][]byte{raws[0], raws[1], raws[3], raws[4], raws[1], raws[2], raws[0], raws[2], raws[3], raws[4], raws[5], raws[6], raws[7]})
	if len(w.findings) != 1 || w.findings[0].Class != "source_gap" || w.findings[0].Seq != 3 {
		t.Errorf("found %+v", w.findings)
	}
	if err := r.sameAs(m); err != nil || m.Seq() != 8 {
		t.Errorf("block %d: %v", m.Seq(), err)
	}
}
