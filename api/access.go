package api

import (
	"context"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// origin is where a connection comes from. It is made once per connection and
// does not change.
type origin struct {
	address     string
	certificate auth.Principal // of the client certificate; no role: it has none that is known
	notAfter    time.Time      // of the client certificate
	cell        uint64         // of the node of another cell that it comes from; 0: it comes from none
}

// AuthType implements credentials.AuthInfo: grpc-go hands it to every call.
func (*origin) AuthType() string { return "sterling" }

// visitor is who makes a call, as far as the call itself says.
type visitor struct {
	authorization string
	requestID     string
	shadow        bool // the call is marked as shadow traffic
	origin        *origin
}

// requestIDHeader is the name under which clients may give their call a name for
// the access log.
const requestIDHeader = "x-request-id"

func grpcVisitor(ctx context.Context) visitor {
	v := visitor{authorization: one(ctx, "authorization"), requestID: one(ctx, requestIDHeader), shadow: grpcShadow(ctx)}
	if p, ok := peer.FromContext(ctx); ok {
		v.origin, _ = p.AuthInfo.(*origin)
	}
	return v
}

func one(ctx context.Context, name string) string {
	if v := metadata.ValueFromIncomingContext(ctx, name); len(v) == 1 {
		return v[0]
	}
	return ""
}

func httpVisitor(r *http.Request) visitor {
	v := visitor{authorization: r.Header.Get("Authorization"), requestID: r.Header.Get(requestIDHeader), shadow: httpShadow(r.Header)}
	v.origin, _ = r.Context().Value(originKey{}).(*origin)
	return v
}

type originKey struct{}

// withOrigin is the ConnContext of the HTTP server.
func withOrigin(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*replayed); ok {
		return context.WithValue(ctx, originKey{}, c.origin)
	}
	return ctx
}

// dealt is grpc-go's view of connections that the splitter has accepted: whatever
// handshake there is was done there.
type dealt struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (dealt) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c, ok := conn.(*replayed); ok {
		return conn, c.origin, nil
	}
	return conn, &origin{}, nil
}

// ClientHandshake implements credentials.TransportCredentials; a server never
// calls it.
func (dealt) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, internal()
}

// Info implements credentials.TransportCredentials.
func (dealt) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

// Clone implements credentials.TransportCredentials.
func (d dealt) Clone() credentials.TransportCredentials { return d }

// OverrideServerName implements credentials.TransportCredentials.
func (dealt) OverrideServerName(string) error { return nil }

// identify says who a visitor is: by the token if there is one, and otherwise by
// the certificate of the connection.
func (s *Server) identify(v *visitor, now time.Time) (auth.Principal, error) {
	if v.origin != nil && !v.origin.notAfter.IsZero() && now.After(v.origin.notAfter) {
		return auth.Principal{}, tokenRefused("the client certificate of this connection has expired: connect anew with a fresh one")
	}
	if v.authorization == "" {
		if v.origin != nil && v.origin.certificate.Role != 0 {
			p := v.origin.certificate
			if s.config.Revoked != nil && s.config.Revoked(p.ID, now) {
				return auth.Principal{}, tokenRefused(auth.ErrUnknownToken.Error())
			}
			return p, nil
		}
		return auth.Principal{}, tokenRefused("a token is required: send the header Authorization: Bearer TOKEN")
	}
	token, ok := auth.Bearer(v.authorization)
	if !ok {
		return auth.Principal{}, tokenRefused("the Authorization header must be: Bearer TOKEN")
	}
	p, err := s.config.Tokens.Verify(token, now)
	if err != nil {
		return auth.Principal{}, tokenRefused(err.Error())
	}
	return p, nil
}

// admit says who a visitor is, and whether the colour, the role, the scope and the rate let
// it call the method now. The principal is returned with refusals, too, where it
// is known: for the access log.
func (s *Server) admit(m *method, v *visitor) (auth.Principal, error) {
	if m.between {
		return s.admitNode(v)
	}
	now := wall(s.config.Clock)
	p, err := s.identify(v, now)
	if err != nil {
		return p, err
	}
	if err := s.judgeColor(v.shadow, &p); err != nil {
		return p, err
	}
	if err := permit(m, &p); err != nil {
		return p, err
	}
	if s.config.Leads != nil && !m.anywhere {
		if err := s.config.Leads(); err != nil {
			return p, err
		}
	}
	if p.Limiter != nil {
		if wait, ok := p.Limiter.Call(now); !ok {
			return p, rateLimited("the token's calls per second are used up", wait)
		}
	}
	return p, nil
}

// admitEvents takes the events of a decoded call from the token's rate.
func (s *Server) admitEvents(p *auth.Principal, n int) error {
	if p.Limiter == nil {
		return nil
	}
	wait, ok := p.Limiter.Events(n, wall(s.config.Clock))
	switch {
	case ok:
		return nil
	case wait == 0:
		return rateLimited("the call has more events than the token may send in a second: send them in several calls", 0)
	}
	return rateLimited("the token's events per second are used up", wait)
}

func rateLimited(message string, wait time.Duration) *fault {
	if wait > 0 {
		message += ", nothing was written: send again after " + wait.Round(time.Millisecond).String()
	}
	return &fault{
		code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
		message: message, retryAfter: wait,
	}
}

// watchStream ends a stream whose caller is no longer who may call, also while
// nothing is sent. It returns when done is closed.
func (s *Server) watchStream(m *method, v *visitor, done <-chan struct{}, end func(error)) {
	for {
		fired, stop := s.config.Clock.After(auth.ReloadInterval / 4)
		select {
		case <-fired:
		case <-done:
			stop()
			return
		}
		p, err := s.identify(v, wall(s.config.Clock))
		if err == nil && !p.Role.Allows(m.permission) {
			err = roleRefused(p, m.name)
		}
		if err != nil {
			end(s.end(m, &p, v, s.config.Clock.Mono(), nil, err))
			return
		}
	}
}
