package transit_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

var cny = money.Asset{Code: "CNY", Scale: 2}

// side is a cell: a state, and its journal in memory. Every request is a block of its own, durable at once.
type side struct {
	id    uint64
	state *ledger.State
	log   []*journal.Block
	clock uint64 // ns
}

func newSide(id, peer uint64, users ...uint64) *side {
	s := &side{id: id, state: ledger.New(ledger.Config{HashKey: [2]uint64{id, 7}}), clock: 1_000_000_000}
	s.must(journal.KindAssets, journal.Bytes([]journal.Asset{ledger.AssetRecord(cny)}))
	s.must(journal.KindAccounts, journal.Bytes(transit.Accounts(cny, 1, peer)))
	for _, n := range users {
		s.must(journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(n), Asset: 1, Code: 1}}))
	}
	return s
}

func (s *side) must(kind journal.Kind, events []byte) {
	if r := s.do(kind, events, nil); r[0].Status != journal.Created {
		panic(fmt.Sprintf("cell %d: %s", s.id, r[0].Status.Name(kind)))
	}
}

// steps sends the events of a step.
func (s *side) steps(list ...transit.Event) []journal.Result {
	var events []journal.Transfer
	var attached []journal.Attachment
	for i, e := range list {
		events = append(events, e.Transfer)
		attached = append(attached, journal.Attachment{Event: i, Data: e.Attached})
	}
	if err := ledger.CheckRequest(journal.KindTransfers, journal.Bytes(events), attached); err != nil {
		panic(err)
	}
	return s.do(journal.KindTransfers, journal.Bytes(events), attached)
}

func (s *side) do(kind journal.Kind, events []byte, attached []journal.Attachment) []journal.Result {
	b, fx := journal.NewBuilder(), new(ledger.Effects)
	seq, at := uint64(len(s.log))+1, max(s.clock, s.state.NextTime())
	s.state.Begin(b, fx, seq, at)
	s.state.Expire()
	results := make([]journal.Result, len(events)/journal.RecordSize)
	if len(events) > 0 {
		s.state.Attach(attached)
		facts, err := s.fetch(s.state.Needs(kind, events, nil))
		if err != nil {
			panic(err)
		}
		s.state.Apply(kind, actor(seq), events, facts, results)
	}
	if b.Empty() {
		s.state.End(nil)
		return results
	}
	h := journal.Header{Kind: journal.BlockNormal, Rules: ledger.Rules, Cell: s.id, Seq: seq, Time: at}
	if seq > 1 {
		h.Prev = s.log[seq-2].Hash
	}
	k, err := journal.Decode(bytes.Clone(b.Seal(h).Raw))
	if err != nil {
		panic(err)
	}
	s.state.End(k)
	s.state.Release(seq)
	s.log = append(s.log, k)
	return results
}

// actor makes every request another person's, so that freezes can be lifted.
func actor(seq uint64) (a journal.Actor) {
	a[0], a[1] = byte(seq), byte(seq>>8)
	return a
}

func (s *side) fetch(needs []ledger.Need) (ledger.Facts, error) {
	facts := ledger.Facts{At: map[journal.Position]ledger.Fact{}}
	for _, n := range needs {
		for p := n.Position; p != 0; p = facts.At[p].PendingPosition {
			if p.Seq() == 0 || p.Seq() > uint64(len(s.log)) {
				return facts, fmt.Errorf("block %d was asked for", p.Seq())
			}
			facts.At[p] = s.fact(p)
		}
	}
	return facts, nil
}

func (s *side) fact(p journal.Position) ledger.Fact {
	k := s.log[p.Seq()-1]
	event := p.Index() - len(k.Expiries)
	return ledger.NewFact(k.Transfer(event), k.Outcome(event), k.Attachment(event), k.Header.Time+uint64(p.Index()))
}

// open returns what is to be done for the attempts that are open at home.
func (s *side) open() (list []transit.Resumed, err error) {
	pendings, _ := s.state.OpenPendings(0, 1<<20, nil)
	for _, p := range pendings {
		if !p.Flags.Has(journal.TransferHold) {
			continue
		}
		f := s.fact(p.Position)
		r, err := transit.Resume(s.id, cny, &transit.Open{Record: f.Asked, Attached: f.Attachment, Ended: p.Ended, Posted: p.Posted})
		switch {
		case err == nil:
			list = append(list, r)
		case !errors.Is(err, transit.ErrNotOurs):
			return nil, err
		}
	}
	return list, nil
}

// replay makes the state anew, from a snapshot or from the journal alone, and compares.
func (s *side) replay(snapshot bool) error {
	again, from := ledger.New(ledger.Config{HashKey: [2]uint64{9, s.id}}), uint64(0)
	if snapshot {
		image, more := []byte(nil), true
		for sn := s.state.StartSnapshot(uint64(len(s.log))); more; {
			image, more = sn.Next(image, 1<<20)
		}
		var err error
		if again, from, err = ledger.Restore(ledger.Config{}, bytes.NewReader(image)); err != nil {
			return err
		}
	}
	for _, k := range s.log[from:] {
		if err := again.Replay(k, journal.NewBuilder(), new(ledger.Effects), s.fetch); err != nil {
			return err
		}
	}
	if again.Digest() != s.state.Digest() || again.Counts() != s.state.Counts() {
		return fmt.Errorf("cell %d: what was replayed is another state", s.id)
	}
	s.state = again
	return nil
}

// moved adds up, for each transfer, what was posted of it and how often: by steps of one kind that are posts, or
// transfers.
func (s *side) moved(of func(*journal.Transit, *journal.Transfer) bool) map[money.U128]movement {
	sums := map[money.U128]movement{}
	s.each(func(x *journal.Transit, f *ledger.Fact) {
		if f.Status == journal.Created && of(x, &f.Asked) && !f.Amount.IsZero() {
			m := sums[x.Transfer]
			m.times++
			m.amount, _ = m.amount.Add(f.Amount)
			sums[x.Transfer] = m
		}
	})
	return sums
}

// each visits the steps in the journal.
func (s *side) each(visit func(x *journal.Transit, f *ledger.Fact)) {
	for _, k := range s.log {
		for part := range k.Parts() {
			for i := part.First; part.Kind == journal.KindTransfers && i < part.First+part.Count; i++ {
				if x, ok := journal.TransitOf(k.Attachment(i)); ok {
					visit(&x, new(s.fact(journal.At(k.Header.Seq, len(k.Expiries)+i))))
				}
			}
		}
	}
}

type movement struct {
	times  int
	amount money.U128
}
