package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// A first node does worse if at least riseFailures calls failed while it was watched, and their share is more than
// risePercent points above what it was lately.
const (
	riseFailures = 5
	risePercent  = 5
)

// first returns the node that gets a generation first: one that it changes anything for, and that has calls to judge it
// by, if there is such a one; the first by name of those that are as good. false: all have been tried.
func (p *Plane) first(next *generation, tried map[string]bool) (string, bool) {
	p.mu.Lock()
	current := p.current
	streams := slices.Collect(maps.Keys(p.streams))
	p.mu.Unlock()
	type candidate struct {
		node string
		rank int // lower is better
	}
	var list []candidate
	for _, s := range streams {
		if tried[s.node] {
			continue
		}
		c := candidate{s.node, 2}
		if current == nil || changes(current, next, s) {
			c.rank = 1
			if h, reports := p.reports.health(s.node, p.Clock.Mono()); reports && h.lately.Requests() > 0 {
				c.rank = 0
			}
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return "", false
	}
	return slices.MinFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.node, b.node)) }).node, true
}

// changes tells whether a data plane would get anything else by next. One that can't be told is taken for changed.
func changes(current, next *generation, s *stream) bool {
	before, err := current.resources(s.id, s.kind)
	after, err2 := next.resources(s.id, s.kind)
	if errors.Join(err, err2) != nil {
		return true
	}
	return !maps.EqualFunc(before, after, func(a, b map[string]resource) bool {
		return maps.EqualFunc(a, b, func(a, b resource) bool { return a.hash == b.hash })
	})
}

// onlyCallers tells whether next differs from what is in use only in who is who, and who may call what. That is not
// watched: a caller that is to be kept out must not get in for as long as a watch takes.
func (p *Plane) onlyCallers(next *generation) bool {
	p.mu.Lock()
	current := p.current
	p.mu.Unlock()
	return current != nil && reflect.DeepEqual(withoutCallers(current.snapshot), withoutCallers(next.snapshot))
}

func withoutCallers(s *mesh.Snapshot) *mesh.Snapshot {
	out := &mesh.Snapshot{Domain: s.Domain, Cells: s.Cells, Services: slices.Clone(s.Services)}
	for i := range out.Services {
		out.Services[i].Inbound = mesh.Inbound{Shadow: out.Services[i].Inbound.Shadow}
	}
	return out
}

// watch returns an error as soon as a node fails more of its calls than before, refuses or goes away; nil after
// p.Watch.
func (p *Plane) watch(ctx context.Context, node string, number uint64, before health) error {
	usual := before.lately
	if usual.Requests() < riseFailures {
		usual = before.all
	}
	late, stop := p.Clock.After(p.Watch)
	defer stop()
	for over := false; ; {
		arrived, progress := p.reports.arrived.wait(), p.progress.wait()
		_, found, err := p.answers(node, number)
		switch {
		case err != nil:
			return err
		case !found:
			return errors.New("it went away")
		}
		if now, reports := p.reports.health(node, p.Clock.Mono()); reports {
			if now.started != before.started { // by another process in its place
				before.started, before.all = now.started, mesh.Calls{}
			}
			calls := now.all.Since(&before.all)
			if rose(&usual, &calls) {
				return fmt.Errorf("%d of %d calls failed, and %d of %d before it had it",
					calls.Failed(), calls.Requests(), usual.Failed(), usual.Requests())
			}
		}
		if over {
			return nil
		}
		select {
		case <-arrived:
		case <-progress:
		case <-late:
			over = true
		case <-ctx.Done():
			return fmt.Errorf("watch it for %s: %w", p.Watch.Round(time.Millisecond), ctx.Err())
		}
	}
}

func rose(before, now *mesh.Calls) bool {
	share := func(c *mesh.Calls) float64 { return 100 * float64(c.Failed()) / float64(max(c.Requests(), 1)) }
	return now.Failed() >= riseFailures && share(now) > share(before)+risePercent
}
