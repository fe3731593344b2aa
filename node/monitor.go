package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth/speaker"
	"github.com/sterlingrun/sterling/flows"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/watch"
)

// Watch configures the second witness that recomputes all money beside the ledger.
type Watch struct {
	Enabled bool `yaml:"enabled"`
	// Flows is a folder of flow files (*.yaml). Empty: those of the demo bank in a demonstration's folder, none elsewhere.
	Flows    string         `yaml:"flows"`
	StopLoss watch.StopLoss `yaml:"stop_loss"`
	Alerts   *Alerts        `yaml:"alerts"` // nil: nobody is told
	// TransitDeadline is how long money may be in transit between cells before that is a break. 0: 30 s.
	TransitDeadline time.Duration `yaml:"transit_deadline"`
}

const (
	watchDir = "watch"
	// maxFlows and maxFlowBytes bound what is read of a folder of flows.
	maxFlows     = 256
	maxFlowBytes = 1 << 20
)

func defaultWatch() Watch { return Watch{Enabled: true} }

// check says what is wrong, without reading files: see CheckFiles.
func (w *Watch) check(fault func(format string, args ...any)) {
	w.Alerts.check(fault)
	s := &w.StopLoss
	if s.AccountsPerMinute < 0 {
		fault("watch.stop_loss.accounts_per_minute: want 0 or more, not %d", s.AccountsPerMinute)
	}
	if d := w.TransitDeadline; d != 0 && d < time.Second {
		fault("watch.transit_deadline: want 1s or more, not %v", d)
	}
	for i := range s.Rules {
		switch r := &s.Rules[i]; r.Freeze {
		case "account", "flow", "cell", "none":
		default:
			fault("watch.stop_loss.rules[%d].freeze: want account, flow, cell or none, not %.80q", i, r.Freeze)
		}
	}
}

// CheckFiles says what is wrong with the files that the configuration names. A node starts all the same where a flow
// can't be used: payments don't wait for their watch, which says what it lacks.
func (c *Config) CheckFiles() error {
	if !c.Watch.Enabled {
		return nil
	}
	var list []watch.Definition
	var err error
	if c.Watch.Flows != "" {
		list, err = readFlows(c.Watch.Flows)
	}
	if err == nil {
		err = monitor.Check(list, c.Watch.StopLoss)
	}
	if err != nil {
		return fmt.Errorf("%w: watch: %w", ErrConfig, err)
	}
	return nil
}

// readFlows reads a folder's flow files in the order of their names.
func readFlows(dir string) (list []watch.Definition, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("watch.flows: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())) {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() > maxFlowBytes || len(list) == maxFlows {
			return list, errors.Join(fmt.Errorf("watch.flows: %s: want up to %d files of up to %d bytes", e.Name(), maxFlows, maxFlowBytes), err)
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return list, fmt.Errorf("watch.flows: %w", err)
		}
		list = append(list, watch.Definition{Name: flowName(e.Name()), Text: string(text)})
	}
	return list, nil
}

// flows returns the flows that the watch is to prove.
func (n *Node) flows() ([]watch.Definition, error) {
	if n.config.Watch.Flows != "" {
		return readFlows(n.config.Watch.Flows)
	}
	demo, err := IsDemo(n.config.Data)
	if err != nil || !demo {
		return nil, err
	}
	return builtinFlows()
}

// builtinFlows are those of the demo bank.
func builtinFlows() ([]watch.Definition, error) {
	files, err := flows.Files()
	if err != nil {
		return nil, err
	}
	var list []watch.Definition
	for _, f := range files {
		list = append(list, watch.Definition{Name: flowName(f.Name), Text: string(f.Text)})
	}
	return list, nil
}

func flowName(file string) string { return strings.TrimSuffix(file, filepath.Ext(file)) }

// startWatch starts the watch beside the recovered cell. Nothing of it can keep the node from starting: what is wrong is
// logged, shown by the metrics, and told by the API.
func (n *Node) startWatch(ctx context.Context) error {
	if !n.config.Watch.Enabled {
		return nil
	}
	var err error
	if n.speakers, err = speaker.Open(n.config.Data); err != nil {
		n.logger.Error("nobody can speak for a source of the watch", "error", err)
	}
	n.watchMetrics = newWatchMetrics(n)
	n.registry.MustRegister(n.watchMetrics)
	m, err := n.openWatch(ctx)
	if err != nil {
		n.logger.Error("the watch does not run, and nothing is proven; payments go on", "error", err)
		n.watchFault = err
		return nil
	}
	n.watch.Store(m)
	return nil
}

func (n *Node) openWatch(ctx context.Context) (*monitor.Monitor, error) {
	flows, err := n.flows()
	if err != nil {
		return nil, err
	}
	if is, err := IsDemo(n.config.Data); err == nil && is && n.injector == nil {
		n.injector = newInjector(n)
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("read random numbers: %w", err)
	}
	o := monitor.Options{
		Dir: filepath.Join(n.config.Data, watchDir), Cell: uint64(n.config.Cell), Log: n.journal, Ledger: n.cell, Clock: n.clock,
		HashKey: binary.LittleEndian.Uint64(random[:]), Flows: flows, StopLoss: n.config.Watch.StopLoss, Transit: n.config.Watch.TransitDeadline, Logger: n.logger, FreezeTook: n.watchMetrics.froze,
	}
	if n.member != nil {
		o.Moments = sharedMoments
	}
	if n.alerts, err = n.openAlerts(); err != nil {
		return nil, err
	}
	if n.alerts != nil {
		o.Alerts = n.alerts
	}
	if n.injector != nil {
		o.Log = bentLog{o.Log, n.injector}
	}
	return monitor.Open(ctx, o)
}

// installWatch hands the watch to the API.
func (n *Node) installWatch(c *api.Config) {
	if m := n.watch.Load(); m != nil {
		c.Watch = m
		if n.injector != nil {
			c.Watch, c.Injector = bentWatch{m, n.injector}, n.injector
		}
	}
	c.WatchFault = n.watchFault
	if n.speakers != nil {
		c.Speakers = n.speakers
	}
}

// onBlock hands a durable block to all who follow. The cell's writer calls it, or who follows
// the journal.
func (n *Node) onBlock(b *journal.Block, events int) {
	if b.Header.Seq <= n.told {
		return // a standby that is built anew has them again
	}
	n.told = b.Header.Seq
	n.rights.look(b)
	n.feed.OnBlock(b, events)
	if t := n.tables.Load(); t != nil {
		t.projector.Notify()
	}
	if m := n.watch.Load(); m != nil {
		raw := b.Raw
		if n.injector != nil {
			raw = n.injector.block(b.Header.Seq, raw)
		}
		m.OnBlock(b.Header.Seq, raw)
	}
}

// stopWatch ends the watch, before the cell ends. It may be called twice.
func (n *Node) stopWatch() {
	if m := n.watch.Swap(nil); m != nil {
		if err := m.Close(); err != nil {
			n.logger.Error("the watch did not end well; the next start goes on from what is durable", "error", err)
		}
	}
	n.closeAlerts()
}
