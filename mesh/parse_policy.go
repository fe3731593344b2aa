package mesh

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// What a service gets that says nothing else.
const (
	defaultRetryPercent = 20
	defaultFailures     = 5 // Envoy's own default. Without any, a cell whose backends are gone would keep its requests
	defaultBodyBytes    = 64 << 20
)

// Bounds of policies.
const (
	maxBodyBytes = 1 << 30
	maxRate      = 1_000_000
	maxDelay     = time.Minute
)

func (p *parser) limits(n *yaml.Node) Limits {
	f := p.mapping(n, "limits", "requests", "connections", "connect", "retryPercent", "bodyBytes")
	l := Limits{
		Requests:     p.number(f["requests"], "requests", defaultRequests, 1, 1<<20),
		Connect:      p.duration(f["connect"], "connect", defaultConnect),
		RetryPercent: p.number(f["retryPercent"], "retryPercent", defaultRetryPercent, 1, 100),
		BodyBytes:    p.number(f["bodyBytes"], "bodyBytes", defaultBodyBytes, 1, maxBodyBytes),
	}
	l.Connections = p.number(f["connections"], "connections", l.Requests, 1, 1<<20)
	return l
}

func (p *parser) fault(n *yaml.Node) (out Fault) {
	f := p.mapping(n, "fault", "abort", "delay")
	abort := p.mapping(f["abort"], "abort", "percent", "status")
	delay := p.mapping(f["delay"], "delay", "percent", "time")
	if f["abort"] != nil {
		out.AbortPercent = p.number(abort["percent"], "percent", 100, 0, 100)
		out.AbortStatus = p.number(abort["status"], "status", 503, 400, 599)
	}
	if f["delay"] != nil {
		out.DelayPercent = p.number(delay["percent"], "percent", 100, 0, 100)
		if out.Delay = p.duration(delay["time"], "time", 0); out.Delay == 0 || out.Delay > maxDelay {
			p.fail(f["delay"], "delay: want a time, at most %s", maxDelay)
		}
	}
	if n != nil && f["abort"] == nil && f["delay"] == nil {
		p.fail(n, "fault: want abort, delay or both")
	}
	return out
}

func (p *parser) rate(n *yaml.Node) (out Rate) {
	if n == nil {
		return out
	}
	f := p.mapping(n, "rate", "perSecond", "burst")
	if f["perSecond"] == nil {
		p.fail(n, "rate: want perSecond")
	}
	out.PerSecond = p.number(f["perSecond"], "perSecond", 1, 1, maxRate)
	out.Burst = p.number(f["burst"], "burst", out.PerSecond, 1, maxRate)
	return out
}

// checkHedge wants the first attempt to be under way when the second copy is sent.
func (p *parser) checkHedge(n *yaml.Node, r *Rule) {
	if h := r.Retry.Hedge; h != 0 && (r.Timeout != 0 && h >= r.Timeout || r.Try != 0 && h >= r.Try) {
		p.fail(n, "hedge: want less than the timeouts: then an attempt is over")
	}
}

// notOurs refuses changes to what the mesh says of an answer: clients decide by it whether a payment may be sent again.
func (p *parser) notOurs(n *yaml.Node, h Headers) {
	names := slices.Clone(h.Remove)
	for _, header := range slices.Concat(h.Set, h.Add) {
		names = append(names, header.Name)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "x-sterling-") {
			p.fail(n, "responseHeaderModifier: %s is the mesh's own", name)
		}
	}
}

// follow reads where a trust domain publishes its bundle.
func (p *parser) follow(n *yaml.Node, domain string, hasBundle bool) (out Follow) {
	if n == nil {
		return out
	}
	f := p.mapping(n, "endpoint", "url", "id")
	out.URL, out.ID = p.text(f["url"], "url"), p.text(f["id"], "id")
	u, err := url.Parse(out.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		p.fail(n, "endpoint: want its url, https://HOST/PATH")
	}
	if f["id"] == nil {
		return out
	}
	if path, own := strings.CutPrefix(out.ID, "spiffe://"+domain+"/"); !own || !methodPaths.MatchString("/"+path) {
		p.fail(f["id"], "endpoint: id %.100q: want a SPIFFE id of %s", out.ID, domain)
	}
	if !hasBundle {
		p.fail(n, "endpoint: with an id, want the domain's bundle as well: by what else would the first answer be believed?")
	}
	return out
}
