package router

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// RefusedError is why a request can't be done across cells. Nothing was done, and no id was burned.
type RefusedError struct {
	Event  int // of the request; -1: of the request as a whole
	Reason string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Reason }

func refuse(event int, format string, args ...any) error {
	return &RefusedError{event, fmt.Sprintf(format, args...)}
}

// Router tells where events belong. Its methods are safe for concurrent use.
type Router struct {
	own uint64
	at  atomic.Pointer[Map]
}

// NewRouter returns the router of a node of cell own.
func NewRouter(own uint64, m *Map) *Router {
	r := &Router{own: own}
	r.at.Store(m)
	return r
}

// Own is the node's cell.
func (r *Router) Own() uint64 { return r.own }

// Map is the newest map that the node knows.
func (r *Router) Map() *Map { return r.at.Load() }

// SetMap makes m the map, unless a newer one is known.
func (r *Router) SetMap(m *Map) {
	for {
		old := r.at.Load()
		if old.Version >= m.Version || r.at.CompareAndSwap(old, m) {
			return
		}
	}
}

// Home returns the cell of an account.
func (r *Router) Home(account money.U128) uint64 { return r.at.Load().Buckets[journal.Bucket(account)] }

// Owns tells whether an account is of the node's cell.
func (r *Router) Owns(account money.U128) bool { return r.Home(account) == r.own }

// Here tells whether all transfers of a request are between accounts of the node's cell, without any question to the
// ledger: those that post or void have to name both accounts.
func (r *Router) Here(events []journal.Transfer) bool {
	m := r.at.Load()
	for i := range events {
		e := &events[i]
		if m.Buckets[journal.Bucket(e.Debit)] != r.own || m.Buckets[journal.Bucket(e.Credit)] != r.own ||
			e.Flags.Has(settles) && (e.Debit.IsZero() || e.Credit.IsZero()) {
			return false
		}
	}
	return true
}

// AccountsHere tells whether all of these are accounts of the node's cell.
func (r *Router) AccountsHere(accounts []journal.Account) bool {
	m := r.at.Load()
	for i := range accounts {
		if m.Buckets[journal.Bucket(accounts[i].ID)] != r.own {
			return false
		}
	}
	return true
}

// Found is where a transfer is.
type Found struct {
	Cell    uint64
	Transit *journal.Transit // of a transfer to another cell; known of those of the node's cell only
	Asset   uint32           // with Transit: number in the node's cell
}

// Find tells where transfers are; it leaves out those that are nowhere.
type Find func(ctx context.Context, ids []money.U128) (map[money.U128]Found, error)

// Parts are the places of a request's transfers, by what is to be done with them. Each is in one part, and in the order
// of the request within it.
type Parts struct {
	Here    []int            // recorded in this cell as they are, in one request
	Cross   []int            // from this cell to another one
	Endings []int            // posts and voids of transfers from this cell to another one
	Late    []int            // posts and voids of what stands in Cross: to be split again after that
	There   map[uint64][]int // of other cells
	Found   map[money.U128]Found
}

// Split tells where the transfers of a request belong. Those of a linked chain, and of a request with imported ones, have
// to be of one cell; what can't cross cells is refused with a RefusedError.
func (r *Router) Split(ctx context.Context, events []journal.Transfer, find Find) (*Parts, error) {
	return r.split(ctx, events, find, false)
}

// SplitAgain is Split that looks for everything that the request posts or voids: the accounts that it names may be of one
// cell, and the transfer one that was between two before they moved.
func (r *Router) SplitAgain(ctx context.Context, events []journal.Transfer, find Find) (*Parts, error) {
	return r.split(ctx, events, find, true)
}

func (r *Router) split(ctx context.Context, events []journal.Transfer, find Find, all bool) (*Parts, error) {
	s := &split{Router: r, m: r.at.Load(), all: all, events: events, made: map[money.U128]int{}, home: make([]uint64, len(events)), cross: make([]bool, len(events))}
	s.parts.There = map[uint64][]int{}
	if err := s.search(ctx, find); err != nil {
		return nil, err
	}
	for i := range events {
		if err := s.place(i); err != nil {
			return nil, err
		}
	}
	if err := s.checkTogether(); err != nil {
		return nil, err
	}
	for i := range events {
		s.put(i)
	}
	return &s.parts, nil
}

// split is a request that is being split.
type split struct {
	*Router
	m      *Map
	all    bool // look for all that is posted or voided
	events []journal.Transfer
	made   map[money.U128]int // earlier events of the request that reserve, by id
	home   []uint64
	cross  []bool // it crosses cells, or ends one that does
	parts  Parts
}

func (s *split) cell(account money.U128) uint64 { return s.m.Buckets[journal.Bucket(account)] }

// search finds what the request posts and voids, where its accounts don't tell all.
func (s *split) search(ctx context.Context, find Find) error {
	var ids []money.U128
	for i := range s.events {
		e := &s.events[i]
		if !e.Flags.Has(settles) {
			if e.Flags.Has(journal.TransferPending) {
				s.made[e.ID] = i
			}
			continue
		}
		if _, here := s.made[e.PendingID]; here || e.PendingID.IsZero() || e.PendingID.IsMax() {
			continue
		}
		if debit := s.cell(e.Debit); !s.all && !e.Debit.IsZero() && (debit != s.own || !e.Credit.IsZero() && s.cell(e.Credit) == s.own) {
			continue
		}
		ids = append(ids, e.PendingID)
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := find(ctx, ids)
	s.parts.Found = found
	return err
}

// place finds out an event's cell.
func (s *split) place(i int) error {
	e := &s.events[i]
	s.home[i] = s.own
	switch {
	case e.Flags.Has(settles):
		return s.placeEnding(i)
	case e.Debit.IsZero(), e.Debit.IsMax():
		return nil // the ledger says what is wrong
	}
	s.home[i] = s.cell(e.Debit)
	if e.Credit.IsZero() || e.Credit.IsMax() || s.cell(e.Credit) == s.home[i] {
		return nil
	}
	if s.cross[i] = Crosses(e); e.Flags&^known != 0 {
		return nil
	}
	if err := transit.CheckTransfer(e); err != nil {
		return refuse(i, "%v; nothing was recorded", err)
	}
	return nil // the ledger says what is wrong
}

// known are the flags that a caller can set, and that of details: with others, the ledger refuses a transfer.
const known = journal.TransferFlagsKnown | journal.TransferAttached

// Crosses tells whether a transfer between accounts of two cells is one that a driver brings about. One that is not is
// refused by the ledger of its debit account, for what the transfer itself says, or by the router.
func Crosses(e *journal.Transfer) bool {
	pending := e.Flags.Has(journal.TransferPending)
	return e.Flags&^(journal.TransferPending|journal.TransferAttached) == 0 && !e.ID.IsZero() && !e.ID.IsMax() && e.PendingID.IsZero() &&
		(pending || e.Timeout == 0) && e.Asset != 0 && e.Code != 0 && e.Timestamp == 0
}

func (s *split) placeEnding(i int) error {
	e := &s.events[i]
	f, found := s.parts.Found[e.PendingID]
	made, here := s.made[e.PendingID]
	switch {
	case here && made < i:
		s.home[i], s.cross[i] = s.home[made], s.cross[made]
	case !e.Debit.IsZero():
		s.home[i] = s.cell(e.Debit)
		s.cross[i] = s.home[i] == s.own && found && f.Cell == s.own && f.Transit != nil
	case found:
		s.home[i], s.cross[i] = f.Cell, f.Transit != nil
	case e.Flags.Has(journal.TransferFence) && !e.PendingID.IsZero() && !e.PendingID.IsMax():
		return refuse(i, "a fence of an id that no cell knows has to name the debit account, whose cell is to burn it; nothing was recorded")
	}
	if s.cross[i] && e.Flags&^known == 0 {
		if err := transit.CheckEnd(e); err != nil {
			return refuse(i, "%v; nothing was recorded", err)
		}
	}
	return nil
}

// checkTogether refuses chains and imports that are not of one cell.
func (s *split) checkTogether() error {
	imported := false
	for i := range s.events {
		linked := i > 0 && s.events[i-1].Flags.Has(journal.TransferLinked)
		if linked && s.home[i] != s.home[i-1] || s.cross[i] && (linked || s.events[i].Flags.Has(journal.TransferLinked)) {
			return refuse(i, "a linked chain has to be of one cell; nothing was recorded")
		}
		imported = imported || s.events[i].Flags.Has(journal.TransferImported)
	}
	for i := range s.events {
		if imported && (s.home[i] != s.home[0] || s.cross[i]) {
			return refuse(i, "imported transfers of one call have to be of one cell; nothing was recorded")
		}
	}
	return nil
}

// put puts an event into its part.
func (s *split) put(i int) {
	p, e := &s.parts, &s.events[i]
	made, here := s.made[e.PendingID]
	switch {
	case s.home[i] != s.own:
		p.There[s.home[i]] = append(p.There[s.home[i]], i)
	case !s.cross[i]:
		p.Here = append(p.Here, i)
	case !e.Flags.Has(settles):
		p.Cross = append(p.Cross, i)
	case here && made < i:
		p.Late = append(p.Late, i)
	default:
		p.Endings = append(p.Endings, i)
	}
}

// OneCell returns the cell that all transfers of a request belong to; a RefusedError where they are of several.
func (r *Router) OneCell(ctx context.Context, events []journal.Transfer, find Find) (uint64, error) {
	p, err := r.Split(ctx, events, find)
	if err != nil {
		return 0, err
	}
	if len(p.Cross)+len(p.Endings)+len(p.Late) > 0 || len(p.There) > 1 || len(p.There) == 1 && len(p.Here) > 0 {
		return 0, refuse(-1, "all of them have to be of one cell; nothing was recorded")
	}
	for id := range p.There {
		return id, nil
	}
	return r.own, nil
}
