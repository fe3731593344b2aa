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

// spanRecords is how many records one behind the other are worth a part of their own, which saves copying them.
const spanRecords = 32

// span is records as they stand in the block. They belong behind the first bytes of what was written.
type span struct {
	at      int
	records []byte
}

// run is a TransferRun that is being made. Its records are either a span, or copied.
type run struct {
	actor    *journal.Actor // nil: none has begun
	mayShare bool
	first    int // event of the block, where the run is a span; -1: its records are copied
	indexes  []byte
	records  []journal.Transfer // copied
	assets   []uint32
	head     []byte // scratch
}

func (r *run) count() int { return len(r.indexes) / 2 }

func (r *run) size() int { return r.count() * packedBytes }

// pack adds a transfer without an attachment to the run, or begins another one.
func (e *encoder) pack(event *Event, t *journal.Transfer) {
	r := &e.run
	place := event.Position.Index - len(e.block.Expiries)
	if !r.mayShare || t != e.block.Transfer(place) || t.Flags&^journal.TransferFlagsKnown != 0 {
		place = -1
	}
	known := r.actor != nil && slices.Contains(r.assets, t.Asset)
	breaks := r.first >= 0 && place != r.first+r.count() // of the span
	if r.actor == nil || r.actor != event.Actor && *r.actor != *event.Actor || !known && len(r.assets) == runAssets || breaks && r.count() >= spanRecords {
		e.endRun()
		r.actor, r.first, known, breaks = event.Actor, place, false, false
	}
	if breaks {
		r.records = append(r.records, journal.View[journal.Transfer](e.block.EventBytes(r.first, r.count()))...)
		r.first = -1
	}
	if !known {
		r.assets = append(r.assets, t.Asset)
	}
	r.indexes = binary.LittleEndian.AppendUint16(r.indexes, uint16(event.Position.Index)) //nolint:gosec // less than Whole
	if r.first < 0 {
		r.records = append(r.records, *t)
		r.records[len(r.records)-1].Flags &= journal.TransferFlagsKnown
	}
}

// endRun encodes the run.
func (e *encoder) endRun() {
	r := &e.run
	if r.actor == nil {
		return
	}
	shared := r.first >= 0 && r.count() >= spanRecords
	records := journal.Bytes(r.records)
	if r.first >= 0 {
		records = e.block.EventBytes(r.first, r.count())
	}
	head := wire.Varint(r.head[:0], 1, e.block.Header.Seq)
	head = wire.Varint(head, 2, e.block.Header.Time)
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
	e.wire = protowire.AppendTag(e.wire, 5, protowire.BytesType)
	e.wire = protowire.AppendVarint(e.wire, uint64(len(head)+len(records)))
	e.wire = append(e.wire, head...)
	if shared {
		e.spans = append(e.spans, span{len(e.wire), records})
		e.apart += len(records)
	} else {
		e.wire = append(e.wire, records...)
	}
	r.actor, r.first, r.head, r.records, r.indexes, r.assets = nil, -1, head, r.records[:0], r.indexes[:0], r.assets[:0]
}
