package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Rule is a condition over one kind of event, and what happens to the workload when it is true. Exactly one of Standard
// and When says what the condition is.
type Rule struct {
	Standard StandardRule `yaml:"standard"`
	Name     string       `yaml:"name"` // a DNS label; of a standard rule, its own name
	On       string       `yaml:"on"`   // the point of the events: "exec", "open", …
	When     string       `yaml:"when"` // CEL, of type bool, over the fields of that point
	Action   Action       `yaml:"action"`
}

// StandardRule names a condition that comes with the program.
type StandardRule string

// The standard rules.
const (
	RuleUnknownBinary  StandardRule = "unknown-binary"  // a program is executed whose SHA-256 is not in Audit.Binaries
	RuleSecretOpened   StandardRule = "secret-opened"   // a path to secrets is opened, whether that succeeds or not
	RuleConnectOutside StandardRule = "connect-outside" // a connection to anything but the policy's sockets is tried
)

// Action is what a rule does. All of them write an alert into the record.
type Action string

// The actions, from the mildest on.
const (
	ActionAlert Action = "alert"
	ActionPause Action = "pause" // frozen, for a person to look at, until it is stopped
	ActionKill  Action = "kill"
)

var actions = []Action{ActionAlert, ActionPause, ActionKill}

// Bounds of rules. The cost is CEL's own: at most about ten milliseconds for one event.
const (
	maxRules = 64
	maxWhen  = 1024
	ruleCost = 200_000
)

// standardRules are conditions in the same language as a policy's own. A unix socket that nobody listens on (errno 2,
// 111) is not outside: the C library asks for nscd's before it reads a file.
var standardRules = map[StandardRule]Rule{
	RuleUnknownBinary:  {On: "exec", When: `!(sha256 in binaries)`},
	RuleSecretOpened:   {On: "open", When: `target.contains("` + SecretFolder + `")`},
	RuleConnectOutside: {On: "connect", When: `!(address in services) && !(address.startsWith("unix:") && errno in [2, 111])`},
}

// resolved is the rule with its condition.
func (r Rule) resolved() Rule {
	if known, ok := standardRules[r.Standard]; ok {
		r.Name, r.On, r.When = string(r.Standard), known.On, known.When
	}
	return r
}

// FieldType is the type of an event's field, as rules see it.
type FieldType uint8

// The types: int64, bool, string and []string of Go.
const (
	FieldInt FieldType = iota + 1
	FieldBool
	FieldText
	FieldTexts
)

var celTypes = map[FieldType]*cel.Type{
	FieldInt: cel.IntType, FieldBool: cel.BoolType, FieldText: cel.StringType, FieldTexts: cel.ListType(cel.StringType),
}

// FieldTarget is a field that no event has: its path, made absolute by the folder that it starts from.
const FieldTarget = "target"

// RuleFields are the fields of a point's events that rules may use, by name; nil where there is no such point.
func RuleFields(point string) map[string]FieldType {
	own, ok := pointFields[point]
	if !ok {
		return nil
	}
	all := map[string]FieldType{
		"task": FieldInt, "process": FieldInt, "parent": FieldInt, "uid": FieldInt, "gid": FieldInt,
		"folder": FieldText, "command": FieldText, "exec_session": FieldBool,
	}
	for name, t := range own {
		all[name] = t
	}
	return all
}

var pointFields = map[string]map[string]FieldType{
	"start":      {"argv": FieldTexts},
	"clone":      {"new_task": FieldInt, "new_process": FieldInt, "flags": FieldInt},
	"exec":       {FieldTarget: FieldText, "path": FieldText, "argv": FieldTexts, "sha256": FieldText, "in_memory": FieldBool, "mode": FieldInt, "size": FieldInt},
	"exit":       {"status": FieldInt},
	"open":       {FieldTarget: FieldText, "path": FieldText, "flags": FieldInt, "mode": FieldInt, "result": FieldInt, "errno": FieldInt},
	"chdir":      {FieldTarget: FieldText, "path": FieldText, "errno": FieldInt},
	"chroot":     {FieldTarget: FieldText, "path": FieldText, "errno": FieldInt},
	"connect":    {"address": FieldText, "result": FieldInt, "errno": FieldInt},
	"bind":       {"address": FieldText, "errno": FieldInt},
	"listen":     {"address": FieldText, "errno": FieldInt},
	"accept":     {"address": FieldText, "result": FieldInt, "errno": FieldInt},
	"socket":     {"domain": FieldInt, "type": FieldInt, "protocol": FieldInt, "errno": FieldInt},
	"socketpair": {"domain": FieldInt, "type": FieldInt, "errno": FieldInt},
	"setid":      {"id": FieldInt, "errno": FieldInt},
	"setresid":   {"rid": FieldInt, "eid": FieldInt, "sid": FieldInt, "errno": FieldInt},
	"prlimit":    {"pid": FieldInt, "resource": FieldInt, "errno": FieldInt},
	"ptrace":     {"request": FieldInt, "pid": FieldInt, "errno": FieldInt},
	"map":        {"path": FieldText, "mode": FieldInt},
}

// pointSet is the set of events that a point comes with; those that are always recorded have none.
var pointSet = map[string]EventSet{
	"open": EventsFile, "chdir": EventsFile, "chroot": EventsFile,
	"connect": EventsNetwork, "bind": EventsNetwork, "listen": EventsNetwork, "accept": EventsNetwork, "socket": EventsNetwork,
	"socketpair": EventsNetwork, "setid": EventsIdentity, "setresid": EventsIdentity, "prlimit": EventsIdentity,
	"ptrace": EventsIdentity, "map": EventsMemory,
}

// Fired is a rule that fired.
type Fired struct {
	Rule   string
	Action Action
	Fault  string // why it could not be decided; empty: it was
}

// Rules are a policy's, compiled. Safe for concurrent use.
type Rules struct {
	byPoint   map[string][]compiledRule
	strictest Fired // of all
}

type compiledRule struct {
	fired   Fired
	program cel.Program
}

// Rules compiles the policy's rules. Parse has done so once, so that a rule that is not of its type is an error of the
// document.
func (p *Policy) Rules() (*Rules, error) {
	all := &Rules{byPoint: map[string][]compiledRule{}}
	constants := p.ruleConstants()
	for i, r := range p.Audit.Rules {
		r = r.resolved()
		program, err := compileRule(r, constants)
		if err != nil {
			return nil, fmt.Errorf("%w: audit.rules[%d]: %w", ErrPolicy, i, err)
		}
		one := compiledRule{Fired{Rule: r.Name, Action: r.Action}, program}
		all.byPoint[r.On] = append(all.byPoint[r.On], one)
		if slices.Index(actions, r.Action) > slices.Index(actions, all.strictest.Action) {
			all.strictest = one.fired
		}
	}
	return all, nil
}

// ruleConstants are what rules know of the policy.
func (p *Policy) ruleConstants() map[string][]string {
	secrets, services := []string{}, []string{}
	for _, s := range p.Secrets {
		secrets = append(secrets, SecretFolder+"/"+s.Name)
	}
	for _, s := range p.Network.Sockets {
		services = append(services, "unix:"+SocketFolder+"/"+s.Name)
	}
	return map[string][]string{"binaries": p.Audit.Binaries, "secrets": secrets, "services": services}
}

func compileRule(r Rule, constants map[string][]string) (cel.Program, error) {
	fields := RuleFields(r.On)
	if fields == nil {
		return nil, fmt.Errorf("there are no events %q", clip(r.On))
	}
	options := []cel.EnvOption{cel.ParserExpressionSizeLimit(maxWhen), cel.ParserRecursionLimit(50)}
	for name, t := range fields {
		options = append(options, cel.Variable(name, celTypes[t]))
	}
	for name, list := range constants {
		options = append(options, cel.Constant(name, celTypes[FieldTexts], types.NewStringList(types.DefaultTypeAdapter, list)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("make the language of rules: %w", err)
	}
	tree, issues := env.Compile(r.When)
	if issues != nil && issues.Err() != nil {
		var said []string
		for _, one := range issues.Errors() {
			said = append(said, fmt.Sprintf("%s (column %d)", one.Message, one.Location.Column()+1))
		}
		return nil, errors.New(strings.Join(said, "; "))
	}
	if !tree.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("the condition is of type %s, want bool", tree.OutputType())
	}
	program, err := env.Program(tree, cel.CostLimit(ruleCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("plan the condition: %w", err)
	}
	return program, nil
}

// Fields gives the values of one event's fields: int64, bool, string or []string by their type. A field that has none,
// because it does not fit, is an error.
type Fields interface {
	Field(name string) (any, error)
}

// On tells whether there are rules over events of a point.
func (r *Rules) On(point string) bool { return len(r.byPoint[point]) > 0 }

// Judge returns the rules that fire for one event. A rule that has no value fires, too.
func (r *Rules) Judge(point string, event Fields) []Fired {
	var all []Fired
	for _, one := range r.byPoint[point] {
		a := activation{event: event}
		out, _, err := one.program.Eval(&a)
		if err = errors.Join(a.err, err); err != nil {
			one.fired.Fault = clip(err.Error())
			all = append(all, one.fired)
		} else if out != types.False {
			all = append(all, one.fired)
		}
	}
	return all
}

// Unread returns what fires for an event that was lost or can't be read, so that no rule can judge it: the strictest of
// all. It is false where there are no rules.
func (r *Rules) Unread(why string) (Fired, bool) {
	f := r.strictest
	f.Fault = clip(why)
	return f, f.Rule != ""
}

// activation gives CEL the values of an event.
type activation struct {
	event Fields
	err   error
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	v, err := a.event.Field(name)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
	return v, err == nil
}

func (v *validator) rules(p *Policy) {
	v.want(len(p.Audit.Rules) <= maxRules, "audit.rules: %d, at most %d", len(p.Audit.Rules), maxRules)
	v.want(len(p.Audit.Binaries) <= maxItems, "audit.binaries: %d, at most %d", len(p.Audit.Binaries), maxItems)
	for _, b := range p.Audit.Binaries {
		v.want(hashForm.MatchString(b), "audit.binaries: %q is no SHA-256 of 64 lower-case hex digits", clip(b))
	}
	names := map[string]bool{}
	for i, r := range p.Audit.Rules {
		where := fmt.Sprintf("audit.rules[%d]", i)
		_, known := standardRules[r.Standard]
		v.want(r.Standard == "" || known, "%s.standard: %q is none of unknown-binary, secret-opened, connect-outside", where, clip(string(r.Standard)))
		v.want(r.Standard == "" || r.Name == "" && r.On == "" && r.When == "", "%s: a standard rule has a name, events and a condition of its own", where)
		r = r.resolved()
		v.want(ValidName(r.Name) && !names[r.Name], "%s.name: %q is no DNS label, or there twice", where, clip(r.Name))
		names[r.Name] = true
		v.want(slices.Contains(actions, r.Action), "%s.action: %q is none of alert, pause, kill", where, clip(string(r.Action)))
		v.want(r.Standard != RuleUnknownBinary || len(p.Audit.Binaries) > 0, "%s: needs audit.binaries", where)
		if set, ok := pointSet[r.On]; ok {
			v.want(slices.Contains(p.Audit.Events, set), "%s: %s events are not recorded; add %s to audit.events", where, r.On, set)
		}
		if len(r.When) > maxWhen {
			v.want(false, "%s.when: %d bytes, at most %d", where, len(r.When), maxWhen)
			return // what is longer is not compiled
		}
	}
	if len(v.faults) == 0 && len(p.Audit.Rules) > 0 {
		_, err := p.Rules()
		if err != nil {
			v.faults = append(v.faults, strings.TrimPrefix(err.Error(), ErrPolicy.Error()+": "))
		}
	}
}
