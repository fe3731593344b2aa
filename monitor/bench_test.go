package monitor_test

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

// blank is an engine that only counts, and closes a key for every second observation: what is measured is the monitor.
type blank struct {
	events, number uint64
	effects        []watch.Effect
	past           watch.Past
}

func (b *blank) Block(raw []byte) { b.events += uint64(raw[104]) | uint64(raw[105])<<8 }

func (b *blank) Observe(_ string, list []watch.Observation) {
	b.events += uint64(len(list))
	var state [64]byte
	for i := range list {
		if i%2 == 0 {
			continue
		}
		b.past.Closed("orders", list[i].Key, b.number)
		b.number++
		b.effects = append(b.effects, watch.Effect{
			Number: b.number, Kind: watch.KeyClosed, Closed: &watch.Closed{Flow: "orders", Key: list[i].Key, State: state[:]},
		})
	}
}

func (b *blank) Tick(uint64, uint64, uint64)            {}
func (b *blank) Compare(uint64, []watch.AccountBalance) {}
func (b *blank) Decide(watch.Decision) error            { return nil }
func (b *blank) Frozen(watch.ID, string)                {}
func (b *blank) Proof() watch.Proof                     { return watch.Proof{Events: b.events} }

func (b *blank) Sources() []watch.SourceState {
	return []watch.SourceState{{Name: "source-0"}, {Name: "source-1"}, {Name: "source-2"}, {Name: "source-3"}}
}

func (b *blank) Statement() watch.Statement                         { return watch.Statement{} }
func (b *blank) Account(watch.ID) (a watch.AccountBalance, ok bool) { return a, false }
func (b *blank) Snapshot(w io.Writer) error                         { return nil }
func (b *blank) Effects(dst []watch.Effect) []watch.Effect {
	dst = append(dst, b.effects...)
	b.effects = b.effects[:0]
	return dst
}

type blanks struct{ planes }

func (*blanks) New(o watch.Options) (monitor.Engine, error) { return &blank{past: o.Past}, nil }

func (*blanks) Restore(_ io.Reader, o watch.Options) (monitor.Engine, error) {
	return &blank{past: o.Past}, nil
}

// BenchmarkObserve is the way of observations to a disk: four sources, 1,000 at a time.
func BenchmarkObserve(b *testing.B) {
	r := newRig(b, func(o *monitor.Options) { o.FS, o.Dir, o.Engines = vfs.Default, b.TempDir(), &blanks{} })
	r.up()
	const sources, size = 4, 1000
	var next atomic.Int64
	b.ResetTimer()
	var all sync.WaitGroup
	for s := range sources {
		all.Add(1)
		go func() {
			defer all.Done()
			name := fmt.Sprint("source-", s)
			for seq := uint64(1); next.Add(size) <= int64(b.N)+size; seq += size {
				if _, err := r.Observe(b.Context(), name, seq, orders(uint64(s)<<40+seq, uint64(s)<<40+seq+size-1)); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
