package api_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

func fromBeginning() *ledgerv1.SubscribeRequest {
	return &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true}}
}

// names reads a subscription until it has n events.
func names(t *testing.T, n int, receive func() (*ledgerv1.SubscribeResponse, error)) (list []string, at *ledgerv1.FeedPosition) {
	t.Helper()
	for len(list) < n {
		r, err := receive()
		if err != nil {
			t.Fatalf("after %d events: %v", len(list), err)
		}
		for _, e := range r.GetEvents() {
			list = append(list, e.GetKindName()+" "+e.GetTransfer().GetId()+e.GetAccount().GetId()+e.GetAsset().GetName())
		}
		at = r.GetResumeAfter()
	}
	return list, at
}

const seeded = "[asset_registered CNY/2 account_created 1 account_created 2]"

func TestSubscribeOverGRPC(t *testing.T) {
	b := open(t, nil)
	b.seed()
	conn, ctx := b.grpcConn(auth.RoleReader)
	client := ledgerv1.NewFeedServiceClient(conn)
	stream, err := client.Subscribe(ctx, fromBeginning())
	if err != nil {
		t.Fatal(err)
	}
	list, at := names(t, 3, stream.Recv)
	if got := fmt.Sprint(list); got != seeded {
		t.Errorf("got %s", got)
	}
	b.call("CreateTransfers", transfersJSON(100, 2))
	list, _ = names(t, 2, stream.Recv)
	if got := fmt.Sprint(list); got != "[transfer_created 100 transfer_created 101]" {
		t.Errorf("got %s", got)
	}
	// A second subscription goes on where the first was, with a filter.
	again, err := client.Subscribe(ctx, &ledgerv1.SubscribeRequest{
		Start:  &ledgerv1.SubscribeRequest_After{After: at},
		Filter: &ledgerv1.EventFilter{AccountIds: []string{"2"}, Kinds: []ledgerv1.EventKind{ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := names(t, 2, again.Recv); fmt.Sprint(list) != "[transfer_created 100 transfer_created 101]" {
		t.Errorf("resumed: %v", list)
	}
}

// The packed form over gRPC and as JSON: a record is what docs/formats.md says, other events are messages.
func TestSubscribePacked(t *testing.T) {
	b := open(t, nil)
	b.seed()
	b.call("CreateTransfers", transfersJSON(100, 2))
	conn, ctx := b.grpcConn(auth.RoleReader)
	stream, err := ledgerv1.NewFeedServiceClient(conn).Subscribe(ctx, packedFromBeginning())
	if err != nil {
		t.Fatal(err)
	}
	packed(t, stream.Recv)
	client := ledgerv1connect.NewFeedServiceClient(http.DefaultClient, "http://"+b.addr, connect.WithProtoJSON())
	request := connect.NewRequest(packedFromBeginning())
	request.Header().Set("Authorization", "Bearer "+b.tokens[auth.RoleReader])
	over, err := client.Subscribe(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	packed(t, func() (*ledgerv1.SubscribeResponse, error) {
		over.Receive()
		return over.Msg(), over.Err()
	})
}

func packedFromBeginning() *ledgerv1.SubscribeRequest {
	r := fromBeginning()
	r.Packed = true
	return r
}

// packed reads the seed's events and two transfers.
func packed(t *testing.T, receive func() (*ledgerv1.SubscribeResponse, error)) {
	t.Helper()
	messages, transfers := 0, 0
	for messages+transfers < 5 {
		r, err := receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.GetEvents() {
			if messages++; e.GetTransfer() != nil {
				t.Errorf("%v is a message", e)
			}
		}
		for _, run := range r.GetRuns() {
			for record := range slices.Chunk(run.GetRecords(), 128) {
				asset := run.GetAssets()[0]
				if id := money.LE(record); id != money.From(uint64(100+transfers)) || uint32(record[112]) != asset.GetNumber() || asset.GetName() != "CNY/2" {
					t.Errorf("transfer %v in %v, want %d", id, asset, 100+transfers)
				}
				if index := binary.LittleEndian.Uint16(run.GetIndexes()[transfers*2:]); int(index) != transfers || len(run.GetActor()) != 16 {
					t.Errorf("transfer %d has index %d", transfers, index)
				}
				transfers++
			}
		}
	}
	if messages != 3 || transfers != 2 {
		t.Errorf("%d messages and %d records", messages, transfers)
	}
}

func TestSubscribeOverHTTP(t *testing.T) {
	// The limits of a call are none of a subscription's: it outlives all of them.
	b := open(t, func(c *api.Config) {
		c.Limits.Request, c.Limits.Answer = 300*time.Millisecond, 300*time.Millisecond
	})
	b.seed()
	for name, option := range map[string]connect.ClientOption{"json": connect.WithProtoJSON(), "proto": connect.WithClientOptions(), "gRPC-Web": connect.WithGRPCWeb()} {
		t.Run(name, func(t *testing.T) {
			client := ledgerv1connect.NewFeedServiceClient(http.DefaultClient, "http://"+b.addr, option)
			request := connect.NewRequest(fromBeginning())
			request.Header().Set("Authorization", "Bearer "+b.tokens[auth.RoleReader])
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			stream, err := client.Subscribe(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			receive := func() (*ledgerv1.SubscribeResponse, error) {
				if !stream.Receive() {
					return nil, stream.Err()
				}
				return stream.Msg(), nil
			}
			if list, _ := names(t, 3, receive); fmt.Sprint(list) != seeded {
				t.Errorf("got %v", list)
			}
			for range 2 { // a heartbeat each second
				r, err := receive()
				if err != nil || len(r.GetEvents()) > 0 || r.GetResumeAfter().GetSeq() != r.GetHead() {
					t.Errorf("heartbeat: %v, %v", r, err)
				}
			}
		})
	}
}

func TestSubscribeRefusesWhatItCannotServe(t *testing.T) {
	b := open(t, nil)
	b.seed()
	conn, ctx := b.grpcConn(auth.RoleReader)
	client := ledgerv1.NewFeedServiceClient(conn)
	after := func(cell, seq uint64, index uint32) *ledgerv1.SubscribeRequest {
		return &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_After{After: &ledgerv1.FeedPosition{Cell: cell, Seq: seq, Index: index}}}
	}
	filtered := func(f *ledgerv1.EventFilter) *ledgerv1.SubscribeRequest {
		r := fromBeginning()
		r.Filter = f
		return r
	}
	for name, c := range map[string]struct {
		request *ledgerv1.SubscribeRequest
		code    codes.Code
		says    string
	}{
		"no start":      {&ledgerv1.SubscribeRequest{}, codes.InvalidArgument, "say where to start"},
		"not beginning": {&ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_FromBeginning{}}, codes.InvalidArgument, "say where to start"},
		"no cell":       {after(0, 1, 1), codes.InvalidArgument, "not a position"},
		"other cell":    {after(8, 1, 1), codes.InvalidArgument, "another cell"},
		"large index":   {after(7, 1, 1<<14), codes.InvalidArgument, "not a position"},
		"the future":    {after(7, 1<<40, 0), codes.FailedPrecondition, "beyond the end"},
		"bad account":   {filtered(&ledgerv1.EventFilter{AccountIds: []string{"x"}}), codes.InvalidArgument, "account id"},
		"bad asset":     {filtered(&ledgerv1.EventFilter{Assets: []string{"cny"}}), codes.InvalidArgument, "asset"},
		"bad code":      {filtered(&ledgerv1.EventFilter{TransferCodes: []uint32{70000}}), codes.InvalidArgument, "transfer code"},
		"bad kind":      {filtered(&ledgerv1.EventFilter{Kinds: []ledgerv1.EventKind{99}}), codes.InvalidArgument, "kind"},
		"long list":     {filtered(&ledgerv1.EventFilter{AccountIds: make([]string, 1001)}), codes.InvalidArgument, "at most 1000"},
	} {
		stream, err := client.Subscribe(ctx, c.request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stream, err := client.Subscribe(context.Background(), fromBeginning())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	response, err := http.Post("http://"+b.addr+ledgerv1connect.FeedServiceSubscribeProcedure, "application/connect+json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	if response.Body.Close(); !strings.Contains(string(text), "unauthenticated") {
		t.Errorf("HTTP without a token: %s %s", response.Status, text)
	}
}

func TestASubscriptionEndsWithItsTokenAndWithTheServer(t *testing.T) {
	b := open(t, nil)
	b.seed()
	conn, ctx := b.grpcConn(auth.RoleReader)
	client := ledgerv1.NewFeedServiceClient(conn)
	stream, err := client.Subscribe(ctx, fromBeginning())
	if err != nil {
		t.Fatal(err)
	}
	names(t, 3, stream.Recv)
	b.revocable.revoked.Store(true)
	for err = error(nil); err == nil; {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("after its token was revoked: %v", err)
	}
	b.revocable.revoked.Store(false)
	if stream, err = client.Subscribe(ctx, fromBeginning()); err != nil {
		t.Fatal(err)
	}
	names(t, 3, stream.Recv)
	began := time.Now()
	b.shutdown()
	for err = error(nil); err == nil; {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable || time.Since(began) > 4*time.Second {
		t.Errorf("after %v of shutting down: %v", time.Since(began), err)
	}
}
