package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	When   time.Time `json:"when"`
	Cores  int       `json:"cores"`
	Go     string    `json:"go"`
	Rounds int       `json:"rounds"`
	Span   string    `json:"span"` // of one measurement
	// Load is the machine's load average of one minute, before and after: other work distorts results.
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
	// Rows are the table of what is asked.
	Rows    []Row    `json:"rows"`
	Results []Result `json:"results"`
	Notes   []string `json:"notes,omitempty"`
	// Skipped are the subjects that could not run, with the reason.
	Skipped []string `json:"skipped,omitempty"`
}

// Result is the median of the rounds.
type Result struct {
	Case        string    `json:"case"` // l7, mtls-pair, l4, grpc
	Subject     string    `json:"subject"`
	Connections int       `json:"connections"`        // of grpc: calls at a time, on grpcConnections connections
	CPUMicros   float64   `json:"cpu_us_per_request"` // of all proxy processes
	PerSecond   float64   `json:"requests_per_second"`
	P50Micros   float64   `json:"p50_us"`
	P99Micros   float64   `json:"p99_us"`
	Errors      int       `json:"errors"`
	Ratio       float64   `json:"cpu_ratio_to_haproxy,omitempty"`
	Rounds      []float64 `json:"cpu_us_rounds"`
	// IdleMB is the resident memory with 1,000 idle connections, in MB; measured once, for l7.
	IdleMB float64 `json:"idle_1000_mb,omitempty"`
}

func main() {
	role := flag.String("role", "", "proxy, backend, slow-backend or grpc-backend: what the run starts itself as")
	config := flag.String("config", "", "configuration of the role")
	out := flag.String("out", "", "file for the report; empty: standard output")
	rounds := flag.Int("rounds", 3, "times that each measurement is made")
	span := flag.Duration("span", time.Second, "length of one measurement")
	cases := flag.String("cases", "", "cases to measure, separated by commas; empty: all")
	beside := flag.String("beside", "", "another build of this command, whose proxy is measured in the same rounds")
	flag.Parse()
	var err error
	switch *role {
	case "proxy":
		err = serveProxy(*config)
	case "backend":
		err = serveBackend()
	case "slow-backend":
		err = serveSlowly()
	case "grpc-backend":
		err = serveGRPC()
	default:
		err = measure(*out, plan{rounds: *rounds, span: *span, cases: *cases, beside: *beside})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench mesh:", err)
		os.Exit(1)
	}
}

// plan is what a run measures.
type plan struct {
	rounds int
	span   time.Duration // of one measurement
	cases  string
	beside string
}

// has tells whether the run measures a case.
func (p *plan) has(name string) bool {
	return p.cases == "" || slices.Contains(strings.Split(p.cases, ","), name)
}

// measure makes the run and writes the report.
func measure(out string, p plan) error {
	dir, err := os.MkdirTemp("", "bench-mesh-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	r, err := run(dir, p)
	err = errors.Join(err, os.RemoveAll(dir))
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	text = append(text, '\n')
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	if err := os.WriteFile(filepath.Clean(out), text, 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// run starts all subjects, measures them in turn, round by round, and ends them.
func run(dir string, p plan) (r *Report, err error) {
	f := &fleet{dir: dir, plan: p}
	defer func() { err = errors.Join(err, f.end()) }()
	backend, err := f.self("backend", "")
	if err != nil {
		return nil, err
	}
	r = &Report{When: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Rounds: p.rounds, Span: p.span.String(), LoadBefore: loadAverage()}
	calls, err := f.self("grpc-backend", "")
	if err != nil {
		return nil, err
	}
	subjects, skipped, err := f.subjects(backend, calls)
	if err != nil {
		return nil, err
	}
	r.Skipped = skipped
	measured := map[string]*Result{}
	var rounded []string
	for range p.rounds {
		for _, s := range subjects {
			for _, n := range s.connections {
				one, err := s.measure(n, p.span)
				if err != nil {
					return nil, err
				}
				key := fmt.Sprintf("%s/%d/%s", s.name, n, s.subject)
				if measured[key] == nil {
					measured[key] = &Result{Case: s.name, Subject: s.subject, Connections: n}
					rounded = append(rounded, key)
				}
				measured[key].add(one)
			}
		}
	}
	for _, s := range subjects {
		if s.name == "l7" && slices.Contains(s.connections, 1) {
			if err := s.idleMemory(measured[fmt.Sprintf("l7/1/%s", s.subject)]); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(rounded)
	for _, key := range rounded {
		m := measured[key]
		slices.Sort(m.Rounds)
		m.CPUMicros = m.Rounds[len(m.Rounds)/2]
		r.Results = append(r.Results, *m)
	}
	for i := range r.Results {
		m := &r.Results[i]
		if base := measured[fmt.Sprintf("%s/%d/haproxy", m.Case, m.Connections)]; base != nil && base.CPUMicros > 0 {
			m.Ratio = m.CPUMicros / base.CPUMicros
		}
	}
	if p.has("overload") {
		if err := f.overload(r, p); err != nil {
			return nil, err
		}
	}
	r.LoadAfter = loadAverage()
	return r, nil
}

// add takes in one round: processor time is kept for the median, the rest is the best round's.
func (r *Result) add(one Result) {
	r.Rounds = append(r.Rounds, one.CPUMicros)
	r.Errors += one.Errors
	if one.PerSecond > r.PerSecond {
		r.PerSecond, r.P50Micros, r.P99Micros = one.PerSecond, one.P50Micros, one.P99Micros
	}
}
