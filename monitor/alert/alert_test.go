package alert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/monitor/alert"
	"github.com/sterlingrun/sterling/watch"
)

// manager is an Alertmanager that hands on what it takes.
type manager struct {
	*httptest.Server
	got    chan []posted
	answer atomic.Int32 // status; 0: 200
	header atomic.Value // Authorization of the last request
	hang   chan struct{}
}

type posted struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

func receive(t *testing.T) *manager {
	t.Helper()
	m := &manager{got: make(chan []posted, 1000)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.header.Store(r.Header.Get("Authorization"))
		var list []posted
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&list); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/alerts" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		if m.hang != nil {
			select {
			case <-m.hang:
			case <-r.Context().Done():
			}
		}
		if status := m.answer.Load(); status != 0 {
			w.WriteHeader(int(status))
			_, _ = io.WriteString(w, "not now")
		}
		m.got <- list
	}))
	t.Cleanup(m.Close)
	return m
}

// next is the next request's alerts.
func (m *manager) next(t *testing.T) []posted {
	t.Helper()
	select {
	case list := <-m.got:
		return list
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was sent")
		return nil
	}
}

func start(t *testing.T, o alert.Options) *alert.Sender {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock.NewSystem()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := alert.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
	})
	return s
}

const second = uint64(time.Second)

var opened = watch.Alert{
	Name: watch.AlertBreak, Severity: watch.Critical, Class: watch.DuplicatePost, Flow: "card-payment",
	Summary: "order-7 was booked twice", Description: "sterling watch break 01", Since: 1_700_000_000 * second,
}

// advance moves a fake clock on once the sender waits for it.
func advance(t *testing.T, c *clock.Fake, timers int, d time.Duration) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for c.Waiting() < timers {
		if time.Now().After(deadline) {
			t.Fatalf("%d timers, want %d", c.Waiting(), timers)
		}
	}
	c.Advance(d)
}

func TestAnAlertIsToldRepeatedAndResolved(t *testing.T) {
	m, c := receive(t), clock.NewFake(1_700_000_100*second)
	s := start(t, alert.Options{URLs: []string{m.URL}, Clock: c, Resend: time.Minute, Labels: map[string]string{"bank": "demo"}, Generator: "http://console"})
	s.Notify([]watch.Alert{opened})
	list := m.next(t)
	if len(list) != 1 {
		t.Fatalf("%v", list)
	}
	a := list[0]
	if fmt.Sprint(a.Labels) != "map[alertname:SterlingWatchBreak bank:demo class:duplicate_post flow:card-payment severity:critical]" ||
		fmt.Sprint(a.Annotations) != "map[description:sterling watch break 01 summary:order-7 was booked twice]" || a.GeneratorURL != "http://console" {
		t.Errorf("%+v", a)
	}
	if a.StartsAt.Unix() != 1_700_000_000 || a.EndsAt.Unix() != 1_700_000_100+240 {
		t.Errorf("from %v to %v", a.StartsAt, a.EndsAt)
	}
	// It is repeated, and lives on at the receiver.
	advance(t, c, 1, time.Minute)
	if list = m.next(t); len(list) != 1 || list[0].EndsAt.Unix() != 1_700_000_160+240 {
		t.Errorf("repeated: %v", list)
	}
	// What changes is told at once; what doesn't is not.
	again := opened
	s.Notify([]watch.Alert{again})
	again.Summary = "2 breaks"
	s.Notify([]watch.Alert{again})
	if list = m.next(t); len(list) != 1 || list[0].Annotations["summary"] != "2 breaks" {
		t.Errorf("changed: %v", list)
	}
	again.Until = 1_700_000_170 * second
	s.Notify([]watch.Alert{again})
	if list = m.next(t); len(list) != 1 || list[0].EndsAt.Unix() != 1_700_000_170 {
		t.Errorf("ended: %v", list)
	}
	// It is over: nothing is repeated. Another alert shows that.
	advance(t, c, 1, time.Minute)
	other := watch.Alert{Name: watch.AlertDown, Severity: watch.Critical, Since: 1}
	s.Notify([]watch.Alert{other})
	if list = m.next(t); len(list) != 1 || list[0].Labels["alertname"] != watch.AlertDown {
		t.Errorf("after the end: %v", list)
	}
}

// TestARefusedAlertIsSentAgain: at least once, with pauses, and with what came meanwhile.
func TestARefusedAlertIsSentAgain(t *testing.T) {
	m, c := receive(t), clock.NewFake(1_700_000_100*second)
	m.answer.Store(http.StatusServiceUnavailable)
	s := start(t, alert.Options{URLs: []string{m.URL}, Clock: c})
	s.Notify([]watch.Alert{opened})
	m.next(t)
	s.Notify([]watch.Alert{{Name: watch.AlertDown, Since: 1}})
	m.answer.Store(0)
	advance(t, c, 2, time.Second) // the retry and the repetition
	if list := m.next(t); len(list) != 2 {
		t.Errorf("again: %v", list)
	}
}

// TestAHangingReceiverCostsATimeout, and neither Notify nor the other receivers wait for it.
func TestAHangingReceiverCostsATimeout(t *testing.T) {
	stuck, good := receive(t), receive(t)
	stuck.hang = make(chan struct{})
	defer close(stuck.hang)
	registry := prometheus.NewRegistry()
	s := start(t, alert.Options{URLs: []string{stuck.URL, good.URL}, Timeout: 50 * time.Millisecond, Registry: registry})
	s.Notify([]watch.Alert{opened})
	good.next(t)
	for range 2 { // it is tried again
		stuck.next(t)
	}
	if v := value(t, registry, "sterling_watch_alerts_failed_total"); v < 1 {
		t.Errorf("%v failed", v)
	}
	if v := value(t, registry, "sterling_watch_alerts_sent_total"); v != 1 {
		t.Errorf("%v sent", v)
	}
}

func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestAlertsAreBounded: what is kept has an end, what is kept is told, and the rest is counted.
func TestAlertsAreBounded(t *testing.T) {
	m := receive(t)
	m.answer.Store(http.StatusTeapot)
	registry := prometheus.NewRegistry()
	s := start(t, alert.Options{URLs: []string{m.URL}, Registry: registry, Clock: clock.NewFake(1)})
	for i := range alert.MaxAlerts + 7 {
		s.Notify([]watch.Alert{{Name: watch.AlertBreak, Flow: fmt.Sprint(i), Since: 1}})
	}
	if active, dropped := value(t, registry, "sterling_watch_alerts_active"), value(t, registry, "sterling_watch_alerts_dropped_total"); active != alert.MaxAlerts || dropped != 7 {
		t.Errorf("%v kept, %v dropped", active, dropped)
	}
}

// TestCloseTellsWhatIsLeft, and ends also where nobody listens.
func TestCloseTellsWhatIsLeft(t *testing.T) {
	m, c := receive(t), clock.NewFake(1_700_000_100*second)
	m.answer.Store(http.StatusBadGateway)
	s := start(t, alert.Options{URLs: []string{m.URL, "http://127.0.0.1:1"}, Clock: c})
	s.Notify([]watch.Alert{opened})
	m.next(t)
	m.answer.Store(0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.Close(ctx)
	if list := m.next(t); len(list) != 1 {
		t.Errorf("%v", list)
	}
	if ctx.Err() != nil {
		t.Error("it took as long as it could")
	}
}

func TestTheSecretComesFromAFileAndStaysOutOfTheLog(t *testing.T) {
	m := receive(t)
	m.answer.Store(http.StatusUnauthorized)
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2-one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	s := start(t, alert.Options{
		URLs: []string{m.URL}, Authorization: alert.BearerFile(path), Timeout: time.Second,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	s.Notify([]watch.Alert{opened})
	m.next(t)
	if got := m.header.Load(); got != "Bearer hunter2-one" {
		t.Errorf("%v", got)
	}
	if err := os.WriteFile(path, []byte("hunter2-two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.next(t)
	if got := m.header.Load(); got != "Bearer hunter2-two" {
		t.Errorf("after it was replaced: %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.Close(ctx)
	if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "401") {
		t.Errorf("log: %s", text)
	}
	for _, bad := range []string{"", "a\nb", strings.Repeat("x", 5000)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := alert.BearerFile(path)(); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestReceiversThatCantBe(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:9093", "ftp://x", "http://", "http://user:secret@x", "http://x/?token=secret", "http://x/#y", "http://%zz"} {
		_, err := alert.Open(alert.Options{URLs: []string{bad}, Clock: clock.NewSystem()})
		if !errors.Is(err, alert.ErrOptions) || strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "token=") {
			t.Errorf("%q: %v", bad, err)
		}
		if err := alert.Check([]string{bad}); !errors.Is(err, alert.ErrOptions) {
			t.Errorf("check %q: %v", bad, err)
		}
	}
	if err := alert.Check([]string{"https://alerts.example/prefix/api/v2/alerts", "http://127.0.0.1:9093"}); err != nil {
		t.Error(err)
	}
	if _, err := alert.Open(alert.Options{Timeout: -1, Clock: clock.NewSystem()}); !errors.Is(err, alert.ErrOptions) {
		t.Errorf("%v", err)
	}
}

// TestNoReceivers: nothing is kept for nobody.
func TestNoReceivers(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := start(t, alert.Options{Registry: registry})
	s.Notify([]watch.Alert{opened})
	if v := value(t, registry, "sterling_watch_alerts_active"); v != 0 {
		t.Errorf("%v kept", v)
	}
}
