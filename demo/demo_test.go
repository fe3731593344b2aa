package demo_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/node"
)

// startNode runs a server on a folder; stop ends it.
func startNode(t *testing.T, folder, listen string) (n *node.Node, stop func()) {
	t.Helper()
	config := node.DefaultConfig()
	config.Data, config.Listen = folder, listen
	n, err := node.Start(context.Background(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func dial(t *testing.T, folder, address string) *client.Client {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(folder, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(address, strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func config(c *client.Client) demo.Config {
	return demo.Config{Client: c, Seed: 7, Accounts: 60, Rate: 300, Day: 2 * time.Second, Duration: 2 * time.Second}
}

func checkBalanced(t *testing.T, s *demo.Summary) {
	t.Helper()
	if len(s.Totals) != 2 {
		t.Fatalf("totals of %d assets, want 2", len(s.Totals))
	}
	for i := range s.Totals {
		if total := &s.Totals[i]; !total.Balanced() || total.DebitsPosted.Sign() == 0 {
			t.Errorf("%s: %+v", total.Asset, total)
		}
	}
}

func TestARunConservesMoneyAndASecondMovesNone(t *testing.T) {
	folder := t.TempDir()
	n, _ := startNode(t, folder, "127.0.0.1:0")
	c := config(dial(t, folder, n.Address()))
	first, err := demo.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkBalanced(t, first)
	if first.Created < 500 || first.Existed != 0 || first.Kinds[demo.Card].Created == 0 {
		t.Errorf("first run: %+v", first)
	}
	second, err := demo.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkBalanced(t, second)
	if second.Created != 0 || second.Existed != first.Created {
		t.Errorf("second run: %d created, %d existed; want 0 and %d", second.Created, second.Existed, first.Created)
	}
	for i := range first.Totals {
		if first.Totals[i].DebitsPosted.Cmp(&second.Totals[i].DebitsPosted) != 0 {
			t.Errorf("the second run moved money: %v posted before, %v after", &first.Totals[i].DebitsPosted, &second.Totals[i].DebitsPosted)
		}
	}
	var text strings.Builder
	if err := second.WriteText(&text); err != nil || !strings.Contains(text.String(), "card payment") || !strings.Contains(text.String(), "debits = credits") {
		t.Errorf("%v, summary: %s", err, &text)
	}
}

// The server goes away in the middle and comes back: the run goes on, and everything in the plan has happened once.
func TestARunSurvivesARestart(t *testing.T) {
	folder, undisturbed := t.TempDir(), t.TempDir()
	n, stop := startNode(t, folder, "127.0.0.1:0")
	address := n.Address()
	c := config(dial(t, folder, address))
	running := make(chan struct{}, 1)
	c.Progress = func(s demo.Status) {
		if s.Transfers > 300 {
			select {
			case running <- struct{}{}:
			default:
			}
		}
	}
	type ended struct {
		summary *demo.Summary
		err     error
	}
	done := make(chan ended, 1)
	go func() {
		s, err := demo.Run(context.Background(), c)
		done <- ended{s, err}
	}()
	<-running
	stop()
	startNode(t, folder, address)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	checkBalanced(t, got.summary)

	other, _ := startNode(t, undisturbed, "127.0.0.1:0")
	want, err := demo.Run(t.Context(), config(dial(t, undisturbed, other.Address())))
	if err != nil {
		t.Fatal(err)
	}
	if g, w := got.summary.Kinds[demo.Deposit], want.Kinds[demo.Deposit]; g.Created+g.Existed != w.Created {
		t.Errorf("with a restart %d deposits were created and %d found, without %d created", g.Created, g.Existed, w.Created)
	}
}

func TestInterruptedIsNoError(t *testing.T) {
	folder := t.TempDir()
	n, _ := startNode(t, folder, "127.0.0.1:0")
	c := config(dial(t, folder, n.Address()))
	ctx, cancel := context.WithCancel(t.Context())
	c.Duration = 0
	c.Progress = func(s demo.Status) {
		if s.Transfers > 100 {
			cancel()
		}
	}
	s, err := demo.Run(ctx, c)
	if err != nil || s.Created < 100 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatCantWorkEnds(t *testing.T) {
	folder := t.TempDir()
	n, stop := startNode(t, folder, "127.0.0.1:0")
	wrong, err := client.Dial(n.Address(), "wrong")
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if _, err := demo.Run(t.Context(), config(wrong)); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("a wrong token: %v", err)
	}
	gone := dial(t, folder, n.Address())
	stop()
	c := config(gone)
	c.Patience = time.Millisecond
	if _, err := demo.Run(t.Context(), c); err == nil {
		t.Error("a server that is gone was no error")
	}
	for _, change := range []func(*demo.Config){
		func(c *demo.Config) { c.Accounts = 1 },
		func(c *demo.Config) { c.Rate = 0 },
		func(c *demo.Config) { c.Day = 0 },
		func(c *demo.Config) { c.Duration = -1 },
	} {
		c := config(gone)
		change(&c)
		if _, err := demo.Run(t.Context(), c); !errors.Is(err, demo.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
