package api

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/accesslog"
	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// visit is an admitted call by way of connect-go, in its context.
type visit struct {
	principal auth.Principal
	visitor   visitor
}

type visitKey struct{}

// visitOf returns the visit of a context; the zero one may do nothing.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return new(visit)
}

// control reports whether a method steers the ledger rather than uses it.
func (m *method) control() bool { return m.permission&(auth.Operate|auth.Audit) != 0 }

// begin writes a control into the access log before it is served. If that can't
// be done the control is refused: nobody could tell later who did it.
func (s *Server) begin(m *method, p *auth.Principal, v *visitor) error {
	if s.config.AccessLog == nil || !m.control() {
		return nil
	}
	e := accesslog.Entry{Method: m.name, Control: true, Principal: p, Peer: v.peer(), RequestID: v.requestID}
	if err := s.config.AccessLog.Begin(&e); err != nil {
		return &fault{
			code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_ACCESS_LOG_FAILED,
			message: "the access log can't be written, so nothing was done: mend its disk on the server, then send again",
		}
	}
	v.requestID = e.RequestID
	return nil
}

func (v *visitor) peer() string {
	if v.origin == nil {
		return ""
	}
	return v.origin.address
}

// end counts a call, writes it into the access log, and returns its error in
// words for the sender, nil if there is none. c is nil for a cold call.
func (s *Server) end(m *method, p *auth.Principal, v *visitor, began uint64, c *call, err error) *fault {
	f := s.finish(m, began, err)
	if s.config.AccessLog == nil {
		return f
	}
	e := accesslog.Entry{
		Method: m.name, Control: m.control(), Principal: p, Peer: v.peer(), RequestID: v.requestID, Code: "ok",
		Duration: time.Duration(s.config.Clock.Mono() - began), //nolint:gosec // it only grows
	}
	if c != nil {
		e.Events = c.events()
	}
	switch {
	case f != nil:
		e.Code = f.code.String()
		e.Refused = f.code == connect.CodeUnauthenticated || f.code == connect.CodePermissionDenied
	case c != nil:
		exists := journal.TransferExists
		if len(c.batch.Accounts) > 0 {
			exists = journal.AccountExists
		}
		for i := range c.reply.Results {
			switch c.reply.Results[i].Status {
			case journal.Created:
				e.Created++
			case exists:
				e.Exists++
			default:
				e.Rejected++
			}
		}
	}
	s.config.AccessLog.End(&e)
	return f
}
