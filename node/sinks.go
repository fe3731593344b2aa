package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/feed/kafka"
	"github.com/sterlingrun/sterling/feed/nats"
	"github.com/sterlingrun/sterling/feed/webhook"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Sink delivers the change feed to one place: exactly one of NATS, Kafka and Webhook.
type Sink struct {
	Name   string     `yaml:"name"`
	Filter SinkFilter `yaml:"filter"`
	Start  string     `yaml:"start"` // of a new sink: beginning (the default) or now
	// Timeout bounds one attempt; 30s by default.
	Timeout time.Duration `yaml:"timeout"`
	// Attempts is how often a delivery is tried before it is given up; 0: until it arrives. By default 10 for a webhook,
	// 0 for a broker.
	Attempts *int `yaml:"attempts"`
	// OnFailure is what becomes of a delivery that was given up: dead_letter (the default), or stop: nothing passes it.
	OnFailure string `yaml:"on_failure"`
	// DeadLetterMB bounds the dead letters on disk, by default 256: then nothing passes.
	DeadLetterMB int `yaml:"dead_letter_mb"`

	NATS    *NATS    `yaml:"nats"`
	Kafka   *Kafka   `yaml:"kafka"`
	Webhook *Webhook `yaml:"webhook"`
}

// SinkFilter selects events; see feed.Filter.
type SinkFilter struct {
	Accounts []string `yaml:"accounts"`
	Assets   []string `yaml:"assets"`
	Codes    []uint32 `yaml:"codes"`
	Kinds    []string `yaml:"kinds"`
}

// Secret is where a secret is read from at the start: a file or a variable of the environment.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// NATS is a JetStream stream.
type NATS struct {
	URLs        []string `yaml:"urls"`
	Stream      string   `yaml:"stream"`
	Subject     string   `yaml:"subject"`     // messages go to SUBJECT.KIND
	Exclusive   bool     `yaml:"exclusive"`   // nobody else publishes to the stream
	Credentials string   `yaml:"credentials"` // a .creds file
	User        string   `yaml:"user"`
	Password    Secret   `yaml:"password"`
	Token       Secret   `yaml:"token"`
	TLS         *TLS     `yaml:"tls"`
}

// Kafka is a topic.
type Kafka struct {
	Brokers   []string `yaml:"brokers"`
	Topic     string   `yaml:"topic"`
	Mechanism string   `yaml:"mechanism"` // plain, scram-sha-256, scram-sha-512, or none
	User      string   `yaml:"user"`
	Password  Secret   `yaml:"password"`
	TLS       *TLS     `yaml:"tls"`
}

// Webhook is an HTTP endpoint.
type Webhook struct {
	URL            string       `yaml:"url"`
	Keys           []WebhookKey `yaml:"keys"` // one, or two while they are rotated
	PrivateNetwork bool         `yaml:"private_network"`
	TLS            *TLS         `yaml:"tls"`
}

// WebhookKey signs deliveries.
type WebhookKey struct {
	ID     string `yaml:"id"`
	Secret Secret `yaml:"secret"`
}

// TLS are the files of an encrypted connection. Empty ones: the system's roots, no certificate of ours.
type TLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

const maxSinks = 64

// checkSinks says what is wrong, without reading files: those are looked at when the node starts.
func checkSinks(list []Sink) (faults []error) {
	if len(list) > maxSinks {
		faults = append(faults, fmt.Errorf("sinks: %d, at most %d", len(list), maxSinks))
	}
	names := map[string]bool{}
	for i := range list {
		s := &list[i]
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("sinks[%d]: %w", i, fmt.Errorf(format, args...)))
		}
		if !feed.ValidSinkName(s.Name) || names[s.Name] {
			fault("name: want another one for each, of a-z, 0-9, '-' and '_', not %.80q", s.Name)
		}
		names[s.Name] = true
		if given := len(s.kinds()); given != 1 {
			fault("want exactly one of nats, kafka and webhook, not %d of them", given)
		}
		if s.Start != "" && s.Start != "beginning" && s.Start != "now" {
			fault("start: want beginning or now, not %.80q", s.Start)
		}
		if s.OnFailure != "" && s.OnFailure != "dead_letter" && s.OnFailure != "stop" {
			fault("on_failure: want dead_letter or stop, not %.80q", s.OnFailure)
		}
		if s.Timeout < 0 || s.Timeout > 10*time.Minute {
			fault("timeout: want up to 10m, not %v", s.Timeout)
		}
		if s.Attempts != nil && *s.Attempts < 0 {
			fault("attempts: want 0 or more, not %d", *s.Attempts)
		}
		if s.DeadLetterMB < 0 {
			fault("dead_letter_mb: want 0 or more, not %d", s.DeadLetterMB)
		}
		if s.NATS != nil && s.NATS.Exclusive && s.attempts() > 0 && s.OnFailure != "stop" {
			fault("nats.exclusive: an exclusive stream has every event in order: use attempts: 0, or on_failure: stop")
		}
		if _, err := s.Filter.filter(); err != nil {
			fault("%w", err)
		}
	}
	return faults
}

func (s *Sink) kinds() (list []string) {
	if s.NATS != nil {
		list = append(list, "nats")
	}
	if s.Kafka != nil {
		list = append(list, "kafka")
	}
	if s.Webhook != nil {
		list = append(list, "webhook")
	}
	return list
}

func (s *Sink) attempts() int {
	const webhookAttempts = 10 // about 2 minutes
	switch {
	case s.Attempts != nil:
		return *s.Attempts
	case s.Webhook != nil:
		return webhookAttempts
	}
	return 0
}

func (f *SinkFilter) filter() (feed.Filter, error) {
	m := &ledgerv1.EventFilter{AccountIds: f.Accounts, Assets: f.Assets, TransferCodes: f.Codes}
	for _, name := range f.Kinds {
		k, err := feed.ParseKind(name)
		if err != nil {
			return feed.Filter{}, fmt.Errorf("%w: %w", feed.ErrFilter, err)
		}
		m.Kinds = append(m.Kinds, ledgerv1.EventKind(k))
	}
	return feed.FilterOf(m)
}

// read returns the secret, without the space around it; empty where none is configured.
func (s Secret) read() (string, error) {
	var text string
	switch {
	case s.File != "" && s.Env != "":
		return "", errors.New("want file or env, not both")
	case s.File != "":
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("read a secret: %w", err)
		}
		text = string(b)
	case s.Env != "":
		text = os.Getenv(s.Env)
	default:
		return "", nil
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("the secret is empty: file %q, env %q", s.File, s.Env)
	}
	return text, nil
}

func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s has no certificate", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// open makes the sink that is configured.
func (s *Sink) open(c clock.Clock) (feed.Sink, error) {
	switch {
	case s.NATS != nil:
		return s.NATS.open()
	case s.Kafka != nil:
		return s.Kafka.open()
	}
	return s.Webhook.open(c)
}

func (n *NATS) open() (feed.Sink, error) {
	password, err := n.Password.read()
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	token, err := n.Token.read()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	config, err := n.TLS.config()
	if err != nil {
		return nil, err
	}
	return nats.New(nats.Options{
		URLs: n.URLs, Stream: n.Stream, Subject: n.Subject, Exclusive: n.Exclusive, Credentials: n.Credentials,
		User: n.User, Password: password, Token: token, TLS: config,
	})
}

func (k *Kafka) open() (feed.Sink, error) {
	password, err := k.Password.read()
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	config, err := k.TLS.config()
	if err != nil {
		return nil, err
	}
	return kafka.New(kafka.Options{Brokers: k.Brokers, Topic: k.Topic, TLS: config, Mechanism: k.Mechanism, User: k.User, Password: password})
}

func (w *Webhook) open(c clock.Clock) (feed.Sink, error) {
	var keys []webhook.Key
	for _, k := range w.Keys {
		secret, err := k.Secret.read()
		if err != nil {
			return nil, fmt.Errorf("keys: %s: %w", k.ID, err)
		}
		keys = append(keys, webhook.Key{ID: k.ID, Secret: []byte(secret)})
	}
	config, err := w.TLS.config()
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{URL: w.URL, Keys: keys, Clock: c, PrivateNetwork: w.PrivateNetwork, TLS: config})
}

const sinkDir = "sinks"

// shelf is where sinks keep how far they are: where all nodes of the cell find it.
func (n *Node) shelf() feed.Shelf {
	if n.shared != nil {
		return sharedShelf{n.shared}
	}
	return feed.Folder(filepath.Join(n.config.Data, sinkDir))
}

// sharedShelf are the documents of a store that are sinks'.
type sharedShelf struct{ documents }

// documents are what the nodes of a cell keep in its store besides the journal.
type documents = feed.Shelf

func (s sharedShelf) Document(ctx context.Context, name string) ([]byte, error) {
	return s.documents.Document(ctx, sinkDir+"/"+name)
}

func (s sharedShelf) Documents(ctx context.Context, prefix string) ([]string, error) {
	names, err := s.documents.Documents(ctx, sinkDir+"/"+prefix)
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], sinkDir+"/")
	}
	return names, err
}

func (s sharedShelf) PutDocument(ctx context.Context, name string, body []byte) error {
	return s.documents.PutDocument(ctx, sinkDir+"/"+name, body)
}

func (s sharedShelf) RemoveDocument(ctx context.Context, name string) error {
	return s.documents.RemoveDocument(ctx, sinkDir+"/"+name)
}

// openSinks makes the sinks that are configured, before anything else is touched: a secret that is missing is found
// first. They deliver nothing yet.
func (n *Node) openSinks(context.Context) error {
	for i := range n.config.Sinks {
		s := &n.config.Sinks[i]
		o := feed.SinkOptions{
			Name: s.Name, Kind: s.kinds()[0], Start: feed.Beginning(), Timeout: s.Timeout, Attempts: s.attempts(), Stop: s.OnFailure == "stop",
			DeadBytes: int64(s.DeadLetterMB) << 20,
		}
		if s.Start == "now" {
			o.Start = feed.Now()
		}
		var err error
		if o.Filter, err = s.Filter.filter(); err == nil {
			o.Sink, err = s.open(n.clock)
		}
		if err != nil {
			return fmt.Errorf("%w: sink %s: %w", ErrConfig, s.Name, err)
		}
		n.sinkOptions = append(n.sinkOptions, o)
	}
	return nil
}

// startFeed opens the feed over the recovered cell, and the sinks over the feed.
func (n *Node) startFeed() (err error) {
	n.feed.Start(n.cell)
	n.sinks, err = n.feed.NewSinks(feed.RunnerOptions{Shelf: n.shelf(), Clock: n.clock, Logger: n.logger, Jitter: rand.Float64}, n.sinkOptions)
	n.sinkOptions = nil // theirs now
	if err == nil && n.shared == nil {
		n.sinks.Serve()
	}
	return err
}

// stopFeed ends what follows the cell, before the cell ends. It may be called twice.
func (n *Node) stopFeed() error {
	var err error
	if n.sinks != nil {
		err = n.sinks.Close()
	}
	for _, o := range n.sinkOptions { // made, but never started
		err = errors.Join(err, o.Sink.Close())
	}
	n.sinkOptions = nil
	if n.feed != nil {
		n.feed.Close()
	}
	return err
}

// sinkCollector turns the sinks' status into metrics when they are asked for.
type sinkCollector struct {
	sinks   *feed.Runners
	metrics []sinkMetric
}

type sinkMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*ledgerv1.Sink) float64
}

func newSinkCollector(sinks *feed.Runners) *sinkCollector {
	c := &sinkCollector{sinks: sinks}
	add := func(kind prometheus.ValueType, name, help string, value func(*ledgerv1.Sink) float64) {
		c.metrics = append(c.metrics, sinkMetric{prometheus.NewDesc("sterling_sink_"+name, help, []string{"sink", "kind"}, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	add(gauge, "lag_blocks", "Durable blocks that the sink has not delivered yet.", func(s *ledgerv1.Sink) float64 { return float64(s.GetLagBlocks()) })
	add(gauge, "lag_seconds", "Age of the oldest event that is being delivered; 0 where none is.", (*ledgerv1.Sink).GetLagSeconds)
	add(counter, "deliveries_total", "Deliveries acknowledged since the start.", func(s *ledgerv1.Sink) float64 { return float64(s.GetDeliveries()) })
	add(counter, "events_total", "Events acknowledged since the start.", func(s *ledgerv1.Sink) float64 { return float64(s.GetEvents()) })
	add(counter, "retries_total", "Attempts that did not succeed and were repeated, since the start.", func(s *ledgerv1.Sink) float64 { return float64(s.GetRetries()) })
	add(gauge, "dead_letters", "Deliveries that were given up and wait for an operator.", func(s *ledgerv1.Sink) float64 { return float64(s.GetDeadLetters()) })
	add(gauge, "stopped", "1 while the sink waits for an operator.", func(s *ledgerv1.Sink) float64 {
		return boolean(s.GetState() == ledgerv1.SinkState_SINK_STATE_STOPPED)
	})
	return c
}

// Describe implements prometheus.Collector.
func (c *sinkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *sinkCollector) Collect(ch chan<- prometheus.Metric) {
	if !c.sinks.Serving() { // another node's
		return
	}
	for _, s := range c.sinks.Status() {
		for _, m := range c.metrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.GetName(), s.GetKind())
		}
	}
}
