package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/sandbox/trail/export"
)

var update = flag.Bool("update", false, "write the golden files anew")

// who is the context of each event of the sample.
const who = `"context":{"at":1790000000123456789,"task":3,"process":3,"user":{"uid":65534,"euid":65534},"folder":"/work","command":"parser","parent":1}`

// sample is a record with every kind of line, and events of every class.
func sample() []byte {
	var c trail.Chain
	var text []byte
	now := uint64(1790000000200000000)
	add := func(kind trail.Kind, body []byte) { text = c.Append(text, now, kind, body) }
	event := func(more string) { add(trail.KindEvent, []byte(`{`+more+`,`+who+`}`)) }
	add(trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "box", Policy: "00ff", Root: "sha256:11", Isolation: "gvisor-systrap", Nonce: "aa"}))
	event(`"point":"clone","new_task":4,"new_process":4`)
	event(`"point":"exec","path":"/bin/sh","argv":["sh","-c","a|b=c\\d\ne"],"sha256":"ab12"`)
	event(`"point":"open","exit":{"result":-13,"errno":13},"path":"/run/secrets/pin","flags":0`)
	event(`"point":"connect","exit":{"result":0},"fd":7,"address":"192.0.2.1:443"`)
	event(`"point":"connect","exit":{"result":-111,"errno":111},"address":"unix:/run/services/bank"`)
	event(`"point":"accept","exit":{"result":8},"address":"[2001:db8::1]:80"`)
	event(`"point":"setid","exit":{},"id":7`)
	event(`"point":"map","path":"/lib/x.so"`)
	event(`"point":"socket","exit":{"result":3},"domain":2`)
	event(`"point":"exit","status":256`)
	add(trail.KindGap, trail.Body(trail.Gap{Reason: trail.GapDropped, Lost: 7}))
	for _, action := range []string{"alert", "pause", "kill"} {
		add(trail.KindAlert, trail.Body(trail.Alert{Rule: "no-shell", Action: action, Of: 2, Fault: "no such index"}))
	}
	cpu := uint64(5_000_000)
	add(trail.KindHost, trail.Body(trail.Host{CPU: &cpu, Egress: []trail.Egress{{Name: "bank", Connections: 1}}}))
	add(trail.KindEnd, trail.Body(trail.End{Exit: 1, Reason: "exited", Events: 10, Gaps: 1, Lost: 7, Alerts: 3}))
	return text
}

func exported(t testing.TB, f export.Format, record []byte) ([]byte, *trail.Report) {
	t.Helper()
	e, err := export.New(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	report, _, err := trail.Verify(bytes.NewReader(record), func(r trail.Record) error {
		out, err = e.Append(out, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, report
}

// TestGolden pins every format: those who read them have written rules for them.
func TestGolden(t *testing.T) {
	for _, f := range export.Formats {
		path := "testdata/sample." + string(f)
		got, report := exported(t, f, sample())
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%s\nwant\n%s", f, got, want)
		}
		lines := strings.SplitAfter(string(got), "\n")
		if uint64(len(lines)-1) != report.Records || lines[len(lines)-1] != "" {
			t.Errorf("%s: %d lines of %d records", f, len(lines)-1, report.Records)
		}
		for i, line := range lines[:len(lines)-1] {
			if f != export.CEF && !json.Valid([]byte(line)) {
				t.Errorf("%s, line %d is no JSON: %s", f, i, line)
			}
			if f == export.CEF && len(unescaped(line, '|')) < 8 { // in the extension a bar is no separator
				t.Errorf("cef, line %d: %q", i, unescaped(line, '|'))
			}
		}
	}
	if _, err := export.New("xml"); !errors.Is(err, export.ErrFormat) {
		t.Error(err)
	}
}

// unescaped splits at a separator that no backslash is before.
func unescaped(s string, at byte) []string {
	var parts []string
	from := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case at:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:])
}

// TestOCSFNumbers: a type is its class and activity, a category its class, and only what failed says so.
func TestOCSFNumbers(t *testing.T) {
	out, _ := exported(t, export.OCSF, sample())
	classes := map[float64]int{}
	for line := range strings.Lines(string(out)) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		class, activity := o["class_uid"].(float64), o["activity_id"].(float64)
		classes[class]++
		if o["type_uid"].(float64) != 100*class+activity || o["category_uid"].(float64) != float64(int(class)/1000) {
			t.Errorf("%s", line)
		}
		if (o["status_id"] == 2.0) != strings.Contains(line, `"errno":1`) {
			t.Errorf("status: %s", line)
		}
	}
	for class, want := range map[float64]int{0: 2, 1001: 1, 1005: 1, 1007: 4, 2004: 4, 4001: 3, 6002: 2} {
		if classes[class] != want {
			t.Errorf("class %v: %d, want %d", class, classes[class], want)
		}
	}
}

// FuzzExport: whatever an event says, each format has one line for it, and the structure of the line is not the event's.
func FuzzExport(f *testing.F) {
	f.Add("open", "/a|b=c\\\n", "x", "192.0.2.1:1")
	f.Add("exec", "\x00\xff", "a\r\nCEF:0|x", "unix:\u2028")
	f.Fuzz(func(t *testing.T, point, path, argument, address string) {
		body, err := json.Marshal(map[string]any{"point": point, "path": path, "argv": []string{argument}, "address": address})
		if err != nil {
			t.Skip("no JSON")
		}
		var c trail.Chain
		text := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "box"}))
		text = c.Append(text, 1, trail.KindEvent, body)
		if len(text) > trail.MaxLine {
			t.Skip("longer than a line")
		}
		for _, format := range export.Formats {
			out, _ := exported(t, format, text)
			lines := bytes.Split(out, []byte("\n"))
			if len(lines) != 3 || len(lines[2]) != 0 {
				t.Fatalf("%s: %d lines: %q", format, len(lines), out)
			}
			if format == export.CEF && len(unescaped(string(lines[1]), '|')) < 8 || format != export.CEF && !json.Valid(lines[1]) {
				t.Fatalf("%s: %q", format, lines[1])
			}
		}
	})
}
