package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Transfer records one transfer and returns when it is durable. Calls of many
// goroutines share requests: call it from as many as there is work.
//
// It is repeated while the server does not answer, always with the same id, until
// ctx ends; without a deadline, for the patience of the client. Errors are a
// [StatusError] (refused; nothing was recorded), an [UnknownError] (call again
// with its id), or say that nothing was sent or recorded; [ErrNotSent] is one of
// those. The id is in the Result also with an error.
func (c *Client) Transfer(ctx context.Context, e Entry) (Result, error) {
	results, err := c.record(ctx, []Entry{e})
	if len(results) == 0 {
		return Result{ID: e.ID}, err
	}
	return results[0], err
}

// Chain records all of the transfers or none, in order, as [Client.Transfer] does
// one. They are at most 8,190. Entries see what those before them did. A
// StatusError names the entry at fault.
//
// A chain that is recorded already, by an attempt whose answer was lost or by an
// earlier call, is recognised by looking its entries up, and is no error.
func (c *Client) Chain(ctx context.Context, entries ...Entry) ([]Result, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	return c.record(ctx, slices.Clone(entries))
}

// record owns entries. The results have the ids even with an error.
func (c *Client) record(ctx context.Context, entries []Entry) ([]Result, error) {
	g := &group[*Transfer]{events: make([]*Transfer, len(entries))}
	results := make([]Result, len(entries))
	for i := range entries {
		if err := c.giveID(&entries[i].ID); err != nil {
			return nil, err
		}
		results[i].ID = entries[i].ID
		var err error
		if g.events[i], err = entries[i].message(); err != nil {
			return results, err
		}
		if i < len(entries)-1 {
			g.events[i].Flags = append(g.events[i].Flags, ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED)
		}
	}
	if err := c.checkColor(ctx); err != nil {
		return results, err
	}
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	if unsure, err := c.transfers.do(ctx, g); err != nil {
		return results, unknown(fmt.Errorf("record %d transfers: %w", len(entries), err), unsure, g.events)
	}
	for i, o := range g.outcomes {
		results[i].Timestamp, results[i].Position = o.timestamp, g.position
		results[i].Existed = TransferStatus(o.status) == transferExists
	}
	err := refusal(g.outcomes, results, int32(transferExists), func(s int32) error { return TransferStatus(s) })
	if err == nil || !mayBeRecorded(g.outcomes) {
		return results, err
	}
	return results, c.confirm(ctx, g.events, results, err)
}

const (
	created        = 1 // in both enumerations
	transferExists = TransferStatus(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS)
	accountExists  = AccountStatus(ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_EXISTS)
)

// refusal returns the error of a group: that of the event at fault, not of those
// that fell with it.
func refusal(outcomes []outcome, results []Result, exists int32, asError func(int32) error) error {
	at := -1
	for i, o := range outcomes {
		if o.status == created || o.status == exists {
			continue
		}
		if at < 0 || outcomes[at].status == int32(ErrLinkedEventFailed) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	return &StatusError{ID: results[at].ID, Index: at, Status: asError(outcomes[at].status)}
}

// mayBeRecorded tells whether the outcomes are those of a chain sent again: it
// breaks at its first event, which exists.
func mayBeRecorded(outcomes []outcome) bool {
	if len(outcomes) < 2 || TransferStatus(outcomes[0].status) != transferExists {
		return false
	}
	return !slices.ContainsFunc(outcomes[1:], func(o outcome) bool { return TransferStatus(o.status) != ErrLinkedEventFailed })
}

// confirm looks a chain up whose first event exists. That alone does not prove
// that the chain is recorded: the first event may stand in another chain. refused
// is returned if it does.
func (c *Client) confirm(ctx context.Context, events []*Transfer, results []Result, refused error) error {
	ids := make([]money.U128, len(results))
	for i := range results {
		ids[i] = results[i].ID
	}
	found, err := c.LookupTransfers(ctx, ids...)
	if err != nil {
		return unknown(fmt.Errorf("look up a chain that was sent again: %w", err), true, events)
	}
	if len(found) != len(events) {
		return refused
	}
	for i, t := range found {
		if !sameTransfer(events[i], t) {
			return refused
		}
	}
	for i, t := range found {
		results[i].Timestamp, results[i].Existed = t.GetTimestamp(), true
	}
	return nil
}

// sameTransfer tells whether got is what asked recorded. What a post or void may
// leave to its reservation, and how much a balancing transfer moved, is not known
// from asked.
func sameTransfer(asked, got *Transfer) bool {
	flags := bits(asked.GetFlags())
	settles := flags&(flag(ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER)|flag(ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER)) != 0
	balances := flags&(flag(ledgerv1.TransferFlag_TRANSFER_FLAG_BALANCING_DEBIT)|flag(ledgerv1.TransferFlag_TRANSFER_FLAG_BALANCING_CREDIT)) != 0
	same := func(a, g string) bool {
		if a == "" || a == "0" {
			return settles || g == "" || g == "0"
		}
		return a == g
	}
	return flags == bits(got.GetFlags()) && asked.GetId() == got.GetId() &&
		same(asked.GetDebitAccountId(), got.GetDebitAccountId()) && same(asked.GetCreditAccountId(), got.GetCreditAccountId()) &&
		same(asked.GetPendingId(), got.GetPendingId()) && same(asked.GetUserData_128(), got.GetUserData_128()) &&
		(settles && asked.GetAsset() == "" || asked.GetAsset() == got.GetAsset()) &&
		(settles && asked.GetCode() == 0 || asked.GetCode() == got.GetCode()) &&
		(balances || asked.Amount == nil || same(asked.GetAmount(), got.GetAmount())) &&
		(settles && asked.GetUserData_64() == 0 || asked.GetUserData_64() == got.GetUserData_64()) &&
		(settles && asked.GetUserData_32() == 0 || asked.GetUserData_32() == got.GetUserData_32()) &&
		asked.GetTimeout() == got.GetTimeout() && asked.GetBookingDate() == got.GetBookingDate() &&
		sameMetadata(asked.GetMetadata(), got.GetMetadata())
}

func flag(f ledgerv1.TransferFlag) uint32 { return uint32(f) } //nolint:gosec // a bit

func bits(flags []ledgerv1.TransferFlag) (sum uint32) {
	for _, f := range flags {
		sum |= flag(f)
	}
	return sum
}

// Open opens one account and returns when it is durable; sharing of requests,
// repetition and errors are as in [Client.Transfer].
func (c *Client) Open(ctx context.Context, o Opening) (Result, error) {
	if err := c.giveID(&o.ID); err != nil {
		return Result{}, err
	}
	results := []Result{{ID: o.ID}}
	a, err := o.message()
	if err != nil {
		return results[0], err
	}
	if err := c.checkColor(ctx); err != nil {
		return results[0], err
	}
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	g := &group[*Account]{events: []*Account{a}}
	if unsure, err := c.accounts.do(ctx, g); err != nil {
		return results[0], unknown(fmt.Errorf("open an account: %w", err), unsure, g.events)
	}
	first := g.outcomes[0]
	results[0].Timestamp, results[0].Position = first.timestamp, g.position
	results[0].Existed = AccountStatus(first.status) == accountExists
	return results[0], refusal(g.outcomes, results, int32(accountExists), func(s int32) error { return AccountStatus(s) })
}

func (c *Client) giveID(id *money.U128) (err error) {
	if id.IsZero() {
		*id, err = c.NewID()
	}
	return err
}

// Flush waits until every transfer and account given to Transfer, Chain and Open
// before the call has been answered, or ctx ends. A program that ends gracefully
// calls it before Close.
func (c *Client) Flush(ctx context.Context) error {
	return errors.Join(c.transfers.flush(ctx), c.accounts.flush(ctx))
}

// openLanes makes the queues behind Transfer, Chain and Open.
func (c *Client) openLanes(base context.Context, connections, queue int) {
	slots := slotsPerConnection * connections
	c.transfers = newLane(base, slots, int64(queue), func(ctx context.Context, t *trail, events []*Transfer) ([]outcome, *Position, error) {
		response, err := c.createTransfers(ctx, t, events)
		if err != nil {
			return nil, nil, err
		}
		outcomes := make([]outcome, len(events))
		for i, r := range response.GetResults() {
			outcomes[i] = outcome{int32(r.GetStatus()), r.GetTimestamp()}
		}
		return outcomes, response.GetPosition(), nil
	})
	c.accounts = newLane(base, 1, int64(queue), func(ctx context.Context, t *trail, events []*Account) ([]outcome, *Position, error) {
		response, err := c.createAccounts(ctx, t, events)
		if err != nil {
			return nil, nil, err
		}
		outcomes := make([]outcome, len(events))
		for i, r := range response.GetResults() {
			outcomes[i] = outcome{int32(r.GetStatus()), r.GetTimestamp()}
		}
		return outcomes, response.GetPosition(), nil
	})
}
