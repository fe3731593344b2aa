package router_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	"github.com/sterlingrun/sterling/router"
)

// FuzzRecord: whatever another cell's node sends, reading it and refusing it never fails in any other way, and nothing but
// what a giver may send is recorded.
func FuzzRecord(f *testing.F) {
	arrive := journal.BucketMove{ID: money.From(1), Peer: 1, Version: 2, Bucket: 3, Step: journal.BucketArrive}
	for _, step := range []journal.BucketStep{journal.BucketArrive, journal.BucketTaken, journal.BucketClose} {
		arrive.Step = step
		add(f, &cellv1.RecordRequest{From: 1, Kind: uint32(journal.KindBuckets), Actor: make([]byte, 16), Events: journal.Bytes([]journal.BucketMove{arrive})})
	}
	add(f, &cellv1.RecordRequest{From: 1, Kind: uint32(journal.KindTake), Actor: make([]byte, 16), Events: make([]byte, journal.RecordSize), Assets: []string{"CNY/2"}})
	add(f, &cellv1.RecordRequest{
		From: 1, Kind: uint32(journal.KindCarry), Actor: make([]byte, 16), Events: make([]byte, journal.RecordSize),
		Attachments: []*cellv1.Attached{{Event: 0, Data: journal.AppendCarried(nil, journal.Carried{Status: journal.Created, Standing: journal.StandingLeaves, Timestamp: 1})}},
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var m cellv1.RecordRequest
		if proto.Unmarshal(wire, &m) != nil {
			return
		}
		r, err := router.ReadRecord(&m)
		if err != nil {
			return
		}
		w := newWorld(t, 2)
		_, host := w.cells[2].current()
		statuses, err := host.Record(t.Context(), r)
		if err == nil && (len(statuses) != len(r.Events)/journal.RecordSize || r.Kind != journal.KindCarry && r.Kind != journal.KindBuckets && r.Kind != journal.KindTake) {
			t.Errorf("kind %d: %d statuses", r.Kind, len(statuses))
		}
		for _, b := range journal.View[journal.BucketMove](r.Events) {
			if err == nil && r.Kind == journal.KindBuckets && b.Step != journal.BucketArrive && b.Step != journal.BucketTaken {
				t.Errorf("step %d was recorded", b.Step)
			}
		}
	})
}

func add(f *testing.F, m proto.Message) {
	wire, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
}
