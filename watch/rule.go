package watch

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxLegs     = 8 // that a flow declares
	maxTerms    = 8 // that a flow's rules name
	maxExpr     = 1_024
	ruleCost    = 10_000 // CEL's own units; a comparison costs about 3
	callAtLeast = "max"
	callAtMost  = "min"
)

// errCompute is a rule that has no value: an overflow, a division by zero, a term that the order lacks.
var errCompute = errors.New("rule without a value")

// vars are what an expression sees. One is used again and again, and belongs to the engine.
type vars struct {
	movement *Movement
	asset    string // of the movement

	order        *fact
	orderAsset   string
	moved        Amount
	legs         [maxLegs]Amount
	receipts     Amount
	payment      paid
	terms        *[maxTerms]int64
	termsPresent uint8

	err error // of the evaluation that runs; the first counts
}

// paid is what a refund's payment did.
type paid struct {
	found         bool
	debit, credit ID
	moved         Amount
	at            place
}

func (v *vars) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf("%w: "+format, append([]any{errCompute}, args...)...)
	}
}

// The three kinds of compiled expressions. Accounts and keys are numbers.
type (
	numberRule func(*vars) number
	boolRule   func(*vars) bool
	textRule   func(*vars) string
)

// variable is a name that expressions may use.
type variable struct {
	typ    *cel.Type
	number numberRule // of an int, or of an account (a decimal text in CEL)
	text   textRule
}

// language is a set of variables with its compiler.
type language struct {
	vars  map[string]variable
	terms *[]string // names of terms in use, filled by the compiler; nil: terms are unknown here
	env   *cel.Env
}

func newLanguage(variables map[string]variable, terms *[]string) (*language, error) {
	binary := []*cel.Type{cel.IntType, cel.IntType}
	pick := func(name string, first func(a, b types.Int) bool) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_int_int", binary, cel.IntType, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			x, y := a.(types.Int), b.(types.Int)
			if first(x, y) {
				return x
			}
			return y
		})))
	}
	options := []cel.EnvOption{
		pick(callAtLeast, func(a, b types.Int) bool { return a >= b }),
		pick(callAtMost, func(a, b types.Int) bool { return a <= b }),
		cel.ParserExpressionSizeLimit(maxExpr), cel.ParserRecursionLimit(50),
	}
	for name, v := range variables {
		options = append(options, cel.Variable(name, v.typ))
	}
	if terms != nil {
		options = append(options, cel.Variable("terms", cel.MapType(cel.StringType, cel.IntType)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("make the language of rules: %w", err)
	}
	return &language{vars: variables, terms: terms, env: env}, nil
}

// checked parses and type-checks an expression.
func (l *language) checked(text string, want *cel.Type) (*cel.Ast, error) {
	if len(text) > maxExpr {
		return nil, fmt.Errorf("an expression of %d bytes: at most %d", len(text), maxExpr)
	}
	tree, issues := l.env.Compile(text)
	if issues != nil && issues.Err() != nil {
		var lines []string
		for _, one := range issues.Errors() {
			lines = append(lines, fmt.Sprintf("%s (column %d of the expression)", one.Message, one.Location.Column()+1))
		}
		return nil, errors.New(strings.Join(lines, "; "))
	}
	if !tree.OutputType().IsExactType(want) {
		return nil, fmt.Errorf("the expression is of type %s: want %s", tree.OutputType(), want)
	}
	return tree, nil
}

// condition compiles an expression that is true or false. native says that it runs without CEL.
func (l *language) condition(text string) (rule boolRule, native bool, err error) {
	tree, err := l.checked(text, cel.BoolType)
	if err != nil {
		return nil, false, err
	}
	c := compiler{language: l, tree: tree.NativeRep()}
	rule, ok := c.condition(c.tree.Expr())
	if ok || c.err != nil {
		return rule, ok, c.err
	}
	run, err := l.program(tree)
	if err != nil {
		return nil, false, err
	}
	return func(v *vars) bool {
		b, ok := run(v).(types.Bool)
		return ok && bool(b)
	}, false, nil
}

// number compiles an expression of a whole number.
func (l *language) number(text string) (rule numberRule, native bool, err error) {
	tree, err := l.checked(text, cel.IntType)
	if err != nil {
		return nil, false, err
	}
	c := compiler{language: l, tree: tree.NativeRep()}
	rule, ok := c.number(c.tree.Expr())
	if ok || c.err != nil {
		return rule, ok, c.err
	}
	run, err := l.program(tree)
	if err != nil {
		return nil, false, err
	}
	return func(v *vars) number {
		n, _ := run(v).(types.Int)
		return numberOf(int64(n))
	}, false, nil
}

// program runs an expression by CEL itself, at a bounded cost. A fault is v.err.
func (l *language) program(tree *cel.Ast) (func(*vars) ref.Val, error) {
	p, err := l.env.Program(tree, cel.CostLimit(ruleCost))
	if err != nil {
		return nil, fmt.Errorf("plan the expression: %w", err)
	}
	if l.terms != nil {
		if err := l.allTerms(tree); err != nil {
			return nil, err
		}
	}
	return func(v *vars) ref.Val {
		out, _, err := p.Eval(&activation{l, v})
		if err != nil {
			v.fail("%v", err)
			return nil
		}
		return out
	}, nil
}

// activation gives CEL the values of variables.
type activation struct {
	*language
	v *vars
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	if name == "terms" && a.terms != nil {
		values := make(map[string]int64, len(*a.terms))
		for i, term := range *a.terms {
			if a.v.termsPresent>>i&1 == 1 {
				values[term] = a.v.terms[i]
			}
		}
		return values, true
	}
	one, ok := a.vars[name]
	switch {
	case !ok:
		return nil, false
	case one.text != nil:
		return one.text(a.v), true
	case one.typ == cel.StringType: // an account: its decimal form
		return one.number(a.v).size.String(), true
	}
	n, ok := one.number(a.v).small()
	if !ok {
		a.v.fail("%s has more than 63 bits", name)
	}
	return n, true
}

// termIndex returns where a term is kept.
func (l *language) termIndex(name string) (int, error) {
	for i, known := range *l.terms {
		if known == name {
			return i, nil
		}
	}
	if len(*l.terms) == maxTerms {
		return 0, fmt.Errorf("term %q: a flow's rules may name %d terms", name, maxTerms)
	}
	*l.terms = append(*l.terms, name)
	return len(*l.terms) - 1, nil
}
