package drill_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	bankAccounts = 3
	bankIDs      = 64
	bankClients  = 6
)

// bankCall is one call of a client: a transfer, or a look at all accounts where amount is 0.
type bankCall struct{ id, debit, credit, amount uint64 }

// bankReply is what it was answered; unknown where no answer came.
type bankReply struct {
	unknown bool
	status  ledgerv1.CreateTransferStatus
	books   bankBooks
}

type bankBooks struct{ debits, credits [bankAccounts]uint64 }

type bankState struct {
	bankBooks
	ids uint64 // those that are there, a bit each
}

// bankModel is the sequential specification: a new id moves money, one that is there changes nothing, and a look sees
// all that was done before it.
func bankModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return bankState{} },
		Step: func(state, input, output any) (bool, any) {
			b, in, out := state.(bankState), input.(bankCall), output.(bankReply)
			if in.amount == 0 {
				return out.books == b.bankBooks, b
			}
			want := ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
			if bit := uint64(1) << in.id; b.ids&bit == 0 {
				want = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED
				b.ids |= bit
				b.debits[in.debit] += in.amount
				b.credits[in.credit] += in.amount
			}
			return out.unknown || out.status == want, b
		},
	}
}

// bank notes what clients of a server call and are answered.
type bank struct {
	ledger  ledgerv1.LedgerServiceClient // without retries: each call is sent once
	time    atomic.Int64
	mu      sync.Mutex
	history []porcupine.Operation
	unknown int
}

// do sends one call and reports whether it was answered.
func (b *bank) do(ctx context.Context, number int, in bankCall) bool {
	called := b.time.Add(1)
	out := b.send(ctx, in)
	returned := b.time.Add(1)
	if out.unknown && in.amount == 0 {
		return false // a look that was not answered says nothing
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if out.unknown {
		b.unknown++
		returned = 1 << 62 // it may still happen
	}
	b.history = append(b.history, porcupine.Operation{ClientId: number, Input: in, Call: called, Output: out, Return: returned})
	return !out.unknown
}

func (b *bank) send(ctx context.Context, in bankCall) bankReply {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if in.amount == 0 {
		return b.look(ctx)
	}
	r, err := b.ledger.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: []*client.Transfer{{
		Id: strconv.FormatUint(in.id+1, 10), DebitAccountId: strconv.FormatUint(in.debit+1, 10),
		CreditAccountId: strconv.FormatUint(in.credit+1, 10), Amount: new(strconv.FormatUint(in.amount, 10)), Asset: "CNY/2", Code: 1,
	}}})
	if err != nil || len(r.GetResults()) != 1 {
		return bankReply{unknown: true}
	}
	return bankReply{status: r.GetResults()[0].GetStatus()}
}

func (b *bank) look(ctx context.Context) (out bankReply) {
	r, err := b.ledger.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: numbers(1, bankAccounts)})
	if err != nil || len(r.GetAccounts()) != bankAccounts {
		return bankReply{unknown: true}
	}
	for i, a := range r.GetAccounts() {
		debits, err1 := strconv.ParseUint(a.GetDebitsPosted(), 10, 64)
		credits, err2 := strconv.ParseUint(a.GetCreditsPosted(), 10, 64)
		out.unknown = out.unknown || err1 != nil || err2 != nil
		out.books.debits[i], out.books.credits[i] = debits, credits
	}
	return out
}

// work sends transfers with ids that all clients share, so that many are sent twice, with looks in between, until the
// server is gone.
func (b *bank) work(ctx context.Context, number int, random *rand.Rand) {
	for range 25 {
		id := random.Uint64N(bankIDs)
		in := bankCall{id: id, debit: id % bankAccounts, credit: (id + 1) % bankAccounts, amount: 1 + id%7}
		if random.IntN(3) == 0 {
			in = bankCall{}
		}
		if !b.do(ctx, number, in) {
			return
		}
	}
}

// TestHistoriesAreLinearizable: what concurrent clients of the API are told fits one order of events, in which each
// call happens between being sent and being answered, also when the server is killed in the middle of it.
func TestHistoriesAreLinearizable(t *testing.T) {
	dir, b := t.TempDir(), &bank{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const rounds = 4
	var first []porcupine.Operation // the answered calls of the first round
	for round := range uint64(rounds) {
		p := start(t, dir)
		c := p.dial()
		b.ledger = c.Ledger()
		if round == 0 {
			accounts := make([]*client.Account, bankAccounts)
			for i, id := range numbers(1, bankAccounts) {
				accounts[i] = &client.Account{Id: id, Asset: "CNY/2", Code: 1}
			}
			if _, err := c.CreateAccounts(t.Context(), accounts...); err != nil {
				t.Fatal(err)
			}
		}
		var clients sync.WaitGroup
		for number := range bankClients {
			clients.Go(func() { b.work(t.Context(), number, rand.New(rand.NewPCG(seed+round, uint64(number)))) })
		}
		if round < rounds-1 {
			for before := b.time.Load(); b.time.Load() < before+80; {
				b.do(t.Context(), bankClients, bankCall{})
			}
			p.kill()
		}
		clients.Wait()
		if round == 0 {
			for _, o := range b.history {
				if !o.Output.(bankReply).unknown {
					first = append(first, o)
				}
			}
		}
		if round == rounds-1 {
			b.do(t.Context(), bankClients, bankCall{})
		}
	}
	t.Logf("%d calls, %d without an answer", len(b.history), b.unknown)
	switch porcupine.CheckOperationsTimeout(bankModel(), b.history, time.Minute) {
	case porcupine.Illegal:
		t.Errorf("no order of the %d calls explains their answers", len(b.history))
	case porcupine.Unknown: // each call without an answer doubles what there is to search
		t.Skipf("%d calls, %d of them without an answer, were too many to decide within a minute: run it again", len(b.history), b.unknown)
	case porcupine.Ok:
	}
	// The same check has to refuse a lie. Calls without an answer would make it search for long, so the first round's
	// answered ones are enough.
	lied := append([]porcupine.Operation(nil), first...)
	lied = append(lied, porcupine.Operation{
		ClientId: bankClients, Input: bankCall{}, Call: 1 << 60, Return: 1<<60 + 1,
		Output: bankReply{books: bankBooks{debits: [bankAccounts]uint64{1 << 40}}},
	})
	if got := porcupine.CheckOperationsTimeout(bankModel(), lied, time.Minute); got != porcupine.Illegal {
		t.Errorf("with a look that sees money nobody moved: %s", got)
	}
}
