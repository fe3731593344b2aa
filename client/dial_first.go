package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// ErrOlder is for the VerifyConnection of the configuration that [WithTLSFirst] gets: the server is one of a release that
// does not know it.
var ErrOlder = errors.New("the server is of an older release")

// WithTLSFirst connects by this configuration, and where the server answers without TLS or VerifyConnection returns
// ErrOlder, as the other options say. Who is between client and server can bring that about: it is for the time of an
// upgrade.
func WithTLSFirst(config *tls.Config) Option { return func(o *options) { o.first = config } }

// either are the credentials of WithTLSFirst.
type either struct {
	first, older credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (e either) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := e.first.ClientHandshake(ctx, authority, raw)
	var plain tls.RecordHeaderError
	if err == nil || !errors.Is(err, ErrOlder) && !errors.As(err, &plain) {
		return conn, info, err
	}
	_ = raw.Close() // it was of no use
	again, err := (&net.Dialer{}).DialContext(ctx, raw.RemoteAddr().Network(), raw.RemoteAddr().String())
	if err != nil {
		return nil, nil, err
	}
	conn, info, err = e.older.ClientHandshake(ctx, authority, again)
	if err != nil {
		return nil, nil, errors.Join(err, again.Close())
	}
	return conn, info, nil
}

// ServerHandshake implements credentials.TransportCredentials; a client never calls it.
func (e either) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return e.first.ServerHandshake(raw)
}

// Info implements credentials.TransportCredentials.
func (e either) Info() credentials.ProtocolInfo { return e.first.Info() }

// Clone implements credentials.TransportCredentials.
func (e either) Clone() credentials.TransportCredentials {
	return either{e.first.Clone(), e.older.Clone()}
}

// OverrideServerName implements credentials.TransportCredentials; nobody does.
func (e either) OverrideServerName(string) error { return nil }
