package api

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Operations runs what takes long. Its errors are the ones below, with words for the caller.
type Operations interface {
	Backup(ctx context.Context, by auth.Principal, target string, full bool) (Operation, error)
	// Archive moves segments before a block, or before a time; the other one is zero.
	Archive(ctx context.Context, by auth.Principal, seq uint64, before time.Time) (Operation, error)
	Operation(ctx context.Context, id string) (Operation, error)
	Cancel(ctx context.Context, by auth.Principal, id string) (Operation, error)
}

// Errors of Operations, wrapped with what the caller is told.
var (
	ErrNotConfigured = errors.New("the node's configuration does not have it")
	ErrBusy          = errors.New("another operation runs")
	ErrNoOperation   = errors.New("no such operation")
)

// OperationState says whether an operation has ended, and how.
type OperationState uint8

// The states of an operation.
const (
	Running OperationState = iota + 1
	Done
	Failed
	Canceled
)

// Operation is work that goes on after the call that began it.
type Operation struct {
	ID, Kind, Target string
	State            OperationState
	Began, Ended     uint64 // ns since 1970
	Done, Total      uint64 // blocks of a backup, segments of an archive
	Error            string
	Backup           *BackupDone  // what it did, of a backup that is done
	Archive          *ArchiveDone // of an archive
}

// BackupDone is what a backup did.
type BackupDone struct {
	ID                string
	New               bool
	Kind              string
	FirstSeq, LastSeq uint64
	Bytes, Objects    uint64
	Skipped           []string
}

// ArchiveDone is what an archive did.
type ArchiveDone struct {
	Segments, Bytes, ThroughSeq uint64
	Bound                       string
}

func (s *Server) backup(ctx context.Context, p auth.Principal, r *ledgerv1.BackupRequest) (*ledgerv1.BackupResponse, error) {
	if r.GetTarget() == "" {
		return nil, malformed("target", "a name is required")
	}
	o, err := s.config.Operations.Backup(ctx, p, r.GetTarget(), r.GetFull())
	if err != nil {
		return nil, operationFault(err)
	}
	return &ledgerv1.BackupResponse{Operation: operationMessage(&o)}, nil
}

// maxAge bounds before_age: a century.
const maxAge = 100 * 366 * 24 * 60 * 60

func (s *Server) archive(ctx context.Context, p auth.Principal, r *ledgerv1.ArchiveRequest) (*ledgerv1.ArchiveResponse, error) {
	var seq uint64
	var before time.Time
	switch b := r.GetBefore().(type) {
	case *ledgerv1.ArchiveRequest_BeforeSeq:
		if seq = b.BeforeSeq; seq == 0 {
			return nil, malformed("before_seq", "blocks are numbered from 1")
		}
	case *ledgerv1.ArchiveRequest_BeforeAge:
		if b.BeforeAge > maxAge {
			return nil, malformed("before_age", "more than a century")
		}
		before = wall(s.config.Clock).Add(-time.Duration(b.BeforeAge) * time.Second)
	default:
		return nil, malformed("before", "before_seq or before_age is required")
	}
	o, err := s.config.Operations.Archive(ctx, p, seq, before)
	if err != nil {
		return nil, operationFault(err)
	}
	return &ledgerv1.ArchiveResponse{Operation: operationMessage(&o)}, nil
}

func (s *Server) getOperation(ctx context.Context, _ auth.Principal, r *ledgerv1.GetOperationRequest) (*ledgerv1.GetOperationResponse, error) {
	o, err := s.config.Operations.Operation(ctx, r.GetId())
	if err != nil {
		return nil, operationFault(err)
	}
	return &ledgerv1.GetOperationResponse{Operation: operationMessage(&o)}, nil
}

func (s *Server) cancelOperation(ctx context.Context, p auth.Principal, r *ledgerv1.CancelOperationRequest) (*ledgerv1.CancelOperationResponse, error) {
	o, err := s.config.Operations.Cancel(ctx, p, r.GetId())
	if err != nil {
		return nil, operationFault(err)
	}
	return &ledgerv1.CancelOperationResponse{Operation: operationMessage(&o)}, nil
}

func operationFault(err error) error {
	switch {
	case errors.Is(err, ErrNotConfigured):
		return malformed("", err.Error())
	case errors.Is(err, ErrNoOperation):
		return &fault{code: connect.CodeNotFound, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field: "id", message: err.Error()}
	case errors.Is(err, ErrBusy):
		return &fault{code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED, field: "", message: err.Error()}
	}
	return err
}

func operationMessage(o *Operation) *ledgerv1.Operation {
	m := &ledgerv1.Operation{
		Id: o.ID, Kind: o.Kind, Target: o.Target, State: ledgerv1.OperationState(o.State), Began: o.Began, Ended: o.Ended,
		Done: o.Done, Total: o.Total, Error: o.Error,
	}
	if b := o.Backup; b != nil {
		m.Result = &ledgerv1.Operation_Backup{Backup: &ledgerv1.BackupDone{
			Id: b.ID, New: b.New, Kind: b.Kind, FirstSeq: b.FirstSeq, LastSeq: b.LastSeq, Bytes: b.Bytes, Objects: b.Objects, Skipped: b.Skipped,
		}}
	}
	if a := o.Archive; a != nil {
		m.Result = &ledgerv1.Operation_Archive{Archive: &ledgerv1.ArchiveDone{
			Segments: a.Segments, Bytes: a.Bytes, ThroughSeq: a.ThroughSeq, Bound: a.Bound,
		}}
	}
	return m
}
