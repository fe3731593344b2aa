package flows_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/watch"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(flows.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFilesAreOfTheSchema(t *testing.T) {
	s := schema(t)
	files, err := flows.Files()
	if err != nil || len(files) != 12 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		var v any
		if err := yaml.Unmarshal(f.Text, &v); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// What the schema refuses, the parser refuses, and both take what is right.
func TestSchemaAndParserAgree(t *testing.T) {
	const good = "flow: a\ntransfers: code == 1\nkey: id\norder: {source: s, deadline: 5s}\nlegs:\n  - {name: b, from: order.debit, amount: order.amount}\n"
	s := schema(t)
	for _, c := range []struct{ old, new string }{
		{"", ""},
		{"flow: a", "flow: A"},
		{"key: id", "key: none"},
		{"key: id\n", ""},
		{"transfers: code == 1\n", ""},
		{"deadline: 5s", "deadline: 5"},
		{"deadline: 5s", "until: 5s"},
		{"from: order.debit", "from: somebody"},
		{"name: b", "name: b, fee: 1"},
		{"name: b", "name: b, classes: {wrong_amount: bad}"},
		{"legs:", "rules: [{class: wrong_amount}]\nlegs:"},
		{"legs:", "rules: [{class: wrong_interest, unless: moved > 0, at: never}]\nlegs:"},
		{"legs:", "sources: {s: {silence: 10s}}\nlegs:"},
		{"legs:", "receipt: {source: r, deadline: 1m30s, kind: statement, side: out}\nlegs:"},
		{"legs:", "receipt: {source: r, deadline: 1m, outcomes: [lost]}\nlegs:"},
		{"legs:", "settle: 5s\nlegs:"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		bySchema := s.Validate(v)
		_, byParser := watch.Parse("a.yaml", []byte(text))
		if (bySchema == nil) != (byParser == nil) {
			t.Errorf("%q: schema says %v, parser says %v", c.new, bySchema, byParser)
		}
	}
}

func TestSchemaKnowsEveryClass(t *testing.T) {
	for _, c := range watch.Classes() {
		if !bytes.Contains(flows.Schema, []byte(`"`+string(c)+`"`)) {
			t.Errorf("the schema lacks class %s", c)
		}
	}
}
