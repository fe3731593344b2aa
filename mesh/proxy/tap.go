package proxy

import (
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// tap is somebody who watches requests as they end.
type tap struct {
	log   *accessLog
	every uint64
	seen  atomic.Uint64
}

// Tap writes a line of JSON for one in every requests as they end, as the access log has them: no header fields, no
// queries and no bodies. A writer that is too slow loses lines; requests don't wait. The caller ends it with stop, whose
// error is the last one of writing.
func (p *Proxy) Tap(to io.Writer, every int) (stop func() error) {
	t := &tap{log: newAccessLog(to), every: uint64(max(every, 1))}
	p.changeTaps(func(all []*tap) []*tap { return append(all, t) })
	return func() error {
		p.changeTaps(func(all []*tap) []*tap { return slices.DeleteFunc(all, func(o *tap) bool { return o == t }) })
		return t.log.close()
	}
}

func (p *Proxy) changeTaps(change func([]*tap) []*tap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*tap
	if was := p.taps.Load(); was != nil {
		all = slices.Clone(*was)
	}
	if all = change(all); len(all) == 0 {
		p.taps.Store(nil)
		return
	}
	p.taps.Store(&all)
}

// tapped tells those who watch. Lines that arrive after a tap's end are dropped with it.
func (p *Proxy) tapped(x *exchange, status int, took time.Duration) {
	all := p.taps.Load()
	if all == nil {
		return
	}
	for _, t := range *all {
		if t.seen.Add(1)%t.every == 0 {
			t.log.request(x, status, took)
		}
	}
}
