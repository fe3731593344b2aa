package drill_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	asset    = "CNY/2"
	accounts = 40 // ids 1 to 40
	nowhere  = "4000"

	created     = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED
	exists      = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
	notFound    = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND
	chainFailed = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED
	burned      = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_ID_ALREADY_FAILED

	pending   = ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING
	post      = ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER
	void      = ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER
	remainder = ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER
	linked    = ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED
)

// sent is one call that a client made, whatever became of it: the whole of what the client knows.
type sent struct {
	transfers []*client.Transfer
	results   []*ledgerv1.CreateTransferResult // nil: no answer came, the outcome is unknown
	refused   bool                             // every transfer of it must be refused with notFound
}

// worker is one client's stream of calls. It only stops when a call gets no answer.
type worker struct {
	random *rand.Rand
	client *client.Client
	next   func() uint64 // ids
	open   []reserved    // pending transfers of this worker
	calls  []*sent
}

type reserved struct {
	id   string
	rest uint64
}

func (w *worker) transfer() *client.Transfer {
	from := w.random.IntN(accounts)
	to := (from + 1 + w.random.IntN(accounts-1)) % accounts
	amount := strconv.Itoa(w.random.IntN(10_000))
	return &client.Transfer{
		Id: strconv.FormatUint(w.next(), 10), DebitAccountId: strconv.Itoa(from + 1), CreditAccountId: strconv.Itoa(to + 1),
		Amount: &amount, Asset: asset, Code: 1, UserData_64: w.random.Uint64(),
	}
}

// send makes one call and records it; false if no answer came.
func (w *worker) send(ctx context.Context, refused bool, list ...*client.Transfer) (bool, error) {
	s := &sent{transfers: list, refused: refused}
	w.calls = append(w.calls, s)
	response, err := w.client.CreateTransfers(ctx, list...)
	if err != nil {
		return false, nil //nolint:nilerr // the crash is what the load waits for
	}
	s.results = response.GetResults()
	return true, s.plausible(created)
}

// plausible checks that the answer to a valid call is what it must be; other is the status that is as good as created.
func (s *sent) plausible(other ledgerv1.CreateTransferStatus) error {
	want := []ledgerv1.CreateTransferStatus{created, other}
	if s.refused {
		want = []ledgerv1.CreateTransferStatus{notFound}
		if other != created {
			want = append(want, burned)
		}
	}
	for i, r := range s.results {
		if !slices.Contains(want, r.GetStatus()) || r.GetTimestamp() == 0 {
			return fmt.Errorf("transfer %v: status %v, want one of %v", s.transfers[i], r, want)
		}
	}
	return nil
}

// run makes calls of every kind until one gets no answer or ctx ends.
func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		var ok bool
		var err error
		switch w.random.IntN(8) {
		case 0, 1:
			ok, err = w.send(ctx, false, w.transfer())
		case 2, 3:
			ok, err = w.batch(ctx)
		case 4:
			t := w.transfer()
			t.Flags = append(t.Flags, pending)
			amount, _ := strconv.ParseUint(t.GetAmount(), 10, 64)
			if ok, err = w.send(ctx, false, t); ok {
				w.open = append(w.open, reserved{t.GetId(), amount})
			}
		case 5:
			ok, err = w.resolve(ctx)
		case 6:
			t := w.transfer()
			t.CreditAccountId = nowhere
			ok, err = w.send(ctx, true, t)
		case 7:
			ok, err = w.twice(ctx)
		}
		if !ok || err != nil {
			return err
		}
	}
	return nil
}

// batch sends up to 300 transfers in one call, chains among them.
func (w *worker) batch(ctx context.Context) (bool, error) {
	list := make([]*client.Transfer, 1+w.random.IntN(300))
	for i := range list {
		list[i] = w.transfer()
		if i+1 < len(list) && w.random.IntN(3) == 0 {
			list[i].Flags = append(list[i].Flags, linked)
		}
	}
	return w.send(ctx, false, list...)
}

// resolve posts a part or all of a reservation, or voids it.
func (w *worker) resolve(ctx context.Context) (bool, error) {
	if len(w.open) == 0 {
		return true, nil
	}
	i := w.random.IntN(len(w.open))
	r := w.open[i]
	t := &client.Transfer{Id: strconv.FormatUint(w.next(), 10), PendingId: r.id}
	rest := uint64(0)
	switch w.random.IntN(4) {
	case 0:
		t.Flags = append(t.Flags, void)
	case 1:
		t.Flags = append(t.Flags, post)
	case 2: // the rest goes back
		amount := strconv.FormatUint(w.random.Uint64N(r.rest+1), 10)
		t.Flags, t.Amount = append(t.Flags, post), &amount
	case 3: // the rest stays
		part := w.random.Uint64N(r.rest + 1)
		amount := strconv.FormatUint(part, 10)
		t.Flags, t.Amount = append(t.Flags, post, remainder), &amount
		rest = r.rest - part
	}
	if rest > 0 {
		w.open[i].rest = rest
	} else {
		w.open = slices.Delete(w.open, i, i+1)
	}
	return w.send(ctx, false, t)
}

// twice sends one transfer by two calls at once: one of them creates it, the other one finds it.
func (w *worker) twice(ctx context.Context) (bool, error) {
	t := w.transfer()
	var first, second *sent
	var errFirst, errSecond error
	call := func(s **sent, err *error) {
		*s = &sent{transfers: []*client.Transfer{t}}
		response, callErr := w.client.CreateTransfers(ctx, t)
		if callErr == nil {
			(*s).results = response.GetResults()
			*err = (*s).plausible(exists)
		}
	}
	var both sync.WaitGroup
	both.Go(func() { call(&first, &errFirst) })
	both.Go(func() { call(&second, &errSecond) })
	both.Wait()
	if err := errors.Join(errFirst, errSecond); err != nil {
		return false, err
	}
	if first.results != nil && second.results != nil {
		a, b := first.results[0], second.results[0]
		if a.GetStatus() == b.GetStatus() || a.GetTimestamp() != b.GetTimestamp() {
			return false, fmt.Errorf("transfer %s was sent twice: %v and %v", t.GetId(), a, b)
		}
	}
	answered := first
	if first.results == nil {
		answered = second
	}
	w.calls = append(w.calls, answered)
	return first.results != nil && second.results != nil, nil
}

// openAccounts opens the accounts of the load.
func openAccounts(t *testing.T, c *client.Client) {
	t.Helper()
	var list []*client.Account
	for i := range accounts {
		a := &client.Account{Id: strconv.Itoa(i + 1), Asset: asset, Code: 1}
		if i%2 == 0 {
			a.Flags = []ledgerv1.AccountFlag{ledgerv1.AccountFlag_ACCOUNT_FLAG_HISTORY}
		}
		list = append(list, a)
	}
	response, err := c.CreateAccounts(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range response.GetResults() {
		if r.GetStatus() != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
			t.Fatalf("account %d: %v", i+1, r)
		}
	}
}

// load runs workers against p until each has met the crash, and returns their calls.
func load(t *testing.T, p *process, workers int, random *rand.Rand, next func() uint64, crash <-chan time.Time) []*sent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list := make([]*worker, workers)
	errs := make([]error, workers)
	var group sync.WaitGroup
	for i := range list {
		list[i] = &worker{random: rand.New(rand.NewPCG(random.Uint64(), random.Uint64())), client: p.dial(), next: next}
		group.Go(func() { errs[i] = list[i].run(ctx) })
	}
	<-crash
	p.kill()
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var calls []*sent
	for _, w := range list {
		calls = append(calls, w.calls...)
	}
	return calls
}
