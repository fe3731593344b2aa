package api

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	maxBounds = 16
	maxOldest = 1000
	day       = 86_400 // seconds
)

// Pendings lists open reservations. [cell.Cell] does.
type Pendings interface {
	ScanPendings(ctx context.Context, visit func(p *ledger.OpenPending)) error
}

// ageing collects open reservations by age.
type ageing struct {
	now     uint64   // ns
	bounds  []uint64 // seconds, ascending
	asset   uint32   // 0: any
	code    uint16   // 0: any
	after   uint64   // list those made after it, ns
	limit   int
	groups  map[ledger.Group][]bucket
	oldest  youngestFirst
	skipped bool // there are more than oldest
}

type bucket struct {
	count uint64
	sum   ledger.Total
}

// youngestFirst is a heap of the oldest reservations so far: the one to give way is on top.
type youngestFirst []ledger.OpenPending

func (h youngestFirst) Len() int           { return len(h) }
func (h youngestFirst) Less(i, j int) bool { return h[i].Timestamp > h[j].Timestamp }
func (h youngestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *youngestFirst) Push(x any) { *h = append(*h, x.(ledger.OpenPending)) }

// Pop implements heap.Interface.
func (h *youngestFirst) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}

func (a *ageing) take(p *ledger.OpenPending) {
	if a.asset != 0 && p.Asset != a.asset || a.code != 0 && p.Code != a.code {
		return
	}
	g := ledger.Group{Asset: p.Asset, Code: p.Code}
	if a.groups[g] == nil {
		a.groups[g] = make([]bucket, len(a.bounds)+1)
	}
	age := (max(a.now, p.Timestamp) - p.Timestamp) / 1_000_000_000
	i, found := slices.BinarySearch(a.bounds, age)
	if found {
		i++
	}
	b := &a.groups[g][i]
	b.count++
	b.sum.Add(p.Remaining)
	switch {
	case p.Timestamp <= a.after:
	case len(a.oldest) < a.limit:
		heap.Push(&a.oldest, *p)
	default:
		a.skipped = true
		if p.Timestamp < a.oldest[0].Timestamp {
			a.oldest[0] = *p
			heap.Fix(&a.oldest, 0)
		}
	}
}

func (s *Server) readAgeing(r *ledgerv1.GetPendingAgeingRequest) (a *ageing, some bool, err error) {
	a = &ageing{now: s.config.Clock.Wall(), bounds: r.GetBounds(), groups: map[ledger.Group][]bucket{}}
	if len(a.bounds) == 0 {
		a.bounds = []uint64{3600, day, 7 * day, 30 * day}
	}
	if len(a.bounds) > maxBounds {
		return nil, false, malformed("bounds", fmt.Sprintf("%d bounds, at most %d", len(a.bounds), maxBounds))
	}
	for i, b := range a.bounds {
		if b == 0 || i > 0 && b <= a.bounds[i-1] {
			return nil, false, malformed(fmt.Sprintf("bounds[%d]", i), "want seconds, each more than the one before")
		}
	}
	if a.code, err = readCode("code", r.GetCode()); err != nil {
		return nil, false, err
	}
	if a.limit, err = pageRows("limit", r.GetLimit(), maxOldest); err != nil {
		return nil, false, err
	}
	if r.GetPageToken() != "" {
		n, err := readPage(r.GetPageToken())
		if err != nil {
			return nil, false, err
		}
		a.after = n[0]
	}
	some = true
	if r.GetAsset() != "" {
		if _, err := money.ParseAsset(r.GetAsset()); err != nil {
			return nil, false, malformed("asset", err.Error())
		}
		a.asset, some = s.assetTable().Number(r.GetAsset())
	}
	return a, some, nil
}

func (s *Server) getPendingAgeing(ctx context.Context, _ auth.Principal, r *ledgerv1.GetPendingAgeingRequest) (*ledgerv1.GetPendingAgeingResponse, error) {
	a, some, err := s.readAgeing(r)
	if err != nil {
		return nil, err
	}
	if some {
		if err := s.config.Cell.ScanPendings(ctx, a.take); err != nil {
			return nil, err
		}
	}
	response := &ledgerv1.GetPendingAgeingResponse{Bounds: a.bounds, Position: s.position(s.config.Cell.Head())}
	names := s.assetTable()
	for g, buckets := range a.groups {
		m := &ledgerv1.AgeingGroup{Asset: names.Name(g.Asset), Code: uint32(g.Code)}
		for i := range buckets {
			m.Buckets = append(m.Buckets, &ledgerv1.AgeingBucket{Count: buckets[i].count, Amount: buckets[i].sum.String()})
		}
		response.Groups = append(response.Groups, m)
	}
	slices.SortFunc(response.Groups, func(x, y *ledgerv1.AgeingGroup) int {
		return cmp.Or(cmp.Compare(x.GetAsset(), y.GetAsset()), cmp.Compare(x.GetCode(), y.GetCode()))
	})
	slices.SortFunc(a.oldest, func(x, y ledger.OpenPending) int { return cmp.Compare(x.Timestamp, y.Timestamp) })
	for i := range a.oldest {
		p := &a.oldest[i]
		response.Oldest = append(response.Oldest, &ledgerv1.OpenPending{
			Id: p.ID.String(), DebitAccountId: p.Debit.String(), CreditAccountId: p.Credit.String(), Asset: names.Name(p.Asset),
			Code: uint32(p.Code), Amount: p.Amount.String(), Remaining: p.Remaining.String(), Timestamp: p.Timestamp, Expires: p.Expires,
		})
	}
	if n := len(a.oldest); a.skipped && n > 0 {
		response.NextPageToken = writePage(a.oldest[n-1].Timestamp)
	}
	return response, nil
}

// totals adds up accounts by group.
type totals map[ledger.Group]*total

type total struct {
	accounts uint64
	sums     [4]ledger.Total
}

func (t totals) add(g ledger.Group, a *journal.Account) {
	sum := t[g]
	if sum == nil {
		sum = &total{}
		t[g] = sum
	}
	sum.accounts++
	for i, v := range [4]money.U128{a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending} {
		sum.sums[i].Add(v)
	}
}

func (s *Server) totalMessages(t totals) (list []*ledgerv1.GroupTotal) {
	names := s.assetTable()
	for g, v := range t {
		list = append(list, &ledgerv1.GroupTotal{
			Asset: names.Name(g.Asset), Code: uint32(g.Code), Accounts: v.accounts,
			DebitsPosted: v.sums[0].String(), CreditsPosted: v.sums[1].String(),
			DebitsPending: v.sums[2].String(), CreditsPending: v.sums[3].String(),
		})
	}
	slices.SortFunc(list, func(x, y *ledgerv1.GroupTotal) int {
		return cmp.Or(cmp.Compare(x.GetAsset(), y.GetAsset()), cmp.Compare(x.GetCode(), y.GetCode()))
	})
	return list
}

// getTotals looks at all accounts, in pieces: where transfers go on meanwhile, debits and credits may differ by them.
func (s *Server) getTotals(ctx context.Context, _ auth.Principal, _ *ledgerv1.GetTotalsRequest) (*ledgerv1.GetTotalsResponse, error) {
	groups, assets := totals{}, totals{}
	err := s.config.Cell.ScanAccounts(ctx, 0, false, func(_ uint32, a *journal.Account) bool {
		groups.add(ledger.Group{Asset: a.Asset, Code: a.Code}, a)
		assets.add(ledger.Group{Asset: a.Asset}, a)
		return true
	})
	if err != nil {
		return nil, err
	}
	return &ledgerv1.GetTotalsResponse{
		Groups: s.totalMessages(groups), Assets: s.totalMessages(assets), Position: s.position(s.config.Cell.Head()),
	}, nil
}
