package api

import (
	"context"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/index"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func (s *Server) status(ctx context.Context, _ auth.Principal, _ *ledgerv1.StatusRequest) (*ledgerv1.StatusResponse, error) {
	n, err := s.config.Node.Status(ctx)
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.StatusResponse{
		Cell: n.Cell, Seq: n.Seq, Epoch: n.Epoch, Head: n.Head, IndexSeq: n.IndexSeq,
		Accounts: n.Accounts, Transfers: n.Transfers, MemoryBytes: n.MemoryBytes, Version: n.Version,
		Clock: ledgerv1.ClockState_CLOCK_STATE_OK, Disk: ledgerv1.DiskState_DISK_STATE_OK,
	}
	response.Index, response.IndexBuilt, response.IndexPercent = indexState(&n.Index), n.Index.Done, uint32(n.Index.Percent()) //nolint:gosec // 0 to 100
	if n.ClockHeld {
		response.Clock = ledgerv1.ClockState_CLOCK_STATE_HELD
	}
	if n.DiskFull {
		response.Disk = ledgerv1.DiskState_DISK_STATE_FULL
	}
	response.Role, response.Leader = roleOf(&n), n.Leader
	response.Takeovers, response.StoodDown = n.Takeovers, n.StoodDown
	return response, nil
}

func roleOf(n *NodeStatus) ledgerv1.CellRole {
	switch {
	case !n.Shared:
		return ledgerv1.CellRole_CELL_ROLE_ALONE
	case n.Leads:
		return ledgerv1.CellRole_CELL_ROLE_LEADER
	}
	return ledgerv1.CellRole_CELL_ROLE_STANDBY
}

func (s *Server) drain(ctx context.Context, p auth.Principal, _ *ledgerv1.DrainRequest) (*ledgerv1.DrainResponse, error) {
	if err := s.config.Node.Drain(ctx, p); err != nil {
		return nil, err
	}
	return &ledgerv1.DrainResponse{}, nil
}

func (s *Server) acceptClock(ctx context.Context, p auth.Principal, _ *ledgerv1.AcceptClockRequest) (*ledgerv1.AcceptClockResponse, error) {
	if err := s.config.Node.AcceptClock(ctx, p); err != nil {
		return nil, err
	}
	s.logger.Info("clock accepted", "by", p.Name)
	return &ledgerv1.AcceptClockResponse{}, nil
}

func indexState(b *index.BuildStatus) ledgerv1.IndexState {
	switch {
	case b.Failure != nil:
		return ledgerv1.IndexState_INDEX_STATE_FAILED
	case b.Running && b.Whole:
		return ledgerv1.IndexState_INDEX_STATE_REBUILDING
	case b.Running:
		return ledgerv1.IndexState_INDEX_STATE_BUILDING
	}
	return ledgerv1.IndexState_INDEX_STATE_OK
}
