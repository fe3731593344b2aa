package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
)

// shape is one kind of load or one question.
type shape struct {
	name, what string
	own        bool // needs a server of its own, with a process to look at and a folder
	run        func(ctx context.Context, b *bench) (Result, error)
}

// shapes are all there are. What is asked of them is the table of docs/benchmarks.md.
func shapes() []shape {
	return []shape{
		{"single-grpc", "1 transfer a call, 128 clients, gRPC over 8 connections", false, singleGRPC},
		{"single-json", "1 transfer a call, 128 clients, JSON over HTTP/1.1, a connection each", false, singleJSON},
		{"batch-grpc", "100 transfers a call, 16 clients, gRPC over 8 connections", false, batchGRPC},
		{"packed", "8,000 packed transfers a call, 4 clients, gRPC, sustained", false, packed},
		{"hot", "every transfer credits one account, against the same load spread, in alternating slices", false, hot},
		{"history", "statements of 100 rows and as-of balances, 2,000 a second each, beside half of each write load", false, history},
		{"start", "from the start of the process to ready", true, startUp},
		{"memory", "resident memory with idle accounts, and its growth by settled transfers", true, memory},
		{"feed", "the same loads with and without a subscriber of the change feed, in alternating slices", false, feedShape},
		{"snapshot", "latency of writes that come at a fixed rate, while snapshots are taken and while not", true, snapshot},
	}
}

// form is how a load's clients call.
type form struct {
	clients, connections, transfers int
	caller                          func(ctx context.Context, s *server, conns []*grpc.ClientConn, i int, asset uint32) (caller, error)
}

func wireForm(clients, transfers int) form {
	const connections = 8
	return form{clients, connections, transfers, func(_ context.Context, _ *server, conns []*grpc.ClientConn, i int, _ uint32) (caller, error) {
		return newWireCaller(conns[i%len(conns)], transfers)
	}}
}

func packedForm() form {
	const clients = 4
	return form{clients, clients, bulk, func(_ context.Context, _ *server, conns []*grpc.ClientConn, i int, asset uint32) (caller, error) {
		return newPackedCaller(conns[i], bulk, asset), nil
	}}
}

func jsonForm() form {
	const clients = 128
	return form{clients, 0, 1, func(ctx context.Context, s *server, _ []*grpc.ClientConn, _ int, _ uint32) (caller, error) {
		return newHTTPCaller(ctx, s.address, s.token)
	}}
}

// with gives use a load of this form, and then checks that every transfer acknowledged to it is there.
func (b *bench) with(ctx context.Context, s *server, f form, use func(l *load) error) (err error) {
	asset, err := b.asset(ctx, s)
	if err != nil {
		return err
	}
	conns, err := dial(s.address, f.connections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(conns)) }()
	var callers []caller
	for i := range f.clients {
		c, err := f.caller(ctx, s, conns, i, asset)
		if err != nil {
			return errors.Join(err, closeAll(callers))
		}
		callers = append(callers, c)
	}
	l := newLoad(s, b.book, callers)
	l.progress = b.progress
	defer func() { err = errors.Join(err, l.close()) }()
	before, err := s.status(ctx)
	if err != nil {
		return err
	}
	if err := use(l); err != nil {
		return err
	}
	after, err := s.status(ctx)
	if err != nil {
		return err
	}
	found, acknowledged := after.GetTransfers()-before.GetTransfers(), l.acknowledged.Load()
	if found < acknowledged || s.isChild() && found != acknowledged {
		return fmt.Errorf("LOST MONEY: %d transfers were acknowledged, %d were recorded", acknowledged, found)
	}
	return nil
}

// sustain measures a load of a form on a server of its own.
func (b *bench) sustain(ctx context.Context, f form, own time.Duration) (result *Load, err error) {
	err = b.serve(ctx, 0, func(s *server) error {
		return b.with(ctx, s, f, func(l *load) error {
			window := b.window(own)
			finished := b.profile(ctx, s, b.Warmup, window)
			m, err := l.run(ctx, b.Warmup, window)
			if err = errors.Join(err, <-finished); err != nil {
				return err
			}
			result, err = newLoadResult(ctx, s, f, m)
			if err == nil {
				result.AcknowledgedAndFound = l.acknowledged.Load()
			}
			return err
		})
	})
	return result, err
}

// profile takes the profile that was asked for in the middle of a window that begins after warmup.
func (b *bench) profile(ctx context.Context, s *server, warmup, window time.Duration) <-chan error {
	finished := make(chan error, 1)
	if b.Profile == 0 {
		finished <- nil
		return finished
	}
	go func() {
		length := time.Duration(b.Profile) * time.Second
		err := sleepUntil(ctx, time.Now().Add(warmup+max(0, window-length)/2))
		if err == nil {
			err = s.profile(ctx, b.Profile, filepath.Join(b.ProfileDir, b.shape.name+".pprof"))
		}
		finished <- err
	}()
	return finished
}

// newLoadResult waits for the server to come to rest and puts the numbers together.
func newLoadResult(ctx context.Context, s *server, f form, m *measurement) (*Load, error) {
	resident, peak, err := s.memory(ctx)
	if err != nil {
		return nil, err
	}
	rest, err := s.settle(ctx, m.lastAnswer)
	if err != nil {
		return nil, err
	}
	each := func(d time.Duration) float64 { return float64(d) / 1e3 / float64(max(1, m.transfers)) }
	connections := f.connections
	if connections == 0 {
		connections = f.clients
	}
	return &Load{
		Clients: f.clients, Connections: connections, TransfersPerCall: f.transfers, Seconds: m.seconds, Calls: m.calls,
		Transfers: m.transfers, PerSecond: m.perSecond(), P50: ms(m.latency.Quantile(0.5)), P99: ms(m.latency.Quantile(0.99)),
		P999: ms(m.latency.Quantile(0.999)), Max: ms(m.latency.Max()), ServerCPU: each(m.serverCPU), ClientCPU: each(m.clientCPU),
		ResidentMB: mb(resident), PeakMB: mb(peak), IndexLagBlocks: rest.blocks, IndexLagSeconds: rest.lag.Seconds(),
		QuietSeconds: rest.quiet.Seconds(), PerSecondUntilQuiet: float64(m.transfers) / (m.seconds + rest.quiet.Seconds()),
	}, nil
}

const perSecond = "per second"

func single(ctx context.Context, b *bench, f form, least, aim float64) (Result, error) {
	l, err := b.sustain(ctx, f, 10*time.Second)
	if err != nil {
		return Result{}, err
	}
	return Result{Load: l, Measures: []Measure{
		{Name: "transfers", Unit: perSecond, Value: l.PerSecond, AtLeast: least, Aim: aim},
		{Name: "p99", Unit: "ms", Value: l.P99, AtLeast: 15, Less: true},
	}}, nil
}

func singleGRPC(ctx context.Context, b *bench) (Result, error) {
	return single(ctx, b, wireForm(128, 1), 15_000, 28_000)
}

func singleJSON(ctx context.Context, b *bench) (Result, error) {
	return single(ctx, b, jsonForm(), 20_000, 40_000)
}

func batchGRPC(ctx context.Context, b *bench) (Result, error) {
	l, err := b.sustain(ctx, wireForm(16, 100), 10*time.Second)
	if err != nil {
		return Result{}, err
	}
	return Result{Load: l, Measures: []Measure{{Name: "transfers", Unit: perSecond, Value: l.PerSecond, AtLeast: 200_000, Aim: 350_000}}}, nil
}

func packed(ctx context.Context, b *bench) (Result, error) {
	l, err := b.sustain(ctx, packedForm(), 60*time.Second)
	if err != nil {
		return Result{}, err
	}
	return Result{Load: l, Measures: []Measure{
		{Name: "transfers", Unit: perSecond, Value: l.PerSecond, AtLeast: 350_000, Aim: 600_000},
		{Name: "index lag at the end", Unit: "s", Value: l.IndexLagSeconds, AtLeast: 1, Less: true},
		{Name: "compaction after the end", Unit: "s", Value: l.QuietSeconds, AtLeast: 1, Less: true},
		{Name: "transfers until compaction is through", Unit: perSecond, Value: l.PerSecondUntilQuiet},
	}}, nil
}

// hot compares within one run, slice by slice, so that what else the machine does hits both alike.
func hot(ctx context.Context, b *bench) (Result, error) {
	var result Result
	err := b.serve(ctx, 0, func(s *server) error {
		for _, f := range []struct {
			name string
			form form
		}{{"single-grpc", wireForm(128, 1)}, {"packed", packedForm()}} {
			spread, hot, err := b.alternate(ctx, s, f.form)
			if err != nil {
				return err
			}
			result.Measures = append(result.Measures,
				Measure{Name: f.name + ", hot ÷ spread", Unit: "ratio", Value: hot.perSecond() / spread.perSecond(), AtLeast: 0.9, Aim: 1},
				Measure{Name: f.name + ", hot", Unit: perSecond, Value: hot.perSecond()},
				Measure{Name: f.name + ", spread", Unit: perSecond, Value: spread.perSecond()},
				Measure{Name: f.name + ", hot p99", Unit: "ms", Value: ms(hot.latency.Quantile(0.99))},
				Measure{Name: f.name + ", spread p99", Unit: "ms", Value: ms(spread.latency.Quantile(0.99))})
		}
		return nil
	})
	return result, err
}

const slicePairs = 5

func (b *bench) alternate(ctx context.Context, s *server, f form) (spread, hot *measurement, err error) {
	spread, hot = &measurement{}, &measurement{}
	err = b.with(ctx, s, f, func(l *load) error {
		slice := b.window(10*time.Second) / (2 * slicePairs)
		if b.Warmup > 0 {
			if _, err := l.run(ctx, 0, b.Warmup); err != nil {
				return err
			}
		}
		for i := range 2 * slicePairs {
			into, isHot := spread, (i+i/2)%2 == 1 // spread, hot, hot, spread, …: neither is always first
			if isHot {
				into = hot
			}
			l.hot(isHot)
			m, err := l.run(ctx, slice/10, slice-slice/10)
			if err != nil {
				return err
			}
			into.merge(m)
		}
		return nil
	})
	if err == nil && (spread.transfers == 0 || hot.transfers == 0) {
		err = errors.New("the slices were too short for a single call: give a longer --duration")
	}
	return spread, hot, err
}
