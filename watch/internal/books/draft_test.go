package books_test

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/sterlingrun/sterling/journal"
)

// draft is a block taken apart, to be bent and put together again.
type draft struct {
	header   journal.Header
	expiries []journal.Expiry
	requests []part
	outcomes []journal.Outcome
	attached []journal.Attachment
}

type part struct {
	kind   journal.Kind
	actor  journal.Actor
	events []byte
}

func takeApart(k *journal.Block) *draft {
	d := &draft{header: k.Header, expiries: slices.Clone(k.Expiries), outcomes: slices.Clone(k.Outcomes)}
	first := 0
	for i := range k.Requests {
		r := &k.Requests[i]
		d.requests = append(d.requests, part{r.Kind, r.Actor, bytes.Clone(k.EventBytes(first, int(r.Count)))})
		first += int(r.Count)
	}
	for _, a := range k.Attachments(0, int(k.Header.Events), nil) {
		d.attached = append(d.attached, journal.Attachment{Event: a.Event, Data: bytes.Clone(a.Data)})
	}
	return d
}

func (d *draft) transfer(request, i int) *journal.Transfer {
	return &journal.View[journal.Transfer](d.requests[request].events)[i]
}

// drop takes away the outcome of an event: so it says that it was created as asked.
func (d *draft) drop(event uint32) {
	d.outcomes = slices.DeleteFunc(d.outcomes, func(o journal.Outcome) bool { return o.Event == event })
}

func (d *draft) outcome(event uint32) *journal.Outcome {
	for i := range d.outcomes {
		if d.outcomes[i].Event == event {
			return &d.outcomes[i]
		}
	}
	return nil
}

func (d *draft) seal() []byte {
	b := journal.NewBuilder()
	for _, e := range d.expiries {
		b.AddExpiry(e)
	}
	for _, r := range d.requests {
		b.AddRequest(r.kind, r.actor, r.events)
	}
	for _, o := range d.outcomes {
		b.AddOutcome(o)
	}
	for _, a := range d.attached {
		b.Attach(a.Event, a.Data)
	}
	return bytes.Clone(b.Seal(d.header).Raw)
}

// bend changes one block of a journal, seals it again, and chains the blocks behind it to it, as somebody would who can
// write all of the journal.
func bend(log []*journal.Block, at int, change func(*draft)) (raws [][]byte) {
	for i, k := range log {
		if i < at {
			raws = append(raws, k.Raw)
			continue
		}
		d := takeApart(k)
		if i == at {
			change(d)
		}
		if i > 0 {
			d.header.Prev = sha256.Sum256(raws[i-1][:journal.HeaderSize])
		}
		raws = append(raws, d.seal())
	}
	return raws
}
