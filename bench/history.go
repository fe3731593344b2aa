package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	askedPerSecond = 2000
	askers         = 32
	statementRows  = 100
)

// history measures statements and as-of balances beside half of the write load that the server has just sustained: of
// 100 transfers a call, and of single calls.
func history(ctx context.Context, b *bench) (Result, error) {
	var result Result
	err := b.serve(ctx, 0, func(s *server) error {
		began := time.Now()
		for _, w := range []struct {
			beside string // of the measures' names
			form   form
			alone  bool // the questions are asked without writes, too
		}{{"", wireForm(16, 100), true}, {", single calls", wireForm(128, 1), false}} {
			err := b.with(ctx, s, w.form, func(l *load) error {
				most, err := l.run(ctx, b.Warmup, b.window(10*time.Second))
				if err != nil {
					return err
				}
				half := max(1, int(most.perSecond()/2)/w.form.transfers)
				result.Measures = append(result.Measures, Measure{Name: "writes alone" + w.beside, Unit: perSecond, Value: most.perSecond()})
				for _, q := range questions(w.alone) {
					measures, err := b.askBeside(ctx, s, l, q, half, began, w.alone)
					if err != nil {
						return fmt.Errorf("%s%s: %w", q.name, w.beside, err)
					}
					for _, m := range measures {
						m.Name = q.name + w.beside + m.Name
						result.Measures = append(result.Measures, m)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return result, err
}

// questions are what is asked. One of them may be profiled.
func questions(profiled bool) []question {
	return []question{
		{"statements", profiled, ledgerv1.HistoryService_GetStatement_FullMethodName, func(account string, since uint64) proto.Message {
			return &ledgerv1.GetStatementRequest{AccountId: account, TimestampMin: since, Limit: statementRows}
		}},
		{"balances as of", false, ledgerv1.HistoryService_GetBalanceAsOf_FullMethodName, func(account string, at uint64) proto.Message {
			return &ledgerv1.GetBalanceAsOfRequest{AccountId: account, Timestamp: at}
		}},
	}
}

// askBeside asks while so many calls a second write, and before that, if alone, without them. The measures' names go on
// from the question's.
func (b *bench) askBeside(ctx context.Context, s *server, l *load, q question, calls int, began time.Time, alone bool) (list []Measure, err error) {
	if _, err := s.settle(ctx, time.Now()); err != nil { // else compactions would count as the questions'
		return nil, err
	}
	if alone {
		a, _, err := b.ask(ctx, s, l, q, 0, began)
		if err != nil {
			return nil, fmt.Errorf("alone: %w", err)
		}
		list = []Measure{
			{Name: " alone, p99", Unit: "ms", Value: ms(a.latency.Quantile(0.99))},
			{Name: " alone", Unit: perSecond, Value: a.perSecond},
			{Name: " alone, server CPU each", Unit: "µs", Value: a.serverCPU},
		}
	}
	a, writes, err := b.ask(ctx, s, l, q, calls, began)
	if err != nil {
		return nil, err
	}
	list = append(list,
		Measure{Name: ", p99", Unit: "ms", Value: ms(a.latency.Quantile(0.99)), AtLeast: 5, Less: true},
		Measure{Name: ", p50", Unit: "ms", Value: ms(a.latency.Quantile(0.5))},
		Measure{Name: ", of that late in the client, p99", Unit: "ms", Value: ms(a.late.Quantile(0.99))},
		Measure{Name: "", Unit: perSecond, Value: a.perSecond, AtLeast: 0.95 * askedPerSecond},
		Measure{Name: ", writes beside", Unit: perSecond, Value: writes})
	if a.rows > 0 {
		list = append(list, Measure{Name: ", rows each", Unit: "number", Value: a.rows})
	}
	return list, nil
}

// question is one way to ask about the past of an account.
type question struct {
	name     string
	profiled bool // a profile that was asked for is taken here
	method   string
	request  func(account string, moment uint64) proto.Message
}

// statementRow is the number of the field that a statement's rows are in.
const statementRow = 5

// rowsIn counts the rows of an encoded answer: the server is measured, so its answers are not decoded.
func rowsIn(answer []byte) (rows int, err error) {
	for len(answer) > 0 {
		field, kind, n := protowire.ConsumeTag(answer)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		if answer = answer[n:]; field == statementRow {
			rows++
		}
		if n = protowire.ConsumeFieldValue(field, kind, answer); n < 0 {
			return 0, protowire.ParseError(n)
		}
		answer = answer[n:]
	}
	return rows, nil
}

// answers is what a question showed.
type answers struct {
	latency         Histogram
	late            Histogram // until a question was sent
	perSecond, rows float64
	serverCPU       float64 // µs for each question, with what was written meanwhile
}

// ask puts a question at a fixed rate, about any account and any moment since began, while the load makes so many calls
// a second. Latency counts from when a question was due.
func (b *bench) ask(ctx context.Context, s *server, l *load, q question, calls int, began time.Time) (*answers, float64, error) {
	conns, err := dial(s.address, 8)
	if err != nil {
		return nil, 0, err
	}
	used, err := s.cpu(ctx)
	if err != nil {
		return nil, 0, errors.Join(err, closeAll(conns))
	}
	window := b.window(10 * time.Second)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	asked := authorized(ctx, s.token)
	var writes []sample
	var writing sync.WaitGroup
	writing.Go(func() {
		var err error
		if writes, err = l.paced(ctx, calls, window); err != nil {
			cancel(err)
		}
	})
	profiled := make(chan error, 1)
	if q.profiled && calls > 0 {
		go func() { profiled <- <-b.profile(ctx, s, 0, window) }()
	} else {
		profiled <- nil
	}
	a := &answers{}
	each, late := make([]client, askers), make([]Histogram, askers)
	var next atomic.Int64
	var asking sync.WaitGroup
	start := time.Now()
	for i := range each {
		asking.Go(func() {
			if err := b.asker(asked, conns[i%len(conns)], q, &next, start, window, began, &each[i], &late[i]); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	asking.Wait()
	took := time.Since(start).Seconds()
	writing.Wait()
	after, err := s.cpu(ctx)
	if err != nil {
		cancel(err)
	}
	var count, rows uint64
	for i := range each {
		a.latency.Merge(&each[i].latency)
		a.late.Merge(&late[i])
		count, rows = count+each[i].calls, rows+each[i].transfers
	}
	a.serverCPU = float64(after-used) / 1e3 / float64(max(1, count))
	a.perSecond, a.rows = float64(count)/took, float64(rows)/float64(max(1, count))
	written := 0
	for i := range writes {
		written += writes[i].transfers
	}
	return a, float64(written) / window.Seconds(), errors.Join(context.Cause(ctx), <-profiled, closeAll(conns))
}

func (b *bench) asker(ctx context.Context, conn *grpc.ClientConn, q question, next *atomic.Int64, start time.Time, window time.Duration, began time.Time, c *client, late *Histogram) error {
	var answer []byte
	random := splitmix(uint64(start.UnixNano()))
	total := int64(window.Seconds() * askedPerSecond)
	for k := next.Add(1) - 1; k < total; k = next.Add(1) - 1 {
		due := start.Add(time.Duration(k) * time.Second / askedPerSecond)
		if err := sleepUntil(ctx, due); err != nil {
			return err
		}
		random += splitmix(k) //nolint:gosec // ≥ 0
		account, err := money.ParseBytes(b.book.digits(random.below(b.Accounts)))
		if err != nil {
			return err
		}
		moment := began.Add(time.Duration(random.next() % uint64(max(1, start.Sub(began))))) //nolint:gosec // positive
		request, err := proto.Marshal(q.request(account.String(), uint64(moment.UnixNano())))
		if err != nil {
			return err
		}
		late.Record(time.Since(due))
		if err := conn.Invoke(ctx, q.method, &request, &answer, grpc.ForceCodecV2(rawCodec{})); err != nil {
			return err
		}
		rows, err := rowsIn(answer)
		if err != nil {
			return err
		}
		c.latency.Record(time.Since(due))
		c.calls, c.transfers = c.calls+1, c.transfers+uint64(rows) //nolint:gosec // ≥ 0
	}
	return nil
}
