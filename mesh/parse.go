package mesh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Bounds of what Parse takes.
const (
	MaxText     = 1 << 20 // bytes of one file
	maxObjects  = 4096
	maxList     = 256
	maxBackends = 4096
)

// ErrConfig is desired state that can't be used; the text says where and why.
var ErrConfig = errors.New("mesh config")

// API groups and versions of the objects.
const (
	gatewayVersion = "gateway.networking.k8s.io/v1"
	ownVersion     = "mesh.sterling.run/v1"
)

// Parse reads desired state: YAML documents, each an HTTPRoute or a GRPCRoute of the Gateway API or an object of
// mesh.sterling.run/v1 (docs/mesh.md). The error wraps ErrConfig and names file, line, column and what was expected;
// unknown fields are errors. It panics on no input.
func Parse(file string, text []byte) (*State, error) {
	p := &parser{file: file, seen: map[string]bool{}, state: &State{}}
	if len(text) > MaxText {
		p.fail(&yaml.Node{Line: 1, Column: 1}, "%d bytes: at most %d", len(text), MaxText)
		return nil, p.err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for objects := 0; p.err == nil; objects++ {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%w: %s: %s", ErrConfig, file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if objects == maxObjects {
			p.fail(&document, "more than %d objects", maxObjects)
		}
		if len(document.Content) > 0 && document.Content[0].Tag != "!!null" {
			p.object(document.Content[0])
		}
	}
	p.resolve()
	if p.err != nil {
		return nil, p.err
	}
	return p.state, nil
}

// parser reads objects from YAML's nodes, since only they have columns. The first error stays.
type parser struct {
	file  string
	err   error
	state *State
	seen  map[string]bool // kind and name of every object
	refs  []reference
}

// reference is a name that an object has to bear.
type reference struct {
	at    *yaml.Node
	kinds []string
	name  string
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s:%d:%d: %s", ErrConfig, p.file, n.Line, n.Column, fmt.Sprintf(format, args...))
	}
}

// resolve checks the references, when all objects are known.
func (p *parser) resolve() {
	for _, r := range p.refs {
		if !slices.ContainsFunc(r.kinds, func(kind string) bool { return p.seen[kind+"/"+r.name] }) {
			p.fail(r.at, "%q: no such %s", r.name, strings.Join(r.kinds, " or "))
		}
	}
}

func (p *parser) object(root *yaml.Node) {
	fields := p.mapping(root, "object", "apiVersion", "kind", "metadata", "spec")
	version, kind := p.text(fields["apiVersion"], "apiVersion"), p.text(fields["kind"], "kind")
	metadata := p.mapping(fields["metadata"], "metadata", "name", "labels", "annotations")
	for _, name := range []string{"apiVersion", "kind", "metadata", "spec"} {
		if fields[name] == nil {
			p.fail(root, "object: %s is missing", name)
		}
	}
	name := p.name(metadata["name"], "metadata.name")
	if name == "" {
		p.fail(root, "object: metadata.name is missing")
	}
	read, ok := map[string]func(*parser, string, *yaml.Node){
		gatewayVersion + "/HTTPRoute": (*parser).httpRoute,
		gatewayVersion + "/GRPCRoute": (*parser).grpcRoute,
		ownVersion + "/Cells":         (*parser).cells,
		ownVersion + "/Service":       (*parser).service,
		ownVersion + "/Identity":      (*parser).identity,
		ownVersion + "/Authorization": (*parser).authorization,
		ownVersion + "/Shedding":      (*parser).shedding,
		ownVersion + "/Shadow":        (*parser).shadow,
		ownVersion + "/Trust":         (*parser).trust,
	}[version+"/"+kind]
	if !ok {
		p.fail(root, "%.100q of %.100q: want HTTPRoute or GRPCRoute of %s, or Cells, Service, Identity, Authorization, Shedding, Shadow or Trust of %s",
			kind, version, gatewayVersion, ownVersion)
	}
	if p.seen[kind+"/"+name] {
		p.fail(root, "%s %s stands twice", kind, name)
	}
	if p.err == nil {
		p.seen[kind+"/"+name] = true
		read(p, name, fields["spec"])
	}
}

// mapping returns the values of a mapping by their keys, which must be among those that are known.
func (p *parser) mapping(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	fields := map[string]*yaml.Node{}
	if n == nil || p.err != nil {
		return fields
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s: want a mapping with %s", what, strings.Join(known, ", "))
		return fields
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case !slices.Contains(known, key.Value):
			p.fail(key, "%s: unknown field %.100q: want one of %s", what, key.Value, strings.Join(known, ", "))
		case fields[key.Value] != nil:
			p.fail(key, "%s: %s stands twice", what, key.Value)
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			p.fail(value, "%s: no anchors and aliases, please: write it out", what)
		}
		fields[key.Value] = value
	}
	return fields
}

func (p *parser) list(n *yaml.Node, what string, most int) []*yaml.Node {
	switch {
	case n == nil || p.err != nil:
		return nil
	case n.Kind != yaml.SequenceNode:
		p.fail(n, "%s: want a list", what)
		return nil
	case len(n.Content) > most:
		p.fail(n, "%s: %d of them: at most %d", what, len(n.Content), most)
		return nil
	}
	for _, item := range n.Content {
		if item.Kind == yaml.AliasNode || item.Anchor != "" {
			p.fail(item, "%s: no anchors and aliases, please: write it out", what)
			return nil
		}
	}
	return n.Content
}

// text returns a scalar; empty where it is absent.
func (p *parser) text(n *yaml.Node, what string) string {
	switch {
	case n == nil || p.err != nil:
		return ""
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		p.fail(n, "%s: want a text", what)
	case len(n.Value) > 1024:
		p.fail(n, "%s: %d bytes: at most 1024", what, len(n.Value))
	}
	return n.Value
}

// choice returns a text that must be one of those given; the first where it is absent.
func (p *parser) choice(n *yaml.Node, what string, of ...string) string {
	if n == nil {
		return of[0]
	}
	s := p.text(n, what)
	if !slices.Contains(of, s) {
		p.fail(n, "%s: %.100q: want one of %q", what, s, of)
	}
	return s
}

func (p *parser) name(n *yaml.Node, what string) string {
	s := p.text(n, what)
	if n != nil && !ValidName(s) {
		p.fail(n, "%s: %.100q: want lower-case letters, digits and \"-\", at most 63", what, s)
	}
	return s
}

// required returns the name of another object.
func (p *parser) required(in, n *yaml.Node, what string, kinds ...string) string {
	if n == nil {
		p.fail(in, "%s is missing", what)
		return ""
	}
	s := p.name(n, what)
	p.refs = append(p.refs, reference{n, kinds, s})
	return s
}

func (p *parser) boolean(n *yaml.Node, what string) bool {
	if n != nil && (n.Kind != yaml.ScalarNode || n.Tag != "!!bool") {
		p.fail(n, "%s: want true or false", what)
	}
	return n != nil && n.Value == "true"
}

// number returns a whole number; unless where it is absent.
func (p *parser) number(n *yaml.Node, what string, unless, least, most uint32) uint32 {
	if n == nil || p.err != nil {
		return unless
	}
	v, err := strconv.ParseUint(p.text(n, what), 10, 32)
	if err != nil || uint32(v) < least || uint32(v) > most {
		p.fail(n, "%s: %.100q: want a whole number, %d to %d", what, n.Value, least, most)
		return least // never more than most: callers make room for as many
	}
	return uint32(v)
}

// duration returns a time of a millisecond to an hour; unless where it is absent.
func (p *parser) duration(n *yaml.Node, what string, unless time.Duration) time.Duration {
	if n == nil || p.err != nil {
		return unless
	}
	d, err := time.ParseDuration(p.text(n, what))
	if err != nil || d < time.Millisecond || d > time.Hour {
		p.fail(n, "%s: %.100q: want a duration such as 5s or 250ms, 1ms to 1h", what, n.Value)
	}
	return d
}

// address returns an IP address and a port: names would be resolved, which is I/O, and differently on every node.
func (p *parser) address(n *yaml.Node, what string) netip.AddrPort {
	if n == nil || p.err != nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(p.text(n, what))
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		p.fail(n, "%s: %.100q: want an IP address and a port, such as 10.0.0.1:7000", what, n.Value)
	}
	return a
}

var methodPaths = regexp.MustCompile(`^(/[A-Za-z0-9._~%!$&'()+,;=:@-]+)+$`)

// paths returns methods as our kinds write them: /package.Service/Method, or a prefix: /package.Service/*.
func (p *parser) paths(n *yaml.Node, what string) []Path {
	var out []Path
	for _, item := range p.list(n, what, maxList) {
		s := p.text(item, what)
		prefix, isPrefix := strings.CutSuffix(s, "*")
		switch {
		case isPrefix && (prefix == "/" || strings.HasSuffix(prefix, "/") && methodPaths.MatchString(strings.TrimSuffix(prefix, "/"))):
			out = append(out, Path{PrefixPath, prefix})
		case !isPrefix && methodPaths.MatchString(s):
			out = append(out, Path{ExactPath, s})
		default:
			p.fail(item, "%s: %.100q: want /package.Service/Method, or a prefix such as /package.Service/*", what, s)
		}
	}
	return out
}

var headerNames = regexp.MustCompile(`^[a-z0-9!#$%&'*+.^_|~-]{1,128}$`)

// header returns the name of a header in lower case. The mesh's own headers are not for routes to match or change.
func (p *parser) header(n *yaml.Node, what string) string {
	s := strings.ToLower(p.text(n, what))
	switch {
	case p.err != nil:
	case n == nil || !headerNames.MatchString(s):
		p.fail(orSelf(n), "%s: %.100q: want the name of a header", what, s)
	case s == HeaderShadow || s == HeaderBucket || s == "host" || s == "te" || s == "connection" ||
		s == "content-length" || s == "transfer-encoding" || strings.HasPrefix(s, "grpc-"):
		p.fail(n, "%s: %s is the mesh's or the protocol's own", what, s)
	}
	return s
}

func orSelf(n *yaml.Node) *yaml.Node {
	if n == nil {
		return &yaml.Node{Line: 1, Column: 1}
	}
	return n
}
