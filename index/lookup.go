package index

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

func accountID(id money.U128) listKey { return listKey{tag: tagAccountID, hi: id.Hi, lo: id.Lo} }

// Account finds an account by its id, with the number of its asset; number 0 where there is none. It does not ask the
// ledger, so it costs no turn of it.
func (q *Queries) Account(ctx context.Context, id money.U128) (a AccountRef, asset uint32, err error) {
	err = q.run(ctx, false, func(s *scan) error {
		l := s.v.open(accountID(id), 0, s.v.numbers, false)
		v, ok, err := l.seek(0)
		if err != nil || !ok {
			return err
		}
		beside, err := l.beside()
		if err != nil {
			return err
		}
		if asset, err = readNumber(beside); err == nil {
			a = AccountRef{uint32(v), id} //nolint:gosec // below v.numbers
		}
		return err
	})
	if err != nil {
		return AccountRef{}, 0, fmt.Errorf("find account %v: %w", id, err)
	}
	return a, asset, nil
}

// Addressed is an account found by its address.
type Addressed struct {
	Address string
	Number  uint32
}

// Addresses lists up to limit accounts whose addresses begin with a prefix ("" for all), in the order of their bytes,
// after one ("" for the first page).
func (q *Queries) Addresses(ctx context.Context, prefix, after string, limit int) (found []Addressed, err error) {
	if limit < 1 || limit > journal.MaxEvents || len(prefix) > journal.MaxAddress || len(after) > journal.MaxAddress {
		return nil, fmt.Errorf("%w: limit %d, prefix of %d bytes", ErrFilter, limit, len(prefix))
	}
	if strings.ContainsFunc(prefix+after, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
		return nil, fmt.Errorf("%w: the prefix of an address has letters, digits, '.', '_', '-' and ':'", ErrFilter)
	}
	err = q.run(ctx, false, func(s *scan) error {
		list, err := s.v.addresses(prefix, after, limit)
		for _, a := range list {
			found = append(found, Addressed{a.text, a.number})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses from %q: %w", prefix, err)
	}
	return found, nil
}

// MetaCondition is metadata that has to be there: a key, and its value where Type is not 0.
type MetaCondition journal.Meta

// MaxConditions is how many conditions a query by metadata may have.
const MaxConditions = 8

// MetaQuery chooses transfers or accounts that meet all conditions, oldest first.
type MetaQuery struct {
	Conditions []MetaCondition  // 1 to MaxConditions
	From       journal.Position // 0, or where the page before ended
	Limit      int              // rows at most, 1 to journal.MaxEvents
}

func (f *MetaQuery) check() error {
	if f.Limit < 1 || f.Limit > journal.MaxEvents {
		return fmt.Errorf("%w: limit %d is not within 1 to %d", ErrFilter, f.Limit, journal.MaxEvents)
	}
	if len(f.Conditions) < 1 || len(f.Conditions) > MaxConditions {
		return fmt.Errorf("%w: %d conditions are not within 1 to %d", ErrFilter, len(f.Conditions), MaxConditions)
	}
	for i := range f.Conditions {
		c := &f.Conditions[i]
		if c.Key == "" || len(c.Key) > journal.MaxMetaKey {
			return fmt.Errorf("%w: metadata key of %d bytes", ErrFilter, len(c.Key))
		}
		if c.Type == journal.MetaPersonal {
			return fmt.Errorf("%w: personal metadata %q is sealed and can only be looked for by its key", ErrFilter, c.Key)
		}
	}
	return nil
}

// TransfersByMetadata lists transfers. next is not zero where there may be more.
func (q *Queries) TransfersByMetadata(ctx context.Context, f MetaQuery) (rows []ledger.Transfer, next journal.Position, err error) {
	next, err = q.byMetadata(ctx, &f, tagTransferKey, tagTransferMeta, func(s *scan, p journal.Position) (bool, error) {
		t, err := s.transfer(p)
		rows = append(rows, t)
		return len(rows) == f.Limit, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("query transfers by metadata: %w", err)
	}
	return rows, next, nil
}

// AccountsByMetadata lists the numbers of accounts that were given such metadata at some time, with where that stands in
// the journal: the caller compares with where their newest metadata stands. next is not zero where there may be more.
func (q *Queries) AccountsByMetadata(ctx context.Context, f MetaQuery) (rows []MetaAccount, next journal.Position, err error) {
	next, err = q.byMetadata(ctx, &f, tagAccountKey, tagAccountMeta, func(s *scan, p journal.Position) (bool, error) {
		beside, err := s.lists[0].beside()
		if err != nil {
			return false, err
		}
		number, err := readNumber(beside)
		rows = append(rows, MetaAccount{number, p})
		return len(rows) == f.Limit, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("query accounts by metadata: %w", err)
	}
	return rows, next, nil
}

// MetaAccount is an account, and the position of the event that gave it metadata.
type MetaAccount struct {
	Number   uint32
	Position journal.Position
}

func (q *Queries) byMetadata(ctx context.Context, f *MetaQuery, byKey, byValue byte, visit visitor) (next journal.Position, err error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	keys := make([]listKey, len(f.Conditions))
	for i := range f.Conditions {
		m := journal.Meta(f.Conditions[i])
		if keys[i] = metaKey(byKey, &m, false); m.Type != 0 {
			keys[i] = metaKey(byValue, &m, true)
		}
	}
	err = q.run(ctx, false, func(s *scan) error {
		j := s.join(keys, uint64(f.From), s.v.top)
		for !j.ended {
			p, common, err := j.step()
			if err := errors.Join(err, s.interrupted()); err != nil {
				return err
			}
			last := false
			if common {
				if last, err = visit(s, journal.Position(p)); err != nil {
					return err
				}
			}
			if !j.ended && (last || s.reads+j.steps >= s.q.scan) {
				next = journal.Position(j.next)
				return nil
			}
		}
		return nil
	})
	return next, err
}
