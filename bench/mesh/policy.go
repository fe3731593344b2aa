package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// flips is how often the policy is changed for each data plane.
const flips = 120

// policy measures the time from a new file of desired state to the first call that a data plane judges by it.
func (p *plane) policy(r *Report, name string, allowed func() (bool, error)) error {
	var took []time.Duration
	for i := range flips {
		want := i%2 == 1
		// The change before has reached all others, and the control plane may be anywhere between two looks at the file.
		_ = clock.Sleep(p.f.ctx, clock.NewSystem(), 50*time.Millisecond+rand.N(20*time.Millisecond)) //nolint:gosec // chance; the run ends by itself
		if err := p.allow(want); err != nil {
			return err
		}
		begin := time.Now()
		for {
			is, err := allowed()
			if err != nil {
				return fmt.Errorf("call %s while its policy changes: %w", name, err)
			}
			if is == want {
				break
			}
			if time.Since(begin) > 10*time.Second {
				return fmt.Errorf("change the policy of %s: not enforced after 10 s", name)
			}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	r.row("policy change to enforced, "+name+", p50", ms(took[flips/2]), "ms")
	r.most("policy change to enforced, "+name+", p99", ms(took[(flips-1)*99/100]), "ms", 100, 20)
	return nil
}

// proxied measures it with node proxies on both sides, by HTTP.
func (p *plane) proxied(r *Report) error {
	o := &offer{address: p.port, class: "v1/payments"}
	return p.policy(r, "node proxy", func() (bool, error) {
		c, status, err := o.ask(time.Now().Add(patience), 0)
		if err == nil {
			o.idle = append(o.idle[:0], c)
		}
		return status == "200", err
	})
}
