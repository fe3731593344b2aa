package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/sterlingrun/sterling/mesh"
)

// Self is the identity of the process that has the authority. The first handshake after half the life of its certificate
// renews it; while that fails, the old one goes on as long as it is valid. Safe for concurrent use.
type Self struct {
	authority *Authority
	id        mesh.ID
	held      holder
}

// Self returns an identity in the authority's trust domain, for this process.
func (a *Authority) Self(id mesh.ID) *Self { return &Self{authority: a, id: id} }

func (s *Self) get(ctx context.Context) (*tls.Certificate, error) {
	return s.held.get(ctx, s.authority, func(ctx context.Context) (*SVID, error) { return s.authority.Issue(ctx, s.id) })
}

// GetCertificate returns the certificate for who connects to this process.
func (s *Self) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.get(hello.Context())
}

// GetClientCertificate returns the certificate for whom this process connects to.
func (s *Self) GetClientCertificate(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return s.get(asked.Context())
}

// Roots returns whom to trust about identities in the authority's domain, which is the only one it knows.
func (s *Self) Roots(domain string) (*x509.CertPool, error) {
	if domain != s.authority.domain {
		return nil, fmt.Errorf("the trust domain %.100q is not trusted", domain)
	}
	pool := x509.NewCertPool()
	for _, root := range s.authority.Roots() {
		pool.AddCert(root)
	}
	return pool, nil
}
