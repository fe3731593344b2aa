package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

// CellsConfig is how Cells measures.
type CellsConfig struct {
	// Command starts a node, and Maps opens its map of cells; see [devcluster.Options].
	Command []string
	Maps    func(ctx context.Context, dsn string) (devcluster.Maps, error)
	Dir     string // for the nodes' data; empty: the system's for temporary files
	Version string // of the program, for the report

	Cells, Nodes     int
	Senders, Batch   int           // clients of all cells together, and transfers in a call of theirs
	Accounts         int           // of each cell
	Shares           []int         // of the transfers of several cells, how many per cent go to another cell
	Warmup, Duration time.Duration // of each run

	Progress func(what string, elapsed, total time.Duration, transfers uint64) // may be nil
}

// DefaultCells is the configuration of the published numbers, without Command, Maps, Dir and Version.
func DefaultCells() CellsConfig {
	return CellsConfig{
		Cells: 2, Nodes: 1, Senders: 16, Batch: 100, Accounts: 1000, Shares: []int{0, 10, 50},
		Warmup: 2 * time.Second, Duration: 10 * time.Second,
	}
}

const maxCellAccounts = 100_000

func (c *CellsConfig) check() error {
	for _, share := range c.Shares {
		if share < 0 || share > 100 {
			return fmt.Errorf("%w: a share of %d %%: want 0 to 100", ErrConfig, share)
		}
	}
	switch {
	case c.Cells < 2 || c.Cells > 16 || c.Nodes < 1 || c.Nodes > 9:
		return fmt.Errorf("%w: %d cells of %d nodes: want 2 to 16, of 1 to 9", ErrConfig, c.Cells, c.Nodes)
	case c.Senders < c.Cells || c.Batch < 1 || c.Batch > sdk.MaxEvents || c.Accounts < 2 || c.Accounts > maxCellAccounts:
		return fmt.Errorf("%w: %d senders, %d transfers a call, %d accounts: want a sender for each cell or more, 1 to %d and 2 to %d", ErrConfig, c.Senders, c.Batch, c.Accounts, sdk.MaxEvents, maxCellAccounts)
	case c.Duration <= 0 || c.Warmup < 0:
		return fmt.Errorf("%w: a duration of %v after %v: want more than 0", ErrConfig, c.Duration, c.Warmup)
	}
	return nil
}

// Cells measures one cell, and then several cells on the same database server with each share of transfers to other
// cells. After each run every transfer that was acknowledged has to be there, on both sides.
func Cells(ctx context.Context, c CellsConfig) (report *Report, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Dir, err = os.MkdirTemp(c.Dir, "sterling-cells-"); err != nil {
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
	runs := []cellsRun{{CellsConfig: c, name: "one-cell", cells: 1}}
	for _, share := range c.Shares {
		runs = append(runs, cellsRun{CellsConfig: c, name: fmt.Sprintf("cells-%d-%d%%", c.Cells, share), cells: c.Cells, share: share})
	}
	var alone float64
	for i := range runs {
		r := &runs[i]
		database, err := server.CreateDatabase(ctx, fmt.Sprintf("run_%d", i))
		if err != nil {
			return report, err
		}
		result, err := r.measure(ctx, database.DSN())
		if err != nil {
			return report, fmt.Errorf("%s: %w", r.name, err)
		}
		if i == 0 {
			alone = result.Measures[0].Value
		} else {
			m := Measure{Name: fmt.Sprintf("%d cells ÷ 1 cell", r.cells), Unit: "times", Value: result.Measures[0].Value / alone}
			if r.share == 0 {
				m.Aim = 0.9 * float64(r.cells) // where neither the engine nor the machine is the limit
			}
			result.Measures = append(result.Measures, m)
		}
		report.Results = append(report.Results, result)
	}
	return report, nil
}

// cellsRun is one of the runs.
type cellsRun struct {
	CellsConfig
	name  string
	cells int
	share int

	clients  []*sdk.Client  // by cell
	accounts [][]money.U128 // by cell
	created  atomic.Uint64  // transfers of one minor unit
	across   atomic.Uint64  // of those: to another cell
}

func (r *cellsRun) measure(ctx context.Context, dsn string) (result Result, err error) {
	err = r.on(ctx, dsn, func(*devcluster.Cluster) error {
		m, err := r.load(ctx)
		if err != nil {
			return err
		}
		if m.lag, err = r.verify(ctx); err != nil {
			return err
		}
		result = r.result(m)
		return nil
	})
	return result, err
}

// on starts the cells, makes the clients and accounts, and ends all of it after work.
func (r *cellsRun) on(ctx context.Context, dsn string, work func(*devcluster.Cluster) error) (err error) {
	cluster, err := devcluster.Start(ctx, devcluster.Options{
		Command: r.Command, Dir: filepath.Join(r.Dir, r.name), Cells: r.cells, Nodes: r.Nodes, DSN: dsn, Maps: r.Maps,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	defer func() {
		for _, c := range r.clients {
			err = errors.Join(err, c.Close())
		}
	}()
	if _, err := cluster.AwaitLeaders(ctx); err != nil {
		return err
	}
	if err := r.prepare(ctx, cluster); err != nil {
		return err
	}
	return work(cluster)
}

// prepare makes the clients and the accounts of each cell.
func (r *cellsRun) prepare(ctx context.Context, cluster *devcluster.Cluster) error {
	token, err := os.ReadFile(cluster.TokenFile())
	if err != nil {
		return fmt.Errorf("read the nodes' token: %w", err)
	}
	at := map[uint64]int{}
	for i := range cluster.Map.Cells {
		c := &cluster.Map.Cells[i]
		at[c.ID] = i
		client, err := sdk.Dial(strings.Join(c.Nodes, ","), strings.TrimSpace(string(token)), sdk.WithConnections(min(4, runtime.NumCPU())))
		if err != nil {
			return err
		}
		r.clients = append(r.clients, client)
	}
	r.accounts = accountsOf(cluster.Map, at, r.Accounts)
	for i := range r.accounts {
		if err := r.open(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// inACall is how many accounts are asked for at once.
const inACall = 5000

// open makes the accounts of a cell.
func (r *cellsRun) open(ctx context.Context, cell int) error {
	for ids := range slices.Chunk(r.accounts[cell], inACall) {
		list := make([]*sdk.Account, len(ids))
		for j, id := range ids {
			list[j] = &sdk.Account{Id: id.String(), Asset: "CNY/2", Code: 1}
		}
		response, err := r.clients[cell].CreateAccounts(ctx, list...)
		if err != nil {
			return err
		}
		for j, result := range response.GetResults() {
			if s := result.GetStatus(); s != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
				return fmt.Errorf("make account %v: %v", ids[j], s)
			}
		}
	}
	return nil
}

// accountsOf finds so many account ids, from 1 on, for every cell.
func accountsOf(m *router.Map, at map[uint64]int, each int) [][]money.U128 {
	accounts := make([][]money.U128, len(m.Cells))
	for id, full := uint64(1), 0; full < len(accounts); id++ {
		mine := &accounts[at[m.Owner(money.From(id))]]
		if len(*mine) == each {
			continue
		}
		if *mine = append(*mine, money.From(id)); len(*mine) == each {
			full++
		}
	}
	return accounts
}

// cellsMeasured is what a run's window showed.
type cellsMeasured struct {
	latency   Histogram
	transfers uint64
	lag       time.Duration // from the last answer until all was there on both sides
}

// load has all senders send for the warm-up and then the window. A call belongs to the window if it ended there.
func (r *cellsRun) load(ctx context.Context) (*cellsMeasured, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	from, until := began.Add(r.Warmup), began.Add(r.Warmup+r.Duration)
	seen := make([]cellsMeasured, r.Senders)
	var senders sync.WaitGroup
	for i := range seen {
		senders.Go(func() {
			if err := r.send(ctx, i%r.cells, &seen[i], from, until); err != nil {
				cancel(err)
			}
		})
	}
	for now := began; r.Progress != nil && now.Before(until) && ctx.Err() == nil; now = time.Now() {
		r.Progress(r.name, now.Sub(began), until.Sub(began), r.created.Load())
		_ = sleepUntil(ctx, earlier(until, now.Add(200*time.Millisecond))) // the context's end is looked at next
	}
	senders.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	all := &cellsMeasured{}
	for i := range seen {
		all.latency.Merge(&seen[i].latency)
		all.transfers += seen[i].transfers
	}
	return all, nil
}

// send sends batches whose transfers begin in one cell.
func (r *cellsRun) send(ctx context.Context, cell int, seen *cellsMeasured, from, until time.Time) error {
	for begin := time.Now(); begin.Before(until); begin = time.Now() {
		batch, across, err := r.batch(cell)
		if err != nil {
			return err
		}
		response, err := r.clients[cell].CreateTransfers(ctx, batch...)
		if err != nil {
			return err
		}
		for i, result := range response.GetResults() {
			switch s := result.GetStatus(); s {
			case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED:
			case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS: // sent again after its answer was lost
			default:
				return fmt.Errorf("transfer %s: %v", batch[i].GetId(), s)
			}
		}
		r.created.Add(uint64(len(batch)))
		r.across.Add(across)
		if end := time.Now(); !end.Before(from) && end.Before(until) {
			seen.latency.Record(end.Sub(begin))
			seen.transfers += uint64(len(batch))
		}
	}
	return nil
}

// batch makes transfers of one minor unit between accounts chosen at random.
func (r *cellsRun) batch(cell int) (batch []*sdk.Transfer, across uint64, err error) {
	pick := func(cell int) string {
		return r.accounts[cell][rand.IntN(r.Accounts)].String() //nolint:gosec // a load, no secret
	}
	for range r.Batch {
		id, err := r.clients[cell].NewID()
		if err != nil {
			return nil, 0, err
		}
		to := cell
		if rand.IntN(100) < r.share { //nolint:gosec // a load, no secret
			to = (cell + 1 + rand.IntN(r.cells-1)) % r.cells //nolint:gosec // a load, no secret
			across++
		}
		t := &sdk.Transfer{Id: id.String(), DebitAccountId: pick(cell), Amount: new("1"), Asset: "CNY/2", Code: 1}
		for t.CreditAccountId = pick(to); t.CreditAccountId == t.DebitAccountId; {
			t.CreditAccountId = pick(to)
		}
		batch = append(batch, t)
	}
	return batch, across, nil
}

// arriveWithin is how long what was acknowledged may take to be there on its other side.
const arriveWithin = time.Minute

// verify waits until all that was acknowledged is there, once, on both sides.
func (r *cellsRun) verify(ctx context.Context) (lag time.Duration, err error) {
	began, want := time.Now(), r.created.Load()
	ctx, cancel := context.WithTimeout(ctx, arriveWithin)
	defer cancel()
	for {
		debits, credits, pending, err := r.totals(ctx)
		if err != nil {
			return 0, err
		}
		if debits == want && credits == want && pending == 0 {
			return time.Since(began), nil
		}
		found := fmt.Errorf("%d transfers were acknowledged; %d are debited, %d are credited, %d wait", want, debits, credits, pending)
		if debits != want || credits > want {
			return 0, fmt.Errorf("LOST MONEY: %w", found)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return 0, fmt.Errorf("not settled within %v: %w", arriveWithin, found)
		}
	}
}

// totals adds the accounts of all cells up.
func (r *cellsRun) totals(ctx context.Context) (debits, credits, pending uint64, err error) {
	for i, ids := range r.accounts {
		var list []*sdk.Account
		for part := range slices.Chunk(ids, inACall) {
			found, err := r.clients[i].LookupAccounts(ctx, part...)
			if err != nil {
				return 0, 0, 0, err
			}
			list = append(list, found...)
		}
		for _, a := range list {
			for _, part := range []struct {
				text string
				sum  *uint64
			}{{a.GetDebitsPosted(), &debits}, {a.GetCreditsPosted(), &credits}, {a.GetDebitsPending(), &pending}, {a.GetCreditsPending(), &pending}} {
				v, err := money.Parse(part.text)
				if err != nil {
					return 0, 0, 0, fmt.Errorf("look at a balance: %w", err)
				}
				*part.sum += v.Lo
			}
		}
	}
	return debits, credits, pending, nil
}

func (r *cellsRun) result(m *cellsMeasured) Result {
	return Result{
		Shape: r.name,
		What:  fmt.Sprintf("%d cells of %d nodes, %d senders, %d transfers a call, %d %% to another cell", r.cells, r.Nodes, r.Senders, r.Batch, r.share),
		Measures: []Measure{
			{Name: "transfers", Unit: "1/s", Value: float64(m.transfers) / r.Duration.Seconds()}, // the first: Cells compares it
			{Name: "a call, p50", Unit: "ms", Value: ms(m.latency.Quantile(0.5)), Less: true},
			{Name: "a call, p99", Unit: "ms", Value: ms(m.latency.Quantile(0.99)), Less: true},
			{Name: "to another cell", Unit: "%", Value: 100 * float64(r.across.Load()) / float64(max(1, r.created.Load()))},
			{Name: "last answer → all of it in both cells", Unit: "ms", Value: ms(m.lag), Less: true},
			{Name: "acknowledged, and there once on both sides", Unit: "number", Value: float64(r.created.Load())},
		},
	}
}
