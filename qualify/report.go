package qualify

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/bench"
)

// Format is the version of the report as JSON.
const Format = 1

// Setting is one thing that a run was told to do.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Report is what a qualification found. Its verdict is Fit, with Reasons.
type Report struct {
	Format   int           `json:"format"`
	Version  string        `json:"sterling"` // of this program
	Began    time.Time     `json:"began"`
	Ended    time.Time     `json:"ended"`
	Engine   string        `json:"engine"`    // with its version
	Address  []string      `json:"addresses"` // of its nodes, without passwords
	Started  bool          `json:"started"`   // by the qualification, which could therefore kill it
	Machine  bench.Machine `json:"machine"`   // that the qualification ran on
	Settings []Setting     `json:"settings"`  // of the run
	Sections []Section     `json:"sections"`
	Limits   []string      `json:"limits"` // of all that was shown
	Fit      bool          `json:"fit"`
	Reasons  []string      `json:"reasons"` // what makes it unfit
}

// Conclude judges the sections: an engine is fit if every section has a check and no check failed.
func (r *Report) Conclude() {
	r.Reasons, r.Limits = []string{}, []string{}
	if len(r.Sections) == 0 {
		r.Reasons = append(r.Reasons, "nothing was checked")
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		if len(s.Checks) == 0 {
			r.Reasons = append(r.Reasons, s.Title+": nothing was checked")
		}
		for _, c := range s.Failed() {
			reason := fmt.Sprintf("%s: %s", c.Title, c.Found)
			if c.Wanted != "" {
				reason += "; wanted: " + c.Wanted
			}
			r.Reasons = append(r.Reasons, reason)
		}
		for _, limit := range s.Limits {
			if !slices.Contains(r.Limits, limit) {
				r.Limits = append(r.Limits, limit)
			}
		}
	}
	r.Fit = len(r.Reasons) == 0
}

// Verdict is the report's last word.
func (r *Report) Verdict() string {
	if r.Fit {
		return "FIT"
	}
	return "UNFIT"
}

// Sentence says what the verdict means.
func (r *Report) Sentence() string {
	if r.Fit {
		return r.Engine + " may hold money, within the limits below."
	}
	return r.Engine + " may not hold money as it is."
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Counts are how many checks ended how.
func (r *Report) Counts() map[Outcome]int {
	n := map[Outcome]int{}
	for _, s := range r.Sections {
		for _, c := range s.Checks {
			n[c.Outcome]++
		}
	}
	return n
}

// Disk says how fast the machine's disk is.
func (r *Report) Disk() string {
	m := &r.Machine
	return fmt.Sprintf("%s; a write and its fdatasync: 4 KiB p50 %.2f ms, p99 %.2f ms; 1 MiB p50 %.2f ms, p99 %.2f ms", m.FileSystem, m.SyncP50, m.SyncP99, m.BlockP50, m.BlockP99)
}

// Computer describes the machine in one line.
func (r *Report) Computer() string {
	m := &r.Machine
	return fmt.Sprintf("%s, %d cores, %.0f GB, Linux %s; load before %.2f", m.Processor, m.Cores, m.MemoryGB, m.Kernel, m.LoadBefore)
}

// Took is how long the qualification took.
func (r *Report) Took() time.Duration { return r.Ended.Sub(r.Began).Round(time.Second) }
