package accesslog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/clock"
)

// broken is a disk that fails when told to, in the middle of a line.
type broken struct {
	fails atomic.Bool
	once  sync.Once
}

type brokenFile struct {
	appended
	disk *broken
}

var errDisk = errors.New("the disk is broken")

func (d *broken) OpenFile(name string, flag int, perm fs.FileMode) (appended, error) {
	f, err := system{}.OpenFile(name, flag, perm)
	return &brokenFile{f, d}, err
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if !f.disk.fails.Load() {
		return f.appended.Write(p)
	}
	n, err := 0, errDisk
	f.disk.once.Do(func() {
		var failed error
		n, failed = f.appended.Write(p[:len(p)/2])
		err = errors.Join(err, failed)
	})
	return n, err
}

// morning is today at nine: files have the machine's days.
func morning() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(9 * time.Hour) }

type fixture struct {
	*Log
	t     testing.TB
	clock *clock.Fake
	disk  *broken
	dir   string
}

func start(t testing.TB, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: clock.NewFake(uint64(morning().UnixNano())), disk: &broken{}, dir: filepath.Join(t.TempDir(), "access")}
	o := Options{
		Dir: f.dir, Calls: All, MaxSize: 1 << 20, Keep: 3, Clock: f.clock, Logger: slog.New(slog.DiscardHandler),
		Random: bytes.NewReader([]byte{1, 2, 3, 4}),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if f.Log, err = open(o, f.disk); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.disk.fails.Store(false)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

type line struct {
	Time                                      time.Time
	Phase, Request, Actor, Name, Role, Via    string
	Peer, Method, Code                        string
	Events, Created, Exists, Rejected, Micros int
	Suppressed                                int
}

// lines reads a file; each line must be an object with known fields.
func (f *fixture) lines(name string) (list []line) {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		f.t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		var l line
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			f.t.Fatalf("%v in %s", err, s.Text())
		}
		list = append(list, l)
	}
	return list
}

func payment() *Entry {
	return &Entry{
		Method: "CreateTransfers", Principal: &auth.Principal{ID: [16]byte{0xab, 15: 1}, Name: `till "7" ü`, Role: auth.RoleTeller, Via: auth.ViaToken},
		Peer: "127.0.0.1:5", RequestID: "order-17", Events: 3, Code: "ok", Created: 1, Exists: 1, Rejected: 1, Duration: 1500 * time.Microsecond,
	}
}

func freeze() *Entry {
	return &Entry{Method: "Freeze", Control: true, Principal: &auth.Principal{Name: "olga", Role: auth.RoleOperator, Via: auth.ViaCertificate}, Code: "ok"}
}

func TestPaymentsAreWrittenWithinTheInterval(t *testing.T) {
	f := start(t, nil)
	f.End(payment())
	if got := f.lines("calls.jsonl"); len(got) != 0 {
		t.Fatalf("written at once: %v", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := f.lines("calls.jsonl")
	want := line{
		Time: morning(), Request: "order-17", Actor: "ab000000000000000000000000000001", Name: `till "7" ü`,
		Role: "teller", Via: "token", Peer: "127.0.0.1:5", Method: "CreateTransfers", Code: "ok", Events: 3, Created: 1, Exists: 1, Rejected: 1, Micros: 1500,
	}
	if len(got) != 1 || got[0] != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	info, err := os.Stat(filepath.Join(f.dir, "calls.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestControlsAreWrittenBeforeAndAfter(t *testing.T) {
	f := start(t, func(o *Options) { o.Calls = Controls })
	e := freeze()
	if err := f.Begin(e); err != nil {
		t.Fatal(err)
	}
	if got := f.lines("controls.jsonl"); len(got) != 1 || got[0].Phase != "begin" || got[0].Name != "olga" || got[0].Via != "certificate" || got[0].Code != "" {
		t.Fatalf("before: %+v", got)
	}
	f.End(e)
	got := f.lines("controls.jsonl")
	if len(got) != 2 || got[1].Phase != "end" || got[1].Code != "ok" || got[1].Request != got[0].Request || !strings.HasPrefix(got[0].Request, "01020304-") {
		t.Fatalf("after: %+v", got)
	}
	f.End(payment())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := f.lines("calls.jsonl"); len(got) != 0 {
		t.Errorf("payments are written although only controls are asked for: %+v", got)
	}
}

func TestRefusalsAreBoundedAndCounted(t *testing.T) {
	f := start(t, nil)
	refused := &Entry{Method: "LookupAccounts", Principal: &auth.Principal{}, Peer: "192.0.2.1:1", Code: "unauthenticated", Refused: true, RequestID: "a b"}
	for range refusedPerSecond + 50 {
		f.End(refused)
	}
	got := f.lines("controls.jsonl")
	if len(got) != refusedPerSecond || got[0].Via != "none" || got[0].Peer != "192.0.2.1:1" || got[0].Request == "a b" {
		t.Fatalf("%d lines, the first %+v", len(got), got[0])
	}
	f.clock.Advance(time.Second)
	f.End(refused)
	got = f.lines("controls.jsonl")
	if last := got[len(got)-1]; last.Suppressed != 50 || f.Stats().Suppressed != 50 {
		t.Errorf("the next line: %+v, %+v", last, f.Stats())
	}
}

func TestBrokenDisk(t *testing.T) {
	f := start(t, nil)
	f.disk.fails.Store(true)
	if err := f.Begin(freeze()); !errors.Is(err, errDisk) || !f.Stats().Failing {
		t.Fatalf("a control on a broken disk: %v, %+v", err, f.Stats())
	}
	const room, payments = 100_000, 3000
	f.calls.buffering.Lock()
	f.calls.room = room
	f.calls.buffering.Unlock()
	for range payments {
		f.End(payment())
	}
	lost := f.Stats().Lost
	if lost == 0 || lost >= payments {
		t.Errorf("%d of %d lines lost: the buffer has a bound", lost, payments)
	}
	f.disk.fails.Store(false)
	if err := f.Begin(freeze()); err != nil || f.controls.failing.Load() {
		t.Fatalf("after the disk was mended: %v, %+v", err, f.Stats())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// lines fails on a torn one.
	if got := len(f.lines("calls.jsonl")) + int(f.Stats().Lost); got < payments {
		old, err := filepath.Glob(filepath.Join(f.dir, "calls-*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range old {
			got += len(f.lines(filepath.Base(name)))
		}
		if got != payments {
			t.Errorf("%d lines written or counted as lost, want %d", got, payments)
		}
	}
	if got := f.lines("controls.jsonl"); len(got) != 2 {
		t.Errorf("%d lines of controls, want 2", len(got))
	}
}

func TestRotation(t *testing.T) {
	f := start(t, func(o *Options) { o.MaxSize, o.Keep = 1000, 2 })
	names := func() int {
		old, err := filepath.Glob(filepath.Join(f.dir, "controls-*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return len(old)
	}
	f.End(freeze())
	if names() != 0 {
		t.Fatal("rotated without need")
	}
	f.clock.Advance(15 * time.Hour) // the next day
	f.End(freeze())
	if names() != 1 || len(f.lines("controls.jsonl")) != 1 {
		t.Fatalf("at midnight: %d put aside", names())
	}
	for range 100 {
		f.End(freeze())
	}
	info, err := os.Stat(filepath.Join(f.dir, "controls.jsonl"))
	if err != nil || info.Size() > 1000 || names() != 2 {
		t.Errorf("after many: %v, %v, %d put aside, want 2", info.Size(), err, names())
	}
}

func TestRotationNeverOverwrites(t *testing.T) {
	f := start(t, func(o *Options) { o.MaxSize, o.Keep = 1, 1000 })
	for range 20 {
		f.End(freeze()) // the clock stands still
	}
	old, err := filepath.Glob(filepath.Join(f.dir, "controls*.jsonl"))
	if err != nil || len(old) != 20 {
		t.Errorf("%d files, %v, want 20", len(old), err)
	}
}

func TestALineCutOffByACrashSpoilsNoOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "controls.jsonl"), []byte(`{"time":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, func(o *Options) { o.Dir = dir })
	f.End(freeze())
	data, err := os.ReadFile(filepath.Join(dir, "controls.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if parts := strings.Split(string(data), "\n"); len(parts) != 3 || !json.Valid([]byte(parts[1])) {
		t.Errorf("%q", data)
	}
}

func TestOpenFailsWhereItCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: path, Clock: clock.NewSystem(), Random: bytes.NewReader(make([]byte, 4))}); err == nil {
		t.Error("a log in a file")
	}
}

func TestManyAtOnce(t *testing.T) {
	f := start(t, func(o *Options) { o.MaxSize = 20_000; o.Keep = 1000 })
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 100 {
				f.End(payment())
				if i%10 == 0 {
					f.End(freeze())
				}
			}
		})
	}
	group.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	calls := 0
	all, err := filepath.Glob(filepath.Join(f.dir, "calls*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		calls += len(f.lines(filepath.Base(name)))
	}
	if calls != 800 {
		t.Errorf("%d lines, want 800", calls)
	}
}

// FuzzLine writes entries with arbitrary texts: each must be one line of JSON that says what was given.
func FuzzLine(f *testing.F) {
	f.Add("till 7", "127.0.0.1:1", "r-1")
	f.Add("\xc9\xc9\xc9", "", "")
	f.Add("\"\\\n\x00\u2028\xff", "\x7f", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, name, peer, request string) {
		e := Entry{Principal: &auth.Principal{Name: name, Role: auth.RoleReader}, Peer: peer, RequestID: request, Method: "M", Code: "ok"}
		b := e.appendLine(nil, time.Unix(0, 0), phaseNone, "fallback", 0)
		if bytes.IndexByte(b, '\n') != len(b)-1 {
			t.Fatalf("%q", b)
		}
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		if utf8.ValidString(name) && len(name) <= maxText && l.Name != name {
			t.Fatalf("name %q, want %q", l.Name, name)
		}
	})
}

func BenchmarkEnd(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), Calls: All, MaxSize: 64 << 20, Keep: 1, Clock: clock.NewSystem(), Logger: slog.New(slog.DiscardHandler), Random: bytes.NewReader(make([]byte, 4))})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p := payment().Principal
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e := Entry{Method: "CreateTransfers", Principal: p, Peer: "127.0.0.1:54321", Events: 1, Code: "ok", Created: 1, Duration: time.Millisecond}
			l.End(&e)
		}
	})
}
