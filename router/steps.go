package router

import (
	"time"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// attempt is an attempt at a transfer, and what became of it so far.
type attempt struct {
	transit.Attempt
	result     journal.Result
	held       bool           // by the peer
	refusal    journal.Status // of the peer, or of the decision; 0: none
	unanswered bool           // by the peer: given up for now
	committed  bool
	expires    uint64     // ns since 1970, of a two-phase transfer that is pending; 0: never
	posted     money.U128 // once the transfer has ended
	undated    bool       // the peer's books of its day are closed
	began      uint64     // clock.Wall
	place      int        // in the term's expiries, from 1 on; 0: it is not there
}

// id is the transfer's.
func (a *attempt) id() money.U128 { return a.Asked.ID }

// pendingFrom notes when a transfer that was made at this time expires.
func (a *attempt) pendingFrom(timestamp uint64) {
	if a.Asked.Timeout != 0 {
		a.expires = timestamp + uint64(a.Asked.Timeout)*uint64(time.Second)
	}
}

// resumed is the attempt that a reservation of the home cell is of.
func resumed(home uint64, asset money.Asset, p *ledger.OpenPending, record *ledger.Transfer) (*attempt, transit.Todo, error) {
	r, err := transit.Resume(home, asset, &transit.Open{
		Record: record.Transfer, Attached: []byte(record.Attachment), Ended: p.Ended, Posted: p.Posted,
	})
	if err != nil {
		return nil, 0, err
	}
	a := &attempt{Attempt: r.Attempt, committed: r.Todo == transit.Wait || r.Status == journal.Created, posted: r.Posted}
	if r.Todo == transit.Wait {
		a.pendingFrom(p.Timestamp)
	}
	return a, r.Todo, nil
}

// batch is a request in the making.
type batch struct {
	events   []journal.Transfer
	attached []journal.Attachment
}

func (b *batch) add(list ...transit.Event) {
	for _, e := range list {
		b.attached = append(b.attached, journal.Attachment{Event: len(b.events), Data: e.Attached})
		b.events = append(b.events, e.Transfer)
	}
}
