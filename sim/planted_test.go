package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/watch"
)

// red plays seeds until one goes red with the fault planted; the same seed must be green without it.
func red(t *testing.T, world World, plant Plant, seeds uint64, wants string) {
	t.Helper()
	for seed := range seeds {
		_, err := Run(Options{Seed: seed, World: world, Plant: plant})
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), wants) {
			continue // a follow-up; another seed shows the fault itself
		}
		t.Logf("red: %.300v", err)
		if _, err := Run(Options{Seed: seed, World: world}); err != nil {
			t.Errorf("red without the fault, too: %v", err)
		}
		return
	}
	t.Errorf("none of %d seeds notices %+v", seeds, plant)
}

// TestPlantedAppendWithoutThePredecessorCheck builds by hand what one in thousands of seeds comes to: a machine took over
// on top of a block that only the primary had, its append is under way when that block is gone, and arrives when another
// one stands in its place.
func TestPlantedAppendWithoutThePredecessorCheck(t *testing.T) {
	for _, planted := range []bool{false, true} {
		l := &Log{rng: newRand(1), trace: func(string, ...any) {}, plant: Plant{NoPredecessorCheck: planted}}
		block := func(seq, epoch uint64, prev journal.Hash) *journal.Block {
			h := journal.Header{Rules: ledger.Rules, Kind: journal.BlockEpoch, Cell: cellID, Seq: seq, Epoch: epoch, Prev: prev, Time: seq * 1000}
			return journal.NewBuilder().Seal(h)
		}
		first := block(1, 1, journal.Hash{})
		lost := block(2, 2, first.Hash)
		if err := errors.Join(l.land(entryOf(first), true), l.land(entryOf(lost), false)); err != nil {
			t.Fatal(err)
		}
		l.late = append(l.late, entryOf(block(3, 3, lost.Hash)))
		l.failOver()
		if err := l.land(entryOf(block(2, 4, first.Hash)), true); err != nil {
			t.Fatal(err)
		}
		l.landLate()
		_, err := cell.Verify(context.Background(), cellID, l, watch.NewVerifier(cellID), nil)
		if red := err != nil && strings.Contains(err.Error(), "follows a block with hash"); red != planted {
			t.Errorf("planted: %v; verify says %v", planted, err)
		}
		err = newAuditor().advance(uint64(len(l.blocks)), 1_000_000, func(seq uint64) ([]byte, error) { return l.Read(context.Background(), seq, nil) })
		if (err != nil) != planted {
			t.Errorf("planted: %v; the auditor says %v", planted, err)
		}
	}
}

func TestPlantedLateAppendOfADeposedLeader(t *testing.T) {
	red(t, Shared, Plant{LateAppendWins: true}, 200, "")
}

func TestPlantedCommitThatOnlyTheRestartedPrimaryHas(t *testing.T) {
	red(t, Shared, Plant{AckLocalCommit: true}, 200, "")
}

// TestPlantedReadOnAnIsolatedPrimary: a machine that was deposed, and does not know, is asked for what the other has
// acknowledged. It must not answer.
func TestPlantedReadOnAnIsolatedPrimary(t *testing.T) {
	for _, planted := range []bool{false, true} {
		w := &world{ctx: context.Background(), kind: Shared, rng: newRand(1), clock: newClock(), audit: newAuditor(), hash: fnv.New64a()}
		w.opts.Plant.UnsharedReads = planted
		w.log = &Log{rng: newRand(1), trace: w.trace}
		old, other := newMachine(w, 0), newMachine(w, 1)
		for _, m := range []*machine{old, other} { // the second start deposes the first
			if err := m.open(); err != nil {
				t.Fatal(err)
			}
		}
		accounts := journal.Bytes([]journal.Account{plainAccount(1)})
		r := &cell.Request{Kind: journal.KindAccounts, Events: accounts, Results: make([]journal.Result, 1)}
		if err := other.st.Submit(r); err != nil {
			t.Fatal(err)
		}
		run(other)
		if answered, err := other.st.Answer(r); !answered || err != nil || r.Results[0].Status != journal.Created {
			t.Fatalf("planted: %v; the leader: %v, %v, %v", planted, answered, err, r.Results)
		}
		look, err := old.st.Look([]money.U128{money.From(1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		run(old)
		answered, err := old.st.Answer(&look.Request)
		if stale := answered && err == nil && len(look.Accounts) == 0; stale != planted {
			t.Errorf("planted: %v; the deposed machine answered %v, %v with %d accounts", planted, answered, err, len(look.Accounts))
		}
	}
}

// run has a machine do all that it can.
func run(m *machine) {
	for m.st.Sequence() || m.st.Append() || m.st.Follow() {
	}
}

func TestPlantedUnsyncedWritesDropped(t *testing.T) {
	red(t, Local, Plant{DropSyncs: true}, 50, "acknowledged")
}

// TestPlantedUnsyncedWritesDroppedAreSeenByTheFloor: where something else knows how far the journal was, the store
// itself refuses to open.
func TestPlantedUnsyncedWritesDroppedAreSeenByTheFloor(t *testing.T) {
	for _, drop := range []bool{false, true} {
		w := &world{ctx: context.Background(), rng: newRand(1), clock: newClock()}
		disk := NewDisk()
		head := appendSome(t, w, disk, drop)
		after := disk.Crash(w.rng, 0)
		s, err := local.Open("bank", local.Options{FS: after, Cell: cellID, SegmentSize: 16 << 10, Floor: head})
		if err == nil {
			err = s.Close()
		}
		if got := errors.Is(err, local.ErrBehind); got != drop {
			t.Errorf("syncs dropped: %v; open: %v", drop, err)
		}
	}
}

func TestPlantedIndexThatLagsBehindAnExists(t *testing.T) {
	red(t, Shared, Plant{LaggingIndex: true}, 500, "")
}

func TestPlantedIDThatIsForgottenOnDisk(t *testing.T) {
	red(t, Local, Plant{ForgottenIDs: true}, 200, "")
}

func TestPlantedClockADayAhead(t *testing.T) {
	red(t, Shared, Plant{HiddenJump: true}, 50, "believed")
}

func TestPlantedOmittedAmountOnPost(t *testing.T) {
	red(t, Shared, Plant{OmittedAsZero: true}, 50, "was to post all")
}

func TestPlantedRulesVersionChangeInTheMiddle(t *testing.T) {
	red(t, Shared, Plant{OtherRules: true}, 50, fmt.Sprintf("rules version %d", ledger.Rules+1))
}

// TestPlantedExpiryBetweenReserveAndPost: a runner that forgets to record what is due. The post still fails, but the
// money stays reserved: the auditor and the replay both notice.
func TestPlantedExpiryBetweenReserveAndPost(t *testing.T) {
	for _, forget := range []bool{false, true} {
		j := newRunner(t)
		j.expire = !forget
		j.block(1000, journal.KindAccounts, journal.Bytes([]journal.Account{plainAccount(1), plainAccount(2)}))
		reserve := journal.Transfer{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1, Flags: journal.TransferPending, Timeout: 1}
		j.block(2000, journal.KindTransfers, journal.Bytes([]journal.Transfer{reserve}))
		post := journal.Transfer{ID: money.From(11), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost}
		other := reserve
		other.ID, other.Flags, other.Timeout = money.From(12), 0, 0
		results := j.block(2_000_000_000, journal.KindTransfers, journal.Bytes([]journal.Transfer{post, other}))
		if results[0].Status != journal.TransferPendingTransferExpired {
			t.Errorf("the post after the expiry: %v", results)
		}
		if err := j.audit(); (err != nil) != forget {
			t.Errorf("expiry forgotten: %v; the auditor says %v", forget, err)
		}
		if err := j.replay(); errors.Is(err, ledger.ErrDiverged) != forget {
			t.Errorf("expiry forgotten: %v; the replay says %v", forget, err)
		}
	}
}

func plainAccount(id uint64) journal.Account {
	return journal.Account{ID: money.From(id), Asset: 1, Code: 1}
}

// runner makes blocks with a ledger, as a cell does, in a log without faults.
type runner struct {
	t      *testing.T
	state  *ledger.State
	log    *Log
	expire bool
}

func newRunner(t *testing.T) *runner {
	log := &Log{rng: newRand(1), trace: func(string, ...any) {}}
	return &runner{t: t, state: ledger.New(ledger.Config{HashKey: [2]uint64{1, 2}}), log: log, expire: true}
}

func (r *runner) block(at uint64, kind journal.Kind, events []byte) []journal.Result {
	r.t.Helper()
	var fx ledger.Effects
	b := journal.NewBuilder()
	head, prev, _ := r.log.Head(context.Background())
	r.state.Begin(b, &fx, head+1, at)
	if r.expire {
		r.state.Expire()
	}
	results := make([]journal.Result, len(events)/journal.RecordSize)
	r.state.Needs(kind, events, nil)
	r.state.Apply(kind, journal.Actor{}, events, ledger.Facts{}, results)
	k := b.Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockNormal, Cell: cellID, Seq: head + 1, Time: at, Prev: prev, Acked: head})
	r.state.End(k)
	if err := r.log.Append(context.Background(), k); err != nil {
		r.t.Fatal(err)
	}
	return results
}

func (r *runner) audit() error {
	head, _, _ := r.log.Head(context.Background())
	return newAuditor().advance(head, journal.MaxTimestamp, func(seq uint64) ([]byte, error) {
		return r.log.Read(context.Background(), seq, nil)
	})
}

func (r *runner) replay() error {
	st, err := cell.OpenStepped(context.Background(), cell.Options{ID: cellID, Log: r.log, Clock: newClock()}, cell.Sizes{Eager: 1, Piece: 300})
	if err == nil {
		st.Close()
	}
	return err
}

// appendSome appends blocks to a store on disk and returns the last one's number.
func appendSome(t *testing.T, w *world, disk *Disk, drop bool) uint64 {
	t.Helper()
	s, err := local.Open("bank", local.Options{FS: disk, Cell: cellID, SegmentSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // the power is cut
	st, err := cell.OpenStepped(w.ctx, cell.Options{ID: cellID, Log: s, Clock: w.clock}, cell.Sizes{Eager: 1, Piece: 300})
	if err != nil {
		t.Fatal(err)
	}
	disk.with(func() { disk.dropSyncs = drop })
	list := []journal.Account{plainAccount(1)}
	if err := st.Submit(&cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(list), Results: make([]journal.Result, 1)}); err != nil {
		t.Fatal(err)
	}
	for st.Sequence() || st.Append() {
	}
	return st.Cell().Head()
}

// TestPlantedAppendWithoutThePredecessorCheckStepByStep is the shortest way to the damage: a leader starts on a tail
// that only the primary has, its epoch block is on its way while the primary fails, another leader takes the tail's
// number, and the epoch block arrives.
func TestPlantedAppendWithoutThePredecessorCheckStepByStep(t *testing.T) {
	for _, planted := range []bool{false, true} {
		j := newRunner(t)
		j.log.plant.NoPredecessorCheck = planted
		j.block(1000, journal.KindAccounts, journal.Bytes([]journal.Account{plainAccount(1), plainAccount(2)}))
		j.block(2000, journal.KindAccounts, journal.Bytes([]journal.Account{plainAccount(3)}))
		j.log.replicated = 1
		epoch := journal.NewBuilder().Seal(journal.Header{Rules: ledger.Rules, Kind: journal.BlockEpoch, Cell: cellID, Seq: 3, Epoch: 1, Time: 3000, Prev: j.log.blocks[1].hash, Acked: 2})
		j.log.late = append(j.log.late, entryOf(epoch))
		j.log.failOver()
		if err := j.replay(); err != nil { // the other leader starts, at block 2
			t.Fatal(err)
		}
		j.log.landLate()
		if err := j.audit(); (err != nil) != planted {
			t.Errorf("planted: %v; the auditor says %v", planted, err)
		}
		if err := j.replay(); errors.Is(err, cell.ErrDamaged) != planted {
			t.Errorf("planted: %v; the next start says %v", planted, err)
		}
	}
}
