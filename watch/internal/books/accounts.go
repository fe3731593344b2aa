package books

import (
	"bytes"
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// number returns an account's number, 0 where there is none.
func (m *Model) number(id *count.ID) uint32 {
	h := hashID(id, m.o.HashKey)
	n, at := m.accountNo.first(h)
	for n != 0 && m.accounts.at(n).id != *id {
		n, at = m.accountNo.next(at, h)
	}
	return n
}

func (m *Model) createAccount(a *block.Account) {
	id := a.ID()
	if m.number(&id) != 0 {
		m.fault(duplicateID, fmt.Sprintf("account %v is created a second time", id), func(f *Finding) {
			f.Accounts, f.Asset = []count.ID{id}, a.Asset()
		})
		return
	}
	n := m.accounts.extend()
	*m.accounts.at(n) = account{id: id, flags: a.Flags() &^ block.Linked, group: m.group(groupKey{a.Asset(), a.Code()})}
	if a.Own() {
		m.accounts.at(n).marks = own
	}
	m.accountNo.insert(hashID(&id, m.o.HashKey), n)
	m.totalOf(m.accounts.at(n).group).accounts++
	m.buckets.countAccount(m.accounts.at(n), 1)
	m.checkBuckets(false, m.accounts.at(n))
}

// group returns the number of a pair of asset and code, from 0.
func (m *Model) group(k groupKey) uint32 {
	if n, ok := m.groupNo[k]; ok {
		return n
	}
	t, ok := m.totalNo[k.asset]
	if !ok {
		t = uint32(len(m.totals)) //nolint:gosec // one for each account at most
		m.totals = append(m.totals, total{asset: k.asset})
		m.totalNo[k.asset] = t
	}
	n := uint32(len(m.groups)) //nolint:gosec // one for each account at most
	m.groups = append(m.groups, group{k, t})
	m.groupNo[k] = n
	return n
}

// totalOf is what all accounts of a group's asset add up to, to be changed.
func (m *Model) totalOf(group uint32) *total {
	n := m.groups[group].total
	t := &m.totals[n]
	if t.touched != m.seq {
		t.touched = m.seq
		m.touched = append(m.touched, n)
	}
	return t
}

func (m *Model) asset(n uint32) uint32 { return m.groups[m.accounts.at(n).group].asset }

func assetName(r *block.Record) string {
	return fmt.Sprintf("%s/%d", bytes.TrimRight(r[:16], "\x00"), r[16])
}

// AssetName returns the name of an asset such as "CNY/2"; empty where there is none.
func (m *Model) AssetName(number uint32) string {
	if number == 0 || uint64(number) > uint64(len(m.assets)) {
		return ""
	}
	return m.assets[number-1]
}

// Account returns an account's balances; ok is false where there is no such account.
func (m *Model) Account(id count.ID) (b Balances, ok bool) {
	n := m.number(&id)
	if n == 0 {
		return b, false
	}
	return m.balances(n), true
}

// Moved reports whether an account is another cell's now.
func (m *Model) Moved(id count.ID) bool {
	n := m.number(&id)
	return n != 0 && m.accounts.at(n).flags&block.MovedAccount != 0
}

func (m *Model) balances(n uint32) Balances {
	a := m.accounts.at(n)
	return Balances{a.id, m.asset(n), a.debitsPosted, a.creditsPosted, a.debitsPending, a.creditsPending}
}

// Accounts is how many accounts there are.
func (m *Model) Accounts() uint64 { return uint64(m.accounts.n) }

// Transfers is how many transfers were created.
func (m *Model) Transfers() (n uint64) {
	for i := range m.totals {
		n += m.totals[i].transfers
	}
	return n
}

// VisitAccounts calls f with all accounts, in the order of their creation.
func (m *Model) VisitAccounts(f func(Balances)) {
	for n := range m.accounts.n {
		f(m.balances(n + 1))
	}
}

// Totals returns the sums of all assets that have accounts, in the order of the first account of each.
func (m *Model) Totals() []Total {
	list := make([]Total, len(m.totals))
	for i := range m.totals {
		t := &m.totals[i]
		x := &list[i]
		x.Asset, x.Transfers, x.Exact = t.asset, t.transfers, t.sums
		out, in := m.across.sums[sumKey{t.asset, false}], m.across.sums[sumKey{t.asset, true}]
		x.TransitOut, x.TransitIn, x.Outgoing, x.Incoming = out.amount, in.amount, out.open, in.open
		x.DebitsPosted, _ = t.sums.DebitsPosted.Amount()
		x.CreditsPosted, _ = t.sums.CreditsPosted.Amount()
		x.DebitsPending, _ = t.sums.DebitsPending.Amount()
		x.CreditsPending, _ = t.sums.CreditsPending.Amount()
	}
	return list
}
