package watch_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/watch"
)

func shipped(t testing.TB) []*watch.Flow {
	t.Helper()
	files, err := flows.Files()
	if err != nil {
		t.Fatal(err)
	}
	var list []*watch.Flow
	for _, f := range files {
		one, err := watch.Parse(f.Name, f.Text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func TestShippedFlowsParse(t *testing.T) {
	list := shipped(t)
	if len(list) != 12 {
		t.Errorf("%d flows", len(list))
	}
	for _, f := range list {
		if slow := f.Interpreted(); len(slow) > 0 {
			t.Errorf("flow %s: in the interpreter: %q", f.Name, slow)
		}
	}
	if _, err := watch.New(watch.Options{Flows: list}); err != nil {
		t.Error(err)
	}
}

const plain = `flow: card
transfers: code == 3
key: user_data_128
order: {source: orders, deadline: 5s}
legs:
  - {name: payment, from: order.debit, to: order.credit, amount: order.amount}
`

func TestParseSaysWhereAndWhy(t *testing.T) {
	for _, c := range []struct{ change, to, want string }{
		{"code == 3", "code == \"3\"", "f.yaml:2:12: transfers: found no matching overload"},
		{"code == 3", "amount", "f.yaml:2:12: transfers: the expression is of type int: want bool"},
		{"code == 3", "cod == 3", "f.yaml:2:12: transfers: undeclared reference to 'cod'"},
		{"code == 3", "debit == \"abc\"", "want an id in decimal"},
		{"key: user_data_128", "key: ud", `f.yaml:3:6: key: "ud": want user_data_128`},
		{"deadline: 5s", "deadline: 5", `f.yaml:4:35: order.deadline: "5": want a duration`},
		{"key: user_data_128", "key: user_data_128\nsince: yesterday", `f.yaml:4:8: since: "yesterday": want a time such as`},
		{"deadline: 5s", "dead: 5s", `f.yaml:4:25: order: unknown field "dead": want one of source, deadline`},
		{"flow: card", "flow: Card", `f.yaml:1:7: flow: "Card": want lower-case`},
		{"amount: order.amount", "amount: order.amont", "undeclared reference"},
		{"from: order.debit", "from: order.debtor", `f.yaml:6:27: leg.from: "order.debtor": want order.debit`},
		{"name: payment", "name: moved", "is taken"},
		{"name: payment", "name: payment, fee: true", "one must not be a fee"},
		{"name: payment", "name: payment, classes: {wrong_amount: wronger}", `"wronger" is no class`},
		{"flow: card", "flow: card\nflow: card", "stands twice"},
		{"flow: card", "flow: card\nrefund_of: card", "can't pay itself back"},
		{"order: {source: orders, deadline: 5s}\n", "", "order.debit and order.credit need an order"},
		{"flow: card", "flow: card\n---\nx: y", "a second document"},
		{"flow: card", "flow: [card", "did not find expected"},
	} {
		_, err := watch.Parse("f.yaml", []byte(strings.Replace(plain, c.change, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, watch.ErrFlow) {
			t.Errorf("%q instead of %q: %v, want %q", c.to, c.change, err, c.want)
		}
	}
}

func TestParseLeavesTheRestToCEL(t *testing.T) {
	f, err := watch.Parse("f.yaml", []byte(strings.Replace(plain, "code == 3", "code in [3, 4]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Interpreted(); len(got) != 1 || got[0] != "code in [3, 4]" {
		t.Errorf("interpreted: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	files, err := flows.Files()
	if err != nil {
		f.Fatal(err)
	}
	for _, one := range files {
		f.Add(one.Text)
	}
	f.Add([]byte(plain))
	f.Add([]byte("- a"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		flow, err := watch.Parse("f.yaml", text)
		if (flow == nil) == (err == nil) || err != nil && !errors.Is(err, watch.ErrFlow) {
			t.Errorf("flow %v, error %v", flow, err)
		}
		if flow != nil && (flow.Name == "" || flow.Definition() != string(text)) {
			t.Errorf("flow %q of %q", flow.Name, flow.Definition())
		}
	})
}

// Every class is explained in the reference, and none of the constants is left out of Classes.
func TestClassesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("classes.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := regexp.MustCompile(`Class += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(constants) != len(watch.Classes()) {
		t.Errorf("%d constants, %d in Classes", len(constants), len(watch.Classes()))
	}
	for _, c := range watch.Classes() {
		if !strings.Contains(string(page), "`"+string(c)+"`") {
			t.Errorf("docs/watch.md does not explain %s", c)
		}
	}
}
