package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/sandbox"
)

var site = sandbox.Site{ID: "box-1", Root: "/state/box-1/root", AuditSocket: "/state/box-1/audit.sock", Cgroup: "/sterling-sandbox/box-1", Listen: "/state/box-1/listen"}

// TestPolicies runs the scripts in testdata: documents, and what becomes of them.
func TestPolicies(t *testing.T) {
	rules := schema(t)
	datadriven.Walk(t, "testdata/policies", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p, err := sandbox.Parse([]byte(d.Input))
			if err == nil {
				if err := accepts(rules, []byte(d.Input)); err != nil {
					t.Errorf("%s: Parse accepts what the schema refuses: %v", d.Pos, err)
				}
				p.Resolve("/srv/policies")
				p.Broker("/state/box-1/services")
			}
			switch {
			case err != nil && !errors.Is(err, sandbox.ErrPolicy):
				t.Fatalf("%s: %v does not wrap ErrPolicy", d.Pos, err)
			case err != nil:
				return "error: " + err.Error()
			case d.Cmd == "check":
				return checked(p)
			case d.Cmd == "compile":
				at := site
				if p.Root.Image != "" {
					at.RootFile = "/state/box-1/root.erofs"
				}
				plan, err := sandbox.Compile(p, at)
				if err != nil {
					return "error: " + err.Error()
				}
				return fmt.Sprintf("%s\n-- config.json\n%s-- trace.json\n%s", strings.Join(plan.Flags, "\n"), plan.Spec, plan.Trace)
			case d.Cmd == "manifest":
				manifest, seccomp, err := p.Manifest()
				if err != nil {
					return "error: " + err.Error()
				}
				return fmt.Sprintf("%s-- seccomp.json\n%s", manifest, seccomp)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func checked(p *sandbox.Policy) string {
	var b strings.Builder
	for _, f := range sandbox.Check(p) {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Field, f.Why)
	}
	return b.String()
}

// TestSchemaRefuses: what is a fault of form for Parse is one for the schema.
func TestSchemaRefuses(t *testing.T) {
	rules := schema(t)
	good := "{version: 1, name: a, root: {image: i}, command: [x], limits: {cpu: 1, memory: 64MiB, processes: 64}}"
	if err := accepts(rules, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ from, to string }{
		{"version: 1", "version: 2"},
		{"name: a", "name: A"},
		{"image: i", "image: i, directory: d"},
		{"image: i", "directory: d, digest: sha256:00"},
		{"command: [x]", "command: []"},
		{"cpu: 1", "cpu: '01'"},
		{"memory: 64MiB", "memory: 64MB"},
		{"processes: 64", "processes: 1"},
		{"processes: 64", "processes: 64, swap: 1GiB"},
		{"command: [x]", "command: [x], user: {uid: -1}"},
		{"command: [x]", "command: [x], mounts: [{target: /a}]"},
		{"command: [x]", "command: [x], mounts: [{target: /a, memory: 1MiB}]"},
		{"command: [x]", "command: [x], environment: {'A=B': c}"},
		{"command: [x]", "command: [x], time_limit: 5"},
		{"command: [x]", "command: [x], audit: {when_behind: never}"},
		{"command: [x]", "command: [x], syscalls: {deny: ['a b']}"},
	} {
		bad := strings.Replace(good, change.from, change.to, 1)
		if bad == good {
			t.Fatalf("%q changes nothing", change.to)
		}
		if _, err := sandbox.Parse([]byte(bad)); !errors.Is(err, sandbox.ErrPolicy) {
			t.Errorf("Parse accepts %s: %v", bad, err)
		}
		if accepts(rules, []byte(bad)) == nil {
			t.Errorf("the schema accepts %s", bad)
		}
	}
}

// TestCompileWantsAbsolutePaths: a relative path would be the runner's working directory.
func TestCompileWantsAbsolutePaths(t *testing.T) {
	p, err := sandbox.Parse([]byte("{version: 1, name: a, root: {image: i}, command: [x], secrets: [{name: s, file: f}], " +
		"limits: {cpu: 1, memory: 64MiB, processes: 64}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.Compile(p, site); !errors.Is(err, sandbox.ErrPolicy) {
		t.Errorf("relative secret: %v", err)
	}
	p.Resolve("/x")
	if _, err := sandbox.Compile(p, site); err != nil {
		t.Errorf("resolved: %v", err)
	}
	for _, bad := range []sandbox.Site{
		{ID: "a/b", Root: "/r", AuditSocket: "/s", Cgroup: "/c"},
		{ID: "a", Root: "r", AuditSocket: "/s", Cgroup: "/c"},
		{ID: "a", Root: "/r", Cgroup: "/c"},
		{ID: "a", Root: "/r", AuditSocket: "/s"},
		{ID: "a", Root: "/r", RootFile: "f", AuditSocket: "/s", Cgroup: "/c"},
	} {
		if _, err := sandbox.Compile(p, bad); !errors.Is(err, sandbox.ErrPolicy) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// FuzzParse: no document crashes anything, and what Parse accepts, Compile can encode.
func FuzzParse(f *testing.F) {
	f.Add([]byte("{version: 1, name: a, root: {image: i}, command: [x], limits: {cpu: 1.25, memory: 64MiB, processes: 64}}"))
	f.Add([]byte("{version: 1, name: a, root: {directory: /}, command: [x], mounts: [{target: /a, memory: 1GiB, writable: true}], " +
		"network: {sockets: [{name: a, path: b}]}, syscalls: {deny: [ptrace]}, audit: {events: [file], when_behind: stop}, " +
		"time_limit: 90s, limits: {cpu: 1024, memory: 4194303TiB, processes: 100000}}"))
	f.Add([]byte("{version: 1, name: a, root: {image: i}, command: [x], limits: {cpu: 1, memory: 64MiB, processes: 64}, " +
		"network: {services: [b], egress: [{name: c, address: '[::1]:443'}, {name: d, address: 'bank.example:443'}], listen: [http]}}"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte("---\n---\n"))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := sandbox.Parse(document)
		if err != nil {
			if !errors.Is(err, sandbox.ErrPolicy) {
				t.Fatalf("%v does not wrap ErrPolicy", err)
			}
			return
		}
		p.Resolve("/srv")
		p.Broker("/run/brokers")
		plan, err := sandbox.Compile(p, site)
		if errors.Is(err, sandbox.ErrRefused) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(plan.Spec) || !json.Valid(plan.Trace) {
			t.Fatal("the plan is no JSON")
		}
	})
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(sandbox.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// accepts judges a YAML document by the schema.
func accepts(s *jsonschema.Schema, document []byte) error {
	var v any
	if err := yaml.Unmarshal(document, &v); err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return err
	}
	return s.Validate(v)
}
