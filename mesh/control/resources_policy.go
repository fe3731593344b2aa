package control

import (
	"fmt"
	"regexp"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sterlingrun/sterling/mesh"
)

// The filters of inbound traffic. In the listener they refuse everything; the routes say what is allowed. So a change of
// policy is a change of routes, which reaches open connections without closing them.
const (
	shadowFilter    = "sterling.shadow"
	authorizeFilter = "sterling.authorize"
)

// closed are the filters' configurations in the listener: nobody gets through.
func closed() (shadow, authorize *rbacfilter.RBAC) {
	all := &rbac.Policy{Permissions: []*rbac.Permission{anyRequest()}, Principals: []*rbac.Principal{anybody()}}
	shadow = &rbacfilter.RBAC{Rules: &rbac.RBAC{Action: rbac.RBAC_DENY, Policies: map[string]*rbac.Policy{"all": all}}}
	authorize = &rbacfilter.RBAC{Rules: &rbac.RBAC{Action: rbac.RBAC_ALLOW}}
	return shadow, authorize
}

// policies are the filters' configurations in the routes of a service.
func (b *builder) policies(plan *mesh.Plan) map[string]*anypb.Any {
	return map[string]*anypb.Any{
		shadowFilter:    b.any(&rbacfilter.RBACPerRoute{Rbac: &rbacfilter.RBAC{Rules: shadowRules(plan.Inbound)}}),
		authorizeFilter: b.any(&rbacfilter.RBACPerRoute{Rbac: &rbacfilter.RBAC{Rules: allowRules(plan.Inbound)}}),
	}
}

func allowRules(in mesh.Inbound) *rbac.RBAC {
	out := &rbac.RBAC{Action: rbac.RBAC_ALLOW, Policies: map[string]*rbac.Policy{}}
	for i, grant := range in.Allow {
		policy := &rbac.Policy{}
		for _, p := range grant.From {
			policy.Principals = append(policy.Principals, principal(p))
		}
		for _, path := range grant.To {
			text := exactly(path.Text)
			if path.Kind == mesh.PrefixPath {
				text = &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: path.Text}}
			}
			policy.Permissions = append(policy.Permissions, &rbac.Permission{Rule: &rbac.Permission_UrlPath{
				UrlPath: &matcher.PathMatcher{Rule: &matcher.PathMatcher_Path{Path: text}},
			}})
		}
		if len(grant.To) == 0 {
			policy.Permissions = []*rbac.Permission{anyRequest()}
		}
		out.Policies[fmt.Sprintf("grant-%d", i)] = policy
	}
	return out
}

// shadowRules refuses what the rule about marked requests does not allow.
func shadowRules(in mesh.Inbound) *rbac.RBAC {
	marked := &rbac.Permission{Rule: &rbac.Permission_Header{Header: &route.HeaderMatcher{
		Name: mesh.HeaderShadow, HeaderMatchSpecifier: &route.HeaderMatcher_PresentMatch{PresentMatch: true},
	}}}
	out := &rbac.RBAC{Action: rbac.RBAC_DENY, Policies: map[string]*rbac.Policy{
		"marked": {Permissions: []*rbac.Permission{marked}, Principals: []*rbac.Principal{anybody()}},
	}}
	if in.Shadow == mesh.ShadowNever {
		return out
	}
	if len(in.Shadowed) > 0 {
		may := &rbac.Principal_Set{}
		for _, p := range in.Shadowed {
			may.Ids = append(may.Ids, principal(p))
		}
		out.Policies["marked"].Principals = []*rbac.Principal{{Identifier: &rbac.Principal_NotId{
			NotId: &rbac.Principal{Identifier: &rbac.Principal_OrIds{OrIds: may}},
		}}}
	}
	if in.Shadow == mesh.ShadowOnly {
		out.Policies["unmarked"] = &rbac.Policy{
			Permissions: []*rbac.Permission{{Rule: &rbac.Permission_NotRule{NotRule: marked}}},
			Principals:  []*rbac.Principal{anybody()},
		}
	}
	return out
}

func principal(p mesh.Peer) *rbac.Principal {
	return &rbac.Principal{Identifier: &rbac.Principal_Authenticated_{
		Authenticated: &rbac.Principal_Authenticated{PrincipalName: peerName(p)},
	}}
}

// peerName fits the SPIFFE ids of a peer.
func peerName(p mesh.Peer) *matcher.StringMatcher {
	if p.Cell != "" {
		return exactly(mesh.ID(p).String())
	}
	return matching("spiffe://" + regexp.QuoteMeta(p.Domain) + "/cell/[a-z0-9-]+/svc/" + regexp.QuoteMeta(p.Service))
}

func anyRequest() *rbac.Permission {
	return &rbac.Permission{Rule: &rbac.Permission_Any{Any: true}}
}

func anybody() *rbac.Principal {
	return &rbac.Principal{Identifier: &rbac.Principal_Any{Any: true}}
}

// trustName is the name of the secret with all trusted domains' roots, identityName of the node's own certificate.
const (
	trustName    = "trust"
	identityName = "identity"
	// ProviderName is what the certificates are called in a proxyless client's bootstrap (see Bootstrap).
	ProviderName = "sterling"
)

func tlsSocket(config *anypb.Any) *core.TransportSocket {
	return &core.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: config}}
}
