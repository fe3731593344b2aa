package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Sizes of the work that is compared.
const (
	cpuWork   = 1000 // million steps
	requests  = 8000
	floodSize = 20_000 // files
)

// numbers are what the work printed.
func numbers(out string, want int) ([]float64, error) {
	fields := strings.Fields(out)
	if len(fields) != want {
		return nil, fmt.Errorf("the work printed %q; %d numbers are wanted", out, want)
	}
	all := make([]float64, want)
	for n, f := range fields {
		var err error
		if all[n], err = strconv.ParseFloat(f, 64); err != nil {
			return nil, fmt.Errorf("the work printed %q: %w", out, err)
		}
	}
	return all, nil
}

// turns runs work in turn in sandboxes of some policies and under runc, and returns one of the numbers that it printed,
// by kind.
func (b *benchmark) turns(ctx context.Context, work []string, kinds map[string]string, want, which int) (map[string][]float64, error) {
	values := map[string][]float64{}
	for n := range max(1, b.rounds/3) {
		for kind, more := range kinds {
			path, err := b.policy("work", work, more)
			if err != nil {
				return nil, err
			}
			_, out, err := b.ours(ctx, path, fmt.Sprintf("work-%d", n), "--cold")
			if err != nil {
				return nil, err
			}
			all, err := numbers(out, want)
			if err != nil {
				return nil, err
			}
			values[kind] = append(values[kind], all[which]/1e6)
		}
		if b.runc == "" {
			continue
		}
		_, out, err := b.underRunc(ctx, work...)
		if err != nil {
			return nil, err
		}
		all, err := numbers(out, want)
		if err != nil {
			return nil, err
		}
		values["runc_ms"] = append(values["runc_ms"], all[which]/1e6)
	}
	return values, nil
}

func (b *benchmark) cpu(ctx context.Context) ([]benchRow, error) {
	if b.runc == "" {
		return nil, nil
	}
	times, err := b.turns(ctx, []string{"/program", "bench-work", "cpu", strconv.Itoa(cpuWork)}, map[string]string{"sandbox_ms": ""}, 1, 0)
	if err != nil {
		return nil, err
	}
	row := benchRow{Name: "work of the processor ÷ runc", Least: 1.05, Aim: 1.02, Parts: medians(times)}
	row.Value = row.Parts["sandbox_ms"] / row.Parts["runc_ms"]
	return []benchRow{row.judged(false)}, nil
}

// service measures a service that reads a file for each request, and does nothing else, with clients in the same
// container that ask as fast as they are answered. All processors are busy, and runc's does several times as many requests
// a second, so the latencies are of different loads: nothing is asked of them. See payments.
func (b *benchmark) service(ctx context.Context) ([]benchRow, error) {
	if b.runc == "" {
		return nil, nil
	}
	times, err := b.turns(ctx, []string{"/program", "bench-work", "serve", strconv.Itoa(requests)}, map[string]string{
		"least_recorded_ms": "", "all_recorded_ms": "audit: {events: [file, network, identity]}",
	}, 3, 2)
	if err != nil {
		return nil, err
	}
	row := benchRow{Name: "p99 of HTTP and nothing else, saturated, client inside ÷ runc", Aside: true, Parts: medians(times)}
	row.Value = row.Parts["least_recorded_ms"] / row.Parts["runc_ms"]
	return []benchRow{row}, nil
}

// drops counts events that are neither in the record nor counted there as lost.
func (b *benchmark) drops(ctx context.Context) ([]benchRow, error) {
	row := benchRow{Name: "unreported drops", Parts: map[string]float64{}}
	for _, behind := range []string{"slow", "record"} {
		path, err := b.policy("flood", []string{"/program", "bench-work", "flood", strconv.Itoa(floodSize)}, "audit: {events: [file], when_behind: "+behind+"}")
		if err != nil {
			return nil, err
		}
		id := "flood-" + behind
		if _, _, err := b.timed(exec.CommandContext(ctx, b.runner.Program, "run", path, "--id", id, "--cold", "--state", b.runner.State)); err != nil {
			return nil, err
		}
		f, err := b.runner.OpenRecord(id)
		if err != nil {
			return nil, err
		}
		opened := 0
		report, _, err := trail.Verify(f, func(r trail.Record) error {
			if r.Kind == trail.KindEvent && strings.Contains(string(r.Body), `"/nothing"`) {
				opened++
			}
			return nil
		})
		if err = errors.Join(err, f.Close(), b.runner.Remove(id)); err != nil {
			return nil, err
		}
		row.Value += max(0, float64(floodSize)-float64(opened)-float64(report.Lost))
		row.Parts[behind+"_recorded"], row.Parts[behind+"_lost"] = float64(opened), float64(report.Lost)
	}
	return []benchRow{row.judged(false)}, nil
}
