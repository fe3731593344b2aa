package proxy

import "github.com/sterlingrun/sterling/mesh"

// policies takes over what needs no more than other words.
func (r *Route) policies(plan *mesh.Plan, of mesh.Route) {
	r.Response = fields(of.Answer)
	r.MaxBody = int64(plan.Limits.BodyBytes)
	r.Retry.Hedge = of.Retry.Hedge
	r.Fault = Fault{
		AbortPercent: int(of.Fault.AbortPercent), AbortStatus: int(of.Fault.AbortStatus),
		DelayPercent: int(of.Fault.DelayPercent), Delay: of.Fault.Delay,
	}
	if of.Rate.PerSecond > 0 { // package mesh makes more than one route of a rule
		r.Rate = RateLimit{PerSecond: int(of.Rate.PerSecond), Burst: int(of.Rate.Burst), Shared: plan.Name + " " + of.Name}
	}
}

// limits are what a service's callers keep to.
func (k *Cluster) limits(plan *mesh.Plan) {
	l, e := plan.Limits, plan.Ejection
	k.ConnectTimeout, k.MaxRequests, k.MaxConnections, k.RetryPercent = l.Connect, int(l.Requests), int(l.Connections), int(l.RetryPercent)
	k.Ejection = Ejection{
		Failures: int(e.Failures), For: e.Time, MaxPercent: int(e.MaxPercent),
		Percent: int(e.FailurePercent), Requests: int(e.Requests), Interval: e.Interval,
	}
	if k.Ejection.Failures == 0 {
		k.Ejection.Failures = -1
	}
}
