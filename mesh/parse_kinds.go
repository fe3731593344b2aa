package mesh

import (
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// What a service gets that says nothing else.
const (
	defaultRequests       = 1024 // gRPC's and Envoy's own default
	defaultConnect        = time.Second
	defaultEjectRequests  = 20
	defaultEjectInterval  = time.Second
	defaultEjectTime      = 5 * time.Second
	defaultEjectMaxPecent = 50
	defaultQueueWait      = 20 * time.Millisecond // DAGOR's
)

func (p *parser) cells(_ string, n *yaml.Node) {
	if p.state.Cells.Cells != nil {
		p.fail(n, "Cells: a second one: a mesh has one division into cells")
		return
	}
	fields := p.mapping(n, "Cells", "buckets", "cells")
	c := Cells{Buckets: p.number(fields["buckets"], "buckets", 1, 1, 1<<20)}
	owner := make([]string, c.Buckets)
	named := map[string]bool{}
	for _, item := range p.list(fields["cells"], "cells", maxList) {
		f := p.mapping(item, "cell", "name", "region", "zone", "buckets")
		cell := Cell{Name: p.name(f["name"], "name"), Region: p.text(f["region"], "region"), Zone: p.text(f["zone"], "zone")}
		if cell.Name == "" || named[cell.Name] {
			p.fail(item, "cell %q: want a name of its own", cell.Name)
		}
		named[cell.Name] = true
		p.seen["Cell/"+cell.Name] = true
		for _, r := range p.list(f["buckets"], "buckets", 1024) {
			bounds := p.bucketRange(r, c.Buckets)
			cell.Buckets = append(cell.Buckets, bounds)
			for b := bounds.From; b <= bounds.To && p.err == nil; b++ {
				if owner[b] != "" {
					p.fail(r, "bucket %d: owned by %s already", b, owner[b])
				}
				owner[b] = cell.Name
			}
		}
		c.Cells = append(c.Cells, cell)
	}
	if len(c.Cells) == 0 {
		p.fail(n, "Cells: want at least one cell")
	}
	for b, name := range owner {
		if name == "" {
			p.fail(n, "Cells: nobody owns bucket %d", b)
		}
	}
	p.state.Cells = c
}

// bucketRange reads "0-511" or "7".
func (p *parser) bucketRange(n *yaml.Node, buckets uint32) Range {
	s := p.text(n, "buckets")
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 32)
	to, err2 := strconv.ParseUint(last, 10, 32)
	if err1 != nil || err2 != nil || from > to || to >= uint64(buckets) {
		p.fail(n, "buckets: %.100q: want a range such as 0-511, below %d", s, buckets)
		return Range{From: 1}
	}
	return Range{uint32(from), uint32(to)}
}

func (p *parser) service(name string, n *yaml.Node) {
	f := p.mapping(n, "Service", "protocol", "port", "holds", "sharded", "money", "limits", "ejection", "backends")
	s := Service{
		Name:     name,
		Protocol: Protocol(p.choice(f["protocol"], "protocol", string(GRPC), string(HTTP), string(TCP), string(Bolt), string(Dubbo))),
		Port:     uint16(p.number(f["port"], "port", 0, 1, 65535)), //nolint:gosec // just bounded
		Sharded:  p.boolean(f["sharded"], "sharded"),
	}
	if f["holds"] != nil {
		s.Holds = Holds(p.choice(f["holds"], "holds", string(HoldsLedger), string(HoldsDatabase)))
	}
	if m := f["money"]; m != nil {
		money := p.mapping(m, "money", "methods", "key")
		s.Money = Money{Methods: p.paths(money["methods"], "methods"), Key: HeaderKey}
		if money["key"] != nil {
			s.Money.Key = p.header(money["key"], "key")
		}
		if len(s.Money.Methods) == 0 {
			p.fail(m, "money: want the methods that move money")
		}
	}
	s.Limits, s.Ejection = p.limits(f["limits"]), p.ejection(f["ejection"])
	if s.Protocol == TCP && (s.Sharded || f["money"] != nil) {
		p.fail(n, "Service: sharded and money want requests, and %s has only bytes", s.Protocol)
	}
	addresses := map[string]bool{}
	for _, item := range p.list(f["backends"], "backends", maxBackends) {
		b := p.mapping(item, "backend", "cell", "address", "app", "weight")
		backend := Backend{
			Cell:    p.required(item, b["cell"], "cell", "Cell"),
			Address: p.address(b["address"], "address"),
			App:     p.app(b["app"]),
			Weight:  p.number(b["weight"], "weight", 1, 1, 1<<16),
		}
		if b["address"] == nil || addresses[backend.Address.String()] {
			p.fail(item, "backend: want an address of its own")
		}
		addresses[backend.Address.String()] = true
		s.Backends = append(s.Backends, backend)
	}
	p.state.Services = append(p.state.Services, s)
}

func (p *parser) ejection(n *yaml.Node) Ejection {
	f := p.mapping(n, "ejection", "failures", "failurePercent", "requests", "interval", "time", "maxPercent")
	return Ejection{
		Failures:       p.number(f["failures"], "failures", defaultFailures, 0, 1000),
		FailurePercent: p.number(f["failurePercent"], "failurePercent", 0, 1, 100),
		Requests:       p.number(f["requests"], "requests", defaultEjectRequests, 1, 1<<20),
		Interval:       p.duration(f["interval"], "interval", defaultEjectInterval),
		Time:           p.duration(f["time"], "time", defaultEjectTime),
		MaxPercent:     p.number(f["maxPercent"], "maxPercent", defaultEjectMaxPecent, 1, 100),
	}
}

func (p *parser) identity(name string, n *yaml.Node) {
	f := p.mapping(n, "Identity", "service", "cell", "unix")
	unix := p.mapping(f["unix"], "unix", "uid", "gid", "pid")
	identity := Identity{
		Name:    name,
		Service: p.name(f["service"], "service"),
		Cell:    p.required(n, f["cell"], "cell", "Cell"),
		Unix:    UnixSelector{UID: p.number(unix["uid"], "uid", 0, 0, 1<<32-2)},
	}
	if identity.Service == "" || unix["uid"] == nil {
		p.fail(n, "Identity: want service, cell, and unix with at least a uid")
	}
	if unix["gid"] != nil {
		gid := p.number(unix["gid"], "gid", 0, 0, 1<<32-2)
		identity.Unix.GID = &gid
	}
	if unix["pid"] != nil {
		pid := int32(p.number(unix["pid"], "pid", 0, 1, 1<<22)) //nolint:gosec // just bounded
		identity.Unix.PID = &pid
	}
	p.seen["identity of/"+identity.Service] = true
	p.state.Identities = append(p.state.Identities, identity)
}

// peers returns callers. One of the mesh's own has to be a service or to have an identity, one of another trust domain
// has to be of one that is trusted.
func (p *parser) peers(n *yaml.Node, what string) []Peer {
	var out []Peer
	for _, item := range p.list(n, what, maxList) {
		f := p.mapping(item, what, "domain", "service", "cell")
		peer := Peer{Domain: p.text(f["domain"], "domain"), Service: p.name(f["service"], "service"), Cell: p.name(f["cell"], "cell")}
		switch {
		case peer.Service == "":
			p.fail(item, "%s: want the service that calls", what)
		case peer.Domain != "":
			p.refs = append(p.refs, reference{f["domain"], []string{"Trust in the domain"}, peer.Domain})
		default:
			p.refs = append(p.refs, reference{f["service"], []string{"Service", "identity of"}, peer.Service})
			if peer.Cell != "" {
				p.refs = append(p.refs, reference{f["cell"], []string{"Cell"}, peer.Cell})
			}
		}
		out = append(out, peer)
	}
	return out
}

func (p *parser) authorization(_ string, n *yaml.Node) {
	f := p.mapping(n, "Authorization", "service", "allow")
	a := Authorization{Service: p.required(n, f["service"], "service", "Service")}
	for _, item := range p.list(f["allow"], "allow", maxList) {
		g := p.mapping(item, "allow", "from", "to")
		grant := Grant{From: p.peers(g["from"], "from"), To: p.paths(g["to"], "to")}
		if len(grant.From) == 0 || g["to"] != nil && len(grant.To) == 0 {
			p.fail(item, "allow: want who may call (from); what (to) is everything unless it is named")
		}
		a.Allow = append(a.Allow, grant)
	}
	p.state.Authorizations = append(p.state.Authorizations, a)
}

func (p *parser) shedding(_ string, n *yaml.Node) {
	f := p.mapping(n, "Shedding", "service", "queueWait", "default", "classes", "critical")
	priorities := []string{string(Query), string(Pay), string(Settle)}
	s := Shedding{
		Service:   p.required(n, f["service"], "service", "Service"),
		QueueWait: p.duration(f["queueWait"], "queueWait", defaultQueueWait),
		Default:   Priority(p.choice(f["default"], "default", priorities...)),
		Critical:  p.peers(f["critical"], "critical"),
	}
	for _, item := range p.list(f["classes"], "classes", maxList) {
		c := p.mapping(item, "class", "priority", "methods")
		class := Class{Priority: Priority(p.choice(c["priority"], "priority", priorities...)), Paths: p.paths(c["methods"], "methods")}
		if c["priority"] == nil || len(class.Paths) == 0 {
			p.fail(item, "class: want priority and methods")
		}
		s.Classes = append(s.Classes, class)
	}
	if p.seen["shedding of/"+s.Service] {
		p.fail(n, "Shedding: a second one of %s", s.Service)
	}
	p.seen["shedding of/"+s.Service] = true
	p.state.Shedding = append(p.state.Shedding, s)
}

func (p *parser) shadow(_ string, n *yaml.Node) {
	if p.state.Shadow.Targets != nil {
		p.fail(n, "Shadow: a second one: where shadow traffic may go is said in one place")
		return
	}
	f := p.mapping(n, "Shadow", "mark", "carry", "targets")
	s := Shadow{Mark: p.peers(f["mark"], "mark"), Carry: p.peers(f["carry"], "carry"), Targets: map[string]string{}}
	for _, item := range p.list(f["targets"], "targets", maxList) {
		t := p.mapping(item, "target", "service", "shadow")
		service := p.required(item, t["service"], "service", "Service")
		if s.Targets[service] != "" {
			p.fail(item, "target: %s has one already", service)
		}
		s.Targets[service] = p.required(item, t["shadow"], "shadow", "Service")
	}
	p.state.Shadow = s
}

func (p *parser) trust(name string, n *yaml.Node) {
	f := p.mapping(n, "Trust", "domain", "bundle", "endpoint")
	t := Trust{Name: name, Domain: p.text(f["domain"], "domain")}
	if !ValidDomain(t.Domain) {
		p.fail(n, "Trust: domain %.100q: want lower-case letters, digits, \".\", \"-\" and \"_\"", t.Domain)
	}
	switch b := f["bundle"]; {
	case b != nil && b.Kind == yaml.ScalarNode:
		t.Bundle = b.Value
	case b != nil || f["endpoint"] == nil:
		p.fail(n, "Trust: want the domain's bundle, as a text with SPIFFE's JSON, or the endpoint that has it")
	}
	t.Endpoint = p.follow(f["endpoint"], t.Domain, t.Bundle != "")
	if p.seen["Trust in the domain/"+t.Domain] {
		p.fail(n, "Trust: a second one in %s", t.Domain)
	}
	p.seen["Trust in the domain/"+t.Domain] = true
	p.state.Trust = append(p.state.Trust, t)
}
