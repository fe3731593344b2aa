package otlp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/otlp"
	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/sandbox/trail/export"
)

// answers is a collector that gives each request the next answer, and the last one ever after.
type answers struct {
	t       *testing.T
	list    []answer
	took    []string // lines of records, in the order in which they came
	batches int
}

type answer struct {
	status int
	body   string
	retry  string // seconds
}

// RoundTrip implements http.RoundTripper: the collector without a network, so that time is the test's.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	now := a.list[0]
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	if now.status == 0 {
		return nil, errors.New("no route to host")
	}
	a.batches++
	if now.status == http.StatusOK {
		a.read(r.Body)
	}
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", now.retry)
	w.WriteHeader(now.status)
	_, _ = w.WriteString(now.body)
	return w.Result(), nil
}

func (a *answers) read(body io.Reader) {
	var said struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct {
					Attributes []struct {
						Key   string
						Value struct{ IntValue string }
					}
				}
			}
		}
	}
	if err := json.NewDecoder(body).Decode(&said); err != nil {
		a.t.Fatal(err)
	}
	for _, one := range said.ResourceLogs[0].ScopeLogs[0].LogRecords {
		for _, at := range one.Attributes {
			if at.Key == "sterling.line" {
				a.took = append(a.took, at.Value.IntValue)
			}
		}
	}
}

// send sends so many lines, and returns how long it took.
func send(t *testing.T, a *answers, lines int) (s *otlp.Sender, took time.Duration, err error) {
	t.Helper()
	e, err := export.New(export.OTel)
	if err != nil {
		t.Fatal(err)
	}
	s = &otlp.Sender{URL: "http://collector/v1/logs", Client: &http.Client{Transport: a}, Clock: clock.NewSystem(), Patience: time.Minute}
	began := time.Now()
	for i := range lines {
		r, err := e.LogRecord(trail.Record{Seq: uint64(i), Kind: trail.KindEvent, Body: json.RawMessage(`{"point":"exec"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), r); err != nil {
			return s, time.Since(began), err
		}
	}
	return s, time.Since(began), s.Flush(t.Context())
}

// TestNothingIsLost: whatever a collector answers at first, it gets every line once, in order.
func TestNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{t: t, list: []answer{{}, {status: 503}, {status: 200}, {status: 429, retry: "7"}, {status: 200, body: `{"partialSuccess":{}}`}}}
		const lines = 1200
		s, took, err := send(t, a, lines)
		if err != nil || s.Sent != lines || len(a.took) != lines {
			t.Fatalf("%v, sent %d, took %d", err, s.Sent, len(a.took))
		}
		for i, line := range a.took {
			if line != fmt.Sprint(i) {
				t.Fatalf("line %s as number %d", line, i)
			}
		}
		if want := 500*time.Millisecond + time.Second + 7*time.Second; took != want {
			t.Errorf("it took %v, want %v: pauses that double, and the one that was asked for", took, want)
		}
	})
}

// TestPatience: a collector that is gone is an error, within the time that was given.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, took, err := send(t, &answers{t: t, list: []answer{{}}}, 3)
		if err == nil || took > time.Minute || s.Sent != 0 {
			t.Errorf("%v after %v, sent %d", err, took, s.Sent)
		}
	})
}

// TestRefused: what a collector refuses for good is told, and not sent again.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, no := range map[string]answer{
			"unauthorised": {status: 401}, "malformed": {status: 400, body: "no"}, "moved": {status: 302},
			"in part": {status: 200, body: `{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}`},
		} {
			a := &answers{t: t, list: []answer{no}}
			s, _, err := send(t, a, 3)
			if !errors.Is(err, otlp.ErrRefused) || s.Sent != 0 {
				t.Errorf("%s: %v, sent %d", what, err, s.Sent)
			}
			if err := s.Flush(t.Context()); err != nil || a.batches != 1 {
				t.Errorf("%s: sent again: %v, %d batches", what, err, a.batches)
			}
		}
	})
}
