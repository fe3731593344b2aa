package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// DefaultMoves is the configuration of the published numbers of Moves, without Command, Maps, Dir and Version.
func DefaultMoves() CellsConfig {
	return CellsConfig{Cells: 2, Nodes: 1, Senders: 8, Batch: 1, Accounts: 10_000, Warmup: 5 * time.Second, Duration: time.Second}
}

// Moves measures the move of accounts from one cell to another under load: once of accounts in as many buckets as their
// ids fall into, and once of as many accounts in one bucket. No call may fail, and afterwards every transfer that was
// acknowledged has to be there.
func Moves(ctx context.Context, c CellsConfig) (report *Report, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Dir, err = os.MkdirTemp(c.Dir, "sterling-moves-"); err != nil {
		return nil, fmt.Errorf("make a folder for the nodes' data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	report = &Report{Version: c.Version, Began: time.Now().UTC(), Durability: "acknowledged = committed on one PostgreSQL server, fsync on"}
	if report.Machine, err = Describe(c.Dir); err != nil {
		return report, err
	}
	server, err := engines.StartPostgres(ctx, engines.Options{})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	for i, name := range []string{"spread", "one-bucket"} {
		database, err := server.CreateDatabase(ctx, fmt.Sprintf("run_%d", i))
		if err != nil {
			return report, err
		}
		r := &movesRun{cellsRun: cellsRun{CellsConfig: c, name: name, cells: c.Cells}, one: i == 1}
		result, err := r.measure(ctx, database.DSN())
		if err != nil {
			return report, fmt.Errorf("%s: %w", name, err)
		}
		report.Results = append(report.Results, result)
	}
	return report, nil
}

// movesRun is one of the runs of Moves.
type movesRun struct {
	cellsRun
	one bool // all accounts are of one bucket

	moving  atomic.Bool
	failed  atomic.Uint64 // calls
	mu      sync.Mutex
	calm    Histogram // calls before the move
	during  Histogram // calls while buckets moved
	ids     time.Duration
	carried uint64 // in that time
	failure string
	last    *ledgerv1.MoveProgress
}

func (r *movesRun) measure(ctx context.Context, dsn string) (result Result, err error) {
	err = r.on(ctx, dsn, func(cluster *devcluster.Cluster) error {
		if r.one {
			if err := r.oneBucket(ctx); err != nil {
				return err
			}
		}
		if err := r.moveUnderLoad(ctx, cluster); err != nil {
			return err
		}
		if _, err := r.verify(ctx); err != nil {
			return err
		}
		result = r.result()
		return nil
	})
	return result, err
}

// oneBucket makes as many accounts again in the bucket of the first one, which are used from then on.
func (r *movesRun) oneBucket(ctx context.Context) error {
	bucket := journal.Bucket(r.accounts[0][0])
	var ids []money.U128
	for id := uint64(1) << 40; len(ids) < r.Accounts; id++ {
		if a := money.From(id); journal.Bucket(a) == bucket {
			ids = append(ids, a)
		}
	}
	r.accounts[0] = ids
	return r.open(ctx, 0)
}

// moveUnderLoad pays between accounts of the first cell, by way of all cells, and moves them to the second one.
func (r *movesRun) moveUnderLoad(ctx context.Context, cluster *devcluster.Cluster) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for i := range r.Senders {
		senders.Go(func() {
			if err := r.pay(ctx, r.clients[i%r.cells], stop); err != nil {
				cancel(err)
			}
		})
	}
	err := sleepUntil(ctx, time.Now().Add(r.Warmup))
	if err == nil {
		r.moving.Store(true)
		err = r.moveAll(ctx, cluster)
		r.moving.Store(false)
	}
	close(stop)
	senders.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// pay sends calls that are not repeated, so that each one that fails is seen.
func (r *movesRun) pay(ctx context.Context, c *sdk.Client, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		batch, _, err := r.batch(0)
		if err != nil {
			return err
		}
		began, moving := time.Now(), r.moving.Load()
		response, err := c.Ledger().CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: batch})
		took := time.Since(began)
		if err != nil && ctx.Err() == nil {
			r.failed.Add(1)
			r.mu.Lock()
			if r.failure == "" {
				r.failure = "; the first that failed: " + err.Error()
			}
			r.mu.Unlock()
			response, err = c.CreateTransfers(ctx, batch...) // its money is counted all the same
		}
		if err != nil {
			return err
		}
		for _, result := range response.GetResults() {
			if s := result.GetStatus(); s != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED && s != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS {
				return fmt.Errorf("a transfer: %v", s)
			}
		}
		r.created.Add(uint64(len(batch)))
		r.mu.Lock()
		if moving {
			r.during.Record(took)
		} else {
			r.calm.Record(took)
		}
		r.mu.Unlock()
	}
}

// moveAll moves the buckets of all accounts to the second cell.
func (r *movesRun) moveAll(ctx context.Context, cluster *devcluster.Cluster) error {
	in := map[uint32]bool{}
	for _, id := range r.accounts[0] {
		in[uint32(journal.Bucket(id))] = true
	}
	request := &ledgerv1.MoveBucketsRequest{To: cluster.Map.Cells[1].ID}
	for b := range in {
		request.Buckets = append(request.Buckets, b)
	}
	slices.Sort(request.Buckets)
	began := time.Now()
	started, err := r.clients[0].Moves().MoveBuckets(ctx, request)
	if err != nil {
		return fmt.Errorf("move %d buckets: %w", len(request.GetBuckets()), err)
	}
	for p := started.GetProgress(); ; {
		if r.ids == 0 && (p.GetPhase() == "moving" || p.GetEnded() != 0) {
			r.ids, r.carried = time.Since(began), p.GetIds()
		}
		if r.Progress != nil {
			r.Progress(r.name+" "+p.GetPhase(), time.Since(began), time.Since(began), r.created.Load())
		}
		switch {
		case p.GetState() == ledgerv1.MoveState_MOVE_STATE_DONE:
			r.last = p
			return nil
		case p.GetEnded() != 0:
			return fmt.Errorf("move %d buckets: %s", len(request.GetBuckets()), p.GetError())
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		now, err := r.clients[0].Moves().GetMove(ctx, &ledgerv1.GetMoveRequest{})
		if err != nil {
			return err
		}
		p = now.GetProgress()
	}
}

func (r *movesRun) result() Result {
	var pauses Histogram
	for _, b := range r.last.GetMoved() {
		pauses.Record(time.Duration(b.GetPauseNs())) //nolint:gosec // short
	}
	moved := len(r.last.GetMoved())
	shape := strings.Join([]string{"move", r.name}, "-")
	return Result{
		Shape: shape,
		What:  fmt.Sprintf("%d accounts in %d buckets move to another cell; %d senders, %d transfers a call%s", r.last.GetAccounts(), moved, r.Senders, r.Batch, r.failure),
		Measures: []Measure{
			{Name: "calls that failed", Unit: "number", Value: float64(r.failed.Load()), Less: true},
			{Name: "a bucket's pause, p50", Unit: "ms", Value: ms(pauses.Quantile(0.5)), Less: true, Aim: 100},
			{Name: "a bucket's pause, longest", Unit: "ms", Value: ms(pauses.Quantile(1)), Less: true, Aim: 1000},
			{Name: "a call before, p99", Unit: "ms", Value: ms(r.calm.Quantile(0.99)), Less: true},
			{Name: "a call during the move, p50", Unit: "ms", Value: ms(r.during.Quantile(0.5)), Less: true},
			{Name: "a call during the move, p99", Unit: "ms", Value: ms(r.during.Quantile(0.99)), Less: true},
			{Name: "a call during the move, longest", Unit: "ms", Value: ms(r.during.Quantile(1)), Less: true, Aim: 1000},
			{Name: "ids carried", Unit: "number", Value: float64(r.last.GetIds())},
			{Name: "ids carried before the first bucket closed", Unit: "1/s", Value: float64(r.carried) / r.ids.Seconds()},
			{Name: "the whole move", Unit: "s", Value: float64(r.last.GetEnded()-r.last.GetBegan()) / 1e9, Less: true},
			{Name: "acknowledged, and there once", Unit: "number", Value: float64(r.created.Load())},
		},
	}
}
