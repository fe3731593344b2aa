// Package alert tells people what the watch found, by the interface of Prometheus' Alertmanager: POST /api/v2/alerts. So
// silences, routes and on-call plans of a bank apply to it as to everything else. It sends at least once, in the
// background, and never makes the watch wait: a receiver that hangs costs a timeout, one that is gone costs repetitions.
//
// It decides nothing: what is an alert, and when it ends, its caller says. It keeps nothing on the disk: after a restart
// its caller tells what goes on. Start reading at [Sender.Notify].
package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/watch"
)

// The defaults of [Options].
const (
	DefaultTimeout = 5 * time.Second
	DefaultResend  = time.Minute
)

// MaxAlerts is how many different alerts are kept at once. Alerts are per class and flow, so this is far off; what comes
// beyond is counted and dropped, never what is kept.
const MaxAlerts = 10_000

// holdFactor is for how many intervals a receiver keeps an alert that is not repeated.
const holdFactor = 4

// Options are what a sender needs.
type Options struct {
	// URLs of receivers, such as "http://127.0.0.1:9093". The path /api/v2/alerts is added where there is none. Each
	// gets every alert.
	URLs []string
	// Labels are added to every alert, such as the name of the environment.
	Labels map[string]string
	// Authorization returns the header's value for a request, such as "Bearer …"; nil: there is none. It is asked every
	// time, so that a secret can be replaced.
	Authorization func() (string, error)
	Timeout       time.Duration // of one request; 0: DefaultTimeout
	Resend        time.Duration // how often what goes on is repeated; 0: DefaultResend
	Generator     string        // URL under which people see more; may be empty
	Client        *http.Client  // nil: one that follows no redirections
	Clock         clock.Clock
	Logger        *slog.Logger
	Registry      prometheus.Registerer // nil: no metrics
}

// Sender sends alerts until it is closed.
type Sender struct {
	options   Options
	receivers []*receiver
	metrics   *metrics
	cancel    context.CancelFunc
	closing   chan struct{} // closed by Close
	once      sync.Once
	group     sync.WaitGroup

	mu     sync.Mutex
	alerts map[string]*state // by watch.Alert's Key
}

// state is an alert as it was said last.
type state struct {
	watch.Alert
	version uint64   // counts what was said; 1 is the first
	told    []uint64 // the version that each receiver has
}

// ErrOptions is what Open returns for options that can't be followed.
var ErrOptions = errors.New("not an alert receiver")

// Open starts a sender. Errors: [ErrOptions], wrapped with what is wrong, and a metric that is registered already.
func Open(o Options) (*Sender, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Resend == 0 {
		o.Resend = DefaultResend
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Timeout < 0 || o.Resend < 0 {
		return nil, fmt.Errorf("%w: a timeout of %v, repeated every %v", ErrOptions, o.Timeout, o.Resend)
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sender{options: o, metrics: m, alerts: map[string]*state{}, cancel: cancel, closing: make(chan struct{})}
	for i, text := range o.URLs {
		u, err := checkURL(text)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("urls[%d]: %w", i, err)
		}
		s.receivers = append(s.receivers, &receiver{sender: s, number: i, url: u, wake: make(chan struct{}, 1)})
	}
	for _, r := range s.receivers {
		s.group.Go(func() { r.run(ctx) })
	}
	return s, nil
}

// checkURL reads a receiver's URL. Secrets don't belong into it: it is shown in logs.
func checkURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%w: want http://HOST:PORT or https://HOST", ErrOptions)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%w: secrets don't belong into the URL; give them in a file", ErrOptions)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/api/v2/alerts"
	}
	return u.String(), nil
}

// Check reports what is wrong with receivers' URLs, without starting anything.
func Check(urls []string) error {
	var wrong []error
	for i, text := range urls {
		if _, err := checkURL(text); err != nil {
			wrong = append(wrong, fmt.Errorf("urls[%d]: %w", i, err))
		}
	}
	return errors.Join(wrong...)
}

// Notify takes alerts and returns at once. One with the labels of an earlier one takes its place; one with Until ends it.
func (s *Sender) Notify(alerts []watch.Alert) {
	if len(s.receivers) == 0 {
		return
	}
	s.mu.Lock()
	for i := range alerts {
		a := &alerts[i]
		known := s.alerts[a.Key()]
		switch {
		case known != nil:
			if known.Alert != *a {
				known.Alert = *a
				known.version++
			}
		case len(s.alerts) >= MaxAlerts:
			s.metrics.dropped.Inc()
		case a.Until != 0: // it ended before it was ever told: nobody needs to hear of it
		default:
			s.alerts[a.Key()] = &state{*a, 1, make([]uint64, len(s.receivers))}
		}
	}
	s.metrics.active.Set(float64(len(s.alerts)))
	s.mu.Unlock()
	for _, r := range s.receivers {
		r.stir()
	}
}

// Close gives what was not told yet one more try, as long as ctx allows, and ends. It may be called twice.
func (s *Sender) Close(ctx context.Context) {
	s.once.Do(func() { close(s.closing) })
	stop := context.AfterFunc(ctx, s.cancel)
	s.group.Wait()
	stop()
	s.cancel()
}

// due returns what a receiver is to be told: what it was not told yet, and with all also what goes on.
func (s *Sender) due(receiver int, all bool) (list []due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.alerts {
		if a.told[receiver] != a.version || all && a.Until == 0 {
			list = append(list, due{a.Alert, key, a.version})
		}
	}
	slices.SortFunc(list, func(a, b due) int { return strings.Compare(a.key, b.key) })
	return list
}

// due is an alert as it is sent.
type due struct {
	watch.Alert
	key     string
	version uint64
}

// told notes what a receiver has taken, and forgets what has ended and everybody knows.
func (s *Sender) told(receiver int, list []due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range list {
		a := s.alerts[d.key]
		if a == nil {
			continue
		}
		a.told[receiver] = max(a.told[receiver], d.version)
		if a.Until != 0 && !slices.ContainsFunc(a.told, func(v uint64) bool { return v != a.version }) {
			delete(s.alerts, d.key)
		}
	}
	s.metrics.active.Set(float64(len(s.alerts)))
}

// forget drops alerts that ended so long ago that a receiver which never heard of the end has dropped them by itself.
func (s *Sender) forget(now uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, a := range s.alerts {
		if a.Until != 0 && now > a.Until+uint64(holdFactor*s.options.Resend) { //nolint:gosec // positive
			delete(s.alerts, key)
		}
	}
	s.metrics.active.Set(float64(len(s.alerts)))
}
