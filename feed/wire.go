package feed

import (
	"bytes"
	"encoding/hex"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/wire"
)

// encoder is a taker that encodes events of one block as fields of a SubscribeResponse. What it encodes is what Messages
// and proto.Marshal would, but transfers, which are nearly all of a feed, take neither message nor reflection.
type encoder struct {
	feed   *Feed
	form   Form
	assets *ledger.Catalogue
	block  *journal.Block
	wire   []byte // what was written; spans belong in between
	spans  []span
	apart  int // bytes of spans
	events int
	last   Position // of the last event taken
	run    run
}

func (e *encoder) begin(f *Feed, form Form, block *journal.Block) {
	e.feed, e.form, e.assets, e.block = f, form, f.Catalogue(), block
	e.wire, e.spans, e.apart, e.events, e.run.actor = e.wire[:0], e.spans[:0], 0, 0, nil
	e.run.mayShare = int(f.open.Load()) <= spanStreams
}

// take encodes an event, if there is room for it.
func (e *encoder) take(event *Event) (bool, error) {
	t, plain := event.Record.(*journal.Transfer)
	packed := plain && len(event.Attachment) == 0 && e.form == PackedForm
	cost := eventBytes + len(event.Attachment)
	if packed {
		cost = packedBytes
	}
	if e.events > 0 && len(e.wire)+e.apart+e.run.size()+cost > chunkBytes {
		return false, nil
	}
	var err error
	if packed {
		e.pack(event, t)
	} else {
		e.wire, err = e.feed.appendEvent(e.wire, event, e.assets)
	}
	e.events++
	e.last = event.Position
	return true, err
}

// finish returns what was encoded, in parts that belong behind each other, and how much it is. It never changes: some
// of it is the block's own memory.
func (e *encoder) finish() (parts [][]byte, size int) {
	e.endRun()
	own := bytes.Clone(e.wire)
	from := 0
	for _, s := range e.spans {
		parts = append(parts, own[from:s.at:s.at], s.records)
		from = s.at
	}
	if from < len(own) {
		parts = append(parts, own[from:])
	}
	clear(e.spans)
	e.feed, e.assets, e.block = nil, nil, nil
	return parts, len(own) + e.apart
}

func (f *Feed) appendEvent(dst []byte, e *Event, assets *ledger.Catalogue) ([]byte, error) {
	dst, at := wire.Begin(dst, 1)
	t, ok := e.Record.(*journal.Transfer)
	if !ok || len(e.Attachment) > 0 { // rare
		var err error
		dst, err = proto.MarshalOptions{}.MarshalAppend(dst, message(e, assets))
		return wire.Finish(dst, at), err
	}
	var inner int
	dst, inner = wire.Begin(dst, 1)
	dst = appendPosition(dst, e.Position)
	dst = wire.Finish(dst, inner)
	dst = wire.Varint(dst, 2, e.BlockTime)
	dst = wire.Varint(dst, 3, e.Timestamp)
	if e.Actor != nil {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = append(dst, 2*byte(len(e.Actor)))
		dst = hex.AppendEncode(dst, e.Actor[:])
	}
	dst = wire.Varint(dst, 5, uint64(e.Kind)) //nolint:gosec // > 0
	dst = wire.Text(dst, 6, "transfer_created")
	dst, inner = wire.Begin(dst, 8)
	dst = f.appendTransfer(dst, t, e.Timestamp, assets)
	return wire.Finish(wire.Finish(dst, inner), at), nil
}

func (f *Feed) appendTransfer(dst []byte, t *journal.Transfer, timestamp uint64, assets *ledger.Catalogue) []byte {
	dst = wire.Decimal(dst, 1, t.ID)
	dst = wire.Decimal(dst, 2, t.Debit)
	dst = wire.Decimal(dst, 3, t.Credit)
	dst = wire.Decimal(dst, 4, t.Amount)
	dst = wire.Decimal(dst, 5, t.PendingID)
	dst = wire.Decimal(dst, 6, t.UserData128)
	dst = wire.Varint(dst, 7, t.UserData64)
	dst = wire.Varint(dst, 8, uint64(t.UserData32))
	dst = wire.Varint(dst, 9, uint64(t.Timeout))
	dst = wire.Text(dst, 10, f.names.name(assets, t.Asset))
	dst = wire.Varint(dst, 11, uint64(t.Code))
	if flags := uint64(t.Flags & journal.TransferFlagsKnown); flags != 0 {
		var at int
		dst, at = wire.Begin(dst, 12)
		for bit := uint64(1); bit < 1<<16; bit <<= 1 {
			if flags&bit != 0 {
				dst = protowire.AppendVarint(dst, bit)
			}
		}
		dst = wire.Finish(dst, at)
	}
	return wire.Varint(dst, 13, timestamp)
}

func appendPosition(dst []byte, p Position) []byte {
	dst = wire.Varint(dst, 1, p.Cell)
	dst = wire.Varint(dst, 2, p.Seq)
	return wire.Varint(dst, 3, uint64(p.Index)) //nolint:gosec // ≥ 0
}
