// Package nats delivers the change feed to a NATS JetStream stream: a message for each event, in order.
//
// The message id is the event's position, so that the stream drops what is sent twice within its duplicate window; an
// exclusive stream needs no window, because the sink looks up where the stream ends. It makes no stream, keeps no state,
// and retries nothing: feed.Runner does. Start reading at [New] and [Sink.Deliver].
package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Options of a sink. URLs, Stream and Subject are required.
type Options struct {
	URLs    []string // nats://HOST:PORT or tls://HOST:PORT
	Stream  string   // that must take the messages
	Subject string   // messages go to SUBJECT.KIND, such as ledger.transfer_created
	// Exclusive says that nobody else publishes to the stream. Then each message must come right after the one before it:
	// none is doubled or out of order, whatever happened, and a second publisher is noticed.
	Exclusive bool

	Credentials    string // a .creds file; "": none
	User, Password string
	Token          string
	TLS            *tls.Config // nil: as the URL says, with the system's roots
}

// Check says what is wrong with the options, or nil.
func (o *Options) Check() error {
	if len(o.URLs) == 0 {
		return errors.New("urls: want one at least")
	}
	for _, u := range o.URLs {
		if !strings.HasPrefix(u, "nats://") && !strings.HasPrefix(u, "tls://") {
			return errors.New("urls: want nats://HOST:PORT or tls://HOST:PORT")
		}
		if strings.Contains(u, "@") {
			return errors.New("urls: want no password in them: it would be logged")
		}
	}
	if o.Stream == "" || strings.ContainsAny(o.Stream, " .*>\\/\t\r\n") {
		return fmt.Errorf("stream: %.80q is not a stream's name", o.Stream)
	}
	if o.Subject == "" || strings.ContainsAny(o.Subject, " *>\t\r\n") || strings.HasPrefix(o.Subject, ".") || strings.HasSuffix(o.Subject, ".") {
		return fmt.Errorf("subject: %.80q is not a subject without wildcards", o.Subject)
	}
	return nil
}

// Sink publishes to one stream.
type Sink struct {
	opts Options
	conn *nats.Conn
	js   jetstream.JetStream

	known bool   // last is where the stream ends, as far as this sink knows
	last  uint64 // sequence number in the stream
}

// New returns a sink. It connects now if it can, and otherwise as soon as it can.
func New(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	list := []nats.Option{
		nats.Name("sterling"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.ReconnectBufSize(-1), // what can't be sent now is an error, and sent again by the runner, in order
	}
	if o.Credentials != "" {
		list = append(list, nats.UserCredentials(o.Credentials))
	}
	if o.User != "" {
		list = append(list, nats.UserInfo(o.User, o.Password))
	}
	if o.Token != "" {
		list = append(list, nats.Token(o.Token))
	}
	if o.TLS != nil {
		list = append(list, nats.Secure(o.TLS))
	}
	conn, err := nats.Connect(strings.Join(o.URLs, ","), list...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncTimeout(30*time.Second))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Sink{opts: o, conn: conn, js: js}, nil
}

// Deliver implements feed.Sink.
func (s *Sink) Deliver(ctx context.Context, d *feed.Delivery) error {
	if !s.conn.IsConnected() {
		return errors.New("publish: there is no connection to the server")
	}
	events := d.Events
	if s.opts.Exclusive && !s.known {
		end, err := s.findEnd(ctx)
		if err != nil {
			return err
		}
		events = after(events, end)
		s.known = true
	}
	err := s.publish(ctx, events)
	if err != nil {
		s.known = false // some may have arrived
	}
	return err
}

// findEnd returns the position of the stream's last message, and notes its sequence number.
func (s *Sink) findEnd(ctx context.Context) (end feed.Position, err error) {
	stream, err := s.js.Stream(ctx, s.opts.Stream)
	if err != nil {
		return end, fmt.Errorf("look at stream %s: %w", s.opts.Stream, err)
	}
	state := stream.CachedInfo().State
	s.last = state.LastSeq
	if state.Msgs == 0 {
		return end, nil
	}
	m, err := stream.GetMsg(ctx, state.LastSeq)
	if err != nil {
		return end, fmt.Errorf("read the last message of stream %s: %w", s.opts.Stream, err)
	}
	id := m.Header.Get(jetstream.MsgIDHeader)
	if end, err = feed.ParsePosition(id); err != nil {
		return end, fmt.Errorf("stream %s is not exclusive: its last message has the id %.80q", s.opts.Stream, id)
	}
	return end, nil
}

// after leaves out the events up to a position, which may be zero. Those of another cell are not comparable and stay.
func after(events []*ledgerv1.FeedEvent, end feed.Position) []*ledgerv1.FeedEvent {
	for i, e := range events {
		p, err := feed.PositionOf(e.GetPosition())
		if err != nil || p.Cell != end.Cell || p.Compare(end) > 0 {
			return events[i:]
		}
	}
	return nil
}

// publish sends all events and waits for all acknowledgements.
func (s *Sink) publish(ctx context.Context, events []*ledgerv1.FeedEvent) error {
	acks := make([]jetstream.PubAckFuture, 0, len(events))
	for i, e := range events {
		m, err := s.message(e)
		if err != nil {
			return err
		}
		options := []jetstream.PublishOpt{jetstream.WithExpectStream(s.opts.Stream), jetstream.WithRetryAttempts(0)}
		if s.opts.Exclusive {
			options = append(options, jetstream.WithExpectLastSequence(s.last+uint64(i)))
		}
		ack, err := s.js.PublishMsgAsync(m, options...)
		if err != nil {
			return fmt.Errorf("publish to %s: %w", m.Subject, err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case got := <-ack.Ok():
			s.last = max(s.last, got.Sequence)
		case err := <-ack.Err():
			return fmt.Errorf("publish to %s: %w", ack.Msg().Subject, err)
		case <-ctx.Done():
			return fmt.Errorf("wait for the stream's acknowledgement: %w", ctx.Err())
		}
	}
	return nil
}

func (s *Sink) message(e *ledgerv1.FeedEvent) (*nats.Msg, error) {
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(e)
	if err != nil {
		return nil, feed.Permanent(fmt.Errorf("encode an event: %w", err))
	}
	p, err := feed.PositionOf(e.GetPosition())
	if err != nil {
		return nil, feed.Permanent(fmt.Errorf("an event's position: %w", err))
	}
	m := nats.NewMsg(s.opts.Subject + "." + e.GetKindName())
	m.Header.Set(jetstream.MsgIDHeader, p.String())
	m.Data = data
	return m, nil
}

// Close implements feed.Sink.
func (s *Sink) Close() error {
	s.conn.Close()
	return nil
}
