package control

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

const (
	rootLifetime = 10 * 366 * 24 * time.Hour
	// clockSkew is how far a peer's clock may be behind ours without taking a new certificate for one of the future.
	clockSkew = 30 * time.Second
)

// Upstream signs the mesh's intermediate authorities: a root in the data folder (OpenRoot), or an organisation's own.
type Upstream interface {
	// SignIntermediate returns the chain of a new authority, its own certificate first and without the root, and the
	// roots that peers are to trust. csr is a certificate request in DER; the certificate should last for lifetime.
	SignIntermediate(ctx context.Context, csr []byte, lifetime time.Duration) (chain, roots []*x509.Certificate, err error)
}

// Root is an Upstream with its key in a folder.
type Root struct {
	clock clock.Clock
	cert  *x509.Certificate
	key   crypto.Signer
}

// OpenRoot loads the root of a trust domain from root.crt and root.key in folder, or makes them (ECDSA P-256, ten
// years) where neither is there. It refuses a key that others than the owner can read, and a root of another domain.
func OpenRoot(folder, domain string, clk clock.Clock) (*Root, error) {
	if !mesh.ValidDomain(domain) {
		return nil, fmt.Errorf("open the root of %.100q: no trust domain", domain)
	}
	certFile, keyFile := filepath.Join(folder, "root.crt"), filepath.Join(folder, "root.key")
	certPEM, certErr := os.ReadFile(certFile)
	keyPEM, keyErr := os.ReadFile(keyFile)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return makeRoot(folder, domain, clk)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("open the root of %s: %w", domain, err)
	}
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("open the root of %s: %w", domain, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("open the root of %s: %s can be read by others: want mode 0600", domain, keyFile)
	}
	root, err := ParseRoot(certPEM, keyPEM, domain, clk)
	if err != nil {
		return nil, fmt.Errorf("root.crt and root.key in %s: %w", folder, err)
	}
	return root, nil
}

func makeRoot(folder, domain string, clk clock.Clock) (*Root, error) {
	certPEM, keyPEM, err := NewRoot(domain, clk)
	if err != nil {
		return nil, err
	}
	// The certificate last: a crash in between leaves a key alone, which is an error to look at and no silent new root.
	if err := durable.WriteFile(filepath.Join(folder, "root.key"), keyPEM); err != nil {
		return nil, fmt.Errorf("make the root of %s: %w", domain, err)
	}
	if err := durable.WriteFile(filepath.Join(folder, "root.crt"), certPEM); err != nil {
		return nil, fmt.Errorf("make the root of %s: %w", domain, err)
	}
	return ParseRoot(certPEM, keyPEM, domain, clk)
}

// SignIntermediate implements Upstream.
func (r *Root) SignIntermediate(_ context.Context, csr []byte, lifetime time.Duration) (chain, roots []*x509.Certificate, err error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	now := wall(r.clock)
	if now.Add(lifetime).After(r.cert.NotAfter) {
		return nil, nil, fmt.Errorf("sign an intermediate authority: the root ends %s, before the authority would", r.cert.NotAfter.Format(time.DateOnly))
	}
	template, err := authorityTemplate(r.cert.URIs[0].Host, now, lifetime)
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, request.PublicKey, r.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	return []*x509.Certificate{cert}, []*x509.Certificate{r.cert}, nil
}

func authorityTemplate(domain string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := newSerial()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Sterling"}, CommonName: domain},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore:    now.Add(-clockSkew), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, err
}

// newSerial returns 127 random bits: positive, and of no use to guess (RFC 5280, 4.1.2.2).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func wall(c clock.Clock) time.Time {
	return time.Unix(0, int64(c.Wall())).UTC() //nolint:gosec // nanoseconds of this age fit until 2262
}

func encodeCertificates(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, cert)
	}
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("want a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("want a key in PKCS #8") // the parser's own error could quote it
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("want an ECDSA key")
	}
	return ec, nil
}
