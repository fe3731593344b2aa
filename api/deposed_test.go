package api_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/ledger"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// deposed is a cell whose node finds, with the first block that it wants to append, that another one leads.
type deposed struct {
	api.Cell
	now atomic.Bool
}

func (d *deposed) err() error {
	if d.now.Load() {
		return &cell.NotLeaderError{Leader: "10.0.0.7:7600"}
	}
	return nil
}

func (d *deposed) Fresh(ctx context.Context) (uint64, error) {
	if err := d.err(); err != nil {
		return 0, err
	}
	return d.Cell.Fresh(ctx)
}

func (d *deposed) Read(ctx context.Context, fn func(*ledger.State)) error {
	if err := d.err(); err != nil {
		return err
	}
	return d.Cell.Read(ctx, fn)
}

func openDeposed(t *testing.T, change func(*api.Config)) (*bank, *deposed) {
	t.Helper()
	d := &deposed{}
	b := open(t, func(c *api.Config) {
		d.Cell, c.Cell = c.Cell, d
		if change != nil {
			change(c)
		}
	})
	return b, d
}

// TestADeposedNodeDoesNotTellOldNews: it does not know yet that another node leads, and what that one has acknowledged.
func TestADeposedNodeDoesNotTellOldNews(t *testing.T) {
	b, d := openDeposed(t, nil)
	l, err := client.Dial(b.addr, b.tokens[auth.RoleAdmin], client.WithPatience(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d.now.Store(true)
	if _, err := l.Ledger().ListAssets(ctx, &ledgerv1.ListAssetsRequest{}); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER {
		t.Errorf("assets: %v", err)
	}
	after := &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_After{After: &ledgerv1.FeedPosition{Cell: 7, Seq: 1000}}}
	for _, err := range l.Subscribe(ctx, after) {
		if client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER {
			t.Errorf("a subscriber that has seen more elsewhere: %v", err)
		}
	}
	d.now.Store(false)
	for _, err := range l.Subscribe(ctx, after) {
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a subscriber that has seen what nobody has: %v", err)
		}
	}
}

// TestARevocationCountsWhateverComesOfTheNode: it is in the journal. That nothing was done would be a lie.
func TestARevocationCountsWhateverComesOfTheNode(t *testing.T) {
	b, d := openDeposed(t, func(c *api.Config) { c.Principals = func([]ledger.Principal) error { return nil } })
	b.before(func(context.Context) error { d.now.Store(true); return nil })
	l, err := client.Dial(b.addr, b.tokens[auth.RoleAdmin], client.WithPatience(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r, err := l.Books().RevokePrincipal(t.Context(), &ledgerv1.RevokePrincipalRequest{Token: "00112233445566778899aabbccddeeff", Name: "thief"})
	if err != nil || r.GetPosition().GetSeq() == 0 {
		t.Errorf("%v, %v", r, err)
	}
}
