package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1/watchv1connect"
)

// AuditLog is the transparency log of what the ledger states about itself. Its
// errors are [audit.ErrLog] and [audit.ErrDamaged] while it can't be read, and of
// File [fs.ErrNotExist].
type AuditLog interface {
	Trusted() audit.Trusted
	Published() (audit.Checkpoint, error)
	Entries(ctx context.Context, before uint64, limit int) ([]audit.Entry, error)
	File(ctx context.Context, path string) ([]byte, error)
	// Failure says why no new entries are made; empty: they are.
	Failure() string
}

// Blocks reads the journal. [store/local.Store] does.
type Blocks interface {
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
}

// Audit is what is served of the audit. The zero value serves nothing.
type Audit struct {
	Log    AuditLog
	Blocks Blocks
	Heads  HeadLog // nil: no heads of records are taken
	// Public serves the log's files and its key without a token.
	Public bool
}

const (
	auditPath      = "/audit/"
	auditKeyPath   = "key"
	auditFilesPath = audit.LogDir + "/"

	defaultCheckpoints = 50
	maxCheckpoints     = 500
	blocksBytes        = 1 << 20
)

func auditMethods() []*method {
	return []*method{
		{path: watchv1connect.AuditServiceListCheckpointsProcedure, permission: auth.Read, cold: unary((*Server).listCheckpoints)},
		{path: watchv1connect.AuditServiceGetAuditStatusProcedure, permission: auth.Read, cold: unary((*Server).getAuditStatus)},
		{path: watchv1connect.AuditServiceGetBlocksProcedure, permission: auth.Audit, cold: unary((*Server).getBlocks)},
	}
}

func auditCauses() []cause {
	unavailable := func(err error) cause {
		return cause{err, fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_AUDIT_UNAVAILABLE,
			message: "the transparency log can't be read, payments go on: GetAuditStatus says why",
		}}
	}
	return []cause{unavailable(audit.ErrLog), unavailable(audit.ErrDamaged)}
}

func (s *Server) auditLog() (AuditLog, error) {
	if s.config.Audit.Log == nil {
		return nil, &fault{code: connect.CodeUnimplemented, reason: ledgerv1.ErrorReason_ERROR_REASON_AUDIT_UNAVAILABLE, message: "this server keeps no transparency log"}
	}
	return s.config.Audit.Log, nil
}

func (s *Server) listCheckpoints(ctx context.Context, _ auth.Principal, r *watchv1.ListCheckpointsRequest) (*watchv1.ListCheckpointsResponse, error) {
	log, err := s.auditLog()
	if err != nil {
		return nil, err
	}
	limit := int(r.GetLimit())
	if limit > maxCheckpoints {
		return nil, malformed("limit", fmt.Sprintf("want up to %d, not %d", maxCheckpoints, limit))
	}
	if limit == 0 {
		limit = defaultCheckpoints
	}
	list, err := log.Entries(ctx, r.GetBefore(), limit)
	if err != nil {
		return nil, err
	}
	response := &watchv1.ListCheckpointsResponse{}
	for i := range list {
		c, err := checkpointMessage(&list[i])
		if err != nil {
			return nil, err
		}
		response.Checkpoints = append(response.Checkpoints, c)
	}
	return response, nil
}

func checkpointMessage(e *audit.Entry) (*watchv1.SignedCheckpoint, error) {
	st, err := audit.ParseStatement(e.Statement)
	if err != nil {
		return nil, fmt.Errorf("%w: entry %d: %w", audit.ErrDamaged, e.Index, err)
	}
	c := &watchv1.SignedCheckpoint{
		Index: e.Index, Entry: e.Statement, Signature: e.Signature,
		Cell: st.Cell, Seq: st.Seq, BlockHash: st.Hash[:], Time: st.Time, SafeThrough: st.SafeThrough, Events: st.Events, Made: st.Made,
	}
	for i := range st.Totals {
		t := &st.Totals[i]
		c.Totals = append(c.Totals, &watchv1.AssetTotals{
			Asset: t.Asset, DebitsPosted: t.DebitsPosted.String(), CreditsPosted: t.CreditsPosted.String(),
			DebitsPending: t.DebitsPending.String(), CreditsPending: t.CreditsPending.String(), Transfers: t.Transfers,
		})
	}
	for i := range st.Sources {
		o := &st.Sources[i]
		c.Sources = append(c.Sources, &watchv1.SourceDigest{Source: o.Name, ThroughSeq: o.ThroughSeq, Digest: o.Digest[:]})
	}
	return c, nil
}

// getAuditStatus also answers while the log can't be read: then it says why.
func (s *Server) getAuditStatus(ctx context.Context, _ auth.Principal, _ *watchv1.GetAuditStatusRequest) (*watchv1.GetAuditStatusResponse, error) {
	log, err := s.auditLog()
	if err != nil {
		return nil, err
	}
	response := &watchv1.GetAuditStatusResponse{PublicKey: log.Trusted().Key, Failure: log.Failure()}
	c, err := log.Published()
	if err != nil {
		return response, nil //nolint:nilerr // Failure says so
	}
	response.Size, response.Root, response.Note = c.Size, c.Root[:], c.Note
	last, err := log.Entries(ctx, 0, 1)
	if err != nil {
		return nil, err
	}
	for i := range last {
		st, err := audit.ParseStatement(last[i].Statement)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", audit.ErrDamaged, last[i].Index, err)
		}
		response.LastMade = st.Made
	}
	return response, nil
}

func (s *Server) getBlocks(ctx context.Context, _ auth.Principal, r *watchv1.GetBlocksRequest) (*watchv1.GetBlocksResponse, error) {
	if s.config.Audit.Blocks == nil {
		_, err := s.auditLog()
		return nil, err
	}
	if r.GetFromSeq() == 0 {
		return nil, malformed("fromSeq", "blocks are numbered from 1 on")
	}
	response := &watchv1.GetBlocksResponse{Head: s.config.Cell.Head()}
	size := 0
	for seq := r.GetFromSeq(); seq <= response.GetHead() && size < blocksBytes; seq++ {
		b, err := s.config.Audit.Blocks.Read(ctx, seq, nil)
		if err != nil {
			return nil, fmt.Errorf("read block %d for an auditor: %w", seq, err)
		}
		if size += len(b); size > blocksBytes && len(response.Blocks) > 0 {
			break
		}
		response.Blocks = append(response.Blocks, b)
	}
	return response, nil
}

// auditFiles serves the log as files: C2SP tlog-tiles below /audit/log/, and its
// verifier key. It asks for a token that may read, unless the log is public.
func (s *Server) auditFiles() http.Handler {
	m := &method{path: auditPath, name: "AuditFiles", permission: auth.Read}
	m.metrics = s.metrics.method(m.name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		began := s.config.Clock.Mono()
		v := httpVisitor(r)
		var p auth.Principal
		var err error
		if !s.config.Audit.Public {
			p, err = s.admit(m, &v)
		}
		var b []byte
		name := strings.TrimPrefix(r.URL.Path, auditPath)
		if err == nil {
			err = s.protect(m, func() (err error) {
				b, err = s.auditFile(r.Context(), name)
				return err
			})
		}
		if f := s.end(m, &p, &v, began, nil, err); f != nil {
			if f.code == connect.CodeUnauthenticated {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			s.refuse(w, r, f)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Cache-Control", "max-age=31536000, immutable")
		if !strings.HasPrefix(name, auditFilesPath+"tile/") {
			h.Set("Content-Type", "text/plain; charset=utf-8")
			h.Set("Cache-Control", "no-store")
		}
		if !s.config.Audit.Public {
			h.Set("Cache-Control", "private, "+h.Get("Cache-Control"))
		}
		h.Set("Content-Length", strconv.Itoa(len(b)))
		if _, err := w.Write(b); err != nil {
			s.logger.Debug("answer an auditor", "path", r.URL.Path, "error", err)
		}
	})
}

func (s *Server) auditFile(ctx context.Context, name string) ([]byte, error) {
	log := s.config.Audit.Log
	if name == auditKeyPath {
		return []byte(log.Trusted().String() + "\n"), nil
	}
	path, ok := strings.CutPrefix(name, auditFilesPath)
	if !ok {
		return nil, notFound(fmt.Sprintf("there is no %s%.200s: the log is below %s%s", auditPath, name, auditPath, auditFilesPath))
	}
	b, err := log.File(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(fmt.Sprintf("the log has no file %.200q, or no signed checkpoint covers it yet", path))
	}
	return b, err
}
