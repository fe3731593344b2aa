package monitor

import (
	"context"
	"math"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

const (
	// tickPause is how often the ledger is asked for a moment.
	tickPause = 100 * time.Millisecond
	// compareTicks is how many moments lie between two comparisons of balances, compareAccounts how many accounts are
	// compared at once: copying them takes the ledger's sequencer a quarter of a millisecond.
	compareTicks    = 10
	compareAccounts = 4096
	// compareLag is how many blocks the engine may be behind for a comparison: it holds still until that block.
	compareLag = 64
)

// noHold is a hold of no block.
const noHold = math.MaxUint64

// moment is the ledger between two requests: no block after head will have a time before now.
type moment struct {
	head, now uint64
	mono      uint64
	compare   bool // the engine holds still at head until accounts are compared
	accounts  []watch.AccountBalance
}

// moments asks the ledger for moments until ctx ends.
func (s *session) moments(ctx context.Context) {
	c := comparisons{}
	for n := 0; ctx.Err() == nil; n++ {
		t := &moment{}
		compare := n%compareTicks == 0 && c.due(s)
		err := s.m.opts.Ledger.ReadAfter(ctx, func(at cell.Moment, st *ledger.State) {
			t.head, t.now, t.mono = at.Seq, at.Now, s.mono()
			if compare {
				s.hold.Store(at.Seq) // before the block after it can be
				c.read(t, st)
			}
		})
		switch {
		case err == nil:
			s.m.inbox.setMoment(t)
		default: // the ledger stops, or is overloaded: without moments the proof stands, and says so
			s.hold.Store(noHold)
		}
		if t.compare && err == nil {
			select {
			case <-s.compared: // the next moment would take its place
			case <-ctx.Done():
				return
			}
		}
		_ = clock.Sleep(ctx, s.m.opts.Clock, s.m.opts.Moments) // the loop looks at ctx
	}
}

// comparisons walk through all accounts, again and again while anything happens.
type comparisons struct {
	next  uint32 // account number; 0: the walk is over
	began uint64 // head when the walk began
	ended uint64 // began of the last whole walk
}

func (c *comparisons) due(s *session) bool {
	head := s.m.opts.Ledger.Head()
	if c.next == 0 {
		if head == c.ended {
			return false // nothing has changed since
		}
		c.next, c.began = 1, head
	}
	return head-min(head, s.taken.Load()) <= compareLag
}

func (c *comparisons) read(t *moment, st *ledger.State) {
	t.compare = true
	last := uint32(st.Counts().Accounts) //nolint:gosec // account numbers are 32 bits
	for n := c.next; n <= last && len(t.accounts) < compareAccounts; n++ {
		a := st.AccountByNumber(n)
		t.accounts = append(t.accounts, balanceOf(&a))
	}
	if c.next += uint32(len(t.accounts)); c.next > last { //nolint:gosec // ≤ compareAccounts
		c.next, c.ended = 0, c.began
	}
}

func balanceOf(a *journal.Account) (b watch.AccountBalance) {
	a.ID.PutLE(b.Account[:])
	b.Asset = a.Asset
	b.DebitsPosted, b.CreditsPosted = amountOf(a.DebitsPosted), amountOf(a.CreditsPosted)
	b.DebitsPending, b.CreditsPending = amountOf(a.DebitsPending), amountOf(a.CreditsPending)
	return b
}

func amountOf(v money.U128) watch.Amount { return watch.Amount{Lo: v.Lo, Hi: v.Hi} }

// compare leaves out the accounts that are as the engine has them, unless they were not before: nothing comes of them,
// and the log stays small.
func (s *session) compare(list []watch.AccountBalance) []watch.AccountBalance {
	kept := list[:0]
	for i := range list {
		own, known := s.engine.Account(list[i].Account)
		same := known && own == list[i]
		if same && !s.differing[list[i].Account] {
			continue
		}
		if same {
			delete(s.differing, list[i].Account)
		} else {
			s.differing[list[i].Account] = true
		}
		kept = append(kept, list[i])
	}
	return kept
}
