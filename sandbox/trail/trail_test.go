package trail_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// sample is a record with every kind of line.
func sample() []byte {
	var c trail.Chain
	text := c.Append(nil, 1000, trail.KindBegin, trail.Body(trail.Begin{
		Format: trail.Format, Sandbox: "box", Policy: "00ff", Root: "sha256:11", Isolation: "gvisor-systrap", Nonce: "aa",
	}))
	for i := range 3 {
		text = c.Append(text, uint64(1001+i), trail.KindEvent, fmt.Appendf(nil, `{"point":"exec","task":%d}`, i))
	}
	text = c.Append(text, 900, trail.KindGap, trail.Body(trail.Gap{Reason: trail.GapDropped, Lost: 7}))
	text = c.Append(text, 1100, trail.KindAlert, trail.Body(trail.Alert{Rule: "unknown-binary", Action: "alert", Of: 2}))
	cpu := uint64(5_000_000)
	text = c.Append(text, 1200, trail.KindHost, trail.Body(trail.Host{CPU: &cpu, Egress: []trail.Egress{{Name: "bank", Connections: 1, Sent: 20, Received: 30}}}))
	return c.Append(text, 2000, trail.KindEnd, trail.Body(trail.End{Exit: 3, Reason: "exited", Events: 3, Gaps: 1, Lost: 7, Alerts: 1}))
}

func verify(text []byte) (*trail.Report, error) {
	r, _, err := trail.Verify(bytes.NewReader(text), nil)
	return r, err
}

// TestVector pins the format: docs/sandbox.md describes it, and files of today must be readable tomorrow.
func TestVector(t *testing.T) {
	want, err := os.ReadFile("testdata/vector-v2.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := sample(); !bytes.Equal(got, want) {
		t.Errorf("the format changed:\n%s\nwant\n%s", got, want)
	}
	r, err := verify(want)
	if err != nil || r.Records != 8 || r.Alerts != 1 || r.Events != 3 || r.Lost != 7 || r.End == nil || r.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
	if want, err = os.ReadFile("testdata/vector-v1.txt"); err != nil {
		t.Fatal(err)
	}
	r, err = verify(want)
	if err != nil || r.Records != 6 || r.Events != 3 || r.Lost != 7 || len(r.Gaps) != 1 || r.End == nil || r.End.Exit != 3 || r.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestComplete(t *testing.T) {
	var c trail.Chain
	text := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format}))
	if r, err := verify(text); err != nil || r.Complete() {
		t.Errorf("without an end: %+v, %v", r, err)
	}
	text = c.Append(text, 2, trail.KindEnd, trail.Body(trail.End{}))
	r, err := verify(text)
	if head, n := c.Head(); err != nil || !r.Complete() || r.Head != head.String() || r.Records != n {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestEveryBit: any one bit that differs is found.
func TestEveryBit(t *testing.T) {
	whole := sample()
	for i := range whole {
		for bit := range 8 {
			text := bytes.Clone(whole)
			text[i] ^= 1 << bit
			r, err := verify(text)
			// The last newline is the one byte whose loss looks like a record that was cut off.
			if err == nil && (i != len(whole)-1 || r.End != nil) {
				t.Fatalf("byte %d bit %d: not found: %q", i, bit, text[max(0, i-20):min(len(text), i+20)])
			}
			if err != nil && !errors.Is(err, trail.ErrTampered) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
}

// TestEveryLine: a line that is missing, repeated, moved, or from another record is found.
func TestEveryLine(t *testing.T) {
	lines := bytes.SplitAfter(sample(), []byte("\n"))
	lines = lines[:len(lines)-1]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for i := range lines {
		before, line, after := join(lines[:i]...), lines[i], join(lines[i+1:]...)
		if r, err := verify(join(before, after)); i < len(lines)-1 && !errors.Is(err, trail.ErrTampered) || r.End != nil && err == nil {
			t.Errorf("line %d removed: %+v, %v", i, r, err)
		}
		if _, err := verify(join(before, line, line, after)); !errors.Is(err, trail.ErrTampered) {
			t.Errorf("line %d repeated: %v", i, err)
		}
		if _, err := verify(join(before, after, line)); i < len(lines)-1 && !errors.Is(err, trail.ErrTampered) {
			t.Errorf("line %d moved: %v", i, err)
		}
		if r, err := verify(before); err != nil || r.End != nil {
			t.Errorf("cut before line %d: %+v, %v; want no fault and no end", i, r, err)
		}
	}
}

// TestForged: who recomputes every hash still can't hide an end's count, and gets another head.
func TestForged(t *testing.T) {
	honest, _ := verify(sample())
	var c trail.Chain
	text := c.Append(nil, 1000, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "box"}))
	forged := c
	text2 := c.Append(bytes.Clone(text), 2000, trail.KindEnd, trail.Body(trail.End{Events: 3}))
	if _, err := verify(text2); !errors.Is(err, trail.ErrTampered) || !strings.Contains(err.Error(), "counts 3 events") {
		t.Errorf("the end's count: %v", err)
	}
	text3 := forged.Append(text, 2000, trail.KindEnd, trail.Body(trail.End{}))
	if r, err := verify(text3); err != nil || r.Head == honest.Head {
		t.Errorf("another record with the same head: %+v, %v", r, err)
	}
}

func TestTorn(t *testing.T) {
	whole := sample()
	r, err := verify(whole[:len(whole)-30])
	if err != nil || !r.Torn || r.End != nil || r.Records != 7 || r.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
	if tail := whole[r.Size:]; bytes.IndexByte(tail, '\n') != len(tail)-1 {
		t.Errorf("Size %d is not where the torn line begins", r.Size)
	}
	if _, err := verify(append(whole, "more"...)); !errors.Is(err, trail.ErrTampered) {
		t.Errorf("text after the end: %v", err)
	}
	if _, err := verify(bytes.Repeat([]byte("x"), trail.MaxLine+1)); !errors.Is(err, trail.ErrTampered) {
		t.Errorf("an endless line: %v", err)
	}
}

// TestContinue: the chain that Verify returns goes on where the record stopped.
func TestContinue(t *testing.T) {
	lines := bytes.SplitAfter(sample(), []byte("\n"))
	first := bytes.Join(lines[:4], nil)
	_, c, err := trail.Verify(bytes.NewReader(first), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := c.Append(first, 1, trail.KindGap, trail.Body(trail.Gap{Reason: trail.GapCollector}))
	text = c.Append(text, 1, trail.KindEnd, trail.Body(trail.End{Exit: -1, Events: 3, Gaps: 1}))
	if r, err := verify(text); err != nil || r.End == nil || r.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEach(t *testing.T) {
	var kinds []string
	stop := errors.New("enough")
	_, _, err := trail.Verify(bytes.NewReader(sample()), func(r trail.Record) error {
		kinds = append(kinds, string(r.Kind))
		if r.Kind == trail.KindGap {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || strings.Join(kinds, " ") != "begin event event event gap" {
		t.Errorf("%v, %v", kinds, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(sample())
	f.Add([]byte(nil))
	f.Add([]byte("x\n"))
	honest := sample()
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := verify(text)
		if err != nil && !errors.Is(err, trail.ErrTampered) {
			t.Fatal(err)
		}
		if err == nil && r.Head == mustHead(t, honest) && r.End != nil && !bytes.Equal(text, honest) {
			t.Fatal("two records with one head")
		}
	})
}

func mustHead(t *testing.T, text []byte) string {
	t.Helper()
	r, err := verify(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Head
}

func BenchmarkAppend(b *testing.B) {
	var c trail.Chain
	body := []byte(`{"point":"open","at":1790000000000000000,"task":12,"process":12,"parent":1,"uid":1000,"gid":1000,"folder":"/work","command":"parser","sysno":257,"fd":-100,"pathname":"/inbox/statement-2026-11-22.xml","flags":0,"result":3}`)
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = c.Append(line[:0], 1, trail.KindEvent, body)
	}
}
