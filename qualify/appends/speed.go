package appends

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// Shapes are the block sizes that a ledger writes: a lone transfer, 100 clients with 16 transfers each, and a full
// block.
var shapes = []int{1, 1600, journal.MaxEvents}

// SpeedOptions says how long appends are measured.
type SpeedOptions struct {
	Cell     uint64        // a scratch cell without blocks
	Duration time.Duration // of each shape
	Progress qualify.Progress
}

// Speed measures one writer's appends, one outstanding, as a cell makes them. Building the blocks is not counted.
func Speed(ctx context.Context, t *qualify.Target, o SpeedOptions, s *qualify.Section) (err error) {
	log, err := t.OpenLog(ctx, o.Cell, 0)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var incarnation [16]byte
	_, _ = rand.Read(incarnation[:]) // never fails
	w := qualify.NewWriter(o.Cell, incarnation)
	end := end{}
	for i, n := range shapes {
		m, err := end.measure(ctx, log, w, n, o.Duration, func(done float64) {
			o.Progress.Tell((float64(i)+done)/float64(len(shapes)), fmt.Sprintf("blocks of %d transfers", n))
		})
		if err != nil {
			return fmt.Errorf("measure blocks of %d transfers: %w", n, err)
		}
		s.Note(m.check(n))
	}
	return nil
}

// end is where the journal ends.
type end struct {
	seq  uint64
	hash journal.Hash
}

type measured struct {
	latency bench.Histogram
	spent   time.Duration // in appends
	unknown int
	bytes   int // of one block
}

func (e *end) measure(ctx context.Context, log cell.Log, w *qualify.Writer, n int, length time.Duration, tell func(float64)) (m measured, err error) {
	for began := time.Now(); time.Since(began) < length || m.latency.Count() == 0; {
		tell(min(1, time.Since(began).Seconds()/length.Seconds()))
		b := w.Block(e.seq+1, e.hash, n)
		at := time.Now()
		for {
			err := log.Append(ctx, b)
			if err == nil {
				break
			}
			if !errors.Is(err, cell.ErrOutcomeUnknown) || ctx.Err() != nil {
				return m, err
			}
			m.unknown++
		}
		took := time.Since(at)
		m.latency.Record(took)
		m.spent += took
		m.bytes = len(b.Raw)
		e.seq, e.hash = b.Header.Seq, b.Hash
	}
	return m, nil
}

func (m *measured) check(n int) qualify.Check {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p50, p99, most := ms(m.latency.Quantile(0.5)), ms(m.latency.Quantile(0.99)), ms(m.latency.Max())
	rate := float64(m.latency.Count()) / m.spent.Seconds()
	return qualify.Check{
		ID: fmt.Sprintf("speed.%d", n), Title: fmt.Sprintf("Append of %d transfers (%.1f KiB)", n, float64(m.bytes)/1024),
		Found: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, longest %.1f ms; %.0f blocks/s, %.0f transfers/s, %.1f MiB/s; %d appends, %d sent again",
			p50, p99, most, rate, rate*float64(n), rate*float64(m.bytes)/(1<<20), m.latency.Count(), m.unknown),
		Measures: []qualify.Measure{
			{Name: "p50", Value: p50, Unit: "ms"},
			{Name: "p99", Value: p99, Unit: "ms"},
			{Name: "longest", Value: most, Unit: "ms"},
			{Name: "blocks per second", Value: rate},
			{Name: "transfers per second", Value: rate * float64(n)},
			{Name: "throughput", Value: rate * float64(m.bytes) / (1 << 20), Unit: "MiB/s"},
		},
	}
}
