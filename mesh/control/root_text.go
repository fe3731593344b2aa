package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
)

// NewRoot makes the root of a trust domain (ECDSA P-256, ten years) for who keeps it elsewhere than OpenRoot does: its
// certificate and its key, which is a secret, in PEM.
func NewRoot(domain string, clk clock.Clock) (certPEM, keyPEM []byte, err error) {
	if !mesh.ValidDomain(domain) {
		return nil, nil, fmt.Errorf("make the root of %.100q: no trust domain", domain)
	}
	cert, key, err := newRoot(domain, clk)
	if err == nil {
		keyPEM, err = encodeKey(key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make the root of %s: %w", domain, err)
	}
	return encodeCertificates([]*x509.Certificate{cert}), keyPEM, nil
}

func newRoot(domain string, clk clock.Clock) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := authorityTemplate(domain, wall(clk), rootLifetime)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// ParseRoot reads what NewRoot returned for the same trust domain.
func ParseRoot(certPEM, keyPEM []byte, domain string, clk clock.Clock) (*Root, error) {
	certs, err := parseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("open the root of %s: its certificate: %w", domain, err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("open the root of %s: want one certificate, not %d", domain, len(certs))
	}
	key, err := parseKey(keyPEM)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open the root of %s: its key: %w", domain, err)
	case len(certs[0].URIs) != 1 || certs[0].URIs[0].String() != "spiffe://"+domain:
		err = errors.New("the certificate is of another trust domain")
	case !key.PublicKey.Equal(certs[0].PublicKey):
		err = errors.New("the key does not belong to the certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("open the root of %s: %w", domain, err)
	}
	return &Root{clock: clk, cert: certs[0], key: key}, nil
}
