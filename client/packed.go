package client

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// errRuns is a response in the packed form that can't be read.
var errRuns = errors.New("the server sent a packed run of transfers that can't be read")

// Sizes in a TransferRun, bytes.
const (
	recordSize = 128
	indexSize  = 2
	actorSize  = 16
	wholeBlock = 1<<14 - 1 // no event has an index as large
)

const transferCreated = "transfer_created"

// unpackRuns puts the events of a response's runs among its events, in order, and takes the runs away: so both forms of the
// feed look alike. The error is errRuns; r is then as it was.
func unpackRuns(r *ledgerv1.SubscribeResponse) error {
	runs := r.GetRuns()
	if len(runs) == 0 {
		return nil
	}
	n := 0
	for _, run := range runs {
		count := len(run.GetIndexes()) / indexSize
		if len(run.GetIndexes()) != count*indexSize || len(run.GetRecords()) != count*recordSize || len(run.GetActor()) != actorSize {
			return fmt.Errorf("%w: %d bytes of records, %d of indexes, %d of the token's id", errRuns,
				len(run.GetRecords()), len(run.GetIndexes()), len(run.GetActor()))
		}
		n += count
	}
	m := merger{rest: r.GetEvents(), out: make([]*ledgerv1.FeedEvent, 0, n+len(r.GetEvents()))}
	for _, run := range runs {
		if err := m.run(run, r.GetResumeAfter().GetCell()); err != nil {
			return err
		}
	}
	if err := m.before(nil); err != nil {
		return err
	}
	r.Events, r.Runs = m.out, nil
	return nil
}

// merger brings events of two ascending lists into one.
type merger struct {
	rest, out []*ledgerv1.FeedEvent
}

// before appends the messages that come before a position; nil: all.
func (m *merger) before(at *ledgerv1.FeedPosition) error {
	for len(m.rest) > 0 && (at == nil || less(m.rest[0].GetPosition(), at)) {
		if err := m.add(m.rest[0]); err != nil {
			return err
		}
		m.rest = m.rest[1:]
	}
	return nil
}

func (m *merger) add(e *ledgerv1.FeedEvent) error {
	if n := len(m.out); n > 0 && !less(m.out[n-1].GetPosition(), e.GetPosition()) {
		return fmt.Errorf("%w: %v comes after %v", errRuns, e.GetPosition(), m.out[n-1].GetPosition())
	}
	m.out = append(m.out, e)
	return nil
}

func less(a, b *ledgerv1.FeedPosition) bool {
	return a.GetSeq() < b.GetSeq() || a.GetSeq() == b.GetSeq() && a.GetIndex() < b.GetIndex()
}

// unpacked is what a transfer takes as messages, in one piece of memory.
type unpacked struct {
	event    ledgerv1.FeedEvent
	position ledgerv1.FeedPosition
	body     ledgerv1.FeedEvent_Transfer
	transfer ledgerv1.Transfer
	amount   string
}

// run appends the events of a run, and the messages that come before each.
func (m *merger) run(run *ledgerv1.TransferRun, cell uint64) error {
	assets := make(map[uint32]string, len(run.GetAssets()))
	for _, a := range run.GetAssets() {
		assets[a.GetNumber()] = a.GetName()
	}
	actor, indexes, records := hex.EncodeToString(run.GetActor()), run.GetIndexes(), run.GetRecords()
	space := make([]unpacked, len(indexes)/indexSize)
	for i := range space {
		u := &space[i]
		index := uint32(binary.LittleEndian.Uint16(indexes[i*indexSize:]))
		if index >= wholeBlock {
			return fmt.Errorf("%w: index %d", errRuns, index)
		}
		if err := u.read(records[i*recordSize:][:recordSize], assets); err != nil {
			return err
		}
		u.position.Cell, u.position.Seq, u.position.Index = cell, run.GetSeq(), index
		e := &u.event
		e.Position, e.BlockTime, e.Timestamp, e.Actor = &u.position, run.GetBlockTime(), u.transfer.GetTimestamp(), actor
		e.Kind, e.KindName, e.Body = ledgerv1.EventKind_EVENT_KIND_TRANSFER_CREATED, transferCreated, &u.body
		if err := m.before(&u.position); err != nil {
			return err
		}
		if err := m.add(e); err != nil {
			return err
		}
	}
	return nil
}

// read decodes a transfer record, as docs/formats.md has it.
func (u *unpacked) read(b []byte, assets map[uint32]string) error {
	number := binary.LittleEndian.Uint32(b[112:])
	asset, known := assets[number]
	if !known {
		return fmt.Errorf("%w: asset %d has no name", errRuns, number)
	}
	u.amount = money.LE(b[48:]).String()
	t := &u.transfer
	t.Id, t.DebitAccountId, t.CreditAccountId, t.Amount = money.LE(b).String(), money.LE(b[16:]).String(), money.LE(b[32:]).String(), &u.amount
	t.PendingId, t.UserData_128 = money.LE(b[64:]).String(), money.LE(b[80:]).String()
	t.UserData_64, t.UserData_32 = binary.LittleEndian.Uint64(b[96:]), binary.LittleEndian.Uint32(b[104:])
	t.Timeout, t.Asset, t.Code = binary.LittleEndian.Uint32(b[108:]), asset, uint32(binary.LittleEndian.Uint16(b[116:]))
	for flags, bit := binary.LittleEndian.Uint16(b[118:]), uint16(1); bit != 0; bit <<= 1 {
		if flags&bit != 0 {
			t.Flags = append(t.Flags, ledgerv1.TransferFlag(bit))
		}
	}
	t.Timestamp = binary.LittleEndian.Uint64(b[120:])
	u.body.Transfer = t
	return nil
}
