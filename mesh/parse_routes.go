package mesh

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

func (p *parser) httpRoute(name string, n *yaml.Node) { p.route("HTTPRoute/"+name, n, false) }

func (p *parser) grpcRoute(name string, n *yaml.Node) { p.route("GRPCRoute/"+name, n, true) }

func (p *parser) route(name string, n *yaml.Node, isGRPC bool) {
	f := p.mapping(n, name, "parentRefs", "rules")
	r := Rules{Name: name, GRPC: isGRPC}
	for _, item := range p.list(f["parentRefs"], "parentRefs", 16) {
		r.Parents = append(r.Parents, p.serviceRef(item, "parentRef", p.mapping(item, "parentRef", "group", "kind", "name")))
	}
	for _, item := range p.list(f["rules"], "rules", 64) {
		r.Rules = append(r.Rules, p.rule(item, isGRPC))
	}
	if len(r.Parents) == 0 || len(r.Rules) == 0 {
		p.fail(n, "%s: want parentRefs (services of the mesh) and rules", name)
	}
	p.state.Routes = append(p.state.Routes, r)
}

// serviceRef returns the name in a reference of the Gateway API: group and kind, if they are there, must be ours.
func (p *parser) serviceRef(in *yaml.Node, what string, f map[string]*yaml.Node) string {
	p.choice(f["group"], "group", strings.TrimSuffix(ownVersion, "/v1"))
	p.choice(f["kind"], "kind", "Service")
	return p.required(in, f["name"], what+".name", "Service")
}

func (p *parser) rule(n *yaml.Node, isGRPC bool) Rule {
	f := p.mapping(n, "rule", "name", "matches", "filters", "backendRefs", "timeouts", "retry", "fault", "rate")
	r := Rule{Line: n.Line}
	for _, item := range p.list(f["matches"], "matches", 64) {
		if isGRPC {
			r.Matches = append(r.Matches, p.grpcMatch(item))
		} else {
			r.Matches = append(r.Matches, p.httpMatch(item)...)
		}
	}
	if len(r.Matches) == 0 {
		r.Matches = []Match{{}}
	}
	var total uint32
	for _, item := range p.list(f["backendRefs"], "backendRefs", 16) {
		b := p.mapping(item, "backendRef", "group", "kind", "name", "weight")
		t := Target{Service: p.serviceRef(item, "backendRef", b), Weight: p.number(b["weight"], "weight", 1, 0, 1_000_000)}
		total += t.Weight
		r.Targets = append(r.Targets, t)
	}
	if total == 0 {
		p.fail(n, "rule: want backendRefs, at least one with a weight above 0")
	}
	for _, item := range p.list(f["filters"], "filters", 16) {
		p.filter(item, &r)
	}
	timeouts := p.mapping(f["timeouts"], "timeouts", "request", "backendRequest")
	r.Timeout, r.Try = p.duration(timeouts["request"], "request", 0), p.duration(timeouts["backendRequest"], "backendRequest", 0)
	if r.Timeout != 0 && r.Try > r.Timeout {
		p.fail(timeouts["backendRequest"], "timeouts: an attempt (backendRequest) may not take longer than the request")
	}
	r.Retry, r.Fault, r.Rate = p.retry(f["retry"], isGRPC), p.fault(f["fault"]), p.rate(f["rate"])
	p.checkHedge(f["retry"], &r)
	return r
}

// httpMatch returns the conditions of an HTTPRouteMatch. A PathPrefix goes by whole segments, so it becomes two: the
// path itself and everything below it.
func (p *parser) httpMatch(n *yaml.Node) []Match {
	f := p.mapping(n, "match", "path", "method", "headers")
	m := Match{Headers: p.headerMatches(f["headers"])}
	if f["method"] != nil {
		m.Method = p.choice(f["method"], "method", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
	}
	if f["path"] == nil {
		return []Match{m}
	}
	path := p.mapping(f["path"], "path", "type", "value")
	kind := p.choice(path["type"], "path.type", "PathPrefix", "Exact", "RegularExpression")
	value := p.text(path["value"], "path.value")
	if kind == "RegularExpression" {
		m.Path = Path{RegexPath, p.regex(path["value"], value)}
		return []Match{m}
	}
	if value == "" || value[0] != '/' || strings.Contains(value, "//") || strings.ContainsAny(value, "?#") {
		p.fail(f["path"], "path: %.100q: want a path that begins with \"/\", without \"//\", \"?\" and \"#\"", value)
	}
	switch {
	case kind == "Exact":
		m.Path = Path{ExactPath, value}
	case value != "/":
		value = strings.TrimSuffix(value, "/")
		exact := m
		exact.Path, m.Path = Path{ExactPath, value}, Path{PrefixPath, value + "/"}
		return []Match{exact, m}
	}
	return []Match{m}
}

var (
	grpcServices = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	grpcMethods  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (p *parser) grpcMatch(n *yaml.Node) Match {
	f := p.mapping(n, "match", "method", "headers")
	m := Match{Headers: p.headerMatches(f["headers"])}
	if f["method"] == nil {
		return m
	}
	method := p.mapping(f["method"], "method", "type", "service", "method")
	p.choice(method["type"], "method.type", "Exact")
	s, call := p.text(method["service"], "service"), p.text(method["method"], "method")
	if !grpcServices.MatchString(s) || call != "" && !grpcMethods.MatchString(call) {
		p.fail(f["method"], "method: want a service such as package.Service, and perhaps a method of it")
	}
	m.Path = Path{PrefixPath, "/" + s + "/"}
	if call != "" {
		m.Path = Path{ExactPath, "/" + s + "/" + call}
	}
	return m
}

func (p *parser) headerMatches(n *yaml.Node) []HeaderMatch {
	var out []HeaderMatch
	for _, item := range p.list(n, "headers", 16) {
		f := p.mapping(item, "header", "type", "name", "value")
		h := HeaderMatch{Name: p.header(f["name"], "name"), Value: p.text(f["value"], "value")}
		if p.choice(f["type"], "type", "Exact", "RegularExpression") == "RegularExpression" {
			h.Kind, h.Value = HeaderRegex, p.regex(f["value"], h.Value)
		}
		if h.Value == "" {
			p.fail(item, "header: want a value")
		}
		out = append(out, h)
	}
	return out
}

func (p *parser) regex(n *yaml.Node, s string) string {
	if _, err := regexp.Compile(s); err != nil || s == "" {
		p.fail(orSelf(n), "%.100q: want a regular expression (RE2): %v", s, err)
	}
	return s
}

func (p *parser) filter(n *yaml.Node, r *Rule) {
	f := p.mapping(n, "filter", "type", "requestHeaderModifier", "responseHeaderModifier", "requestMirror")
	if len(f) > 2 {
		p.fail(n, "filter: want one, of its type")
	}
	switch p.choice(f["type"], "type", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror") {
	case "ResponseHeaderModifier":
		p.change(f["responseHeaderModifier"], "responseHeaderModifier", &r.Answer)
		p.notOurs(n, r.Answer)
	case "RequestHeaderModifier":
		p.change(f["requestHeaderModifier"], "requestHeaderModifier", &r.Change)
	case "RequestMirror":
		m := p.mapping(f["requestMirror"], "requestMirror", "backendRef", "percent")
		ref := p.mapping(m["backendRef"], "backendRef", "group", "kind", "name")
		r.Mirrors = append(r.Mirrors, Mirror{
			Service: p.serviceRef(n, "backendRef", ref), Percent: p.number(m["percent"], "percent", 100, 0, 100),
		})
	}
	if f["type"] == nil {
		p.fail(n, "filter: want its type")
	}
}

// change reads a filter that changes headers.
func (p *parser) change(n *yaml.Node, what string, to *Headers) {
	m := p.mapping(n, what, "set", "add", "remove")
	to.Set = append(to.Set, p.headers(m["set"])...)
	to.Add = append(to.Add, p.headers(m["add"])...)
	for _, item := range p.list(m["remove"], "remove", 16) {
		to.Remove = append(to.Remove, p.header(item, "remove"))
	}
	if len(m) == 0 {
		p.fail(orSelf(n), "filter: want %s, with set, add or remove", what)
	}
}

func (p *parser) headers(n *yaml.Node) []Header {
	var out []Header
	for _, item := range p.list(n, "headers", 16) {
		f := p.mapping(item, "header", "name", "value")
		h := Header{p.header(f["name"], "name"), p.text(f["value"], "value")}
		if strings.ContainsAny(h.Value, "\r\n\x00") {
			p.fail(item, "header: no line breaks, please")
		}
		out = append(out, h)
	}
	return out
}

// grpcRetries are the statuses that gRPC's clients can be told to retry.
var grpcRetries = []string{"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"}

func (p *parser) retry(n *yaml.Node, isGRPC bool) Retry {
	if n == nil {
		return Retry{}
	}
	f := p.mapping(n, "retry", "codes", "attempts", "backoff", "hedge")
	r := Retry{
		Attempts: p.number(f["attempts"], "attempts", 1, 1, 5),
		Backoff:  p.duration(f["backoff"], "backoff", 0), Hedge: p.duration(f["hedge"], "hedge", 0),
	}
	for _, item := range p.list(f["codes"], "codes", 16) {
		if isGRPC {
			r.Statuses = append(r.Statuses, p.choice(item, "code", grpcRetries...))
		} else {
			r.Codes = append(r.Codes, int(p.number(item, "code", 0, 500, 599)))
		}
	}
	switch {
	case len(r.Statuses)+len(r.Codes) > 0:
	case isGRPC:
		r.Statuses = grpcRetries[:1:1]
	default:
		r.Codes = []int{502, 503, 504}
	}
	return r
}
