package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func (s *Server) newHTTP() *http.Server {
	mux := http.NewServeMux()
	for path, h := range s.config.Handlers {
		mux.Handle(path, h)
	}
	for _, m := range s.methods {
		mux.Handle(m.path, s.httpMethod(m))
	}
	services := map[string]bool{}
	for path := range s.methods {
		service, _ := splitPath(path)
		services[service] = true
	}
	for service := range services {
		mux.HandleFunc("/"+service+"/", s.unknownMethod)
	}
	mux.HandleFunc(openAPIPath, serveOpenAPI)
	if s.config.Audit.Log != nil {
		mux.Handle(auditPath, s.auditFiles())
	}
	if s.config.Audit.Heads != nil {
		mux.Handle(auditHeadsPath, s.auditHeads())
	}
	limits := s.config.Limits
	return &http.Server{
		ConnContext:       withOrigin,
		Handler:           mux,
		ReadHeaderTimeout: limits.Header,
		ReadTimeout:       limits.Request,
		WriteTimeout:      limits.Request + limits.Answer,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
}

func (s *Server) unknownMethod(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, &fault{
		code: connect.CodeUnimplemented, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED,
		message: "there is no method " + r.URL.Path,
	})
}

// httpMethod serves one method: authenticated and authorised before the body is
// read, then by the short way for plain JSON of a hot call, and by connect-go
// otherwise (gRPC-Web, compressed, Connect's own headers).
func (s *Server) httpMethod(m *method) http.Handler {
	var rest http.Handler
	switch {
	case m.feed:
		rest = s.feedHTTP(m)
	case m.observe:
		rest = s.needsGRPC("ObserveBatch")
	case m.hot != nil && m.hot.readJSON == nil:
		rest = s.needsGRPC("CreateTransfers")
	case m.hot != nil:
		rest = s.connectHot(m)
	default:
		rest = m.cold.http(s, m, connect.WithReadMaxBytes(s.config.Limits.Message), connect.WithCodec(messageJSON{}))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		began := s.config.Clock.Mono()
		v := httpVisitor(r)
		p, err := s.admit(m, &v)
		if err == nil {
			err = s.begin(m, &p, &v)
		}
		if err != nil {
			f := s.end(m, &p, &v, began, nil, err)
			if f.code == connect.CodeUnauthenticated {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			s.refuse(w, r, f)
			return
		}
		if m.feed { // it has no end
			rest.ServeHTTP(s.newPatientWriter(w), r.WithContext(context.WithValue(r.Context(), visitKey{}, &visit{p, v})))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.Answer)
		defer cancel()
		if m.hot != nil && m.hot.readJSON != nil && isPlainJSON(r) {
			s.serveJSON(ctx, w, r, m, &visit{p, v}, began)
			return
		}
		rest.ServeHTTP(w, r.WithContext(context.WithValue(ctx, visitKey{}, &visit{p, v})))
	})
}

// needsGRPC refuses a stream over HTTP/1.1; instead is the method that does without.
func (s *Server) needsGRPC(instead string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &fault{
			code: connect.CodeUnimplemented, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED,
			message: "this method is a bidirectional stream: call it by gRPC over HTTP/2, or use " + instead,
		})
	})
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *fault) {
	if err := s.errors.Write(w, r, f.connect()); err != nil {
		s.logger.Debug("answer a call with an error", "path", r.URL.Path, "error", err)
	}
}

// isPlainJSON reports whether a request uses nothing of Connect's protocol beyond
// what a hot call's short way does.
func isPlainJSON(r *http.Request) bool {
	h := r.Header
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return false
	}
	if v := h.Get("Connect-Protocol-Version"); v != "" && v != "1" || h.Get("Connect-Timeout-Ms") != "" {
		return false
	}
	return isJSON(h.Get("Content-Type"))
}

// isJSON accepts application/json, also with charset=utf-8.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	kind, parameter, _ := strings.Cut(strings.ToLower(contentType), ";")
	parameter = strings.TrimSpace(parameter)
	return strings.TrimSpace(kind) == "application/json" && (parameter == "" || parameter == "charset=utf-8")
}

// serveJSON is the short way.
func (s *Server) serveJSON(ctx context.Context, w http.ResponseWriter, r *http.Request, m *method, v *visit, began uint64) {
	c := s.take(m)
	c.principal, c.visitor, c.began = v.principal, v.visitor, began
	body := s.bodies.Get().(*[]byte)
	err := s.readBody(w, r, body)
	if err == nil {
		s.decode(c, *body, m.hot.readJSON)
		err = s.serve(ctx, c)
	}
	s.bodies.Put(body)
	if err == nil {
		err = s.protect(m, func() (err error) {
			c.encode, err = m.hot.writeJSON(s, c, c.encode[:0])
			return err
		})
	}
	defer s.give(c)
	if f := s.end(m, &c.principal, &c.visitor, began, c, err); f != nil {
		s.refuse(w, r, f)
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(c.encode))}
	if _, err := w.Write(c.encode); err != nil {
		s.logger.Debug("answer a call", "method", m.name, "error", err)
	}
}

const firstBuffer = 64 << 10

// readBody reads a request's body into buf, bounded.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, buf *[]byte) error {
	limit := s.config.Limits.Message
	if r.ContentLength > int64(limit) {
		return tooLarge(limit)
	}
	b := (*buf)[:0]
	// No more is taken on the client's word than a little: the rest follows what
	// really comes.
	if n := min(int(r.ContentLength)+1, firstBuffer); n > cap(b) {
		b = make([]byte, 0, n)
	}
	body := http.MaxBytesReader(w, r.Body, int64(limit))
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buf = b
		switch tooBig := (*http.MaxBytesError)(nil); {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &tooBig):
			return tooLarge(limit)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &fault{
				code: connect.CodeDeadlineExceeded, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED,
				message: "the rest of the request did not come in time; nothing was done",
			}
		default:
			return malformed("", "the request ended before its body was complete; nothing was done")
		}
	}
}

// connectHot serves a hot call by way of connect-go.
func (s *Server) connectHot(m *method) http.Handler {
	serve := func(ctx context.Context, r *connect.Request[call]) (*connect.Response[call], error) {
		c := r.Msg
		began, v := s.config.Clock.Mono(), visitOf(ctx)
		c.method, c.principal, c.visitor = m, v.principal, v.visitor
		err := s.serve(ctx, c)
		if f := s.end(m, &c.principal, &c.visitor, began, c, err); f != nil {
			return nil, f.connect()
		}
		return connect.NewResponse(c), nil
	}
	return connect.NewUnaryHandler(m.path, serve,
		connect.WithReadMaxBytes(s.config.Limits.Message),
		connect.WithCodec(&connectCodec{s, m, "proto", m.hot.readWire, m.hot.writeWire}),
		connect.WithCodec(&connectCodec{s, m, "json", m.hot.readJSON, m.hot.writeJSON}),
	)
}

// connectCodec reads and writes one hot method for connect-go.
type connectCodec struct {
	server *Server
	method *method
	name   string
	read   func(s *Server, c *call, data []byte) error
	write  func(s *Server, c *call, dst []byte) ([]byte, error)
}

// Name returns the format's name.
func (k *connectCodec) Name() string { return k.name }

// Unmarshal reads a request and keeps what is wrong with it in the call.
func (k *connectCodec) Unmarshal(data []byte, v any) error {
	c, ok := v.(*call)
	if !ok {
		return internal()
	}
	c.method = k.method
	k.server.decode(c, data, k.read)
	return nil
}

// Marshal writes a response. With the binary codec connect-go also writes the
// status of gRPC-Web.
func (k *connectCodec) Marshal(v any) (out []byte, err error) {
	c, ok := v.(*call)
	if !ok {
		m, ok := v.(proto.Message)
		if !ok {
			return nil, internal()
		}
		return proto.Marshal(m)
	}
	err = k.server.protect(k.method, func() (err error) {
		out, err = k.write(k.server, c, nil)
		return err
	})
	return out, err
}
