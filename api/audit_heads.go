package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
)

// HeadLog signs heads of records that callers keep into the transparency log, and
// returns the entry once a signed checkpoint covers it. Its errors are
// [audit.ErrLog] and [audit.ErrDamaged].
type HeadLog interface {
	LogHead(ctx context.Context, h audit.Head) (entry uint64, err error)
}

const auditHeadsPath = auditPath + "heads"

// auditHeads takes one head a call: POST of its line ([audit.Head.Text], whose
// last word is zero), answered by {"entry":N}. It asks for a token that may audit,
// which can't move money; who called is stated with the head.
func (s *Server) auditHeads() http.Handler {
	m := &method{path: auditHeadsPath, name: "LogHead", permission: auth.Audit}
	m.metrics = s.metrics.method(m.name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Answer)
		defer cancel()
		began := s.config.Clock.Mono()
		v := httpVisitor(r)
		p, err := s.admit(m, &v)
		if err == nil {
			err = s.begin(m, &p, &v)
		}
		var entry uint64
		if err == nil {
			err = s.protect(m, func() (err error) {
				entry, err = s.logHead(ctx, &p, r.Body)
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
		w.Header().Set("Content-Type", "application/json")
		if _, err := fmt.Fprintf(w, "{\"entry\":%d}\n", entry); err != nil {
			s.logger.Debug("answer who logged a head", "error", err)
		}
	})
}

func (s *Server) logHead(ctx context.Context, p *auth.Principal, body io.Reader) (uint64, error) {
	text, err := io.ReadAll(io.LimitReader(body, audit.MaxHead+1))
	if err != nil {
		return 0, malformed("", fmt.Sprintf("the body can't be read: %v", err))
	}
	h, err := audit.ParseHead(string(text))
	if err == nil && h.By != [16]byte{} {
		err = errors.New("who tells it is for the server to say: want 32 zeros as the last word")
	}
	if err != nil {
		return 0, malformed("", err.Error())
	}
	h.By = p.ID
	return s.config.Audit.Heads.LogHead(ctx, h)
}
