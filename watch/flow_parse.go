package watch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// MaxFlowFile is how long a flow file may be, in bytes.
const MaxFlowFile = 64 << 10

// ErrFlow is a flow file that can't be used; the text says where and why.
var ErrFlow = errors.New("flow")

// Parse reads one flow file (YAML; docs/watch.md, flows/schema.json) and compiles its rules. The error wraps ErrFlow
// and names file, line, column, and what was expected. It panics on no input.
func Parse(name string, text []byte) (*Flow, error) {
	p := &parser{file: name}
	f := p.parse(text)
	if p.err != nil {
		return nil, p.err
	}
	return f, nil
}

// parser reads a flow file from YAML's nodes, since only they have columns. The first error stays.
type parser struct {
	file     string
	err      error
	flow     *Flow
	movement *language // of what a movement is
	whole    *language // of a whole case
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s:%d:%d: %s", ErrFlow, p.file, n.Line, n.Column, fmt.Sprintf(format, args...))
	}
}

func (p *parser) parse(text []byte) *Flow {
	if len(text) > MaxFlowFile {
		p.fail(&yaml.Node{Line: 1, Column: 1}, "%d bytes: at most %d", len(text), MaxFlowFile)
		return nil
	}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&document); err != nil {
		p.err = fmt.Errorf("%w: %s: %s", ErrFlow, p.file, strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		p.fail(&more, "a second document: want one flow a file")
		return nil
	}
	if len(document.Content) == 0 {
		p.fail(&yaml.Node{Line: 1, Column: 1}, "an empty file: want a flow")
		return nil
	}
	root := document.Content[0]
	p.flow = &Flow{text: string(text), digest: sha256.Sum256(text), silence: map[string]uint64{}}
	fields := p.mapping(root, "flow", "flow", "title", "transfers", "key", "order", "receipt", "settle", "since", "legs", "refund_of", "rules", "sources")
	p.head(root, fields)
	p.witnesses(fields)
	p.languages(fields["legs"])
	p.claim(root, fields["transfers"])
	p.legs(root, fields["legs"])
	p.rules(fields["rules"])
	p.consistent(root)
	return p.flow
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
			p.fail(key, "%s: unknown field %q: want one of %s", what, key.Value, strings.Join(known, ", "))
		case fields[key.Value] != nil:
			p.fail(key, "%s: %s stands twice", what, key.Value)
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			p.fail(value, "%s: no anchors and aliases, please: write it out", what)
		}
		fields[key.Value] = value
	}
	return fields
}

// scalar returns the text of a field; empty where it is absent.
func (p *parser) scalar(n *yaml.Node, what string, longest int) string {
	switch {
	case n == nil || p.err != nil:
		return ""
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		p.fail(n, "%s: want a text", what)
	case len(n.Value) > longest:
		p.fail(n, "%s: %d bytes: at most %d", what, len(n.Value), longest)
	}
	return n.Value
}

func (p *parser) boolean(n *yaml.Node, what string) bool {
	if n == nil || p.err != nil {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		p.fail(n, "%s: want true or false", what)
	}
	return n.Value == "true"
}

// duration returns a time in ns, of a millisecond to a year.
func (p *parser) duration(n *yaml.Node, what string) uint64 {
	if n == nil || p.err != nil {
		return 0
	}
	d, err := time.ParseDuration(p.scalar(n, what, 32))
	if err != nil || d < time.Millisecond || d > 366*24*time.Hour {
		p.fail(n, "%s: %q: want a duration such as 5s or 1h30m, 1ms to a year", what, n.Value)
		return 0
	}
	return uint64(d)
}

// moment returns a time in ns since 1970.
func (p *parser) moment(n *yaml.Node, what string) uint64 {
	if n == nil || p.err != nil {
		return 0
	}
	t, err := time.Parse(time.RFC3339, p.scalar(n, what, 64))
	if err != nil || t.Year() < 1970 || t.Year() > 2261 {
		p.fail(n, "%s: %q: want a time such as 2026-11-22T09:00:00Z", what, n.Value)
		return 0
	}
	return uint64(t.UnixNano())
}

func (p *parser) sequence(n *yaml.Node, what string, most int) []*yaml.Node {
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
	return n.Content
}

var names = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)

// name returns a name of lower-case letters, digits, "-" and "_".
func (p *parser) name(n *yaml.Node, what string) string {
	s := p.scalar(n, what, 64)
	if s != "" && !names.MatchString(s) {
		p.fail(n, "%s: %q: want lower-case letters, digits, \"-\" and \"_\", beginning with a letter", what, s)
	}
	return s
}

var sourceNames = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

func (p *parser) source(n *yaml.Node, what string) string {
	s := p.scalar(n, what, 64)
	if n != nil && !sourceNames.MatchString(s) {
		p.fail(n, "%s: %q: want letters, digits, \".\", \"_\", \"-\" and \":\"", what, s)
	}
	return s
}

func (p *parser) head(root *yaml.Node, fields map[string]*yaml.Node) {
	f := p.flow
	f.Name, f.Title = p.name(fields["flow"], "flow"), p.scalar(fields["title"], "title", 200)
	if fields["flow"] == nil {
		p.fail(root, "flow: the flow's name is missing")
	}
	if f.Title == "" {
		f.Title = f.Name
	}
	f.refunds = p.name(fields["refund_of"], "refund_of")
	f.settle = p.duration(p.mapping(fields["settle"], "settle", "deadline")["deadline"], "settle.deadline")
	f.since = p.moment(fields["since"], "since")
	keys := map[string]keyField{"user_data_128": keyUserData128, "user_data_64": keyUserData64, "id": keyTransfer, "reservation": keyReservation}
	text := p.scalar(fields["key"], "key", 32)
	by, ok := keys[text]
	if !ok && p.err == nil {
		n := fields["key"]
		if n == nil {
			n = root
		}
		p.fail(n, "key: %q: want user_data_128, user_data_64, id or reservation", text)
	}
	f.keyedBy = by
	p.silences(fields["sources"])
}

func (p *parser) silences(n *yaml.Node) {
	if n == nil || p.err != nil {
		return
	}
	if n.Kind != yaml.MappingNode || len(n.Content) > 16 {
		p.fail(n, "sources: want up to 8 names of sources, each with silence")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := p.source(n.Content[i], "sources")
		p.flow.silence[name] = p.duration(p.mapping(n.Content[i+1], "sources."+name, "silence")["silence"], "silence")
	}
}

var outcomes = map[string]Outcome{"settled": Settled, "failed": Failed, "refunded": Refunded, "charged_back": ChargedBack}

func (p *parser) witnesses(fields map[string]*yaml.Node) {
	if n := fields["order"]; n != nil {
		o := p.mapping(n, "order", "source", "deadline")
		p.flow.order = &owed{source: p.source(o["source"], "order.source"), within: p.duration(o["deadline"], "order.deadline")}
		if o["source"] == nil || o["deadline"] == nil {
			p.fail(n, "order: want source and deadline")
		}
	}
	n := fields["receipt"]
	if n == nil {
		return
	}
	o := p.mapping(n, "receipt", "source", "deadline", "outcomes", "kind", "side")
	r := &owed{source: p.source(o["source"], "receipt.source"), within: p.duration(o["deadline"], "receipt.deadline")}
	p.flow.receipt = r
	if o["source"] == nil || o["deadline"] == nil {
		p.fail(n, "receipt: want source and deadline")
	}
	switch kind := p.scalar(o["kind"], "receipt.kind", 32); kind {
	case "", "receipt":
	case "statement":
		r.statement = true
	default:
		p.fail(o["kind"], "receipt.kind: %q: want receipt or statement", kind)
	}
	switch side := p.scalar(o["side"], "receipt.side", 32); side {
	case "", "in":
	case "out":
		r.minus = true
	default:
		p.fail(o["side"], "receipt.side: %q: want in (money that came to the bank) or out", side)
	}
	r.settled = 1 << Settled
	for _, one := range p.sequence(o["outcomes"], "receipt.outcomes", 4) {
		outcome, ok := outcomes[one.Value]
		if !ok {
			p.fail(one, "receipt.outcomes: %q: want settled, failed, refunded or charged_back", one.Value)
		}
		if outcome == Refunded {
			r.settled |= 1 << Refunded
		}
	}
}

// languages makes the two sets of variables; names of legs are variables of the second.
func (p *parser) languages(legs *yaml.Node) {
	if p.err != nil {
		return
	}
	whole := caseVariables()
	index := 0
	for _, n := range p.sequence(legs, "legs", maxLegs) {
		name := strings.ReplaceAll(nameOf(n), "-", "_")
		if _, taken := whole[name]; taken {
			p.fail(n, "legs: the name %q is taken", name)
		}
		i := index
		whole[name] = variable{typ: cel.IntType, number: func(v *vars) number { return positive(v.legs[i]) }}
		index++
	}
	if p.err != nil {
		return
	}
	if p.movement, p.err = newLanguage(movementVariables(), nil); p.err != nil {
		return
	}
	p.whole, p.err = newLanguage(whole, &p.flow.terms)
}

func nameOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "name" {
				return n.Content[i+1].Value
			}
		}
	}
	return ""
}

func (p *parser) condition(l *language, n *yaml.Node, what string) boolRule {
	text := p.scalar(n, what, maxExpr)
	if n == nil || p.err != nil {
		return nil
	}
	rule, native, err := l.condition(text)
	if err != nil {
		p.fail(n, "%s: %v", what, err)
	}
	if !native {
		p.flow.cel = append(p.flow.cel, text)
	}
	return rule
}

func (p *parser) number(n *yaml.Node, what string) numberRule {
	text := p.scalar(n, what, maxExpr)
	if n == nil || p.err != nil {
		return nil
	}
	rule, native, err := p.whole.number(text)
	if err != nil {
		p.fail(n, "%s: %v", what, err)
	}
	if !native {
		p.flow.cel = append(p.flow.cel, text)
	}
	return rule
}

func (p *parser) claim(root, n *yaml.Node) {
	if n == nil {
		p.fail(root, "transfers: which movements belong to the flow is missing")
	}
	p.flow.claims = p.condition(p.movement, n, "transfers")
	if p.err == nil {
		p.flow.codes = codesOf(n.Value)
	}
}

var onlyCode = regexp.MustCompile(`^\s*code\s*==\s*(\d+)\s*(&&|$)`)

// codesOf returns the one code for which a condition can be true, where it begins with code == N and has no "or".
func codesOf(text string) []uint16 {
	m := onlyCode.FindStringSubmatch(text)
	if m == nil || strings.ContainsAny(text, "|?") {
		return nil
	}
	code, err := count.Parse(m[1])
	if err != nil || code.Hi != 0 || code.Lo > 0xffff {
		return nil
	}
	return []uint16{uint16(code.Lo)}
}
