package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run of benchmarks found.
type Report struct {
	Version    string    `json:"version"` // of the program under test
	Began      time.Time `json:"began"`
	Machine    Machine   `json:"machine"`
	Durability string    `json:"durability"` // what an acknowledgement meant
	Accounts   int       `json:"accounts"`
	Results    []Result  `json:"results"`
}

// Result is one shape's.
type Result struct {
	Shape    string    `json:"shape"`
	What     string    `json:"what"`
	Measures []Measure `json:"measures"` // first those that something was asked of
	// Load is the load in detail, where the shape has one.
	Load *Load `json:"load,omitempty"`
}

// Load is how a sustained load went.
type Load struct {
	Clients              int     `json:"clients"`
	Connections          int     `json:"connections"`
	TransfersPerCall     int     `json:"transfers_per_call"`
	Seconds              float64 `json:"seconds"` // the window
	Calls                uint64  `json:"calls"`
	Transfers            uint64  `json:"transfers"`
	PerSecond            float64 `json:"transfers_per_second"`
	P50                  float64 `json:"p50_ms"` // of a call
	P99                  float64 `json:"p99_ms"`
	P999                 float64 `json:"p999_ms"`
	Max                  float64 `json:"max_ms"`
	ServerCPU            float64 `json:"server_cpu_us_per_transfer"`
	ClientCPU            float64 `json:"client_cpu_us_per_transfer"`
	ResidentMB           float64 `json:"server_resident_mb"`      // at the end
	PeakMB               float64 `json:"server_peak_resident_mb"` // 0: unknown
	IndexLagBlocks       uint64  `json:"index_lag_blocks"`        // at the end
	IndexLagSeconds      float64 `json:"index_lag_seconds"`       // from the last answer until queries saw everything
	QuietSeconds         float64 `json:"quiet_seconds"`           // from the last answer until compaction was through
	PerSecondUntilQuiet  float64 `json:"transfers_per_second_until_quiet"`
	AcknowledgedAndFound uint64  `json:"acknowledged_and_found"` // all transfers sent, the warm-up's too
}

// Measure is one number, and what was asked of it.
type Measure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value"`
	AtLeast float64 `json:"at_least,omitempty"` // 0: nothing was asked
	Aim     float64 `json:"aim,omitempty"`      // 0: no further aim
	Less    bool    `json:"less_is_better,omitempty"`
}

// Verdict compares the value with what was asked.
func (m Measure) Verdict() string {
	reaches := func(bar float64) bool { return m.Value >= bar && !m.Less || m.Value <= bar && m.Less }
	switch {
	case m.AtLeast == 0 && m.Aim == 0:
		return ""
	case m.AtLeast != 0 && !reaches(m.AtLeast):
		return "MISSED"
	case m.Aim != 0 && !reaches(m.Aim):
		return "below the aim"
	}
	return "met"
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as tables.
func (r *Report) WriteText(w io.Writer) error {
	m := &r.Machine
	accounts := ""
	if r.Accounts > 0 {
		accounts = number(float64(r.Accounts)) + " accounts\n"
	}
	if _, err := fmt.Fprintf(w, "%s · %s · %d cores · %.0f GB · Linux %s · %s · fdatasync 4 KiB p50 %.2f ms, p99 %.2f ms\n%s\n%s\n",
		r.Version, m.Processor, m.Cores, m.MemoryGB, m.Kernel, m.FileSystem, m.SyncP50, m.SyncP99, r.Durability, accounts); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "shape\tmeasure\tmeasured\tat least\taim\tverdict\t")
	for i := range r.Results {
		for _, m := range r.Results[i].Measures {
			_, _ = fmt.Fprintf(t, "%s\t%s (%s)\t%s\t%s\t%s\t%s\t\n", r.Results[i].Shape, m.Name, m.Unit, number(m.Value), m.bar(m.AtLeast), m.bar(m.Aim), m.Verdict())
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if !slices.ContainsFunc(r.Results, func(r Result) bool { return r.Load != nil }) {
		return nil
	}
	_, _ = fmt.Fprintln(t, "\nshape\ttransfers/s\tp50 ms\tp99 ms\tp999 ms\tmax ms\tserver µs\tclient µs\tpeak MB\tindex lag s\tquiet after s\t")
	for i := range r.Results {
		if l := r.Results[i].Load; l != nil {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t%.1f\t\n", r.Results[i].Shape, number(l.PerSecond), l.P50, l.P99, l.P999, l.Max,
				l.ServerCPU, l.ClientCPU, l.PeakMB, l.IndexLagSeconds, l.QuietSeconds)
		}
	}
	return t.Flush()
}

func (m Measure) bar(v float64) string {
	if v == 0 {
		return "–"
	}
	if m.Less {
		return "≤ " + number(v)
	}
	return number(v)
}

// number writes large ones with thousands separators and small ones with three digits.
func number(v float64) string {
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(max(1, math.Abs(v)))))), 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mb(bytes uint64) float64 { return float64(bytes) / 1e6 }
