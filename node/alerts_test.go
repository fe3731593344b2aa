package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

type told struct {
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
	EndsAt   time.Time         `json:"endsAt"`
}

// alertmanager hands on the alerts about breaks.
func alertmanager(t *testing.T) (url string, got chan told) {
	t.Helper()
	got = make(chan told, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var list []told
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil || r.Header.Get("Authorization") != "Bearer abc" {
			t.Errorf("%v, %q", err, r.Header.Get("Authorization"))
		}
		for _, a := range list {
			if a.Labels["alertname"] == "SterlingWatchBreak" {
				got <- a
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

const paymentFlow = `flow: payment
title: Payments
transfers: code == 5
key: user_data_128
order: {source: orders, deadline: 5s}
legs:
  - {name: payment, from: order.debit, to: order.credit, amount: order.amount}
`

// TestABreakIsToldAndItsEnd: an order whose money never moved reaches the people on call, and so does its end.
func TestABreakIsToldAndItsEnd(t *testing.T) {
	t.Parallel()
	url, got := alertmanager(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"flows/payment.yaml": paymentFlow, "token": "abc\n"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	config := node.DefaultConfig()
	config.Data, config.Listen, config.Watch.Flows = filepath.Join(dir, "data"), "127.0.0.1:0", filepath.Join(dir, "flows")
	config.Watch.Alerts = &node.Alerts{URLs: []string{url}, TokenFile: filepath.Join(dir, "token"), Labels: map[string]string{"bank": "test"}}
	n, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	token, err := os.ReadFile(filepath.Join(config.Data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(n.Address(), strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id := uint64(1); id <= 2; id++ {
		if _, err := c.Open(t.Context(), client.Opening{ID: money.From(id), Asset: money.Asset{Code: "CNY", Scale: 2}, Code: 1}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := c.Observe(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ordered := uint64(time.Now().Add(-time.Minute).UnixNano())
	err = o.Send(t.Context(),
		&client.Observation{
			Kind: watchv1.ObservationKind_OBSERVATION_KIND_INSTRUCTION, Time: ordered, Key: "order-1", Id: "order-1", Amount: "500", Asset: "CNY/2",
			DebitAccountId: "1", CreditAccountId: "2",
		},
		&client.Observation{Kind: watchv1.ObservationKind_OBSERVATION_KIND_HEARTBEAT, Through: uint64(time.Now().UnixNano())},
	)
	if err := errors.Join(err, o.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	next := func(class string, ended bool) told {
		deadline := time.After(20 * time.Second)
		for {
			select {
			case a := <-got:
				if a.Labels["class"] == class && a.EndsAt.Before(time.Now()) == ended {
					return a
				}
			case <-deadline:
				t.Fatalf("nothing of %s was told", class)
			}
		}
	}
	a := next("missing_post", false)
	if a.Labels["bank"] != "test" || a.Labels["flow"] != "payment" || a.Labels["severity"] != "critical" || a.StartsAt.IsZero() {
		t.Errorf("%+v", a)
	}
	list, err := c.Watch().ListBreaks(t.Context(), &watchv1.ListBreaksRequest{Class: "missing_post"})
	if err != nil || len(list.GetBreaks()) != 1 || list.GetBreaks()[0].GetKey() != "order-1" {
		t.Fatalf("%v, %v", list, err)
	}
	_, err = c.Watch().DecideBreak(t.Context(), &watchv1.DecideBreakRequest{
		Id: list.GetBreaks()[0].GetId(), State: watchv1.BreakState_BREAK_STATE_ACCEPTED, Why: "a test",
	})
	if err != nil {
		t.Fatal(err)
	}
	next("missing_post", true)
}
