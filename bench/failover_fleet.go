package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// fleet is the nodes of a cell.
type fleet struct {
	FailoverConfig
	database  *database
	nodes     []*server
	addresses []string
	client    *sdk.Client
}

const (
	resumeTime = 60 * time.Second // until a fault is taken for one that nothing comes back from
	lookAgain  = 2 * time.Millisecond
)

// start starts the nodes one after the other: all take the tokens of the first.
func (f *fleet) start(ctx context.Context) error {
	ports, err := freePorts(f.Nodes)
	if err != nil {
		return err
	}
	f.addresses, f.nodes = ports, make([]*server, f.Nodes)
	for i := range f.nodes {
		if i > 0 {
			if err := f.copyTokens(i); err != nil {
				return err
			}
		}
		if err := f.startNode(ctx, i); err != nil {
			return err
		}
	}
	if f.client, err = sdk.Dial(strings.Join(f.addresses, ","), f.nodes[0].token, sdk.WithPatience(resumeTime)); err != nil {
		return err
	}
	_, err = f.client.CreateAccounts(ctx, &sdk.Account{Id: "1", Asset: "CNY/2", Code: 1}, &sdk.Account{Id: "2", Asset: "CNY/2", Code: 1})
	return err
}

func (f *fleet) folder(i int) string { return filepath.Join(f.Dir, fmt.Sprintf("node-%d", i+1)) }

func (f *fleet) copyTokens(i int) error {
	for _, name := range []string{"tokens.json", "admin.token"} {
		b, err := os.ReadFile(filepath.Join(f.folder(0), name))
		if err == nil {
			err = errors.Join(os.MkdirAll(f.folder(i), 0o700), os.WriteFile(filepath.Join(f.folder(i), name), b, 0o600))
		}
		if err != nil {
			return fmt.Errorf("give node %d the tokens: %w", i+1, err)
		}
	}
	return nil
}

func (f *fleet) startNode(ctx context.Context, i int) error {
	s, _, err := start(ctx, f.Command, childOptions{
		folder: f.folder(i), address: f.addresses[i], ready: "/readyz",
		more: fmt.Sprintf("store:\n  dsn: %q\n  lease: %v\n", f.database.dsn, f.Lease) + f.Config,
	})
	if err != nil {
		return fmt.Errorf("node %d: %w", i+1, err)
	}
	f.nodes[i] = s
	return nil
}

func (f *fleet) close() error {
	var errs []error
	if f.client != nil {
		errs = append(errs, f.client.Close())
	}
	for _, s := range f.nodes {
		if s != nil {
			_ = s.kill() // some ended by design
		}
	}
	return errors.Join(errs...)
}

// asked asks a node once, which may be one that does not answer.
func (s *server) asked(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.get(ctx, s.address, path)
	return err
}

// leader finds who leads.
func (f *fleet) leader(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	for {
		for i, s := range f.nodes {
			if s.asked(ctx, "/leader") == nil {
				return i, nil
			}
		}
		if err := wait(ctx, lookAgain); err != nil {
			return 0, fmt.Errorf("find who leads: %w", err)
		}
	}
}

// standsBy waits until a node knows that another one leads, or leads again: where all are starved, the one that took over
// may have lost its lease meanwhile.
func (f *fleet) standsBy(ctx context.Context, at int) error {
	ctx, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	another := func() bool {
		for i, s := range f.nodes {
			if i != at && s.asked(ctx, "/leader") == nil {
				return true
			}
		}
		return false
	}
	for {
		up, leads := f.nodes[at].asked(ctx, "/healthz"), f.nodes[at].asked(ctx, "/leader")
		if up == nil && (leads != nil || !another()) {
			return nil
		}
		if err := wait(ctx, lookAgain); err != nil {
			return fmt.Errorf("wait until node %d stands by: %w", at+1, errors.Join(err, up, leads))
		}
	}
}

func (f *fleet) drain(ctx context.Context) error {
	if _, err := f.client.Admin().Drain(ctx, &ledgerv1.DrainRequest{}); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// payments are single transfers of one minor unit that senders make without end. Each is repeated under its id until it is
// answered.
type payments struct {
	client  *sdk.Client
	stop    chan struct{}
	senders sync.WaitGroup
	made    atomic.Uint64 // acknowledged
	failed  atomic.Uint64

	mu    sync.Mutex
	ids   []money.U128
	last  []answered // answered since resumed looked
	fault error      // the first
	took  Histogram
}

// answered is when a payment was sent and answered.
type answered struct{ from, to time.Time }

func (f *fleet) pay(ctx context.Context) *payments {
	p := &payments{client: f.client, stop: make(chan struct{})}
	for range f.Senders {
		p.senders.Go(func() { p.send(ctx) })
	}
	return p
}

func (p *payments) send(ctx context.Context) {
	asset, err := money.ParseAsset("CNY/2")
	for err == nil {
		select {
		case <-p.stop:
			return
		default:
		}
		began := time.Now()
		var r sdk.Result
		r, err = p.client.Transfer(ctx, sdk.Entry{Debit: money.From(1), Credit: money.From(2), Amount: sdk.Amount{Minor: money.From(1), Asset: asset}, Code: 1})
		if err != nil {
			break
		}
		p.made.Add(1)
		p.mu.Lock()
		p.ids, p.last = append(p.ids, r.ID), append(p.last, answered{began, time.Now()})
		p.took.Record(time.Since(began))
		p.mu.Unlock()
	}
	p.failed.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = errors.Join(p.fault, err)
}

// more waits until so many more payments were acknowledged.
func (p *payments) more(ctx context.Context, n uint64) error {
	ctx, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	for want := p.made.Load() + n; p.made.Load() < want; {
		if err := wait(ctx, lookAgain); err != nil || p.failed.Load() > 0 {
			return errors.Join(errors.New("payments do not go on"), err, p.failure())
		}
	}
	return nil
}

func (p *payments) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// resumed waits for the first payment that the fault at a moment did not let through before, and returns how long after
// it that came. A payment that began before the fault counts if it was held up by it.
func (p *payments) resumed(ctx context.Context, fault time.Time) (time.Duration, error) {
	const heldUp = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	for {
		p.mu.Lock()
		for _, s := range p.last {
			if s.to.After(fault.Add(heldUp)) || s.from.After(fault) {
				p.mu.Unlock()
				return s.to.Sub(fault), nil
			}
		}
		p.last = p.last[:0]
		p.mu.Unlock()
		if err := wait(ctx, lookAgain); err != nil || p.failed.Load() > 0 {
			return 0, errors.Join(fmt.Errorf("no payment for %v", time.Since(fault)), err, p.failure())
		}
	}
}

// end stops the senders and holds the ledger against what was acknowledged.
func (p *payments) end(ctx context.Context, r *Result) error {
	close(p.stop)
	p.senders.Wait()
	if r == nil {
		return nil
	}
	accounts, err := p.client.LookupAccounts(ctx, money.From(2))
	if err != nil || len(accounts) != 1 {
		return fmt.Errorf("look at the balance: %d accounts, %w", len(accounts), err)
	}
	total, err := money.Parse(accounts[0].GetCreditsPosted())
	if err != nil {
		return fmt.Errorf("look at the balance: %w", err)
	}
	found := 0
	for part := range slices.Chunk(p.ids, sdk.MaxEvents) {
		list, err := p.client.LookupTransfers(ctx, part...)
		if err != nil {
			return fmt.Errorf("look payments up: %w", err)
		}
		found += len(list)
	}
	made := p.made.Load()
	r.Measures = append(r.Measures,
		Measure{Name: "payments acknowledged", Unit: "number", Value: float64(made)},
		Measure{Name: "acknowledged and not there", Unit: "number", Value: float64(made) - float64(found), Less: true},
		Measure{Name: "there and not acknowledged, or twice", Unit: "number", Value: float64(total.Lo) - float64(made), Less: true},
		Measure{Name: "payments that failed", Unit: "number", Value: float64(p.failed.Load()), Less: true},
		Measure{Name: "a payment, p50", Unit: "ms", Value: ms(p.took.Quantile(0.5))},
		Measure{Name: "the longest payment", Unit: "ms", Value: ms(p.took.Max())},
	)
	if found != len(p.ids) || total != money.From(made) || p.failed.Load() > 0 {
		return errors.Join(fmt.Errorf("%d payments were acknowledged, %d are there, and the account has %v", made, found, total), p.failure())
	}
	return nil
}
