package feed

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// MaxFilter is how many entries each list of a filter may have.
const MaxFilter = 1000

// ErrFilter is a filter that can't be used; the text says why.
var ErrFilter = errors.New("filter")

// key is the same for equal filters, in whatever order their lists are.
func (f *Filter) key() string {
	var b []byte
	for _, list := range [][]string{texts(f.Accounts), texts(f.Assets), texts(f.Codes), texts(f.Kinds)} {
		slices.Sort(list)
		list = slices.Compact(list)
		b = append(strconv.AppendInt(b, int64(len(list)), 10), ';')
		for _, text := range list {
			b = append(append(b, text...), ',')
		}
	}
	return string(b)
}

func texts[T any](list []T) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = fmt.Sprint(list[i])
	}
	return out
}

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
	quick     *[quickBits / 64]uint64 // summary of accounts
	numbers   atomic.Pointer[assetNumbers]
	all       bool
	catalogue func() *ledger.Catalogue
}

func newMatcher(f *Filter, catalogue func() *ledger.Catalogue) *matcher {
	m := &matcher{
		list: f.Accounts, accounts: setOf(f.Accounts), assets: setOf(f.Assets), codes: setOf(f.Codes), kinds: setOf(f.Kinds), catalogue: catalogue,
	}
	if m.accounts != nil {
		m.quick = new([quickBits / 64]uint64)
		for _, id := range f.Accounts {
			h, _ := bloomHash(id)
			m.quick[h%quickBits>>6] |= 1 << (h & 63)
		}
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

// probes are the accounts to look for in a block's summary; empty: don't look there.
func (m *matcher) probes() []money.U128 {
	if len(m.list) > maxProbes {
		return nil
	}
	return m.list
}

// wants reports whether events of a kind may match.
func (m *matcher) wants(k Kind) bool { return m.kinds == nil || m.kinds[k] }

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
		return m.assets == nil && code && (m.accounts == nil || r.Selector == journal.SelectAccount && m.has(r.Account))
	case *journal.Limit:
		return m.codes == nil && m.assets == nil && m.account(r.Account)
	case *RegisteredAsset:
		return m.accounts == nil && m.codes == nil && (m.assets == nil || m.assets[r.Asset])
	case *HandedOver:
		return m.codes == nil && (m.account(r.Account) || m.account(r.Clearing)) && m.asset(r.Record.Asset)
	case *HeldOver:
		return m.transfer(&r.Transfer)
	case *OtherRecord:
		return m.codes == nil && m.assets == nil && m.account(r.Account)
	}
	return m.accounts == nil && m.codes == nil && m.assets == nil
}

func (m *matcher) transfer(t *journal.Transfer) bool {
	return (m.codes == nil || m.codes[t.Code]) &&
		(m.accounts == nil || m.has(t.Debit) || m.has(t.Credit)) && m.asset(t.Asset)
}

func (m *matcher) account(id money.U128) bool { return m.accounts == nil || m.has(id) }

// quickBits is the size of the summary of a filter's accounts. One look at it tells most accounts of a block from those
// of the filter; a look into the map would cost ten times as much.
const quickBits = 1 << 15

func (m *matcher) has(id money.U128) bool {
	h, _ := bloomHash(id)
	return m.quick[h%quickBits>>6]&(1<<(h&63)) != 0 && m.accounts[id]
}

// assetNumbers are the filter's assets by their numbers in one catalogue.
type assetNumbers struct {
	of   *ledger.Catalogue
	want []bool // number n stands at n
}

func (m *matcher) asset(number uint32) bool {
	if m.assets == nil {
		return true
	}
	c, n := m.catalogue(), m.numbers.Load()
	if n == nil || n.of != c {
		n = &assetNumbers{of: c, want: make([]bool, c.Len()+1)}
		for a := range m.assets {
			n.want[c.Number(a)] = true
		}
		n.want[0] = false // where those are that the catalogue doesn't have
		m.numbers.Store(n)
	}
	return int(number) < len(n.want) && n.want[number]
}
