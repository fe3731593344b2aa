package client_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

var fromBeginning = &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true}}

// TestASubscriptionOutlivesItsConnections breaks them every few events. One transfer
// is made for each that has come, so that what there is to send again stays small.
func TestASubscriptionOutlivesItsConnections(t *testing.T) {
	address, token := bank(t)
	c := dial(t, address, client.WithToken(func(context.Context) (string, error) { return token, nil }))
	shaky, err := client.Dial(cutter(t, address), token)
	if err != nil {
		t.Fatal(err)
	}
	defer shaky.Close()
	const transfers = 150
	next, last := uint64(1000), uint64(0)
	send := func() {
		next++
		if _, err := c.Transfer(t.Context(), entry(next)); err != nil {
			t.Fatal(err)
		}
	}
	send()
	for run, err := range shaky.Subscribe(t.Context(), fromBeginning) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range run.GetEvents() {
			if e.GetTransfer() == nil {
				continue
			}
			if e.GetTransfer().GetId() != money.From(next).String() || e.GetPosition().GetSeq() <= last {
				t.Fatalf("%v came, want transfer %d", e, next)
			}
			last = e.GetPosition().GetSeq()
			send()
		}
		if next == 1000+transfers {
			return
		}
	}
}

// broken is a feed whose streams end as told.
type broken struct {
	ledgerv1.UnimplementedLedgerServiceServer
	ledgerv1.UnimplementedFeedServiceServer
	mu     sync.Mutex
	ends   []error // of the streams in turn; each sends one run before, of the next block
	silent int     // streams that end before anything is sent
	starts []*ledgerv1.SubscribeRequest
}

func (b *broken) Subscribe(r *ledgerv1.SubscribeRequest, stream ledgerv1.FeedService_SubscribeServer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starts = append(b.starts, r)
	end := b.ends[0]
	if len(b.ends) > 1 {
		b.ends = b.ends[1:]
	}
	if b.silent > 0 {
		b.silent--
		return end
	}
	at := &ledgerv1.FeedPosition{Cell: 1, Seq: r.GetAfter().GetSeq() + 1, Index: 16383}
	if err := stream.Send(&ledgerv1.SubscribeResponse{ResumeAfter: at}); err != nil {
		return err
	}
	return end
}

func TestASubscriptionResumesWhereItWas(t *testing.T) {
	gone := status.Error(codes.Unavailable, "gone")
	denied := status.Error(codes.PermissionDenied, "revoked")
	b := &broken{ends: []error{gone, gone, nil, gone, denied}, silent: 1}
	c := dial(t, serveFeed(t, b))
	request := &ledgerv1.SubscribeRequest{Start: fromBeginning.GetStart(), Filter: &ledgerv1.EventFilter{Assets: []string{"CNY/2"}}}
	var seqs []uint64
	var last error
	for run, err := range c.Subscribe(t.Context(), request) {
		if last = err; err == nil {
			seqs = append(seqs, run.GetResumeAfter().GetSeq())
		}
	}
	if status.Code(last) != codes.PermissionDenied || len(seqs) != 4 {
		t.Fatalf("%v, %v", seqs, last)
	}
	for i, r := range b.starts {
		after := uint64(max(0, i-1)) // the first stream was silent
		if !r.GetPacked() || r.GetAfter().GetSeq() != after || r.GetFilter().GetAssets()[0] != "CNY/2" || (after == 0) != r.GetFromBeginning() {
			t.Errorf("stream %d starts with %v", i, r)
		}
	}
	if !request.GetFromBeginning() {
		t.Error("the caller's request was changed")
	}
}

func TestASubscriptionGivesUp(t *testing.T) {
	b := &broken{ends: []error{status.Error(codes.Unavailable, "gone")}, silent: 1 << 30}
	c := dial(t, serveFeed(t, b), client.WithPatience(100*time.Millisecond))
	n := 0
	for run, err := range c.Subscribe(t.Context(), fromBeginning) {
		if n++; run != nil || status.Code(err) != codes.Unavailable {
			t.Errorf("%v, %v", run, err)
		}
	}
	if n != 1 || len(b.starts) < 2 {
		t.Errorf("%d errors after %d streams", n, len(b.starts))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	for _, err := range c.Subscribe(ctx, fromBeginning) {
		if !errors.Is(err, stopped) {
			t.Error(err)
		}
	}
}
