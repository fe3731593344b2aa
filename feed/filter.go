package feed

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// MaxFilter is how many entries each list of a filter may have.
const MaxFilter = 1000

// ErrFilter is a filter that can't be used; the text says why.
var ErrFilter = errors.New("filter")

// Filter selects events: those that match every list that is not empty. An event without the field does not match.
type Filter struct {
	Accounts []money.U128 // the account itself, or either account of a transfer
	Assets   []money.Asset
	Codes    []uint16 // of transfers
	Kinds    []Kind
}

func filterError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFilter, fmt.Errorf(format, args...))
}

func (f *Filter) check() error {
	if n := max(len(f.Accounts), len(f.Assets), len(f.Codes), len(f.Kinds)); n > MaxFilter {
		return fmt.Errorf("%w: %d entries, at most %d", ErrFilter, n, MaxFilter)
	}
	for _, k := range f.Kinds {
		if !k.Valid() {
			return fmt.Errorf("%w: event kind %d is unknown", ErrFilter, k)
		}
	}
	for _, a := range f.Assets {
		if !a.Valid() {
			return fmt.Errorf("%w: %v is not an asset", ErrFilter, a)
		}
	}
	return nil
}

// matcher is a filter made ready. Nil sets match all.
type matcher struct {
	list      []money.U128
	accounts  map[money.U128]bool
	assets    map[money.Asset]bool
	codes     map[uint16]bool
	kinds     map[Kind]bool
	all       bool
	catalogue func() *ledger.Catalogue
}

func newMatcher(f *Filter, catalogue func() *ledger.Catalogue) *matcher {
	m := &matcher{
		list: f.Accounts, accounts: setOf(f.Accounts), assets: setOf(f.Assets), codes: setOf(f.Codes), kinds: setOf(f.Kinds), catalogue: catalogue,
	}
	m.all = m.accounts == nil && m.assets == nil && m.codes == nil && m.kinds == nil
	return m
}

func setOf[T comparable](list []T) map[T]bool {
	if len(list) == 0 {
		return nil
	}
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

// maxProbes is how many accounts are looked for in a block's summary; more are looked for event by event.
const maxProbes = 128

// page reports whether a page may have a matching event.
func (m *matcher) page(p *page) bool {
	if len(p.events) == 0 {
		return false
	}
	if m.accounts == nil || len(m.list) > maxProbes {
		return true
	}
	for _, id := range m.list {
		if p.accounts.may(id) {
			return true
		}
	}
	return false
}

func (m *matcher) match(e *Event) bool {
	if m.all {
		return true
	}
	if m.kinds != nil && !m.kinds[e.Kind] {
		return false
	}
	switch r := e.Record.(type) {
	case *journal.Transfer:
		return m.transfer(r)
	case *Expired:
		return m.transfer(&r.Transfer)
	case *journal.Account:
		return m.codes == nil && m.account(r.ID) && m.asset(r.Asset)
	case *journal.Freeze:
		code := m.codes == nil || r.Selector == journal.SelectCode && m.codes[r.Code]
		return m.assets == nil && code && (m.accounts == nil || r.Selector == journal.SelectAccount && m.accounts[r.Account])
	case *journal.Limit:
		return m.codes == nil && m.assets == nil && m.account(r.Account)
	case *RegisteredAsset:
		return m.accounts == nil && m.codes == nil && (m.assets == nil || m.assets[r.Asset])
	case *OtherRecord:
		return m.codes == nil && m.assets == nil && m.account(r.Account)
	}
	return m.accounts == nil && m.codes == nil && m.assets == nil
}

func (m *matcher) transfer(t *journal.Transfer) bool {
	return (m.codes == nil || m.codes[t.Code]) &&
		(m.accounts == nil || m.accounts[t.Debit] || m.accounts[t.Credit]) && m.asset(t.Asset)
}

func (m *matcher) account(id money.U128) bool { return m.accounts == nil || m.accounts[id] }

func (m *matcher) asset(number uint32) bool {
	if m.assets == nil {
		return true
	}
	a, ok := m.catalogue().Asset(number)
	return ok && m.assets[a]
}
