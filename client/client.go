// Package client is the Go SDK of a Sterling ledger: it dials, authenticates,
// sends, and sends again with the same ids where an answer was lost, so that a
// caller never pays twice.
//
// It never sends an event under a second id, never drops one silently, and never
// takes a lost answer for a failure: errors say whether an event was refused, was
// not sent, or has an unknown outcome. The messages are those of
// proto/sterling/ledger/v1, whose comments give units and ranges. Start reading at
// [Dial] and [Client.Transfer], which makes large requests of many callers' single
// events; [Client.CreateTransfers] is for callers that have batches.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/ident"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The messages of the ledger, under the names that callers use most.
type (
	// Account is an account, as asked for and as returned.
	Account = ledgerv1.Account
	// Transfer is a transfer, as asked for and as returned.
	Transfer = ledgerv1.Transfer
	// AccountFilter selects rows of one account.
	AccountFilter = ledgerv1.AccountFilter
	// QueryFilter selects rows of the ledger.
	QueryFilter = ledgerv1.QueryFilter
	// Position is a place in the journal; a query given it sees what it names.
	Position = ledgerv1.Position
)

// MaxEvents is how many accounts, transfers or ids one call may carry.
const MaxEvents = 8190

// maxMessage bounds a response: 8,190 transfers take less than 3 MB.
const maxMessage = 8 << 20

// window is how much of an answer may be on its way, bytes: a full block of the change feed as records, and a little.
// With less, the server waits for this process in the middle of each block.
const window = 2 << 20

// Client calls one ledger. It is safe for concurrent use.
type Client struct {
	nodes  nodes
	ids    *ident.Generator
	policy retryPolicy
	shadow bool // see WithShadow

	transfers *lane[*Transfer]
	accounts  *lane[*Account]
	stop      context.CancelCauseFunc // ends the lanes' requests
}

// Dial returns a client of the ledger at address (host:port; of several nodes that
// share a journal, all of them with commas in between: calls go to the one that
// leads) that authenticates with token; an empty token leaves that to the certificate of WithTLS. It
// connects on the first call, and again when a connection is lost. Close it after
// use.
func Dial(address, token string, list ...Option) (*Client, error) {
	o := options{
		connections: 1, queue: defaultQueue, policy: defaultPolicy(),
		token: func(context.Context) (string, error) { return token, nil },
	}
	for _, change := range list {
		change(&o)
	}
	if err := o.check(address); err != nil {
		return nil, err
	}
	dial, err := o.dialOptions()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	base, stop := context.WithCancelCause(context.Background())
	c := &Client{ids: ident.NewGenerator(time.Now, rand.Reader), policy: o.policy, shadow: o.shadow, stop: stop}
	c.openLanes(base, o.connections, o.queue)
	addresses := splitAddresses(address)
	if len(addresses) > 1 {
		c.policy.attempt = attemptOfMany
	}
	c.nodes.patience = o.policy.patience
	if err := c.nodes.dial(addresses, o.connections, dial); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connections. What waits in the queue of Transfer, Chain and Open
// fails as not sent, calls in flight fail; see Flush.
func (c *Client) Close() error {
	c.transfers.close()
	c.accounts.close()
	c.stop(ErrClosed)
	c.transfers.senders.Wait()
	c.accounts.senders.Wait()
	return c.nodes.close()
}

// NewID returns an id for an account or a transfer: unique, and larger than those
// made before by this client. Make it before the first attempt, and keep it with
// the order it pays.
func (c *Client) NewID() (money.U128, error) {
	id, err := c.ids.Next()
	return money.U128{Hi: id.Hi, Lo: id.Lo}, err
}

// Ledger returns the generated client over one of the connections, for calls this
// package has no method for. It does not repeat anything.
func (c *Client) Ledger() ledgerv1.LedgerServiceClient {
	return ledgerv1.NewLedgerServiceClient(c.conn())
}

// Admin returns the generated client of the operators' interface. It does not
// repeat anything.
func (c *Client) Admin() ledgerv1.AdminServiceClient {
	return ledgerv1.NewAdminServiceClient(c.conn())
}

// Operations returns the generated client of backups and the archive. It does not
// repeat anything.
func (c *Client) Operations() ledgerv1.OperationsServiceClient {
	return ledgerv1.NewOperationsServiceClient(c.conn())
}

// History returns the generated client of what was: as-of balances, statements,
// ageing, finding by address and metadata. It does not repeat anything.
func (c *Client) History() ledgerv1.HistoryServiceClient {
	return ledgerv1.NewHistoryServiceClient(c.conn())
}

func (c *Client) conn() *grpc.ClientConn { return c.nodes.conn() }
