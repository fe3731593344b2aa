package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// generationBank has accounts 1 and 2, and generations of 3 ids.
func generationBank() *rig {
	r := newRigOf([2]uint64{3, 4}, 3)
	r.clock = 1000
	send(r, journal.KindAccounts, journal.Account{ID: money.From(1), Asset: 1, Code: 1}, journal.Account{ID: money.From(2), Asset: 1, Code: 1})
	r.endBlock()
	return r
}

// endBlock seals and releases the block, and settles what it made.
func (r *rig) endBlock() {
	r.seal()
	r.release(uint64(len(r.log)))
	r.ids.settle(r.state)
}

// fill settles all ids so far, by more transfers.
func (r *rig) fill(from uint64) {
	for i := range uint64(3) {
		send(r, journal.KindTransfers, transferOf(from+i, 0))
	}
	r.endBlock()
}

func transferOf(id uint64, flags journal.TransferFlags) journal.Transfer {
	return journal.Transfer{ID: money.From(id), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1, Flags: flags}
}

func resolves(id, pending uint64, flags journal.TransferFlags) journal.Transfer {
	x := journal.Transfer{ID: money.From(id), PendingID: money.From(pending), Flags: flags}
	if flags.Has(journal.TransferPost) {
		x.Amount = money.Max()
	}
	return x
}

// TestIDsOfSettledGenerations: every answer that rests on an id is the same when its generation is on disk, however
// many generations lie between.
func TestIDsOfSettledGenerations(t *testing.T) {
	const pending, post, void = journal.TransferPending, journal.TransferPost, journal.TransferVoid
	r := generationBank()
	send(r, journal.KindTransfers, transferOf(10, 0), transferOf(11, pending), transferOf(12, pending))
	expiring := transferOf(13, pending)
	expiring.Timeout = 1
	unknown := transferOf(14, 0)
	unknown.Debit = money.From(77)
	send(r, journal.KindTransfers, expiring, unknown, resolves(15, 16, void|journal.TransferFence))
	r.endBlock()
	r.fill(100)
	check := func(when string, x journal.Transfer, want journal.Status) {
		t.Helper()
		if got := send(r, journal.KindTransfers, x)[0].Status; got != want {
			t.Errorf("%s, transfer %v: status %d, want %d", when, x.ID, got, want)
		}
	}
	check("settled", transferOf(10, 0), journal.TransferExists)
	check("settled", transferOf(14, 0), journal.TransferIdAlreadyFailed)
	check("settled", transferOf(16, 0), journal.TransferIdAlreadyFailed)
	check("settled", resolves(17, 10, post), journal.TransferPendingTransferNotPending)
	check("settled", resolves(20, 11, post), journal.Created)
	check("settled", resolves(21, 12, void), journal.Created)
	check("ended in this block", resolves(22, 11, void), journal.TransferPendingTransferAlreadyPosted)
	r.seal()
	check("ended in a block that is not released", resolves(22, 11, void), journal.TransferPendingTransferAlreadyPosted)
	r.clock += 5_000_000_000
	r.endBlock()
	for round, from := range []uint64{200, 300, 400} {
		when := fmt.Sprintf("%d generations later", round)
		check(when, resolves(23, 11, void), journal.TransferPendingTransferAlreadyPosted)
		check(when, resolves(23, 12, post), journal.TransferPendingTransferAlreadyVoided)
		check(when, resolves(23, 13, post), journal.TransferPendingTransferExpired)
		check(when, resolves(20, 11, post), journal.TransferExists)
		check(when, transferOf(11, pending), journal.TransferExists)
		r.fill(from)
	}
	if r.ids.found == 0 || len(r.ids.refs) < 6 || r.state.Unsettled() != 0 {
		t.Fatalf("%d generations, of which %d entries were read", len(r.ids.refs), r.ids.found)
	}
	if err := r.checkReplay(); err != nil {
		t.Fatal(err)
	}
}

// TestChainOverSettledReservation: a chain that ends a reservation of a settled generation and breaks leaves it open.
func TestChainOverSettledReservation(t *testing.T) {
	r := generationBank()
	send(r, journal.KindTransfers, transferOf(10, journal.TransferPending))
	r.fill(100)
	bad := transferOf(21, 0)
	bad.Code = 0
	got := send(r, journal.KindTransfers, resolves(20, 10, journal.TransferPost|journal.TransferLinked), bad)
	if got[0].Status != journal.TransferLinkedEventFailed || got[1].Status != journal.TransferCodeMustNotBeZero {
		t.Fatalf("chain: %v", got)
	}
	r.fill(200)
	if got := send(r, journal.KindTransfers, resolves(20, 10, journal.TransferVoid))[0].Status; got != journal.Created {
		t.Fatalf("void after the chain: %d", got)
	}
	r.fill(300)
	if got := send(r, journal.KindTransfers, resolves(22, 10, journal.TransferPost))[0].Status; got != journal.TransferPendingTransferAlreadyVoided {
		t.Fatalf("post after the void: %d", got)
	}
	if err := r.checkReplay(); err != nil {
		t.Fatal(err)
	}
}

// TestIDsThatNobodyLookedUp: the ledger stops rather than take an id for new when a runner leaves a look-up out.
func TestIDsThatNobodyLookedUp(t *testing.T) {
	r := generationBank()
	r.fill(100)
	event := journal.Bytes([]journal.Transfer{transferOf(101, 0)})
	r.begin()
	needs := r.state.Needs(journal.KindTransfers, event, nil)
	if len(needs) != 1 || len(needs[0].Generations) != 1 || needs[0].OfTimestamp() {
		t.Fatalf("needs %v, want a look-up in one generation", needs)
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "nobody told what the settled generations know") {
			t.Errorf("got %s", got)
		}
	}()
	r.state.Apply(journal.KindTransfers, journal.Actor{}, event, ledger.Facts{}, make([]journal.Result, 1))
}

// TestSnapshotOfGenerations: a snapshot is of no use without each of the generations that it relies on, as they were.
func TestSnapshotOfGenerations(t *testing.T) {
	r := generationBank()
	r.fill(100)
	r.fill(200)
	image := takeSnapshot(r.state, uint64(len(r.log)))
	if _, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(image)); !errors.Is(err, ledger.ErrSnapshot) {
		t.Errorf("without files: %v", err)
	}
	for n := range uint32(2) {
		gone := errors.New("gone")
		_, _, err := ledger.Restore(ledger.Config{Generation: 3, Filter: func(ref ledger.GenerationRef) ([]uint64, error) {
			if ref.Number == n+1 {
				return nil, gone
			}
			return r.ids.filter(ref)
		}}, bytes.NewReader(image))
		if !errors.Is(err, gone) {
			t.Errorf("without generation %d: %v", n+1, err)
		}
	}
	_, _, err := ledger.Restore(ledger.Config{Generation: 3, Filter: func(ledger.GenerationRef) ([]uint64, error) {
		return nil, nil
	}}, bytes.NewReader(image))
	if !errors.Is(err, ledger.ErrSnapshot) {
		t.Errorf("with filters of no length: %v", err)
	}
	if _, _, err := ledger.Restore(r.ids.config([2]uint64{}, 3), bytes.NewReader(image)); err != nil {
		t.Errorf("with all of them: %v", err)
	}
}

// TestSnapshotWhileGenerationsSettle: the ids that a snapshot copies stay there until it has them, and go then.
func TestSnapshotWhileGenerationsSettle(t *testing.T) {
	r := generationBank()
	send(r, journal.KindTransfers, transferOf(10, journal.TransferPending), transferOf(11, 0))
	r.endBlock()
	base := uint64(len(r.log))
	sn := r.state.StartSnapshot(base)
	var image []byte
	image, _ = sn.Next(image, 1)
	r.fill(100)
	send(r, journal.KindTransfers, resolves(20, 10, journal.TransferPost))
	r.fill(200)
	for more := true; more; {
		image, more = sn.Next(image, 1)
	}
	ids := newIDFiles()
	s, seq, err := ledger.Restore(ids.config([2]uint64{}, 3), bytes.NewReader(image))
	if err != nil || seq != base {
		t.Fatalf("restored: block %d, %v", seq, err)
	}
	if err := r.replayedWith(ids, s, base+1); err != nil {
		t.Fatal(err)
	}
	if err := equalStates(r.state, s); err != nil {
		t.Fatal(err)
	}
}

// TestFilter: everything passes the filter that is in its generation, and of what is not one in some hundreds.
func TestFilter(t *testing.T) {
	const n = 20_000
	r := newRigOf([2]uint64{3, 4}, n)
	r.clock = 1000
	send(r, journal.KindAccounts, journal.Account{ID: money.From(1), Asset: 1, Code: 1}, journal.Account{ID: money.From(2), Asset: 1, Code: 1})
	for from := uint64(1000); from < 1000+3*n; from += 5000 {
		list := make([]journal.Transfer, 5000)
		for i := range list {
			list[i] = transferOf(from+uint64(i), 0)
		}
		send(r, journal.KindTransfers, list...)
		r.endBlock()
	}
	for id := uint64(1000); id < 1000+3*n; id++ {
		if need, ok := r.state.SettledCandidates(money.From(id)); !ok || len(r.ids.answer(need, &ledger.Facts{})) != 1 {
			t.Fatalf("id %d: %v", id, need)
		}
	}
	passed, rng := 0, rand.New(rand.NewPCG(1, 2))
	const asked = 100_000
	for range asked {
		if need, ok := r.state.SettledCandidates(money.U128{Lo: rng.Uint64(), Hi: 1 + rng.Uint64()>>1}); ok {
			passed += len(need.Generations)
		}
	}
	if per := float64(passed) / (3 * asked); per > 0.002 {
		t.Errorf("%.2f%% of unknown ids pass a filter", 100*per)
	}
}
