package feed

import (
	"encoding/hex"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
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
	dst, at := begin(dst, 2)
	dst = appendPosition(dst, b.Resume)
	dst = finish(dst, at)
	dst = appendVarint(dst, 3, b.BlockTime)
	return appendVarint(dst, 4, b.Head), nil
}

func (f *Feed) appendEvent(dst []byte, e *Event, assets *ledger.Catalogue) ([]byte, error) {
	dst, at := begin(dst, 1)
	t, ok := e.Record.(*journal.Transfer)
	if !ok || len(e.Attachment) > 0 {
		var err error
		dst, err = proto.MarshalOptions{}.MarshalAppend(dst, message(e, assets))
		return finish(dst, at), err
	}
	var inner int
	dst, inner = begin(dst, 1)
	dst = appendPosition(dst, e.Position)
	dst = finish(dst, inner)
	dst = appendVarint(dst, 2, e.BlockTime)
	dst = appendVarint(dst, 3, e.Timestamp)
	if e.Actor != nil {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = append(dst, 2*byte(len(e.Actor)))
		dst = hex.AppendEncode(dst, e.Actor[:])
	}
	dst = appendVarint(dst, 5, uint64(e.Kind)) //nolint:gosec // > 0
	dst = appendText(dst, 6, "transfer_created")
	dst, inner = begin(dst, 8)
	dst = f.appendTransfer(dst, t, e.Timestamp, assets)
	return finish(finish(dst, inner), at), nil
}

func (f *Feed) appendTransfer(dst []byte, t *journal.Transfer, timestamp uint64, assets *ledger.Catalogue) []byte {
	dst = appendDecimal(dst, 1, t.ID)
	dst = appendDecimal(dst, 2, t.Debit)
	dst = appendDecimal(dst, 3, t.Credit)
	dst = appendDecimal(dst, 4, t.Amount)
	dst = appendDecimal(dst, 5, t.PendingID)
	dst = appendDecimal(dst, 6, t.UserData128)
	dst = appendVarint(dst, 7, t.UserData64)
	dst = appendVarint(dst, 8, uint64(t.UserData32))
	dst = appendVarint(dst, 9, uint64(t.Timeout))
	dst = appendText(dst, 10, f.names.name(assets, t.Asset))
	dst = appendVarint(dst, 11, uint64(t.Code))
	if flags := uint64(t.Flags & journal.TransferFlagsKnown); flags != 0 {
		var at int
		dst, at = begin(dst, 12)
		for bit := uint64(1); bit < 1<<16; bit <<= 1 {
			if flags&bit != 0 {
				dst = protowire.AppendVarint(dst, bit)
			}
		}
		dst = finish(dst, at)
	}
	return appendVarint(dst, 13, timestamp)
}

func appendPosition(dst []byte, p Position) []byte {
	dst = appendVarint(dst, 1, p.Cell)
	dst = appendVarint(dst, 2, p.Seq)
	return appendVarint(dst, 3, uint64(p.Index)) //nolint:gosec // ≥ 0
}

// appendVarint leaves a zero out, as proto3 does.
func appendVarint(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendText(dst []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendString(dst, text)
}

func appendDecimal(dst []byte, number protowire.Number, v money.U128) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = append(dst, 0)
	at := len(dst)
	dst = v.AppendDecimal(dst)
	dst[at-1] = byte(len(dst) - at) //nolint:gosec // at most 39 digits
	return dst
}

// begin starts an embedded message; finish puts its length in place.
func begin(dst []byte, number protowire.Number) (grown []byte, at int) {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return append(dst, 0, 0), len(dst) + 2
}

func finish(dst []byte, at int) []byte {
	n := len(dst) - at
	switch {
	case n < 1<<7: // the short form, as proto writes it
		copy(dst[at-1:], dst[at:])
		dst[at-2] = byte(n) //nolint:gosec // checked
		return dst[:len(dst)-1]
	case n < 1<<14:
		dst[at-2] = byte(n&0x7f | 0x80) //nolint:gosec // masked
		dst[at-1] = byte(n >> 7)
		return dst
	}
	body := append([]byte(nil), dst[at:]...)
	dst = protowire.AppendVarint(dst[:at-2], uint64(n))
	return append(dst, body...)
}
