// Command journalbench compares what a cell's local journal could stand on: Pebble's write-ahead log, HashiCorp's
// raft-wal and store/local. Every append is made durable before the next one starts, as a cell does it. The engines
// take turns, so that a change in the machine's other load meets all of them. It writes its results as JSON; docs/adr
// has the decision. It is a module of its own, so that the engines not chosen stay out of the product.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	wal "github.com/hashicorp/raft-wal"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

// engine appends blocks; append returns once the block is durable. read returns nil where there is no block.
type engine interface {
	append(b *journal.Block) error
	read(seq uint64) ([]byte, error)
	close() error
}

type result struct {
	Engine    string  `json:"engine"`
	Bytes     int     `json:"block_bytes"`
	Appends   int     `json:"appends"`
	MeanUS    float64 `json:"mean_us"`
	P50US     float64 `json:"p50_us"`
	P99US     float64 `json:"p99_us"`
	P999US    float64 `json:"p999_us"`
	MaxUS     float64 `json:"max_us"`
	MBPerS    float64 `json:"mb_per_s"`
	CPUPerOp  float64 `json:"cpu_us_per_append"`
	durations []time.Duration
	cpu       time.Duration
}

type report struct {
	Machine string    `json:"machine"`
	Go      string    `json:"go"`
	Results []*result `json:"results"`
	Flips   []*flips  `json:"flipped_bits"`
}

func main() {
	dir := flag.String("dir", os.TempDir(), "folder on the disk to measure")
	each := flag.Duration("each", time.Second, "time of one turn of an engine")
	rounds := flag.Int("rounds", 3, "turns of each engine and size")
	out := flag.String("out", "", "file for the results, - for standard output")
	machine := flag.String("machine", "", "description of the machine and its disk")
	only := flag.String("only", "local,pebble,raft-wal", "engines to run")
	count := flag.Int("flips", 200, "bits to flip in the journal of each engine")
	flag.Parse()
	if err := run(*dir, *each, *rounds, *count, *out, *machine, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "journalbench:", err)
		os.Exit(1)
	}
}

func run(dir string, each time.Duration, rounds, count int, out, machine string, engines []string) error {
	r := report{Machine: fmt.Sprintf("%s, %d CPUs", machine, runtime.NumCPU()), Go: runtime.Version()}
	// Transfers in a block, so that its bytes come near 4 KiB, 64 KiB and 1 MiB.
	for _, transfers := range []int{29, 509, 8187} {
		results := make(map[string]*result)
		for range rounds {
			for _, name := range engines {
				if results[name] == nil {
					results[name] = &result{Engine: name}
					r.Results = append(r.Results, results[name])
				}
				if err := turn(dir, name, transfers, each, results[name]); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	for _, x := range r.Results {
		x.finish()
		fmt.Fprintf(os.Stderr, "%-9s %8d B  %6d appends  mean %7.0f  p50 %7.0f  p99 %7.0f  p999 %7.0f  max %8.0f us  %6.1f MB/s  cpu %6.0f us\n",
			x.Engine, x.Bytes, x.Appends, x.MeanUS, x.P50US, x.P99US, x.P999US, x.MaxUS, x.MBPerS, x.CPUPerOp)
	}
	for _, name := range engines {
		f, err := flip(dir, name, count)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Flips = append(r.Flips, f)
		fmt.Fprintf(os.Stderr, "%-9s %+v\n", name, *f)
	}
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if out == "-" {
		_, err = os.Stdout.Write(b)
		return err
	}
	return os.WriteFile(out, b, 0o644)
}

// turn runs an engine on an empty folder for a while. Making the blocks isn't timed.
func turn(dir, name string, transfers int, each time.Duration, r *result) error {
	dir, err := os.MkdirTemp(dir, "journalbench-")
	if err != nil {
		return err
	}
	e, err := start(name, dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	w := celltest.Writer{Cell: 1, Epoch: 1, Incarnation: 1}
	var prev journal.Hash
	var spent time.Duration
	for seq := uint64(1); spent < each; seq++ {
		b := w.Block(seq, prev, transfers)
		before := cpuTime()
		start := time.Now()
		if err := e.append(b); err != nil {
			return errors.Join(err, e.close(), os.RemoveAll(dir))
		}
		took := time.Since(start)
		if seq > 1 { // the first one waits for files to be made
			r.cpu += cpuTime() - before
			r.durations = append(r.durations, took)
			spent += took
		}
		r.Bytes = len(b.Raw)
		prev = b.Hash
	}
	return errors.Join(e.close(), os.RemoveAll(dir))
}

func (r *result) finish() {
	d := r.durations
	slices.Sort(d)
	var sum time.Duration
	for _, x := range d {
		sum += x
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	at := func(q float64) float64 { return us(d[int(q*float64(len(d)-1))]) }
	r.Appends = len(d)
	r.MeanUS, r.P50US, r.P99US, r.P999US, r.MaxUS = us(sum)/float64(len(d)), at(0.5), at(0.99), at(0.999), at(1)
	r.MBPerS = float64(r.Bytes) * float64(len(d)) / sum.Seconds() / 1e6
	r.CPUPerOp = us(r.cpu) / float64(len(d))
}

func start(name, dir string) (engine, error) {
	return open(name, dir, local.DefaultSegmentSize, 64<<20)
}

// startSmall keeps the files small, so that they are quickly copied.
func startSmall(name, dir string) (engine, error) { return open(name, dir, 1<<20, 1<<20) }

func open(name, dir string, localSegment, raftSegment int) (engine, error) {
	switch name {
	case "local":
		s, err := local.Open(dir, local.Options{Cell: 1, SegmentSize: int64(localSegment)})
		return localEngine{s}, err
	case "pebble":
		db, err := pebble.Open(dir, &pebble.Options{
			MemTableSize: 64 << 20, DisableAutomaticCompactions: true, Logger: quiet{},
			L0CompactionThreshold: 1 << 20, L0StopWritesThreshold: 1 << 20,
			FormatMajorVersion: pebble.FormatNewest,
		})
		return pebbleEngine{db}, err
	case "raft-wal":
		w, err := wal.Open(dir, wal.WithSegmentSize(raftSegment))
		return raftEngine{w}, err
	}
	return nil, fmt.Errorf("no engine of this name; there are local, pebble and raft-wal")
}
