package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
	"github.com/sterlingrun/sterling/router"
)

// Cells is what a node of a ledger of several cells needs of the others. A call may come to any node that leads a cell:
// what belongs to another cell is answered there, with the caller's own rights. Events of one call that belong to several
// cells, or cross cells, are not one atomic step: each cell records its own in order, then its transfers to other cells,
// then the posts and voids of such.
type Cells struct {
	Router  *router.Router
	Driver  CrossCells
	Network CellNetwork
	// Refresh has the router know the newest map of cells; a map of a version, or newer, is new enough.
	Refresh func(ctx context.Context, version uint64) error
	// Mover moves buckets to other cells; see api/moves.go.
	Mover Mover
	// Token is what nodes prove themselves by to each other; see router.ReadSecret.
	Token string
	// Peers knows them by their certificates besides; nil: the secret is all.
	Peers Peers
	// Unproven lets nodes in that have no certificate, while others have: during an upgrade from a release before that.
	Unproven bool

	host *router.Host
}

// CrossCells brings about what crosses cells. [router.Driver] does.
type CrossCells interface {
	Transfer(ctx context.Context, actor journal.Actor, list []router.Crossing) ([]journal.Result, error)
	Settle(ctx context.Context, actor journal.Actor, list []router.Ending) ([]journal.Result, error)
	Rescan(ctx context.Context) error
}

// CellNetwork reaches the other cells' leaders. [router.Network] does.
type CellNetwork interface {
	To(cell uint64) (cellv1.CellServiceClient, error)
}

func crossRefused(e *router.RefusedError, list string) *fault {
	f := &fault{code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_CROSS_CELL_REFUSED, message: e.Error()}
	if e.Event >= 0 {
		f.field = fmt.Sprintf("%s[%d]", list, e.Event)
		f.message = f.field + ": " + f.message
	}
	return f
}

func cellUnavailable(message string) *fault {
	return &fault{
		code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_CELL_UNAVAILABLE,
		message: message + ": what belongs elsewhere may have been recorded: send again with the same ids",
	}
}

// across gives errors of the router their words.
func across(err error) error {
	if e := (*router.RefusedError)(nil); errors.As(err, &e) {
		return crossRefused(e, "transfers")
	}
	if errors.Is(err, router.ErrPeer) {
		return cellUnavailable(err.Error())
	}
	if errors.Is(err, router.ErrIdle) {
		return fmt.Errorf("%w: %w", cell.ErrOutcomeUnknown, err)
	}
	return err
}

// others are the ids of the other cells.
func (s *Server) others() (list []uint64) {
	for _, c := range s.config.Cells.Router.Map().Cells {
		if c.ID != s.config.CellNumber {
			list = append(list, c.ID)
		}
	}
	return list
}

// together runs f for each of the cells at once and returns the first error.
func together(cells []uint64, f func(cell uint64) error) error {
	var group sync.WaitGroup
	errs := make([]error, len(cells))
	for i, id := range cells {
		group.Go(func() { errs[i] = f(id) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// transfersAcross is createTransfers for a call that is not of this cell alone.
func (s *Server) transfersAcross(ctx context.Context, c *call) error {
	results := make([]journal.Result, len(c.batch.Transfers))
	err := s.recordParts(ctx, c, &c.batch, results)
	if err != nil {
		return err
	}
	c.reply.Results = results
	c.reply.Cell, c.reply.Seq = s.config.CellNumber, s.config.Cell.Head()
	return nil
}

// partly is the error of a call of which some events may have been recorded, though the error itself says otherwise.
func partly(err error) error {
	f, known := classify(err)
	if !known || f.reason == ledgerv1.ErrorReason_ERROR_REASON_CELL_UNAVAILABLE || f.reason == ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN {
		return err
	}
	g := *f
	g.reason = ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN
	g.message += "; other events of the call may have been recorded"
	return &g
}

// recordParts records each part of a batch where it belongs, and puts the results in place. After an error that is moving,
// nothing was recorded; after another one, events may have been, and the error says so.
func (s *Server) recordParts(ctx context.Context, c *call, b *codec.Batch, results []journal.Result) error {
	p, err := s.splitCall(ctx, c, b)
	if err == nil {
		err = s.allowParts(ctx, c, b, p)
	}
	if err != nil {
		return across(err) // nothing has begun
	}
	var group sync.WaitGroup
	errs := make(chan error, len(p.There))
	for id, places := range p.There {
		group.Go(func() {
			err := s.recordThere(ctx, c, id, b, places, results)
			errs <- s.recordAgain(ctx, c, b, places, results, err)
		})
	}
	err = s.recordHere(ctx, c, b, p, results)
	group.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil && len(b.Transfers) > 1 && !isMoving(err) {
		return partly(across(err))
	}
	return across(err)
}

// recordHere records the parts of this cell, one after the other.
func (s *Server) recordHere(ctx context.Context, c *call, b *codec.Batch, p *router.Parts, results []journal.Result) error {
	if len(p.Here) > 0 {
		sub := part(b, p.Here)
		attached, err := s.attachTransfers(ctx, sub)
		if err != nil {
			return err
		}
		r := &cell.Request{
			Kind: journal.KindTransfers, Actor: c.principal.ID, Events: journal.Bytes(sub.Transfers), Attachments: attached,
			Results: make([]journal.Result, len(sub.Transfers)),
		}
		if err = s.config.Cell.Do(ctx, r); err == nil {
			scatter(results, p.Here, r.Results)
		} else if err = s.recordAgain(ctx, c, b, p.Here, results, err); err != nil {
			return err
		}
	}
	if len(p.Cross) > 0 {
		err := s.recordCross(ctx, c, part(b, p.Cross), p.Cross, results)
		if err = s.againWhere(ctx, c, b, p.Cross, results, err); err != nil {
			return err
		}
	}
	if len(p.Endings) > 0 {
		err := s.recordEndings(ctx, c, part(b, p.Endings), p, results)
		if err = s.againWhere(ctx, c, b, p.Endings, results, err); err != nil {
			return err
		}
	}
	if len(p.Late) == 0 {
		return nil
	}
	late := make([]journal.Result, len(p.Late))
	err := s.recordParts(ctx, c, part(b, p.Late), late)
	if err == nil {
		scatter(results, p.Late, late)
		return nil
	}
	return s.recordAgain(ctx, c, b, p.Late, results, err)
}

func (s *Server) recordCross(ctx context.Context, c *call, sub *codec.Batch, places []int, results []journal.Result) error {
	details, err := s.transferDetails(ctx, sub)
	if err != nil {
		return err
	}
	list := make([]router.Crossing, len(sub.Transfers))
	for i := range list {
		list[i] = router.Crossing{Transfer: sub.Transfers[i], Details: details[i], Peer: s.config.Cells.Router.Home(sub.Transfers[i].Credit)}
	}
	done, err := s.config.Cells.Driver.Transfer(ctx, c.principal.ID, list)
	if done != nil {
		scatter(results, places, done)
	}
	return placed(err, places)
}

func (s *Server) recordEndings(ctx context.Context, c *call, sub *codec.Batch, p *router.Parts, results []journal.Result) error {
	details, err := s.transferDetails(ctx, sub)
	if err != nil {
		return err
	}
	catalogue := s.config.Cell.Assets()
	list := make([]router.Ending, len(sub.Transfers))
	for i := range list {
		of := p.Found[sub.Transfers[i].PendingID]
		asset, _ := catalogue.Asset(of.Asset)
		list[i] = router.Ending{Transfer: sub.Transfers[i], Details: details[i], Of: *of.Transit, Asset: asset}
	}
	done, err := s.config.Cells.Driver.Settle(ctx, c.principal.ID, list)
	if done != nil {
		scatter(results, p.Endings, done)
	}
	return placed(err, p.Endings)
}

// placed names the event of the call in the error about one of a part.
func placed(err error, places []int) error {
	if e := (*router.RefusedError)(nil); errors.As(err, &e) && e.Event >= 0 {
		return &router.RefusedError{Event: places[e.Event], Reason: e.Reason}
	}
	return err
}

// transferDetails reads and seals what the transfers say beyond their records.
func (s *Server) transferDetails(ctx context.Context, b *codec.Batch) ([]journal.Details, error) {
	attached, err := s.attachTransfers(ctx, b)
	if err != nil {
		return nil, err
	}
	details := make([]journal.Details, len(b.Transfers))
	for _, a := range attached {
		if details[a.Event], err = journal.DecodeDetails(a.Data); err != nil {
			return nil, err
		}
	}
	return details, nil
}

// part returns the transfers at these places, ascending, with their details.
func part(b *codec.Batch, places []int) *codec.Batch {
	sub := &codec.Batch{Transfers: make([]journal.Transfer, len(places))}
	for k, i := range places {
		sub.Transfers[k] = b.Transfers[i]
	}
	sub.Details = partDetails(b.Details, places)
	for _, u := range b.Unregistered {
		if k, found := slices.BinarySearch(places, u.Event); found {
			sub.Unregistered = append(sub.Unregistered, codec.Unregistered{Event: k, Asset: u.Asset})
		}
	}
	return sub
}

func partDetails(all []codec.Details, places []int) (list []codec.Details) {
	for _, d := range all {
		if k, found := slices.BinarySearch(places, d.Event); found {
			d.Event = k
			list = append(list, d)
		}
	}
	return list
}

func scatter[T any](to []T, places []int, from []T) {
	for k, i := range places {
		to[i] = from[k]
	}
}

// recordThere has another cell record the transfers at these places.
func (s *Server) recordThere(ctx context.Context, c *call, to uint64, b *codec.Batch, places []int, results []journal.Result) error {
	sub := part(b, places)
	names, err := s.namesOf(ctx, sub.Transfers)
	if err != nil {
		return err
	}
	request := &ledgerv1.CreateTransfersRequest{Transfers: make([]*ledgerv1.Transfer, len(places))}
	for i := range sub.Transfers {
		m := transferMessage(&sub.Transfers[i], names)
		m.Flags = transferBits(sub.Transfers[i].Flags)
		request.Transfers[i] = m
	}
	for _, u := range sub.Unregistered {
		request.Transfers[u.Event].Asset = u.Asset.String()
	}
	for i := range sub.Details {
		d := &sub.Details[i]
		request.Transfers[d.Event].BookingDate, request.Transfers[d.Event].Metadata = d.BookingDate, d.Metadata
	}
	response := &ledgerv1.CreateTransfersResponse{}
	if err := s.forwardTo(ctx, to, &c.principal, c.visitor.requestID, ledgerv1connect.LedgerServiceCreateTransfersProcedure, request, response); err != nil {
		return err
	}
	if len(response.GetResults()) != len(places) {
		return fmt.Errorf("cell %d answered %d transfers with %d results", to, len(places), len(response.GetResults()))
	}
	for k, r := range response.GetResults() {
		results[places[k]] = journal.Result{Status: journal.Status(r.GetStatus()), Timestamp: r.GetTimestamp()} //nolint:gosec // one of ours
	}
	return nil
}

// namesOf returns the catalogue with the assets of these transfers. Numbers are the same in all cells, and another one may
// have given one that is not known here yet.
func (s *Server) namesOf(ctx context.Context, transfers []journal.Transfer) (*codec.AssetTable, error) {
	names := s.assetTable()
	for i := range transfers {
		if n := transfers[i].Asset; n != 0 && n != journal.NoAsset && names.Name(n) == "" {
			err := s.knowAssets(ctx, nil)
			return s.assetTable(), err
		}
	}
	return names, nil
}

// transferBits are all of a transfer's flags: those that nobody knows have a status of their own.
func transferBits(f journal.TransferFlags) (list []ledgerv1.TransferFlag) {
	for bit := journal.TransferFlags(1); bit != 0; bit <<= 1 {
		if f.Has(bit) {
			list = append(list, ledgerv1.TransferFlag(bit))
		}
	}
	return list
}

// finder looks transfers up in this cell and, where a call came in, in the others.
func (s *Server) finder(c *call) router.Find {
	return func(ctx context.Context, ids []money.U128) (map[money.U128]router.Found, error) {
		found := make(map[money.U128]router.Found, len(ids))
		var rest []money.U128
		err := s.config.Cell.Read(ctx, func(st *ledger.State) { // most are here and open: memory tells
			for _, id := range ids {
				if p, open := st.OpenPending(id); open && !p.Flags.Has(journal.TransferTransit) {
					found[id] = router.Found{Cell: s.config.CellNumber}
				} else {
					rest = append(rest, id)
				}
			}
		})
		if err != nil || len(rest) == 0 {
			return found, err
		}
		own, err := s.config.Cell.LookupTransfers(ctx, rest)
		if err != nil {
			return nil, err
		}
		for i := range own {
			f := router.Found{Cell: s.config.Cells.Router.Home(own[i].Debit), Asset: own[i].Asset} // it may have moved since
			if x, ok := journal.TransitOf([]byte(own[i].Attachment)); ok && x.Step == journal.TransitTransfer && f.Cell == s.config.CellNumber {
				f.Transit = &x
			}
			found[own[i].ID] = f
		}
		var missing []money.U128
		for _, id := range rest {
			if _, ok := found[id]; !ok {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 || c.forwarded {
			return found, nil
		}
		var mu sync.Mutex
		err = together(s.others(), func(id uint64) error {
			list, err := s.transfersIn(ctx, id, nodePrincipal(), missing)
			mu.Lock()
			defer mu.Unlock()
			for _, t := range list {
				if u, err := money.Parse(t.GetId()); err == nil {
					found[u] = router.Found{Cell: id}
				}
			}
			return err
		})
		return found, err
	}
}

// allowParts judges what this cell records by the caller's scope; other cells judge their own.
func (s *Server) allowParts(ctx context.Context, c *call, b *codec.Batch, p *router.Parts) error {
	scope := c.principal.Scope
	if scope == nil {
		return nil
	}
	here := part(b, p.Here)
	for k := range here.Transfers {
		if err := s.allowTransfers(ctx, scope, here.Transfers[k:k+1]); err != nil {
			return inField(err, "transfers[0]", fmt.Sprintf("transfers[%d]", p.Here[k]))
		}
	}
	for k, i := range p.Here { // posts and voids were given the accounts that they were judged by
		b.Transfers[i] = here.Transfers[k]
	}
	var ids []money.U128
	var of []int
	add := func(i int, debit, credit money.U128) {
		ids, of = append(ids, debit, credit), append(of, i)
	}
	for _, i := range p.Cross {
		add(i, b.Transfers[i].Debit, b.Transfers[i].Credit)
	}
	for _, i := range p.Endings {
		x := p.Found[b.Transfers[i].PendingID].Transit
		add(i, x.Debit, x.Credit)
	}
	if len(ids) == 0 {
		return nil
	}
	covered, err := s.covers(ctx, scope, ids)
	if err != nil {
		return err
	}
	for k, i := range of {
		if !covered[2*k] || !covered[2*k+1] {
			return outside("transfers", i)
		}
	}
	return nil
}

// everywhere describes accounts of any cell.
type everywhere struct {
	s     *Server
	local Accounts
}

// Describe implements Accounts.
func (e everywhere) Describe(ctx context.Context, ids []money.U128) ([]AccountScope, error) {
	list := make([]AccountScope, len(ids))
	places := map[uint64][]int{}
	for i, id := range ids {
		home := e.s.config.Cells.Router.Home(id)
		places[home] = append(places[home], i)
	}
	cells := make([]uint64, 0, len(places))
	for id := range places {
		cells = append(cells, id)
	}
	err := together(cells, func(id uint64) error {
		asked := make([]money.U128, len(places[id]))
		for k, i := range places[id] {
			asked[k] = ids[i]
		}
		var got []AccountScope
		var err error
		if id == e.s.config.CellNumber {
			got, err = e.local.Describe(ctx, asked)
		} else {
			got, err = e.s.describedBy(ctx, id, asked)
		}
		if err == nil && len(got) != len(asked) {
			err = fmt.Errorf("cell %d describes %d accounts with %d answers", id, len(asked), len(got))
		}
		if err == nil {
			scatter(list, places[id], got)
		}
		return err
	})
	return list, err
}
