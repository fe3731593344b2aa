package node

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/sterlingrun/sterling/monitor/alert"
)

// Alerts configures who is told at once what the watch found.
type Alerts struct {
	// URLs of Alertmanagers, or of what speaks their API v2. Each is told everything.
	URLs []string `yaml:"urls"`
	// TokenFile has a bearer token for all of them, in one line; it is read for every request. Empty: none is sent.
	TokenFile string `yaml:"token_file"`
	// Labels are added to every alert, such as the environment's name.
	Labels map[string]string `yaml:"labels"`
}

// lastAlerts is how long the end of a node waits for receivers of alerts.
const lastAlerts = 3 * time.Second

func (a *Alerts) check(fault func(format string, args ...any)) {
	if a == nil {
		return
	}
	if err := alert.Check(a.URLs); err != nil {
		fault("watch.alerts.%w", err)
	}
	name := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`) // Prometheus' data model
	for label := range a.Labels {
		if !name.MatchString(label) {
			fault("watch.alerts.labels: %.80q: want letters, digits and _", label)
		}
	}
}

// openAlerts makes the sender of alerts; nil where nobody is told.
func (n *Node) openAlerts() (*alert.Sender, error) {
	a := n.config.Watch.Alerts
	if a == nil || len(a.URLs) == 0 {
		return nil, nil
	}
	o := alert.Options{URLs: a.URLs, Labels: a.Labels, Clock: n.clock, Logger: n.logger, Registry: n.registry}
	if a.TokenFile != "" {
		o.Authorization = alert.BearerFile(a.TokenFile)
	}
	s, err := alert.Open(o)
	if err != nil {
		return nil, fmt.Errorf("watch.alerts: %w", err)
	}
	return s, nil
}

func (n *Node) closeAlerts() {
	if n.alerts == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastAlerts)
	defer cancel()
	n.alerts.Close(ctx)
}
