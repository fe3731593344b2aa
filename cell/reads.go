package cell

import (
	"context"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// LookupAccounts returns the accounts that exist, in the order asked. It is linearizable: it sees everything that was
// acknowledged before it was called, and nothing that could get lost. Head, asked afterwards, covers all that it saw.
func (c *Cell) LookupAccounts(ctx context.Context, ids []money.U128) ([]journal.Account, error) {
	var list []journal.Account
	var moved error
	err := c.view(ctx, func(s *ledger.State) {
		if moved = away(s, ids...); moved == nil {
			list = accountsOf(s, ids)
		}
	})
	if err = firstError(err, moved); err != nil {
		return nil, err
	}
	return list, nil
}

func accountsOf(s *ledger.State, ids []money.U128) []journal.Account {
	list := make([]journal.Account, 0, len(ids))
	for _, id := range ids {
		if a, n := s.Account(id); n != 0 {
			list = append(list, a)
		}
	}
	return list
}

// AccountNumber returns the number of an account, 0 where there is none.
func (c *Cell) AccountNumber(ctx context.Context, id money.U128) (n uint32, err error) {
	var moved error
	err = c.view(ctx, func(s *ledger.State) {
		_, n = s.Account(id)
		moved = away(s, id)
	})
	return n, firstError(err, moved)
}

// AccountsByNumber returns the accounts with these numbers, in order, without those that are other cells' now.
func (c *Cell) AccountsByNumber(ctx context.Context, numbers []uint32) ([]journal.Account, error) {
	list := make([]journal.Account, 0, len(numbers))
	err := c.view(ctx, func(s *ledger.State) {
		last := uint32(s.Counts().Accounts) //nolint:gosec // account numbers are 32 bits
		for _, n := range numbers {
			if n == 0 || n > last {
				continue
			}
			if a := s.AccountByNumber(n); here(&a) {
				list = append(list, a)
			}
		}
	})
	return list, err
}

// scanPiece is how many accounts a scan looks at before it lets others on.
const scanPiece = 8192

// ScanAccounts calls visit with the accounts in the order of their creation from number `from` on (newest first from
// there if reversed; 0 then means the last), until it returns false or there are no more. Pieces of the scan see
// different moments; each account is seen as of a durable block. Those that are other cells' now are left out.
func (c *Cell) ScanAccounts(ctx context.Context, from uint32, reversed bool, visit func(n uint32, a *journal.Account) bool) error {
	for more := true; more; {
		part := make([]journal.Account, 0, scanPiece)
		var first uint32
		err := c.view(ctx, func(s *ledger.State) {
			last := uint32(s.Counts().Accounts) //nolint:gosec // account numbers are 32 bits
			if from == 0 {
				from = 1
				if reversed {
					from = last
				}
			}
			first = from
			for len(part) < scanPiece && from >= 1 && from <= last {
				part = append(part, s.AccountByNumber(from))
				if from++; reversed {
					from -= 2
				}
			}
		})
		if err != nil {
			return err
		}
		more = len(part) == scanPiece && from >= 1
		for i := range part {
			n := first + uint32(i)
			if reversed {
				n = first - uint32(i)
			}
			if here(&part[i]) && !visit(n, &part[i]) {
				return nil
			}
		}
	}
	return nil
}

// Read calls fn with the state between two requests, and returns once everything it saw is durable. fn must be quick,
// change nothing, and keep nothing of the state but copies.
func (c *Cell) Read(ctx context.Context, fn func(*ledger.State)) error { return c.view(ctx, fn) }

// Moment is a point between two blocks: all later ones have later times than Now, unless the clock goes back.
type Moment struct {
	Seq uint64 // the last block before it
	Now uint64 // ns since 1970: the time that the cell believes
}

// ReadAfter calls fn with a moment and the state of it, and returns once block Seq is durable. See Read for what fn may
// do.
func (c *Cell) ReadAfter(ctx context.Context, fn func(m Moment, s *ledger.State)) error {
	r := &Request{}
	r.read = func(s *ledger.State) { fn(Moment{r.Seq, c.guard.now()}, s) }
	return c.submit(ctx, r)
}

// Freezes returns all freezes, or those in force, in the order of creation.
func (c *Cell) Freezes(ctx context.Context, inForce bool) ([]ledger.Freeze, error) {
	var list []ledger.Freeze
	err := c.view(ctx, func(s *ledger.State) { list = s.Freezes(inForce) })
	return list, err
}

// Fresh returns the last durable block: with everything that any node had acknowledged before the call.
func (c *Cell) Fresh(ctx context.Context) (uint64, error) {
	if c.opts.Shared { // only a block that is appended now tells that nobody else leads
		return c.Sync(ctx)
	}
	return c.Head(), nil
}

// Sync returns the last durable block, once everything sent before is durable.
func (c *Cell) Sync(ctx context.Context) (uint64, error) {
	r := &Request{read: func(*ledger.State) {}}
	err := c.submit(ctx, r)
	return r.Seq, err
}
