package kafka_test

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/feed/feedtest"
	"github.com/sterlingrun/sterling/feed/kafka"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const topic = "ledger"

func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topic)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, brokers []string) *kafka.Sink {
	t.Helper()
	s, err := kafka.New(kafka.Options{Brokers: brokers, Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// consume reads n records or more, until none came for a while.
func consume(t *testing.T, brokers []string, n int) []*kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var list []*kgo.Record
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(list) < n && ctx.Err() == nil {
		list = append(list, c.PollFetches(ctx).Records()...)
	}
	short, end := context.WithTimeout(ctx, 300*time.Millisecond)
	defer end()
	return append(list, c.PollFetches(short).Records()...)
}

// unique returns the records by position, and how many came more than once.
func unique(t *testing.T, list []*kgo.Record) (by map[string]*kgo.Record, twice int) {
	t.Helper()
	by = map[string]*kgo.Record{}
	for _, r := range list {
		position := ""
		for _, h := range r.Headers {
			if h.Key == kafka.PositionHeader {
				position = string(h.Value)
			}
		}
		if _, err := feed.ParsePosition(position); err != nil {
			t.Fatal(err)
		}
		if by[position] != nil {
			twice++
		}
		by[position] = r
	}
	return by, twice
}

func TestEveryEventIsARecord(t *testing.T) {
	c := cluster(t)
	defer c.Close()
	bank := feedtest.New(t)
	bank.Pay(200)
	status, stop := bank.Run(open(t, c.ListenAddrs()))
	bank.Pay(50)
	feedtest.Eventually(t, "all are acknowledged", func() bool { return status().GetEvents() == 250 })
	stop()
	bank.Pay(5)
	status, _ = bank.Run(open(t, c.ListenAddrs()))
	feedtest.Eventually(t, "the rest is acknowledged", func() bool { return status().GetEvents() == 5 })
	by, twice := unique(t, consume(t, c.ListenAddrs(), 255))
	if len(by) != 255 || twice != 0 {
		t.Errorf("%d records, %d of them twice", len(by), twice)
	}
	for position, r := range by {
		id, err := strconv.Atoi(string(r.Key))
		if err != nil || id < 1 || id > 255 || !strings.Contains(string(r.Value), `"`+string(r.Key)+`"`) || string(r.Headers[1].Value) != "transfer_created" {
			t.Errorf("%s: key %q, value %s", position, r.Key, r.Value)
		}
	}
}

// Requests fail for a while in every way: no answer, an error, and the connection cut after the records were kept.
func TestABrokerThatFailsForAWhile(t *testing.T) {
	c := cluster(t)
	defer c.Close()
	bank := feedtest.New(t)
	failures := 0
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		failures++
		if failures <= 1 {
			c.KeepControl()
			return nil, kerr.NotLeaderForPartition, true // the connection is cut
		}
		return nil, nil, false
	})
	bank.Pay(100)
	status, _ := bank.Run(open(t, c.ListenAddrs()))
	feedtest.Eventually(t, "all are acknowledged", func() bool { return status().GetEvents() == 100 })
	by, twice := unique(t, consume(t, c.ListenAddrs(), 100))
	if len(by) != 100 || twice != 0 || failures < 2 {
		t.Errorf("%d records, %d of them twice, after %d failures", len(by), twice, failures)
	}
}

func TestABrokerThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port where nothing answers
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	bank := feedtest.New(t)
	bank.Pay(20)
	status, _ := bank.Run(open(t, []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}))
	feedtest.Eventually(t, "the sink retries", func() bool { return status().GetRetries() > 0 })
	c := cluster(t, kfake.Ports(port))
	defer c.Close()
	feedtest.Eventually(t, "all are acknowledged", func() bool { return status().GetEvents() == 20 })
	if by, _ := unique(t, consume(t, c.ListenAddrs(), 20)); len(by) != 20 {
		t.Errorf("%d records", len(by))
	}
	if s := status(); s.GetState() != ledgerv1.SinkState_SINK_STATE_RUNNING || s.GetDeadLetters() != 0 {
		t.Errorf("%v", s)
	}
}

func TestAnAttemptEndsWithItsTime(t *testing.T) {
	s := open(t, []string{"127.0.0.1:1"})
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := s.Deliver(ctx, &feed.Delivery{Events: []*ledgerv1.FeedEvent{{Position: feed.AfterBlock(1, 1).Message()}}})
	if err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestBadOptions(t *testing.T) {
	good := kafka.Options{Brokers: []string{"x:1"}, Topic: "t"}
	for says, change := range map[string]func(*kafka.Options){
		"brokers: want one":    func(o *kafka.Options) { o.Brokers = nil },
		"want HOST:PORT":       func(o *kafka.Options) { o.Brokers = []string{"x"} },
		"is not a topic":       func(o *kafka.Options) { o.Topic = "a b" },
		"use it with tls":      func(o *kafka.Options) { o.Mechanism, o.User, o.Password = "plain", "u", "p" },
		"want plain, scram":    func(o *kafka.Options) { o.Mechanism = "gssapi" },
		"takes user and passw": func(o *kafka.Options) { o.Mechanism, o.TLS = "plain", &tls.Config{MinVersion: tls.VersionTLS12} },
	} {
		o := good
		change(&o)
		if _, err := kafka.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}
