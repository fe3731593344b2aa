package watch

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// compiler turns a checked expression into Go closures: a comparison costs a few nanoseconds instead of the
// microseconds of CEL's interpreter, and whole numbers have 128 bits. What it doesn't know it leaves to CEL (ok false).
type compiler struct {
	*language
	tree *ast.AST
	err  error
}

// condition compiles what is true or false.
func (c *compiler) condition(e ast.Expr) (boolRule, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		b, ok := e.AsLiteral().(types.Bool)
		return func(*vars) bool { return bool(b) }, ok
	case ast.SelectKind:
		return c.has(e.AsSelect())
	case ast.CallKind:
		return c.logic(e.AsCall())
	default:
		return nil, false
	}
}

func (c *compiler) logic(call ast.CallExpr) (boolRule, bool) {
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		a, ok := c.condition(args[0])
		b, okB := c.condition(args[1])
		if call.FunctionName() == operators.LogicalAnd {
			return func(v *vars) bool { return a(v) && b(v) }, ok && okB
		}
		return func(v *vars) bool { return a(v) || b(v) }, ok && okB
	case operators.LogicalNot:
		a, ok := c.condition(args[0])
		return func(v *vars) bool { return !a(v) }, ok
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.comparison(call.FunctionName(), args[0], args[1])
	default:
		return nil, false
	}
}

// wanted are the results of a comparison for which an operator is true: bit 0 less, bit 1 equal, bit 2 greater.
func wanted(operator string) uint {
	switch operator {
	case operators.Equals:
		return 2
	case operators.NotEquals:
		return 5
	case operators.Less:
		return 1
	case operators.LessEquals:
		return 3
	case operators.Greater:
		return 4
	default:
		return 6
	}
}

func (c *compiler) comparison(operator string, left, right ast.Expr) (boolRule, bool) {
	want := wanted(operator)
	if c.isInt(left) && c.isInt(right) || (want == 2 || want == 5) && (c.isAccount(left) || c.isAccount(right)) {
		a, ok := c.number(left)
		b, okB := c.number(right)
		if !ok || !okB {
			return nil, false
		}
		if k, constant := c.constant(right); constant && want == 2 {
			return func(v *vars) bool { return a(v) == k }, true // the hot one: a field is a value
		}
		return func(v *vars) bool { return want>>(a(v).compare(b(v))+1)&1 == 1 }, true
	}
	if want != 2 && want != 5 {
		return nil, false
	}
	a, ok := c.text(left)
	b, okB := c.text(right)
	return func(v *vars) bool { return (a(v) == b(v)) == (want == 2) }, ok && okB
}

func (c *compiler) isInt(e ast.Expr) bool { return c.tree.GetType(e.ID()).IsExactType(cel.IntType) }

// isAccount reports whether an expression is a variable that holds an id.
func (c *compiler) isAccount(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && c.vars[e.AsIdent()].typ == cel.StringType && c.vars[e.AsIdent()].number != nil
}

// constant returns a literal number, or id.
func (c *compiler) constant(e ast.Expr) (number, bool) {
	if e.Kind() != ast.LiteralKind {
		return number{}, false
	}
	switch k := e.AsLiteral().(type) {
	case types.Int:
		return numberOf(int64(k)), true
	case types.String:
		a, err := count.Parse(string(k))
		if err != nil && c.err == nil {
			c.err = fmt.Errorf("%q is compared with an account: want an id in decimal", string(k))
		}
		return positive(a), err == nil
	default:
		return number{}, false
	}
}

// number compiles a whole number, or an account.
func (c *compiler) number(e ast.Expr) (numberRule, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		k, ok := c.constant(e)
		return func(*vars) number { return k }, ok
	case ast.IdentKind:
		v := c.vars[e.AsIdent()]
		return v.number, v.number != nil
	case ast.SelectKind:
		return c.term(e.AsSelect())
	case ast.CallKind:
		return c.arithmetic(e.AsCall())
	default:
		return nil, false
	}
}

func (c *compiler) arithmetic(call ast.CallExpr) (numberRule, bool) {
	args := call.Args()
	if call.FunctionName() == operators.Conditional {
		test, ok := c.condition(args[0])
		a, okA := c.number(args[1])
		b, okB := c.number(args[2])
		return func(v *vars) number {
			if test(v) {
				return a(v)
			}
			return b(v)
		}, ok && okA && okB
	}
	a, ok := c.number(args[0])
	if call.FunctionName() == operators.Negate {
		return func(v *vars) number { return a(v).negate() }, ok
	}
	if !ok || len(args) != 2 {
		return nil, false
	}
	b, ok := c.number(args[1])
	apply := operation(call.FunctionName())
	if !ok || apply == nil {
		return nil, false
	}
	return func(v *vars) number {
		n, ok := apply(a(v), b(v))
		if !ok {
			v.fail("overflow, or a division by zero")
		}
		return n
	}, true
}

// operation returns what an operator does with two numbers; nil: it is unknown.
func operation(name string) func(a, b number) (number, bool) {
	switch name {
	case operators.Add:
		return number.add
	case operators.Subtract:
		return func(a, b number) (number, bool) { return a.add(b.negate()) }
	case operators.Multiply:
		return number.mul
	case operators.Divide:
		return func(a, b number) (number, bool) { q, _, ok := a.div(b); return q, ok }
	case operators.Modulo:
		return func(a, b number) (number, bool) { _, r, ok := a.div(b); return r, ok }
	case callAtLeast:
		return func(a, b number) (number, bool) {
			if a.compare(b) >= 0 {
				return a, true
			}
			return b, true
		}
	case callAtMost:
		return func(a, b number) (number, bool) {
			if a.compare(b) <= 0 {
				return a, true
			}
			return b, true
		}
	default:
		return nil
	}
}

// term compiles terms.NAME.
func (c *compiler) term(s ast.SelectExpr) (numberRule, bool) {
	i, ok := c.selected(s)
	name := s.FieldName()
	return func(v *vars) number {
		if v.termsPresent>>i&1 == 0 {
			v.fail("the order has no term %s", name)
			return number{}
		}
		return numberOf(v.terms[i])
	}, ok && !s.IsTestOnly()
}

// has compiles has(terms.NAME).
func (c *compiler) has(s ast.SelectExpr) (boolRule, bool) {
	i, ok := c.selected(s)
	return func(v *vars) bool { return v.termsPresent>>i&1 == 1 }, ok && s.IsTestOnly()
}

func (c *compiler) selected(s ast.SelectExpr) (index int, ok bool) {
	if c.terms == nil || s.Operand().Kind() != ast.IdentKind || s.Operand().AsIdent() != "terms" {
		return 0, false
	}
	i, err := c.termIndex(s.FieldName())
	if err != nil && c.err == nil {
		c.err = err
	}
	return i, err == nil
}

func (c *compiler) text(e ast.Expr) (textRule, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		s, ok := e.AsLiteral().(types.String)
		return func(*vars) string { return string(s) }, ok
	case ast.IdentKind:
		v := c.vars[e.AsIdent()]
		return v.text, v.text != nil
	default:
		return nil, false
	}
}

// allTerms keeps places for the terms that an expression of CEL names, terms.NAME and terms["NAME"].
func (l *language) allTerms(tree *cel.Ast) error {
	var err error
	ast.PostOrderVisit(tree.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name := ""
		switch {
		case e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() == ast.IdentKind && e.AsSelect().Operand().AsIdent() == "terms":
			name = e.AsSelect().FieldName()
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index && e.AsCall().Args()[1].Kind() == ast.LiteralKind:
			s, _ := e.AsCall().Args()[1].AsLiteral().(types.String)
			name = string(s)
		}
		if name != "" {
			if _, fault := l.termIndex(name); err == nil {
				err = fault
			}
		}
	}))
	return err
}
