package control

import (
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonfault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh"
)

// The filters of what a workload calls. They do nothing by themselves; routes say what: so faults and rates come and go
// without a change of listeners.
const (
	faultFilter = "envoy.filters.http.fault"
	rateFilter  = "envoy.filters.http.local_ratelimit"
)

// rules are the filters of outbound traffic. gRPC's clients know no rates.
func (b *builder) rules() []*hcm.HttpFilter {
	out := []*hcm.HttpFilter{httpFilter(faultFilter, b.any(&fault.HTTPFault{}))}
	if b.kind == Envoy {
		out = append(out, httpFilter(rateFilter, b.any(&ratelimit.LocalRateLimit{StatPrefix: "rate"})))
	}
	return out
}

// rulesOf configures the filters for a route. nil: they do nothing.
func (b *builder) rulesOf(r mesh.Route) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if f := r.Fault; f.AbortPercent > 0 || f.DelayPercent > 0 {
		config := &fault.HTTPFault{}
		if f.AbortPercent > 0 {
			config.Abort = &fault.FaultAbort{ErrorType: &fault.FaultAbort_HttpStatus{HttpStatus: f.AbortStatus}, Percentage: share(f.AbortPercent)}
		}
		if f.DelayPercent > 0 {
			config.Delay = &commonfault.FaultDelay{
				FaultDelaySecifier: &commonfault.FaultDelay_FixedDelay{FixedDelay: durationpb.New(f.Delay)}, Percentage: share(f.DelayPercent),
			}
		}
		out[faultFilter] = b.any(config)
	}
	if r.Rate.PerSecond > 0 && b.kind == Envoy {
		all := &core.RuntimeFractionalPercent{DefaultValue: share(100)}
		out[rateFilter] = b.any(&ratelimit.LocalRateLimit{
			StatPrefix: "rate", FilterEnabled: all, FilterEnforced: all,
			TokenBucket: &envoytype.TokenBucket{
				MaxTokens: r.Rate.Burst, TokensPerFill: wrapperspb.UInt32(r.Rate.PerSecond), FillInterval: durationpb.New(time.Second),
			},
		})
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func share(percent uint32) *envoytype.FractionalPercent {
	return &envoytype.FractionalPercent{Numerator: percent, Denominator: envoytype.FractionalPercent_HUNDRED}
}

// hedge lets Envoy send a second copy where the first one has no answer in time: its time of one attempt, after which it
// does not give the first copy up. gRPC's clients take no hedges from xDS.
func (b *builder) hedge(r mesh.Route, action *route.RouteAction) {
	if r.Retry.Hedge > 0 && b.kind == Envoy {
		action.RetryPolicy.PerTryTimeout = durationpb.New(r.Retry.Hedge)
		action.HedgePolicy = &route.HedgePolicy{HedgeOnPerTryTimeout: true}
	}
}

// answerHeaders changes an answer's headers.
func answerHeaders(out *route.Route, h mesh.Headers) {
	for _, set := range h.Set {
		out.ResponseHeadersToAdd = append(out.ResponseHeadersToAdd, headerOption(set, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, add := range h.Add {
		out.ResponseHeadersToAdd = append(out.ResponseHeadersToAdd, headerOption(add, core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	out.ResponseHeadersToRemove = h.Remove
}

// minRetries may be under way whatever the budget says: a service with little traffic has none.
const minRetries = 3

// breakers bound what one caller has under way.
func breakers(l mesh.Limits) *cluster.CircuitBreakers {
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxRequests: wrapperspb.UInt32(l.Requests), MaxPendingRequests: wrapperspb.UInt32(l.Requests),
		RetryBudget: &cluster.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent: &envoytype.Percent{Value: float64(l.RetryPercent)}, MinRetryConcurrency: wrapperspb.UInt32(minRetries),
		},
	}}, PerHostThresholds: []*cluster.CircuitBreakers_Thresholds{{MaxConnections: wrapperspb.UInt32(l.Connections)}}}
}

// outliers take backends that fail out of the rotation; nil: none. gRPC's clients judge shares of failures only.
func outliers(e mesh.Ejection) *cluster.OutlierDetection {
	if e.FailurePercent == 0 && e.Failures == 0 {
		return nil
	}
	out := &cluster.OutlierDetection{
		Interval: durationpb.New(e.Interval), BaseEjectionTime: durationpb.New(e.Time), MaxEjectionPercent: wrapperspb.UInt32(e.MaxPercent),
		EnforcingSuccessRate: wrapperspb.UInt32(0), EnforcingConsecutive_5Xx: wrapperspb.UInt32(0), EnforcingFailurePercentage: wrapperspb.UInt32(0),
	}
	if e.FailurePercent > 0 {
		out.FailurePercentageThreshold, out.EnforcingFailurePercentage = wrapperspb.UInt32(e.FailurePercent), wrapperspb.UInt32(100)
		out.FailurePercentageRequestVolume, out.FailurePercentageMinimumHosts = wrapperspb.UInt32(e.Requests), wrapperspb.UInt32(1)
	}
	if e.Failures > 0 {
		out.Consecutive_5Xx, out.EnforcingConsecutive_5Xx = wrapperspb.UInt32(e.Failures), wrapperspb.UInt32(100)
	}
	return out
}
