package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/watch"
)

const (
	batch        = 64 // alerts of one request
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	maxAnswer    = 512 // bytes of an answer that are read
)

// receiver is where alerts go. Its goroutine alone sends to it.
type receiver struct {
	sender *Sender
	number int
	url    string
	wake   chan struct{} // something is new
}

func (r *receiver) stir() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake
	}
}

// run tells what is new, repeats what goes on, and tries again what was not taken.
func (r *receiver) run(ctx context.Context) {
	o := &r.sender.options
	again, stopTimer := o.Clock.After(o.Resend)
	defer func() { stopTimer() }()
	pause, all := firstPause, false
	for {
		err := r.tell(ctx, all)
		all = all && err != nil
		var retry <-chan time.Time
		stopRetry := func() {}
		wake := r.wake
		if err != nil {
			if ctx.Err() == nil {
				o.Logger.Warn("alerts were not taken: trying again", "receiver", r.url, "in", pause, "error", err)
			}
			retry, stopRetry = o.Clock.After(pause/2 + rand.N(pause/2)) //nolint:gosec // spreads load, hides nothing
			pause, wake = min(2*pause, longestPause), nil               // what is new meanwhile waits, too
		} else {
			pause = firstPause
		}
		select {
		case <-wake:
		case <-retry:
		case <-again:
			r.sender.forget(o.Clock.Wall())
			all = true
			again, stopTimer = o.Clock.After(o.Resend)
		case <-r.sender.closing:
			stopRetry()
			if err := r.tell(ctx, false); err != nil {
				o.Logger.Warn("alerts were not told before the end", "receiver", r.url, "error", err)
			}
			return
		case <-ctx.Done():
			stopRetry()
			return
		}
		stopRetry()
	}
}

// tell sends what is due. An error leaves the rest for later.
func (r *receiver) tell(ctx context.Context, all bool) error {
	for list := range slices.Chunk(r.sender.due(r.number, all), batch) {
		if err := r.post(ctx, list); err != nil {
			r.sender.metrics.failed.Inc()
			return err
		}
		r.sender.metrics.sent.Add(float64(len(list)))
		r.sender.told(r.number, list)
	}
	return nil
}

// message is an alert as Alertmanager's API v2 has it.
type message struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// message writes an alert. One that goes on ends by itself if it is not repeated: so nothing stays up for ever at the
// receiver when this process is gone.
func (s *Sender) message(a *watch.Alert) message {
	ends := a.Until
	if ends == 0 {
		ends = s.options.Clock.Wall() + uint64(holdFactor*s.options.Resend) //nolint:gosec // positive
	}
	m := message{
		Labels:      map[string]string{"alertname": a.Name, "severity": a.Severity},
		Annotations: map[string]string{"summary": a.Summary}, StartsAt: utc(a.Since), EndsAt: utc(ends), GeneratorURL: s.options.Generator,
	}
	for name, value := range map[string]string{"class": string(a.Class), "flow": a.Flow, "source": a.Source} {
		if value != "" {
			m.Labels[name] = value
		}
	}
	maps.Copy(m.Labels, s.options.Labels)
	if a.Description != "" {
		m.Annotations["description"] = a.Description
	}
	return m
}

func utc(ns uint64) time.Time { return time.Unix(0, int64(ns)).UTC() } //nolint:gosec // until 2262

// post sends one request.
func (r *receiver) post(ctx context.Context, list []due) (err error) {
	messages := make([]message, len(list))
	for i := range list {
		messages[i] = r.sender.message(&list[i].Alert)
	}
	body, err := json.Marshal(messages)
	if err != nil {
		return fmt.Errorf("write alerts: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.sender.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if r.sender.options.Authorization != nil {
		value, err := r.sender.options.Authorization()
		if err != nil {
			return fmt.Errorf("read the receiver's secret: %w", err)
		}
		request.Header.Set("Authorization", value)
	}
	response, err := r.sender.options.Client.Do(request)
	if err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, readErr := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("post alerts: the receiver answered %s: %q", response.Status, text)
	}
	if readErr != nil {
		return fmt.Errorf("read the receiver's answer: %w", readErr)
	}
	return nil
}
