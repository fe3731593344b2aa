package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
)

// Mover moves buckets of the node's cell to other cells. [mover.Runner] does.
type Mover interface {
	Start(ctx context.Context, actor journal.Actor, to uint64, buckets []uint16) (mover.Progress, error)
	Plan(ctx context.Context, to uint64, buckets []uint16) (mover.Progress, error)
	Progress() (p mover.Progress, ok bool)
	Stop()
}

// moveMethods are those of CellsService.
func moveMethods() []*method {
	const admin = auth.Operate | auth.Audit // no other role has both
	return []*method{
		{path: ledgerv1connect.CellsServiceGetMapProcedure, permission: auth.Read, cold: unrouted((*Server).getMap)},
		{path: ledgerv1connect.CellsServiceMoveBucketsProcedure, permission: admin, cold: unrouted((*Server).moveBuckets)},
		{path: ledgerv1connect.CellsServiceGetMoveProcedure, permission: auth.Read, cold: unrouted((*Server).getMove)},
		{path: ledgerv1connect.CellsServiceStopMoveProcedure, permission: admin, cold: unrouted((*Server).stopMove)},
	}
}

// record takes what another cell gives.
func (s *Server) record(ctx context.Context, _ auth.Principal, r *cellv1.RecordRequest) (*cellv1.RecordResponse, error) {
	if err := s.speaksFor(ctx, r.GetFrom()); err != nil {
		return nil, err
	}
	record, err := router.ReadRecord(r)
	var statuses []journal.Status
	if err == nil {
		statuses, err = s.config.Cells.host.Record(ctx, record)
	}
	if errors.Is(err, router.ErrRecord) {
		return nil, malformed("events", err.Error())
	}
	response := &cellv1.RecordResponse{Statuses: make([]uint32, len(statuses))}
	for i := range statuses {
		response.Statuses[i] = uint32(statuses[i])
	}
	return response, err
}

// buckets tells another cell where buckets stand here.
func (s *Server) buckets(ctx context.Context, _ auth.Principal, r *cellv1.BucketsRequest) (*cellv1.BucketsResponse, error) {
	list, err := readBuckets(r.GetBuckets())
	if err != nil {
		return nil, err
	}
	if v := r.GetMapVersion(); v > s.config.Cells.Router.Map().Version {
		if err := s.config.Cells.refresh(ctx, v); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return &cellv1.BucketsResponse{}, nil
	}
	reports, err := s.config.Cells.host.Buckets(ctx, list)
	if err != nil {
		return nil, err
	}
	return router.ReportMessage(reports), nil
}

func readBuckets(from []uint32) ([]uint16, error) {
	if len(from) > router.Buckets {
		return nil, malformed("buckets", fmt.Sprintf("%d of them: there are %d", len(from), router.Buckets))
	}
	list := make([]uint16, len(from))
	for i, b := range from {
		if b >= router.Buckets {
			return nil, malformed(fmt.Sprintf("buckets[%d]", i), fmt.Sprintf("is %d: want 0 to %d", b, router.Buckets-1))
		}
		list[i] = uint16(b)
	}
	return list, nil
}

// oneCell refuses calls about cells where there is one.
func (s *Server) oneCell() error {
	if s.config.Cells == nil || s.config.Cells.Mover == nil {
		return &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_NOT_SHARED,
			message: "this ledger has one cell: see docs/guides/cells.md about several",
		}
	}
	return nil
}

func (s *Server) getMap(ctx context.Context, _ auth.Principal, _ *ledgerv1.GetMapRequest) (*ledgerv1.GetMapResponse, error) {
	if err := s.oneCell(); err != nil {
		return nil, err
	}
	if err := s.config.Cells.refresh(ctx, 0); err != nil {
		return nil, err
	}
	m := s.config.Cells.Router.Map()
	r := &ledgerv1.GetMapResponse{Version: m.Version, Cell: s.config.CellNumber}
	for i := range m.Cells {
		r.Cells = append(r.Cells, &ledgerv1.LedgerCell{Id: m.Cells[i].ID, Nodes: slices.Clone(m.Cells[i].Nodes)})
	}
	for _, p := range m.Spans() {
		r.Spans = append(r.Spans, &ledgerv1.BucketSpan{From: uint32(p.From), To: uint32(p.To), Cell: p.Cell}) //nolint:gosec // below 1,024
	}
	err := s.config.Cell.Read(ctx, func(st *ledger.State) {
		for _, b := range st.Buckets() {
			move := &ledgerv1.MovingBucket{Bucket: uint32(b.Bucket), From: s.config.CellNumber, To: b.Peer, Phase: mover.PhaseName(b.Phase)}
			switch b.Phase {
			case ledger.Arriving:
				move.From, move.To = b.Peer, s.config.CellNumber
			case ledger.Closing, ledger.Given:
			default:
				continue
			}
			r.Moving = append(r.Moving, move)
		}
	})
	return r, err
}

func (s *Server) moveBuckets(ctx context.Context, p auth.Principal, r *ledgerv1.MoveBucketsRequest) (*ledgerv1.MoveBucketsResponse, error) {
	if err := s.oneCell(); err != nil {
		return nil, err
	}
	list, err := readBuckets(r.GetBuckets())
	if err != nil {
		return nil, err
	}
	var progress mover.Progress
	if r.GetDryRun() {
		progress, err = s.config.Cells.Mover.Plan(ctx, r.GetTo(), list)
	} else {
		s.logger.Info("buckets are to be moved", "by", p.Name, "buckets", len(list), "to", r.GetTo())
		progress, err = s.config.Cells.Mover.Start(ctx, p.ID, r.GetTo(), list)
	}
	switch {
	case errors.Is(err, mover.ErrAsked):
		return nil, malformed("", err.Error())
	case errors.Is(err, mover.ErrBusy):
		return nil, &fault{code: connect.CodeFailedPrecondition, message: err.Error()}
	case err != nil:
		return nil, err
	}
	return &ledgerv1.MoveBucketsResponse{Progress: progressMessage(&progress)}, nil
}

func (s *Server) getMove(context.Context, auth.Principal, *ledgerv1.GetMoveRequest) (*ledgerv1.GetMoveResponse, error) {
	if err := s.oneCell(); err != nil {
		return nil, err
	}
	p, ok := s.config.Cells.Mover.Progress()
	if !ok {
		return &ledgerv1.GetMoveResponse{}, nil
	}
	return &ledgerv1.GetMoveResponse{Progress: progressMessage(&p)}, nil
}

func (s *Server) stopMove(context.Context, auth.Principal, *ledgerv1.StopMoveRequest) (*ledgerv1.StopMoveResponse, error) {
	if err := s.oneCell(); err != nil {
		return nil, err
	}
	s.config.Cells.Mover.Stop()
	return &ledgerv1.StopMoveResponse{}, nil
}

func progressMessage(p *mover.Progress) *ledgerv1.MoveProgress {
	m := &ledgerv1.MoveProgress{
		To: p.To, State: ledgerv1.MoveState(p.State + 1), Phase: p.Phase, Buckets: uint32(p.Buckets), Already: uint32(p.Already), //nolint:gosec // small
		BlocksRead: p.BlocksRead, Blocks: p.Blocks, Ids: p.IDs, Accounts: p.Accounts, Reservations: p.Reservations, Began: p.Began, Ended: p.Ended,
	}
	if p.Err != nil {
		m.Error = p.Err.Error()
	}
	for _, b := range p.Moved {
		m.Moved = append(m.Moved, &ledgerv1.MovedBucket{Bucket: uint32(b.Bucket), Accounts: b.Accounts, Reservations: b.Reservations, PauseNs: uint64(b.Pause)}) //nolint:gosec // positive
	}
	return m
}
