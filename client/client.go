// Package client is the Go SDK of a Sterling ledger: it dials, authenticates,
// sends, and sends again with the same ids where an answer was lost, so that a
// caller never pays twice.
//
// It never makes up ids for the caller's events, and never hides a status: the
// messages are those of proto/sterling/ledger/v1, whose comments give units and
// ranges. Start reading at [Dial] and [Client.CreateTransfers].
package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

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

// Client calls one ledger. It is safe for concurrent use.
type Client struct {
	conns  []*grpc.ClientConn
	next   atomic.Uint32
	ids    *ident.Generator
	policy retryPolicy
}

type options struct {
	tls         *tls.Config
	plaintext   bool
	connections int
	policy      retryPolicy
	grpc        []grpc.DialOption
}

// Option changes how [Dial] connects.
type Option func(*options)

// WithTLS encrypts the connection.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// WithPlaintext lets the token cross a network unencrypted. Without it, only
// loopback addresses are dialled without TLS.
func WithPlaintext() Option { return func(o *options) { o.plaintext = true } }

// WithConnections spreads calls over n connections; the default is one. More help
// where one core can't serve all that is sent.
func WithConnections(n int) Option { return func(o *options) { o.connections = n } }

// WithPatience bounds how long a call whose context has no deadline is repeated
// while the server is unavailable; the default is 30 s, zero repeats nothing.
func WithPatience(d time.Duration) Option { return func(o *options) { o.policy.patience = d } }

// WithDialOptions passes options on to grpc-go, for tracing for instance.
func WithDialOptions(list ...grpc.DialOption) Option {
	return func(o *options) { o.grpc = append(o.grpc, list...) }
}

// Dial returns a client of the ledger at address (host:port) that authenticates
// with token. It connects on the first call, and again when a connection is lost.
// Close it after use.
func Dial(address, token string, list ...Option) (*Client, error) {
	o := options{connections: 1, policy: defaultPolicy()}
	for _, change := range list {
		change(&o)
	}
	if o.connections < 1 {
		return nil, fmt.Errorf("dial %s: %d connections", address, o.connections)
	}
	transport := insecure.NewCredentials()
	switch {
	case o.tls != nil:
		transport = credentials.NewTLS(o.tls)
	case !o.plaintext && !isLoopback(address):
		return nil, fmt.Errorf("dial %s: the token would cross the network unencrypted: use WithTLS, or WithPlaintext if the network is trusted", address)
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer("Bearer " + token)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDisableRetry(), // this package's own knows what is safe
	}, o.grpc...)
	c := &Client{ids: ident.NewGenerator(time.Now, rand.Reader), policy: o.policy}
	for range o.connections {
		conn, err := grpc.NewClient(address, dial...)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dial %s: %w", address, err), c.Close())
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// bearer is the Authorization header.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials; Dial has
// decided.
func (bearer) RequireTransportSecurity() bool { return false }

// Close ends the connections. Calls in flight fail.
func (c *Client) Close() error {
	var err error
	for _, conn := range c.conns {
		err = errors.Join(err, conn.Close())
	}
	return err
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

// History returns the generated client of what was: as-of balances, statements,
// ageing, finding by address and metadata. It does not repeat anything.
func (c *Client) History() ledgerv1.HistoryServiceClient {
	return ledgerv1.NewHistoryServiceClient(c.conn())
}

func (c *Client) conn() *grpc.ClientConn {
	return c.conns[int(c.next.Add(1))%len(c.conns)]
}
