package feed

import (
	"encoding/hex"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/wire"
)

// AppendWire appends the batch as a SubscribeResponse in protobuf's wire format. It is Message and proto.Marshal, but
// transfers, which are nearly all of a feed, take neither message nor reflection. The error is one of the encoder's.
func (f *Feed) AppendWire(dst []byte, b *Batch) (_ []byte, err error) {
	catalogue := f.Catalogue()
	for i := range b.Events {
		if dst, err = f.appendEvent(dst, &b.Events[i], catalogue); err != nil {
			return dst, err
		}
	}
	dst, at := wire.Begin(dst, 2)
	dst = appendPosition(dst, b.Resume)
	dst = wire.Finish(dst, at)
	dst = wire.Varint(dst, 3, b.BlockTime)
	return wire.Varint(dst, 4, b.Head), nil
}

func (f *Feed) appendEvent(dst []byte, e *Event, assets *ledger.Catalogue) ([]byte, error) {
	dst, at := wire.Begin(dst, 1)
	t, ok := e.Record.(*journal.Transfer)
	if !ok || len(e.Attachment) > 0 {
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
