package demo

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Config says how large the bank is and how busy.
type Config struct {
	Client *client.Client
	// Shadow is the bank in a load test, beside a live one: its accounts have the same ids, no transfer has, and it has no
	// witnesses. Client makes shadow traffic.
	Shadow bool
	// Seed makes the plan. The same seed means the same transfers: run again, they exist.
	Seed     uint64
	Accounts int           // customers, 10 or more; merchants and employers come on top
	Rate     float64       // stories a second, on average over a day
	Day      time.Duration // how long the bank's day takes
	Duration time.Duration // when the last story begins; 0: until the context ends
	Patience time.Duration // how long a call is sent again where the server can't be reached; 0: for ever
	// Witnesses is the connection of those who tell the watch what was ordered, and what card schemes and other banks
	// say; nil: Client. Where the server's watch does not know the bank's flows there are none.
	Witnesses *client.Client
	// Warn is told, once, why nothing of the bank is proven. May be nil.
	Warn func(why string)
	// Progress is told how far the run is, now and then. May be nil.
	Progress func(Status)
}

// ErrConfig is a configuration that can't be used; the text says why.
var ErrConfig = errors.New("demo")

func (c *Config) check() error {
	switch {
	case c.Accounts < 10 || c.Accounts > 10_000_000:
		return fmt.Errorf("%w: want 10 to 10,000,000 accounts, not %d", ErrConfig, c.Accounts)
	case c.Rate < 0.1 || c.Rate > 1_000_000:
		return fmt.Errorf("%w: want a rate of 0.1 to 1,000,000 a second, not %v", ErrConfig, c.Rate)
	case c.Day < time.Second:
		return fmt.Errorf("%w: a day of %v is too short: want 1s or more", ErrConfig, c.Day)
	case c.Duration < 0 || c.Patience < 0:
		return fmt.Errorf("%w: durations can't be negative", ErrConfig)
	}
	return nil
}

// Status is how far a run is.
type Status struct {
	Opening     bool          // accounts are being made; nothing else is known
	TimeOfDay   time.Duration // of the bank
	Elapsed     time.Duration
	Transfers   uint64 // created or found to exist
	Refused     uint64
	PerSecond   float64 // transfers, lately
	P99         time.Duration
	Unreachable bool // the last attempt did not reach the server; it is being tried again
}

const (
	openingBatch = 2000
	queueLength  = 64 // steps that may wait for one worker
	retryPause   = 500 * time.Millisecond
	attemptTime  = 5 * time.Second
	grace        = time.Second // for a call that is on its way at the end
	// watchPatience is how long the bank waits for a watch that starts.
	watchPatience = 10 * time.Second
)

// Run opens the bank's accounts, unless they are there, and lives through the plan. It returns at the end of the plan
// or of the context, which is no error, with what was done. The steps of one story are sent in order, one after the
// other; those of different stories at once. What is on its way when the context ends is finished and told to the watch.
// ErrBusy where another bank tells the server's watch what its witnesses see.
func Run(ctx context.Context, c Config) (*Summary, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.Shadow {
		c.Seed = SeedOf("shadow", strconv.FormatUint(c.Seed, 10))
	}
	r := &runner{Config: c, began: time.Now(), summary: newSummary()}
	ended := func(err error) (*Summary, error) {
		r.summary.Elapsed = time.Since(r.began)
		if parent.Err() != nil && errors.Is(err, parent.Err()) {
			err = nil
		}
		return r.summary, err
	}
	listen, err := r.openWitnesses(ctx)
	if err != nil {
		return ended(err)
	}
	if err := r.open(ctx); err != nil {
		return ended(err)
	}
	if err := listen(cancel); err != nil {
		return ended(err)
	}
	r.began = time.Now()
	err = r.live(ctx)
	if told := r.witnesses.finish(); err == nil {
		err = told
	}
	if err != nil || ctx.Err() != nil || r.Shadow { // what a shadow was seeded with has another side, which is not the bank's
		return ended(err)
	}
	totals, err := r.balance(ctx)
	r.summary.Totals = totals
	return ended(err)
}

// openWitnesses brings the witnesses, where the server has somebody to tell it to, and begins to listen for another
// bank's. listen is to be called before the first story.
func (r *runner) openWitnesses(ctx context.Context) (listen func(ended context.CancelCauseFunc) error, err error) {
	if r.Shadow {
		return func(context.CancelCauseFunc) error { return nil }, nil
	}
	c := r.Witnesses
	if c == nil {
		c = r.Client
	}
	var before [3]uint64
	bounded, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	w, why, err := openWitnesses(bounded, c, r.persist)
	if err == nil && w != nil {
		err = r.persist(bounded, func(ctx context.Context) (err error) {
			before, err = w.through(ctx)
			return err
		})
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, errStarting) || client.Reason(err) == ledgerv1.ErrorReason_ERROR_REASON_WATCH_DOWN:
		w, why = nil, "the server's watch does not run: nothing of the bank is proven"
	case err != nil:
		return nil, err
	}
	if w == nil {
		if r.Warn != nil {
			r.Warn(why)
		}
		return func(context.CancelCauseFunc) error { return nil }, nil
	}
	since := time.Now()
	return func(ended context.CancelCauseFunc) error {
		select {
		case <-time.After(time.Until(since.Add(listening))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := r.persist(ctx, func(context.Context) error { return w.start(ctx, before, ended) })
		if err == nil {
			r.witnesses = w
		}
		return err
	}, nil
}

// runner is one run.
type runner struct {
	Config
	began     time.Time
	witnesses *witnesses // nil: nobody to tell it to

	mu      sync.Mutex
	summary *Summary
	latency bench.Histogram // since the last status
	since   time.Time
	counted uint64
	lost    bool // the server could not be reached
}

// open makes the accounts and their first transfers. What is there already stays as it is.
func (r *runner) open(ctx context.Context) error {
	b := newBank(r.Accounts)
	r.status(Status{Opening: true})
	accounts := b.accounts()
	for len(accounts) > 0 {
		batch := accounts[:min(openingBatch, len(accounts))]
		accounts = accounts[len(batch):]
		var response *ledgerv1.CreateAccountsResponse
		err := r.persist(ctx, func(ctx context.Context) (err error) {
			response, err = r.Client.CreateAccounts(ctx, batch...)
			return err
		})
		if err != nil {
			return err
		}
		for i, result := range response.GetResults() {
			switch result.GetStatus() {
			case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED, ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_EXISTS:
				r.summary.Accounts++
			default:
				return fmt.Errorf("open account %s: %v", batch[i].GetId(), result.GetStatus())
			}
		}
	}
	openings := b.openings(r.Shadow)
	for len(openings) > 0 {
		batch := openings[:min(openingBatch, len(openings))]
		openings = openings[len(batch):]
		if _, err := r.call(ctx, &Step{Kind: Opening, Transfers: batch}); err != nil {
			return err
		}
	}
	return nil
}

// live sends the plan's steps when they are due. A worker has whole stories, so that their steps keep their order.
func (r *runner) live(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := make([]chan *Step, min(256, max(8, int(r.Rate/25))))
	var group sync.WaitGroup
	for i := range workers {
		steps := make(chan *Step, queueLength)
		workers[i] = steps
		group.Go(func() {
			if err := r.work(ctx, steps); err != nil {
				cancel(err)
			}
		})
	}
	plan := NewPlan(r.Seed, r.Accounts, r.Rate, r.Day, r.Duration)
	for {
		s, ok := plan.Next()
		if !ok || !r.wait(ctx, plan, s.Due) {
			break
		}
		select {
		case workers[s.Story%uint64(len(workers))] <- s:
		case <-ctx.Done():
		}
	}
	for _, w := range workers {
		close(w)
	}
	group.Wait()
	return context.Cause(ctx)
}

// wait returns true when due has come, and tells how things are meanwhile.
func (r *runner) wait(ctx context.Context, plan *Plan, due time.Duration) bool {
	for {
		elapsed := time.Since(r.began)
		r.report(plan, elapsed)
		if elapsed >= due {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(due-elapsed, statusEvery))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// work sends steps in order. The rest of a story is left out once a step of it was refused.
func (r *runner) work(ctx context.Context, steps <-chan *Step) error {
	ended := map[uint64]bool{}
	for s := range steps {
		if !ended[s.Story] && ctx.Err() == nil {
			ok, err := r.call(ctx, s)
			if err != nil {
				return err
			}
			ended[s.Story] = !ok
		}
		if s.Last || !ended[s.Story] {
			delete(ended, s.Story)
		}
	}
	return nil
}

// call sends a step until it is answered, and says whether all of it was created, now or before.
func (r *runner) call(ctx context.Context, s *Step) (ok bool, err error) {
	r.witnesses.wait()
	number, began := r.witnesses.begin()
	did := false
	var amounts []string
	defer func() {
		r.witnesses.done(number, s, did, func(n int) string { return amounts[n] })
	}()
	if began.IsZero() {
		began = time.Now()
	}
	var response *ledgerv1.CreateTransfersResponse
	err = r.persist(ctx, func(ctx context.Context) (err error) {
		response, err = r.Client.CreateTransfers(ctx, s.Transfers...)
		return err
	})
	if err != nil {
		return false, err
	}
	ok = r.count(s, response.GetResults(), began)
	if ok && r.witnesses != nil && r.witnesses.own(began, response.GetResults()) {
		amounts, err = r.amounts(ctx, s)
		did = err == nil
	}
	return ok, err
}

func (r *runner) count(s *Step, results []*ledgerv1.CreateTransferResult, began time.Time) (ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latency.Record(time.Since(began))
	return r.summary.count(s, results)
}

// amounts returns what each transfer of a step moved, where somebody has to say it and only the ledger knows.
func (r *runner) amounts(ctx context.Context, s *Step) (amounts []string, err error) {
	if !slices.ContainsFunc(s.Words, func(w Word) bool { return w.Observation.GetAmount() == "" }) {
		return nil, nil
	}
	var ids []money.U128
	for _, t := range s.Transfers {
		id, err := money.Parse(t.GetId())
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	err = r.persist(ctx, func(ctx context.Context) error {
		found, err := r.Client.LookupTransfers(ctx, ids...)
		if err == nil && len(found) != len(ids) {
			return fmt.Errorf("look up what was moved: %d of %d transfers found", len(found), len(ids))
		}
		amounts = nil
		for _, t := range found {
			amounts = append(amounts, t.GetAmount())
		}
		return err
	})
	return amounts, err
}

// persist makes a call again and again while the server can't be reached or can't take it. The events carry the same
// ids every time, so they happen once.
func (r *runner) persist(ctx context.Context, call func(ctx context.Context) error) error {
	for began := time.Now(); ; {
		err := within(ctx, call)
		if err == nil {
			r.reached(true)
			return nil
		}
		if ctx.Err() != nil {
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return err // which says more
		}
		if !passing(err) || r.Patience > 0 && time.Since(began) > r.Patience {
			return err
		}
		r.reached(false)
		timer := time.NewTimer(retryPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// within bounds one attempt, which the client makes of several where the server can't be reached. One that is on its way
// when ctx ends has a moment to be answered: its outcome would be unknown otherwise.
func within(ctx context.Context, call func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel()
		case <-attempt.Done():
		}
	})()
	return call(attempt)
}

func (r *runner) reached(is bool) {
	r.mu.Lock()
	r.lost = !is
	r.mu.Unlock()
}

// passing reports whether the same call may succeed later.
func passing(err error) bool {
	if errors.Is(err, ErrBusy) {
		return false
	}
	switch client.Reason(err) {
	case ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, ledgerv1.ErrorReason_ERROR_REASON_TOKEN_REFUSED,
		ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED, ledgerv1.ErrorReason_ERROR_REASON_SOURCE_GAP, ledgerv1.ErrorReason_ERROR_REASON_ASSETS_EXHAUSTED,
		ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED:
		return false
	default:
		return true
	}
}

const statusEvery = 200 * time.Millisecond

func (r *runner) status(s Status) {
	if r.Progress != nil {
		r.Progress(s)
	}
}

// report makes a status, not too often.
func (r *runner) report(plan *Plan, elapsed time.Duration) {
	now := time.Now()
	span := now.Sub(r.since)
	if span < statusEvery {
		return
	}
	r.mu.Lock()
	done, refused := r.summary.Created+r.summary.Existed, r.summary.Refused
	s := Status{
		TimeOfDay: plan.TimeOfDay(elapsed), Elapsed: elapsed, Transfers: done, Refused: refused, P99: r.latency.Quantile(0.99),
		PerSecond: float64(done-r.counted) / span.Seconds(), Unreachable: r.lost,
	}
	r.latency, r.since, r.counted = bench.Histogram{}, now, done
	r.mu.Unlock()
	r.status(s)
}

// balance adds up all of the bank's accounts: it makes and loses no money.
func (r *runner) balance(ctx context.Context) ([]Total, error) {
	var ids []money.U128
	newBank(r.Accounts).visit(func(role Role, n int) {
		if id, err := money.Parse(AccountID(role, n)); err == nil {
			ids = append(ids, id)
		}
	})
	sums := map[string]*Total{}
	for len(ids) > 0 {
		batch := ids[:min(openingBatch, len(ids))]
		ids = ids[len(batch):]
		var accounts []*client.Account
		err := r.persist(ctx, func(ctx context.Context) (err error) {
			accounts, err = r.Client.LookupAccounts(ctx, batch...)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, a := range accounts {
			if sums[a.GetAsset()] == nil {
				sums[a.GetAsset()] = &Total{Asset: a.GetAsset()}
			}
			sums[a.GetAsset()].add(a)
		}
	}
	var totals []Total
	for _, asset := range []string{cny, usd} {
		if t := sums[asset]; t != nil {
			totals = append(totals, *t)
		}
	}
	for _, t := range totals {
		if !t.Balanced() {
			return totals, fmt.Errorf("the bank's %s do not balance: %+v; did somebody else use its accounts?", t.Asset, t)
		}
	}
	return totals, nil
}

// SeedOf makes a seed of words, such as the time.
func SeedOf(words ...string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(words, " "))) // never fails
	return h.Sum64()
}

func (t *Total) add(a *client.Account) {
	for _, side := range []struct {
		sum  *big.Int
		text string
	}{
		{&t.DebitsPosted, a.GetDebitsPosted()},
		{&t.CreditsPosted, a.GetCreditsPosted()},
		{&t.DebitsPending, a.GetDebitsPending()},
		{&t.CreditsPending, a.GetCreditsPending()},
	} {
		if v, ok := new(big.Int).SetString(side.text, 10); ok {
			side.sum.Add(side.sum, v)
		}
	}
	t.Accounts++
}
