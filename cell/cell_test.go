package cell_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
)

// bank is a cell over a folder that survives being opened again.
type bank struct {
	t     *testing.T
	fs    *vfs.MemFS
	clock *clock.Fake
	store *local.Store
	index *index.Index
	opts  cell.Options
	wrap  func(cell.Follower) cell.Follower
	ids   func(cell.IDFiles) cell.IDFiles // nil: the store's own
	*cell.Cell
}

func newBank(t *testing.T, change func(*cell.Options)) *bank {
	t.Helper()
	b := &bank{t: t, fs: vfs.NewCrashableMem(), clock: clock.NewFake(1_700_000_000_000_000_000)}
	b.opts = cell.Options{ID: 7, Clock: b.clock, HashKey: [2]uint64{3, 5}}
	if change != nil {
		change(&b.opts)
	}
	b.open()
	t.Cleanup(func() { b.close() })
	return b
}

func (b *bank) open() {
	b.t.Helper()
	var err error
	if b.index, err = index.Open("bank/index", index.Options{FS: b.fs}); err != nil {
		b.t.Fatal(err)
	}
	b.openStore()
	o := b.opts
	o.Log, o.Snapshots, o.Follower = b.store, b.store.Snapshots(), b.index
	if o.IDs = b.store.IDs(); b.ids != nil {
		o.IDs = b.ids(o.IDs)
	}
	if b.wrap != nil {
		o.Follower = b.wrap(b.index)
	}
	o.Incarnation = [16]byte{byte(rand.Int())}
	if b.Cell, err = cell.Open(context.Background(), o); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bank) openStore() {
	b.t.Helper()
	var err error
	b.store, err = local.Open("bank", local.Options{FS: b.fs, Cell: b.opts.ID, SegmentSize: 1 << 20, Floor: b.index.Durable()})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bank) close() {
	if b.Cell == nil {
		return
	}
	if err := errors.Join(b.Close(), b.store.Close(), b.index.Close()); err != nil {
		b.t.Error(err)
	}
	b.Cell = nil
}

// crash loses what was not synced, and starts again.
func (b *bank) crash() {
	b.t.Helper()
	after := b.fs.CrashClone(vfs.CrashCloneCfg{})
	b.close()
	b.fs = after
	b.open()
}

func do[T journal.Record](b *bank, kind journal.Kind, events ...T) []journal.Result {
	b.t.Helper()
	r := &cell.Request{Kind: kind, Events: journal.Bytes(events), Results: make([]journal.Result, len(events)), Actor: journal.Actor{1}}
	if err := b.Do(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	return r.Results
}

func account(id uint64) journal.Account {
	return journal.Account{ID: money.From(id), Asset: 1, Code: 1}
}

func transfer(id, debit, credit, amount uint64) journal.Transfer {
	return journal.Transfer{ID: money.From(id), Debit: money.From(debit), Credit: money.From(credit), Amount: money.From(amount), Asset: 1, Code: 1}
}

func (b *bank) want(results []journal.Result, names ...string) {
	b.t.Helper()
	for i, name := range names {
		if got := results[i].Status.Name(journal.KindTransfers); got != name {
			b.t.Errorf("event %d: %s, want %s", i, got, name)
		}
	}
}

func (b *bank) balance(id uint64) journal.Account {
	b.t.Helper()
	list, err := b.LookupAccounts(context.Background(), []money.U128{money.From(id)})
	if err != nil || len(list) != 1 {
		b.t.Fatalf("account %d: %v, %v", id, list, err)
	}
	return list[0]
}

func TestAcknowledgedTransfersSurviveACrash(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	for i := range uint64(50) {
		b.want(do(b, journal.KindTransfers, transfer(100+i, 1, 2, 3)), "created")
	}
	b.crash()
	if got := b.balance(2).CreditsPosted; got != money.From(150) {
		t.Errorf("credits posted %v after the crash, want 150", got)
	}
	b.want(do(b, journal.KindTransfers, transfer(100, 1, 2, 3), transfer(100, 1, 2, 4), transfer(200, 1, 2, 1)),
		"exists", "exists_with_different_amount", "created")
	list, err := b.LookupTransfers(context.Background(), []money.U128{money.From(9), money.From(149), money.From(200)})
	if err != nil || len(list) != 2 || list[0].ID != money.From(149) || list[1].ID != money.From(200) {
		t.Errorf("look-up after the crash: %v, %v", list, err)
	}
}

func TestConcurrentClientsShareBlocks(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	const clients, each = 32, 40
	var wg sync.WaitGroup
	for c := range uint64(clients) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range uint64(each) {
				tr := []journal.Transfer{transfer(1000+c*each+i, 1, 2, 1)}
				r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
				if err := b.Do(context.Background(), r); err != nil || r.Results[0].Status != journal.Created {
					t.Errorf("client %d: %v, %v", c, r.Results, err)
				}
			}
		}()
	}
	wg.Wait()
	if got := b.balance(1).DebitsPosted; got != money.From(clients*each) {
		t.Errorf("debits posted %v, want %d", got, clients*each)
	}
	if s := b.Stats(); s.Blocks >= clients*each {
		t.Errorf("%d blocks for %d requests: nothing was grouped", s.Blocks, clients*each)
	}
}

func TestSnapshotsShortenRecoveryAndChangeNothing(t *testing.T) {
	b := newBank(t, func(o *cell.Options) { o.SnapshotEvents = 500 })
	do(b, journal.KindAccounts, account(1), account(2), account(3))
	id := uint64(1000)
	for range 40 {
		events := make([]journal.Transfer, 50)
		for i := range events {
			id++
			events[i] = transfer(id, 1+id%3, 1+(id+1)%3, id%7)
			if id%5 == 0 {
				events[i].Flags, events[i].Timeout = journal.TransferPending, 3600
			}
			if id%10 == 6 {
				events[i] = journal.Transfer{ID: money.From(id), PendingID: money.From(id - 1), Amount: money.Max(), Flags: journal.TransferPost}
			}
		}
		do(b, journal.KindTransfers, events...)
	}
	var before [3]journal.Account
	for i := range before {
		before[i] = b.balance(uint64(i) + 1)
	}
	b.close() // waits for the snapshot that is being written, or gives it up
	b.open()
	for i := range before {
		if got := b.balance(uint64(i) + 1); got != before[i] {
			t.Errorf("account %d: %+v, before %+v", i+1, got, before[i])
		}
	}
	b.want(do(b, journal.KindTransfers, transfer(1001, 1+1001%3, 1+1002%3, 1001%7)), "exists")
	if list, err := b.store.Snapshots().List(); err != nil || len(list) == 0 {
		t.Errorf("no snapshot was taken: %v, %v", list, err)
	}
}

func TestExpiryHappensWithoutRequests(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	p := transfer(10, 1, 2, 5)
	p.Flags, p.Timeout = journal.TransferPending, 60
	b.want(do(b, journal.KindTransfers, p), "created")
	head := b.Head()
	for b.Head() == head { // the sequencer may not have set its timer yet
		b.clock.Advance(61_000_000_000)
		if _, err := b.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.balance(1).DebitsPending; !got.IsZero() {
		t.Errorf("still %v pending", got)
	}
}

func TestAClockThatJumpsHoldsWritesUntilAccepted(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	p := transfer(9, 1, 2, 7)
	p.Flags, p.Timeout = journal.TransferPending, 3600
	b.want(do(b, journal.KindTransfers, p), "created")
	b.clock.Jump(24 * 3600 * 1_000_000_000)
	tr := []journal.Transfer{transfer(10, 1, 2, 5)}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
	if err := b.Do(context.Background(), r); !errors.Is(err, cell.ErrClockHeld) {
		t.Fatalf("a write after the jump: %v", err)
	}
	b.balance(1) // reads go on
	if got := b.balance(1).DebitsPending; got != money.From(7) {
		t.Errorf("%v pending: a reservation expired by a clock that nobody believes", got)
	}
	b.AcceptClock()
	b.want(do(b, journal.KindTransfers, transfer(10, 1, 2, 5)), "created")
}

func TestRequestsThatAreTooLargeAreRefused(t *testing.T) {
	b := newBank(t, nil)
	r := &cell.Request{Kind: journal.KindTransfers, Events: make([]byte, (journal.MaxEvents+1)*journal.RecordSize), Results: make([]journal.Result, journal.MaxEvents+1)}
	if err := b.Do(context.Background(), r); !errors.Is(err, cell.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	b.close()
	if err := b.restartRefuses(); err != nil {
		t.Error(err)
	}
	b.open()
}

func (b *bank) restartRefuses() error {
	s, err := local.Open("bank", local.Options{FS: b.fs, Cell: b.opts.ID + 1})
	if err == nil {
		return errors.Join(fmt.Errorf("the folder of cell %d opened as another one", b.opts.ID), s.Close())
	}
	return nil
}

func TestAReservationThatExpiresWhileTheCellIsDown(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	p := transfer(10, 1, 2, 5)
	p.Flags, p.Timeout = journal.TransferPending, 60
	b.want(do(b, journal.KindTransfers, p), "created")
	b.close()
	b.clock.Advance(61_000_000_000)
	b.open()
	if got := b.balance(1).DebitsPending; !got.IsZero() {
		t.Errorf("still %v pending after the start", got)
	}
	b.close()
	b.open() // replays the epoch block of the start before
	post := journal.Transfer{ID: money.From(11), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost}
	b.want(do(b, journal.KindTransfers, post), "pending_transfer_expired")
}

func TestAClockThatJumpsBeforeTheFirstWriteHoldsIt(t *testing.T) {
	b := newBank(t, nil)
	b.clock.Jump(24 * 3600 * 1_000_000_000)
	list := []journal.Account{account(1)}
	r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(list), Results: make([]journal.Result, 1)}
	if err := b.Do(context.Background(), r); !errors.Is(err, cell.ErrClockHeld) {
		t.Errorf("a write after the jump: %v", err)
	}
}
