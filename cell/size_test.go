package cell_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// largest is an attachment of as many bytes as a transfer may have.
func largest(n int) []byte {
	var d journal.Details
	for i := 0; len(d.Append(nil)) < n; i++ {
		room := n - len(d.Append(nil)) - 5 - 1 - 2 - 1
		if room < 1 {
			break
		}
		d.Metadata = append(d.Metadata, journal.Meta{Key: fmt.Sprintf("%02d", i), Type: journal.MetaBytes, Value: make([]byte, min(room, journal.MaxMetaText))})
	}
	return d.Append(nil)
}

// TestBlocksNeverExceedTheirSize sends requests of all sizes at once, many with as much attached as may be: no block has
// more than 2 MiB, none of the requests is lost, and what was attached is read back. A block of which the builder or
// the store thinks that it is too large ends the process.
func TestBlocksNeverExceedTheirSize(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBank(t, nil)
		defer b.close()
		do(b, journal.KindAccounts, account(1), account(2))
		requests := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [2]int {
			return [2]int{rapid.SampledFrom([]int{1, 3, 50, 400}).Draw(rt, "events"), rapid.SampledFrom([]int{0, 1, 100, journal.MaxDetails}).Draw(rt, "attached")}
		}), 1, 24).Draw(rt, "requests")
		var group sync.WaitGroup
		errs := make([]error, len(requests))
		for i, r := range requests {
			group.Go(func() { errs[i] = b.sendSized(uint64(i+1)*10_000, r[0], r[1]) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			rt.Fatal(err)
		}
		if err := b.blocksFit(); err != nil {
			rt.Fatal(err)
		}
		for i, r := range requests {
			id := uint64(i+1)*10_000 + uint64(r[0]) - 1
			got, err := b.LookupTransfers(context.Background(), []money.U128{money.From(id)})
			if err != nil || len(got) != 1 || got[0].Attachment != string(sized(r[1])) {
				rt.Fatalf("transfer %d: %d found, %v", id, len(got), err)
			}
		}
	})
}

func sized(n int) []byte {
	if n == 0 {
		return nil
	}
	return largest(max(n, 10))
}

// sendSized sends n transfers with ids from first on, each with so many bytes attached.
func (b *bank) sendSized(first uint64, n, attached int) error {
	events := make([]journal.Transfer, n)
	var list []journal.Attachment
	for i := range events {
		events[i] = transfer(first+uint64(i), 1, 2, 1)
		if data := sized(attached); data != nil {
			events[i].Flags = journal.TransferAttached
			list = append(list, journal.Attachment{Event: i, Data: data})
		}
	}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(events), Results: make([]journal.Result, n), Attachments: list}
	if err := b.Do(context.Background(), r); err != nil {
		return err
	}
	for i := range r.Results {
		if r.Results[i].Status != journal.Created {
			return fmt.Errorf("event %d: status %d", i, r.Results[i].Status)
		}
	}
	return nil
}

func (b *bank) blocksFit() error {
	for seq := uint64(1); seq <= b.Head(); seq++ {
		h, err := b.Header(context.Background(), seq)
		if err != nil {
			return err
		}
		if n := journal.HeaderSize + h.BodySize(); n > journal.MaxBlock {
			return fmt.Errorf("block %d has %d bytes", seq, n)
		}
	}
	return nil
}

// TestABlockFullOfExpiriesAndAttachments: as many reservations expire as a block may have expiries, while the largest
// request waits.
func TestABlockFullOfExpiriesAndAttachments(t *testing.T) {
	b := newBank(t, nil)
	do(b, journal.KindAccounts, account(1), account(2))
	list := make([]journal.Transfer, journal.MaxEvents)
	for i := range list {
		list[i] = transfer(uint64(100_000+i), 1, 2, 1)
		list[i].Flags, list[i].Timeout = journal.TransferPending, 1
	}
	do(b, journal.KindTransfers, list...)
	room := journal.MaxBlock - journal.HeaderSize - journal.MaxEvents*journal.ExpirySize - journal.RequestSize
	each := journal.RecordSize + journal.OutcomeSize + journal.AttachmentSize + journal.MaxDetails
	n := room / each
	if err := b.sendSized(200_000, n+1, journal.MaxDetails); !errors.Is(err, cell.ErrTooLarge) {
		t.Errorf("%d transfers with %d bytes each: %v", n+1, journal.MaxDetails, err)
	}
	b.clock.Jump(2_000_000_000) // the timer knows nothing of it: the expiries come with the next request
	if err := b.sendSized(300_000, n, journal.MaxDetails); err != nil {
		t.Fatal(err)
	}
	if err := b.blocksFit(); err != nil {
		t.Error(err)
	}
	if a := b.balance(1); !a.DebitsPending.IsZero() || a.DebitsPosted != money.From(uint64(n)) {
		t.Errorf("account 1: %+v", a)
	}
}
