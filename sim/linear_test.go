package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
)

const (
	linearAccounts = 3
	linearClients  = 6
	linearIDs      = 256
)

// call is one operation of a client: a transfer, or a look at all accounts where amount is 0.
type call struct {
	id, debit, credit, amount uint64
}

// reply is what it was answered; unknown where it wasn't.
type reply struct {
	unknown bool
	status  journal.Status
	books   books
}

type books struct{ debits, credits [linearAccounts]uint64 }

// bank is the state of the sequential specification.
type bank struct {
	books
	ids [linearIDs / 64]uint64
}

// specification: a new id moves money, one that is there changes nothing, a look sees all that was done before it.
func specification() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return bank{} },
		Step: func(state, input, output any) (bool, any) {
			b, in, out := state.(bank), input.(call), output.(reply)
			if in.amount == 0 {
				return out.unknown || out.books == b.books, b
			}
			want := journal.TransferExists
			if bit := uint64(1) << (in.id % 64); b.ids[in.id/64]&bit == 0 {
				want = journal.Created
				b.ids[in.id/64] |= bit
				b.debits[in.debit] += in.amount
				b.credits[in.credit] += in.amount
			}
			return out.unknown || out.status == want, b
		},
	}
}

// branch is a cell over a folder in memory that is crashed and opened again under its clients.
type branch struct {
	t    *testing.T
	fs   *vfs.MemFS
	run  atomic.Pointer[incarnation]
	down sync.RWMutex // held for writing while no cell runs: nothing new is sent then
	time atomic.Int64

	mu      sync.Mutex
	history []porcupine.Operation
}

type incarnation struct {
	cell  *cell.Cell
	store *local.Store
	gone  atomic.Bool // the power was cut: what it answers from now on never arrives
}

func (b *branch) open(n byte) {
	store, err := local.Open("bank", local.Options{FS: b.fs, Cell: cellID, SegmentSize: 64 << 10})
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := cell.Open(context.Background(), cell.Options{ID: cellID, Log: store, Snapshots: store.Snapshots(), Clock: clock.NewSystem(), Incarnation: [16]byte{n}, HashKey: [2]uint64{3, 5}, SnapshotEvents: 50})
	if err != nil {
		b.t.Fatal(err)
	}
	b.run.Store(&incarnation{cell: c, store: store})
}

func (b *branch) crash(n byte) {
	b.down.Lock()
	old := b.run.Load()
	old.gone.Store(true)
	after := b.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 2))})
	b.fs = after
	b.open(n)
	b.down.Unlock()
	b.end(old)
}

func (b *branch) end(i *incarnation) {
	if err := i.cell.Close(); err != nil {
		b.t.Error(err)
	}
	if err := i.store.Close(); err != nil {
		b.t.Error(err)
	}
}

// do sends one operation and notes when it was called and answered.
func (b *branch) do(client int, in call) {
	b.down.RLock()
	i, called := b.run.Load(), b.time.Add(1)
	b.down.RUnlock()
	out := i.do(in)
	if i.gone.Load() {
		out = reply{unknown: true}
	}
	returned := b.time.Add(1)
	if out.unknown {
		if in.amount == 0 {
			return
		}
		returned = 1 << 62 // it may still happen
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
}

func (i *incarnation) do(in call) reply {
	ctx := context.Background()
	if in.amount == 0 {
		ids := make([]money.U128, linearAccounts)
		for k := range ids {
			ids[k] = money.From(uint64(k) + 1)
		}
		list, err := i.cell.LookupAccounts(ctx, ids)
		if err != nil || len(list) != linearAccounts {
			return reply{unknown: true}
		}
		var out reply
		for k := range list {
			out.books.debits[k], out.books.credits[k] = list[k].DebitsPosted.Lo, list[k].CreditsPosted.Lo
		}
		return out
	}
	list := []journal.Transfer{{ID: money.From(in.id + 1), Debit: money.From(in.debit + 1), Credit: money.From(in.credit + 1), Amount: money.From(in.amount), Asset: 1, Code: 1}}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(list), Results: make([]journal.Result, 1)}
	if err := i.cell.Do(ctx, r); err != nil {
		return reply{unknown: true}
	}
	return reply{status: r.Results[0].Status}
}

// play has clients work while the cell crashes, and returns the history.
func play(t *testing.T, seed uint64, crashes byte) []porcupine.Operation {
	b := &branch{t: t, fs: vfs.NewCrashableMem()}
	b.open(1)
	accounts := []journal.Account{plainAccount(1), plainAccount(2), plainAccount(3)}
	r := &cell.Request{Kind: journal.KindAccounts, Events: journal.Bytes(accounts), Results: make([]journal.Result, linearAccounts)}
	if err := b.run.Load().cell.Do(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	for round := range byte(3) {
		var clients sync.WaitGroup
		for c := range linearClients {
			clients.Add(1)
			go func() {
				defer clients.Done()
				b.work(c, rand.New(rand.NewPCG(seed*8+uint64(round), uint64(c))))
			}()
		}
		if round < crashes {
			for before := b.time.Load(); b.time.Load() < before+20; { // in the middle of it
				b.do(linearClients, call{})
			}
			b.crash(round + 2)
		}
		clients.Wait()
	}
	b.end(b.run.Load())
	return b.history
}

// work sends transfers with ids that all clients share, so that many are sent twice, with looks in between.
func (b *branch) work(client int, rng *rand.Rand) {
	for range 12 {
		id := rng.Uint64N(linearIDs / 4)
		in := call{id: id, debit: id % linearAccounts, credit: (id + 1) % linearAccounts, amount: 1 + id%7}
		if rng.IntN(3) == 0 {
			in = call{}
		}
		b.do(client, in)
	}
}

func TestHistoriesAreLinearizable(t *testing.T) {
	unknown := 0
	for seed := range uint64(5) {
		history := play(t, seed, 2)
		if got := porcupine.CheckOperationsTimeout(specification(), history, time.Minute); got != porcupine.Ok {
			t.Errorf("seed %d: %d operations: %s", seed, len(history), got)
		}
		for _, op := range history {
			if op.Output.(reply).unknown {
				unknown++
			}
		}
	}
	t.Logf("%d outcomes were unknown", unknown)
}

// TestPlantedStaleRead: a look that misses one acknowledged transfer makes the history impossible.
func TestPlantedStaleRead(t *testing.T) {
	history := play(t, 0, 0)
	end := int64(1 << 61)
	var last bank
	for _, op := range history {
		if in, out := op.Input.(call), op.Output.(reply); in.amount != 0 && out.status == journal.Created {
			last.debits[in.debit] += in.amount
			last.credits[in.credit] += in.amount
		}
	}
	last.debits[0]--
	history = append(history, porcupine.Operation{ClientId: 99, Input: call{}, Call: end, Output: reply{books: last.books}, Return: end + 1})
	if got := porcupine.CheckOperationsTimeout(specification(), history, time.Minute); got != porcupine.Illegal {
		t.Errorf("a look that misses money: %s", got)
	}
}
