package readmodeltest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// firstTime is when every world begins: 2023-11-14, in ns.
const firstTime = 1_700_000_000_000_000_000

const (
	secondNs = 1_000_000_000
	dayNs    = 86_400 * secondNs
)

// World is a real ledger with its journal in memory, whose requests are random. It is a readmodel.Source, of which every
// block is acknowledged. One goroutine uses it, but for Head and Read, which don't mind if no block is being made.
type World struct {
	Cell   uint64
	Blocks []*journal.Block // block n stands at n-1
	State  *ledger.State

	rng     *rand.Rand
	builder *journal.Builder
	fx      ledger.Effects
	open    bool
	opened  uint64 // time of the open block
	now     uint64
	epoch   uint64
	still   bool // time passes by Advance only
	bare    bool // nothing is known but the journal and the state

	nextID    uint64
	accounts  map[uint32][]money.U128 // by asset
	pendings  []money.U128
	used      []journal.Transfer
	freezes   []money.U128
	proposals []proposed

	known records
}

// proposed is what somebody proposed, for others to decide.
type proposed struct {
	id       money.U128
	inner    journal.Kind
	events   []byte
	attached []journal.Attachment
}

// NewWorld returns an empty ledger. The same seed makes the same journal.
func NewWorld(cellNumber, seed uint64) *World {
	return &World{
		Cell: cellNumber, State: ledger.New(ledger.Config{HashKey: [2]uint64{seed, 7}}), rng: rand.New(rand.NewPCG(seed, 3)), //nolint:gosec // a seed that replays
		builder: journal.NewBuilder(), now: firstTime, known: newRecords(), epoch: 1, accounts: map[uint32][]money.U128{},
	}
}

// Head implements readmodel.Source.
func (w *World) Head(context.Context) (uint64, error) { return uint64(len(w.Blocks)), nil }

// Read implements readmodel.Source.
func (w *World) Read(_ context.Context, seq uint64, dst []byte) ([]byte, error) {
	if seq == 0 || seq > uint64(len(w.Blocks)) {
		return nil, fmt.Errorf("block %d: %w", seq, cell.ErrNotFound)
	}
	return append(dst[:0], w.Blocks[seq-1].Raw...), nil
}

// AddBlocks makes n blocks of up to so many requests each. Some are barriers, and some have expiries only.
func (w *World) AddBlocks(n, requests int) {
	for range n {
		w.begin()
		for range w.rng.IntN(requests + 1) {
			w.request()
		}
		w.Seal()
	}
}

// Advance lets time pass, in ns.
func (w *World) Advance(ns uint64) { w.now += ns }

func (w *World) begin() {
	if w.open {
		return
	}
	if !w.still {
		switch w.rng.IntN(12) {
		case 0:
			w.now += dayNs
		case 1, 2, 3:
			w.now += w.rng.Uint64N(40) * secondNs
		}
		w.now += 1 + w.rng.Uint64N(1_000_000)
	}
	w.open, w.opened = true, max(w.now, w.State.NextTime())
	w.State.Begin(w.builder, &w.fx, uint64(len(w.Blocks))+1, w.opened)
	w.State.Expire()
}

// Seal ends the block that is being made; without anything in it, it is a barrier.
func (w *World) Seal() {
	w.begin()
	w.open = false
	h := journal.Header{
		Kind: journal.BlockNormal, Rules: ledger.Rules, Cell: w.Cell, Seq: uint64(len(w.Blocks)) + 1, Time: w.opened, Epoch: w.epoch, Acked: uint64(len(w.Blocks)),
	}
	switch {
	case h.Seq == 1:
		h.Kind = journal.BlockEpoch
	case w.builder.Empty():
		h.Kind = journal.BlockBarrier
	}
	if h.Seq > 1 {
		h.Prev = w.Blocks[h.Seq-2].Hash
	}
	k, err := journal.Decode(bytes.Clone(w.builder.Seal(h).Raw))
	if err != nil {
		panic(fmt.Sprintf("the ledger made a block that can't be read: %v", err))
	}
	w.State.End(k)
	w.State.Release(h.Seq)
	w.Blocks = append(w.Blocks, k)
	if !w.bare {
		w.known.take(w, k)
	}
}

// Do applies one request in the block that is being made. Details are those of its events, by their number; an event
// that has some is flagged here.
func (w *World) Do(kind journal.Kind, actor byte, events []byte, attached ...journal.Attachment) []journal.Result {
	n := len(events) / journal.RecordSize
	if w.open && w.builder.Events()+n > journal.MaxEvents {
		w.Seal()
	}
	w.begin()
	if err := ledger.CheckRequest(kind, events, attached); err != nil {
		panic(fmt.Sprintf("request of kind %d: %v", kind, err))
	}
	w.State.Attach(attached)
	needs := w.State.Needs(kind, events, nil)
	for _, need := range needs {
		if need.OfTimestamp() && !w.builder.Empty() { // the log alone can tell
			w.Seal()
			w.begin()
			w.State.Attach(attached)
			needs = w.State.Needs(kind, events, nil)
			break
		}
	}
	results := make([]journal.Result, n)
	w.State.Apply(kind, journal.Actor{actor, 0xAB}, events, w.facts(needs), results)
	w.note(kind, events, results)
	return results
}

// note remembers accounts and reservations that were made, for the requests after.
func (w *World) note(kind journal.Kind, events []byte, results []journal.Result) {
	for _, p := range journal.Parts(kind, events) {
		for i := p.First; i < p.First+p.Count; i++ {
			if results[i].Status != journal.Created {
				continue
			}
			raw := events[i*journal.RecordSize:][:journal.RecordSize]
			switch p.Kind {
			case journal.KindAccounts:
				a := journal.View[journal.Account](raw)[0]
				w.accounts[a.Asset] = append(w.accounts[a.Asset], a.ID)
			case journal.KindTransfers:
				if t := &journal.View[journal.Transfer](raw)[0]; t.Flags.Has(journal.TransferPending) {
					w.pendings = append(w.pendings, t.ID)
				}
			}
		}
	}
}

func (w *World) facts(needs []ledger.Need) ledger.Facts {
	f := ledger.Facts{At: map[journal.Position]ledger.Fact{}, TransferAt: map[uint64]bool{}}
	for _, n := range needs {
		if n.OfTimestamp() {
			f.TransferAt[n.Timestamp] = w.known.times[n.Timestamp]
			continue
		}
		fact := w.fact(n.Position)
		f.At[n.Position] = fact
		if p := fact.PendingPosition; p != 0 {
			f.At[p] = w.fact(p)
		}
	}
	return f
}

func (w *World) fact(p journal.Position) ledger.Fact {
	k := w.Blocks[p.Seq()-1]
	i := p.Index() - len(k.Expiries)
	return ledger.NewFact(k.Transfer(i), k.Outcome(i), k.Attachment(i), k.Header.Time+uint64(p.Index())) //nolint:gosec // not negative
}
