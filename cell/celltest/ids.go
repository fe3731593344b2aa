package celltest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// IDHarness is an empty store of generations of ids, fresh for each case.
type IDHarness struct {
	IDs    cell.IDFiles
	Reopen func() (cell.IDFiles, error) // as after a restart: nothing is loaded
	// Stored and Replace read and overwrite the stored form of a generation, past the store; nil contents: it is
	// removed. They are nil where there is no such form.
	Stored  func(number uint32) ([]byte, error)
	Replace func(number uint32, b []byte) error
}

// IDCase is one rule of the contract. Run returns what broke it.
type IDCase struct {
	Name string
	Run  func(h IDHarness) error
}

// IDs runs every case as a subtest, each on a store that open makes.
func IDs(t *testing.T, open func(t *testing.T) IDHarness) {
	t.Helper()
	for _, c := range IDCases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(open(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// IDCases are the rules.
func IDCases() []IDCase {
	return []IDCase{
		{"what was written is found", idsFound},
		{"it is found after a restart", idsFoundAgain},
		{"another generation is not taken for it", idsOther},
		{"a generation is replaced whole", idsReplaced},
		{"one that is not there is damaged", idsMissing},
		{"one that was cut short is damaged", idsCut},
		{"one that was altered is damaged, or answers as before", idsAltered},
	}
}

// Generations makes so many generations of n ids each, by a ledger whose hashes depend on key (not 0), and hands each to take,
// which has to return what the ledger is to rely on.
func Generations(key uint64, number, n int, take func(g *ledger.Generation) (ledger.GenerationRef, []uint64, error)) error {
	s := ledger.New(ledger.Config{HashKey: [2]uint64{key * 0x9E3779B97F4A7C15, key * 0xC2B2AE3D27D4EB4F}, Generation: n})
	b, fx := journal.NewBuilder(), &ledger.Effects{}
	apply := func(seq uint64, kind journal.Kind, events []byte) {
		s.Begin(b, fx, seq, 1_000_000*seq)
		facts := ledger.Facts{IDs: map[uint64][]uint64{}}
		for _, need := range s.Needs(kind, events, nil) {
			facts.IDs[need.Hash] = nil // all ids are new
		}
		s.Apply(kind, journal.Actor{}, events, facts, make([]journal.Result, len(events)/journal.RecordSize))
		s.End(b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Seq: seq, Time: 1_000_000 * seq}))
		s.Release(seq)
	}
	apply(1, journal.KindAccounts, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}))
	id := uint64(100)
	for seq := uint64(2); number > 0; seq++ {
		list := make([]journal.Transfer, min(n, 4000))
		for i := range list {
			id++
			list[i] = journal.Transfer{ID: money.From(id), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}
		}
		apply(seq, journal.KindTransfers, journal.Bytes(list))
		if g := s.NextSealed(); g != nil {
			ref, filter, err := take(g)
			if err != nil {
				return err
			}
			s.Settle(ref, filter)
			number--
		}
	}
	return nil
}

// written is a generation, in the plainest form.
type written struct {
	ref     ledger.GenerationRef
	filter  []uint64
	entries map[uint64][]uint64
}

func writeIDs(ids cell.IDFiles, key uint64, number, n int) ([]written, error) {
	var list []written
	err := Generations(key, number, n, func(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
		x := written{entries: map[uint64][]uint64{}}
		for hash, value := range g.Entries() {
			x.entries[hash] = append(x.entries[hash], value)
		}
		ref, filter, err := ids.Write(g)
		x.ref, x.filter = ref, filter
		if want := g.Ref(); err == nil && (ref.Number != want.Number || ref.Count != want.Count || ref.Last != want.Last || !slices.Equal(filter, g.Filter())) {
			err = fmt.Errorf("generation %+v was written as %+v", want, ref)
		}
		list = append(list, x)
		return ref, filter, err
	})
	return list, err
}

// check looks up all entries, and hashes beside them.
func (x *written) check(ids cell.IDFiles) error {
	for hash, want := range x.entries {
		got, err := ids.Find(x.ref.Number, hash, []uint64{9})
		if err != nil {
			return err
		}
		if !slices.Equal(got[1:], want) || got[0] != 9 {
			return fmt.Errorf("hash %x has values %x, found were %x", hash, want, got[1:])
		}
		for _, other := range []uint64{hash + 1, hash - 1, ^hash} {
			got, err := ids.Find(x.ref.Number, other, nil)
			if err != nil || !slices.Equal(got, x.entries[other]) {
				return fmt.Errorf("hash %x: found %x, error %w", other, got, err)
			}
		}
	}
	for _, edge := range []uint64{0, 1<<64 - 1} {
		if got, err := ids.Find(x.ref.Number, edge, nil); err != nil || !slices.Equal(got, x.entries[edge]) {
			return fmt.Errorf("hash %x: found %x, error %w", edge, got, err)
		}
	}
	return nil
}

func (x *written) load(ids cell.IDFiles) error {
	filter, err := ids.Load(x.ref)
	if err == nil && !slices.Equal(filter, x.filter) {
		return fmt.Errorf("the filter of generation %d is another one than was written", x.ref.Number)
	}
	return err
}

func idsFound(h IDHarness) error {
	for _, n := range []int{1, 2, 219, 256, 5000, 60_000} {
		list, err := writeIDs(h.IDs, 3, 2, n)
		if err != nil {
			return fmt.Errorf("generations of %d ids: %w", n, err)
		}
		for i := range list {
			if err := list[i].check(h.IDs); err != nil {
				return fmt.Errorf("generations of %d ids: %w", n, err)
			}
		}
	}
	return nil
}

func idsFoundAgain(h IDHarness) error {
	list, err := writeIDs(h.IDs, 1, 3, 2000)
	if err != nil {
		return err
	}
	if h.IDs, err = h.Reopen(); err != nil {
		return err
	}
	for i := range list {
		if err := errors.Join(list[i].load(h.IDs), list[i].check(h.IDs)); err != nil {
			return err
		}
	}
	return nil
}

func idsOther(h IDHarness) error {
	list, err := writeIDs(h.IDs, 1, 1, 300)
	if err != nil {
		return err
	}
	for i, change := range []func(r *ledger.GenerationRef){
		func(r *ledger.GenerationRef) { r.Words++ }, func(r *ledger.GenerationRef) { r.Count++ },
		func(r *ledger.GenerationRef) { r.First-- }, func(r *ledger.GenerationRef) { r.Last++ },
		func(r *ledger.GenerationRef) { r.Sum[31] ^= 1 },
	} {
		other := list[0].ref
		change(&other)
		if _, err := h.IDs.Load(other); !errors.Is(err, cell.ErrDamaged) {
			return fmt.Errorf("change %d: error %w, want that it is damaged", i, err)
		}
	}
	return list[0].load(h.IDs)
}

func idsReplaced(h IDHarness) error {
	first, err := writeIDs(h.IDs, 1, 2, 300)
	if err != nil {
		return err
	}
	second, err := writeIDs(h.IDs, 2, 1, 300) // the same ids under another key
	if err != nil {
		return err
	}
	if err := wantError(first[0].load(h.IDs), cell.ErrDamaged, "one that was replaced"); err != nil {
		return err
	}
	return errors.Join(second[0].load(h.IDs), second[0].check(h.IDs), first[1].check(h.IDs))
}

func idsMissing(h IDHarness) error {
	list, err := writeIDs(h.IDs, 1, 1, 300)
	if err != nil {
		return err
	}
	list[0].ref.Number++
	return wantError(list[0].load(h.IDs), cell.ErrDamaged, "one that was never written")
}

func idsCut(h IDHarness) error {
	return eachAlteration(h, func(b []byte, try func(b []byte, must bool) error) error {
		for cut := 0; cut < len(b); cut += 1 + cut/5 {
			if err := try(b[:cut], true); err != nil {
				return fmt.Errorf("%d of %d bytes: %w", cut, len(b), err)
			}
		}
		return try(append(bytes.Clone(b), 0), true)
	})
}

func idsAltered(h IDHarness) error {
	return eachAlteration(h, func(b []byte, try func(b []byte, must bool) error) error {
		for at := 0; at < len(b); at += 97 {
			c := bytes.Clone(b)
			c[at] ^= 0x10
			if err := try(c, false); err != nil {
				return fmt.Errorf("byte %d altered: %w", at, err)
			}
		}
		return nil
	})
}

// eachAlteration hands the stored form of a generation to alter, with a function that stores another one in its place:
// it must not load, or each look-up must find what was written, or be told that it is damaged.
func eachAlteration(h IDHarness, alter func(b []byte, try func(b []byte, must bool) error) error) error {
	if h.Stored == nil {
		return nil
	}
	list, err := writeIDs(h.IDs, 1, 1, 700)
	if err != nil {
		return err
	}
	b, err := h.Stored(1)
	if err != nil {
		return err
	}
	return alter(b, func(b []byte, must bool) error {
		if err := h.Replace(1, b); err != nil {
			return err
		}
		ids, err := h.Reopen()
		if err != nil {
			return err
		}
		err = list[0].load(ids)
		if err == nil && !must {
			err = list[0].check(ids)
		}
		if err == nil && !must {
			return errors.New("nobody noticed")
		}
		return wantError(err, cell.ErrDamaged, "the altered one")
	})
}
