package nats_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/feed/feedtest"
	"github.com/sterlingrun/sterling/feed/nats"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// broker is a NATS server that can be stopped and started on the same port and files.
type broker struct {
	t    *testing.T
	opts server.Options
	*server.Server
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	opts := b.opts
	var err error
	if b.Server, err = server.NewServer(&opts); err != nil {
		b.t.Fatal(err)
	}
	go b.Start()
	if !b.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("the broker did not start")
	}
	b.opts.Port = opts.Port
}

func (b *broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// stream opens the stream LEDGER, and makes it if it is not there.
func (b *broker) stream() jetstream.Stream {
	b.t.Helper()
	conn, err := natsgo.Connect(b.ClientURL())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{Name: "LEDGER", Subjects: []string{"ledger.>"}, Duplicates: 2 * time.Minute})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *broker) sink(change func(*nats.Options)) *nats.Sink {
	b.t.Helper()
	o := nats.Options{URLs: []string{b.ClientURL()}, Stream: "LEDGER", Subject: "ledger"}
	if change != nil {
		change(&o)
	}
	s, err := nats.New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func count(t *testing.T, s jetstream.Stream) int {
	t.Helper()
	info, err := s.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return int(info.State.Msgs)
}

// inOrder checks that the stream has each of n transfers once, in order.
func inOrder(t *testing.T, s jetstream.Stream, n int) {
	t.Helper()
	if got := count(t, s); got != n {
		t.Fatalf("the stream has %d messages, want %d", got, n)
	}
	last := feed.Position{Cell: 1}
	for seq := range uint64(n) {
		m, err := s.GetMsg(context.Background(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		p, err := feed.ParsePosition(m.Header.Get("Nats-Msg-Id"))
		if err != nil || p.Compare(last) <= 0 || m.Subject != "ledger.transfer_created" || !strings.Contains(string(m.Data), fmt.Sprintf(`"%d"`, seq+1)) {
			t.Fatalf("message %d: %v after %v, %s, %v: %s", seq+1, p, last, m.Subject, err, m.Data)
		}
		last = p
	}
}

func forms() map[string]func(*nats.Options) {
	return map[string]func(*nats.Options){"shared": nil, "exclusive": func(o *nats.Options) { o.Exclusive = true }}
}

// The broker is down at the start and again later, and the sink starts over: every event is there once.
func TestABrokerThatIsDownForAWhile(t *testing.T) {
	for name, change := range forms() {
		t.Run(name, func(t *testing.T) {
			broker := startBroker(t)
			broker.stream()
			bank := feedtest.New(t)
			bank.Pay(100)
			broker.stop()
			status, stop := bank.Run(broker.sink(change))
			feedtest.Eventually(t, "the sink retries", func() bool { return status().GetRetries() > 0 })
			broker.start()
			stream := broker.stream()
			feedtest.Eventually(t, "all arrive", func() bool { return count(t, stream) == bank.Paid() })
			bank.Pay(900)
			broker.stop()
			bank.Pay(10)
			feedtest.Eventually(t, "the sink retries", func() bool { return status().GetState() == ledgerv1.SinkState_SINK_STATE_RETRYING })
			broker.start()
			stream = broker.stream()
			feedtest.Eventually(t, "all arrive", func() bool { return count(t, stream) == bank.Paid() })
			stop()
			bank.Pay(5)
			status, _ = bank.Run(broker.sink(change))
			feedtest.Eventually(t, "the rest arrives", func() bool { return count(t, stream) == bank.Paid() && status().GetLagBlocks() == 0 })
			inOrder(t, stream, bank.Paid())
		})
	}
}

// What a crash makes the runner send again is dropped by the message ids; an exclusive stream needs no memory of them.
func TestWhatComesTwiceIsThereOnce(t *testing.T) {
	for name, change := range forms() {
		t.Run(name, func(t *testing.T) {
			broker := startBroker(t)
			stream := broker.stream()
			if name == "exclusive" {
				conf := stream.CachedInfo().Config
				conf.Duplicates = 100 * time.Millisecond
				conn, err := natsgo.Connect(broker.ClientURL())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				js, err := jetstream.New(conn)
				if err == nil {
					_, err = js.UpdateStream(context.Background(), conf)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			d := &feed.Delivery{ID: "x"}
			for i := range 5 {
				p := feed.Position{Cell: 1, Seq: 3, Index: i}
				d.Events = append(d.Events, &ledgerv1.FeedEvent{
					Position: p.Message(), KindName: "transfer_created",
					Body: &ledgerv1.FeedEvent_Transfer{Transfer: &ledgerv1.Transfer{Id: fmt.Sprint(i + 1)}},
				})
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			for _, n := range []int{3, 5, 5} {
				s := broker.sink(change)
				part := &feed.Delivery{ID: d.ID, Events: d.Events[:n]}
				feedtest.Eventually(t, "it connects", func() bool { return s.Deliver(ctx, part) == nil })
				s.Close()
			}
			inOrder(t, stream, 5)
		})
	}
}

func TestAnExclusiveStreamNoticesASecondPublisher(t *testing.T) {
	broker := startBroker(t)
	stream := broker.stream()
	bank := feedtest.New(t)
	status, _ := bank.Run(broker.sink(func(o *nats.Options) { o.Exclusive = true }))
	bank.Pay(3)
	feedtest.Eventually(t, "they arrive", func() bool { return count(t, stream) == 3 })
	conn, err := natsgo.Connect(broker.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Request("ledger.intruder", nil, time.Second); err != nil {
		t.Fatal(err)
	}
	bank.Pay(1)
	feedtest.Eventually(t, "the sink says so", func() bool { return strings.Contains(status().GetLastError(), "not exclusive") })
	if n := count(t, stream); n != 4 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAStreamThatIsNotThereIsAnError(t *testing.T) {
	broker := startBroker(t)
	bank := feedtest.New(t)
	bank.Pay(1)
	status, _ := bank.Run(broker.sink(nil))
	feedtest.Eventually(t, "the sink retries", func() bool { return status().GetRetries() > 1 && status().GetLastError() != "" })
	stream := broker.stream()
	feedtest.Eventually(t, "it arrives", func() bool { return count(t, stream) == 1 })
}

func TestBadOptions(t *testing.T) {
	for says, o := range map[string]nats.Options{
		"urls: want one":  {Stream: "S", Subject: "s"},
		"want nats://":    {URLs: []string{"http://x"}, Stream: "S", Subject: "s"},
		"want no passwor": {URLs: []string{"nats://u:p@x:1"}, Stream: "S", Subject: "s"},
		"stream:":         {URLs: []string{"nats://x:1"}, Stream: "S.*", Subject: "s"},
		"subject:":        {URLs: []string{"nats://x:1"}, Stream: "S", Subject: "s.>"},
	} {
		if _, err := nats.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}
