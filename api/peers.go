package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

// Peers knows nodes of the ledger's cells by their certificates. They come to the API's port, and say so in the handshake
// ([router.PeerProtocol]); their connections are for calls between cells, and those are taken over no other.
type Peers interface {
	// TLS is for connections that nodes of other cells open. It asks for router.PeerProtocol and a certificate, and
	// verifies that in each handshake.
	TLS() *tls.Config
	// Cell is the cell of the node at the other end, once the handshake is done.
	Cell(tls.ConnectionState) (uint64, error)
	// Age is after how long a connection is made anew, so that it does not outlive the certificates that it began with.
	Age() time.Duration
}

// peers returns whom nodes of other cells are known by; nil: by the secret alone.
func (s *Server) peers() Peers {
	if s.config.Cells == nil {
		return nil
	}
	return s.config.Cells.Peers
}

// openTLS prepares what secure does with new connections.
func (s *Server) openTLS() {
	if s.config.Certificates != nil {
		s.tls = s.config.Certificates.TLS()
	}
	if s.peers() == nil {
		return
	}
	s.peerTLS = s.peers().TLS()
	if s.tls == nil {
		return
	}
	users := s.tls.Clone()
	s.tls = &tls.Config{MinVersion: users.MinVersion, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case slices.Contains(hello.SupportedProtos, router.PeerProtocol):
			return s.peerTLS, nil
		case users.GetConfigForClient != nil:
			return users.GetConfigForClient(hello)
		}
		return users, nil
	}}
}

// recordTLS is the first byte of a TLS handshake (RFC 8446, 5.1). No HTTP begins with it.
const recordTLS = 0x16

// begins tells whether a connection to a port without TLS of its own begins as TLS does, which nodes of other cells speak
// here. It may stay silent as long as an idle one.
func (s *Server) begins(conn net.Conn) (begun *begunConn, speaksTLS bool, err error) {
	if err := conn.SetReadDeadline(wall(s.config.Clock).Add(s.config.Limits.Idle)); err != nil {
		return nil, false, err
	}
	begun = &begunConn{Conn: conn}
	if _, err := conn.Read(begun.first[:]); err != nil {
		return nil, false, err
	}
	return begun, begun.first[0] == recordTLS, conn.SetReadDeadline(time.Time{})
}

// begunConn is a connection whose first byte is read again.
type begunConn struct {
	net.Conn
	first [1]byte
	over  bool
}

// Read returns the first byte, then what follows.
func (c *begunConn) Read(p []byte) (int, error) {
	if c.over || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.over = true
	return copy(p, c.first[:]), nil
}

// isPeer learns the other end of a connection whose handshake asked for router.PeerProtocol.
func (s *Server) isPeer(state *tls.ConnectionState, from *origin) (err error) {
	if state.NegotiatedProtocol != router.PeerProtocol {
		return errors.New("this port speaks TLS with nodes of the ledger's cells only")
	}
	if from.cell, err = s.peers().Cell(*state); err != nil {
		return err
	}
	from.notAfter = state.PeerCertificates[0].NotAfter
	return nil
}

// peerGrace is how long calls of a connection that is made anew may take to end.
const peerGrace = time.Minute

// newPeerGRPC serves nodes of other cells, and nothing but what is between cells.
func (s *Server) newPeerGRPC() *grpc.Server {
	between := map[string]*method{}
	for path, m := range s.methods {
		if m.between {
			between[path] = m
		}
	}
	return s.newGRPC(between, keepalive.ServerParameters{
		Time: probeAfter, Timeout: probeTimeout, MaxConnectionAge: s.peers().Age(), MaxConnectionAgeGrace: peerGrace,
	})
}

// admitPeer wants a node that its connection's certificate tells of, unless nodes are known by the secret alone.
func (s *Server) admitPeer(o *origin) error {
	switch {
	case s.peers() == nil, o != nil && o.cell == 0 && s.config.Cells.Unproven:
		return nil
	case o == nil || o.cell == 0:
		return tokenRefused("nodes of other cells are known by a certificate: is the caller one of a release before that? see the guide about several cells")
	case wall(s.config.Clock).After(o.notAfter):
		return tokenRefused("the certificate of this connection has expired: connect anew with a fresh one")
	}
	return nil
}

// speaksFor refuses a node that says to be of another cell than its certificate.
func (s *Server) speaksFor(ctx context.Context, cell uint64) error {
	o := grpcVisitor(ctx).origin
	if o == nil || o.cell == 0 || o.cell == cell {
		return nil
	}
	return &fault{
		code: connect.CodePermissionDenied, reason: ledgerv1.ErrorReason_ERROR_REASON_ROLE_REFUSED,
		message: fmt.Sprintf("a node of cell %d can't speak for cell %d", o.cell, cell),
	}
}
