package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// drainLook is how often a proxy that drains looks whether all have left.
const drainLook = 20 * time.Millisecond

// Drain stops accepting and lets every connection end by itself: the answer to its next request says that it is the
// last one. So no client sends a request to a connection that is just being closed, which [Proxy.Shutdown] can't rule
// out. It returns when all have ended; where ctx ends first, the error says so. Shutdown follows in either case.
func (p *Proxy) Drain(ctx context.Context) error {
	p.draining.Store(true)
	for _, l := range p.listeners {
		if l.ln != nil {
			_ = l.ln.Close() // no more connections
		}
	}
	p.accepting.Wait() // what they accepted is in conns
	p.mu.Lock()
	for _, c := range p.conns {
		if h := c.h2.Load(); h != nil {
			h.Drain() // which HTTP/2 has words for
		} else if r := c.rpc.Load(); r != nil {
			r.retire()
		}
	}
	p.mu.Unlock()
	for {
		p.mu.Lock()
		left := len(p.conns)
		p.mu.Unlock()
		if left == 0 {
			return nil
		}
		if err := clock.Sleep(ctx, p.clock, drainLook); err != nil {
			return fmt.Errorf("wait for %d connections: %w", left, err)
		}
	}
}
