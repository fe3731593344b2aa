package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// records are what single records are read into.
var records = sync.Pool{New: func() any { return new([1]journal.Transfer) }}

// fact reads one transfer event from the log: the header, its record, and its outcome if the block has any.
func (c *Cell) fact(ctx context.Context, p journal.Position) (ledger.Fact, error) {
	h, err := c.header(ctx, p.Seq())
	if err != nil {
		return ledger.Fact{}, err
	}
	event := p.Index() - int(h.Expiries)
	if event < 0 || event >= int(h.Events) {
		return ledger.Fact{}, fmt.Errorf("%w: block %d has no event at index %d", ErrDamaged, h.Seq, p.Index())
	}
	record := records.Get().(*[1]journal.Transfer)
	defer records.Put(record)
	if err := c.opts.Log.ReadAt(ctx, h.Seq, journal.Bytes(record[:]), journal.HeaderSize+event*journal.RecordSize); err != nil {
		return ledger.Fact{}, fmt.Errorf("read event %d of block %d: %w", event, h.Seq, err)
	}
	o, err := c.outcome(ctx, &h, event)
	if err != nil {
		return ledger.Fact{}, err
	}
	var attachment []byte
	if record[0].Flags.Has(journal.TransferAttached) {
		if attachment, err = c.attachment(ctx, &h, event); err != nil {
			return ledger.Fact{}, err
		}
	}
	return ledger.NewFact(&record[0], o, attachment, h.Time+uint64(p.Index())), nil //nolint:gosec // index ≥ 0
}

// Header returns the header of durable block seq.
func (c *Cell) Header(ctx context.Context, seq uint64) (journal.Header, error) {
	return c.header(ctx, seq)
}

// Attachment returns what is attached to the event at p, nil where nothing is. It reads the log and nothing else: p
// must be of a durable block.
func (c *Cell) Attachment(ctx context.Context, p journal.Position) ([]byte, error) {
	h, err := c.header(ctx, p.Seq())
	if err != nil {
		return nil, err
	}
	return c.attachment(ctx, &h, p.Index()-int(h.Expiries))
}

// attachment finds an event's attachment by bisection over the block's entries.
func (c *Cell) attachment(ctx context.Context, h *journal.Header, event int) ([]byte, error) {
	var entry [journal.AttachmentSize]byte
	var failed error
	read := func(i int) (at, offset, length int) {
		if failed == nil {
			failed = c.opts.Log.ReadAt(ctx, h.Seq, entry[:], h.AttachmentEntries()+i*journal.AttachmentSize)
		}
		return h.AttachmentAt(entry[:])
	}
	n := int(h.Attachments)
	i := sort.Search(n, func(i int) bool {
		at, _, _ := read(i)
		return failed != nil || at >= event
	})
	if failed == nil && i < n {
		if at, offset, length := read(i); failed == nil && at == event {
			if length > journal.MaxBlock {
				return nil, fmt.Errorf("%w: the attachment of event %d of block %d has %d bytes", ErrDamaged, event, h.Seq, length)
			}
			b := make([]byte, length)
			if err := c.opts.Log.ReadAt(ctx, h.Seq, b, offset); err != nil {
				return nil, fmt.Errorf("read the attachment of event %d of block %d: %w", event, h.Seq, err)
			}
			return b, nil
		}
	}
	if failed != nil {
		return nil, fmt.Errorf("read attachments of block %d: %w", h.Seq, failed)
	}
	return nil, nil
}

func (c *Cell) header(ctx context.Context, seq uint64) (journal.Header, error) {
	if h := c.headers.get(seq); h != nil {
		return *h, nil
	}
	h, err := c.readHeader(ctx, seq)
	if err == nil {
		c.headers.put(&h)
	}
	return h, err
}

func (c *Cell) readHeader(ctx context.Context, seq uint64) (journal.Header, error) {
	var b [journal.HeaderSize]byte
	if err := c.opts.Log.ReadAt(ctx, seq, b[:], 0); err != nil {
		return journal.Header{}, fmt.Errorf("read the header of block %d: %w", seq, err)
	}
	h, err := journal.DecodeHeader(b[:])
	if err != nil {
		return h, fmt.Errorf("block %d: %w", seq, err)
	}
	return h, nil
}

// outcome finds an event's outcome by bisection over the block's outcomes, in pieces.
func (c *Cell) outcome(ctx context.Context, h *journal.Header, event int) (*journal.Outcome, error) {
	const piece = 64
	from := h.AttachmentEntries() - int(h.Outcomes)*journal.OutcomeSize
	list := make([]journal.Outcome, min(piece, int(h.Outcomes)))
	lo, hi := 0, int(h.Outcomes)
	var failed error
	read := func(at, n int) []journal.Outcome {
		part := list[:n]
		if err := c.opts.Log.ReadAt(ctx, h.Seq, journal.Bytes(part), from+at*journal.OutcomeSize); err != nil {
			failed = fmt.Errorf("read outcomes of block %d: %w", h.Seq, err)
		}
		return part
	}
	if n := hi - lo; n > piece {
		lo = sort.Search(n, func(i int) bool { return failed == nil && int(read(i, 1)[0].Event) >= event })
		hi = min(lo+1, hi)
	}
	if failed != nil || lo >= hi {
		return nil, failed
	}
	o := journal.FindOutcome(read(lo, hi-lo), event)
	return o, failed
}

// Transfer returns the transfer at p as it is kept; ErrNotFound where none was created there. It reads the log and
// nothing else: p must be of a durable block.
func (c *Cell) Transfer(ctx context.Context, p journal.Position) (ledger.Transfer, error) {
	f, err := c.fact(ctx, p)
	if err != nil {
		return ledger.Transfer{}, err
	}
	if f.Status != journal.Created || f.Asked.Flags.Has(journal.TransferHead) { // heads and metadata changes have ids, too
		return ledger.Transfer{}, fmt.Errorf("transfer at block %d, index %d: %w", p.Seq(), p.Index(), ErrNotFound)
	}
	var pending ledger.Fact
	if f.PendingPosition != 0 {
		if pending, err = c.fact(ctx, f.PendingPosition); err != nil {
			return ledger.Transfer{}, err
		}
	}
	return f.Resolve(p, &pending), nil
}

// BlockTransfers returns the transfers that durable block seq created, in order, as they are kept.
func (c *Cell) BlockTransfers(ctx context.Context, seq uint64) ([]ledger.Transfer, error) {
	k, err := readOne(ctx, c.opts.Log, seq, nil)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", seq, err)
	}
	var list []ledger.Transfer
	for part := range k.Parts() {
		if part.Kind != journal.KindTransfers {
			continue
		}
		for event := part.First; event < part.First+part.Count; event++ {
			p := journal.At(seq, len(k.Expiries)+event)
			f := ledger.NewFact(k.Transfer(event), k.Outcome(event), k.Attachment(event), k.Header.Time+uint64(p.Index())) //nolint:gosec // index ≥ 0
			if f.Status != journal.Created {
				continue
			}
			var pending ledger.Fact
			if f.PendingPosition != 0 {
				if pending, err = c.fact(ctx, f.PendingPosition); err != nil {
					return nil, err
				}
			}
			list = append(list, f.Resolve(p, &pending))
		}
	}
	return list, nil
}

// transferAt tells whether a transfer has this timestamp.
func (c *Cell) transferAt(ctx context.Context, timestamp uint64) (bool, error) {
	if t, ok := c.opts.Follower.(TransferTimes); ok {
		return t.TransferAt(ctx, timestamp)
	}
	// Without an index: look through the journal from its end. Imports of accounts between transfers are rare.
	for seq := c.durable.Load(); seq > 0; seq-- {
		list, err := c.BlockTransfers(ctx, seq)
		if err != nil {
			return false, err
		}
		for i := range list {
			if list[i].Timestamp <= timestamp {
				return list[i].Timestamp == timestamp || containsTimestamp(list[i:], timestamp), nil
			}
		}
	}
	return false, nil
}

func containsTimestamp(list []ledger.Transfer, timestamp uint64) bool {
	for i := range list {
		if list[i].Timestamp == timestamp {
			return true
		}
	}
	return false
}

// LookupTransfers returns those that exist, in the order asked, as they are kept. It is linearizable.
func (c *Cell) LookupTransfers(ctx context.Context, ids []money.U128) ([]ledger.Transfer, error) {
	var where []places
	if err := c.view(ctx, func(s *ledger.State) { where = candidates(s, ids) }); err != nil {
		return nil, err
	}
	return c.transfersAt(ctx, ids, where)
}

func candidates(s *ledger.State, ids []money.U128) []places {
	where := make([]places, len(ids))
	for i, id := range ids {
		where[i].at = s.Candidates(id, nil)
		where[i].settled, _ = s.SettledCandidates(id)
	}
	return where
}

// transfersAt reads the transfers of these ids from the log, which may stand at these places.
func (c *Cell) transfersAt(ctx context.Context, ids []money.U128, where []places) ([]ledger.Transfer, error) {
	var list []ledger.Transfer
	for i, id := range ids {
		n := len(list)
		var err error
		list, err = c.appendTransfer(ctx, list, id, where[i].at)
		if err == nil && len(list) == n {
			var settled []journal.Position
			if settled, err = c.settledPositions(&where[i].settled); err == nil {
				list, err = c.appendTransfer(ctx, list, id, settled)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// appendTransfer appends the transfer of this id that stands at one of these positions, if any does: the last, as it is
// now, where moves of its bucket recorded it again.
func (c *Cell) appendTransfer(ctx context.Context, list []ledger.Transfer, id money.U128, at []journal.Position) ([]ledger.Transfer, error) {
	slices.Sort(at)
	for _, p := range slices.Backward(at) {
		t, err := c.Transfer(ctx, p)
		if errors.Is(err, ErrNotFound) {
			continue // its id was burned
		}
		if err != nil {
			return nil, err
		}
		if t.ID == id {
			return append(list, t), nil
		}
	}
	return list, nil
}

// Transaction returns the head of the transaction with this id, nil where there is none. It is linearizable.
func (c *Cell) Transaction(ctx context.Context, id money.U128) (*ledger.Fact, error) {
	var where []places
	if err := c.view(ctx, func(s *ledger.State) { where = candidates(s, []money.U128{id}) }); err != nil {
		return nil, err
	}
	settled, err := c.settledPositions(&where[0].settled)
	if err != nil {
		return nil, err
	}
	for _, p := range append(where[0].at, settled...) {
		f, err := c.fact(ctx, p)
		if err != nil {
			return nil, err
		}
		head := f.Asked.Flags.Has(journal.TransferHead) && f.Asked.Timeout > 0 // a metadata change has no legs
		if f.Asked.ID == id && f.Status == journal.Created && head {
			return &f, nil
		}
	}
	return nil, nil
}
