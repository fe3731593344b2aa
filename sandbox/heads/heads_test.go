package heads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/heads"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// written is a record of so many events, and its head after each line.
func written(nonce string, events int, ended bool) (lines [][]byte, at []audit.Head) {
	var c trail.Chain
	add := func(kind trail.Kind, body []byte) {
		line := c.Append(nil, 1, kind, body)
		hash, n := c.Head()
		head := audit.Head{Record: hash, Lines: n, Hash: hash, Name: "box"}
		if len(at) > 0 {
			head.Record = at[0].Record
		}
		lines, at = append(lines, line), append(at, head)
	}
	add(trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "box", Nonce: nonce}))
	for i := range events {
		add(trail.KindEvent, fmt.Appendf(nil, `{"point":"exec","task":%d}`, i))
	}
	if ended {
		add(trail.KindEnd, trail.Body(trail.End{Events: uint64(events)}))
	}
	return lines, at
}

func own(t *testing.T) *heads.Own {
	t.Helper()
	return &heads.Own{Dir: filepath.Join(t.TempDir(), "heads"), Clock: clock.NewSystem()}
}

func logged(t *testing.T, o *heads.Own, list ...audit.Head) {
	t.Helper()
	for _, h := range list {
		if _, err := o.LogHead(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
}

func verified(t *testing.T, o *heads.Own, lines [][]byte) (*heads.Result, error) {
	t.Helper()
	by, err := o.Trusted()
	if err != nil {
		t.Fatal(err)
	}
	return heads.Verify(t.Context(), bytes.NewReader(bytes.Join(lines, nil)), heads.Log{Files: o.Log(), Trusted: by})
}

// TestVerify: a record whose heads were logged is proven as long as it is what it was, also while it grows.
func TestVerify(t *testing.T) {
	o := own(t)
	lines, at := written("a", 3, true)
	logged(t, o, at[1], at[4])
	if r, err := verified(t, o, lines); err != nil || r.Logged() != 5 || len(r.Stated) != 2 || !r.Record.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCutShort: whatever is cut off a record after a head was logged is found, and so is what is put in its place.
func TestCutShort(t *testing.T) {
	o := own(t)
	lines, at := written("a", 3, true)
	logged(t, o, at[2])
	for n := 1; n <= len(lines); n++ {
		_, err := verified(t, o, lines[:n])
		if want := n < 3; errors.Is(err, trail.ErrTampered) != want || !want && err != nil {
			t.Errorf("%d lines left: %v", n, err)
		}
	}
	// Who can write the record can also give it another end, with hashes that fit.
	var c trail.Chain
	forged := c.Append(bytes.Clone(lines[0][:0]), 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "box", Nonce: "a"}))
	if !bytes.Equal(forged, lines[0]) {
		t.Fatal("the forger can't write the first line")
	}
	end := c.Append(nil, 1, trail.KindEvent, []byte(`{"point":"exec","task":9}`))
	end = c.Append(end, 1, trail.KindEvent, []byte(`{"point":"exec","task":1}`))
	end = c.Append(end, 1, trail.KindEnd, trail.Body(trail.End{Events: 2}))
	if _, err := verified(t, o, [][]byte{forged, end}); !errors.Is(err, trail.ErrTampered) || !strings.Contains(err.Error(), "line 3 is") {
		t.Errorf("another course of events: %v", err)
	}
	other, _ := written("b", 3, true)
	if _, err := verified(t, o, other); !errors.Is(err, heads.ErrUnknown) {
		t.Errorf("another record in its place: %v", err)
	}
}

// TestContradiction: two heads of one length can't both be true, and one of them shows it.
func TestContradiction(t *testing.T) {
	o := own(t)
	lines, at := written("a", 3, true)
	bad := at[2]
	bad.Hash[0] ^= 1
	logged(t, o, at[2], bad)
	if _, err := verified(t, o, lines); !errors.Is(err, trail.ErrTampered) {
		t.Error(err)
	}
}

// TestLogTampered: a log that was changed proves nothing.
func TestLogTampered(t *testing.T) {
	o := own(t)
	lines, at := written("a", 3, true)
	logged(t, o, at[4])
	bundle := filepath.Join(o.Log().Dir, "tile", "entries", "000.p", "1")
	text, err := os.ReadFile(bundle)
	if err == nil {
		err = os.WriteFile(bundle, bytes.Replace(text, []byte(" 5 "), []byte(" 4 "), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verified(t, o, lines); !errors.Is(err, audit.ErrUnproven) {
		t.Error(err)
	}
	if err := os.RemoveAll(o.Log().Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := verified(t, o, lines); err == nil {
		t.Error("a log that is gone proves the record")
	}
}

// TestOwnByMany: several processes log into one folder, none loses another's head.
func TestOwnByMany(t *testing.T) {
	o := own(t)
	const many = 4
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			_, at := written(fmt.Sprint(i), 1, true)
			one := *o
			if _, err := one.LogHead(t.Context(), at[2]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range many {
		lines, _ := written(fmt.Sprint(i), 1, true)
		if r, err := verified(t, o, lines); err != nil || r.Logs[0].Size != many {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// TestLedger: a head goes to the ledger with the token; where it can't, it is in the host's own log, and that is said.
func TestLedger(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got string
	answer := `{"entry":7}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		if answer == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	ledger, err := heads.NewLedger(server.URL, token, "")
	if err != nil {
		t.Fatal(err)
	}
	k := &heads.Keeper{Ledger: ledger, Own: *own(t)}
	_, at := written("a", 1, true)
	text, _ := at[2].Text()
	where, entry, err := k.LogHead(t.Context(), at[2])
	if err != nil || where != server.URL || entry != 7 || got != "POST /audit/heads Bearer secret "+text {
		t.Errorf("%s %d %v, sent %q", where, entry, err, got)
	}
	for _, answer = range []string{"", "{}", "no JSON"} {
		where, _, err := k.LogHead(t.Context(), at[2])
		if err == nil || where != k.Own.Dir {
			t.Errorf("answer %q: in %s, %v", answer, where, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if where, _, err := k.LogHead(ctx, at[2]); where != "" || err == nil {
		t.Errorf("nothing logged it: %q, %v", where, err)
	}
	for _, bad := range []string{"ledger:7600", "ftp://ledger", "http://ledger:7600", "https://"} {
		if _, err := heads.NewLedger(bad, token, ""); !errors.Is(err, heads.ErrLedger) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
