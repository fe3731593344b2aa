package proxy

import (
	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// acquire takes a place below the cluster's limit. Within a class, requests are refused by their trace, so that all
// hops of one business operation decide alike and no operation is begun that a later hop refuses. Critical callers are
// refused last.
func (x *exchange) acquire(l *shed.Limiter) (shed.Ticket, bool) {
	var user uint8
	if !x.snap.critical.has(x.c.peer) {
		// The last digits of the trace id: its random part, whoever made it (W3C Trace Context 2).
		user = 1 + (hexValue(x.trace[33])<<4|hexValue(x.trace[34]))%(shed.Users-1)
	}
	return l.Acquire(shed.At(x.route.class, user), x.c.p.clock.Mono, x.c.p.clock.After)
}

func hexValue(c byte) uint8 {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
