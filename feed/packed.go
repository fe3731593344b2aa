package feed

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/wire"
)

const (
	packedBytes = journal.RecordSize + 2 // a transfer in a run
	// runAssets bounds the assets of a run: they are looked for one by one.
	runAssets = 64
)

// run is a TransferRun that is being made.
type run struct {
	actor   *journal.Actor // nil: none has begun
	records []journal.Transfer
	indexes []byte
	assets  []uint32
	head    []byte // scratch
}

func (r *run) size() int { return len(r.records) * packedBytes }

// pack adds a transfer without an attachment to the run, or begins another one.
func (e *encoder) pack(event *Event, t *journal.Transfer) {
	r := &e.run
	known := len(r.assets) > 0 && r.assets[len(r.assets)-1] == t.Asset || slices.Contains(r.assets, t.Asset)
	if r.actor == nil || r.actor != event.Actor && *r.actor != *event.Actor || !known && len(r.assets) == runAssets {
		e.endRun()
		r.actor, known = event.Actor, false
	}
	if !known {
		r.assets = append(r.assets, t.Asset)
	}
	r.indexes = binary.LittleEndian.AppendUint16(r.indexes, uint16(event.Position.Index)) //nolint:gosec // less than Whole
	r.records = append(r.records, *t)
	kept := &r.records[len(r.records)-1]
	kept.Flags &= journal.TransferFlagsKnown
	kept.Timestamp = event.Timestamp
}

// endRun encodes the run.
func (e *encoder) endRun() {
	r := &e.run
	if r.actor == nil {
		return
	}
	records := journal.Bytes(r.records)
	head := wire.Varint(r.head[:0], 1, e.block.Seq)
	head = wire.Varint(head, 2, e.block.Time)
	head = protowire.AppendTag(head, 3, protowire.BytesType)
	head = protowire.AppendBytes(head, r.actor[:])
	for _, number := range r.assets {
		var at int
		head, at = wire.Begin(head, 6)
		head = wire.Text(head, 1, e.feed.names.name(e.assets, number))
		head = wire.Varint(head, 2, uint64(number))
		if a, ok := e.assets.Asset(number); ok {
			head = wire.Varint(head, 3, uint64(a.Scale))
		}
		head = wire.Finish(head, at)
	}
	head = protowire.AppendTag(head, 4, protowire.BytesType)
	head = protowire.AppendBytes(head, r.indexes)
	head = protowire.AppendTag(head, 5, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(records)))
	e.wire = slices.Grow(e.wire, len(head)+len(records)+10) // and its tag and length
	e.wire = protowire.AppendTag(e.wire, 5, protowire.BytesType)
	e.wire = protowire.AppendVarint(e.wire, uint64(len(head)+len(records)))
	e.wire = append(append(e.wire, head...), records...)
	r.actor, r.head, r.records, r.indexes, r.assets = nil, head, r.records[:0], r.indexes[:0], r.assets[:0]
}
