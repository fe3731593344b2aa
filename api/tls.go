package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/accesslog"
	"github.com/sterlingrun/sterling/router"
)

// Certificates encrypt a port. [mtls.Source] does.
type Certificates interface {
	TLS() *tls.Config
	// Principal returns who a verified client certificate is; false: nobody known.
	Principal(cert *x509.Certificate) (auth.Principal, bool)
}

const notTLS = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nthis port speaks TLS: use https\n"

// secure does the TLS handshake of a connection, if the port has one, and says
// where the connection comes from.
func (s *Server) secure(conn net.Conn) (net.Conn, *origin, error) {
	from := &origin{address: conn.RemoteAddr().String()}
	config := s.tls
	if config == nil {
		if s.peerTLS == nil {
			return conn, from, nil
		}
		begun, speaksTLS, err := s.begins(conn)
		if err != nil {
			return conn, from, err
		}
		if conn, config = begun, s.peerTLS; !speaksTLS {
			return conn, from, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Limits.Header)
	defer cancel()
	secured := tls.Server(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		s.metrics.handshakes.Inc()
		if plain := (tls.RecordHeaderError{}); errors.As(err, &plain) && plain.Conn != nil {
			_ = conn.SetWriteDeadline(wall(s.config.Clock).Add(time.Second))
			_, _ = conn.Write([]byte(notTLS)) // a courtesy
		}
		s.refuseHandshake(from, err)
		return conn, from, fmt.Errorf("TLS handshake with %s: %w", from.address, err)
	}
	state := secured.ConnectionState()
	if s.peerTLS != nil && (config == s.peerTLS || state.NegotiatedProtocol == router.PeerProtocol) {
		return secured, from, s.isPeer(&state, from)
	}
	if certs := state.PeerCertificates; len(certs) > 0 {
		from.notAfter = certs[0].NotAfter
		from.certificate, _ = s.config.Certificates.Principal(certs[0])
	}
	return secured, from, nil
}

// refuseHandshake writes down a client whose certificate was refused, or that had
// none. What only broke off is no attempt to be someone.
func (s *Server) refuseHandshake(from *origin, err error) {
	s.logger.Debug("TLS handshake", "peer", from.address, "error", err)
	var network net.Error
	if s.config.AccessLog == nil || errors.As(err, &network) {
		return
	}
	var invalid *tls.CertificateVerificationError
	if errors.As(err, &invalid) || err.Error() == "tls: client didn't provide a certificate" {
		s.config.AccessLog.End(&accesslog.Entry{
			Method: "TLS handshake", Peer: from.address, Code: connect.CodeUnauthenticated.String(), Refused: true,
		})
	}
}
