package main

import (
	"context"
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
	Case        string    `json:"case"`
	Subject     string    `json:"subject"`
	Connections int       `json:"connections"`        // of gRPC: calls at a time, on grpcConnections connections
	CPUMicros   float64   `json:"cpu_us_per_request"` // of all proxy processes; of proxyless: of client and server
	PerSecond   float64   `json:"requests_per_second"`
	P50Micros   float64   `json:"p50_us"`
	P99Micros   float64   `json:"p99_us"`
	Errors      int       `json:"errors"`
	Ratio       float64   `json:"cpu_ratio_to_haproxy,omitempty"`
	Rounds      []float64 `json:"cpu_us_rounds"`
	// IdleMB is the resident memory with 1,000 idle connections, in MB; measured once, for l7.
	IdleMB float64 `json:"idle_1000_mb,omitempty"`

	p50 []float64 // of the rounds
}

func main() {
	role := flag.String("role", "", "what the run starts itself as")
	config := flag.String("config", "", "configuration of the role")
	out := flag.String("out", "", "file for the report; empty: standard output")
	rounds := flag.Int("rounds", 3, "times that each measurement is made")
	span := flag.Duration("span", time.Second, "length of one measurement")
	cases := flag.String("cases", "", "which to measure, separated by commas: "+strings.Join(allCases, ", ")+"; empty: all")
	beside := flag.String("beside", "", "another build of this command, whose proxy is measured in the same rounds")
	sterling := flag.String("sterling", "", "the sterling program, for cases with a control plane; empty: it is built")
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
		err = serveGRPC(*config)
	case "grpc-caller":
		err = serveCalls(*config)
	default:
		err = measure(*out, plan{*rounds, *span, *cases, *beside, *sterling})
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
	// Programs: another build of this command, "" for none, and sterling, "" to build it.
	beside, sterlingPath string
}

// allCases is what a run can measure. The first four are of the proxy alone, beside HAProxy and nginx.
var allCases = []string{"l7", "mtls-pair", "l4", "grpc", "overload", "proxyless", "memory", "policy", "upgrade"}

// has tells whether the run measures any of the cases.
func (p *plan) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return p.cases == "" || slices.Contains(strings.Split(p.cases, ","), name) })
}

func (p *plan) check() error {
	for name := range strings.SplitSeq(p.cases, ",") {
		if name != "" && !slices.Contains(allCases, name) {
			return fmt.Errorf("-cases: want some of %s, not %q", strings.Join(allCases, ", "), name)
		}
	}
	return nil
}

// longest is how long a run may take.
const longest = 4 * time.Minute

// measure makes the run and writes the report.
func measure(out string, p plan) error {
	if err := p.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-mesh-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	late := time.AfterFunc(longest, func() {
		fmt.Fprintln(os.Stderr, "bench mesh: not done after", longest)
		os.Exit(1) // what it has started ends with it
	})
	defer late.Stop()
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

// run measures all cases of the plan, and ends what it has started.
func run(dir string, p plan) (r *Report, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &fleet{dir: dir, plan: p, ctx: ctx}
	defer func() {
		cancel()
		f.keeping.Wait()
		err = errors.Join(err, f.end())
	}()
	if err := f.certificates(); err != nil {
		return nil, err
	}
	backend, err := f.self("backend", "")
	if err != nil {
		return nil, err
	}
	r = &Report{When: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Rounds: p.rounds, Span: p.span.String(), LoadBefore: loadAverage()}
	for _, one := range []struct {
		measured bool
		measure  func() error
	}{
		{p.has(allCases[:4]...), func() error { return f.proxies(r, backend) }},
		{p.has("overload"), func() error { return f.overload(r) }},
		{p.has("proxyless", "memory", "policy"), func() error { return f.meshed(r, backend) }},
		{p.has("upgrade"), func() error { return f.upgrade(r, backend) }},
	} {
		if one.measured {
			if err := one.measure(); err != nil {
				return nil, err
			}
		}
	}
	r.LoadAfter = loadAverage()
	return r, nil
}

// proxies measures our proxy beside others in turn, round by round.
func (f *fleet) proxies(r *Report, backend string) error {
	calls, err := f.self("grpc-backend", "")
	if err != nil {
		return err
	}
	var subjects []*subject
	if subjects, r.Skipped, err = f.subjects(backend, calls); err != nil {
		return err
	}
	measured := map[string]*Result{}
	var keys []string
	for range f.rounds {
		for _, s := range subjects {
			for _, n := range s.connections {
				one, err := s.measure(n, f.span)
				if err != nil {
					return err
				}
				key := fmt.Sprintf("%s/%d/%s", s.name, n, s.subject)
				if measured[key] == nil {
					measured[key] = &Result{Case: s.name, Subject: s.subject, Connections: n}
					keys = append(keys, key)
				}
				measured[key].add(one)
			}
		}
	}
	for _, s := range subjects {
		if s.name == "l7" {
			if err := s.idleMemory(measured["l7/1/"+s.subject]); err != nil {
				return err
			}
		}
	}
	for _, m := range measured {
		m.settle()
	}
	slices.Sort(keys)
	for _, key := range keys {
		m := measured[key]
		if base := measured[fmt.Sprintf("%s/%d/haproxy", m.Case, m.Connections)]; base != nil && base.CPUMicros > 0 {
			m.Ratio = m.CPUMicros / base.CPUMicros
			if m.Subject == "sterling" {
				r.compare(m, base)
			}
		}
		r.Results = append(r.Results, *m)
	}
	return nil
}

// compare judges our proxy by HAProxy.
func (r *Report) compare(m, base *Result) {
	bounds := map[string][2]float64{"l7": {1.3, 1.0}, "mtls-pair": {1.2, 1.0}, "l4": {1.6, 1.2}}
	name := fmt.Sprintf("%s, %d connections: CPU / HAProxy", m.Case, m.Connections)
	b, asked := bounds[m.Case]
	switch {
	case !asked:
		r.row(name, m.Ratio, "ratio")
	case m.Connections == 1:
		r.most("l7, 1 connection: median latency / HAProxy", m.P50Micros/base.P50Micros, "ratio", 3, 2)
		r.most(name, m.Ratio, "ratio", 3, 2)
	default:
		r.most(name, m.Ratio, "ratio", b[0], b[1])
	}
}

// meshed measures what needs a control plane.
func (f *fleet) meshed(r *Report, backend string) error {
	p, err := f.plane(backend, time.Hour)
	if err != nil {
		return err
	}
	if f.has("proxyless", "policy") {
		// The calls of a policy need a server, which is the one of the comparison.
		if err := f.proxyless(r, p); err != nil {
			return err
		}
	}
	if f.has("memory") {
		if err := p.memory(r); err != nil {
			return err
		}
	}
	if !f.has("policy") {
		return nil
	}
	if err := p.direct(r); err != nil {
		return err
	}
	return p.proxied(r)
}

// add takes in one round.
func (r *Result) add(one Result) {
	r.Rounds, r.p50 = append(r.Rounds, one.CPUMicros), append(r.p50, one.P50Micros)
	r.Errors += one.Errors
	if one.PerSecond > r.PerSecond {
		r.PerSecond, r.P99Micros = one.PerSecond, one.P99Micros
	}
}

// settle makes medians of the rounds: of processor time and of the median latency. The rest is the best round's.
func (r *Result) settle() {
	slices.Sort(r.Rounds)
	slices.Sort(r.p50)
	r.CPUMicros, r.P50Micros = r.Rounds[len(r.Rounds)/2], r.p50[len(r.p50)/2]
}
