package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/supervisor/service"
)

const full = `
version: 1
name: orders
policy: policies/orders.yaml
replicas: 3
restart: on-failure
health:
- {socket: http, path: /healthz, every: 1s, timeout: 500ms, failures: 2}
- {socket: http}
- {exec: [/bin/check, --quick]}
start_time: 1m
update: {max_unavailable: 1, max_surge: 2}
mesh: {identity: "spiffe://bank.example/cell/c1/svc/orders", socket: http}
`

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(service.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("service.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("service.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accepts(t *testing.T, s *jsonschema.Schema, document string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(document), &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestParse(t *testing.T) {
	s, err := service.Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if s.Health[1].Failures != 3 || time.Duration(s.Health[2].Timeout) != 2*time.Second || s.Restart != service.RestartOnFailure {
		t.Errorf("%+v", s)
	}
	s, err = service.Parse([]byte("version: 1\nname: a\npolicy: p"))
	if err != nil || s.Replicas != 1 || s.Update.MaxSurge != 1 || s.Restart != service.RestartAlways || time.Duration(s.StartTime) != 30*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRefused: what Parse refuses, the schema does, too.
func TestRefused(t *testing.T) {
	rules := schema(t)
	if err := accepts(t, rules, full); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"version: 1\n":              "version: 2\n",
		"name: orders":              "name: orders-of-a-name-that-is-far-too-long",
		"policy: policies/orders":   "polices: orders",
		"replicas: 3":               "replicas: 65",
		"replicas: 3\n":             "replicas: -1\n",
		"on-failure":                "sometimes",
		"{socket: http}":            "{path: /x}",
		"{socket: http}\n":          "{socket: http, exec: [x]}\n",
		"{socket: http}\n-":         "{}\n-",
		"path: /healthz":            "path: healthz",
		"path: /healthz,":           "path: '/a b',",
		"failures: 2":               "failures: 101",
		"every: 1s":                 "every: 5",
		"max_unavailable: 1":        "max_unavailable: 65",
		"max_unavailable: 1, max_s": "cpu: 1, max_s",
		"identity: \"spiffe://":     "identity: \"https://",
		"start_time: 1m":            "start_time: soon",
	} {
		bad := strings.Replace(full, from, to, 1)
		if bad == full {
			t.Fatalf("%q changes nothing", to)
		}
		if _, err := service.Parse([]byte(bad)); !errors.Is(err, service.ErrSpec) {
			t.Errorf("Parse accepts %s: %v", to, err)
		}
		if accepts(t, rules, bad) == nil {
			t.Errorf("the schema accepts %s", to)
		}
	}
}

func TestFits(t *testing.T) {
	policy := func(network string) *sandbox.Policy {
		p, err := sandbox.Parse([]byte("{version: 1, name: a, root: {image: i}, command: [x], limits: {cpu: 1, memory: 64MiB, processes: 64}, network: " + network + "}"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s, err := service.Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fits(policy("{listen: [http], services: [rates]}")); err != nil {
		t.Error(err)
	}
	if err := s.Fits(policy("{listen: [metrics]}")); err == nil || strings.Count(err.Error(), "has no \"http\"") != 3 {
		t.Error(err)
	}
	s.Mesh = nil
	if err := s.Fits(policy("{listen: [http], services: [rates]}")); err == nil || !strings.Contains(err.Error(), "with an identity") {
		t.Error(err)
	}
}

func TestReplicaID(t *testing.T) {
	for _, name := range []string{"orders", "a-g1-n2", "n-g"} {
		id := service.ReplicaID(name, 12, 345)
		if of, g, n, ok := service.ParseReplica(id); !ok || of != name || g != 12 || n != 345 {
			t.Errorf("%s: %s %d %d %v", id, of, g, n, ok)
		}
	}
	for _, id := range []string{"", "orders", "orders-g1", "orders-g01-n1", "orders-g1-n0", "orders-n1-g1", "orders-g-1-n1"} {
		if _, _, _, ok := service.ParseReplica(id); ok {
			t.Errorf("%q is taken for a replica", id)
		}
	}
}

// FuzzParse: no document crashes anything, and what Parse accepts is within its bounds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1\nname: a\npolicy: p\nmesh: {}"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := service.Parse(document)
		if err != nil {
			if !errors.Is(err, service.ErrSpec) {
				t.Fatalf("%v does not wrap ErrSpec", err)
			}
			return
		}
		if !service.ValidName(s.Name) || s.Replicas < 0 || s.Replicas > service.MaxReplicas || s.Update.MaxSurge+s.Update.MaxUnavailable < 1 || time.Duration(s.StartTime) < time.Second {
			t.Fatalf("%+v", s)
		}
	})
}
