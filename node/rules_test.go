package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/watch"
)

// ruleFile is a file of Prometheus' alerting rules.
type ruleFile struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval"`
		Rules    []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readRules(t *testing.T) (list []rule) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "prometheus", "sterling.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		list = append(list, g.Rules...)
	}
	if len(list) == 0 {
		t.Fatal("there are no rules")
	}
	return list
}

// metricNames are those that a node with a watch and alerts registers.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	config := DefaultConfig()
	config.Data, config.Listen = t.TempDir(), "127.0.0.1:0"
	config.Watch.Alerts = &Alerts{URLs: []string{"http://127.0.0.1:1"}}
	n, err := Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	descriptions := make(chan *prometheus.Desc)
	go func() { n.registry.Describe(descriptions); close(descriptions) }()
	names, name := map[string]bool{}, regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range descriptions {
		names[name.FindStringSubmatch(d.String())[1]] = true
	}
	response, err := http.Get("http://" + n.Address() + "/healthz") // it serves
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(response.Body.Close(), n.Stop(context.WithoutCancel(t.Context()))); err != nil {
		t.Fatal(err)
	}
	return names
}

// TestAlertingRules: every rule is about metrics that exist, and they are the alerts of the webhook.
func TestAlertingRules(t *testing.T) {
	t.Parallel()
	rules, names := readRules(t), metricNames(t)
	metric := regexp.MustCompile(`sterling_[a-z_]+`)
	severities := map[string][]string{}
	for _, r := range rules {
		severity := r.Labels["severity"]
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || severity != watch.Critical && severity != watch.Warning {
			t.Errorf("%s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
		}
		severities[r.Alert] = append(severities[r.Alert], severity)
		found := metric.FindAllString(r.Expr, -1)
		if len(found) == 0 || strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
			t.Errorf("%s: %s", r.Alert, r.Expr)
		}
		for _, name := range found {
			if !names[name] && !names[strings.TrimSuffix(name, "_count")] {
				t.Errorf("%s: there is no metric %s", r.Alert, name)
			}
		}
	}
	source, broken := watch.AlertOfSource(&watch.SourceState{}, 1), &watch.Break{Class: watch.DuplicatePost}
	for _, a := range []watch.Alert{
		watch.AlertOfProof(&watch.Proof{}, 1), source, watch.AlertOfFreeze(&watch.Freeze{}, "", 1), watch.AlertOfBreaks(broken, 1, 1, 1),
		watch.AlertOfBreaks(&watch.Break{Class: watch.MissingReceipt}, 1, 1, 1),
		{Name: watch.AlertDown, Severity: watch.Critical},
		{Name: watch.AlertBehind, Severity: watch.Warning},
	} {
		if !slices.Contains(severities[a.Name], a.Severity) {
			t.Errorf("no rule %s of severity %s", a.Name, a.Severity)
		}
	}
	// The classes that are no more than a warning are the same ones in both.
	classes := regexp.MustCompile(`class=~"([^"]*)"`)
	for _, r := range rules {
		if m := classes.FindStringSubmatch(r.Expr); m != nil {
			for _, class := range strings.Split(m[1], "|") {
				if watch.Class(class).Severity() != watch.Warning {
					t.Errorf("%s is %s by the webhook", class, watch.Class(class).Severity())
				}
			}
		}
	}
}
