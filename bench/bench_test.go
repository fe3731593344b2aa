package bench_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/node"
)

// serveWord makes the test binary a server, so that the benchmark has a program to start.
const serveWord = "serve-for-the-benchmark"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == serveWord {
		if err := serve(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve is `sterling up --config FILE`.
func serve(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := node.LoadConfig(file)
	if err != nil {
		return err
	}
	n, err := node.Start(ctx, config, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-n.Fatal():
	}
	return errors.Join(err, n.Stop(context.Background()))
}

// small is a configuration under which every shape takes about a second.
func small(t *testing.T) bench.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return bench.Config{
		Command: []string{self, serveWord}, Dir: t.TempDir(), Version: "test",
		Accounts: 1000, Transfers: 40_000, Duration: time.Second, Warmup: 50 * time.Millisecond, Rest: 50 * time.Millisecond,
	}
}

// Every shape checks by itself that all acknowledged transfers are there; what is left is that it measures at all.
func TestEveryShape(t *testing.T) {
	for _, name := range bench.Names() {
		t.Run(name, func(t *testing.T) {
			c := small(t)
			c.Shapes = []string{name}
			switch name {
			case "snapshot":
				c.Duration = 4 * time.Second // snapshots come every two
			case "hot":
				c.Duration = 4 * time.Second // ten slices, of which each needs a call that takes long under the race detector
			}
			report, err := bench.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Results) != 1 || report.Results[0].Shape != name || len(report.Results[0].Measures) == 0 {
				t.Fatalf("unexpected results %+v", report.Results)
			}
			for _, m := range report.Results[0].Measures {
				if m.Value < 0 && m.Unit != "MB" || m.Value == 0 && m.Unit != "s" && m.Unit != "MB" {
					t.Errorf("%s is %v %s", m.Name, m.Value, m.Unit)
				}
			}
			if l := report.Results[0].Load; l != nil && (l.AcknowledgedAndFound < l.Transfers || l.Transfers == 0 || l.P99 < l.P50 || l.PeakMB <= 0) {
				t.Errorf("unexpected load %+v", l)
			}
			var text strings.Builder
			if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), name) {
				t.Errorf("text %q, %v", &text, err)
			}
		})
	}
}

func TestProfilesAndTargets(t *testing.T) {
	c := small(t)
	c.Shapes, c.Profile, c.ProfileDir, c.Duration = []string{"batch-grpc"}, 1, t.TempDir(), 1500*time.Millisecond
	if _, err := bench.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.ProfileDir + "/batch-grpc.pprof"); err != nil || info.Size() < 100 {
		t.Errorf("profile: %+v, %v", info, err)
	}
	config := node.DefaultConfig()
	config.Data, config.Listen = t.TempDir(), "127.0.0.1:0"
	n, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	token, err := os.ReadFile(config.Data + "/admin.token")
	if err != nil {
		t.Fatal(err)
	}
	c = small(t)
	c.Command, c.Server, c.Token, c.Shapes = nil, n.Address(), strings.TrimSpace(string(token)), []string{"single-json", "packed"}
	report, err := bench.Run(t.Context(), c)
	if err != nil || len(report.Results) != 2 {
		t.Fatalf("a server that runs already: %+v, %v", report, err)
	}
}

func TestBadConfigurations(t *testing.T) {
	for name, change := range map[string]func(*bench.Config){
		"there is no shape":     func(c *bench.Config) { c.Shapes = []string{"fast"} },
		"needs a server of its": func(c *bench.Config) { c.Shapes, c.Server = []string{"start"}, "127.0.0.1:1" },
		"accounts":              func(c *bench.Config) { c.Accounts = 1 },
		"transfers":             func(c *bench.Config) { c.Transfers = 0 },
		"negative":              func(c *bench.Config) { c.Warmup = -1 },
	} {
		c := small(t)
		change(&c)
		if _, err := bench.Run(t.Context(), c); !errors.Is(err, bench.ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error about %q, got %v", name, err)
		}
	}
	c := small(t)
	c.Command = []string{"/nonexistent/sterling"}
	if _, err := bench.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "start a server") {
		t.Errorf("a program that is not there: %v", err)
	}
}
