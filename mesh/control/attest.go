package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/mesh"
)

// process is what the kernel tells about the program at the other end of a Unix socket, as it was when it connected.
type process struct {
	credentials.CommonAuthInfo
	uid, gid uint32
	pid      int32
}

// AuthType implements credentials.AuthInfo.
func (process) AuthType() string { return "unix" }

func (p process) matches(s mesh.UnixSelector) bool {
	return p.uid == s.UID && (s.GID == nil || *s.GID == p.gid) && (s.PID == nil || *s.PID == p.pid)
}

// UnixCredentials are the transport credentials of a gRPC server on a Unix socket for a Plane: callers are who the
// kernel says. A connection that is none of a Unix socket is refused.
func UnixCredentials() credentials.TransportCredentials { return unixCredentials{} }

type unixCredentials struct{}

func (unixCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.New("ask who is at the other end: no Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, nil, fmt.Errorf("ask who is at the other end: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return nil, nil, fmt.Errorf("ask who is at the other end: %w", err)
	}
	// The kernel keeps it on this machine and tells both ends who they are: as good as gRPC's own for Unix sockets.
	info := process{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, cred.Uid, cred.Gid, cred.Pid}
	return conn, info, nil
}

func (unixCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("connect: these credentials are a server's")
}

func (unixCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}
func (c unixCredentials) Clone() credentials.TransportCredentials { return c }
func (unixCredentials) OverrideServerName(string) error           { return nil }

// identities returns who the caller of ctx may be under a snapshot: by the kernel's word or by a certificate of the
// mesh. Nobody is an error, with codes.PermissionDenied.
func identities(ctx context.Context, snapshot *mesh.Snapshot) ([]mesh.ID, error) {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	var out []mesh.ID
	switch info := caller.AuthInfo.(type) {
	case process:
		for _, i := range snapshot.Identities {
			if info.matches(i.Unix) {
				out = append(out, mesh.ID{Domain: snapshot.Domain, Cell: i.Cell, Service: i.Service})
			}
		}
		if len(out) == 0 {
			return nil, status.Errorf(codes.PermissionDenied, "no identity for a process of uid %d, gid %d, pid %d", info.uid, info.gid, info.pid)
		}
		return out, nil
	case credentials.TLSInfo:
		id, err := certified(info.State)
		if err != nil {
			return nil, status.Error(codes.PermissionDenied, err.Error())
		}
		for _, i := range snapshot.Identities {
			if id == (mesh.ID{Domain: snapshot.Domain, Cell: i.Cell, Service: i.Service}) {
				return []mesh.ID{id}, nil
			}
		}
		return nil, status.Errorf(codes.PermissionDenied, "%s has no identity any more", id)
	}
	return nil, status.Error(codes.Unauthenticated, "a caller with neither a certificate nor a Unix socket")
}

// local refuses callers that the kernel does not vouch for. Keys are only for those it does: with a certificate, one that
// was stolen could be renewed for ever.
func local(ctx context.Context) error {
	if caller, ok := peer.FromContext(ctx); ok {
		if _, ok := caller.AuthInfo.(process); ok {
			return nil
		}
	}
	return status.Error(codes.PermissionDenied, "keys are for processes on the Unix socket only")
}

// certified returns the identity in a verified certificate.
func certified(state tls.ConnectionState) (mesh.ID, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates[0].URIs) != 1 {
		return mesh.ID{}, errors.New("want a verified certificate with one SPIFFE id")
	}
	return mesh.ParseID(state.PeerCertificates[0].URIs[0].String())
}

// ServerTLS returns the configuration of a TCP listener for a Plane: TLS 1.3, with certificates of this trust domain on
// both sides. id is who the server is, hosts where its clients look for it (see Authority.Issue). Its certificate is
// renewed at half its life, by the first connection after it.
func (a *Authority) ServerTLS(id mesh.ID, hosts ...string) *tls.Config {
	return a.serverTLS(tls.RequireAndVerifyClientCert, func(ctx context.Context) (*SVID, error) { return a.Issue(ctx, id, hosts...) })
}

func (a *Authority) serverTLS(callers tls.ClientAuthType, issue func(ctx context.Context) (*SVID, error)) *tls.Config {
	var held holder
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"}, // net/http looks here, too
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			cert, err := held.get(hello.Context(), a, issue)
			if err != nil {
				return nil, err
			}
			pool := x509.NewCertPool()
			for _, root := range a.Roots() {
				pool.AddCert(root)
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert},
				ClientAuth: callers, ClientCAs: pool, NextProtos: []string{"h2"},
				// A resumed session would carry an identity past the life of its certificate.
				SessionTicketsDisabled: true,
			}, nil
		},
	}
}
