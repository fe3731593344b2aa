package client

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// maxLegs is how many legs a transaction may have.
const maxLegs = MaxEvents - 1

// Transaction is several transfers under one id, recorded together or not at all.
type Transaction struct {
	ID money.U128 // the idempotency key; zero: the client makes one
	// Legs are applied in order, limits leg by leg; 1 to 8,189. Their ids follow from
	// the transaction's and must be zero.
	Legs        []Entry
	Code        uint16 // the reason for the whole; may be zero
	UserData128 money.U128
	UserData64  uint64
	UserData32  uint32
	BookingDate string   // of all legs that have none of their own; see [Entry]
	Metadata    Metadata // of the whole
	// ControlSum, minor units, is what the amounts of all legs must add up to. Where
	// they don't, nothing is recorded, and [Reason] is UNBALANCED. Nil is not checked.
	ControlSum *money.U128
	// AllowCycles accepts legs that lead back to an account that money left.
	AllowCycles bool
}

// TransactionResult is a transaction that is recorded.
type TransactionResult struct {
	Result
	Legs []money.U128 // ids of the legs, in order
}

// CreateTransaction records all legs of a transaction or none, and returns when they
// are durable. It is repeated with the same id while the server does not answer, as
// [Client.Transfer] is; a transaction that exists as asked is no error. Of a refused
// one, the [StatusError] names the leg at fault by Index and ID; Index is -1 where
// the transaction as a whole is.
func (c *Client) CreateTransaction(ctx context.Context, t Transaction) (TransactionResult, error) {
	var result TransactionResult
	if err := c.giveID(&t.ID); err != nil {
		return result, err
	}
	result.ID = t.ID
	request, err := t.message()
	if err != nil {
		return result, err
	}
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	attempts := trail{limit: c.policy.attempt}
	what := fmt.Sprintf("create a transaction of %d legs", len(t.Legs))
	response, err := repeat(ctx, c, &attempts, what, request, ledgerv1.LedgerServiceClient.CreateTransaction)
	if err != nil {
		return result, unknown(err, attempts.unsure, []*ledgerv1.CreateTransactionRequest{request})
	}
	result.Timestamp, result.Position = response.GetTimestamp(), response.GetPosition()
	result.Existed = TransferStatus(response.GetStatus()) == transferExists
	for _, text := range response.GetLegIds() {
		id, err := money.Parse(text)
		if err != nil {
			return result, unknown(fmt.Errorf("%s: the server answered with a leg's id: %w", what, err), true, []*ledgerv1.CreateTransactionRequest{request})
		}
		result.Legs = append(result.Legs, id)
	}
	return result, transactionRefused(&result, response)
}

// transactionRefused returns nil for a transaction that is recorded.
func transactionRefused(result *TransactionResult, response *ledgerv1.CreateTransactionResponse) error {
	if response.GetStatus() == created || result.Existed {
		return nil
	}
	if TransferStatus(response.GetStatus()) == ErrLinkedEventFailed {
		for i, leg := range response.GetLegs() {
			if s := TransferStatus(leg.GetStatus()); s != created && s != ErrLinkedEventFailed && i < len(result.Legs) {
				return &StatusError{ID: result.Legs[i], Index: i, Status: s}
			}
		}
	}
	return &StatusError{ID: result.ID, Index: -1, Status: TransferStatus(response.GetStatus())}
}

func (t *Transaction) message() (*ledgerv1.CreateTransactionRequest, error) {
	fault := func(err error) error { return fmt.Errorf("transaction %v %w", t.ID, err) }
	if len(t.Legs) == 0 || len(t.Legs) > maxLegs {
		return nil, fault(fmt.Errorf("%w: %d legs, want 1 to %d", ErrEntry, len(t.Legs), maxLegs))
	}
	if err := checkDate(t.BookingDate); err != nil {
		return nil, fault(err)
	}
	r := &ledgerv1.CreateTransactionRequest{
		Id: t.ID.String(), Code: uint32(t.Code), UserData_128: number(t.UserData128), UserData_64: t.UserData64, UserData_32: t.UserData32,
		BookingDate: t.BookingDate, Metadata: t.Metadata, AllowCycles: t.AllowCycles, Legs: make([]*Transfer, len(t.Legs)),
	}
	if t.ControlSum != nil {
		r.ControlSum = t.ControlSum.String()
	}
	for i := range t.Legs {
		if !t.Legs[i].ID.IsZero() {
			return nil, fault(fmt.Errorf("%w: leg %d has an id: it follows from the transaction's", ErrEntry, i))
		}
		leg, err := t.Legs[i].message()
		if err != nil {
			return nil, fault(fmt.Errorf("%w: leg %d: %w", ErrEntry, i, err))
		}
		leg.Id = ""
		r.Legs[i] = leg
	}
	return r, nil
}

// GetTransaction returns a transaction with its legs as recorded. Where there is
// none, [Reason] of the error is NOT_FOUND.
func (c *Client) GetTransaction(ctx context.Context, id money.U128) (*ledgerv1.GetTransactionResponse, error) {
	r := &ledgerv1.GetTransactionRequest{Id: id.String()}
	return send(ctx, c, fmt.Sprintf("get transaction %v", id), r, ledgerv1.LedgerServiceClient.GetTransaction)
}

// SetMetadata replaces all metadata of an account: what is not in the new one is
// gone. id is the idempotency key, unique among transfers; zero: one is made. A
// refusal is a [StatusError] with a [ControlStatus].
func (c *Client) SetMetadata(ctx context.Context, id, account money.U128, m Metadata) (Result, error) {
	if err := c.giveID(&id); err != nil {
		return Result{}, err
	}
	r := &ledgerv1.SetMetadataRequest{Id: id.String(), AccountId: account.String(), Metadata: m}
	response, err := controlled(ctx, c, "set the metadata of account "+r.GetAccountId(), r, func(ctx context.Context) (*ledgerv1.SetMetadataResponse, error) {
		return c.Ledger().SetMetadata(ctx, r)
	})
	return resultOf(id, response, err)
}

// LookupAddresses returns the accounts that have these addresses, up to 8,190: those
// found, in the order asked.
func (c *Client) LookupAddresses(ctx context.Context, addresses ...string) ([]*Account, error) {
	r := &ledgerv1.LookupAddressesRequest{Addresses: addresses}
	response, err := send(ctx, c, fmt.Sprintf("look up %d addresses", len(addresses)), r, ledgerv1.LedgerServiceClient.LookupAddresses)
	return response.GetAccounts(), err
}
