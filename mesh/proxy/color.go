package proxy

import (
	"bytes"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// Shadow traffic is marked twice: by a field of our own, whatever its value, and in the trace context, which instrumented services carry on
// from a request they get to the requests they make. Either mark is enough: in doubt, traffic is shadow.
const shadowMember = "sterling=shadow"

// appendShadow marks a request; state: the trace context is not marked yet.
func appendShadow(fields []h1.Field, state bool) []h1.Field {
	fields = append(fields, h1.Field{Name: []byte("X-Sterling-Shadow"), Value: []byte("1"), Known: h1.Shadow})
	if state {
		fields = append(fields, h1.Field{Name: []byte("tracestate"), Value: []byte(shadowMember), Known: h1.TraceState})
	}
	return fields
}

// judgeColor finds the colour of the request. Only callers that are known and allowed may send shadow traffic: anyone
// else could make a payment disappear into the shadow.
func (x *exchange) judgeColor() *failure {
	req := x.req
	x.shadow = req.Has(h1.Shadow) || req.Has(h1.TraceState) && shadowState(req)
	if x.c.l.Shadow {
		x.shadow = true
	} else if x.shadow && !x.snap.shadow.has(x.c.peer) {
		return errColorFrom
	}
	return nil
}

// forColor is the cluster that traffic for c goes to, nil where shadow traffic would reach real state or real traffic
// would disappear into the shadow.
func (c *cluster) forColor(shadow bool) *cluster {
	switch {
	case c.isShadow && !shadow:
		return nil
	case !shadow || c.isShadow:
		return c
	case c.shadow != nil:
		return c.shadow
	case c.Kind != KindService:
		return nil
	}
	return c
}

// wrongColor is why forColor found no cluster.
func wrongColor(shadow bool) *failure {
	if shadow {
		return errColorTo
	}
	return errLive
}

// shadowState tells whether the trace context is marked.
func shadowState(req *h1.Request) bool {
	for i := range req.Fields {
		if req.Fields[i].Known != h1.TraceState {
			continue
		}
		for member := range bytes.SplitSeq(req.Fields[i].Value, []byte{','}) {
			if string(bytes.TrimSpace(member)) == shadowMember {
				return true
			}
		}
	}
	return false
}
