package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/sim/faults"
	"github.com/sterlingrun/sterling/watch"
)

// WatchConfig says what of the watch to measure.
type WatchConfig struct {
	Parts    []string      // names; empty: all
	Classes  []watch.Class // of the injectors; empty: all
	Cases    string        // a folder of cases; empty: none
	Seed     uint64
	Seeds    int // streams for each injector and each disturbance
	Events   int // of the soak
	Load     int // events of the throughput
	OpenKeys int
	Freezes  int
	Dir      string   // where data lies: on the disk to be measured
	Command  []string // starts a server, for the part beside; --config FILE follows
	Window   time.Duration
	Version  string
	// Progress is told how far a part is; may be nil.
	Progress func(part string, done, total uint64)
}

// DefaultWatch is the configuration of `sterling bench watch`, without Dir, Command and Version.
func DefaultWatch() WatchConfig {
	return WatchConfig{Seed: 1, Seeds: 5, Events: 1_000_000, Load: 4_000_000, OpenKeys: 1_000_000, Freezes: 200, Window: 10 * time.Second}
}

// WatchReport is what was found.
type WatchReport struct {
	Version string        `json:"version"`
	Began   time.Time     `json:"began"`
	Machine Machine       `json:"machine"`
	Results []Result      `json:"results"`
	Classes []ClassResult `json:"classes,omitempty"`
	Cases   []CaseResult  `json:"cases,omitempty"`
	Missed  int           `json:"missed"`       // faults that were not found
	False   int           `json:"false_alarms"` // breaks that are neither expected nor of an expected one's group
	Details []string      `json:"details,omitempty"`
}

// ClassResult is how the faults of one class were found.
type ClassResult struct {
	Class    watch.Class `json:"class"`
	Injected int         `json:"injected"`
	Found    int         `json:"found"`
	InTime   int         `json:"in_time"`
	False    int         `json:"false_alarms"`
	P50      float64     `json:"p50_ms"` // of the time by the watch's clock: of what is missing, since its deadline
	P99      float64     `json:"p99_ms"`
}

// CaseResult is how one case of a folder went.
type CaseResult struct {
	Case   string   `json:"case"`
	Breaks int      `json:"breaks"`
	Faults []string `json:"faults,omitempty"` // what is not as expected
}

// ErrWatch are faults that were not found, or false alarms.
var ErrWatch = errors.New("the watch missed something")

// watchBench is one run.
type watchBench struct {
	WatchConfig
	report *WatchReport
	flows  []*watch.Flow
	texts  []watch.Definition
	part   string
}

type watchPart struct {
	name, what string
	run        func(ctx context.Context, b *watchBench) ([]Measure, error)
}

func watchParts() []watchPart {
	return []watchPart{
		{"recall", "every injector's fault is found, at its root, and nothing else", recall},
		{"honest", "late, early, reordered and repeated deliveries stay silent", honest},
		{"soak", "a clean stream with late deliveries and restarts", soak},
		{"throughput", "blocks and observations through log and engine, durable", throughput},
		{"memory", "with many open keys", openKeys},
		{"freeze", "from a fault in a real cell to its alarm and its freeze", freezeTime},
		{"beside", "1 transfer a call, 128 clients, with and without the watch, in turns", beside},
	}
}

// WatchParts are the names of the parts, in their order.
func WatchParts() []string {
	var names []string
	for _, p := range watchParts() {
		names = append(names, p.name)
	}
	return names
}

func (c *WatchConfig) check() error {
	for _, name := range c.Parts {
		if !slices.Contains(WatchParts(), name) {
			return fmt.Errorf("%w: there is no part %q; there are %s", ErrConfig, name, strings.Join(WatchParts(), ", "))
		}
	}
	for _, class := range c.Classes {
		if !slices.Contains(watch.Classes(), class) {
			return fmt.Errorf("%w: there is no class %q", ErrConfig, class)
		}
	}
	for _, n := range []int{c.Seeds, c.Events, c.Load, c.OpenKeys, c.Freezes} {
		if n < 1 || n > 1_000_000_000 {
			return fmt.Errorf("%w: want 1 to 1,000,000,000, not %d", ErrConfig, n)
		}
	}
	if c.Freezes > 5_000 {
		return fmt.Errorf("%w: want up to 5,000 freezes, not %d", ErrConfig, c.Freezes)
	}
	return nil
}

// RunWatch measures. With an error the report has what was measured before it; an ErrWatch comes with all of it.
func RunWatch(ctx context.Context, c WatchConfig) (report *WatchReport, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &watchBench{WatchConfig: c, report: &WatchReport{Version: c.Version, Began: time.Now().UTC()}}
	if b.flows, err = faults.BuiltIn(); err != nil {
		return nil, err
	}
	files, err := flows.Files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b.texts = append(b.texts, watch.Definition{Name: strings.TrimSuffix(f.Name, ".yaml"), Text: string(f.Text)})
	}
	if b.Dir, err = os.MkdirTemp(c.Dir, "sterling-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.Dir)) }()
	if b.report.Machine, err = Describe(b.Dir); err != nil {
		return b.report, err
	}
	if c.Cases != "" {
		if err := b.cases(); err != nil {
			return b.report, err
		}
	}
	for _, p := range watchParts() {
		if len(c.Parts) > 0 && !slices.Contains(c.Parts, p.name) || len(c.Parts) == 0 && c.Cases != "" {
			continue
		}
		b.part = p.name
		measures, err := p.run(ctx, b)
		if err != nil {
			return b.report, fmt.Errorf("part %s: %w", p.name, err)
		}
		b.report.Results = append(b.report.Results, Result{Shape: p.name, What: p.what, Measures: measures})
	}
	if b.report.Missed+b.report.False > 0 {
		return b.report, fmt.Errorf("%w: %d faults not found, %d false alarms", ErrWatch, b.report.Missed, b.report.False)
	}
	return b.report, nil
}

func (b *watchBench) progress(done, total uint64) {
	if b.Progress != nil {
		b.Progress(b.part, done, total)
	}
}

const maxDetails = 100

// detail notes what went wrong, for people.
func (b *watchBench) detail(format string, args ...any) {
	if len(b.report.Details) < maxDetails {
		b.report.Details = append(b.report.Details, fmt.Sprintf(format, args...))
	}
}

// falseAlarms counts breaks that should not be.
func (b *watchBench) falseAlarms(where string, list []faults.Found) {
	b.report.False += len(list)
	for i := range list {
		b.detail("%s: false alarm %s in flow %q, key %s: %s", where, list[i].Class, list[i].Flow, list[i].KeyText, list[i].Summary)
	}
}

// WriteJSON writes the report as one indented object.
func (r *WatchReport) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as tables.
func (r *WatchReport) WriteText(w io.Writer) error {
	m := &r.Machine
	_, _ = fmt.Fprintf(w, "%s · %s · %d cores · %.0f GB · load %.1f · fdatasync 4 KiB p50 %.2f ms\n\n", r.Version, m.Processor, m.Cores, m.MemoryGB, m.LoadBefore, m.SyncP50)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Classes) > 0 {
		_, _ = fmt.Fprintln(t, "class\tinjected\tfound\tin time\tfalse alarms\tp50 ms\tp99 ms\t")
		for _, c := range r.Classes {
			_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.0f\t%.0f\t\n", c.Class, c.Injected, c.Found, c.InTime, c.False, c.P50, c.P99)
		}
		_, _ = fmt.Fprintln(t)
	}
	if len(r.Cases) > 0 {
		_, _ = fmt.Fprintln(t, "case\tbreaks\tas expected\t")
		for _, c := range r.Cases {
			_, _ = fmt.Fprintf(t, "%s\t%d\t%t\t\n", c.Case, c.Breaks, len(c.Faults) == 0)
		}
		_, _ = fmt.Fprintln(t)
	}
	if len(r.Results) > 0 {
		_, _ = fmt.Fprintln(t, "part\tmeasure\tmeasured\tasked\taim\tverdict\t")
	}
	for i := range r.Results {
		for _, m := range r.Results[i].Measures {
			_, _ = fmt.Fprintf(t, "%s\t%s (%s)\t%s\t%s\t%s\t%s\t\n", r.Results[i].Shape, m.Name, m.Unit, number(m.Value), m.bar(m.AtLeast), m.bar(m.Aim), m.Verdict())
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, line := range r.Details {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
