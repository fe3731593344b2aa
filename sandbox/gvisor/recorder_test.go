package gvisor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// pb builds protobuf messages: pairs of a field's number and a uint64, an int, a string, or bytes.
func pb(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		n := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		default:
			panic(fmt.Sprintf("%T", v))
		}
	}
	return b
}

func message(kind uint16, dropped uint32, payload []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, headerSize)
	b = binary.LittleEndian.AppendUint16(b, kind)
	return append(binary.LittleEndian.AppendUint32(b, dropped), payload...)
}

func task(task, process int) []byte { return pb(1, 1790000000000000001, 2, task, 4, process) }

func started(n int) []byte    { return message(msgStart, 0, pb(1, task(n, n), 2, "box", 4, "/app")) }
func cloned(by, n int) []byte { return message(msgClone, 0, pb(1, task(by, by), 3, n, 4, n)) }
func exited(n, status int) []byte {
	return message(msgExit, 0, pb(1, task(n, n), 2, status))
}

func TestEvents(t *testing.T) {
	who := pb(1, 5, 2, 7, 4, 6, 7, pb(2, 1000, 5, 100), 8, "/work", 9, "app", 10, 1, 11, 1)
	for _, c := range []struct {
		kind    uint16
		payload []byte
		want    string
	}{
		{
			msgExec, pb(1, who, 2, "/bin/a\"\\\x01", 3, "a", 3, "\xff\u2028é", 8, []byte{0xab, 1}, 10, uint64(1<<64-1)),
			`{"point":"exec","context":{"at":5,"task":7,"process":6,"user":{"euid":1000,"egid":100},"folder":"/work",` +
				`"command":"app","parent":1,"exec_session":true},"path":"/bin/a\"\\\u0001","argv":["a","\ufffd\ufffdé"],` +
				`"sha256":"ab01","inode":18446744073709551615}`,
		},
		{
			7, pb(2, pb(1, -2, 2, 13), 3, 257, 4, -100, 6, "/etc/shadow", 7, 0),
			`{"point":"open","exit":{"result":-2,"errno":13},"sysno":257,"fd":-100,"path":"/etc/shadow","flags":0}`,
		},
		{10, pb(6, []byte{2, 0, 1, 187, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}), `{"point":"connect","address":"192.0.2.1:443"}`},
		{10, pb(6, append([]byte{1, 0}, "/run/s\x00junk"...)), `{"point":"connect","address":"unix:/run/s"}`},
		{10, pb(6, append([]byte{1, 0, 0}, "abstract"...)), `{"point":"connect","address":"unix:\u0000abstract"}`},
		{24, pb(6, append([]byte{10, 0, 0, 53, 0, 0, 0, 0}, make([]byte, 15)...)), `{"point":"bind","address":"hex:0a00003500000000000000000000000000000000000000"}`},
		{24, pb(6, append([]byte{10, 0, 0, 53, 0, 0, 0, 0}, append(make([]byte, 15), 1, 0, 0, 0, 0)...)), `{"point":"bind","address":"[::1]:53"}`},
		{10, pb(6, []byte{9}), `{"point":"connect","address":"hex:09"}`},
		{msgExit, pb(2, 256, 30, "new", 31, 3), `{"point":"exit","status":256,"unknown":2}`},
		{msgExit, pb(1, []byte{}), `{"point":"exit","context":{}}`},
	} {
		got, _, err := appendEvent([]byte("x"), c.kind, c.payload)
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("type %d: %v\n%s\nwant\n%s", c.kind, err, got, c.want)
		}
	}
}

// TestBounds: texts are cut, and the event says so; a line of a record always holds it.
func TestBounds(t *testing.T) {
	long := strings.Repeat("\x01", maxMessage/2)
	got, _, err := appendEvent(nil, msgExec, pb(2, long, 3, long[:100]))
	if err != nil || !bytes.HasSuffix(got, []byte(`,"cut":true}`)) || bytes.Count(got, []byte(`\u0001`)) != maxText+100 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	pairs := []any{2, long}
	for range 2 * maxTexts {
		pairs = append(pairs, 3, long[:300])
	}
	got, _, err = appendEvent(nil, msgExec, pb(pairs...))
	if err != nil || !json.Valid(got) || bytes.Count(got, []byte(`\u0001`)) != maxAllTexts {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var c trail.Chain
	if line := c.Append(nil, 1, trail.KindEvent, got); len(line) > trail.MaxLine {
		t.Errorf("a line of %d bytes", len(line))
	}
}

func TestMalformed(t *testing.T) {
	for name, m := range map[string][]byte{
		"empty":                {},
		"short":                {8, 0, 1},
		"header of 4":          {4, 0, 1, 0, 0, 0, 0, 0},
		"header beyond":        {9, 0, 1, 0, 0, 0, 0, 0},
		"not asked for":        message(9, 0, nil),
		"cut field":            message(msgExec, 0, []byte{0x12, 5, 'a'}),
		"twice":                message(msgExec, 0, pb(2, "a", 2, "b")),
		"a number for a text":  message(msgExec, 0, pb(2, 5)),
		"a text for a number":  message(msgExit, 0, pb(2, "5")),
		"broken context":       message(msgExit, 0, pb(1, []byte{0xff})),
		"broken context's uid": message(msgExit, 0, pb(1, pb(7, pb(1, "x")))),
		"too long":             append(message(msgExec, 0, nil), make([]byte, maxMessage)...),
	} {
		var out bytes.Buffer
		r := newRecorder(&out)
		if err := errors.Join(r.begin(1, trail.Begin{}), r.message(2, m), r.end(3, 0, "exited")); err != nil {
			t.Fatal(err)
		}
		report := verified(t, out.Bytes())
		if report.Events != 0 || report.Lost != 1 || report.Gaps[0].Reason != trail.GapMalformed {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

func verified(t *testing.T, text []byte) *trail.Report {
	t.Helper()
	r, _, err := trail.Verify(bytes.NewReader(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

// TestGaps: nothing that is lost goes unreported.
func TestGaps(t *testing.T) {
	withDrops := func(m []byte, n uint32) []byte {
		m = bytes.Clone(m)
		binary.LittleEndian.PutUint32(m[4:], n)
		return m
	}
	execed := func(task, process int) []byte {
		return message(msgExec, 0, pb(1, pb(2, task, 4, process), 2, "/bin/true"))
	}
	thread := func(by, n int) []byte { return message(msgClone, 0, pb(1, task(by, by), 3, n, 4, by)) }
	for _, c := range []struct {
		name     string
		messages [][]byte
		exit     int
		want     string // reasons of gaps
		lost     uint64
	}{
		{"whole", [][]byte{started(1), cloned(1, 2), exited(2, 0), exited(1, 3<<8)}, 3, "", 0},
		{"killed", [][]byte{started(1), exited(1, 9)}, 137, "", 0},
		{"unknown exit", [][]byte{started(1), exited(1, 9)}, -1, "", 0},
		{"dropped in the middle", [][]byte{started(1), withDrops(exited(1, 0), 5)}, 0, "dropped", 5},
		{"dropped twice", [][]byte{withDrops(started(1), 2), withDrops(exited(1, 0), 5)}, 0, "dropped dropped", 5},
		{"the count wraps", [][]byte{withDrops(started(1), 1<<32-1), exited(1, 0)}, 0, "dropped dropped", 1 << 32},
		{"nothing", nil, 0, "no-session", 0},
		{"no beginning", [][]byte{exited(1, 0)}, 0, "open-tasks", 0},
		{"no end", [][]byte{started(1)}, 0, "open-tasks", 0},
		{"a child without end", [][]byte{started(1), cloned(1, 2), exited(1, 0)}, 0, "open-tasks", 0},
		{"a child that only acted", [][]byte{started(1), execed(9, 9), exited(1, 0)}, 0, "open-tasks", 0},
		{"another exit", [][]byte{started(1), exited(1, 0)}, 1, "exit-differs", 0},
		{"a thread executes", [][]byte{started(1), thread(1, 2), execed(2, 1), exited(1, 0)}, 0, "", 0},
	} {
		var out bytes.Buffer
		r := newRecorder(&out)
		err := r.begin(1, trail.Begin{Sandbox: "box"})
		for i, m := range c.messages {
			err = errors.Join(err, r.message(uint64(2+i), m))
		}
		if err = errors.Join(err, r.end(99, c.exit, "exited")); err != nil {
			t.Fatal(err)
		}
		report := verified(t, out.Bytes())
		var reasons []string
		for _, g := range report.Gaps {
			reasons = append(reasons, g.Reason)
		}
		if got := strings.Join(reasons, " "); got != c.want || report.Lost != c.lost || report.Complete() != (c.want == "") {
			t.Errorf("%s: gaps %q, lost %d; want %q, %d", c.name, got, report.Lost, c.want, c.lost)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestDiskFull: a record that can't be written is an error, not a gap that nobody reads.
func TestDiskFull(t *testing.T) {
	full := errors.New("disk full")
	r := newRecorder(failing{full})
	for _, err := range []error{
		r.begin(1, trail.Begin{}), r.message(2, started(1)), r.message(3, nil), r.end(4, 0, "exited"),
	} {
		if !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzMessage: whatever a kernel sends, the record can be verified, and each message is an event or a gap.
func FuzzMessage(f *testing.F) {
	for kind := range points {
		f.Add(message(kind, 0, pb(1, task(1, 1), 2, pb(1, 3), 3, 7, 4, 1)))
		f.Add(message(kind, 3, pb(1, task(1, 1), 2, "/bin/sh", 3, "x", 6, []byte{2, 0, 0, 80, 1, 2, 3, 4})))
	}
	f.Add(started(1))
	f.Fuzz(func(t *testing.T, m []byte) {
		var out bytes.Buffer
		r := newRecorder(&out)
		if err := errors.Join(r.begin(1, trail.Begin{}), r.message(2, m), r.end(3, 0, "exited")); err != nil {
			t.Fatal(err)
		}
		report, _, err := trail.Verify(&out, func(r trail.Record) error {
			if r.Kind == trail.KindEvent && (!json.Valid(r.Body) || bytes.ContainsAny(r.Body, "\n\r")) {
				return fmt.Errorf("event %q", r.Body)
			}
			return nil
		})
		malformed := slices.ContainsFunc(report.Gaps, func(g trail.Gap) bool { return g.Reason == trail.GapMalformed })
		if err != nil || report.End == nil || (report.Events == 1) == malformed {
			t.Fatalf("%v, %+v", err, report)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	r := newRecorder(new(discard))
	m := message(7, 0, pb(1, pb(1, 1790000000000000001, 2, 12, 4, 12, 5, 1790000000000000000, 7, pb(1, 1000, 2, 1000, 3, 1000, 4, 1000, 5, 1000, 6, 1000),
		8, "/work", 9, "parser", 10, 1), 2, pb(1, 3), 3, 257, 4, -100, 6, "/inbox/statement-2026-11-22.xml"))
	if err := r.begin(1, trail.Begin{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.message(2, m); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
