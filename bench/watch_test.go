package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/watch"
)

func smallWatch(t *testing.T, parts ...string) bench.WatchConfig {
	t.Helper()
	c := bench.DefaultWatch()
	c.Dir, c.Parts, c.Seeds, c.Events, c.Load, c.OpenKeys, c.Freezes = t.TempDir(), parts, 1, 20_000, 20_000, 2_000, 3
	return c
}

func measure(t *testing.T, r *bench.WatchReport, part, name string) float64 {
	t.Helper()
	for _, result := range r.Results {
		for _, m := range result.Measures {
			if result.Shape == part && m.Name == name {
				return m.Value
			}
		}
	}
	t.Fatalf("no %s of %s in %+v", name, part, r.Results)
	return 0
}

func TestBenchWatch(t *testing.T) {
	c := smallWatch(t, "recall", "honest", "soak", "throughput", "memory", "freeze")
	c.Classes = []watch.Class{watch.WrongFee, watch.MissingReceipt, watch.Fork}
	r, err := bench.RunWatch(t.Context(), c)
	if err != nil {
		t.Fatal(err, r)
	}
	if recall := measure(t, r, "recall", "recall"); recall != 100 {
		t.Errorf("recall %v", recall)
	}
	if len(r.Classes) != 3 || r.Missed+r.False != 0 {
		t.Errorf("%d classes, %d missed, %d false alarms", len(r.Classes), r.Missed, r.False)
	}
	if n := measure(t, r, "soak", "events"); n < 10_000 {
		t.Errorf("a soak of %v events", n)
	}
	if n := measure(t, r, "throughput", "events"); n <= 0 {
		t.Errorf("%v events a second", n)
	}
	if n := measure(t, r, "memory", "open keys"); n < 2_000 || n > 2_100 {
		t.Errorf("%v open keys", n)
	}
	if n := measure(t, r, "freeze", "accounts frozen"); n != 3 {
		t.Errorf("%v accounts frozen", n)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "wrong_fee") {
		t.Errorf("%v: %s", err, text.String())
	}
	text.Reset()
	var again bench.WatchReport
	if err := r.WriteJSON(&text); err != nil || json.Unmarshal(text.Bytes(), &again) != nil || len(again.Results) != len(r.Results) {
		t.Errorf("%v: %s", err, text.String())
	}
}

// TestBenchCases runs the examples of docs/bench-cases.md, and then one of them with something else expected.
func TestBenchCases(t *testing.T) {
	c := smallWatch(t)
	c.Cases = filepath.Join("testdata", "cases")
	r, err := bench.RunWatch(t.Context(), c)
	if err != nil {
		t.Fatal(err, r.Details)
	}
	if len(r.Cases) != 5 {
		t.Errorf("%d cases", len(r.Cases))
	}
	c.Cases = t.TempDir()
	stream, err := os.ReadFile(filepath.Join("testdata", "cases", "overdrawn.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(c.Cases, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("other.jsonl", string(stream))
	write("other.expected.json", `{"breaks": [{"class": "fork", "flow": "", "key": ""}]}`)
	r, err = bench.RunWatch(t.Context(), c)
	if !errors.Is(err, bench.ErrWatch) || r.Missed != 2 {
		t.Errorf("%v, %d missed: %v", err, r.Missed, r.Details)
	}
	for _, bad := range []struct{ stream, expected, says string }{
		{`{"at": "2027-01-15T08:00:00Z", "tock": {}}`, `{"breaks": []}`, `other.jsonl:1: json: unknown field "tock"`},
		{"\n{\"tick\": {}}", `{"breaks": []}`, "other.jsonl:2: the first line needs a time"},
		{`{"at": "2027-01-15T08:00:00Z"}`, `{"breaks": []}`, "want exactly one of"},
		{`{"at": "2027-01-15T08:00:00Z", "tick": {}, "block": {}}`, `{"breaks": []}`, "want exactly one of"},
		{`{"at": "tomorrow", "tick": {}}`, `{"breaks": []}`, "want a time"},
		{"{\"at\": \"2027-01-15T08:00:01Z\", \"tick\": {}}\n{\"at\": \"2027-01-15T08:00:00Z\", \"tick\": {}}", `{"breaks": []}`, "other.jsonl:2: times have to ascend"},
		{"{\"at\": \"2027-01-15T08:00:01Z\", \"tick\": {}}\n{\"at\": \"2028-01-15T08:00:00Z\", \"tick\": {}}", `{"breaks": []}`, "more than two hours"},
		{`{"at": "2027-01-15T08:00:00Z", "observation": {"source": "orders", "kind": "rumour"}}`, `{"breaks": []}`, "no kind"},
		{`{"at": "2027-01-15T08:00:00Z", "account": {"id": "1", "asset": "yuan", "code": 1}}`, `{"breaks": []}`, "not an asset"},
		{`{"at": "2027-01-15T08:00:00Z", "transfer": {"id": "1", "amount": "-1"}}`, `{"breaks": []}`, "want an amount"},
		{`{"at": "2027-01-15T08:00:00Z", "tick": {}} 1`, `{"breaks": []}`, "more than one value"},
		{``, `{"breaks": []}`, "needs a time"},
		{`{"at": "2027-01-15T08:00:00Z", "tick": {}}`, "{\n\"breaks\": [{\"kind\": 1}]}", `unknown field "kind"`},
		{`{"at": "2027-01-15T08:00:00Z", "tick": {}}`, `{"breaks": [{"class": "odd"}]}`, `no class "odd"`},
	} {
		write("other.jsonl", bad.stream)
		write("other.expected.json", bad.expected)
		if _, err := bench.RunWatch(t.Context(), c); !errors.Is(err, bench.ErrConfig) || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v; want %s", bad.stream, err, bad.says)
		}
	}
	if err := os.Remove(filepath.Join(c.Cases, "other.expected.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := bench.RunWatch(t.Context(), c); !errors.Is(err, bench.ErrConfig) || !strings.Contains(err.Error(), "has no other.expected.json") {
		t.Errorf("half a case: %v", err)
	}
}

func TestBenchWatchConfig(t *testing.T) {
	for _, change := range []func(*bench.WatchConfig){
		func(c *bench.WatchConfig) { c.Parts = []string{"luck"} },
		func(c *bench.WatchConfig) { c.Classes = []watch.Class{"bad_luck"} },
		func(c *bench.WatchConfig) { c.Seeds = 0 },
		func(c *bench.WatchConfig) { c.Freezes = 5_001 },
		func(c *bench.WatchConfig) { c.Cases = filepath.Join(t.TempDir(), "none") },
	} {
		c := smallWatch(t, "honest")
		change(&c)
		if _, err := bench.RunWatch(t.Context(), c); !errors.Is(err, bench.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if !slices.Contains(bench.WatchParts(), "beside") {
		t.Error(bench.WatchParts())
	}
}
