package control

import (
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sterlingrun/sterling/mesh"
)

// metadataKey is where virtual hosts carry what xDS has no words for.
const metadataKey = "sterling.mesh"

// routes are how callers reach a service.
func (b *builder) routes(plan *mesh.Plan) *route.RouteConfiguration {
	host := &route.VirtualHost{Name: plan.Name, Domains: []string{"*"}, Metadata: b.metadata(plan)}
	for _, r := range plan.Routes {
		host.Routes = append(host.Routes, b.route(r))
	}
	return &route.RouteConfiguration{Name: plan.Name, VirtualHosts: []*route.VirtualHost{host}}
}

func (b *builder) route(r mesh.Route) *route.Route {
	out := &route.Route{Name: r.Name, Match: routeMatch(r.Match)}
	if r.Refuse != "" {
		// gRPC clients know no direct responses: they fail such calls with UNAVAILABLE, which is what is meant.
		out.Action = &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
			Status: 503, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: r.Refuse}},
		}}
		return out
	}
	action := &route.RouteAction{
		Timeout:           durationpb.New(r.Timeout),
		MaxStreamDuration: &route.RouteAction_MaxStreamDuration{GrpcTimeoutHeaderMax: durationpb.New(r.Timeout)},
		RetryPolicy:       retryPolicy(r),
	}
	b.hedge(r, action)
	clusters := &route.WeightedCluster{}
	for _, t := range r.Targets {
		clusters.Clusters = append(clusters.Clusters, &route.WeightedCluster_ClusterWeight{
			Name: clusterName(t.Service, t.Cell), Weight: wrapperspb.UInt32(t.Weight),
		})
	}
	action.ClusterSpecifier = &route.RouteAction_WeightedClusters{WeightedClusters: clusters}
	for _, m := range r.Mirrors {
		action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, &route.RouteAction_RequestMirrorPolicy{
			Cluster: m.Service, RuntimeFraction: percent(m.Percent),
		})
	}
	for _, h := range r.Change.Set {
		out.RequestHeadersToAdd = append(out.RequestHeadersToAdd, headerOption(h, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range r.Change.Add {
		out.RequestHeadersToAdd = append(out.RequestHeadersToAdd, headerOption(h, core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	out.RequestHeadersToRemove = r.Change.Remove
	answerHeaders(out, r.Answer)
	out.TypedPerFilterConfig = b.rulesOf(r)
	out.Action = &route.Route_Route{Route: action}
	return out
}

func headerOption(h mesh.Header, action core.HeaderValueOption_HeaderAppendAction) *core.HeaderValueOption {
	return &core.HeaderValueOption{Header: &core.HeaderValue{Key: h.Name, Value: h.Value}, AppendAction: action}
}

func retryPolicy(r mesh.Route) *route.RetryPolicy {
	if r.Retry.Attempts == 0 {
		return nil
	}
	var on []string
	for _, s := range r.Retry.Statuses {
		on = append(on, strings.ReplaceAll(strings.ToLower(s), "_", "-"))
	}
	p := &route.RetryPolicy{NumRetries: wrapperspb.UInt32(r.Retry.Attempts)}
	if len(r.Retry.Codes) > 0 {
		on = append(on, "retriable-status-codes", "connect-failure")
		for _, code := range r.Retry.Codes {
			p.RetriableStatusCodes = append(p.RetriableStatusCodes, uint32(code)) //nolint:gosec // 500 to 599
		}
	}
	p.RetryOn = strings.Join(on, ",")
	if r.Try > 0 {
		p.PerTryTimeout = durationpb.New(r.Try)
	}
	if r.Retry.Backoff > 0 {
		p.RetryBackOff = &route.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(r.Retry.Backoff), MaxInterval: durationpb.New(10 * r.Retry.Backoff),
		}
	}
	return p
}

func routeMatch(m mesh.Match) *route.RouteMatch {
	out := &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{}}
	switch m.Path.Kind {
	case mesh.AnyPath:
	case mesh.ExactPath:
		out.PathSpecifier = &route.RouteMatch_Path{Path: m.Path.Text}
	case mesh.PrefixPath:
		out.PathSpecifier = &route.RouteMatch_Prefix{Prefix: m.Path.Text}
	case mesh.RegexPath:
		out.PathSpecifier = &route.RouteMatch_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: m.Path.Text}}
	}
	if m.Method != "" {
		out.Headers = append(out.Headers, headerMatcher(mesh.HeaderMatch{Name: ":method", Value: m.Method}))
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, headerMatcher(h))
	}
	return out
}

func headerMatcher(h mesh.HeaderMatch) *route.HeaderMatcher {
	out := &route.HeaderMatcher{Name: h.Name}
	switch h.Kind {
	case mesh.HeaderExact:
		out.HeaderMatchSpecifier = &route.HeaderMatcher_StringMatch{StringMatch: exactly(h.Value)}
	case mesh.HeaderRegex:
		out.HeaderMatchSpecifier = &route.HeaderMatcher_StringMatch{StringMatch: matching(h.Value)}
	case mesh.HeaderPresent, mesh.HeaderAbsent:
		out.HeaderMatchSpecifier = &route.HeaderMatcher_PresentMatch{PresentMatch: h.Kind == mesh.HeaderPresent}
	case mesh.HeaderRange:
		out.HeaderMatchSpecifier = &route.HeaderMatcher_RangeMatch{RangeMatch: &envoytype.Int64Range{
			Start: int64(h.Range.From), End: int64(h.Range.To) + 1,
		}}
	}
	return out
}

// metadata tells our own proxies what money moves and what is shed first. Others ignore it.
func (b *builder) metadata(plan *mesh.Plan) *core.Metadata {
	fields := map[string]any{}
	if len(plan.Money.Methods) > 0 {
		fields["money"] = map[string]any{"methods": pathTexts(plan.Money.Methods), "key": plan.Money.Key}
	}
	if s := plan.Shedding; s != nil {
		classes := []any{}
		for _, c := range s.Classes {
			classes = append(classes, map[string]any{"priority": string(c.Priority), "methods": pathTexts(c.Paths)})
		}
		critical := []any{}
		for _, p := range s.Critical {
			critical = append(critical, map[string]any{"domain": p.Domain, "cell": p.Cell, "service": p.Service})
		}
		fields["shedding"] = map[string]any{
			"queueWaitMs": float64(s.QueueWait / time.Millisecond), "default": string(s.Default), "classes": classes, "critical": critical,
		}
	}
	if len(fields) == 0 {
		return nil
	}
	value, err := structpb.NewStruct(fields)
	if err != nil {
		b.err = err
		return nil
	}
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{metadataKey: value}}
}

func pathTexts(paths []mesh.Path) []any {
	out := make([]any, 0, len(paths))
	for _, p := range slices.All(paths) {
		text := p.Text
		if p.Kind == mesh.PrefixPath {
			text += "*"
		}
		out = append(out, text)
	}
	return out
}
