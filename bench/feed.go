package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// feedShape compares writes with and without a subscriber within one run, slice by slice, and measures how late the
// subscriber sees a transfer: from the time of its block, which is before it is written, to the response that has it.
func feedShape(ctx context.Context, b *bench) (Result, error) {
	var result Result
	few := &ledgerv1.EventFilter{}
	for _, id := range b.book.ids[:min(100, len(b.book.ids))] {
		few.AccountIds = append(few.AccountIds, id.String())
	}
	err := b.serve(ctx, 0, func(s *server) error {
		for _, f := range []struct {
			name   string
			form   form
			filter *ledgerv1.EventFilter
			packed bool // the subscriber takes transfers as records, as the Go client does
			asked  bool
		}{
			{"single-grpc, all events", wireForm(128, 1), nil, true, true},
			{"batch-grpc, all events", wireForm(16, 100), nil, true, true},
			{"packed, 100 accounts' events", packedForm(), few, true, true},
			{"packed, all events", packedForm(), nil, true, false},
			{"packed, all events as messages", packedForm(), nil, false, false},
		} {
			request := &ledgerv1.SubscribeRequest{
				Start: &ledgerv1.SubscribeRequest_FromNow{FromNow: true}, Filter: f.filter, Packed: f.packed,
			}
			alone, followed, lag, err := b.followed(ctx, s, f.form, request)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			kept := Measure{Name: f.name + ": writes kept", Unit: "ratio", Value: followed.perSecond() / alone.perSecond()}
			late := Measure{Name: f.name + ": lag p99", Unit: "ms", Value: ms(lag.Quantile(0.99)), Less: true}
			if f.asked {
				kept.AtLeast, late.AtLeast = 0.9, 100
			}
			result.Measures = append(result.Measures, kept, late,
				Measure{Name: f.name + ": lag p50", Unit: "ms", Value: ms(lag.Quantile(0.5)), Less: true},
				Measure{Name: f.name + ": writes alone", Unit: perSecond, Value: alone.perSecond()},
				Measure{Name: f.name + ": writes followed", Unit: perSecond, Value: followed.perSecond()})
		}
		return nil
	})
	return result, err
}

// followed alternates slices without and with a subscriber.
func (b *bench) followed(ctx context.Context, s *server, f form, request *ledgerv1.SubscribeRequest) (alone, followed *measurement, lag *Histogram, err error) {
	alone, followed, lag = &measurement{}, &measurement{}, &Histogram{}
	err = b.with(ctx, s, f, func(l *load) error {
		slice := b.window(10*time.Second) / (2 * slicePairs)
		if b.Warmup > 0 {
			if _, err := l.run(ctx, 0, b.Warmup); err != nil {
				return err
			}
		}
		for i := range 2 * slicePairs {
			into, end := alone, func() (*Histogram, error) { return &Histogram{}, nil }
			if (i+i/2)%2 == 1 { // alone, followed, followed, alone, …: neither is always first
				var err error
				if end, err = follow(ctx, s, request); err != nil {
					return err
				}
				into = followed
			}
			m, err := l.run(ctx, slice/10, slice-slice/10)
			seen, followErr := end()
			if err := errors.Join(err, followErr); err != nil {
				return err
			}
			into.merge(m)
			lag.Merge(seen)
		}
		return nil
	})
	if err == nil && (alone.transfers == 0 || followed.transfers == 0 || lag.Count() == 0) {
		err = errors.New("the slices were too short: give a longer --duration")
	}
	return alone, followed, lag, err
}

// followWindow is how much may be on its way to the subscriber, bytes: a full block of the journal as records, and a
// little. The Go client has the same.
const followWindow = 2 << 20

// follow subscribes. What it returns ends the subscription and tells how late each event was.
func follow(ctx context.Context, s *server, subscribe *ledgerv1.SubscribeRequest) (end func() (*Histogram, error), err error) {
	conns, err := dial(s.address, 1, grpc.WithStaticStreamWindowSize(followWindow), grpc.WithStaticConnWindowSize(followWindow))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(authorized(ctx, s.token))
	stream, err := conns[0].NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, ledgerv1.FeedService_Subscribe_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
	if err == nil {
		var request []byte
		request, err = proto.Marshal(subscribe)
		if err == nil {
			err = errors.Join(stream.SendMsg(&request), stream.CloseSend())
		}
	}
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("subscribe: %w", err), closeAll(conns))
	}
	var group sync.WaitGroup
	var lag Histogram
	var failed error
	group.Go(func() {
		var response []byte
		for {
			err := stream.RecvMsg(&response)
			now := uint64(time.Now().UnixNano())
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = recordLag(&lag, response, now)
			}
			if err != nil {
				failed = fmt.Errorf("follow the feed: %w", err)
				return
			}
		}
	})
	return func() (*Histogram, error) {
		cancel()
		group.Wait()
		return &lag, errors.Join(failed, closeAll(conns))
	}, nil
}

// recordLag reads of each event of a SubscribeResponse only the time of its block: a consumer's own work with events is
// not what is measured. The transfers of a run have one time.
func recordLag(lag *Histogram, response []byte, now uint64) error {
	return eachField(response, func(number protowire.Number, _ uint64, event []byte) error {
		if number != eventField && number != runField {
			return nil
		}
		events, written := uint64(1), uint64(0)
		err := eachField(event, func(inner protowire.Number, v uint64, content []byte) error {
			switch {
			case inner == 2: // block_time of both
				written = v
			case inner == 4 && number == runField: // indexes
				events = uint64(len(content) / 2)
			}
			return nil
		})
		lag.RecordN(time.Duration(now-written), events) //nolint:gosec // ns of one machine's clock
		return err
	})
}

// Fields of SubscribeResponse.
const (
	eventField = 1
	runField   = 5
)

// eachField goes over the fields of a message; v is a varint's value, content that of bytes.
func eachField(b []byte, visit func(number protowire.Number, v uint64, content []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(number, v, content); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
