package gvisor

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/sandbox"
)

const rulesHead = "version: 1\nname: a\nroot: {directory: /r}\ncommand: [x]\nlimits: {cpu: 1, memory: 64MiB, processes: 64}\n" +
	"audit:\n  events: [file, network, identity, memory]\n  rules:\n"

// ruled is a recorder with rules.
func ruled(t *testing.T, rules string) *recorder {
	t.Helper()
	p, err := sandbox.Parse([]byte(rulesHead + rules))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(io.Discard)
	if r.rules, err = p.Rules(); err != nil {
		t.Fatal(err)
	}
	return r
}

// wire makes a message of fields: a uint64, a string, or fields of a message within it.
type wire []any

func (w wire) bytes() []byte {
	var b []byte
	for i := 0; i < len(w); i += 2 {
		number := protowire.Number(w[i].(int))
		switch v := w[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(int64(v)))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
		case wire:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v.bytes())
		}
	}
	return b
}

func sent(kind uint16, w wire) []byte {
	head := binary.LittleEndian.AppendUint16(nil, headerSize)
	head = binary.LittleEndian.AppendUint16(head, kind)
	return append(binary.LittleEndian.AppendUint32(head, 0), w.bytes()...)
}

// TestRuleFieldsExist: every field that the language of rules has is one of its point's events.
func TestRuleFieldsExist(t *testing.T) {
	for _, p := range points {
		known := sandbox.RuleFields(p.name)
		if known == nil {
			t.Errorf("rules know no point %s", p.name)
		}
		f := eventFields{point: p, context: slots{8: {bytes: []byte("/")}}}
		for name, want := range known {
			v, err := f.Field(name)
			got := map[bool]sandbox.FieldType{}
			switch v.(type) {
			case int64:
				got[true] = sandbox.FieldInt
			case bool:
				got[true] = sandbox.FieldBool
			case string:
				got[true] = sandbox.FieldText
			case []string:
				got[true] = sandbox.FieldTexts
			}
			if err != nil && name != sandbox.FieldTarget || err == nil && got[true] != want {
				t.Errorf("%s.%s is %T, %v; rules take it for %d", p.name, name, v, err, want)
			}
		}
	}
}

// TestRuleTarget: a path is judged as the place that it names.
func TestRuleTarget(t *testing.T) {
	r := ruled(t, "  - {standard: secret-opened, action: kill}\n")
	from := func(folder string) wire { return wire{2, 1, 4, 1, 8, folder} }
	for _, c := range []struct {
		what  string
		fires bool
		event wire
	}{
		{"absolute", true, wire{1, from("/"), 4, -100, 6, "/run/secrets/pin"}},
		{"with dots", true, wire{1, from("/"), 4, -100, 6, "/run/../run//secrets/./pin"}},
		{"from the folder", true, wire{1, from("/run"), 4, -100, 6, "secrets/pin"}},
		{"from a descriptor", true, wire{1, from("/tmp"), 4, 5, 5, "/run/secrets", 6, "pin"}},
		{"by another name of /run", true, wire{1, from("/"), 4, -100, 6, "/var/run/secrets/pin"}},
		{"failed", true, wire{1, from("/"), 2, wire{1, -13, 2, 13}, 4, -100, 6, "/run/secrets/pin"}},
		{"longer than what is written down", true, wire{1, from("/"), 4, -100, 6, "/" + strings.Repeat("a/../", 2000) + "run/secrets/pin"}},
		{"from a descriptor that nobody knows", true, wire{1, from("/"), 4, 77, 6, "pin"}},
		{"elsewhere", false, wire{1, from("/"), 4, -100, 6, "/run/other"}},
		{"left again", false, wire{1, from("/run/secrets"), 4, -100, 6, "../other"}},
	} {
		before := r.alerts
		if err := r.message(1, sent(7, c.event)); err != nil {
			t.Fatal(err)
		}
		if fired := r.alerts > before; fired != c.fires {
			t.Errorf("%s: fired %t", c.what, fired)
		}
	}
}

// TestRuleLost: an event that no rule could judge fires the strictest of them.
func TestRuleLost(t *testing.T) {
	rules := "  - {name: mild, on: exec, when: 'false', action: alert}\n  - {name: strict, on: open, when: 'false', action: pause}\n"
	dropped := sent(msgExit, wire{1, wire{2, 1, 4, 1}})
	binary.LittleEndian.PutUint32(dropped[4:], 3)
	for what, message := range map[string][]byte{"malformed": []byte("junk"), "dropped": dropped} {
		r := ruled(t, rules)
		if err := r.message(1, message); err != nil {
			t.Fatal(err)
		}
		if r.fired.Rule != "strict" || r.fired.Action != sandbox.ActionPause || r.fired.Fault == "" || r.alerts != 1 {
			t.Errorf("%s: %+v, %d alerts", what, r.fired, r.alerts)
		}
	}
	none := newRecorder(io.Discard)
	if err := none.message(1, []byte("junk")); err != nil || none.alerts != 0 {
		t.Errorf("without rules: %d alerts, %v", none.alerts, err)
	}
}

// TestRuleCost: a condition that takes too long is ended, and fires.
func TestRuleCost(t *testing.T) {
	r := ruled(t, "  - {name: slow, on: exec, when: 'argv.exists(a, argv.exists(b, argv.exists(c, a + b == c)))', action: kill}\n")
	event := wire{1, wire{2, 1, 4, 1}}
	for range maxTexts {
		event = append(event, 3, "x")
	}
	if err := r.message(1, sent(msgExec, event)); err != nil {
		t.Fatal(err)
	}
	if r.alerts != 1 || !strings.Contains(r.fired.Fault, "cost") {
		t.Errorf("%d alerts, %+v", r.alerts, r.fired)
	}
	if err := r.message(1, sent(msgExec, append(event, 3, "x"))); err != nil || r.alerts != 2 {
		t.Errorf("a list that is cut: %d alerts, %v", r.alerts, err)
	}
}

// TestRuleOrder: of several that fire, all are recorded and the strictest counts.
func TestRuleOrder(t *testing.T) {
	r := ruled(t, "  - {name: a, on: exec, when: 'uid == 7 && path.endsWith(\"/sh\")', action: kill}\n  - {name: b, on: exec, when: 'uid == 7', action: alert}\n")
	who := wire{2, 1, 4, 1, 7, wire{1, 9, 2, 7}}
	if err := r.message(1, sent(msgExec, wire{1, who, 2, "/bin/ls"})); err != nil || r.alerts != 1 || r.fired.Rule != "b" {
		t.Errorf("%+v, %v", r.fired, err)
	}
	if err := r.message(1, sent(msgExec, wire{1, who, 2, "/bin/sh"})); err != nil || r.alerts != 3 || r.fired.Rule != "a" {
		t.Errorf("%+v, %v", r.fired, err)
	}
}

func BenchmarkJudge(b *testing.B) {
	p, err := sandbox.Parse([]byte(rulesHead + "  - {standard: secret-opened, action: kill}\n"))
	if err != nil {
		b.Fatal(err)
	}
	r := newRecorder(io.Discard)
	if r.rules, err = p.Rules(); err != nil {
		b.Fatal(err)
	}
	message := sent(7, wire{1, wire{1, 1790000000000000000, 2, 12, 4, 12, 8, "/work", 9, "parser", 10, 1}, 2, wire{1, 3}, 3, 257, 4, -100, 6, "/inbox/statement-2026-11-22.xml"})
	b.ReportAllocs()
	for b.Loop() {
		if err := r.message(1, message); err != nil {
			b.Fatal(err)
		}
	}
}
