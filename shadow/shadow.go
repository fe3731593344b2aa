// Package shadow is about load tests beside live traffic: it seeds a ledger's shadow with the accounts of the ledger, and
// proves afterwards, or in the middle, that nothing of the shadow traffic is in the live ledger. It reads both change feeds
// as any client may, and what the live ledger's watch has recomputed.
//
// It writes into shadows only, and does not trust the marks of the traffic: it compares what the journals say. Start
// reading at [Seed] and [Compare].
package shadow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

const (
	// maxTransfers bounds the memory: an id takes 16 bytes.
	maxTransfers = 100_000_000
	// maxFirst is how many leaks a report names.
	maxFirst = 10
	// lookPause is how often the watch is asked whether it has come as far as the comparison.
	lookPause = 50 * time.Millisecond
	// stuck is how long it may stand still until then.
	stuck = 10 * time.Second
)

// Errors of [Compare] and [Report.Proven].
var (
	// ErrColor: the ledgers are not one that is live and one that is a shadow.
	ErrColor = errors.New("want a live ledger and a shadow")
	// ErrUnproven: something of the shadow is in the live ledger, or that can't be ruled out.
	ErrUnproven = errors.New("not proven")
)

// Side is one of the ledgers, as far as it was compared.
type Side struct {
	Cell      uint64 `json:"cell"`
	Through   uint64 `json:"through"` // block
	Accounts  uint64 `json:"accounts"`
	Transfers uint64 `json:"transfers"`
	Actors    int    `json:"actors"` // tokens that had something recorded
}

// Leak is an event of the live ledger that belongs to the shadow.
type Leak struct {
	Position feed.Position `json:"position"`
	Transfer string        `json:"transfer,omitempty"` // id; empty: it is no transfer
	Actor    string        `json:"actor,omitempty"`    // id of the token
	Why      string        `json:"why"`
}

// Report is what a comparison has found.
type Report struct {
	Shadow Side `json:"shadow"`
	Live   Side `json:"live"`
	// Leaks is how many events of the live ledger belong to the shadow, First the first ten of them.
	Leaks uint64 `json:"leaks"`
	First []Leak `json:"first,omitempty"`
	// Recomputed is the block through which the live ledger's watch has recomputed it, OpenBreaks what it holds against
	// it, Totals its sums over all accounts.
	Recomputed uint64  `json:"recomputed"`
	OpenBreaks uint64  `json:"openBreaks"`
	Totals     []Total `json:"totals"`
}

// Total is the sums over all accounts of an asset, in minor units.
type Total struct {
	Asset          string `json:"asset"` // CODE/SCALE
	Debits         string `json:"debits"`
	Credits        string `json:"credits"`
	PendingDebits  string `json:"pendingDebits"`
	PendingCredits string `json:"pendingCredits"`
}

// Compare reads the shadow's feed and then the live ledger's, each as far as it goes when its turn comes. An event of the
// live ledger is a leak if a token asked for it that has acted in the shadow, or if the shadow has a transfer of its id.
// Accounts may have the same ids: a shadow is seeded with those of the live ledger. ErrColor where the ledgers are not what
// they should be.
func Compare(ctx context.Context, live, shadow *client.Client) (*Report, error) {
	r := &Report{}
	var err error
	var ids []money.U128
	var actors []string
	r.Shadow, actors, err = scan(ctx, shadow, func(e *ledgerv1.FeedEvent) error {
		if e.GetTransfer() == nil {
			return nil
		}
		if len(ids) == maxTransfers {
			return fmt.Errorf("the shadow has more than %d transfers: compare shorter runs, each in a new shadow", maxTransfers)
		}
		id, err := money.Parse(e.GetTransfer().GetId())
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the shadow: %w", err)
	}
	if r.Shadow.Cell < journal.ShadowCells {
		return nil, fmt.Errorf("%w: the second one is no shadow", ErrColor)
	}
	slices.SortFunc(ids, money.U128.Cmp)
	r.Live, _, err = scan(ctx, live, func(e *ledgerv1.FeedEvent) error { return r.judge(e, ids, actors) })
	if err != nil {
		return nil, fmt.Errorf("read the live ledger: %w", err)
	}
	if r.Live.Cell >= journal.ShadowCells {
		return nil, fmt.Errorf("%w: the first one is a shadow, too", ErrColor)
	}
	return r, r.recomputed(ctx, live)
}

// judge looks at one event of the live ledger.
func (r *Report) judge(e *ledgerv1.FeedEvent, ids []money.U128, actors []string) error {
	leak := Leak{Actor: e.GetActor(), Transfer: e.GetTransfer().GetId()}
	if slices.Contains(actors, e.GetActor()) {
		leak.Why = "a token asked for it that acts in the shadow"
	}
	if leak.Transfer != "" {
		id, err := money.Parse(leak.Transfer)
		if err != nil {
			return err
		}
		if _, found := slices.BinarySearchFunc(ids, id, money.U128.Cmp); found {
			leak.Why = "the shadow has a transfer of the same id"
		}
	}
	if leak.Why == "" {
		return nil
	}
	r.Leaks++
	if len(r.First) == maxFirst {
		return nil
	}
	var err error
	leak.Position, err = feed.PositionOf(e.GetPosition())
	r.First = append(r.First, leak)
	return err
}

// recomputed asks the live ledger's watch, once it has come as far as the comparison, or no longer goes on.
func (r *Report) recomputed(ctx context.Context, live *client.Client) error {
	for moved := time.Now(); ; {
		p, err := live.Watch().GetProof(ctx, &watchv1.GetProofRequest{})
		if err != nil {
			return fmt.Errorf("ask the live ledger's watch: %w", err)
		}
		if p.GetAppliedSeq() > r.Recomputed {
			moved = time.Now()
		}
		r.Recomputed, r.OpenBreaks = p.GetAppliedSeq(), p.GetOpenBreaks()
		if r.Recomputed >= r.Live.Through || time.Since(moved) > stuck {
			for _, t := range p.GetTotals() {
				r.Totals = append(r.Totals, Total{t.GetAsset(), t.GetDebitsPosted(), t.GetCreditsPosted(), t.GetDebitsPending(), t.GetCreditsPending()})
			}
			return nil
		}
		if err := clock.Sleep(ctx, clock.NewSystem(), lookPause); err != nil {
			return fmt.Errorf("wait for the live ledger's watch: %w", err)
		}
	}
}

// Proven returns nil where the report says that nothing of the shadow is in the live ledger, that its debits equal its
// credits, and that its watch has nothing against it; otherwise an error that wraps ErrUnproven.
func (r *Report) Proven() error {
	var faults []error
	if r.Shadow.Transfers == 0 {
		faults = append(faults, errors.New("the shadow has no transfers: there was nothing to compare"))
	}
	if r.Leaks > 0 {
		faults = append(faults, fmt.Errorf("%d events of the live ledger belong to the shadow", r.Leaks))
	}
	if r.Recomputed < r.Live.Through {
		faults = append(faults, fmt.Errorf("the live ledger's watch stands still at block %d", r.Recomputed))
	}
	if r.OpenBreaks > 0 {
		faults = append(faults, fmt.Errorf("the live ledger's watch has %d open breaks", r.OpenBreaks))
	}
	for _, t := range r.Totals {
		if t.Debits != t.Credits || t.PendingDebits != t.PendingCredits {
			faults = append(faults, fmt.Errorf("%s: debits differ from credits", t.Asset))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnproven, errors.Join(faults...))
}

// scan has see look at every event of a ledger, from the first to the last that there is when it begins. It returns the
// tokens that asked for them.
func scan(ctx context.Context, c *client.Client, see func(*ledgerv1.FeedEvent) error) (s Side, actors []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	var last feed.Position
	head, known := uint64(0), map[string]bool{}
	for run, err := range c.Subscribe(ctx, &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true}}) {
		if err != nil {
			return s, nil, err
		}
		if head == 0 {
			head = run.GetHead()
		}
		for _, e := range run.GetEvents() {
			at, err := feed.PositionOf(e.GetPosition())
			if err != nil {
				return s, nil, err
			}
			if at.Compare(last) <= 0 || at.Seq > head { // again, after the connection was lost; or later than asked for
				continue
			}
			last = at
			s.count(e)
			if actor := e.GetActor(); actor != "" && !known[actor] {
				known[actor] = true
				actors = append(actors, actor)
			}
			if err := see(e); err != nil {
				return s, nil, err
			}
		}
		at, err := feed.PositionOf(run.GetResumeAfter())
		if err != nil {
			return s, nil, err
		}
		if at.Compare(feed.AfterBlock(at.Cell, head)) >= 0 {
			s.Cell, s.Through, s.Actors = at.Cell, head, len(actors)
			return s, actors, nil
		}
	}
	return s, nil, ctx.Err()
}

func (s *Side) count(e *ledgerv1.FeedEvent) {
	switch e.GetKind() { //nolint:exhaustive // the others are not counted
	case ledgerv1.EventKind_EVENT_KIND_ACCOUNT_CREATED:
		s.Accounts++
	case ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED:
		s.Transfers++
	}
}
