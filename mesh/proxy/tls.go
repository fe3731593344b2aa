package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Identity is where the proxy's certificates come from. It is asked at every handshake, so that a rotation needs no
// restart and breaks no connection. Safe for concurrent use.
type Identity interface {
	// GetCertificate returns the X.509-SVID that the proxy shows to callers.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// GetClientCertificate returns the X.509-SVID that the proxy shows to endpoints.
	GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Roots returns the trust bundle of a SPIFFE trust domain; an error where the domain is not trusted.
	Roots(domain string) (*x509.CertPool, error)
}

// verify checks a peer's certificates against the bundle of its own trust domain and returns its id. Names of hosts
// play no part: an X.509-SVID says who the peer is, not where.
func verify(id Identity, chain []*x509.Certificate, usage x509.ExtKeyUsage) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("verify peer: no certificate")
	}
	peer, err := certificateID(chain[0])
	if err != nil {
		return "", fmt.Errorf("verify peer: %w", err)
	}
	roots, err := id.Roots(trustDomain(peer))
	if err != nil {
		return "", fmt.Errorf("verify peer %s: %w", peer, err)
	}
	if roots == nil {
		return "", fmt.Errorf("verify peer %s: no trust bundle", peer) // nil would mean the system's roots
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return "", fmt.Errorf("verify peer %s: %w", peer, err)
	}
	return peer, nil
}

// serverTLS wants a trusted certificate from every caller, and one that allow has unless it is empty.
func serverTLS(id Identity, allow patterns) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: id.GetCertificate,
		ClientAuth:     tls.RequireAnyClientCert, // VerifyConnection judges it, by its trust domain
		NextProtos:     []string{"h2", "http/1.1"},
		// A resumed session would save a handshake and outlive the certificate that it began with.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := verify(id, state.PeerCertificates, x509.ExtKeyUsageClientAuth)
			if err != nil {
				return err
			}
			if len(allow) > 0 && !allow.has(peer) {
				return fmt.Errorf("verify peer: %s is not allowed here", peer)
			}
			return nil
		},
	}
}

// acceptAnyProtocol lets a caller have the protocol it likes best: what is passed through is the endpoint's business.
func acceptAnyProtocol(c *tls.Config) {
	c.NextProtos = nil
	plain := c.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		own := plain.Clone()
		own.NextProtos = hello.SupportedProtos
		return own, nil
	}
}

// clientTLS wants a trusted certificate with one of peers from the endpoint.
func clientTLS(id Identity, peers patterns, protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: id.GetClientCertificate,
		InsecureSkipVerify:   true, //nolint:gosec // VerifyConnection verifies the chain and the SPIFFE id instead of a host's name
		NextProtos:           protocols,
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := verify(id, state.PeerCertificates, x509.ExtKeyUsageServerAuth)
			if err == nil && !peers.has(peer) {
				err = fmt.Errorf("verify peer: %s is not an endpoint of this cluster", peer)
			}
			return err
		},
	}
}

// peerOf is the id of a connection whose handshake is done: VerifyConnection has judged it.
func peerOf(c *tls.Conn) (string, error) {
	chain := c.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return "", errors.New("identify peer: no certificate")
	}
	return certificateID(chain[0])
}
