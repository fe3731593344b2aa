// Package kafka delivers the change feed to a Kafka topic: a record for each event.
//
// The key is the account or transfer that the event is about, so that a partition has all of one in order; the headers
// have the position, by which consumers drop what comes twice. It makes no topic, keeps no state, and retries nothing
// for long: feed.Runner does. Start reading at [New] and [Sink.Deliver].
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Headers of a record.
const (
	PositionHeader = "sterling-position" // CELL:SEQ:INDEX
	KindHeader     = "sterling-kind"     // transfer_created
)

// Options of a sink. Brokers and Topic are required.
type Options struct {
	Brokers []string // HOST:PORT
	Topic   string
	TLS     *tls.Config // nil: no encryption

	// Mechanism is plain, scram-sha-256 or scram-sha-512; "": no authentication. Plain takes TLS.
	Mechanism, User, Password string
}

// Check says what is wrong with the options, or nil.
func (o *Options) Check() error {
	if len(o.Brokers) == 0 {
		return errors.New("brokers: want one at least")
	}
	for _, b := range o.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("brokers: want HOST:PORT, not %.80q", b)
		}
	}
	if o.Topic == "" || len(o.Topic) > 249 || strings.Trim(o.Topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return fmt.Errorf("topic: %.80q is not a topic's name", o.Topic)
	}
	switch o.Mechanism {
	case "", "scram-sha-256", "scram-sha-512":
	case "plain":
		if o.TLS == nil {
			return errors.New("mechanism: plain sends the password as it is: use it with tls")
		}
	default:
		return fmt.Errorf("mechanism: want plain, scram-sha-256 or scram-sha-512, not %.80q", o.Mechanism)
	}
	if o.Mechanism != "" && (o.User == "" || o.Password == "") {
		return errors.New("mechanism: it takes user and password")
	}
	return nil
}

// Sink produces to one topic.
type Sink struct {
	client *kgo.Client
}

// New returns a sink. It connects with the first delivery.
func New(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	list := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.DefaultProduceTopic(o.Topic), kgo.ClientID("sterling"),
		kgo.RequiredAcks(kgo.AllISRAcks()),       // with idempotence, which is the default: no broker keeps a record twice
		kgo.AllowIdempotentProduceCancellation(), // an attempt ends with its time: the runner repeats it
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	}
	if o.TLS != nil {
		list = append(list, kgo.DialTLSConfig(o.TLS))
	}
	switch o.Mechanism {
	case "plain":
		list = append(list, kgo.SASL(plain.Auth{User: o.User, Pass: o.Password}.AsMechanism()))
	case "scram-sha-256":
		list = append(list, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha256Mechanism()))
	case "scram-sha-512":
		list = append(list, kgo.SASL(scram.Auth{User: o.User, Pass: o.Password}.AsSha512Mechanism()))
	}
	client, err := kgo.NewClient(list...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Sink{client}, nil
}

// Deliver implements feed.Sink.
func (s *Sink) Deliver(ctx context.Context, d *feed.Delivery) error {
	records := make([]*kgo.Record, len(d.Events))
	for i, e := range d.Events {
		r, err := record(e)
		if err != nil {
			return err
		}
		records[i] = r
	}
	err := s.client.ProduceSync(ctx, records...).FirstErr()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return feed.Permanent(fmt.Errorf("produce: %w", err))
	}
	return fmt.Errorf("produce: %w", err)
}

func record(e *ledgerv1.FeedEvent) (*kgo.Record, error) {
	value, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(e)
	if err != nil {
		return nil, feed.Permanent(fmt.Errorf("encode an event: %w", err))
	}
	p, err := feed.PositionOf(e.GetPosition())
	if err != nil {
		return nil, feed.Permanent(fmt.Errorf("an event's position: %w", err))
	}
	return &kgo.Record{
		Key: []byte(feed.EventKey(e)), Value: value,
		Headers: []kgo.RecordHeader{{Key: PositionHeader, Value: []byte(p.String())}, {Key: KindHeader, Value: []byte(e.GetKindName())}},
	}, nil
}

// Close implements feed.Sink.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
