package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// record is a transfer record with a different value in each field, and the message that it stands for.
func record(n uint64) ([]byte, *ledgerv1.Transfer) {
	b, le := make([]byte, recordSize), binary.LittleEndian
	u128 := func(at int, v uint64) string {
		x := money.U128{Hi: v, Lo: n}
		x.PutLE(b[at:])
		return x.String()
	}
	m := &ledgerv1.Transfer{
		Id: u128(0, 1), DebitAccountId: u128(16, 2), CreditAccountId: u128(32, 3), Amount: proto.String(u128(48, 4)), PendingId: u128(64, 5), UserData_128: u128(80, 6),
		UserData_64: 7, UserData_32: 8, Timeout: 9, Asset: "USD/2", Code: 10, Timestamp: 1000 + n,
		Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED, ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING},
	}
	le.PutUint64(b[96:], 7)
	le.PutUint32(b[104:], 8)
	le.PutUint32(b[108:], 9)
	le.PutUint32(b[112:], 2)
	le.PutUint16(b[116:], 10)
	le.PutUint16(b[118:], 3)
	le.PutUint64(b[120:], m.GetTimestamp())
	return b, m
}

func packedRun(seq uint64, indexes ...uint16) (*ledgerv1.TransferRun, []*ledgerv1.FeedEvent) {
	run := &ledgerv1.TransferRun{
		Seq: seq, BlockTime: 1000 * seq, Actor: make([]byte, 16),
		Assets: []*ledgerv1.Asset{{Name: "CNY/2", Number: 1, Scale: 2}, {Name: "USD/2", Number: 2, Scale: 2}},
	}
	run.Actor[0] = 0xab
	var want []*ledgerv1.FeedEvent
	for _, index := range indexes {
		b, m := record(uint64(index))
		run.Records = append(run.Records, b...)
		run.Indexes = binary.LittleEndian.AppendUint16(run.Indexes, index)
		want = append(want, &ledgerv1.FeedEvent{
			Position: at(seq, uint32(index)), BlockTime: run.GetBlockTime(), Timestamp: m.GetTimestamp(), Actor: "ab000000000000000000000000000000",
			Kind: ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED, KindName: "transfer_created", Body: &ledgerv1.FeedEvent_Transfer{Transfer: m},
		})
	}
	return run, want
}

func at(seq uint64, index uint32) *ledgerv1.FeedPosition {
	return &ledgerv1.FeedPosition{Cell: 7, Seq: seq, Index: index}
}

func message(seq uint64, index uint32) *ledgerv1.FeedEvent {
	return &ledgerv1.FeedEvent{Position: at(seq, index), KindName: "frozen"}
}

func TestRunsBecomeEventsInOrder(t *testing.T) {
	one, first := packedRun(4, 1, 2, 5)
	two, second := packedRun(4, 6)
	three, third := packedRun(6, 0, 4000)
	r := &ledgerv1.SubscribeResponse{
		Events: []*ledgerv1.FeedEvent{message(3, 9), message(4, 3), message(4, 4), message(5, 0), message(6, 7)},
		Runs:   []*ledgerv1.TransferRun{one, two, three}, ResumeAfter: at(6, wholeBlock), BlockTime: 6000, Head: 8,
	}
	want := &ledgerv1.SubscribeResponse{
		Events: []*ledgerv1.FeedEvent{
			message(3, 9), first[0], first[1], message(4, 3), message(4, 4), first[2], second[0], message(5, 0), third[0], message(6, 7), third[1],
		},
		ResumeAfter: at(6, wholeBlock), BlockTime: 6000, Head: 8,
	}
	if err := unpackRuns(r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, r, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if err := unpackRuns(r); err != nil || len(r.GetEvents()) != 11 { // as an older server sends it
		t.Errorf("%d events, %v", len(r.GetEvents()), err)
	}
}

func TestRunsThatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(r *ledgerv1.SubscribeResponse){
		"half a record":    func(r *ledgerv1.SubscribeResponse) { r.Runs[0].Records = r.GetRuns()[0].GetRecords()[:200] },
		"a record too few": func(r *ledgerv1.SubscribeResponse) { r.Runs[0].Records = r.GetRuns()[0].GetRecords()[:128] },
		"half an index":    func(r *ledgerv1.SubscribeResponse) { r.Runs[0].Indexes = r.GetRuns()[0].GetIndexes()[:3] },
		"no token":         func(r *ledgerv1.SubscribeResponse) { r.Runs[0].Actor = nil },
		"an unknown asset": func(r *ledgerv1.SubscribeResponse) { r.Runs[0].Assets = nil },
		"an index of no event": func(r *ledgerv1.SubscribeResponse) {
			binary.LittleEndian.PutUint16(r.GetRuns()[0].GetIndexes()[2:], wholeBlock)
		},
		"the same index twice": func(r *ledgerv1.SubscribeResponse) { binary.LittleEndian.PutUint16(r.GetRuns()[0].GetIndexes()[2:], 1) },
		"a message too late":   func(r *ledgerv1.SubscribeResponse) { r.Events = append(r.Events, message(1, 1)) },
		"runs out of order":    func(r *ledgerv1.SubscribeResponse) { r.Runs[0], r.Runs[1] = r.Runs[1], r.Runs[0] },
		"a message of a run":   func(r *ledgerv1.SubscribeResponse) { r.Events[0].Position = at(4, 2) },
	} {
		one, _ := packedRun(4, 1, 2)
		two, _ := packedRun(5, 3)
		r := &ledgerv1.SubscribeResponse{Events: []*ledgerv1.FeedEvent{message(4, 0)}, Runs: []*ledgerv1.TransferRun{one, two}, ResumeAfter: at(5, 3)}
		spoil(r)
		before := proto.Clone(r)
		if err := unpackRuns(r); !errors.Is(err, errRuns) {
			t.Errorf("%s: %v", name, err)
		}
		if !proto.Equal(before, r) {
			t.Errorf("%s: the response was changed", name)
		}
	}
}

// FuzzUnpackRuns reads whatever a server may send: events in order, or an error.
func FuzzUnpackRuns(f *testing.F) {
	one, _ := packedRun(4, 1, 2)
	two, _ := packedRun(5, 3)
	for _, r := range []*ledgerv1.SubscribeResponse{
		{},
		{Runs: []*ledgerv1.TransferRun{one, two}, Events: []*ledgerv1.FeedEvent{message(4, 0), message(6, 0)}, ResumeAfter: at(6, 1)},
		{Runs: []*ledgerv1.TransferRun{two, one}},
		{Runs: []*ledgerv1.TransferRun{{}}},
		{Events: []*ledgerv1.FeedEvent{message(1, 1)}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r ledgerv1.SubscribeResponse
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		want := len(r.GetEvents())
		for _, run := range r.GetRuns() {
			want += len(run.GetIndexes()) / indexSize
		}
		packed := len(r.GetRuns()) > 0
		if err := unpackRuns(&r); err != nil {
			return
		}
		if len(r.GetEvents()) != want || len(r.GetRuns()) > 0 {
			t.Fatalf("%d events and %d runs, want %d events", len(r.GetEvents()), len(r.GetRuns()), want)
		}
		for i := 1; packed && i < want; i++ {
			if !less(r.GetEvents()[i-1].GetPosition(), r.GetEvents()[i].GetPosition()) {
				t.Fatal(fmt.Sprint("out of order: ", r.GetEvents()[i-1:i+1]))
			}
		}
	})
}
