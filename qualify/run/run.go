package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/qualify"
)

// Qualify qualifies an engine. A report, whatever its verdict, comes without an error; an error means that there is
// none: the configuration is wrong (ErrConfig), the engine was not to be reached, or ctx ended.
func Qualify(ctx context.Context, c Config) (report *qualify.Report, err error) {
	list, err := c.complete()
	if err != nil {
		return nil, err
	}
	r := &runner{Config: c, plan: c.plan()}
	r.report = &qualify.Report{Format: qualify.Format, Version: c.Version, Began: time.Now().UTC(), Started: c.Start != ""}
	r.tell(Step{Title: "Preparing"})
	r.target, err = open(ctx, &r.Config, list)
	defer func() { err = errors.Join(err, r.target.close()) }()
	if err != nil {
		return nil, err
	}
	if r.report.Machine, err = bench.Describe(r.target.folder); err != nil {
		return nil, err
	}
	for _, a := range r.target.addresses {
		r.report.Address = append(r.report.Address, a.String())
	}
	r.describe()
	sections := r.sections()
	for i, s := range sections {
		if err := r.section(ctx, i+1, len(sections), s); err != nil {
			return nil, err
		}
	}
	r.report.Ended = time.Now().UTC()
	r.report.Conclude()
	return r.report, nil
}

// runner makes one report.
type runner struct {
	Config
	plan   plan
	target *target
	report *qualify.Report
	mu     sync.Mutex // one call of Progress at a time
}

func (r *runner) tell(s Step) {
	if r.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Progress(s)
}

// work is one section: what it is, and how its checks are made. limit is what it may take.
type work struct {
	id, title, method string
	limit             time.Duration
	run               func(ctx context.Context, s *qualify.Section, p qualify.Progress) error
}

// section makes one section. That it could not be made, or not in time, is a failed check.
func (r *runner) section(ctx context.Context, number, of int, w work) error {
	s := qualify.Section{ID: w.id, Title: w.title, Method: w.method, Began: time.Now().UTC()}
	step := Step{Number: number, Of: of, Title: w.title}
	r.tell(step)
	limited, cancel := context.WithTimeoutCause(ctx, w.limit, fmt.Errorf("not done within %v", w.limit))
	err := w.run(limited, &s, func(fraction float64, text string) {
		step := step
		step.Fraction, step.Text = fraction, text
		r.tell(step)
	})
	if err != nil && limited.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(limited), err)
	}
	cancel()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", w.title, context.Cause(ctx))
	}
	if err != nil {
		s.Add(false, qualify.Check{
			ID: w.id + ".made", Title: "The section could be made", Found: err.Error(), Wanted: "no error",
			Why: "what could not be shown is no success",
		})
	}
	s.Seconds = time.Since(s.Began).Seconds()
	r.report.Sections = append(r.report.Sections, s)
	step.Fraction, step.Ended, step.Failed = 1, true, len(s.Failed())
	r.tell(step)
	return nil
}

// describe notes what the run was told to do.
func (r *runner) describe() {
	p := &r.plan
	set := func(name, format string, args ...any) {
		r.report.Settings = append(r.report.Settings, qualify.Setting{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	kind := "full"
	if r.Quick {
		kind = "quick: shorter, with less data"
	}
	set("Kind of run", "%s", kind)
	kills := ""
	if r.target.Server != nil {
		kills = fmt.Sprintf("; kills: %d", p.kills)
	}
	set("Contention", "%d writers for %v%s", p.writers, p.contend, kills)
	if r.target.Dialect == qualify.Local {
		return
	}
	set("TPC-C", "%d warehouses of %d customers a district and %d items, for %v; seed %d",
		p.tpcc.Scale.Warehouses, p.tpcc.Scale.Customers, p.tpcc.Scale.Items, p.tpcc.Duration, p.tpcc.Seed)
}
