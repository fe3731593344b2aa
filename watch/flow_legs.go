package watch

import (
	"regexp"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/watch/internal/books"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

func (p *parser) legs(root, n *yaml.Node) {
	list := p.sequence(n, "legs", maxLegs)
	if len(list) == 0 {
		p.fail(root, "legs: a flow has 1 to %d", maxLegs)
	}
	p.flow.main = -1
	for i, one := range list {
		fields := p.mapping(one, "leg", "name", "when", "from", "to", "amount", "asset", "fee", "at_most", "parts", "optional", "together", "classes")
		l := leg{
			name: p.name(fields["name"], "leg.name"), when: p.condition(p.movement, fields["when"], "leg.when"),
			from: p.party(fields["from"], "leg.from"), to: p.party(fields["to"], "leg.to"),
			amount: p.number(fields["amount"], "leg.amount"),
			fee:    p.boolean(fields["fee"], "leg.fee"), atMost: p.boolean(fields["at_most"], "leg.at_most"),
			parts: p.boolean(fields["parts"], "leg.parts"), optional: p.boolean(fields["optional"], "leg.optional"),
			together: p.boolean(fields["together"], "leg.together"),
		}
		if when := fields["when"]; when != nil {
			l.data32 = data32Of(when.Value)
		}
		if l.name == "" {
			p.fail(one, "leg.name: missing")
		}
		l.asset = p.scalar(fields["asset"], "leg.asset", 32)
		if l.asset == "order.asset" {
			l.asset = ""
		}
		l.classes = p.classes(fields["classes"])
		if p.flow.main < 0 && !l.fee {
			p.flow.main = i
		}
		p.flow.legs = append(p.flow.legs, l)
	}
	if p.flow.main < 0 {
		p.fail(root, "legs: one must not be a fee: it is the main one")
	}
}

var onlyData32 = regexp.MustCompile(`^[^|!?]*\buser_data_32\s*==\s*(\d{1,10})\b[^|!?]*$`)

// data32Of returns the one user_data_32 for which a condition can be true, where it says so plainly. Repairs carry it.
func data32Of(when string) uint32 {
	m := onlyData32.FindStringSubmatch(when)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseUint(m[1], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (p *parser) party(n *yaml.Node, what string) party {
	text := p.scalar(n, what, 64)
	switch text {
	case "":
		return party{}
	case "order.debit":
		return party{of: orderDebit}
	case "order.credit":
		return party{of: orderCredit}
	case "payment.debit":
		return party{of: paymentDebit}
	case "payment.credit":
		return party{of: paymentCredit}
	}
	id, err := count.Parse(text)
	if err != nil {
		p.fail(n, "%s: %q: want order.debit, order.credit, payment.debit, payment.credit or an account id", what, text)
	}
	return party{of: fixed, account: count.IDOf(id)}
}

func (p *parser) class(n *yaml.Node, what string) Class {
	c := Class(p.scalar(n, what, 64))
	if n != nil && !slices.Contains(Classes(), c) {
		p.fail(n, "%s: %q is no class of breaks: see docs/watch.md", what, string(c))
	}
	return c
}

func (p *parser) classes(n *yaml.Node) map[Class]Class {
	if n == nil || p.err != nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "leg.classes: want classes and their special names, such as wrong_amount: wrong_interest")
		return nil
	}
	special := map[Class]Class{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		special[p.class(n.Content[i], "leg.classes")] = p.class(n.Content[i+1], "leg.classes")
	}
	return special
}

const maxRules = 16

func (p *parser) rules(n *yaml.Node) {
	for _, one := range p.sequence(n, "rules", maxRules) {
		fields := p.mapping(one, "rule", "class", "unless", "at")
		r := rule{class: p.class(fields["class"], "rule.class"), unless: p.condition(p.whole, fields["unless"], "rule.unless")}
		if fields["class"] == nil || fields["unless"] == nil {
			p.fail(one, "rule: want class and unless")
			return
		}
		r.text = fields["unless"].Value
		switch at := p.scalar(fields["at"], "rule.at", 16); at {
		case "", "moved":
		case "order":
			r.early = true
		default:
			p.fail(fields["at"], "rule.at: %q: want order or moved", at)
		}
		p.flow.rules = append(p.flow.rules, r)
	}
}

// consistent checks what single fields can't show.
func (p *parser) consistent(root *yaml.Node) {
	if p.err != nil {
		return
	}
	f := p.flow
	if f.refunds == f.Name {
		p.fail(root, "refund_of: a flow can't pay itself back")
	}
	if f.refunds != "" && f.order == nil {
		p.fail(root, "refund_of: the order names the payment, so order is required")
	}
	seen := map[string]bool{}
	for _, l := range f.legs {
		if seen[l.name] {
			p.fail(root, "legs: the name %q stands twice", l.name)
		}
		seen[l.name] = true
		for _, side := range []party{l.from, l.to} {
			if (side.of == orderDebit || side.of == orderCredit) && f.order == nil {
				p.fail(root, "leg %s: order.debit and order.credit need an order", l.name)
			}
			if (side.of == paymentDebit || side.of == paymentCredit) && f.refunds == "" {
				p.fail(root, "leg %s: payment.debit and payment.credit need refund_of", l.name)
			}
		}
	}
}

// movementVariables are the names in transfers and when.
func movementVariables() map[string]variable {
	number64 := func(get func(m *Movement) uint64) variable {
		return variable{typ: cel.IntType, number: func(v *vars) number { return positive(count.Of(get(v.movement))) }}
	}
	account := func(get func(m *Movement) ID) variable {
		return variable{typ: cel.StringType, number: func(v *vars) number { return idNumber(get(v.movement)) }}
	}
	phases := map[books.Phase]string{books.Single: "single", books.Reserve: "reserve", books.Capture: "capture", books.Release: "release", books.Expire: "expire", books.Leave: "release", books.Arrive: "reserve"}
	return map[string]variable{
		"code":          number64(func(m *Movement) uint64 { return uint64(m.Code) }),
		"flags":         number64(func(m *Movement) uint64 { return uint64(m.Flags) }),
		"user_data_32":  number64(func(m *Movement) uint64 { return uint64(m.UserData32) }),
		"user_data_64":  number64(func(m *Movement) uint64 { return m.UserData64 }),
		"amount":        {typ: cel.IntType, number: func(v *vars) number { return positive(v.movement.Amount) }},
		"user_data_128": account(func(m *Movement) ID { return m.UserData128 }),
		"id":            account(func(m *Movement) ID { return m.Transfer }),
		"debit":         account(func(m *Movement) ID { return m.Debit }),
		"credit":        account(func(m *Movement) ID { return m.Credit }),
		"asset":         {typ: cel.StringType, text: func(v *vars) string { return v.asset }},
		"phase":         {typ: cel.StringType, text: func(v *vars) string { return phases[v.movement.Phase] }},
	}
}

// caseVariables are the names in amounts and rules; those of legs come on top.
func caseVariables() map[string]variable {
	account := func(get func(v *vars) ID) variable {
		return variable{typ: cel.StringType, number: func(v *vars) number { return idNumber(get(v)) }}
	}
	order := func(get func(o *fact) ID) variable {
		return account(func(v *vars) ID {
			if v.order == nil {
				v.fail("there is no order")
				return ID{}
			}
			return get(v.order)
		})
	}
	return map[string]variable{
		"order.amount": {typ: cel.IntType, number: func(v *vars) number {
			if v.order == nil {
				v.fail("there is no order")
				return number{}
			}
			return positive(v.order.amount)
		}},
		"order.debit":    order(func(o *fact) ID { return o.debit }),
		"order.credit":   order(func(o *fact) ID { return o.credit }),
		"order.asset":    {typ: cel.StringType, text: func(v *vars) string { return v.orderAsset }},
		"moved":          {typ: cel.IntType, number: func(v *vars) number { return positive(v.moved) }},
		"receipt.amount": {typ: cel.IntType, number: func(v *vars) number { return positive(v.receipts) }},
		"payment.moved":  {typ: cel.IntType, number: func(v *vars) number { return positive(v.payment.moved) }},
		"payment.debit":  account(func(v *vars) ID { return v.payment.debit }),
		"payment.credit": account(func(v *vars) ID { return v.payment.credit }),
	}
}
