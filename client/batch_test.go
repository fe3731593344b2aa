package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	created      = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED
	exists       = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
	linkedFailed = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED
)

// gated is a server that hands every request to the test, and answers when told.
type gated struct {
	ledgerv1.UnimplementedLedgerServiceServer
	arrived chan *ledgerv1.CreateTransfersRequest
	answer  chan error // nil: every transfer was created
	status  func(*client.Transfer) ledgerv1.CreateTransferStatus
	stored  []*client.Transfer
}

func newGated() *gated {
	return &gated{arrived: make(chan *ledgerv1.CreateTransfersRequest, 1000), answer: make(chan error, 1000)}
}

func (g *gated) CreateTransfers(ctx context.Context, r *ledgerv1.CreateTransfersRequest) (*ledgerv1.CreateTransfersResponse, error) {
	g.arrived <- r
	select {
	case err := <-g.answer:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	response := &ledgerv1.CreateTransfersResponse{Position: &client.Position{Cell: 1, Seq: 2}}
	for _, t := range r.GetTransfers() {
		s := created
		if g.status != nil {
			s = g.status(t)
		}
		response.Results = append(response.Results, &ledgerv1.CreateTransferResult{Status: s, Timestamp: uint64(len(t.GetId()))})
	}
	return response, nil
}

func (g *gated) LookupTransfers(context.Context, *ledgerv1.LookupTransfersRequest) (*ledgerv1.LookupTransfersResponse, error) {
	return &ledgerv1.LookupTransfersResponse{Transfers: g.stored}, nil
}

func entry(id uint64) client.Entry {
	return client.Entry{
		ID: money.From(id), Debit: money.From(1), Credit: money.From(2), Code: 1,
		Amount: client.Amount{Minor: money.From(5), Asset: money.Asset{Code: "CNY", Scale: 2}},
	}
}

func TestCallersShareRequests(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s))
	const callers = 2000
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			r, err := c.Transfer(t.Context(), entry(uint64(i)+1))
			if err != nil || r.ID != money.From(uint64(i)+1) || r.Timestamp != uint64(len(r.ID.String())) || r.Existed || r.Position.GetSeq() != 2 {
				t.Errorf("caller %d: %+v, %v", i, r, err)
			}
		})
	}
	// The first requests to arrive are small. While they are unanswered, everything
	// else gathers behind them.
	seen, requests := map[string]bool{}, 0
	for len(seen) < callers {
		r := <-s.arrived
		requests++
		for _, x := range r.GetTransfers() {
			if seen[x.GetId()] {
				t.Errorf("%s was sent twice", x.GetId())
			}
			seen[x.GetId()] = true
		}
		s.answer <- nil
	}
	group.Wait()
	if requests > callers/4 {
		t.Errorf("%d callers took %d requests", callers, requests)
	}
}

func TestARequestIsRepeatedWithTheSameIDs(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s))
	done := make(chan client.Result)
	go func() {
		r, err := c.Transfer(t.Context(), client.Entry{Debit: money.From(1), Credit: money.From(2), Code: 1})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	var ids []string
	for _, err := range []error{
		status.Error(codes.Unavailable, "gone"), status.Error(codes.DeadlineExceeded, "slow"),
		status.Error(codes.ResourceExhausted, "too many calls"), nil,
	} {
		s.answer <- err
		ids = append(ids, (<-s.arrived).GetTransfers()[0].GetId())
	}
	r := <-done
	for _, id := range ids {
		if id != r.ID.String() || r.ID.IsZero() {
			t.Errorf("sent %v, the result has %v", ids, r.ID)
		}
	}
}

func TestOneCallersFaultIsNotThatOfAll(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s))
	bad := func(r *ledgerv1.CreateTransfersRequest) error {
		for _, x := range r.GetTransfers() {
			if x.GetId() == "13" {
				return status.Error(codes.InvalidArgument, "transfers[0]: no")
			}
		}
		return nil
	}
	stop := make(chan struct{})
	var server, group sync.WaitGroup
	server.Go(func() {
		for {
			select {
			case r := <-s.arrived:
				s.answer <- bad(r)
			case <-stop:
				return
			}
		}
	})
	for i := range 50 {
		group.Go(func() {
			_, err := c.Transfer(t.Context(), entry(uint64(i)+1))
			if i+1 == 13 {
				if status.Code(err) != codes.InvalidArgument || errors.As(err, new(*client.UnknownError)) {
					t.Errorf("13: %v", err)
				}
			} else if err != nil {
				t.Errorf("%d: %v", i+1, err)
			}
		})
	}
	group.Wait()
	close(stop)
	server.Wait()
}

func TestAnExpiredContextSaysWhatIsKnown(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s), client.WithQueue(5))
	var group sync.WaitGroup
	for id := uint64(1); id <= 3; id++ { // takes every slot
		ctx, cancel := context.WithCancel(t.Context())
		group.Go(func() {
			r, err := c.Transfer(ctx, entry(id))
			var unknown *client.UnknownError
			if !errors.As(err, &unknown) || len(unknown.IDs) != 1 || unknown.IDs[0] != money.From(id) || r.ID != money.From(id) {
				t.Errorf("in flight: %v", err)
			} else if !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrNotSent) || !strings.Contains(err.Error(), fmt.Sprintf("outcome unknown of id %d:", id)) {
				t.Errorf("in flight: %v", err)
			}
		})
		<-s.arrived
		defer cancel()
		if id == 3 {
			queued(t, c, "wait in the queue")
			hold, release := context.WithCancel(t.Context())
			var chain sync.WaitGroup
			chain.Go(func() {
				if _, err := c.Chain(hold, entry(8), entry(9)); !errors.Is(err, client.ErrNotSent) {
					t.Errorf("a chain that waited: %v", err)
				}
			})
			// The chain fills the queue of 5 with the three in flight.
			for try := 0; ; try++ {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				_, err := c.Transfer(ctx, entry(7))
				cancel()
				if !errors.Is(err, client.ErrNotSent) {
					t.Fatalf("beyond the queue: %v", err)
				}
				if strings.Contains(err.Error(), "wait for room") {
					break
				}
			}
			release()
			chain.Wait() // before a slot is free
		}
	}
	if n := len(s.arrived); n != 0 {
		t.Errorf("%d requests of events that were said not to be sent", n)
	}
	t.Cleanup(group.Wait)
}

// queued has a call end while it waits in the queue.
func queued(t *testing.T, c *client.Client, where string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Transfer(ctx, entry(4))
	if !errors.Is(err, client.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), where) {
		t.Errorf("queued: %v", err)
	}
	if errors.As(err, new(*client.UnknownError)) {
		t.Errorf("an event that was not sent has no unknown outcome: %v", err)
	}
}

func TestARefusalAfterALostAnswerLeavesTheOutcomeUnknown(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s))
	s.answer <- status.Error(codes.Unavailable, "gone")
	s.answer <- status.Error(codes.PermissionDenied, "the token was revoked")
	_, err := c.Transfer(t.Context(), entry(1))
	if !errors.As(err, new(*client.UnknownError)) || status.Code(err) != codes.PermissionDenied {
		t.Errorf("Transfer: %v", err)
	}
	s.answer <- status.Error(codes.PermissionDenied, "no")
	if _, err = c.Transfer(t.Context(), entry(1)); err == nil || errors.As(err, new(*client.UnknownError)) {
		t.Errorf("refused at once: %v", err)
	}
	s.answer <- status.Error(codes.Unavailable, "gone")
	s.answer <- status.Error(codes.PermissionDenied, "the token was revoked")
	if _, err = c.CreateTransfers(t.Context(), payment()); !errors.As(err, new(*client.UnknownError)) {
		t.Errorf("CreateTransfers: %v", err)
	}
	for range 6 {
		s.answer <- reason(t, codes.Unavailable, ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED)
	}
	s.answer <- reason(t, codes.ResourceExhausted, ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL)
	if _, err = c.Transfer(t.Context(), entry(1)); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL || errors.As(err, new(*client.UnknownError)) {
		t.Errorf("nothing was written, as the server said: %v", err)
	}
}

func reason(t *testing.T, code codes.Code, r ledgerv1.ErrorReason) error {
	t.Helper()
	s, err := status.New(code, "no").WithDetails(&ledgerv1.ErrorDetail{Reason: r})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func TestAChainSentAgain(t *testing.T) {
	const other = "9"
	recorded := func(change func(*client.Transfer)) []*client.Transfer {
		var list []*client.Transfer
		for i, id := range []string{"1", "2"} {
			x := &client.Transfer{Id: id, DebitAccountId: "1", CreditAccountId: "2", PendingId: "0", UserData_128: "0", Amount: new("5"), Asset: "CNY/2", Code: 1, Timestamp: uint64(100 + i)}
			if i == 0 {
				x.Flags = []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED}
			}
			list = append(list, x)
		}
		if change != nil {
			change(list[1])
		}
		return list
	}
	for name, c := range map[string]struct {
		first, second ledgerv1.CreateTransferStatus
		stored        []*client.Transfer
		want          error
		at            int
	}{
		"created":                 {first: created, second: created},
		"recorded before":         {first: exists, second: linkedFailed, stored: recorded(nil)},
		"the second is missing":   {first: exists, second: linkedFailed, stored: recorded(nil)[:1], want: client.ErrLinkedEventFailed, at: 1},
		"the second is another":   {first: exists, second: linkedFailed, stored: recorded(func(x *client.Transfer) { x.CreditAccountId = other }), want: client.ErrLinkedEventFailed, at: 1},
		"of another amount":       {first: exists, second: linkedFailed, stored: recorded(func(x *client.Transfer) { x.Amount = new("6") }), want: client.ErrLinkedEventFailed, at: 1},
		"the last exists alone":   {first: linkedFailed, second: exists, stored: recorded(nil), want: client.ErrLinkedEventFailed, at: 0},
		"the second fails":        {first: linkedFailed, second: ledgerv1.CreateTransferStatus(client.ErrExceedsCredits), want: client.ErrExceedsCredits, at: 1},
		"the first failed before": {first: ledgerv1.CreateTransferStatus(client.ErrIDAlreadyFailed), second: linkedFailed, want: client.ErrIDAlreadyFailed, at: 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newGated()
			s.stored = c.stored
			s.status = func(x *client.Transfer) ledgerv1.CreateTransferStatus {
				return map[string]ledgerv1.CreateTransferStatus{"1": c.first, "2": c.second}[x.GetId()]
			}
			s.answer <- nil
			results, err := dial(t, serve(t, s)).Chain(t.Context(), entry(1), entry(2))
			if len(results) != 2 {
				t.Fatalf("%d results, %v", len(results), err)
			}
			var refused *client.StatusError
			if c.want != nil {
				if !errors.Is(err, c.want) || !errors.As(err, &refused) || refused.Index != c.at || refused.ID != results[c.at].ID {
					t.Errorf("err = %v (%+v), want %v at %d", err, refused, c.want, c.at)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.stored != nil && (!results[0].Existed || !results[1].Existed || results[1].Timestamp != 101) {
				t.Errorf("results %+v", results)
			}
		})
	}
}

func TestFlushAndClose(t *testing.T) {
	s := newGated()
	c := dial(t, serve(t, s))
	if err := c.Flush(t.Context()); err != nil {
		t.Fatalf("nothing to wait for: %v", err)
	}
	answered := make(chan error, 2)
	go func() {
		_, err := c.Transfer(t.Context(), entry(1))
		answered <- err
	}()
	<-s.arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flushed with a call in flight: %v", err)
	}
	s.answer <- nil
	if err := errors.Join(c.Flush(t.Context()), <-answered); err != nil {
		t.Error(err)
	}
	go func() {
		_, err := c.Transfer(t.Context(), entry(2))
		answered <- err
	}()
	<-s.arrived
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; !errors.As(err, new(*client.UnknownError)) || !errors.Is(err, client.ErrClosed) {
		t.Errorf("in flight at Close: %v", err)
	}
	if _, err := c.Transfer(t.Context(), entry(3)); !errors.Is(err, client.ErrClosed) || !errors.Is(err, client.ErrNotSent) {
		t.Errorf("after Close: %v", err)
	}
}

func TestEntriesThatCantBeSent(t *testing.T) {
	c := dial(t, "127.0.0.1:1")
	for name, change := range map[string]func(*client.Entry){
		"linked":   func(e *client.Entry) { e.Flags = []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED} },
		"imported": func(e *client.Entry) { e.Flags = []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_IMPORTED} },
		"timeout":  func(e *client.Entry) { e.Timeout = 1500 * time.Millisecond },
		"negative": func(e *client.Entry) { e.Timeout = -time.Second },
		"asset":    func(e *client.Entry) { e.Amount.Asset.Code = "yuan" },
	} {
		e := entry(1)
		change(&e)
		if _, err := c.Transfer(t.Context(), e); !errors.Is(err, client.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Open(t.Context(), client.Opening{}); !errors.Is(err, client.ErrEntry) {
		t.Errorf("an account without asset: %v", err)
	}
	if _, err := c.Chain(t.Context(), make([]client.Entry, client.MaxEvents+1)...); !errors.Is(err, client.ErrNotSent) {
		t.Errorf("a chain that is too long: %v", err)
	}
	if r, err := c.Chain(t.Context()); r != nil || err != nil {
		t.Errorf("no chain: %v, %v", r, err)
	}
}

// narrow is a server for a token whose rate allows one event in a call.
type narrow struct {
	ledgerv1.UnimplementedLedgerServiceServer
	refusal error
	mu      sync.Mutex
	refused int
}

func (n *narrow) CreateTransfers(_ context.Context, r *ledgerv1.CreateTransfersRequest) (*ledgerv1.CreateTransfersResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(r.GetTransfers()) > 1 {
		n.refused++
		return nil, n.refusal
	}
	return &ledgerv1.CreateTransfersResponse{Results: []*ledgerv1.CreateTransferResult{{Status: created}}}, nil
}

// TestCallersTogetherBeyondTheRateAreSentApart: what shares a request must not be
// refused for its size alone.
func TestCallersTogetherBeyondTheRateAreSentApart(t *testing.T) {
	n := &narrow{refusal: limited(t, 0)}
	c := dial(t, serve(t, n))
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() {
			if _, err := c.Transfer(t.Context(), entry(uint64(i)+1)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n.refused == 0 {
		t.Error("no request had more than one event: the test has not tested")
	}
	if _, err := c.Chain(t.Context(), entry(1001), entry(1002)); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED {
		t.Errorf("a chain beyond the rate: %v", err)
	}
}
