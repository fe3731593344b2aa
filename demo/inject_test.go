package demo_test

import (
	"context"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/node"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// classOf waits for a break of a class.
func classOf(t *testing.T, c *client.Client, class, key string) *watchv1.Break {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		r, err := c.Watch().ListBreaks(ctx, &watchv1.ListBreaksRequest{Limit: 1000})
		if err != nil {
			t.Fatalf("%s (key %s) was not found: %v", class, key, err)
		}
		for _, b := range r.GetBreaks() {
			if b.GetClass() == class {
				return b
			}
		}
		select {
		case <-time.After(20 * time.Millisecond): // the watch has a clock of its own
		case <-ctx.Done():
			for _, b := range r.GetBreaks() {
				t.Logf("%s %s: %s", b.GetClass(), b.GetKey(), b.GetSummary())
			}
		}
	}
}

// Every fault that can be made is found as what it is, while the bank goes on, and nothing else is.
func TestInjectedFaultsAreFound(t *testing.T) {
	n, folder := demoNode(t)
	c := config(dial(t, folder, n.Address()))
	c.Duration, c.Rate, c.Accounts = 0, 40, 400
	ctx, cancel := context.WithCancel(t.Context())
	running, done := make(chan struct{}, 1), make(chan error, 1)
	c.Progress = func(s demo.Status) {
		if !s.Opening {
			select {
			case running <- struct{}{}:
			default:
			}
		}
	}
	go func() {
		_, err := demo.Run(ctx, c)
		done <- err
	}()
	<-running
	made := map[string]bool{}
	for _, f := range node.Faults() {
		class := string(f.Class)
		if f.After > 5*time.Second || class == "tampered_history" { // the first take long, the other ends the proof
			continue
		}
		r, err := c.Client.Watch().Inject(t.Context(), &watchv1.InjectRequest{Class: class})
		if err != nil {
			t.Errorf("%s: %v", class, err)
			continue
		}
		made[class] = true
		classOf(t, c.Client, class, r.GetKey())
	}
	if len(made) < 25 {
		t.Errorf("%d faults were made", len(made))
	}
	list, err := c.Client.Watch().ListBreaks(t.Context(), &watchv1.ListBreaksRequest{Limit: 1000, Roots: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list.GetBreaks() {
		if !made[b.GetClass()] {
			t.Errorf("%s in %s was found, and nobody made it: %s", b.GetClass(), b.GetFlow(), b.GetSummary())
		}
	}
	if _, err := c.Client.Watch().Inject(t.Context(), &watchv1.InjectRequest{Class: "tampered_history"}); err != nil {
		t.Fatal(err)
	}
	classOf(t, c.Client, "tampered_history", "")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A fault that is asked for before the bank has opened waits until it has accounts with money.
func TestInjectWaitsForTheBank(t *testing.T) {
	n, folder := demoNode(t)
	c := config(dial(t, folder, n.Address()))
	c.Duration, c.Rate = 0, 40
	ctx, cancel := context.WithCancel(t.Context())
	made := make(chan error, 1)
	go func() {
		_, err := c.Client.Watch().Inject(ctx, &watchv1.InjectRequest{Class: "wrong_fee"})
		made <- err
		cancel()
	}()
	if _, err := demo.Run(ctx, c); err != nil {
		t.Error(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestOnlyADemonstrationTakesFaults(t *testing.T) {
	folder := t.TempDir()
	n, _ := startNode(t, folder, "127.0.0.1:0")
	if _, err := dial(t, folder, n.Address()).Watch().Inject(t.Context(), &watchv1.InjectRequest{Class: "duplicate_post"}); err == nil {
		t.Error("a server that is no demonstration made a fault")
	}
}
