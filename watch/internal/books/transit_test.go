package books_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/books"
)

const (
	otherCell = 9
	timeZero  = 1000 * dayNs
)

// halfHash is the first half of a SHA-256, as a number.
func halfHash(parts ...[]byte) money.U128 {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	id := money.LE(sum[:])
	id.Hi |= 0xffffffff << 32 // ids that are the ledger's own
	return id
}

func le(v money.U128) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, v.Lo), v.Hi)
}

func derived(reserve uint64, step string) money.U128 {
	return halfHash(le(money.From(reserve)), []byte(step))
}

var (
	cny      = append(append([]byte("CNY"), make([]byte, 13)...), 2)
	inWay    = halfHash([]byte("sterling in transit"), cny)
	clearing = halfHash([]byte("sterling clearing"), cny, binary.LittleEndian.AppendUint64(nil, otherCell))
)

// steps writes a journal by hand, with transfers across cells as they should be: a step a block, a minute apart.
type steps struct {
	blocks  []*draft
	pending map[money.U128]journal.Position
	amounts map[money.U128]money.U128
	late    uint64 // ns that the next blocks are later
}

func newSteps() *steps {
	s := &steps{pending: map[money.U128]journal.Position{}, amounts: map[money.U128]money.U128{}}
	var asset journal.Asset
	copy(asset.Code[:], "CNY")
	asset.Scale = 2
	s.block(part{journal.KindAssets, journal.Actor{1}, journal.Bytes([]journal.Asset{asset})}, part{journal.KindAccounts, journal.Actor{1}, journal.Bytes([]journal.Account{
		{ID: money.From(1), Asset: 1, Code: 1},
		{ID: money.From(2), Asset: 1, Code: 1},
		{ID: inWay, Asset: 1, Code: 65535, Flags: journal.AccountTransit},
		{ID: clearing, Asset: 1, Code: 65534, Flags: journal.AccountTransit},
	})})
	return s
}

func (s *steps) block(parts ...part) *draft {
	n := len(s.blocks)
	d := &draft{header: journal.Header{Kind: journal.BlockNormal, Rules: 3, Cell: cellID, Epoch: 1, Seq: uint64(n + 1), Time: timeZero + s.late + uint64(n)*60*second}, requests: parts}
	s.blocks = append(s.blocks, d)
	return d
}

// chain makes a block of transfers, linked to each other, each with its step; no step: an ordinary one.
func (s *steps) chain(list []journal.Transfer, about []*journal.Transit) *draft {
	d := s.block()
	for i := range list {
		t := &list[i]
		if t.Code == 0 && t.Flags&(journal.TransferPost|journal.TransferVoid) == 0 {
			t.Asset, t.Code = 1, 5
		}
		if i < len(list)-1 {
			t.Flags |= journal.TransferLinked
		}
		at := journal.At(d.header.Seq, i)
		switch {
		case t.Flags&(journal.TransferPost|journal.TransferVoid) != 0:
			amount := t.Amount
			if t.Flags&journal.TransferVoid != 0 {
				amount = s.amounts[t.PendingID]
			}
			d.outcomes = append(d.outcomes, journal.Outcome{
				Event: uint32(i), Status: journal.Created, Timestamp: d.header.Time + uint64(i), Amount: amount, PendingPosition: s.pending[t.PendingID],
			})
		case t.Flags&journal.TransferPending != 0:
			s.pending[t.ID], s.amounts[t.ID] = at, t.Amount
		}
		if about[i] != nil {
			t.Flags |= journal.TransferTransit | journal.TransferAttached
			d.attached = append(d.attached, journal.Attachment{Event: i, Data: (&journal.Details{Transit: about[i]}).Append(nil)})
		}
	}
	d.requests = []part{{journal.KindTransfers, journal.Actor{1}, journal.Bytes(list)}}
	return d
}

// Transfer 500 moves 100 from account 1 here to account 77 in the other cell, with reserve 600; transfer 501 the same from
// account 88 there to account 2 here, with reserve 601.
func outward(step journal.TransitStep, flags journal.TransferFlags) *journal.Transit {
	t := &journal.Transit{
		Transfer: money.From(500), Reserve: money.From(600), Debit: money.From(1), Credit: money.From(77), Peer: otherCell, Step: step, Flags: flags,
	}
	if flags != 0 {
		t.Timeout = 3600
	}
	return t
}

func inward(step journal.TransitStep) *journal.Transit {
	return &journal.Transit{Transfer: money.From(501), Reserve: money.From(601), Debit: money.From(88), Credit: money.From(2), Peer: otherCell, Step: step}
}

const hold = journal.TransferPending | journal.TransferHold

func (s *steps) reserve(flags journal.TransferFlags) *draft {
	return s.chain([]journal.Transfer{{
		ID: money.From(600), Debit: money.From(1), Credit: inWay, Amount: money.From(100), PendingID: money.From(500), Flags: hold,
	}}, []*journal.Transit{outward(journal.TransitReserve, flags)})
}

// commit decides and creates the transfer; abort decides that it is refused with a status.
func (s *steps) commit(flags journal.TransferFlags) *draft {
	list, about := s.decision(flags, journal.Created)
	t := journal.Transfer{ID: money.From(500), Debit: money.From(1), Credit: inWay, Amount: money.From(100), Flags: flags}
	if flags != 0 {
		t.Timeout = 3600
	}
	return s.chain(append(list, t), append(about, outward(journal.TransitTransfer, flags)))
}

func (s *steps) abort(status journal.Status) *draft { return s.chain(s.decision(0, status)) }

func (s *steps) decision(flags journal.TransferFlags, status journal.Status) ([]journal.Transfer, []*journal.Transit) {
	marker := outward(journal.TransitMarker, flags)
	marker.Status = status
	amount := money.From(100)
	if status != journal.Created {
		amount = money.U128{}
	}
	return []journal.Transfer{
		{ID: derived(600, "decide"), PendingID: money.From(600), Flags: journal.TransferVoid},
		{ID: derived(600, "marker"), Debit: inWay, Credit: clearing, Amount: amount, PendingID: money.From(500), Flags: hold},
	}, []*journal.Transit{outward(journal.TransitDecide, flags), marker}
}

func (s *steps) settle(flags, end journal.TransferFlags, amount uint64) *draft {
	return s.chain([]journal.Transfer{{ID: derived(600, "settle"), PendingID: derived(600, "marker"), Amount: money.From(amount), Flags: end}}, []*journal.Transit{outward(journal.TransitSettle, flags)})
}

// end is the caller's post or void of the transfer.
func (s *steps) end(flags journal.TransferFlags, amount uint64) *draft {
	return s.chain([]journal.Transfer{{ID: money.From(502), PendingID: money.From(500), Amount: money.From(amount), Flags: flags}}, []*journal.Transit{outward(journal.TransitEnd, journal.TransferPending)})
}

func (s *steps) hold() *draft {
	return s.chain([]journal.Transfer{{
		ID: derived(601, "hold"), Debit: clearing, Credit: money.From(2), Amount: money.From(100), PendingID: money.From(501), Flags: hold,
	}}, []*journal.Transit{inward(journal.TransitHold)})
}

func (s *steps) confirm(end journal.TransferFlags, amount uint64) *draft {
	return s.chain([]journal.Transfer{{ID: derived(601, "confirm"), PendingID: derived(601, "hold"), Amount: money.From(amount), Flags: end}}, []*journal.Transit{inward(journal.TransitConfirm)})
}

// say bends what an event says of its transfer across cells.
func say(d *draft, event int, change func(*journal.Transit)) {
	x, _ := journal.TransitOf(d.attached[event].Data)
	change(&x)
	d.attached[event].Data = (&journal.Details{Transit: &x}).Append(nil)
}

func (s *steps) seal() (raws [][]byte) {
	for i, d := range s.blocks {
		if i > 0 {
			d.header.Prev = sha256.Sum256(raws[i-1][:journal.HeaderSize])
			d.header.Acked = uint64(i)
		}
		raws = append(raws, d.seal())
	}
	return raws
}

// whole are journals in which nothing is wrong: everything that a transfer across cells can go through.
func whole() map[string]func(*steps) {
	const pending = journal.TransferPending
	return map[string]func(*steps){
		"moved":   func(s *steps) { s.reserve(0); s.commit(0); s.settle(0, journal.TransferPost, 100) },
		"refused": func(s *steps) { s.reserve(0); s.abort(54); s.settle(0, journal.TransferVoid, 0) },
		"pending, posted": func(s *steps) {
			s.reserve(pending)
			s.commit(pending)
			s.end(journal.TransferPost, 40)
			s.settle(pending, journal.TransferPost, 40)
		},
		"pending, voided": func(s *steps) {
			s.reserve(pending)
			s.commit(pending)
			s.end(journal.TransferVoid, 0)
			s.settle(pending, journal.TransferVoid, 0)
		},
		"pending, expired": func(s *steps) {
			s.reserve(pending)
			s.commit(pending)
			s.late = 3600 * second
			d := s.block()
			d.expiries = []journal.Expiry{{Pending: money.From(500), Amount: money.From(100)}}
			s.settle(pending, journal.TransferVoid, 0)
		},
		"received":     func(s *steps) { s.hold(); s.confirm(journal.TransferPost, 60) },
		"not received": func(s *steps) { s.hold(); s.confirm(journal.TransferVoid|journal.TransferFence, 0) },
	}
}

// TestTransit: whole transfers across cells leave nothing in transit, and the account in transit at zero.
func TestTransit(t *testing.T) {
	for name, write := range whole() {
		t.Run(name, func(t *testing.T) {
			s := newSteps()
			write(s)
			w := watch(books.New(cellID, books.Options{}), s.seal())
			for _, f := range w.findings {
				t.Errorf("%s: %s %+v", f.Class, f.Summary, f.Fields)
			}
			if b, _ := w.model.Account(id(inWay)); b.DebitsPosted != b.CreditsPosted || !b.DebitsPending.IsZero() || !b.CreditsPending.IsZero() {
				t.Errorf("in transit: %+v", b)
			}
			if sum := w.model.Totals()[0]; sum.Outgoing+sum.Incoming != 0 || !sum.TransitOut.IsZero() || !sum.TransitIn.IsZero() {
				t.Errorf("in transit: %+v", sum)
			}
			w.model.Overdue(1<<62, func(o *books.Open) { t.Errorf("%+v is overdue", o) })
		})
	}
}

// TestInTransit: what is open is told, with the moment since when it has had nothing to wait for; a snapshot has all of it.
func TestInTransit(t *testing.T) {
	const pending = journal.TransferPending
	at := func(n int) uint64 { return timeZero + uint64(n)*60*second }
	for _, c := range []struct {
		name    string
		write   func(*steps)
		step    block.Step
		since   uint64 // 0: it may wait
		out, in uint64
	}{
		{"reserved", func(s *steps) { s.reserve(0) }, block.StepReserve, at(1), 100, 0},
		{"reserved, to be pending", func(s *steps) { s.reserve(pending) }, block.StepReserve, at(1), 100, 0},
		{"committed", func(s *steps) { s.reserve(0); s.commit(0) }, block.StepMarker, at(2) + 2, 100, 0},
		{"refused", func(s *steps) { s.reserve(0); s.abort(54) }, block.StepMarker, at(2) + 1, 0, 0},
		{"pending", func(s *steps) { s.reserve(pending); s.commit(pending) }, block.StepMarker, 0, 100, 0},
		{"pending, and posted", func(s *steps) { s.reserve(pending); s.commit(pending); s.end(journal.TransferPost, 40) }, block.StepMarker, at(3), 100, 0},
		{"held", func(s *steps) { s.hold() }, block.StepHold, at(1), 0, 100},
		{"held, to be pending", func(s *steps) {
			say(s.hold(), 0, func(x *journal.Transit) { x.Flags, x.Timeout = pending, 600 })
		}, block.StepHold, at(1) + 600*second, 0, 100},
		{"held, to be pending for ever", func(s *steps) { say(s.hold(), 0, func(x *journal.Transit) { x.Flags = pending }) }, block.StepHold, 0, 0, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSteps()
			c.write(s)
			w := watch(books.New(cellID, books.Options{}), s.seal())
			if len(w.findings) > 0 {
				t.Fatalf("%+v", w.findings)
			}
			check := func(m *books.Model) {
				if sum := m.Totals()[0]; sum.TransitOut.Lo != c.out || sum.TransitIn.Lo != c.in || sum.Outgoing+sum.Incoming != 1 {
					t.Errorf("in transit: %+v", sum)
				}
				var told []books.Open
				m.Overdue(c.since-1, func(o *books.Open) { told = append(told, *o) })
				if c.since != 0 && len(told) > 0 {
					t.Errorf("%+v is told too early", told)
				}
				m.Overdue(1<<62, func(o *books.Open) { told = append(told, *o) })
				if c.since == 0 && len(told) > 0 || c.since != 0 && (len(told) != 1 || told[0].Since != c.since || told[0].Step != c.step) {
					t.Errorf("since %d: %+v", c.since, told)
				}
			}
			var snapshot bytes.Buffer
			if err := w.model.Snapshot(&snapshot); err != nil {
				t.Fatal(err)
			}
			check(w.model)
			m, err := books.Restore(&snapshot, cellID, books.Options{HashKey: 5})
			if err != nil {
				t.Fatal(err)
			}
			check(m)
		})
	}
}

// TestTransitFaults: each of these would be a ledger that loses money, or moves it twice.
func TestTransitFaults(t *testing.T) {
	const pending = journal.TransferPending
	for _, c := range []struct {
		name  string
		write func(*steps)
		want  string // of a summary
	}{
		{"an ordinary transfer to the account in transit", func(s *steps) {
			s.chain([]journal.Transfer{{ID: money.From(1), Debit: money.From(1), Credit: inWay, Amount: money.From(5)}}, []*journal.Transit{nil})
		}, "does not say what it is part of"},
		{"a step between ordinary accounts", func(s *steps) { s.reserve(0).transfer(0, 0).Credit = money.From(2) }, "is not what step 1"},
		{"from another account than it says", func(s *steps) { say(s.reserve(0), 0, func(x *journal.Transit) { x.Debit = money.From(2) }) }, "is not what step 1"},
		{"to the clearing account of another cell", func(s *steps) { s.reserve(0); d := s.commit(0); say(d, 1, func(x *journal.Transit) { x.Peer = 4 }) }, "is not what step 4"},
		{"a reserve that can expire", func(s *steps) { s.reserve(0).transfer(0, 0).Timeout = 7 }, "does not reserve as step 1"},
		{"a transfer that nobody decided", func(s *steps) {
			s.reserve(0)
			s.chain([]journal.Transfer{{ID: money.From(500), Debit: money.From(1), Credit: inWay, Amount: money.From(100)}}, []*journal.Transit{outward(journal.TransitTransfer, 0)})
		}, "and not decided"},
		{"a transfer behind its refusal", func(s *steps) { s.reserve(0); say(s.commit(0), 1, func(x *journal.Transit) { x.Status = 54 }) }, "and not decided"},
		{"a transfer of another amount than was reserved", func(s *steps) { s.reserve(0); s.commit(0).transfer(0, 2).Amount = money.From(99) }, "and not decided"},
		{"a decision without a reserve", func(s *steps) {
			list, about := s.decision(0, journal.Created)
			s.chain(list[1:], about[1:])
		}, "not on a reserve"},
		{"another decision", func(s *steps) { s.reserve(0); s.commit(0); s.abort(0) }, "not on a reserve"},
		{"a marker of another amount", func(s *steps) { s.reserve(0); s.commit(0).transfer(0, 1).Amount = money.From(99) }, "with another amount"},
		{"a refusal that moves", func(s *steps) { s.reserve(0); s.abort(54).transfer(0, 1).Amount = money.From(100) }, "with another amount"},
		{"a reserve that moves", func(s *steps) {
			s.reserve(0)
			s.chain([]journal.Transfer{{ID: derived(600, "decide"), PendingID: money.From(600), Amount: money.From(100), Flags: journal.TransferPost}}, []*journal.Transit{outward(journal.TransitDecide, 0)})
		}, "moves what is only reserved"},
		{"a hold that somebody voids", func(s *steps) {
			s.hold()
			s.chain([]journal.Transfer{{ID: money.From(9), PendingID: derived(601, "hold"), Flags: journal.TransferVoid}}, []*journal.Transit{nil})
		}, "is no step of a transfer across them"},
		{"a step that says something else", func(s *steps) {
			s.hold()
			say(s.confirm(journal.TransferPost, 100), 0, func(x *journal.Transit) { x.Credit = money.From(1) })
		}, "says something else"},
		{"settled with less", func(s *steps) { s.reserve(0); s.commit(0); s.settle(0, journal.TransferPost, 99) }, "settles another amount"},
		{"settled although it was refused", func(s *steps) { s.reserve(0); s.abort(54); s.settle(0, journal.TransferPost, 100) }, "settles another amount"},
		{"given up although it was moved", func(s *steps) { s.reserve(0); s.commit(0); s.settle(0, journal.TransferVoid, 0) }, "settles another amount"},
		{"settled while it is pending", func(s *steps) { s.reserve(pending); s.commit(pending); s.settle(pending, journal.TransferVoid, 0) }, "which is pending"},
		{"settled with what was reserved", func(s *steps) {
			s.reserve(pending)
			s.commit(pending)
			s.end(journal.TransferPost, 40)
			s.settle(pending, journal.TransferPost, 100)
		}, "settles another amount"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSteps()
			c.write(s)
			w := watch(books.New(cellID, books.Options{}), s.seal())
			if !slices.ContainsFunc(w.findings, func(f books.Finding) bool { return f.Class == "lost_update" && strings.Contains(f.Summary, c.want) }) {
				t.Errorf("want %q, found %+v", c.want, w.findings)
			}
		})
	}
}

// TestTransitSteps: a movement says which step it is, with the transfer's own accounts.
func TestTransitSteps(t *testing.T) {
	s := newSteps()
	whole()["pending, expired"](s)
	s.hold()
	s.confirm(journal.TransferPost, 60)
	var got []block.Step
	m := books.New(cellID, books.Options{})
	for _, raw := range s.seal() {
		m.Apply(raw, func(x *books.Movement) {
			if x.Transit == nil || x.Transit.Peer != otherCell {
				t.Fatalf("%+v", x)
			}
			got = append(got, x.Transit.Step)
		}, nil)
	}
	want := []block.Step{
		block.StepReserve, block.StepDecide, block.StepMarker, block.StepTransfer, block.StepEnd, block.StepSettle, block.StepHold, block.StepConfirm,
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}

// TestSnapshotOfBefore: what was written before there were transfers across cells is read.
func TestSnapshotOfBefore(t *testing.T) {
	r := newRig(t)
	r.setUp()
	r.send(reserve(200, 1, 2, 50, 0))
	w := watch(books.New(cellID, books.Options{}), r.raws())
	var old, now, again bytes.Buffer
	if err := w.model.SnapshotV1(&old); err != nil {
		t.Fatal(err)
	}
	if err := w.model.Snapshot(&now); err != nil {
		t.Fatal(err)
	}
	m, err := books.Restore(&old, cellID, books.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Snapshot(&again); err != nil || !bytes.Equal(again.Bytes(), now.Bytes()) || old.Len() == now.Len() {
		t.Errorf("%v: %d bytes, written now %d", err, again.Len(), now.Len())
	}
}
