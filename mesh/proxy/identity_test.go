package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// authority is a certificate authority for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// issue makes an identity whose certificate names the ids, valid until expires.
func (a *authority) issue(expires time.Time, ids ...string) *identity {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: expires,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, id := range ids {
		u, err := url.Parse(id)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool}
}

// identity is a fixed certificate that trusts the domain "bank".
type identity struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

func (i *identity) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &i.cert, nil
}

func (i *identity) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &i.cert, nil
}

func (i *identity) Roots(domain string) (*x509.CertPool, error) {
	if domain != "bank" && domain != meshDomain {
		return nil, errors.New("a foreign trust domain")
	}
	return i.roots, nil
}

const (
	idShop = "spiffe://bank/cell/1/svc/shop"
	idPay  = "spiffe://bank/cell/1/svc/pay"
)

func hour() time.Time { return time.Now().Add(time.Hour) }
