package demo_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/node"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// demoNode runs a server on a demonstration's folder.
func demoNode(t *testing.T) (n *node.Node, folder string) {
	t.Helper()
	folder = t.TempDir() + "/data"
	if is, err := node.MarkDemo(folder); err != nil || !is {
		t.Fatalf("mark: %v, %v", is, err)
	}
	n, _ = startNode(t, folder, "127.0.0.1:0")
	return n, folder
}

func proof(t *testing.T, c *client.Client) *watchv1.GetProofResponse {
	t.Helper()
	p, err := c.Watch().GetProof(t.Context(), &watchv1.GetProofRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// noBreaks fails with what is wrong.
func noBreaks(t *testing.T, c *client.Client) {
	t.Helper()
	list, err := c.Watch().ListBreaks(t.Context(), &watchv1.ListBreaksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range list.GetBreaks() {
		if i == 10 {
			break
		}
		full, err := c.Watch().GetBreak(t.Context(), &watchv1.GetBreakRequest{Id: b.GetId()})
		t.Errorf("%v: %s in %s: %s\n%v", err, b.GetClass(), b.GetFlow(), b.GetSummary(), full.GetFound().GetEvidence())
	}
	if n := len(list.GetBreaks()); n > 0 {
		t.Fatalf("%d breaks", n)
	}
}

// The bank's witnesses explain all that it does: no break, nothing that waits without end, and the proof follows.
func TestTheWatchProvesTheBank(t *testing.T) {
	n, folder := demoNode(t)
	c := config(dial(t, folder, n.Address()))
	c.Duration, c.Day = 6*time.Second, 6*time.Second
	c.Witnesses = dial(t, folder, n.Address())
	c.Warn = func(why string) { t.Errorf("warned: %s", why) }
	moved, last := 0, uint64(0)
	c.Progress = func(demo.Status) {
		if p := proof(t, c.Client); p.GetSafeThrough() > last {
			last = p.GetSafeThrough()
			moved++
		}
	}
	s, err := demo.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkBalanced(t, s)
	noBreaks(t, c.Client)
	if moved < 10 {
		t.Errorf("safe_through rose %d times in %v", moved, c.Duration)
	}
	ended := uint64(time.Now().UnixNano())
	for {
		p := proof(t, c.Client)
		if p.GetAppliedSeq() == p.GetHeadSeq() && p.GetSafeThrough()+uint64(2*time.Second) > ended {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond): // the watch has a clock of its own
		case <-t.Context().Done():
			t.Fatalf("safe through %v: %s", time.Unix(0, int64(p.GetSafeThrough())), p.GetReason())
		}
	}
	for _, f := range proof(t, c.Client).GetFlows() {
		if f.GetFlow() != "opening" && f.GetFlow() != "fee" && (!f.GetProven() || f.GetClosedKeys() == 0) {
			t.Errorf("flow %s: %v", f.GetFlow(), f)
		}
	}
	// The same plan again: everything exists, and nothing is told twice.
	if s, err = demo.Run(t.Context(), c); err != nil || s.Created != 0 {
		t.Fatalf("again: %v, %d created", err, s.Created)
	}
	noBreaks(t, c.Client)
}

func TestTwoBanksDoNotSpeakForOneWitness(t *testing.T) {
	n, folder := demoNode(t)
	c := config(dial(t, folder, n.Address()))
	c.Duration = 0
	c.Warn = func(why string) { t.Errorf("warned: %s", why) }
	ctx, cancel := context.WithCancel(t.Context())
	running, done := make(chan struct{}, 1), make(chan error, 1)
	c.Progress = func(s demo.Status) {
		if s.Transfers > 100 {
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
	second := config(dial(t, folder, n.Address()))
	second.Seed = 8
	if _, err := demo.Run(t.Context(), second); !errors.Is(err, demo.ErrBusy) {
		t.Errorf("a second bank: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	noBreaks(t, second.Client)
}

func TestAServerWithoutTheFlowsIsWarnedOfOnce(t *testing.T) {
	folder := t.TempDir()
	n, _ := startNode(t, folder, "127.0.0.1:0")
	c := config(dial(t, folder, n.Address()))
	var warnings []string
	c.Warn = func(why string) { warnings = append(warnings, why) }
	if _, err := demo.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "nothing of the bank is proven") {
		t.Errorf("warnings: %q", warnings)
	}
}
