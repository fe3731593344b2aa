package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Records is where queries read transfers from; the cell is one. Transfers come resolved: what a post or void took
// over from its pending transfer is filled in.
type Records interface {
	// Transfer returns the transfer at a position, which was created.
	Transfer(ctx context.Context, p journal.Position) (ledger.Transfer, error)
	// BlockTransfers returns the transfers that a block created, in order.
	BlockTransfers(ctx context.Context, seq uint64) ([]ledger.Transfer, error)
}

// MaxScan is how many transfers one query looks at before it answers with what it has.
const MaxScan = 1_000_000

// blockCost is what reading a block counts for, besides its transfers.
const blockCost = 16

// BalanceRow is what an account's balances were after a transfer.
type BalanceRow struct {
	Timestamp uint64 // of the transfer
	ledger.Balances
}

// Page is the answer to a query: rows in the order of their timestamps, at most as many as asked for.
type Page[T any] struct {
	Rows []T
	// NextTimestamp is not zero where there may be more: the limit or MaxScan was reached. The same filter with this
	// as TimestampMin (Reversed: TimestampMax) goes on from there.
	NextTimestamp uint64
}

// Queries answers from an index and the records it points to. Safe for concurrent use.
type Queries struct {
	source  func() (*Index, error)
	records Records
	scan    int // MaxScan, smaller in tests
}

// NewQueries returns the queries over x.
func NewQueries(x *Index, records Records) *Queries {
	return &Queries{source: func() (*Index, error) { return x, nil }, records: records, scan: MaxScan}
}

// AccountTransfers lists the transfers of the account that has this number and f.AccountID.
func (q *Queries) AccountTransfers(ctx context.Context, number uint32, f AccountFilter) (Page[ledger.Transfer], error) {
	var page Page[ledger.Transfer]
	err := q.account(ctx, number, &f, func(s *scan, p journal.Position) (bool, error) {
		t, err := s.accountTransfer(p, &f)
		if err != nil || !f.match(&t) {
			return false, err
		}
		page.Rows = append(page.Rows, t)
		page.NextTimestamp = s.after(t.Timestamp)
		return len(page.Rows) == f.Limit, nil
	}, &page.NextTimestamp)
	if err != nil {
		return Page[ledger.Transfer]{}, fmt.Errorf("list transfers of account %v: %w", f.AccountID, err)
	}
	return page, nil
}

// AccountBalances lists what the balances of an account with the history flag were after each transfer that f
// chooses. An account without the flag has none.
func (q *Queries) AccountBalances(ctx context.Context, number uint32, f AccountFilter) (Page[BalanceRow], error) {
	var page Page[BalanceRow]
	err := q.account(ctx, number, &f, func(s *scan, p journal.Position) (bool, error) {
		row, ok, err := s.lists[0].balances()
		if err != nil || !ok {
			return false, err
		}
		if f.needsRecord() {
			t, err := s.accountTransfer(p, &f)
			if err != nil || !f.match(&t) {
				return false, err
			}
		}
		page.Rows = append(page.Rows, row)
		page.NextTimestamp = s.after(row.Timestamp)
		return len(page.Rows) == f.Limit, nil
	}, &page.NextTimestamp)
	if err != nil {
		return Page[BalanceRow]{}, fmt.Errorf("list balances of account %v: %w", f.AccountID, err)
	}
	return page, nil
}

// account visits an account's transfers that have the filter's user data and time, until visit says stop.
func (q *Queries) account(ctx context.Context, number uint32, f *AccountFilter, visit visitor, next *uint64) error {
	if err := f.check(); err != nil {
		return err
	}
	keys := dataLists([]listKey{accountList(number)}, true, f.UserData128, f.UserData64, f.UserData32)
	return q.run(ctx, f.Reversed, func(s *scan) error {
		return s.joined(keys, f.TimestampMin, f.TimestampMax, visit, next)
	})
}

// Transfers lists the transfers that f chooses. With user data it reads their lists; without, whole blocks, so a
// filter that few match is answered in several pages.
func (q *Queries) Transfers(ctx context.Context, f QueryFilter) (Page[ledger.Transfer], error) {
	var page Page[ledger.Transfer]
	if err := f.check(); err != nil {
		return page, err
	}
	take := func(s *scan, t ledger.Transfer) bool {
		if f.match(&t) {
			page.Rows = append(page.Rows, t)
			page.NextTimestamp = s.after(t.Timestamp)
		}
		return len(page.Rows) == f.Limit
	}
	err := q.run(ctx, f.Reversed, func(s *scan) error {
		keys := dataLists(nil, true, f.UserData128, f.UserData64, f.UserData32)
		if len(keys) == 0 {
			return s.blocks(&f, take, &page.NextTimestamp)
		}
		return s.joined(keys, f.TimestampMin, f.TimestampMax, func(s *scan, p journal.Position) (bool, error) {
			t, err := s.transfer(p)
			return err == nil && take(s, t), err
		}, &page.NextTimestamp)
	})
	if err != nil {
		return Page[ledger.Transfer]{}, fmt.Errorf("query transfers: %w", err)
	}
	return page, nil
}

// AccountNumbers lists the numbers of accounts by user data, in order of creation. indexed is false, and nothing was
// looked up, where f has no user data. keep, if not nil, decides on the rest of f, which the index does not know.
func (q *Queries) AccountNumbers(ctx context.Context, f QueryFilter, keep func(number uint32) bool) (numbers []uint32, indexed bool, err error) {
	if err := f.check(); err != nil {
		return nil, false, err
	}
	keys := dataLists(nil, false, f.UserData128, f.UserData64, f.UserData32)
	if len(keys) == 0 {
		return nil, false, nil
	}
	err = q.run(ctx, f.Reversed, func(s *scan) error {
		j := s.join(keys, 0, s.v.numbers)
		for !j.ended && len(numbers) < f.Limit {
			v, common, err := j.step()
			if err := errors.Join(err, s.interrupted()); err != nil {
				return err
			}
			if n := uint32(v); common && (keep == nil || keep(n)) { //nolint:gosec // below v.numbers
				numbers = append(numbers, n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, true, fmt.Errorf("query accounts: %w", err)
	}
	return numbers, true, nil
}

// run gives a query its view and takes it back.
func (q *Queries) run(ctx context.Context, reversed bool, do func(*scan) error) error {
	x, err := q.enter()
	if err != nil {
		return err
	}
	defer x.life.RUnlock()
	x.pace.ask()
	s := &scan{ctx: ctx, q: q, x: x, v: x.view(), reversed: reversed}
	err = do(s)
	if e := s.v.close(); err == nil {
		err = e
	}
	return err
}

// enter finds the index and enters it. It tries again where another index took its place meanwhile.
func (q *Queries) enter() (*Index, error) {
	x, err := q.source()
	for err == nil {
		if err = x.enter(); err == nil {
			return x, nil
		}
		if now, e := q.source(); e == nil && now != x {
			x, err = now, nil
		}
	}
	return nil, err
}

// scan is one query at work.
type scan struct {
	ctx      context.Context
	q        *Queries
	x        *Index
	v        *view
	reversed bool
	lists    []*list
	reads    int // records looked at
}

// visitor is called for each position found and reports whether it was the last one wanted.
type visitor func(s *scan, p journal.Position) (last bool, err error)

func (s *scan) interrupted() error {
	if s.x.stopped() {
		return ErrClosed
	}
	return s.ctx.Err()
}

// after is where a page that ends with a row of this timestamp goes on.
func (s *scan) after(ts uint64) uint64 {
	if s.reversed {
		return ts - 1
	}
	return ts + 1
}

func (s *scan) transfer(p journal.Position) (ledger.Transfer, error) {
	s.reads++
	t, err := s.q.records.Transfer(s.ctx, p)
	if err != nil {
		return t, fmt.Errorf("read the transfer at block %d, index %d: %w", p.Seq(), p.Index(), err)
	}
	return t, nil
}

func (s *scan) accountTransfer(p journal.Position, f *AccountFilter) (ledger.Transfer, error) {
	t, err := s.transfer(p)
	if err == nil && t.Debit != f.AccountID && t.Credit != f.AccountID {
		err = fmt.Errorf("%w: the transfer at block %d, index %d is not of account %v", ErrRebuild, p.Seq(), p.Index(), f.AccountID)
	}
	return t, err
}

func (s *scan) join(keys []listKey, lo, hi uint64) *join {
	for _, k := range keys {
		s.lists = append(s.lists, s.v.open(k, lo, hi, s.reversed))
	}
	return newJoin(s.lists, lo, hi, s.reversed)
}

// joined visits the positions that all lists have, within a range of time. next has a value where it stopped early:
// the one that visit has set, or the timestamp of the first transfer that was not looked at.
func (s *scan) joined(keys []listKey, from, to uint64, visit visitor, next *uint64) error {
	lo, hi, err := s.window(from, to)
	if err != nil {
		return err
	}
	j := s.join(keys, lo, hi)
	for !j.ended {
		if err := s.interrupted(); err != nil {
			return err
		}
		p, common, err := j.step()
		if err != nil {
			return err
		}
		if common {
			if last, err := visit(s, journal.Position(p)); err != nil || last {
				return err
			}
		}
		if !j.ended && s.reads+j.steps >= s.q.scan {
			return s.stopAt(j, next)
		}
	}
	*next = 0
	return nil
}

// stopAt ends a scan that has looked at enough: the next page begins at the next candidate.
func (s *scan) stopAt(j *join, next *uint64) error {
	*next = 0
	p, ok, err := j.lists[0].seek(j.next)
	if err != nil || !ok {
		return err
	}
	t, err := s.transfer(journal.Position(p))
	*next = t.Timestamp
	return err
}

// window turns a range of time into positions lo ≤ p < hi.
func (s *scan) window(from, to uint64) (lo, hi uint64, err error) {
	hi = s.v.top
	if from > 1 {
		if lo, err = s.position(from); err != nil {
			return 0, 0, err
		}
	}
	if to != 0 && to != math.MaxUint64 {
		end, err := s.position(to + 1)
		if err != nil {
			return 0, 0, err
		}
		hi = min(hi, end)
	}
	return lo, hi, nil
}

// position returns one that all transfers from a timestamp on are at or after, and all before it before.
func (s *scan) position(ts uint64) (uint64, error) {
	m, ok, err := s.v.times.atMost(ts)
	if err != nil || !ok {
		return 0, err
	}
	end := uint64(journal.At(m.seq+1, 0))
	if m.base != 0 {
		return min(end, uint64(journal.At(m.seq, 0))+min(ts-m.base, 2*journal.MaxEvents)), nil
	}
	block, err := s.block(m.seq)
	if err != nil {
		return 0, err
	}
	i := sort.Search(len(block), func(i int) bool { return block[i].Timestamp >= ts })
	if i == len(block) {
		return end, nil
	}
	return uint64(block[i].Position), nil
}

func (s *scan) block(seq uint64) ([]ledger.Transfer, error) {
	block, err := s.q.records.BlockTransfers(s.ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read the transfers of block %d: %w", seq, err)
	}
	s.reads += len(block) + blockCost
	return block, nil
}

// blocks looks through whole blocks, in the order of time. next is as in joined.
func (s *scan) blocks(f *QueryFilter, take func(*scan, ledger.Transfer) bool, next *uint64) error {
	from, to := f.TimestampMin, f.TimestampMax
	if to == 0 {
		to = math.MaxUint64
	}
	m, ok, err := s.firstBlock(from, to)
	for ok && err == nil {
		if last, err := s.takeBlock(m.seq, from, to, take); err != nil || last {
			return err
		}
		seen := m.first
		m, ok, err = s.nextBlock(m, from, to)
		if ok && err == nil && s.reads >= s.q.scan {
			*next = m.first
			if s.reversed {
				*next = seen - 1
			}
			return nil
		}
	}
	*next = 0
	return err
}

func (s *scan) takeBlock(seq, from, to uint64, take func(*scan, ledger.Transfer) bool) (last bool, err error) {
	if err := s.interrupted(); err != nil {
		return false, err
	}
	block, err := s.block(seq)
	if err != nil {
		return false, err
	}
	for i := range block {
		t := &block[i]
		if s.reversed {
			t = &block[len(block)-1-i]
		}
		if t.Timestamp >= from && t.Timestamp <= to && take(s, *t) {
			return true, nil
		}
	}
	return false, nil
}

// firstBlock returns the first block, in the direction of the scan, that may have transfers from a range of time.
func (s *scan) firstBlock(from, to uint64) (mark, bool, error) {
	if s.reversed {
		return s.v.times.atMost(to)
	}
	if m, ok, err := s.v.times.atMost(from); ok || err != nil {
		return m, ok, err
	}
	m, ok, err := s.v.times.atLeast(from)
	return m, ok && m.first <= to, err
}

func (s *scan) nextBlock(m mark, from, to uint64) (mark, bool, error) {
	if s.reversed {
		if m.first <= from || m.first == 0 {
			return mark{}, false, nil
		}
		return s.v.times.atMost(m.first - 1)
	}
	m, ok, err := s.v.times.atLeast(m.first + 1)
	return m, ok && m.first <= to, err
}
