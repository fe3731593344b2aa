// Package otlp sends log records of sandboxes to an OpenTelemetry collector over HTTP, in OTLP's JSON encoding.
//
// It drops nothing: who hands it records waits while the collector does not take them, and gets an error where it
// refuses them for good. What a record is, package sandbox/trail/export says. Start reading at Sender.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/trail/export"
)

// Bounds of sending.
const (
	batchRecords = 512
	batchWait    = 30 * time.Second // for one request
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	maxAnswer    = 64 << 10
)

// ErrRefused is wrapped where a collector takes records no more, or not all of them.
var ErrRefused = errors.New("the collector refuses")

// Sender sends to one collector. Its queue is one batch; a full one is sent before more is taken. Not safe for concurrent
// use.
type Sender struct {
	URL    string // such as http://collector:4318/v1/logs
	Client *http.Client
	Clock  clock.Clock
	// Patience bounds how long a batch is tried again.
	Patience time.Duration

	queue []export.LogRecord
	Sent  uint64 // records that the collector has taken
}

// Add queues a record, and sends the queue where it is full.
func (s *Sender) Add(ctx context.Context, r export.LogRecord) error {
	s.queue = append(s.queue, r)
	if len(s.queue) < batchRecords {
		return nil
	}
	return s.Flush(ctx)
}

// Flush sends what is queued. After an error it stays in the queue, but for records that the collector has refused.
func (s *Sender) Flush(ctx context.Context) error {
	if len(s.queue) == 0 {
		return nil
	}
	body, err := export.Request(nil, s.queue)
	if err != nil {
		return err
	}
	began, pause := s.Clock.Mono(), firstPause
	for {
		wait, err := s.post(ctx, body)
		if err == nil {
			s.Sent += uint64(len(s.queue))
			s.queue = s.queue[:0]
			return nil
		}
		if wait < 0 {
			s.queue = s.queue[:0] // what was refused is not to be sent again
			return err
		}
		wait = max(wait, pause)
		if s.Clock.Mono()-began+uint64(wait) > uint64(s.Patience) { //nolint:gosec // not negative
			return fmt.Errorf("send %d records, tried for %v: %w", len(s.queue), s.Patience, err)
		}
		if clock.Sleep(ctx, s.Clock, wait) != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

// post sends once. Where it may be tried again, wait is how long the collector wants to be left alone, else negative.
func (s *Sender) post(ctx context.Context, body []byte) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return -1, fmt.Errorf("send to %s: %w", s.URL, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.Client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		return -1, partial(answer)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
		if err != nil {
			seconds = 0
		}
		return time.Duration(seconds) * time.Second, fmt.Errorf("send: %s", response.Status)
	}
	return -1, fmt.Errorf("%w: %s: %.500s", ErrRefused, response.Status, strings.TrimSpace(string(answer)))
}

// partial reads whether some records were refused, which must not be sent again.
func partial(answer []byte) error {
	var said struct {
		Partial struct {
			Rejected json.RawMessage `json:"rejectedLogRecords"` // a number, or a text of one
			Message  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if len(bytes.TrimSpace(answer)) == 0 || json.Unmarshal(answer, &said) != nil {
		return nil // taken, whatever is said with it
	}
	if n := strings.Trim(string(said.Partial.Rejected), `"`); n != "" && n != "0" && n != "null" {
		return fmt.Errorf("%w %.20s records: %.500s", ErrRefused, n, said.Partial.Message)
	}
	return nil
}
