package api

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"time"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Subjects destroys the keys of subjects, and tells how they stand. [keystore.Store] does, with the backups' copies.
type Subjects interface {
	// Erase destroys the key, durably, and then writes the copies in the backups again. An error means that the key may
	// still be there; a copy that was not written is no error.
	Erase(ctx context.Context, e keystore.Erasure) ([]KeyCopy, error)
	Subject(name string) (keystore.Subject, error)
}

// KeyCopy is a backup's copy of the keys, after an erasure.
type KeyCopy struct {
	Target string
	Err    error // why it still is the one from before
}

// destroyTimeout bounds the destruction of a key after its erasure was journaled: it goes on when the caller has gone.
const destroyTimeout = 2 * time.Minute

// erase journals the erasure first, and destroys the key then: whatever happens in between, the start-up finds the
// record and destroys it. The other way round, a crash would leave data unreadable without a trace of who and why.
func (s *Server) erase(ctx context.Context, p auth.Principal, r *ledgerv1.EraseRequest) (*ledgerv1.EraseResponse, error) {
	if err := s.keepsKeys(r.GetSubject()); err != nil {
		return nil, err
	}
	id, err := readU128("id", r.GetId())
	if err != nil {
		return nil, err
	}
	if r.GetReason() == "" {
		return nil, malformed("reason", "say why: an erasure can't be undone")
	}
	e := journal.Erasure{ID: id, Subject: journal.Hash(keystore.HashOf(r.GetSubject()))}
	if err := readReason(&e.Reason, r.GetReason()); err != nil {
		return nil, err
	}
	done, err := s.control(ctx, p, journal.KindErasure, journal.Bytes([]journal.Erasure{e}))
	if err != nil {
		return nil, err
	}
	status := done.Results[0].Status
	response := &ledgerv1.EraseResponse{
		Status: ledgerv1.ControlStatus(status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}
	if status != journal.Created && status != journal.ControlExists {
		return response, nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	copies, err := s.config.Subjects.Erase(bounded, keystore.Erasure{
		Subject: keystore.Hash(e.Subject), When: response.Timestamp, By: p.ID, ID: IDBytes(id),
	})
	if err != nil {
		s.logger.Error("an erasure was journaled, but its key is not destroyed yet: erase again, or restart", "id", id.String(), "error", err)
		return nil, notDestroyed()
	}
	for _, c := range copies {
		m := &ledgerv1.KeyCopy{Target: c.Target, Written: c.Err == nil}
		if c.Err != nil {
			m.Error = c.Err.Error()
			s.logger.Error("a backup's copy of the keys was not written again after an erasure", "target", c.Target, "error", c.Err)
		}
		response.Copies = append(response.Copies, m)
	}
	s.logger.Info("subject erased", "id", id.String(), "by", p.Name, "status", status.Name(journal.KindErasure))
	return response, nil
}

func (s *Server) getSubject(_ context.Context, _ auth.Principal, r *ledgerv1.GetSubjectRequest) (*ledgerv1.GetSubjectResponse, error) {
	if err := s.keepsKeys(r.GetSubject()); err != nil {
		return nil, err
	}
	subject, err := s.config.Subjects.Subject(r.GetSubject())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.GetSubjectResponse{Since: subject.Since}
	switch subject.State {
	case keystore.Active:
		response.State = ledgerv1.SubjectState_SUBJECT_STATE_ACTIVE
	case keystore.Erased:
		response.State = ledgerv1.SubjectState_SUBJECT_STATE_ERASED
		response.Actor = hex.EncodeToString(subject.By[:])
		response.ErasureId = idOf(subject.ID).String()
	default:
		response.State = ledgerv1.SubjectState_SUBJECT_STATE_UNKNOWN
	}
	return response, nil
}

// keepsKeys checks what both calls need.
func (s *Server) keepsKeys(subject string) error {
	if s.config.Subjects == nil {
		return &fault{code: connect.CodeUnimplemented, reason: ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, field: "", message: "this server keeps no keys of subjects"}
	}
	if err := keystore.CheckSubject(subject); err != nil {
		return malformed("subject", err.Error())
	}
	return nil
}

func notDestroyed() *fault {
	return &fault{
		code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
		message: "the erasure is journaled, but the key is not destroyed yet: send again with the same id, or restart the server",
	}
}

// keyCauses are the errors of the key store that callers are told about, beside those that a value is at fault for.
func keyCauses() []cause {
	return []cause{
		{keystore.ErrBroken, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL,
			message: "the keys of subjects can't be written: nothing was written; free space on the server and restart it, then send again",
		}},
	}
}

// IDBytes returns an id as records and the key store hold it: little-endian.
func IDBytes(id money.U128) [16]byte { return [16]byte(littleEndian(id)) }

func idOf(b [16]byte) money.U128 {
	return money.U128{Lo: binary.LittleEndian.Uint64(b[:]), Hi: binary.LittleEndian.Uint64(b[8:])}
}
