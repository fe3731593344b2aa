package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measure calls the services in turn, each round beginning with another one. Medians are of the rounds.
func (p *payBench) measure(ctx context.Context) (map[string]float64, error) {
	kinds := slices.Sorted(maps.Keys(p.sockets))
	values, duration := map[string][]float64{}, time.Second
	for round := range p.rounds + 1 { // the first to warm up
		for n := range kinds {
			kind := kinds[(n+round)%len(kinds)]
			l := &openLoad{socket: p.sockets[kind], rate: payRate, connections: payConnections, duration: duration, request: p.request, status: http.StatusCreated}
			before := processorTime()
			took, err := l.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("call the service %s: %w", kind, err)
			}
			busy := processorTime().since(before)
			if round == 0 {
				continue
			}
			for name, value := range map[string]float64{"_p50_ms": milliseconds(took[len(took)/2]), "_p99_ms": milliseconds(took[len(took)*99/100]), "_busy": busy} {
				values[kind+name] = append(values[kind+name], value)
			}
		}
		duration = payTime
	}
	parts := medians(values) // sorts them
	for _, kind := range kinds {
		all := values[kind+"_p99_ms"]
		parts[kind+"_p99_lowest_ms"], parts[kind+"_p99_highest_ms"] = all[0], all[len(all)-1]
	}
	return parts, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// request is the next payment.
func (p *payBench) request() []byte {
	body := fmt.Appendf(nil, `{"id":"%d","from":"100","to":"101","amount":"12.34","asset":"CNY/2"}`, p.next.Add(1))
	return fmt.Appendf(nil, "POST /payments HTTP/1.1\r\nHost: pay\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// processors is how long the host's were busy, and there, in ticks.
type processors struct{ busy, all float64 }

// processorTime reads the first line of /proc/stat: user, nice, system, idle, waiting for a disk, interrupts, stolen.
func processorTime() (t processors) {
	text, _ := os.ReadFile("/proc/stat") // nothing is known then
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 { // those of guests are in user's
			continue
		}
		t.all += n
		if i != 4 && i != 5 {
			t.busy += n
		}
	}
	return t
}

// since is the share of the time that they were busy.
func (t processors) since(before processors) float64 {
	return (t.busy - before.busy) / max(1, t.all-before.all)
}
