package proxy

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// shared are the connections to one endpoint that requests share. Its zero value has none.
type shared[C comparable] struct {
	mu      sync.Mutex
	open    []C
	dialing *dialing // nil: no connection is being made
	closed  bool     // the endpoint is gone: what is still made is for one request
}

// dialing is a connection that is being made, and that more than one request may wait for.
type dialing struct {
	done    chan struct{}
	err     error // once done
	hurried bool  // it was over with the time of the request that made it: the others have theirs
}

// another waits until there may be a connection with room: the first request that finds none makes one by dial, which adds
// it, and those that come meanwhile wait for that, each for as long as it may take itself. mu is held before, and not
// afterwards.
func (p *shared[C]) another(x *exchange, dial func() error) error {
	d := p.dialing
	if d == nil && len(p.open) >= x.cluster.MaxConnections {
		p.mu.Unlock()
		return errFull
	}
	mine := d == nil
	if mine {
		d = &dialing{done: make(chan struct{})}
		p.dialing = d
	}
	p.mu.Unlock()
	if mine {
		d.err = dial()
		d.hurried = d.err != nil && !time.Now().Before(x.deadline)
		p.mu.Lock()
		p.dialing = nil
		p.mu.Unlock()
		close(d.done)
		return d.err
	}
	late := time.NewTimer(time.Until(x.deadline))
	defer late.Stop()
	select {
	case <-d.done:
	case <-late.C:
		return fmt.Errorf("wait for a connection: %w", os.ErrDeadlineExceeded)
	}
	if d.hurried {
		return nil
	}
	return d.err
}

// remove forgets a connection that has ended.
func (p *shared[C]) remove(c C) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(o C) bool { return o == c })
}

// list returns the connections that there are. With gone, there will be none but for one request each.
func (p *shared[C]) list(gone bool) []C {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || gone
	return slices.Clone(p.open)
}
